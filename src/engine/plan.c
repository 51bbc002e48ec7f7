/* plan.c: all large memory, computed from shapes before it is touched.
 *
 * Weights are file pages: shared, reclaimable, never copied. KV, workspace and vocabulary are
 * ours and must fit the budget. A context is chosen so that the weights fit beside them; where
 * even the smallest does not leave room for the weights, the plan still stands if our own
 * memory fits, and its reason says that weights will be read from disk again and again. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/machine.h"
#include "engine/lane.h"
#include "engine/registry.h"

enum { LEAST_CTX = 4096, LOGIT_ROWS = 8 /* computed together */ };

size_t registry_room_bytes(int n_vocab, int n_ctx)
{
    return sampler_room_bytes(n_vocab, n_ctx) + align_size((size_t)n_vocab * sizeof(float), 64);
}

/* Before a tokenizer exists: texts stay in the file; per token a text reference, score, type and
 * hash slots; per merge a pair-table slot at half load. */
static uint64_t tokenizer_estimate(const hearth_file *f)
{
    struct gguf_array tokens = { 0 }, merges = { 0 };
    hearth_error ignored = { 0 };
    if (!gguf_array_or_none(&f->gguf, "tokenizer.ggml.tokens", GGUF_STRING, 1u << 24, &tokens, &ignored)
        || !gguf_array_or_none(&f->gguf, "tokenizer.ggml.merges", GGUF_STRING, 1u << 24, &merges, &ignored))
        return 0;
    return tokens.n * 48 + merges.n * 32;
}

/* And the file's metadata, where the texts of tokens stay; its directory in memory; texts that were asked for
 * (hearth_file_token_text()); and the template: measured 20 bytes in memory for one of its text, and what looking at it
 * takes. */
static uint64_t vocabulary_bytes(const hearth_file *f)
{
    enum { PIECE_BYTES = sizeof(struct str) + 8, TEMPLATE_BYTES = 64 << 10, BYTES_OF_A_BYTE = 20 };
    uint64_t directory = sizeof *f + f->gguf.arena.total_bytes + f->model.arena.total_bytes + f->arena.total_bytes;
    uint64_t template = strlen(f->template_text) * BYTES_OF_A_BYTE + TEMPLATE_BYTES;
    return (f->tokenizer ? tokenizer_bytes(f->tokenizer) : tokenizer_estimate(f))
         + (uint64_t)f->model.hp.n_vocab * PIECE_BYTES + file_header_bytes(f) + directory + template;
}

/* What a sequence has beside its keys and values: lane.c. */
static uint64_t sequence_bytes(int n_ctx)
{
    return sizeof(struct seq) + (uint64_t)n_ctx * sizeof(int32_t) + 2 * STREAM_TEXT_MAX_BYTES + lookup_bytes(n_ctx)
         + kv_pages_for(n_ctx) * sizeof(uint32_t) + sizeof(struct batch_slice);
}

static uint64_t own_bytes(const hearth_plan *p)
{
    return p->kv_bytes + p->workspace_bytes + p->vocabulary_bytes + p->program_bytes + p->request_bytes;
}

/* What there is of the program is among what is used already, and it is planned. */
uint64_t plan_machine_budget(uint64_t program_bytes)
{
    struct machine m;
    machine_read(&m);
    return machine_memory_budget(&m) + min_size(process_anonymous_bytes(), program_bytes);
}

struct workspace_shape plan_workspace(const struct plan_request *r, const hearth_file *f, int n_ctx)
{
    int least = max_int(r->n_seqs, min_int(1 + LOOKUP_MOST, n_ctx)); /* room for a draft, however short the steps */
    /* A text whose tokens see both ways is computed in one step. */
    int step = f->model.hp.causal ? min_int(r->n_step_tokens, n_ctx) : max_int(r->n_step_tokens, n_ctx);
    return (struct workspace_shape){ .max_tokens = max_int(step, least),
                                     .max_logit_rows = max_int(r->n_seqs, LOGIT_ROWS),
                                     .n_threads = r->n_threads,
                                     .observed = r->observed };
}

/* Slots for recurrent states beside a pool of n_pages; 0: no layer keeps one. */
static uint32_t n_states(const hearth_file *f, const struct plan_request *r, uint32_t n_pages)
{
    return states_count(model_state_bytes(&f->model.hp), r->n_seqs,
                        n_pages * (uint64_t)model_kv_page_bytes(&f->model.hp, r->kv_type));
}

/* A page of the pool, and its places in the tree and the queue to disk. */
static uint64_t page_bytes(const hearth_file *f, const struct plan_request *r)
{
    size_t kept = r->on_disk ? sizeof(struct keep_page) : 0;
    size_t bytes = model_kv_page_bytes(&f->model.hp, r->kv_type);
    size_t states = model_state_bytes(&f->model.hp) ? bytes / 4 : 0;
    return bytes + states + kv_list_bytes(1) + prefix_bytes(1) - prefix_bytes(0) + kept;
}

/* With a pool of n_pages. */
static void fill(hearth_plan *p, const hearth_file *f, const struct plan_request *r, int n_ctx, uint32_t n_pages)
{
    struct workspace_shape shape = plan_workspace(r, f, n_ctx);
    struct workspace ws;
    workspace_layout(&ws, &f->model, &shape, NULL);
    p->n_ctx_tokens = n_ctx;
    p->n_threads = r->n_threads;
    p->weights_bytes = f->model.weight_bytes;
    p->kv_type = r->kv_type;
    p->n_seqs = r->n_seqs;
    p->n_kv_tokens = (int)n_pages * KV_PAGE_TOKENS;
    uint32_t n_slots = n_states(f, r, n_pages);
    p->state_bytes = n_slots * (uint64_t)states_slot_bytes(model_state_bytes(&f->model.hp));
    p->kv_bytes = n_pages * (uint64_t)model_kv_page_bytes(&f->model.hp, r->kv_type) + p->state_bytes;
    p->workspace_bytes = ws.bytes + registry_room_bytes(f->model.hp.n_vocab, n_ctx)
                         + (uint64_t)r->n_seqs * sequence_bytes(n_ctx)
                         + (uint64_t)shape.max_tokens * sizeof(int32_t)
                         + kv_list_bytes(n_pages) + prefix_bytes(n_pages) + states_list_bytes(n_slots, n_pages)
                         + (r->on_disk ? keep_bytes(n_pages, model_kv_page_bytes(&f->model.hp, r->kv_type)) : 0);
    p->vocabulary_bytes = vocabulary_bytes(f);
    p->asleep_bytes = p->vocabulary_bytes + p->workspace_bytes - ws.bytes
                      - registry_room_bytes(f->model.hp.n_vocab, n_ctx);
    p->program_bytes = r->program_bytes;
    p->request_bytes = r->request_bytes;
    p->total_bytes = p->weights_bytes + own_bytes(p);
}

/* Pages for n contexts; more than a pool can have are too many for any machine. */
static uint32_t pages_of(int n_ctx, int n)
{
    return (uint32_t)min_size(kv_pages_for(n_ctx) * (uint64_t)n, INT32_MAX / KV_PAGE_TOKENS);
}

/* The least pool: one whole context. So whatever a request may be, it can be computed when the others have ended. */
static void fill_least(hearth_plan *p, const hearth_file *f, const struct plan_request *r, int n_ctx)
{
    uint32_t asked = kv_pages_for(r->n_kv_tokens), most = pages_of(n_ctx, r->n_seqs), least = pages_of(n_ctx, 1);
    fill(p, f, r, n_ctx, asked < least ? least : asked < most ? asked : most);
}

/* Weights and all: beside the others in the whole budget, and in the share of this one. */
static uint64_t room_for_all(const hearth_plan *p, const struct plan_request *r)
{
    uint64_t others = r->others_own_bytes + r->others_weights_bytes;
    uint64_t left = p->machine_budget_bytes - min_size(p->machine_budget_bytes, others);
    uint64_t room = r->share_bytes ? min_size(left, r->share_bytes) : left;
    return room - min_size(room, r->kept_bytes);
}

static bool all_fit(const hearth_plan *p, const struct plan_request *r)
{
    return p->total_bytes <= room_for_all(p, r);
}

/* As many pages as fit beside the weights, up to a context for each sequence. */
static void grow_pool(hearth_plan *p, const hearth_file *f, const struct plan_request *r)
{
    uint64_t room = room_for_all(p, r), least = pages_of(p->n_ctx_tokens, 1);
    uint64_t most = pages_of(p->n_ctx_tokens, r->n_seqs), more = p->total_bytes < room ? room - p->total_bytes : 0;
    uint64_t n_pages = least + more / page_bytes(f, r);
    if (n_pages >= most) {
        fill(p, f, r, p->n_ctx_tokens, (uint32_t)most);
        if (all_fit(p, r))
            return;
    }
    n_pages = min_size(n_pages, most);
    do /* the tree's tables grow in powers of two */
        fill(p, f, r, p->n_ctx_tokens, (uint32_t)n_pages);
    while (!all_fit(p, r) && n_pages > least && (n_pages = max_size(least, n_pages - n_pages / 64 - 1)));
}

static void add_reason(hearth_plan *p, const char *fmt, ...)
{
    size_t n = strlen(p->reason);
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->reason + n, sizeof p->reason - n, fmt, args);
    va_end(args);
}

static void add_notes(hearth_plan *p, const struct plan_request *r)
{
    if (p->fits && p->state_bytes && r->on_disk)
        add_reason(p, "; nothing of it is kept on disk: its states are not part of pages");
    if (p->fits && p->n_kv_tokens / r->n_seqs < p->n_ctx_tokens)
        add_reason(p, "; %d sequences share room for %d tokens", p->n_seqs, p->n_kv_tokens);
    if (p->fits && !all_fit(p, r))
        add_reason(p, "; weights do not fit in memory beside it and will be read from disk again and again");
}

/* The longest context that is chosen unasked. */
static int longest_context(const hearth_file *f)
{
    int power = 1;
    while (power <= f->model.hp.n_ctx_train / 2)
        power *= 2;
    return power;
}

static int shortest_context(const hearth_file *f) { return min_int(f->model.hp.n_ctx_train, LEAST_CTX); }

static void choose_context(hearth_plan *p, const hearth_file *f, const struct plan_request *r)
{
    int trained = f->model.hp.n_ctx_train, power = longest_context(f), least = shortest_context(f);
    for (int n = power; n >= least; n /= 2) {
        fill_least(p, f, r, n);
        if (all_fit(p, r)) {
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
    fill_least(p, f, r, least);
    p->fits = own_bytes(p) <= p->budget_bytes;
    snprintf(p->reason, sizeof p->reason, "the smallest context that is chosen unasked");
}

void plan_make(hearth_plan *p, const hearth_file *f, const struct plan_request *r)
{
    *p = (hearth_plan){ .machine_budget_bytes = r->budget_bytes };
    if (!p->machine_budget_bytes)
        p->machine_budget_bytes = plan_machine_budget(r->program_bytes);
    p->budget_bytes = p->machine_budget_bytes - min_size(p->machine_budget_bytes, r->others_own_bytes);
    if (r->share_bytes)
        p->budget_bytes = min_size(p->budget_bytes, r->share_bytes);
    if (r->n_ctx > 0) {
        fill_least(p, f, r, r->n_ctx);
        p->fits = own_bytes(p) <= p->budget_bytes;
        snprintf(p->reason, sizeof p->reason,
                 r->n_ctx > f->model.hp.n_ctx_train ? "as asked; beyond the trained length %d" : "as asked",
                 f->model.hp.n_ctx_train);
    } else {
        choose_context(p, f, r);
    }
    if (p->fits && !r->n_kv_tokens)
        grow_pool(p, f, r);
    add_notes(p, r);
}

void plan_bounds(const hearth_file *f, const struct plan_request *r, hearth_plan *least, hearth_plan *most)
{
    int shortest = r->n_ctx ? r->n_ctx : shortest_context(f), longest = r->n_ctx ? r->n_ctx : longest_context(f);
    *least = *most = (hearth_plan){ 0 };
    fill_least(least, f, r, shortest);
    fill_least(most, f, r, max_int(longest, shortest));
    if (!r->n_kv_tokens)
        fill(most, f, r, most->n_ctx_tokens, pages_of(most->n_ctx_tokens, r->n_seqs));
}

bool plan_refuse(const hearth_plan *p, const hearth_file *f, hearth_error *err)
{
    double mib = 1.0 / (1 << 20);
    uint64_t rest = p->workspace_bytes + p->vocabulary_bytes + p->program_bytes + p->request_bytes + p->state_bytes;
    char requests[80] = "";
    if (p->program_bytes || p->request_bytes)
        snprintf(requests, sizeof requests, " + program %.0f MiB + requests %.0f MiB", (double)p->program_bytes * mib,
                 (double)p->request_bytes * mib);
    uint64_t per_token = model_kv_bytes_per_token(&f->model.hp, p->kv_type);
    uint64_t fits = p->budget_bytes > rest && per_token ? (p->budget_bytes - rest) / per_token : 0;
    if (fits >= 64)
        return fail(
            err, HEARTH_ERR_MEMORY,
            "%s does not fit: KV cache %.0f MiB for %d tokens + workspace %.0f MiB + vocabulary %.0f MiB%s = %.0f "
            "MiB, but the budget is %.0f MiB; --ctx %llu would fit",
            f->name, (double)p->kv_bytes * mib, p->n_ctx_tokens, (double)p->workspace_bytes * mib,
            (double)p->vocabulary_bytes * mib, requests, (double)own_bytes(p) * mib, (double)p->budget_bytes * mib,
            (unsigned long long)(fits / 64 * 64));
    return fail(
        err, HEARTH_ERR_MEMORY,
        "%s does not fit: workspace %.0f MiB + vocabulary %.0f MiB%s leave nothing of the %.0f MiB budget for a "
        "KV cache; free memory or use a smaller model",
        f->name, (double)p->workspace_bytes * mib, (double)p->vocabulary_bytes * mib, requests,
        (double)p->budget_bytes * mib);
}

bool kv_type_ok(hearth_kv_type type, hearth_error *err)
{
    return hearth_kv_type_name(type)
               ? true
               : fail(err, HEARTH_ERR_USAGE, "KV type %d is none that this build has (0 to %d)", (int)type,
                      HEARTH_N_KV_TYPES - 1);
}

static bool plan_file(const hearth_file *f, const hearth_plan_options *o, int n_seqs, int n_kv_tokens,
                      hearth_plan *plan, hearth_error *err)
{
    err_clear(err);
    if (!kv_type_ok(o->kv_type, err))
        return false;
    if (n_seqs < 1 || n_seqs > SCHED_MAX_SEQS)
        return fail(err, HEARTH_ERR_USAGE, "a plan for %d sequences; give 1 to %d", n_seqs, SCHED_MAX_SEQS);
    if (!f->runs) {
        if (err)
            *err = f->problem;
        return false;
    }
    if (!model_check_context(&f->model, o->n_ctx_tokens, err))
        return false;
    struct machine m;
    machine_read(&m);
    struct plan_request r = { .n_ctx = o->n_ctx_tokens,
                              .n_seqs = n_seqs,
                              .n_kv_tokens = n_kv_tokens,
                              .n_threads = o->n_threads > 0 ? o->n_threads : machine_default_threads(&m),
                              .n_step_tokens = ENGINE_STEP_TOKENS,
                              .kv_type = o->kv_type,
                              .budget_bytes = o->budget_bytes,
                              .program_bytes = o->program_bytes,
                              .request_bytes = o->request_bytes };
    plan_make(plan, f, &r);
    return true;
}

bool hearth_file_plan_with(const hearth_file *f, const hearth_plan_options *o, hearth_plan *plan, hearth_error *err)
{
    return plan_file(f, o, o->n_seqs ? o->n_seqs : 1, 0, plan, err);
}

bool hearth_file_plan_seqs(const hearth_file *f, int n_ctx_tokens, int n_seqs, hearth_kv_type kv_type, int n_threads,
                           uint64_t budget_bytes, hearth_plan *plan, hearth_error *err)
{
    int64_t n_kv = n_seqs > 1 ? (int64_t)n_ctx_tokens * n_seqs : 0;
    const hearth_plan_options o = { .n_ctx_tokens = n_ctx_tokens,
                                    .n_seqs = n_seqs,
                                    .kv_type = kv_type,
                                    .n_threads = n_threads,
                                    .budget_bytes = budget_bytes };
    return plan_file(f, &o, n_seqs, n_kv < INT32_MAX ? (int)n_kv : INT32_MAX, plan, err);
}

bool hearth_file_plan(const hearth_file *f, int n_ctx_tokens, hearth_kv_type kv_type, int n_threads,
                      uint64_t budget_bytes, hearth_plan *plan, hearth_error *err)
{
    return hearth_file_plan_seqs(f, n_ctx_tokens, 1, kv_type, n_threads, budget_bytes, plan, err);
}
