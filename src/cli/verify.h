/* verify.h: the health of a model, in five checks that each say in words what they find.
 *
 *   weights      every scale and value of the file is finite and of a believable size     verify_weights.c
 *   tokenizer    texts come back from their tokens, and tokens from their texts           verify_tokens.c
 *   template     what the lint of chat templates finds                                    verify_tokens.c
 *   arithmetic   scalar and fast kernels give the same logits, whole or token by token    verify_predict.c
 *   prediction   the model predicts a text, and no other reading of the file does it
 *                better: rope base, pre-tokenizer (verify_predict.c), exchanged tensors   verify_swaps.c
 *
 * A problem is something that is wrong; a warning what may be meant so; neither is said of a healthy model. */
#pragma once
#include "base/arena.h"
#include "cli/command.h"
#include "cli/progress.h"

enum verify_check {
    VERIFY_WEIGHTS,
    VERIFY_TOKENIZER,
    VERIFY_TEMPLATE,
    VERIFY_ARITHMETIC,
    VERIFY_PREDICTION,
    N_VERIFY_CHECKS
};
extern const char *const verify_check_names[N_VERIFY_CHECKS];

struct verify_finding {
    enum verify_check check;
    hearth_finding_level level;
    const char *code;    /* "nan-scale" */
    const char *where;   /* the tensor or the metadata key; "" */
    const char *message; /* a sentence or two */
};

enum { VERIFY_MOST_FINDINGS = 256, VERIFY_MOST_PRETOKS = 64, VERIFY_MOST_PARTS = 512 };

/* A pre-tokenizer that may be the vocabulary's. */
struct verify_pretok {
    const char *name;
    double lost; /* share of the vocabulary's tokens that come out of no text under it */
    uint64_t ids_hash; /* of the tokens that it makes of the built-in texts */
};

struct verify {
    hearth_source source;
    int n_threads;
    hearth_file *file;
    hearth_file_info info;
    hearth_engine *engine; /* the fast one; NULL before verify_arithmetic() */
    struct progress progress;

    struct arena arena; /* of all texts */
    struct verify_finding found[VERIFY_MOST_FINDINGS]; /* the rest is counted */
    size_t n_found, n_of_level[3];
    bool out_of_memory; /* for one of them: there is no report then */
    const char *done[N_VERIFY_CHECKS]; /* what was looked at and how it is, one line; NULL: it was not done */

    double own_lost; /* of the file's own pre-tokenizer; byte-level BPE only */
    uint64_t own_ids_hash;
    struct verify_pretok pretoks[VERIFY_MOST_PRETOKS]; /* [n_pretoks] that fit as well or better and cut otherwise */
    size_t n_pretoks;

    /* Figures of the prediction; 0: not measured. */
    double bits_per_byte, chance_bits_per_byte, nll;
    size_t n_scored_tokens;
    char identity[96], digest[65];
    const char *sha256[VERIFY_MOST_PARTS]; /* [n_sha256] of the file, or of each of a set's; hexadecimal */
    size_t n_sha256;
};

/* Note a finding. The texts are copied. */
void verify_say(struct verify *v, enum verify_check check, hearth_finding_level level, const char *code,
                struct str where, const char *fmt, ...) PRINTF(6, 7);
/* The line of a check that was done. */
void verify_done(struct verify *v, enum verify_check check, const char *fmt, ...) PRINTF(3, 4);

/* The checks. False: it could not be done, and why; what is wrong with the model is a finding and true. */
bool verify_weights(struct verify *v, hearth_error *err);
bool verify_sha256(struct verify *v, hearth_error *err); /* the digest of all bytes */
bool verify_tokenizer(struct verify *v, hearth_error *err);
bool verify_template(struct verify *v, hearth_error *err);
bool verify_arithmetic(struct verify *v, hearth_error *err);
bool verify_prediction(struct verify *v, hearth_error *err);

/* ---- predicting the built-in texts (verify_score.c) ---- */

extern const struct str verify_texts[];
extern const size_t n_verify_texts;

enum { VERIFY_N_PROSE = 4, VERIFY_MOST_TOKENS = 2048 }; /* the first of them are prose */
/* How a model predicts them: nats of each scored token, of all texts one behind the other. */
struct verify_score {
    size_t n_tokens;
    double sum;      /* of nll */
    uint64_t n_bytes; /* that the scored tokens stand for */
    float nll[VERIFY_MOST_TOKENS];
};
double verify_bits_per_byte(const struct verify_score *s);

/* Score texts first..end of verify_texts, each cut to most_tokens, with the source's file and these overrides on top.
 * against (NULL: none): the rest of the texts is left out once it is clear that they will not be predicted better than
 * there by least_gain nats a token. HEARTH_ERR_MODEL: its logits are no numbers. */
struct verify_run {
    const hearth_override *overrides;
    size_t n_overrides, first, end;
    int most_tokens;
    const struct verify_score *against;
    double least_gain;
};
bool verify_score(struct verify *v, const struct verify_run *run, struct verify_score *out, hearth_error *err);
/* One scoring request to its END; its tokens are added. Ctrl-C (interrupt_hold()) is HEARTH_ERR_CANCELLED. */
bool verify_run_request(hearth_model *model, const hearth_request *r, struct verify_score *out, hearth_error *err);
/* How much better b is than a in nats a token, when both have the same tokens, and the standard error of that. */
double verify_gain(const struct verify_score *a, const struct verify_score *b, double *error);

/* Tensors that stand in each other's place. own NULL: by their weights alone; else by what is predicted better than
 * there, where the file is as it is. */
bool verify_swaps(struct verify *v, const struct verify_score *own, int most_tokens, hearth_error *err);
