/* cmd_replay.c: a recorded answer computed again: the same bits, or what is another. */
#include <stdio.h>
#include <string.h>

#include "cli/generate_opts.h"
#include "cli/json_out.h"
#include "cli/model_choice.h"
#include "cli/receipt_text.h"
#include "cli/record_choice.h"
#include "cli/recording_choice.h"
#include "cli/replay.h"
#include "cli/template_choice.h"
#include "record/explain.h"
#include "record/receipt_json.h"

enum { MODEL, RECORD_DIR, TEMPLATE, THREADS, THREADS_PREFILL, CHUNK, SPECULATE, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [THREADS_PREFILL] = OPT_THREADS_PREFILL_ROW,
    [CHUNK] = OPT_CHUNK_ROW,
    [SPECULATE] = OPT_SPECULATE_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object: exact, n_tokens, first_logits, "
               "first_token, differs (what is another: model, arithmetic_revision, template), hearth (the receipt of "
               "the replay)" },
};

struct job {
    const struct args *args;
    struct model_choice choice;
    struct template_choice template;
    struct recording recording;
    hearth_engine *engine;
    hearth_model *model;
    struct replay_found found;
};

static const char *recorded(const struct job *job, const char *object, const char *key)
{
    return recording_text(&job->recording, object, key);
}

/* ---- what is said ---- */

static void token_text(const struct job *job, int32_t id, struct buf *out)
{
    if (id < 0)
        buf_puts(out, "the end");
    else
        explain_token(hearth_model_file(job->model), id, out);
}

static void print_parting(const struct job *job)
{
    const struct recording *r = &job->recording;
    const struct replay_found *f = &job->found;
    struct buf was = { 0 }, is = { 0 };
    if (f->first_logits != SIZE_MAX)
        printf("the logits of token %zu are others, of the %zu before it the same\n", f->first_logits, f->first_logits);
    else if (f->has_mixes)
        puts("the logits are the same as far as the tokens are");
    if (f->first_token != SIZE_MAX) {
        token_text(job, f->first_token < r->n_output ? r->output[f->first_token] : -1, &was);
        token_text(job, f->token_now, &is);
        printf("token %zu was %s and is %s\n", f->first_token, was.ptr ? was.ptr : "?", is.ptr ? is.ptr : "?");
        buf_free(&was);
        buf_free(&is);
    } else if (f->end_differs) {
        printf("all %zu tokens are the same, and the end was '", f->n_tokens);
        print_in_line(stdout, recorded(job, "finish", "detail"));
        printf("' and is '%s'\n", f->receipt.finish_detail);
    } else {
        printf("all %zu tokens are the same\n", f->n_tokens);
    }
}

static void print_text(const struct job *job, const struct replay_difference *d, int n)
{
    const struct replay_found *f = &job->found;
    if (replay_exact(f))
        printf("exact: %zu tokens%s\n", f->n_tokens, f->has_mixes ? ", and the bits of all logits" : "");
    else
        print_parting(job);
    for (int i = 0; i < n; i++) {
        printf("another %s: recorded with ", d[i].what);
        print_in_line(stdout, d[i].was);
        printf(", replayed with %s\n", d[i].is);
    }
    if (!replay_exact(f) && n == 0)
        puts("model header, template and arithmetic revision are the recorded ones: a byte of the weights is another, "
             "or this machine computes wrongly");
    const char *isa = json_string_value(json_object_get(job->recording.receipt, "isa"));
    fputs("recorded on ", stderr);
    print_in_line(stderr, isa ? isa : "an unknown instruction set");
    fprintf(stderr, " with %lld threads, replayed on %s with %d\n",
            (long long)json_integer_value(json_object_get(job->recording.receipt, "n_threads")), f->receipt.isa,
            f->receipt.n_threads);
}

static json_t *index_or_null(size_t i) { return i == SIZE_MAX ? json_null() : json_integer((json_int_t)i); }

static bool print_json(const struct job *job, const struct replay_difference *d, int n, hearth_error *err)
{
    const struct replay_found *f = &job->found;
    json_t *differs = json_object();
    bool failed = false;
    for (int i = 0; i < n; i++)
        failed |= json_object_set_new(differs, d[i].what, json_pack("{s:s, s:s}", "recorded", d[i].was, "replayed",
                                                                    d[i].is)) != 0;
    json_t *all = json_pack("{s:b, s:i, s:b, s:o, s:o, s:b, s:o, s:o}", "exact", replay_exact(f), "n_tokens",
                            (int)f->n_tokens, "logits_compared", f->has_mixes, "first_logits",
                            index_or_null(f->first_logits), "first_token", index_or_null(f->first_token),
                            "end_differs", f->end_differs, "differs", differs, "hearth", receipt_to_json(&f->receipt));
    if (failed) {
        json_decref(all);
        all = NULL;
    }
    return json_print(all, RECEIPT_JSON_FLAGS, "the JSON of the replay", err);
}

/* ---- all of it ---- */

static int run_job(struct job *job, hearth_error *err)
{
    const struct args *a = job->args;
    const struct opt_value *v = a->value;
    struct replay_how how = { .n_threads = (int)v[THREADS].i, .n_threads_prefill = (int)v[THREADS_PREFILL].i,
                              .n_chunk_tokens = (int)v[CHUNK].i };
    struct replay_difference differences[REPLAY_MOST_DIFFERENCES];
    if (a->n_words == 0)
        return usage_error(&cmd_replay, "RECORDING is needed: a number of `hearth log`, or a file that `hearth "
                           "export` wrote");
    if (!model_choose(&job->choice, &cmd_replay, a->word[1], &v[MODEL]))
        return EXIT_USAGE;
    static const struct opt_value unset = { 0 };
    if (!template_choose(&job->template, &job->choice.source, true, &v[TEMPLATE], &unset, &unset, &unset, err)
        || !speculate_choose(&how.speculate, &v[SPECULATE], err)
        || !recording_choose(&job->recording, a->word[0], &v[RECORD_DIR], err))
        return report(err);
    if (!job->choice.from_line)
        model_say(&job->choice);
    if (!replay_open(&job->recording, &job->choice.source, &how, &job->engine, &job->model, err))
        return model_report(&job->choice, err);
    int n = replay_differences(&job->recording, job->model, differences);
    if (!replay_run(&job->recording, job->model, &how, &job->found, err)) {
        if (n > 0)
            say("another %s: recorded with %s, here is %s", differences[0].what, differences[0].was, differences[0].is);
        return report(err);
    }
    if (v[JSON].on && !print_json(job, differences, n, err))
        return report(err);
    if (!v[JSON].on)
        print_text(job, differences, n);
    return replay_exact(&job->found) ? EXIT_DONE : EXIT_FAILED;
}

static int run(const struct args *a)
{
    struct job job = { .args = a };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    hearth_model_release(job.model);
    hearth_engine_destroy(job.engine);
    template_choice_free(&job.template);
    recording_free(&job.recording);
    return code;
}

const struct command cmd_replay = {
    .name = "replay",
    .positionals = "RECORDING [MODEL]",
    .max_words = 2,
    .summary = "compute a recorded answer again: the same bits, or where they part",
    .about = "RECORDING is the number of a row of `hearth log` that was recorded in full, its X-Request-Id, `last`,\n"
             "or a file that `hearth export` wrote. The answer is computed again from the tokens of its prompt, on\n"
             "this machine, with as many threads as you like, and compared token by token. With the same model,\n"
             "template and arithmetic revision it is the same to the last bit; what of them is another is named,\n"
             "and the first token where it shows. Exit code 0: exact; 1: not.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
