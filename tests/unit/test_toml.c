/* Settings files: what is read, and what every refusal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/toml.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct arena arena;
static struct toml t;
static hearth_error err;

static bool read_bytes(const char *text, size_t n)
{
    arena_free(&arena);
    arena_init(&arena, TOML_ARENA_BYTES);
    err = (hearth_error){ 0 };
    return toml_read(&t, &arena, (struct str){ text, n }, "a.toml", &err);
}

static bool read_text(const char *text) { return read_bytes(text, strlen(text)); }

static int done(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static const struct toml_pair *pair_of(const char *section, const char *sub, const char *key)
{
    const struct toml_section *s = toml_section_find(&t, section, sub);
    for (int i = 0; s && i < s->n; i++)
        if (strcmp(t.pairs[s->first + i].key, key) == 0)
            return &t.pairs[s->first + i];
    fail_msg("there is no %s in [%s.%s]", key, section, sub);
    return NULL;
}

static void test_values_of_every_type_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum toml_type type;
        const char *text;
    } rows[] = {
        { "k = 4096", TOML_INTEGER, "4096" }, { "k=+1_000_000", TOML_INTEGER, "+1000000" },
        { "k = -0", TOML_INTEGER, "-0" }, { "\tk\t=\t0 # why", TOML_INTEGER, "0" },
        { "k = 0.70", TOML_FLOAT, "0.70" }, { "k = 1e-3", TOML_FLOAT, "1e-3" },
        { "k = 6.0_2E+23", TOML_FLOAT, "6.02E+23" },
        { "k = true", TOML_BOOLEAN, "true" }, { "k = false#", TOML_BOOLEAN, "false" },
        { "k = \"\"", TOML_STRING, "" }, { "k = ''", TOML_STRING, "" },
        { "k = \"a # b\" # c", TOML_STRING, "a # b" }, { "k = 'a\\n\"b'", TOML_STRING, "a\\n\"b" },
        { "k = \"\\b\\t\\n\\f\\r\\\"\\\\\"", TOML_STRING, "\b\t\n\f\r\"\\" },
        { "k = \"\\u00e9\\u20AC\\U0001F600\"", TOML_STRING, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "k = \"\xc3\xa9\"", TOML_STRING, "\xc3\xa9" }, { "k = \"[x]\"", TOML_STRING, "[x]" },
        { "\xef\xbb\xbfk = 1", TOML_INTEGER, "1" }, { "k = 1\r\n", TOML_INTEGER, "1" },
        { "# x\n\n  \nk = 1", TOML_INTEGER, "1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!read_text(rows[i].line))
            fail_msg("'%s': %s", rows[i].line, err.message);
        assert_int_equal(t.n_pairs, 1);
        assert_int_equal(t.pairs[0].type, rows[i].type);
        assert_string_equal(t.pairs[0].text, rows[i].text);
    }
}

static void test_lists_are_texts_in_one_line(void **state)
{
    (void)state;
    assert_true(read_text("a = []\nb = [ \"x\", 'y\\n' , \"\\n\", ] # three"));
    assert_int_equal(pair_of("", "", "a")->n_items, 0);
    const struct toml_pair *b = pair_of("", "", "b");
    assert_int_equal(b->type, TOML_STRINGS);
    assert_int_equal(b->n_items, 3);
    assert_string_equal(b->items[0], "x");
    assert_string_equal(b->items[1], "y\\n");
    assert_string_equal(b->items[2], "\n");
}

static void test_keys_belong_to_the_section_above_them(void **state)
{
    (void)state;
    assert_true(read_text("ctx = 1\n[serve]\nctx = 2\n [ model . \"qwen3-0.6b\" ] # m\nctx = 3\n[model.'b.c']\n"
                          "[model.d]\nctx=4"));
    assert_int_equal(t.n_sections, 5);
    assert_string_equal(pair_of("", "", "ctx")->text, "1");
    assert_string_equal(pair_of("serve", "", "ctx")->text, "2");
    assert_string_equal(pair_of("model", "qwen3-0.6b", "ctx")->text, "3");
    assert_string_equal(pair_of("model", "d", "ctx")->text, "4");
    assert_int_equal(pair_of("model", "d", "ctx")->line, 8);
    assert_int_equal(toml_section_find(&t, "model", "b.c")->n, 0);
    assert_null(toml_section_find(&t, "model", ""));
    assert_true(read_text(""));
    assert_int_equal(t.n_sections, 1);
}

/* One row for each refusal: text, where, and words of the sentence. */
static void test_every_refusal_names_file_line_and_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *says;
    } rows[] = {
        { "k", 1, "there is no =; write k = VALUE" }, { "\n\nk =", 3, "k has no value; write k = VALUE" },
        { "k = # x", 1, "has no value" }, { "= 1", 1, "is no key; a line is KEY = VALUE" },
        { "\"k\" = 1", 1, "keys have no quotes here" }, { "a.b = 1", 1, "no dots; write a [section]" },
        { "k : 1", 1, "there is no =" }, { "k = 1 2", 1, "'2' is left over" }, { "[a] b", 1, "'b' is left over" },
        { "k = 1\nk = 2", 2, "k stands in line 1 already; take one out" },
        { "[a]\n[b]\n[a]", 3, "stands in line 1 already; put its keys there" },
        { "[[a]]", 1, "arrays of tables are not read here; write [section]" }, { "[a", 1, "write [NAME]" },
        { "[]", 1, "this is no section" }, { "[a.]", 1, "behind [a. there is no name" },
        { "[a.b.c]", 1, "put one with a dot into quotes: [a.\"NAME\"]" }, { "[\"a\"]", 1, "this is no section" },
        { "k = \"\"\"a", 1, "several lines are not read here; write one line in \"...\"" },
        { "k = '''", 1, "several lines" },
        { "k = \"a", 1, "does not end in its line; close it with \"" }, { "k = \"a\\\"", 1, "close it with \"" },
        { "k = \"a\\", 1, "close it with \"" }, { "k = 'a", 1, "close it with '" },
        { "k = \"C:\\dir\"", 1, "write \\\\ for one, or the text in single quotes" },
        { "k = \"\\u12\"", 1, "an escape \\u has 4 hexadecimal digits" },
        { "k = \"\\u0000\"", 1, "U+0000 is no character" },
        { "k = \"\\ud800\"", 1, "U+D800 is no character" }, { "k = \"\\U00110000\"", 1, "above 10FFFF" },
        { "k = \"\\UFFFFFFFF\"", 1, "above 10FFFF" }, { "k = {a = 1}", 1, "tables in a value are not read here" },
        { "k = hello", 1, "k is 'hello', which is no text, decimal number" }, { "k = True", 1, "'True'" },
        { "k = 0x10", 1, "'0x10'" }, { "k = 012", 1, "'012'" }, { "k = 1__0", 1, "'1__0'" }, { "k = _1", 1, "'_1'" },
        { "k = 1_", 1, "'1_'" }, { "k = 1.", 1, "'1.'" }, { "k = .5", 1, "'.5'" }, { "k = inf", 1, "'inf'" },
        { "k = nan", 1, "'nan'" }, { "k = 1e", 1, "'1e'" }, { "k = 1979-05-27", 1, "'1979-05-27'" },
        { "k = +", 1, "'+'" },
        { "k = truely", 1, "'truely'" }, { "k = [1]", 1, "something else than texts; put each of them into quotes" },
        { "k = [\"a\"", 1, "close it with ]" }, { "k = [\"a\" \"b\"]", 1, "no comma between" },
        { "k = [,]", 1, "something else than texts" }, { "k = [\"a\",\n\"b\"]", 1, "close it with ]" },
        { "k = \"a\x01\"", 1, "byte 6 of the file is the control character 0x01" }, { "# \x7f", 1, "0x7f" },
        { "k = 1\rj = 2", 1, "control character 0x0d" }, { "# \xff", 1, "not UTF-8; save the file in that encoding" },
        { "# \xed\xa0\x80", 1, "not UTF-8" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char where[40];
        snprintf(where, sizeof where, "a.toml:%d: ", rows[i].line);
        if (read_text(rows[i].text))
            fail_msg("'%s' is taken", rows[i].text);
        assert_int_equal(err.status, HEARTH_ERR_FORMAT);
        if (strncmp(err.message, where, strlen(where)) != 0 || !strstr(err.message, rows[i].says))
            fail_msg("'%s': %s", rows[i].text, err.message);
        assert_int_equal(t.n_pairs, 0);
    }
    assert_false(read_bytes("k = \"a\0b\"", 9));
    assert_non_null(strstr(err.message, "control character 0x00"));
}

/* n lines of "FORMAT" with a number each; free() it. */
static char *lines_of(const char *each, const char *after_each, int n)
{
    size_t room = (size_t)n * (strlen(each) + strlen(after_each) + 12) + 1, used = 0;
    char *text = malloc(room);
    assert_non_null(text);
    text[0] = 0;
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%d%s", each, i, after_each);
    return text;
}

static void check_limit(const char *each, const char *after_each, int most, const char *says)
{
    char *fits = lines_of(each, after_each, most), *over = lines_of(each, after_each, most + 1);
    if (!read_text(fits))
        fail_msg("%d of them: %s", most, err.message);
    if (read_text(over) || !strstr(err.message, says))
        fail_msg("'%s' is not in '%s'", says, err.message);
    free(fits);
    free(over);
}

static void check_length(const char *before, int most, const char *after, const char *says)
{
    for (int more = 0; more < 2; more++) {
        size_t n = (size_t)(most + more), room = strlen(before) + n + strlen(after) + 1;
        char *text = malloc(room);
        assert_non_null(text);
        strcpy(text, before);
        memset(text + strlen(before), 'x', n);
        strcpy(text + strlen(before) + n, after);
        if (read_text(text) != !more || !strstr(err.message, more ? says : ""))
            fail_msg("%zu bytes: %s", n, err.message);
        free(text);
    }
}

static void test_limits_hold_and_are_named(void **state)
{
    (void)state;
    check_limit("k", " = 1\n", TOML_MAX_KEYS, "a.toml:513: this is one key more than 512; take some out");
    check_limit("[s", "]\n", TOML_MAX_SECTIONS - 1, "a.toml:64: this is one section more than 63");
    check_length("#", TOML_MAX_LINE_BYTES - 1, "", "the line has 16385 bytes; at most 16384 are read");
    check_length("", TOML_MAX_NAME_BYTES, " = 1", "a name has more than 120 bytes");
    check_length("[model.\"", TOML_MAX_NAME_BYTES, "\"]", "a name has more than 120 bytes");
    char items[TOML_MAX_ITEMS * 4 + 16] = "k = [";
    for (int i = 0; i < TOML_MAX_ITEMS; i++)
        strcat(items, "'',");
    strcat(items, "]");
    assert_true(read_text(items));
    assert_int_equal(t.pairs[0].n_items, TOML_MAX_ITEMS);
    strcpy(strchr(items, ']'), "'']");
    assert_false(read_text(items));
    assert_non_null(strstr(err.message, "more than 64 texts; give fewer"));
    char *big = calloc(1, TOML_MAX_BYTES + 1);
    assert_non_null(big);
    memset(big, '\n', TOML_MAX_BYTES + 1);
    assert_true(read_bytes(big, TOML_MAX_BYTES));
    assert_false(read_bytes(big, TOML_MAX_BYTES + 1));
    assert_non_null(strstr(err.message, "a.toml has 262145 bytes; settings have at most 262144"));
    free(big);
}

/* Lists fill the largest file: all of it stays in the arena's limit. */
static void test_the_largest_file_fits_its_memory(void **state)
{
    (void)state;
    char *text = malloc(TOML_MAX_BYTES + 1);
    size_t used = 0;
    assert_non_null(text);
    for (int i = 0; i < TOML_MAX_KEYS - 1; i++) { /* 62 texts of 5 bytes each */
        used += (size_t)snprintf(text + used, TOML_MAX_BYTES - used, "k%03d = [", i);
        for (int k = 0; k < 62; k++)
            used += (size_t)snprintf(text + used, TOML_MAX_BYTES - used, "'xxxxx',");
        used += (size_t)snprintf(text + used, TOML_MAX_BYTES - used, "]\n");
    }
    if (!read_bytes(text, used))
        fail_msg("%zu bytes: %s", used, err.message);
    assert_int_equal(t.n_pairs, TOML_MAX_KEYS - 1);
    assert_true(arena.total_bytes <= TOML_ARENA_BYTES);
    free(text);
}

static void test_memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    static const char text[] = "a = 1\nb = \"x\"\nc = ['y', 'z']\n[model.\"d\"]\ne = true\n";
    int n_failed = 0;
    for (uint64_t n = 1;; n++) {
        mem_fail_at(n);
        bool ok = read_text(text);
        mem_fail_at(0);
        if (ok)
            break;
        assert_int_equal(err.status, HEARTH_ERR_MEMORY);
        n_failed++;
    }
    assert_true(n_failed > 0);
    for (size_t limit = 0; limit < TOML_ARENA_BYTES; limit += 997) {
        arena_free(&arena);
        arena_init(&arena, limit);
        if (toml_read(&t, &arena, STR(text), "a.toml", &err))
            break;
        assert_int_equal(err.status, HEARTH_ERR_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_every_type_are_read),
        cmocka_unit_test(test_lists_are_texts_in_one_line),
        cmocka_unit_test(test_keys_belong_to_the_section_above_them),
        cmocka_unit_test(test_every_refusal_names_file_line_and_what_to_do),
        cmocka_unit_test(test_limits_hold_and_are_named),
        cmocka_unit_test(test_the_largest_file_fits_its_memory),
        cmocka_unit_test(test_memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
