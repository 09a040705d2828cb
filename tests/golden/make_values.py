"""Writes value_sink_share and output_ratio of every head as transformers' own modules give them.

    python tests/golden/make_values.py SMOLLM2.gguf

tests/golden/zoo_values.json: {family: {"value_sink_share": [layers][heads], ...}} with the keys 0, 7 and 21 left out.
tests/golden/smollm2/values.json: the same for each text, with key 0 and the special tokens left out.
value_norm and map_sum: of the head 0.0, norms of each key and the sum of its value-weighted map.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

golden = pathlib.Path(__file__).parent

# family: modules of a layer whose output holds v and whose input is what W_O gets, and how to cut v out of the first
ZOO = {
    "llama": ("self_attn.v_proj", "self_attn.o_proj"),
    "mistral": ("self_attn.v_proj", "self_attn.o_proj"),
    "qwen2": ("self_attn.v_proj", "self_attn.o_proj"),
    "gemma3_text": ("self_attn.v_proj", "self_attn.o_proj"),
    "gpt_oss": ("self_attn.v_proj", "self_attn.o_proj"),
    "opt": ("self_attn.v_proj", "self_attn.out_proj"),
    "gpt2": ("attn.c_attn", "attn.c_proj"),
    "bert": ("attention.self.value", "attention.output.dense"),
    "distilbert": ("attention.v_lin", "attention.out_lin"),
}


def layers_of(model):
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers and name.split(".")[-1] in ("layers", "layer", "h"):
            return module
    raise SystemExit("no layers")


def values(model, ids, excluded, v_name, o_name):
    layers, seen = layers_of(model), {}
    def keep(key, which):
        def hook(module, inputs, output):
            seen[key] = (inputs[0] if which == "in" else output).detach()[0].double()
        return hook
    for index, layer in enumerate(layers):
        layer.get_submodule(v_name).register_forward_hook(keep(("v", index), "out"))
        layer.get_submodule(o_name).register_forward_hook(keep(("o", index), "in"))
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)
    config, n = model.config, len(ids)
    heads = config.num_attention_heads
    first = 0 if "bert" in config.model_type else 1
    inside = [j for j in excluded if j < n]
    shares, ratios, facts = [], [], {}
    for index, layer in enumerate(layers):
        module = layer.get_submodule(o_name)
        weight = module.weight.detach().double()
        if type(module).__name__ == "Conv1D":
            weight = weight.T
        maps = out.attentions[index][0].double()
        o, v = seen["o", index], seen["v", index]
        head_dim = o.shape[1] // heads
        if v_name.endswith("c_attn"):
            v = v[:, -heads * head_dim:]
        group = heads // (v.shape[1] // head_dim)
        residual = out.hidden_states[index][0].double().norm(dim=1)
        shares.append([]), ratios.append([])
        for head in range(heads):
            part = weight[:, head * head_dim:(head + 1) * head_dim]
            value = (v[:, head // group * head_dim:(head // group + 1) * head_dim] @ part.T).norm(dim=1)
            weighted = maps[head] * value[None, :]
            shares[-1].append((weighted[first:, inside].sum() / weighted[first:].sum()).item())
            moved = (o[:, head * head_dim:(head + 1) * head_dim] @ part.T).norm(dim=1)
            ratios[-1].append((moved / residual)[first:].mean().item())
            if index == 0 and head == 0:
                facts = {"value_norm": value.tolist(), "map_sum": weighted.sum().item()}
    return {"value_sink_share": shares, "output_ratio": ratios, **facts}


def round_all(x):
    return {k: round_all(v) for k, v in x.items()} if isinstance(x, dict) else [round_all(v) for v in x] if isinstance(x, list) else float(f"{x:.9g}")


found = {}
for family, (v_name, o_name) in ZOO.items():
    folder = golden / "zoo" / family
    config = AutoConfig.from_pretrained(folder)
    model = (AutoModel if "bert" in family else AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    head = np.fromfile(folder / "expected.bin", "<i4", 3)
    ids = np.fromfile(folder / "expected.bin", "<i4", head[2], offset=12).tolist()
    found[family] = values(model, ids, [0, 7, 21], v_name, o_name)
    print(family, found[family]["output_ratio"][0][:3])
(golden / "zoo_values.json").write_text(json.dumps(round_all(found), separators=(",", ":")) + "\n")

gguf = pathlib.Path(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager").eval()
found = {}
for name in ("cat", "repeat", "code", "gpl"):
    facts = json.loads((golden / "smollm2" / f"{name}.json").read_text())
    found[name] = values(model, facts["ids"], sorted({0, *facts["special"]}), "self_attn.v_proj", "self_attn.o_proj")
    print(name)
(golden / "smollm2" / "values.json").write_text(json.dumps(round_all(found), separators=(",", ":")) + "\n")
