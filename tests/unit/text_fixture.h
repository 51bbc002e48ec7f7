/* text_fixture.h: tokenizers for the tests, from fixture files and made on the spot. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "text/special.h"
#include "text/tokenizer.h"

#include <cmocka.h> /* last: it has a macro fail() */

/* A file under HEARTH_FIXTURES; the test is skipped, visibly, without it. */
static inline struct str fixture_read(const char *folder, const char *name)
{
    const char *root = getenv("HEARTH_FIXTURES");
    if (!root || !*root)
        skip();
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    struct str s = { NULL, 0 };
    char *bytes;
    hearth_error err = { 0 };
    if (!file_read(path, (size_t)64 << 20, &bytes, &s.len, &err))
        fail_msg("%s", err.message);
    s.ptr = bytes;
    return s;
}

struct loaded {
    struct str file;
    struct gguf g;
    struct tokenizer *t;
};

static inline void loaded_open(struct loaded *l, struct str file)
{
    hearth_error err = { 0 };
    *l = (struct loaded){ .file = file };
    if (!gguf_parse(&l->g, (const uint8_t *)file.ptr, file.len, &err))
        fail_msg("%s", err.message);
    l->t = tokenizer_create(&l->g, &err);
    if (!l->t)
        fail_msg("%s", err.message);
}

static inline void loaded_vocab(struct loaded *l, const char *name)
{
    char file[96];
    snprintf(file, sizeof file, "ggml-vocab-%s.gguf", name);
    loaded_open(l, fixture_read("vocab", file));
}

static inline void loaded_close(struct loaded *l)
{
    tokenizer_destroy(l->t);
    gguf_free(&l->g);
    mem_free((void *)(uintptr_t)l->file.ptr);
}

static inline struct token_list encode(const struct tokenizer *t, struct str text, bool parse_special, bool first)
{
    struct token_list ids = { 0 };
    hearth_error err = { 0 };
    if (!tokenizer_encode(t, text, parse_special, first, &ids, &err))
        fail_msg("%s", err.message);
    return ids;
}

static inline void decode(const struct tokenizer *t, const struct token_list *ids, bool show_special, struct buf *out)
{
    static char text[4096 + 16];
    struct detok d;
    detok_init(&d, t, true, show_special);
    for (size_t i = 0; i < ids->n; i++)
        buf_put(out, text, detok_push(&d, ids->ids[i], text, sizeof text));
    buf_put(out, text, detok_finish(&d, text, sizeof text));
}

/* A GGUF file with metadata only, written by hand. */
struct maker {
    struct buf values;
    uint64_t n;
};

static inline void make_u32(struct buf *b, uint32_t x) { buf_put(b, &x, sizeof x); }
static inline void make_u64(struct buf *b, uint64_t x) { buf_put(b, &x, sizeof x); }
static inline void make_text(struct buf *b, struct str s)
{
    make_u64(b, s.len);
    buf_put(b, s.ptr, s.len);
}

static inline void make_key(struct maker *m, const char *key, uint32_t type)
{
    char name[128];
    snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
    make_text(&m->values, str_z(name));
    make_u32(&m->values, type);
    m->n++;
}

static inline void make_str(struct maker *m, const char *key, const char *value)
{
    make_key(m, key, GGUF_STRING);
    make_text(&m->values, str_z(value));
}

static inline void make_uint(struct maker *m, const char *key, uint32_t value)
{
    make_key(m, key, GGUF_U32);
    make_u32(&m->values, value);
}

static inline void make_array(struct maker *m, const char *key, uint32_t elem, uint64_t n)
{
    make_key(m, key, GGUF_ARRAY);
    make_u32(&m->values, elem);
    make_u64(&m->values, n);
}

static inline struct str make_file(struct maker *m)
{
    struct buf b = { 0 };
    buf_put(&b, "GGUF", 4);
    make_u32(&b, 3);
    make_u64(&b, 0);
    make_u64(&b, m->n);
    buf_put(&b, m->values.ptr, m->values.len);
    while (b.len % 32)
        buf_put(&b, "", 1);
    buf_free(&m->values);
    return buf_str(&b);
}

struct made_token {
    const char *text;
    int32_t type;
    float score;
};

/* The 256 byte tokens of SentencePiece, then extra; types and scores with them. */
static inline void make_spm(struct maker *m, const struct made_token *extra, size_t n_extra)
{
    make_str(m, "model", "llama");
    make_array(m, "tokens", GGUF_STRING, 256 + n_extra);
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        make_text(&m->values, str_z(text));
    }
    for (size_t i = 0; i < n_extra; i++)
        make_text(&m->values, str_z(extra[i].text));
    make_array(m, "token_type", GGUF_I32, 256 + n_extra);
    for (size_t i = 0; i < 256 + n_extra; i++)
        make_u32(&m->values, (uint32_t)(i < 256 ? TOKEN_BYTE : extra[i - 256].type));
    make_array(m, "scores", GGUF_F32, 256 + n_extra);
    for (size_t i = 0; i < 256 + n_extra; i++) {
        float score = i < 256 ? 0.0f : extra[i - 256].score;
        buf_put(&m->values, &score, sizeof score);
    }
}
