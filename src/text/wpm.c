#include "text/wpm.h"

#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

enum { MAX_WORD_CHARS = 100, MAX_DECOMPOSED = 32 };

static const char space_mark[3] = "\xe2\x96\x81"; /* U+2581 */

static unsigned category(uint32_t c) { return (unsigned)utf8proc_category((utf8proc_int32_t)c); }

static bool is_space(uint32_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || category(c) == UTF8PROC_CATEGORY_ZS
           || c == 0x2028 || c == 0x2029;
}

/* What cleaning removes. Characters that are not assigned stay, as published. */
static bool is_removed(uint32_t c)
{
    unsigned k = category(c);
    return c == 0xfffd || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO
           || k == UTF8PROC_CATEGORY_CS;
}

static bool is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df)
           || (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf)
           || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* Unicode's punctuation, and all of ASCII that is neither letter, digit, space nor control. */
static bool is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return c > ' ' && c < 0x7f && !(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    unsigned k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* Its canonical decomposition; the count. */
static int decompose(uint32_t c, int32_t out[MAX_DECOMPOSED])
{
    int last_class = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, out, MAX_DECOMPOSED,
                                                 UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &last_class);
    if (n >= 1 && n <= MAX_DECOMPOSED)
        return (int)n;
    out[0] = (int32_t)c;
    return 1;
}

static bool takes_part(const struct vocab *v, int32_t id)
{
    struct str t = v->text[id];
    return v->type[id] != TOKEN_CONTROL && v->type[id] != TOKEN_UNKNOWN
           && !(t.len >= 2 && t.ptr[0] == '[' && t.ptr[t.len - 1] == ']'); /* "[unused7]" */
}

static bool has_accent(struct str text)
{
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = (const uint8_t *)text.ptr + i;
        int length = utf8_length(p, text.len - i, NULL, NULL);
        int32_t parts[MAX_DECOMPOSED];
        int n = length > 1 ? decompose(utf8_code_point(p, length), parts) : 0;
        for (int k = 0; k < n; k++)
            if (category((uint32_t)parts[k]) == UTF8PROC_CATEGORY_MN)
                return true;
        i += length > 0 ? (size_t)length : 1;
    }
    return false;
}

/* The conventions of the file, from its texts. */
static void look_at_texts(struct wpm *w, const struct vocab *v)
{
    bool marks = false, hashes = false, capitals = false, accents = false;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        struct str t = v->text[i];
        if (!takes_part(v, i))
            continue;
        marks = marks || (t.len >= 3 && memcmp(t.ptr, space_mark, 3) == 0);
        hashes = hashes || (t.len > 2 && memcmp(t.ptr, "##", 2) == 0);
        for (size_t k = 0; k < t.len; k++)
            capitals = capitals || (t.ptr[k] >= 'A' && t.ptr[k] <= 'Z');
        accents = accents || has_accent(t);
    }
    w->hashes = hashes && !marks;
    w->lower = !capitals;
    w->strip_accents = !capitals && !accents;
}

bool wpm_build(struct wpm *w, const struct vocab *v, struct arena *arena, hearth_error *err)
{
    *w = (struct wpm){ .vocab = v };
    if (v->unk < 0)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the WordPiece vocabulary has no unknown token (tokenizer.ggml.unknown_token_id); convert the "
                    "model again");
    look_at_texts(w, v);
    return prefix_build(&w->tokens, v, 1u << TOKEN_NORMAL | 1u << TOKEN_USER_DEFINED | 1u << TOKEN_UNUSED, arena, err);
}

/* The longest token at `at`, its bytes in *len; -1: none. */
static int32_t longest(const struct wpm *w, struct str word, size_t at, size_t *len)
{
    struct prefix_walk walk = { 0 };
    int32_t best = -1;
    const char *lead = w->hashes ? at > 0 ? "##" : "" : at > 0 ? "" : "\xe2\x96\x81";
    for (const char *p = lead; *p; p++)
        (void)prefix_step(&w->tokens, &walk, (uint8_t)*p);
    if (*lead && prefix_over(&walk))
        return -1;
    for (size_t i = at; i < word.len; i++) {
        int32_t id = prefix_step(&w->tokens, &walk, (uint8_t)word.ptr[i]);
        if (id >= 0) {
            best = id;
            *len = i + 1 - at;
        }
        if (prefix_over(&walk))
            break;
    }
    return best;
}

struct words {
    const struct wpm *w;
    struct buf *word;
    size_t n_chars;
    struct token_list *out;
    bool failed; /* a word was lost: clearing the buffer forgets it */
};

static void end_word(struct words *s)
{
    struct str word = buf_str(s->word);
    size_t n_before = s->out->n;
    bool known = s->n_chars <= MAX_WORD_CHARS;
    for (size_t at = 0, len = 0; known && at < word.len; at += len) {
        int32_t id = longest(s->w, word, at, &len);
        known = id >= 0;
        if (known)
            token_list_push(s->out, id);
    }
    if (!known) {
        s->out->n = n_before;
        token_list_push(s->out, s->w->vocab->unk);
    }
    s->failed |= s->word->failed;
    buf_clear(s->word);
    s->n_chars = 0;
}

/* A character after normalization. Nothing is kept of a word that is too long already. */
static void add_char(struct words *s, uint32_t c)
{
    bool alone = is_punctuation(c);
    if (is_space(c) || (alone && s->n_chars > 0))
        end_word(s);
    if (is_space(c))
        return;
    utf8proc_uint8_t bytes[4];
    if (s->n_chars <= MAX_WORD_CHARS)
        buf_put(s->word, bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, bytes));
    s->n_chars++;
    if (alone)
        end_word(s);
}

static void add_normalized(struct words *s, uint32_t c)
{
    int32_t parts[MAX_DECOMPOSED] = { (int32_t)c };
    int n = s->w->strip_accents && c >= 0x80 ? decompose(c, parts) : 1;
    for (int i = 0; i < n; i++) {
        uint32_t part = (uint32_t)parts[i];
        if (s->w->strip_accents && category(part) == UTF8PROC_CATEGORY_MN)
            continue;
        if (!s->w->lower) {
            add_char(s, part);
        } else if (part == 0x130) { /* the only letter whose lower case is two characters */
            add_char(s, 'i');
            add_char(s, 0x307);
        } else {
            add_char(s, (uint32_t)utf8proc_tolower((utf8proc_int32_t)part));
        }
    }
}

bool wpm_encode(const struct wpm *w, struct buf *word, struct str text, struct token_list *out, hearth_error *err)
{
    struct words s = { .w = w, .word = word, .out = out };
    buf_clear(word);
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = (const uint8_t *)text.ptr + i;
        int length = utf8_length(p, text.len - i, NULL, NULL);
        if (length == 0) {
            bool valid;
            if (s.n_chars > 0)
                end_word(&s);
            token_list_push(out, w->vocab->unk);
            i += utf8_run(text, i, &valid);
            continue;
        }
        uint32_t c = utf8_code_point(p, length);
        bool alone = is_ideograph(c), space = is_space(c);
        i += (size_t)length;
        if (s.n_chars > 0 && (alone || space))
            end_word(&s);
        if (!space && !is_removed(c))
            add_normalized(&s, c);
        if (alone && s.n_chars > 0)
            end_word(&s);
    }
    if (s.n_chars > 0)
        end_word(&s);
    return !s.failed || fail_memory(err, "tokenizing text");
}
