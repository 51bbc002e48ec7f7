/* embed.c: texts to vectors by the model layer alone: how many a second, for bench/embed.py.
 *
 *   bench_embed MODEL.gguf THREADS TEXTS VECTORS
 *
 * Each line of the file TEXTS is one. They are tokenized and packed, whole texts side by side, into passes of up to
 * PASS_TOKENS tokens; the mean of a text's states, of length 1, goes to the file VECTORS as f32 of this machine. All of
 * it is done twice, and standard output has the seconds of the second time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "format/gguf.h"
#include "infer/kv.h"
#include "model/forward.h"
#include "text/tokenizer.h"

enum { PASS_TOKENS = 512, PASS_TEXTS = 64, MAX_TEXTS = 10000, MAX_BYTES = 64 << 20 };

static hearth_error err;

static void need(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "%s: %s\n", what, err.message);
    exit(1);
}

struct run {
    struct model m;
    struct workspace ws;
    struct tokenizer *tokenizer;
    struct pool *pool;
    const struct kernels *k;
    struct kv_pool kv;
    struct kv_seq seqs[PASS_TEXTS];
    struct str texts[MAX_TEXTS];
    int n_texts, n_ctx;
    struct token_list ids[MAX_TEXTS];
    float *vectors; /* [n_texts][n_embd] */
};

static void run_open(struct run *r, struct gguf *g, int n_threads)
{
    need(model_load(&r->m, g, &err), "model");
    need((r->tokenizer = tokenizer_create(g, &err)) != NULL, "tokenizer");
    need((r->k = kernels_get(&err)) != NULL, "kernels");
    need((r->pool = pool_create(n_threads, &err)) != NULL, "threads");
    r->n_ctx = min_int(r->m.hp.n_ctx_train, PASS_TOKENS);
    uint32_t n_pages = kv_pages_for(r->n_ctx);
    need(kv_create(&r->kv, &r->m.hp, HEARTH_KV_f16, PASS_TEXTS * n_pages, PASS_TEXTS, &err), "KV");
    for (int i = 0; i < PASS_TEXTS; i++)
        need(kv_seq_create(&r->seqs[i], n_pages, &err), "KV of a sequence");
    struct workspace_shape shape = { .max_tokens = PASS_TOKENS, .max_logit_rows = 1, .n_threads = n_threads };
    bool huge;
    workspace_layout(&r->ws, &r->m, &shape, NULL);
    void *base = mem_pages(r->ws.bytes, &huge);
    need(base != NULL, "workspace");
    workspace_layout(&r->ws, &r->m, &shape, base);
    r->vectors = mem_alloc(sizeof(float) * (size_t)r->m.hp.n_embd * (size_t)max_int(r->n_texts, 1));
    need(r->vectors != NULL, "vectors");
}

static void read_texts(struct run *r, char *bytes, size_t n)
{
    for (size_t at = 0, end; at < n && r->n_texts < MAX_TEXTS; at = end + 1) {
        for (end = at; end < n && bytes[end] != '\n';)
            end++;
        r->texts[r->n_texts++] = (struct str){ bytes + at, end - at };
    }
}

static void tokenize(struct run *r, int text)
{
    struct token_list *ids = &r->ids[text];
    const struct vocab *v = tokenizer_vocab(r->tokenizer);
    ids->n = 0;
    if (v->add_bos)
        token_list_push(ids, v->bos);
    need(tokenizer_encode(r->tokenizer, r->texts[text], false, true, ids, &err), "tokens");
    if (v->add_eos)
        token_list_push(ids, v->eos);
    snprintf(err.message, sizeof err.message, "text %d has %zu tokens, at most %d are taken", text, ids->n, r->n_ctx);
    need(ids->n <= (size_t)r->n_ctx, "texts");
}

static void pool_states(struct run *r, int text, int row, size_t n_rows)
{
    size_t n = (size_t)r->m.hp.n_embd;
    float *out = r->vectors + (size_t)text * n;
    double squares = 0;
    for (size_t d = 0; d < n; d++) {
        out[d] = 0;
        for (size_t i = 0; i < n_rows; i++)
            out[d] += r->ws.out[((size_t)row + i) * n + d];
        squares += (double)out[d] * (double)out[d];
    }
    for (size_t d = 0; d < n; d++)
        out[d] = (float)((double)out[d] / sqrt(squares));
}

/* The texts from first on that fit in a pass; how many. */
static int encode_some(struct run *r, int first)
{
    static int32_t tokens[PASS_TOKENS];
    static int rows[PASS_TOKENS];
    struct batch_slice slices[PASS_TEXTS];
    struct batch b = { .tokens = tokens, .slices = slices };
    for (int i = first; i < r->n_texts && b.n_slices < PASS_TEXTS; i++) {
        const struct token_list *ids = &r->ids[i];
        if (b.n_tokens + (int)ids->n > PASS_TOKENS)
            break;
        struct kv_seq *seq = &r->seqs[b.n_slices];
        need(kv_seq_reserve(&r->kv, seq, (int)ids->n), "KV pages");
        slices[b.n_slices++] = (struct batch_slice){ .first_row = b.n_tokens, .n_tokens = (int)ids->n,
                                                     .kv = kv_seq_view(&r->kv, seq) };
        for (size_t t = 0; t < ids->n; t++) {
            rows[b.n_tokens] = b.n_tokens;
            tokens[b.n_tokens++] = ids->ids[t];
        }
    }
    model_forward(&r->m, r->k, r->pool, &r->ws, &b, NULL, NULL);
    model_states(&r->m, r->k, r->pool, &r->ws, rows, b.n_tokens);
    for (int s = 0; s < b.n_slices; s++) {
        pool_states(r, first + s, slices[s].first_row, (size_t)slices[s].n_tokens);
        kv_seq_clear(&r->kv, &r->seqs[s]);
    }
    return b.n_slices;
}

static double encode_all(struct run *r)
{
    int64_t start = clock_ns();
    for (int i = 0; i < r->n_texts; i++)
        tokenize(r, i);
    for (int i = 0; i < r->n_texts;)
        i += encode_some(r, i);
    return (double)(clock_ns() - start) / 1e9;
}

int main(int argc, char **argv)
{
    static struct run r;
    struct file_map map;
    struct gguf g;
    char *bytes;
    size_t n;
    if (argc != 5) {
        fprintf(stderr, "usage: bench_embed MODEL.gguf THREADS TEXTS VECTORS\n");
        return 2;
    }
    need(file_map(&map, argv[1], &err) && gguf_parse(&g, map.ptr, map.bytes, &err), argv[1]);
    need(file_read(argv[3], MAX_BYTES, &bytes, &n, &err), argv[3]);
    read_texts(&r, bytes, n);
    run_open(&r, &g, atoi(argv[2]));
    encode_all(&r);
    printf("%.6f\n", encode_all(&r));
    FILE *f = fopen(argv[4], "wb");
    size_t n_values = (size_t)r.n_texts * (size_t)r.m.hp.n_embd;
    bool written = f && fwrite(r.vectors, sizeof(float), n_values, f) == n_values;
    snprintf(err.message, sizeof err.message, "cannot be written");
    need(f && fclose(f) == 0 && written, argv[4]);
    return 0;
}
