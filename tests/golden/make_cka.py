"""Writes tests/golden/cka.json: linear CKA (Kornblith et al. 2019) of the heads' outputs behind the output projection, of tiny models in
tests/golden/zoo on the ids there. transformers gives what goes into each layer's output projection; a head's output is its columns of
that times its part of the weight. NumPy in float64 from there on.

    python tests/golden/make_cka.py        (needs torch and transformers)
"""
import json
import pathlib
import struct

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

here = pathlib.Path(__file__).parent
PROJECTION = {"llama": "self_attn.o_proj", "mistral": "self_attn.o_proj", "gpt_oss": "self_attn.o_proj", "gpt2": "attn.c_proj",
              "bert": "attention.output.dense"}


def outputs(family):
    """[layers * heads] matrices [positions, d_model]."""
    data = (here / "zoo" / family / "expected.bin").read_bytes()
    layers, heads, n = struct.unpack("<3i", data[:12])
    ids = torch.tensor(np.frombuffer(data, "<i4", n, 12).copy()).long()[None]
    config = AutoConfig.from_pretrained(here / "zoo" / family)
    model = AutoModel.from_pretrained(here / "zoo" / family, config=config, dtype=torch.float32, attn_implementation="eager").eval()
    found = []
    for name, module in model.named_modules():
        if name.endswith(PROJECTION[family]):
            module.register_forward_hook(lambda module, inputs, output: found.append((module, inputs[0][0].double().numpy())))
    with torch.no_grad():
        model(ids)
    assert len(found) == layers, (family, len(found))
    for module, z in found:
        weight = module.weight.detach().double().numpy()
        weight = weight if type(module).__name__ == "Conv1D" else weight.T  # [heads * head_dim, d_model]
        dim = weight.shape[0] // heads
        for h in range(heads):
            yield z[:, h * dim:(h + 1) * dim] @ weight[h * dim:(h + 1) * dim]


def cka(x, y):
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


golden = {}
for family in PROJECTION:
    x = [m - m.mean(0) for m in outputs(family)]
    golden[family] = [[round(cka(a, b), 8) for b in x] for a in x]
(here / "cka.json").write_text(json.dumps(golden, separators=(",", ":")).replace("]],", "]],\n") + "\n")
