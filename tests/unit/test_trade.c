/* test_trade.c: the knee of made-up curves, what is said of it, and its picture. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cli/quantize_trade.h"
#include "cli/quantize_trial.h"

#include <cmocka.h>

enum { MB = 1000000 };

static struct trade_point point(const char *name, int mb, double kld)
{
    return (struct trade_point){ .name = name, .bytes = (uint64_t)mb * MB, .kld = kld, .same_top = 0.9,
                                 .smaller = true };
}

/* In logarithms 2, 0, -1, -2: the chord is at 2/3 and -2/3 in between, "b" 2/3 of 4 below it, "c" 1/3. */
static void the_knee_is_deepest_below_the_chord(void **state)
{
    (void)state;
    const struct trade_point p[] = { point("d", 400, exp(-2) * 1e-2), point("b", 200, 1e-2),
                                     point("a", 100, exp(2) * 1e-2), point("c", 300, exp(-1) * 1e-2) };
    struct trade t;
    trade_find(&t, p, 4);
    assert_int_equal(t.kind, TRADE_KNEE);
    assert_int_equal(t.n_front, 4);
    for (int i = 0; i < 4; i++)
        assert_true(p[t.front[i]].name[0] == 'a' + i);
    assert_int_equal(t.take, 1);
    assert_int_equal(t.smaller, 2);
    assert_int_equal(t.larger, 3);
    assert_float_equal(t.bend, 1.0 / 6, 1e-12);
}

/* On a straight scale "b" would be the knee, 0.45 below; in logarithms it lies above the chord. */
static void divergences_count_by_their_logarithm(void **state)
{
    (void)state;
    const struct trade_point p[] = { point("a", 100, 1), point("b", 150, 0.1), point("c", 200, 0.001),
                                     point("d", 300, 0.0001) };
    struct trade t;
    trade_find(&t, p, 4);
    assert_int_equal(t.kind, TRADE_KNEE);
    assert_int_equal(t.take, 2);
}

static void who_is_beaten_in_both_is_not_on_the_front(void **state)
{
    (void)state;
    struct trade_point p[] = { point("a", 100, 1), point("beaten", 210, 0.2), point("b", 200, 0.1),
                               point("same size", 200, 0.11), point("c", 300, 0.05), point("IN", 400, 0) };
    struct trade t;
    p[5].smaller = false;
    trade_find(&t, p, 6);
    assert_int_equal(t.n_front, 3);
    assert_int_equal(t.front[0], 0);
    assert_int_equal(t.front[1], 2);
    assert_int_equal(t.front[2], 4);
    assert_int_equal(t.take, 2);
}

static void of_equal_divergences_the_smallest_is_left(void **state)
{
    (void)state;
    const struct trade_point p[] = { point("a", 300, 0.01), point("b", 100, 0.01), point("c", 200, 0.01),
                                     point("b again", 100, 0.01) };
    struct trade t;
    char text[TRADE_SENTENCE_BYTES];
    trade_find(&t, p, 4);
    assert_int_equal(t.kind, TRADE_ONE);
    assert_int_equal(t.n_front, 1);
    assert_int_equal(t.take, 1);
    assert_int_equal(t.smaller, -1);
    assert_int_equal(t.larger, -1);
    assert_non_null(strstr(trade_advice(text, &t, p, 400 * MB), "take b (no other candidate"));
    assert_string_equal(trade_neighbour(text, &t, p, -1), "");
    assert_string_equal(trade_neighbour(text, &t, p, 1), "");
}

/* Zero has no logarithm, and what is below the least counts as that: neither is better. */
static void a_divergence_of_zero_is_the_least_there_is(void **state)
{
    (void)state;
    const struct trade_point p[] = { point("zero", 400, 0), point("tiny", 300, 1e-9), point("b", 200, 1e-3),
                                     point("a", 100, 1) };
    struct trade t;
    trade_find(&t, p, 4);
    assert_int_equal(t.n_front, 3);
    assert_int_equal(t.front[2], 1);
    assert_true(isfinite(t.bend));
}

static void nothing_smaller_is_no_candidate(void **state)
{
    (void)state;
    struct trade_point p[] = { point("a", 300, 0) };
    struct trade t;
    char text[TRADE_SENTENCE_BYTES];
    p[0].smaller = false;
    trade_find(&t, p, 1);
    assert_int_equal(t.kind, TRADE_NONE);
    assert_int_equal(t.take, -1);
    assert_string_equal(trade_advice(text, &t, p, 300 * MB), "keep IN: no candidate is smaller");
    trade_find(&t, p, 0);
    assert_int_equal(t.take, -1);
}

static void a_straight_line_has_no_knee(void **state)
{
    (void)state;
    const struct trade_point p[] = { point("a", 100, 1), point("b", 200, 0.1), point("c", 300, 0.01) };
    struct trade t;
    char text[TRADE_SENTENCE_BYTES];
    trade_find(&t, p, 3);
    assert_int_equal(t.kind, TRADE_STRAIGHT);
    assert_int_equal(t.take, 2); /* the nearest */
    assert_int_equal(t.smaller, 1);
    assert_non_null(strstr(trade_advice(text, &t, p, 400 * MB), "there is no knee"));
    trade_find(&t, p, 2);
    assert_int_equal(t.kind, TRADE_STRAIGHT);
    assert_int_equal(t.take, 1);
    assert_non_null(strstr(trade_advice(text, &t, p, 400 * MB), "two candidates have no knee"));
}

static void the_advice_has_the_figures(void **state)
{
    (void)state;
    struct trade_point p[] = { point("Q2_K", 100, 0.1), point("Q4_K_M", 150, 0.01), point("Q8_0", 300, 0.005) };
    struct trade t;
    char text[TRADE_SENTENCE_BYTES];
    p[1].decode_times = 2.5;
    p[1].same_top = 0.956;
    trade_find(&t, p, 3);
    assert_string_equal(trade_advice(text, &t, p, 600 * MB),
                        "take Q4_K_M (the knee: to save more costs more divergence for each byte than it did up to "
                        "here): it has 25 % of IN's bytes and writes 2.50 times as fast, and finds the same token "
                        "likeliest at 95.6 % of the positions");
    assert_string_equal(trade_neighbour(text, &t, p, -1), "Q2_K is 33 % smaller at 10 times the divergence");
    assert_string_equal(trade_neighbour(text, &t, p, 1), "Q8_0 is 100 % larger at 0.5 times the divergence");
}

static char *picture(const struct trade_point *p, int n, int width)
{
    struct trade t;
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    assert_non_null(f);
    trade_find(&t, p, n);
    trade_picture(f, &t, p, n, width);
    fclose(f);
    return text;
}

static void the_picture_has_every_point_at_its_place(void **state)
{
    (void)state;
    struct trade_point p[] = { point("Q2_K", 100, 1), point("Q4_0", 200, 0.1), point("Q4_K_M", 200, 0.01),
                               point("Q8_0", 300, 0.001) };
    char *text = picture(p, 4, 60);
    assert_string_equal(text,
                        "divergence (nats)   # the knee\n"
                        "       1 |o Q2_K\n"
                        "         |\n"
                        "         |\n"
                        "         |\n"
                        "     0.1 |                         . Q4_0\n"
                        "         |\n"
                        "         |\n"
                        "         |\n"
                        "    0.01 |                         # Q4_K_M\n"
                        "         |\n"
                        "         |\n"
                        "         |\n"
                        "   0.001 |                                            Q8_0 o\n"
                        "         +--------------------------------------------------\n"
                        "          95.4 MiB                                   286 MiB\n");
    free(text);
}

/* Names that find no room are left out, marks never; nothing is wider than it may be. */
static void a_crowded_picture_keeps_its_width(void **state)
{
    (void)state;
    static char names[TRADE_MOST][32];
    struct trade_point p[TRADE_MOST];
    for (int i = 0; i < TRADE_MOST; i++) {
        snprintf(names[i], sizeof names[i], "A_RATHER_LONG_NAME_%d", i);
        p[i] = point(names[i], 100 + i % 3, 0.01 + i * 1e-4);
    }
    for (int width = 0; width < 300; width += 37) {
        char *text = picture(p, TRADE_MOST, width), *line = text;
        for (size_t n; (n = strcspn(line, "\n")) > 0; line += n + 1)
            assert_true((int)n <= max_int(width, 40) && n <= 200);
        assert_non_null(strchr(text, '.'));
        free(text);
    }
    char *same = picture((struct trade_point[]){ point("a", 1, 0), point("b", 1, 0) }, 2, 80);
    assert_non_null(strchr(same, 'o'));
    free(same);
    char *none = picture(p, 1, 80);
    assert_string_equal(none, "");
    free(none);
}

/* Temporary candidates are there one at a time, kept ones together. */
static void room_is_for_the_largest_or_for_all_with_the_distributions(void **state)
{
    (void)state;
    static struct trial t;
    hearth_error err = { 0 };
    const uint64_t mib = 1 << 20;
    assert_true(trial_types(&t, "Q4_0,Q8_0,Q2_K", &err));
    t.each[0].bytes = 30 * mib;
    t.each[1].bytes = 50 * mib;
    t.each[2].bytes = 20 * mib;
    t.folder = "/somewhere";
    assert_true(trial_room(&t, 10 * mib, 60 * mib, &err));
    assert_false(trial_room(&t, 10 * mib, 60 * mib - 1, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_non_null(strstr(err.message, "needs 60.0 MiB in /somewhere (the largest candidate, Q8_0 50.0 MiB, the "
                                        "distributions of IN 10.0 MiB) and 60.0 MiB are free"));
    t.keep = t.folder;
    assert_true(trial_room(&t, 10 * mib, 110 * mib, &err));
    assert_false(trial_room(&t, 10 * mib, 70 * mib, &err));
    assert_non_null(strstr(err.message, "needs 110 MiB"));
    assert_non_null(strstr(err.message, "(all candidates 100 MiB, "));
}

/* Of 7 candidates two took 100 s together: 50 s each; one that is late counts as if it ended now. */
static void the_time_left_is_that_of_those_before(void **state)
{
    (void)state;
    assert_true(isnan(trial_ms_left(7, 0, 0, 9000)));
    assert_true(trial_ms_left(7, 2, 100000, 0) == 250000);
    assert_true(trial_ms_left(7, 2, 100000, 20000) == 230000);
    assert_true(trial_ms_left(7, 2, 100000, 90000) == 200000);
    assert_true(trial_ms_left(7, 6, 300000, 60000) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_knee_is_deepest_below_the_chord),
        cmocka_unit_test(divergences_count_by_their_logarithm),
        cmocka_unit_test(who_is_beaten_in_both_is_not_on_the_front),
        cmocka_unit_test(of_equal_divergences_the_smallest_is_left),
        cmocka_unit_test(a_divergence_of_zero_is_the_least_there_is),
        cmocka_unit_test(nothing_smaller_is_no_candidate),
        cmocka_unit_test(a_straight_line_has_no_knee),
        cmocka_unit_test(the_advice_has_the_figures),
        cmocka_unit_test(the_picture_has_every_point_at_its_place),
        cmocka_unit_test(a_crowded_picture_keeps_its_width),
        cmocka_unit_test(room_is_for_the_largest_or_for_all_with_the_distributions),
        cmocka_unit_test(the_time_left_is_that_of_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
