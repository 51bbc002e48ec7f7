#include "model/hparams.h"

#include <stdio.h>
#include <string.h>

enum { KEY_BYTES = 128 };

/* Getters for keys of the form ARCH.<rest>; the first failure sticks. */
struct keys {
    const struct gguf *g;
    const char *arch;
    bool ok;
    hearth_error *err;
    char key[KEY_BYTES];
};

static const char *key_of(struct keys *k, const char *rest)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->arch, rest);
    return k->key;
}

static int need_int(struct keys *k, const char *rest, int least, int most)
{
    uint64_t v = 0;
    k->ok = k->ok && gguf_need_uint(k->g, key_of(k, rest), (uint64_t)least, (uint64_t)most, &v, k->err);
    return (int)v;
}

static int int_or(struct keys *k, const char *rest, int least, int most, int dflt)
{
    uint64_t v = 0;
    k->ok = k->ok && gguf_uint_or(k->g, key_of(k, rest), (uint64_t)least, (uint64_t)most, (uint64_t)dflt, &v, k->err);
    return (int)v;
}

static double float_or(struct keys *k, const char *rest, double least, double most, double dflt)
{
    double v = 0;
    k->ok = k->ok && gguf_float_or(k->g, key_of(k, rest), least, most, dflt, &v, k->err);
    return v;
}

static bool read_rope(struct hparams *hp, struct keys *k)
{
    hp->rope_base = float_or(k, "rope.freq_base", 1e-6, 1e12, 10000.0);
    hp->rope_linear_factor = float_or(k, "rope.scale_linear", 1e-6, 1e6, 1.0);
    struct str type = STR("none");
    k->ok = k->ok && gguf_str_or(k->g, key_of(k, "rope.scaling.type"), type, &type, k->err);
    if (!k->ok)
        return false;
    if (str_eq_z(type, "linear"))
        hp->rope_linear_factor = float_or(k, "rope.scaling.factor", 1e-6, 1e6, hp->rope_linear_factor);
    else if (!str_eq_z(type, "none"))
        return fail(k->err, HEARTH_ERR_FORMAT,
                    "%s is \"" STR_FMT
                    "\"; this version knows \"none\" and \"linear\"; use a file without that scaling",
                    k->key, STR_ARG(type));
    return k->ok;
}

static bool check(const struct hparams *hp, struct keys *k)
{
    if (hp->n_heads % hp->n_kv_heads)
        return fail(k->err, HEARTH_ERR_FORMAT,
                    "%d query heads cannot share %d KV heads evenly; the file's metadata is damaged", hp->n_heads,
                    hp->n_kv_heads);
    if (hp->head_dim % 8 || hp->head_dim > MAX_HEAD_DIM)
        return fail(k->err, HEARTH_ERR_FORMAT, "head size %d is not supported (a multiple of 8, at most %d)",
                    hp->head_dim, MAX_HEAD_DIM);
    if (hp->n_rot % 2 || hp->n_rot > hp->head_dim)
        return fail(k->err, HEARTH_ERR_FORMAT,
                    "%s.rope.dimension_count is %d; it must be even and at most the head size %d", k->arch, hp->n_rot,
                    hp->head_dim);
    return true;
}

bool hparams_read(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err)
{
    struct keys k = { .g = g, .arch = arch, .ok = true, .err = err };
    *hp = (struct hparams){ 0 };
    hp->n_layers = need_int(&k, "block_count", 1, MAX_LAYERS);
    hp->n_embd = need_int(&k, "embedding_length", 1, MAX_EMBD);
    hp->n_ff = need_int(&k, "feed_forward_length", 1, MAX_FF);
    hp->n_heads = need_int(&k, "attention.head_count", 1, MAX_HEADS);
    hp->n_kv_heads = int_or(&k, "attention.head_count_kv", 1, MAX_HEADS, max_int(hp->n_heads, 1));
    hp->n_ctx_train = need_int(&k, "context_length", 1, MAX_CTX);
    hp->norm_eps = (float)float_or(&k, "attention.layer_norm_rms_epsilon", 1e-12, 1e-1, 1e-5);
    if (!k.ok)
        return false;
    if (!gguf_find(g, key_of(&k, "attention.key_length")) && hp->n_embd % hp->n_heads)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.embedding_length %d is no multiple of the %d heads, and the head size is not stated; "
                    "the file's metadata is damaged",
                    arch, hp->n_embd, hp->n_heads);
    hp->head_dim = int_or(&k, "attention.key_length", 1, MAX_EMBD, max_int(hp->n_embd / hp->n_heads, 1));
    int value_dim = int_or(&k, "attention.value_length", 1, MAX_EMBD, hp->head_dim);
    hp->n_rot = int_or(&k, "rope.dimension_count", 1, MAX_EMBD, hp->head_dim);
    int n_experts = int_or(&k, "expert_count", 0, 4096, 0);
    hp->n_vocab = int_or(&k, "vocab_size", 0, MAX_VOCAB, 0);
    if (!read_rope(hp, &k))
        return false;
    if (value_dim != hp->head_dim)
        return fail(err, HEARTH_ERR_FORMAT, "key size %d and value size %d differ; this version needs them equal",
                    hp->head_dim, value_dim);
    if (n_experts > 0)
        return fail(err, HEARTH_ERR_FORMAT, "the model has %d experts; this version runs dense models only", n_experts);
    return check(hp, &k);
}
