"""Writes tests/golden/zoo/ from a folder of tiny models with known attention maps.

    python tests/golden/make_zoo.py SOURCE [LAYERS] [TARGET]

SOURCE/<family>/ holds config.json, model.safetensors and expected.npz (ids [N]; attn [layers, heads, N, N] in float32, as
transformers computes it; of a model with an encoder and a decoder, also dec_ids, dec_attn and cross_attn; where tokens have other
types than 0, types [N]). Only the first LAYERS
layers are kept (2; 0 keeps all): the maps of a layer do not depend on what follows it. An encoder that a decoder reads keeps all.
expected.bin: int32 layers, heads, N; int32 ids [N]; float32 maps [layers, heads, N, N]. decoder.bin: the same of the decoder;
cross.bin: int32 layers, heads, queries, keys; float32 maps [layers, heads, queries, keys]. types.bin: uint8 types [N].
make_zoo_shapes.py makes a SOURCE of its own.
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
LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|block)\.(\d+)\.")
ENCODER_OF_DECODER = re.compile(r"^(model\.)?encoder\.")


def first_layers(data, both):
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    out, blob = {"__metadata__": {"format": "pt"}}, b""
    for name, entry in header.items():
        number = LAYER.search(name)
        if both and ENCODER_OF_DECODER.match(name):
            number = None
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
    both = "cross_attn" in facts
    for key in ("decoder_layers", "num_decoder_layers") if both else ("num_hidden_layers", "n_layer", "n_layers"):
        if layers and key in config:
            config[key] = layers
    for key in ("layer_types", "no_rope_layers"):
        if layers and config.get(key):
            config[key] = config[key][:layers]
    to = target / folder.name
    to.mkdir(parents=True, exist_ok=True)
    (to / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (to / "model.safetensors").write_bytes(first_layers((folder / "model.safetensors").read_bytes(), both))
    kept = layers or None
    self_attention = [("expected.bin", "attn", "ids", None if both else kept)] + [("decoder.bin", "dec_attn", "dec_ids", kept)] * both
    for file, attention, ids, count in self_attention:
        maps, tokens = facts[attention][:count].astype("<f4"), facts[ids].astype("<i4").reshape(-1)
        (to / file).write_bytes(struct.pack("<3i", *maps.shape[:2], maps.shape[-1]) + tokens.tobytes() + maps.tobytes())
    if both:
        maps = facts["cross_attn"][:kept].astype("<f4")
        (to / "cross.bin").write_bytes(struct.pack("<4i", *maps.shape) + maps.tobytes())
    if "types" in facts:
        (to / "types.bin").write_bytes(facts["types"].astype("u1").tobytes())
