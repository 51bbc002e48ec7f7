#include "text/special.h"

#include <stdlib.h>
#include <string.h>

static bool is_member(const struct vocab *v, int32_t id, unsigned type_mask)
{
    return (type_mask >> v->type[id] & 1) && v->text[id].len > 0;
}

struct item {
    struct str text;
    int32_t id;
};

static int compare(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = memcmp(x->text.ptr, y->text.ptr, min_size(x->text.len, y->text.len));
    if (order)
        return order;
    if (x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static bool has_mark(struct str text, const char mark[3])
{
    for (size_t i = 0; i + 3 <= text.len; i++)
        if (memcmp(text.ptr + i, mark, 3) == 0)
            return true;
    return false;
}

/* SentencePiece writes a space inside a token as U+2581; in text it is a space. WordPiece's, before every word,
 * need not be in the text. */
static struct str plain_text(const struct vocab *v, struct str text, struct arena *arena)
{
    static const char mark[3] = "\xe2\x96\x81";
    if (v->kind == VOCAB_BPE || !has_mark(text, mark))
        return text;
    if (v->kind == VOCAB_WPM && text.len > 3 && memcmp(text.ptr, mark, 3) == 0)
        return (struct str){ text.ptr + 3, text.len - 3 };
    char *out = arena_alloc(arena, text.len, 1);
    size_t n = 0;
    for (size_t i = 0; out && i < text.len;) {
        bool space = text.len - i >= 3 && memcmp(text.ptr + i, mark, 3) == 0;
        out[n++] = space ? ' ' : text.ptr[i];
        i += space ? 3 : 1;
    }
    return (struct str){ out, n };
}

enum { SPECIAL_MAX_BYTES = 256 };

static void set_alloc(struct special_set *s, uint32_t n, struct arena *arena)
{
    s->id = arena_array(arena, int32_t, n);
    s->text = arena_array(arena, struct str, n);
}

static void set_index(struct special_set *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->first[(uint8_t)s->text[i].ptr[0] + 1]++;
    for (int b = 0; b < 256; b++)
        s->first[b + 1] += s->first[b];
}

bool special_build(struct special_set *s, const struct vocab *v, unsigned type_mask, struct arena *arena,
                   hearth_error *err)
{
    *s = (struct special_set){ 0 };
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (!is_member(v, i, type_mask))
            continue;
        s->n++;
        if (v->text[i].len > SPECIAL_MAX_BYTES)
            return fail(err, HEARTH_ERR_FORMAT,
                        "token %d is special and %zu bytes long, at most %d are allowed; the file is damaged", (int)i,
                        v->text[i].len, SPECIAL_MAX_BYTES);
    }
    struct item *items = arena_array(arena, struct item, s->n);
    set_alloc(s, s->n, arena);
    uint32_t n = 0;
    for (int32_t i = 0; i < v->n_tokens && !arena->failed; i++)
        if (is_member(v, i, type_mask))
            items[n++] = (struct item){ plain_text(v, v->text[i], arena), i };
    if (arena->failed)
        return fail_memory(err, "the table of special tokens");
    qsort(items, n, sizeof *items, compare);
    for (uint32_t i = 0; i < n; i++) {
        s->id[i] = items[i].id;
        s->text[i] = items[i].text;
    }
    set_index(s);
    return true;
}

bool special_subset(struct special_set *s, const struct special_set *from, bool (*keep)(void *arg, struct str text),
                    void *arg, struct arena *arena, hearth_error *err)
{
    *s = (struct special_set){ 0 };
    set_alloc(s, from->n, arena);
    if (arena->failed)
        return fail_memory(err, "the table of special tokens");
    for (uint32_t i = 0; i < from->n; i++) {
        if (!keep(arg, from->text[i]))
            continue;
        s->id[s->n] = from->id[i];
        s->text[s->n++] = from->text[i];
    }
    set_index(s);
    return true;
}

/* Byte `depth` of item i; -1 when it is shorter. */
static int byte_at(const struct special_set *s, uint32_t i, size_t depth)
{
    return depth < s->text[i].len ? (uint8_t)s->text[i].ptr[depth] : -1;
}

/* First of low..high-1 whose byte at depth is at least `least`. */
static uint32_t narrow(const struct special_set *s, uint32_t low, uint32_t high, size_t depth, int least)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (byte_at(s, middle, depth) < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest item that text starts with; -1: none. */
static int64_t longest(const struct special_set *s, struct str text)
{
    uint32_t low = s->first[(uint8_t)text.ptr[0]], high = s->first[(uint8_t)text.ptr[0] + 1];
    int64_t best = -1;
    for (size_t depth = 1; low < high; depth++) {
        if (s->text[low].len == depth) { /* sorted: the one that ends here comes first */
            best = low;
            while (low < high && s->text[low].len == depth)
                low++;
        }
        if (depth == text.len || low == high)
            break;
        int c = (uint8_t)text.ptr[depth];
        if (byte_at(s, low, depth) != c || byte_at(s, high - 1, depth) != c) {
            low = narrow(s, low, high, depth, c);
            high = narrow(s, low, high, depth, c + 1);
        }
    }
    return best;
}

int32_t special_at(const struct special_set *s, struct str text, size_t *len)
{
    int64_t found = s->n > 0 ? longest(s, text) : -1;
    *len = found < 0 ? 0 : s->text[found].len;
    return found < 0 ? -1 : s->id[found];
}

int32_t special_find(const struct special_set *s, struct str text, size_t *at, size_t *len)
{
    *len = 0;
    for (size_t i = *at; i < text.len && s->n > 0; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        if (s->first[c] == s->first[c + 1])
            continue;
        int32_t id = special_at(s, (struct str){ text.ptr + i, text.len - i }, len);
        if (id < 0)
            continue;
        *at = i;
        return id;
    }
    *at = text.len;
    return -1;
}
