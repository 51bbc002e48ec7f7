/* tokenizer.h: text to token ids and back, by the file's own vocabulary.
 *
 * Immutable after creation: any number of threads may encode at once. */
#pragma once
#include "base/err.h"
#include "format/gguf.h"
#include "text/vocab.h"

struct tokenizer; /* opaque */
struct special_set;

/* g's bytes must outlive the tokenizer. HEARTH_ERR_FORMAT as vocab_load(). */
struct tokenizer *tokenizer_create(const struct gguf *g, hearth_error *err);
void tokenizer_destroy(struct tokenizer *t); /* NULL is fine */
const struct vocab *tokenizer_vocab(const struct tokenizer *t);
/* "gpt2 (byte-level BPE, qwen2)". Lives as long as t. */
const char *tokenizer_name(const struct tokenizer *t);
/* What to say where vocab.pre_guessed is set. */
extern const char tokenizer_guessed[];
/* WordPiece whose tokens keep "##" where they continue a word. */
bool tokenizer_hashes(const struct tokenizer *t);
size_t tokenizer_bytes(const struct tokenizer *t); /* memory it holds */

/* Growing list of ids. */
struct token_list {
    int32_t *ids; /* mem_alloc'ed; free with token_list_free() */
    size_t n, room;
    bool failed;
};
void token_list_push(struct token_list *l, int32_t id);
void token_list_free(struct token_list *l);

/* Append the tokens of one text. parse_special: texts of control and user-defined tokens
 * become those tokens (trusted text); otherwise they are plain text and only user-defined
 * tokens that the published tokenizer always splits off are recognised. first: this text
 * starts the sequence (SPM's space prefix applies). Input of any bytes; invalid UTF-8 is
 * encoded byte by byte. WordPiece
 * and Unigram vocabularies without byte tokens give an unknown token for what they do not have. Limit: 256 MB. Time is
 * O(n log n). */
bool tokenizer_encode(const struct tokenizer *t, struct str text, bool parse_special, bool first,
                      struct token_list *out, hearth_error *err);

/* User-defined tokens: what is looked for in text that is not trusted. Lives as long as t. */
const struct special_set *tokenizer_always(const struct tokenizer *t);

/* The start of a sequence from one text in spans, whose bytes lie one behind the other in memory.
 * A special token is made only of bytes that are all trusted; in the others only those of `always`
 * (NULL: tokenizer_always()) are recognised, and *n_kept (may be NULL) counts the places that look
 * like one and stay text. Otherwise the text is tokenized as a whole: a word may cross spans. */
bool tokenizer_encode_spans(const struct tokenizer *t, const hearth_span *spans, size_t n_spans,
                            const struct special_set *always, struct token_list *out, size_t *n_kept,
                            hearth_error *err);

/* Raw bytes of a token as it appears in text; special tokens: their text if show_special,
 * else nothing. Points into the tokenizer; *scratch (>= 4 KB + 8) is used where unescaping is needed. */
struct str tokenizer_piece(const struct tokenizer *t, int32_t id, bool show_special, char *scratch, size_t room);

/* Streaming detokenizer: whole UTF-8 characters only. SPM's leading space of a sequence is
 * dropped when at_start. Plain struct; no ownership. */
struct detok {
    const struct tokenizer *t;
    bool at_start, show_special;
    uint8_t held[4]; /* the unfinished character */
    int n_held;
};
void detok_init(struct detok *d, const struct tokenizer *t, bool at_start, bool show_special);
/* Text that became whole with this token; out needs room for 4 KB + 16. Returns bytes written.
 * Bytes that can never become UTF-8 come as U+FFFD, one per maximal ill-formed part. */
size_t detok_push(struct detok *d, int32_t id, char *out, size_t room);
size_t detok_finish(struct detok *d, char *out, size_t room); /* what was held back, as U+FFFD */
