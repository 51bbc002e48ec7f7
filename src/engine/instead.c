/* instead.c: what else would fit where a plan stands: planned again, with other contexts and other types of keys and
 * values. */
#include "engine/engine.h"
#include "engine/registry.h"

/* As the plan was made, but for what it does not say (a cache on disk): that comes on top, as it did there. */
static struct plan_request request_of(const hearth_plan *p)
{
    return (struct plan_request){ .n_seqs = p->n_seqs,
                                  .n_threads = p->n_threads,
                                  .n_step_tokens = ENGINE_STEP_TOKENS,
                                  .kv_type = p->kv_type,
                                  .budget_bytes = p->budget_bytes ? p->budget_bytes : 1, /* 0: what the machine has */
                                  .program_bytes = p->program_bytes,
                                  .request_bytes = p->request_bytes };
}

static uint64_t unsaid_bytes(const hearth_file *f, const hearth_plan *p)
{
    struct plan_request r = request_of(p);
    hearth_plan again, ignored;
    r.n_ctx = p->n_ctx_tokens;
    r.n_kv_tokens = p->n_kv_tokens;
    plan_bounds(f, &r, &again, &ignored);
    return p->total_bytes - min_size(p->total_bytes, again.total_bytes);
}

/* With its weights, and one context of all its sequences. */
static bool fits(const hearth_file *f, struct plan_request *r, int n_ctx, uint64_t unsaid)
{
    hearth_plan least, ignored;
    r->n_ctx = n_ctx;
    plan_bounds(f, r, &least, &ignored);
    return least.total_bytes + unsaid <= r->budget_bytes;
}

/* A longer context never takes less, so halving finds the longest. */
static int longest(const hearth_file *f, struct plan_request *r, uint64_t unsaid)
{
    enum { CTX_STEP = 64 }; /* positions of a page */
    int trained = f->model.hp.n_ctx_train, low = 0, high = trained / CTX_STEP + 1; /* low fits or is 0, high does not */
    if (fits(f, r, trained, unsaid))
        return trained;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (fits(f, r, middle * CTX_STEP, unsaid))
            low = middle;
        else
            high = middle;
    }
    return low * CTX_STEP;
}

void hearth_file_plan_choices(const hearth_file *f, const hearth_plan *p, hearth_plan_choices *out)
{
    hearth_file_info info;
    *out = (hearth_plan_choices){ 0 };
    if (!f->runs)
        return;
    hearth_file_describe(f, &info);
    out->n_ctx_train = info.n_ctx_train;
    struct plan_request r = request_of(p);
    uint64_t own = p->total_bytes - p->weights_bytes, unsaid = unsaid_bytes(f, p);
    for (int i = 0; i < HEARTH_N_KV_TYPES; i++) {
        r.kv_type = (hearth_kv_type)i;
        out->longest_ctx_tokens[i] = longest(f, &r, unsaid);
    }
    if (info.n_parameters > 0) {
        out->bits_per_weight = (double)p->weights_bytes * 8 / (double)info.n_parameters;
        out->most_bits_per_weight = p->budget_bytes > own
                                        ? (double)(p->budget_bytes - own) * 8 / (double)info.n_parameters : 0;
    }
}
