#!/usr/bin/python3
"""Probes in the background and by hand: what they find is served and kept, a text that comes meanwhile goes first, and a program
that is started again goes on where the last one stopped."""
import os
import subprocess
import tempfile
import time
import unittest

import requests

from server_under_test import MODEL, PROGRAM, SOURCE, Server

ZOO = os.path.join(SOURCE, "tests", "golden", "zoo")
NAMES = ["repeat", "random", "natural", "length", "same"]


def atlas(server, model):
    answer = requests.get(f"{server.url}/api/v1/models/{model}/heads")
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_for(what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)
    return found


class Background(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="headscope-probes-")
        self.addCleanup(folder.cleanup)
        self.models, self.cache = os.path.join(folder.name, "models"), os.path.join(folder.name, "a.db")
        os.mkdir(self.models)
        os.symlink(os.path.join(ZOO, "llama"), os.path.join(self.models, "llama"))

    def test_found_kept_and_served(self):
        with Server("--probes", "on", models=self.models, cache=self.cache) as server:
            before = atlas(server, "llama")
            self.assertEqual([probe["name"] for probe in before["probes"]], NAMES)
            self.assertEqual(requests.post(f"{server.url}/api/v1/analyses", json={"model": "llama", "token_ids": list(range(5, 45))}).status_code, 200)
            after = wait_for(lambda: (found := atlas(server, "llama"))["probes"] and
                             all(probe["state"] in ("done", "impossible") for probe in found["probes"]) and found)
        state = {probe["name"]: probe for probe in after["probes"]}
        self.assertEqual({name for name in NAMES if state[name]["state"] == "done"}, {"repeat", "random", "same"})
        self.assertTrue(all(state[name]["reason"] for name in ("natural", "length")), "a model without a tokenizer reads no text")
        scores = {(head["layer"], head["head"]): head["scores"] for head in after["heads"]}
        self.assertTrue(all(0 <= s["repeat.induction"] <= 1 and -1 <= s.get("random.copying", 0) <= 1 for s in scores.values()))
        with Server("--probes", "off", models=self.models, cache=self.cache) as server:
            again = atlas(server, "llama")
        self.assertEqual(again["heads"], after["heads"], "kept, to the last digit")
        by_hand = subprocess.run([PROGRAM, "probe", "--model", "llama", "--cache", self.cache + "2", "--stores", "off"], capture_output=True, text=True,
                                 env={**os.environ, "HEADSCOPE_MODELS": self.models}, timeout=300)
        self.assertEqual(by_hand.returncode, 0, by_hand.stderr)
        with Server("--probes", "off", models=self.models, cache=self.cache + "2") as server:
            self.assertEqual(atlas(server, "llama")["heads"], after["heads"], "the command finds the same")

    def test_unknown_model(self):
        with Server(models=self.models) as server:
            self.assertIn(requests.get(f"{server.url}/api/v1/models/nope/heads").status_code, (404, 422))


class InTheWay(unittest.TestCase):
    def test_a_text_goes_first(self):
        """SmolLM2's probes take a minute: a text that comes while they run is done long before them, and they go on."""
        with Server("--probes", "on") as server:
            body = {"model": MODEL, "text": "The cat sat on the mat.", "store": False}
            self.assertEqual(requests.post(f"{server.url}/api/v1/analyses", json=body).status_code, 200)
            wait_for(lambda: atlas(server, MODEL)["progress"]["running"])
            body["text"] = "The dog lay on the rug, and the cat lay on the mat."
            self.assertEqual(requests.post(f"{server.url}/api/v1/analyses", json=body).status_code, 200)
            progress = atlas(server, MODEL)["progress"]
            self.assertLess(progress["done"], progress["total"], "the text did not wait for the probes")
            wait_for(lambda: atlas(server, MODEL)["progress"]["running"])  # and the program ends in the middle of one


if __name__ == "__main__":
    unittest.main(verbosity=2)
