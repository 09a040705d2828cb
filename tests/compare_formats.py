"""The weights of SmolLM2 in every form in which files hold them, through the whole program, against transformers in float32.

    python tests/compare_formats.py [MODEL.gguf] [FORM...]       run by hand: it takes minutes, and 1 GB under $TMPDIR

The model's weights are dequantised by the gguf package and written as a folder in F32, BF16 and F16, whole and in shards, and as GGUF
files in F32, F16, BF16 and every quantised type that is read (Q4_0 to Q8_0 by the gguf package, K-quants by llama.cpp, which gives
another type to matrices whose rows are no multiple of 256). For each form its own numbers, dequantised by the gguf package or rounded by
torch, go through transformers, and all maps of all heads are compared. Prints the largest difference of each form.

Run with a Python that has gguf, numpy, torch, transformers, safetensors, llama_cpp and requests.
"""
import ctypes
import io
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import requests
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from server_under_test import MODEL_FILE, Server, models_folder  # noqa: E402

TOLERANCE = 2e-5
IDS = [504, 2365, 3302, 335, 260, 2534, 28, 284, 260, 1573, 3302, 335, 260, 5083, 30, 198, 504, 2365, 3302, 335, 260, 2534, 1277, 253, 1165,
       282, 1117, 28, 527, 665, 1695, 288, 33, 34, 35, 36]
BY_GGUF = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
BY_LLAMA_CPP = {"Q2_K_S": 21, "Q3_K_S": 11, "Q4_K_S": 14, "Q5_K_S": 16, "Q6_K": 18}
PARTS = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj"}


def read_gguf(path):
    """Every tensor in float32, as the gguf package dequantises it, and the types of the matrices."""
    reader = gguf.GGUFReader(path)
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    return tensors, sorted({t.tensor_type.name for t in reader.tensors if len(t.shape) > 1}), reader


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def to_transformers(tensors, config):
    out = {"model.embed_tokens.weight": tensors["token_embd.weight"], "model.norm.weight": tensors["output_norm.weight"]}
    for layer in range(config.num_hidden_layers):
        for ours, theirs in PARTS.items():
            w = tensors[f"blk.{layer}.{ours}.weight"]
            if ours in ("attn_q", "attn_k"):
                w = unpermute(w, config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads)
            out[f"model.layers.{layer}.{theirs}.weight"] = w
    return {name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in out.items()}


def make_model(config, state):
    model = transformers.LlamaForCausalLM._from_config(config, attn_implementation="eager").float().eval()
    missing, unexpected = model.load_state_dict({name: w.float() for name, w in state.items()}, strict=False)
    assert not unexpected and missing in ([], ["lm_head.weight"]), (missing, unexpected)
    model.tie_weights()
    return model


def reference_maps(model):
    with torch.no_grad():
        return torch.cat(model(torch.tensor([IDS]), output_attentions=True).attentions).numpy()


def our_maps(folder, layers):
    with Server(models=str(folder)) as server:
        model = requests.get(f"{server.url}/api/v1/models", timeout=60).json()["items"][0]["id"]
        answer = requests.post(f"{server.url}/api/v1/analyses", json={"model": model, "token_ids": IDS}, timeout=300)
        assert answer.status_code in (200, 201), answer.text
        id = answer.json()["id"]
        get = lambda layer: np.load(io.BytesIO(requests.get(f"{server.url}/api/v1/analyses/{id}/attention/{layer}.npy", timeout=60).content))
        return np.stack([get(layer) for layer in range(layers)])


def write_gguf(path, tensors, config, kind):
    """Matrices in `kind`; vectors in F32. Returns the numbers that the file holds."""
    writer, held = gguf.GGUFWriter(path, "llama"), {}
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    for name, w in tensors.items():
        type = gguf.GGMLQuantizationType[kind if w.ndim > 1 else "F32"]
        data = gguf.quants.quantize(w, type)
        held[name] = gguf.quants.dequantize(data, type).astype(np.float32).reshape(w.shape)
        writer.add_tensor(name, data, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def listen_to_nothing(level, text, _):
    pass


def quantise(source, target, kind):
    import llama_cpp
    llama_cpp.llama_log_set(ctypes.cast(listen_to_nothing, llama_cpp.llama_log_callback), None)
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread, options.allow_requantize = kind, 2, True
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)) == 0


def main():
    path = next((a for a in sys.argv[1:] if a.endswith(".gguf")), f"{models_folder()}/{MODEL_FILE}")
    wanted = [a for a in sys.argv[1:] if not a.endswith(".gguf")]
    tensors, types, reader = read_gguf(path)
    value = lambda key: reader.fields[f"llama.{key}"].contents()
    config = transformers.LlamaConfig(
        vocab_size=tensors["token_embd.weight"].shape[0], hidden_size=value("embedding_length"), intermediate_size=value("feed_forward_length"),
        num_hidden_layers=value("block_count"), num_attention_heads=value("attention.head_count"),
        num_key_value_heads=value("attention.head_count_kv"), max_position_embeddings=value("context_length"), tie_word_embeddings=True,
        rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": float(value("rope.freq_base"))}, bos_token_id=1, eos_token_id=2)
    print(f"{pathlib.Path(path).name}: {', '.join(types)}; {len(IDS)} tokens, {config.num_hidden_layers} x {config.num_attention_heads} heads")
    failed = 0

    def compare(form, folder, state, note):
        nonlocal failed
        difference = np.abs(our_maps(folder, config.num_hidden_layers) - reference_maps(make_model(config, state))).max()
        failed += not difference <= TOLERANCE
        print(f"  {form:22} {difference:.1e}{'' if difference <= TOLERANCE else '  WRONG'}  {note}", flush=True)

    def folder_form(form, dtype, shard):
        if wanted and form not in wanted:
            return
        with tempfile.TemporaryDirectory() as top:
            model = make_model(config, to_transformers(tensors, config)).to(dtype)
            model.config.dtype = dtype
            model.save_pretrained(f"{top}/form", max_shard_size=shard)
            files = sorted(pathlib.Path(top, "form").glob("*.safetensors"))
            state = {name: w for name, w in model.state_dict().items() if name != "lm_head.weight"}
            compare(form, top, state, f"{len(files)} files, {sum(f.stat().st_size for f in files) >> 20} MB")

    def gguf_form(form, make):
        if wanted and form not in wanted:
            return
        with tempfile.TemporaryDirectory() as top:
            file = pathlib.Path(top, "form.gguf")
            make(file)
            held, kinds, _ = read_gguf(file)
            compare(form, top, to_transformers(held, config), f"{', '.join(kinds)}, {file.stat().st_size >> 20} MB")

    for name, dtype in {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}.items():
        folder_form(f"folder-{name}", dtype, "10GB")
        folder_form(f"folder-{name}-shards", dtype, "100MB")
    for kind in BY_GGUF:
        gguf_form(f"gguf-{kind}", lambda file: write_gguf(file, tensors, config, kind))
    with tempfile.TemporaryDirectory() as top:
        if not wanted or any(f"gguf-{kind}" in wanted for kind in BY_LLAMA_CPP):
            write_gguf(f"{top}/wide.gguf", tensors, config, "F32")
        for kind, number in BY_LLAMA_CPP.items():
            gguf_form(f"gguf-{kind}", lambda file: quantise(f"{top}/wide.gguf", file, number))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
