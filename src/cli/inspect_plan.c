#include "cli/inspect_plan.h"

#include <stdio.h>

#include "cli/units.h"

static void row(const char *name, uint64_t bytes, const char *what)
{
    char a[UNITS_BYTES];
    printf("  %-14s%12s%s%s\n", name, text_of_bytes(a, bytes), what[0] ? "   " : "", what);
}

static void print_choices(const hearth_file *file, const hearth_plan *p)
{
    hearth_plan_choices c;
    char instead[PLAN_INSTEAD_BYTES];
    hearth_file_plan_choices(file, p, &c);
    plan_instead(instead, p, &c);
    printf("%s\n%s", p->total_bytes <= p->budget_bytes ? "it fits; at most would" : "it does not fit; instead would",
           instead);
}

void inspect_plan_print(const hearth_file *file, const hearth_plan *p, const struct plan_asked *asked)
{
    struct plan_why why;
    char text[128];
    printf("plan\n");
    row("weights", p->weights_bytes, "pages of the file: shared, never copied");
    snprintf(text, sizeof text, "%d tokens as %s; pages that requests share as prefixes are among them", p->n_kv_tokens,
             hearth_kv_type_name(p->kv_type));
    row("KV", p->kv_bytes - p->state_bytes, text);
    if (p->state_bytes)
        row("states", p->state_bytes, "of recurrent layers: of each sequence, and snapshots that others go on from");
    row("workspace", p->workspace_bytes, "activations, logits, what each thread needs, the tree of prefixes");
    row("vocabulary", p->vocabulary_bytes, "tables of the tokenizer");
    row("program", p->program_bytes, "code, heap and threads of hearth itself");
    row("requests", p->request_bytes, "the pool of hearth serve comes on top (--request-memory)");
    row("total", p->total_bytes, "");
    row("budget", p->budget_bytes, "what the machine and its control group have left");
    bool over = p->total_bytes > p->budget_bytes;
    row(over ? "missing" : "left", over ? p->total_bytes - p->budget_bytes : p->budget_bytes - p->total_bytes,
        over ? "total - budget" : "budget - total");
    plan_why(&why, p, asked);
    printf("why\n  context %d: %s\n  threads %d: %s\n", p->n_ctx_tokens, why.ctx, p->n_threads, why.threads);
    printf("  KV type %s: %s\n", hearth_kv_type_name(p->kv_type), why.kv_type);
    printf("  batch, %d sequence%s at once: %s\n", p->n_seqs, p->n_seqs == 1 ? "" : "s", why.n_seqs);
    print_choices(file, p);
}
