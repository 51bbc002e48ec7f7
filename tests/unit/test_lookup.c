/* test_lookup.c: what a sequence that repeats itself drafts, and when it stops to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "infer/lookup.h"

#include <cmocka.h>

enum { MAX_CTX = 4096 };

static struct lookup lookup;
static int32_t history[MAX_CTX];
static int32_t *memory;

static void open_lookup(int n_ctx, int fixed)
{
    free(memory);
    memory = malloc(lookup_bytes(n_ctx)); /* exactly so much: the address sanitizer looks */
    assert_non_null(memory);
    lookup_layout(&lookup, memory, n_ctx);
    lookup_begin(&lookup, fixed, LOOKUP_FROM_MEMORY);
}

static int fill(const char *text)
{
    int n = 0;
    for (; text[n]; n++)
        history[n] = text[n];
    return n;
}

static void assert_draft(const char *text, int most, const char *want)
{
    int n = fill(text), n_draft = lookup_draft(&lookup, history, n, most, 1);
    assert_int_equal(n_draft, strlen(want));
    for (int i = 0; i < n_draft; i++)
        assert_int_equal(history[n + i], want[i]);
}

static void what_followed_then_is_the_draft(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 4);
    assert_draft("abcdefgh ab", 16, "cdef");
    open_lookup(MAX_CTX, 4);
    assert_draft("abcdefgh ab", 2, "cd"); /* most */
    open_lookup(MAX_CTX, 4);
    assert_draft("abcdefgh ab", 0, "");
    open_lookup(MAX_CTX, 4);
    assert_draft("abcdefgh ac", 16, ""); /* no such pair before */
    open_lookup(MAX_CTX, 4);
    assert_draft("a", 16, "");
}

static void the_longest_match_counts_and_of_equals_the_latest(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 1);
    assert_draft("xyzab1.zab2.ab3.yzab", 16, "1");
    open_lookup(MAX_CTX, 1);
    assert_draft("zab1.zab2.ab3.yzab", 16, "2");
}

static void a_draft_may_run_into_itself(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 7);
    assert_draft("abcabc", 16, "abcabca");
    open_lookup(MAX_CTX, 5);
    assert_draft("aaa", 16, "aaaaa");
}

/* The index grows with the sequence; pairs come in once, also those of a draft that was right. */
static void the_index_follows_the_sequence(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 3);
    assert_draft("abcd", 16, "");
    assert_draft("abcdab", 16, "cda");
    assert_draft("abcdabX", 16, ""); /* the draft was wrong: nothing of it stays */
    assert_draft("abcdabXab", 16, "Xab");
    lookup_begin(&lookup, 3, LOOKUP_FROM_MEMORY);
    assert_draft("ab", 16, ""); /* and of another sequence nothing */
}

/* A table of 64 places for 4,096 tokens: chains of all pairs, and never a token from beyond the history. */
static void collisions_cost_matches_and_nothing_else(void **state)
{
    (void)state;
    struct rng r = { 7, 0 };
    open_lookup(MAX_CTX, LOOKUP_MOST);
    lookup.n_last = 64;
    int drafted = 0;
    for (int i = 0; i < MAX_CTX; i++)
        history[i] = (int32_t)rng_below(&r, 12) - 2; /* ids are never negative; the index would not mind */
    for (int n = 1; n + LOOKUP_MOST < MAX_CTX; n++) {
        int32_t kept[LOOKUP_MOST], a = history[n - 1], b = n > 1 ? history[n - 2] : 0;
        memcpy(kept, history + n, sizeof kept);
        int n_draft = lookup_draft(&lookup, history, n, LOOKUP_MOST, 1);
        for (int i = 0; i < n_draft; i++)
            assert_in_range(history[n + i] + 2, 0, 11);
        bool stood_there = n_draft == 0;
        for (int at = 2; at < n && !stood_there; at++)
            stood_there = history[at - 1] == a && history[at - 2] == b && history[at] == history[n];
        assert_true(stood_there);
        drafted += n_draft > 0;
        memcpy(history + n, kept, sizeof kept);
    }
    assert_true(drafted > MAX_CTX / 2);
}

static void memory_is_bounded_and_the_last_place_is_inside(void **state)
{
    (void)state;
    assert_true(lookup_bytes(1) <= 1024);
    assert_true(lookup_bytes(1 << 17) <= (1 << 17) * 4 + (1 << 16) * 4);
    open_lookup(100, 4);
    for (int i = 0; i < 100; i++)
        history[i] = i % 7;
    assert_int_equal(lookup_draft(&lookup, history, 99, 1, 1), 1);
    assert_int_equal(lookup_draft(&lookup, history, 100, 0, 1), 0);
}

/* ---- how long ---- */

/* A text of one token: every draft can be right. */
static int next_length(int n)
{
    for (int i = 0; i < n; i++)
        history[i] = 1;
    return lookup_draft(&lookup, history, n, LOOKUP_MOST, 1);
}

static void drafts_grow_while_they_are_right_and_shrink_when_not(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 0);
    int first = next_length(40), length = first;
    assert_int_equal(first, 1);
    for (int i = 0; i < 20; i++) {
        lookup_learn(&lookup, length, false);
        int next = next_length(41 + i);
        assert_true(next >= length);
        length = next;
    }
    assert_true(length >= 7);
    for (int i = 0; i < 20; i++) {
        lookup_learn(&lookup, 0, true);
        assert_true(next_length(70 + i) <= length);
        length = next_length(70 + i);
    }
    assert_true(length < 4);
}

static void drafts_that_lose_end_and_are_tried_again_rarely(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 0);
    int n_tried = 0;
    for (int n = 20; n < 1020; n++) {
        int length = next_length(n);
        n_tried += length;
        if (length > 0)
            lookup_learn(&lookup, 0, true);
    }
    assert_in_range(n_tried, 40, 120); /* of 1000 places, after a match of 32 tokens; 15 of them are tries */
    for (int n = 1020, quiet = 0; quiet < 2; n++) { /* at the next try or the one after it, it is worth it again */
        int length = next_length(n);
        if (length > 0)
            lookup_learn(&lookup, length, false);
        quiet = length > 1 ? 2 : quiet;
        assert_true(n < 1020 + 512);
    }
}

/* A sequence whose second half is given: tokens of it that steps with drafts find out; returns how many steps. */
static int replay(int n_given, int n, int *n_drafted)
{
    int n_steps = 0;
    *n_drafted = 0;
    for (int at = n_given; at < n; n_steps++) {
        int32_t truth[LOOKUP_MOST + 1];
        int most = min_int(LOOKUP_MOST, n - at - 1), n_right = 0;
        memcpy(truth, history + at, (size_t)(most + 1) * sizeof *truth);
        int n_draft = lookup_draft(&lookup, history, at, most, 1);
        while (n_right < n_draft && history[at + n_right] == truth[n_right])
            n_right++;
        memcpy(history + at, truth, (size_t)(most + 1) * sizeof *truth);
        if (n_draft > 0)
            lookup_learn(&lookup, n_right, n_right < n_draft);
        *n_drafted += n_draft;
        at += n_right + 1;
    }
    return n_steps;
}

/* 2,000 tokens of 300, once more with every 25th another; and 2,000 that are new. Seen: 407 steps, and 11 tokens
 * drafted among the new ones. */
static void a_copy_with_edits_takes_few_steps_and_noise_drafts_little(void **state)
{
    (void)state;
    enum { N = 2000 };
    int n_drafted;
    for (int copy = 0; copy < 2; copy++) {
        struct rng r = { 3, 0 };
        open_lookup(MAX_CTX, 0);
        for (int i = 0; i < 2 * N; i++)
            history[i] = copy && i >= N ? history[i - N] : (int32_t)rng_below(&r, 300);
        for (int i = N; copy && i < 2 * N; i += 25)
            history[i] = 300;
        int n_steps = replay(N, 2 * N, &n_drafted);
        assert_in_range(n_steps, copy ? 0 : N * 98 / 100, copy ? N / 4 : N);
        assert_true(copy || n_drafted < N / 50);
    }
}

/* Short matches that lose do not silence long ones. */
static void lengths_of_matches_are_judged_apart(void **state)
{
    (void)state;
    open_lookup(MAX_CTX, 0);
    for (int i = 0; i < 30; i++) {
        lookup_draft(&lookup, history, fill("ab-cab"), 16, 1);
        lookup_learn(&lookup, 0, true);
    }
    assert_int_equal(lookup_draft(&lookup, history, fill("ab-cab"), 16, 1), 0);
    assert_true(lookup_draft(&lookup, history, fill("ab-cab-cab"), 16, 1) > 0);
}

/* The same place with other sequences in the step, and with weights in a cache. */
static void columns_that_cost_more_make_drafts_shorter(void **state)
{
    (void)state;
    int alone[2], before = LOOKUP_MOST;
    for (int i = 0; i < 2; i++) {
        open_lookup(MAX_CTX, 0);
        lookup_begin(&lookup, 0, i ? LOOKUP_FROM_CACHE : LOOKUP_FROM_MEMORY);
        lookup_draft(&lookup, history, fill("ab-cab"), 16, 1);
        for (int k = 0; k < 6; k++)
            lookup_learn(&lookup, 1, k % 2);
        alone[i] = lookup_draft(&lookup, history, fill("ab-cab"), 16, 1);
    }
    assert_true(alone[1] < alone[0]);
    lookup_begin(&lookup, 0, LOOKUP_FROM_MEMORY);
    for (int columns = 1; columns < 64; columns++) {
        int n = lookup_draft(&lookup, history, fill("ab-cab-cab-cab"), 16, columns);
        assert_true(columns > 4 || n <= before); /* dearer from one column to the next */
        assert_true(n == 0 || columns + n <= 17);
        before = n;
    }
    assert_int_equal(before, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_then_is_the_draft),
        cmocka_unit_test(the_longest_match_counts_and_of_equals_the_latest),
        cmocka_unit_test(a_draft_may_run_into_itself),
        cmocka_unit_test(the_index_follows_the_sequence),
        cmocka_unit_test(collisions_cost_matches_and_nothing_else),
        cmocka_unit_test(memory_is_bounded_and_the_last_place_is_inside),
        cmocka_unit_test(drafts_grow_while_they_are_right_and_shrink_when_not),
        cmocka_unit_test(drafts_that_lose_end_and_are_tried_again_rarely),
        cmocka_unit_test(a_copy_with_edits_takes_few_steps_and_noise_drafts_little),
        cmocka_unit_test(lengths_of_matches_are_judged_apart),
        cmocka_unit_test(columns_that_cost_more_make_drafts_shorter),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(memory);
    return failed;
}
