/* cmd_chat.c: a conversation in the terminal. */
#include <assert.h>
#include <stdio.h>

#include "base/sandbox.h"
#include "cli/dialogue.h"
#include "cli/generate_opts.h"
#include "cli/loading.h"
#include "cli/preset.h"
#include "cli/price.h"
#include "cli/record_choice.h"
#include "cli/template_choice.h"

enum {
    MODEL, SYSTEM, TEMPLATE, KWARGS, THINKING, NO_THINKING, SHOW_THINKING, MAX, SEED, THREADS, THREADS_PREFILL,
    PRELOAD, LOCK, OFFLINE, CTX, KV_TYPE, CACHE_DIR, CACHE_DISK, TIMING, HISTORY,
    RECORD, RECORD_DIR, RECORD_DAYS, RECORD_DISK, EQUIVALENT, SPECULATE, SAMPLERS,
    BREAKER,
    SAMPLING, /* one for each line of sampling.def from here on */
    N_OPTS = SAMPLING + HEARTH_N_SAMPLING
};

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [SYSTEM] = { .name = "system", .type = OPT_TEXT, .value = "TEXT",
                 .help = "what the model is told before the conversation" },
    [TEMPLATE] = OPT_TEMPLATE_ROW,
    [KWARGS] = OPT_KWARGS_ROW,
    [THINKING] = OPT_THINKING_ROW,
    [NO_THINKING] = OPT_NO_THINKING_ROW,
    [SHOW_THINKING] = OPT_SHOW_THINKING_ROW,
    [MAX] = OPT_MAX_TOKENS_ROW,
    [SEED] = OPT_SEED_ROW,
    [THREADS] = OPT_THREADS_ROW,
    [THREADS_PREFILL] = OPT_THREADS_PREFILL_ROW,
    [PRELOAD] = OPT_PRELOAD_ROW,
    [LOCK] = OPT_LOCK_ROW,
    [OFFLINE] = OPT_OFFLINE_ROW,
    [CTX] = OPT_CTX_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [CACHE_DIR] = OPT_CACHE_DIR_ROW,
    [CACHE_DISK] = OPT_CACHE_DISK_ROW,
    [TIMING] = { .name = "timing", .type = OPT_FLAG, .help = "a line of figures after each answer" },
    [HISTORY] = { .name = "history", .type = OPT_TEXT, .value = "FILE", .dflt = "nothing is stored",
                  .help = "keep what is typed on the terminal in this file, which nobody else can read" },
    [RECORD] = OPT_RECORD_ROW("off"),
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [RECORD_DAYS] = OPT_RECORD_DAYS_ROW,
    [RECORD_DISK] = OPT_RECORD_DISK_ROW,
    [EQUIVALENT] = OPT_EQUIVALENT_ROW,
    [SPECULATE] = OPT_SPECULATE_ROW,
    [SAMPLERS] = OPT_SAMPLERS_ROW,
    [BREAKER] = OPT_BREAKER_ROW,
#include "cli/sampling_rows.def"
};

static_assert((int)N_OPTS <= (int)OPTS_MAX, "struct args holds a value for every option");

static int run(const struct args *line)
{
    struct args a = *line; /* and the model's preset */
    const struct opt_value *v = a.value;
    struct model_choice model;
    struct template_choice template = { 0 };
    hearth_error err = { 0 };
    if (!model_choose(&model, &cmd_chat, a.word[0], &v[MODEL]))
        return EXIT_USAGE;
    if (!preset_apply(&a, &cmd_chat, &model, &err))
        return report(&err);
    struct sampling_choice sampling;
    struct price_equivalent equivalent;
    int speculate;
    if (v[OFFLINE].on && !sandbox_offline(&err))
        return report(&err);
    if (!sampling_choose(&sampling, &v[SAMPLERS], &v[BREAKER], &err)
        || !speculate_choose(&speculate, &v[SPECULATE], &err)
        || !price_choose_equivalent(&equivalent, a.settings, &v[EQUIVALENT], &err))
        return usage_error(&cmd_chat, "%s", err.message);
    int code;
    struct answer_record record = { .source = "chat" };
    model_file_id(&model, record.model);
    record.recorder = record_begin(record_mode_of(&v[RECORD], RECORD_OFF), &v[RECORD_DIR], &v[RECORD_DAYS],
                                   &v[RECORD_DISK]);
    if (template_choose(&template, &model.source, true, &v[TEMPLATE], &v[KWARGS], &v[THINKING], &v[NO_THINKING], &err))
        code = dialogue_run(&(struct dialogue_setup){
            .command = &cmd_chat,
            .model = &model,
            .max_tokens = v[MAX],
            .seed = v[SEED],
            .sampling = &v[SAMPLING],
            .sampling_choice = &sampling,
            .speculate = speculate,
            .n_threads = (int)v[THREADS].i,
            .n_threads_prefill = (int)v[THREADS_PREFILL].i,
            .n_ctx_tokens = (int)v[CTX].i,
            .kv_type = (hearth_kv_type)v[KV_TYPE].i,
            .cache_dir = &v[CACHE_DIR],
            .cache_disk = &v[CACHE_DISK],
            .preload = v[PRELOAD].on,
            .lock = v[LOCK].on,
            .system = v[SYSTEM].text,
            .template_kwargs = template.kwargs,
            .thinking = template.thinking,
            .show_thinking = v[SHOW_THINKING].on,
            .timing = v[TIMING].on,
            .history_path = v[HISTORY].text,
            .record = &record,
        });
    else
        code = err.status == HEARTH_ERR_USAGE ? usage_error(&cmd_chat, "%s", err.message) : report(&err);
    recorder_close(record.recorder);
    template_choice_free(&template);
    return code;
}

const struct command cmd_chat = {
    .name = "chat",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "a conversation in the terminal",
    .about = "The answers alone are on standard output. The prompt, what the model thinks (dimmed) and all notes are\n"
             "on standard error. When standard input is no terminal, its lines are the messages and commands, and the\n"
             "exit code is that of the first thing that went wrong. Nothing is stored unless --history, --cache-dir\n"
             "or /save says where. Ctrl-C stops an answer, which is kept, and clears a line; Ctrl-D on an empty\n"
             "line ends.\n"
             "\n"
             "A line that ends in \\ goes on in the next; \"\"\" begins and ends a message of many lines. What begins\n"
             "with / is a command (a message that begins with / is typed with //):\n"
             "\n"
#define CHAT_COMMAND(name, arguments, words, help) "    /" #name arguments ": " help "\n"
#include "cli/chat_commands.def"
             ,
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
