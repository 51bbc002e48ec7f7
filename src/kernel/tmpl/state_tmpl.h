/* state_tmpl.h: what recurrent layers do with a token. Each value has a chain of its own, of fused multiply-adds in one
 * order, so nothing depends on how many stand side by side. */

static void mul(float *y, const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        v_storef_n(y + i, v_mulf(v_loadf_n(a + i, m), v_loadf_n(b + i, m)), m);
    }
}

static void convolve(float *y, const float *const *x, const float *taps, size_t stride, const float *bias, int n_taps,
                     int n)
{
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        vf32 sum = bias ? v_loadf_n(bias + i, m) : v_zerof();
        for (int j = 0; j < n_taps; j++)
            sum = v_fma(v_loadf_n(x[j] + i, m), v_loadf_n(taps + (size_t)j * stride + i, m), sum);
        v_storef_n(y + i, sum, m);
    }
}

static void unit(float *y, const float *x, int n, float eps, float scale)
{
    vf32 sum = v_zerof();
    for (int i = 0; i < n; i += 16) {
        vf32 v = v_loadf_n(x + i, min_int(16, n - i));
        sum = v_fma(v, v, sum);
    }
    vf32 s = v_setf(scale / sqrtf(v_sumf(sum) + eps));
    for (int i = 0; i < n; i += 16) {
        int m = min_int(16, n - i);
        v_storef_n(y + i, v_mulf(v_loadf_n(x + i, m), s), m);
    }
}

/* Vectors of columns side by side: a chain waits for its own last sum, so others go between. */
#define STATE_COLUMNS(step, ...)                                                                                    \
    {                                                                                                               \
        int c = 0;                                                                                                  \
        for (; c + 64 <= n_cols; c += 64)                                                                           \
            step(__VA_ARGS__, 4);                                                                                   \
        for (; c + 16 <= n_cols; c += 16)                                                                           \
            step(__VA_ARGS__, 1);                                                                                   \
    }

TEMPLATE void recall_columns(float *y, const float *m, const float *key, float keep, int n_rows, int n_cols,
                             const int count)
{
    vf32 sum[4];
    UNROLLED
    for (int i = 0; i < count; i++)
        sum[i] = v_zerof();
    for (int r = 0; r < n_rows; r++, m += n_cols) {
        UNROLLED
        for (int i = 0; i < count; i++)
            sum[i] = v_fma(v_setf(key[r]), v_mulf(v_setf(keep), v_loadf(m + 16 * i)), sum[i]);
    }
    UNROLLED
    for (int i = 0; i < count; i++)
        v_storef(y + 16 * i, sum[i]);
}

static void recall(float *y, const float *m, const float *key, float keep, int n_rows, int n_cols)
{
    STATE_COLUMNS(recall_columns, y + c, m + c, key, keep, n_rows, n_cols)
}

TEMPLATE void remember_columns(float *y, float *m, const float *key, const float *value, const float *query, float keep,
                               int n_rows, int n_cols, const int count)
{
    vf32 sum[4], v[4];
    UNROLLED
    for (int i = 0; i < count; i++) {
        sum[i] = v_zerof();
        v[i] = v_loadf(value + 16 * i);
    }
    for (int r = 0; r < n_rows; r++, m += n_cols) {
        UNROLLED
        for (int i = 0; i < count; i++) {
            vf32 now = v_fma(v_setf(key[r]), v[i], v_mulf(v_setf(keep), v_loadf(m + 16 * i)));
            v_storef(m + 16 * i, now);
            sum[i] = v_fma(v_setf(query[r]), now, sum[i]);
        }
    }
    UNROLLED
    for (int i = 0; i < count; i++)
        v_storef(y + 16 * i, sum[i]);
}

static void remember(float *y, float *m, const float *key, const float *value, const float *query, float keep,
                     int n_rows, int n_cols)
{
    STATE_COLUMNS(remember_columns, y + c, m + c, key, value + c, query, keep, n_rows, n_cols)
}
