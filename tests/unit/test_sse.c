/* test_sse.c: events out of the bytes of a stream, and what strangers say in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/foreign.h"
#include "store/sse.h"

#include <cmocka.h> /* last: it has a macro fail() */

static bool keep(void *arg, struct str data, hearth_error *err)
{
    struct buf *all = arg;
    (void)err;
    buf_put(all, data.ptr, data.len);
    buf_puts(all, "|");
    return true;
}

/* The events of the text, each with '|' behind it, given in pieces of so many bytes. */
static void assert_events_cut(const char *text, size_t n, size_t piece, const char *want)
{
    struct sse s = { 0 };
    struct buf all = { 0 };
    hearth_error err = { 0 };
    buf_puts(&all, "");
    for (size_t at = 0; at < n; at += piece) {
        size_t m = min_size(piece, n - at);
        char *copy = malloc(m); /* of its own: a byte beyond it is noticed */
        memcpy(copy, text + at, m);
        assert_true(sse_read(&s, copy, m, keep, &all, &err));
        free(copy);
    }
    assert_string_equal(all.ptr, want);
    buf_free(&all);
    sse_free(&s);
}

static void assert_events(const char *text, const char *want)
{
    for (size_t piece = 1; piece <= strlen(text); piece++)
        assert_events_cut(text, strlen(text), piece, want);
}

static void an_event_is_its_data_wherever_the_bytes_are_cut(void **state)
{
    (void)state;
    assert_events("data: {\"a\": 1}\n\ndata: [DONE]\n\n", "{\"a\": 1}|[DONE]|");
    assert_events("data: one\ndata: two\n\n", "one\ntwo|");
    assert_events("data:\n\n", "|");
    assert_events("data:x\n\ndata:  x\n\n", "x| x|");
    assert_events("data\n\ndata\ndata\n\n", "|\n|");
}

static void lines_end_in_three_ways(void **state)
{
    (void)state;
    assert_events("data: a\r\n\r\ndata: b\r\rdata: c\n\n", "a|b|c|");
    assert_events("data: a\r\ndata: b\n\r\ndata: c\r\n\r", "a\nb|c|");
    assert_events("\r\n\n\rdata: a\r\n\n", "a|");
}

static void what_is_not_data_is_passed_over(void **state)
{
    (void)state;
    assert_events(": ping\n\n:\n\ndata: a\n: b\nevent: x\nid: 1\nretry: 5\n\n", "a|");
    assert_events("dat: a\ndatax: b\n data: c\n\n", "");
    assert_events("\xef\xbb\xbf" "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "a|");
}

static void an_event_that_has_not_ended_is_none(void **state)
{
    (void)state;
    assert_events("data: a\n\ndata: b\n", "a|");
    assert_events("data: a", "");
}

static bool refuse(void *arg, struct str data, hearth_error *err)
{
    int *n = arg;
    (void)data;
    ++*n;
    return *n < 2 || (err->status = HEARTH_ERR_FORMAT, false);
}

static void the_reader_of_events_can_end_it(void **state)
{
    struct sse s = { 0 };
    hearth_error err = { 0 };
    int n = 0;
    static const char text[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    (void)state;
    assert_false(sse_read(&s, text, sizeof text - 1, refuse, &n, &err));
    assert_int_equal(n, 2);
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    sse_free(&s);
}

static void lines_and_events_have_an_end(void **state)
{
    struct sse s = { 0 };
    struct buf all = { 0 };
    hearth_error err = { 0 };
    char *x = mem_alloc(SSE_MOST_BYTES + 1);
    (void)state;
    memset(x, 'x', SSE_MOST_BYTES + 1);
    assert_false(sse_read(&s, x, SSE_MOST_BYTES + 1, keep, &all, &err));
    assert_non_null(strstr(err.message, "a line of the stream has more than 1048576 bytes"));
    sse_free(&s);
    bool ok = true;
    memcpy(x, "data: ", 6);
    x[1023] = '\n';
    for (int i = 0; ok && i < 2048; i++)
        ok = sse_read(&s, x, 1024, keep, &all, &err);
    assert_false(ok);
    assert_non_null(strstr(err.message, "an event of the stream has more than"));
    assert_int_equal(all.len, 0);
    sse_free(&s);
    mem_free(x);
}

static void running_out_of_memory_is_an_error(void **state)
{
    static const char text[] = "data: 1234\n\n";
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        struct sse s = { 0 };
        struct buf all = { 0 };
        hearth_error err = { 0 };
        mem_fail_at(n);
        bool ok = sse_read(&s, text, 3, keep, &all, &err) && sse_read(&s, text + 3, sizeof text - 4, keep, &all, &err);
        mem_fail_at(0);
        assert_false(ok);
        assert_int_equal(err.status, HEARTH_ERR_MEMORY);
        sse_free(&s);
        buf_free(&all);
    }
}

static void assert_line(const char *text, size_t room, const char *want)
{
    char out[64];
    memset(out, 'z', sizeof out);
    assert_string_equal(foreign_line(out, room, str_z(text)), want);
    for (size_t i = room; i < sizeof out; i++)
        assert_int_equal(out[i], 'z');
}

static void words_of_strangers_are_one_line_of_text(void **state)
{
    (void)state;
    assert_line("", 5, "");
    assert_line(" a\r\n\tb  c \x1b[2J", 40, "a b c [2J");
    assert_line("a\xff" "b\xc2\x9b" "c\x7f", 40, "a?b c");
    assert_line("na\xc3\xafve", 40, "na\xc3\xafve");
    assert_line("123456789", 10, "123456789");
    assert_line("1234567890", 10, "123456...");
    assert_line("12345\xc3\xaf\xc3\xaf\xc3\xaf", 10, "12345...");
    assert_line("12345 67 890", 10, "12345...");
    assert_line("abcdefgh", 5, "a...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_its_data_wherever_the_bytes_are_cut),
        cmocka_unit_test(lines_end_in_three_ways),
        cmocka_unit_test(what_is_not_data_is_passed_over),
        cmocka_unit_test(an_event_that_has_not_ended_is_none),
        cmocka_unit_test(the_reader_of_events_can_end_it),
        cmocka_unit_test(lines_and_events_have_an_end),
        cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(words_of_strangers_are_one_line_of_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
