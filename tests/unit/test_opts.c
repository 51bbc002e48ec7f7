/* test_opts.c: the option parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "cli/opts.h"

#include <cmocka.h> /* last: it has a macro fail() */

enum { CTX, TOP_K, TEMP, SEED, TYPE, JSON, TEXT, N_OPTS };

static const struct opt table[N_OPTS] = {
    [CTX] = { .name = "ctx", .aliases = "-c --ctx-size", .type = OPT_INT, .value = "N", .least = 1, .most = 4096 },
    [TOP_K] = { .name = "top_k", .type = OPT_INT, .value = "X", .least = 0, .most = 100 },
    [TEMP] = { .name = "temperature", .aliases = "--temp", .type = OPT_FLOAT, .value = "X", .least = 0, .most = 2 },
    [SEED] = { .name = "seed", .aliases = "-s", .type = OPT_COUNT, .value = "S" },
    [TYPE] = { .name = "type", .type = OPT_CHOICE, .value = "Q4_K_M|Q8_0|F16" },
    [JSON] = { .name = "json", .type = OPT_FLAG },
    [TEXT] = { .name = "prompt", .aliases = "-p", .type = OPT_TEXT, .value = "TEXT" },
};

static char noted[256];
static void note(const char *sentence) { strncpy(noted, sentence, sizeof noted - 1); }

static struct args a;
static hearth_error err;

/* Words end with NULL. */
static bool parse(const char *first, ...)
{
    char *argv[16];
    int argc = 0;
    va_list list;
    va_start(list, first);
    for (const char *word = first; word; word = va_arg(list, const char *))
        argv[argc++] = (char *)word;
    va_end(list);
    err = (hearth_error){ 0 };
    noted[0] = 0;
    return opts_parse(&a, table, N_OPTS, 2, argc, argv, note, &err);
}

static void assert_says(const char *part)
{
    if (!strstr(err.message, part))
        fail_msg("'%s' is not in '%s'", part, err.message);
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
}

static void a_value_is_the_next_word_or_follows_an_equals_sign(void **state)
{
    (void)state;
    assert_true(parse("--ctx", "12", "--top-k=7", "model", NULL));
    assert_int_equal(a.value[CTX].i, 12);
    assert_int_equal(a.value[TOP_K].i, 7);
    assert_int_equal(a.value[CTX].origin, OPT_FROM_LINE);
    assert_int_equal(a.value[TEMP].origin, OPT_UNSET);
    assert_int_equal(a.n_words, 1);
    assert_string_equal(a.word[0], "model");
}

static void every_spelling_reaches_the_same_option(void **state)
{
    (void)state;
    static const char *const spellings[] = { "-c", "--ctx", "--ctx-size", "--ctx_size" };
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        assert_true(parse(spellings[i], "5", NULL));
        assert_int_equal(a.value[CTX].i, 5);
    }
    assert_true(parse("--top_k", "3", NULL));
    assert_int_equal(a.value[TOP_K].i, 3);
}

static void names_are_exact(void **state)
{
    (void)state;
    assert_false(parse("--te", "1", NULL));
    assert_false(parse("--CTX", "1", NULL));
    assert_false(parse("-c5", NULL));
    assert_false(parse("-ctx", "5", NULL));
}

static void an_unknown_option_names_the_nearest_one(void **state)
{
    (void)state;
    assert_false(parse("--tmep", "1", NULL));
    assert_says("--tmep");
    assert_says("did you mean --temp?");
    assert_false(parse("--jsn", NULL));
    assert_says("did you mean --json?");
    assert_false(parse("--completely-different", NULL));
    assert_null(strstr(err.message, "did you mean"));
}

static void a_bad_value_is_told_with_option_value_and_range(void **state)
{
    (void)state;
    static const char *const bad_ints[] = { "0", "4097", "12k", "", " 5", "1.5", "0x10", "99999999999999999999", "-1" };
    for (size_t i = 0; i < ARRAY_LEN(bad_ints); i++) {
        assert_false(parse("-c", bad_ints[i], NULL));
        assert_says("-c: '");
        assert_says("1 to 4096");
    }
    assert_false(parse("--temp", "2.5", NULL));
    assert_says("--temp: '2.5' is not a number from 0 to 2");
    static const char *const bad_reals[] = { "nan", "inf", "1e999", "1,5", "" };
    for (size_t i = 0; i < ARRAY_LEN(bad_reals); i++)
        assert_false(parse("--temp", bad_reals[i], NULL));
    assert_false(parse("--seed", "-1", NULL));
    assert_says("9223372036854775807");
    assert_false(parse("--type", "Q5", NULL));
    assert_says("Q4_K_M|Q8_0|F16");
}

static void values_at_the_ends_of_a_range_are_taken(void **state)
{
    (void)state;
    assert_true(parse("-c", "4096", "--temp", "2", "--seed", "9223372036854775807", "--top-k", "0", NULL));
    assert_int_equal(a.value[CTX].i, 4096);
    assert_true(a.value[TEMP].f == 2.0);
    assert_int_equal(a.value[SEED].i, INT64_MAX);
    assert_int_equal(a.value[TOP_K].i, 0);
}

static void choices_are_taken_in_any_case(void **state)
{
    (void)state;
    assert_true(parse("--type", "q8_0", NULL));
    assert_int_equal(a.value[TYPE].i, 1);
    assert_true(parse("--type=F16", NULL));
    assert_int_equal(a.value[TYPE].i, 2);
    assert_false(parse("--type", "q8", NULL));
}

static void a_flag_takes_no_value_and_others_need_one(void **state)
{
    (void)state;
    assert_true(parse("--json", "word", NULL));
    assert_true(a.value[JSON].on);
    assert_int_equal(a.n_words, 1);
    assert_false(parse("--json=1", NULL));
    assert_says("takes no value");
    assert_false(parse("--ctx", NULL));
    assert_says("--ctx needs a value: N");
    assert_true(parse("-p", "", NULL));
    assert_string_equal(a.value[TEXT].text, "");
    assert_true(parse("-p", "--json", NULL)); /* a text may look like an option */
    assert_false(a.value[JSON].on);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    assert_true(parse("--json", "--", "--ctx", "-p", NULL));
    assert_int_equal(a.n_words, 2);
    assert_string_equal(a.word[0], "--ctx");
    assert_true(parse("-", NULL));
    assert_string_equal(a.word[0], "-");
}

static void a_word_too_many_is_refused(void **state)
{
    (void)state;
    assert_false(parse("one", "two", "three", NULL));
    assert_says("'three'");
}

static void an_option_given_twice_uses_the_last_and_says_so(void **state)
{
    (void)state;
    assert_true(parse("--ctx", "1", "-c", "2", NULL));
    assert_int_equal(a.value[CTX].i, 2);
    assert_non_null(strstr(noted, "--ctx"));
    assert_true(parse("--ctx", "1", NULL));
    assert_string_equal(noted, "");
}

static void help_is_seen_where_an_option_may_stand(void **state)
{
    (void)state;
    assert_true(parse("--help", "--bogus", NULL));
    assert_true(a.help);
    assert_true(parse("-p", "-h", NULL));
    assert_false(a.help);
}

static int clean_environment(void **state)
{
    (void)state;
    static const char *const names[] = { "CTX", "CTX_SIZE", "TOP_K", "TEMP", "TEMPERATURE", "JSON", "SEED", "TYPE",
                                         "PROMPT" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char full[32] = "HEARTH_";
        unsetenv(strcat(full, names[i]));
    }
    return 0;
}

static void the_environment_speaks_when_the_line_does_not(void **state)
{
    (void)state;
    setenv("HEARTH_CTX_SIZE", "77", 1);
    setenv("HEARTH_TOP_K", "9", 1);
    setenv("HEARTH_JSON", "yes", 1);
    assert_true(parse("--top-k", "3", NULL));
    assert_int_equal(a.value[CTX].i, 77);
    assert_int_equal(a.value[CTX].origin, OPT_FROM_ENV);
    assert_int_equal(a.value[TOP_K].i, 3);
    assert_true(a.value[JSON].on);
    setenv("HEARTH_JSON", "0", 1);
    assert_true(parse(NULL));
    assert_false(a.value[JSON].on);
    assert_int_equal(a.value[JSON].origin, OPT_FROM_ENV);
}

static void a_bad_value_in_the_environment_names_the_variable(void **state)
{
    (void)state;
    setenv("HEARTH_TEMP", "hot", 1);
    assert_false(parse(NULL));
    assert_says("HEARTH_TEMP: 'hot'");
    assert_true(parse("--temp", "1", NULL)); /* the line wins: nobody looks */
    unsetenv("HEARTH_TEMP");
    setenv("HEARTH_JSON", "maybe", 1);
    assert_false(parse(NULL));
    assert_says("HEARTH_JSON: 'maybe'");
}

static void two_spellings_in_the_environment_must_agree(void **state)
{
    (void)state;
    setenv("HEARTH_CTX", "5", 1);
    setenv("HEARTH_CTX_SIZE", "6", 1);
    assert_false(parse(NULL));
    assert_says("HEARTH_CTX_SIZE");
    setenv("HEARTH_CTX_SIZE", "5", 1);
    assert_true(parse(NULL));
    assert_int_equal(a.value[CTX].i, 5);
}

static void every_table_has_the_options_of_all_commands(void **state)
{
    (void)state;
    assert_true(parse("--ctx", "12", "--config", "a.toml", NULL));
    assert_string_equal(a.common[COMMON_CONFIG].text, "a.toml");
    assert_int_equal(a.common[COMMON_CONFIG].origin, OPT_FROM_LINE);
    assert_false(parse("--confg", "a.toml", NULL));
    assert_says("did you mean --config?");
    assert_false(parse("--config", NULL));
    assert_says("--config needs a value: FILE");
    setenv("HEARTH_CONFIG", "b.toml", 1);
    assert_true(parse(NULL));
    assert_string_equal(a.common[COMMON_CONFIG].text, "b.toml");
    assert_int_equal(a.common[COMMON_CONFIG].origin, OPT_FROM_ENV);
    assert_true(parse("--config", "a.toml", NULL));
    assert_string_equal(a.common[COMMON_CONFIG].text, "a.toml");
    unsetenv("HEARTH_CONFIG");
}

static void the_nearest_of_two_tables_is_the_nearer_one(void **state)
{
    (void)state;
    char near[OPT_SPELLING_BYTES] = "";
    int best = opt_nearest(table, N_OPTS, "--temprature", 1000, near);
    assert_string_equal(near, "--temperature");
    assert_int_equal(best, 1);
    assert_int_equal(opt_nearest(common_opts, N_COMMON, "--temprature", best, near), best);
    assert_string_equal(near, "--temperature");
    near[0] = 0;
    opt_nearest(table, N_OPTS, "--something-else", 1000, near);
    assert_string_equal(near, "");
}

static void spellings_come_one_by_one(void **state)
{
    (void)state;
    char s[OPT_SPELLING_BYTES], variable[OPT_SPELLING_BYTES + 8];
    int cursor = 0;
    assert_true(opt_next_spelling(&table[CTX], &cursor, s));
    assert_string_equal(s, "--ctx");
    assert_true(opt_next_spelling(&table[CTX], &cursor, s));
    assert_string_equal(s, "-c");
    opt_env_name(s, variable);
    assert_string_equal(variable, "");
    assert_true(opt_next_spelling(&table[CTX], &cursor, s));
    assert_string_equal(s, "--ctx-size");
    opt_env_name(s, variable);
    assert_string_equal(variable, "HEARTH_CTX_SIZE");
    assert_false(opt_next_spelling(&table[CTX], &cursor, s));
}

static void distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(word_distance("temp", "temp"), 0);
    assert_int_equal(word_distance("top_k", "top-k"), 0);
    assert_int_equal(word_distance("", "abc"), 3);
    assert_int_equal(word_distance("kitten", "sitting"), 3);
    assert_int_equal(word_distance("tmep", "temp"), 2);
    char longest[WORD_LONGEST + 2];
    memset(longest, 'a', sizeof longest);
    longest[WORD_LONGEST] = 0;
    assert_int_equal(word_distance(longest, longest), 0);
    longest[WORD_LONGEST] = 'a';
    longest[WORD_LONGEST + 1] = 0;
    assert_int_equal(word_distance(longest, longest), WORD_LONGEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_the_next_word_or_follows_an_equals_sign),
        cmocka_unit_test(every_spelling_reaches_the_same_option),
        cmocka_unit_test(names_are_exact),
        cmocka_unit_test(an_unknown_option_names_the_nearest_one),
        cmocka_unit_test(a_bad_value_is_told_with_option_value_and_range),
        cmocka_unit_test(values_at_the_ends_of_a_range_are_taken),
        cmocka_unit_test(choices_are_taken_in_any_case),
        cmocka_unit_test(a_flag_takes_no_value_and_others_need_one),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_word_too_many_is_refused),
        cmocka_unit_test(an_option_given_twice_uses_the_last_and_says_so),
        cmocka_unit_test(help_is_seen_where_an_option_may_stand),
        cmocka_unit_test_setup(the_environment_speaks_when_the_line_does_not, clean_environment),
        cmocka_unit_test_setup(a_bad_value_in_the_environment_names_the_variable, clean_environment),
        cmocka_unit_test_setup(two_spellings_in_the_environment_must_agree, clean_environment),
        cmocka_unit_test_setup(every_table_has_the_options_of_all_commands, clean_environment),
        cmocka_unit_test(the_nearest_of_two_tables_is_the_nearer_one),
        cmocka_unit_test_setup(spellings_come_one_by_one, clean_environment),
        cmocka_unit_test(distance_counts_edits),
    };
    return cmocka_run_group_tests(tests, clean_environment, clean_environment);
}
