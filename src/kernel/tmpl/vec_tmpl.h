/* vec_tmpl.h: norms, activations, rotations, softmax parts. */

/* x = n ln 2 + r with |r| <= ln 2 / 2 (ln 2 in two parts). Returns r; *n: that whole number, *magic_n: the same
 * in the low bits of 1.5 * 2^23. */
TEMPLATE vf32 exp_reduce(vf32 x, vf32 *n, vf32 *magic_n)
{
    const vf32 magic = v_setf(0x1.8p23f);
    *magic_n = v_fma(x, v_setf(0x1.715476p+0f), magic);
    *n = v_subf(*magic_n, magic);
    return v_fnma(*n, v_setf(0x1.7f7d1cp-20f), v_fnma(*n, v_setf(0x1.62e4p-1f), x));
}
/* 2^n out of magic_n, -126 <= n <= 127. */
TEMPLATE vf32 exp_power(vf32 magic_n)
{
    vi32 n = v_sub32(v_bitsf(magic_n), v_bitsf(v_setf(0x1.8p23f)));
    return v_asf(v_shl32(v_add32(n, v_set32(127)), 23));
}

/* (e^r - 1) / r, |r| <= ln 2 / 2: Taylor, 1/7! ... */
#define EXP_POLY { 0x1.a01a02p-13f, 0x1.6c16c2p-10f, 0x1.111112p-7f, 0x1.555556p-5f, 0x1.555556p-3f, 0.5f, 1.0f }
TEMPLATE vf32 exp_poly(vf32 r)
{
    static const float poly[] = EXP_POLY;
    vf32 p = v_setf(poly[0]);
    UNROLLED
    for (int i = 1; i < (int)(sizeof poly / sizeof poly[0]); i++)
        p = v_fma(p, r, v_setf(poly[i]));
    return p;
}

#define EXP_EACH                                                                                                    \
    UNROLLED                                                                                                        \
    for (int i = 0; i < count; i++)
/* e^x within 2 units in the last place; -infinity gives 0, a NaN stays one. Of numbers that are not above 89, in place.
 * Step by step for up to 8 vectors: a CPU does not look ahead as far as would take to find as many whole chains. */
TEMPLATE void exp_low_all(vf32 *x, const int count)
{
    static const float poly[] = EXP_POLY;
    vf32 n[8], magic_n[8], p[8];
    EXP_EACH x[i] = v_maxf(v_setf(-104.0f), x[i]); /* e^-104 rounds to 0 */
    EXP_EACH x[i] = exp_reduce(x[i], &n[i], &magic_n[i]);
    EXP_EACH p[i] = v_setf(poly[0]);
    UNROLLED
    for (int c = 1; c < (int)(sizeof poly / sizeof poly[0]); c++)
        EXP_EACH p[i] = v_fma(p[i], x[i], v_setf(poly[c]));
    EXP_EACH p[i] = v_fma(p[i], x[i], v_setf(1.0f));
    EXP_EACH x[i] = v_times_power(p[i], n[i]);
}
TEMPLATE vf32 v_exp_low(vf32 x)
{
    exp_low_all(&x, 1);
    return x;
}
TEMPLATE vf32 v_exp(vf32 x) { return v_exp_low(v_minf(v_setf(89.0f), x)); } /* e^89 rounds to infinity */

/* tanh x within 3 units in the last place; a NaN stays one. With y = 2 |x| and z = e^y - 1, which is 2^n (e^r - 1)
 * + 2^n - 1 and so keeps its digits near 0: tanh |x| = z / (z + 2). Above 10 it rounds to 1. */
TEMPLATE vf32 v_tanh(vf32 x)
{
    vi32 sign = v_and32(v_bitsf(x), v_set32(INT32_MIN));
    vf32 most = v_minf(v_setf(10.0f), v_asf(v_and32(v_bitsf(x), v_set32(INT32_MAX))));
    vf32 n, magic_n, r = exp_reduce(v_addf(most, most), &n, &magic_n);
    vf32 two_n = exp_power(magic_n);
    vf32 z = v_fma(two_n, v_mulf(exp_poly(r), r), v_subf(two_n, v_setf(1.0f)));
    return v_asf(v_or32(v_bitsf(v_divf(z, v_addf(z, v_setf(2.0f)))), sign));
}

TEMPLATE vf32 v_soft_cap(vf32 x, vf32 cap) { return v_mulf(cap, v_tanh(v_divf(x, cap))); }

static void exp_row(float *y, const float *x, int n, float minus)
{
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        v_storef_n(y + i, v_exp(v_subf(v_loadf_n(x + i, m), v_setf(minus))), m);
    }
}

static void soft_cap(float *y, const float *x, int n, float cap)
{
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        v_storef_n(y + i, v_soft_cap(v_loadf_n(x + i, m), v_setf(cap)), m);
    }
}

/* Its last argument for each 16 places of n, from i on, m being 16, and for those that are left: masks take time. */
#define EACH_16(n, ...)                                                                                             \
    do {                                                                                                            \
        int i = 0;                                                                                                  \
        for (const int m = 16; i + m <= n; i += m) {                                                                \
            __VA_ARGS__                                                                                             \
        }                                                                                                           \
        if (i < n) {                                                                                                \
            const int m = n - i;                                                                                    \
            __VA_ARGS__                                                                                             \
        }                                                                                                           \
    } while (0)

static void rmsnorm(float *y, const float *x, const float *weight, int n, float eps)
{
    vf32 sum = v_zerof();
    EACH_16(n, vf32 v = v_loadf_n(x + i, m); sum = v_fma(v, v, sum););
    vf32 s = v_setf(1.0f / sqrtf(v_sumf(sum) / (float)n + eps));
    EACH_16(n, v_storef_n(y + i, v_mulf(v_mulf(v_loadf_n(x + i, m), s), v_loadf_n(weight + i, m)), m););
}

static void layernorm(float *y, const float *x, const float *weight, const float *bias, int n, float eps)
{
    vf32 sum = v_zerof(), squares = v_zerof();
    EACH_16(n, sum = v_addf(sum, v_loadf_n(x + i, m)););
    vf32 mean = v_setf(v_sumf(sum) / (float)n);
    EACH_16(n, vf32 v = v_subf(v_loadf_n(x + i, m), mean); v = m < 16 ? v_keep(v, v_zerof(), m) : v;
            squares = v_fma(v, v, squares););
    vf32 s = v_setf(1.0f / sqrtf(v_sumf(squares) / (float)n + eps));
    EACH_16(n, vf32 v = v_mulf(v_mulf(v_subf(v_loadf_n(x + i, m), mean), s), v_loadf_n(weight + i, m));
            v_storef_n(y + i, bias ? v_addf(v, v_loadf_n(bias + i, m)) : v, m););
}

static void add(float *y, const float *x, int n)
{
    EACH_16(n, v_storef_n(y + i, v_addf(v_loadf_n(y + i, m), v_loadf_n(x + i, m)), m););
}

static void add_scaled(float *y, const float *x, float scale, int n)
{
    EACH_16(n, v_storef_n(y + i, v_fma(v_loadf_n(x + i, m), v_setf(scale), v_loadf_n(y + i, m)), m););
}

static void scale(float *y, const float *x, float by, int n)
{
    EACH_16(n, v_storef_n(y + i, v_mulf(v_loadf_n(x + i, m), v_setf(by)), m););
}

/* ---- activations ---- */

TEMPLATE vf32 v_negf(vf32 x) { return v_subf(v_zerof(), x); }

/* x / (1 + e^minus) */
TEMPLATE vf32 v_swish(vf32 x, vf32 minus) { return v_divf(x, v_addf(v_setf(1.0f), v_exp(minus))); }

/* erf |x| within 2e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. */
TEMPLATE vf32 v_erf_positive(vf32 x)
{
    static const float a[] = { 1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f };
    vf32 t = v_divf(v_setf(1.0f), v_fma(v_setf(0.3275911f), x, v_setf(1.0f))), p = v_setf(a[0]);
    UNROLLED
    for (int i = 1; i < (int)(sizeof a / sizeof a[0]); i++)
        p = v_fma(p, t, v_setf(a[i]));
    return v_fnma(v_mulf(p, t), v_exp(v_negf(v_mulf(x, x))), v_setf(1.0f));
}

TEMPLATE vf32 v_silu(vf32 x) { return v_swish(x, v_negf(x)); }
TEMPLATE vf32 v_gelu_tanh(vf32 x)
{
    vf32 inner = v_mulf(x, v_fma(v_mulf(x, x), v_setf(0.7978845608f * 0.044715f), v_setf(0.7978845608f)));
    return v_mulf(v_mulf(x, v_setf(0.5f)), v_addf(v_tanh(inner), v_setf(1.0f)));
}
TEMPLATE vf32 v_gelu_erf(vf32 x)
{
    vi32 sign = v_and32(v_bitsf(x), v_set32(INT32_MIN));
    vf32 most = v_asf(v_and32(v_bitsf(x), v_set32(INT32_MAX)));
    vf32 e = v_asf(v_or32(v_bitsf(v_erf_positive(v_mulf(most, v_setf(0.7071067812f)))), sign));
    return v_mulf(v_mulf(x, v_setf(0.5f)), v_addf(e, v_setf(1.0f)));
}
TEMPLATE vf32 v_sigmoid(vf32 x) { return v_swish(v_setf(1.0f), v_negf(x)); }
TEMPLATE vf32 v_relu2(vf32 x)
{
    vf32 positive = v_maxf(v_zerof(), x);
    return v_mulf(positive, positive);
}

#define ACTIVATE(name)                                                                                              \
    static void activate_##name(float *y, const float *gate, const float *up, int n)                                \
    {                                                                                                               \
        EACH_16(n, vf32 v = v_##name(v_loadf_n(gate + i, m));                                                       \
                v_storef_n(y + i, up ? v_mulf(v, v_loadf_n(up + i, m)) : v, m););                                   \
    }
ACTIVATE(silu)
ACTIVATE(gelu_tanh)
ACTIVATE(gelu_erf)
ACTIVATE(relu2)
ACTIVATE(sigmoid)

static void activate_swiglu_clamped(float *y, const float *gate, const float *up, int n)
{
    const vf32 limit = v_setf(7.0f), least = v_setf(-7.0f);
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        vf32 g = v_minf(limit, v_loadf_n(gate + i, m));
        vf32 v = v_swish(g, v_mulf(g, v_setf(-1.702f)));
        if (up)
            v = v_mulf(v, v_addf(v_maxf(least, v_minf(limit, v_loadf_n(up + i, m))), v_setf(1.0f)));
        v_storef_n(y + i, v, m);
    }
}

/* A pair (a, b) becomes (fma(-b, s, a * c), fma(a, s, b * c)). */
TEMPLATE void rope_halves(float *x, int half, const float *cos, const float *sin)
{
    for (int i = 0; i < half; i += 16) {
        int m = min_int(16, half - i);
        vf32 a = v_loadf_n(x + i, m), b = v_loadf_n(x + half + i, m);
        vf32 c = v_loadf_n(cos + i, m), s = v_loadf_n(sin + i, m);
        v_storef_n(x + i, v_fnma(b, s, v_mulf(a, c)), m);
        v_storef_n(x + half + i, v_fma(a, s, v_mulf(b, c)), m);
    }
}
TEMPLATE void rope_pairs(float *x, int half, const float *cos, const float *sin)
{
    static const float signs[16] = { -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1 };
    vf32 sign = v_loadf(signs);
    for (int i = 0; i < half; i += 8) {
        int m = min_int(8, half - i);
        vf32 v = v_loadf_n(x + 2 * i, 2 * m);
        vf32 c = v_dup_pairs(cos + i, m), s = v_mulf(v_dup_pairs(sin + i, m), sign);
        v_storef_n(x + 2 * i, v_fma(v_swap_pairs(v), s, v_mulf(v, c)), 2 * m);
    }
}
static void rope(float *x, int n_heads, int head_dim, int n_rot, const float *cos, const float *sin, bool halves)
{
    for (int h = 0; h < n_heads; h++) {
        if (halves)
            rope_halves(x + (ptrdiff_t)h * head_dim, n_rot / 2, cos, sin);
        else
            rope_pairs(x + (ptrdiff_t)h * head_dim, n_rot / 2, cos, sin);
    }
}

static int argmax(const float *x, int n, float *max)
{
    vf32 best = v_setf(-INFINITY);
    vf32 none = best;
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        best = v_maxf(v_keep(v_loadf_n(x + i, m), none, m), best);
    }
    float most = v_max_lanesf(best);
    *max = most;
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        unsigned equal = v_eq_mask(v_loadf_n(x + i, m), v_setf(most)) & ((1u << m) - 1);
        if (equal)
            return i + __builtin_ctz(equal);
    }
    return 0; /* nothing but NaNs */
}

static void block_max(float *max, const float *x, int n)
{
    const vf32 none = v_setf(-INFINITY);
    for (int at = 0; at < n; at += KERNEL_MAX_BLOCK) {
        int end = min_int(n, at + KERNEL_MAX_BLOCK), i = at;
        vf32 even = none, odd = none;
        for (; i + 32 <= end; i += 32) {
            even = v_maxf(v_loadf(x + i), even);
            odd = v_maxf(v_loadf(x + i + 16), odd);
        }
        for (; i < end; i += 16)
            even = v_maxf(v_keep(v_loadf_n(x + i, min_int(16, end - i)), none, min_int(16, end - i)), even);
        max[at / KERNEL_MAX_BLOCK] = v_max_lanesf(v_maxf(even, odd));
    }
}

static int collect(struct candidate *out, const float *x, int n, float least, int32_t first_id)
{
    int found = 0;
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        vf32 v = m == 16 ? v_loadf(x + i) : v_loadf_n(x + i, m);
        for (unsigned mask = v_ge_mask(v, v_setf(least)) & ((1u << m) - 1); mask; mask &= mask - 1) {
            int at = i + __builtin_ctz(mask);
            out[found++] = (struct candidate){ first_id + at, x[at] };
        }
    }
    return found;
}

static float sum_exp(const float *x, int n, float max)
{
    vf32 sum = v_zerof();
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        vf32 e = v_exp(v_subf(v_loadf_n(x + i, m), v_setf(max)));
        sum = v_addf(sum, v_keep(e, v_zerof(), m));
    }
    return v_sumf(sum);
}

static bool all_finite(const float *x, int n)
{
    vi32 most = v_zero32();
    for (int i = 0; i < n; i += 16) {
        vf32 v = v_loadf_n(x + i, min_int(16, n - i));
        most = v_max32(most, v_and32(v_bitsf(v), v_set32(0x7fffffff)));
    }
    return v_max_lanes32(most) < 0x7f800000;
}
