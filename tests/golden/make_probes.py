"""Writes tests/golden/smollm2/probes.json: what probes and lifts give, from transformers' maps and modules in NumPy (float64).

    python tests/golden/make_probes.py SMOLLM2.gguf

repeat: ids of step 0, stripes of each head over the second copy, losses of both copies. random: ids of step 0, copying, sink mass.
lifts: of the text code.json, over the profile P(d) = 1 / (1 + d) of every head, with the intervals of the seeded bootstrap.
"""
import json
import pathlib
import sys
import unicodedata

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

golden = pathlib.Path(__file__).parent / "smollm2"
path = pathlib.Path(sys.argv[1])
reader = gguf.GGUFReader(path)
# How byte-level BPE spells bytes: printable ones as they are, the others from U+0100 on.
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {chr(b): b for b in printable} | {chr(256 + k): b for k, b in enumerate(b for b in range(256) if b not in printable)}
field = reader.fields["tokenizer.ggml.tokens"]
tokens = [bytes(field.parts[i]).decode() for i in field.data]
types = [int(reader.fields["tokenizer.ggml.token_type"].parts[i][0]) for i in reader.fields["tokenizer.ggml.token_type"].data]
special = [t != 1 for t in types]
spelt = [b"" if s else bytes(BYTES[c] for c in t) for t, s in zip(tokens, special)]
M64 = (1 << 64) - 1


class SplitMix64:
    def __init__(self, state):
        self.state = state & M64

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & M64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M64
        return (((z ^ (z >> 31)) >> 32) * bound) >> 32


def draw(seed, sequence, count):
    end = len(tokens) * 4 // 100
    pool = [i for i in range(end, len(tokens) - end) if not special[i] and len(spelt[i]) > 1]
    random = SplitMix64((seed << 32) + sequence)
    for i in range(count):
        j = i + random.below(len(pool) - i)
        pool[i], pool[j] = pool[j], pool[i]
    return pool[:count]


model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
layers = model.model.layers
heads, group = model.config.num_attention_heads, model.config.num_attention_heads // model.config.num_key_value_heads


def run(ids):
    seen = []
    hooks = [layer.self_attn.o_proj.register_forward_pre_hook(lambda m, x: seen.append(x[0].detach()[0].double().numpy())) for layer in layers]
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_attentions=True)
    for hook in hooks:
        hook.remove()
    return [a[0].double().numpy() for a in out.attentions], seen, out.logits[0].double()


found = {}
ids = draw(1, 0, 50) * 2
maps, _, logits = run(ids)
rows = np.arange(50, 100)
loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none").numpy()
found["repeat"] = {"ids": ids, "losses": [loss[:49].mean(), loss[50:99].mean()],
                   **{name: [[m[h][rows, rows - back].mean() for h in range(heads)] for m in maps]
                      for name, back in (("previous", 1), ("duplicate", 50), ("induction", 49))}}

ids = draw(2, 0, 100)
maps, outputs, _ = run(ids)
unembedding = model.lm_head.weight.detach().double().numpy()[ids]
copying = []
for layer, m, o in zip(layers, maps, outputs):
    weight = layer.self_attn.o_proj.weight.detach().double().numpy()
    size = weight.shape[1] // heads
    copying.append([])
    for h in range(heads):
        logit = o[:, h * size:(h + 1) * size] @ (unembedding @ weight[:, h * size:(h + 1) * size]).T
        shares = []
        for i in range(1, 100):
            best = 1 + int(np.argmax(m[h][i, 1:i + 1]))
            x = logit[i, best]
            others = np.delete(logit[i], best)
            shares.append(((others < x).sum() + 0.5 * (others == x).sum()) / 99)
        copying[-1].append(2 * np.mean(shares) - 1)
found["random"] = {"ids": ids, "copying": copying, "sink_mass": [[m[h][1:, 0].mean() for h in range(heads)] for m in maps]}


def separates(i):
    if special[i]:
        return True
    try:
        text = spelt[i].decode()
    except UnicodeDecodeError:
        return False
    mark = [c == "\n" or unicodedata.category(c)[0] == "P" or (33 <= ord(c) < 127 and not c.isalnum()) for c in text]
    return any(mark) and all(k or c.isspace() for k, c in zip(mark, text))


facts = json.loads((golden / "code.json").read_text())
ids, n = np.array(facts["ids"]), len(facts["ids"])
maps, _, _ = run(facts["ids"])
keep = np.ones(n)
keep[sorted({0, *facts["special"]})] = 0
i, j = np.indices((n, n))
sees = j <= i
embedded = model.model.embed_tokens.weight.detach().double().numpy()[ids]
embedded = embedded - embedded[keep > 0].mean(axis=0)
embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
copy = (ids[i] == ids[j]) & (j < i)
follow = np.zeros((n, n), bool)
follow[:, 1:] = copy[:, :-1]
follow &= j < i
kinds = {"self_mass": i == j, "previous_mass": j == i - 1, "local_mass": i - j <= 16, "duplicate_mass": copy, "induction_mass": follow,
         "separator_mass": np.array([separates(t) for t in ids])[j], "rarity": ids[j] / (len(tokens) - 1),
         "similarity": (embedded @ embedded.T) * (ids[i] != ids[j])}
profile = 1 / (1 + (i - j).clip(0)) * keep * sees
size = max(8, -(-n // 64))
blocks = -(-n // size)
random = SplitMix64(1)
draws = np.array([[random.below(blocks) for _ in range(blocks)] for _ in range(500)])
draws = np.array([np.bincount(d, minlength=blocks) for d in draws])
found["lifts"] = {}
for name, values in kinds.items():
    values = values * keep * sees
    rows = np.arange(1, n)
    if name in ("duplicate_mass", "induction_mass"):
        rows = np.array([r for r in rows if (kinds[name] & sees)[r].any()])
    share = (profile * values).sum(axis=1) / np.where(profile.sum(axis=1) > 0, profile.sum(axis=1), np.nan)
    result = found["lifts"][name] = {"rows": len(rows), "uniform": (values.sum(axis=1) / (np.arange(n) + 1))[rows].mean(),
                                     "observed": [], "expected": [], "lift": [], "low": [], "high": []}
    for m in maps:
        for h in range(heads):
            observed, expected = (m[h] * values).sum(axis=1), (m[h] * keep).sum(axis=1) * share
            told = rows[np.isfinite(share[rows])]
            difference = (observed - expected)[told]
            sums = np.bincount(told // size, difference, minlength=blocks)
            counts = np.bincount(told // size, minlength=blocks)
            means = (draws @ sums) / (draws @ counts)
            low, high = np.percentile(means, [2.5, 97.5])
            for key, value in (("observed", observed[rows].mean()), ("expected", expected[told].mean()), ("lift", difference.mean()),
                               ("low", low), ("high", high)):
                result[key].append(value)


def rounded(x):
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return [rounded(v) for v in x] if isinstance(x, list) else int(x) if isinstance(x, (int, np.integer)) else float(f"{x:.7g}")


(golden / "probes.json").write_text(json.dumps(rounded(found), separators=(",", ":")) + "\n")
print({k: list(v) for k, v in found.items()}, found["repeat"]["losses"], n)
