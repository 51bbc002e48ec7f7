/* replay.h: a recorded answer computed again, and compared token by token. */
#pragma once
#include "record/recording.h"

/* How to compute it: none of it may have an influence, which is what a replay shows. */
struct replay_how {
    int n_threads, n_threads_prefill, n_chunk_tokens, speculate;
    /* Sees each token, with its choice and so many alternatives, as long as the answers are together, and the first one
     * that is another; last the END. NULL: nobody does. */
    void (*see)(void *arg, size_t index, const hearth_event *e);
    void *see_arg;
    int n_alternatives;
};

/* Indexes count the answer's tokens from 0; SIZE_MAX: nowhere. The step that ended an answer counts as one behind its
 * last token. */
struct replay_found {
    size_t n_tokens;       /* compared, recorded ones */
    size_t first_logits;   /* whose logits are others */
    size_t first_token;    /* that is another */
    int32_t token_now;     /* -1: the answer ended there */
    bool has_mixes;        /* the recording has hashes of logits to compare with */
    bool end_differs;      /* all tokens are the same, and it ended for another reason */
    bool cut;              /* the recorded answer was ended from outside: no reason to compare */
    hearth_receipt receipt; /* of the replay */
};

bool replay_exact(const struct replay_found *f);

/* What of a replay is another than what is recorded, before anything is computed. */
enum { REPLAY_MOST_DIFFERENCES = 3, REPLAY_WORDS_BYTES = 200 };
struct replay_difference {
    const char *what; /* "model", "arithmetic_revision", "template" */
    char was[REPLAY_WORDS_BYTES], is[REPLAY_WORDS_BYTES];
};
/* Returns how many. */
int replay_differences(const struct recording *r, hearth_model *model,
                       struct replay_difference out[REPLAY_MOST_DIFFERENCES]);

/* Open the model of `source` as the recording needs it. The caller releases it before its engine; both are NULL on
 * failure. */
bool replay_open(const struct recording *r, const hearth_source *source, const struct replay_how *how,
                 hearth_engine **engine, hearth_model **model, hearth_error *err);
/* Computes up to the first token that is another. */
bool replay_run(const struct recording *r, hearth_model *model, const struct replay_how *how,
                struct replay_found *found, hearth_error *err);
