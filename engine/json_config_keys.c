#include "engine/json_config_keys.h"

#include <string.h>

#include "engine/failure.h"

/* Keys that json_config.c reads, or that change no weight by themselves. Any other is refused, unless it is null. */
static const char *const known_keys[] = {
    /* read */
    "model_type", "hidden_size", "n_embd", "dim", "d_model", "num_hidden_layers", "n_layer", "n_layers", "num_attention_heads", "n_head",
    "n_heads", "num_key_value_heads", "num_kv_heads", "head_dim", "intermediate_size", "n_inner", "ffn_dim", "hidden_dim",
    "ffn_hidden_size", "vocab_size", "max_position_embeddings", "n_positions", "n_ctx", "seq_length", "hidden_act", "hidden_activation",
    "activation_function", "activation", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps",
    "rope_theta", "rope_scaling", "rope_parameters", "rotary_emb_base", "rotary_pct", "rotary_dim", "partial_rotary_factor",
    "rope_local_base_freq", "global_rope_theta", "local_rope_theta", "original_max_position_embeddings", "sliding_window",
    "use_sliding_window", "max_window_layers", "sliding_window_pattern", "_sliding_window_pattern", "layer_types", "local_attention",
    "global_attn_every_n_layers", "no_rope_layers", "no_rope_layer_interval", "query_pre_attn_scalar", "attn_logit_softcapping",
    "attention_multiplier", "residual_multiplier", "embedding_multiplier", "use_parallel_residual", "parallel_attn",
    "new_decoder_architecture", "multi_query", "do_layer_norm_before", "num_local_experts", "num_experts", "num_experts_per_tok",
    "moe_intermediate_size", "norm_topk_prob", "swiglu_alpha", "swiglu_limit", "pad_token_id", "relative_attention_num_buckets",
    "relative_attention_max_distance", "encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers", "encoder_attention_heads",
    "decoder_attention_heads", "num_heads", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "d_kv", "feed_forward_proj", "scale_embedding",
    "decoder_vocab_size", "word_embed_proj_dim", "embedding_size", "attention_bias", "mlp_bias", "num_ln_in_parallel_attn",
    /* of training, of generating, of other heads than the attention's, of the file's making */
    "architectures", "transformers_version", "torch_dtype", "dtype", "_name_or_path", "name_or_path", "use_cache", "bos_token_id",
    "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "unk_token_id", "decoder_start_token_id", "tie_word_embeddings",
    "initializer_range", "init_std", "initializer_cutoff_factor", "attention_dropout", "hidden_dropout", "hidden_dropout_prob",
    "attention_probs_dropout_prob", "dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "embedding_dropout", "residual_dropout",
    "activation_dropout", "layerdrop", "classifier_dropout", "classifier_dropout_prob", "qa_dropout", "seq_classif_dropout",
    "mlp_dropout", "classifier_activation", "classifier_bias", "classifier_pooling", "decoder_bias", "deterministic_flash_attn",
    "sparse_pred_ignore_index", "sparse_prediction", "reference_compile", "repad_logits_with_grad", "summary_activation",
    "summary_last_dropout", "summary_first_dropout", "summary_type", "summary_use_proj", "summary_proj_to_labels", "task_specific_params",
    "id2label", "label2id", "problem_type", "finetuning_task", "gradient_checkpointing", "pretraining_tp", "logits_scaling",
    "logit_scale", "final_logit_softcapping", "router_aux_loss_coef", "router_jitter_noise", "output_router_logits", "type_vocab_size",
    "bias", "use_bias", "use_qkv_bias", "enable_bias", "norm_bias", "reorder_and_upcast_attn", "slow_but_exact",
    "sinusoidal_pos_embds", "_remove_final_layer_norm", "output_past", "use_return_dict", "return_dict", "torchscript",
    "auto_map", "cache_implementation", "attn_implementation", "_attn_implementation", "rescale_layers", "prefix", "unk_index",
    "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
    "masked_softmax_fusion", "bias_dropout_fusion", "attention_softmax_in_fp32", "skip_bias_add", "skip_bias_add_qkv",
    "predict_special_tokens", "afn", "down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks",
    "output_attentions", "output_hidden_states", "tokenizer_class", "max_length", "min_length", "do_sample", "temperature", "top_p",
    "head_type", "initial_context_length", "experts_per_token", "embedding_initializer_range", "transformers.js_config",
    "position_embedding_type", "relative_attention", "share_att_key", "pos_att_type", "position_buckets",
    "max_relative_positions", "position_biased_input", "norm_rel_ebd", "legacy", "pooler_dropout", "pooler_hidden_act", "pooler_hidden_size",
    "cls_dropout", "initializer_factor", "dropout_rate", "classif_dropout", "encoder_layerdrop", "decoder_layerdrop",
    "dense_act_fn", "is_gated_act", "scale_decoder_outputs", "share_encoder_decoder_embeddings", "forced_bos_token_id",
    "forced_eos_token_id", "bad_words_ids", "num_beams", "early_stopping", "length_penalty", "no_repeat_ngram_size",
    "force_bos_token_to_be_generated", "num_return_sequences", "extra_pos_embeddings", "normalize_before", "normalize_embedding",
    "static_position_embeddings", "add_bias_logits", "add_final_layer_norm", "n_special", "tie_encoder_decoder",
    /* what every configuration of Hugging Face's may say, and models on its hub do */
    "use_bfloat16", "tf_legacy_loss", "chunk_size_feed_forward", "cross_attention_hidden_size", "tie_encoder_decoder", "tie_weights_",
    "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "top_k", "typical_p", "repetition_penalty", "length_penalty",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores",
    "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
    "suppress_tokens", "begin_suppress_tokens", "num_labels", "_commit_hash", "_attn_implementation_autoset", "model_max_length", "language",
    "n_special", "offset_alibi", "use_flash_attention", "use_flash_attn", "unsloth_version", "unsloth_fixed", "license", "keys_to_ignore_at_inference",
};

/* Keys that do nothing at one value and are refused at any other. */
static const struct {
    const char *name;
    bool neutral;
    const char *does;
} neutral_flags[] = {
    {"is_decoder", false, "an encoder that works as a decoder"}, {"add_cross_attention", false, "cross-attention"},
    {"is_encoder_decoder", false, "an encoder and a decoder"}, {"use_qk_norm", false, "norms of queries and keys"},
    {"qk_layernorm", false, "norms of queries and keys"}, {"alibi", false, "linear biases of positions"},
    {"scale_attn_by_inverse_layer_idx", false, "attention scaled by the layer"},
    {"apply_residual_connection_post_layernorm", false, "residuals behind the norm"},
    {"layer_norm_elementwise_affine", true, "norms without weights"}, {"use_bidirectional_attention", false, "attention to later tokens"},
    {"rope_interleaved", false, "another pairing of rotary dimensions"},
    {"scale_attn_weights", true, "attention that is not scaled"}, {"rotary", true, "positions that do not turn"},
    {"use_mrope", false, "positions in several dimensions"},
};

static const struct {
    const char *name;
    int neutral;
} neutral_numbers[] = {{"num_hidden_groups", 1}, {"inner_group_num", 1}, {"decoder_sparse_step", 1}};

static const struct {
    const char *name, *neutral;
} neutral_words[] = {{"position_embedding_type", "absolute"}, {"norm_type", "layer_norm"}, {"mlp_type", "default"}};

/* Keys that do nothing where they hold nothing. */
static const char *const neutral_lists[] = {"mlp_only_layers", "pruned_heads"};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static bool is_known(const char *key, const json_t *value) {
    if (json_is_null(value)) return true;
    for (size_t i = 0; i < COUNT(known_keys); i++)
        if (strcmp(key, known_keys[i]) == 0) return true;
    return false;
}

/* Whether the key is one of those that do nothing at one value; *does is then NULL, or what it asks for. */
static bool is_neutral(const char *key, const json_t *value, const char **does) {
    *does = NULL;
    for (size_t i = 0; i < COUNT(neutral_flags); i++) {
        if (strcmp(key, neutral_flags[i].name) != 0) continue;
        if (!json_is_boolean(value) || json_is_true(value) != neutral_flags[i].neutral) *does = neutral_flags[i].does;
        return true;
    }
    for (size_t i = 0; i < COUNT(neutral_numbers); i++) {
        if (strcmp(key, neutral_numbers[i].name) != 0) continue;
        if (!json_is_integer(value) || json_integer_value(value) != neutral_numbers[i].neutral) *does = "another number than 1";
        return true;
    }
    for (size_t i = 0; i < COUNT(neutral_words); i++) {
        if (strcmp(key, neutral_words[i].name) != 0) continue;
        if (!json_is_string(value) || strcmp(json_string_value(value), neutral_words[i].neutral) != 0) *does = "another kind";
        return true;
    }
    for (size_t i = 0; i < COUNT(neutral_lists); i++) {
        if (strcmp(key, neutral_lists[i]) != 0) continue;
        if (json_array_size(value) > 0 || json_object_size(value) > 0 || !(json_is_array(value) || json_is_object(value)))
            *does = "some layers or heads that are not as the others";
        return true;
    }
    return false;
}

enum engine_status config_check_keys(json_t *root, bool with_encoder, char *error, size_t error_size) {
    const char *key, *does;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (with_encoder && strcmp(key, "is_encoder_decoder") == 0) continue;
        bool neutral = !json_is_null(value) && is_neutral(key, value, &does);
        if (neutral && does)
            return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the model asks for %s (%s), which is not supported", does, key);
        if (!neutral && !is_known(key, value))
            return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "config.json has the key %s, which is not known here and may change the numbers",
                               key);
    }
    return ENGINE_OK;
}

/* ---- biases ------------------------------------------------------------------------------------------------------ */

/* What a flag says of a family's linear layers, and says where it is absent. Families that are not here have no such flag. */
static const struct {
    const char *type, *key;
    bool otherwise, attention, feed_forward;
} bias_flags[] = {
    {"llama", "attention_bias", false, true, false},   {"llama", "mlp_bias", false, false, true},
    {"granite", "attention_bias", false, true, false}, {"granite", "mlp_bias", false, false, true},
    {"smollm3", "attention_bias", false, true, false}, {"smollm3", "mlp_bias", false, false, true},
    {"qwen3", "attention_bias", false, true, false},   {"qwen3_moe", "attention_bias", false, true, false},
    {"gemma", "attention_bias", false, true, false},   {"gemma2", "attention_bias", false, true, false},
    {"gemma3_text", "attention_bias", false, true, false}, {"olmo2", "attention_bias", false, true, false},
    {"cohere", "attention_bias", false, true, false},  {"glm4", "attention_bias", false, true, false},
    {"gpt_oss", "attention_bias", true, true, false},  {"gpt_neox", "attention_bias", true, true, false},
    {"modernbert", "attention_bias", false, true, false}, {"modernbert", "mlp_bias", false, false, true},
    {"stablelm", "use_qkv_bias", false, true, false},  {"starcoder2", "use_bias", true, true, true},
    {"falcon", "bias", false, true, true},             {"opt", "enable_bias", true, true, true},
};

void config_read_claims(const json_t *root, const char *type, struct config_claims *claims) {
    *claims = (struct config_claims){0};
    for (size_t i = 0; i < COUNT(bias_flags); i++) {
        if (strcmp(bias_flags[i].type, type) != 0) continue;
        const json_t *value = json_object_get(root, bias_flags[i].key);
        bool has = json_is_boolean(value) ? json_is_true(value) : bias_flags[i].otherwise;
        const struct bias_claim claim = {bias_flags[i].key, has};
        if (bias_flags[i].attention) claims->attention = claim;
        if (bias_flags[i].feed_forward) claims->feed_forward = claim;
    }
}
