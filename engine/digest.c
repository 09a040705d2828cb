#include "engine/digest.h"

void digest_hex(struct sha256_ctx *context, char digest[65]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[SHA256_DIGEST_SIZE];
    sha256_digest(context, sizeof bytes, bytes);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        digest[2 * i] = digits[bytes[i] >> 4];
        digest[2 * i + 1] = digits[bytes[i] & 15];
    }
    digest[64] = '\0';
}
