/* test_progress.c: what a long command says of itself, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli/loading.h" /* before cmocka.h, which has a macro fail() */
#include <cmocka.h>

enum { TENTH_NS = 100000000, N_TENTHS = 124 }; /* 12.4 s of work */

/* The text of N_TENTHS calls, one each tenth of a second, of 10 MiB each. */
static void run(char *out, size_t room, bool terminal, const char *unit)
{
    struct progress p;
    progress_begin(&p, unit);
    p.to = tmpfile();
    assert_non_null(p.to);
    p.terminal = terminal;
    progress_doing(&p, "writing");
    p.doing_ns = p.start_ns;
    for (int i = 0; i <= N_TENTHS; i++)
        progress_show_at(&p, p.start_ns + (int64_t)i * TENTH_NS, (uint64_t)i * (10 << 20),
                         (uint64_t)N_TENTHS * (10 << 20), i == 50 ? "one thing more" : "");
    progress_end(&p);
    rewind(p.to);
    out[fread(out, 1, room - 1, p.to)] = 0;
    fclose(p.to);
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

static void elsewhere_than_on_a_terminal_there_is_a_plain_line_every_five_seconds(void **state)
{
    (void)state;
    char text[4096];
    run(text, sizeof text, false, NULL);
    assert_string_equal(text, "writing:  40 % of 1.21 GiB, 100 MiB/s, 7 s left, one thing more\n"
                              "writing:  81 % of 1.21 GiB, 100 MiB/s, 2 s left\n");
}

static void on_a_terminal_one_line_is_written_again_and_ended(void **state)
{
    (void)state;
    char text[16384];
    run(text, sizeof text, true, "tokens");
    assert_int_equal(count(text, '\r'), N_TENTHS / 2);
    assert_int_equal(count(text, '\n'), 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_non_null(strstr(text, "\rwriting:  40 % of 1.30 B tokens, 105 M/s, 7 s left, one thing more   "));
}

static void another_part_of_the_work_has_its_own_rate(void **state)
{
    (void)state;
    struct progress p;
    progress_begin(&p, NULL);
    progress_doing(&p, "writing");
    p.doing_ns = 1;
    progress_doing(&p, "writing");
    assert_int_equal(p.doing_ns, 1);
    progress_doing(&p, "reading back");
    assert_true(p.doing_ns >= p.start_ns);
}

/* What is shown of reading 1 GiB in 3 s, looked at five times a second, until the answer came. */
static void read_weights(char *out, size_t room, bool terminal, int n_looks)
{
    struct loading l;
    hearth_readahead at = { .file_bytes = 1 << 30, .reading = true };
    loading_begin(&l, NULL);
    l.progress.to = tmpfile();
    l.progress.terminal = terminal;
    assert_non_null(l.progress.to);
    for (int i = 0; i < n_looks; i++) {
        at.read_bytes = min_size((size_t)i * at.file_bytes / 15, at.file_bytes);
        at.reading = at.read_bytes < at.file_bytes;
        assert_int_equal(loading_look_at(&l, l.progress.start_ns + (int64_t)i * 200000000, &at), at.reading ? 200 : -1);
    }
    loading_end(&l);
    loading_end(&l);
    rewind(l.progress.to);
    out[fread(out, 1, room - 1, l.progress.to)] = 0;
    fclose(l.progress.to);
}

static void reading_weights_is_shown_when_it_takes_over_a_second(void **state)
{
    (void)state;
    char text[4096];
    read_weights(text, sizeof text, true, 5);
    assert_string_equal(text, "");
    read_weights(text, sizeof text, true, 6);
    assert_int_equal(count(text, '\r'), 2); /* one line, and wiped */
    read_weights(text, sizeof text, true, 20);
    assert_int_equal(count(text, '\r'), 11);
    assert_int_equal(count(text, '\n'), 0);
    assert_non_null(strstr(text, "\rreading the weights:  33 % of 1.00 GiB, 341 MiB/s, 2 s left   "));
    assert_string_equal(text + strlen(text) - 4, "\r\x1b[K");
    read_weights(text, sizeof text, false, 20);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elsewhere_than_on_a_terminal_there_is_a_plain_line_every_five_seconds),
        cmocka_unit_test(on_a_terminal_one_line_is_written_again_and_ended),
        cmocka_unit_test(another_part_of_the_work_has_its_own_rate),
        cmocka_unit_test(reading_weights_is_shown_when_it_takes_over_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
