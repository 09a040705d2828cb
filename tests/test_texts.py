"""Pairs of texts and chats, through the server and the command line, against what transformers makes of them (golden/pairs, golden/chat).

usage: test_texts.py [Class[.test]...]
"""
import base64, io, json, os, subprocess, tempfile, unittest

import numpy as np
import requests

from server_under_test import MODEL, MODEL_FILE, PROGRAM, SOURCE, Server, models_folder

GOLDEN = os.path.join(SOURCE, 'tests', 'golden')
MINILM = 'MiniLM-L6-v2'
TINY = ('bert', 'albert', 'electra', 'distilbert')
TOLERANCE = 2e-5


def golden(*path):
    with open(os.path.join(GOLDEN, *path), encoding='utf-8') as file:
        return json.load(file)


class TextsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='headscope-texts-')
        for name in (MINILM, MODEL_FILE):
            os.symlink(os.path.join(models_folder(), name), os.path.join(cls.folder.name, name))
        for family in TINY + ('gpt2',):
            os.mkdir(os.path.join(cls.folder.name, family))
            for file in ('zoo/' + family + '/config.json', 'zoo/' + family + '/model.safetensors', 'pairs/tokenizer.json'):
                if family != 'gpt2' or file.startswith('zoo'):
                    os.symlink(os.path.join(GOLDEN, file), os.path.join(cls.folder.name, family, os.path.basename(file)))
        cls.server = Server(models=cls.folder.name)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def post(self, path, **body):
        return requests.post(self.server.url + '/api/v1' + path, json=body, timeout=300)

    def get(self, path):
        return requests.get(self.server.url + '/api/v1' + path, timeout=300)

    def refused(self, answer, status, pointer, *words):
        self.assertEqual(answer.status_code, status, answer.text)
        problem = answer.json()
        self.assertEqual(problem['errors'][0]['pointer'], pointer)
        for word in words:
            self.assertIn(word, problem['detail'])

    def command(self, *arguments):
        environment = dict(self.server.environment, HEADSCOPE_CACHE=self.server.cache)
        return subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, timeout=120)


class Pairs(TextsTest):
    def check_tokens(self, tokens, facts):
        found = [[t['id'], t.get('type', 0), t['sequence'], t['start'], t['end']] for t in tokens]
        self.assertEqual(found, facts['tokens'])

    def check_model(self, model, name):
        """Tokens and maps; the largest difference."""
        facts = golden('pairs', name + '.json')
        texts = {key: facts[key] for key in ('text', 'text_pair')}
        self.check_tokens(self.post('/tokenize', model=model, **texts).json()['tokens'], facts)
        document = self.post('/analyses', model=model, **texts).json()
        self.assertEqual({key: document[key] for key in texts}, texts)
        self.check_tokens(document['tokens'], facts)
        n = len(facts['tokens'])
        maps = np.frombuffer(base64.b64decode(facts['maps']), '<f4').reshape(len(facts['layers']), facts['heads'], n, n)
        worst = 0
        for layer, expected in zip(facts['layers'], maps):
            answer = self.get(f"/analyses/{document['id']}/attention/{layer}.npy")
            worst = max(worst, np.abs(np.load(io.BytesIO(answer.content)) - expected).max())
        return worst

    def test_equals_transformers(self):
        for model, name in [*((family, family) for family in TINY), (MINILM.lower(), 'minilm')]:
            worst = self.check_model(model, name)
            print(f'pairs: {name}: largest difference {worst:.1e}')
            self.assertLess(worst, TOLERANCE, name)

    def test_types_change_the_maps(self):
        """One text of the same tokens is another analysis, with other maps."""
        pair = self.post('/analyses', model='bert', text='a cat', text_pair='a dog').json()
        one = self.post('/analyses', model='bert', text='a cat[SEP]a dog').json()
        self.assertEqual([t['id'] for t in pair['tokens']], [t['id'] for t in one['tokens']])
        self.assertFalse(any('type' in t for t in one['tokens']))
        self.assertNotEqual(pair['id'], one['id'])
        maps = [np.load(io.BytesIO(self.get(f"/analyses/{d['id']}/attention/0.npy").content)) for d in (pair, one)]
        self.assertGreater(np.abs(maps[0] - maps[1]).max(), 1e-3)

    def test_maps_come_back_when_the_state_has_gone(self):
        """What was stored knows the types of its tokens."""
        made = self.post('/analyses', model='electra', text='hello', text_pair='world').json()
        before = self.get(f"/analyses/{made['id']}/attention/1/2.npy").content
        self.server.stop()
        self.server.start()
        self.assertEqual(self.get(f"/analyses/{made['id']}/attention/1/2.npy").content, before)
        self.assertEqual(self.get('/analyses/' + made['id']).json()['tokens'], made['tokens'])

    def test_refusals(self):
        self.refused(self.post('/analyses', model=MODEL, text='a', text_pair='b'), 422, '/text_pair', 'bpe (smollm)')
        self.refused(self.post('/tokenize', model=MODEL, text='a', text_pair='b'), 422, '/text_pair', 'pair')
        self.refused(self.post('/analyses', model='bert', text_pair='b'), 400, '/text')
        self.refused(self.post('/analyses', model='gpt2', text='a'), 422, '/text', 'token_ids')
        models = {m['id']: m for m in self.get('/models').json()['items']}
        self.assertEqual({m: models[m]['pairs'] for m in ('bert', 'gpt2', MODEL, MINILM.lower())},
                         {'bert': True, 'gpt2': False, MODEL: False, MINILM.lower(): True})


if __name__ == '__main__':
    unittest.main(verbosity=2)
