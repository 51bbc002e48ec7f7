/* test_state.c: which slots of a pool of recurrent states have memory, and which snapshot goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "infer/state.h"

#include <cmocka.h>

enum { SLOT_BYTES = 8192, N_SLOTS = 4, N_PAGES = 8 };

static struct state_pool pool;

static void begin(void)
{
    hearth_error err;
    assert_true(states_create(&pool, SLOT_BYTES, N_SLOTS, N_PAGES, &err));
}

static void slots_have_memory_from_their_first_use_until_it_is_given_back(void **state)
{
    (void)state;
    begin();
    assert_int_equal(pool.n_touched, 0);
    uint32_t slot = states_begin(&pool, STATE_NONE);
    states_at(&pool, slot)[0] = 7;
    assert_int_equal(pool.n_touched, 1);
    states_save(&pool, slot, 0);
    states_save(&pool, slot, 0); /* it has one: nothing more */
    assert_int_equal(pool.n_touched, 2);
    assert_int_equal(states_give(&pool), 0); /* a sequence has one, a page the other */

    states_drop(&pool, 0);
    assert_int_equal(states_give(&pool), SLOT_BYTES);
    assert_int_equal(pool.n_touched, 1);
    assert_int_equal(states_give(&pool), 0);

    states_leave(&pool, slot, 3); /* becomes a snapshot where it lies */
    assert_true(states_has(&pool, 3));
    assert_int_equal(pool.n_touched, 1);
    uint32_t next = states_begin(&pool, 3);
    assert_true(states_at(&pool, next)[0] == 7);
    assert_int_equal(pool.n_touched, 2);

    states_leave(&pool, next, STATE_NONE);
    states_forget(&pool);
    assert_int_equal(pool.n_touched, 0);
    assert_false(states_has(&pool, 3));
    assert_int_equal(states_give(&pool), 0);
    states_destroy(&pool);
}

static void the_snapshot_that_was_not_used_for_longest_goes(void **state)
{
    (void)state;
    begin();
    uint32_t slot = states_begin(&pool, STATE_NONE);
    for (uint32_t page = 0; page < N_SLOTS - 1; page++)
        states_save(&pool, slot, page);
    states_load(&pool, slot, 0);
    states_save(&pool, slot, 5);
    assert_true(states_has(&pool, 0) && states_has(&pool, 2) && states_has(&pool, 5));
    assert_false(states_has(&pool, 1));
    assert_int_equal(pool.n_touched, N_SLOTS);
    states_leave(&pool, slot, STATE_NONE);
    states_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_have_memory_from_their_first_use_until_it_is_given_back),
        cmocka_unit_test(the_snapshot_that_was_not_used_for_longest_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
