/* attention_tmpl.h: one page of 64 keys against query vectors.
 *
 * A score is one chain over the head dimension, lanes = keys. An output value is one chain over the
 * keys, lanes = dimensions. Queries go together, up to ISA_ATTEND_COLS, so that a loaded key or value serves them all;
 * together or alone, the bits are the same.
 *
 * A page is done in three steps, each for all queries: scores, weights, values. Where there are many queries its keys,
 * then its values, are made floats once and stay in the cache for all of them; where there are few, as in decoding,
 * they are made floats on the way, and the next page is asked for meanwhile.
 *
 * Where the values are the first part of each key, they are made floats in any case, on their way to lanes =
 * dimensions.
 *
 * Where groups of values share a scale, a score is a chain over the groups, each of them a chain of its own that
 * ends with one multiplication; and a key's weight is multiplied with the scale before it meets the value. */

/* More queries than this: the page is made floats first. */
enum { ATTEND_FEW = 2 * ISA_ATTEND_COLS };

/* How the values are read: group, bytes of one (0: floats made before, nothing is asked for ahead), as 16 floats. */
#define KIND_ARGS const int group, const int bytes, kv_values_fn *values
#define KIND      group, bytes, values

/* What the steps of a page hand each other; in page->scratch. */
struct attend_room {
    float *made;      /* [KV_PAGE_TOKENS * head_dim] keys, then values, as floats */
    float *turned;    /* [KV_PAGE_TOKENS][n_shared] values that are a part of the keys */
    float *s;         /* [n_q][KV_PAGE_TOKENS] scores, then weights */
    float *max, *sum; /* [16] of the page */
    float *old, *now; /* [n_q] state = state * old + page * now, if there is a state */
    float *first;     /* [n_q] not 0: there is none */
};

/* acc[i][j] = the chain over k = begin .. end - 1 of x[g][i][k] * values(k * row + column + 16 j .. + n - 1), of which
 * `same` vectors have one g. */
TEMPLATE void attend_chains(vf32 acc[ISA_ATTEND_COLS][4], const float *x[2][ISA_ATTEND_COLS], const uint8_t *at,
                            const uint8_t *next, ptrdiff_t row, ptrdiff_t column, int begin, int end, int n,
                            const int nq, const int nv, const int same, const int bytes, kv_values_fn *values)
{
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++)
            acc[i][j] = v_zerof();
    }
    UNROLL_NO
    for (int k = begin; k < end; k++) {
        vf32 v[4];
        UNROLLED
        for (int j = 0; j < nv; j++)
            v[j] = values(at, k * row + column + 16 * j, n);
        UNROLLED
        for (int line = 0; line < 16 * nv * bytes; line += 64)
            v_prefetch(next + (k * row + column) * bytes + line);
        UNROLLED
        for (int i = 0; i < nq; i++) {
            vf32 weight[2] = { v_setf(x[0][i][k]), v_setf(x[(nv - 1) / same][i][k]) };
            UNROLLED
            for (int j = 0; j < nv; j++)
                acc[i][j] = v_fma(weight[j / same], v[j], acc[i][j]);
        }
    }
}

/* s[i][first .. first + 16 * nv) for nq queries. */
TEMPLATE void attend_scores_part(float *s, const float *const *q, const struct attend_page *page, const uint8_t *keys,
                                 int first, const int nq, const int nv, KIND_ARGS)
{
    const ptrdiff_t scales = kv_scales_bytes(page->head_dim, group);
    const int step = group > 0 ? group : page->head_dim;
    const float *x[2][ISA_ATTEND_COLS];
    UNROLLED
    for (int i = 0; i < nq; i++)
        x[0][i] = x[1][i] = q[i];
    UNROLL_NO
    for (int d = 0; d < page->head_dim; d += step) {
        vf32 acc[ISA_ATTEND_COLS][4];
        attend_chains(acc, x, keys, page->next_k + scales, KV_PAGE_TOKENS, first, d, min_int(page->head_dim, d + step),
                      16, nq, nv, nv, bytes, values);
        UNROLLED
        for (int j = 0; j < nv; j++) {
            ptrdiff_t place = group > 0 ? (ptrdiff_t)(d / step) * KV_PAGE_TOKENS + first + 16 * j : 0;
            vf32 scale = group > 0 ? v_load_f16(kv_halves(page->k) + place) : v_zerof();
            if (group > 0 && bytes > 0)
                v_prefetch(kv_halves(page->next_k) + place);
            UNROLLED
            for (int i = 0; i < nq; i++) {
                float *to = s + i * KV_PAGE_TOKENS + first + 16 * j;
                v_storef(to, group == 0 ? acc[i][j] : v_fma(scale, acc[i][j], d == 0 ? v_zerof() : v_loadf(to)));
            }
        }
    }
}

/* Scores of nq queries with the keys of a span, and whole vectors around them. */
TEMPLATE void attend_scores(float *s, const float *const *q, const struct attend_page *page, const uint8_t *keys,
                            struct key_span span, const int nq, KIND_ARGS)
{
    const int step = 16 * ISA_ATTEND_VECS;
    for (int first = span.first / step * step; first < span.end; first += step)
        attend_scores_part(s, q, page, keys, first, nq, ISA_ATTEND_VECS, KIND);
}

/* s = cap * tanh(s * scale / cap): apart from the softmax, which has no time for it. */
static __attribute__((noinline)) void attend_cap(float *s, float scale, float cap)
{
    for (int key = 0; key < KV_PAGE_TOKENS; key += 16)
        v_storef(s + key, v_soft_cap(v_mulf(v_loadf(s + key), v_setf(scale)), v_setf(cap)));
}

/* -infinity for the keys that a query does not see. */
TEMPLATE void attend_hide(float *s, struct key_span seen)
{
    for (int key = 0; key < seen.first; key++)
        s[key] = -INFINITY;
    for (int key = seen.end; key < KV_PAGE_TOKENS; key++)
        s[key] = -INFINITY;
}

/* Scores to weights for nq queries with these maxima. */
TEMPLATE void attend_exp(float *s, const float *max, vf32 *sum, vf32 scale, const int nq)
{
    const int step = min_int(4 * nq, ISA_EXP_VECS);
    UNROLLED
    for (int i = 0; i < 4 * nq; i += step) {
        vf32 p[8];
        UNROLLED
        for (int j = 0; j < step; j++)
            p[j] = v_subf(v_mulf(v_loadf(s + 16 * (i + j)), scale), v_setf(max[(i + j) / 4]));
        exp_low_all(p, step);
        UNROLLED
        for (int j = 0; j < step; j++) {
            v_storef(s + 16 * (i + j), p[j]);
            sum[(i + j) / 4] = v_addf(sum[(i + j) / 4], p[j]);
        }
    }
}

/* Scores of n <= 16 queries to weights in place: p = e^(s * scale - page maximum), which is 0 where s is -infinity.
 * Lanes are places in the page, so sums do not depend on which keys are seen. As scale is above 0, the largest score
 * makes the page's maximum. */
TEMPLATE void attend_weights(float *s, int n, vf32 scale, vf32 *page_max, vf32 *page_sum)
{
    alignas(64) float max[16];
    vf32 most[16], sum[16];
    UNROLLED
    for (int i = 0; i < 16; i++)
        most[i] = sum[i] = v_zerof();
    UNROLL_NO
    for (int i = 0; i < n; i++) {
        vf32 v = v_setf(-INFINITY);
        UNROLLED
        for (int j = 0; j < 4; j++)
            v = v_maxf(v_loadf(s + i * KV_PAGE_TOKENS + 16 * j), v);
        most[i] = v;
    }
    *page_max = v_mulf(v_max_each(most), scale);
    v_storef(max, *page_max);
    const int together = max_int(1, ISA_EXP_VECS / 4);
    int i = 0;
    UNROLL_NO
    for (; i + together <= n; i += together)
        attend_exp(s + i * KV_PAGE_TOKENS, max + i, sum + i, scale, together);
    UNROLL_NO
    for (; i < n; i++)
        attend_exp(s + i * KV_PAGE_TOKENS, max + i, sum + i, scale, 1);
    *page_sum = v_sumf16(sum);
}

/* Weights of n queries; the page joins their states (m, l), and how its values will. */
static void attend_states(const struct attend_room *r, const struct attend_page *page, const struct key_span *seen,
                          int n, float *m, float *l)
{
    const vf32 scale = v_setf(page->soft_cap > 0 ? 1 : page->scale);
    for (int i = 0; i < n; i += 16) {
        int some = min_int(16, n - i);
        float *s = r->s + (ptrdiff_t)i * KV_PAGE_TOKENS;
        for (int j = 0; j < some; j++) {
            if (page->soft_cap > 0)
                attend_cap(s + j * KV_PAGE_TOKENS, page->scale, page->soft_cap);
            attend_hide(s + j * KV_PAGE_TOKENS, seen[i + j]);
        }
        vf32 here, sum, before = v_loadf_n(m + i, some);
        attend_weights(s, some, scale, &here, &sum);
        vf32 most = v_maxf(here, before);
        vf32 old = v_exp_low(v_subf(before, most)), now = v_exp_low(v_subf(here, most));
        unsigned first = v_eq_mask(before, v_setf(-INFINITY)) & ((1u << some) - 1);
        v_storef(r->old + i, old);
        v_storef(r->now + i, now);
        v_storef(r->first + i, v_zerof());
        v_storef(r->max, here);
        v_storef(r->sum, sum);
        v_storef_n(l + i, v_fma(v_loadf_n(l + i, some), old, v_mulf(sum, now)), some);
        v_storef_n(m + i, most, some);
        for (; first; first &= first - 1) {
            int j = __builtin_ctz(first);
            m[i + j] = r->max[j];
            l[i + j] = r->sum[j];
            r->first[i + j] = 1;
        }
    }
}

/* The weights of a query times the scales of n_groups groups of values. */
TEMPLATE void attend_weigh(float weighed[2][ISA_ATTEND_COLS][KV_PAGE_TOKENS], const float *p, const uint16_t *scales,
                           struct key_span seen, const int nq, const int n_groups)
{
    for (int key = seen.first / 16 * 16; key < seen.end; key += 16)
        for (int g = 0; g < n_groups; g++) {
            vf32 scale = v_load_f16(scales + g * KV_PAGE_TOKENS + key);
            for (int i = 0; i < nq; i++)
                v_storef(weighed[g][i] + key, v_mulf(v_loadf(p + i * KV_PAGE_TOKENS + key), scale));
        }
}

/* Values d .. d + 16 * nv of nq queries from `query` on; n < 16: that many, nv is 1. */
TEMPLATE void attend_values_part(float *const *o, const struct attend_room *r, int query,
                                 const struct attend_page *page, const uint8_t *at, struct key_span seen, int d, int n,
                                 const int nq, const int nv, KIND_ARGS)
{
    const int n_groups = group == 0 ? 0 : 16 * nv > group ? 16 * nv / group : 1;
    const float *p = r->s + (ptrdiff_t)query * KV_PAGE_TOKENS;
    float weighed[2][ISA_ATTEND_COLS][KV_PAGE_TOKENS]; /* left alone without groups */
    if (group > 0) {
        ptrdiff_t place = (ptrdiff_t)(d / group) * KV_PAGE_TOKENS;
        attend_weigh(weighed, p, kv_halves(page->v) + place, seen, nq, n_groups);
        for (int g = 0; g < n_groups && bytes > 0; g++)
            v_prefetch(kv_halves(page->next_v) + place + g * KV_PAGE_TOKENS);
    }
    vf32 acc[ISA_ATTEND_COLS][4];
    const uint8_t *next = page->next_v + kv_scales_bytes(page->head_dim, group);
    const float *x[2][ISA_ATTEND_COLS];
    UNROLLED
    for (int i = 0; i < nq; i++) {
        x[0][i] = group > 0 ? weighed[0][i] : p + i * KV_PAGE_TOKENS;
        x[1][i] = n_groups == 2 ? weighed[1][i] : x[0][i];
    }
    attend_chains(acc, x, at, next, page->head_dim, d, seen.first, seen.end, n, nq, nv, n_groups == 2 ? nv / 2 : nv,
                  bytes, values);
    UNROLLED
    for (int i = 0; i < nq; i++) {
        bool first = r->first[query + i] != 0;
        vf32 old = v_setf(r->old[query + i]), now = v_setf(r->now[query + i]);
        UNROLLED
        for (int j = 0; j < nv; j++) {
            float *to = o[query + i] + d + 16 * j;
            vf32 sum = acc[i][j];
            if (!first)
                sum = v_fma(v_loadf_n(to, n), old, v_mulf(sum, now));
            v_storef_n(to, sum, n);
        }
    }
}

TEMPLATE void attend_values(float *const *o, const struct attend_room *r, int query, const struct attend_page *page,
                            const uint8_t *at, struct key_span seen, const int nq, KIND_ARGS)
{
    const int step = 16 * ISA_ATTEND_VECS, head_dim = page->head_dim;
    int d = 0;
    for (; d + step <= head_dim; d += step)
        attend_values_part(o, r, query, page, at, seen, d, 16, nq, ISA_ATTEND_VECS, KIND);
    for (; d + 16 <= head_dim; d += 16)
        attend_values_part(o, r, query, page, at, seen, d, 16, nq, 1, KIND);
    if (d < head_dim)
        attend_values_part(o, r, query, page, at, seen, d, head_dim - d, nq, 1, KIND);
}

/* --- a page --- */

#define SCORES_ARGS                                                                                                 \
    float *s, const float *const *q, const struct attend_page *page, const uint8_t *keys, struct key_span span
#define VALUES_ARGS                                                                                                 \
    float *const *o, const struct attend_room *r, int query, const struct attend_page *page, const uint8_t *at,     \
        struct key_span seen
typedef void attend_scores_fn(SCORES_ARGS);
typedef void attend_values_fn(VALUES_ARGS);

typedef void attend_make_fn(float *made, const uint8_t *at, ptrdiff_t n);

/* The first n values of each key, [n][64], as floats [64][n]. */
TEMPLATE void attend_turn(float *turned, const uint8_t *keys, ptrdiff_t n, kv_values_fn *values)
{
    for (int key = 0; key < KV_PAGE_TOKENS; key += 16)
        for (ptrdiff_t d = 0; d < n; d += 16) {
            vi8 part[16];
            UNROLLED
            for (int i = 0; i < 16; i++)
                part[i] = v_as8(v_bitsf(values(keys, (d + i) * KV_PAGE_TOKENS + key, 16)));
            v_transpose16(part);
            UNROLLED
            for (int i = 0; i < 16; i++)
                v_store8(turned + (key + i) * n + d, part[i]);
        }
}

/* The two products, by number of queries. */
struct attend_way {
    attend_scores_fn *scores[ISA_ATTEND_COLS + 1];
    attend_values_fn *values[ISA_ATTEND_COLS + 1];
};

#define WAY_OF(nq, name, group, bytes, values)                                                                      \
    static void attend_scores_##nq##_##name(SCORES_ARGS)                                                            \
    {                                                                                                               \
        attend_scores(s, q, page, keys, span, nq, group, bytes, values);                                            \
    }                                                                                                               \
    static void attend_values_##nq##_##name(VALUES_ARGS)                                                            \
    {                                                                                                               \
        attend_values(o, r, query, page, at, seen, nq, group, bytes, values);                                       \
    }
#define WAY_SCORES(nq, name) [nq] = attend_scores_##nq##_##name,
#define WAY_VALUES(nq, name) [nq] = attend_values_##nq##_##name,
#define WAY(name, group, bytes, values_of)                                                                          \
    ISA_ATTEND_TILES(WAY_OF, name, group, bytes, values_of)                                                         \
    static const struct attend_way attend_##name = { .scores = { ISA_ATTEND_TILES(WAY_SCORES, name) },              \
                                                     .values = { ISA_ATTEND_TILES(WAY_VALUES, name) } };
#define KV_TYPE(name, value_bytes, group, help)                                                                     \
    WAY(name, group, value_bytes, kv_values_##name)                                                                 \
    WAY(made_##name, group, 0, kv_values_made)                                                                      \
    static void attend_make_##name(float *made, const uint8_t *at, ptrdiff_t n)                                     \
    {                                                                                                               \
        for (ptrdiff_t i = 0; i < n; i += 16)                                                                       \
            v_storef(made + i, kv_values_##name(at, i, 16));                                                        \
    }                                                                                                               \
    static void attend_turn_##name(float *turned, const uint8_t *at, ptrdiff_t n)                                   \
    {                                                                                                               \
        attend_turn(turned, at, n, kv_values_##name);                                                               \
    }
#include "hearth/kv_types.def"

static struct attend_room attend_room(const struct attend_page *page, int n_q)
{
    ptrdiff_t n = (ptrdiff_t)align_size((size_t)n_q, 16);
    struct attend_room r = { .made = page->scratch };
    r.turned = r.made + (ptrdiff_t)KV_PAGE_TOKENS * page->head_dim;
    r.s = r.turned + (ptrdiff_t)KV_PAGE_TOKENS * page->n_shared;
    r.max = r.s + n * KV_PAGE_TOKENS;
    r.sum = r.max + 16;
    r.old = r.sum + 16;
    r.now = r.old + n;
    r.first = r.now + n;
    return r;
}

/* How many of n queries go together next: tiles are as equal as can be. */
TEMPLATE int attend_tile(int n)
{
    int tiles = (n + ISA_ATTEND_COLS - 1) / ISA_ATTEND_COLS;
    return (n + tiles - 1) / tiles;
}

/* Asks for part `at` .. end of n of `bytes` that will be made floats later. */
TEMPLATE void attend_ask(const uint8_t *next, ptrdiff_t bytes, int at, int end, int n)
{
    for (ptrdiff_t i = bytes * at / n; i < bytes * end / n; i += 64)
        v_prefetch(next + i);
}

/* What a type of keys and values brings. */
struct attend_type {
    const struct attend_way *few, *many; /* as they are; as floats that were made before */
    attend_make_fn *make, *turn;
    int group;
};

/* n queries that all see something of the page. */
static void attend_some(const struct attend_page *page, const float *const *q, const struct key_span *seen, int n,
                        float *m, float *l, float *const *o, const struct attend_type *type)
{
    struct attend_room r = attend_room(page, n);
    const ptrdiff_t n_values = (ptrdiff_t)KV_PAGE_TOKENS * page->head_dim;
    const ptrdiff_t scales = kv_scales_bytes(page->head_dim, type->group);
    const bool shared = page->n_shared > 0, made = n > ATTEND_FEW;
    const ptrdiff_t bytes = made ? page->v - page->k : 0;
    const struct attend_way *way = made ? type->many : type->few;
    const uint8_t *keys = page->k + scales, *values = page->v + scales;
    struct attend_page of_values = *page;
    if (made) {
        type->make(r.made, keys, n_values);
        keys = (const uint8_t *)r.made;
    }
    struct key_span span = seen[0];
    for (int i = 1; i < n; i++)
        span = (struct key_span){ min_int(span.first, seen[i].first), max_int(span.end, seen[i].end) };
    for (int i = 0, tile; i < n; i += tile) {
        tile = attend_tile(n - i);
        attend_ask(page->v, shared ? 0 : bytes, i, i + tile, n);
        way->scores[tile](r.s + (ptrdiff_t)i * KV_PAGE_TOKENS, q + i, page, keys, span);
    }
    attend_states(&r, page, seen, n, m, l);
    if (shared) {
        type->turn(r.turned, page->k + scales, page->n_shared);
        values = (const uint8_t *)r.turned;
        way = type->many;
        of_values.v = page->k; /* scales stand in one order in both */
        of_values.head_dim = page->n_shared;
    } else if (made) {
        type->make(r.made, values, n_values);
        values = (const uint8_t *)r.made;
    }
    for (int i = 0, tile, same = 0; i < n; i += tile, same -= tile) {
        if (same == 0)
            while (i + same < n && seen[i + same].first == seen[i].first && seen[i + same].end == seen[i].end)
                same++;
        tile = attend_tile(same);
        attend_ask(page->next_k, bytes, i, i + tile, n);
        way->values[tile](o, &r, i, &of_values, values, seen[i]);
    }
}

TEMPLATE void attend_all(const struct attend_page *page, const float *const *q, const struct key_span *seen, int n_q,
                         float *m, float *l, float *const *o, const struct attend_type *type)
{
    for (int i = 0, n; i < n_q; i += n + 1) {
        for (n = 0; i + n < n_q && seen[i + n].first < seen[i + n].end;)
            n++;
        if (n > 0)
            attend_some(page, q + i, seen + i, n, m + i, l + i, o + i, type);
    }
}

#define KV_TYPE(name, value_bytes, group, help)                                                                     \
    static void attend_page_##name(const struct attend_page *page, const float *const *q,                           \
                                   const struct key_span *seen, int n_q, float *m, float *l, float *const *o)       \
    {                                                                                                               \
        static const struct attend_type type = { &attend_##name, &attend_made_##name, attend_make_##name,           \
                                                 attend_turn_##name, group };                                       \
        attend_all(page, q, seen, n_q, m, l, o, &type);                                                             \
    }
#include "hearth/kv_types.def"

static void attend_finish(float *out, const float *o, float m, float l, const float *sink, int value_dim)
{
    float both[16] = { 0, -INFINITY };
    if (sink) {
        float most = m > *sink ? m : *sink;
        both[0] = m - most;
        both[1] = *sink - most;
        v_storef(both, v_exp(v_loadf(both)));
        l = fmaf(l, both[0], both[1]);
    }
    for (int d = 0; d < value_dim; d += 16) {
        int n = min_int(16, value_dim - d);
        vf32 sum = v_loadf_n(o + d, n);
        if (sink)
            sum = v_mulf(sum, v_setf(both[0]));
        v_storef_n(out + d, v_divf(sum, v_setf(l)), n);
    }
}
