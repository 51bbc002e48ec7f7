/* attention_tmpl.h: one page of 64 keys against query vectors.
 *
 * A score is one chain over the head dimension, lanes = keys. An output value is one chain over the
 * keys, lanes = dimensions. Queries that see equally many keys go together, up to 4, so that a page's
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

/* Scores to weights in place: p = e^(s * scale - page maximum), 0 for keys not seen. */
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

TEMPLATE void attend_values(float *const *o, const float p[ATTEND_QUERIES][KV_PAGE_TOKENS],
                            const struct attend_merge *merge, const uint16_t *v_page, int n_keys, int head_dim,
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
    for (int key = 0; key < n_keys; key++) {
        const uint16_t *at = v_page + (ptrdiff_t)key * head_dim + first;
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

TEMPLATE void attend_some(const float *const *q, int n_keys, const uint16_t *k_page, const uint16_t *v_page,
                          int head_dim, float scale, float *m, float *l, float *const *o, const int nq)
{
    float s[ATTEND_QUERIES][KV_PAGE_TOKENS];
    struct attend_merge merge[ATTEND_QUERIES];
    for (int first = 0; first < n_keys; first += 16 * ISA_ATTEND_VECS)
        attend_scores(s, q, k_page, head_dim, first, nq, ISA_ATTEND_VECS);
    for (int i = 0; i < nq; i++) {
        float page_max, page_sum;
        for (int key = (n_keys + 15) / 16 * 16; key < KV_PAGE_TOKENS; key++)
            s[i][key] = 0;
        attend_softmax(s[i], n_keys, scale, &page_max, &page_sum);
        merge[i] = attend_state(page_max, page_sum, &m[i], &l[i]);
    }
    int d = 0;
    for (; d + 16 * ISA_ATTEND_VECS <= head_dim; d += 16 * ISA_ATTEND_VECS)
        attend_values(o, s, merge, v_page, n_keys, head_dim, d, 16, nq, ISA_ATTEND_VECS);
    for (; d + 16 <= head_dim; d += 16)
        attend_values(o, s, merge, v_page, n_keys, head_dim, d, 16, nq, 1);
    if (d < head_dim)
        attend_values(o, s, merge, v_page, n_keys, head_dim, d, head_dim - d, nq, 1);
}

static void attend_1(const float *const *q, int n_keys, const uint16_t *k_page, const uint16_t *v_page, int head_dim,
                     float scale, float *m, float *l, float *const *o)
{
    attend_some(q, n_keys, k_page, v_page, head_dim, scale, m, l, o, 1);
}
static void attend_2(const float *const *q, int n_keys, const uint16_t *k_page, const uint16_t *v_page, int head_dim,
                     float scale, float *m, float *l, float *const *o)
{
    attend_some(q, n_keys, k_page, v_page, head_dim, scale, m, l, o, 2);
}
static void attend_3(const float *const *q, int n_keys, const uint16_t *k_page, const uint16_t *v_page, int head_dim,
                     float scale, float *m, float *l, float *const *o)
{
    attend_some(q, n_keys, k_page, v_page, head_dim, scale, m, l, o, 3);
}
static void attend_4(const float *const *q, int n_keys, const uint16_t *k_page, const uint16_t *v_page, int head_dim,
                     float scale, float *m, float *l, float *const *o)
{
    attend_some(q, n_keys, k_page, v_page, head_dim, scale, m, l, o, 4);
}

static void attend_page(const float *const *q, const int *n_keys, int n_q, const uint16_t *k_page,
                        const uint16_t *v_page, int head_dim, float scale, float *m, float *l, float *const *o)
{
    static void (*const attend[])(const float *const *, int, const uint16_t *, const uint16_t *, int, float, float *,
                                  float *, float *const *) = { 0, attend_1, attend_2, attend_3, attend_4 };
    for (int i = 0; i < n_q;) {
        int n = 1;
        while (n < ATTEND_QUERIES && i + n < n_q && n_keys[i + n] == n_keys[i])
            n++;
        if (n_keys[i] > 0)
            attend[n](q + i, n_keys[i], k_page, v_page, head_dim, scale, m + i, l + i, o + i);
        i += n;
    }
}

static void attend_finish(float *out, const float *o, float l, int head_dim)
{
    for (int d = 0; d < head_dim; d += 16) {
        int n = min_int(16, head_dim - d);
        v_storef_n(out + d, v_divf(v_loadf_n(o + d, n), v_setf(l)), n);
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
