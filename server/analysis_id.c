#include "server/analysis_id.h"

#include <nettle/sha2.h>
#include <stdint.h>
#include <string.h>

/* Numbers enter as 8 bytes, little-endian, and everything of variable length after its length, so that no two different
 * inputs give the same bytes. */
static void hash_number(struct sha256_ctx *hash, uint64_t number) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(number >> (8 * i));
    sha256_update(hash, sizeof bytes, bytes);
}

static void hash_bytes(struct sha256_ctx *hash, const void *bytes, size_t size) {
    hash_number(hash, size);
    sha256_update(hash, size, bytes);
}

static void hash_text(struct sha256_ctx *hash, const char *text) {
    hash_bytes(hash, text, strlen(text));
}

void analysis_id_make(const struct prepared *prepared, const struct analysis_request *request, char id[65]) {
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&hash);
    hash_text(&hash, "headscope analysis");
    hash_number(&hash, ENGINE_NUMERICS_VERSION);
    hash_text(&hash, prepared->model.digest);
    hash_text(&hash, model_tokenizer_digest(prepared->model.model));
    hash_number(&hash, prepared->text != NULL);
    if (prepared->text) {
        hash_bytes(&hash, prepared->text, prepared->text_size);
        hash_number(&hash, request->text_pair != NULL);
        if (request->text_pair) hash_bytes(&hash, request->text_pair, request->text_pair_size);
        hash_number(&hash, request->parse_special);
        hash_number(&hash, request->add_special);
    }
    hash_number(&hash, prepared->chat.count);
    for (size_t i = 0; i < prepared->chat.count; i++) {
        const struct chat_part *part = &prepared->chat.parts[i];
        const size_t numbers[] = {part->role, part->given, part->whole.start, part->whole.end, part->content.start, part->content.end};
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) hash_number(&hash, numbers[k]);
    }
    hash_number(&hash, prepared->n);
    for (size_t i = 0; i < prepared->n; i++) hash_number(&hash, (uint64_t)prepared->ids[i]);
    hash_number(&hash, request->exclude);
    hash_number(&hash, prepared->excluded_count);
    for (size_t i = 0; i < prepared->excluded_count; i++) hash_number(&hash, prepared->excluded[i]);
    if (prepared->target_n > 0) {
        hash_number(&hash, request->target != NULL);
        if (request->target) hash_bytes(&hash, request->target, request->target_size);
        hash_number(&hash, prepared->target_n);
        for (size_t i = 0; i < prepared->target_n; i++) hash_number(&hash, (uint64_t)prepared->target_ids[i]);
        hash_number(&hash, prepared->target_excluded_count);
        for (size_t i = 0; i < prepared->target_excluded_count; i++) hash_number(&hash, prepared->target_excluded[i]);
    }
    if (prepared->precision != PRECISION_FLOAT32) hash_text(&hash, precision_name(prepared->precision));
    sha256_digest(&hash, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        *id++ = "0123456789abcdef"[digest[i] >> 4];
        *id++ = "0123456789abcdef"[digest[i] & 15];
    }
    *id = '\0';
}

bool analysis_id_is(const char *id) {
    return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}
