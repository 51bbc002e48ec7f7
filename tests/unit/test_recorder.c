/* test_recorder.c: what is handed to the flight recorder can be read again, and no trouble with its file reaches who
 * hands it over. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "record/recorded.h"
#include "record/recorder.h"
#include "requests.h"
#include "server/api/json_in.h"

static char dir[256], file[300];
static struct recorder *r;
static char noted[2048];
static int n_noted;

static void take_note(void *arg, const char *line)
{
    (void)arg;
    n_noted++;
    snprintf(noted, sizeof noted, "%s", line);
}

static void open_with(struct recorder_options o)
{
    hearth_error err = { 0 };
    o.dir = dir;
    o.note = take_note;
    n_noted = 0;
    noted[0] = 0;
    r = recorder_open(&o, &err);
    if (!r)
        fail_msg("%s", err.message);
}

static void done(void)
{
    recorder_close(r);
    r = NULL;
}

static struct recorder_figures figures(void)
{
    struct recorder_figures f;
    recorder_look(r, &f);
    return f;
}

/* Times decide nothing here: a test that fails has waited for long. */
#define until(condition)                                                  \
    do {                                                                  \
        int64_t start_ = clock_ns();                                      \
        while (!(condition)) {                                            \
            if (clock_ms_since(start_) > 60000)                           \
                fail_msg("%s never came, %s", #condition, noted);         \
            usleep(1000);                                                 \
        }                                                                 \
    } while (0)

static int make(void **state)
{
    static int n;
    (void)state;
    snprintf(dir, sizeof dir, "%s/hearth-record-%ld-%d/a/b", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
             (long)getpid(), n++);
    snprintf(file, sizeof file, "%s/record.db", dir);
    return 0;
}

static int clear(void **state)
{
    char command[320];
    (void)state;
    recorder_close(r);
    r = NULL;
    dir[strlen(dir) - 4] = 0;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* A receipt of an answer that is number i. */
static hearth_receipt receipt_of(int i)
{
    hearth_receipt receipt = { .arithmetic_revision = 3, .reason = HEARTH_END_LENGTH, .seed = 1ull << 63 | 5,
                               .n_prompt_tokens = 10 + i, .n_cached_tokens = 4, .n_output_tokens = i,
                               .queue_ms = 0.5, .first_token_ms = 20, .total_ms = 100.0 * i,
                               .prefix_end = HEARTH_PREFIX_DIFFERS, .prefix_id = 7001, .prefix_other_id = 7002,
                               .n_dry_sequence_breakers = 1, .dry_sequence_breakers = { "a secret" },
                               .dry_sequence_breakers_origin = HEARTH_FROM_REQUEST };
    snprintf(receipt.request_id, sizeof receipt.request_id, "req-%d", i);
    snprintf(receipt.model_identity, sizeof receipt.model_identity, "cafe-%d", 4096);
    snprintf(receipt.finish_detail, sizeof receipt.finish_detail, "max_tokens %d", i);
    return receipt;
}

static void put(int i)
{
    hearth_receipt receipt = receipt_of(i);
    struct record record = { .receipt = &receipt, .key = i % 2 ? "odd" : NULL, .source = "/v1/completions",
                             .model = i % 3 ? "small" : "large", .choice = 2, .status = i % 5 ? 200 : 500 };
    recorder_put(r, &record);
}

/* ---- what is read ---- */

struct seen {
    int n;
    int64_t id[16];
    char request_id[16][HEARTH_REQUEST_ID_BYTES + 1];
    struct recorded_row row; /* the last one; its texts are gone */
    char text[8192];         /* its receipt and its parameters */
    int32_t prompt[8], output[8];
    uint64_t mixes[8];
};

static bool see(void *arg, const struct recorded_row *row)
{
    struct seen *s = arg;
    s->id[s->n % 16] = row->id;
    snprintf(s->request_id[s->n++ % 16], sizeof s->request_id[0], "%s", row->request_id);
    s->row = *row;
    snprintf(s->text, sizeof s->text, "%s%s", row->receipt ? row->receipt : "", row->parameters ? row->parameters : "");
    if (row->prompt) {
        memcpy(s->prompt, row->prompt, min_size(row->n_prompt, 8) * sizeof *s->prompt);
        memcpy(s->output, row->output, min_size(row->n_output, 8) * sizeof *s->output);
        memcpy(s->mixes, row->mixes, min_size(row->n_mixes, 8) * sizeof *s->mixes);
    }
    return true;
}

static struct seen list(struct recorded_filter f, enum recorded_depth depth)
{
    static struct seen s;
    hearth_error err = { 0 };
    s = (struct seen){ 0 };
    if (!recorded_list(dir, &f, depth, see, &s, &err))
        fail_msg("%s", err.message);
    return s;
}

static struct seen all(void) { return list((struct recorded_filter){ .status = -1 }, RECORDED_LINE); }

static void what_is_put_can_be_read(void **state)
{
    static const int32_t prompt[] = { 1, 2, 3 }, output[] = { -1, 70000 };
    static const uint64_t mixes[] = { 1ull << 63, 2, 3 };
    static const hearth_logit_bias bias[] = { { 9, 1.5f }, { 8, -INFINITY } };
    static const char *const stop[] = { "end\n" };
    hearth_receipt receipt = receipt_of(3);
    hearth_request request = { .max_tokens = 77, .stop = stop, .n_stop = 1, .logit_bias = bias, .n_logit_bias = 2 };
    struct record record = { .receipt = &receipt, .key = "k", .source = "/completion", .model = "m", .status = 200,
                             .prompt = prompt, .n_prompt = 3, .output = output, .n_output = 2, .mixes = mixes,
                             .n_mixes = 3, .request = &request, .asked = "{\"model\":\"x\"}" };
    (void)state;
    open_with((struct recorder_options){ .full = true });
    recorder_put(r, &record);
    done();
    struct seen s = list((struct recorded_filter){ .status = -1 }, RECORDED_BODY);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.row.id, 1);
    assert_true(llabs(s.row.time_ms / 1000 - clock_unix_s()) < 3600);
    assert_string_equal(s.request_id[0], "req-3");
    assert_int_equal(s.row.n_prompt_tokens, 13);
    assert_int_equal(s.row.n_cached_tokens, 4);
    assert_int_equal(s.row.n_output_tokens, 3);
    assert_true(s.row.queue_ms == 0.5 && s.row.first_token_ms == 20 && s.row.total_ms == 300);
    assert_true(s.row.seed == (1ull << 63 | 5));
    assert_int_equal(s.row.revision, 3);
    assert_true(s.row.has_body);
    assert_int_equal(s.row.n_prompt, 3);
    assert_int_equal(s.row.n_output, 2);
    assert_int_equal(s.row.n_mixes, 3);
    assert_memory_equal(s.prompt, prompt, sizeof prompt);
    assert_memory_equal(s.output, output, sizeof output);
    assert_memory_equal(s.mixes, mixes, sizeof mixes);
    assert_non_null(strstr(s.text, "\"max_tokens\":77,\"stop\":[\"end\\n\"],\"logit_bias\":[[9,1.5],[8,\"-inf\"]]"));
    assert_non_null(strstr(s.text, "\"asked\":{\"model\":\"x\"}"));
    assert_non_null(strstr(s.text, "\"id\":7001,\"kept_id\":7002"));
    assert_non_null(strstr(s.text, "a secret"));
}

static void receipts_alone_have_nothing_of_a_prompt(void **state)
{
    static const int32_t prompt[] = { 1, 2, 3 };
    hearth_receipt receipt = receipt_of(3);
    hearth_request request = { .max_tokens = 77 };
    struct record record = { .receipt = &receipt, .source = "run", .model = "m", .prompt = prompt, .n_prompt = 3,
                             .request = &request, .asked = "{\"model\":\"x\"}" };
    (void)state;
    open_with((struct recorder_options){ 0 });
    assert_false(recorder_is_full(r));
    recorder_put(r, &record);
    done();
    struct seen s = list((struct recorded_filter){ .status = -1 }, RECORDED_BODY);
    assert_int_equal(s.n, 1);
    assert_false(s.row.has_body);
    assert_int_equal(s.row.n_prompt, 0);
    assert_null(s.row.key);
    assert_non_null(strstr(s.text, "\"id\":null,\"kept_id\":null"));
    assert_non_null(strstr(s.text, "\"dry_sequence_breakers\":{\"value\":null,\"from\":\"request\"}"));
    assert_null(strstr(s.text, "a secret"));
    assert_null(strstr(s.text, "7001"));
}

static void it_is_for_its_owner_alone(void **state)
{
    static const char *const names[] = { "", "-wal", "-shm" };
    char path[320];
    struct stat st;
    (void)state;
    umask(0);
    open_with((struct recorder_options){ 0 });
    put(1);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s%s", file, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    for (int i = 0; i < 3; i++) { /* it and its parents, as far as they were made */
        snprintf(path, sizeof path, "%.*s", (int)strlen(dir) - 2 * i, dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
}

static void lists_have_what_is_asked_for(void **state)
{
    (void)state;
    open_with((struct recorder_options){ 0 });
    for (int i = 1; i <= 15; i++)
        put(i);
    done();
    const struct recorded_filter any = { .status = -1 };
    struct recorded_filter f = any;
    f.last = 2;
    struct seen s = list(f, RECORDED_LINE);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.request_id[0], "req-14"); /* the newest last */
    assert_string_equal(s.request_id[1], "req-15");
    assert_null(s.row.receipt);
    const struct {
        struct recorded_filter f;
        int n;
    } cases[] = {
        { any, 15 },
        { { .status = -1, .key = "odd" }, 8 },
        { { .status = -1, .model = "large" }, 5 },
        { { .status = -1, .model = "large", .key = "odd" }, 3 },
        { { .status = 500 }, 3 },
        { { .status = 404 }, 0 },
        { { .status = -1, .id = 3 }, 1 },
        { { .status = -1, .request_id = "req-9" }, 1 },
        { { .status = -1, .finish = "length" }, 15 },
        { { .status = -1, .finish = "stop" }, 0 },
        { { .status = -1, .finish = "max_tokens 1" }, 7 },
        { { .status = -1, .slower_than_ms = 1200 }, 4 },
        { { .status = -1, .since_ms = 1 }, 15 },
        { { .status = -1, .since_ms = 4000000000000 }, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(list(cases[i].f, RECORDED_RECEIPT).n, cases[i].n);
}

static void who_reads_where_nothing_is_is_told(void **state)
{
    hearth_error err = { 0 };
    struct recorded_filter f = { .status = -1 };
    (void)state;
    assert_false(recorded_list(dir, &f, RECORDED_LINE, see, NULL, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_non_null(strstr(err.message, file));
    assert_int_not_equal(access(dir, F_OK), 0); /* and nothing was made */
}

/* ---- retention ---- */

static void sql(const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 60000);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int64_t number(const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 60000);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static void what_is_old_goes(void **state)
{
    (void)state;
    open_with((struct recorder_options){ .days = 2 });
    for (int i = 0; i < 4; i++)
        put(i);
    done();
    sql("UPDATE request SET time_ms = time_ms - 86400000 * 3 WHERE id <= 3");
    open_with((struct recorder_options){ .days = 4 });
    put(5);
    until(figures().n_written == 1);
    assert_int_equal(figures().n_removed, 0);
    done();
    open_with((struct recorder_options){ .days = 2 });
    put(6);
    until(figures().n_written == 1);
    assert_int_equal(figures().n_removed, 3);
    done();
    struct seen s = all();
    assert_int_equal(s.n, 3);
    assert_int_equal(s.id[0], 4);
    assert_int_equal(s.id[2], 6); /* an id is never given twice */
    assert_int_equal(number("SELECT count(*) FROM receipt"), 3);
}

static void the_oldest_go_when_it_is_too_large(void **state)
{
    enum { MOST = 1 << 20, N = 800, AT_ONCE = 40, MORE = AT_ONCE * 8192 }; /* a row is 4 KB, in pages of as many */
    struct stat st;
    (void)state;
    open_with((struct recorder_options){ .most_bytes = MOST });
    for (int i = 0; i < N; i++) {
        put(i);
        if (i % AT_ONCE == AT_ONCE - 1)
            until(figures().n_waiting == 0);
    }
    assert_int_equal(figures().n_written, N);
    uint64_t n_removed = figures().n_removed;
    done();
    assert_int_equal(stat(file, &st), 0);
    assert_true(n_removed > 100 && n_removed < N);
    assert_in_range(st.st_size, MOST / 2, MOST + MORE);
    struct seen s = all();
    assert_int_equal(s.n, N - (int)n_removed);
    assert_int_equal(s.id[(s.n - 1) % 16], N);
    open_with((struct recorder_options){ .most_bytes = MOST / 4 }); /* the file becomes shorter */
    for (int i = 0; i < 8; i++) {
        put(i);
        until(figures().n_waiting == 0);
    }
    done();
    assert_int_equal(stat(file, &st), 0);
    assert_true(st.st_size < MOST / 4 + (3 << 20)); /* what is not worth a vacuum stays */
    assert_int_equal(number("PRAGMA integrity_check") + number("SELECT count(*) FROM pragma_integrity_check"), 1);
}

/* ---- trouble ---- */

/* Another program has the database, and will not let go. */
static sqlite3 *hold(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void what_does_not_fit_the_queue_is_dropped_and_counted(void **state)
{
    (void)state;
    open_with((struct recorder_options){ .queue_rows = 4, .patience_ms = 3600000 });
    sqlite3 *other = hold();
    for (int i = 0; i < 10; i++)
        put(i);
    assert_int_equal(figures().n_dropped, 6); /* at once: nobody waited */
    assert_int_equal(figures().n_waiting, 4);
    sqlite3_close(other);
    until(figures().n_written == 4);
    assert_int_equal(figures().n_waiting, 0);
    put(10); /* and it goes on */
    until(figures().n_written == 5);
    done();
    struct seen s = all();
    assert_int_equal(s.n, 5);
    for (int i = 0; i < 4; i++)
        assert_int_equal(strtol(s.request_id[i] + 4, NULL, 10), i); /* in their order */
}

static void what_cannot_be_written_for_long_is_dropped(void **state)
{
    (void)state;
    open_with((struct recorder_options){ .patience_ms = 1 });
    sqlite3 *other = hold();
    put(1);
    put(2);
    until(figures().n_dropped == 2);
    assert_true(figures().n_failed > 0);
    assert_non_null(strstr(figures().problem, "locked"));
    assert_int_equal(n_noted, 1);
    assert_non_null(strstr(noted, file));
    put(3);
    until(figures().n_dropped == 3);
    assert_int_equal(n_noted, 1); /* once a minute */
    sqlite3_close(other);
    put(4);
    until(figures().n_written == 1);
    assert_string_equal(figures().problem, "");
    assert_int_equal(n_noted, 2);
    assert_non_null(strstr(noted, "3 were dropped"));
}

static void an_end_does_not_wait_for_others(void **state)
{
    (void)state;
    open_with((struct recorder_options){ .patience_ms = 3600000 });
    sqlite3 *other = hold();
    put(1);
    done(); /* it would take an hour */
    sqlite3_close(other);
    assert_int_equal(all().n, 0);
}

/* As on a full disk: files may not become longer. */
static void a_disk_that_takes_nothing(void **state)
{
    struct rlimit was, none;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    none = was;
    none.rlim_cur = 4096;
    open_with((struct recorder_options){ .patience_ms = 1 });
    put(1);
    until(figures().n_written == 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    put(2);
    until(figures().n_dropped == 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    put(3);
    until(figures().n_written == 2);
    done();
    struct seen s = all();
    assert_int_equal(s.n, 2);
    assert_string_equal(s.request_id[1], "req-3");
}

/* Whatever allocation fails, of the caller's or of the thread's: a row is whole, or it is dropped and counted. */
static void memory_that_runs_out_at_any_call(void **state)
{
    enum { MOST = 1000 };
    static const int32_t ids[] = { 1, 2, 3 };
    static const char *const stop[] = { "end" };
    hearth_receipt receipt = receipt_of(3);
    hearth_request request = { .stop = stop, .n_stop = 1 };
    (void)state;
    json_set_alloc_funcs(json_memory_alloc, json_memory_free);
    for (int full = 0; full < 2; full++) {
        uint64_t n = 0, calls = 1;
        open_with((struct recorder_options){ .full = full, .queue_rows = 1 }); /* written at once */
        for (uint64_t k = 1; calls >= k - 1 && k < MOST; k++) {
            mem_fail_at(k);
            recorder_put(r, &(struct record){ .receipt = &receipt, .model = "m", .prompt = ids, .n_prompt = 3,
                                              .output = ids, .n_output = 3, .request = &request, .asked = "{}" });
            until(figures().n_written + figures().n_dropped == k);
            calls = mem_fail_at(0);
            n = k;
        }
        assert_in_range(n, 10, MOST - 1);
        until(figures().n_waiting == 0); /* counted after it was written */
        assert_true(figures().n_dropped > 5 && figures().n_written > 0);
        uint64_t n_written = figures().n_written;
        done();
        assert_int_equal(all().n, n_written);
        assert_int_equal(number(full ? "SELECT count(*) FROM receipt WHERE json NOT LIKE '%a secret%'"
                                     : "SELECT count(*) FROM receipt WHERE json LIKE '%a secret%'"), 0);
        assert_int_equal(number("SELECT count(*) FROM receipt WHERE NOT json_valid(json)"), 0);
        assert_int_equal(number("SELECT count(*) FROM body WHERE length(prompt) <> 12 OR length(output) <> 12"
                                " OR NOT json_valid(parameters)"), 0);
        sql("DELETE FROM body; DELETE FROM receipt; DELETE FROM request");
    }
    json_set_alloc_funcs(malloc, free);
}

static void overwrite(long from, int n, int value)
{
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, from, SEEK_SET), 0);
    for (int i = 0; i < n; i++)
        fputc(value, f);
    assert_int_equal(fclose(f), 0);
}

static int n_aside(void)
{
    char command[400], text[16] = "";
    snprintf(command, sizeof command, "ls '%s' | grep -c 'record.db.damaged-[0-9]*$'", dir);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_non_null(fgets(text, sizeof text, p));
    pclose(p);
    return atoi(text);
}

static void what_is_no_database_is_set_aside_and_said(void **state)
{
    (void)state;
    open_with((struct recorder_options){ 0 });
    put(1);
    done();
    overwrite(0, 4096, 'x');
    open_with((struct recorder_options){ 0 });
    assert_int_equal(n_noted, 1);
    assert_non_null(strstr(noted, "record.db.damaged-"));
    assert_int_equal(n_aside(), 1);
    put(2);
    until(figures().n_written == 1);
    done();
    struct seen s = all();
    assert_int_equal(s.n, 1);
    assert_string_equal(s.request_id[0], "req-2");
}

/* All but the first page: that is noticed when a row is written. */
static void a_database_that_is_found_damaged_in_use_is_set_aside(void **state)
{
    struct stat st;
    (void)state;
    open_with((struct recorder_options){ 0 });
    put(1);
    done();
    assert_int_equal(stat(file, &st), 0);
    overwrite(4096, (int)st.st_size - 4096, 0xff);
    open_with((struct recorder_options){ .patience_ms = 3600000 });
    assert_int_equal(n_aside(), 0);
    put(2);
    until(figures().n_written == 1); /* nothing is lost but what was damaged */
    assert_int_equal(n_aside(), 1);
    assert_int_equal(figures().n_dropped, 0);
    done();
    assert_int_equal(all().n, 1);
}

static void a_file_that_was_taken_away_is_made_again(void **state)
{
    (void)state;
    open_with((struct recorder_options){ 0 });
    put(1);
    until(figures().n_written == 1);
    assert_int_equal(unlink(file), 0);
    put(2);
    until(figures().n_written == 2);
    struct seen s = all();
    assert_int_equal(s.n, 1);
    assert_string_equal(s.request_id[0], "req-2");
}

static void expect_refusal(const char *words)
{
    open_with((struct recorder_options){ 0 });
    assert_non_null(strstr(noted, words));
    put(2);
    until(figures().n_dropped == 1);
    assert_int_equal(figures().n_written, 0);
    assert_int_equal(n_noted, 1);
    done();
    assert_int_equal(n_aside(), 0);
}

static void what_it_does_not_know_it_leaves_alone(void **state)
{
    struct recorded_filter f = { .status = -1 };
    hearth_error err = { 0 };
    (void)state;
    open_with((struct recorder_options){ 0 });
    put(1);
    done();
    sql("PRAGMA user_version = 2");
    expect_refusal("form 2 of a later hearth");
    assert_false(recorded_list(dir, &f, RECORDED_LINE, see, NULL, &err));
    assert_non_null(strstr(err.message, "form 2"));
    sql("PRAGMA user_version = 1; PRAGMA application_id = 7");
    expect_refusal("another program");
    assert_int_equal(number("SELECT count(*) FROM request"), 1);
}

static void links_are_not_followed(void **state)
{
    char target[320];
    (void)state;
    open_with((struct recorder_options){ 0 });
    done();
    snprintf(target, sizeof target, "%s/target", dir);
    assert_int_equal(rename(file, target), 0);
    assert_int_equal(symlink(target, file), 0);
    open_with((struct recorder_options){ .patience_ms = 1 });
    assert_non_null(strstr(noted, "a link"));
    put(1);
    until(figures().n_dropped == 1);
}

static void a_folder_that_cannot_be_is_refused_with_its_name(void **state)
{
    hearth_error err = { 0 };
    struct recorder_options o = { .dir = file };
    (void)state;
    open_with((struct recorder_options){ 0 }); /* file is a file now */
    assert_null(recorder_open(&o, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_non_null(strstr(err.message, file));
    recorder_close(NULL);
    recorder_put(NULL, &(struct record){ 0 });
}

static void put_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        put(i);
}

static void two_write_to_one_and_many_threads_to_each(void **state)
{
    struct thread threads[3] = { 0 };
    (void)state;
    open_with((struct recorder_options){ 0 });
    struct recorder *other = recorder_open(&(struct recorder_options){ .dir = dir }, NULL);
    hearth_receipt receipt = receipt_of(1);
    assert_non_null(other);
    for (int i = 0; i < 3; i++)
        assert_true(thread_start(&threads[i], "put", put_some, NULL, NULL));
    for (int i = 0; i < 100; i++)
        recorder_put(other, &(struct record){ .receipt = &receipt });
    for (int i = 0; i < 3; i++)
        thread_join(&threads[i]);
    recorder_close(other);
    done();
    assert_int_equal(all().n, 400);
}

/* ---- with an engine ---- */

/* Whoever gave it up does not wait for its end, and its receipt is there all the same. */
static void an_answer_that_was_given_up_has_its_receipt(void **state)
{
    enum { N = 20, SOME = 5 };
    struct opened o;
    int32_t ids[N], output[SOME];
    uint64_t mixes[SOME];
    hearth_event e;
    (void)state;
    fill_ids(ids, N, 1);
    open_model(&o, "recorder", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 },
               (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    hearth_request request = request_of(ids, N, 0);
    request.request_id = "given-up";
    hearth_stream *s = submit(&o, &request);
    for (int i = 0; i < SOME; i++) {
        assert_true(hearth_stream_next(s, &e));
        output[i] = e.id;
        mixes[i] = e.logits_mix;
    }
    open_with((struct recorder_options){ .full = true });
    hearth_stream_cancel(s);
    recorder_put(r, &(struct record){ .stream = s, .source = "run", .model = "m", .output = output, .n_output = SOME,
                                      .mixes = mixes, .n_mixes = SOME, .request = &request });
    done();
    struct seen got = list((struct recorded_filter){ .status = -1 }, RECORDED_BODY);
    assert_int_equal(got.n, 1);
    assert_string_equal(got.request_id[0], "given-up");
    assert_non_null(strstr(got.text, "\"reason\":\"cancelled\""));
    assert_int_equal(got.row.n_prompt, N);
    assert_memory_equal(got.prompt, ids, sizeof got.prompt);
    assert_memory_equal(got.output, output, sizeof output);
    assert_memory_equal(got.mixes, mixes, sizeof mixes);
    assert_true(got.row.n_output >= SOME);
    assert_int_equal(got.row.n_output, got.row.n_output_tokens); /* also what nobody had read */
    assert_int_equal(got.row.n_mixes, got.row.n_output);
    close_model(&o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_can_be_read),
        TEST(receipts_alone_have_nothing_of_a_prompt),
        TEST(it_is_for_its_owner_alone),
        TEST(lists_have_what_is_asked_for),
        TEST(who_reads_where_nothing_is_is_told),
        TEST(what_is_old_goes),
        TEST(the_oldest_go_when_it_is_too_large),
        TEST(what_does_not_fit_the_queue_is_dropped_and_counted),
        TEST(what_cannot_be_written_for_long_is_dropped),
        TEST(an_end_does_not_wait_for_others),
        TEST(a_disk_that_takes_nothing),
        TEST(memory_that_runs_out_at_any_call),
        TEST(what_is_no_database_is_set_aside_and_said),
        TEST(a_database_that_is_found_damaged_in_use_is_set_aside),
        TEST(a_file_that_was_taken_away_is_made_again),
        TEST(what_it_does_not_know_it_leaves_alone),
        TEST(links_are_not_followed),
        TEST(a_folder_that_cannot_be_is_refused_with_its_name),
        TEST(two_write_to_one_and_many_threads_to_each),
        TEST(an_answer_that_was_given_up_has_its_receipt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
