/* test_dtype.c: the plain definitions of the number formats against another implementation's. */
#include "base/rng.h"
#include "dtype/dtype.h"
#include "dtype/half.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* n bytes from hexadecimal. */
static void from_hex(uint8_t *out, int n, const char *text)
{
    for (int i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
}

/* Lines of a golden (tools/golden_dtypes.py says its form); -1 when there is none. */
static int check_blocks(const struct dtype_info *d)
{
    char path[512], line[4096];
    int n = 0;
    snprintf(path, sizeof path, HEARTH_GOLDEN_DIR "/dtypes/%s.tsv", d->name);
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        uint8_t block[256], want[4 * 256];
        float got[256];
        if (line[0] == '#')
            continue;
        assert_int_equal(strlen(line), 2 * d->block_bytes + 1 + 8 * d->n_values + 1);
        from_hex(block, d->block_bytes, line);
        from_hex(want, 4 * d->n_values, line + 2 * d->block_bytes + 1);
        d->to_f32(got, block);
        for (int i = 0; i < d->n_values; i++) {
            const uint8_t *b = want + 4 * i;
            uint32_t bits = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
            uint32_t have = got[i] != got[i] ? 0x7fc00000 : bits_of_f32(got[i]);
            if (have != bits)
                fail_msg("%s, block %d, value %d: %08x, want %08x", d->name, n, i, have, bits);
        }
        n++;
    }
    fclose(f);
    return n;
}

/* Random bytes as blocks, so scales may be denormal, infinite or NaN. */
static void blocks_mean_what_an_independent_implementation_says(void **state)
{
    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        const struct dtype_info *d = &dtype_table[t];
        int n = check_blocks(d);
        if (n < 0)
            print_message("%s: no golden; what made them does not know it\n", d->name);
        bool unknown = strcmp(d->name, "q1_0") == 0 || strcmp(d->name, "q2_0") == 0;
        assert_true(unknown ? n < 0 : n >= 4);
    }
}

/* No golden: by hand, from the formulas in their headers. */
static void codes_of_one_and_two_bits_are_read_lowest_first(void **state)
{
    (void)state;
    enum dtype q1, q2;
    assert_true(dtype_from_name("q1_0", &q1) && dtype_from_name("q2_0", &q2));
    uint8_t block[18] = { 0x00, 0xc0, 0x05, 0x80 }; /* scale -2 */
    float w[128];
    dtype_table[q1].to_f32(w, block);
    for (int i = 0; i < 128; i++)
        assert_true(w[i] == (i == 0 || i == 2 || i == 15 ? -2.0f : 2.0f));
    block[2] = 0xe4; /* codes 0 1 2 3 */
    block[3] = 0x40; /* 0 0 0 1 */
    dtype_table[q2].to_f32(w, block);
    for (int i = 0; i < 64; i++)
        assert_true(w[i] == (i == 1 || i == 7 ? 0.0f : i == 2 ? -2.0f : i == 3 ? -4.0f : 2.0f));
}

/* What looks for damage reads no more of a block than its scale and its minimum: where these are finite, so are all
 * values, whatever the other bytes are, and where one is not, neither are the values. */
static void a_block_is_as_finite_as_its_scales(void **state)
{
    (void)state;
    struct rng rng = { 11, 0 };
    for (int t = 0; t < N_DTYPES; t++) {
        const struct dtype_info *d = &dtype_table[t];
        static const uint8_t bytes_of[N_SCALE_KINDS] = { 4, 2, 2, 1, 7 };
        const int at[2] = { d->scale_at, d->min_at };
        uint8_t block[256];
        float x[256];
        for (int round = 0; round < 200; round++) {
            for (int i = 0; i < d->block_bytes; i++)
                block[i] = (uint8_t)rng_u64(&rng);
            for (int k = 0; k < 2 && at[k] >= 0; k++) /* exponents that are not all ones */
                for (int i = 0; i < bytes_of[d->scale]; i++)
                    block[at[k] + i] &= 0x3b;
            d->to_f32(x, block);
            for (int i = 0; i < d->n_values; i++)
                assert_true(isfinite(x[i]));
        }
        for (int k = 0; k < 2 && at[k] >= 0; k++) {
            int n_bad = 0;
            uint8_t was[8];
            memcpy(was, block + at[k], bytes_of[d->scale]);
            memset(block + at[k], 0xff, bytes_of[d->scale]); /* NaN in all kinds */
            d->to_f32(x, block);
            for (int i = 0; i < d->n_values; i++)
                n_bad += !isfinite(x[i]);
            assert_true(d->scale == SCALE_E8M0 || n_bad == d->n_values); /* e8m0: by its standard; ours is 2^127 */
            memcpy(block + at[k], was, bytes_of[d->scale]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_an_independent_implementation_says),
        cmocka_unit_test(codes_of_one_and_two_bits_are_read_lowest_first),
        cmocka_unit_test(a_block_is_as_finite_as_its_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
