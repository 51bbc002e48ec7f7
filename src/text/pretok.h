/* pretok.h: cutting text into the pieces inside which BPE merges. The patterns are data
 * (pretok.def); PCRE2 runs them. Immutable after creation, any number of threads. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum pretok_flags {
    PRETOK_NFC = 1,     /* text is normalised to NFC first */
    PRETOK_WHOLE = 2,   /* a piece that is itself a token is taken whole, whatever the merges say */
    PRETOK_ADD_BOS = 4, /* tokenizer.ggml.add_bos_token is true when the file does not say */
};

struct pretok; /* opaque */

/* Is there such a name? *flags (may be NULL) is then set. */
bool pretok_known(struct str name, unsigned *flags);
/* HEARTH_ERR_FORMAT that says so; false. */
bool pretok_unknown(struct str name, hearth_error *err);
/* "default, gpt-2, ..." into out, 2 KB are enough; always terminated. */
void pretok_names(char *out, size_t room);

/* A name for each pattern, the first in the list: up to cap of them; how many there are. Static. */
size_t pretok_list(const char **names, size_t cap);

/* Compile the patterns of a name. use_jit = false runs PCRE2's interpreter (the same splits,
 * for tests and systems that forbid making code). HEARTH_ERR_FORMAT for an unknown name. */
struct pretok *pretok_create(struct str name, bool use_jit, hearth_error *err);
void pretok_destroy(struct pretok *p); /* NULL is fine */
unsigned pretok_flags_of(const struct pretok *p);
size_t pretok_bytes(const struct pretok *p);

/* One call's working memory; zero it before, pretok_work_free() after. */
struct pretok_work {
    void *match_data, *limits;
};
void pretok_work_free(struct pretok_work *w);

typedef bool pretok_fn(void *ctx, struct str piece, hearth_error *err);

/* Cut well-formed UTF-8 into pieces that together are the text, in order. A false from emit
 * ends it and is passed on. */
bool pretok_split(const struct pretok *p, struct pretok_work *w, struct str text, pretok_fn *emit, void *ctx,
                  hearth_error *err);

/* Append the NFC form of well-formed UTF-8 to out. Linear. False: out of memory. */
bool nfc_append(struct buf *out, struct str text);
/* Text for which NFC changes nothing, told by a glance (false: maybe it does). */
bool nfc_surely(struct str text);
