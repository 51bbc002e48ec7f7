/* ugm.h: SentencePiece Unigram, T5's tokenizer: of all ways to cut the text into tokens the one with the best sum of
 * scores (Viterbi). Source: Kudo 2018 (subword regularization) and sentencepiece's behaviour (normalizer.cc,
 * unigram_model.cc: EncodeOptimized). Immutable once built. */
#pragma once
#include "base/buf.h"
#include "text/charsmap.h"
#include "text/prefix.h"
#include "text/tokenizer.h"

struct ugm {
    const struct vocab *vocab;
    struct prefix_set tokens;
    struct charsmap charsmap;
    float unknown_score; /* the least of the ordinary scores, less 10 */
    float best_score;    /* the greatest: what a user-defined token is worth a byte */
    bool remove_extra_whitespace;
};

/* One call's working memory; zero it before, ugm_work_free() after. */
struct ugm_work {
    struct buf text;        /* normalized */
    struct ugm_place *best; /* [room] */
    size_t room;
};
void ugm_work_free(struct ugm_work *w);

/* Memory from arena; points into g. HEARTH_ERR_FORMAT for a damaged charsmap. */
bool ugm_build(struct ugm *u, const struct vocab *v, const struct gguf *g, struct arena *arena, hearth_error *err);
/* Append the tokens of text. with_space: a space is put in front. What is in no token is written in byte tokens,
 * where the vocabulary has none as one unknown token a run. Linear in the normalized text, times the longest token. */
bool ugm_encode(const struct ugm *u, struct ugm_work *w, struct str text, bool with_space, struct token_list *out,
                hearth_error *err);
