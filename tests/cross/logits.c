/* logits.c: the bits of every step's logits, from the model layer alone: no engine, no text, no library but
 * the C library, so that it runs wherever a compiler for that machine is at hand.
 *
 *   logits MODEL.gguf N-STEPS CHUNK THREADS ID...
 *
 * Takes the prompt as token ids, CHUNK at a time, then N-STEPS of the likeliest token. Standard output is the
 * logits themselves, little-endian f32: `hearth run --raw --temp 0 --ignore-eos --digest` prints their SHA-256. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "format/gguf.h"
#include "infer/kv.h"
#include "model/forward.h"

enum { MAX_TOKENS = 512 };

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
    struct kv_pool kv;
    struct kv_seq seq;
    struct pool *pool;
    const struct kernels *k;
};

static void run_open(struct run *r, struct gguf *g, int n_threads)
{
    need(model_load(&r->m, g, &err), "model");
    need((r->k = kernels_get(&err)) != NULL, "kernels");
    need((r->pool = pool_create(n_threads, &err)) != NULL, "threads");
    uint32_t n_pages = MAX_TOKENS / KV_PAGE_TOKENS;
    need(kv_create(&r->kv, &r->m.hp, HEARTH_KV_f16, n_pages, 1, &err) && kv_seq_create(&r->seq, n_pages, &err), "KV");
    struct workspace_shape shape = { .max_tokens = MAX_TOKENS, .max_logit_rows = 1, .n_threads = n_threads };
    workspace_layout(&r->ws, &r->m, &shape, NULL);
    bool huge;
    void *base = mem_pages(r->ws.bytes, &huge);
    need(base != NULL, "workspace");
    workspace_layout(&r->ws, &r->m, &shape, base);
}

/* tokens[first .. first + n): their keys and values, and the logits after the last of them. */
static void step(struct run *r, const int32_t *tokens, int first, int n, bool want_logits)
{
    need(kv_seq_reserve(&r->kv, &r->seq, first + n), "KV pages");
    struct batch_slice slice = { .n_tokens = n, .first_pos = first, .kv = kv_seq_view(&r->kv, &r->seq) };
    struct batch b = { .n_tokens = n, .tokens = tokens + first, .n_slices = 1, .slices = &slice };
    model_forward(&r->m, r->k, r->pool, &r->ws, &b, NULL, NULL);
    if (want_logits)
        model_logits(&r->m, r->k, r->pool, &r->ws, &(int){ n - 1 }, 1, NULL);
}

static void put_logits(const struct run *r)
{
    size_t n = (size_t)r->m.hp.n_vocab;
    need(fwrite(r->ws.logits, sizeof(float), n, stdout) == n, "standard output");
}

int main(int argc, char **argv)
{
    static int32_t tokens[MAX_TOKENS];
    static struct run r;
    struct file_map map;
    struct gguf g;
    if (argc < 6 || argc - 5 + atoi(argv[2]) > MAX_TOKENS) {
        fprintf(stderr, "usage: logits MODEL.gguf N-STEPS CHUNK THREADS ID...\n");
        return 2;
    }
    int n_steps = atoi(argv[2]), chunk = atoi(argv[3]), n_prompt = argc - 5, n_total = n_prompt;
    for (int i = 0; i < n_prompt; i++)
        tokens[i] = atoi(argv[5 + i]);
    need(file_map(&map, argv[1], &err) && gguf_parse(&g, map.ptr, map.bytes, &err), argv[1]);
    run_open(&r, &g, atoi(argv[4]));
    fprintf(stderr, "isa %s\n", r.k->isa);
    for (int at = 0; at < n_prompt; at += chunk)
        step(&r, tokens, at, min_int(chunk, n_prompt - at), at + chunk >= n_prompt);
    put_logits(&r);
    for (int i = 1; i < n_steps; i++) {
        float most;
        tokens[n_total++] = r.k->argmax(r.ws.logits, r.m.hp.n_vocab, &most);
        step(&r, tokens, n_total - 1, 1, true);
        put_logits(&r);
    }
    pool_destroy(r.pool);
    gguf_free(&g);
    return fflush(stdout) == 0 ? 0 : 1;
}
