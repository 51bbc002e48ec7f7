/* test_typed.c: messages and commands out of lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cli/typed.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct typed in;

/* Lines separated by '|'; true when the last one ends the message and none before did. */
static bool type(const char *lines)
{
    typed_free(&in);
    for (const char *p = lines;;) {
        size_t n = strcspn(p, "|");
        bool done = typed_add(&in, p, n);
        if (!p[n])
            return done;
        if (done)
            return false;
        p += n + 1;
    }
}

static void assert_message(const char *want)
{
    struct str got = typed_message(&in);
    assert_false(typed_is_command(&in));
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void a_line_is_a_message(void **state)
{
    (void)state;
    assert_true(type("hello"));
    assert_message("hello");
    assert_true(type(""));
    assert_message("");
    assert_true(type(" /not a command"));
    assert_message(" /not a command");
}

static void a_backslash_at_the_end_goes_on(void **state)
{
    (void)state;
    assert_false(type("one\\"));
    assert_true(type("one\\|two\\|three"));
    assert_message("one\ntwo\nthree");
    assert_true(type("\\|two"));
    assert_message("\ntwo");
    assert_true(type("a\\b"));
    assert_message("a\\b");
}

static void three_quotes_hold_many_lines_as_they_are(void **state)
{
    (void)state;
    assert_false(type("\"\"\""));
    assert_false(type("\"\"\"|one|"));
    assert_true(type("\"\"\"|one||two\\|/three|\"\"\""));
    assert_message("one\n\ntwo\\\n/three");
    assert_true(type("\"\"\"one|two\"\"\""));
    assert_message("one\ntwo");
    assert_true(type("\"\"\"one\"\"\""));
    assert_message("one");
    assert_true(type("\"\"\"||one|||\"\"\""));
    assert_message("\none\n\n");
    assert_true(type("\"\"\"|\"\"\""));
    assert_message("");
    assert_true(type("she said \"\"\""));
    assert_message("she said \"\"\"");
}

static void in_three_quotes_a_slash_is_no_command(void **state)
{
    (void)state;
    assert_true(type("\"\"\"/quit\"\"\""));
    assert_message("/quit");
    assert_true(type("\"\"\"//quit\"\"\""));
    assert_message("//quit");
}

static void a_slash_begins_a_command_and_two_a_message_with_one(void **state)
{
    (void)state;
    assert_true(type("/quit"));
    assert_true(typed_is_command(&in));
    assert_true(type("/system one\\|two"));
    assert_true(typed_is_command(&in));
    assert_string_equal(in.text.ptr, "/system one\ntwo");
    assert_true(type("//quit"));
    assert_message("/quit");
    assert_true(type("//"));
    assert_message("/");
}

static void it_can_be_used_again(void **state)
{
    (void)state;
    assert_false(type("\"\"\"|half"));
    typed_clear(&in);
    assert_true(typed_add(&in, "/help", 5));
    assert_true(typed_is_command(&in));
    typed_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_a_message),
        cmocka_unit_test(a_backslash_at_the_end_goes_on),
        cmocka_unit_test(three_quotes_hold_many_lines_as_they_are),
        cmocka_unit_test(in_three_quotes_a_slash_is_no_command),
        cmocka_unit_test(a_slash_begins_a_command_and_two_a_message_with_one),
        cmocka_unit_test(it_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
