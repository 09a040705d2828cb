"""Writes tests/golden/zoo/ from a folder of tiny models with known attention maps.

    python tests/golden/make_zoo.py SOURCE [LAYERS] [TARGET]

SOURCE/<family>/ holds config.json, model.safetensors and expected.npz (ids [N]; attn [layers, heads, N, N] in float32, as
transformers computes it). Only the first LAYERS layers are kept (2; 0 keeps all): the maps of a layer do not depend on what follows it.
expected.bin: int32 layers, heads, N; int32 ids [N]; float32 maps [layers, heads, N, N].
"""
import json
import pathlib
import re
import struct
import sys

import numpy as np

source = pathlib.Path(sys.argv[1])
layers = int(sys.argv[2]) if len(sys.argv) > 2 else 2
target = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else pathlib.Path(__file__).parent / "zoo"
AFTER_LAYERS = re.compile(r"^(lm_head|embed_out|.*pooler)\.")
LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h)\.(\d+)\.")


def first_layers(data):
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    out, blob = {"__metadata__": {"format": "pt"}}, b""
    for name, entry in header.items():
        number = LAYER.search(name)
        if name == "__metadata__" or AFTER_LAYERS.match(name) or (layers and number and int(number[1]) >= layers):
            continue
        begin, end = entry["data_offsets"]
        piece = data[8 + size + begin:8 + size + end]
        out[name] = dict(entry, data_offsets=[len(blob), len(blob) + len(piece)])
        blob += piece
    text = json.dumps(out, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + blob


for folder in sorted(source.iterdir()):
    if not (folder / "expected.npz").exists():
        continue
    facts = np.load(folder / "expected.npz")
    config = json.loads((folder / "config.json").read_text())
    if config.get("is_encoder_decoder"):
        continue
    for key in ("num_hidden_layers", "n_layer", "n_layers"):
        if layers and key in config:
            config[key] = layers
    for key in ("layer_types", "no_rope_layers"):
        if layers and config.get(key):
            config[key] = config[key][:layers]
    to = target / folder.name
    to.mkdir(parents=True, exist_ok=True)
    (to / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (to / "model.safetensors").write_bytes(first_layers((folder / "model.safetensors").read_bytes()))
    maps = facts["attn"][:layers or None].astype("<f4")
    ids = facts["ids"].astype("<i4").reshape(-1)
    (to / "expected.bin").write_bytes(struct.pack("<3i", *maps.shape[:2], maps.shape[-1]) + ids.tobytes() + maps.tobytes())
