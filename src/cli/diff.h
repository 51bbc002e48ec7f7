/* diff.h: two answers side by side: what is another in what was asked, where they part, and how far apart the
 * distributions are that they were chosen from.
 *
 * Both sides are recordings, from wherever they come: a prompt that is given instead is answered by each side first
 * (diff_ask.c), and what comes of it is compared like one (diff_compare.c). Words and JSON are in diff_report.c and
 * diff_json.c. */
#pragma once
#include "base/buf.h"
#include "cli/divergence.h"
#include "cli/generate_opts.h"
#include "cli/template_choice.h"
#include "cli/vocabularies.h"
#include "record/recording.h"

struct diff_side {
    char label;                 /* 'A', 'B' */
    struct model_choice choice;
    struct template_choice template;
    struct recording recording;
    hearth_file *file;          /* for the texts of tokens */
    /* From diff_compare(): */
    int32_t *answer;            /* [n_answer] the recording's output, then the token that ended it, if one did */
    size_t n_answer;
    struct buf text;            /* of the output */
    /* From diff_score(): */
    int32_t *read;              /* what the divergence is computed over: prompt and answer */
    size_t other_logits;        /* the first position whose logits are not those recorded; SIZE_MAX: none */
    bool has_mixes;             /* else nobody knows which they were */
};

/* Something of a request that is another: values as JSON, borrowed from the recordings; NULL: there is none. */
struct diff_setting {
    const char *name;
    const json_t *value[2];
    bool idle;                  /* it has no influence on an answer */
};
enum { DIFF_MAX_SETTINGS = HEARTH_N_SAMPLING + 16 };

struct diff {
    struct diff_side side[2];
    bool whole;                 /* along A's whole answer, not only to where they part */
    /* From diff_compare(). Indexes count from 0; SIZE_MAX: nowhere. */
    struct diff_setting settings[DIFF_MAX_SETTINGS];
    int n_settings;
    struct vocabulary_difference vocabulary;
    size_t prompt_at;           /* the first prompt token that is another */
    size_t answer_at;           /* the first token of the answers that is another, or that only one has */
    bool end_differs;           /* all tokens are the same, and they ended for another reason */
    size_t text_at;             /* the first byte that is another, or that only one has */
    /* From diff_score(): */
    bool scored;
    struct divergence divergence;
};

/* What one side is to answer. */
struct diff_question {
    struct str prompt;
    const char *system;         /* NULL: none */
    bool system_from_line;      /* refused then where there is no template for it */
    bool raw;                   /* without a template; so it is, too, where the file has none */
    bool ignore_eos;
    int max_tokens, n_threads, n_ctx_tokens;
    hearth_kv_type kv_type;
    bool has_seed;
    uint64_t seed;
    const struct opt_value *sampling; /* [HEARTH_N_SAMPLING] */
    const struct sampling_choice *choice;
};
/* Fills the side's recording with the answer of its model. *seed (may be NULL): the one that it had. Ctrl-C
 * (interrupt_hold()) is HEARTH_ERR_CANCELLED. */
bool diff_ask(struct diff_side *side, const struct diff_question *q, uint64_t *seed, hearth_error *err);

/* All that nothing has to be computed for. Both recordings and files are there. */
bool diff_compare(struct diff *d, hearth_error *err);
/* The distributions; only of models with one vocabulary. */
bool diff_score(struct diff *d, int n_threads, hearth_error *err);
/* The same prompt, tokens, end and, as far as it is known, logits. After diff_score(), if that is possible. */
bool diff_same(const struct diff *d);
void diff_free(struct diff *d);

/* The divergences together. After diff_score(), where prompts are the same and there is a position. */
struct diff_summary {
    struct kld_summary k;
    size_t n, n_same_top, n_same_logits;
};
bool diff_summarize(const struct diff *d, struct diff_summary *out); /* false: out of memory */

/* The end of an answer: "end-of-generation token 2". */
const char *diff_end(const struct diff_side *side);
/* A token of an answer by its place there; -1: it has ended. */
int32_t diff_token(const struct diff_side *side, size_t at);
/* Of a text the word at a byte, with a little before and behind it, whole characters; *n: bytes. */
const char *diff_words(const struct buf *text, size_t at, size_t *n);

void diff_print(const struct diff *d);
bool diff_print_json(const struct diff *d, hearth_error *err);
