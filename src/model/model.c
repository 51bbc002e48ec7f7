#include "model/model.h"

#include "kernel/attention.h"

#include <math.h>
#include <stdio.h>

#include "kernel/num.h"

enum { NAME_BYTES = 96, MODEL_ARENA_BYTES = 64 << 20 };

static uint64_t dim_value(const struct hparams *hp, enum dim d)
{
    switch (d) {
    case D_NONE:
        return 1;
    case D_EMBD:
        return (uint64_t)hp->n_embd;
    case D_VOCAB:
        return (uint64_t)hp->n_vocab;
    case D_Q:
        return (uint64_t)hp->n_heads * (uint64_t)hp->head_dim;
    case D_KV:
        return (uint64_t)hp->n_kv_heads * (uint64_t)hp->head_dim;
    case D_HEAD:
        return (uint64_t)hp->head_dim;
    case D_FF:
        return (uint64_t)hp->n_ff;
    case D_ROT:
        return (uint64_t)hp->n_rot / 2;
    }
    return 0;
}

static bool check_shape(const struct gguf_tensor *t, uint64_t row, uint64_t rows, hearth_error *err)
{
    uint64_t have_rows = t->dim[1];
    if (t->dim[0] == row && have_rows == rows && t->dim[2] == 1 && t->dim[3] == 1)
        return true;
    return fail(
        err, HEARTH_ERR_FORMAT,
        STR_FMT
        " has shape [%llu, %llu, %llu, %llu], this model needs [%llu, %llu]; the file does not match its metadata",
        STR_ARG(t->name), (unsigned long long)t->dim[0], (unsigned long long)t->dim[1], (unsigned long long)t->dim[2],
        (unsigned long long)t->dim[3], (unsigned long long)row, (unsigned long long)rows);
}

static bool check_type(const struct gguf_tensor *t, bool vector, enum dtype *type, hearth_error *err)
{
    struct gguf_type_info info = { .name = "unknown" };
    gguf_type_info(t->type, &info);
    if (!dtype_from_gguf(t->type, type))
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " has type %s (number %u), which this version cannot compute with; use a file in one of %s",
                    STR_ARG(t->name), info.name, t->type, dtype_names());
    if (vector && *type != DTYPE_f32)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has type %s; norms and biases must be F32", STR_ARG(t->name),
                    info.name);
    return true;
}

static bool bind(struct model *m, const struct gguf *g, const struct tensor_spec *spec, int layer, struct weight *w,
                 hearth_error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, spec->name, layer); /* the names are ours: arch/ *.c */
    const struct gguf_tensor *t = gguf_find_tensor(g, str_z(name));
    uint64_t row = dim_value(&m->hp, spec->row), rows = dim_value(&m->hp, spec->rows);
    bool vector = spec->rows == D_NONE;
    if (!t) {
        if (spec->optional)
            return true;
        if (vector)
            return fail(err, HEARTH_ERR_FORMAT,
                        "the file lacks %s (f32 [%llu]), which %s models need; it is incomplete", name,
                        (unsigned long long)row, m->arch->name);
        return fail(err, HEARTH_ERR_FORMAT, "the file lacks %s ([%llu, %llu]), which %s models need; it is incomplete",
                    name, (unsigned long long)row, (unsigned long long)rows, m->arch->name);
    }
    enum dtype type;
    if (!check_shape(t, row, rows, err) || !check_type(t, vector, &type, err))
        return false;
    /* Offsets are multiples of 8: it is the file itself that lies there. */
    if (vector && (uintptr_t)t->data % _Alignof(float))
        return fail(err, HEARTH_ERR_USAGE,
                    STR_FMT " lies at no multiple of %zu bytes in memory; move the model's bytes", STR_ARG(t->name),
                    _Alignof(float));
    w->name = t->name;
    w->mat = (struct mat){
        .type = type, .data = t->data, .row_bytes = dtype_row_bytes(type, row), .n_rows = (int)rows, .n_cols = (int)row
    };
    if (vector)
        w->vec = (const float *)(const void *)t->data;
    else
        m->act_kinds |= 1u << dtype_table[type].act;
    m->weight_bytes += t->bytes;
    if (!vector && !(spec->slot == G_TOKEN_EMBD && layer < 0))
        m->decode_bytes += t->bytes;
    if (!vector && layer >= 0)
        m->layer_macs += row * rows;
    return true;
}

static bool bind_all(struct model *m, const struct gguf *g, hearth_error *err)
{
    int n_bound = 0;
    for (const struct tensor_spec *s = m->arch->global; s->name; s++) {
        if (!bind(m, g, s, -1, &m->global[s->slot], err))
            return false;
        n_bound += m->global[s->slot].mat.data != NULL;
    }
    for (int i = 0; i < m->hp.n_layers; i++) {
        for (int part = 0; part < ARCH_MAX_PARTS && m->arch->layer[part]; part++) {
            for (const struct tensor_spec *s = m->arch->layer[part]; s->name; s++) {
                if (!bind(m, g, s, i, &m->layers[i].w[s->slot], err))
                    return false;
                n_bound += m->layers[i].w[s->slot].mat.data != NULL;
            }
        }
    }
    m->n_unused_tensors = (int)g->n_tensors - n_bound;
    return true;
}

/* Which tensor of the file nobody asked for: said in the receipt, since a file that carries
 * more than we use may be more than we think it is. */
static bool is_bound(const struct model *m, const uint8_t *data)
{
    for (int s = 0; s < N_GLOBAL_SLOTS; s++)
        if (m->global[s].mat.data == data)
            return true;
    for (int i = 0; i < m->hp.n_layers; i++)
        for (int s = 0; s < N_LAYER_SLOTS; s++)
            if (m->layers[i].w[s].mat.data == data)
                return true;
    return false;
}

static void name_unused(struct model *m, const struct gguf *g)
{
    for (uint32_t i = 0; m->n_unused_tensors > 0 && i < g->n_tensors; i++) {
        if (!is_bound(m, g->tensors[i].data)) {
            m->unused_tensor = g->tensors[i].name;
            return;
        }
    }
}

/* Radians per position for each rotated pair: base^(-2i/n_rot), divided by the file's factor
 * for that frequency where it has one (Llama 3.1: arXiv 2407.21783) and by the linear factor. */
static bool make_rope(struct model *m, hearth_error *err)
{
    int n = m->hp.n_rot / 2;
    m->rope_freq = arena_array(&m->arena, double, n);
    if (!m->rope_freq)
        return fail_memory(err, "RoPE frequencies");
    const float *factors = m->global[G_ROPE_FREQS].vec;
    for (int i = 0; i < n; i++) {
        double f = num_pow(m->hp.rope_base, -2.0 * i / m->hp.n_rot) / m->hp.rope_linear_factor;
        if (factors) {
            if (!(factors[i] > 0))
                return fail(err, HEARTH_ERR_FORMAT,
                            "rope_freqs.weight[%d] is %g; factors must be above 0; the file is damaged", i,
                            (double)factors[i]);
            f /= (double)factors[i];
        }
        m->rope_freq[i] = f;
    }
    return true;
}

/* The vocabulary decides the number of rows of embedding and output; a vocab_size key may
 * repeat it. */
static bool read_vocab_size(struct model *m, const struct gguf *g, hearth_error *err)
{
    const struct gguf_tensor *t = gguf_find_tensor(g, STR("token_embd.weight"));
    if (!t)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the file lacks token_embd.weight; it holds no model to run (a vocabulary only?)");
    if (t->dim[1] > MAX_VOCAB)
        return fail(err, HEARTH_ERR_FORMAT, "token_embd.weight has %llu rows, at most %d are allowed",
                    (unsigned long long)t->dim[1], MAX_VOCAB);
    if (m->hp.n_vocab && (uint64_t)m->hp.n_vocab != t->dim[1])
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.vocab_size is %d but token_embd.weight has %llu rows; the file contradicts itself",
                    m->arch->name, m->hp.n_vocab, (unsigned long long)t->dim[1]);
    m->hp.n_vocab = (int)t->dim[1];
    return true;
}

static bool load(struct model *m, const struct gguf *g, hearth_error *err)
{
    struct str name;
    if (!gguf_need_str(g, "general.architecture", &name, err))
        return false;
    m->arch = arch_find(name);
    if (!m->arch)
        return fail(err, HEARTH_ERR_FORMAT, "architecture \"" STR_FMT "\" is not supported; this version runs %s",
                    STR_ARG(name), arch_names());
    if (!hparams_read(&m->hp, g, m->arch->name, err) || !read_vocab_size(m, g, err))
        return false;
    m->layers = arena_array(&m->arena, struct layer, m->hp.n_layers);
    if (!m->layers)
        return fail_memory(err, "the layer table");
    if (!bind_all(m, g, err) || !make_rope(m, err))
        return false;
    name_unused(m, g);
    m->attention_scale = (float)(1.0 / sqrt((double)m->hp.head_dim));
    struct weight *embd = &m->global[G_TOKEN_EMBD];
    if (!m->global[G_OUTPUT].mat.data) {
        m->global[G_OUTPUT] = *embd; /* tied */
        m->decode_bytes += (uint64_t)embd->mat.row_bytes * (uint64_t)embd->mat.n_rows;
    } else {
        m->decode_bytes += embd->mat.row_bytes;
    }
    return true;
}

bool model_load(struct model *m, const struct gguf *g, hearth_error *err)
{
    *m = (struct model){ 0 };
    arena_init(&m->arena, MODEL_ARENA_BYTES);
    if (load(m, g, err))
        return true;
    model_free(m);
    return false;
}

void model_free(struct model *m)
{
    arena_free(&m->arena);
    *m = (struct model){ 0 };
}

uint64_t model_kv_bytes_per_token(const struct hparams *hp, hearth_kv_type type)
{
    uint64_t of_head = 2 * kv_half_bytes(type, hp->head_dim) / KV_PAGE_TOKENS;
    return of_head * (uint64_t)hp->n_layers * (uint64_t)hp->n_kv_heads;
}

uint64_t model_attention_macs(const struct hparams *hp)
{
    return 2 * (uint64_t)hp->n_layers * (uint64_t)hp->n_heads * (uint64_t)hp->head_dim;
}
