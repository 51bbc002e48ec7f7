/* random_texts.h: 10,000 random strings that tools/golden_pretok.py makes as well, the fixtures' texts, and digests
 * of what becomes of them. */
#pragma once
#include "text_fixture.h"

#include "base/sha256.h"

enum { N_STRINGS = 10000, KEY = 20260101 };

static const uint32_t ranges[][2] = {
    { 0x20, 0x7e }, { 0x20, 0x7e }, { 0x41, 0x5a }, { 0x61, 0x7a }, { 0x61, 0x7a }, { 0x30, 0x39 }, { 0x30, 0x39 },
    { 0x20, 0x20 }, { 0x20, 0x20 }, { 0x9, 0xd }, { 0xa, 0xa }, { 0x0, 0x1f }, { 0x7f, 0xa0 }, { 0xa1, 0xff },
    { 0x100, 0x17f }, { 0x2b0, 0x2ee }, { 0x300, 0x34e }, { 0x391, 0x3a1 }, { 0x3b1, 0x3c9 }, { 0x410, 0x44f },
    { 0x5d0, 0x5ea }, { 0x60c, 0x60c }, { 0x621, 0x63a }, { 0x660, 0x669 }, { 0x6d4, 0x6d4 }, { 0x905, 0x939 },
    { 0x964, 0x96f }, { 0xe01, 0xe3a }, { 0x10d0, 0x10f6 }, { 0x1100, 0x1159 }, { 0x1e00, 0x1e9b },
    { 0x2000, 0x2052 }, { 0x2070, 0x2071 }, { 0x2074, 0x208e }, { 0x20a0, 0x20b1 }, { 0x2100, 0x213a },
    { 0x2153, 0x2183 }, { 0x2190, 0x23ce }, { 0x2460, 0x24fe }, { 0x3000, 0x303f }, { 0x3041, 0x3096 },
    { 0x30a1, 0x30ff }, { 0x4e00, 0x9fa5 }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfa2d }, { 0xff01, 0xff5e },
    { 0x10300, 0x1031e }, { 0x1d400, 0x1d454 }, { 0x20000, 0x2a6d6 },
};

static const char *const fragments[] = {
    "'s", "'T", "'re", "'VE", "'m", "'ll", "'LL", "'d", "'\xc5\xbf", "\r\n", "\n\n", "  ", "\t ", " \n", "12",
    "3456", "Ab", "aB", "ABC", " a", "/", "//", "!\n", "_x", "\xe3\x80\x85", "\xe3\x80\xbb", "\xc7\x85", "\xc2\xb2",
    "\xe2\x80\x8b", "\xe1\xa0\x8e",
};

struct texts {
    struct buf bytes;
    size_t end[N_STRINGS]; /* where each ends */
    size_t n;
};

static inline void put_char(struct buf *b, uint32_t c)
{
    char s[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n; i-- > 1; c >>= 6)
        s[i] = (char)(0x80 | (c & 0x3f));
    s[0] = (char)(lead[n] | c);
    buf_put(b, s, n);
}

static inline struct texts *made_texts(void)
{
    struct texts *t = mem_alloc(sizeof *t);
    assert_non_null(t);
    struct rng r = { .key = KEY };
    for (; t->n < N_STRINGS; t->n++) {
        for (uint32_t items = 1 + rng_below(&r, 24); items > 0; items--) {
            uint32_t kind = rng_below(&r, 8);
            if (kind == 0) {
                buf_puts(&t->bytes, fragments[rng_below(&r, ARRAY_LEN(fragments))]);
                continue;
            }
            const uint32_t *range = ranges[rng_below(&r, ARRAY_LEN(ranges))];
            uint32_t c = range[0] + rng_below(&r, range[1] - range[0] + 1);
            for (uint32_t n = kind == 1 ? 1 + rng_below(&r, 4) : 1; n > 0; n--)
                put_char(&t->bytes, c);
        }
        t->end[t->n] = t->bytes.len;
    }
    return t;
}

/* The vocabularies' test texts (all have the same), then mixed.txt; the test is skipped without them. */
static inline struct texts *given_texts(void)
{
    static const char bar[] = "\n__ggml_vocab_test__\n";
    struct str lines = fixture_read("vocab", "ggml-vocab-gpt-2.gguf.inp");
    struct str mixed = fixture_read("text", "mixed.txt");
    struct texts *t = mem_alloc(sizeof *t);
    assert_non_null(t);
    for (const char *at = lines.ptr, *stop; at; at = stop ? stop + sizeof bar - 1 : NULL) {
        stop = strstr(at, bar);
        buf_put(&t->bytes, at, stop ? (size_t)(stop - at) : strlen(at));
        t->end[t->n++] = t->bytes.len;
    }
    buf_put(&t->bytes, mixed.ptr, mixed.len);
    t->end[t->n++] = t->bytes.len;
    mem_free((void *)(uintptr_t)lines.ptr);
    mem_free((void *)(uintptr_t)mixed.ptr);
    return t;
}

static inline void texts_free(struct texts *t)
{
    buf_free(&t->bytes);
    mem_free(t);
}

static inline struct str text_of(const struct texts *t, size_t i)
{
    size_t from = i ? t->end[i - 1] : 0;
    return (struct str){ t->bytes.ptr + from, t->end[i] - from };
}

/* Column 1 or 2 of the row of this name in a golden file. */
static inline void expect_golden(const char *file, const char *name, int column, const char got[65])
{
    char row[96], *bytes;
    size_t n;
    hearth_error err = { 0 };
    if (!file_read(file, 1 << 20, &bytes, &n, &err))
        fail_msg("%s", err.message);
    snprintf(row, sizeof row, "\n%s\t", name);
    const char *at = strstr(bytes, row);
    if (!at)
        fail_msg("%s has no row for %s: add it to the tool that its first line names", file, name);
    at += strlen(row) + (column == 2 ? 65 : 0);
    if (strncmp(at, got, 64) != 0)
        fail_msg("%s differs from the published tokenizer: ours %s, golden %.64s", name, got, at);
    mem_free(bytes);
}
