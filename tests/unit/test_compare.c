/* test_compare.c: where two texts part, and what is kept of answers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/compare.h"

#include <cmocka.h> /* last: it has a macro fail() */

static void assert_word(struct str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void assert_parts(const char *a, const char *b, size_t byte, size_t n_chars, const char *word_a,
                         const char *word_b)
{
    struct divergence d;
    divergence_find(&d, str_z(a), str_z(b));
    assert_false(d.same);
    assert_int_equal(d.byte, byte);
    assert_int_equal(d.n_chars, n_chars);
    assert_word(d.word[0], word_a);
    assert_word(d.word[1], word_b);
    divergence_find(&d, str_z(b), str_z(a));
    assert_int_equal(d.byte, byte);
    assert_word(d.word[0], word_b);
}

static void equal_texts_are_the_same(void **state)
{
    struct divergence d;
    (void)state;
    divergence_find(&d, str_z("na\xc3\xafve"), str_z("na\xc3\xafve"));
    assert_true(d.same);
    assert_int_equal(d.n_chars, 5);
    divergence_find(&d, str_z(""), str_z(""));
    assert_true(d.same);
}

static void texts_part_in_a_word_or_at_an_end(void **state)
{
    (void)state;
    assert_parts("the old prince", "the odd prince", 5, 5, "old", "odd");
    assert_parts("walk", "walking on", 4, 4, "walk", "walking");
    assert_parts("", "a b", 0, 0, "", "a");
    assert_parts("one ", "one two", 4, 4, "", "two");
    assert_parts("one two", "one\ntwo", 3, 3, "one ", "one\n");
    assert_parts("a  b", "a b", 2, 2, " ", "b");
}

static void no_character_is_cut(void **state)
{
    (void)state;
    assert_parts("x \xc3\xa9t\xc3\xa9", "x \xc3\xa8re", 2, 2, "\xc3\xa9t\xc3\xa9", "\xc3\xa8re");
    assert_parts("na\xc3\xafve", "na\xc3\xafvt\xc3\xa9", 5, 4, "na\xc3\xafve", "na\xc3\xafvt\xc3\xa9");
    assert_parts("\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa6!", 0, 0, "\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa6!");
    assert_parts("a", "a\xcc\x81", 1, 1, "a", "a\xcc\x81");
}

/* A word that does not end is shown from near the place on, and up to some bytes behind it. */
static void a_long_word_is_cut_at_characters(void **state)
{
    char a[400], b[400];
    struct divergence d;
    (void)state;
    for (size_t i = 0; i < sizeof a; i += 2)
        memcpy(a + i, "\xc3\xa9", 2);
    memcpy(b, a, sizeof b);
    b[201] = (char)0xa8;
    divergence_find(&d, (struct str){ a, sizeof a }, (struct str){ b, sizeof b });
    assert_int_equal(d.byte, 200);
    assert_int_equal(d.n_chars, 100);
    for (int i = 0; i < 2; i++) {
        assert_in_range(d.word[i].len, 2, 80);
        assert_int_equal(d.word[i].len % 2, 0);
        assert_int_equal((unsigned char)d.word[i].ptr[0], 0xc3);
    }
}

static void medians_pass_over_what_failed(void **state)
{
    struct comparison c = { 0 };
    hearth_error err = { 0 };
    (void)state;
    assert_true(comparison_make(&c, 2, 3, &err));
    struct compare_run *run = c.prompt[0].side[COMPARE_API].run;
    assert_true(isnan(compare_median(&c, &c.prompt[0], COMPARE_API, COMPARE_TOTAL)));
    for (int i = 0; i < 3; i++) {
        run[i].ok = i > 0;
        run[i].figure[COMPARE_TOTAL] = 10 * (i + 1);
    }
    run[2].figure[COMPARE_RATE] = 7;
    assert_true(compare_median(&c, &c.prompt[0], COMPARE_API, COMPARE_TOTAL) == 30);
    assert_true(compare_median(&c, &c.prompt[0], COMPARE_API, COMPARE_RATE) == 7);
    assert_true(compare_median_of_all(&c, COMPARE_API, COMPARE_TOTAL) == 30);
    assert_true(isnan(compare_median_of_all(&c, COMPARE_LOCAL, COMPARE_TOTAL)));
    comparison_free(&c);
}

static void the_first_text_is_kept_and_the_others_are_counted(void **state)
{
    struct comparison c = { 0 };
    hearth_error err = { 0 };
    (void)state;
    assert_true(comparison_make(&c, 1, 3, &err));
    struct compare_answers *a = &c.prompt[0].side[0];
    assert_true(compare_keep_text(a, str_z("one"), str_z(""), &err));
    assert_true(compare_keep_text(a, str_z("two"), str_z(""), &err));
    assert_true(compare_keep_text(a, str_z("one"), str_z(""), &err));
    assert_int_equal(a->n_ok, 3);
    assert_int_equal(a->n_same, 2);
    assert_word(buf_str(&a->text), "one");
    comparison_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_texts_are_the_same),
        cmocka_unit_test(texts_part_in_a_word_or_at_an_end),
        cmocka_unit_test(no_character_is_cut),
        cmocka_unit_test(a_long_word_is_cut_at_characters),
        cmocka_unit_test(medians_pass_over_what_failed),
        cmocka_unit_test(the_first_text_is_kept_and_the_others_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
