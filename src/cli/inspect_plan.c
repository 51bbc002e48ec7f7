#include "cli/inspect_plan.h"

#include <stdio.h>

#include "cli/units.h"
#include "record/receipt_json.h"

enum { CTX_STEP = 64 }; /* positions of a page */

static bool fits(const hearth_file *file, const hearth_plan *p, hearth_kv_type type, int n_ctx)
{
    hearth_plan plan;
    hearth_error err = { 0 };
    uint64_t budget = p->budget_bytes ? p->budget_bytes : 1; /* 0 would be what the machine has */
    return hearth_file_plan(file, n_ctx, type, p->n_threads, budget, &plan, &err) && plan.fits
        && plan.total_bytes <= budget;
}

/* A longer context never takes less, so halving finds the longest. */
static int longest_context(const hearth_file *file, const hearth_plan *p, hearth_kv_type type, int n_trained)
{
    int low = 0, high = n_trained / CTX_STEP + 1; /* in steps: low fits or is 0, high does not */
    if (n_trained > 0 && fits(file, p, type, n_trained))
        return n_trained;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (fits(file, p, type, middle * CTX_STEP))
            low = middle;
        else
            high = middle;
    }
    return low * CTX_STEP;
}

void plan_choices_find(struct plan_choices *out, const hearth_file *file, const hearth_plan *plan)
{
    hearth_file_info info;
    hearth_file_describe(file, &info);
    *out = (struct plan_choices){ 0 };
    for (int i = 0; i < HEARTH_N_KV_TYPES; i++)
        out->longest_ctx[i] = longest_context(file, plan, (hearth_kv_type)i, info.n_ctx_train);
    uint64_t own = plan->total_bytes - plan->weights_bytes;
    if (plan->budget_bytes > own && info.n_parameters > 0)
        out->most_bits = (double)(plan->budget_bytes - own) * 8 / (double)info.n_parameters;
}

static void row(const char *name, uint64_t bytes, const char *what)
{
    char a[UNITS_BYTES];
    printf("  %-14s%12s%s%s\n", name, text_of_bytes(a, bytes), what[0] ? "   " : "", what);
}

static void print_choices(const hearth_file *file, const hearth_plan *p)
{
    struct plan_choices c;
    hearth_file_info info;
    plan_choices_find(&c, file, p);
    hearth_file_describe(file, &info);
    bool all = p->total_bytes <= p->budget_bytes;
    printf("%s\n", all ? "it fits; at most would" : "it does not fit; instead would");
    for (int i = 0; i < HEARTH_N_KV_TYPES; i++)
        if (c.longest_ctx[i] > 0)
            printf("  --ctx %d --kv-type %s%s\n", c.longest_ctx[i], hearth_kv_type_name((hearth_kv_type)i),
                   c.longest_ctx[i] == info.n_ctx_train ? " (as trained)" : "");
    double now = info.n_parameters ? (double)p->weights_bytes * 8 / (double)info.n_parameters : 0;
    if (!all && c.most_bits > 0 && c.most_bits < now)
        printf("  weights of %.1f bits each with this context (these have %.1f): a smaller quantization\n", c.most_bits,
               now);
    else if (!all && c.longest_ctx[0] == 0)
        printf("  nothing of this model: free memory, or use a smaller one\n");
}

void inspect_plan_print(const hearth_file *file, const hearth_plan *p, bool ctx_asked, bool threads_asked)
{
    char a[UNITS_BYTES], text[128];
    printf("plan\n");
    row("weights", p->weights_bytes, "pages of the file: shared, never copied");
    snprintf(text, sizeof text, "%d tokens as %s; pages that requests share as prefixes are among them", p->n_kv_tokens,
             hearth_kv_type_name(p->kv_type));
    row("KV", p->kv_bytes, text);
    row("workspace", p->workspace_bytes, "activations, logits, what each thread needs, the tree of prefixes");
    row("vocabulary", p->vocabulary_bytes, "tables of the tokenizer");
    row("requests", p->request_bytes, "the pool of hearth serve comes on top (--request-memory)");
    row("total", p->total_bytes, "");
    row("budget", p->budget_bytes, "what the machine and its control group have left");
    bool over = p->total_bytes > p->budget_bytes;
    row(over ? "missing" : "left", over ? p->total_bytes - p->budget_bytes : p->budget_bytes - p->total_bytes,
        over ? "total - budget" : "budget - total");
    printf("why\n  context %d: %s%s\n", p->n_ctx_tokens, p->reason, ctx_asked ? " (--ctx)" : "");
    printf("  threads %d: %s\n", p->n_threads,
           threads_asked ? "as asked (--threads)" : "one a physical core, held to the quota");
    printf("  KV type %s: %s per token of context\n", hearth_kv_type_name(p->kv_type),
           text_of_bytes(a, p->n_kv_tokens > 0 ? p->kv_bytes / (uint64_t)p->n_kv_tokens : 0));
    printf("  batch: %d sequence%s at once\n", p->n_seqs, p->n_seqs == 1 ? "" : "s");
    print_choices(file, p);
}

json_t *inspect_plan_json(const hearth_file *file, const hearth_plan *plan)
{
    struct plan_choices c;
    json_t *o = plan_to_json(plan), *longest = json_object();
    plan_choices_find(&c, file, plan);
    bool ok = o && longest;
    for (int i = 0; ok && i < HEARTH_N_KV_TYPES; i++)
        ok = json_object_set_new(longest, hearth_kv_type_name((hearth_kv_type)i), json_integer(c.longest_ctx[i])) == 0;
    if (ok && json_object_set_new(o, "most_bits_per_weight", json_real(c.most_bits)) == 0
        && json_object_set(o, "longest_ctx_tokens", longest) == 0) {
        json_decref(longest);
        return o;
    }
    json_decref(longest);
    json_decref(o);
    return NULL;
}
