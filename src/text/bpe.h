/* bpe.h: byte-level BPE, and the merges of one over characters (spm.h). Ids only: a table says which two tokens join to
 * which, and how early. Immutable after bpe_build(). */
#pragma once
#include "text/merge.h"
#include "text/tokenizer.h"

struct bpe_pair {
    int32_t left, right;
    uint32_t turn; /* rank + 1; 0: empty slot */
};

struct bpe {
    const struct vocab *vocab;
    struct bpe_pair *pairs; /* open addressing */
    uint32_t mask;
    int32_t *merged;        /* [n_merges] what rank r makes */
    uint32_t n_merges;
    uint32_t n_skipped;     /* merges that name a text the vocabulary lacks */
    bool whole;             /* a piece that is a token is taken whole */
};

/* merges: tokenizer.ggml.merges, "left right" each. About 25 ms for 280,000. */
bool bpe_build(struct bpe *b, const struct vocab *v, const struct gguf_array *merges, bool whole, hearth_error *err);
void bpe_free(struct bpe *b);
size_t bpe_bytes(uint64_t n_merges); /* what bpe_build() holds */
/* How early two tokens join, and to which; MERGE_NONE: they do not. */
uint32_t bpe_rank(const struct bpe *b, int32_t left, int32_t right, int32_t *merged);
/* Append the tokens of one piece. */
bool bpe_encode(const struct bpe *b, struct merger *m, struct str piece, struct token_list *out, hearth_error *err);
