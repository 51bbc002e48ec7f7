/* attention_tmpl.h: one page of 64 keys against query vectors.
 *
 * A score is one chain over the head dimension, lanes = keys. An output value is one chain over the
 * keys, lanes = dimensions. Queries that see the same keys go together, up to 4, so that a page's
 * conversion from f16 serves them all; together or alone, the bits are the same. */

enum { ATTEND_QUERIES = 4 };

/* s[i][first .. first + 16 * nv) for nq queries. */
TEMPLATE void attend_scores(float s[ATTEND_QUERIES][KV_PAGE_TOKENS], const float *const *q, const uint16_t *k_page,
                            int head_dim, int first, const int nq, const int nv)
{
    vf32 acc[ATTEND_QUERIES][4];
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++)
            acc[i][j] = v_zerof();
    }
    UNROLL_NO
    for (int d = 0; d < head_dim; d++) {
        vf32 k[4];
        UNROLLED
        for (int j = 0; j < nv; j++)
            k[j] = v_load_f16(k_page + (ptrdiff_t)d * KV_PAGE_TOKENS + first + 16 * j);
        UNROLLED
        for (int i = 0; i < nq; i++) {
            vf32 x = v_setf(q[i][d]);
            UNROLLED
            for (int j = 0; j < nv; j++)
                acc[i][j] = v_fma(x, k[j], acc[i][j]);
        }
    }
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++)
            v_storef(s[i] + first + 16 * j, acc[i][j]);
    }
}

/* Scores to weights in place: p = e^(score - page maximum), 0 for keys not seen. A score is s * scale, held within
 * +-cap where there is a cap. Lanes are places in the page, so sums do not depend on which keys are seen. */
static void attend_softmax(float *s, struct key_span seen, const struct attend_page *page, float *page_max,
                           float *page_sum)
{
    vf32 v[4], most = v_setf(-INFINITY), none = most, sum = v_zerof();
    UNROLLED
    for (int j = 0; j < 4; j++) {
        v[j] = v_mulf(v_loadf(s + 16 * j), v_setf(page->scale));
        if (page->soft_cap > 0)
            v[j] = v_soft_cap(v[j], v_setf(page->soft_cap));
        v[j] = v_keep(none, v_keep(v[j], none, seen.end - 16 * j), seen.first - 16 * j);
        most = v_maxf(v[j], most);
    }
    *page_max = v_max_lanesf(most);
    UNROLLED
    for (int j = 0; j < 4; j++) {
        vf32 p = v_keep(v_exp(v_subf(v[j], v_setf(*page_max))), v_zerof(), seen.end - 16 * j);
        p = v_keep(v_zerof(), p, seen.first - 16 * j);
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

TEMPLATE void attend_values(float *const *o, const float p[ATTEND_QUERIES][KV_PAGE_TOKENS],
                            const struct attend_merge *merge, const struct attend_page *page, struct key_span seen,
                            int first, int n, const int nq, const int nv)
{
    vf32 acc[ATTEND_QUERIES][4];
    UNROLLED
    for (int i = 0; i < nq; i++) {
        UNROLLED
        for (int j = 0; j < nv; j++)
            acc[i][j] = v_zerof();
    }
    UNROLL_NO
    for (int key = seen.first; key < seen.end; key++) {
        const uint16_t *at = page->v + (ptrdiff_t)key * page->head_dim + first;
        vf32 v[4];
        UNROLLED
        for (int j = 0; j < nv; j++)
            v[j] = n == 16 ? v_load_f16(at + 16 * j) : v_load_f16_n(at + 16 * j, n);
        UNROLLED
        for (int i = 0; i < nq; i++) {
            vf32 weight = v_setf(p[i][key]);
            UNROLLED
            for (int j = 0; j < nv; j++)
                acc[i][j] = v_fma(weight, v[j], acc[i][j]);
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

TEMPLATE void attend_some(ATTEND_ARGS, const int nq)
{
    float s[ATTEND_QUERIES][KV_PAGE_TOKENS];
    struct attend_merge merge[ATTEND_QUERIES];
    const int step = 16 * ISA_ATTEND_VECS, head_dim = page->head_dim;
    int begin = seen.first / step * step, end = (seen.end + step - 1) / step * step;
    for (int first = begin; first < end; first += step)
        attend_scores(s, q, page->k, head_dim, first, nq, ISA_ATTEND_VECS);
    for (int i = 0; i < nq; i++) {
        float page_max, page_sum;
        for (int key = 0; key < begin; key++)
            s[i][key] = 0;
        for (int key = end; key < KV_PAGE_TOKENS; key++)
            s[i][key] = 0;
        attend_softmax(s[i], seen, page, &page_max, &page_sum);
        merge[i] = attend_state(page_max, page_sum, &m[i], &l[i]);
    }
    int d = 0;
    for (; d + step <= head_dim; d += step)
        attend_values(o, s, merge, page, seen, d, 16, nq, ISA_ATTEND_VECS);
    for (; d + 16 <= head_dim; d += 16)
        attend_values(o, s, merge, page, seen, d, 16, nq, 1);
    if (d < head_dim)
        attend_values(o, s, merge, page, seen, d, head_dim - d, nq, 1);
}

static void attend_1(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 1); }
static void attend_2(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 2); }
static void attend_3(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 3); }
static void attend_4(ATTEND_ARGS) { attend_some(page, q, seen, m, l, o, 4); }

static void attend_page(const struct attend_page *page, const float *const *q, const struct key_span *seen, int n_q,
                        float *m, float *l, float *const *o)
{
    static void (*const attend[])(ATTEND_ARGS) = { 0, attend_1, attend_2, attend_3, attend_4 };
    for (int i = 0; i < n_q;) {
        const struct key_span *same = &seen[i];
        int n = 1;
        while (n < ATTEND_QUERIES && i + n < n_q && same[n].first == same->first && same[n].end == same->end)
            n++;
        if (seen[i].first < seen[i].end)
            attend[n](page, q + i, seen[i], m + i, l + i, o + i);
        i += n;
    }
}

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

static void kv_store(uint16_t *k_page, uint16_t *v_page, const float *k, const float *v, int head_dim, int slot)
{
    for (int d = 0; d < head_dim; d += 16) {
        int n = min_int(16, head_dim - d);
        uint16_t half[16];
        v_store_f16_n(half, v_loadf_n(k + d, n), n);
        for (int i = 0; i < n; i++)
            k_page[(ptrdiff_t)(d + i) * KV_PAGE_TOKENS + slot] = half[i];
        v_store_f16_n(v_page + (ptrdiff_t)slot * head_dim + d, v_loadf_n(v + d, n), n);
    }
}
