/* Lines of the log: one each whatever stands in them, and nobody waits for who reads them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/log.h"

#include <cmocka.h> /* last: it has a macro fail() */

struct piped {
    int ends[2];
    struct log *log;
};

static struct piped open_piped(enum log_form form, enum log_level least)
{
    struct piped p;
    hearth_error err = { 0 };
    assert_int_equal(pipe(p.ends), 0);
    p.log = log_open(p.ends[1], form, least, &err);
    assert_non_null(p.log);
    return p;
}

/* Ends the log and reads what it wrote. */
static char *close_piped(struct piped *p)
{
    enum { ROOM = 1 << 20 };
    static char text[ROOM];
    size_t n = 0;
    log_close(p->log);
    close(p->ends[1]);
    for (ssize_t got; (got = read(p->ends[0], text + n, ROOM - 1 - n)) > 0;)
        n += (size_t)got;
    close(p->ends[0]);
    text[n] = 0;
    return text;
}

static void say_all(struct log *l)
{
    static const char *const values[] = { "plain-value", "two words", "a=b", "\"quoted\" \\", "line\nbreak\r\x01\x7f",
                                          "\xc3\xa9", "bad \xff bytes", "", "[brackets]" };
    struct log_line line;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        assert_true(log_begin(&line, l, LOG_LEVEL_INFO, "request"));
        log_text(&line, "value", values[i]);
        log_whole(&line, "n", -5);
        log_ms(&line, "total_ms", 12.5);
        log_flag(&line, "stream", true);
        log_end(&line);
    }
}

static void lines_of_text_have_keys_and_values(void **state)
{
    static const char *const want[] = {
        "value=plain-value", "value=\"two words\"", "value=\"a=b\"", "value=\"\\u0022quoted\\u0022 \\u005c\"",
        "value=\"line\\u000abreak\\u000d\\u0001\\u007f\"", "value=\"\xc3\xa9\"", "value=\"bad ? bytes\"", NULL,
        "value=[brackets]" };
    (void)state;
    struct piped p = open_piped(LOG_FORM_TEXT, LOG_LEVEL_INFO);
    say_all(p.log);
    char *at = close_piped(&p);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        char *end = strchr(at, '\n'), whole[200];
        assert_non_null(end);
        *end = 0;
        int year = 0, ms = 0, used = 0;
        assert_int_equal(sscanf(at, "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ%n", &year, &ms, &used), 2);
        assert_true(year >= 2024 && used == 24);
        snprintf(whole, sizeof whole, " info request%s%s n=-5 total_ms=12.500 stream=true", want[i] ? " " : "",
                 want[i] ? want[i] : "");
        assert_string_equal(at + used, whole);
        at = end + 1;
    }
    assert_string_equal(at, "");
}

static void lines_of_json_are_json(void **state)
{
    (void)state;
    struct piped p = open_piped(LOG_FORM_JSON, LOG_LEVEL_INFO);
    say_all(p.log);
    int n = 0;
    for (char *line = strtok(close_piped(&p), "\n"); line; line = strtok(NULL, "\n"), n++) {
        json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (!j)
            fail_msg("%s", line);
        assert_string_equal(json_string_value(json_object_get(j, "level")), "info");
        assert_string_equal(json_string_value(json_object_get(j, "event")), "request");
        assert_int_equal(json_integer_value(json_object_get(j, "n")), -5);
        assert_true(json_is_true(json_object_get(j, "stream")));
        if (n == 4)
            assert_string_equal(json_string_value(json_object_get(j, "value")), "line\nbreak\r\x01\x7f");
        json_decref(j);
    }
    assert_int_equal(n, 9);
}

static void what_is_less_urgent_is_left_out(void **state)
{
    struct log_line line;
    (void)state;
    struct piped p = open_piped(LOG_FORM_TEXT, LOG_LEVEL_WARN);
    assert_true(log_wants(p.log, LOG_LEVEL_ERROR) && !log_wants(p.log, LOG_LEVEL_INFO));
    assert_false(log_begin(&line, p.log, LOG_LEVEL_INFO, "x"));
    assert_false(log_begin(&line, NULL, LOG_LEVEL_ERROR, "x"));
    log_say(p.log, LOG_LEVEL_DEBUG, "x", "not this");
    log_say(p.log, LOG_LEVEL_WARN, "keys", "%d keys", 3);
    log_say(NULL, LOG_LEVEL_ERROR, "x", "nobody");
    const char *text = close_piped(&p);
    assert_non_null(strstr(text, " warn keys message=\"3 keys\"\n"));
    assert_null(strstr(text, "not this"));
}

static void a_line_that_is_too_long_says_so(void **state)
{
    char value[1500];
    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int form = LOG_FORM_TEXT; form <= LOG_FORM_JSON; form++) {
        struct log_line line;
        struct piped p = open_piped((enum log_form)form, LOG_LEVEL_INFO);
        assert_true(log_begin(&line, p.log, LOG_LEVEL_INFO, "e"));
        log_text(&line, "first", value);
        log_text(&line, "second", value);
        log_whole(&line, "n", 7); /* this fits again */
        log_end(&line);
        char *text = close_piped(&p);
        assert_null(strstr(text, "second"));
        assert_non_null(strstr(text, form == LOG_FORM_JSON ? "\"n\":7,\"cut\":true}\n" : " n=7 cut=true\n"));
        if (form == LOG_FORM_JSON) {
            json_t *j = json_loads(text, 0, NULL);
            assert_non_null(j);
            json_decref(j);
        }
    }
}

/* A pipe holds 64 KB, the ring 256 KB; lines beyond are lost and counted, and nobody waits. */
static void nobody_waits_for_a_reader_that_does_not_read(void **state)
{
    enum { N = 4000, BYTES = 200 };
    char value[BYTES];
    (void)state;
    memset(value, 'y', sizeof value - 1);
    value[sizeof value - 1] = 0;
    struct piped p = open_piped(LOG_FORM_TEXT, LOG_LEVEL_INFO);
    int64_t start = clock_ns();
    for (int i = 0; i < N; i++)
        log_say(p.log, LOG_LEVEL_INFO, "e", "%s", value);
    assert_true(clock_ms_since(start) < 5000);
    uint64_t lost = log_n_lost(p.log);
    assert_true(lost > 0 && lost < N);
    char some[65536];
    int flags = fcntl(p.ends[0], F_GETFL);
    fcntl(p.ends[0], F_SETFL, flags | O_NONBLOCK);
    size_t n_read = 0;
    for (int tries = 0; n_read < 128 << 10 && tries < 1000; tries++) { /* now there is room for some more */
        ssize_t got = read(p.ends[0], some, sizeof some);
        n_read += got > 0 ? (size_t)got : 0;
        if (got <= 0)
            usleep(1000);
    }
    log_say(p.log, LOG_LEVEL_INFO, "last", "x");
    start = clock_ns();
    log_close(p.log); /* the pipe is full: given up after a while */
    assert_true(clock_ms_since(start) < 5000);
    close(p.ends[1]);
    close(p.ends[0]);
}

static void lost_lines_are_told_in_the_next(void **state)
{
    enum { N = 3000 };
    (void)state;
    struct piped p = open_piped(LOG_FORM_TEXT, LOG_LEVEL_INFO);
    for (int i = 0; log_n_lost(p.log) == 0 && i < 100 * N; i++)
        log_say(p.log, LOG_LEVEL_INFO, "e", "a line of some length, so that the ring is full at some time");
    uint64_t lost = log_n_lost(p.log);
    assert_true(lost > 0);
    char some[65536], told[64];
    for (size_t n = 0; n < 200 << 10;) {
        ssize_t got = read(p.ends[0], some, sizeof some);
        assert_true(got > 0);
        n += (size_t)got;
    }
    log_say(p.log, LOG_LEVEL_INFO, "last", "x");
    snprintf(told, sizeof told, " warn log lost_lines=%llu\n", (unsigned long long)lost);
    fcntl(p.ends[0], F_SETPIPE_SZ, 1 << 20);
    const char *text = close_piped(&p), *at = strstr(text, told);
    assert_non_null(at);
    assert_non_null(strstr(at, " info last message=x\n"));
}

static void a_reader_that_has_gone_stops_nobody(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    struct piped p = open_piped(LOG_FORM_TEXT, LOG_LEVEL_INFO);
    close(p.ends[0]);
    for (int i = 0; i < 1000; i++)
        log_say(p.log, LOG_LEVEL_INFO, "e", "x");
    int64_t start = clock_ns();
    log_close(p.log);
    assert_true(clock_ms_since(start) < 5000);
    close(p.ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_text_have_keys_and_values),
        cmocka_unit_test(lines_of_json_are_json),
        cmocka_unit_test(what_is_less_urgent_is_left_out),
        cmocka_unit_test(a_line_that_is_too_long_says_so),
        cmocka_unit_test(nobody_waits_for_a_reader_that_does_not_read),
        cmocka_unit_test(lost_lines_are_told_in_the_next),
        cmocka_unit_test(a_reader_that_has_gone_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
