/* nfc.c: Unicode normal form C through utf8proc's tables, in linear time.
 *
 * utf8proc's own loop sorts combining marks by exchanging neighbours, which is quadratic on
 * a long run of marks; here the run is sorted by counting. */
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/pretok.h"

/* Every character below U+0300 is its own NFC form and never joins what is before it. */
bool nfc_surely(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] >= 0xcc) /* lead byte of U+0300 */
            return false;
    return true;
}

/* Characters that nothing before them can join or pass by: a safe place to cut. */
static bool starts_segment(uint32_t c)
{
    return c < 0x300 || (c >= 0x400 && c < 0x483)               /* Cyrillic letters */
           || (c >= 0x3041 && c <= 0x3096) || (c >= 0x30a1 && c <= 0x30fa) /* kana */
           || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) /* ideographs */
           || (c >= 0xac00 && c <= 0xd7a3);                     /* Hangul syllables */
}

struct points {
    int32_t *p, *sorted;
    size_t n, room;
};

static bool points_room(struct points *a, size_t more)
{
    if (a->room - a->n >= more)
        return true;
    size_t room = max_size(a->room * 2, a->n + more + 64);
    int32_t *p = mem_resize(a->p, room * sizeof *p);
    if (p)
        a->p = p;
    int32_t *sorted = p ? mem_resize(a->sorted, room * sizeof *sorted) : NULL;
    if (!sorted)
        return false;
    a->sorted = sorted;
    a->room = room;
    return true;
}

static int combining_class(int32_t c) { return utf8proc_get_property(c)->combining_class; }

/* Marks from..to by their class, equals in order. */
static void sort_marks(struct points *a, size_t from, size_t to)
{
    size_t at[257] = { 0 };
    for (size_t i = from; i < to; i++)
        at[(combining_class(a->p[i]) & 255) + 1]++;
    for (int c = 1; c < 257; c++)
        at[c] += at[c - 1];
    for (size_t i = from; i < to; i++)
        a->sorted[at[combining_class(a->p[i]) & 255]++] = a->p[i];
    memcpy(a->p + from, a->sorted, (to - from) * sizeof *a->p);
}

static void canonical_order(struct points *a)
{
    for (size_t i = 0; i < a->n;) {
        size_t from = i;
        bool ordered = true;
        for (int last = 0; i < a->n; i++) {
            int class = combining_class(a->p[i]);
            if (class == 0)
                break;
            ordered = ordered && class >= last;
            last = class;
        }
        if (!ordered)
            sort_marks(a, from, i);
        if (i == from)
            i++; /* a starter */
    }
}

/* One segment: decompose, order, compose, write. */
static bool append_segment(struct buf *out, struct points *a, struct str text)
{
    a->n = 0;
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = (const uint8_t *)text.ptr + i;
        int length = utf8_length(p, text.len - i, NULL, NULL);
        if (!points_room(a, 32))
            return false;
        int last_class = 0;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)utf8_code_point(p, length), a->p + a->n,
                                                     (utf8proc_ssize_t)(a->room - a->n),
                                                     UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &last_class);
        if (n < 0 || (size_t)n > a->room - a->n)
            return false;
        a->n += (size_t)n;
        i += (size_t)length;
    }
    canonical_order(a);
    utf8proc_ssize_t n = utf8proc_normalize_utf32(a->p, (utf8proc_ssize_t)a->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        buf_put(out, bytes, (size_t)utf8proc_encode_char(a->p[i], bytes));
    }
    return n >= 0 && !out->failed;
}

/* Bytes from `at` on that NFC leaves alone: characters below U+0300, less the last of them
 * when it may be a base for what follows. */
static size_t plain_run(struct str text, size_t at)
{
    size_t i = at, last = at;
    while (i < text.len && (uint8_t)text.ptr[i] < 0xcc) {
        last = i;
        i += (uint8_t)text.ptr[i] < 0x80 ? 1 : 2;
    }
    return (i < text.len ? last : i) - at;
}

static size_t segment_end(struct str text, size_t at)
{
    size_t end = at;
    while (end < text.len) {
        const uint8_t *p = (const uint8_t *)text.ptr + end;
        int length = utf8_length(p, text.len - end, NULL, NULL);
        if (end > at && starts_segment(utf8_code_point(p, length)))
            break;
        end += (size_t)length;
    }
    return end;
}

bool nfc_append(struct buf *out, struct str text)
{
    struct points a = { 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < text.len;) {
        size_t plain = plain_run(text, i);
        buf_put(out, text.ptr + i, plain);
        i += plain;
        size_t end = segment_end(text, i);
        if (end > i)
            ok = append_segment(out, &a, (struct str){ text.ptr + i, end - i });
        i = end;
    }
    mem_free(a.p);
    mem_free(a.sorted);
    return ok && !out->failed;
}
