/* dialogue.h: a conversation in the terminal: what it begins with, what it holds, its moves. */
#pragma once
#include "cli/answer.h"
#include "cli/conversation.h"
#include "cli/generate_opts.h"
#include "cli/line_editor.h"
#include "cli/model_choice.h"

/* What a command line asked for. Borrowed until dialogue_run() returns. */
struct dialogue_setup {
    const struct command *command;        /* for errors in the command line */
    const struct model_choice *model;     /* its source has the template already */
    struct opt_value max_tokens, seed;
    const struct opt_value *sampling;     /* [HEARTH_N_SAMPLING] rows of sampling_rows.def */
    const struct sampling_choice *sampling_choice;
    int speculate;                        /* as in hearth_request */
    int n_threads, n_threads_prefill, n_ctx_tokens; /* 0: the engine chooses */
    hearth_kv_type kv_type;
    const struct opt_value *cache_dir, *cache_disk;
    bool preload, lock;
    const char *system;                   /* NULL: none */
    const char *template_kwargs;          /* NULL: none */
    hearth_thinking thinking;
    bool show_thinking, timing;
    const char *history_path;             /* NULL: none */
    const struct answer_record *record;
};

/* From the first line on standard error to the last answer. Returns an exit_code. */
int dialogue_run(const struct dialogue_setup *setup);

struct dialogue {
    const struct dialogue_setup *setup;
    hearth_engine *engine;
    hearth_model *model;
    hearth_file *file; /* the model's */
    struct line_editor *editor;
    struct conversation talk;

    struct opt_value max_tokens, seed, sampling[HEARTH_N_SAMPLING]; /* as /set left them */
    bool has_order; /* of samplers, by the line or /set */
    hearth_sampling_order order;
    hearth_thinking thinking;
    bool timing;

    bool has_receipt; /* of the last answer */
    hearth_receipt receipt;
    char notes[1024]; /* of the template, that were said already; without digits */
    bool editing;     /* the next message comes in the place of the last one */
    bool ended;
    int code;         /* to end with; without a terminal that of the first thing that went wrong */
};

/* Render the conversation as it stands. generation_prompt: begin the next answer. NULL and *err. */
hearth_rendered *dialogue_render(struct dialogue *d, bool generation_prompt, hearth_error *err);

/* Answer. The conversation is first cut back to its first `keep` messages, then text (NULL: nothing) is added as a
 * message of the user. When no answer comes it is as it was before. */
void dialogue_ask(struct dialogue *d, size_t keep, const struct str *text);

/* Something was refused: say it, and remember it for the exit code where no person reads along. */
void dialogue_refuse(struct dialogue *d, int code, const char *fmt, ...) PRINTF(3, 4);
void dialogue_report(struct dialogue *d, const hearth_error *err);

/* line begins with "/" (chat_commands.c). */
void dialogue_command(struct dialogue *d, const char *line);
/* The Tab key. */
void dialogue_complete(const char *before, struct completion *out);
