/* cmd_log.c: what was recorded of answers: a list, or one of them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/log_rows.h"
#include "cli/receipt_text.h"
#include "cli/record_choice.h"
#include "record/receipt_json.h"

enum { RECORD_DIR, LAST, SINCE, MODEL, KEY, FINISH, STATUS, SLOWER, REQUEST, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [LAST] = { .name = "last", .aliases = "-n", .type = OPT_INT, .value = "N", .least = 0, .most = 1 << 30,
               .dflt = "50", .help = "the newest so many of those that are asked for; 0: all" },
    [SINCE] = { .name = "since", .type = OPT_TEXT, .value = "TIME",
                .help = "that ended since then: 90s, 30m, 2h, 3d or 2w ago, or from a local time on: 2026-11-27, "
                        "2026-11-27T08:30" },
    [MODEL] = { .name = "model", .aliases = "-m", .type = OPT_TEXT, .value = "NAME",
                .help = "of this model, by the name that clients know; taken from the line alone, for elsewhere it "
                        "names a file" },
    [KEY] = { .name = "key", .type = OPT_TEXT, .value = "NAME", .help = "that were asked for with this key" },
    [FINISH] = { .name = "finish", .type = OPT_TEXT, .value = "HOW",
                 .help = "that ended so: stop, length, cancelled or error, or as the receipt's detail begins: "
                         "'stop text'" },
    [STATUS] = { .name = "status", .type = OPT_INT, .value = "N", .least = 0, .most = 599,
                 .help = "with this status of HTTP; 0: nobody was there any more to be told one" },
    [SLOWER] = { .name = "slower-than", .type = OPT_INT, .value = "MS", .least = 0, .most = INT_MAX,
                 .help = "that took at least so long" },
    [REQUEST] = { .name = "request", .type = OPT_TEXT, .value = "ID", .help = "of the request with this X-Request-Id" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print a JSON object a line, with its receipt; with ID also "
               "what else is recorded of it: `recording`, as hearth replay reads it" },
};

/* ---- what is asked for ---- */

/* "2h" ago, or a local time. */
static bool read_since(const char *text, int64_t *since_ms, hearth_error *err)
{
    static const struct {
        char unit;
        int64_t s;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
    int at[6] = { 0, 1, 1, 0, 0, 0 }, n = 0, used = 0;
    char *end;
    long long count = strtoll(text, &end, 10);
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (end > text && end[0] == units[i].unit && !end[1] && count >= 0 && count <= INT_MAX) {
            *since_ms = (clock_unix_s() - count * units[i].s) * 1000;
            return true;
        }
    n = sscanf(text, "%4d-%2d-%2d%n%*1[T ]%2d:%2d%n:%2d%n", &at[0], &at[1], &at[2], &used, &at[3], &at[4], &used,
               &at[5], &used);
    int64_t s = n == 3 || n >= 5 ? clock_unix_of_local(at) : -1;
    *since_ms = s * 1000;
    return (s >= 0 && !text[used])
        || fail(err, HEARTH_ERR_USAGE, "--since is '%.80s'; it must be a time ago, as 90s, 30m, 2h, 3d or 2w, or a "
                "local time, as 2026-11-27 or 2026-11-27T08:30", text);
}

static bool read_filter(const struct args *a, struct recorded_filter *f, hearth_error *err)
{
    const struct opt_value *v = a->value;
    *f = (struct recorded_filter){
        .request_id = v[REQUEST].text,
        .model = v[MODEL].origin == OPT_FROM_LINE ? v[MODEL].text : NULL,
        .key = v[KEY].text,
        .finish = v[FINISH].text,
        .status = v[STATUS].origin == OPT_UNSET ? -1 : (int)v[STATUS].i,
        .slower_than_ms = (double)v[SLOWER].i,
        .last = v[LAST].origin == OPT_UNSET ? 50 : v[LAST].i,
    };
    return !v[SINCE].text || read_since(v[SINCE].text, &f->since_ms, err);
}

/* ---- one of them ---- */

struct one {
    bool json;
    int n;
    hearth_error err; /* of printing */
};

static void print_pair(const char *name, const char *text)
{
    printf("  %-20s ", name);
    print_in_line(stdout, text);
    putchar('\n');
}

static bool print_one(void *arg, const struct recorded_row *row)
{
    struct one *one = arg;
    char time[LOG_CELL_BYTES];
    if (one->json)
        return json_print(log_row_json(row, true), RECEIPT_JSON_FLAGS, "a row", &one->err) && ++one->n > 0;
    json_t *receipt = row->receipt ? json_loads(row->receipt, 0, NULL) : NULL;
    printf("%srecord %lld, %s\n", one->n++ ? "\n" : "", (long long)row->id, log_time(row->time_ms, time));
    print_pair("asked", row->source);
    print_pair("served as", row->model);
    if (row->key)
        print_pair("key", row->key);
    if (row->status)
        printf("  %-20s %d\n", "status", row->status);
    if (row->choice)
        printf("  %-20s %d\n", "choice", row->choice);
    receipt_print_json(stdout, receipt);
    if (row->parameters) {
        printf("  %-20s %zu tokens in and %zu out (--json has them)\n", "recorded", row->n_prompt, row->n_output);
        print_pair("parameters", row->parameters);
    }
    json_decref(receipt);
    return true;
}

/* By its number, or by the id of its request, of which there may be several answers. */
static int show(const char *dir, const char *id, bool json, hearth_error *err)
{
    struct one one = { .json = json };
    struct recorded_filter f = { .status = -1 };
    char *end;
    f.id = strtoll(id, &end, 10);
    bool number = end > id && !*end && f.id > 0;
    if (number && !recorded_list(dir, &f, RECORDED_BODY, print_one, &one, err))
        return report(err);
    f = (struct recorded_filter){ .status = -1, .request_id = id };
    if (one.n == 0 && !one.err.status && !recorded_list(dir, &f, RECORDED_BODY, print_one, &one, err))
        return report(err);
    if (one.err.status)
        return report(&one.err);
    if (one.n > 0)
        return EXIT_DONE;
    say("there is no record %.80s in %.800s; hearth log lists what there is", id, dir);
    return EXIT_FAILED;
}

/* ---- a list ---- */

static bool print_json(void *arg, const struct recorded_row *row)
{
    struct one *one = arg;
    one->n++;
    return json_print(log_row_json(row, false), RECEIPT_JSON_FLAGS, "a row", &one->err);
}

static bool measure(void *widths, const struct recorded_row *row)
{
    log_rows_measure(widths, row);
    return true;
}

static bool print_row(void *widths, const struct recorded_row *row)
{
    log_rows_print(widths, row);
    return true;
}

/* Looked through twice: widths first. What is recorded between the two may not fit its column. */
static int list(const char *dir, const struct recorded_filter *f, bool json, hearth_error *err)
{
    struct one one = { 0 };
    struct log_widths widths = { 0 };
    if (json)
        return !recorded_list(dir, f, RECORDED_RECEIPT, print_json, &one, err) ? report(err)
               : one.err.status                                               ? report(&one.err)
                                                                              : EXIT_DONE;
    if (!recorded_list(dir, f, RECORDED_LINE, measure, &widths, err))
        return report(err);
    if (widths.n_rows == 0) {
        say("no answer in %.800s is so", dir);
        return EXIT_DONE;
    }
    log_rows_head(&widths);
    return recorded_list(dir, f, RECORDED_LINE, print_row, &widths, err) ? EXIT_DONE : report(err);
}

static int run(const struct args *a)
{
    const struct opt_value *v = a->value;
    char dir[RECORD_DIR_BYTES];
    hearth_error err = { 0 };
    struct recorded_filter f;
    if (!record_place(dir, &v[RECORD_DIR], &err) || !read_filter(a, &f, &err))
        return usage_error(&cmd_log, "%s", err.message);
    return a->n_words ? show(dir, a->word[0], v[JSON].on, &err) : list(dir, &f, v[JSON].on, &err);
}

const struct command cmd_log = {
    .name = "log",
    .positionals = "[ID]",
    .max_words = 1,
    .summary = "what was recorded of answers: which model, how fast, how they ended",
    .about = "hearth serve records the receipt of every answer (--record). A list has the newest last; with ID, the\n"
             "number of a row or the X-Request-Id of a request, all that is known of it. It can be read while servers\n"
             "write. docs/operating.md says what is kept, where and for how long; docs/receipt.md has every figure.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
