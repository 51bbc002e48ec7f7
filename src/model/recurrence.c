#include "model/recurrence.h"

#include <stdio.h>

enum { KEY_BYTES = 128, ALIGN_FLOATS = 16 };

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

bool recurrence_read(struct hparams *hp, const struct gguf *g, const char *arch, enum recurrence kind,
                     hearth_error *err)
{
    static bool (*const readers[])(struct hparams *, const struct gguf *, const char *, hearth_error *) = {
        [RECURRENCE_SHORT_CONV] = read_short_conv,
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
