/* cmd_verify.c: is a model healthy? The checks one after the other, and what they found. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/generate_opts.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/model_choice.h"
#include "cli/store_choice.h"
#include "cli/verify_report.h"
#include "record/verified.h"

enum { MODEL, THREADS, SHA256, NO_KEEP, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [SHA256] = { .name = "sha256", .type = OPT_FLAG,
                 .help = "also the SHA-256 of the file, to be held against its publisher's; of a pulled one "
                         "that is done anyway" },
    [NO_KEEP] = { .name = "no-keep", .type = OPT_FLAG, .help = "do not keep the result for the server to show" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object" },
};

/* Against what the file had when it was pulled. */
static void compare_sha256(struct verify *v)
{
    char known[65];
    for (size_t i = 0; i < v->n_sha256; i++)
        if (store_sha256_of(v->source.path, (int)i, known) && strcmp(known, v->sha256[i]) != 0)
            verify_say(v, VERIFY_WEIGHTS, HEARTH_FINDING_PROBLEM, "sha256-differs", STR(""),
                       "part %zu has the SHA-256 %.16s..., and had %.16s... when it was pulled: it was changed, or the "
                       "disk fails; hearth rm it, and pull again", i + 1, v->sha256[i], known);
}

/* What needs the model to run is left out where it does not, which is a problem by itself. */
static bool check(struct verify *v, bool sha256, hearth_error *err)
{
    char known[65];
    bool pulled = v->source.path && store_sha256_of(v->source.path, 0, known);
    if (!verify_weights(v, err) || ((sha256 || pulled) && !verify_sha256(v, err)))
        return false;
    if (pulled)
        compare_sha256(v);
    if (v->info.tokenizer[0] && !(verify_tokenizer(v, err) && verify_template(v, err)))
        return false;
    if (v->info.runs)
        return verify_arithmetic(v, err) && verify_prediction(v, err);
    verify_say(v, VERIFY_PREDICTION, HEARTH_FINDING_PROBLEM, "does-not-run", STR(""), "%s", v->info.problem);
    return true;
}

static bool print(const struct verify *v, const struct model_choice *choice, const struct args *a, hearth_error *err)
{
    json_t *report = v->out_of_memory ? NULL : verify_json(v);
    if (!report)
        return fail_memory(err, "the report");
    hearth_error kept = { 0 };
    if (!a->value[NO_KEEP].on && !verified_keep(report, &kept))
        say("the result is not kept: %s", kept.message);
    if (a->value[JSON].on)
        return json_print(report, JSON_INDENT(2) | JSON_REAL_PRECISION(9), "the JSON of the report", err);
    json_decref(report);
    verify_print(v, choice->text);
    return true;
}

static int run_with(struct verify *v, struct model_choice *choice, const struct args *a, hearth_error *err)
{
    if (!interrupt_init(err))
        return report(err);
    if (!choice->from_line)
        model_say(choice);
    v->source = choice->source;
    v->n_threads = (int)a->value[THREADS].i;
    v->file = hearth_file_open(&v->source, err);
    if (!v->file)
        return model_report(choice, err);
    hearth_file_describe(v->file, &v->info);
    interrupt_hold();
    if (!hearth_file_identity(v->file, v->identity, err) || !hearth_file_digest(v->file, v->digest, err)
        || !check(v, a->value[SHA256].on, err) || !print(v, choice, a, err))
        return report(err);
    return v->n_of_level[HEARTH_FINDING_PROBLEM] > 0 ? EXIT_FAILED : EXIT_DONE;
}

static int run(const struct args *a)
{
    struct model_choice choice;
    hearth_error err = { 0 };
    if (!model_choose(&choice, &cmd_verify, a->word[0], &a->value[MODEL]))
        return EXIT_USAGE;
    struct verify *v = mem_alloc(sizeof *v);
    if (!v) {
        fail_memory(&err, "the report");
        return report(&err);
    }
    arena_init(&v->arena, (size_t)1 << 24);
    int code = run_with(v, &choice, a, &err);
    progress_end(&v->progress);
    hearth_engine_destroy(v->engine);
    hearth_file_close(v->file);
    arena_free(&v->arena);
    mem_free(v);
    return code;
}

const struct command cmd_verify = {
    .name = "verify",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "is a model healthy: weights, tokenizer, template, arithmetic, prediction",
    .about =
        "Reads every scale and value of the weights, tells whether texts come back from their tokens and whether the\n"
        "vocabulary goes with its pre-tokenizer, looks at the chat template, computes a few logits with the scalar\n"
        "and the fast kernels, which must have the same bits, and lets the model predict built-in texts: as the\n"
        "file is, with other rope bases and pre-tokenizers, and with tensors exchanged that seem to stand in each\n"
        "other's place. What is wrong is named, with the tensor or the key of the file.\n"
        "\n"
        "Ends with 0 when no problem was found, with 1 when one was; warnings alone are 0. The result is kept in\n"
        "$XDG_STATE_HOME/hearth/verified, and `hearth serve` shows it in /v1/models. A model of gigabytes takes as\n"
        "long as reading it once and computing a few thousand tokens.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
