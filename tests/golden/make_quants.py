"""Writes tests/golden/quants/: random blocks of each quantised type and what the gguf package makes of them.

Run with a Python that has gguf and numpy: python tests/golden/make_quants.py
"""
import pathlib

import gguf
import numpy as np

HALVES = {"Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "Q4_0": [0], "Q4_1": [0, 2], "Q8_0": [0]}
BLOCKS = 8

folder = pathlib.Path(__file__).parent / "quants"
random = np.random.default_rng(20)
for name, halves in HALVES.items():
    kind = gguf.GGMLQuantizationType[name]
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in halves:  # scales are finite; a subnormal one among them
        scales = (random.standard_normal(BLOCKS) * 0.1).astype(np.float16)
        scales[0] = np.float16(3e-7)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(BLOCKS, 2)
    (folder / f"{name}.blocks").write_bytes(blocks.tobytes())
    (folder / f"{name}.f32").write_bytes(gguf.dequantize(blocks, kind).astype("<f4").tobytes())
