"""Makes tiny models of other shapes than the zoo's, with transformers' attention maps: what make_zoo.py packs.

    python tests/golden/make_zoo_shapes.py FOLDER && python tests/golden/make_zoo.py FOLDER 0 tests/golden/zoo_shapes

Uneven numbers of heads, key and value heads, heads' sizes that no vector divides, narrow windows, every scaling of rotary angles,
other buckets of distances, encoders and decoders of different depth and width, texts beyond a thumbnail's 48 cells, token types.
FOLDER/<name>/: config.json, model.safetensors, expected.npz (ids, attn; dec_ids, dec_attn, cross_attn; types), float32 on the CPU.
Prints how far float32 lies from float64, and the mean of the rows' largest weights: near 1 / N a map would show nothing.
"""
import copy
import pathlib
import sys

import numpy as np
import torch
import transformers as hf

VOCABULARY = 43
TOKENS = 25

small = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=20, num_hidden_layers=2, max_position_embeddings=70)
encoder = dict(small, num_attention_heads=5, hidden_size=25, type_vocab_size=2)
bart = dict(vocab_size=VOCABULARY, d_model=18, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=3,
            encoder_ffn_dim=14, decoder_ffn_dim=20, max_position_embeddings=40)


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


yarn = rope("yarn", factor=4.0, original_max_position_embeddings=32)
MODELS = {
    "bart": hf.BartConfig(**bart),
    "bert_types": hf.BertConfig(**encoder),
    "bloom": hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=24, n_layer=2, n_head=6),
    "cohere": hf.CohereConfig(**small, num_attention_heads=6, num_key_value_heads=3),
    "deberta_v2": hf.DebertaV2Config(**dict(encoder, type_vocab_size=0), relative_attention=True, share_att_key=True, position_buckets=8,
                                     pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", position_biased_input=False,
                                     max_relative_positions=-1),
    "electra_types": hf.ElectraConfig(**dict(encoder, type_vocab_size=3), embedding_size=20),
    "falcon": hf.FalconConfig(vocab_size=VOCABULARY, hidden_size=20, num_hidden_layers=2, num_attention_heads=5, multi_query=True,
                              parallel_attn=True, new_decoder_architecture=False, bias=False),
    "gemma2": hf.Gemma2Config(**small, num_attention_heads=3, num_key_value_heads=1, head_dim=18, sliding_window=7,
                              query_pre_attn_scalar=11, attn_logit_softcapping=3.0),
    "gemma3_text": hf.Gemma3TextConfig(**small, num_attention_heads=4, num_key_value_heads=1, head_dim=10, sliding_window=6,
                                       layer_types=["sliding_attention", "full_attention"],
                                       rope_parameters={"sliding_attention": rope("default"),
                                                        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}}),
    "gpt_neox": hf.GPTNeoXConfig(**small, num_attention_heads=3, use_parallel_residual=False,
                                 rope_parameters=dict(rope("default"), partial_rotary_factor=0.5)),
    "gpt_oss": hf.GptOssConfig(**small, num_attention_heads=6, num_key_value_heads=2, head_dim=10, sliding_window=9, num_local_experts=3,
                               num_experts_per_tok=2, rope_parameters=yarn),
    "gptj": hf.GPTJConfig(vocab_size=VOCABULARY, n_positions=40, n_embd=24, n_layer=2, n_head=3, rotary_dim=6, n_inner=20),
    "llama_dynamic": hf.LlamaConfig(**small, num_attention_heads=8, num_key_value_heads=1, head_dim=14, rope_parameters=rope("dynamic", factor=2.0)),
    "llama_linear": hf.LlamaConfig(**small, num_attention_heads=6, num_key_value_heads=2, head_dim=10,
                                   rope_parameters=rope("linear", factor=3.0)),
    "llama_llama3": hf.LlamaConfig(**small, num_attention_heads=3, num_key_value_heads=1, head_dim=22, attention_bias=True,
                                   tie_word_embeddings=True,
                                   rope_parameters=rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=3.0,
                                                        original_max_position_embeddings=24)),
    "llama_long": hf.LlamaConfig(**small, num_attention_heads=2, num_key_value_heads=1, head_dim=34, rope_parameters=rope("default")),
    "llama_yarn": hf.LlamaConfig(**small, num_attention_heads=2, num_key_value_heads=2, head_dim=26,
                                 rope_parameters=dict(yarn, beta_fast=16.0, beta_slow=2.0, attention_factor=1.3)),
    "marian": hf.MarianConfig(**bart, pad_token_id=0, activation_function="swish"),
    "mbart": hf.MBartConfig(**dict(bart, encoder_layers=2, decoder_layers=1, scale_embedding=True)),
    "mistral": hf.MistralConfig(**small, num_attention_heads=12, num_key_value_heads=4, head_dim=6, sliding_window=5),
    "modernbert": hf.ModernBertConfig(**small, num_attention_heads=6, local_attention=10, global_attn_every_n_layers=2, pad_token_id=0),
    "mpnet": hf.MPNetConfig(**encoder),
    "mt5": hf.MT5Config(vocab_size=VOCABULARY, d_model=20, d_kv=10, d_ff=20, num_layers=1, num_decoder_layers=2, num_heads=3,
                        relative_attention_num_buckets=16, relative_attention_max_distance=24, feed_forward_proj="gated-gelu"),
    "opt": hf.OPTConfig(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, ffn_dim=20, word_embed_proj_dim=14,
                        do_layer_norm_before=False, max_position_embeddings=70),
    "pegasus": hf.PegasusConfig(**dict(bart, scale_embedding=True)),
    "phi": hf.PhiConfig(**small, num_attention_heads=2, rope_parameters=dict(rope("default"), partial_rotary_factor=0.5)),
    "phi3_longrope": hf.Phi3Config(**small, num_attention_heads=2, num_key_value_heads=1, pad_token_id=0,
                                   original_max_position_embeddings=64,
                                   rope_parameters=rope("longrope", short_factor=[1.0, 1.1, 1.3, 1.6, 2.0, 2.5], long_factor=[4.0] * 6,
                                                        original_max_position_embeddings=64)),
    "qwen2_window": hf.Qwen2Config(**small, num_attention_heads=6, num_key_value_heads=3, use_sliding_window=True, sliding_window=4,
                                   max_window_layers=1),
    "qwen3": hf.Qwen3Config(**small, num_attention_heads=3, num_key_value_heads=3, head_dim=18),
    "qwen3_moe": hf.Qwen3MoeConfig(**small, num_attention_heads=4, num_key_value_heads=2, head_dim=14, num_experts=3, num_experts_per_tok=2,
                                   moe_intermediate_size=12, norm_topk_prob=True),
    "roberta": hf.RobertaConfig(**dict(encoder, type_vocab_size=1), pad_token_id=1),
    "smollm3": hf.SmolLM3Config(**small, num_attention_heads=6, num_key_value_heads=1, no_rope_layers=[1, 0], pad_token_id=0),
    "stablelm": hf.StableLmConfig(**small, num_attention_heads=2, num_key_value_heads=1, use_parallel_residual=True,
                                  rope_parameters=dict(rope("default"), partial_rotary_factor=0.35)),
    "t5_long": hf.T5Config(vocab_size=VOCABULARY, d_model=20, d_kv=7, d_ff=20, num_layers=2, num_decoder_layers=1, num_heads=3,
                           relative_attention_num_buckets=8, relative_attention_max_distance=20),
}
LENGTHS = {"bart": (22, 27), "t5_long": (70, 55), "llama_long": (67, 0)}


def fill(model, generator):
    """Weights that make heads look at something."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 1:
            norm = name.endswith("weight") and ("norm" in name.lower() or ".ln_" in name)
            weight.data = (1.0 if norm else 0.0) + 0.2 * noise
        elif "relative_attention_bias" in name:
            weight.data = noise
        elif any(word in name.lower() for word in ("embed", "wte", "shared")):
            weight.data = 0.6 * noise
        else:
            weight.data = 1.2 * noise / weight.shape[-1] ** 0.5
            if name.endswith("Attention.q.weight"):  # T5's scores are not scaled
                weight.data /= model.config.d_kv ** 0.5


def run(model, inputs):
    with torch.no_grad():
        return model(**inputs, output_attentions=True)


def maps(out, name):
    return np.stack([layer[0].to(torch.float32).numpy() for layer in getattr(out, name)])


def make(name, config, to):
    config = copy.deepcopy(config)
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    both = bool(config.is_encoder_decoder)
    n, target = LENGTHS.get(name, (TOKENS, 23))
    model = hf.AutoModel.from_config(config, attn_implementation="eager").eval()
    fill(model, generator)
    to.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(to)
    model = hf.AutoModel.from_pretrained(to, attn_implementation="eager", experts_implementation="eager").eval()
    ids = torch.randint(3, VOCABULARY, (1, n), generator=generator)
    inputs, facts = {"input_ids": ids}, {"ids": ids.numpy()}
    if name.endswith("_types"):
        types = torch.tensor([[i * config.type_vocab_size // n for i in range(n)]])
        inputs["token_type_ids"] = types
        facts["types"] = types.numpy()[0]
    names = {"attentions": "attn"}
    if both:
        inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (1, target), generator=generator)
        facts["dec_ids"] = inputs["decoder_input_ids"].numpy()
        names = {"encoder_attentions": "attn", "decoder_attentions": "dec_attn", "cross_attentions": "cross_attn"}
    out, exact = run(model, inputs), run(copy.deepcopy(model).double(), inputs)
    worst, largest = 0, []
    for theirs, ours in names.items():
        facts[ours] = maps(out, theirs)
        worst = max(worst, float(np.abs(facts[ours] - maps(exact, theirs)).max()))
        largest.append(float(facts[ours].max(axis=-1).mean()))
    np.savez(to / "expected.npz", **facts)
    print(f"{name:16} {worst:.1e}  {' '.join(f'{x:.2f}' for x in largest)}", flush=True)


torch.set_num_threads(1)
for name in sys.argv[2:] or MODELS:
    make(name, MODELS[name], pathlib.Path(sys.argv[1]) / name)
