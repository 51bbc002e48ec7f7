/* cmd_ps.c: the models of a running server: which are awake, waking one, and putting one to sleep. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "cli/asked_server.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "store/foreign.h"

/* ---- what it says of each ---- */

enum { PS_SERVER, PS_KEY_FILE, PS_CA_FILE, PS_JSON, PS_N_OPTS };

static const struct opt ps_options[PS_N_OPTS] = {
    [PS_SERVER] = OPT_SERVER_ROW,
    [PS_KEY_FILE] = OPT_KEY_FILE_ROW,
    [PS_CA_FILE] = OPT_CA_FILE_ROW,
    [PS_JSON] = { .name = "json", .type = OPT_FLAG, .help = "print what the server says of them, as JSON" },
};

enum { CELL_BYTES = 130, N_COLUMNS = 8 };

static const char *text_of(const json_t *o, const char *key, const char *none)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : none;
}

static long long whole_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* "ready", "ready, 43 % read", "asleep: idle". */
static void put_state(char out[CELL_BYTES], const json_t *model)
{
    const json_t *weights = json_object_get(model, "weights");
    double n = (double)whole_of(weights, "read_bytes"), all = (double)whole_of(weights, "file_bytes");
    const char *why = text_of(model, "why_asleep", NULL), *state = text_of(model, "state", "?");
    if (why)
        snprintf(out, CELL_BYTES, "%.20s: %.60s", state, why);
    else if (json_is_true(json_object_get(weights, "reading")) && all > 0)
        snprintf(out, CELL_BYTES, "%.20s, %.0f %% read", state, 100 * n / all);
    else
        snprintf(out, CELL_BYTES, "%.20s%s", state, json_is_true(json_object_get(model, "pinned")) ? ", pinned" : "");
}

static void put_cells(char cell[N_COLUMNS][CELL_BYTES], const json_t *model)
{
    char line[CELL_BYTES];
    bool asleep = strcmp(text_of(model, "state", ""), "asleep") == 0;
    const char *name = text_of(model, "id", "?");
    foreign_line(cell[0], CELL_BYTES, str_z(name));
    put_state(line, model);
    foreign_line(cell[1], CELL_BYTES, str_z(line));
    if (asleep)
        snprintf(cell[2], CELL_BYTES, "-");
    else
        text_of_bytes(cell[2], (uint64_t)whole_of(model, "awake_bytes"));
    snprintf(cell[3], CELL_BYTES, "%lld", whole_of(model, "n_running"));
    snprintf(cell[4], CELL_BYTES, "%lld", whole_of(model, "n_waiting"));
    snprintf(cell[5], CELL_BYTES, "%lld", whole_of(model, "n_completed"));
    snprintf(cell[6], CELL_BYTES, "%lld", whole_of(model, "n_wakes"));
    snprintf(cell[7], CELL_BYTES, "%lld", whole_of(model, "n_sleeps"));
}

static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80; /* a character has one byte that is none of these */
    return n;
}

static void print_table(const json_t *models)
{
    static const char head[N_COLUMNS][CELL_BYTES] = { "model",   "state",    "memory", "running",
                                                      "waiting", "answered", "wakes",  "sleeps" };
    int width[N_COLUMNS];
    char cell[N_COLUMNS][CELL_BYTES];
    size_t i;
    json_t *model;
    for (int c = 0; c < N_COLUMNS; c++)
        width[c] = width_of(head[c]);
    json_array_foreach(models, i, model) {
        put_cells(cell, model);
        for (int c = 0; c < N_COLUMNS; c++)
            width[c] = max_int(width[c], width_of(cell[c]));
    }
    for (size_t row = 0; row <= json_array_size(models); row++) {
        if (row > 0)
            put_cells(cell, json_array_get(models, row - 1));
        for (int c = 0; c < N_COLUMNS; c++) {
            const char *text = row > 0 ? cell[c] : head[c];
            int fill = width[c] - width_of(text);
            if (c < 2)
                printf("%s%*s  ", text, c + 1 < N_COLUMNS ? fill : 0, "");
            else
                printf("%*s%s%s", fill, "", text, c + 1 < N_COLUMNS ? "  " : "\n");
        }
    }
}

/* Whatever went wrong there: the exit code for it. */
static int asked_report(const struct command *c, const hearth_error *err)
{
    if (err->status == HEARTH_ERR_USAGE)
        return usage_error(c, "%s", err->message);
    report(err);
    return EXIT_FAILED;
}

static int ps(const struct args *a)
{
    struct asked_server server;
    hearth_error err = { 0 };
    const struct opt_value *v = a->value;
    bool ok = asked_open(&server, &v[PS_SERVER], &v[PS_KEY_FILE], &v[PS_CA_FILE], &err);
    json_t *status = ok ? asked_json(&server, "/hearth/status", false, &err) : NULL;
    json_t *models = json_object_get(status, "models");
    if (status && !json_is_array(models))
        fail(&err, HEARTH_ERR_FORMAT, "%.100s says nothing of models; is a hearth serve there?", server.place.name);
    else if (status && v[PS_JSON].on)
        json_print(json_incref(models), JSON_INDENT(2) | JSON_SORT_KEYS, "the models", &err);
    else if (status)
        print_table(models);
    json_decref(status);
    asked_close(&server);
    return err.status ? asked_report(&cmd_ps, &err) : EXIT_DONE;
}

const struct command cmd_ps = {
    .name = "ps",
    .positionals = "",
    .summary = "the models of a running server: which are awake, and what they do",
    .about = "A model is ready, or asleep: then its memory is the system's, and the next request wakes it.\n"
             "The server's log has a line for each time. Ends with 1 where no server answers.\n",
    .opts = ps_options,
    .n_opts = PS_N_OPTS,
    .run = ps,
};

/* ---- telling one of them ---- */

enum { TELL_SERVER, TELL_KEY_FILE, TELL_CA_FILE, TELL_TIMEOUT, TELL_N_OPTS };
enum { SLEEP_TIMEOUT_S = 60, LOAD_TIMEOUT_S = 600, LOOK_MS = 100, FIRST_MS = 15000 };
enum { NAME_BYTES = 400, PATH_BYTES = NAME_BYTES + 40 };

#define TELL_ROWS(seconds, what)                                                                                 \
    [TELL_SERVER] = OPT_SERVER_ROW, [TELL_KEY_FILE] = OPT_KEY_FILE_ROW, [TELL_CA_FILE] = OPT_CA_FILE_ROW,         \
    [TELL_TIMEOUT] = { .name = "timeout", .type = OPT_INT, .value = "S", .least = 0, .most = 86400, .dflt = seconds, \
                       .help = what }

static const struct opt stop_options[TELL_N_OPTS] = {
    TELL_ROWS("60", "how long to wait until it sleeps, in seconds; it sleeps when nobody has a slot of it"),
};
static const struct opt load_options[TELL_N_OPTS] = {
    TELL_ROWS("600", "how long to wait until its weights are read, in seconds"),
};

static double timeout_ms(const struct args *a, int dflt_s)
{
    const struct opt_value *v = &a->value[TELL_TIMEOUT];
    return 1000.0 * (v->origin == OPT_UNSET ? dflt_s : (double)v->i);
}

/* As it stands in a path. */
static void put_name(char *out, size_t room, const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t n = 0;
    for (; *name && n + 4 < room; name++)
        n += (size_t)snprintf(out + n, room - n, strchr(plain, *name) ? "%c" : "%%%02X", (unsigned char)*name);
    out[n] = 0;
}

/* What it says of the model once it is told. NULL: *err. */
static json_t *tell(struct asked_server *s, const struct args *a, const char *what, hearth_error *err)
{
    char name[NAME_BYTES], path[PATH_BYTES];
    const struct opt_value *v = a->value;
    put_name(name, sizeof name, a->word[0]);
    snprintf(path, sizeof path, "/hearth/models/%s/%s", name, what);
    return asked_open(s, &v[TELL_SERVER], &v[TELL_KEY_FILE], &v[TELL_CA_FILE], err) ? asked_json(s, path, true, err)
                                                                                    : NULL;
}

/* ---- putting it to sleep ---- */

static bool is_asleep(const json_t *model) { return strcmp(text_of(model, "state", ""), "asleep") == 0; }

static int stop(const struct args *a)
{
    struct asked_server server = { 0 };
    hearth_error err = { 0 };
    char name[NAME_BYTES], look[PATH_BYTES];
    if (a->n_words != 1)
        return usage_error(&cmd_stop, "which model is to sleep? hearth ps lists them");
    put_name(name, sizeof name, a->word[0]);
    snprintf(look, sizeof look, "/v1/models/%s", name);
    int64_t start = clock_ns();
    json_t *model = tell(&server, a, "unload", &err);
    while (model && !is_asleep(model) && clock_ms_since(start) < timeout_ms(a, SLEEP_TIMEOUT_S)) {
        thread_sleep_ms(LOOK_MS);
        json_decref(model);
        model = asked_json(&server, look, false, &err);
    }
    bool asleep = is_asleep(model);
    json_decref(model);
    asked_close(&server);
    if (err.status)
        return asked_report(&cmd_stop, &err);
    if (asleep)
        return EXIT_DONE;
    say("%.127s is still awake: somebody has a slot of it; it sleeps when nobody has", a->word[0]);
    return EXIT_FAILED;
}

const struct command cmd_stop = {
    .name = "stop",
    .positionals = "MODEL",
    .max_words = 1,
    .summary = "let a model of a running server sleep",
    .about = "Its memory goes back to the system once nobody has a slot of it; its file stays open, and the next\n"
             "request wakes it: the same answers, but its prompts are new to it. One that is pinned (--pin,\n"
             "--preload, --lock) does not sleep. Where the server has keys it takes one that is admin.\n"
             "Ends with 1 where it is still awake after --timeout.\n",
    .opts = stop_options,
    .n_opts = TELL_N_OPTS,
    .run = stop,
};

/* ---- waking it ---- */

struct waking {
    struct progress progress;
    const char *problem; /* why it is not ready, "": it is; NULL: nothing is known yet */
    int64_t start_ns;
    double timeout_ms;
    char why[100];
};

static bool is_over(void *waking)
{
    struct waking *w = waking;
    bool late = clock_ms_since(w->start_ns) >= w->timeout_ms;
    if (late && w->problem) /* it has heard of it */
        w->problem = "is not ready yet; it goes on without this command";
    return (late && w->problem) || (!w->problem && clock_ms_since(w->start_ns) >= w->timeout_ms + FIRST_MS);
}

/* How far it is, by the server's own count; more: of a disk that stands still. */
static bool see(void *waking, const json_t *o, hearth_error *err)
{
    struct waking *w = waking;
    char more[60] = "";
    const char *phase = text_of(o, "phase", "");
    bool reading = strcmp(phase, "reading") == 0, ready = strcmp(phase, "ready") == 0;
    w->problem = ready ? "" : "did not become ready: the server ended the stream";
    progress_doing(&w->progress, reading ? "reading the weights" : "waiting for room");
    if (json_is_true(json_object_get(o, "stalled")))
        snprintf(more, sizeof more, "; nothing came for %.0f s", json_number_value(json_object_get(o, "still_s")));
    if (reading)
        progress_show(&w->progress, (uint64_t)whole_of(o, "read_bytes"), (uint64_t)whole_of(o, "total_bytes"), more);
    if (strcmp(phase, "asleep") == 0) {
        foreign_line(w->why, sizeof w->why, str_z(text_of(o, "why_asleep", "?")));
        w->problem = "woke, and sleeps again";
    } else if (!ready && is_over(w)) {
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted");
    }
    return true;
}

static int load(const struct args *a)
{
    struct asked_server server = { 0 };
    struct waking w = { .start_ns = clock_ns(), .timeout_ms = timeout_ms(a, LOAD_TIMEOUT_S) };
    hearth_error err = { 0 };
    char name[NAME_BYTES], path[PATH_BYTES];
    const struct opt_value *v = a->value;
    if (a->n_words != 1)
        return usage_error(&cmd_load, "which model is to wake? hearth ps lists them");
    put_name(name, sizeof name, a->word[0]);
    snprintf(path, sizeof path, "/hearth/models/%s/load", name);
    progress_begin(&w.progress, NULL);
    bool ok = asked_open(&server, &v[TELL_SERVER], &v[TELL_KEY_FILE], &v[TELL_CA_FILE], &err)
              && asked_events(&server, path, &(struct asked_events){ see, is_over, &w }, &err);
    progress_end(&w.progress);
    asked_close(&server);
    if (!ok && !(err.status == HEARTH_ERR_CANCELLED && w.problem))
        return asked_report(&cmd_load, &err);
    if (ok && w.problem && !*w.problem)
        return EXIT_DONE;
    say("%.127s %s%s%s", a->word[0], w.problem ? w.problem : "is in no event of the server",
        w.why[0] ? ": " : "", w.why);
    return EXIT_FAILED;
}

const struct command cmd_load = {
    .name = "load",
    .positionals = "MODEL",
    .max_words = 1,
    .summary = "wake a model of a running server before a request does",
    .about = "It is waited for until its weights are in memory: share, rate and time left stand on standard\n"
             "error, and that nothing comes, where a disk stands still. Where there is no room beside models\n"
             "that are awake it waits for its turn (docs/operating.md). Where the server has keys it takes\n"
             "one that is admin. Ends with 1 where it is not ready after --timeout, or sleeps again.\n",
    .opts = load_options,
    .n_opts = TELL_N_OPTS,
    .run = load,
};
