/* tiny.h: a random model of two layers (gemma4: four), of any architecture and format, made in milliseconds. */
#pragma once
#include "dtype/dtype.h"
#include "hearth/hearth.h"

struct tiny {
    const char *arch;
    enum dtype type;
    bool untied, rope_freqs;
    int n_ctx;              /* 0: 512 */
    const char *samplers;   /* general.sampling.sequence and more of that kind beside it; NULL: none */
    const char *nan_tensor; /* this tensor's first value is NaN; NULL: none */
    const char *wrong_key;  /* without ARCH.: has wrong_number instead of what is right; NULL: none */
    int wrong_number;       /* below 0: the key is missing */
};

enum { TINY_VOCAB = 288, TINY_EMBD = 256, TINY_FF = 512, TINY_HEADS = 4, TINY_KV_HEADS = 2, TINY_LAYERS = 2 };
enum { TINY_GEMMA4_LAYERS = 4 };
enum { TINY_LATENT = 64, TINY_KEPT = 96 }; /* of latent attention: the latent, and all that is kept of a token */

/* Write it to path; fails the test on error. */
void tiny_write(const char *path, const struct tiny *t);
/* A path in the build's temporary folder that no other test uses; static buffer per call site name. */
void tiny_path(char *out, size_t room, const char *name);
