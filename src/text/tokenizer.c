#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/pretok.h"
#include "text/special.h"
#include "text/spm.h"
#include "text/ugm.h"
#include "text/wpm.h"

enum { MAX_MERGES = 1 << 22 };
static const size_t max_text_bytes = (size_t)256 << 20;

const char tokenizer_guessed[] =
    "the file names no pre-tokenizer: \"default\" was taken, ids may differ from the model's own";

struct tokenizer {
    struct vocab vocab;
    struct special_set special; /* looked for in trusted text */
    struct special_set always;  /* user-defined tokens: looked for in any text */
    struct pretok *pretok;      /* BPE */
    struct bpe bpe;
    struct spm spm;
    struct wpm wpm;
    struct ugm ugm;
    struct arena arena; /* of the special sets and of the tables of wpm, ugm */
    char name[96];
};

static bool read_merges(struct gguf_array *merges, const struct gguf *g, const char *model, hearth_error *err)
{
    if (!gguf_array_or_none(g, "tokenizer.ggml.merges", GGUF_STRING, MAX_MERGES, merges, err))
        return false;
    return merges->n > 0
           || fail(err, HEARTH_ERR_FORMAT,
                   "tokenizer.ggml.merges is missing, without it a %s vocabulary cannot be used; convert the model "
                   "again",
                   model);
}

static bool create_bpe(struct tokenizer *t, const struct gguf *g, hearth_error *err)
{
    struct gguf_array merges;
    if (!read_merges(&merges, g, "gpt2", err))
        return false;
    struct str pre = t->vocab.pre_guessed ? STR("default") : t->vocab.pre;
    t->pretok = pretok_create(pre, true, err);
    if (!t->pretok)
        return false;
    snprintf(t->name, sizeof t->name, "gpt2 (byte-level BPE, %.*s%s)", (int)min_size(pre.len, 40), pre.ptr,
             t->vocab.pre_guessed ? ", guessed" : "");
    return bpe_build(&t->bpe, &t->vocab, &merges, pretok_flags_of(t->pretok) & PRETOK_WHOLE, err);
}

static bool create_spm(struct tokenizer *t, const struct gguf *g, hearth_error *err)
{
    struct gguf_array merges;
    if (t->vocab.ranked && (!read_merges(&merges, g, "gemma4", err)
                            || !bpe_build(&t->bpe, &t->vocab, &merges, false, err)))
        return false;
    snprintf(t->name, sizeof t->name, t->vocab.ranked ? "gemma4 (BPE of characters)" : "llama (SentencePiece BPE)");
    spm_build(&t->spm, &t->vocab, t->vocab.ranked ? &t->bpe : NULL);
    return true;
}

static bool create_kind(struct tokenizer *t, const struct gguf *g, hearth_error *err)
{
    switch (t->vocab.kind) {
    case VOCAB_BPE: return create_bpe(t, g, err);
    case VOCAB_SPM: return create_spm(t, g, err);
    case VOCAB_WPM:
        if (!wpm_build(&t->wpm, &t->vocab, &t->arena, err))
            return false;
        snprintf(t->name, sizeof t->name, "bert (WordPiece, %s%s)", t->wpm.lower ? "uncased" : "cased",
                 t->wpm.lower && !t->wpm.strip_accents ? ", with accents" : "");
        return true;
    case VOCAB_UGM:
        snprintf(t->name, sizeof t->name, "t5 (SentencePiece Unigram)");
        return ugm_build(&t->ugm, &t->vocab, g, &t->arena, err);
    case VOCAB_NONE: break;
    }
    snprintf(t->name, sizeof t->name, "none");
    return true;
}

static bool create(struct tokenizer *t, const struct gguf *g, hearth_error *err)
{
    arena_init(&t->arena, (size_t)512 << 20);
    if (!vocab_load(&t->vocab, g, err))
        return false;
    unsigned user = 1u << TOKEN_USER_DEFINED;
    unsigned all = user | 1u << TOKEN_CONTROL | 1u << TOKEN_UNKNOWN;
    if (!special_build(&t->special, &t->vocab, all, &t->arena, err)
        || !special_build(&t->always, &t->vocab, user, &t->arena, err))
        return false;
    return create_kind(t, g, err);
}

struct tokenizer *tokenizer_create(const struct gguf *g, hearth_error *err)
{
    struct tokenizer *t = mem_alloc(sizeof *t);
    if (!t) {
        fail_memory(err, "the tokenizer");
        return NULL;
    }
    if (create(t, g, err))
        return t;
    tokenizer_destroy(t);
    return NULL;
}

void tokenizer_destroy(struct tokenizer *t)
{
    if (!t)
        return;
    bpe_free(&t->bpe);
    pretok_destroy(t->pretok);
    arena_free(&t->arena);
    vocab_free(&t->vocab);
    mem_free(t);
}

const struct vocab *tokenizer_vocab(const struct tokenizer *t) { return &t->vocab; }

const struct special_set *tokenizer_always(const struct tokenizer *t) { return &t->always; }

const char *tokenizer_name(const struct tokenizer *t) { return t->name; }

bool tokenizer_hashes(const struct tokenizer *t) { return t->vocab.kind == VOCAB_WPM && t->wpm.hashes; }

size_t tokenizer_bytes(const struct tokenizer *t)
{
    size_t bytes = sizeof *t + t->vocab.arena.total_bytes + t->arena.total_bytes;
    if (t->pretok)
        bytes += pretok_bytes(t->pretok);
    if (t->bpe.pairs)
        bytes += bpe_bytes(t->bpe.n_merges);
    return bytes;
}

void token_list_push(struct token_list *l, int32_t id)
{
    if (l->failed)
        return;
    if (l->n == l->room) {
        size_t room = max_size(l->room * 2, 64);
        int32_t *ids = mem_resize(l->ids, room * sizeof *ids);
        if (!ids) {
            l->failed = true;
            return;
        }
        l->ids = ids;
        l->room = room;
    }
    l->ids[l->n++] = id;
}

void token_list_free(struct token_list *l)
{
    mem_free(l->ids);
    *l = (struct token_list){ 0 };
}

/* Working memory of one call. */
struct work {
    const struct tokenizer *t;
    struct token_list *out;
    struct merger merger;
    struct buf text; /* SPM: escaped; BPE: in NFC; WPM: a word */
    struct ugm_work ugm;
    struct pretok_work pretok;
};

static bool encode_piece(void *ctx, struct str piece, hearth_error *err)
{
    struct work *w = ctx;
    return bpe_encode(&w->t->bpe, &w->merger, piece, w->out, err);
}

/* Runs of ill-formed bytes are pieces of their own, encoded as the bytes they are. */
static bool encode_bpe(struct work *w, struct str text, hearth_error *err)
{
    bool nfc = pretok_flags_of(w->t->pretok) & PRETOK_NFC;
    for (size_t at = 0; at < text.len;) {
        bool valid;
        struct str run = { text.ptr + at, utf8_run(text, at, &valid) };
        at += run.len;
        if (!valid) {
            if (!encode_piece(w, run, err))
                return false;
            continue;
        }
        if (nfc && !nfc_surely(run)) {
            buf_clear(&w->text);
            if (!nfc_append(&w->text, run))
                return fail_memory(err, "normalising text");
            run = buf_str(&w->text);
        }
        if (!pretok_split(w->t->pretok, &w->pretok, run, encode_piece, w, err))
            return false;
    }
    return true;
}

/* Text without special tokens in it. at_start: of the sequence, or right after a special
 * token; that is where SentencePiece models expect their space. */
static bool encode_plain(struct work *w, struct str text, bool at_start, hearth_error *err)
{
    const struct tokenizer *t = w->t;
    if (text.len == 0)
        return true;
    bool with_space = at_start && t->vocab.add_space_prefix;
    switch (t->vocab.kind) {
    case VOCAB_BPE: return encode_bpe(w, text, err);
    case VOCAB_SPM: return spm_encode(&t->spm, &w->merger, &w->text, text, with_space, w->out, err);
    case VOCAB_WPM: return wpm_encode(&t->wpm, &w->text, text, w->out, err);
    case VOCAB_UGM: return ugm_encode(&t->ugm, &w->ugm, text, with_space, w->out, err);
    case VOCAB_NONE: break;
    }
    return true;
}

/* Where a special token may be made of a text. */
struct trust {
    const hearth_span *spans;
    size_t n_spans;
    size_t i, begin; /* the span looked at last, and where it begins */
    const struct special_set *always;
    size_t n_kept;
};

/* End of the run of trusted bytes that holds byte `at`; `at` itself when that one is not trusted. Places
 * must ascend from call to call. */
static size_t trusted_end(struct trust *trust, size_t at)
{
    while (trust->i < trust->n_spans && at >= trust->begin + trust->spans[trust->i].n_bytes)
        trust->begin += trust->spans[trust->i++].n_bytes;
    size_t end = at, begin = trust->begin;
    for (size_t i = trust->i; i < trust->n_spans && (trust->spans[i].trusted || !trust->spans[i].n_bytes); i++)
        end = begin += trust->spans[i].n_bytes;
    return end;
}

/* As special_find(), for a text of which parts are trusted. */
static int32_t find_trusted(const struct tokenizer *t, struct trust *trust, struct str text, size_t *at, size_t *len)
{
    for (;; ++*at, trust->n_kept++) {
        if (special_find(&t->special, text, at, len) < 0)
            return -1;
        size_t end = trusted_end(trust, *at);
        int32_t id = end > *at ? special_at(&t->special, (struct str){ text.ptr + *at, end - *at }, len) : -1;
        if (id < 0)
            id = special_at(trust->always, (struct str){ text.ptr + *at, text.len - *at }, len);
        if (id >= 0)
            return id;
    }
}

static bool encode_text(struct work *w, struct str text, struct trust *trust, bool at_start, hearth_error *err)
{
    for (size_t from = 0; from < text.len;) {
        size_t at = from, len;
        int32_t id = find_trusted(w->t, trust, text, &at, &len);
        if (!encode_plain(w, (struct str){ text.ptr + from, at - from }, at_start, err))
            return false;
        if (id >= 0)
            token_list_push(w->out, id);
        at_start = true;
        from = at + len;
    }
    return true;
}

static bool encode(const struct tokenizer *t, struct str text, struct trust *trust, bool first, struct token_list *out,
                   hearth_error *err)
{
    if (t->vocab.kind == VOCAB_NONE)
        return fail(err, HEARTH_ERR_USAGE, "this model file has no tokenizer; send token ids, or use another file");
    if (text.len > max_text_bytes)
        return fail(err, HEARTH_ERR_USAGE, "the text is %zu bytes long, at most %zu can be tokenized at once; split it",
                    text.len, max_text_bytes);
    struct work w = { .t = t, .out = out };
    size_t n_before = out->n;
    bool ok = encode_text(&w, text, trust, first, err);
    if (ok && out->failed)
        ok = fail_memory(err, "tokenizing text");
    if (!ok)
        out->n = n_before;
    merge_free(&w.merger);
    buf_free(&w.text);
    pretok_work_free(&w.pretok);
    ugm_work_free(&w.ugm);
    return ok;
}

bool tokenizer_encode(const struct tokenizer *t, struct str text, bool parse_special, bool first,
                      struct token_list *out, hearth_error *err)
{
    hearth_span span = { .text = text.ptr, .n_bytes = text.len, .trusted = parse_special };
    struct trust trust = { .spans = &span, .n_spans = 1, .always = &t->always };
    return encode(t, text, &trust, first, out, err);
}

bool tokenizer_encode_spans(const struct tokenizer *t, const hearth_span *spans, size_t n_spans,
                            const struct special_set *always, struct token_list *out, size_t *n_kept,
                            hearth_error *err)
{
    struct trust trust = { .spans = spans, .n_spans = n_spans, .always = always ? always : &t->always };
    struct str text = { n_spans ? spans[0].text : "", 0 };
    for (size_t i = 0; i < n_spans; i++)
        text.len += spans[i].n_bytes;
    bool ok = encode(t, text, &trust, true, out, err);
    if (n_kept)
        *n_kept = trust.n_kept;
    return ok;
}
