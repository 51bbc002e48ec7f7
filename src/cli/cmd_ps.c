/* cmd_ps.c: the models of a running server: which are awake, and putting one to sleep. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "cli/asked_server.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/receipt_text.h"
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

/* ---- putting one to sleep ---- */

enum { STOP_SERVER, STOP_KEY_FILE, STOP_CA_FILE, STOP_TIMEOUT, STOP_N_OPTS };
enum { DEFAULT_TIMEOUT_S = 60 };

static const struct opt stop_options[STOP_N_OPTS] = {
    [STOP_SERVER] = OPT_SERVER_ROW,
    [STOP_KEY_FILE] = OPT_KEY_FILE_ROW,
    [STOP_CA_FILE] = OPT_CA_FILE_ROW,
    [STOP_TIMEOUT] = { .name = "timeout", .type = OPT_INT, .value = "S", .least = 0, .most = 86400, .dflt = "60",
                       .help = "how long to wait until it sleeps, in seconds; it sleeps when nobody has a slot of it" },
};

/* As it stands in a path. */
static void put_name(char *out, size_t room, const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t n = 0;
    for (; *name && n + 4 < room; name++)
        n += (size_t)snprintf(out + n, room - n, strchr(plain, *name) ? "%c" : "%%%02X", (unsigned char)*name);
    out[n] = 0;
}

static bool sleeps(struct asked_server *s, const char *path, bool post, hearth_error *err)
{
    json_t *o = asked_json(s, path, post, err);
    bool asleep = strcmp(text_of(o, "state", ""), "asleep") == 0;
    json_decref(o);
    return asleep;
}

static int stop(const struct args *a)
{
    enum { LOOK_MS = 100, NAME_BYTES = 400 };
    struct asked_server server;
    hearth_error err = { 0 };
    const struct opt_value *v = a->value;
    char name[NAME_BYTES], tell[NAME_BYTES + 40], look[NAME_BYTES + 40];
    if (a->n_words != 1)
        return usage_error(&cmd_stop, "which model is to sleep? hearth ps lists them");
    put_name(name, sizeof name, a->word[0]);
    snprintf(tell, sizeof tell, "/hearth/models/%s/unload", name);
    snprintf(look, sizeof look, "/v1/models/%s", name);
    int64_t start = clock_ns();
    double most_ms = 1000.0 * (v[STOP_TIMEOUT].origin == OPT_UNSET ? DEFAULT_TIMEOUT_S : (double)v[STOP_TIMEOUT].i);
    bool asleep = asked_open(&server, &v[STOP_SERVER], &v[STOP_KEY_FILE], &v[STOP_CA_FILE], &err)
                  && sleeps(&server, tell, true, &err);
    while (!asleep && !err.status && clock_ms_since(start) < most_ms) {
        thread_sleep_ms(LOOK_MS);
        asleep = sleeps(&server, look, false, &err);
    }
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
    .n_opts = STOP_N_OPTS,
    .run = stop,
};
