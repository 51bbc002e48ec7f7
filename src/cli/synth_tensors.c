/* synth_tensors.c: which tensors a model has, of which type, and how widely their numbers spread.
 *
 * Spreads keep the model well-behaved at any depth: with unit-size input every block adds about
 * 1/sqrt(2 n_layers) to the residual stream. Attention scores have a standard deviation of
 * SCORE_STD, so that a query prefers some positions clearly, as trained models do; uniform
 * attention would hide mistakes in positions and masks. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/synth.h"
#include "dtype/dtype.h"

static const double SCORE_STD = 2.0;
static const double LOGIT_STD = 2.0;
static const double ROUTER_STD = 1.0;

struct list {
    struct synth_tensors *t;
    const struct synth_type *type;
    int room;
    bool unknown_type;
};

static uint32_t dtype_of(struct list *l, const char *name)
{
    enum dtype d = DTYPE_f32;
    if (!dtype_from_name(name, &d))
        l->unknown_type = true;
    return d;
}

static struct synth_tensor *add(struct list *l, const char *dtype, uint64_t n_in, uint64_t n_out, double mean,
                                double std, uint64_t n_mats)
{
    static struct synth_tensor spare; /* when there is no room, which synth_tensors_make() checks */
    struct synth_tensor *t = l->t->n < l->room ? &l->t->tensors[l->t->n] : &spare;
    l->t->n++;
    *t = (struct synth_tensor){ .dim = { n_in, n_out }, .n_mats = n_mats, .mean = (float)mean, .std = (float)std };
    t->dtype = dtype_of(l, dtype);
    l->t->bytes += dtype_row_bytes((enum dtype)t->dtype, n_in) * n_out * n_mats;
    l->t->n_values += n_in * n_out * n_mats;
    return t;
}

static void add_matrix(struct list *l, int layer, const char *name, const char *dtype, int n_in, int n_out, double std)
{
    struct synth_tensor *t = add(l, dtype, (uint64_t)n_in, (uint64_t)n_out, 0, std, 1);
    snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", layer, name);
}

static void add_experts(struct list *l, int layer, const char *name, const char *dtype, int n_in, int n_out, double std)
{
    uint64_t n = (uint64_t)l->t->shape->n_experts;
    struct synth_tensor *t = add(l, dtype, (uint64_t)n_in, (uint64_t)n_out, 0, std, n);
    snprintf(t->name, sizeof t->name, "blk.%d.%s_exps.weight", layer, name);
}

static void add_norm(struct list *l, int layer, const char *name, int n, double mean)
{
    struct synth_tensor *t = add(l, "f32", (uint64_t)n, 1, mean, 0.05 * mean, 1);
    snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", layer, name);
}

static void add_whole(struct list *l, const char *name, const char *dtype, int n_in, int n_out, double mean, double std)
{
    struct synth_tensor *t = add(l, dtype, (uint64_t)n_in, (uint64_t)n_out, mean, std, 1);
    snprintf(t->name, sizeof t->name, "%s", name);
}

/* Half of the layers of a *_M file: the first and last eighth, and every third between. */
static bool uses_more_bits(int layer, int n_layers)
{
    return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

static void add_layer(struct list *l, int i)
{
    const struct synth_shape *s = l->t->shape;
    const char *normal = l->type->matrix;
    const char *more = uses_more_bits(i, s->n_layers) ? l->type->more_bits : normal;
    int n_q = s->n_heads * s->head_dim, n_kv = s->n_kv_heads * s->head_dim;
    double residual = 1 / sqrt(2.0 * s->n_layers);
    /* Scores are q.k / sqrt(head_dim): their spread is the product of the spreads of q and k,
     * which come from the matrices, or from the norms after them where there are some. */
    double qk = sqrt(SCORE_STD);
    bool qk_norm = s->family == SYNTH_QWEN3;
    double in = 1 / sqrt((double)s->n_embd);

    add_norm(l, i, "attn_norm", s->n_embd, 1);
    add_matrix(l, i, "attn_q", normal, s->n_embd, n_q, (qk_norm ? 1 : qk) * in);
    add_matrix(l, i, "attn_k", normal, s->n_embd, n_kv, (qk_norm ? 1 : qk) * in);
    add_matrix(l, i, "attn_v", more, s->n_embd, n_kv, in);
    add_matrix(l, i, "attn_output", normal, n_q, s->n_embd, residual / sqrt((double)n_q));
    if (qk_norm) {
        add_norm(l, i, "attn_q_norm", s->head_dim, qk);
        add_norm(l, i, "attn_k_norm", s->head_dim, qk);
    }
    add_norm(l, i, "ffn_norm", s->n_embd, 1);
    if (s->n_experts) {
        int used = s->n_experts_used, n = s->n_ff_expert;
        /* Logits of the router as wide as ROUTER_STD; of so many experts' results each has about 1 / used of the
         * weight, and they are independent. */
        add_matrix(l, i, "ffn_gate_inp", "f32", s->n_embd, s->n_experts, ROUTER_STD * in);
        add_experts(l, i, "ffn_gate", normal, s->n_embd, n, in);
        add_experts(l, i, "ffn_up", normal, s->n_embd, n, in);
        add_experts(l, i, "ffn_down", more, n, s->n_embd, residual / 0.6 * sqrt(used) / sqrt((double)n));
        return;
    }
    add_matrix(l, i, "ffn_gate", normal, s->n_embd, s->n_ff, in);
    add_matrix(l, i, "ffn_up", normal, s->n_embd, s->n_ff, in);
    /* silu(gate) * up of unit normals has a root mean square of 0.6. */
    add_matrix(l, i, "ffn_down", more, s->n_ff, s->n_embd, residual / 0.6 / sqrt((double)s->n_ff));
}

static void add_all(struct list *l)
{
    const struct synth_shape *s = l->t->shape;
    double out = LOGIT_STD / sqrt((double)s->n_embd);
    add_whole(l, "token_embd.weight", s->tied ? l->type->output : l->type->embedding, s->n_embd, s->n_vocab, 0, out);
    if (s->rope_factor > 0) {
        struct synth_tensor *t = add(l, "f32", (uint64_t)s->head_dim / 2, 1, 1, 0, 1);
        snprintf(t->name, sizeof t->name, "rope_freqs.weight");
        t->is_rope = true;
    }
    for (int i = 0; i < s->n_layers; i++)
        add_layer(l, i);
    add_whole(l, "output_norm.weight", "f32", s->n_embd, 1, 1, 0.05);
    if (!s->tied)
        add_whole(l, "output.weight", l->type->output, s->n_embd, s->n_vocab, 0, out);
}

bool synth_tensors_make(struct synth_tensors *t, const struct synth_shape *shape, const struct synth_type *type,
                        hearth_error *err)
{
    *t = (struct synth_tensors){ .shape = shape };
    arena_init(&t->arena, 4 << 20);
    struct list l = { .t = t, .type = type, .room = shape->n_layers * 12 + 4 };
    t->tensors = arena_array(&t->arena, struct synth_tensor, l.room);
    if (!t->tensors)
        return fail_memory(err, "the list of tensors");
    add_all(&l);
    if (l.unknown_type)
        return fail(err, HEARTH_ERR_USAGE, "this build cannot write %s; use another --type", type->name);
    if (t->n > l.room)
        return fail(err, HEARTH_ERR_USAGE, "%s has %d tensors, %d were expected", shape->name, t->n, l.room);
    return true;
}

void synth_tensors_free(struct synth_tensors *t) { arena_free(&t->arena); }
