/* sha256.h: SHA-256 through libcrypto. */
#pragma once
#include "base/base.h"

struct sha256;                   /* opaque; NULL-safe */
struct sha256 *sha256_new(void); /* NULL: out of memory */
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
/* Writes 64 lower-case hex digits and a NUL; resets nothing, so call it once. */
void sha256_hex(struct sha256 *s, char out[65]);
/* The 32 bytes themselves; then it begins anew, and may be used again. Zeros for NULL. */
void sha256_bytes(struct sha256 *s, uint8_t out[32]);
void sha256_free(struct sha256 *s);
