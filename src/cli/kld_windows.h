/* kld_windows.h: what a model says of the windows of a text, against what a reference says of the same ones.
 *
 * The reference's logits of one window are kept, n_vocab times 4 bytes for each scored token: the distributions are
 * compared whole, and in the order of the text, so the figures are the same to the last bit whether both models are
 * open or one after the other. */
#pragma once
#include "cli/kld.h"
#include "cli/windows.h"

struct kld_windows {
    const struct windows *windows;
    size_t from;     /* first scored position of a window */
    int n_vocab;
    float *logits;   /* [n_scored][n_vocab] of the reference in one window */
    size_t n_scored; /* of a window */
    struct kld_position *positions; /* [n_positions], those of one window after those of the one before */
    size_t n_positions;
    int32_t *ids;    /* of the window at work */
    bool wrong_vocabulary; /* a model's rows of logits are not what its file says */
};

/* Scored are the tokens after the first half of a window and one more. */
size_t kld_from(const struct windows *w);
/* As many tokens with the same texts, how many into *n_vocab. HEARTH_ERR_USAGE says what is another. */
bool kld_vocabularies(hearth_file *model, hearth_file *reference, int *n_vocab, hearth_error *err);

/* HEARTH_ERR_MEMORY. windows outlives it. Release with kld_windows_free(), also after a failure. */
bool kld_windows_make(struct kld_windows *k, const struct windows *windows, int n_vocab, hearth_error *err);
void kld_windows_free(struct kld_windows *k); /* fine on a zeroed struct */
/* Window i by the reference: its logits are kept. The model holds one window in flight. */
bool kld_windows_keep(struct kld_windows *k, struct measured *reference, size_t i, struct score *score,
                      hearth_error *err);
/* Window i by a model against the logits that are kept: its positions come after those that are there. */
bool kld_windows_compare(struct kld_windows *k, struct measured *model, size_t i, struct score *score,
                         hearth_error *err);
