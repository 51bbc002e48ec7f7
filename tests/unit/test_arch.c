/* The table of architectures: what its files do not say one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model/arch.h"

#include <cmocka.h>

static void test_every_architecture_is_found_by_its_name_and_no_other(void **state)
{
    (void)state;
    for (int i = 0; arch_all[i]; i++)
        assert_ptr_equal(arch_find(str_z(arch_all[i]->name)), arch_all[i]);
    assert_null(arch_find(STR("")));
    assert_null(arch_find(STR("qwen")));
}

static void test_names_are_whole_whatever_the_room(void **state)
{
    (void)state;
    char all[4096], some[4096];
    arch_names(all, sizeof all);
    assert_null(strstr(all, "more"));
    size_t n_all = strlen(all);
    for (size_t room = 64; room <= n_all + 2; room++) {
        memset(some, '#', sizeof some);
        arch_names(some, room);
        assert_int_equal(some[room], '#');
        size_t n = strlen(some);
        assert_true(n < room);
        if (room > n_all) {
            assert_string_equal(some, all);
            continue;
        }
        const char *end = strstr(some, " and more");
        assert_non_null(end);
        assert_int_equal(end[9], '\0');
        assert_memory_equal(some, all, (size_t)(end - some));
        assert_int_equal(all[end - some], ',');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_architecture_is_found_by_its_name_and_no_other),
        cmocka_unit_test(test_names_are_whole_whatever_the_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
