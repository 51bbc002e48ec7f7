/* The ceilings of the machine: that the loops do what is counted, never how fast. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "kernel/roof.h"

#include <cmocka.h>

static void test_the_read_loop_of_every_table_sees_every_byte(void **state)
{
    (void)state;
    enum { BYTES = 2048 };
    uint8_t *p = aligned_alloc(64, BYTES);
    assert_non_null(p);
    for (int t = 0; kernels_all[t]; t++) {
        if (!kernels_usable(kernels_all[t]))
            continue;
        for (int at = 0; at < BYTES; at++) {
            memset(p, 0, BYTES);
            p[at] = 1;
            assert_true(kernels_all[t]->roof->read(p, BYTES) != 0);
        }
        p[BYTES - 1] = 0;
        assert_int_equal(kernels_all[t]->roof->read(p, BYTES), 0);
    }
    free(p);
}

static void test_the_arithmetic_loops_of_every_table_end(void **state)
{
    (void)state;
    for (int t = 0; kernels_all[t]; t++) {
        if (!kernels_usable(kernels_all[t]))
            continue;
        const struct roof_loops *l = kernels_all[t]->roof;
        for (int n = 1; n <= 100; n *= 10) {
            (void)l->int8(n);
            (void)l->f32(n);
        }
        assert_true(l->int8_macs >= 4 * 8 && l->f32_macs >= 8);
    }
}

static void test_a_reading_is_a_rate_for_any_number_of_threads(void **state)
{
    (void)state;
    hearth_error err = { 0 };
    const struct kernels *k = kernels_get(&err);
    struct roofs *r = roofs_create(k, 2, &err);
    assert_non_null(r);
    assert_true(roofs_bytes(r) >= (size_t)2 * 64 << 20);
    for (int kind = 0; kind < N_ROOFS; kind++) {
        for (int threads = 1; threads <= 2; threads++) {
            double rate = roofs_read(r, (enum roof_kind)kind, threads);
            assert_true(isfinite(rate) && rate > 0);
        }
    }
    assert_true(roofs_disturbed(r) >= 0 && roofs_disturbed(r) <= 1);
    roofs_destroy(r);
    roofs_destroy(NULL);
}

static bool never(void *arg)
{
    ++*(int *)arg;
    return false;
}

static bool often(void *arg) { return ++*(int *)arg < 1000; }

/* With a pool and memory of somebody else, however small that is; and it can be ended. */
static void test_memory_that_is_there_can_be_read(void **state)
{
    (void)state;
    static const size_t sizes[] = { 512, 4096 + 300, 3 << 20, 40 << 20 };
    hearth_error err = { 0 };
    const struct kernels *k = kernels_get(&err);
    struct pool *pool = pool_create(2, &err);
    assert_non_null(pool);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        void *memory = mem_pages(sizes[i], NULL);
        int n = 0;
        assert_non_null(memory);
        struct roofs *r = roofs_over(k, pool, memory, sizes[i], &err);
        assert_non_null(r);
        assert_true(roofs_bytes(r) <= sizes[i]);
        double rate = roofs_read_while(r, ROOF_READ, 2, often, &n);
        assert_true(isfinite(rate) && rate >= 0 && n >= 5); /* 0: others disturbed it */
        n = 0;
        assert_true(roofs_read_while(r, ROOF_READ, 2, never, &n) == 0);
        assert_int_equal(n, 1);
        roofs_destroy(r);
        mem_pages_free(memory, sizes[i]);
    }
    assert_null(roofs_over(k, pool, NULL, 0, &err));
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_read_loop_of_every_table_sees_every_byte),
        cmocka_unit_test(test_the_arithmetic_loops_of_every_table_end),
        cmocka_unit_test(test_a_reading_is_a_rate_for_any_number_of_threads),
        cmocka_unit_test(test_memory_that_is_there_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
