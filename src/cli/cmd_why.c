/* cmd_why.c: why a recorded answer is what it is: where its time went, and how each token was chosen, by computing it
 * again. */
#include <stdio.h>
#include <string.h>

#include "cli/generate_opts.h"
#include "cli/json_out.h"
#include "cli/model_choice.h"
#include "cli/record_choice.h"
#include "cli/recording_choice.h"
#include "cli/template_choice.h"
#include "cli/why.h"
#include "record/receipt_json.h"

enum { MODEL, RECORD_DIR, TEMPLATE, TOKEN, TOP, THREADS, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [TOKEN] = { .name = "token", .type = OPT_INT, .value = "N", .least = 0, .most = 1 << 24, .help = "one token of the "
                "answer, counted from 0, step by step; the number behind the last one is the token that ended it" },
    [TOP] = { .name = "top", .type = OPT_INT, .value = "N", .least = 0, .most = WHY_MOST_TOKENS, .dflt = "5",
              .help = "how many of the model's likeliest tokens are followed besides the one that came" },
    [THREADS] = OPT_THREADS_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object: exact, time, trouble, prefix, prompt, "
               "tokens and end (docs/receipt.md), hearth (the recorded receipt)" },
};

struct job {
    const struct args *args;
    struct model_choice choice;
    struct template_choice template;
    struct recording recording;
    hearth_engine *engine;
    hearth_model *model;
    hearth_file *file;
    struct replay_found found;
    bool one;          /* token alone */
    size_t token;
    bool told;         /* it came */
    json_t *tokens;    /* with --json; NULL: memory is out */
    json_t *end;
};

/* ---- what is seen ---- */

static void keep_json(struct job *job, size_t index, const hearth_choice *c, bool end)
{
    json_t *j = explain_choice(job->file, index, c, job->one);
    if (end) {
        json_decref(job->end);
        job->end = j;
    }
    if ((end && !j) || (!end && json_array_append_new(job->tokens, j) != 0)) {
        json_decref(job->tokens);
        job->tokens = NULL;
    }
}

static void see(void *arg, size_t index, const hearth_event *e)
{
    struct job *job = arg;
    bool end = e->type == HEARTH_EVENT_END;
    if (!e->choice || (job->one && index != job->token))
        return;
    job->told = true;
    if (job->args->value[JSON].on)
        keep_json(job, index, e->choice, end);
    else if (job->one)
        why_print_choice(job->file, index, e->choice, end);
    else
        why_print_row(job->file, index, e->choice, end);
}

/* ---- as JSON ---- */

/* What is known without the tokens, which are null then. */
static bool print_json(struct job *job, hearth_error *err)
{
    const struct recording *r = &job->recording;
    bool has_tokens = r->request != NULL;
    json_t *all = explain_answer(r->receipt, job->file, r->prompt, r->n_prompt,
                                 has_tokens ? json_boolean(replay_exact(&job->found)) : json_null(),
                                 has_tokens ? job->tokens : json_null(), job->end ? job->end : json_null());
    if (!has_tokens)
        json_decref(job->tokens);
    job->tokens = job->end = NULL; /* taken, also where it failed */
    return json_print(all, RECEIPT_JSON_FLAGS, "the JSON of why", err);
}

/* ---- all of it ---- */

static void warn(const struct job *job, const struct replay_difference *d, int n)
{
    if (replay_exact(&job->found))
        return;
    say("this is not the recorded answer: computed again it is another%s", n ? "" : ", with the same model header, "
        "template and arithmetic revision; hearth replay says where they part");
    for (int i = 0; i < n; i++)
        say("another %s: recorded with %s, here is %s", d[i].what, d[i].was, d[i].is);
}

static int tell_tokens(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args->value;
    struct replay_how how = { .n_threads = (int)v[THREADS].i, .see = see, .see_arg = job,
                              .n_alternatives = v[TOP].origin ? (int)v[TOP].i : 5 };
    struct replay_difference differences[REPLAY_MOST_DIFFERENCES];
    if (!replay_open(&job->recording, &job->choice.source, &how, &job->engine, &job->model, err))
        return model_report(&job->choice, err);
    job->file = hearth_model_file(job->model);
    int n = replay_differences(&job->recording, job->model, differences);
    if (!v[JSON].on && !job->one) {
        why_print_receipt(&job->recording, job->file);
        why_print_prompt(&job->recording, job->file);
        why_print_head();
    }
    if (!replay_run(&job->recording, job->model, &how, &job->found, err))
        return report(err);
    if (v[JSON].on && !print_json(job, err))
        return report(err);
    if (job->one && !job->told && replay_exact(&job->found)) {
        fail(err, HEARTH_ERR_USAGE, "--token %zu: the answer has %zu tokens, counted from 0", job->token,
             job->recording.n_output);
        return report(err);
    }
    if (job->one && !job->told)
        say("token %zu is behind the place where they part", job->token);
    warn(job, differences, n);
    return replay_exact(&job->found) ? EXIT_DONE : EXIT_FAILED;
}

static int tell_receipt(struct job *job, hearth_error *err)
{
    if (job->args->value[JSON].on)
        return print_json(job, err) ? EXIT_DONE : report(err);
    why_print_receipt(&job->recording, NULL);
    say("its tokens were not recorded (serve --record full does), so how they were chosen cannot be told");
    return EXIT_DONE;
}

static int run_job(struct job *job, hearth_error *err)
{
    const struct args *a = job->args;
    const struct opt_value *v = a->value;
    static const struct opt_value unset = { 0 };
    if (a->n_words == 0)
        return usage_error(&cmd_why, "RECORDING is needed: a number of `hearth log`, or a file that `hearth export` "
                           "wrote");
    if (!model_choose(&job->choice, &cmd_why, a->word[1], &v[MODEL]))
        return EXIT_USAGE;
    job->one = v[TOKEN].origin != OPT_UNSET;
    job->token = (size_t)v[TOKEN].i;
    if (!template_choose(&job->template, &job->choice.source, true, &v[TEMPLATE], &unset, &unset, &unset, err)
        || !receipt_choose(&job->recording, a->word[0], &v[RECORD_DIR], err))
        return report(err);
    if (!job->recording.request)
        return tell_receipt(job, err);
    if (!job->choice.from_line)
        model_say(&job->choice);
    return tell_tokens(job, err);
}

static int run(const struct args *a)
{
    struct job job = { .args = a, .tokens = json_array() };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    json_decref(job.tokens);
    json_decref(job.end);
    hearth_model_release(job.model);
    hearth_engine_destroy(job.engine);
    template_choice_free(&job.template);
    recording_free(&job.recording);
    return code;
}

const struct command cmd_why = {
    .name = "why",
    .positionals = "RECORDING [MODEL]",
    .max_words = 2,
    .summary = "why an answer is what it is: where its time went, how each token was chosen",
    .about = "RECORDING is the number of a row of `hearth log`, its X-Request-Id, `last`, or a file of `hearth\n"
             "export`. First what its receipt says: the verdict, the time as a bar, the context, what was known of\n"
             "the prompt, why not more and what that cost, and why it ended. Where it was recorded in full, the\n"
             "answer is computed again: the prompt as the model read it, special tokens in brackets of their own,\n"
             "and a row for each token: its probability by the model, and when it was drawn; its rank by the model;\n"
             "how many tokens were left to draw from; and the entropy of the model's distribution. --token N has\n"
             "all steps of one choice, from the model through each stage of the sampler, and which of them removed\n"
             "what. Exit code 1: computed again it is another answer, as with another model.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
