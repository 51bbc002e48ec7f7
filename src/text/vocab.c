#include "text/vocab.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/keyed_hash.h"
#include "text/pretok.h"

/* Limits on the file (docs/operating.md). The index keeps 22 bits of id. */
enum { MAX_TOKENS = 1 << 22, TOKEN_MAX_BYTES = 4096 };

/* An index entry: a mark, 9 bits of hash so that most wrong candidates are never looked at,
 * 22 bits of id. 0 is empty. */
#define ENTRY_USED 0x80000000u
#define ENTRY_ID   0x003fffffu

static uint32_t entry_of(uint64_t hash, uint32_t id) { return ENTRY_USED | (uint32_t)(hash >> 55) << 22 | id; }

static int32_t find_hashed(const struct vocab *v, struct str text, uint64_t hash)
{
    for (uint32_t i = (uint32_t)hash & v->index_mask; v->index[i]; i = (i + 1) & v->index_mask) {
        uint32_t id = v->index[i] & ENTRY_ID;
        if (v->index[i] == entry_of(hash, id) && str_eq(v->text[id], text))
            return (int32_t)id;
    }
    return -1;
}

int32_t vocab_find(const struct vocab *v, struct str text)
{
    return v->index ? find_hashed(v, text, keyed_hash(v->hash_key, text)) : -1;
}

void vocab_find_many(const struct vocab *v, const struct str *texts, int32_t *ids, size_t n)
{
    enum { GROUP = 64 };
    uint64_t hash[GROUP];
    for (size_t from = 0; from < n; from += GROUP) {
        size_t group = min_size(n - from, GROUP);
        /* Index, text and bytes lie in three places: fetch each for the whole group. */
        for (size_t i = 0; i < group; i++) {
            hash[i] = keyed_hash(v->hash_key, texts[from + i]);
            __builtin_prefetch(&v->index[(uint32_t)hash[i] & v->index_mask]);
        }
        for (size_t i = 0; i < group; i++)
            __builtin_prefetch(&v->text[v->index[(uint32_t)hash[i] & v->index_mask] & ENTRY_ID]);
        for (size_t i = 0; i < group; i++) {
            uint32_t entry = v->index[(uint32_t)hash[i] & v->index_mask];
            if (entry)
                __builtin_prefetch(v->text[entry & ENTRY_ID].ptr);
        }
        for (size_t i = 0; i < group; i++)
            ids[from + i] = find_hashed(v, texts[from + i], hash[i]);
    }
}

/* Of two tokens with one text the ordinary one is found, else the first. */
static void index_add(struct vocab *v, uint32_t id)
{
    uint64_t hash = keyed_hash(v->hash_key, v->text[id]);
    uint32_t i = (uint32_t)hash & v->index_mask;
    for (; v->index[i]; i = (i + 1) & v->index_mask) {
        uint32_t other = v->index[i] & ENTRY_ID;
        if (v->index[i] != entry_of(hash, other) || !str_eq(v->text[other], v->text[id]))
            continue;
        if (v->type[other] == TOKEN_NORMAL || v->type[id] != TOKEN_NORMAL)
            return;
        break;
    }
    v->index[i] = entry_of(hash, id);
}

static bool build_index(struct vocab *v, hearth_error *err)
{
    uint32_t room = 16;
    while (room < 2 * (uint32_t)v->n_tokens)
        room *= 2;
    v->index = arena_array(&v->arena, uint32_t, room);
    if (!v->index)
        return fail_memory(err, "the vocabulary's index");
    v->index_mask = room - 1;
    for (int i = 0; i < v->n_tokens; i++)
        index_add(v, (uint32_t)i);
    return true;
}

/* What a token may grow to when its bytes are shown with every ill-formed one as U+FFFD:
 * the detokenizer's callers have room for 4 KB. */
static bool text_fits(struct str text)
{
    size_t worst = text.len;
    if (worst > TOKEN_MAX_BYTES / 3 && worst <= TOKEN_MAX_BYTES)
        for (size_t i = 0; i < text.len; i++)
            worst += (uint8_t)text.ptr[i] >= 0x80 ? 2 : 0;
    return worst <= TOKEN_MAX_BYTES;
}

static bool read_texts(struct vocab *v, const struct gguf *g, hearth_error *err)
{
    struct gguf_array a;
    if (!gguf_array_or_none(g, "tokenizer.ggml.tokens", GGUF_STRING, MAX_TOKENS, &a, err))
        return false;
    if (a.n == 0)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the file names a tokenizer but tokenizer.ggml.tokens is missing or empty; download it again");
    v->n_tokens = (int)a.n;
    v->text = arena_array(&v->arena, struct str, a.n);
    v->type = arena_array(&v->arena, uint8_t, a.n);
    v->eog = arena_array(&v->arena, uint64_t, (a.n + 63) / 64);
    if (v->arena.failed)
        return fail_memory(err, "the vocabulary");
    uint64_t cursor = 0;
    for (uint64_t i = 0; i < a.n; i++) {
        v->text[i] = gguf_array_next_str(&a, &cursor);
        v->type[i] = TOKEN_NORMAL;
        if (!text_fits(v->text[i]))
            return fail(err, HEARTH_ERR_FORMAT,
                        "token %llu is %zu bytes long, at most %d are allowed (a third of it for text that is not "
                        "ASCII); the file is damaged",
                        (unsigned long long)i, v->text[i].len, TOKEN_MAX_BYTES);
    }
    return true;
}

static bool same_length(const struct vocab *v, const char *key, uint64_t n, hearth_error *err)
{
    if (n == (uint64_t)v->n_tokens)
        return true;
    return fail(err, HEARTH_ERR_FORMAT, "%s has %llu items for %d tokens; the file is damaged", key,
                (unsigned long long)n, v->n_tokens);
}

static bool read_types(struct vocab *v, const struct gguf *g, hearth_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const struct gguf_value *value = gguf_find(g, key);
    if (!value)
        return true;
    enum gguf_type elem = value->type == GGUF_ARRAY && value->elem == GGUF_U32 ? GGUF_U32 : GGUF_I32;
    struct gguf_array a;
    if (!gguf_array_or_none(g, key, elem, MAX_TOKENS, &a, err) || !same_length(v, key, a.n, err))
        return false;
    for (int i = 0; i < v->n_tokens; i++) {
        int32_t type = gguf_array_i32(&a, (uint64_t)i);
        if (type < 0 || type > TOKEN_BYTE)
            return fail(err, HEARTH_ERR_FORMAT, "%s[%d] is %d, not one of 0 to %d; the file is damaged", key, i,
                        (int)type, TOKEN_BYTE);
        v->type[i] = (uint8_t)(type == 0 ? TOKEN_NORMAL : type); /* 0 is "undefined" */
    }
    return true;
}

/* SentencePiece's kinds: scores, tokens for bytes, "<unk>" and its like. */
static bool has_scores(const struct vocab *v) { return v->kind == VOCAB_SPM || v->kind == VOCAB_UGM; }

static bool read_scores(struct vocab *v, const struct gguf *g, hearth_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    if (!has_scores(v) || v->ranked)
        return true; /* byte-level BPE has ranks instead, WordPiece lengths; some files carry zeros */
    struct gguf_array a;
    if (!gguf_array_or_none(g, key, GGUF_F32, MAX_TOKENS, &a, err) || !same_length(v, key, a.n, err))
        return false;
    v->score = arena_array(&v->arena, float, v->n_tokens);
    if (!v->score)
        return fail_memory(err, "the vocabulary's scores");
    for (int i = 0; i < v->n_tokens; i++) {
        v->score[i] = gguf_array_f32(&a, (uint64_t)i);
        if (!isfinite(v->score[i]))
            return fail(err, HEARTH_ERR_FORMAT, "%s[%d] is not a finite number; the file is damaged", key, i);
    }
    return true;
}

/* SPM: tokens of type byte; a file without types has them by their text. */
static bool find_byte_tokens_spm(struct vocab *v, bool has_types, hearth_error *err)
{
    for (int i = 0; i < v->n_tokens; i++) {
        if (has_types && v->type[i] != TOKEN_BYTE)
            continue;
        int byte = byte_of_token_text(v->text[i]);
        if (byte < 0 && has_types)
            return fail(err, HEARTH_ERR_FORMAT,
                        "token %d is a byte token but its text \"" STR_FMT "\" is not of the form <0x0A>; "
                        "the file is damaged",
                        i, STR_ARG(v->text[i]));
        if (byte < 0)
            continue;
        v->type[i] = TOKEN_BYTE;
        if (v->byte_token[byte] < 0)
            v->byte_token[byte] = i;
    }
    return true;
}

static void find_byte_tokens_bpe(struct vocab *v)
{
    for (unsigned b = 0; b < 256; b++) {
        uint32_t c = char_of_byte(b);
        char text[2] = { (char)c, 0 };
        size_t len = 1;
        if (c >= 0x80) {
            text[0] = (char)(0xc0 | c >> 6);
            text[1] = (char)(0x80 | (c & 0x3f));
            len = 2;
        }
        v->byte_token[b] = vocab_find(v, (struct str){ text, len });
    }
}

/* A special id: -1 when absent or written as the common "none", 2^32 - 1. */
static bool read_id(const struct vocab *v, const struct gguf *g, const char *key, int32_t *out, hearth_error *err)
{
    const struct gguf_value *value = gguf_find(g, key);
    if (!value)
        return true;
    if (value->type == GGUF_I32 || value->type == GGUF_U32) {
        int32_t id;
        memcpy(&id, value->data, sizeof id);
        if (id == -1)
            return true;
    }
    uint64_t id;
    if (!gguf_need_uint(g, key, 0, (uint64_t)v->n_tokens - 1, &id, err))
        return false;
    *out = (int32_t)id;
    return true;
}

static bool read_special_ids(struct vocab *v, const struct gguf *g, hearth_error *err)
{
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {
        { "tokenizer.ggml.bos_token_id", &v->bos },         { "tokenizer.ggml.eos_token_id", &v->eos },
        { "tokenizer.ggml.unknown_token_id", &v->unk },     { "tokenizer.ggml.padding_token_id", &v->pad },
        { "tokenizer.ggml.eot_token_id", &v->eot },         { "tokenizer.ggml.eom_token_id", &v->eom },
        { "tokenizer.ggml.prefix_token_id", &v->fim_pre },  { "tokenizer.ggml.fim_pre_token_id", &v->fim_pre },
        { "tokenizer.ggml.suffix_token_id", &v->fim_suf },  { "tokenizer.ggml.fim_suf_token_id", &v->fim_suf },
        { "tokenizer.ggml.middle_token_id", &v->fim_mid },  { "tokenizer.ggml.fim_mid_token_id", &v->fim_mid },
        { "tokenizer.ggml.fim_pad_token_id", &v->fim_pad }, { "tokenizer.ggml.fim_rep_token_id", &v->fim_rep },
        { "tokenizer.ggml.fim_sep_token_id", &v->fim_sep },
    };
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        if (!read_id(v, g, ids[i].key, ids[i].id, err))
            return false;
    /* BERT's [CLS] and [SEP] stand where others have begin and end. */
    if (v->kind == VOCAB_WPM
        && ((v->bos < 0 && !read_id(v, g, "tokenizer.ggml.cls_token_id", &v->bos, err))
            || (v->eos < 0 && !read_id(v, g, "tokenizer.ggml.seperator_token_id", &v->eos, err))))
        return false;
    if (v->kind == VOCAB_WPM && v->unk < 0)
        v->unk = vocab_find(v, STR("[UNK]"));
    if (v->kind == VOCAB_UGM && v->unk < 0)
        v->unk = vocab_find(v, STR("<unk>"));
    if (v->kind == VOCAB_UGM && v->eos < 0)
        v->eos = vocab_find(v, STR("</s>"));
    /* SentencePiece's own layout, for SPM files that leave it out. */
    const struct {
        const char *text;
        int32_t *id;
    } spm[] = { { "<unk>", &v->unk }, { "<s>", &v->bos }, { "</s>", &v->eos } };
    for (int i = 0; i < 3 && v->kind == VOCAB_SPM; i++)
        if (*spm[i].id < 0 && i < v->n_tokens && str_eq_z(v->text[i], spm[i].text))
            *spm[i].id = i;
    return true;
}

/* The token of this text, if it is one that ordinary text never becomes. */
static int32_t find_special(const struct vocab *v, const char *text, bool control_only)
{
    int32_t id = vocab_find(v, str_z(text));
    if (id < 0 || (v->type[id] != TOKEN_CONTROL && (control_only || v->type[id] != TOKEN_USER_DEFINED)))
        return -1;
    return id;
}

static void mark_eog(struct vocab *v, int32_t id)
{
    if (id >= 0)
        v->eog[id / 64] |= (uint64_t)1 << (id % 64);
}

static void find_eog(struct vocab *v)
{
    enum role { eot, eom, other };
    static const struct {
        const char *text;
        enum role role;
        bool control_only;
    } known[] = {
#define EOG(text, role)         { text, role, false },
#define EOG_CONTROL(text, role) { text, role, true },
#include "text/eog.def"
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        int32_t id = find_special(v, known[i].text, known[i].control_only);
        mark_eog(v, id);
        int32_t *slot = known[i].role == eot ? &v->eot : known[i].role == eom ? &v->eom : NULL;
        if (slot && *slot < 0)
            *slot = id;
    }
    mark_eog(v, v->eos);
    mark_eog(v, v->eot);
    mark_eog(v, v->eom);
}

static void find_fim(struct vocab *v)
{
    enum slot { pre, suf, mid, pad, rep, sep };
    static const struct {
        enum slot slot;
        const char *text;
    } known[] = {
#define FIM(slot, text) { slot, text },
#include "text/fim.def"
    };
    int32_t *const slots[] = { &v->fim_pre, &v->fim_suf, &v->fim_mid, &v->fim_pad, &v->fim_rep, &v->fim_sep };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (*slots[known[i].slot] < 0)
            *slots[known[i].slot] = find_special(v, known[i].text, false);
}

static bool read_kind(struct vocab *v, struct str model, hearth_error *err)
{
    v->ranked = str_eq_z(model, "gemma4");
    if (str_eq_z(model, "none") || str_eq_z(model, "no_vocab"))
        v->kind = VOCAB_NONE;
    else if (str_eq_z(model, "llama") || v->ranked)
        v->kind = VOCAB_SPM;
    else if (str_eq_z(model, "gpt2"))
        v->kind = VOCAB_BPE;
    else if (str_eq_z(model, "bert"))
        v->kind = VOCAB_WPM;
    else if (str_eq_z(model, "t5"))
        v->kind = VOCAB_UGM;
    else
        return fail(err, HEARTH_ERR_FORMAT,
                    "tokenizer.ggml.model is \"" STR_FMT "\", which this build does not know; it knows llama "
                    "(SentencePiece BPE), gemma4 (the same with merges), gpt2 (byte-level BPE), bert (WordPiece) and "
                    "t5 (SentencePiece Unigram)",
                    STR_ARG(model));
    return true;
}

static bool read_pre(struct vocab *v, const struct gguf *g, unsigned *flags, hearth_error *err)
{
    *flags = 0;
    if (!gguf_str_or(g, "tokenizer.ggml.pre", STR(""), &v->pre, err))
        return false;
    if (v->kind != VOCAB_BPE)
        return true;
    v->pre_guessed = v->pre.len == 0;
    if (pretok_known(v->pre_guessed ? STR("default") : v->pre, flags))
        return true;
    return pretok_unknown(v->pre, err);
}

static bool read_flags(struct vocab *v, const struct gguf *g, unsigned pre_flags, hearth_error *err)
{
    bool spm = v->kind == VOCAB_SPM, wpm = v->kind == VOCAB_WPM, ugm = v->kind == VOCAB_UGM;
    bool bos = spm || wpm || (pre_flags & PRETOK_ADD_BOS);
    if (!gguf_bool_or(g, "tokenizer.ggml.add_bos_token", bos, &v->add_bos, err)
        || !gguf_bool_or(g, "tokenizer.ggml.add_eos_token", wpm || ugm, &v->add_eos, err)
        || !gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", (spm && !v->ranked) || ugm, &v->add_space_prefix, err))
        return false;
    v->add_space_prefix = v->add_space_prefix || wpm; /* each word has its space, the first one too */
    return true;
}

static bool load(struct vocab *v, const struct gguf *g, hearth_error *err)
{
    struct str model;
    unsigned pre_flags;
    if (!gguf_str_or(g, "tokenizer.ggml.model", STR("none"), &model, err) || !read_kind(v, model, err))
        return false;
    if (v->kind == VOCAB_NONE)
        return true;
    if (!read_pre(v, g, &pre_flags, err) || !read_texts(v, g, err) || !read_types(v, g, err)
        || !read_scores(v, g, err))
        return false;
    if (has_scores(v)
        && !find_byte_tokens_spm(v, gguf_find(g, "tokenizer.ggml.token_type") != NULL, err))
        return false;
    if (!build_index(v, err))
        return false;
    if (v->kind == VOCAB_BPE)
        find_byte_tokens_bpe(v);
    if (!read_special_ids(v, g, err) || !read_flags(v, g, pre_flags, err))
        return false;
    find_eog(v);
    find_fim(v);
    /* A flag without its token cannot be obeyed. */
    v->add_bos = v->add_bos && v->bos >= 0;
    v->add_eos = v->add_eos && v->eos >= 0;
    return true;
}

bool vocab_load(struct vocab *v, const struct gguf *g, hearth_error *err)
{
    *v = (struct vocab){ .bos = -1, .eos = -1, .unk = -1, .pad = -1, .eot = -1, .eom = -1,
                         .fim_pre = -1, .fim_suf = -1, .fim_mid = -1, .fim_pad = -1, .fim_rep = -1, .fim_sep = -1,
                         .pre = STR(""),
                         .hash_key = rng_entropy() };
    for (int i = 0; i < 256; i++)
        v->byte_token[i] = -1;
    /* 16 + 4 + 1 bytes a token, and an index of at most 4 entries a token. */
    arena_init(&v->arena, (size_t)256 << 20);
    if (load(v, g, err))
        return true;
    vocab_free(v);
    return err_context(err, "vocabulary");
}

void vocab_free(struct vocab *v)
{
    arena_free(&v->arena);
    *v = (struct vocab){ 0 };
}
