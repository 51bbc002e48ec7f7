/* cmd_serve.c: the HTTP server. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/service.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/loading.h"
#include "cli/preset.h"
#include "cli/price.h"
#include "cli/program.h"
#include "cli/record_choice.h"
#include "cli/template_choice.h"
#include "server/api/preset.h"
#include "server/port.h"
#include "server/server.h"

enum {
    MODEL, HOST, PORT, PARALLEL, CTX, ALIAS, KEYS, OPEN, QUEUE, QUEUE_TOKENS, PING, STRICT, MAX_BODY, MEMORY,
    CONNECTIONS, PER_ADDRESS, LINGER, DRAIN, HEAD, REQUEST, BUDGET, KV_TYPE, THREADS, THREADS_PREFILL, PRELOAD, LOCK,
    KEEP_ALIVE, PIN, TEMPLATE, ALLOW_HOST, ALLOW_ORIGIN, PROXY, TLS_CERT, TLS_KEY,
    LOG_FORMAT, LOG_LEVEL,
    STALL, NO_SANDBOX, OFFLINE,
    CACHE_DIR, CACHE_DISK,
    RECORD, RECORD_DIR, RECORD_DAYS, RECORD_DISK,
    EQUIVALENT,
    N_OPTS
};

static const struct opt options[N_OPTS] = {
    [MODEL] = { .name = "model", .aliases = "-m", .type = OPT_LIST, .value = "FILE",
                .help = "a model, as an option instead of a word; may be given several times (in the environment: for "
                        "when none is named)" },
    [HOST] = { .name = "host", .type = OPT_TEXT, .value = "ADDRESS", .dflt = "127.0.0.1",
               .help = "where to listen; 0.0.0.0: on every address of this machine; unix:PATH: a Unix socket" },
    [PORT] = { .name = "port", .type = OPT_INT, .value = "N", .least = 0, .most = 65535, .dflt = "8080",
               .help = "the port; 0: a free one, which the start screen names" },
    [PARALLEL] = { .name = "parallel", .aliases = "-np", .type = OPT_INT, .value = "N", .least = 1, .most = 64,
                   .dflt = "4", .help = "answers that are computed at once; each has the whole window" },
    [CTX] = OPT_CTX_ROW,
    [ALIAS] = { .name = "alias", .aliases = "-a", .type = OPT_LIST, .value = "NAME", .dflt = "the file's name",
                .help = "the model's name in the API; with several models once for each, in their order" },
    [KEYS] = { .name = "api-key-file", .type = OPT_TEXT, .value = "FILE",
               .help = "the file of API keys (hearth key add), read again on SIGHUP; without the option any key is "
                       "accepted" },
    [OPEN] = { .name = "insecure-no-auth", .type = OPT_FLAG,
               .help = "listen where others can reach it, without keys" },
    [QUEUE] = { .name = "queue", .type = OPT_INT, .value = "N", .least = 0, .most = 128, .dflt = "64",
                .help = "requests that may wait; more are refused with 503 and Retry-After" },
    [QUEUE_TOKENS] = { .name = "queue-tokens", .type = OPT_INT, .value = "N", .least = 1, .most = 1000000000,
                       .dflt = "a window for each of --parallel",
                       .help = "tokens that the prompts of those may have together; more are refused with 503 and "
                               "Retry-After" },
    [PING] = { .name = "ping-ms", .type = OPT_INT, .value = "MS", .least = 50, .most = 3600000, .dflt = "15000",
               .help = "a comment in streams that have been silent for so long" },
    [STRICT] = { .name = "strict", .type = OPT_FLAG,
                 .help = "refuse requests with fields that are not known or have no effect; without it the receipt "
                     "lists "
                         "them" },
    [MAX_BODY] = { .name = "max-body", .type = OPT_INT, .value = "MB", .least = 1, .most = 64, .dflt = "32",
                   .help = "the largest body of a request" },
    [MEMORY] = { .name = "request-memory", .type = OPT_INT, .value = "MB", .least = 16, .most = 65536, .dflt = "256",
                 .help = "memory for requests; when it is in use, more are refused with 503" },
    [CONNECTIONS] = { .name = "connections", .type = OPT_INT, .value = "N", .least = 16, .most = 100000,
                      .dflt = "2000, held to ulimit -n", .help = "most connections, of 34 KB each" },
    [PER_ADDRESS] = { .name = "connections-per-address", .type = OPT_INT, .value = "N", .least = 0, .most = 100000,
                      .dflt = "256",
                      .help = "of them of one address (of IPv6, one /64), but for this machine's own; 0: as many as "
                              "there are; behind a proxy see --trusted-proxy" },
    [LINGER] = { .name = "linger-ms", .type = OPT_INT, .value = "MS", .least = 0, .most = 3600000, .dflt = "0",
                 .help = "how long requests are still taken after SIGTERM or Ctrl-C, while /ready says 503 already: "
                         "for proxies that ask it now and then" },
    [DRAIN] = { .name = "drain-ms", .type = OPT_INT, .value = "MS", .least = 0, .most = 3600000, .dflt = "25000",
                .help = "how long running requests may go on after SIGTERM or Ctrl-C; a second one gives them "
                        "a second to hear of it" },
    [HEAD] = { .name = "header-ms", .type = OPT_INT, .value = "MS", .least = 100, .most = 600000, .dflt = "10000",
               .help = "how long the headers of a request may take" },
    [REQUEST] = { .name = "request-ms", .type = OPT_INT, .value = "MS", .least = 0, .most = 86400000, .dflt = "0",
                  .help = "how long a request may take from its headers on; then its answer ends where it is; 0: as "
                          "long as it takes" },
    [STALL] = { .name = "stall-ms", .type = OPT_INT, .value = "MS", .least = 100, .most = 86400000, .dflt = "30000",
                .help = "an engine that does not get on for so long, and for longer than four of its steps, is "
                        "stalled: /health says so, and a service manager's watchdog is not fed" },
    [NO_SANDBOX] = { .name = "no-sandbox", .type = OPT_FLAG,
                     .help = "keep all rights of the user, where without it the server gives up programs, connections "
                             "and files once it listens (docs/operating.md)" },
    [OFFLINE] = OPT_OFFLINE_ROW,
    [BUDGET] = { .name = "budget", .type = OPT_INT, .value = "MB", .least = 16, .most = 1 << 30,
                 .dflt = "what the machine has free",
                 .help = "memory for all models together: KV caches, workspaces, vocabularies, and the weights beside "
                         "them" },
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [THREADS_PREFILL] = OPT_THREADS_PREFILL_ROW,
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
    [KEEP_ALIVE] = OPT_KEEP_ALIVE_ROW,
    [PIN] = { .name = "pin", .type = OPT_LIST, .value = "NAME",
              .help = "a model that never sleeps, by its alias or its file's name; may be given several times" },
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [ALLOW_HOST] = { .name = "allow-host", .type = OPT_LIST, .value = "NAME",
                     .help = "another name of this server, as clients call it; *.NAME: all that end so; '*': any" },
    [ALLOW_ORIGIN] = { .name = "allow-origin", .type = OPT_LIST, .value = "ORIGIN",
                       .help = "a site whose pages may ask, as https://chat.example; '*': all; pages on localhost, and "
                               "of app:, file:, tauri: and vscode-webview: always may" },
    [PROXY] = { .name = "trusted-proxy", .type = OPT_LIST, .value = "CIDR",
                .help = "a proxy, or a range of them, whose word for the client's address counts (X-Forwarded-For, "
                        "Forwarded); unix: who comes through the Unix socket" },
    [TLS_CERT] = { .name = "tls-cert", .type = OPT_TEXT, .value = "FILE",
                   .help = "speak TLS, with this certificate and its chain (PEM)" },
    [TLS_KEY] = { .name = "tls-key", .type = OPT_TEXT, .value = "FILE", .help = "the certificate's key (PEM)" },
    [LOG_FORMAT] = { .name = "log-format", .type = OPT_CHOICE, .value = "text|json", .dflt = "text",
                     .help = "of the log on standard error, a line for each request" },
    [LOG_LEVEL] = { .name = "log-level", .type = OPT_CHOICE, .value = "error|warn|info|debug", .dflt = "info",
                    .help = "what the log has; error: faults of ours; warn: also requests that were too many; info: "
                            "also all that have a body; debug: also probes and pages" },
    [CACHE_DIR] = OPT_CACHE_DIR_ROW,
    [CACHE_DISK] = OPT_CACHE_DISK_ROW,
    [EQUIVALENT] = OPT_EQUIVALENT_ROW,
    [RECORD] = OPT_RECORD_ROW("receipts"),
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [RECORD_DAYS] = OPT_RECORD_DAYS_ROW,
    [RECORD_DISK] = OPT_RECORD_DISK_ROW,
};

static_assert((int)N_OPTS <= (int)OPTS_MAX, "struct args holds a value for every option");

enum { KEY_FILE_MAX_BYTES = 1 << 20, MODELS_MAX = WORDS_MAX, STDERR = 2 };

/* One of the models that are served. */
struct serving {
    struct model_choice choice;
    char file_id[MODEL_FILE_ID_BYTES], model_id[128];
    struct opt_value said[PRESET_N_OPTS]; /* by its preset, if it has one */
    char preset_name[PRESET_NAME_BYTES];  /* with its file, for errors; "": it has none */
    char section[TOML_MAX_NAME_BYTES + 16]; /* without, for clients */
    struct template_choice template;
    struct sampling_choice sampling;
    const char *of_model[5];              /* for the preset */
    struct preset preset;
    bool pinned;
    hearth_model *model;
};

struct service {
    const struct args *args;
    struct serving models[MODELS_MAX];
    struct server_model served[MODELS_MAX]; /* the same, for the server */
    int n_models;
    char *keys; /* text of the file */
    char *tls_cert, *tls_key;
    hearth_engine *engine;
    struct server *server;
    struct log *log;
    struct recorder *recorder; /* NULL: nothing is recorded */
    struct price_equivalent equivalent;
    struct service_manager manager;
    char host[PORT_HOST_BYTES]; /* of the first socket that it passed, and its port */
    int port;
    struct sandbox sandbox;
    bool lived;     /* when the manager was told something last */
    int64_t fed_ns;
};

static int number(const struct service *s, int option, int dflt)
{
    const struct opt_value *v = &s->args->value[option];
    return v->origin == OPT_UNSET ? dflt : (int)v->i;
}

/* ---- which models, and what they are called ---- */

static void name_model(struct serving *m, const char *alias)
{
    model_file_id(&m->choice, m->file_id);
    snprintf(m->model_id, sizeof m->model_id, "%s", alias ? alias : m->file_id);
}

/* A file twice would be loaded twice; a name twice could not be asked for. A file's name may be that of several, if
 * each has an alias: then it names none of them. */
static int check_pair(const struct serving *a, const struct serving *b)
{
    uint64_t device[2], inode[2];
    const char *path[2] = { a->choice.source.path, b->choice.source.path };
    if (file_identity(path[0], &device[0], &inode[0], NULL) == 1
        && file_identity(path[1], &device[1], &inode[1], NULL) == 1 && device[0] == device[1] && inode[0] == inode[1])
        return usage_error(&cmd_serve, "%.200s and %.200s are one file; name each model once", path[0], path[1]);
    if (strcmp(a->model_id, b->model_id) == 0)
        return usage_error(&cmd_serve, "%.200s and %.200s would both be called '%.127s'; give each a name with --alias",
                           path[0], path[1], a->model_id);
    bool alias_of_b = strcmp(a->file_id, b->model_id) == 0, alias_of_a = strcmp(b->file_id, a->model_id) == 0;
    if (alias_of_a || alias_of_b)
        return usage_error(&cmd_serve, "'%.127s' is the alias of %.200s and the name of the file %.200s; use another "
                           "--alias", alias_of_a ? a->model_id : b->model_id, path[!alias_of_a], path[alias_of_a]);
    return EXIT_DONE;
}

/* Who never sleeps. */
static int pin_models(struct service *s)
{
    const struct opt_value *pin = &s->args->value[PIN];
    for (int i = 0; i < pin->n_list; i++) {
        int n = 0;
        for (int k = 0; k < s->n_models; k++) {
            struct serving *m = &s->models[k];
            bool is = strcmp(pin->list[i], m->model_id) == 0 || strcmp(pin->list[i], m->file_id) == 0;
            m->pinned = m->pinned || is;
            n += is;
        }
        if (n == 0)
            return usage_error(&cmd_serve, "--pin '%.127s' is none of the models that are named; the first is called "
                               "'%.127s'", pin->list[i], s->models[0].model_id);
    }
    return EXIT_DONE;
}

static int choose_models(struct service *s)
{
    const struct args *a = s->args;
    const struct opt_value *alias = &a->value[ALIAS];
    static const struct opt_value none;
    struct opt_value model = a->value[MODEL];
    enum opt_origin named = a->n_words > 0 ? OPT_FROM_LINE : model.origin;
    if (alias->origin == OPT_FROM_FILE && named > OPT_FROM_FILE) { /* they are of the file's models */
        say("the aliases of the settings file have no effect, for the models are named elsewhere");
        alias = &none;
    }
    s->n_models = max_int(a->n_words > 0 ? a->n_words : model.n_list, 1);
    for (int i = 0; i < s->n_models; i++) {
        struct serving *m = &s->models[i];
        model.text = i < model.n_list ? model.list[i] : NULL;
        if (!model_choose(&m->choice, &cmd_serve, a->word[i], &model))
            return EXIT_USAGE;
        name_model(m, i < alias->n_list ? alias->list[i] : NULL);
    }
    if (alias->n_list > s->n_models)
        return usage_error(&cmd_serve, "--alias is given %d times, for %d model%s; give it once for each, in their "
                           "order", alias->n_list, s->n_models, s->n_models == 1 ? "" : "s");
    for (int i = 0; i < alias->n_list; i++)
        if (!alias->list[i][0] || strlen(alias->list[i]) >= sizeof s->models[i].model_id)
            return usage_error(&cmd_serve, "--alias '%.80s' has %zu bytes; a name has 1 to %zu", alias->list[i],
                               strlen(alias->list[i]), sizeof s->models[i].model_id - 1);
    for (int i = 1; i < s->n_models; i++)
        for (int k = 0; k < i; k++)
            if (check_pair(&s->models[k], &s->models[i]) != EXIT_DONE)
                return EXIT_USAGE;
    if (s->n_models > 1 && a->value[TEMPLATE].text)
        return usage_error(&cmd_serve, "--chat-template is for one model, and %d are named; serve that one alone",
                           s->n_models);
    return pin_models(s);
}

/* ---- what the settings say of each ---- */

/* The preset's value, or that of all models where the line or the environment has one, or the preset has none. */
static const struct opt_value *of_model(const struct service *s, const struct serving *m, int option, int in_preset)
{
    const struct opt_value *all = &s->args->value[option], *own = &m->said[in_preset];
    return own->origin > all->origin ? own : all;
}

/* --pin names it, or its preset says so. */
static bool read_stay(const struct service *s, struct serving *m, hearth_error *err)
{
    const struct opt_value *pin = &m->said[PRESET_PIN];
    if (pin->on && m->said[PRESET_KEEP_ALIVE].f > 0)
        return fail(err, HEARTH_ERR_USAGE, "%.200s has pin and keep-alive, but what is pinned never sleeps; take one "
                    "out", m->preset_name);
    if (pin->origin > s->args->value[PIN].origin)
        m->pinned = pin->on;
    m->pinned = m->pinned || pin->on;
    return true;
}

static int keep_ms(const struct opt_value *v) { return v->f > 0 ? max_int((int)(v->f * 1000 + 0.5), 1) : 0; }

static bool read_preset(const struct service *s, struct serving *m, hearth_error *err)
{
    enum { N_UNSEEN = 2 }; /* of these the last: no request goes by them */
    static const int of_models[] = { PRESET_CTX, PRESET_KV_TYPE, PRESET_TEMPLATE, PRESET_PIN, PRESET_KEEP_ALIVE };
    static const int in_line[] = { CTX, KV_TYPE, TEMPLATE, PIN, KEEP_ALIVE }; /* the same */
    const struct toml_section *section = preset_find(s->args->settings, m->model_id, m->file_id);
    const struct opt_value *v = m->said;
    struct preset *p = &m->preset;
    if (section) {
        preset_name(s->args->settings, section, m->preset_name);
        snprintf(m->section, sizeof m->section, "[model.\"%s\"]", section->sub);
        if (!settings_fill_from(s->args->settings, section, preset_opts, PRESET_N_OPTS, m->said, OPT_FROM_PRESET, err))
            return false;
    }
    if (!read_stay(s, m, err))
        return false;
    if (!template_choose(&m->template, &m->choice.source, true, of_model(s, m, TEMPLATE, PRESET_TEMPLATE),
                         &v[PRESET_KWARGS], &v[PRESET_THINKING], &v[PRESET_NO_THINKING], err))
        return !section ? false : err_context(err, "%.200s", m->preset_name);
    if (!sampling_choose(&m->sampling, &v[PRESET_SAMPLERS], &v[PRESET_BREAKER], err))
        return err_context(err, "%.200s", m->preset_name);
    *p = (struct preset){ .name = m->section, .of_model = m->of_model, .system = v[PRESET_SYSTEM].text,
                          .template_kwargs = m->template.kwargs, .thinking = m->template.thinking,
                          .order = m->sampling.has_order ? &m->sampling.order : NULL,
                          .breakers = m->sampling.has_breakers ? m->sampling.breakers : NULL,
                          .n_breakers = m->sampling.n_breakers };
    for (size_t i = 0; i < ARRAY_LEN(of_models); i++)
        if (v[of_models[i]].origin > s->args->value[in_line[i]].origin) { /* it was taken: of_model() */
            m->of_model[p->n_of_model++] = preset_opts[of_models[i]].name;
            p->n_unseen += i + N_UNSEEN >= ARRAY_LEN(of_models);
        }
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const struct opt_value *x = &v[PRESET_SAMPLING + i];
        p->has_sampling[i] = x->origin != OPT_UNSET;
        hearth_sampling_set(&p->sampling, i, preset_opts[PRESET_SAMPLING + i].type == OPT_INT ? (double)x->i : x->f);
    }
    return true;
}

/* What a preset says must have an effect: refused, once the template is known, or said. */
static bool check_preset(const struct serving *m, hearth_error *err)
{
    hearth_template_info info = { .thinking_switch = "" };
    bool has = hearth_file_template(hearth_model_file(m->model), &info);
    if (m->preset.thinking != HEARTH_THINKING_DEFAULT && !info.thinking_switch[0])
        return fail(err, HEARTH_ERR_USAGE, "%.200s has thinking or no-thinking, but the model's chat template has no "
                    "switch for it; take it out", m->preset_name);
    if (!has && (m->preset.system || m->preset.template_kwargs))
        say("%s: system and chat-template-kwargs have no effect, for the model has no chat template", m->preset_name);
    return true;
}

/* ---- opening them ---- */

/* Of several each gets its share before any is loaded. */
static bool share_budget(struct service *s, hearth_model_options *wanted, int *code, hearth_error *err)
{
    hearth_file *files[MODELS_MAX] = { 0 };
    bool ok = true;
    for (int i = 0; ok && i < s->n_models; i++) {
        files[i] = hearth_file_open(&wanted[i].source, err);
        ok = files[i] != NULL;
        if (!ok)
            *code = model_report(&s->models[i].choice, err);
    }
    if (ok) {
        ok = hearth_engine_share(s->engine, files, wanted, s->n_models, err);
        if (!ok)
            *code = report(err);
    }
    for (int i = 0; i < s->n_models; i++)
        hearth_file_close(files[i]);
    return ok;
}

static int open_models(struct service *s, hearth_error *err)
{
    const struct opt_value *v = s->args->value;
    hearth_model_options wanted[MODELS_MAX] = { 0 };
    const struct server_options server = { .memory_bytes = (size_t)number(s, MEMORY, 256) << 20,
                                           .n_connections = number(s, CONNECTIONS, 2000),
                                           .tls_cert = s->tls_cert };
    enum record_mode record = record_mode_of(&v[RECORD], RECORD_RECEIPTS);
    uint64_t record_bytes = record == RECORD_OFF ? 0 : recorder_memory_bytes(record == RECORD_FULL);
    hearth_engine_options engine = { .measure_reads = true,
                                     .request_bytes = server_memory_bytes(&server) + record_bytes,
                                     .program_bytes = program_memory_bytes(max_int((int)v[THREADS].i,
                                                                                   (int)v[THREADS_PREFILL].i)),
                                     .n_threads = (int)v[THREADS].i,
                                     .n_threads_prefill = (int)v[THREADS_PREFILL].i,
                                     .budget_bytes = (uint64_t)v[BUDGET].i << 20,
                                     .take_turns = true,
                                     .keep_awake_ms = keep_ms(&v[KEEP_ALIVE]),
                                     .n_seqs = number(s, PARALLEL, 4) };
    int code = EXIT_DONE;
    cache_fill(&engine, &v[CACHE_DIR], &v[CACHE_DISK], 0);
    s->engine = hearth_engine_create(&engine, err);
    if (!s->engine)
        return report(err);
    for (int i = 0; i < s->n_models; i++) {
        int own_ms = keep_ms(of_model(s, &s->models[i], KEEP_ALIVE, PRESET_KEEP_ALIVE));
        wanted[i] = (hearth_model_options){
            .source = s->models[i].choice.source,
            .n_ctx_tokens = (int)of_model(s, &s->models[i], CTX, PRESET_CTX)->i,
            .kv_type = (hearth_kv_type)of_model(s, &s->models[i], KV_TYPE, PRESET_KV_TYPE)->i,
            .preload = v[PRELOAD].on,
            .lock = v[LOCK].on,
            .pinned = s->models[i].pinned,
            .keep_awake_ms = own_ms ? own_ms : -1,
        };
    }
    if (s->n_models > 1 && !share_budget(s, wanted, &code, err))
        return code;
    for (int i = 0; i < s->n_models; i++) {
        s->models[i].model = loading_model(s->engine, &wanted[i], err);
        if (!s->models[i].model)
            return model_report(&s->models[i].choice, err);
    }
    return EXIT_DONE;
}

/* The first of the sockets that were passed, or what the line says. */
static const char *host_of(const struct service *s)
{
    const char *host = s->args->value[HOST].text;
    return s->manager.n_sockets ? s->host : host ? host : "127.0.0.1";
}

/* Its file is open by now. */
static bool plan_recorder(struct service *s)
{
    struct recorder_figures f;
    recorder_look(s->recorder, &f);
    return !f.on || sandbox_may_use_database(&s->sandbox, f.dir);
}

/* The folders of models stay readable, and that of the keys, so that they can be read again; the cache's is written,
 * and that of what is recorded. */
static bool plan_sandbox(struct service *s, hearth_error *err)
{
    const struct opt_value *v = s->args->value;
    char keys[SANDBOX_PATH_BYTES];
    bool ok = !v[KEYS].text || sandbox_may_read_beside(&s->sandbox, v[KEYS].text);
    if (v[KEYS].text && file_real_path(v[KEYS].text, keys, sizeof keys)) /* it may lead to another folder */
        ok = ok && sandbox_may_read_beside(&s->sandbox, keys);
    ok = ok && (!v[CACHE_DIR].text || sandbox_may_write(&s->sandbox, v[CACHE_DIR].text));
    sandbox_look(&s->sandbox);
    ok = ok && plan_recorder(s);
    const char *unix_path = s->manager.n_sockets ? NULL : port_unix_path(host_of(s));
    ok = ok && (!unix_path || sandbox_may_remove_beside(&s->sandbox, unix_path));
    for (int i = 0; ok && i < s->n_models; i++)
        ok = !s->models[i].choice.source.path || sandbox_may_read_beside(&s->sandbox, s->models[i].choice.source.path);
    if (!ok)
        return fail(err, HEARTH_ERR_USAGE, "a model's path has more than %d bytes; name a shorter one, or turn the "
                    "sandbox off with --no-sandbox", SANDBOX_PATH_BYTES - 1);
    if (v[NO_SANDBOX].on)
        say("warning: without its sandbox (--no-sandbox) whoever takes over this server has all rights of its user");
    else if (!s->sandbox.has_seccomp || !s->sandbox.landlock_abi)
        say("warning: there is no %s here, so the sandbox is %s; /hearth/status says what is active",
            s->sandbox.has_seccomp ? "Landlock" : s->sandbox.landlock_abi ? "seccomp" : "seccomp and no Landlock",
            s->sandbox.has_seccomp || s->sandbox.landlock_abi ? "only half of it" : "off");
    return true;
}

static bool start(struct service *s, hearth_error *err)
{
    const struct opt_value *v = s->args->value;
    for (int i = 0; i < s->n_models; i++) {
        const struct serving *m = &s->models[i];
        if (!check_preset(m, err))
            return false;
        s->served[i] = (struct server_model){ m->model, m->model_id, m->file_id,
                                              m->preset_name[0] ? &m->preset : NULL,
                                              { .ctx = of_model(s, m, CTX, PRESET_CTX)->i > 0,
                                                .threads = v[THREADS].i > 0 || v[THREADS_PREFILL].i > 0,
                                                .kv_type = of_model(s, m, KV_TYPE, PRESET_KV_TYPE)->origin != OPT_UNSET,
                                                .n_seqs = v[PARALLEL].origin != OPT_UNSET } };
    }
    struct server_options o = {
        .engine = s->engine,
        .models = s->served,
        .n_models = s->n_models,
        .host = host_of(s),
        .port = s->manager.n_sockets ? s->port : number(s, PORT, 8080),
        .n_parallel = number(s, PARALLEL, 4),
        .n_queue = number(s, QUEUE, 64),
        .n_queue_tokens = (uint64_t)number(s, QUEUE_TOKENS, 0),
        .ping_ms = number(s, PING, 15000),
        .strict = v[STRICT].on,
        .body_max_bytes = (size_t)number(s, MAX_BODY, 32) << 20,
        .memory_bytes = (size_t)number(s, MEMORY, 256) << 20,
        .n_connections = number(s, CONNECTIONS, 2000),
        .n_per_address = number(s, PER_ADDRESS, 256),
        .head_ms = number(s, HEAD, 10000),
        .request_ms = number(s, REQUEST, 0),
        .settings_name = s->args->settings && s->args->settings->path[0] ? s->args->settings->path : NULL,
        .stall_ms = number(s, STALL, 30000),
        .sockets = s->manager.sockets,
        .n_sockets = s->manager.n_sockets,
        .sandbox = &s->sandbox,
        .sandboxed = !v[NO_SANDBOX].on,
        .keys = s->keys,
        .keys_name = v[KEYS].text,
        .allow_hosts = v[ALLOW_HOST].list,
        .n_allow_hosts = v[ALLOW_HOST].n_list,
        .allow_origins = v[ALLOW_ORIGIN].list,
        .n_allow_origins = v[ALLOW_ORIGIN].n_list,
        .trusted_proxies = v[PROXY].list,
        .n_trusted_proxies = v[PROXY].n_list,
        .tls_cert = s->tls_cert,
        .tls_key = s->tls_key,
        .log = s->log,
        .recorder = s->recorder,
    };
    s->server = server_start(&o, err);
    return s->server != NULL;
}

static bool describe(const struct service *s, hearth_error *err)
{
    struct buf screen = { 0 };
    server_describe(s->server, &screen);
    bool ok = !screen.failed;
    if (ok)
        fwrite(screen.ptr, 1, screen.len, stdout);
    buf_free(&screen);
    fflush(stdout);
    return ok ? true : fail_memory(err, "the start screen");
}

/* ---- the log, and what is asked for by signals ---- */

static struct log *service_log; /* NULL: sentences go to standard error as they are */

static void say_to_log(const char *sentence) { log_say(service_log, LOG_LEVEL_WARN, "note", "%s", sentence); }

/* Where lines are to be JSON, all are. */
static bool open_log(struct service *s, hearth_error *err)
{
    const struct opt_value *format = &s->args->value[LOG_FORMAT], *level = &s->args->value[LOG_LEVEL];
    enum log_form form = format->origin != OPT_UNSET && format->i == 1 ? LOG_FORM_JSON : LOG_FORM_TEXT;
    enum log_level least = level->origin == OPT_UNSET ? LOG_LEVEL_INFO : (enum log_level)(level->i + LOG_LEVEL_ERROR);
    s->log = log_open(STDERR, form, least, err);
    service_log = form == LOG_FORM_JSON ? s->log : NULL;
    if (service_log)
        say_through(say_to_log);
    return s->log != NULL;
}

static void say_life(const struct service *s, const char *event)
{
    struct log_line line;
    if (!log_begin(&line, s->log, LOG_LEVEL_INFO, event))
        return;
    log_text(&line, "version", hearth_version());
    log_whole(&line, "models", s->n_models);
    log_end(&line);
}

static void close_log(struct service *s)
{
    say_life(s, "end");
    say_through(NULL);
    log_close(s->log);
}

/* Plain keys stand in it. */
static void forget_keys(struct service *s)
{
    for (volatile char *at = s->keys; at && *at; at++)
        *at = 0;
    mem_free(s->keys);
    s->keys = NULL;
}

static void read_keys_again(struct service *s)
{
    const char *path = s->args->value[KEYS].text;
    hearth_error err = { 0 };
    size_t n = 0;
    if (!path)
        log_say(s->log, LOG_LEVEL_NOTICE, "keys", "there is no key file to read again (--api-key-file)");
    else if (file_read(path, KEY_FILE_MAX_BYTES, &s->keys, &n, &err))
        server_read_keys(s->server, s->keys, path, &err);
    else
        log_say(s->log, LOG_LEVEL_ERROR, "keys", "the keys stay as they were: %s", err.message);
    forget_keys(s);
}

static void answer_signals(struct service *s)
{
    if (interrupt_reload())
        read_keys_again(s);
    if (interrupt_dump())
        server_dump(s->server);
}

/* ---- until the end ---- */

/* Signs of life, as often as the service manager wants them; none while the engine does not get on. */
static void feed_watchdog(struct service *s)
{
    bool lives = server_lives(s->server);
    int64_t now = clock_ns();
    if (lives != s->lived)
        service_say(&s->manager, lives ? "STATUS=serving" : "STATUS=the engine does not get on");
    s->lived = lives;
    if (!lives || !s->manager.watchdog_ns || now - s->fed_ns < s->manager.watchdog_ns / 4)
        return;
    service_say(&s->manager, "WATCHDOG=1");
    s->fed_ns = now;
}

/* How long to sleep at most, so that nobody waits for a sign of life; below 0: as long as it likes. */
static int feed_ms(const struct service *s)
{
    enum { LEAST_MS = 10, MOST_MS = 1000 };
    if (s->manager.notify_fd < 0)
        return -1;
    int64_t ms = s->manager.watchdog_ns ? s->manager.watchdog_ns / 4000000 : MOST_MS;
    return ms < LEAST_MS ? LEAST_MS : ms > MOST_MS ? MOST_MS : (int)ms;
}

/* Whoever sends requests by what /ready says has time to hear of it, until somebody insists. */
static void linger(struct service *s)
{
    enum { LOOK_MS = 20 };
    int64_t start = clock_ns();
    int linger_ms = number(s, LINGER, 0);
    server_leave(s->server);
    interrupt_clear();
    while (clock_ms_since(start) < linger_ms && interrupt_count() < 2) {
        interrupt_wait_ms(LOOK_MS);
        answer_signals(s);
        feed_watchdog(s);
    }
}

/* What runs has until the drain time is over, or until somebody insists; then as good as nothing: a second, in which
 * its clients are told. Returns the exit code. */
static int drain(struct service *s)
{
    enum { LOOK_MS = 20, LEAST_MS = 60, TELL_MS = 750 };
    int64_t start = clock_ns();
    int drain_ms = number(s, DRAIN, 25000);
    server_drain(s->server);
    int active = server_n_active(s->server);
    service_say(&s->manager, "STOPPING=1\nSTATUS=ending: %d requests go on", active);
    if (active > 0)
        say("ending: %d requests go on for at most %d s; once more ends them now", active, drain_ms / 1000);
    bool goes_on = true;
    while (goes_on && clock_ms_since(start) < drain_ms && interrupt_count() < 2) {
        interrupt_wait_ms(LOOK_MS);
        answer_signals(s);
        feed_watchdog(s);
        goes_on = server_n_active(s->server) > 0 || (s->manager.n_sockets && clock_ms_since(start) < LEAST_MS);
    }
    int code = server_n_active(s->server) > 0 ? EXIT_CUT : EXIT_DONE;
    /* Caches are written in what is left of it, unless somebody insists. */
    double left_ms = interrupt_count() < 2 ? drain_ms - clock_ms_since(start) : 0;
    interrupt_end_within(TELL_MS + (left_ms > 0 ? (int)left_ms : 0), code);
    return code;
}

static int serve(struct service *s)
{
    s->lived = true;
    service_say(&s->manager, "READY=1\nSTATUS=serving");
    while (!interrupt_pending()) {
        interrupt_wait_ms(feed_ms(s));
        answer_signals(s);
        feed_watchdog(s);
    }
    linger(s);
    return drain(s);
}

/* Only this machine can reach what it listens on, or there are keys, or somebody said that there need be none. */
static int check_reach(struct service *s, hearth_error *err)
{
    const struct opt_value *v = s->args->value;
    int n = s->manager.n_sockets;
    if (n && (v[HOST].origin == OPT_FROM_LINE || v[PORT].origin == OPT_FROM_LINE))
        say("--host and --port have no effect: the service manager passed %d socket%s", n, n == 1 ? "" : "s");
    for (int i = max_int(n, 1) - 1; i >= 0; i--) { /* the first is the one that is shown */
        bool local = true;
        if (n)
            port_describe(s->manager.sockets[i], s->host, &s->port);
        if (!server_host_is_local(host_of(s), &local, err))
            return usage_error(&cmd_serve, "%s", err->message);
        if (!local && !v[KEYS].text && !v[OPEN].on)
            return usage_error(&cmd_serve, "on --host %.80s others can reach the server, and there are no keys; give "
                               "--api-key-file, or --insecure-no-auth if that is meant", host_of(s));
    }
    return EXIT_DONE;
}

/* Who can reach it needs a key, and what comes over wires others cannot read it. */
static int check_safety(struct service *s, hearth_error *err)
{
    enum { TLS_FILE_MAX_BYTES = 1 << 20 };
    const struct opt_value *v = s->args->value;
    size_t n = 0;
    int code = check_reach(s, err);
    if (code != EXIT_DONE)
        return code;
    if (v[HOST].text && strncmp(v[HOST].text, "unix:", 5) == 0 && v[PORT].origin == OPT_FROM_LINE && v[PORT].i > 0)
        return usage_error(&cmd_serve, "--port %d means nothing to --host %.120s, a Unix socket; leave it out",
                           (int)v[PORT].i, v[HOST].text);
    if (!v[TLS_CERT].text != !v[TLS_KEY].text)
        return usage_error(&cmd_serve, "--tls-cert and --tls-key belong together; give both, or neither");
    if (v[KEYS].text && !file_read(v[KEYS].text, KEY_FILE_MAX_BYTES, &s->keys, &n, err))
        return report(err);
    if (v[TLS_CERT].text && (!file_read(v[TLS_CERT].text, TLS_FILE_MAX_BYTES, &s->tls_cert, &n, err)
                             || !file_read(v[TLS_KEY].text, TLS_FILE_MAX_BYTES, &s->tls_key, &n, err)))
        return report(err);
    return EXIT_DONE;
}

static int run_service(struct service *s, hearth_error *err)
{
    const struct opt_value *v = s->args->value;
    mem_hold_little();
    process_leaves_no_core();
    if (!service_read(&s->manager, err) || (v[OFFLINE].on && !sandbox_offline(err)))
        return report(err);
    s->sandbox.offline = v[OFFLINE].on;
    int code = choose_models(s);
    if (code != EXIT_DONE)
        return code;
    for (int i = 0; i < s->n_models; i++)
        if (!read_preset(s, &s->models[i], err))
            return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_serve, "%s", err->message) : report(err);
    if (!price_choose_equivalent(&s->equivalent, s->args->settings, &v[EQUIVALENT], err))
        return usage_error(&cmd_serve, "%s", err->message);
    code = check_safety(s, err);
    if (code != EXIT_DONE)
        return code;
    if (!open_log(s, err) || !interrupt_init(err))
        return report(err);
    interrupt_listen();
    for (int i = 0; i < s->n_models; i++)
        if (service_log)
            say("model: %s", s->models[i].choice.text);
        else
            model_say(&s->models[i].choice);
    interrupt_hold_service();
    code = open_models(s, err);
    if (code != EXIT_DONE)
        return code;
    s->recorder = record_begin(record_mode_of(&v[RECORD], RECORD_RECEIPTS), &v[RECORD_DIR], &v[RECORD_DAYS],
                               &v[RECORD_DISK]);
    if (!plan_sandbox(s, err) || !start(s, err) || !describe(s, err))
        return report(err);
    forget_keys(s);
    say_life(s, "start");
    return serve(s);
}

static int run(const struct args *a)
{
    struct service s = { .args = a };
    hearth_error err = { 0 };
    int code = run_service(&s, &err);
    server_stop(s.server);
    recorder_close(s.recorder); /* it may have streams of the models */
    for (int i = 0; i < s.n_models; i++)
        hearth_model_release(s.models[i].model);
    hearth_engine_destroy(s.engine);
    for (int i = 0; i < s.n_models; i++)
        template_choice_free(&s.models[i].template);
    forget_keys(&s);
    mem_free(s.tls_cert);
    mem_free(s.tls_key);
    close_log(&s);
    return code;
}

const struct command cmd_serve = {
    .name = "serve",
    .positionals = "[MODEL ...]",
    .max_words = MODELS_MAX,
    .summary = "serve models over HTTP, as OpenAI's clients want it",
    .about = "The start screen says where it listens, and gives a line for curl and lines of Python. docs/api.md has "
        "the\n"
             "endpoints and their fields, docs/operating.md the limits. Every answer has a receipt: what was ignored,\n"
             "what was cut, what it cost. --ctx is the window of each request; it is not divided among --parallel.\n"
             "\n"
             "Up to 16 models are served by one process; requests say which they mean: its alias, or its file's\n"
             "name. One memory budget is divided among them before any is loaded: each has what it needs at\n"
             "least, and an even part of the rest. --ctx, --parallel and --kv-type hold for each of them.\n"
             "Where they do not fit together with their weights they take turns: a model sleeps until a request\n"
             "wants it, and again when another needs the room; a line in the log says so each time (hearth ps,\n"
             "hearth stop; docs/operating.md).\n"
             "\n"
             "Keys come from a file that hearth key add makes and SIGHUP reads again. The log, a line for each\n"
             "request and never its text, is on standard error; SIGUSR1 puts the state of the engine there.\n"
             "\n"
             "SIGTERM and Ctrl-C end it: no new requests, /ready answers 503, what runs may go on for --drain-ms.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
