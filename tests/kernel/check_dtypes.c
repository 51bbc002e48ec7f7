/* check_dtypes.c: the plain definitions against an independent dequantizer, on the random blocks of
 * tests/golden/dtype_digests.tsv (tools/golden_dtype_digests.py made it and says how). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "check.h"

/* Plain floats have nothing to unpack; PyPI gguf 0.19.0 does not dequantize q1_0 and q2_0. */
static bool needs_golden(enum dtype t)
{
    const char *name = dtype_table[t].name;
    return dtype_table[t].n_values > 1 && strcmp(name, "q1_0") != 0 && strcmp(name, "q2_0") != 0;
}

static void digest(const struct dtype_info *d, long n_blocks, char hex[65])
{
    struct rng rng = { d->gguf_id, 0 };
    struct sha256 *sha = sha256_new();
    assert_non_null(sha);
    for (long b = 0; b < n_blocks; b++) {
        uint8_t block[256];
        float x[256];
        for (int i = 0; i < d->block_bytes; i++)
            block[i] = (uint8_t)rng_u64(&rng);
        d->to_f32(x, block);
        for (int i = 0; i < d->n_values; i++)
            if (isnan(x[i]))
                memcpy(&x[i], &(uint32_t){ 0x7fc00000 }, sizeof *x);
        sha256_add(sha, x, sizeof *x * (size_t)d->n_values);
    }
    sha256_hex(sha, hex);
    sha256_free(sha);
}

static void plain_definitions_equal_an_independent_dequantizer(void **state)
{
    (void)state;
    bool checked[N_DTYPES] = { 0 };
    char row[256], name[16], want[65], got[65];
    FILE *f = fopen(HEARTH_GOLDEN_DIR "/dtype_digests.tsv", "r");
    assert_non_null(f);
    while (fgets(row, sizeof row, f)) {
        unsigned id;
        long n_blocks;
        enum dtype t;
        if (row[0] == '#')
            continue;
        assert_int_equal(sscanf(row, "%u\t%15s\t%ld\t%64s", &id, name, &n_blocks, want), 4);
        if (!dtype_from_gguf(id, &t))
            continue; /* not computed with yet */
        digest(&dtype_table[t], n_blocks, got);
        if (strcmp(got, want) != 0)
            fail_msg("%s: the values of %ld random blocks hash to %s, the golden says %s", name, n_blocks, got, want);
        checked[t] = true;
    }
    fclose(f);
    for (int t = 0; t < N_DTYPES; t++)
        if (!checked[t] && needs_golden((enum dtype)t))
            fail_msg("tests/golden/dtype_digests.tsv has no line for %s", dtype_table[t].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_definitions_equal_an_independent_dequantizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
