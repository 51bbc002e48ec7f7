/* cmd_dev_fieldtest.c: a model here against the same file in a running llama-server. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/asked_server.h"
#include "cli/fieldtest.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/loading.h"
#include "cli/template_choice.h"

enum { MODEL, PEER, KEY_FILE, CA_FILE, TIMEOUT, TOKENS, TOP, TEMPLATE, THREADS, CTX, JSON, N_OPTS };
enum { DEFAULT_TIMEOUT_S = 600, DEFAULT_TOKENS = 32, DEFAULT_TOP = 10, DEFAULT_CTX = 4096 };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [PEER] = { .name = "peer", .type = OPT_TEXT, .value = "URL",
               .help = "where the llama-server listens, as http://127.0.0.1:8080; needed" },
    [KEY_FILE] = OPT_KEY_FILE_ROW,
    [CA_FILE] = OPT_CA_FILE_ROW,
    [TIMEOUT] = { .name = "timeout", .type = OPT_INT, .value = "S", .least = 1, .most = 86400, .dflt = "600",
                  .help = "how long an answer of the server may take, in seconds" },
    [TOKENS] = { .name = "greedy", .aliases = "-n", .type = OPT_INT, .value = "N", .least = 1,
                 .most = FIELDTEST_MOST_TOKENS, .dflt = "32", .help = "tokens of each greedy continuation" },
    [TOP] = { .name = "likeliest", .type = OPT_INT, .value = "K", .least = 2, .most = FIELDTEST_MOST_TOP, .dflt = "10",
              .help = "likeliest tokens of each place whose log-probabilities are compared" },
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [CTX] = { .name = "ctx", .aliases = "-c --ctx-size", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 30,
              .dflt = "4096, or what the model was trained with if that is less",
              .help = "the context here; prompts that do not fit into this one and the server's are cut" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print the report as one JSON object, to be kept in "
               "docs/fieldtests" },
};

static int64_t number(const struct opt_value *v, int64_t otherwise)
{
    return v->origin == OPT_UNSET ? otherwise : v->i;
}

/* ---- who the peer is ---- */

static bool is_other(hearth_error *err, const char *what, int64_t there, int64_t here)
{
    return fail(err, HEARTH_ERR_USAGE, "the peer serves another model: %s %lld there, and %lld in the file here; start "
                "it with the same file", what, (long long)there, (long long)here);
}

/* By what it says of its model; of what it does not say nothing is known. */
static bool check_same(const struct fieldtest *t, hearth_error *err)
{
    const struct fieldtest_facts *f = &t->facts;
    const hearth_file_info *i = &t->info;
    if (f->n_vocab >= 0 && f->n_vocab != i->n_vocab)
        return is_other(err, "tokens in its vocabulary are", f->n_vocab, i->n_vocab);
    if (f->n_embd >= 0 && f->n_embd != i->n_embd)
        return is_other(err, "values of its embedding are", f->n_embd, i->n_embd);
    if (f->n_params >= 0 && (uint64_t)f->n_params != i->n_parameters)
        return is_other(err, "its parameters are", f->n_params, (int64_t)i->n_parameters);
    if (f->n_bytes >= 0 && (uint64_t)f->n_bytes != i->weight_bytes && (uint64_t)f->n_bytes != i->file_bytes)
        return is_other(err, "bytes of its weights are", f->n_bytes, (int64_t)i->weight_bytes);
    return true;
}

static bool ask_who(struct fieldtest *t, hearth_error *err)
{
    struct json_body answer;
    int status;
    bool ok = fieldtest_get(&t->peer, "/props", &answer, &status, err);
    ok = ok && (fieldtest_read_props(answer.json, t->info.template_text, &t->facts, err)
                || err_context(err, "%.100s", t->peer.place.name));
    json_body_free(&answer);
    if (!ok)
        return false;
    t->facts.n_vocab = t->facts.n_embd = t->facts.n_params = t->facts.n_bytes = -1;
    ok = fieldtest_get(&t->peer, "/v1/models", &answer, &status, err);
    bool missing = !ok && (status == 404 || status == 501);
    ok = ok && (fieldtest_read_models(answer.json, &t->facts, err) || err_context(err, "%.100s", t->peer.place.name));
    json_body_free(&answer);
    if (missing) {
        say("%s; it is not known whether that is the same model", err->message);
        err_clear(err);
    }
    return (ok || missing) && check_same(t, err);
}

/* ---- all of it ---- */

static bool open_model(struct fieldtest *t, const struct args *a, const hearth_source *source, hearth_error *err)
{
    const struct opt_value *v = a->value;
    int n_ctx = (int)number(&v[CTX], 0);
    hearth_file *file = n_ctx == 0 ? hearth_file_open(source, err) : NULL;
    if (n_ctx == 0 && !file)
        return false;
    if (file) {
        hearth_file_describe(file, &t->info);
        n_ctx = t->info.n_ctx_train > 0 ? min_int(t->info.n_ctx_train, DEFAULT_CTX) : DEFAULT_CTX;
        hearth_file_close(file);
    }
    hearth_engine_options engine = { .n_threads = (int)v[THREADS].i, .n_seqs = 1 };
    hearth_model_options model = { .source = *source, .n_ctx_tokens = n_ctx };
    hearth_plan plan;
    t->engine = hearth_engine_create(&engine, err);
    t->model = loading_model(t->engine, &model, err);
    if (!t->model)
        return false;
    t->file = hearth_model_file(t->model);
    hearth_file_describe(t->file, &t->info);
    hearth_model_plan(t->model, &plan);
    t->n_ctx_tokens = plan.n_ctx_tokens;
    hearth_template_info template;
    t->template_from = hearth_file_template(t->file, &template) ? template.from : "";
    return true;
}

/* Whose vectors are wanted writes no text, or was not trained to. */
static void choose_kinds(struct fieldtest *t)
{
    const char *pooling = t->info.pooling;
    bool vectors = pooling[0] && strcmp(pooling, "none") != 0;
    if (vectors)
        t->kind[FIELDTEST_LOGPROBS].nothing = "the model is for vectors, not for text";
    else
        t->kind[FIELDTEST_VECTORS].nothing = "the model is for text, not for vectors";
    if (strcmp(pooling, "rank") == 0)
        t->kind[FIELDTEST_VECTORS].nothing = "a reranker's scores are not compared";
    if (vectors)
        t->kind[FIELDTEST_TEMPLATES].nothing = "the model is for vectors, not for conversations";
}

static void name_file(struct fieldtest *t, const hearth_source *s)
{
    const char *slash = s->path ? strrchr(s->path, '/') : NULL;
    snprintf(t->file_name, sizeof t->file_name, "%s", slash ? slash + 1 : s->path ? s->path : s->name);
}

static int compare(struct fieldtest *t, const struct args *a, const struct model_choice *choice, hearth_error *err)
{
    const struct opt_value *v = a->value;
    interrupt_hold();
    if (!open_model(t, a, &choice->source, err))
        return model_report(choice, err);
    name_file(t, &choice->source);
    t->n_top = (int)number(&v[TOP], DEFAULT_TOP);
    t->n_tokens = min_int((int)number(&v[TOKENS], DEFAULT_TOKENS), max_int(t->n_ctx_tokens / 2, 1));
    t->limits = fieldtest_limits_for(t->info.types);
    choose_kinds(t);
    if (!ask_who(t, err))
        return report(err);
    if (t->facts.n_ctx > 0)
        t->n_ctx_tokens = min_int(t->n_ctx_tokens, t->facts.n_ctx);
    if (!fieldtest_tokens(t, err) || (!t->kind[FIELDTEST_TEMPLATES].nothing && !fieldtest_templates(t, err))
        || !fieldtest_logprobs(t, err) || !fieldtest_vectors(t, err))
        return report(err);
    if (t->out_of_memory) {
        fail_memory(err, "the report");
        return report(err);
    }
    if (!v[JSON].on)
        fieldtest_print(t);
    else if (!json_print(fieldtest_json(t), JSON_INDENT(2) | JSON_REAL_PRECISION(6), "the JSON of the report", err))
        return report(err);
    return fieldtest_verdict(t) == FIELDTEST_PASSED ? EXIT_DONE : EXIT_FAILED;
}

static int run_with(struct fieldtest *t, const struct args *a, struct template_choice *template, hearth_error *err)
{
    const struct opt_value *v = a->value;
    static const struct opt_value unset;
    struct model_choice choice;
    if (!model_choose(&choice, &cmd_dev_fieldtest, a->word[0], &v[MODEL]))
        return EXIT_USAGE;
    if (!v[PEER].text)
        return usage_error(&cmd_dev_fieldtest, "--peer is needed: the address of a llama-server with the same file");
    if (!template_choose(template, &choice.source, false, &v[TEMPLATE], &unset, &unset, &unset, err)
        || !fieldtest_peer_open(&t->peer, v[PEER].text, v[KEY_FILE].text, v[CA_FILE].text,
                                (int)number(&v[TIMEOUT], DEFAULT_TIMEOUT_S), err))
        return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_dev_fieldtest, "%s", err->message) : report(err);
    if (!interrupt_init(err))
        return report(err);
    if (!choice.from_line)
        model_say(&choice);
    return compare(t, a, &choice, err);
}

static int run(const struct args *a)
{
    hearth_error err = { 0 };
    struct template_choice template = { 0 };
    struct fieldtest *t = mem_alloc(sizeof *t);
    if (!t) {
        fail_memory(&err, "the test");
        return report(&err);
    }
    arena_init(&t->arena, (size_t)1 << 20);
    t->terminal = isatty(STDERR_FILENO);
    int code = run_with(t, a, &template, &err);
    fieldtest_peer_close(&t->peer);
    hearth_model_release(t->model);
    hearth_engine_destroy(t->engine);
    template_choice_free(&template);
    mem_free(t->here.places);
    mem_free(t->there.places);
    mem_free(t->deltas.all);
    arena_free(&t->arena);
    mem_free(t);
    return code;
}

const struct command cmd_dev_fieldtest = {
    .name = "dev fieldtest",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "a model here against the same file in a running llama-server",
    .about =
        "For a machine with network and a llama-server (llama.cpp) that was started with the same file, and nothing\n"
        "that changes what it computes. 50 prompts of hearth's own (prose, languages, code, figures, white space,\n"
        "emoji, a long one) go to both sides:\n"
        "\n"
        "tokens: every text becomes the same ids, as it stands and with what the file puts before it.\n"
        "templates: conversations made of them (a system's message, several turns, tools, thinking, as far as the\n"
        "template can) are rendered to the same text, and to the same ids.\n"
        "log-probabilities: both continue the same ids greedily. As far as they take the same tokens, and one\n"
        "further, the likeliest tokens of each place are compared. Two sides round differently, quantized\n"
        "weights most of all, so there are limits: of a file with quantized weights 0.1 for the median of all\n"
        "differences and 1.5 for each token that one side gives 1 % or more; of others 0.01 and 0.1. Where the two\n"
        "part, both must hold the two tokens to be about as likely (a tie: closer than that limit).\n"
        "vectors, in place of the last two, of models that make embeddings: 1 - cosine up to 0.005, or 0.0005 where\n"
        "nothing is quantized.\n"
        "\n"
        "What the server does not answer, or answers with something else, is untested, and the report says why.\n"
        "Exit code 0: passed; 1: something differs, or could not be compared. The report is there to be attached to\n"
        "an issue, with --json to be kept (docs/models.md).\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
