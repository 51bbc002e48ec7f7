/* synth_vocab.c: a byte-level BPE vocabulary of the real size, made from nothing.
 *
 * The first 256 tokens are the bytes in GPT-2's order; every later one joins two earlier ones
 * (its first merge). Most are runs of letters, with and without a leading space, 2 to 12 bytes
 * long, built from letters by their frequency in English; large vocabularies have numbers,
 * spaces and two-byte characters as well. Further merges are other ways to split a token into
 * two tokens, as lists converted from rank tables have them. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "cli/synth.h"

enum { N_BYTES = 256, LONGEST = 12, LARGE_VOCABULARY = 10000, TYPE_NORMAL = 1 };

/* ---- the byte alphabet ---- */

static bool prints_as_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Character that stands for a byte in the file: itself, or from U+0100 on in order. */
static int byte_character(int byte)
{
    if (prints_as_itself(byte))
        return byte;
    int n = 0;
    for (int b = 0; b < byte; b++)
        n += !prints_as_itself(b);
    return N_BYTES + n;
}

/* UTF-8 of the stand-ins; out: 2 * raw.len bytes. */
static size_t write_characters(char *out, struct str raw)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        int c = byte_character((unsigned char)raw.ptr[i]);
        if (c < 0x80) {
            out[n++] = (char)c;
        } else {
            out[n++] = (char)(0xc0 | (c >> 6));
            out[n++] = (char)(0x80 | (c & 63));
        }
    }
    return n;
}

/* ---- making tokens ---- */

struct maker {
    struct synth_vocab *v;
    int32_t *table;      /* open addressing over raw bytes; -1: empty */
    uint32_t mask;
    int32_t byte_token[N_BYTES];
    struct synth_merge *first; /* [n_base] the merge that made it */
    int32_t *stems, *heads;    /* lower-case runs; runs that begin a word */
    int n_stems, n_heads;
    struct rng rng;
};

static int32_t find(const struct maker *m, struct str s)
{
    for (uint32_t i = (uint32_t)str_hash(s) & m->mask;; i = (i + 1) & m->mask)
        if (m->table[i] < 0 || str_eq(m->v->raw[m->table[i]], s))
            return m->table[i];
}

static int32_t append(struct maker *m, struct str s)
{
    struct synth_vocab *v = m->v;
    int32_t id = v->n_tokens;
    v->raw[id] = arena_strdup(&v->arena, s);
    v->type[id] = TYPE_NORMAL;
    if (!v->raw[id].ptr)
        return -1;
    v->n_tokens++;
    uint32_t i = (uint32_t)str_hash(s) & m->mask;
    while (m->table[i] >= 0)
        i = (i + 1) & m->mask;
    m->table[i] = id;
    return id;
}

/* The token left + right: new, or -1 when it exists, is too long, or there is no room. */
static int32_t join(struct maker *m, int32_t left, int32_t right)
{
    struct synth_vocab *v = m->v;
    char text[2 * LONGEST];
    if (left < 0 || right < 0 || v->n_tokens >= v->n_base)
        return -1;
    struct str a = v->raw[left], b = v->raw[right];
    if (a.len + b.len > LONGEST)
        return -1;
    memcpy(text, a.ptr, a.len);
    memcpy(text + a.len, b.ptr, b.len);
    struct str s = { text, a.len + b.len };
    if (find(m, s) >= 0)
        return -1;
    int32_t id = append(m, s);
    if (id >= 0)
        m->first[id] = (struct synth_merge){ left, right };
    return id;
}

static int32_t byte(const struct maker *m, int c) { return m->byte_token[(unsigned char)c]; }

static void add_bytes(struct maker *m)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int b = 0; b < N_BYTES; b++) {
            char c = (char)b;
            if (prints_as_itself(b) == (pass == 0))
                m->byte_token[b] = append(m, (struct str){ &c, 1 });
        }
    }
}

static void add_letters(struct maker *m)
{
    static const char by_frequency[] = "etaoinshrdlcumwfgypbvkjxqz";
    for (const char *c = by_frequency; *c; c++) {
        m->stems[m->n_stems++] = byte(m, *c);
        m->heads[m->n_heads++] = join(m, byte(m, ' '), byte(m, *c));
    }
    for (const char *c = by_frequency; *c; c++) {
        int upper = *c - 'a' + 'A';
        m->heads[m->n_heads++] = join(m, byte(m, ' '), byte(m, upper));
        m->heads[m->n_heads++] = byte(m, upper);
    }
}

static void add_spaces(struct maker *m)
{
    int32_t run = byte(m, ' ');
    for (int i = 0; i < 3; i++) /* 2, 4 and 8 spaces */
        run = join(m, run, run);
    join(m, byte(m, '\n'), byte(m, '\n'));
    join(m, byte(m, '\t'), byte(m, '\t'));
}

/* 00 to 999, and two-byte characters of Latin, Greek and Cyrillic letters. */
static void add_numbers_and_characters(struct maker *m)
{
    for (int a = '0'; a <= '9'; a++) {
        for (int b = '0'; b <= '9'; b++) {
            int32_t two = join(m, byte(m, a), byte(m, b));
            for (int c = '0'; c <= '9'; c++)
                join(m, two, byte(m, c));
        }
    }
    static const unsigned char lead[] = { 0xc3, 0xce, 0xcf, 0xd0, 0xd1 };
    for (size_t i = 0; i < sizeof lead; i++)
        for (int c = 0x80; c <= 0xbf; c++)
            join(m, byte(m, lead[i]), byte(m, c));
}

/* Earlier tokens, which are shorter, come more often. */
static int32_t pick(struct maker *m, const int32_t *list, int n)
{
    double u = rng_unit(&m->rng);
    return list[(int)(u * u * u * u * n)];
}

/* A join first makes the prefix that its right half's own split needs, as trained lists have
 * them: "the" from "t" and "he" has "th" too, so "th" + "e" is another merge of it. */
static void grow_one(struct maker *m)
{
    bool is_head = rng_below(&m->rng, 3) > 0;
    int32_t left = is_head ? pick(m, m->heads, m->n_heads) : pick(m, m->stems, m->n_stems);
    int32_t right = pick(m, m->stems, m->n_stems);
    size_t longest = 4 + rng_below(&m->rng, LONGEST - 3); /* or most tokens would be long */
    if (m->v->raw[left].len + m->v->raw[right].len > longest)
        return;
    int32_t made[2] = { right >= N_BYTES ? join(m, left, m->first[right].left) : -1, join(m, left, right) };
    for (int i = 0; i < 2; i++) {
        if (made[i] < 0)
            continue;
        if (is_head)
            m->heads[m->n_heads++] = made[i];
        else
            m->stems[m->n_stems++] = made[i];
    }
}

/* ---- merges ---- */

/* Other splits of token id into two earlier tokens; returns how many. */
static int other_splits(const struct maker *m, int32_t id, struct synth_merge out[LONGEST])
{
    struct str s = m->v->raw[id];
    int n = 0;
    for (size_t k = 1; k < s.len; k++) {
        struct synth_merge split = { find(m, (struct str){ s.ptr, k }), find(m, (struct str){ s.ptr + k, s.len - k }) };
        bool earlier = split.left >= 0 && split.left < id && split.right >= 0 && split.right < id;
        if (earlier && split.left != m->first[id].left)
            out[n++] = split;
    }
    return n;
}

/* The first merge of every token in order of id, and evenly spread others up to n_merges. */
static bool list_merges(struct maker *m, int n_merges, hearth_error *err)
{
    struct synth_vocab *v = m->v;
    struct synth_merge splits[LONGEST];
    int64_t n_others = 0, want = n_merges - (v->n_base - N_BYTES), seen = 0;
    for (int32_t id = N_BYTES; id < v->n_base; id++)
        n_others += other_splits(m, id, splits);
    if (want < 0 || n_others < want)
        return fail(err, HEARTH_ERR_USAGE, "%d merges cannot be made: this vocabulary has %d to %lld", n_merges,
                    v->n_base - N_BYTES, (long long)(v->n_base - N_BYTES + n_others));
    v->merges = arena_array(&v->arena, struct synth_merge, n_merges);
    if (!v->merges)
        return fail_memory(err, "the merges of the vocabulary");
    for (int32_t id = N_BYTES; id < v->n_base; id++) {
        v->merges[v->n_merges++] = m->first[id];
        int n = other_splits(m, id, splits);
        for (int i = 0; i < n; i++, seen++)
            if ((seen + 1) * want / n_others > seen * want / n_others)
                v->merges[v->n_merges++] = splits[i];
    }
    return true;
}

/* ---- all of it ---- */

static void add_control(void *arg, int index, const char *text, int32_t type)
{
    struct synth_vocab *v = arg;
    v->raw[v->n_base + index] = arena_strdup(&v->arena, str_z(text));
    v->type[v->n_base + index] = type;
    v->n_tokens++;
}

static bool make(struct maker *m, const struct synth_shape *shape, hearth_error *err)
{
    struct synth_vocab *v = m->v;
    add_bytes(m);
    add_letters(m);
    add_spaces(m);
    if (v->n_base >= LARGE_VOCABULARY)
        add_numbers_and_characters(m);
    for (int64_t tries = 0; v->n_tokens < v->n_base && !v->arena.failed; tries++) {
        if (tries > (int64_t)v->n_base * 100)
            return fail(err, HEARTH_ERR_USAGE, "a vocabulary of %d tokens cannot be made", v->n_base);
        grow_one(m);
    }
    if (v->arena.failed)
        return fail_memory(err, "the vocabulary");
    if (!list_merges(m, shape->n_merges, err))
        return false;
    synth_control_tokens(shape, add_control, v);
    return !v->arena.failed || fail_memory(err, "the vocabulary");
}

bool synth_vocab_make(struct synth_vocab *v, const struct synth_shape *shape, uint64_t seed, hearth_error *err)
{
    *v = (struct synth_vocab){ .n_base = shape->n_base };
    arena_init(&v->arena, 256 << 20);
    struct maker m = { .v = v, .mask = 1, .rng = { rng_mix(seed ^ 0x766f636162), 0 } };
    while (m.mask < (uint32_t)shape->n_base * 2)
        m.mask = m.mask * 2 + 1;

    struct arena scratch;
    arena_init(&scratch, 64 << 20);
    size_t n_base = (size_t)shape->n_base;
    m.table = arena_array(&scratch, int32_t, (size_t)m.mask + 1);
    m.first = arena_array(&scratch, struct synth_merge, n_base);
    m.stems = arena_array(&scratch, int32_t, n_base + 64);
    m.heads = arena_array(&scratch, int32_t, n_base + 128);
    v->raw = arena_array(&v->arena, struct str, shape->n_vocab);
    v->type = arena_array(&v->arena, int32_t, shape->n_vocab);
    bool ok = !scratch.failed && !v->arena.failed;
    if (!ok)
        fail_memory(err, "the vocabulary");
    for (uint32_t i = 0; ok && i <= m.mask; i++)
        m.table[i] = -1;
    ok = ok && make(&m, shape, err);
    arena_free(&scratch);
    return ok;
}

void synth_vocab_free(struct synth_vocab *v) { arena_free(&v->arena); }

/* ---- into the file ---- */

static struct str token_text(struct arena *a, const struct synth_vocab *v, int32_t id)
{
    if (id >= v->n_base)
        return v->raw[id];
    char text[2 * LONGEST];
    return arena_strdup(a, (struct str){ text, write_characters(text, v->raw[id]) });
}

static struct str merge_text(struct arena *a, const struct str *texts, struct synth_merge merge)
{
    char text[4 * LONGEST + 2];
    struct str left = texts[merge.left], right = texts[merge.right];
    memcpy(text, left.ptr, left.len);
    text[left.len] = ' ';
    memcpy(text + left.len + 1, right.ptr, right.len);
    return arena_strdup(a, (struct str){ text, left.len + 1 + right.len });
}

bool synth_vocab_write(struct gguf_writer *w, const struct synth_vocab *v, const struct synth_shape *shape,
                       hearth_error *err)
{
    struct arena a;
    arena_init(&a, 256 << 20);
    struct str *texts = arena_array(&a, struct str, v->n_tokens);
    struct str *merges = arena_array(&a, struct str, v->n_merges);
    for (int i = 0; i < v->n_tokens && !a.failed; i++)
        texts[i] = token_text(&a, v, i);
    for (int i = 0; i < v->n_merges && !a.failed; i++)
        merges[i] = merge_text(&a, texts, v->merges[i]);
    bool ok = !a.failed;
    if (ok) {
        gguf_put_str(w, "tokenizer.ggml.model", STR("gpt2"));
        gguf_put_str(w, "tokenizer.ggml.pre", shape->family == SYNTH_LLAMA3 ? STR("llama-bpe") : STR("qwen2"));
        gguf_put_str_array(w, "tokenizer.ggml.tokens", texts, (size_t)v->n_tokens);
        gguf_put_i32_array(w, "tokenizer.ggml.token_type", v->type, (size_t)v->n_tokens);
        gguf_put_str_array(w, "tokenizer.ggml.merges", merges, (size_t)v->n_merges);
        synth_control_write(w, shape);
    }
    arena_free(&a);
    return ok || fail_memory(err, "the vocabulary");
}
