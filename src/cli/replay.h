/* replay.h: a recorded answer computed again, and compared token by token. */
#pragma once
#include "record/recording.h"

/* How to compute it: none of it may have an influence, which is what a replay shows. */
struct replay_how {
    int n_threads, n_threads_prefill, n_chunk_tokens, speculate;
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

/* Open the model of `source` as the recording needs it. The caller releases it before its engine; both are NULL on
 * failure. */
bool replay_open(const struct recording *r, const hearth_source *source, const struct replay_how *how,
                 hearth_engine **engine, hearth_model **model, hearth_error *err);
/* Computes up to the first token that is another. */
bool replay_run(const struct recording *r, hearth_model *model, const struct replay_how *how,
                struct replay_found *found, hearth_error *err);
