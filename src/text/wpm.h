/* wpm.h: WordPiece, BERT's tokenizer.
 *
 * Text is cleaned (control characters go, white space parts words, each ideograph and each punctuation mark is a
 * word), in an uncased vocabulary decomposed, freed of its accents and lower-cased, and each word is cut into the
 * longest tokens from the left; a word that cannot be, or has more than 100 characters, is one unknown token.
 * Source: Devlin et al. 2018 (BERT) and the published tokenizer's behaviour (PyPI tokenizers: BertNormalizer,
 * BertPreTokenizer, WordPiece).
 *
 * GGUF files write "foo" as U+2581 "foo" and "##foo" as "foo"; files that kept "##" are read as well. No key says
 * whether a vocabulary is uncased: it is when no ordinary token has a capital ASCII letter, and its accents are
 * stripped when besides no token has one. */
#pragma once
#include "base/buf.h"
#include "text/prefix.h"
#include "text/tokenizer.h"

struct wpm {
    const struct vocab *vocab;
    struct prefix_set tokens;
    bool lower, strip_accents;
    bool hashes; /* "##" marks what continues a word, instead of U+2581 what begins one */
};

/* Memory from arena. HEARTH_ERR_FORMAT without an unknown token. */
bool wpm_build(struct wpm *w, const struct vocab *v, struct arena *arena, hearth_error *err);
/* Append the tokens of text; a run of ill-formed bytes is an unknown token. word: working memory. Linear in the
 * text, times the longest token. */
bool wpm_encode(const struct wpm *w, struct buf *word, struct str text, struct token_list *out, hearth_error *err);
