#include "base/sha256.h"

#include <openssl/evp.h>

/* The handle is libcrypto's own context under our name. */
static EVP_MD_CTX *ctx_of(struct sha256 *s) { return (EVP_MD_CTX *)(void *)s; }

struct sha256 *sha256_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct sha256 *)(void *)ctx;
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    if (s)
        EVP_DigestUpdate(ctx_of(s), bytes, n);
}

void sha256_hex(struct sha256 *s, char out[65])
{
    unsigned char md[32] = { 0 };
    if (s)
        EVP_DigestFinal_ex(ctx_of(s), md, NULL);
    for (int i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[md[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
    }
    out[64] = 0;
}

void sha256_free(struct sha256 *s)
{
    if (s)
        EVP_MD_CTX_free(ctx_of(s));
}
