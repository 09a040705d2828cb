#include "engine/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "engine/failure.h"
#include "engine/utf8.h"

enum { STEPS_MAX = 64 };

/* ---- making ------------------------------------------------------------------------------------------------ */

static void finish_step(struct normalizer_step *step) {
    pattern_destroy(step->pattern);
    charsmap_destroy(step->map);
    free(step->content);
}

static void hash_step(struct sha256_ctx *context, const struct normalizer_step *step, const void *definition, size_t size) {
    const uint8_t head[] = {(uint8_t)step->kind, (uint8_t)step->form, (uint8_t)step->class, step->left, step->right,
                            (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), (uint8_t)(size >> 24)};
    sha256_update(context, sizeof head, head);
    if (size > 0) sha256_update(context, size, definition);
    sha256_update(context, step->content_size, (const uint8_t *)step->content);
}

enum engine_status normalizer_add(struct normalizer *normalizer, struct normalizer_step step, const void *definition,
                                  size_t definition_size, char *error, size_t error_size) {
    struct normalizer_step *steps = NULL;
    if (normalizer->count < STEPS_MAX) steps = realloc(normalizer->steps, (normalizer->count + 1) * sizeof *steps);
    if (steps == NULL) {
        finish_step(&step);
        if (normalizer->count < STEPS_MAX) return engine_fail_memory(error, error_size);
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size, "the tokenizer has more than %d normalizers", STEPS_MAX);
    }
    if (normalizer->count == 0) sha256_init(&normalizer->digest);
    hash_step(&normalizer->digest, &step, definition, definition_size);
    normalizer->steps = steps;
    normalizer->steps[normalizer->count++] = step;
    return ENGINE_OK;
}

void normalizer_finish(struct normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->count; i++) finish_step(&normalizer->steps[i]);
    free(normalizer->steps);
    *normalizer = (struct normalizer){0};
}

void normalizer_hash(const struct normalizer *normalizer, struct sha256_ctx *context) {
    uint8_t digest[SHA256_DIGEST_SIZE] = {0};
    struct sha256_ctx so_far = normalizer->digest;
    if (normalizer->count > 0) sha256_digest(&so_far, sizeof digest, digest);
    sha256_update(context, sizeof digest, digest);
}

/* ---- steps ------------------------------------------------------------------------------------------------- */

static bool is_ascii(struct stretch text) {
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.bytes[i] >= 0x80) return false;
    return true;
}

/* Steps that leave ASCII alone. */
static bool leaves_ascii(const struct normalizer_step *step) {
    return step->kind == NORMALIZE_FORM || step->kind == NORMALIZE_SPACE_OUT ||
           (step->kind == NORMALIZE_DROP && (step->class == CLASS_MARK || step->class == CLASS_MARK_NONSPACING));
}

static void lower(struct stretch in, size_t at, size_t length, uint32_t character, struct rewriting *out) {
    uint32_t lowered[2];
    int count = unicode_lower(character, lowered);
    if (lowered[0] == character) {
        rewriting_keep(out, in, at, at + length);
        return;
    }
    for (int i = 0; i < count; i++) rewriting_put_character(out, lowered[i], stretch_origin(in, at, at + length));
}

static void clean(struct stretch in, size_t at, size_t length, uint32_t character, struct rewriting *out) {
    bool is_line = character == '\t' || character == '\n' || character == '\r';
    if (!is_line && (character == 0 || character == 0xfffd || unicode_is(character, CLASS_OTHER))) return;
    if (unicode_is(character, CLASS_WHITESPACE)) rewriting_put(out, " ", 1, stretch_origin(in, at, at + length));
    else rewriting_keep(out, in, at, at + length);
}

static void space_out(struct stretch in, size_t at, size_t length, uint32_t character, struct rewriting *out) {
    bool apart = unicode_is(character, CLASS_IDEOGRAPH);
    struct origin here = stretch_origin(in, at, at + length);
    if (apart) rewriting_put(out, " ", 1, (struct origin){here.start, here.start});
    rewriting_keep(out, in, at, at + length);
    if (apart) rewriting_put(out, " ", 1, (struct origin){here.end, here.end});
}

static void each_character(const struct normalizer_step *step, struct stretch in, struct rewriting *out) {
    uint32_t character;
    for (size_t at = 0, length; at < in.size; at += length) {
        length = utf8_character(in.bytes + at, in.size - at, &character);
        if (length == 0) return; /* cannot be: stretches are valid */
        if (step->kind == NORMALIZE_LOWERCASE) lower(in, at, length, character, out);
        else if (step->kind == NORMALIZE_CLEAN) clean(in, at, length, character, out);
        else if (step->kind == NORMALIZE_SPACE_OUT) space_out(in, at, length, character, out);
        else if (!unicode_is(character, step->class)) rewriting_keep(out, in, at, at + length);
    }
}

static struct stretch strip(const struct normalizer_step *step, struct stretch in) {
    size_t start = 0, end = in.size;
    uint32_t character;
    for (size_t length; step->left && start < end; start += length) {
        length = utf8_character(in.bytes + start, end - start, &character);
        if (length == 0 || !unicode_is(character, CLASS_WHITESPACE)) break;
    }
    while (step->right && end > start) {
        size_t last = end - 1;
        while (last > start && ((unsigned char)in.bytes[last] & 0xc0) == 0x80) last--;
        if (utf8_character(in.bytes + last, end - last, &character) == 0 || !unicode_is(character, CLASS_WHITESPACE)) break;
        end = last;
    }
    return stretch_part(in, start, end);
}

static enum engine_status replace(const struct normalizer_step *step, struct stretch in, struct matcher *matcher,
                                  struct rewriting *out, char *error, size_t error_size) {
    struct search search = search_start(step->pattern, in.bytes, in.size);
    size_t done = 0, start, end;
    bool found;
    for (;;) {
        enum engine_status status = search_next(&search, matcher, &found, &start, &end);
        if (status == ENGINE_NO_MEMORY) return engine_fail_memory(error, error_size);
        if (status != ENGINE_OK)
            return engine_fail(ENGINE_INVALID, error, error_size,
                               "the text is too much for a pattern of the tokenizer's normalizer near byte %u; part it there",
                               stretch_origin(in, start, start).start);
        if (!found) break;
        rewriting_keep(out, in, done, start);
        rewriting_put(out, step->content, step->content_size, stretch_origin(in, start, end));
        done = end;
    }
    rewriting_keep(out, in, done, in.size);
    return ENGINE_OK;
}

static enum engine_status run_step(const struct normalizer_step *step, struct stretch in, struct matcher *matcher,
                                   struct rewriting *out, char *error, size_t error_size) {
    switch (step->kind) {
    case NORMALIZE_FORM:
        unicode_normalise(in, step->form, out);
        return ENGINE_OK;
    case NORMALIZE_LOWERCASE:
    case NORMALIZE_DROP:
    case NORMALIZE_CLEAN:
    case NORMALIZE_SPACE_OUT:
        each_character(step, in, out);
        return ENGINE_OK;
    case NORMALIZE_REPLACE:
        return replace(step, in, matcher, out, error, error_size);
    case NORMALIZE_PREPEND:
        if (in.size > 0) rewriting_put(out, step->content, step->content_size, stretch_origin(in, 0, 0));
        rewriting_keep(out, in, 0, in.size);
        return ENGINE_OK;
    case NORMALIZE_CHARSMAP:
        charsmap_apply(step->map, in, out);
        return ENGINE_OK;
    case NORMALIZE_STRIP: /* needs no copy: normalizer_run */
        break;
    }
    return ENGINE_OK;
}

enum engine_status normalizer_run(const struct normalizer *normalizer, struct stretch in, struct matcher *matcher,
                                  struct rewriting scratch[2], struct stretch *out, char *error, size_t error_size) {
    int turn = 0;
    bool ascii = is_ascii(in);
    for (size_t i = 0; i < normalizer->count; i++) {
        const struct normalizer_step *step = &normalizer->steps[i];
        if (step->kind == NORMALIZE_STRIP) {
            in = strip(step, in);
            continue;
        }
        if (ascii && leaves_ascii(step)) continue;
        struct rewriting *next = &scratch[turn];
        rewriting_clear(next);
        enum engine_status status = run_step(step, in, matcher, next, error, error_size);
        if (status != ENGINE_OK) return status;
        if (next->failed) return engine_fail_memory(error, error_size);
        in = rewriting_result(next);
        ascii = is_ascii(in);
        turn = 1 - turn;
    }
    *out = in;
    return ENGINE_OK;
}
