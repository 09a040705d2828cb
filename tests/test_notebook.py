"""Runs the code of docs/notebook.md as it stands there, but for the server's address, and looks at what it computed."""
import contextlib
import io
import os
import re
import sys

from server_under_test import Server, SOURCE


def main():
    with open(os.path.join(SOURCE, "docs", "notebook.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```python\n(.*?)^```", file.read(), re.M | re.S)
    assert len(blocks) == 1, f"{len(blocks)} Python blocks"
    code = blocks[0]
    assert code.count("http://127.0.0.1:8642") == 1
    with Server() as server:
        found, words = {}, io.StringIO()
        with contextlib.redirect_stdout(words):
            exec(compile(code.replace("http://127.0.0.1:8642", server.url), "docs/notebook.md", "exec"), found)
    print(words.getvalue(), end="")
    weights, tokens = found["weights"], found["tokens"]
    difference = abs(weights.sum(axis=1, dtype=float) - 1).max()
    print(f"largest difference of a row's sum from 1: {difference:.1e} (3e-6 allowed)")
    assert weights.dtype == "float32" and weights.shape == (len(tokens), len(tokens)), (weights.dtype, weights.shape)
    assert difference <= 3e-6
    assert (weights >= 0).all() and not any(weights[i, i + 1:].any() for i in range(len(tokens)))
    assert "".join(tokens) == found["text"]
    assert len(found["heads"]) == 270 and sum(bool(line.strip()) for line in code.splitlines()) <= 15
    assert "' to' looks at ' the'" in words.getvalue()  # it stands in the text: "went to the store"


if __name__ == "__main__":
    sys.exit(main())
