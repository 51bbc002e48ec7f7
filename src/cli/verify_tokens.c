/* verify_tokens.c: do texts survive their tokens, and can the tokens of the vocabulary come out of texts? */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "cli/interrupt.h"
#include "cli/text_ids.h"
#include "cli/verify.h"

/* ---- there and back ---- */

/* In Unicode's composed form, so that tokenizers that compose change nothing. */
static const struct {
    const char *name;
    struct str text;
} samples[] = {
    { "plain words", STR("The quick brown fox jumps over the lazy dog.") },
    { "spaces", STR("  two before, three   inside, and two behind  ") },
    { "tabs and line feeds", STR("a\tb\n\nc\r\n\n\n    d\n") },
    { "figures", STR("0 1 22 333 4444 55555 3.14159 1,000,000 2026-11-27") },
    { "punctuation", STR("\"Don't!\" -- he said; (why?) [no] {yes} <b> #1 @you 100% a/b\\c_d") },
    { "code", STR("for (int i = 0; i < n; i++) {\n\treturn x[i] != NULL;\n}\n") },
    { "letters with marks", STR("d\xc3\xa9j\xc3\xa0 vu, \xc3\xbc" "ber, \xc3\xb1, \xc3\x98, \xc5\xa1, \xc4\xb0") },
    { "Cyrillic and Greek", STR("\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, "
                                "\xce\xba\xcf\x8c\xcf\x83\xce\xbc\xce\xb5") },
    { "Chinese and Japanese", STR("\xe4\xbb\x8a\xe5\xa4\xa9\xe5\xa4\xa9\xe6\xb0\x94\xe3\x80\x82"
                                  "\xe6\x97\xa5\xe6\x9c\xac") },
    { "emoji", STR("\xf0\x9f\x99\x82 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 \xe2\x9d\xa4\xef\xb8\x8f") },
    { "Arabic and Hindi", STR("\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 "
                              "\xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d\xe0\xa4\xa4\xe0\xa5\x87") },
    { "a text like a special token", STR("<|im_start|> </s> [INST] <unk>") },
};

/* These change text on purpose: case, spaces, forms of letters. */
static bool changes_text(const struct verify *v)
{
    return str_starts(str_z(v->info.tokenizer), STR("bert")) || str_starts(str_z(v->info.tokenizer), STR("t5"));
}

/* SentencePiece puts a space before a text, which is no mistake. */
static bool same_text(struct str want, struct str got)
{
    return str_eq(want, got) || (got.len == want.len + 1 && got.ptr[0] == ' '
                                 && str_eq(want, (struct str){ got.ptr + 1, got.len - 1 }));
}

static size_t first_difference(struct str a, struct str b)
{
    size_t i = 0;
    while (i < a.len && i < b.len && a.ptr[i] == b.ptr[i])
        i++;
    return i;
}

/* *lost: a token of it stands for what the vocabulary does not have. */
static bool there_and_back(struct verify *v, struct str text, struct buf *back, bool *lost, hearth_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0, n_bytes;
    buf_clear(back);
    *lost = false;
    if (!text_ids(v->file, text.ptr, text.len, false, false, &ids, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *piece = hearth_file_token_text(v->file, ids[i], &n_bytes);
        *lost |= hearth_file_token_special(v->file, ids[i]);
        if (piece)
            buf_put(back, piece, n_bytes);
    }
    mem_free(ids);
    return !back->failed || fail_memory(err, "a text that comes back");
}

static bool check_samples(struct verify *v, size_t *n_lost, hearth_error *err)
{
    struct buf back = { 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(samples); i++) {
        bool lost;
        struct str text = samples[i].text;
        ok = there_and_back(v, text, &back, &lost, err);
        if (!ok || same_text(text, buf_str(&back)))
            continue;
        if (lost) {
            ++*n_lost;
            continue;
        }
        verify_say(v, VERIFY_TOKENIZER, HEARTH_FINDING_PROBLEM, "round-trip", STR("tokenizer.ggml.tokens"),
                   "the sample \"%s\" does not come back from its tokens: it differs from byte %zu on; the vocabulary "
                   "is damaged or of another kind than tokenizer.ggml.model says",
                   samples[i].name, first_difference(text, buf_str(&back)));
    }
    buf_free(&back);
    return ok;
}

/* ---- tokens that no text gives ---- */

/* A byte-level vocabulary was learned from pieces of text, cut as the pre-tokenizer cuts: under the right one nearly
 * every token comes back from its own text as itself, under another those that cross its cuts do not. Seen with eight
 * published vocabularies: 0 to 0.03 % lost under their own, qwen2's 1.3 %; 1.4 to 27 % under most others. */
enum { REACH_SAMPLE = 16384 };
static const double reach_strange = 0.015, reach_wrong = 0.03; /* a warning, a problem */

struct reach {
    size_t n, n_lost;
    int32_t first; /* that is lost; -1 */
};

static bool count_reach(hearth_file *file, int n_vocab, struct reach *r, hearth_error *err)
{
    *r = (struct reach){ .first = -1 };
    for (int32_t id = 0; id < n_vocab; id += 1 + n_vocab / REACH_SAMPLE) {
        int32_t ids[2];
        size_t n_bytes;
        const char *text = hearth_file_token_text(file, id, &n_bytes);
        if (!text || n_bytes == 0 || hearth_file_token_special(file, id)
            || !utf8_valid((struct str){ text, n_bytes }))
            continue;
        int64_t n = hearth_file_tokenize(file, text, n_bytes, false, false, ids, 2, err);
        if (n < 0)
            return false;
        r->n++;
        if (n == 1 && ids[0] == id)
            continue;
        if (r->n_lost++ == 0)
            r->first = id;
    }
    return true;
}

/* Of the ids of all built-in texts: equal where two pre-tokenizers cut them alike. */
static bool hash_texts(hearth_file *file, uint64_t *hash, hearth_error *err)
{
    *hash = 0;
    for (size_t i = 0; i < n_verify_texts; i++) {
        int32_t *ids = NULL;
        size_t n = 0;
        if (!text_ids(file, verify_texts[i].ptr, verify_texts[i].len, false, false, &ids, &n, err))
            return false;
        *hash ^= str_hash((struct str){ (const char *)ids, n * sizeof *ids }) ^ i;
        mem_free(ids);
    }
    return true;
}

static bool reach_under(struct verify *v, struct verify_pretok *p, hearth_error *err)
{
    hearth_source source = v->source;
    hearth_override o = { HEARTH_OVERRIDE_TEXT, "tokenizer.ggml.pre", p->name, 0 };
    struct reach r;
    source.overrides = &o;
    source.n_overrides = 1;
    hearth_file *file = hearth_file_open(&source, err);
    bool ok = file && count_reach(file, v->info.n_vocab, &r, err) && hash_texts(file, &p->ids_hash, err);
    hearth_file_close(file);
    p->lost = ok && r.n ? (double)r.n_lost / (double)r.n : 0;
    return ok;
}

static void say_wrong(struct verify *v, const struct reach *own, const struct verify_pretok *best)
{
    size_t n_bytes;
    const char *text = hearth_file_token_text(v->file, own->first, &n_bytes);
    hearth_finding_level level = v->own_lost > reach_wrong ? HEARTH_FINDING_PROBLEM : HEARTH_FINDING_WARNING;
    verify_say(v, VERIFY_TOKENIZER, level, "wrong-pre-tokenizer", STR("tokenizer.ggml.pre"),
               "%.1f %% of the vocabulary's tokens come out of no text under this pre-tokenizer (token %d, \"%.*s\", "
               "is one), and %.1f %% under \"%s\": the vocabulary was made for that one, or one like it",
               100 * v->own_lost, own->first, text ? (int)min_size(n_bytes, 40) : 0, text ? text : "",
               100 * best->lost, best->name);
}

static bool seen(const struct verify *v, const struct verify_pretok *p)
{
    for (size_t i = 0; i < v->n_pretoks; i++)
        if (v->pretoks[i].ids_hash == p->ids_hash)
            return true;
    return p->ids_hash == v->own_ids_hash;
}

/* Into v->pretoks those that fit the vocabulary about as well as the file's own or better, and cut the texts
 * otherwise. */
static bool check_reach(struct verify *v, hearth_error *err)
{
    const char *names[VERIFY_MOST_PRETOKS];
    struct reach own;
    struct verify_pretok best = { .lost = 2 };
    size_t n = min_size(hearth_pretokenizers(names, VERIFY_MOST_PRETOKS), VERIFY_MOST_PRETOKS);
    if (!count_reach(v->file, v->info.n_vocab, &own, err) || !hash_texts(v->file, &v->own_ids_hash, err))
        return false;
    v->own_lost = own.n ? (double)own.n_lost / (double)own.n : 0;
    progress_begin(&v->progress, "pre-tokenizers");
    progress_doing(&v->progress, "trying");
    for (size_t i = 0; i < n; i++) {
        struct verify_pretok p = { .name = names[i] };
        if (interrupt_pending())
            return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the checks");
        if (!reach_under(v, &p, err))
            return false;
        if (p.lost < best.lost)
            best = p;
        if (p.lost <= v->own_lost + 0.001 && !seen(v, &p))
            v->pretoks[v->n_pretoks++] = p;
        progress_show(&v->progress, i + 1, n, "");
    }
    progress_end(&v->progress);
    if (v->own_lost > reach_strange && best.lost < v->own_lost / 4)
        say_wrong(v, &own, &best);
    return true;
}

bool verify_tokenizer(struct verify *v, hearth_error *err)
{
    size_t n_lost = 0;
    if (v->info.warning[0])
        verify_say(v, VERIFY_TOKENIZER, HEARTH_FINDING_WARNING, "no-pre-tokenizer", STR("tokenizer.ggml.pre"), "%s",
                   v->info.warning);
    if (changes_text(v)) {
        verify_done(v, VERIFY_TOKENIZER, "not compared: %s changes texts on purpose", v->info.tokenizer);
        return true;
    }
    if (!check_samples(v, &n_lost, err))
        return false;
    if (str_starts(str_z(v->info.tokenizer), STR("gpt2")) && !check_reach(v, err))
        return false;
    verify_done(v, VERIFY_TOKENIZER, "%zu texts there and back%s", ARRAY_LEN(samples) - n_lost,
                n_lost ? "; others have characters that the vocabulary lacks" : "");
    return true;
}

/* ---- the chat template ---- */

bool verify_template(struct verify *v, hearth_error *err)
{
    const hearth_finding *f;
    hearth_template_info info;
    if (!hearth_file_template(v->file, &info)) {
        verify_done(v, VERIFY_TEMPLATE, "there is none");
        return true;
    }
    size_t n = hearth_file_template_findings(v->file, &f);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(f[i].code, "out-of-memory") == 0)
            return fail(err, HEARTH_ERR_MEMORY, "%s", f[i].message);
        verify_say(v, VERIFY_TEMPLATE, f[i].level, f[i].code, STR("tokenizer.chat_template"), "%s", f[i].message);
    }
    verify_done(v, VERIFY_TEMPLATE, n ? "%zu things to say" : "nothing to say against it", n);
    return true;
}
