/*
 * engine.h: the one door to the engine. A text goes in, and for every head of a transformer its
 * statistics, its thumbnails and, on demand, any rectangle of its exact attention map come out.
 *
 *   model_open -> model_tokenize -> analysis_run(observer) -> activations -> attention_read / tile / series
 *
 * Threads   A `struct model` never changes after model_open; it is reference counted, and calls that take only
 *           a model may come from any thread. A `struct engine` (its thread pool and scratch) and everything that
 *           takes one belong to one thread at a time, the worker. The engine's own pool is the only place where
 *           BLAS runs. `struct activations` are read only after the run that made them; any thread may hold or
 *           destroy them, only the engine's thread may read from them.
 * Errors    Functions return an engine_status; on failure `error` (if error_size > 0) holds one sentence that
 *           names the problem and the cure, outputs are untouched, and the caller still owns every argument.
 *           Nothing here prints, exits or keeps global state (but for the guard of mapped files, mapping.h).
 * Units     Positions, layers and heads are 0-based; weights are float32 softmax outputs, 0 to 1; entropies are
 *           in nats; byte offsets count UTF-8 bytes of the caller's text. Ranges are half-open.
 * Source    The definition of every number: docs/statistics.md.
 */
#ifndef HEADSCOPE_ENGINE_H
#define HEADSCOPE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum engine_status {
    ENGINE_OK = 0,
    ENGINE_CANCELLED,    /* an observer returned false */
    ENGINE_INVALID,      /* the caller's input: text, ids, options, ranges */
    ENGINE_NOT_FOUND,    /* no such file */
    ENGINE_BROKEN,       /* a model file that is damaged, or was cut short or replaced while in use */
    ENGINE_UNSUPPORTED,  /* a sound model file with something this engine does not do, named in `error` */
    ENGINE_TOO_LARGE,    /* more tokens than the model reads, or more memory than allowed */
    ENGINE_NO_MEMORY,
    ENGINE_IO,
};

/* Raised whenever any number that the engine returns may change: part of every analysis' id. */
#define ENGINE_NUMERICS_VERSION 2

/* ---- sections ---------------------------------------------------------------------------------------------- */

/* Whose attention to what. A model that only reads, or only writes, has one section and needs no word for it; one with an encoder and
 * a decoder (Vaswani et al. 2017) has three: its encoder's self-attention [layer, head, n, n], its decoder's self-attention
 * [layer, head, target_n, target_n], and cross-attention from the target (queries) to the source (keys) [layer, head, target_n, n]. */
enum section { SECTION_DECODER, SECTION_ENCODER, SECTION_CROSS, SECTIONS };

struct head_address {
    enum section section;
    int layer, head;
};

/* ---- models ------------------------------------------------------------------------------------------------ */

struct model;

struct model_info {
    const char *name;          /* general.name, else the file's name */
    const char *architecture;  /* "llama"; of a folder, its model_type */
    const char *licence;       /* "" if the file names none */
    const char *format;        /* "gguf", "safetensors" */
    const char *dtype;         /* precision of most weights: "Q4_1", "F16", ... */
    const char *tokenizer;     /* "bpe (smollm)"; "" for a model without one that can be used: it takes token ids only */
    const char *chat;          /* the format of its chats, "chatml"; "" where it has none that is known */
    const char *tokenizer_error; /* why its tokenizer cannot be used, one sentence; "" */
    int layers, heads, kv_heads, head_dim, d_model;
    int context;               /* the most tokens that the model reads */
    int vocabulary;
    int token_types;           /* how many types (segments) it reads beside the ids; 0: none */
    bool pairs;                /* its tokenizer knows how two texts go together */
    bool causal;               /* queries see no later keys; of an encoder and a decoder: the decoder's do not */
    bool sink_logits;          /* each row's softmax has a term of its own that belongs to no key: rows sum below 1 */
    int encoder_layers, encoder_heads; /* of a model with an encoder and a decoder, whose other numbers are the decoder's; else 0 */
    int decoder_start;         /* the id that its decoder begins every text with; -1: none, or not known */
    uint64_t bytes;            /* size of the file or files */
};

/* Maps the model at `path` (a .gguf, or a folder with config.json and safetensors files) and checks all of it that can be checked
 * without reading the weights.
 * Weights stay on disk until used. The caller owns one reference. */
enum engine_status model_open(const char *path, struct model **model, char *error, size_t error_size);
struct model *model_retain(struct model *model);
void model_release(struct model *model); /* NULL is fine */

/* Borrowed from the model, valid as long as it. */
const struct model_info *model_describe(const struct model *model);

/* SECTION_ENCODER of a model that only reads, else SECTION_DECODER: the one section of most models. */
enum section model_section(const struct model *model);

/* Told, while files are read, how many bytes have been so far; returning false ends it with ENGINE_CANCELLED. */
struct digest_observer {
    void *context;
    bool (*read)(void *context, uint64_t bytes);
};

/* SHA-256 of the file's bytes, lower-case hex with its NUL. Reads the whole file: remember the answer. Of a folder: the SHA-256 of
 * the lines that sha256sum prints for config.json and the files with weights, in the order of their names. A file that a store keeps
 * under its digest (blobs/<digest>, blobs/sha256-<digest>) is not read again. `observer` may be NULL. */
enum engine_status model_file_digest(const char *path, const struct digest_observer *observer, char digest[65], char *error,
                                     size_t error_size);
/* SHA-256 of what the tokenizer does (pattern, vocabulary, merges, specials), found at model_open. "" without one. */
const char *model_tokenizer_digest(const struct model *model);

/* ---- tokens ------------------------------------------------------------------------------------------------ */

struct token {
    int32_t id;
    uint32_t start, end; /* bytes of the text; a special token that is not in the text has start = end = 0 */
    bool special;        /* what the tokenizer flags special, nothing else */
    uint8_t sequence;    /* of a pair: the text, 0 or 1, that start and end count in; of a token that was added, the text before it */
    uint8_t type;        /* token type (segment) that an encoder reads beside the id */
};

struct byte_range {
    size_t start, end; /* half-open */
};

struct tokenize_options {
    bool parse_special; /* special tokens spelt in the text count as such */
    bool add_special;   /* add what the tokenizer adds by itself (<bos>, [CLS], ...) */
    const char *pair;   /* the second text of a pair; NULL: there is none */
    size_t pair_size;
    const struct byte_range *plain; /* ascending parts of the (first) text that no special token may reach into; may be NULL */
    size_t plain_count;
};

/* text: `size` bytes of UTF-8, may hold NULs. Invalid UTF-8: ENGINE_INVALID, with the byte offset in `error`.
 * *tokens: *n of them, freed with free(). Byte ranges point into the user's own text, whatever was normalised: they ascend, leave out
 * what was dropped (white space between BERT's words), overlap where one character became several tokens, and are empty where a
 * token was made of nothing in the text (an inserted space). A tokenizer that changes nothing gives ranges that tile the text.
 * ENGINE_INVALID for a pair where info->pairs is false. */
enum engine_status model_tokenize(const struct model *model, const char *text, size_t size,
                                  const struct tokenize_options *options, struct token **tokens, size_t *n,
                                  char *error, size_t error_size);

/* What a token stands for, as bytes (not always whole characters). Borrowed from the model; *special may be NULL.
 * NULL where the model has no tokenizer or id is out of range. */
const char *model_token_bytes(const struct model *model, int32_t id, size_t *size, bool *special);

/* ---- chats ------------------------------------------------------------------------------------------------- */

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_ROLES };

struct chat_message {
    enum chat_role role;
    const char *content; /* `size` bytes of UTF-8, may hold NULs */
    size_t size;
};

/* What became of a message: bytes of the text. Parts ascend and do not overlap. */
struct chat_part {
    enum chat_role role;
    bool given;                /* false: the format wrote it by itself */
    struct byte_range whole;   /* its marks included */
    struct byte_range content; /* the message's own text; some formats take white space off its ends */
};

struct chat_text {
    char *text; /* `size` bytes, and a NUL */
    size_t size;
    struct chat_part *parts;
    size_t count;
};

/* The whole chat as the model was trained to read it (info->chat names the format). `answer`: the start of an answer at the end.
 * ENGINE_UNSUPPORTED where the model's format is not known; ENGINE_INVALID for messages that the format has no place for. The
 * caller ends *chat with chat_text_finish. */
enum engine_status model_chat(const struct model *model, const struct chat_message *messages, size_t count, bool answer,
                              struct chat_text *chat, char *error, size_t error_size);
void chat_text_finish(struct chat_text *chat);

/* ---- statistics -------------------------------------------------------------------------------------------- */

/* In the order of docs/statistics.md, which is also the order in JSON and CSV. */
enum statistic {
    STAT_ENTROPY, STAT_ENTROPY_NORMALISED, STAT_EFFECTIVE_KEYS, STAT_MAX_WEIGHT, STAT_MEAN_DISTANCE, STAT_SINK_MASS,
    STAT_SELF_MASS, STAT_SELF_MASS_WITHOUT_SINKS, STAT_PREVIOUS_MASS, STAT_PREVIOUS_MASS_WITHOUT_SINKS,
    STAT_NEXT_MASS, STAT_NEXT_MASS_WITHOUT_SINKS, STAT_LOCAL_MASS, STAT_LOCAL_MASS_WITHOUT_SINKS,
    STAT_DUPLICATE_ROWS, STAT_DUPLICATE_MASS, STAT_DUPLICATE_MASS_WITHOUT_SINKS,
    STAT_INDUCTION_ROWS, STAT_INDUCTION_MASS, STAT_INDUCTION_MASS_WITHOUT_SINKS,
    STAT_OFFSET_MODE, STAT_OFFSET_RATE, STAT_OFFSET_R2,
    STAT_VALUE_SINK_SHARE, STAT_OUTPUT_RATIO, STAT_MISSING_MASS,
    STAT_COUNT
};

struct statistic_field {
    const char *name;  /* "entropy_normalised" */
    bool integer;      /* a count or an offset */
    bool encoder_only; /* absent for causal models */
    bool sink_logits_only; /* absent for models without info->sink_logits */
};
extern const struct statistic_field statistic_fields[STAT_COUNT];

/* NAN: does not apply (null in JSON). Everything else is finite. */
struct head_statistics {
    double value[STAT_COUNT];
};

/* ---- an analysis ------------------------------------------------------------------------------------------- */

struct engine;

struct engine_options {
    int threads;         /* 0: one per core that the process may use */
    uint64_t memory_max; /* the most bytes one run may take, scratch and activations; 0: no limit */
};

enum engine_status engine_create(const struct engine_options *options, struct engine **engine, char *error,
                                 size_t error_size);
void engine_destroy(struct engine *engine); /* NULL is fine; no run may be going on */
int engine_threads(const struct engine *engine);
/* For when there is nothing to do: readies some memory for the next run, in 2 ms. False: all is ready. */
bool engine_idle(struct engine *engine);
/* What the engine holds ready, beside runs and their activations: at most a sixteenth of memory_max. */
uint64_t engine_idle_bytes(const struct engine *engine);
/* One line for logs and benchmarks: which vector path and which BLAS kernel run, e.g. "avx512, OpenBLAS SkylakeX". */
const char *engine_kernels(const struct engine *engine);

/* Of the products of linear layers; everything else is float32. */
enum precision { PRECISION_FLOAT32, PRECISION_BF16 };
bool precision_available(enum precision precision); /* bf16: where the processor has AVX512_BF16 */
const char *precision_name(enum precision precision); /* "float32", "bf16" */

struct analysis_input {
    const struct model *model;
    const int32_t *ids; /* [n] */
    size_t n;
    /* Excluded keys ("sinks"), ascending and unique, positions in [0, n). "auto" (position 0 and the special tokens) is
     * resolved by the caller with analysis_default_exclusions. */
    const uint32_t *excluded;
    size_t excluded_count;
    float *residual; /* [n, d_model], if not NULL: takes the residual stream behind the last layer; not with a prefix */
    const uint8_t *types; /* [n] token types (segments) that encoders read beside the ids; NULL: all 0 */
    /* What the decoder of a model with an encoder reads, and its excluded keys, positions in [0, target_n). NULL and 0 else. */
    const int32_t *target_ids; /* [target_n] */
    size_t target_n;
    const uint32_t *target_excluded;
    size_t target_excluded_count;
    enum precision precision; /* ENGINE_UNSUPPORTED where it is not available */
};

/* Fills excluded[] (room for n) with position 0 and every special token's position; returns how many.
 * An encoder's list is the special tokens and position 0 too. */
size_t analysis_default_exclusions(const struct model *model, const int32_t *ids, size_t n, uint32_t *excluded);

struct analysis_estimate {
    double seconds; /* on this machine, a rough guess */
    uint64_t bytes; /* scratch and activations together, an upper bound */
};

/* ENGINE_INVALID for n = 0 or an id out of range, ENGINE_TOO_LARGE for too many tokens or too much memory, with the
 * numbers in `error`. analysis_run makes the same checks. */
enum engine_status analysis_estimate(struct engine *engine, const struct analysis_input *input,
                                     struct analysis_estimate *estimate, char *error, size_t error_size);

/* One finished layer. Everything is borrowed and gone after the callback. All layers of the encoder come first; then for each layer of
 * the decoder its self-attention, and its cross-attention.
 * Thumbnails are u8, round(255 sqrt(x)), cells pooled from the map as rows = min(48, queries), cols = min(48, keys): cell (a, b) takes
 * queries floor(a N / rows) .. floor((a + 1) N / rows) - 1 of N queries, and keys likewise, the excluded keys left out: `max` of the
 * weights, `mean` over those that the mask lets the query see, 0 where there are none. `excluded` is the mean over the
 * bin's queries of the weight on the excluded keys. */
struct layer_result {
    enum section section;
    int layer;
    int heads;
    const struct head_statistics *statistics; /* [heads] */
    int rows, cols;
    const uint8_t *max, *mean; /* [heads, rows, cols] */
    const uint8_t *excluded;   /* [heads, rows] */
};

/* Called on the engine's thread. Returning false cancels the run, which then returns ENGINE_CANCELLED. */
struct analysis_observer {
    void *context;
    bool (*layer)(void *context, const struct layer_result *result);
    /* Between row blocks and products, every few milliseconds: the place to serve small reads (attention_read, tile,
     * series on finished activations are allowed here, another run is not) and to notice that nobody waits. May be NULL. */
    bool (*breathe)(void *context);
};

struct activations;

/* The largest absolute difference of any weight between float32 and a precision, on a fixed text of up to 64 tokens; 0 for float32
 * itself. The first call for a model runs it twice, the next ones remember. */
enum engine_status analysis_precision_error(struct engine *engine, struct model *model, enum precision precision, double *largest,
                                            char *error, size_t error_size);

/* Runs the model on the ids. On ENGINE_OK:
 *   *sinks, *sink_count: the sinks of this text (docs/statistics.md), ascending, freed with free();
 *   *activations: q, k, v and log-sum-exps of all layers, owned by the caller. They hold a reference to the model.
 * `prefix` (may be NULL): activations of the same model whose text shares its first tokens with this one; what is shared, in the same
 * precision, is not computed again. The result is the same within the tolerances either way. */
enum engine_status analysis_run(struct engine *engine, const struct analysis_input *input,
                                const struct activations *prefix, const struct analysis_observer *observer,
                                uint32_t **sinks, size_t *sink_count, struct activations **activations, char *error,
                                size_t error_size);

void activations_destroy(struct activations *activations); /* NULL is fine */
uint64_t activations_bytes(const struct activations *activations);
const struct model *activations_model(const struct activations *activations); /* borrowed */
/* The first layer whose statistics are NAN because its numbers are not finite (the file holds a NaN, or is damaged), and which section's;
 * -1: all are finite. What follows from it is NAN too, pictures show 0, and maps hold what came out. */
int activations_not_finite(const struct activations *activations, enum section *section);
/* The ids that were run (of a model with an encoder and a decoder: the source's). Borrowed. */
const int32_t *activations_ids(const struct activations *activations, size_t *n);
/* The sinks among a section's keys, as analysis_run finds them for the first section; NULL and 0 where there is no such section. */
const uint32_t *activations_sinks(const struct activations *activations, enum section section, size_t *count);
/* Rows and columns of a section's maps; false where the model has no such section. */
bool activations_shape(const struct activations *activations, enum section section, size_t *queries, size_t *keys);

/* ---- reading maps from activations ------------------------------------------------------------------------- */

struct rectangle {
    size_t query0, query1, key0, key1; /* half-open, within the map */
};

/* weights[(query1 - query0) x (key1 - key0)], row-major, queries as rows: exact float32 softmax weights, 0 above the
 * diagonal of a causal model. O(rectangle). */
enum engine_status attention_read(struct engine *engine, const struct activations *activations, struct head_address at,
                                  const struct rectangle *rectangle, float *weights, char *error, size_t error_size);

/* The value-weighted map (Kobayashi et al. 2020) is each weight times norm(v_j W_O), the length of what key j has to give.
 * These norms for one head: [n], borrowed. NULL: there is no such head. */
const float *activations_value_norms(const struct activations *activations, struct head_address at);
/* As attention_read, of the value-weighted map. */
enum engine_status attention_read_values(struct engine *engine, const struct activations *activations, struct head_address at,
                                         const struct rectangle *rectangle, float *weights, char *error, size_t error_size);
/* The largest cell of the value-weighted map, by which its pictures are scaled. The first call goes over the whole map. */
enum engine_status attention_largest_value(struct engine *engine, const struct activations *activations, struct head_address at,
                                           float *largest, char *error, size_t error_size);

enum pooling { POOL_MAX, POOL_MEAN };
enum weighting { WEIGHTING_NONE, WEIGHTING_VALUE };

/* One u8 tile of at most 256 x 256 pixels: level `zoom` halves the map (rounding up) zoom times, so that a pixel pools
 * 2^zoom x 2^zoom weights (mean: of those that the mask lets the query see); x counts along keys, y along queries.
 * pixels: room for 65536, row-major [*height, *width]; a pixel is round(255 sqrt(weight)), or of the value-weighted map
 * round(255 sqrt(cell / largest cell of the map)). No key is left out.
 * ENGINE_INVALID for a tile outside the map or a zoom beyond the level where one pixel is left. */
enum engine_status attention_tile(struct engine *engine, const struct activations *activations, struct head_address at,
                                  int zoom, size_t x, size_t y, enum pooling pooling, enum weighting weighting,
                                  uint8_t *pixels, int *width, int *height, char *error, size_t error_size);

/* Per query: entropy, largest weight, weight on the excluded keys; per key: received weight (mean over the queries that see
 * it, itself left out; NAN where there are none). Each [queries], `received` [keys]; any may be NULL. `excluded`: of the section's
 * keys. */
struct head_series {
    double *entropy, *max_weight, *sink_mass, *received;
};
enum engine_status attention_series(struct engine *engine, const struct activations *activations, struct head_address at,
                                    const uint32_t *excluded, size_t excluded_count, const struct head_series *series,
                                    char *error, size_t error_size);

#include "engine/across.h" /* questions across heads and across two texts */

/* What heads are, and how far their own habits explain what they did: rooms behind this door. */
#include "engine/lifts.h"
#include "engine/probes.h"
#include "engine/atlas.h"

#endif
