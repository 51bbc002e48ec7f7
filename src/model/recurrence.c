#include "model/recurrence.h"

#include <stdio.h>

enum { KEY_BYTES = 128, MAX_STATE = 1024, ALIGN_FLOATS = 16 };

size_t recurrence_floats(const struct hparams *hp)
{
    size_t matrix = (size_t)hp->n_state * (size_t)hp->n_inner;
    return align_size(recurrence_tail_floats(hp) + (hp->n_state_heads ? matrix : 0), ALIGN_FLOATS);
}

static bool need(const struct gguf *g, const char *arch, const char *rest, int most, int *out, hearth_error *err)
{
    char key[KEY_BYTES];
    uint64_t v = 0;
    snprintf(key, sizeof key, "%s.%s", arch, rest);
    if (!gguf_need_uint(g, key, 1, (uint64_t)most, &v, err))
        return false;
    *out = (int)v;
    return true;
}

static bool read_short_conv(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err)
{
    hp->n_conv = hp->n_inner = hp->n_embd;
    hp->n_mix = 3 * hp->n_embd;
    return need(g, arch, "shortconv.l_cache", RECURRENCE_MAX_TAPS, &hp->n_taps, err);
}

/* ssm.*: heads of groups, and what goes through the convolution: keys, queries, values. */
static bool read_heads(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err)
{
    if (!need(g, arch, "ssm.conv_kernel", RECURRENCE_MAX_TAPS, &hp->n_taps, err)
        || !need(g, arch, "ssm.state_size", MAX_STATE, &hp->n_state, err)
        || !need(g, arch, "ssm.group_count", MAX_HEADS, &hp->n_state_groups, err)
        || !need(g, arch, "ssm.time_step_rank", MAX_HEADS, &hp->n_state_heads, err)
        || !need(g, arch, "ssm.inner_size", MAX_EMBD, &hp->n_inner, err))
        return false;
    if (hp->n_state_heads % hp->n_state_groups)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.ssm.time_step_rank is %d, no multiple of ssm.group_count %d; the file's metadata is damaged",
                    arch, hp->n_state_heads, hp->n_state_groups);
    if (hp->n_inner % (16 * hp->n_state_heads) || hp->n_inner > MAX_STATE * hp->n_state_heads)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.ssm.inner_size is %d for %d heads; this version needs a multiple of 16 values for each, at "
                    "most %d",
                    arch, hp->n_inner, hp->n_state_heads, MAX_STATE);
    hp->n_conv = hp->n_inner + 2 * hp->n_state_groups * hp->n_state;
    return true;
}

/* Which layers are recurrent, where the number of KV heads does not say so: a list, or all but every n-th. */
static bool read_layers(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err)
{
    char key[KEY_BYTES];
    uint64_t period;
    struct gguf_array list;
    snprintf(key, sizeof key, "%s.full_attention_interval", arch);
    if (!gguf_uint_or(g, key, 1, MAX_LAYERS, 4, &period, err))
        return false;
    snprintf(key, sizeof key, "%s.attention.recurrent_layers", arch);
    if (!gguf_array_or_none(g, key, GGUF_BOOL, MAX_LAYERS, &list, err))
        return false;
    if (list.data && list.n != (uint64_t)hp->n_layers)
        return fail(err, HEARTH_ERR_FORMAT, "%s says %llu times whether a layer is recurrent, and there are %d; the "
                    "file's metadata is damaged", key, (unsigned long long)list.n, hp->n_layers);
    for (int i = 0; i < hp->n_layers; i++)
        if (list.data ? list.data[i] != 0 : (uint64_t)(i + 1) % period != 0) {
            hp->recurrent[i / 64] |= (uint64_t)1 << (i % 64);
            hp->n_kv_layers--;
        }
    return hp->n_kv_layers > 0
           || fail(err, HEARTH_ERR_FORMAT, "%s says that no layer has attention; this version needs one", key);
}

static bool read_delta(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err)
{
    if (!read_heads(hp, g, arch, err) || !read_layers(hp, g, arch, err))
        return false;
    hp->n_mix = hp->n_conv + hp->n_inner + 2 * hp->n_state_heads;
    return true;
}

static bool read_mamba(struct hparams *hp, const struct gguf *g, const char *arch, hearth_error *err)
{
    if (!read_heads(hp, g, arch, err))
        return false;
    hp->n_mix = hp->n_inner + hp->n_conv + hp->n_state_heads;
    return true;
}

bool recurrence_read(struct hparams *hp, const struct gguf *g, const char *arch, enum recurrence kind,
                     hearth_error *err)
{
    static bool (*const readers[])(struct hparams *, const struct gguf *, const char *, hearth_error *) = {
        [RECURRENCE_SHORT_CONV] = read_short_conv,
        [RECURRENCE_DELTA] = read_delta,
        [RECURRENCE_MAMBA] = read_mamba,
    };
    if (kind != RECURRENCE_NONE)
        return readers[kind](hp, g, arch, err);
    if (hp->n_kv_layers == hp->n_layers)
        return true;
    return fail(err, HEARTH_ERR_FORMAT,
                "%s.attention.head_count_kv is 0 for some layers, and %s models have attention in all of them as this "
                "version knows them; is general.architecture right?",
                arch, arch);
}
