"""Computes every number of docs/guide.md anew: the tables of statistics, the weights from here to there, and those in the running text."""
import io
import os
import re
import sys

import numpy as np
import requests

from server_under_test import MODEL, SOURCE, Server

with open(os.path.join(SOURCE, "docs", "guide.md"), encoding="utf-8") as file:
    GUIDE = file.read()
TEXT = re.search(r"^> (.*)$", GUIDE, re.M)[1]
STATISTIC = re.compile(r"^\| (\d+)\.(\d+) \| (\w+) \| ([\d.]+) \|$", re.M)
BETWEEN = re.compile(r"^\| (\d+:\d+) \| (\d+:\d+) \| (\d+)\.(\d+) \| ([\d.]+) \|$", re.M)
HALF_A_DIGIT = 0.0052  # the last digit, and the rounding of another processor's sums
WORDS = ("because", "understands", "explains")


def rarest_rate(server, identity, ids, with_sink):
    """For each head, in how many rows the largest weight is on the token of the largest id in sight."""
    rarest = np.array([np.argmax(ids[:i + 1]) for i in range(len(ids))])
    rates = {}
    for layer in range(30):
        answer = requests.get(f"{server.url}/api/v1/analyses/{identity}/attention/{layer}.npy", timeout=60)
        maps = np.load(io.BytesIO(answer.content)).copy()
        if not with_sink:
            maps[:, :, 0] = 0
        for head, rate in enumerate((maps[:, 1:].argmax(2) == rarest[1:]).mean(1)):
            rates[layer, head] = rate
    return rates


def main():
    wrong, worst, checked = [f"the guide says '{word}'" for word in WORDS if word in GUIDE.lower()], 0, 0
    with Server() as server:
        document = requests.post(server.url + "/api/v1/analyses", json={"model": MODEL, "text": TEXT}, timeout=300).json()
        stats = {(layer["layer"], head["head"]): head["stats"] for layer in document["layers"] for head in layer["heads"]}

        def hold(what, said, measured):
            nonlocal worst, checked
            checked += 1
            worst = max(worst, abs(said - measured))
            if abs(said - measured) > HALF_A_DIGIT:
                wrong.append(f"{what}: the guide says {said}, measured {measured:.4f}")

        for layer, head, name, said in STATISTIC.findall(GUIDE):
            hold(f"{layer}.{head} {name}", float(said), stats[int(layer), int(head)][name])
        answers = {}
        for queries, keys, layer, head, said in BETWEEN.findall(GUIDE):
            address = f"/api/v1/analyses/{document['id']}/between?queries={queries}&keys={keys}"
            if address not in answers:
                items = requests.get(server.url + address, timeout=60).json()["items"]
                answers[address] = {(item["layer"], item["head"]): item["weight"] for item in items}
            hold(f"{layer}.{head} from {queries} to {keys}", float(said), answers[address][int(layer), int(head)])
        boys = f"/api/v1/analyses/{document['id']}/between?queries=99:100&keys=96:97"
        hold("boys", 0.24, max(answers[boys].values()))
        hold("heads that rest", 90, sum(s["sink_mass"] >= 0.5 for s in stats.values()))
        hold("tokens", 102, document["n_tokens"])
        hold("14.3 duplicate_mass", 0.43, stats[14, 3]["duplicate_mass"])
        ids = [token["id"] for token in document["tokens"]]
        for said, with_sink in ((0.64, False), (0.10, True)):
            rates = rarest_rate(server, document["id"], ids, with_sink)
            hold(f"28.0 rarest, {with_sink}", said, rates[28, 0])
            if max(rates.values()) != rates[28, 0]:
                wrong.append("another head looks at the rarest token more often")
        hold("chance of the rarest", 0.04, np.mean([1 / (i + 1) for i in range(1, len(ids))]))
    print("\n".join(wrong) if wrong else f"guide.md: {checked} numbers hold, the largest difference is {worst:.4f}")
    return 1 if wrong or checked < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
