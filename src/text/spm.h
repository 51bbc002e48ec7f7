/* spm.h: SentencePiece BPE: characters join to the token with the best score, or by a list of merges; what is in no
 * token is written in byte tokens. Immutable after spm_build(). */
#pragma once
#include "base/buf.h"
#include "text/bpe.h"
#include "text/merge.h"
#include "text/tokenizer.h"

struct spm {
    const struct vocab *vocab;
    const struct bpe *merges; /* NULL: scores say what joins */
    size_t longest;       /* bytes of the longest ordinary token */
    bool words_apart;     /* no token holds U+2581 after another character: words never join */
    int32_t ascii[128];   /* token of a character, -1: none */
};

/* merges: of the same vocabulary, and outlives s; or NULL. */
void spm_build(struct spm *s, const struct vocab *v, const struct bpe *merges);
/* Append the tokens of text. with_space: a space is put in front. escaped: working memory. */
bool spm_encode(const struct spm *s, struct merger *m, struct buf *escaped, struct str text, bool with_space,
                struct token_list *out, hearth_error *err);
