"""Writes GGUF files of models with known attention maps, with the gguf package's writer and tensor-name maps.

    python tests/golden/make_gguf.py                     writes tests/golden/gguf/: a tiny model of every architecture
    python tests/golden/make_gguf.py SOURCE TARGET       the same from SOURCE/<name>/ (config.json, model.safetensors, expected.npz)

Both write <name>.gguf (F32, without a vocabulary) and <name>.bin: int32 layers, heads, N; int32 ids [N]; float32 maps
[layers, heads, N, N] as transformers computes them; of an encoder with a decoder, also <name>.decoder.bin, and <name>.cross.bin: int32
layers, heads, queries, keys; float32 maps. As a second witness each file is run through llama.cpp, and the largest
difference of its logits (of encoders: of its last hidden states), in parts of the largest of them, is printed: a file that
llama.cpp understands otherwise is no proof of anything.

Run with a Python that has gguf, numpy, torch, transformers, safetensors and llama_cpp.
"""
import ctypes
import json
import math
import pathlib
import re
import struct
import sys
import tempfile

import gguf
import numpy as np

ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe",
    "smollm3": "smollm3", "granite": "granite", "phi3": "phi3", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3",
    "olmo2": "olmo2", "glm4": "glm4", "gpt_oss": "gpt-oss", "starcoder2": "starcoder2", "stablelm": "stablelm", "cohere": "command-r",
    "phi": "phi2", "gpt2": "gpt2", "gpt_neox": "gptneox", "falcon": "falcon", "bloom": "bloom", "bert": "bert", "roberta": "bert",
    "distilbert": "bert", "t5": "t5",
}
PERMUTED = ("llama", "mistral", "mixtral", "smollm3", "granite")  # whose q and k the converter reorders for adjacent pairs
LAYER_NORM = ("starcoder2", "stablelm", "cohere", "phi", "gpt2", "gpt_neox", "falcon", "bloom", "bert", "roberta", "distilbert")
ENCODERS = ("bert", "roberta", "distilbert")
NEEDLESS = re.compile(r"(\.attn\.(masked_)?bias|attention\.(masked_)?bias|position_ids|rotary_emb\.inv_freq)$|pooler")
PREFIX = re.compile(r"^(bert|roberta|distilbert)\.")


def first(config, *names, default=None):
    return next((config[n] for n in names if config.get(n) is not None), default)


class Sizes:
    """What every family's config calls otherwise."""

    def __init__(self, config):
        self.kind = config["model_type"]
        self.width = first(config, "hidden_size", "n_embd", "dim", "d_model")
        self.layers = first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
        self.heads = first(config, "num_attention_heads", "n_head", "n_heads", "num_heads")
        self.kv_heads = first(config, "num_key_value_heads", default=self.heads)
        if self.kind == "falcon":
            grouped, multi = config.get("new_decoder_architecture"), config.get("multi_query", True)
            self.kv_heads = config["num_kv_heads"] if grouped else 1 if multi else self.heads
        self.head_dim = first(config, "head_dim", "d_kv", default=self.width // self.heads)
        self.ff = first(config, "intermediate_size", "ffn_hidden_size", "n_inner", "hidden_dim", "d_ff", default=4 * self.width)
        self.context = first(config, "max_position_embeddings", "n_positions", "seq_length", default=2048)
        self.rope = config.get("rope_parameters") or {}
        self.rope = self.rope.get("full_attention", self.rope)
        self.offset = config["pad_token_id"] + 1 if self.kind == "roberta" else 0
        self.context -= self.offset


# ---- weights, as convert_hf_to_gguf changes them ----------------------------------------------------------------------

def permute(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def split_groups(w, groups, queries, head_dim):
    """[groups, queries + 2, head_dim, ...] becomes all q, all k, all v."""
    w = w.reshape(groups, queries + 2, head_dim, *w.shape[1:])
    rest = w.shape[3:]
    return np.concatenate([w[:, :queries].reshape(-1, *rest), w[:, -2].reshape(-1, *rest), w[:, -1].reshape(-1, *rest)])


def changed(name, w, s):
    if s.kind in PERMUTED and re.search(r"\.q_proj\.(weight|bias)$", name):
        w = permute(w, s.heads)
    elif s.kind in PERMUTED and re.search(r"\.k_proj\.(weight|bias)$", name):
        w = permute(w, s.kv_heads)
    elif s.kind.startswith("gemma") and name.endswith("norm.weight"):
        w = w + np.float32(1)
    elif s.kind == "gpt2" and re.search(r"\.(c_attn|c_proj|c_fc)\.weight$", name):
        w = w.T
    elif s.kind in ("gpt_neox", "bloom") and "query_key_value" in name:
        w = split_groups(w, s.heads, 1, s.head_dim)
    elif s.kind == "falcon" and "query_key_value" in name:
        w = split_groups(w, s.kv_heads, s.heads // s.kv_heads, s.head_dim)
    elif s.kind == "roberta" and "position_embeddings" in name:
        w = w[s.offset:]
    return w


def stacked_experts(tensors, s):
    """One tensor for all experts of a layer, named as the converter names it."""
    out, groups = {}, {}
    for name, w in tensors.items():
        found = re.match(r"(.*\.experts)\.(\d+)\.(\w+\.weight)$", name)
        if found:
            groups.setdefault(f"{found[1]}.{found[3]}", {})[int(found[2])] = w
        elif name.endswith("experts.gate_up_proj"):
            stem = name[: -len("gate_up_proj")]
            if s.kind == "gpt_oss":
                w = w.swapaxes(-1, -2)
                out[stem + "gate_proj.weight"], out[stem + "up_proj.weight"] = w[:, ::2], w[:, 1::2]
            else:
                half = w.shape[1] // 2
                out[stem + "gate_proj.weight"], out[stem + "up_proj.weight"] = w[:, :half], w[:, half:]
        elif name.endswith("experts.gate_up_proj_bias"):
            stem = name[: -len("gate_up_proj_bias")]
            out[stem + "gate_proj.bias"], out[stem + "up_proj.bias"] = w[:, ::2], w[:, 1::2]
        elif name.endswith("experts.down_proj"):
            out[name + ".weight"] = w.swapaxes(-1, -2) if s.kind == "gpt_oss" else w
        elif name.endswith("experts.down_proj_bias"):
            out[name[: -len("_bias")] + ".bias"] = w
        else:
            out[name] = w
    for name, parts in groups.items():
        out[name] = np.stack([parts[i] for i in range(len(parts))])
    return out


# ---- the file ------------------------------------------------------------------------------------------------------------

def put_rope(writer, config, s):
    base = s.rope.get("rope_theta", 10000.0)
    partial = first(s.rope, "partial_rotary_factor", default=first(config, "partial_rotary_factor", "rotary_pct", default=1.0))
    dims = int(s.head_dim * partial)
    writer.add_rope_freq_base(base)
    writer.add_rope_dimension_count(dims)
    kind = s.rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(s.rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(s.rope["original_max_position_embeddings"])
    if kind == "llama3":
        factor, low, high, old = (s.rope[k] for k in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"))
        factors = []
        for f in 1.0 / base ** (np.arange(0, dims, 2, dtype=np.float64) / dims):
            length = 2 * math.pi / f
            smooth = (old / length - low) / (high - low)
            factors.append(1.0 if length < old / high else factor if length > old / low else 1 / ((1 - smooth) / factor + smooth))
        writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    if kind == "longrope":
        old, scale = s.rope["original_max_position_embeddings"], s.context / s.rope["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(old)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(old)))
        for which in ("long", "short"):
            writer.add_tensor(f"rope_factors_{which}.weight", np.array(s.rope[f"{which}_factor"], dtype=np.float32))


def put_keys(writer, config, s):
    writer.add_name(s.kind)
    writer.add_block_count(s.layers)
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.width)
    writer.add_feed_forward_length(s.ff)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.kv_heads)
    if s.head_dim * s.heads != s.width or s.kind.startswith("gemma"):
        writer.add_key_length(s.head_dim)
        writer.add_value_length(s.head_dim)
    epsilon = first(config, "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", default=1e-12 if s.kind == "distilbert" else 1e-5)
    (writer.add_layer_norm_eps if s.kind in LAYER_NORM else writer.add_layer_norm_rms_eps)(epsilon)
    if s.kind == "t5":
        writer.add_decoder_block_count(config["num_decoder_layers"])
        writer.add_relative_attn_buckets_count(config["relative_attention_num_buckets"])
        writer.add_decoder_start_token_id(config.get("decoder_start_token_id") or 0)
    if s.kind not in ENCODERS + ("gpt2", "bloom", "t5"):
        put_rope(writer, config, s)
    if s.kind in ENCODERS:
        writer.add_causal_attention(False)
        writer.add_token_type_count(config.get("type_vocab_size", 1))
    if config.get("sliding_window") and s.kind in ("gemma2", "gemma3_text", "gpt_oss", "phi3"):
        writer.add_sliding_window(config["sliding_window"])
    if config.get("use_parallel_residual") is not None:
        writer.add_parallel_residual(config["use_parallel_residual"])
    if s.kind == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if s.kind == "granite":
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
    if s.kind == "cohere":
        writer.add_logit_scale(config["logit_scale"])
    experts = first(config, "num_local_experts", "num_experts")
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        if s.kind != "mixtral":
            writer.add_expert_feed_forward_length(config.get("moe_intermediate_size", s.ff))
        if config.get("norm_topk_prob") is False:
            writer.add_expert_weights_norm(False)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")


def write_gguf(path, config, tensors):
    s = Sizes(config)
    name = ARCHITECTURES[s.kind]
    writer = gguf.GGUFWriter(path, name)
    put_keys(writer, config, s)
    architecture = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == name)
    names = gguf.get_tensor_name_map(architecture, s.layers)
    for theirs, w in stacked_experts(tensors, s).items():
        theirs = PREFIX.sub("", theirs)
        if s.kind == "bloom":
            theirs = theirs.removeprefix("transformer.")
        if NEEDLESS.search(theirs) or theirs.startswith(("cls.", "lm_head.dense", "lm_head.layer_norm", "vocab_")):
            continue
        if theirs in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):  # both are `shared`
            continue
        if s.kind in ENCODERS and theirs.startswith("lm_head"):
            continue
        ours = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        if ours is None and theirs.endswith("self_attn.sinks"):
            ours = names.get_name(theirs) + ".weight" if names.get_name(theirs) else f"blk.{theirs.split('.')[2]}.attn_sinks.weight"
        if ours is None:
            raise SystemExit(f"{s.kind}: the map has no name for {theirs}")
        if ours.endswith("attn_sinks"):
            ours += ".weight"
        writer.add_tensor(ours, np.ascontiguousarray(changed(theirs, w.astype(np.float32), s)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_cross(path, maps):
    path.write_bytes(struct.pack("<4i", *maps.shape) + maps.astype("<f4").tobytes())


def write_expected(path, ids, maps):
    path.write_bytes(struct.pack("<3i", *maps.shape[:2], maps.shape[-1]) + np.asarray(ids, dtype="<i4").tobytes() + maps.astype("<f4").tobytes())


# ---- the second witness ----------------------------------------------------------------------------------------------------

errors = []


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def listener(level, text, _):
    if level == 4:  # an error
        errors.append(text.decode())


def llama_cpp_output(path, ids, encoder, source=None):
    """Logits [N, vocabulary], or an encoder's last hidden states [N, width]. source: what the encoder before a decoder reads."""
    import llama_cpp as l
    errors.clear()
    l.llama_log_set(ctypes.cast(listener, l.llama_log_callback), None)
    params = l.llama_model_default_params()
    model = l.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise SystemExit(f"{path}: {''.join(errors)}")
    options = l.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_ubatch = 64, 64, 64
    options.n_threads = options.n_threads_batch = 1
    options.type_k = options.type_v = options.flash_attn_type = 0  # F32, and no flash attention
    options.embeddings, options.pooling_type = encoder, 0
    context = l.llama_init_from_model(model, options)

    def batch_of(tokens):
        batch = l.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = int(token), i, 1, 0, 1
        return batch

    batch = batch_of(ids)
    if source is not None and l.llama_encode(context, batch_of(source)) != 0:
        raise SystemExit(f"{path}: {''.join(errors)}")
    if (l.llama_encode if encoder else l.llama_decode)(context, batch) != 0:
        raise SystemExit(f"{path}: {''.join(errors)}")
    vocabulary = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))
    width = l.llama_model_n_embd(model) if encoder else vocabulary
    get = l.llama_get_embeddings_ith if encoder else l.llama_get_logits_ith
    out = np.array([np.ctypeslib.as_array(ctypes.cast(get(context, i), ctypes.POINTER(ctypes.c_float)), (width,)).copy() for i in range(len(ids))])
    l.llama_batch_free(batch)
    l.llama_free(context)
    l.llama_model_free(model)
    return out


def witness(path, ids, expected, kind, source=None):
    got = llama_cpp_output(path, ids, kind in ENCODERS, source)
    if got.shape != expected.shape:
        return f"llama.cpp gives {got.shape}"
    return f"llama.cpp's {'hidden states' if kind in ENCODERS else 'logits'} differ by {np.abs(got - expected).max() / np.abs(expected).max():.1e}"


# ---- the tiny models -----------------------------------------------------------------------------------------------------------

SHAPE = dict(vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)
HALF = dict(SHAPE, hidden_size=36, head_dim=10, num_attention_heads=6, num_key_value_heads=3)
WINDOW = dict(sliding_window=7)


def tiny_models():
    import transformers as t
    rope = lambda **more: {"rope_theta": 10000.0, **more}
    yield "llama", t.LlamaConfig(**HALF)
    yield "llama_biases", t.LlamaConfig(**dict(SHAPE, num_key_value_heads=1), attention_bias=True, mlp_bias=True, tie_word_embeddings=True)
    yield "llama_linear", t.LlamaConfig(**SHAPE, rope_parameters=rope(rope_type="linear", factor=3.0))
    yield "llama_yarn", t.LlamaConfig(**SHAPE, rope_parameters=rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16))
    yield "llama_llama3", t.LlamaConfig(**SHAPE, rope_parameters=rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                                     original_max_position_embeddings=32))
    yield "mixtral", t.MixtralConfig(**SHAPE, num_local_experts=3, num_experts_per_tok=2)
    yield "qwen2", t.Qwen2Config(**SHAPE)
    yield "qwen3", t.Qwen3Config(**HALF)
    yield "qwen3moe", t.Qwen3MoeConfig(**HALF, num_experts=4, num_experts_per_tok=3, moe_intermediate_size=20, norm_topk_prob=True)
    yield "smollm3", t.SmolLM3Config(**dict(SHAPE, num_hidden_layers=5), pad_token_id=0)
    yield "granite", t.GraniteConfig(**SHAPE, attention_multiplier=0.3, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.0)
    yield "phi3", t.Phi3Config(**SHAPE, pad_token_id=0, original_max_position_embeddings=64)
    yield "phi3_long", t.Phi3Config(**dict(SHAPE, max_position_embeddings=512), pad_token_id=0, original_max_position_embeddings=256,
                                    rope_parameters=rope(rope_type="longrope", original_max_position_embeddings=256,
                                                         short_factor=[1.0, 1.1, 1.3, 1.7], long_factor=[1.0, 2.0, 4.0, 8.0]))
    yield "gemma", t.GemmaConfig(**HALF)
    yield "gemma2", t.Gemma2Config(**HALF, **WINDOW, query_pre_attn_scalar=10, attn_logit_softcapping=20.0, final_logit_softcapping=30.0)
    yield "gemma3", t.Gemma3TextConfig(**dict(HALF, hidden_size=18, intermediate_size=24, num_hidden_layers=7), **WINDOW, query_pre_attn_scalar=10)
    yield "olmo2", t.Olmo2Config(**SHAPE)
    yield "glm4", t.Glm4Config(**HALF, pad_token_id=0, partial_rotary_factor=0.4)
    yield "gpt_oss", t.GptOssConfig(**HALF, **WINDOW, num_local_experts=3, num_experts_per_tok=2,
                                    layer_types=["sliding_attention", "full_attention"],
                                    rope_parameters={"rope_type": "yarn", "rope_theta": 150000.0, "factor": 4.0, "truncate": False,
                                                     "original_max_position_embeddings": 16, "beta_fast": 32.0, "beta_slow": 1.0})
    yield "starcoder2", t.Starcoder2Config(**SHAPE, sliding_window=None)
    yield "stablelm", t.StableLmConfig(**SHAPE, use_qkv_bias=True, partial_rotary_factor=0.25)
    yield "stablelm_parallel", t.StableLmConfig(**SHAPE, use_parallel_residual=True, partial_rotary_factor=0.5)
    yield "command_r", t.CohereConfig(**SHAPE, pad_token_id=0)
    yield "phi2", t.PhiConfig(**dict(SHAPE, num_key_value_heads=4), partial_rotary_factor=0.5)
    yield "gpt2", t.GPT2Config(vocab_size=64, n_embd=30, n_layer=2, n_head=3, n_positions=64)
    neox = dict(SHAPE)
    del neox["num_key_value_heads"]
    yield "gptneox", t.GPTNeoXConfig(**neox, rotary_pct=0.5)
    yield "gptneox_serial", t.GPTNeoXConfig(**neox, rotary_pct=1.0, use_parallel_residual=False)
    falcon = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
    yield "falcon", t.FalconConfig(**falcon, multi_query=True, bias=False)
    yield "falcon_two_norms", t.FalconConfig(**falcon, new_decoder_architecture=True, num_kv_heads=2, bias=False)
    yield "bloom", t.BloomConfig(vocab_size=64, hidden_size=30, n_layer=2, n_head=3)  # not a power of two: other slopes
    yield "bert", t.BertConfig(**neox)
    yield "roberta", t.RobertaConfig(**dict(neox, max_position_embeddings=66), pad_token_id=1, type_vocab_size=1)
    yield "distilbert", t.DistilBertConfig(vocab_size=64, dim=32, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=64)
    t5 = dict(vocab_size=64, d_model=24, d_kv=8, d_ff=40, num_layers=3, num_decoder_layers=2, num_heads=3, relative_attention_num_buckets=12,
              relative_attention_max_distance=128, decoder_start_token_id=0)
    yield "t5", t.T5Config(**t5, feed_forward_proj="relu")
    yield "t5_gated", t.T5Config(**t5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


def make_weights(model, seed):
    """Far from uniform attention, and no weight at its default."""
    import torch
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name.lower() or ".ln_" in name:
                p.copy_((0.3 * noise if name.endswith("bias") or "gemma" in type(model).__name__.lower() else 1 + 0.3 * noise))
            elif p.ndim < 2:
                p.copy_(0.3 * noise)
            else:
                p.copy_(noise * (0.5 if "embed" in name or "wte" in name or "wpe" in name else 1.4 / math.sqrt(min(p.shape[-2:]))))


def compute_both(config, seed):
    """Of a decoder with an encoder: the same of the encoder, and what the decoder reads and gives."""
    import torch
    import transformers
    from safetensors.numpy import load_file
    model = transformers.AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").float().eval()
    make_weights(model, seed)
    random = np.random.default_rng(seed)
    ids, target = random.integers(3, 64, 24), np.concatenate([[0], random.integers(3, 64, 15)])
    with torch.no_grad():
        out = model(torch.tensor(ids)[None], decoder_input_ids=torch.tensor(target)[None], output_attentions=True)
    stack = lambda maps: torch.stack([a[0] for a in maps]).numpy()
    both = {"ids": target, "maps": stack(out.decoder_attentions), "cross": stack(out.cross_attentions)}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tensors = load_file(f"{folder}/model.safetensors")
        config = json.loads(pathlib.Path(folder, "config.json").read_text())
        return config, tensors, ids, stack(out.encoder_attentions), out.logits[0].numpy(), both


def compute(config, seed):
    """(config.json, tensors, ids, maps, logits or hidden states)"""
    import torch
    import transformers
    from safetensors.numpy import load_file
    encoder = config.model_type in ENCODERS
    torch.manual_seed(seed)
    kind = transformers.AutoModel if encoder else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager").float().eval()
    make_weights(model, seed)
    ids = np.random.default_rng(seed).integers(3, 64, 24)
    ids[9:13] = ids[2:6]
    with torch.no_grad():
        out = model(torch.tensor(ids)[None], output_attentions=True)
    maps = torch.stack([a[0] for a in out.attentions]).numpy()
    result = (out.last_hidden_state if encoder else out.logits)[0].numpy()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tensors = load_file(f"{folder}/model.safetensors")
        return json.loads(pathlib.Path(folder, "config.json").read_text()), tensors, ids, maps, result


def main():
    from safetensors.numpy import load_file
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path(__file__).parent / "gguf"
    target.mkdir(parents=True, exist_ok=True)

    def emit(name, config, tensors, ids, maps, result, both=None):
        path = target / f"{name}.gguf"
        write_gguf(path, config, tensors)
        write_expected(target / f"{name}.bin", ids, maps)
        if config["model_type"] == "t5" and "lm_head.weight" not in tensors:
            result = result * math.sqrt(config["d_model"])  # which llama.cpp leaves out, and no map depends on
        said = witness(path, both["ids"] if both else ids, result, config["model_type"], ids if both else None)
        if both:
            write_expected(target / f"{name}.decoder.bin", both["ids"], both["maps"])
            write_cross(target / f"{name}.cross.bin", both["cross"])
        print(f"{name:20} {path.stat().st_size:7} bytes, {said}", flush=True)

    if len(sys.argv) > 2:
        for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
            if not (folder / "expected.npz").exists():
                continue
            config, facts = json.loads((folder / "config.json").read_text()), np.load(folder / "expected.npz")
            if config["model_type"] not in ARCHITECTURES:
                continue
            if (config["model_type"] == "mistral" and config.get("sliding_window")) or config.get("no_rope_layer_interval", 4) != 4:
                print(f"{folder.name:20} the format cannot say what it does")
                continue
            result = facts["logits" if "logits" in facts else "last_hidden"]
            maps, ids = facts["attn"], facts["ids"].reshape(-1)
            both = {"ids": facts["dec_ids"].reshape(-1), "maps": facts["dec_attn"], "cross": facts["cross_attn"]} if "dec_ids" in facts else None
            emit(folder.name, config, load_file(folder / "model.safetensors"), ids, maps, result.reshape(len(both["ids"] if both else ids), -1), both)
        return
    for seed, (name, config) in enumerate(tiny_models()):
        emit(name, *(compute_both if config.is_encoder_decoder else compute)(config, seed))


if __name__ == "__main__":
    main()
