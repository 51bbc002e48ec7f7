/* fit_catalogue.c: models that are no file yet, from the dimensions that were published. */
#include <stdio.h>
#include <string.h>

#include "cli/fit.h"
#include "cli/quantize.h"

enum flags { TIED = 1, PLAIN = 2, FUSED = 4 };

const struct fit_row fit_catalogue[] = {
#define ROW(name, arch, l, w, h, kv, hd, ff, vocab, ctx, flags, experts, used, eff, published, source)                \
    { name, arch, source, l, w, h, kv, hd, ff, vocab, ctx, ((flags) & TIED) != 0, ((flags) & PLAIN) != 0,             \
      ((flags) & FUSED) != 0, experts, used, eff, published },
#include "cli/catalogue.def"
};
const int fit_catalogue_n = ARRAY_LEN(fit_catalogue);

/* The matrices of a model, and its norms; biases and the like are below a thousandth. */
struct walk {
    void (*see)(struct walk *w, const char *name, double rows, double columns, double n, bool output);
    struct quantize_mix_shape shape;
    const struct quantize_mix *mix;
    struct fit_model *m;
    int n_used; /* of experts */
    double values, bytes;
    bool failed;
};

static void see_layer(struct walk *w, const struct fit_row *r, int i)
{
    char name[64];
    double q = (double)r->n_heads * r->head_dim, kv = (double)r->n_kv_heads * r->head_dim, width = r->n_embd;
#define SEE(what, rows, columns, n) \
    (snprintf(name, sizeof name, "blk.%d." what ".weight", i), w->see(w, name, rows, columns, n, false))
    if (r->fused_qkv) {
        SEE("attn_qkv", q + 2 * kv, width, 1);
    } else {
        SEE("attn_q", q, width, 1);
        SEE("attn_k", kv, width, 1);
        SEE("attn_v", kv, width, 1);
    }
    SEE("attn_output", width, q, 1);
    SEE("attn_norm", 1, width, 2);
    double ff = r->n_experts ? r->n_expert_ff : r->n_ff, n = r->n_experts ? r->n_experts : 1;
    if (r->n_experts)
        SEE("ffn_gate_inp", n, width, 1);
    if (!r->plain_ffn)
        SEE("ffn_gate", ff, width, n);
    SEE("ffn_up", ff, width, n);
    SEE("ffn_down", width, ff, n);
#undef SEE
}

static void walk(struct walk *w, const struct fit_row *r)
{
    w->see(w, "token_embd.weight", r->n_vocab, r->n_embd, 1, r->tied);
    if (!r->tied)
        w->see(w, "output.weight", r->n_vocab, r->n_embd, 1, true);
    w->see(w, "output_norm.weight", 1, r->n_embd, 1, false);
    for (int i = 0; i < r->n_layers; i++)
        see_layer(w, r, i);
}

static void count(struct walk *w, const char *name, double rows, double columns, double n, bool output)
{
    (void)name;
    (void)output;
    w->values += rows * columns * n;
}

double fit_row_parameters(const struct fit_row *r)
{
    struct walk w = { .see = count };
    walk(&w, r);
    return w.values;
}

static struct fit_format *format_of(struct fit_model *m, const char *name)
{
    int i = 0;
    while (i < m->n_formats && strcmp(m->format[i].name, name) != 0)
        i++;
    if (i == FIT_MOST_FORMATS)
        return &m->format[FIT_MOST_FORMATS - 1];
    if (i == m->n_formats)
        m->format[m->n_formats++] = (struct fit_format){ .name = name };
    return &m->format[i];
}

static void weigh(struct walk *w, const char *name, double rows, double columns, double n, bool output)
{
    enum dtype type;
    bool lookup = strcmp(name, "token_embd.weight") == 0 && !output;
    if (!quantize_mix_type(&type, w->mix, str_z(name), (uint64_t)rows, (uint64_t)columns, &w->shape)) {
        w->failed = true;
        return;
    }
    double bytes = (double)dtype_row_bytes(type, (uint64_t)columns) * rows * n;
    w->values += rows * columns * n;
    w->bytes += bytes;
    if (rows < 2 || lookup)
        return;
    struct fit_format *f = format_of(w->m, dtype_table[type].name);
    double used = n > 1 ? w->n_used : n; /* matrices behind one another are of experts */
    f->bytes += bytes / n * used;
    *(output ? &f->output_macs : &f->layer_macs) += rows * columns * used;
}

static void say_whether_it_runs(struct fit_model *m, const struct fit_row *r)
{
    const char *names[128];
    size_t n = hearth_architectures(names, ARRAY_LEN(names));
    for (size_t i = 0; i < n && i < ARRAY_LEN(names); i++)
        m->runs |= strcmp(names[i], r->architecture) == 0;
    if (!m->runs)
        snprintf(m->problem, sizeof m->problem, "architecture %s", r->architecture);
}

bool fit_row_model(struct fit_model *m, const struct fit_row *r, const char *mix, hearth_kv_type kv_type,
                   hearth_error *err)
{
    struct walk w = { .see = weigh, .m = m, .n_used = r->n_used, .shape = { (uint64_t)r->n_layers,
                                                       (uint64_t)(r->n_heads / r->n_kv_heads), r->tied } };
    for (int i = 0; quantize_mixes[i].name && !w.mix; i++)
        if (strcmp(quantize_mixes[i].name, mix) == 0)
            w.mix = &quantize_mixes[i];
    if (!w.mix)
        return fail(err, HEARTH_ERR_USAGE, "--type %.40s is none that is known; it is one of %s", mix,
                    QUANTIZE_MIX_CHOICES);
    *m = (struct fit_model){ .n_layers = r->n_layers, .n_embd = r->n_embd, .n_heads = r->n_heads,
                             .n_kv_heads = r->n_kv_heads, .head_dim = r->head_dim,
                             .n_ff = r->n_experts ? r->n_used * r->n_expert_ff : r->n_ff,
                             .n_used = r->n_experts ? r->n_used : 0, .n_vocab = r->n_vocab,
                             .n_ctx_train = r->n_ctx_train, .kv_type = kv_type, .from_dimensions = true };
    snprintf(m->name, sizeof m->name, "%s %s", r->name, mix);
    snprintf(m->architecture, sizeof m->architecture, "%s", r->architecture);
    snprintf(m->types, sizeof m->types, "%s", mix);
    snprintf(m->source, sizeof m->source, "%s", r->source);
    walk(&w, r);
    if (w.failed)
        return fail(err, HEARTH_ERR_USAGE, "%s cannot be had as %s", r->name, mix);
    static const double of_value[] = { [HEARTH_KV_f16] = 2, [HEARTH_KV_bf16] = 2, [HEARTH_KV_q8] = 1.0625,
                                       [HEARTH_KV_f32] = 4 };
    m->n_parameters = (uint64_t)w.values;
    m->weight_bytes = m->file_bytes = (uint64_t)w.bytes;
    m->kv_bytes = 2.0 * r->n_layers * r->n_kv_heads * r->head_dim * of_value[kv_type];
    m->attention_macs = 2.0 * r->n_layers * r->n_heads * r->head_dim;
    say_whether_it_runs(m, r);
    return true;
}
