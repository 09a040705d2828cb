#!/usr/bin/python3
"""Every family's tiny model over HTTP, by token ids, and models of other shapes: the maps of all sections against transformers', and the
table of differences. Token types come with pairs of texts only: models whose maps need them are left to check_zoo.c."""
import io
import os

import numpy as np
import requests

from server_under_test import SOURCE, Server

GOLDEN = os.path.join(SOURCE, "tests", "golden")
TOLERANCE = 2e-5


def maps_of(zoo, family, name):
    """(ids, maps) of a file that make_zoo.py wrote; ids None of cross-attention."""
    data = open(os.path.join(zoo, family, name), "rb").read()
    if name == "cross.bin":
        return None, np.frombuffer(data, "<f4", offset=16).reshape(np.frombuffer(data, "<i4", 4))
    layers, heads, n = np.frombuffer(data, "<i4", 3)
    return np.frombuffer(data, "<i4", n, 12).tolist(), np.frombuffer(data, "<f4", offset=12 + 4 * n).reshape(layers, heads, n, n)


def check_missing(url, family, at, rows, maps):
    """Rows of gpt_oss sum to less than 1, and the numbers of its heads, alone, say by how much."""
    table = requests.get(f"{url}/api/v1/analyses/{at}/heads.csv").text.splitlines()
    assert ("missing_mass" in table[0].split(",")) == (family == "gpt_oss"), f"{family}: {table[0]}"
    for row in rows:
        assert ("missing_mass" in row) == (family == "gpt_oss"), f"{family}: {row}"
        if family == "gpt_oss":
            want = 1 - maps[row["layer"], row["head"]].astype(float).sum(axis=1)[1:].mean()
            assert abs(row["missing_mass"] - want) < 1e-5 and want > 0.01, f"{row}, not {want}"


def distances(maps, first):
    """[heads, heads] mean over queries of the Jensen-Shannon distance between two heads' rows."""
    rows = maps.reshape(-1, *maps.shape[2:])[:, first:].astype(float)
    rows /= rows.sum(axis=-1, keepdims=True)
    middle = (rows[:, None] + rows[None]) / 2
    parts = [a * np.log(np.where(a > 0, a / np.where(middle > 0, middle, 1), 1)) for a in (rows[:, None], rows[None])]
    return np.sqrt(np.maximum(sum(part.sum(axis=-1) for part in parts) / 2 / np.log(2), 0)).mean(axis=-1)


def check_sections(url, family, at, maps):
    """What compares heads keeps to the section that is asked for; what knows one section only says so."""
    for section, first in (("encoder", 0), ("decoder", 1), ("cross", 0), ("encoder", 0)):
        query = {"by": "js", "section": section}
        answer = requests.get(f"{url}/api/v1/analyses/{at}/similarity.json", params=query)
        assert answer.status_code == 200, f"{family}: {answer.text}"
        queries = maps[section].shape[2] - first
        assert answer.json()["queries"] == min(queries, 32), f"{family}: {answer.json()['queries']} queries of {section}"
        got = np.load(io.BytesIO(requests.get(f"{url}/api/v1/analyses/{at}/similarity.npy", params=query).content))
        assert len(got) == maps[section].shape[0] * maps[section].shape[1], f"{family}: {got.shape} of {section}"
        if queries > 32:
            continue
        difference = np.abs(got - distances(maps[section], first)).max()
        assert difference < 2e-4, f"{family}: distances of {section} differ by {difference}"
    assert requests.get(f"{url}/api/v1/analyses/{at}/similarity.npy", params={"section": "no"}).status_code == 400
    items = requests.get(f"{url}/api/v1/analyses/{at}/between", params={"queries": "1:3", "keys": "0:2", "section": "cross"}).json()
    assert items["offset_profile"] is None and all(item["lift"] is None for item in items["items"]), items
    refused = requests.get(f"{url}/api/v1/compare", params={"a": at, "b": at})
    assert refused.status_code == 422 and "encoder and a decoder" in refused.json()["detail"], refused.text


def check(url, zoo, family):
    files = {name: maps_of(zoo, family, name) for name in sorted(os.listdir(os.path.join(zoo, family))) if name.endswith(".bin")}
    body = {"model": family, "token_ids": files["expected.bin"][0], "exclude_keys": "none"}
    sections = {None: "expected.bin"}
    if "cross.bin" in files:
        body["target_ids"] = files["decoder.bin"][0]
        sections = {"encoder": "expected.bin", "decoder": "decoder.bin", "cross": "cross.bin"}
    document = requests.post(f"{url}/api/v1/analyses", json=body)
    assert document.status_code == 200, f"{family}: {document.text}"
    document, worst = document.json(), 0
    for section, name in sections.items():
        maps = files[name][1]
        query = {"section": section} if section else {}
        layers = [layer for layer in document["layers"] if layer.get("section") == section]
        assert [layer["layer"] for layer in layers] == list(range(len(maps))), f"{family}: layers of {section}"
        for number, expected in enumerate(maps):
            answer = requests.get(f"{url}/api/v1/analyses/{document['id']}/attention/{number}.npy", params=query)
            assert answer.status_code == 200, f"{family}: {answer.text}"
            got = np.load(io.BytesIO(answer.content))
            assert got.shape == expected.shape, f"{family}: {got.shape}, not {expected.shape}"
            worst = max(worst, float(np.abs(got - expected).max()))
        rows = requests.get(f"{url}/api/v1/analyses/{document['id']}/heads.json", params=query).json()["items"]
        assert len(rows) == maps.shape[0] * maps.shape[1], f"{family}: {len(rows)} heads of {section}"
        check_missing(url, family, document["id"], rows, maps)
    if "cross.bin" in files:
        check_sections(url, family, document["id"], {section: files[name][1] for section, name in sections.items()})
    else:
        refused = requests.get(f"{url}/api/v1/analyses/{document['id']}/attention/0.npy", params={"section": "cross"})
        assert refused.status_code == 422 and "section" in refused.json()["detail"], refused.text
    return worst


def check_all(folder, count):
    zoo = os.path.join(GOLDEN, folder)
    families = [family for family in sorted(os.listdir(zoo)) if not os.path.exists(os.path.join(zoo, family, "types.bin"))]
    with Server(models=zoo) as server:
        worst = {family: check(server.url, zoo, family) for family in families}
    for family, difference in worst.items():
        print(f"{family:20} {difference:.1e}{'' if difference <= TOLERANCE else '  WRONG'}")
    print(f"{folder}: {len(worst)} models, largest difference {max(worst.values()):.1e} (allowed {TOLERANCE:.0e})")
    assert len(worst) == count and max(worst.values()) <= TOLERANCE


def main():
    check_all("zoo", 40)
    check_all("zoo_shapes", 32)


if __name__ == "__main__":
    main()
