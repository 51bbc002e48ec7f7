/* cmd_diff.c: two answers side by side: recorded ones, or what two models or settings make of one prompt. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli/diff.h"
#include "cli/interrupt.h"
#include "cli/preset.h"
#include "cli/record_choice.h"
#include "cli/recording_choice.h"

enum {
    MODEL, MODEL_B, RECORD_DIR, WHOLE, JSON, THREADS,
    PROMPT, ON_B, BREAKER, /* from here on: with a prompt alone */
    SYSTEM, TEMPLATE, KWARGS, THINKING, NO_THINKING, RAW, MAX, SEED, CTX, KV_TYPE, IGNORE_EOS, SAMPLERS,
    SAMPLING, /* one for each line of sampling.def from here on */
    N_OPTS = SAMPLING + HEARTH_N_SAMPLING
};

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [MODEL_B] = { .name = "model-b", .type = OPT_TEXT, .value = "FILE", .dflt = "as of A",
                  .help = "B's model, where it is another" },
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [WHOLE] = { .name = "whole", .type = OPT_FLAG, .help = "go on to the end of A's answer after the two have parted: "
                "what each model says of A's tokens" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object: same, differs, vocabulary, prompt, "
               "first_token, parting, text, divergence, positions (arrays), a and b (text, token_ids, hearth: the "
               "receipt)" },
    [THREADS] = OPT_THREADS_ROW,
    [PROMPT] = { .name = "prompt", .aliases = "-p", .type = OPT_TEXT, .value = "TEXT",
                 .help = "both models answer this; the words are models then, not recordings" },
    [ON_B] = { .name = "b", .type = OPT_LIST, .value = "NAME=VALUE", .help = "with --prompt: an option that is another "
               "for B, by its long name: --b temperature=0.2 --b kv-type=q8; all from --system on, and threads; may be "
               "given several times" },
    [BREAKER] = OPT_BREAKER_ROW,
    [SYSTEM] = { .name = "system", .type = OPT_TEXT, .value = "TEXT", .help = "a system message before the prompt" },
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [KWARGS] = OPT_KWARGS_ROW,
    [THINKING] = OPT_THINKING_ROW,
    [NO_THINKING] = OPT_NO_THINKING_ROW,
    [RAW] = { .name = "raw", .type = OPT_FLAG, .help = "complete the prompt as it stands, without the chat template "
              "(BOS is added as the file asks)" },
    [MAX] = OPT_MAX_TOKENS_ROW,
    [SEED] = OPT_SEED_ROW,
    [CTX] = OPT_CTX_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [IGNORE_EOS] = { .name = "ignore-eos", .type = OPT_FLAG, .help = "go on where the model would stop" },
    [SAMPLERS] = OPT_SAMPLERS_ROW,
#include "cli/sampling_rows.def"
};

static_assert((int)N_OPTS <= (int)OPTS_MAX, "struct args holds a value for every option");

enum { NAME_BYTES = 128 };

struct job {
    struct args args[2];                /* the line, and each model's preset; B's with --b */
    struct sampling_choice sampling[2];
    uint64_t seed;                      /* of A's answer */
    struct diff diff;
};

/* ---- recordings ---- */

/* A text of a recording, which comes from strangers, for a sentence: nothing in it moves the cursor. */
static const char *harmless(const char *text, char out[NAME_BYTES])
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p && n + 1 < NAME_BYTES; p++)
        out[n++] = *p < 0x20 || *p >= 0x7f ? '?' : (char)*p;
    out[n] = 0;
    return out;
}

/* Is the file what the recording was answered with? Whoever names one on the line may compare with another. */
static bool check_identity(const struct diff_side *side, const char *option, hearth_error *err)
{
    char identity[96], name[NAME_BYTES];
    const char *recorded = recording_text(&side->recording, "model", "identity");
    if (!hearth_file_identity(side->file, identity, err))
        return false;
    if (strcmp(identity, recorded) == 0)
        return true;
    if (!side->choice.from_line)
        return fail(err, HEARTH_ERR_USAGE, "%c was answered by %s, which %.200s is not; name its file with %s",
                    side->label, harmless(recording_text(&side->recording, "model", "name"), name), side->choice.text,
                    option);
    say("%c was answered by another model: recorded with %s, computed with %s", side->label, harmless(recorded, name),
        identity);
    return true;
}

/* A recording that could be replayed, for what it lacks cannot be compared either. */
static bool read_recording(struct job *job, int which, hearth_error *err)
{
    struct diff_side *side = &job->diff.side[which];
    struct arena arena;
    hearth_request request;
    if (!recording_choose(&side->recording, job->args[0].word[which], &job->args[0].value[RECORD_DIR], err))
        return err_context(err, "%c", side->label);
    arena_init(&arena, RECORDING_ARENA_BYTES);
    bool ok = recording_ask(&side->recording, &arena, &request, err) || err_context(err, "%c", side->label);
    arena_free(&arena);
    return ok;
}

static int read_recordings(struct job *job, hearth_error *err)
{
    const struct args *a = &job->args[0];
    struct diff_side *s = job->diff.side;
    for (int i = 0; i < a->n_words; i++)
        if (strstr(a->word[i], ".gguf"))
            return usage_error(&cmd_diff, "%.200s is a model, and recordings are compared; give models a prompt, -p",
                               a->word[i]);
    if (a->n_words < 2)
        return usage_error(&cmd_diff, "two RECORDINGS are needed, numbers of `hearth log` or files of `hearth export`; "
                           "or a prompt (-p) and models");
    for (int i = PROMPT; i < N_OPTS; i++)
        if (a->value[i].origin == OPT_FROM_LINE)
            return usage_error(&cmd_diff, "--%s is for a prompt (-p): a recording has its own", options[i].name);
    if (!model_choose(&s[0].choice, &cmd_diff, NULL, &a->value[MODEL])
        || !model_choose(&s[1].choice, &cmd_diff, NULL, &a->value[MODEL_B]))
        return EXIT_USAGE;
    if (!read_recording(job, 0, err) || !read_recording(job, 1, err))
        return report(err);
    const char *identity[2];
    for (int i = 0; i < 2; i++)
        identity[i] = recording_text(&s[i].recording, "model", "identity");
    if (!a->value[MODEL_B].text) {
        s[1].choice = s[0].choice;
        s[1].choice.from_line &= strcmp(identity[0], identity[1]) == 0; /* A's file was not named for B */
    }
    if (!s[0].choice.from_line)
        model_say(&s[0].choice);
    return EXIT_DONE;
}

/* ---- a prompt ---- */

/* --b NAME=VALUE into B's values, as if the line had --NAME VALUE. */
static bool set_on_b(struct opt_value *values, const char *text, bool *was_set, hearth_error *err)
{
    char given[OPT_SPELLING_BYTES], thing[OPT_SPELLING_BYTES + 8], near[OPT_SPELLING_BYTES] = "";
    const char *value = strchr(text, '=');
    size_t n = value ? (size_t)(value - text) : 0;
    if (n == 0)
        return fail(err, HEARTH_ERR_USAGE, "--b '%.80s' is not NAME=VALUE, as in --b temperature=0.2", text);
    snprintf(given, sizeof given, "--%.*s", (int)min_size(n, sizeof given - 3), text);
    snprintf(thing, sizeof thing, "--b %s", given + 2);
    for (int i = THREADS; i < N_OPTS; i++) {
        bool settable = i == THREADS || i >= SYSTEM;
        if (!settable || !opt_matches(&options[i], given, strlen(given)))
            continue;
        if (was_set[i])
            return fail(err, HEARTH_ERR_USAGE, "%s is given twice; give it once", thing);
        was_set[i] = true;
        return opt_set_value(&values[i], &options[i], thing, value + 1, err);
    }
    opt_nearest(options + SYSTEM, N_OPTS - SYSTEM, given, 1 << 20, near);
    if (near[0])
        return fail(err, HEARTH_ERR_USAGE, "%s: there is no such option for B; did you mean %s?", thing, near + 2);
    return fail(err, HEARTH_ERR_USAGE, "%s: there is no such option for B; hearth help diff has them all", thing);
}

static bool choose_options(struct job *job, int which, hearth_error *err)
{
    struct args *a = &job->args[which];
    struct diff_side *side = &job->diff.side[which];
    const struct opt_value *v = a->value, *on_b = &v[ON_B];
    bool was_set[N_OPTS] = { false };
    if (!preset_apply(a, &cmd_diff, &side->choice, err))
        return false;
    for (int i = 0; which == 1 && i < on_b->n_list; i++)
        if (!set_on_b(a->value, on_b->list[i], was_set, err))
            return false;
    return sampling_choose(&job->sampling[which], &v[SAMPLERS], &v[BREAKER], err)
           && template_choose(&side->template, &side->choice.source, false, &v[TEMPLATE], &v[KWARGS], &v[THINKING],
                              &v[NO_THINKING], err);
}

/* B draws from the seed of A, unless it has its own. */
static bool answer(struct job *job, int which, hearth_error *err)
{
    const struct opt_value *v = job->args[which].value;
    struct diff_side *side = &job->diff.side[which];
    struct diff_question q = {
        .prompt = str_z(v[PROMPT].text),
        .system = v[SYSTEM].text,
        .system_from_line = v[SYSTEM].origin == OPT_FROM_LINE,
        .raw = v[RAW].on,
        .ignore_eos = v[IGNORE_EOS].on,
        .max_tokens = (int)v[MAX].i,
        .n_threads = (int)v[THREADS].i,
        .n_ctx_tokens = (int)v[CTX].i,
        .kv_type = (hearth_kv_type)v[KV_TYPE].i,
        .has_seed = v[SEED].origin != OPT_UNSET,
        .seed = (uint64_t)v[SEED].i,
        .sampling = &v[SAMPLING],
        .choice = &job->sampling[which],
    };
    if (which == 1 && !q.has_seed) {
        q.has_seed = true;
        q.seed = job->seed;
    }
    return diff_ask(side, &q, which == 0 ? &job->seed : NULL, err) || err_context(err, "%c", side->label);
}

static int answer_both(struct job *job, hearth_error *err)
{
    const struct args *a = &job->args[0];
    struct diff_side *s = job->diff.side;
    if (a->value[RECORD_DIR].origin == OPT_FROM_LINE)
        return usage_error(&cmd_diff, "--record-dir is for recordings, and a prompt is given; leave one of them out");
    if (a->word[1] && a->value[MODEL_B].origin == OPT_FROM_LINE)
        return usage_error(&cmd_diff, "two models are named for B, %s and --model-b %s; name one", a->word[1],
                           a->value[MODEL_B].text);
    if (!model_choose(&s[0].choice, &cmd_diff, a->word[0], &a->value[MODEL])
        || !model_choose(&s[1].choice, &cmd_diff, a->word[1], &a->value[MODEL_B]))
        return EXIT_USAGE;
    if (!a->word[1] && !a->value[MODEL_B].text)
        s[1].choice = s[0].choice;
    for (int i = 0; i < 2; i++)
        if (!choose_options(job, i, err))
            return err->status == HEARTH_ERR_USAGE ? usage_error(&cmd_diff, "%s", err->message) : report(err);
    if (!s[0].choice.from_line)
        model_say(&s[0].choice);
    for (int i = 0; i < 2; i++)
        if (!answer(job, i, err))
            return model_report(&s[i].choice, err);
    return EXIT_DONE;
}

/* ---- all of it ---- */

static int run_job(struct job *job, hearth_error *err)
{
    const struct opt_value *v = job->args[0].value;
    struct diff *d = &job->diff;
    bool asks = v[PROMPT].text != NULL;
    if (!interrupt_init(err))
        return report(err);
    interrupt_hold();
    int code = asks ? answer_both(job, err) : read_recordings(job, err);
    if (code != EXIT_DONE)
        return code;
    for (int i = 0; i < 2; i++) {
        struct diff_side *s = &d->side[i];
        s->file = hearth_file_open(&s->choice.source, err);
        if (!s->file)
            return model_report(&s->choice, err);
        if (!asks && !check_identity(s, i ? "--model-b" : "--model", err))
            return report(err);
    }
    if (!diff_compare(d, err)
        || (vocabularies_same(&d->vocabulary) && !diff_score(d, (int)v[THREADS].i, err)))
        return report(err);
    if (v[JSON].on && !diff_print_json(d, err))
        return report(err);
    if (!v[JSON].on)
        diff_print(d);
    return diff_same(d) ? EXIT_DONE : EXIT_FAILED;
}

static int run(const struct args *a)
{
    struct job job = { .args = { *a, *a }, .diff = { .side = { { .label = 'A' }, { .label = 'B' } },
                                                     .whole = a->value[WHOLE].on } };
    hearth_error err = { 0 };
    int code = run_job(&job, &err);
    diff_free(&job.diff);
    return code;
}

const struct command cmd_diff = {
    .name = "diff",
    .positionals = "A B",
    .max_words = 2,
    .summary = "where two answers part, and how far apart their distributions are",
    .about = "A and B are recordings, as `hearth replay` takes them: numbers of `hearth log`, X-Request-Ids,\n"
             "`last`, or files. With a prompt (-p) they are models, B the same as A when there is none: both answer\n"
             "it first, with one seed, and --b says what is another for B.\n"
             "\n"
             "First comes what is another in what was asked, then the first token where the answers part, with the\n"
             "probabilities that each model gives both, before any sampling. Up to there, with --whole along all of\n"
             "A's answer, both models read the same tokens, and their distributions are compared: the Kullback-\n"
             "Leibler divergence of B's from A's in nats, at each position. Where the prompts are others, each\n"
             "answer is read after its own, and nothing is compared position by position; where the vocabularies\n"
             "are, texts are compared and tokens are not. Exit code 0: the same tokens from the same logits; 1:\n"
             "not.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
