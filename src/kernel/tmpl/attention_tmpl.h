/* attention_tmpl.h: one page of 64 keys against query vectors.
 *
 * A score is one chain over the head dimension, lanes = keys. An output value is one chain over the
 * keys, lanes = dimensions. Queries that see the same keys go together, up to 4, so that a page's
 * conversion to floats serves them all; together or alone, the bits are the same.
 *
 * Where groups of values share a scale, a score is a chain over the groups, each of them a chain of its own that
 * ends with one multiplication; and a key's weight is multiplied with the scale before it meets the value. */

enum { ATTEND_QUERIES = 4 };

/* q[begin .. end) with 16 * nv keys from `first` on. */
TEMPLATE void attend_chain(vf32 acc[ATTEND_QUERIES][4], const float *const *q, const uint8_t *keys, int begin, int end,
                           int first, const int nq, const int nv, kv_values_fn *values)
{
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++)
            acc[i][j] = v_zerof();
    }
    UNROLL_NO
    for (int d = begin; d < end; d++) {
        vf32 k[4];
        UNROLLED
        for (int j = 0; j < nv; j++)
            k[j] = values(keys, (ptrdiff_t)d * KV_PAGE_TOKENS + first + 16 * j, 16);
        UNROLLED
        for (int i = 0; i < nq; i++) {
            vf32 x = v_setf(q[i][d]);
            UNROLLED
            for (int j = 0; j < nv; j++)
                acc[i][j] = v_fma(x, k[j], acc[i][j]);
        }
    }
}

/* s[i][first .. first + 16 * nv) for nq queries. */
TEMPLATE void attend_scores(float s[ATTEND_QUERIES][KV_PAGE_TOKENS], const float *const *q,
                            const struct attend_page *page, int first, const int nq, const int nv, const int group,
                            kv_values_fn *values)
{
    const uint8_t *keys = page->k + kv_scales_bytes(page->head_dim, group);
    const int step = group > 0 ? group : page->head_dim;
    UNROLL_NO
    for (int d = 0; d < page->head_dim; d += step) {
        vf32 acc[ATTEND_QUERIES][4];
        attend_chain(acc, q, keys, d, min_int(page->head_dim, d + step), first, nq, nv, values);
        UNROLLED
        for (int j = 0; j < nv; j++) {
            ptrdiff_t place = group > 0 ? (ptrdiff_t)(d / step) * KV_PAGE_TOKENS + first + 16 * j : 0;
            vf32 scale = group > 0 ? v_load_f16(kv_halves(page->k) + place) : v_zerof();
            UNROLLED
            for (int i = 0; i < nq; i++) {
                float *to = s[i] + first + 16 * j;
                v_storef(to, group == 0 ? acc[i][j] : v_fma(scale, acc[i][j], d == 0 ? v_zerof() : v_loadf(to)));
            }
        }
    }
}

/* s = cap * tanh(s * scale / cap): apart from the softmax, which has no time for it. */
static __attribute__((noinline)) void attend_cap(float *s, float scale, float cap)
{
    for (int key = 0; key < KV_PAGE_TOKENS; key += 16)
        v_storef(s + key, v_soft_cap(v_mulf(v_loadf(s + key), v_setf(scale)), v_setf(cap)));
}

/* Scores to weights in place: p = e^(s * scale - page maximum), 0 for keys not seen: those from n_keys on, and
 * those that are -infinity. Lanes are places in the page, so sums do not depend on which keys are seen. */
TEMPLATE void attend_softmax(float *s, int n_keys, float scale, float *page_max, float *page_sum)
{
    vf32 v[4], most = v_setf(-INFINITY), none = most, sum = v_zerof();
    UNROLLED
    for (int j = 0; j < 4; j++) {
        v[j] = v_keep(v_mulf(v_loadf(s + 16 * j), v_setf(scale)), none, n_keys - 16 * j);
        most = v_maxf(v[j], most);
    }
    *page_max = v_max_lanesf(most);
    UNROLLED
    for (int j = 0; j < 4; j++) {
        vf32 p = v_keep(v_exp(v_subf(v[j], v_setf(*page_max))), v_zerof(), n_keys - 16 * j);
        v_storef(s + 16 * j, p);
        sum = v_addf(sum, p);
    }
    *page_sum = v_sumf(sum);
}

/* How the page's sums enter a query's state: state = state * old + page * now. */
struct attend_merge {
    float old, now;
    bool first; /* nothing is there yet */
};

/* The weights of a query times the scales of n_groups groups of values. */
TEMPLATE void attend_weigh(float weighed[2][ATTEND_QUERIES][KV_PAGE_TOKENS],
                           const float p[ATTEND_QUERIES][KV_PAGE_TOKENS], const uint16_t *scales, struct key_span seen,
                           const int nq, const int n_groups)
{
    for (int key = seen.first / 16 * 16; key < seen.end; key += 16)
        for (int g = 0; g < n_groups; g++) {
            vf32 scale = v_load_f16(scales + g * KV_PAGE_TOKENS + key);
            for (int i = 0; i < nq; i++)
                v_storef(weighed[g][i] + key, v_mulf(v_loadf(p[i] + key), scale));
        }
}

TEMPLATE void attend_values(float *const *o, const float p[ATTEND_QUERIES][KV_PAGE_TOKENS],
                            const struct attend_merge *merge, const struct attend_page *page, struct key_span seen,
                            int first, int n, const int nq, const int nv, const int group, kv_values_fn *values)
{
    const int n_groups = group == 0 ? 0 : 16 * nv > group ? 16 * nv / group : 1;
    float weighed[2][ATTEND_QUERIES][KV_PAGE_TOKENS]; /* left alone without groups */
    if (group > 0)
        attend_weigh(weighed, p, kv_halves(page->v) + (ptrdiff_t)(first / group) * KV_PAGE_TOKENS, seen, nq, n_groups);
    const uint8_t *at = page->v + kv_scales_bytes(page->head_dim, group);
    vf32 acc[ATTEND_QUERIES][4];
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++)
            acc[i][j] = v_zerof();
    }
    UNROLL_NO
    for (int key = seen.first; key < seen.end; key++) {
        vf32 v[4];
        UNROLLED
        for (int j = 0; j < nv; j++)
            v[j] = values(at, (ptrdiff_t)key * page->head_dim + first + 16 * j, n);
        UNROLLED
        for (int i = 0; i < nq; i++) {
            UNROLLED
            for (int j = 0; j < nv; j++) {
                const float *weights = group > 0 ? weighed[16 * j / group][i] : p[i];
                acc[i][j] = v_fma(v_setf(weights[key]), v[j], acc[i][j]);
            }
        }
    }
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++) {
            float *to = o[i] + first + 16 * j;
            vf32 sum = acc[i][j];
            if (!merge[i].first)
                sum = v_fma(v_loadf_n(to, n), v_setf(merge[i].old), v_mulf(sum, v_setf(merge[i].now)));
            v_storef_n(to, sum, n);
        }
    }
}

TEMPLATE struct attend_merge attend_state(float page_max, float page_sum, float *m, float *l)
{
    struct attend_merge merge = { 0, 1, *m == -INFINITY };
    if (merge.first) {
        *m = page_max;
        *l = page_sum;
        return merge;
    }
    float most = page_max > *m ? page_max : *m;
    float both[16] = { *m - most, page_max - most };
    v_storef(both, v_exp(v_loadf(both)));
    merge.old = both[0];
    merge.now = both[1];
    *m = most;
    *l = fmaf(*l, merge.old, page_sum * merge.now);
    return merge;
}

#define ATTEND_ARGS                                                                                                 \
    const struct attend_page *page, const float *const *q, struct key_span seen, float *m, float *l, float *const *o

TEMPLATE void attend_some(ATTEND_ARGS, const int nq, const int group, kv_values_fn *values)
{
    float s[ATTEND_QUERIES][KV_PAGE_TOKENS];
    struct attend_merge merge[ATTEND_QUERIES];
    const int step = 16 * ISA_ATTEND_VECS, head_dim = page->head_dim;
    int begin = seen.first / step * step, end = (seen.end + step - 1) / step * step;
    for (int first = begin; first < end; first += step)
        attend_scores(s, q, page, first, nq, ISA_ATTEND_VECS, group, values);
    for (int i = 0; i < nq; i++) {
        float page_max, page_sum, scale = page->scale;
        for (int key = end; key < KV_PAGE_TOKENS; key++)
            s[i][key] = 0;
        if (page->soft_cap > 0) {
            for (int key = 0; key < begin; key++)
                s[i][key] = 0;
            attend_cap(s[i], scale, page->soft_cap);
            scale = 1;
        }
        for (int key = 0; key < seen.first; key++)
            s[i][key] = -INFINITY;
        attend_softmax(s[i], seen.end, scale, &page_max, &page_sum);
        merge[i] = attend_state(page_max, page_sum, &m[i], &l[i]);
    }
    int d = 0;
    for (; d + step <= head_dim; d += step)
        attend_values(o, s, merge, page, seen, d, 16, nq, ISA_ATTEND_VECS, group, values);
    for (; d + 16 <= head_dim; d += 16)
        attend_values(o, s, merge, page, seen, d, 16, nq, 1, group, values);
    if (d < head_dim)
        attend_values(o, s, merge, page, seen, d, head_dim - d, nq, 1, group, values);
}

typedef void attend_fn(ATTEND_ARGS);

TEMPLATE void attend_all(const struct attend_page *page, const float *const *q, const struct key_span *seen, int n_q,
                         float *m, float *l, float *const *o, attend_fn *const attend[ATTEND_QUERIES + 1])
{
    for (int i = 0; i < n_q;) {
        const struct key_span *same = &seen[i];
        int n = 1;
        while (n < ATTEND_QUERIES && i + n < n_q && same[n].first == same->first && same[n].end == same->end)
            n++;
        if (same->first < same->end)
            attend[n](page, q + i, *same, m + i, l + i, o + i);
        i += n;
    }
}

#define KV_TYPE(name, value_bytes, group, help)                                                                     \
    static void attend_1_##name(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 1, group, kv_values_##name); }   \
    static void attend_2_##name(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 2, group, kv_values_##name); }   \
    static void attend_3_##name(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 3, group, kv_values_##name); }   \
    static void attend_4_##name(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 4, group, kv_values_##name); }   \
    static void attend_page_##name(const struct attend_page *page, const float *const *q,                           \
                                   const struct key_span *seen, int n_q, float *m, float *l, float *const *o)       \
    {                                                                                                               \
        static attend_fn *const attend[] = { 0, attend_1_##name, attend_2_##name, attend_3_##name,                  \
                                             attend_4_##name };                                                     \
        attend_all(page, q, seen, n_q, m, l, o, attend);                                                            \
    }
#include "hearth/kv_types.def"

static void attend_finish(float *out, const float *o, float m, float l, const float *sink, int head_dim)
{
    float both[16] = { 0, -INFINITY };
    if (sink) {
        float most = m > *sink ? m : *sink;
        both[0] = m - most;
        both[1] = *sink - most;
        v_storef(both, v_exp(v_loadf(both)));
        l = fmaf(l, both[0], both[1]);
    }
    for (int d = 0; d < head_dim; d += 16) {
        int n = min_int(16, head_dim - d);
        vf32 sum = v_loadf_n(o + d, n);
        if (sink)
            sum = v_mulf(sum, v_setf(both[0]));
        v_storef_n(out + d, v_divf(sum, v_setf(l)), n);
    }
}
