/*
 * digest.h: SHA-256 (FIPS 180-4) as lower-case hex.
 */
#ifndef HEADSCOPE_ENGINE_DIGEST_H
#define HEADSCOPE_ENGINE_DIGEST_H

#include <nettle/sha2.h>

/* Ends the digest that `context` has been fed for. */
void digest_hex(struct sha256_ctx *context, char digest[65]);

#endif
