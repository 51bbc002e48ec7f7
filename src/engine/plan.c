/* plan.c: all large memory, computed from shapes before it is touched.
 *
 * Weights are file pages: shared, reclaimable, never copied. KV, workspace and vocabulary are
 * ours and must fit the budget. A context is chosen so that the weights fit beside them; where
 * even the smallest does not leave room for the weights, the plan still stands if our own
 * memory fits, and its reason says that weights will be read from disk again and again. */
#include <stdio.h>

#include "base/machine.h"
#include "engine/registry.h"

enum { LEAST_CTX = 4096, LOGIT_ROWS = 8 /* computed together */ };

size_t registry_room_bytes(int n_vocab, int n_ctx)
{
    return sampler_room_bytes(n_vocab, n_ctx) + align_size((size_t)n_vocab * sizeof(float), 64);
}

/* Before a tokenizer exists: texts stay in the file; per token a text reference, score, type and
 * hash slots; per merge a pair-table slot at half load. */
static uint64_t vocabulary_bytes(const hearth_file *f)
{
    struct gguf_array tokens = { 0 }, merges = { 0 };
    hearth_error ignored = { 0 };
    if (f->tokenizer)
        return tokenizer_bytes(f->tokenizer);
    if (!gguf_array_or_none(&f->gguf, "tokenizer.ggml.tokens", GGUF_STRING, 1u << 24, &tokens, &ignored)
        || !gguf_array_or_none(&f->gguf, "tokenizer.ggml.merges", GGUF_STRING, 1u << 24, &merges, &ignored))
        return 0;
    return tokens.n * 48 + merges.n * 32;
}

static uint64_t kv_bytes(const struct hparams *hp, hearth_kv_type type, int n_ctx, int n_seqs)
{
    uint64_t pages = ((uint64_t)n_ctx + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    return pages * (uint64_t)n_seqs * kv_page_bytes(hp, type);
}

static uint64_t own_bytes(const hearth_plan *p) { return p->kv_bytes + p->workspace_bytes + p->vocabulary_bytes; }

struct workspace_shape plan_workspace(const struct plan_request *r, int n_ctx)
{
    int least = max_int(r->n_seqs, min_int(1 + LOOKUP_MOST, n_ctx)); /* room for a draft, however short the steps */
    return (struct workspace_shape){ .max_tokens = max_int(min_int(r->n_step_tokens, n_ctx), least),
                                     .max_logit_rows = max_int(r->n_seqs, LOGIT_ROWS),
                                     .n_threads = r->n_threads,
                                     .observed = r->observed };
}

static void fill(hearth_plan *p, const hearth_file *f, const struct plan_request *r, int n_ctx)
{
    struct workspace_shape shape = plan_workspace(r, n_ctx);
    struct workspace ws;
    workspace_layout(&ws, &f->model, &shape, NULL);
    p->n_ctx_tokens = n_ctx;
    p->n_threads = r->n_threads;
    p->weights_bytes = f->model.weight_bytes;
    p->kv_type = r->kv_type;
    p->kv_bytes = kv_bytes(&f->model.hp, r->kv_type, n_ctx, r->n_seqs);
    p->workspace_bytes = ws.bytes + registry_room_bytes(f->model.hp.n_vocab, n_ctx)
                         + (uint64_t)r->n_seqs * lookup_bytes(n_ctx)
                         + prefix_bytes(kv_pages_for(n_ctx) * (uint32_t)r->n_seqs);
    p->vocabulary_bytes = vocabulary_bytes(f);
    p->total_bytes = p->weights_bytes + own_bytes(p);
}

static void note_slow_weights(hearth_plan *p)
{
    if (p->fits && p->total_bytes > p->budget_bytes) {
        size_t n = 0;
        while (n < sizeof p->reason && p->reason[n])
            n++;
        snprintf(p->reason + n, sizeof p->reason - n,
                 "; weights do not fit in memory beside it and will be read from disk again and again");
    }
}

static void choose_context(hearth_plan *p, const hearth_file *f, const struct plan_request *r)
{
    int trained = f->model.hp.n_ctx_train;
    int power = 1;
    while (power <= trained / 2)
        power *= 2;
    int least = min_int(trained, LEAST_CTX);
    for (int n = power; n >= least; n /= 2) {
        fill(p, f, r, n);
        if (p->total_bytes <= p->budget_bytes) {
            if (n == power)
                snprintf(p->reason, sizeof p->reason,
                         n == trained ? "the trained length" : "the largest power of two within the trained length %d",
                         trained);
            else
                snprintf(p->reason, sizeof p->reason, "the largest power of two that fits; trained for %d", trained);
            p->fits = true;
            return;
        }
    }
    fill(p, f, r, least);
    p->fits = own_bytes(p) <= p->budget_bytes;
    snprintf(p->reason, sizeof p->reason, "the smallest context that is chosen unasked");
}

void plan_make(hearth_plan *p, const hearth_file *f, const struct plan_request *r)
{
    *p = (hearth_plan){ .budget_bytes = r->budget_bytes };
    if (!p->budget_bytes) {
        struct machine m;
        machine_read(&m);
        p->budget_bytes = machine_memory_budget(&m);
    }
    if (r->n_ctx > 0) {
        fill(p, f, r, r->n_ctx);
        p->fits = own_bytes(p) <= p->budget_bytes;
        snprintf(p->reason, sizeof p->reason,
                 r->n_ctx > f->model.hp.n_ctx_train ? "as asked; beyond the trained length %d" : "as asked",
                 f->model.hp.n_ctx_train);
    } else {
        choose_context(p, f, r);
    }
    note_slow_weights(p);
}

bool plan_refuse(const hearth_plan *p, const hearth_file *f, hearth_error *err)
{
    double mib = 1.0 / (1 << 20);
    uint64_t rest = p->workspace_bytes + p->vocabulary_bytes;
    uint64_t per_token = model_kv_bytes_per_token(&f->model.hp, p->kv_type);
    uint64_t fits = p->budget_bytes > rest && per_token ? (p->budget_bytes - rest) / per_token : 0;
    if (fits >= 64)
        return fail(
            err, HEARTH_ERR_MEMORY,
            "%s does not fit: KV cache %.0f MiB for %d tokens + workspace %.0f MiB + vocabulary %.0f MiB = %.0f MiB, "
            "but the budget is %.0f MiB; --ctx %llu would fit",
            f->name, (double)p->kv_bytes * mib, p->n_ctx_tokens, (double)p->workspace_bytes * mib,
            (double)p->vocabulary_bytes * mib, (double)own_bytes(p) * mib, (double)p->budget_bytes * mib,
            (unsigned long long)(fits / 64 * 64));
    return fail(
        err, HEARTH_ERR_MEMORY,
        "%s does not fit: workspace %.0f MiB + vocabulary %.0f MiB leave nothing of the %.0f MiB budget for a KV "
        "cache; free memory or use a smaller model",
        f->name, (double)p->workspace_bytes * mib, (double)p->vocabulary_bytes * mib, (double)p->budget_bytes * mib);
}

bool kv_type_ok(hearth_kv_type type, hearth_error *err)
{
    return hearth_kv_type_name(type)
               ? true
               : fail(err, HEARTH_ERR_USAGE, "KV type %d is none that this build has (0 to %d)", (int)type,
                      HEARTH_N_KV_TYPES - 1);
}

bool hearth_file_plan(const hearth_file *f, int n_ctx_tokens, hearth_kv_type kv_type, int n_threads,
                      uint64_t budget_bytes, hearth_plan *plan, hearth_error *err)
{
    err_clear(err);
    if (!kv_type_ok(kv_type, err))
        return false;
    if (!f->runs) {
        if (err)
            *err = f->problem;
        return false;
    }
    struct machine m;
    machine_read(&m);
    struct plan_request r = { .n_ctx = n_ctx_tokens,
                              .n_seqs = 1,
                              .n_threads = n_threads > 0 ? n_threads : machine_default_threads(&m),
                              .n_step_tokens = ENGINE_STEP_TOKENS,
                              .kv_type = kv_type,
                              .budget_bytes = budget_bytes };
    plan_make(plan, f, &r);
    return true;
}
