/* sha256.c: by libcrypto's plain functions. The newer ones (EVP) look the algorithm up in a context that they set up
 * in some thousand allocations, and where one of those fails libcrypto 3.0 ends the process. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/sha256.h"

#include <openssl/sha.h>

#include "base/alloc.h"

struct sha256 {
    SHA256_CTX ctx;
};

struct sha256 *sha256_new(void)
{
    struct sha256 *s = mem_alloc(sizeof *s);
    if (s)
        SHA256_Init(&s->ctx);
    return s;
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    if (s)
        SHA256_Update(&s->ctx, bytes, n);
}

void sha256_hex(struct sha256 *s, char out[65])
{
    unsigned char md[SHA256_DIGEST_LENGTH] = { 0 };
    if (s)
        SHA256_Final(md, &s->ctx);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        out[2 * i] = "0123456789abcdef"[md[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
    }
    out[64] = 0;
}

void sha256_bytes(struct sha256 *s, uint8_t out[32])
{
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
        out[i] = 0;
    if (!s)
        return;
    SHA256_Final(out, &s->ctx);
    SHA256_Init(&s->ctx);
}

void sha256_free(struct sha256 *s) { mem_free(s); }
