"""Asks a server the questions across heads and across two texts, and holds every number against definitions in NumPy (float64) over the maps
that transformers computes (tests/golden/zoo). Prints the largest differences.

usage: test_across.py [Class[.test]...]
"""
import collections, io, json, os, struct, sys, tempfile, threading, unittest

import numpy as np
import requests

from server_under_test import MODEL, SOURCE, Server

FAMILIES = ('llama', 'mistral', 'gpt2', 'gpt_oss', 'bert')
WORST = collections.defaultdict(float)


def golden(family):
    """(ids, maps [layers, heads, N, N]) as transformers has them."""
    with open(os.path.join(SOURCE, 'tests', 'golden', 'zoo', family, 'expected.bin'), 'rb') as file:
        data = file.read()
    layers, heads, n = struct.unpack('<3i', data[:12])
    ids = np.frombuffer(data, '<i4', n, 12)
    return ids, np.frombuffer(data, '<f4', offset=12 + 4 * n).reshape(layers, heads, n, n).astype(float)


def causal(family):
    return family != 'bert'


def window(family, layer):
    with open(os.path.join(SOURCE, 'tests', 'golden', 'zoo', family, 'config.json'), encoding='utf-8') as file:
        config = json.load(file)
    if not config.get('sliding_window') or (config.get('layer_types') or ['sliding_attention'] * 99)[layer] != 'sliding_attention':
        return None
    return config['sliding_window']


def visible(family, layer, n):
    i, j = np.mgrid[:n, :n]
    sees = (j <= i) if causal(family) else np.ones((n, n), bool)
    return sees & (i - j < window(family, layer)) if window(family, layer) else sees


def near(name, got, want, tolerance):
    """None is NaN."""
    got, want = (np.array(x, float) for x in (got, want))
    assert got.shape == want.shape, (name, got.shape, want.shape)
    assert (np.isnan(got) == np.isnan(want)).all(), (name, got, want)
    difference = np.nan_to_num(np.abs(got - want)).max(initial=0)
    WORST[name] = max(WORST[name], difference)
    assert difference <= tolerance, (name, difference)


class Across(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.models = tempfile.TemporaryDirectory(prefix='headscope-test-')
        for family in FAMILIES:
            os.symlink(os.path.join(SOURCE, 'tests', 'golden', 'zoo', family), os.path.join(cls.models.name, family))
        cls.server = Server(models=cls.models.name)
        cls.server.__enter__()
        cls.ids, cls.maps, cls.id = {}, {}, {}
        for family in FAMILIES:
            cls.ids[family], cls.maps[family] = golden(family)
            cls.id[family] = cls.analyse(family, cls.ids[family].tolist())

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)
        cls.models.cleanup()

    @classmethod
    def analyse(cls, model, ids, **options):
        answer = requests.post(cls.server.url + '/api/v1/analyses', json={'model': model, 'token_ids': ids, **options}, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()['id']

    def ask(self, path, **kwargs):
        return requests.get(self.server.url + '/api/v1' + path, timeout=120, **kwargs)

    def json(self, path):
        answer = self.ask(path)
        self.assertEqual(answer.status_code, 200, answer.text)
        return answer.json()

    def npy(self, path):
        answer = self.ask(path)
        self.assertEqual(answer.status_code, 200, answer.text)
        return np.load(io.BytesIO(answer.content))

    def refused(self, answer, status, says):
        self.assertEqual((answer.status_code, answer.headers['Content-Type']), (status, 'application/problem+json'), answer.text)
        self.assertIn(says, answer.json()['detail'])


class Between(Across):
    def check(self, family, a, b, c, d):
        maps, n = self.maps[family], len(self.ids[family])
        answer = self.json(f'/analyses/{self.id[family]}/between?queries={a}:{b}&keys={c}:{d}')
        self.assertEqual((answer['queries'], answer['keys'], answer['by'], answer['offset_profile']), ([a, b], [c, d], 'weight', None))
        seen = {(i['layer'], i['head']): i for i in answer['items']}
        self.assertEqual(len(seen), maps.shape[0] * maps.shape[1])
        for (layer, head), item in seen.items():
            sees = visible(family, layer, n)
            rows = int(sees[a:b, c:d].any(1).sum())
            self.assertEqual(item['rows'], rows)
            near('between.weight', item['weight'], maps[layer, head, a:b, c:d].sum(1).mean() if rows else np.nan, 2e-5)
            near('between.uniform', item['uniform'], (sees[a:b, c:d].sum(1) / sees[a:b].sum(1)).mean() if rows else np.nan, 1e-8)
        weights = [i['weight'] for i in answer['items']]
        known = [w for w in weights if w is not None]
        self.assertEqual(weights, sorted(known, reverse=True) + [None] * (len(weights) - len(known)))

    def test_weights_and_baselines(self):
        for family in FAMILIES:
            n = len(self.ids[family])
            for cut in ((0, n, 0, n), (n - 1, n, 3, 4), (5, 20, 0, 9), (0, 9, 5, 20), (2, 3, 7, 30), (30, 40, 1, 18)):
                with self.subTest(family=family, cut=cut):
                    self.check(family, *cut)

    def test_order_by_lift(self):
        items = self.json(f'/analyses/{self.id["llama"]}/between?queries=20:40&keys=5:9&by=lift')['items']
        lifts = [i['weight'] - i['uniform'] for i in items]
        self.assertTrue(all(x >= y - 1e-12 for x, y in zip(lifts, lifts[1:])))

    def test_refusals(self):
        at = f'/analyses/{self.id["llama"]}/between'
        self.refused(self.ask(at + '?queries=5:5&keys=0:1'), 422, 'queries')
        self.refused(self.ask(at + '?queries=-1:5'), 400, 'queries')
        self.refused(self.ask(at + '?keys=100:200'), 422, 'keys')
        self.refused(self.ask(at + '?by=size'), 400, 'by must be')
        self.refused(self.ask(at + '?layer=1'), 400, 'layer')
        self.refused(self.ask('/analyses/' + '0' * 64 + '/between'), 404, 'no analysis')


class Dilution(Across):
    def test_means_of_bins(self):
        for family in FAMILIES:
            maps, n, first = self.maps[family], len(self.ids[family]), int(causal(family))
            answer = self.json(f'/analyses/{self.id[family]}/dilution.json')
            bins = answer['bins']
            self.assertEqual([b['from'] for b in bins] + [n], [first] + [b['to'] for b in bins])
            self.assertLessEqual(len(bins), 40)
            i, j = np.mgrid[:n, :n]
            for item in answer['items']:
                a = maps[item['layer'], item['head']]
                entropy = -np.where(a > 0, a * np.log(np.maximum(a, 1e-300)), 0).sum(1)
                for name, rows, tolerance in (('entropy', entropy, 1e-4), ('sink_mass', a[:, 0], 2e-5),
                                              ('local_mass', (a * (abs(i - j) <= 16)).sum(1), 2e-5)):
                    near('dilution.' + name, item[name], [rows[b['from']:b['to']].mean() for b in bins], tolerance)

    def test_tag(self):
        identity = self.id['bert']
        again = self.ask(f'/analyses/{identity}/dilution.json')
        self.assertEqual(self.ask(f'/analyses/{identity}/dilution.json', headers={'If-None-Match': again.headers['ETag']}).status_code, 304)


def sample(first, count, most):
    """reading_sample of single places."""
    return np.arange(first, first + count) if count <= most else first + np.arange(most) * (count - 1) // (most - 1)


class Similarity(Across):
    def test_jensen_shannon(self):
        for family in FAMILIES:
            maps, n = self.maps[family], len(self.ids[family])
            got = self.npy(f'/analyses/{self.id[family]}/similarity.npy?by=js')
            a = maps.reshape(-1, n, n).copy()
            a[:, :, 0] = 0
            places = sample(int(causal(family)), n - int(causal(family)), 32)
            want, count = np.zeros((len(a), len(a))), np.zeros((len(a), len(a)))
            for i in places:
                outside = a[:, i].sum(1)
                p = np.where(outside[:, None] >= 1e-6, a[:, i] / np.maximum(outside, 1e-30)[:, None], np.nan)
                with np.errstate(divide='ignore', invalid='ignore'):
                    m = (p[:, None] + p[None]) / 2
                    kl = lambda x: np.where(x > 0, x * np.log2(x / m), 0).sum(-1)
                    d = np.sqrt(np.maximum((kl(np.broadcast_to(p[:, None], m.shape)) + kl(np.broadcast_to(p[None], m.shape))) / 2, 0))
                fine = (outside >= 1e-6)[:, None] & (outside >= 1e-6)[None]
                want += np.where(fine, d, 0)
                count += fine
            with np.errstate(invalid='ignore'):
                want /= count
            np.fill_diagonal(want, 0)
            self.assertTrue((got == got.T).all())
            near('similarity.js', got, want, 2e-4)

    def test_cka(self):
        """The golden matrices are of X = (input of the output projection, a head's columns) W_O, made by make_cka.py."""
        with open(os.path.join(SOURCE, 'tests', 'golden', 'cka.json'), encoding='utf-8') as file:
            wanted = json.load(file)
        for family in FAMILIES:
            got = self.npy(f'/analyses/{self.id[family]}/similarity.npy?by=cka')
            self.assertTrue((got == got.T).all())
            near('similarity.cka', got, wanted[family], 1e-4)

    def test_clusters_and_plane(self):
        for family in FAMILIES:
            for by in ('js', 'cka'):
                matrix = self.npy(f'/analyses/{self.id[family]}/similarity.npy?by={by}').astype(float)
                answer = self.json(f'/analyses/{self.id[family]}/similarity.json?by={by}')
                distance = np.where(np.isnan(matrix), 1, matrix if by == 'js' else 1 - matrix)
                np.fill_diagonal(distance, 0)
                self.assertEqual((answer['by'], answer['method'], answer['cut']), (by, 'average linkage', 0.3))
                self.check_clusters(distance, answer)
                self.check_plane(distance, answer)

    def check_clusters(self, distance, answer):
        groups = [[i] for i in range(len(distance))]
        while len(groups) > 1:  # the definition, without any cleverness
            d, x, y = min((distance[np.ix_(p, q)].mean(), x, y) for x, p in enumerate(groups) for y, q in enumerate(groups) if x < y)
            if d >= 0.3:
                break
            groups[x] += groups.pop(y)
        self.assertEqual(answer['cluster_count'], len(groups))
        got = collections.defaultdict(list)
        for head, cluster in enumerate(answer['clusters']):
            got[cluster].append(head)
        self.assertEqual(sorted(got.values()), sorted(sorted(g) for g in groups))
        sizes = [len(got[c]) for c in range(len(groups))]
        self.assertEqual(sizes, sorted(sizes, reverse=True))

    def check_plane(self, distance, answer):
        n = len(distance)
        j = np.eye(n) - 1 / n
        values, vectors = np.linalg.eigh(-j @ (distance ** 2) @ j / 2)
        want = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))
        got = np.array(answer['embedding'])
        pairs = lambda x: np.linalg.norm(x[:, None] - x[None], axis=-1)
        near('similarity.embedding', pairs(got), pairs(want), 1e-6)
        upper = np.triu_indices(n, 1)
        near('similarity.stress', answer['stress'], np.sqrt(((distance - pairs(want))[upper] ** 2).sum() / (distance[upper] ** 2).sum()), 1e-6)
        near('similarity.explained', answer['explained'], values[:-3:-1].sum() / values[values > 0].sum(), 1e-6)

    def test_refusals_and_tags(self):
        at = f'/analyses/{self.id["llama"]}/similarity'
        self.refused(self.ask(at + '.npy?by=size'), 400, 'by must be')
        self.refused(self.ask(at + '.json?cut=1'), 400, 'cut')
        self.refused(self.ask('/analyses/' + '1' * 64 + '/similarity.npy'), 404, 'no analysis')
        tag = self.ask(at + '.npy?by=js').headers['ETag']
        self.assertEqual(self.ask(at + '.npy?by=js', headers={'If-None-Match': tag}).status_code, 304)
        self.assertNotEqual(self.ask(at + '.npy?by=cka').headers['ETag'], tag)


def longest_common(a, b):
    best = np.zeros((len(a) + 1, len(b) + 1), int)
    for i in range(len(a)):
        for j in range(len(b)):
            best[i + 1, j + 1] = best[i, j] + 1 if a[i] == b[j] else max(best[i, j + 1], best[i + 1, j])
    return best[-1, -1]


class Compare(Across):
    def two(self, family):
        """A text, and one with pieces left out, put in and moved: (id, id, ids, ids)."""
        a = self.ids[family].tolist()
        b = a[:5] + a[8:15] + [a[2], a[30]] + a[15:22] + a[25:38] + [7, 9, a[3]] + a[22:25]
        return self.id[family], self.analyse(family, b), a, b

    def map_of(self, identity, layer, head):
        return self.npy(f'/analyses/{identity}/attention/{layer}/{head}.npy').astype(float)

    def check_pairs(self, pairs, a, b):
        for (i, j), (k, l) in zip(pairs, pairs[1:]):
            self.assertTrue(i < k and j < l)
        self.assertTrue(all(a[i] == b[j] for i, j in pairs))
        self.assertEqual(len(pairs), longest_common(a, b))

    def test_change(self):
        for family in FAMILIES:
            first, second, a, b = self.two(family)
            answer = self.json(f'/compare?a={first}&b={second}')
            self.assertEqual((answer['a'], answer['b']), (first, second))
            pairs = answer['aligned']
            self.check_pairs(pairs, a, b)
            i, j = np.array(pairs).T
            rows = [k for k in range(len(pairs)) if not causal(family) or (i[k] > 0 and j[k] > 0)]
            self.assertEqual(answer['rows'], len(rows))
            keys = [k for k in range(len(pairs)) if i[k] > 0 and j[k] > 0]
            self.assertEqual(len(answer['items']), self.maps[family].shape[0] * self.maps[family].shape[1])
            for item in answer['items']:
                x = self.maps[family][item['layer'], item['head']]
                y = self.map_of(second, item['layer'], item['head'])
                kept = x[np.ix_(i[rows], i[keys])], y[np.ix_(j[rows], j[keys])]
                rest = [1 - k.sum(1) for k in kept]
                near('compare.change', item['change'], ((abs(kept[1] - kept[0]).sum(1) + abs(rest[1] - rest[0])) / 2).mean(), 2e-5)
            changes = [item['change'] for item in answer['items']]
            self.assertEqual(changes, sorted(changes, reverse=True))

    def test_the_same_text_has_not_changed(self):
        answer = self.json(f'/compare?a={self.id["bert"]}&b={self.id["bert"]}')
        self.assertEqual(answer['aligned'], [[k, k] for k in range(40)])
        self.assertTrue(all(item['change'] == 0 for item in answer['items']))

    def test_difference_maps_and_tiles(self):
        for family in ('llama', 'bert'):
            first, second, a, b = self.two(family)
            query = f'?a={first}&b={second}'
            i, j = np.array(self.json('/compare' + query)['aligned']).T
            want = self.map_of(second, 1, 2)[np.ix_(j, j)] - self.map_of(first, 1, 2)[np.ix_(i, i)]
            near('compare.difference', self.npy(f'/compare/1/2.npy{query}'), want, 1e-6)
            near('compare.difference', self.npy(f'/compare/1/2.npy{query}&queries=3:9&keys=:5'), want[3:9, :5], 1e-6)
            for zoom in range(int(np.ceil(np.log2(len(i)))) + 1):
                side = -(-len(i) // 2 ** zoom)
                answer = self.ask(f'/compare/1/2/tiles/{zoom}/0/0{query}')
                self.assertEqual(answer.status_code, 200, answer.text)
                tile = np.frombuffer(answer.content, np.uint8).reshape(side, side).astype(int)
                for y in range(side):
                    for x in range(side):
                        cell = want[y << zoom:(y + 1) << zoom, x << zoom:(x + 1) << zoom].ravel()
                        d = cell[abs(cell).argmax()]
                        sizes = sorted({abs(v) for v in cell})[-2:]
                        if len(sizes) == 2 and sizes[1] - sizes[0] < 1e-6:
                            continue  # two of a size: either sign is right
                        self.assertLessEqual(abs(tile[y, x] - (128 + np.sign(d) * np.rint(127 * np.sqrt(abs(d))))), 1)
            self.refused(self.ask(f'/compare/1/2/tiles/9/0/0{query}'), 404, 'no tile')
            self.refused(self.ask(f'/compare/1/9.npy{query}'), 404, 'head 1.9')
            self.refused(self.ask(f'/compare/1/1.npy{query}&queries=900:'), 422, 'queries')

    def test_long_texts_that_share_little(self):
        rng = np.random.default_rng(5)
        a, b = rng.integers(5, 12, 200).tolist(), rng.integers(5, 12, 230).tolist()
        first, second = self.analyse('llama', a), self.analyse('llama', b)
        self.check_pairs(self.json(f'/compare?a={first}&b={second}')['aligned'], a, b)

    def test_refusals(self):
        one, other = self.id['llama'], self.id['mistral']
        self.refused(self.ask('/compare'), 400, 'two analyses')
        self.refused(self.ask(f'/compare?a={one}'), 400, 'two analyses')
        self.refused(self.ask(f'/compare?a={one}&b={other}'), 422, 'two models')
        self.refused(self.ask(f'/compare?a={one}&b={"2" * 64}'), 404, 'no analysis')
        self.refused(self.ask(f'/compare?a={one}&b={one}&c=1'), 400, "'c'")
        self.refused(self.ask(f'/compare?a={self.analyse("llama", [5, 6])}&b={self.analyse("llama", [7, 8])}'), 422, 'nothing to compare')


class Gone(Across):
    """What was stored is asked about after a restart: the model runs again; without it the answer is 409."""

    def test_after_a_restart_with_and_without_the_model(self):
        one, ids = self.id['llama'], self.ids['llama'].tolist()
        other = self.analyse('llama', ids[3:] + [9, 9])
        paths = [f'/analyses/{one}/between?queries=30:40&keys=2:9', f'/analyses/{one}/dilution.json', f'/analyses/{one}/similarity.npy?by=js',
                 f'/analyses/{one}/similarity.json?by=cka', f'/compare?a={one}&b={other}', f'/compare/1/2.npy?a={one}&b={other}',
                 f'/compare/1/2/tiles/0/0/0?a={one}&b={other}']
        before = [self.ask(path).content for path in paths]
        self.server.stop()
        self.server.start()
        for path, content in zip(paths, before):
            answer = self.ask(path)
            self.assertEqual((answer.status_code, answer.content), (200, content), path)
        self.server.stop()
        os.unlink(os.path.join(self.models.name, 'llama'))
        try:
            self.server.start()
            for path in paths:
                self.refused(self.ask(path), 409, 'model')
        finally:
            os.symlink(os.path.join(SOURCE, 'tests', 'golden', 'zoo', 'llama'), os.path.join(self.models.name, 'llama'))

    def test_many_at_once(self):
        """Long questions, their repetition and a deletion at the same time: each is answered, or refused in order."""
        paths = [f'/analyses/{self.id[f]}/{what}' for f in ('mistral', 'bert', 'gpt2') for what in
                 ('similarity.npy?by=js', 'similarity.json?by=js', 'similarity.npy?by=cka', 'between', 'dilution.json')]
        want, got = {p: self.ask(p).content for p in paths}, []
        threads = [threading.Thread(target=lambda p=p: got.append((p, self.ask(p)))) for p in paths * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(got), len(paths) * 3)
        for path, answer in got:
            self.assertEqual((answer.status_code, answer.content), (200, want[path]), path)


class Shares(Across):
    def post(self, body):
        return requests.post(self.server.url + '/api/v1/shares', json=body, timeout=60)

    def remove(self, path):
        return requests.delete(self.server.url + '/api/v1' + path, timeout=60)

    def test_given_away_kept_and_taken_back(self):
        views = ['layer=5&head=1&query=17', {'layer': 5, 'sinks': 'hidden', 'é': '\U0001f642'}, None]
        made = []
        for view in views:
            answer = self.post({'analysis': self.id['llama'], 'view': view})
            self.assertEqual(answer.status_code, 201, answer.text)
            share = answer.json()['share']
            self.assertRegex(share, '^[0-9a-f]{32}$')
            self.assertEqual((answer.json()['url'], answer.headers['Location']), (f'/s/{share}', f'/api/v1/shares/{share}'))
            made.append(share)
        self.assertEqual(len(set(made)), 3)
        self.assertIn(b'<html', requests.get(f'{self.server.url}/s/{made[0]}', timeout=60).content)
        self.server.stop()
        self.server.start()
        for share, view in zip(made, views):
            self.assertEqual(self.json(f'/shares/{share}'), {'analysis': self.id['llama'], 'view': view})
        self.assertEqual(self.remove(f'/shares/{made[0]}').status_code, 204)
        self.refused(self.ask(f'/shares/{made[0]}'), 404, 'no such share')
        self.refused(self.remove(f'/shares/{made[0]}'), 404, 'no such share')
        self.assertEqual(self.json(f'/shares/{made[1]}')['analysis'], self.id['llama'])

    def test_a_share_ends_with_its_analysis(self):
        identity = self.analyse('llama', [5, 6, 7, 8])
        share = self.post({'analysis': identity}).json()['share']
        self.assertIsNone(self.json(f'/shares/{share}')['view'])
        self.assertEqual(self.remove(f'/analyses/{identity}').status_code, 204)
        self.refused(self.ask(f'/shares/{share}'), 404, 'no such share')

    def test_refusals(self):
        self.refused(self.post({'analysis': '3' * 64}), 404, 'no analysis')
        self.refused(self.post({'analysis': "' OR 1=1"}), 404, 'no analysis')
        self.refused(self.post({}), 400, 'analysis')
        self.refused(self.post({'analysis': 7}), 400, 'analysis')
        self.refused(self.post({'analysis': self.id['llama'], 'note': 1}), 400, 'note')
        self.refused(self.post({'analysis': self.id['llama'], 'view': 'x' * 4095}), 413, '4096')
        self.refused(self.post({'analysis': self.analyse('llama', [5, 6, 9], store=False)}), 422, 'not stored')
        for share in ('0' * 32, 'F' * 32, "' OR 1=1 --", '%00'):
            self.assertIn(self.ask('/shares/' + share).status_code, (400, 404))


def sentence(words, first=1):
    """Lines of CoNLL-U for [(form, head, relation)]."""
    return ''.join(f'{k}\t{form}\t_\t_\t_\t_\t{head}\t{relation}\t_\t_\n' for k, (form, head, relation) in enumerate(words, first)) + '\n'


NOUNS = ('cat', 'dog', 'unbelievability', 'king', 'queen', 'programmer', 'tree', 'house')
VERBS = ('saw', 'liked', 'remembered')


def sentences():
    """60 sentences: (text, CoNLL-U, [[(form, head, relation)]])."""
    rng, text, conllu, all_words = np.random.default_rng(3), '', '', []
    for k in range(60):
        a, b = rng.choice(NOUNS, 2)
        words = [('The', 2, 'det'), (a, 3, 'nsubj'), (rng.choice(VERBS), 0, 'root')]
        if k % 3 == 0:
            words += [('the', 6, 'det'), ('big', 6, 'amod')]
        words += [(b, 3, 'obj'), ('.', 3, 'punct')]
        text += ' '.join(w for w, _, _ in words[:-1]) + '. '
        conllu += f'# sentence {k}\n' + sentence(words)
        all_words.append(words)
    return text, conllu, all_words


class Syntax(unittest.TestCase):
    """With a model that has a tokenizer. Its maps are held against transformers elsewhere."""
    refused = Across.refused

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.__enter__()
        cls.text, cls.conllu, cls.words = sentences()
        cls.document = requests.post(cls.server.url + '/api/v1/analyses', json={'model': MODEL, 'text': cls.text}, timeout=200).json()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def post(self, conllu, identity=None):
        return requests.post(f'{self.server.url}/api/v1/analyses/{identity or self.document["id"]}/syntax', json={'conllu': conllu}, timeout=200)

    def tokens_of_words(self):
        """For each sentence the tokens of each word, by looking at every pair of ranges."""
        at, out = 0, []
        for words in self.words:
            out.append([])
            for form, _, _ in words:
                begin = self.text.index(form, at)
                at = begin + len(form)
                out[-1].append([t for t, token in enumerate(self.document['tokens']) if token['start'] < at and token['end'] > begin])
        return out

    def cases(self):
        """{(relation, direction): [(sentence, word, right answers that are seen)]} of a causal model."""
        found = collections.defaultdict(list)
        for s, words in enumerate(self.words):
            for w, (_, head, relation) in enumerate(words):
                if head and head - 1 < w:
                    found[relation, 'to_head'].append((s, w, {head - 1}))
                for r in sorted({r for u, (_, h, r) in enumerate(words[:w]) if h == w + 1}):
                    found[r, 'to_dependent'].append((s, w, {u for u, (_, h, q) in enumerate(words[:w]) if h == w + 1 and q == r}))
        return found

    def test_accuracy_and_offsets(self):
        answer = self.post(self.conllu)
        self.assertEqual(answer.status_code, 200, answer.text)
        answer = answer.json()
        tokens, cases = self.tokens_of_words(), self.cases()
        self.assertTrue(any(len(t) > 1 for s in tokens for t in s))
        self.assertEqual((answer['words'], answer['sentences']), (sum(map(len, self.words)), 60))
        relations = {(r['relation'], r['direction']): r for r in answer['relations']}
        self.assertEqual(set(relations), set(cases))
        for name, wanted in cases.items():
            self.assertEqual(relations[name]['cases'], len(wanted))
            rates = {k: np.mean([w + k in right for _, w, right in wanted]) for k in range(-8, 0)}
            near('syntax.baseline', relations[name]['baseline']['accuracy'], max(rates.values()), 1e-8)
            near('syntax.baseline', rates[relations[name]['baseline']['offset']], max(rates.values()), 1e-8)
        for layer, head in ((0, 0), (2, 7), (5, 3), (11, 8), (29, 1)):
            a = np.load(io.BytesIO(requests.get(f'{self.server.url}/api/v1/analyses/{self.document["id"]}/attention/{layer}/{head}.npy').content))
            weights = [np.array([[a[np.ix_(x, y)].astype(float).sum(1).mean() for y in s] for x in s]) for s in tokens]
            for name, wanted in cases.items():
                right = sum(int(weights[s][w][:w].argmax()) in answers for s, w, answers in wanted)
                near('syntax.accuracy', relations[name]['accuracy'][layer * 9 + head], right / len(wanted), 1e-8)
        for name, relation in relations.items():
            self.assertEqual(relation['best']['accuracy'], max(relation['accuracy']))
        wanted = {(*name, k // 9, k % 9) for name, r in relations.items() for k in range(270)
                  if r['cases'] >= 100 and r['accuracy'][k] - r['baseline']['accuracy'] >= 0.1}
        self.assertEqual({(t['relation'], t['direction'], t['layer'], t['head']) for t in answer['types']}, wanted)

    def test_multiword_tokens_empty_nodes_and_subtypes(self):
        made = requests.post(self.server.url + '/api/v1/analyses', json={'model': MODEL, 'text': "I don't\u00a0see du vin."}, timeout=200).json()
        rows = [('1', 'I', 4, 'nsubj:pass'), ('2-3', "don't", '_', '_'), ('2', 'do', 4, 'aux'), ('3', "n't", 4, 'advmod'), ('3.1', 'x', '_', '_'),
                ('4', 'see', 0, 'root'), ('5-6', 'du', '_', '_'), ('5', 'de', 7, 'case'), ('6', 'le', 7, 'det'), ('7', 'vin', 4, 'obj'),
                ('8', '.', 4, 'punct')]
        conllu = '\r\n'.join(f'{k}\t{form}\t_\t_\t_\t_\t{head}\t{relation}\t_\t_' for k, form, head, relation in rows)
        answer = self.post(conllu, made['id'])
        self.assertEqual(answer.status_code, 200, answer.text)
        self.assertEqual(answer.json()['words'], 8)
        self.assertIn('nsubj', [r['relation'] for r in answer.json()['relations']])

    def test_refusals(self):
        row = '1\tThe\t_\t_\t_\t_\t0\troot\t_\t_'
        for conllu, says in (('', 'no words'), ('# only words about it', 'no words'), (row.replace('The', 'A'), "line 1: the text does not go on with 'A'"),
                             ('1\tThe\t_', 'ten columns'), (row + '\tx', 'ten columns'), (row.replace('1', '2'), 'numbered 2'),
                             (row.replace('0', '5'), 'head 5'), (row.replace('0', 'x'), 'column 7'), (row.replace('root', ':x'), 'column 8'),
                             (row.replace('The', ''), 'column 2'), (row.replace('1', '1-2'), 'missing'), (row.replace('1', '-'), 'number'),
                             (row.replace('root', 'r' * 33), 'column 8'), ('1-1\tThe' + 8 * '\t_', 'multiword')):
            with self.subTest(conllu=conllu):
                self.refused(self.post(conllu), 422, says)
        self.refused(self.post('a\0b'), 422, 'U+0000')
        self.refused(self.post(7), 400, 'conllu')
        self.refused(self.post(row, '4' * 64), 404, 'no analysis')
        made = requests.post(self.server.url + '/api/v1/analyses', json={'model': MODEL, 'token_ids': [504, 2644]}, timeout=200).json()
        self.refused(self.post(row, made['id']), 422, 'no text')


if __name__ == '__main__':
    result = unittest.main(verbosity=2, exit=False).result
    for name in sorted(WORST):
        print(f'{name}: largest difference {WORST[name]:.2g}')
    sys.exit(not result.wasSuccessful())
