#include "text/spm.h"

#include <string.h>

#include "base/utf8.h"

static const char space_mark[3] = "\xe2\x96\x81"; /* U+2581 */

static bool is_mark(const char *p, size_t n) { return n >= 3 && memcmp(p, space_mark, 3) == 0; }

/* Control, unknown and byte tokens are never made by joining characters: "</s>" in plain
 * text stays plain text. */
static int32_t find_ordinary(const struct vocab *v, struct str text)
{
    int32_t id = vocab_find(v, text);
    if (id < 0 || v->type[id] == TOKEN_CONTROL || v->type[id] == TOKEN_UNKNOWN || v->type[id] == TOKEN_BYTE)
        return -1;
    return id;
}

/* Does U+2581 follow another character in it? */
static bool has_inner_mark(struct str text)
{
    for (size_t i = 1; i + 3 <= text.len; i++)
        if (is_mark(text.ptr + i, text.len - i) && !(i >= 3 && is_mark(text.ptr + i - 3, 3)))
            return true;
    return false;
}

void spm_build(struct spm *s, const struct vocab *v, const struct bpe *merges)
{
    *s = (struct spm){ .vocab = v, .merges = merges, .words_apart = true };
    for (int i = 0; i < v->n_tokens; i++) {
        if (v->type[i] == TOKEN_CONTROL || v->type[i] == TOKEN_UNKNOWN || v->type[i] == TOKEN_BYTE)
            continue;
        s->longest = max_size(s->longest, v->text[i].len);
        s->words_apart = s->words_apart && !has_inner_mark(v->text[i]);
    }
    for (int c = 0; c < 128; c++) {
        char text = (char)c;
        s->ascii[c] = find_ordinary(v, (struct str){ &text, 1 });
    }
}

struct word {
    const struct spm *s;
    struct str text;
};

/* Bits that order as minus the score does: the best score is the least key. Finite scores
 * never reach MERGE_NONE. */
static uint32_t key_of_score(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

static uint32_t pair_key(const void *ctx, const struct merger *m, int32_t left, int32_t *merged)
{
    const struct word *w = ctx;
    int32_t right = m->symbol[left].next;
    if (w->s->merges)
        return bpe_rank(w->s->merges, m->symbol[left].id, m->symbol[right].id, merged);
    int32_t after = m->symbol[right].next;
    size_t end = after < 0 ? w->text.len : (size_t)after;
    size_t len = end - (size_t)left;
    if (len > w->s->longest)
        return MERGE_NONE;
    *merged = find_ordinary(w->s->vocab, (struct str){ w->text.ptr + left, len });
    return *merged < 0 ? MERGE_NONE : key_of_score(w->s->vocab->score[*merged]);
}

/* One symbol a character, at the index of its first byte. */
static size_t fill_symbols(const struct spm *s, struct merger *m, struct str text)
{
    size_t n = 0;
    int32_t prev = -1;
    for (size_t i = 0; i < text.len; n++) {
        const uint8_t *p = (const uint8_t *)text.ptr + i;
        int length = utf8_length(p, text.len - i, NULL, NULL);
        size_t bytes = length > 0 ? (size_t)length : 1; /* an ill-formed byte is a symbol of its own */
        int32_t id = *p < 0x80 ? s->ascii[*p] : find_ordinary(s->vocab, (struct str){ text.ptr + i, bytes });
        m->symbol[i] = (struct merge_symbol){ .prev = prev, .next = (int32_t)(i + bytes), .id = id };
        prev = (int32_t)i;
        i += bytes;
    }
    m->symbol[prev].next = -1;
    return n;
}

static bool push_bytes(const struct vocab *v, struct str text, struct token_list *out, hearth_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        int32_t id = v->byte_token[(uint8_t)text.ptr[i]];
        if (id < 0 && v->unk < 0)
            return fail(err, HEARTH_ERR_FORMAT,
                        "the vocabulary has no token for byte 0x%02x and no unknown token; use another model file",
                        (uint8_t)text.ptr[i]);
        token_list_push(out, id >= 0 ? id : v->unk);
        if (id < 0)
            return true; /* one unknown token for the whole character */
    }
    return true;
}

static bool encode_word(const struct spm *s, struct merger *m, struct str text, struct token_list *out,
                        hearth_error *err)
{
    if (!merge_reserve(m, text.len))
        return fail_memory(err, "tokenizing text");
    struct word w = { s, text };
    if (!merge_run(m, fill_symbols(s, m, text), pair_key, &w))
        return fail_memory(err, "tokenizing text");
    for (int32_t i = 0, next; i >= 0; i = next) {
        next = m->symbol[i].next;
        size_t end = next < 0 ? text.len : (size_t)next;
        if (m->symbol[i].id >= 0)
            token_list_push(out, m->symbol[i].id);
        else if (!push_bytes(s->vocab, (struct str){ text.ptr + i, end - (size_t)i }, out, err))
            return false;
    }
    return true;
}

static void escape_spaces(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len;) {
        const char *space = memchr(text.ptr + i, ' ', text.len - i);
        size_t end = space ? (size_t)(space - text.ptr) : text.len;
        buf_put(out, text.ptr + i, end - i);
        if (space)
            buf_put(out, space_mark, 3);
        i = end + (space != NULL);
    }
}

/* End of the word at `at`: before the next U+2581 that follows another character. */
static size_t word_end(struct str text, size_t at)
{
    size_t i = at;
    while (is_mark(text.ptr + i, text.len - i))
        i += 3;
    while (i < text.len) {
        const char *mark = memchr(text.ptr + i, space_mark[0], text.len - i);
        if (!mark)
            return text.len;
        i = (size_t)(mark - text.ptr);
        if (is_mark(mark, text.len - i))
            return i;
        i++;
    }
    return text.len;
}

bool spm_encode(const struct spm *s, struct merger *m, struct buf *escaped, struct str text, bool with_space,
                struct token_list *out, hearth_error *err)
{
    buf_clear(escaped);
    if (with_space)
        buf_put(escaped, space_mark, 3);
    escape_spaces(escaped, text);
    if (escaped->failed)
        return fail_memory(err, "tokenizing text");
    struct str all = buf_str(escaped);
    for (size_t at = 0; at < all.len;) {
        size_t end = s->words_apart ? word_end(all, at) : all.len;
        if (!encode_word(s, m, (struct str){ all.ptr + at, end - at }, out, err))
            return false;
        at = end;
    }
    return true;
}
