#include "record/plan_why.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "record/receipt_json.h"

void plan_why(struct plan_why *out, const hearth_plan *p, const struct plan_asked *asked)
{
    unsigned long long each = p->n_kv_tokens > 0 ? (p->kv_bytes - p->state_bytes) / (uint64_t)p->n_kv_tokens : 0;
    snprintf(out->ctx, sizeof out->ctx, "%s%s", p->reason, asked->ctx ? " (--ctx)" : "");
    snprintf(out->threads, sizeof out->threads, "%s",
             asked->threads ? "as asked (--threads)" : "one a physical core, held to the quota");
    snprintf(out->kv_type, sizeof out->kv_type, "%s; %llu bytes for each token of context",
             asked->kv_type ? "as asked (--kv-type)" : "the default", each);
    snprintf(out->n_seqs, sizeof out->n_seqs, "%s; their pool holds %d tokens together",
             asked->n_seqs ? "as asked (--parallel)" : "the default", p->n_kv_tokens);
}

static bool has_all(const hearth_plan *p) { return p->total_bytes <= p->budget_bytes; }

void plan_instead(char out[PLAN_INSTEAD_BYTES], const hearth_plan *p, const hearth_plan_choices *c)
{
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < HEARTH_N_KV_TYPES; i++)
        if (c->longest_ctx_tokens[i] > 0)
            n += (size_t)snprintf(out + n, PLAN_INSTEAD_BYTES - n, "  --ctx %d --kv-type %s%s\n",
                                  c->longest_ctx_tokens[i], hearth_kv_type_name((hearth_kv_type)i),
                                  c->longest_ctx_tokens[i] == c->n_ctx_train ? " (as trained)" : "");
    if (!has_all(p) && c->most_bits_per_weight > 0 && c->most_bits_per_weight < c->bits_per_weight)
        snprintf(out + n, PLAN_INSTEAD_BYTES - n,
                 "  weights of %.1f bits each with this context (these have %.1f): a smaller quantization\n",
                 c->most_bits_per_weight, c->bits_per_weight);
    else if (!has_all(p) && c->longest_ctx_tokens[0] == 0)
        snprintf(out + n, PLAN_INSTEAD_BYTES - n, "  nothing of this model: free memory, or use a smaller one\n");
}

static json_t *of_longest(const hearth_plan_choices *c)
{
    json_t *longest = json_object();
    for (int i = 0; i < HEARTH_N_KV_TYPES; i++)
        if (json_object_set_new(longest, hearth_kv_type_name((hearth_kv_type)i),
                                json_integer(c->longest_ctx_tokens[i])) != 0) {
            json_decref(longest);
            return NULL;
        }
    return longest;
}

json_t *plan_why_to_json(const hearth_plan *p, const struct plan_asked *asked, const hearth_plan_choices *c)
{
    struct plan_why why;
    plan_why(&why, p, asked);
    json_t *o = plan_to_json(p);
    json_t *more = json_pack("{s:{s:s, s:s, s:s, s:s}, s:o, s:f}", "why", "n_ctx_tokens", why.ctx, "n_threads",
                             why.threads, "kv_type", why.kv_type, "n_seqs", why.n_seqs, "longest_ctx_tokens",
                             of_longest(c), "most_bits_per_weight", c->most_bits_per_weight);
    bool ok = o && more && json_object_update(o, more) == 0;
    json_decref(more);
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}
