"""Asks a server everything that /api/v1 promises: the three manners of an analysis, replay, joining, cancelling, lists, maps.

usage: test_api.py [Class[.test]...]
"""
import base64, io, json, os, socket, struct, tempfile, threading, time, unittest, zlib

import numpy as np
import requests

from server_under_test import MODEL, MODEL_FILE, Server, models_folder

NDJSON = {'Accept': 'application/x-ndjson'}
SLOWNESS = int(os.environ.get('HEADSCOPE_TEST_SLOWNESS', 1))  # how many times as long a token takes, near enough
TEXT = 'The cat sat on the mat, and the cat looked at the mat. Zwölf Boxkämpfer jagen 🙂.\n'


class Api(Server):
    def api(self, path):
        return self.url + '/api/v1' + path

    def post(self, text=TEXT, headers=None, path='/analyses', **body):
        body.setdefault('model', MODEL)
        if text is not None:
            body['text'] = text
        return requests.post(self.api(path), json=body, headers=headers, timeout=300)

    def get(self, path, **kwargs):
        return requests.get(self.api(path), timeout=300, **kwargs)

    def delete(self, identity):
        return requests.delete(self.api('/analyses/' + identity), timeout=300)

    def npy(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return np.load(io.BytesIO(answer.content))

    def restart(self, models=None):
        self.stop()
        if models:
            self.environment['HEADSCOPE_MODELS'] = models
        self.start()


def lines(content):
    return [line for line in content.split(b'\n') if line]


def events(content):
    return [json.loads(line) for line in lines(content)]


def until(condition, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError('it never came true')


def long_text(number, tokens=3500):
    """Takes seconds; another text for each number. A word is three tokens."""
    tokens //= SLOWNESS
    return f'{number} ' + ' '.join(f'word{10 + (i * 7919 + number) % 90}' for i in range(tokens // 3))


def square(cells):
    return np.rint(255 * np.sqrt(cells)).astype(int)


class WithServer(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Api(*cls.flags)
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def problem(self, answer, status, says=None, pointer=None):
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertEqual(answer.headers['Content-Type'], 'application/problem+json')
        body = answer.json()
        self.assertEqual(body['status'], status)
        self.assertNotIn('immutable', answer.headers.get('Cache-Control', ''))
        if says:
            self.assertIn(says, body['detail'])
        if pointer is not None:
            self.assertEqual(body['errors'][0]['pointer'], pointer)


class Basics(WithServer):
    def test_models(self):
        items = self.server.get('/models').json()['items']
        model = [m for m in items if m['id'] == MODEL][0]
        self.assertEqual((model['layers'], model['heads'], model['kv_heads'], model['head_dim']), (30, 9, 3, 64))
        self.assertEqual((model['architecture'], model['dtype'], model['causal'], model['context']), ('llama', 'Q4_1', True, 8192))
        self.assertRegex(model['digest'], '^[0-9a-f]{64}$')

    def test_tokenize(self):
        tokens = self.server.post(TEXT, path='/tokenize').json()['tokens']
        data = TEXT.encode()
        self.assertEqual(b''.join(data[t['start']:t['end']] for t in tokens), data)
        for t in tokens:
            part = data[t['start']:t['end']]
            self.assertEqual(t['text'], part.decode(errors='replace'))
            self.assertEqual(bytes.fromhex(t['bytes']) if 'bytes' in t else t['text'].encode(), part)
        self.assertEqual(self.server.post('', path='/tokenize').json()['tokens'], [])
        self.assertEqual(self.server.post('a\0b', path='/tokenize').json()['tokens'][-1]['end'], 3)
        special = self.server.post('<|im_start|>', path='/tokenize').json()['tokens']
        self.assertEqual([t['special'] for t in special], [True])
        plain = self.server.post('<|im_start|>', path='/tokenize', parse_special=False).json()['tokens']
        self.assertFalse(any(t['special'] for t in plain))

    def test_split_characters_keep_their_bytes(self):
        tokens = self.server.post('\U0001F9FF\u1F600', path='/tokenize').json()['tokens']
        split = [t for t in tokens if 'bytes' in t]
        self.assertTrue(split)
        self.assertTrue(all('\ufffd' in t['text'] for t in split))

    def test_refusals(self):
        post = self.server.post
        self.problem(post(model='nope'), 422, 'nope', '/model')
        self.problem(post(model='../../etc/passwd'), 422, pointer='/model')
        self.problem(post(model=os.path.join(models_folder(), MODEL_FILE)), 422, pointer='/model')
        self.problem(post(''), 422, 'empty', '/text')
        self.problem(post('word ' * 9000), 422, '8192', '/text')
        self.problem(post(colour=1), 400, 'colour', '/colour')
        self.problem(post(text_pair='b'), 422, pointer='/text_pair')
        self.problem(post(None, token_ids=[1, 49152]), 422, '49152', '/token_ids/1')
        self.problem(post(None, token_ids=[]), 422)
        self.problem(post(exclude_keys=[0, 4000]), 422, '4000', '/exclude_keys')
        self.problem(requests.post(self.server.api('/analyses?x=1'), json={}), 400, "'x'")
        body = b'{"model":"%s","text":"ab\xff"}' % MODEL.encode()
        answer = requests.post(self.server.api('/analyses'), data=body, headers={'Content-Type': 'application/json'})
        self.problem(answer, 400, f'byte {body.index(0xff)} ')
        for path in ('/analyses/' + '0' * 64, '/analyses/x', '/analyses/' + '0' * 64 + '/stream',
                     '/analyses/' + '0' * 64 + '/heads.csv', '/analyses/' + '0' * 64 + '/attention/0/0.npy'):
            self.problem(self.server.get(path), 404)
        self.problem(self.server.delete('0' * 64), 404)


class Manners(WithServer):
    def test_stream(self):
        answer = self.server.post('stream: ' + TEXT, NDJSON)
        self.assertEqual(answer.headers['Content-Type'], 'application/x-ndjson')
        self.assertIn('fwd=miss', answer.headers['Cache-Status'])
        seen = events(answer.content)
        self.assertEqual([e['event'] for e in seen], ['start', 'tokens'] + ['layer'] * 30 + ['done'])
        start, tokens = seen[0], seen[1]['tokens']
        self.assertEqual(start['text'], 'stream: ' + TEXT)
        self.assertEqual(start['n_tokens'], len(tokens))
        self.assertEqual(start['model']['id'], MODEL)
        self.assertEqual(start['options']['exclude_keys'], 'auto')
        self.assertEqual(start['options']['excluded'], [0])
        self.assertGreater(start['estimate']['bytes'], 0)
        self.assertEqual(seen[-1]['id'], start['id'])
        again = self.server.post('stream: ' + TEXT, NDJSON)
        self.assertEqual(again.headers['Cache-Status'], 'headscope; hit')
        self.assertEqual(lines(again.content), lines(answer.content))
        self.assertEqual(lines(self.server.get(f'/analyses/{start["id"]}/stream').content), lines(answer.content))

    def test_document(self):
        made = self.server.post('document: ' + TEXT)
        self.assertEqual(made.status_code, 200)
        document = made.json()
        self.assertEqual(list(document), ['id', 'state', 'model', 'engine', 'options', 'text', 'n_tokens', 'tokens', 'layers', 'sinks',
                                          'seconds'])
        self.assertEqual((document['state'], document['text']), ('done', 'document: ' + TEXT))
        self.assertEqual(len(document['layers']), 30)
        self.assertEqual([len(layer['heads']) for layer in document['layers']], [9] * 30)
        self.assertGreater(document['seconds'], 0)
        self.assertEqual(self.server.get('/analyses/' + document['id']).json(), document)
        stream = events(self.server.get(f'/analyses/{document["id"]}/stream').content)
        self.assertEqual([e['heads'] for e in stream[2:-1]], [layer['heads'] for layer in document['layers']])
        stats = document['layers'][3]['heads'][2]['stats']
        self.assertNotIn('next_mass', stats)
        self.assertIsInstance(stats['induction_rows'], int)

    def test_later(self):
        answer = self.server.post('later: ' + TEXT, {'Prefer': 'respond-async'})
        self.assertEqual(answer.status_code, 202)
        body = answer.json()
        self.assertIn(body['state'], ('queued', 'running', 'done'))
        self.assertEqual(answer.headers['Location'], '/api/v1/analyses/' + body['id'])
        where = self.server.url + answer.headers['Location']
        document = until(lambda: (d := requests.get(where).json())['state'] == 'done' and d)
        self.assertEqual(len(document['layers']), 30)

    def test_token_ids(self):
        document = self.server.post(None, token_ids=[504, 2644, 2643, 335]).json()
        self.assertIsNone(document['text'])
        self.assertEqual([t['text'] for t in document['tokens']], ['The', ' cat', ' sat', ' on'])
        text = self.server.post('The cat sat on').json()
        self.assertNotEqual(text['id'], document['id'])
        self.assertEqual(text['layers'], document['layers'])

    def test_options_are_part_of_the_id(self):
        one = self.server.post('options ' + TEXT).json()
        none = self.server.post('options ' + TEXT, exclude_keys='none').json()
        some = self.server.post('options ' + TEXT, exclude_keys=[3, 1, 3]).json()
        self.assertEqual(len({one['id'], none['id'], some['id']}), 3)
        self.assertEqual(some['options']['exclude_keys'], [1, 3])
        self.assertEqual(none['layers'][4]['heads'][0]['stats']['sink_mass'], 0)
        self.assertEqual(one['layers'][4]['heads'][0]['stats']['entropy'], none['layers'][4]['heads'][0]['stats']['entropy'])

    def test_not_stored(self):
        document = self.server.post('not stored ' + TEXT, store=False).json()
        self.assertEqual(self.server.get('/analyses/' + document['id']).json(), document)
        self.assertNotIn(document['id'], [i['id'] for i in self.server.get('/analyses?limit=500').json()['items']])
        self.assertEqual(self.server.post('not stored ' + TEXT, NDJSON).headers['Cache-Status'], 'headscope; hit')
        self.assertIn(document['id'], [i['id'] for i in self.server.get('/analyses?limit=500').json()['items']])

    def test_head_and_etag(self):
        identity = self.server.post('etag ' + TEXT).json()['id']
        for path in ('', '/stream', '/heads.csv', '/heads.json', '/attention/1/2.npy', '/attention/1/2.npy?queries=0:3',
                     '/attention/1/2.png', '/attention/1/2/tiles/0/0/0', '/series/1/2.json', '/series/1/2.npy'):
            where = f'/analyses/{identity}{path}'
            answer = self.server.get(where)
            self.assertEqual(answer.status_code, 200, where)
            self.assertEqual(answer.headers['Cache-Control'], 'private, max-age=31536000, immutable', where)
            etag = answer.headers['ETag']
            self.assertRegex(etag, '^"[!-~]+"$')
            not_modified = self.server.get(where, headers={'If-None-Match': etag})
            self.assertEqual((not_modified.status_code, not_modified.content), (304, b''))
            self.assertEqual(self.server.get(where, headers={'If-None-Match': '"other"'}).status_code, 200)
            head = requests.head(self.server.api(where))
            self.assertEqual((head.status_code, head.content), (200, b''))
            self.assertEqual(head.headers['ETag'], etag)


class Waiting(WithServer):
    def start_stream(self, text):
        """A raw connection that has read the start line: (socket, file, id)."""
        body = json.dumps({'model': MODEL, 'text': text}).encode()
        host, port = self.server.url[7:].split(':')
        connection = socket.create_connection((host, int(port)), 60)
        connection.sendall(b'POST /api/v1/analyses HTTP/1.1\r\nHost: localhost:%d\r\nAccept: application/x-ndjson\r\n'
                           b'Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s'
                           % (int(port), len(body), body))
        reader = connection.makefile('rb')
        while True:
            line = reader.readline()
            if line.startswith(b'{"event":"start"'):
                return connection, reader, json.loads(line)['id']
            self.assertTrue(line)

    def state(self, identity):
        answer = self.server.get('/analyses/' + identity)
        return answer.json()['state'] if answer.status_code == 200 else answer.status_code

    def test_equal_requests_share_one_run(self):
        text, got = long_text(1, 1200), []
        threads = [threading.Thread(target=lambda: got.append(self.server.post(text, NDJSON).content)) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(set(b'\n'.join(lines(content)) for content in got)), 1)
        identity = events(got[0])[0]['id']
        self.assertEqual(self.server.log().count(f'{identity[:12]}: '), 1)

    def test_hanging_up_cancels(self):
        connection, reader, identity = self.start_stream(long_text(2))
        self.assertIn(self.state(identity), ('queued', 'running'))
        reader.close()
        connection.close()
        until(lambda: self.state(identity) == 404)  # a run that went on would end as done

    def test_hanging_up_while_waiting_for_json_cancels(self):
        before = self.server.log().count('cancelled after')
        with self.assertRaises(requests.exceptions.Timeout):
            requests.post(self.server.api('/analyses'), json={'model': MODEL, 'text': long_text(3)}, timeout=(5, 0.7))
        until(lambda: self.server.log().count('cancelled after') > before)

    def test_a_second_reader_keeps_it(self):
        text = long_text(4, 1500)
        connection, reader, identity = self.start_stream(text)
        other, other_reader, same = self.start_stream(text)
        self.assertEqual(identity, same)
        reader.close()
        connection.close()
        last = b''
        for line in other_reader:
            if line.startswith(b'{"event":"done"'):
                last = line
                break
        self.assertTrue(last)
        other.close()
        self.assertEqual(self.state(identity), 'done')

    def test_later_is_not_cancelled(self):
        answer = self.server.post(long_text(5, 1500), {'Prefer': 'respond-async'})
        identity = answer.json()['id']
        connection, reader, same = self.start_stream(long_text(5, 1500))
        self.assertEqual(identity, same)
        reader.close()
        connection.close()
        time.sleep(1.5)
        self.assertNotEqual(self.state(identity), 404)
        until(lambda: self.state(identity) == 'done', 60)

    def test_delete_cancels(self):
        connection, reader, identity = self.start_stream(long_text(6))
        self.assertEqual(self.server.delete(identity).status_code, 204)
        seen = [line for line in reader if line.startswith(b'{')]
        self.assertEqual(json.loads(seen[-1])['event'], 'error')
        self.assertEqual(json.loads(seen[-1])['problem']['status'], 409)
        self.assertEqual(self.state(identity), 404)
        connection.close()

    def test_an_unfinished_document(self):
        connection, reader, identity = self.start_stream(long_text(7))
        document = until(lambda: (d := self.server.get('/analyses/' + identity).json())['layers'] and d)
        self.assertEqual(document['state'], 'running')
        self.assertIsNone(document['seconds'])
        self.assertNotIn('sinks', document)
        reader.close()
        connection.close()
        until(lambda: self.state(identity) == 404)

    def test_reads_do_not_wait_for_a_run(self):
        identity = self.server.post('short ' + TEXT).json()['id']
        connection, reader, running = self.start_stream(long_text(8))
        times = []
        for head in range(9):
            begin = time.time()
            self.assertEqual(self.server.get(f'/analyses/{identity}/attention/7/{head}/tiles/0/0/0').status_code, 200)
            times.append(time.time() - begin)
        times.sort()
        print(f'a tile beside a run: median {times[4] * 1e3:.0f} ms, slowest {times[-1] * 1e3:.0f} ms')
        self.assertEqual(self.state(running), 'running')        # they went first
        reader.close()
        connection.close()


class Results(WithServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = TEXT * 4
        cls.stream = events(cls.server.post(cls.text, NDJSON).content)
        cls.identity, cls.n = cls.stream[0]['id'], cls.stream[0]['n_tokens']
        cls.at = f'/analyses/{cls.identity}/'
        cls.maps = {l: cls.server.npy(f'{cls.at}attention/{l}.npy') for l in (0, 17)}

    def test_rows_sum_to_one(self):
        for layer, maps in self.maps.items():
            self.assertEqual((maps.shape, maps.dtype), ((9, self.n, self.n), np.float32))
            worst = np.abs(maps.sum(axis=2, dtype=np.float64) - 1).max()
            print(f'layer {layer}: row sums within {worst:.1e}')
            self.assertLess(worst, 3e-6)
            self.assertEqual(np.triu(maps, 1).max(), 0)

    def test_one_head_and_cuts(self):
        path, whole = self.at + 'attention/17/4.npy', self.maps[17][4]
        np.testing.assert_array_equal(self.server.npy(path), whole)
        n = self.n
        for cut, want in (('queries=3:5', whole[3:5]), ('keys=1:', whole[:, 1:]), ('queries=:2&keys=:1', whole[:2, :1]),
                          ('queries=0:99999', whole), (f'queries={n - 1}:{n}', whole[-1:]), ('queries=:', whole),
                          ('queries=0:99999999999999999999999', whole), ('keys=007:9', whole[:, 7:9])):
            np.testing.assert_array_equal(self.server.npy(f'{path}?{cut}'), want)
        for cut, status in (('queries=5:2', 422), ('queries=3:3', 422), (f'keys={n}:', 422), ('queries=-1:', 400), ('queries=x', 400),
                            ('queries=', 400), ('queries=1:2:3', 400), ('queries=5', 400), ('queries=1.5:2', 400), ('rows=1:2', 400),
                            ('queries=+1:2', 400)):
            self.problem(self.server.get(f'{path}?{cut}'), status)

    def test_out_of_range(self):
        for where in ('30/0.npy', '-1/0.npy', '0/9.npy', 'a/0.npy', '0/99999999999999999999.npy', '30.npy', 'x.npy', '0/9/tiles/0/0/0',
                      '0/0/tiles/0/1/0', '0/0/tiles/40/0/0', '0/0/tiles/x/0/0', '0/0/tiles/0/0/18446744073709551616', '0/0.gif'):
            self.problem(self.server.get(f'{self.at}attention/{where}'), 404)
        self.problem(self.server.get(f'{self.at}attention/0/0/tiles/0/0/0?pool=sum'), 400, 'sum')
        self.problem(self.server.get(f'{self.at}series/0/9.json'), 404)

    def test_json_and_csv(self):
        whole = self.maps[17][4]
        body = self.server.get(self.at + 'attention/17/4.json?queries=2:6&keys=1:9').json()
        self.assertEqual((body['layer'], body['head'], body['queries'], body['keys']), (17, 4, [2, 6], [1, 9]))
        np.testing.assert_array_equal(np.array(body['weights'], np.float32), whole[2:6, 1:9])
        answer = self.server.get(self.at + 'attention/17/4.csv?queries=2:6&keys=1:9')
        self.assertIn('text/csv', answer.headers['Content-Type'])
        rows = [line.split(',') for line in answer.text.strip().split('\r\n')]
        self.assertEqual(rows[0], ['query'] + [str(k) for k in range(1, 9)])
        self.assertEqual([r[0] for r in rows[1:]], ['2', '3', '4', '5'])
        np.testing.assert_array_equal(np.array([r[1:] for r in rows[1:]], np.float32), whole[2:6, 1:9])

    def test_text_has_a_limit(self):
        answer = self.server.post('one ' * 300)
        where = f'/analyses/{answer.json()["id"]}/attention/0/0'
        for ending in ('json', 'csv'):
            self.problem(self.server.get(f'{where}.{ending}'), 413, '.npy')
        self.assertEqual(self.server.get(f'{where}.json?queries=0:200').status_code, 200)

    def test_png(self):
        answer = self.server.get(self.at + 'attention/17/4.png')
        self.assertEqual(answer.headers['Content-Type'], 'image/png')
        width, height, cells = read_png(answer.content)
        self.assertEqual((width, height), (self.n, self.n))
        np.testing.assert_allclose(cells, square(self.maps[17][4]), atol=1)

    def test_tiles(self):
        whole = self.maps[17][4].astype(np.float64)
        seen = np.tril(np.ones_like(whole))
        for zoom in range(int(np.ceil(np.log2(self.n))) + 1):
            for pool in ('max', 'mean'):
                answer = self.server.get(f'{self.at}attention/17/4/tiles/{zoom}/0/0?pool={pool}')
                side = -(-self.n // 2 ** zoom)
                tile = np.frombuffer(answer.content, np.uint8).reshape(min(256, side), min(256, side))
                step = 2 ** zoom
                pad = side * step - self.n
                blocks = np.pad(whole, ((0, pad), (0, pad))).reshape(side, step, side, step)
                visible = np.pad(seen, ((0, pad), (0, pad))).reshape(side, step, side, step).sum((1, 3))
                want = blocks.max((1, 3)) if pool == 'max' else blocks.sum((1, 3)) / np.maximum(visible, 1)
                np.testing.assert_allclose(tile, square(want)[:256, :256], atol=1, err_msg=f'{zoom} {pool}')

    def test_thumbnails(self):
        for layer, maps in self.maps.items():
            thumbs = self.stream[2 + layer]['thumbs']
            rows = thumbs['rows']
            self.assertEqual((rows, thumbs['cols'], thumbs['scale']), (min(48, self.n), min(48, self.n), 'sqrt'))
            got = {k: np.frombuffer(base64.b64decode(thumbs[k]), np.uint8) for k in ('max', 'mean', 'excluded')}
            for head in range(9):
                want = {'max': np.zeros((rows, rows)), 'mean': np.zeros((rows, rows)), 'excluded': np.zeros(rows)}
                for a in range(rows):
                    q = np.arange(a * self.n // rows, (a + 1) * self.n // rows)
                    want['excluded'][a] = maps[head][q, 0].mean()
                    for b in range(rows):
                        k = np.arange(b * self.n // rows, (b + 1) * self.n // rows)
                        cell = [maps[head][i, j] for i in q for j in k if 0 < j <= i]
                        if cell:
                            want['max'][a, b], want['mean'][a, b] = max(cell), np.mean(cell)
                for kind, values in want.items():
                    part = got[kind].reshape((9,) + values.shape)[head]
                    np.testing.assert_allclose(part, square(values), atol=1, err_msg=f'{layer}.{head} {kind}')

    def test_heads(self):
        document = self.server.get('/analyses/' + self.identity).json()
        flat = [dict(layer=layer['layer'], head=h['head'], **h['stats']) for layer in document['layers'] for h in layer['heads']]
        self.assertEqual(self.server.get(self.at + 'heads.json').json()['items'], flat)
        rows = [line.split(',') for line in self.server.get(self.at + 'heads.csv').text.strip().split('\r\n')]
        self.assertEqual(rows[0], list(flat[0]))
        self.assertEqual(len(rows), 271)
        for row, item in zip(rows[1:], flat):
            self.assertEqual([None if v == '' else float(v) for v in row], list(item.values()))

    def test_series(self):
        whole = self.maps[17][4].astype(np.float64)
        body = self.server.get(self.at + 'series/17/4.json').json()
        with np.errstate(divide='ignore', invalid='ignore'):
            entropy = -np.nansum(np.where(whole > 0, whole * np.log(whole), 0), axis=1)
        np.testing.assert_allclose(body['entropy'], entropy, atol=1e-4)
        np.testing.assert_allclose(body['max_weight'], whole.max(axis=1), atol=1e-6)
        np.testing.assert_allclose(body['sink_mass'], whole[:, 0], atol=1e-6)
        received = [whole[k + 1:, k].mean() if k + 1 < self.n else None for k in range(self.n)]
        self.assertIsNone(body['received'][-1])
        np.testing.assert_allclose(body['received'][:-1], received[:-1], atol=1e-6)
        table = self.server.npy(self.at + 'series/17/4.npy')
        self.assertEqual((table.shape, table.dtype), ((4, self.n), np.float32))
        np.testing.assert_allclose(table[2], body['sink_mass'], atol=1e-6)
        self.assertTrue(np.isnan(table[3, -1]))


class Lists(WithServer):
    def test_pages(self):
        made = [self.server.post(f'list {i}').json()['id'] for i in range(5)]
        first = self.server.get('/analyses?limit=2').json()
        self.assertEqual([i['id'] for i in first['items']], made[:2:-1])
        self.assertEqual(first['items'][0]['excerpt'], 'list 4')
        self.assertEqual(first['items'][0]['model'], MODEL)
        self.assertLess(abs(first['items'][0]['created'] / 1000 - time.time()), 60)
        newer = self.server.post('list 5').json()['id']       # does not disturb the pages that follow
        self.assertEqual(self.server.delete(made[3]).status_code, 204)
        second = self.server.get('/analyses?limit=2&cursor=' + first['next_cursor']).json()
        self.assertEqual([i['id'] for i in second['items']], [made[2], made[1]])
        third = self.server.get('/analyses?limit=2&cursor=' + second['next_cursor']).json()
        self.assertEqual([i['id'] for i in third['items']], [made[0]])
        self.assertIsNone(third['next_cursor'])
        everything = self.server.get('/analyses').json()
        self.assertEqual([i['id'] for i in everything['items']], [newer, made[4], made[2], made[1], made[0]])
        self.problem(self.server.get('/analyses/' + made[3]), 404)
        for query in ('limit=0', 'limit=x', 'limit=501', 'cursor=nonsense', 'page=2'):
            self.problem(self.server.get('/analyses?' + query), 400)


class FullQueue(WithServer):
    flags = ('--queue', '1')

    def test_503(self):
        answers = []
        for number in range(4):
            answers.append(self.server.post(long_text(20 + number), {'Prefer': 'respond-async'}))
        refused = [a for a in answers if a.status_code == 503]
        self.assertTrue(refused)
        self.problem(refused[0], 503)
        self.assertGreater(int(refused[0].headers['Retry-After']), 0)
        for a in answers:
            if a.status_code == 202:
                self.server.delete(a.json()['id'])


class LittleMemory(WithServer):
    flags = ('--memory-max', '100MiB')

    def test_too_large_is_413_and_the_rest_works(self):
        refused = self.server.post('word ' * 7000)
        self.problem(refused, 413)
        self.assertRegex(refused.json()['detail'], r'[0-9]+ tokens need [0-9.]+ MB of memory and 104\.9 MB are allowed')
        made = [self.server.post(f'{i} ' + 'many words here ' * 60).json() for i in range(4)]
        for document in made:                                 # most of their activations are gone: the model runs again
            a = self.server.npy(f'/analyses/{document["id"]}/attention/3/3.npy')
            self.assertLess(np.abs(a.sum(1) - 1).max(), 3e-6)
        runs = sum(self.server.log().count(f'{document["id"][:12]}: ') for document in made)
        self.assertGreater(runs, len(made))

    def test_coarse_tiles_are_kept(self):
        made = [self.server.post(f'tile {i} ' + 'many words here ' * 60).json()['id'] for i in range(4)]
        runs = lambda: self.server.log().count(f'{made[0][:12]}: ')
        self.server.npy(f'/analyses/{made[0]}/attention/2/1.npy')
        tiles = {path: self.server.get(f'/analyses/{made[0]}/attention/2/1/tiles/{path}')
                 for path in ('2/0/0', '2/0/0?pool=mean', '2/0/0?weighting=value', '3/0/0', '0/0/0')}
        for identity in made[1:]:
            self.server.npy(f'/analyses/{identity}/attention/2/1.npy')  # the first one's activations go
        before = runs()
        for path, tile in tiles.items():
            self.assertEqual(tile.status_code, 200, path)
            if path[0] != '0':
                again = self.server.get(f'/analyses/{made[0]}/attention/2/1/tiles/{path}')
                self.assertEqual(again.content, tile.content)
                for name in ('ETag', 'Cache-Control', 'Headscope-Largest'):
                    self.assertEqual(again.headers.get(name), tile.headers.get(name), name)
        self.assertEqual(runs(), before)
        self.assertEqual(self.server.get(f'/analyses/{made[0]}/attention/2/1/tiles/0/0/0').content, tiles['0/0/0'].content)
        self.assertEqual(runs(), before + 1)
        self.assertEqual(self.server.delete(made[0]).status_code, 204)
        self.assertEqual(self.server.get(f'/analyses/{made[0]}/attention/2/1/tiles/3/0/0').status_code, 404)


class Precision(unittest.TestCase):
    """Products in bf16: another analysis, which says so and stays so; refused where the processor lacks them."""
    here = any(line.startswith('flags') and ' avx512_bf16' in line for line in open('/proc/cpuinfo'))

    def test_bf16(self):
        if not self.here:
            with self.assertRaisesRegex(AssertionError, 'AVX512_BF16'):
                Api('--precision', 'bf16').start()
            return
        text = 'precision: ' + TEXT
        with Api('--precision', 'bf16') as server:
            stream = events(server.post(text, NDJSON).content)
            self.assertEqual(stream[0]['engine']['precision'], 'bf16')
            error = stream[-1]['max_weight_error']
            print(f'bf16: weights within {error:.2g} of float32 on the fixed text')
            self.assertGreater(error, 1e-4)
            self.assertLess(error, 0.1)
            other = events(server.post('another ' + TEXT, NDJSON).content)[-1]
            self.assertEqual(other['max_weight_error'], error)  # of the model, measured once
            identity = stream[0]['id']
            document = server.get('/analyses/' + identity).json()
            self.assertEqual((document['engine']['precision'], document['max_weight_error']), ('bf16', error))
            where = f'/analyses/{identity}/attention/11/3.npy'
            half = server.npy(where)
            server.command = [c for c in server.command if c not in ('--precision', 'bf16')]
            server.restart()
            exact = server.post(text).json()
            self.assertNotEqual(exact['id'], identity)
            self.assertEqual(exact['engine']['precision'], 'float32')
            self.assertNotIn('max_weight_error', exact)
            self.assertEqual(server.get('/analyses/' + identity).json(), document)
            again, other = server.npy(where), server.npy(f'/analyses/{exact["id"]}/attention/11/3.npy')
            np.testing.assert_allclose(again, half, atol=1e-6)
            self.assertGreater(np.abs(other - half).max(), 1e-5)
            self.assertLess(np.abs(other - half).max(), 0.1)


class Restarts(unittest.TestCase):
    def test_replay_without_the_model(self):
        with Api() as server, tempfile.TemporaryDirectory() as empty:
            first = server.post(TEXT, NDJSON).content
            identity = events(first)[0]['id']
            at = f'/analyses/{identity}'
            table = server.get(at + '/heads.csv').content
            maps = ('/attention/0/0.npy', '/attention/0/0.npy?queries=0:3', '/attention/3.npy', '/attention/0/0/tiles/0/0/0', '/series/0/0.json')
            tags = {path: server.get(at + path).headers['ETag'] for path in maps}
            server.restart(models=empty)
            for path in maps:  # what the client holds need not be computed again
                self.assertEqual(server.get(at + path, headers={'If-None-Match': tags[path]}).status_code, 304, path)
                self.assertEqual(server.get(at + path, headers={'If-None-Match': '*'}).status_code, 409, path)
                nowhere = f'/analyses/{"0" * 64}{path}'
                self.assertEqual(server.get(nowhere, headers={'If-None-Match': tags[path].replace(identity, '0' * 64)}).status_code, 404)
            begin = time.time()
            again = server.get(at + '/stream').content
            print(f'a replay of {len(again)} bytes after a restart: {(time.time() - begin) * 1e3:.0f} ms')
            self.assertEqual(lines(again), lines(first))
            self.assertEqual(server.get(at + '/heads.csv').content, table)
            self.assertEqual(server.get(at).json()['state'], 'done')
            gone = server.get(at + '/attention/0/0.npy')
            self.assertEqual(gone.status_code, 409)
            self.assertIn('model', gone.json()['detail'])
            self.assertEqual(server.post(TEXT).status_code, 422)
            self.assertEqual(server.get('/models').json()['items'], [])
            # the same content under another name: noticed, and enough
            os.symlink(os.path.join(models_folder(), MODEL_FILE), os.path.join(empty, 'another-name.gguf'))
            self.assertEqual([m['id'] for m in server.get('/models').json()['items']], ['another-name'])
            self.assertEqual(server.npy(at + '/attention/0/0.npy').ndim, 2)

    def test_maps_after_a_restart(self):
        with Api() as server:
            identity = server.post(TEXT).json()['id']
            where = f'/analyses/{identity}/attention/9/1.npy'
            whole, got = server.npy(where), []
            server.restart()
            threads = [threading.Thread(target=lambda: got.append(server.npy(where))) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(len(got), 4)
            for a in got:
                np.testing.assert_allclose(a, whole, atol=2e-6)
            self.assertEqual(server.log().count(f'{identity[:12]}: '), 1)  # the model ran once for all of them

    def test_a_full_disk(self):
        small_files = ('bash', '-c', 'trap "" XFSZ; ulimit -f 300; exec "$0" "$@"')
        with Api(wrapper=small_files) as server:
            first = server.post(TEXT, NDJSON)
            self.assertEqual(events(first.content)[-1]['event'], 'done')
            identity = events(first.content)[0]['id']
            self.assertEqual(lines(server.get(f'/analyses/{identity}/stream').content), lines(first.content))
            self.assertEqual(server.post(TEXT, NDJSON).headers['Cache-Status'], 'headscope; hit')
            self.assertEqual(server.npy(f'/analyses/{identity}/attention/0/0.npy').ndim, 2)
            self.assertIn('not kept', server.log())

    def test_no_database(self):
        with tempfile.NamedTemporaryFile() as other:
            other.write(b'this belongs to somebody else' * 100)
            other.flush()
            with Api(cache=other.name) as server:
                identity = server.post(TEXT).json()['id']
                self.assertEqual(server.get(f'/analyses/{identity}').json()['state'], 'done')
                self.assertEqual([i['id'] for i in server.get('/analyses').json()['items']], [identity])
                self.assertEqual(server.delete(identity).status_code, 204)
                self.assertEqual(server.get(f'/analyses/{identity}').status_code, 404)

    def test_model_files_break_and_change(self):
        with open(os.path.join(models_folder(), MODEL_FILE), 'rb') as f:
            whole = f.read()
        with tempfile.TemporaryDirectory() as models, Api(models=models) as server:
            def put(name, data):
                with open(os.path.join(models, name + '.part'), 'wb') as f:
                    f.write(data)
                os.rename(os.path.join(models, name + '.part'), os.path.join(models, name))
            put('cut.gguf', whole[:1_000_000])
            items = server.get('/models').json()['items']
            self.assertEqual([m['id'] for m in items], ['cut'])
            self.assertTrue(items[0]['error'])
            self.assertEqual(server.post(TEXT, model='cut').status_code, 422)
            put('mine.gguf', whole)                            # appears while the server runs
            document = server.post(TEXT, model='mine').json()
            changed = bytearray(whole)
            changed[-1000] ^= 1                                 # in the last tensor
            put('mine.gguf', changed)                          # replaced while open
            self.assertNotEqual(server.post(TEXT, model='mine').json()['id'], document['id'])
            self.assertEqual(server.get(f'/analyses/{document["id"]}').json()['state'], 'done')
            os.truncate(os.path.join(models, 'mine.gguf'), 50_000_000)  # cut short while mapped
            refused = server.post('another ' + TEXT, model='mine')
            self.assertEqual(refused.status_code, 422, refused.text)
            self.assertEqual(server.get('/models').status_code, 200)

    def test_stopping_wakes_everyone(self):
        got = []
        with Api() as server:
            wait = threading.Thread(target=lambda: got.append(server.post(long_text(30))))
            wait.start()
            time.sleep(1)
            begin = time.time()
            server.stop()
            print(f'stopped within {time.time() - begin:.2f} s while a client was waiting')
            wait.join()
        self.assertEqual([a.status_code for a in got], [503])


def read_png(content):
    """Palette images without filters, which is all that is written: width, height, indices."""
    at, data = 8, b''
    while at < len(content):
        size, kind = struct.unpack('>I4s', content[at:at + 8])
        part = content[at + 8:at + 8 + size]
        if kind == b'IHDR':
            width, height, depth, colour = struct.unpack('>IIBB', part[:10])
            assert (depth, colour) == (8, 3)
        elif kind == b'IDAT':
            data += part
        at += size + 12
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return width, height, rows[:, 1:].astype(int)


if __name__ == '__main__':
    unittest.main(verbosity=2)
