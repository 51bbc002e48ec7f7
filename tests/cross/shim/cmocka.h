/* cmocka.h: the few functions of cmocka that the checks of tests/kernel and some unit tests use, for machines
 * whose cmocka is not at hand (aarch64 under an emulator). Output is TAP, as cmocka's is when told. */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int shim_fixture(void **state); /* 0: fine */

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
    shim_fixture *setup, *teardown;
};

/* Where a failed or skipped test goes on. One for the program, whichever files include this. */
__attribute__((weak)) jmp_buf shim_out;

#define cmocka_unit_test(f)                   { #f, f, NULL, NULL }
#define cmocka_unit_test_setup(f, s)          { #f, f, s, NULL }
#define cmocka_unit_test_teardown(f, t)       { #f, f, NULL, t }
#define cmocka_unit_test_setup_teardown(f, s, t) { #f, f, s, t }
#define cmocka_run_group_tests(tests, setup, teardown)                                                              \
    shim_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

enum { SHIM_PASSED, SHIM_FAILED, SHIM_SKIPPED };

/* Nothing of the caller's changes between setjmp and longjmp. */
static inline int shim_one(const struct CMUnitTest *test, void **state)
{
    int out = setjmp(shim_out);
    if (out == 0)
        test->run(state);
    return out;
}

static inline int shim_run(const struct CMUnitTest *tests, size_t n, shim_fixture *setup, shim_fixture *teardown)
{
    static const char *const verdict[] = { "ok", "not ok", "ok" };
    int n_failed = 0;
    void *group = NULL;
    printf("1..%zu\n", n);
    bool fine = !setup || setup(&group) == 0;
    for (size_t i = 0; i < n; i++) {
        void *state = group;
        int out = fine && (!tests[i].setup || tests[i].setup(&state) == 0) ? shim_one(&tests[i], &state) : SHIM_FAILED;
        if (tests[i].teardown && tests[i].teardown(&state) != 0)
            out = SHIM_FAILED;
        n_failed += out == SHIM_FAILED;
        printf("%s %zu - %s%s\n", verdict[out], i + 1, out == SHIM_SKIPPED ? "# SKIP " : "", tests[i].name);
        fflush(stdout);
    }
    return n_failed + (teardown && teardown(&group) != 0);
}

#define print_message(...) printf(__VA_ARGS__)
#define print_error(...)   printf("# " __VA_ARGS__)
#define skip()             longjmp(shim_out, SHIM_SKIPPED)
#define fail()             fail_msg("failed")
#define fail_msg(...)                                                                                               \
    do {                                                                                                            \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                                    \
        printf(__VA_ARGS__);                                                                                        \
        printf("\n");                                                                                               \
        longjmp(shim_out, SHIM_FAILED);                                                                             \
    } while (0)
#define shim_check(holds, text)                                                                                     \
    do {                                                                                                            \
        if (!(holds))                                                                                               \
            fail_msg("%s", text);                                                                                   \
    } while (0)
#define assert_true(c)               shim_check(c, "assert_true(" #c ")")
#define assert_false(c)              shim_check(!(c), "assert_false(" #c ")")
#define assert_non_null(p)           shim_check((p) != NULL, "assert_non_null(" #p ")")
#define assert_null(p)               shim_check((p) == NULL, "assert_null(" #p ")")
#define assert_ptr_equal(a, b)       shim_check((const void *)(a) == (const void *)(b), #a " == " #b)
#define assert_int_equal(a, b)       shim_check((uintmax_t)(a) == (uintmax_t)(b), #a " == " #b)
#define assert_int_not_equal(a, b)   shim_check((uintmax_t)(a) != (uintmax_t)(b), #a " != " #b)
#define assert_string_equal(a, b)    shim_check(strcmp(a, b) == 0, #a " is the text " #b)
#define assert_memory_equal(a, b, n) shim_check(memcmp(a, b, n) == 0, #a " has the bytes of " #b)
