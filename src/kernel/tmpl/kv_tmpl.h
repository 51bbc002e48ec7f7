/* kv_tmpl.h: how the types of kv_types.def are stored and read. A type NAME brings
 *
 *   kv_values_NAME   16 values as floats, before their scale
 *   kv_store_NAME    one token's key and value into a page; of a key alone its values are a part (v NULL)
 *
 * The half of a page that holds keys is [head_dim/group][64] f16 scales (if there are any; the last group may be
 * shorter), then [head_dim][64] values: lanes = keys. That of values has the scales in the same order, then
 * [64][head_dim] values: lanes = dimensions. */

enum {
#define KV_TYPE(name, value_bytes, group, help) KV_GROUP_##name = group,
#include "hearth/kv_types.def"
};

/* Values i.. of the n <= 16 that are there; other lanes are 0. */
typedef vf32 kv_values_fn(const uint8_t *values, ptrdiff_t i, int n);

TEMPLATE ptrdiff_t kv_scales_bytes(int head_dim, const int group)
{
    return group > 0 ? (ptrdiff_t)sizeof(uint16_t) * ((head_dim + group - 1) / group) * KV_PAGE_TOKENS : 0;
}
TEMPLATE const uint16_t *kv_halves(const uint8_t *p) { return (const uint16_t *)(const void *)p; }

/* --- f16 and bf16: values as they are --- */
TEMPLATE vf32 kv_values_f16(const uint8_t *values, ptrdiff_t i, int n)
{
    return n == 16 ? v_load_f16(kv_halves(values) + i) : v_load_f16_n(kv_halves(values) + i, n);
}
TEMPLATE vf32 kv_values_bf16(const uint8_t *values, ptrdiff_t i, int n)
{
    return n == 16 ? v_load_bf16(kv_halves(values) + i) : v_load_bf16_n(kv_halves(values) + i, n);
}

/* Floats as they are, of a type or made before. */
TEMPLATE vf32 kv_values_made(const uint8_t *made, ptrdiff_t i, int n)
{
    const float *f = (const float *)(const void *)made + i;
    return n == 16 ? v_loadf(f) : v_loadf_n(f, n);
}

typedef void kv_round_fn(uint16_t *half, const float *x, int n);
TEMPLATE void kv_round_f16(uint16_t *half, const float *x, int n) { v_store_f16_n(half, v_loadf_n(x, n), n); }
TEMPLATE void kv_round_bf16(uint16_t *half, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        half[i] = bf16_from_f32(x[i]);
}

TEMPLATE void kv_store_halves(uint8_t *k_page, uint8_t *v_page, const float *k, const float *v, int head_dim, int slot,
                              kv_round_fn *to_half)
{
    uint16_t *keys = (uint16_t *)(void *)k_page, *values = (uint16_t *)(void *)v_page;
    for (int d = 0; d < head_dim; d += 16) {
        int n = min_int(16, head_dim - d);
        uint16_t half[16];
        to_half(half, k + d, n);
        for (int i = 0; i < n; i++)
            keys[(ptrdiff_t)(d + i) * KV_PAGE_TOKENS + slot] = half[i];
        if (v)
            to_half(values + (ptrdiff_t)slot * head_dim + d, v + d, n);
    }
}
static void kv_store_f16(uint8_t *k_page, uint8_t *v_page, const float *k, const float *v, int head_dim, int slot)
{
    kv_store_halves(k_page, v_page, k, v, head_dim, slot, kv_round_f16);
}
static void kv_store_bf16(uint8_t *k_page, uint8_t *v_page, const float *k, const float *v, int head_dim, int slot)
{
    kv_store_halves(k_page, v_page, k, v, head_dim, slot, kv_round_bf16);
}

/* --- f32: nothing is rounded --- */
TEMPLATE vf32 kv_values_f32(const uint8_t *values, ptrdiff_t i, int n) { return kv_values_made(values, i, n); }

static void kv_store_f32(uint8_t *k_page, uint8_t *v_page, const float *k, const float *v, int head_dim, int slot)
{
    float *keys = (float *)(void *)k_page, *values = (float *)(void *)v_page;
    for (int d = 0; d < head_dim; d++)
        keys[(ptrdiff_t)d * KV_PAGE_TOKENS + slot] = k[d];
    if (v)
        memcpy(values + (ptrdiff_t)slot * head_dim, v, (size_t)head_dim * sizeof *v);
}

/* --- q8: value = scale * code --- */
TEMPLATE vf32 kv_values_q8(const uint8_t *values, ptrdiff_t i, int n)
{
    int8_t part[16] = { 0 };
    if (n == 16)
        return v_load_i8((const int8_t *)values + i);
    memcpy(part, values + i, (size_t)n);
    return v_load_i8(part);
}

TEMPLATE vi32 kv_code_q8(vf32 x, float scale)
{
    return v_rne32(v_maxf(v_minf(v_divf(x, v_setf(scale)), v_setf(127)), v_setf(-127)));
}

/* n <= 32 values: scale = largest / 127 as f16, code = value / that scale to nearest even, within +-127. A scale too
 * small for f16 is 0, and so are the codes; a NaN or infinity makes the scale NaN, which no score hides. */
TEMPLATE uint16_t kv_round_q8(int8_t codes[32], const float *x, int n)
{
    vf32 low = v_loadf_n(x, min_int(n, 16)), high = n > 16 ? v_loadf_n(x + 16, n - 16) : v_zerof();
    vi32 positive = v_set32(INT32_MAX);
    int32_t bits = v_max_lanes32(v_max32(v_and32(v_bitsf(low), positive), v_and32(v_bitsf(high), positive)));
    uint16_t half = bits >= 0x7f800000 ? 0x7e00 : f16_from_f32(f32_of_bits((uint32_t)bits) / 127.0f);
    float scale = f16_to_f32(half);
    memset(codes, 0, 32);
    if (scale > 0) {
        v_narrow8(codes, kv_code_q8(low, scale));
        v_narrow8(codes + 16, kv_code_q8(high, scale));
    }
    return half;
}

static void kv_store_q8(uint8_t *k_page, uint8_t *v_page, const float *k, const float *v, int head_dim, int slot)
{
    enum { GROUP = KV_GROUP_q8 };
    uint16_t *k_scales = (uint16_t *)(void *)k_page, *v_scales = (uint16_t *)(void *)v_page;
    uint8_t *keys = k_page + kv_scales_bytes(head_dim, GROUP), *values = v_page + kv_scales_bytes(head_dim, GROUP);
    for (int d = 0; d < head_dim; d += GROUP) {
        int n = min_int(GROUP, head_dim - d);
        ptrdiff_t place = (ptrdiff_t)(d / GROUP) * KV_PAGE_TOKENS + slot;
        int8_t codes[GROUP];
        k_scales[place] = kv_round_q8(codes, k + d, n);
        for (int i = 0; i < n; i++)
            keys[(ptrdiff_t)(d + i) * KV_PAGE_TOKENS + slot] = (uint8_t)codes[i];
        if (!v)
            continue;
        v_scales[place] = kv_round_q8(codes, v + d, n);
        memcpy(values + (ptrdiff_t)slot * head_dim + d, codes, (size_t)n);
    }
}
