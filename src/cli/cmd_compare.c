/* cmd_compare.c: the same prompts to the model here and to a server elsewhere, in turns. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/asked_server.h"
#include "cli/compare_ask.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/key_text.h"
#include "cli/loading.h"
#include "cli/preset.h"
#include "cli/template_choice.h"
#include "record/receipt_json.h"

enum {
    MODEL, API, API_MODEL, KEY_FILE, CA_FILE, TIMEOUT, PROMPT, PROMPT_FILE, PROMPTS, RUNS, SYSTEM, TEMPLATE, KWARGS,
    THINKING, NO_THINKING, RAW, MAX, SEED, THREADS, THREADS_PREFILL, PRELOAD, LOCK, CTX, KV_TYPE, SPECULATE, JSON, CSV,
    SAMPLERS, BREAKER,
    SAMPLING, /* one for each line of sampling.def from here on */
    N_OPTS = SAMPLING + HEARTH_N_SAMPLING
};
enum { DEFAULT_MAX_TOKENS = 256, DEFAULT_TIMEOUT_S = 600, MOST_RUNS = 100 };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [API] = { .name = "api", .type = OPT_TEXT, .value = "URL",
              .help = "the server to compare with, as https://api.example.com/v1; /v1 and what follows may be left "
              "out" },
    [API_MODEL] = { .name = "api-model", .type = OPT_TEXT, .value = "NAME", .dflt = "the only one that the server has",
                    .help = "the model to ask for there, and the price to reckon with: [price.\"NAME\"] of the "
                    "settings" },
    [KEY_FILE] = OPT_KEY_FILE_ROW,
    [CA_FILE] = OPT_CA_FILE_ROW,
    [TIMEOUT] = { .name = "timeout", .type = OPT_INT, .value = "S", .least = 1, .most = 86400, .dflt = "600",
                  .help = "how long an answer of the server may take in all, in seconds" },
    [PROMPT] = { .name = "prompt", .aliases = "-p", .type = OPT_LIST, .value = "TEXT",
                 .help = "a prompt; may be given several times" },
    [PROMPT_FILE] = { .name = "file", .aliases = "-f", .type = OPT_LIST, .value = "FILE",
                      .help = "a file that is one prompt, all of it; may be given several times" },
    [PROMPTS] = { .name = "prompts", .type = OPT_LIST, .value = "FILE",
                  .help = "a file of prompts, one a line, as a word after the model is; -: standard input" },
    [RUNS] = { .name = "runs", .type = OPT_INT, .value = "N", .least = 1, .most = MOST_RUNS, .dflt = "1",
               .help = "how often each prompt is asked; figures are medians" },
    [SYSTEM] = { .name = "system", .type = OPT_TEXT, .value = "TEXT",
                 .help = "a system message before each prompt, on both sides" },
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [KWARGS] = OPT_KWARGS_ROW,
    [THINKING] = OPT_THINKING_ROW,
    [NO_THINKING] = OPT_NO_THINKING_ROW,
    [RAW] = { .name = "raw", .type = OPT_FLAG, .help = "both sides complete the prompts as they stand, without a chat "
              "template (/v1/completions); so it is, too, for a file without one" },
    [MAX] = { .name = "max-tokens", .aliases = "-n --predict --n-predict", .type = OPT_INT, .value = "MAX", .least = 1,
              .most = 1 << 30, .dflt = "256", .help = "most tokens to answer with, on both sides" },
    [SEED] = { .name = "seed", .aliases = "-s", .type = OPT_COUNT, .value = "S", .dflt = "each side's own",
               .help = "start of the random choice, on both sides" },
    [THREADS] = OPT_THREADS_ROW,
    [THREADS_PREFILL] = OPT_THREADS_PREFILL_ROW,
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
    [CTX] = OPT_CTX_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [SPECULATE] = OPT_SPECULATE_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object (docs/compare.md)" },
    [CSV] = { .name = "csv", .type = OPT_FLAG, .help = "print a row for each answer" },
    [SAMPLERS] = OPT_SAMPLERS_ROW,
    [BREAKER] = OPT_BREAKER_ROW,
#include "cli/sampling_rows.def"
};

static_assert((int)N_OPTS <= (int)OPTS_MAX, "struct args holds a value for every option");

enum { MOST_PROMPT_BYTES = 16 << 20, KEY_BYTES = 2048, LEAST_WIDTH = 60, USUAL_WIDTH = 80 };

struct job {
    struct args args; /* the line, and what the settings and the model's preset add */
    struct model_choice choice;
    struct template_choice template;
    struct sampling_choice sampling;
    int speculate;
    hearth_engine *engine;
    hearth_model *model;
    char key[KEY_BYTES];    /* "": none */
    char api_model[200];
    struct openai_server server;
    struct price price;
    json_t *given;          /* fields that both sides were given */
    json_t *fields;         /* those, and the model's name there */
    char *prompts[COMPARE_MOST_PROMPTS];
    int n_prompts;
    struct comparison result;
    struct compare_question question;
    bool terminal;
    char said[COMPARE_ERROR_BYTES]; /* of an answer that failed; "": none did */
    int n_again;                    /* that failed with the same words, one after the other */
};

/* ---- prompts ---- */

/* Takes a copy. where: "--prompt", "FILE", and its line from 1; 0: all of it. */
static bool add_prompt(struct job *job, struct str text, const char *where, int line, hearth_error *err)
{
    char at[160];
    snprintf(at, sizeof at, line > 0 ? "%.120s:%d" : "%.120s", where, line);
    if (job->n_prompts == COMPARE_MOST_PROMPTS)
        return fail(err, HEARTH_ERR_USAGE, "%s is prompt %d; at most %d are compared at once", at, job->n_prompts + 1,
                    COMPARE_MOST_PROMPTS);
    if (text.len == 0 || !utf8_valid(text) || memchr(text.ptr, 0, text.len))
        return fail(err, HEARTH_ERR_USAGE, "%s: the prompt %s; give a text in UTF-8", at,
                    text.len == 0 ? "is empty" : "is no UTF-8, or has a NUL in it");
    char *copy = mem_alloc(text.len + 1);
    if (!copy)
        return fail_memory(err, "the prompts");
    memcpy(copy, text.ptr, text.len);
    job->prompts[job->n_prompts++] = copy;
    return true;
}

static bool add_lines(struct job *job, const char *text, const char *name, hearth_error *err)
{
    for (int line = 1; *text; line++) {
        size_t n = strcspn(text, "\n"), kept = n;
        while (kept > 0 && (text[kept - 1] == '\r' || text[kept - 1] == ' '))
            kept--;
        if (kept > 0 && !add_prompt(job, (struct str){ text, kept }, name, line, err))
            return false;
        text += n + (text[n] == '\n');
    }
    return true;
}

static bool add_file(struct job *job, const char *path, bool whole, hearth_error *err)
{
    char *text = NULL;
    size_t n;
    bool input = strcmp(path, "-") == 0;
    const char *name = input ? "standard input" : path;
    bool ok = input ? file_read_fd(STDIN_FILENO, name, MOST_PROMPT_BYTES, &text, &n, err)
                    : file_read(path, MOST_PROMPT_BYTES, &text, &n, err);
    int before = job->n_prompts;
    if (ok && (whole || strlen(text) != n))
        ok = add_prompt(job, (struct str){ text, n }, name, 0, err);
    else if (ok)
        ok = add_lines(job, text, name, err)
          && (job->n_prompts > before
               || fail(err, HEARTH_ERR_USAGE, "%.120s has no prompt; put one in each line", name));
    mem_free(text);
    return ok;
}

static bool read_prompts(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args.value;
    bool ok = true;
    for (int i = 0; ok && i < v[PROMPT].n_list; i++)
        ok = add_prompt(job, str_z(v[PROMPT].list[i]), "--prompt", 0, err);
    for (int i = 0; ok && i < v[PROMPT_FILE].n_list; i++)
        ok = add_file(job, v[PROMPT_FILE].list[i], true, err);
    for (int i = 0; ok && i < v[PROMPTS].n_list; i++)
        ok = add_file(job, v[PROMPTS].list[i], false, err);
    for (int i = 1; ok && i < job->args.n_words; i++)
        ok = add_file(job, job->args.word[i], false, err);
    if (ok && job->n_prompts == 0)
        ok = fail(err, HEARTH_ERR_USAGE, "there is no prompt: give some with -p, or a file of them (--prompts FILE, or "
                  "a word after the model)");
    return ok;
}

/* ---- the server ---- */

static bool interrupted(void *arg)
{
    (void)arg;
    return interrupt_pending();
}

static bool open_server(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args.value;
    int timeout_s = v[TIMEOUT].origin == OPT_UNSET ? DEFAULT_TIMEOUT_S : (int)v[TIMEOUT].i;
    if (!openai_server_open(&job->server, v[API].text, job->key[0] ? job->key : NULL, v[CA_FILE].text,
                            timeout_s * 1000, interrupted, err))
        return false;
    if (v[API_MODEL].text)
        return snprintf(job->api_model, sizeof job->api_model, "%s", v[API_MODEL].text) < (int)sizeof job->api_model
            || fail(err, HEARTH_ERR_USAGE, "--api-model has more than %zu bytes", sizeof job->api_model - 1);
    return openai_only_model(&job->server, job->api_model, sizeof job->api_model, err);
}

/* ---- what both are given ---- */

/* By the line, the environment or the settings: a preset is for the model here alone. */
static bool is_for_both(const struct opt_value *v)
{
    return v->origin != OPT_UNSET && v->origin != OPT_FROM_PRESET;
}

static json_t *list_of(const char *const *texts, size_t n)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(list, json_of_text(texts[i])) == 0;
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *stages_of(const hearth_sampling_order *order)
{
    const char *names[HEARTH_N_STAGES];
    for (int i = 0; i < order->n; i++)
        names[i] = hearth_sampling_stages()[order->stage[i]];
    return list_of(names, (size_t)order->n);
}

static bool fill_given(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args.value;
    const struct sampling_choice *s = &job->sampling;
    json_t *o = job->given = json_object();
    bool ok = json_object_set_new(o, "max_tokens", json_integer(v[MAX].origin == OPT_UNSET ? DEFAULT_MAX_TOKENS
                                                                                          : v[MAX].i)) == 0;
    if (v[SEED].origin != OPT_UNSET)
        ok &= json_object_set_new(o, "seed", json_integer(v[SEED].i)) == 0;
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const struct opt_value *x = &v[SAMPLING + i];
        bool whole = strcmp(hearth_sampling_table[i].type, "int") == 0;
        if (is_for_both(x))
            ok &= json_object_set_new(o, hearth_sampling_table[i].name,
                                      whole ? json_integer(x->i) : json_of_float((float)x->f)) == 0;
    }
    if (s->has_order && is_for_both(&v[SAMPLERS]))
        ok &= json_object_set_new(o, "samplers", stages_of(&s->order)) == 0;
    if (s->has_breakers && is_for_both(&v[BREAKER]))
        ok &= json_object_set_new(o, "dry_sequence_breakers", list_of(s->breakers, s->n_breakers)) == 0;
    job->fields = ok ? json_copy(o) : NULL;
    ok = job->fields && json_object_set_new(job->fields, "model", json_of_text(job->api_model)) == 0;
    return ok || fail_memory(err, "the request");
}

static void fill_question(struct job *job)
{
    const struct opt_value *v = job->args.value;
    struct compare_question *q = &job->question;
    *q = (struct compare_question){
        .chat = job->result.chat,
        .system = v[SYSTEM].text,
        .thinking = job->template.thinking,
        .template_kwargs = job->template.kwargs,
        .fields = job->fields,
        .price = job->result.price,
        .request = {
            .max_tokens = v[MAX].origin == OPT_UNSET ? DEFAULT_MAX_TOKENS : (int)v[MAX].i,
            .has_seed = v[SEED].origin != OPT_UNSET,
            .seed = (uint64_t)v[SEED].i,
            .no_prefix_cache = true, /* a prompt that comes again costs what it did */
            .speculate = job->speculate,
        },
    };
    sampling_choice_fill(&q->request, &job->sampling);
    sampling_fill(&q->request.sampling, q->request.sampling_origin, job->model, &v[SAMPLING]);
}

/* ---- asking ---- */

static void show(const struct job *job, int prompt, int run, int side)
{
    if (job->terminal)
        fprintf(stderr, "\rprompt %d of %d, run %d of %d: %s   \x1b[K", prompt + 1, job->n_prompts, run + 1,
                job->result.n_runs, compare_side_name[side]);
}

/* A server that is not there is not there for every prompt: that is said once. */
static void say_failure(struct job *job, int prompt, int side)
{
    const char *error = job->result.prompt[prompt].side[side].error;
    if (strcmp(error, job->said) == 0) {
        job->n_again++;
        return;
    }
    say("prompt %d, %s: %s", prompt + 1, compare_side_name[side], error);
    snprintf(job->said, sizeof job->said, "%s", error);
}

static bool ask(struct job *job, int prompt, int run, int side, bool first, hearth_error *err)
{
    struct compare_prompt *p = &job->result.prompt[prompt];
    struct compare_answers *a = &p->side[side];
    struct compare_run *r = &a->run[run];
    int n_failed = a->n_failed;
    r->was_first = first;
    show(job, prompt, run, side);
    bool ok = side == COMPARE_LOCAL ? compare_ask_local(&job->question, job->model, p->text, a, r, err)
                                    : compare_ask_api(&job->question, &job->server, p->text, a, r, err);
    if (job->terminal)
        fputs("\r\x1b[K", stderr);
    if (a->model[0])
        memcpy(job->result.api_said, a->model, sizeof a->model);
    if (ok && a->n_failed > n_failed)
        say_failure(job, prompt, side);
    return ok;
}

/* Each side begins with every other question, so that neither always finds a machine that the other has warmed. */
static bool ask_all(struct job *job, hearth_error *err)
{
    for (int run = 0; run < job->result.n_runs; run++) {
        for (int i = 0; i < job->n_prompts; i++) {
            int first = (run * job->n_prompts + i) % 2 == 0 ? COMPARE_LOCAL : COMPARE_API;
            if (!ask(job, i, run, first, true, err) || !ask(job, i, run, !first, false, err))
                return false;
        }
    }
    return true;
}

/* ---- all of it ---- */

static bool open_model(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args.value;
    hearth_engine_options engine = { .n_threads = (int)v[THREADS].i, .n_threads_prefill = (int)v[THREADS_PREFILL].i,
                                     .n_seqs = 1 };
    hearth_model_options model = { .source = job->choice.source, .n_ctx_tokens = (int)v[CTX].i,
                                   .kv_type = (hearth_kv_type)v[KV_TYPE].i, .preload = v[PRELOAD].on,
                                   .lock = v[LOCK].on };
    job->engine = hearth_engine_create(&engine, err);
    job->model = loading_model(job->engine, &model, err);
    return job->model != NULL;
}

/* Options of conversations are refused where there is none. */
static bool choose_form(struct job *job)
{
    static const int of_templates[] = { SYSTEM, TEMPLATE, KWARGS, THINKING, NO_THINKING };
    const struct opt_value *v = job->args.value;
    hearth_template_info info;
    bool has = hearth_file_template(hearth_model_file(job->model), &info);
    job->result.chat = has && !v[RAW].on;
    for (size_t i = 0; !job->result.chat && i < ARRAY_LEN(of_templates); i++) {
        if (v[of_templates[i]].origin != OPT_FROM_LINE)
            continue;
        usage_error(&cmd_compare, "--%s is for conversations, and these prompts go without a chat template%s",
                    options[of_templates[i]].name, v[RAW].on ? " (--raw)" : ": the file has none (--chat-template)");
        return false;
    }
    if (!has && !v[RAW].on)
        fputs("this file has no chat template: both sides complete the prompts as they stand, as with --raw\n", stderr);
    return true;
}

static int columns(void)
{
    struct winsize w = { 0 };
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return USUAL_WIDTH;
    return max_int(w.ws_col, LEAST_WIDTH);
}

static int print_all(struct job *job, bool whole, hearth_error *err)
{
    const struct opt_value *v = job->args.value;
    int n_failed = 0;
    for (int i = 0; i < job->n_prompts; i++)
        for (int side = 0; side < COMPARE_N_SIDES; side++)
            n_failed += job->result.prompt[i].side[side].n_failed;
    if (job->n_again > 0)
        say("%d more answer%s failed with words that were said before", job->n_again, job->n_again == 1 ? "" : "s");
    if (v[JSON].on && !compare_print_json(&job->result, err))
        return report(err);
    if (v[CSV].on)
        compare_print_csv(&job->result);
    else if (!v[JSON].on)
        compare_print_text(&job->result, columns());
    if (!whole)
        say("interrupted; what came until then is printed");
    return !whole ? EXIT_INTERRUPTED : n_failed > 0 ? EXIT_FAILED : EXIT_DONE;
}

static int compare(struct job *job, hearth_error *err)
{
    struct comparison *c = &job->result;
    hearth_plan plan;
    if (!open_model(job, err))
        return model_report(&job->choice, err);
    if (!choose_form(job))
        return EXIT_USAGE;
    hearth_model_plan(job->model, &plan);
    plan_say(&plan);
    if (!fill_given(job, err))
        return report(err);
    if (price_find(&job->price, job->args.settings, job->api_model))
        c->price = &job->price;
    for (int i = 0; i < job->n_prompts; i++) {
        c->prompt[i].text = job->prompts[i];
        job->prompts[i] = NULL;
    }
    c->local_model = job->choice.text;
    c->identity = hearth_model_identity(job->model);
    c->isa = hearth_isa(NULL);
    c->n_threads = plan.n_threads;
    c->place = job->server.place.name;
    c->api_model = job->api_model;
    c->given = job->given;
    fill_question(job);
    bool whole = ask_all(job, err);
    if (!whole && err->status != HEARTH_ERR_CANCELLED)
        return report(err);
    return print_all(job, whole, err);
}

static int run_job(struct job *job, hearth_error *err)
{
    struct args *a = &job->args;
    if (!model_choose(&job->choice, &cmd_compare, a->word[0], &a->value[MODEL]))
        return EXIT_USAGE;
    if (!preset_apply(a, &cmd_compare, &job->choice, err))
        return report(err);
    const struct opt_value *v = a->value;
    if (!v[API].text)
        return usage_error(&cmd_compare, "--api is needed: the address of the server to compare with");
    if (v[JSON].on && v[CSV].on)
        return usage_error(&cmd_compare, "--json and --csv exclude each other");
    if (!sampling_choose(&job->sampling, &v[SAMPLERS], &v[BREAKER], err)
        || !speculate_choose(&job->speculate, &v[SPECULATE], err)
        || !template_choose(&job->template, &job->choice.source, false, &v[TEMPLATE], &v[KWARGS], &v[THINKING],
                            &v[NO_THINKING], err)
        || !read_prompts(job, err)
        || !key_text_read(job->key, sizeof job->key, "--key-file", v[KEY_FILE].text, err))
        return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_compare, "%s", err->message) : report(err);
    int n_runs = v[RUNS].origin == OPT_UNSET ? 1 : (int)v[RUNS].i;
    if (job->n_prompts * n_runs > COMPARE_MOST_ANSWERS)
        return usage_error(&cmd_compare, "%d prompts %d times are %d answers of each side; at most %d are compared at "
                           "once", job->n_prompts, n_runs, job->n_prompts * n_runs, COMPARE_MOST_ANSWERS);
    if (!interrupt_init(err))
        return report(err);
    interrupt_hold();
    if (!comparison_make(&job->result, job->n_prompts, n_runs, err) || !open_server(job, err))
        return err->status == HEARTH_ERR_IO || err->status == HEARTH_ERR_FORMAT ? (report(err), EXIT_FAILED)
                                                                                : report(err);
    model_say(&job->choice);
    return compare(job, err);
}

static int run(const struct args *line)
{
    hearth_error err = { 0 };
    struct job *job = mem_alloc(sizeof *job);
    if (!job) {
        fail_memory(&err, "the prompts");
        return report(&err);
    }
    job->args = *line;
    job->terminal = isatty(STDERR_FILENO);
    int code = run_job(job, &err);
    openai_server_close(&job->server);
    hearth_model_release(job->model);
    hearth_engine_destroy(job->engine);
    template_choice_free(&job->template);
    for (int i = 0; i < job->n_prompts; i++)
        mem_free(job->prompts[i]);
    comparison_free(&job->result);
    json_decref(job->given);
    json_decref(job->fields);
    memset(job->key, 0, sizeof job->key);
    mem_free(job);
    return code;
}

const struct command cmd_compare = {
    .name = "compare",
    .positionals = "[MODEL] [PROMPTS]...",
    .max_words = WORDS_MAX,
    .summary = "the same prompts to a model here and to an API elsewhere",
    .about = "Asks both sides each prompt, one at a time and in turns, and shows when the first token came, how fast\n"
             "the others did, tokens, memory, price, and where the two answers part. One word alone is the MODEL;\n"
             "PROMPTS are files with a prompt in each line, so a file of them without a model goes with --prompts.\n"
             "The server speaks OpenAI's API (/v1/chat/completions as a stream; /v1/completions with --raw and for a\n"
             "file without a chat template).\n"
             "\n"
             "Sampling options, the seed and -n are for both sides; those that are not given are left to each side's\n"
             "defaults, so --temp 0, or a --seed, is what makes answers comparable. What is thought, a template and a\n"
             "preset of the settings are the business of the model here. It computes every prompt from its beginning,\n"
             "also one that comes again (--runs); a server may not.\n"
             "\n"
             "Times are those of whoever waits: from asking to the first piece of text (waiting), from there to the\n"
             "last (writing). A question that has to connect first waits for that, too. Prices are those of the\n"
             "settings ([price.\"NAME\"], docs/settings.md); here a request costs nothing but energy, which is shown\n"
             "where the machine counts it and lets it be read. Proxies of the environment are used (hearth env), but\n"
             "not for this machine. An answer that failed is said, and the others still asked for. Exit code 0: all\n"
             "answered; 1: some did not.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
