/* vocab.h: the tokens of a model and what is special about them. Immutable once loaded. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "format/gguf.h"

enum vocab_kind { VOCAB_NONE, VOCAB_SPM, VOCAB_BPE, VOCAB_WPM, VOCAB_UGM };

enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE };

struct vocab {
    enum vocab_kind kind;
    int n_tokens;
    struct str *text;   /* [n_tokens] as in the file (BPE: byte-alphabet; others: U+2581 for space) */
    float *score;       /* [n_tokens], SPM and UGM */
    uint8_t *type;      /* [n_tokens] enum token_type */
    bool ranked;        /* SPM whose characters join by merges; there are no scores */
    int32_t bos, eos, unk, pad, eot, eom; /* -1: none */
    int32_t fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep; /* fill in the middle; of several files: rep, sep */
    bool add_bos, add_eos;
    bool add_space_prefix; /* the first space of a sequence is no part of its text */
    uint64_t *eog;      /* bitset: tokens that end an answer */
    struct str pre;     /* tokenizer.ggml.pre; "" when absent */
    bool pre_guessed;   /* no pre-tokenizer name in the file: "default" was taken (worth a warning) */
    uint32_t *index;    /* hash table text -> id, open addressing */
    uint32_t index_mask;
    uint64_t hash_key;  /* drawn at load; no result depends on it */
    int32_t byte_token[256]; /* -1: none */
    struct arena arena;
};

/* Load from tokenizer.* metadata. A file without a tokenizer gives kind VOCAB_NONE and no
 * error; an unknown tokenizer or pre-tokenizer is HEARTH_ERR_FORMAT naming it and the known ones. */
bool vocab_load(struct vocab *v, const struct gguf *g, hearth_error *err);
void vocab_free(struct vocab *v);
int32_t vocab_find(const struct vocab *v, struct str text); /* -1: none */
/* The same for n texts; for many it is several times as fast, because the waits for memory overlap. */
void vocab_find_many(const struct vocab *v, const struct str *texts, int32_t *ids, size_t n);
static inline bool vocab_is_eog(const struct vocab *v, int32_t id)
{
    return id >= 0 && id < v->n_tokens && (v->eog[(uint32_t)id / 64] >> ((uint32_t)id % 64) & 1);
}
