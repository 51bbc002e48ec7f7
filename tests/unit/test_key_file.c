/* Key files are edited line by line: what people wrote there stays, and what comes out can be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/guard.h"
#include "server/key_file.h"

#include <cmocka.h> /* last: it has a macro fail() */

static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static bool add(const char *text, const char *name, const char *words, struct buf *out, hearth_error *err)
{
    *out = (struct buf){ 0 };
    *err = (hearth_error){ 0 };
    return key_file_add(out, text, "keys", hex, name, words, "added 2026-11-27", err);
}

static void a_key_is_one_line_more(void **state)
{
    static const char *const texts[] = { "", "# ours\n\n", "alpha\r\n# x", "alpha name=bob requests=2", "\talpha\n" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf out;
        hearth_error err;
        struct keys k = { 0 };
        if (!add(texts[i], "alice", i ? "tokens=5 observer" : "", &out, &err))
            fail_msg("%s: %s", texts[i], err.message);
        size_t n = strlen(texts[i]);
        bool ended = n == 0 || texts[i][n - 1] == '\n';
        char want[300];
        snprintf(want, sizeof want, "%s%ssha256:%s name=alice%s # added 2026-11-27\n", texts[i], ended ? "" : "\n", hex,
                 i ? " tokens=5 observer" : "");
        assert_string_equal(out.ptr, want);
        assert_true(keys_read(&k, out.ptr, "keys", &err));
        struct key *last = k.key[k.n - 1];
        assert_string_equal(last->name, "alice");
        assert_string_equal(last->sha256, hex);
        assert_int_equal(last->n_per_minute, i ? 5 : 0);
        keys_free(&k);
        buf_free(&out);
    }
}

static void what_cannot_be_read_again_is_not_written(void **state)
{
    static const struct {
        const char *text, *name, *words, *says;
    } rows[] = { { "x name=alice\n", "alice", "", "line 1" },
                 { "x\n", "line-1", "", "line-1" },
                 { "", "a b", "", "'a b'" },
                 { "", "", "", "no name" },
                 { "", "a", "tokens=0", "tokens=N" },
                 { "", "a", "admiral", "observer" },
                 { "x y\n", "a", "", "line 1" },
                 { "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", "a", "", "line 1" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        hearth_error err;
        assert_false(add(rows[i].text, rows[i].name, rows[i].words, &out, &err));
        assert_int_equal(err.status, HEARTH_ERR_USAGE);
        if (!strstr(err.message, rows[i].says))
            fail_msg("%s has no '%s'", err.message, rows[i].says);
        buf_free(&out);
    }
}

static void only_the_line_of_a_key_goes(void **state)
{
    static const struct {
        const char *text, *name, *left;
    } rows[] = { { "# a\nx name=a\n\ny name=b # c\n", "a", "# a\n\ny name=b # c\n" },
                 { "x name=a\ny name=b", "b", "x name=a\n" },
                 { "x name=a\ny", "line-2", "x name=a\n" },
                 { "x\r\ny\r\n", "line-1", "y\r\n" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = { 0 };
        hearth_error err = { 0 };
        if (!key_file_revoke(&out, rows[i].text, "keys", rows[i].name, &err))
            fail_msg("%s: %s", rows[i].text, err.message);
        assert_string_equal(out.ptr, rows[i].left);
        buf_free(&out);
    }
}

static void the_last_key_and_one_that_nobody_has_stay(void **state)
{
    (void)state;
    struct buf out = { 0 };
    hearth_error err = { 0 };
    assert_false(key_file_revoke(&out, "x name=a # b\n", "keys", "a", &err));
    assert_non_null(strstr(err.message, "last key in keys"));
    assert_false(key_file_revoke(&out, "x name=a\ny\n", "keys", "c", &err));
    assert_non_null(strstr(err.message, "'c'"));
    assert_false(key_file_revoke(&out, "x y\n", "keys", "c", &err));
    assert_non_null(strstr(err.message, "line 1"));
    assert_int_equal(out.len, 0);
}

static void the_list_has_no_key(void **state)
{
    (void)state;
    struct buf out = { 0 };
    hearth_error err = { 0 };
    assert_true(key_file_list(&out, "secret#1 name=a requests=3  #  of Ann \r\nsecret2 observer tokens=60\n", "keys",
                              &err));
    assert_null(strstr(out.ptr, "secret"));
    assert_string_equal(out.ptr, "name      at once tokens/min  may       note\n"
                                 "a               3        any            of Ann\n"
                                 "line-2        any         60  observer  \n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_one_line_more),
        cmocka_unit_test(what_cannot_be_read_again_is_not_written),
        cmocka_unit_test(only_the_line_of_a_key_goes),
        cmocka_unit_test(the_last_key_and_one_that_nobody_has_stay),
        cmocka_unit_test(the_list_has_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
