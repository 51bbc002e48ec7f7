/* arch_logits.c: what a model gives after tokens of several sequences, from the model layer alone:
 * logits, or the states of one that has none, after its dense layers.
 *
 *   arch_logits MODEL.gguf KV-TYPE CHUNK THREADS TOGETHER < sequences
 *
 * Standard input has a line of token ids for each sequence. They go CHUNK tokens at a time; TOGETHER sequences share a
 * pass, so that rows of several meet in one batch. Standard output is the logits after every token, little-endian f32,
 * sequence after sequence; or the states. Standard error says the instruction set, and which tensors are not used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "format/gguf.h"
#include "infer/kv.h"
#include "model/forward.h"

enum { MAX_SEQS = 8, MAX_TOKENS = 256, MAX_ROWS = MAX_SEQS * MAX_TOKENS, LINE_BYTES = 16 * MAX_TOKENS };

static hearth_error err;

static void need(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "%s: %s\n", what, err.message);
    exit(1);
}

struct sequence {
    int32_t tokens[MAX_TOKENS];
    int n_tokens, n_done;
    struct kv_seq kv;
    float *given; /* [n_tokens][width] */
    float *state; /* of layers that keep one */
};

struct run {
    struct model m;
    struct workspace ws;
    struct kv_pool kv;
    struct pool *pool;
    const struct kernels *k;
    struct sequence seqs[MAX_SEQS];
    int n_seqs;
    size_t width; /* of a row: n_vocab or n_embd */
};

static void read_sequences(struct run *r)
{
    static char line[LINE_BYTES];
    while (r->n_seqs < MAX_SEQS && fgets(line, sizeof line, stdin)) {
        struct sequence *s = &r->seqs[r->n_seqs++];
        for (char *word = strtok(line, " \n"); word && s->n_tokens < MAX_TOKENS; word = strtok(NULL, " \n"))
            s->tokens[s->n_tokens++] = atoi(word);
    }
}

static hearth_kv_type kv_type_of(const char *name)
{
    for (int t = 0; t < HEARTH_N_KV_TYPES; t++)
        if (strcmp(hearth_kv_type_name((hearth_kv_type)t), name) == 0)
            return (hearth_kv_type)t;
    fprintf(stderr, "no type of keys and values is called %s\n", name);
    exit(2);
}

static void run_open(struct run *r, struct gguf *g, hearth_kv_type type, int n_threads)
{
    need(model_load(&r->m, g, &err), "model");
    need((r->k = kernels_get(&err)) != NULL, "kernels");
    need((r->pool = pool_create(n_threads, &err)) != NULL, "threads");
    r->width = (size_t)(r->m.hp.causal ? r->m.hp.n_vocab : r->m.hp.n_embd);
    uint32_t n_pages = MAX_TOKENS / KV_PAGE_TOKENS;
    need(kv_create(&r->kv, &r->m.hp, type, MAX_SEQS * n_pages, MAX_SEQS, &err), "KV");
    for (int i = 0; i < r->n_seqs; i++) {
        struct sequence *s = &r->seqs[i];
        need(kv_seq_create(&s->kv, n_pages, &err), "KV of a sequence");
        s->given = mem_alloc(sizeof(float) * r->width * (size_t)max_int(1, s->n_tokens));
        need(s->given != NULL, "memory for logits");
        size_t state_bytes = model_state_bytes(&r->m.hp);
        need(!state_bytes || (s->state = mem_pages(state_bytes, NULL)), "states");
    }
    struct workspace_shape shape = { .max_tokens = MAX_ROWS, .max_logit_rows = MAX_ROWS, .n_threads = n_threads };
    workspace_layout(&r->ws, &r->m, &shape, NULL);
    bool huge;
    void *base = mem_pages(r->ws.bytes, &huge);
    need(base != NULL, "workspace");
    workspace_layout(&r->ws, &r->m, &shape, base);
}

/* The next chunk of some sequences in one pass; false: they have no more. */
static bool step(struct run *r, struct sequence *seqs, int n_seqs, int chunk)
{
    static int32_t tokens[MAX_ROWS];
    static int rows[MAX_ROWS];
    struct batch_slice slices[MAX_SEQS];
    struct batch b = { .tokens = tokens, .slices = slices };
    for (int i = 0; i < n_seqs; i++) {
        struct sequence *s = &seqs[i];
        int n = min_int(chunk, s->n_tokens - s->n_done);
        if (n == 0)
            continue;
        need(kv_seq_reserve(&r->kv, &s->kv, s->n_done + n), "KV pages");
        slices[b.n_slices++] = (struct batch_slice){ .first_row = b.n_tokens, .n_tokens = n, .first_pos = s->n_done,
                                                     .kv = kv_seq_view(&r->kv, &s->kv), .state = s->state };
        for (int j = 0; j < n; j++) {
            rows[b.n_tokens] = b.n_tokens;
            tokens[b.n_tokens++] = s->tokens[s->n_done + j];
        }
    }
    if (b.n_tokens == 0)
        return false;
    model_forward(&r->m, r->k, r->pool, &r->ws, &b, NULL, NULL);
    if (r->m.hp.causal)
        model_logits(&r->m, r->k, r->pool, &r->ws, rows, b.n_tokens, NULL);
    else
        model_states(&r->m, r->k, r->pool, &r->ws, rows, b.n_tokens);
    for (int i = 0; i < b.n_tokens && model_has_dense(&r->m); i++) { /* as if each state were a text's vector */
        float *state = r->ws.out + (size_t)i * r->width;
        model_dense(&r->m, r->k, r->pool, &r->ws, state, state);
    }
    const float *from = r->m.hp.causal ? r->ws.logits : r->ws.out;
    for (int i = 0, row = 0; i < n_seqs; i++) {
        struct sequence *s = &seqs[i];
        for (int n = min_int(chunk, s->n_tokens - s->n_done); n > 0; n--, row++, s->n_done++)
            memcpy(s->given + (size_t)s->n_done * r->width, from + (size_t)row * r->width, r->width * sizeof(float));
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct run r;
    struct file_map map;
    struct gguf g;
    if (argc != 6) {
        fprintf(stderr, "usage: arch_logits MODEL.gguf KV-TYPE CHUNK THREADS TOGETHER < sequences\n");
        return 2;
    }
    int chunk = atoi(argv[3]), together = atoi(argv[5]);
    read_sequences(&r);
    need(file_map(&map, argv[1], &err) && gguf_parse(&g, map.ptr, map.bytes, &err), argv[1]);
    run_open(&r, &g, kv_type_of(argv[2]), atoi(argv[4]));
    fprintf(stderr, "isa %s\n", r.k->isa);
    if (r.m.n_unused_tensors > 0)
        fprintf(stderr, "unused tensors: %d, the first is " STR_FMT "\n", r.m.n_unused_tensors,
                STR_ARG(r.m.unused_tensor));
    for (int i = 0; i < r.n_seqs; i += together)
        while (step(&r, &r.seqs[i], min_int(together, r.n_seqs - i), chunk))
            continue;
    for (int i = 0; i < r.n_seqs; i++) {
        size_t n = r.width * (size_t)r.seqs[i].n_tokens;
        need(fwrite(r.seqs[i].given, sizeof(float), n, stdout) == n, "standard output");
    }
    pool_destroy(r.pool);
    gguf_free(&g);
    return fflush(stdout) == 0 ? 0 : 1;
}
