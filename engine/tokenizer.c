#include "engine/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checked.h"
#include "engine/digest.h"
#include "engine/failure.h"
#include "engine/tokenizer_parts.h"
#include "engine/utf8.h"

/* ---- making ------------------------------------------------------------------------------------------------ */

struct tokenizer *tokenizer_create(void) {
    struct tokenizer *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    template_add(&made->single, (struct template_piece){.text = true});
    return made;
}

bool template_add(struct template *template, struct template_piece piece) {
    if (template->count == TEMPLATE_MAX) return false;
    template->pieces[template->count++] = piece;
    return true;
}

void tokenizer_destroy(struct tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    bpe_destroy(tokenizer->bpe);
    wordpiece_destroy(tokenizer->wordpiece);
    unigram_destroy(tokenizer->unigram);
    added_tokens_destroy(tokenizer->plain);
    added_tokens_destroy(tokenizer->normalised);
    normalizer_finish(&tokenizer->normalizer);
    pretokenizer_finish(&tokenizer->pretokenizer);
    vocabulary_destroy(tokenizer->vocabulary);
    free(tokenizer);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

const char *tokenizer_name(const struct tokenizer *tokenizer) {
    return tokenizer->name;
}

size_t tokenizer_vocabulary(const struct tokenizer *tokenizer) {
    return vocabulary_count(tokenizer->vocabulary);
}

bool tokenizer_takes_pairs(const struct tokenizer *tokenizer) {
    return tokenizer->pair.count > 0;
}

static void hash_template(const struct template *template, struct sha256_ctx *context) {
    const uint8_t count = (uint8_t)template->count;
    sha256_update(context, 1, &count);
    for (size_t i = 0; i < template->count; i++) {
        const struct template_piece *piece = &template->pieces[i];
        const uint8_t bytes[] = {piece->text, piece->sequence, piece->type, (uint8_t)piece->id, (uint8_t)(piece->id >> 8),
                                 (uint8_t)(piece->id >> 16), (uint8_t)(piece->id >> 24)};
        sha256_update(context, sizeof bytes, bytes);
    }
}

void tokenizer_digest(const struct tokenizer *tokenizer, char digest[65]) {
    struct sha256_ctx context;
    const char *kind = tokenizer->bpe != NULL ? "bpe" : tokenizer->wordpiece != NULL ? "wordpiece" : "unigram";
    sha256_init(&context);
    sha256_update(&context, strlen(kind) + 1, (const uint8_t *)kind);
    vocabulary_hash(tokenizer->vocabulary, &context);
    added_tokens_hash(tokenizer->plain, &context);
    normalizer_hash(&tokenizer->normalizer, &context);
    added_tokens_hash(tokenizer->normalised, &context);
    pretokenizer_hash(&tokenizer->pretokenizer, &context);
    if (tokenizer->bpe != NULL) bpe_hash(tokenizer->bpe, &context);
    if (tokenizer->wordpiece != NULL) wordpiece_hash(tokenizer->wordpiece, &context);
    if (tokenizer->unigram != NULL) unigram_hash(tokenizer->unigram, &context);
    hash_template(&tokenizer->single, &context);
    hash_template(&tokenizer->pair, &context);
    digest_hex(&context, digest);
}

const char *tokenizer_bytes(const struct tokenizer *tokenizer, int32_t id, size_t *size, bool *special) {
    if (id < 0 || (size_t)id >= vocabulary_count(tokenizer->vocabulary)) return NULL;
    if (special != NULL) *special = vocabulary_is_special(tokenizer->vocabulary, (uint32_t)id);
    return vocabulary_shown(tokenizer->vocabulary, (uint32_t)id, size);
}

/* ---- running ----------------------------------------------------------------------------------------------- */

/* One text, or two, on the way. */
struct run {
    const struct tokenizer *tokenizer;
    const struct tokenize_options *options;
    uint8_t sequence, type; /* of what is being added */
    struct stretch word;    /* what the model sees */
    struct matcher *matcher;
    struct splitter *splitter;
    struct rewriting scratch[2];
    struct bpe_scratch bpe;
    struct unigram_scratch unigram;
    struct token *tokens;
    size_t count, room;
    char *error;
    size_t error_size;
};

static enum engine_status add_token(struct run *run, uint32_t id, struct origin origin) {
    if (run->count == run->room) {
        size_t room = run->room > 0 ? run->room * 2 : 64, bytes;
        struct token *tokens = checked_multiply(room, sizeof *tokens, &bytes) ? realloc(run->tokens, bytes) : NULL;
        if (tokens == NULL) return engine_fail_memory(run->error, run->error_size);
        run->tokens = tokens;
        run->room = room;
    }
    run->tokens[run->count++] = (struct token){
        .id = (int32_t)id,
        .start = origin.start,
        .end = origin.end,
        .special = vocabulary_is_special(run->tokenizer->vocabulary, id),
        .sequence = run->sequence,
        .type = run->type,
    };
    return ENGINE_OK;
}

static enum engine_status on_token(void *context, uint32_t id, size_t start, size_t end) {
    struct run *run = context;
    struct origin origin = stretch_origin(run->word, start, end);
    if (id == BPE_NONE)
        return engine_fail(ENGINE_INVALID, run->error, run->error_size,
                           "the model has no token for the byte 0x%02x at byte %u of the text, and none for unknown ones; leave it out",
                           (unsigned char)run->word.bytes[start], origin.start);
    return add_token(run, id, origin);
}

static enum engine_status on_word(void *context, struct stretch word) {
    struct run *run = context;
    const struct tokenizer *tokenizer = run->tokenizer;
    enum engine_status status;
    run->word = word;
    if (tokenizer->bpe != NULL) status = bpe_word(tokenizer->bpe, &run->bpe, word.bytes, word.size, on_token, run);
    else if (tokenizer->wordpiece != NULL) status = wordpiece_word(tokenizer->wordpiece, word.bytes, word.size, on_token, run);
    else status = unigram_word(tokenizer->unigram, &run->unigram, word.bytes, word.size, on_token, run);
    return status == ENGINE_NO_MEMORY ? engine_fail_memory(run->error, run->error_size) : status;
}

struct place {
    const struct run *run;
    struct stretch stretch;
};

/* No special token reaches into a part of the text that is plain. */
static bool special_counts(const void *context, size_t start, size_t end) {
    const struct place *place = context;
    const struct tokenize_options *options = place->run->options;
    struct origin origin = stretch_origin(place->stretch, start, end);
    size_t low = 0, high = options->plain_count;
    while (low < high) { /* the first part that ends behind the token's start */
        size_t middle = low + (high - low) / 2;
        if (options->plain[middle].end > origin.start) high = middle;
        else low = middle + 1;
    }
    return low == options->plain_count || options->plain[low].start >= origin.end;
}

/* Cuts the tokens of `set` out of a stretch; `rest` takes what lies between. */
static enum engine_status cut_out(struct run *run, const struct added_tokens *set, struct stretch stretch,
                                  enum engine_status (*rest)(struct run *run, struct stretch part)) {
    struct added_match match;
    const struct place place = {run, stretch};
    struct added_filter filter = {.special = run->options->parse_special, .context = &place};
    enum engine_status status = ENGINE_OK;
    size_t done = 0;
    if (run->options->plain_count > 0 && run->sequence == 0) filter.counts = special_counts;
    while (status == ENGINE_OK && added_tokens_find(set, stretch.bytes, stretch.size, done, filter, &match)) {
        if (match.start > done) status = rest(run, stretch_part(stretch, done, match.start));
        if (status == ENGINE_OK) status = add_token(run, match.id, stretch_origin(stretch, match.start, match.end));
        done = match.end;
    }
    return status == ENGINE_OK && done < stretch.size ? rest(run, stretch_part(stretch, done, stretch.size)) : status;
}

static enum engine_status add_normalised(struct run *run, struct stretch part) {
    return splitter_run(run->splitter, part, on_word, run, run->error, run->error_size);
}

static enum engine_status add_plain(struct run *run, struct stretch part) {
    struct stretch normalised;
    enum engine_status status = normalizer_run(&run->tokenizer->normalizer, part, run->matcher, run->scratch, &normalised,
                                               run->error, run->error_size);
    if (status != ENGINE_OK) return status;
    return cut_out(run, run->tokenizer->normalised, normalised, add_normalised);
}

static enum engine_status check_text(const char *text, size_t size, char *error, size_t error_size) {
    if (size > INT32_MAX)
        return engine_fail(ENGINE_TOO_LARGE, error, error_size, "the text has %zu bytes; at most %d can be read", size, INT32_MAX);
    size_t valid = utf8_valid_prefix(text, size);
    if (valid < size)
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "the text is not UTF-8: byte %zu (0x%02x) is not part of a character", valid,
                           (unsigned char)text[valid]);
    return ENGINE_OK;
}

static enum engine_status follow_template(struct run *run, const struct template *template, const char *const texts[2],
                                          const size_t sizes[2]) {
    enum engine_status status = ENGINE_OK;
    for (size_t i = 0; i < template->count && status == ENGINE_OK; i++) {
        const struct template_piece *piece = &template->pieces[i];
        run->type = piece->type;
        if (piece->text) {
            run->sequence = piece->sequence;
            status = cut_out(run, run->tokenizer->plain,
                             (struct stretch){.bytes = texts[piece->sequence], .size = sizes[piece->sequence]}, add_plain);
        } else if (run->options->add_special) {
            status = add_token(run, piece->id, (struct origin){0, 0});
        }
    }
    return status;
}

enum engine_status tokenizer_run(const struct tokenizer *tokenizer, const char *text, size_t size,
                                 const struct tokenize_options *options, struct token **tokens, size_t *n, char *error,
                                 size_t error_size) {
    const char *const texts[2] = {text, options->pair};
    const size_t sizes[2] = {size, options->pair != NULL ? options->pair_size : 0};
    enum engine_status status = check_text(text, size, error, error_size);
    if (status == ENGINE_OK) status = check_text(texts[1], sizes[1], error, error_size);
    if (status != ENGINE_OK) return status;
    if (options->pair != NULL && !tokenizer_takes_pairs(tokenizer))
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "the tokenizer, %s, does not say how a pair of texts goes together; leave the second text out", tokenizer->name);
    struct run run = {.tokenizer = tokenizer, .options = options, .error = error, .error_size = error_size};
    run.matcher = matcher_create();
    if (run.matcher != NULL) run.splitter = splitter_create(&tokenizer->pretokenizer, run.matcher);
    if (run.splitter == NULL) status = engine_fail_memory(error, error_size);
    if (status == ENGINE_OK)
        status = follow_template(&run, options->pair != NULL ? &tokenizer->pair : &tokenizer->single, texts, sizes);
    splitter_destroy(run.splitter);
    matcher_destroy(run.matcher);
    rewriting_finish(&run.scratch[0]);
    rewriting_finish(&run.scratch[1]);
    bpe_scratch_finish(&run.bpe);
    unigram_scratch_finish(&run.unigram);
    if (status == ENGINE_OK && run.tokens == NULL && (run.tokens = malloc(1)) == NULL)
        status = engine_fail_memory(error, error_size);
    if (status != ENGINE_OK) {
        free(run.tokens);
        return status;
    }
    *tokens = run.tokens;
    *n = run.count;
    return ENGINE_OK;
}
