#include "model/model.h"

#include "kernel/attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 96, MODEL_ARENA_BYTES = 64 << 20 };

/* Of this layer; -1: of a tensor that exists once. */
static uint64_t dim_value(const struct hparams *hp, enum dim d, int layer)
{
    static const struct layer_shape none;
    const struct layer_shape *of = layer >= 0 ? &hp->layer[layer] : &none;
    switch (d) {
    case D_NONE:
    case D_ONE:
        return 1;
    case D_EMBD:
        return (uint64_t)hp->n_embd;
    case D_VOCAB:
        return (uint64_t)hp->n_vocab;
    case D_CTX:
        return (uint64_t)hp->n_ctx_train;
    case D_TOKEN_TYPES:
        return (uint64_t)hp->n_token_types;
    case D_EMBD_LAYER:
        return (uint64_t)hp->n_embd_layer;
    case D_EMBD_LAYERS:
        return (uint64_t)hp->n_embd_layer * (uint64_t)hp->n_layers;
    case D_DENSE:
        return (uint64_t)hp->n_dense;
    case D_LABELS:
        return (uint64_t)hp->n_labels;
    case D_Q:
        return (uint64_t)hp->n_heads * (uint64_t)of->head_dim;
    case D_KV:
        return (uint64_t)of->n_kv_heads * (uint64_t)of->head_dim;
    case D_QKV:
        return dim_value(hp, D_Q, layer) + 2 * dim_value(hp, D_KV, layer);
    case D_HEAD:
        return (uint64_t)of->head_dim;
    case D_LATENT:
        return (uint64_t)hp->n_latent;
    case D_Q_RANK:
        return (uint64_t)hp->n_q_rank;
    case D_HEAD_PLAIN:
        return (uint64_t)(hp->n_head_key - hp->n_rot);
    case D_HEAD_VALUE:
        return (uint64_t)hp->n_head_value;
    case D_HEAD_KEYS:
        return (uint64_t)hp->n_heads * (uint64_t)hp->n_head_key;
    case D_HEAD_VALUES:
        return (uint64_t)hp->n_heads * (uint64_t)hp->n_head_value;
    case D_HEADS:
        return (uint64_t)hp->n_heads;
    case D_KV_HEADS:
        return (uint64_t)of->n_kv_heads;
    case D_FF:
        return (uint64_t)of->n_ff;
    case D_FF_TWICE:
        return 2 * (uint64_t)of->n_ff;
    case D_ROT:
        return (uint64_t)hp->n_rot / 2;
    case D_EXPERTS:
        return (uint64_t)hp->n_experts;
    case D_FF_EXPERT:
        return (uint64_t)hp->n_ff_expert;
    case D_FF_EXPERT_TWICE:
        return 2 * (uint64_t)hp->n_ff_expert;
    case D_FF_SHARED:
        return (uint64_t)hp->n_ff_shared;
    case D_MIX:
        return (uint64_t)hp->n_mix;
    case D_CONV:
        return (uint64_t)hp->n_conv;
    case D_TAPS:
        return (uint64_t)hp->n_taps;
    case D_Q_TWICE:
        return 2 * dim_value(hp, D_Q, layer);
    case D_STATE_HEADS:
        return (uint64_t)hp->n_state_heads;
    case D_STATE_HEADS_TWICE:
        return 2 * (uint64_t)hp->n_state_heads;
    case D_STATE_GROUPS:
        return (uint64_t)hp->n_state_groups;
    case D_GROUP_VALUES:
        return hp->n_state_groups ? (uint64_t)(hp->n_inner / hp->n_state_groups) : 0;
    case D_STATE_VALUES:
        return hp->n_state_heads ? (uint64_t)(hp->n_inner / hp->n_state_heads) : 0;
    case D_INNER:
        return (uint64_t)hp->n_inner;
    }
    return 0;
}

/* What a tensor must be. */
struct shape {
    uint64_t row, rows, mats;
    bool vector; /* of f32, or some of them */
};

static struct shape shape_of(const struct hparams *hp, const struct tensor_spec *spec, int layer,
                             const struct gguf_tensor *t)
{
    struct shape s = { dim_value(hp, spec->row, layer), dim_value(hp, spec->rows, layer),
                       dim_value(hp, spec->mats, layer),
                       .vector = spec->rows == D_NONE };
    if (t && spec->row_else != D_NONE && t->dim[0] == dim_value(hp, spec->row_else, layer))
        s.row = t->dim[0];
    return s;
}

static bool check_shape(const struct gguf_tensor *t, const struct shape *s, hearth_error *err)
{
    /* Vectors behind one another are a matrix to the file. */
    uint64_t second = s->vector ? s->mats : s->rows, third = s->vector ? 1 : s->mats;
    if (t->dim[0] == s->row && t->dim[1] == second && t->dim[2] == third && t->dim[3] == 1)
        return true;
    return fail(err, HEARTH_ERR_FORMAT,
                STR_FMT " has shape [%llu, %llu, %llu, %llu], this model needs [%llu, %llu, %llu]; the file does not "
                        "match its metadata",
                STR_ARG(t->name), (unsigned long long)t->dim[0], (unsigned long long)t->dim[1],
                (unsigned long long)t->dim[2], (unsigned long long)t->dim[3], (unsigned long long)s->row,
                (unsigned long long)second, (unsigned long long)third);
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

static bool fail_missing(const struct model *m, const char *name, const struct shape *s, hearth_error *err)
{
    if (s->vector)
        return fail(err, HEARTH_ERR_FORMAT, "the file lacks %s (f32 [%llu]), which %s models need; it is incomplete",
                    name, (unsigned long long)s->row, m->arch->name);
    return fail(err, HEARTH_ERR_FORMAT, "the file lacks %s ([%llu, %llu]), which %s models need; it is incomplete",
                name, (unsigned long long)s->row, (unsigned long long)s->rows, m->arch->name);
}

/* Of which a token takes a row. */
static bool is_looked_up(const struct tensor_spec *spec, int layer)
{
    return layer < 0
           && (spec->slot == G_TOKEN_EMBD || spec->slot == G_POSITION_EMBD || spec->slot == G_TOKEN_TYPES
               || spec->slot == G_LAYER_EMBD);
}

/* What running a token reads and multiplies. Of experts it has a few. */
static void count(struct model *m, const struct gguf_tensor *t, const struct tensor_spec *spec, int layer,
                  const struct shape *s)
{
    uint64_t of = s->mats, used = spec->mats == D_EXPERTS ? (uint64_t)m->hp.n_experts_used : of;
    m->weight_bytes += t->bytes;
    if (!s->vector && !is_looked_up(spec, layer))
        m->decode_bytes += t->bytes / of * used;
    if (!s->vector && (layer >= 0 || spec->slot == G_LAYER_PROJ))
        m->layer_macs += s->row * s->rows * used;
}

static bool bind(struct model *m, const struct gguf *g, const struct tensor_spec *spec, int layer, struct weight *w,
                 hearth_error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, spec->name, layer); /* the names are ours: arch/ *.c */
    const struct gguf_tensor *t = gguf_find_tensor(g, str_z(name));
    struct shape s = shape_of(&m->hp, spec, layer, t);
    if (!t)
        return spec->optional || fail_missing(m, name, &s, err);
    enum dtype type;
    if (!check_shape(t, &s, err) || !check_type(t, s.vector, &type, err))
        return false;
    /* Offsets are multiples of 8: it is the file itself that lies there. */
    if (s.vector && (uintptr_t)t->data % _Alignof(float))
        return fail(err, HEARTH_ERR_USAGE,
                    STR_FMT " lies at no multiple of %zu bytes in memory; move the model's bytes", STR_ARG(t->name),
                    _Alignof(float));
    w->name = t->name;
    w->n_mats = (int)s.mats;
    w->mat_bytes = dtype_row_bytes(type, s.row) * (size_t)s.rows;
    w->mat = (struct mat){ .type = type,
                           .data = t->data,
                           .row_bytes = dtype_row_bytes(type, s.row),
                           .n_rows = (int)s.rows,
                           .n_cols = (int)s.row };
    if (s.vector)
        w->vec = (const float *)(const void *)t->data;
    else if (!is_looked_up(spec, layer))
        m->act_kinds |= 1u << dtype_table[type].act;
    count(m, t, spec, layer, &s);
    return true;
}

static bool is_in(const struct hparams *hp, enum layers which, int layer)
{
    bool experts = hp->n_experts > 0 && layer >= hp->n_dense_layers;
    if (which == LAYERS_ATTENTION || which == LAYERS_RECURRENT)
        return hparams_is_recurrent(hp, layer) == (which == LAYERS_RECURRENT);
    if (which == LAYERS_OWN_KV)
        return hparams_has_kv(hp, layer);
    if (which == LAYERS_EMBD)
        return hp->n_embd_layer > 0;
    if (which == LAYERS_WHOLE_Q || which == LAYERS_LOW_RANK_Q)
        return (hp->n_q_rank > 0) == (which == LAYERS_LOW_RANK_Q);
    return which == LAYERS_ALL || experts == (which == LAYERS_EXPERTS);
}

/* Some rows, or values, of a tensor under the slot of one that has only them. */
static void split(struct weight *part, const struct weight *whole, int *row, int n_rows)
{
    if (!whole->mat.data)
        return;
    *part = *whole;
    if (whole->vec) {
        part->vec = whole->vec + *row;
        part->mat.data = whole->mat.data + (size_t)*row * sizeof *whole->vec;
        part->mat.n_cols = n_rows;
    } else {
        part->mat.data = whole->mat.data + (size_t)*row * whole->mat.row_bytes;
        part->mat.n_rows = n_rows;
    }
    *row += n_rows;
}

static void split_fused(const struct hparams *hp, struct weight *w, int layer)
{
    static const struct { int whole, parts[3]; enum dim rows[3]; } fused[] = {
        { W_QKV, { W_Q, W_K, W_V }, { D_Q, D_KV, D_KV } },
        { W_QKV_BIAS, { W_Q_BIAS, W_K_BIAS, W_V_BIAS }, { D_Q, D_KV, D_KV } },
        { W_GATE_UP, { W_GATE, W_UP }, { D_FF, D_FF } },
        { W_EXPERT_GATE_UP, { W_EXPERT_GATE, W_EXPERT_UP }, { D_FF_EXPERT, D_FF_EXPERT } },
    };
    for (size_t i = 0; i < ARRAY_LEN(fused); i++)
        for (int row = 0, k = 0; k < 3 && fused[i].rows[k] != D_NONE; k++)
            split(&w[fused[i].parts[k]], &w[fused[i].whole], &row, (int)dim_value(hp, fused[i].rows[k], layer));
}

/* A product adds its bias: layers ask for none. */
struct with_bias {
    int matrix, bias;
};

static void give_biases(struct weight *w, const struct with_bias *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w[pairs[i].matrix].mat.bias = w[pairs[i].bias].vec;
}

static void give_layer_biases(struct weight *w)
{
    static const struct with_bias pairs[] = {
        { W_Q, W_Q_BIAS },
        { W_K, W_K_BIAS },
        { W_V, W_V_BIAS },
        { W_O, W_O_BIAS },
        { W_GATE, W_GATE_BIAS },
        { W_UP, W_UP_BIAS },
        { W_DOWN, W_DOWN_BIAS },
        { W_EXPERT_GATE, W_EXPERT_GATE_BIAS },
        { W_EXPERT_UP, W_EXPERT_UP_BIAS },
        { W_EXPERT_DOWN, W_EXPERT_DOWN_BIAS },
    };
    give_biases(w, pairs, ARRAY_LEN(pairs));
}

static void give_global_biases(struct weight *w)
{
    static const struct with_bias pairs[] = {
        { G_OUTPUT, G_OUTPUT_BIAS },
        { G_CLS, G_CLS_BIAS },
        { G_CLS_OUT, G_CLS_OUT_BIAS },
    };
    give_biases(w, pairs, ARRAY_LEN(pairs));
}

static bool bind_layer(struct model *m, const struct gguf *g, int layer, int *n_bound, hearth_error *err)
{
    struct weight *w = m->layers[layer].w;
    for (const struct layer_part *part = m->arch->layer; part < m->arch->layer + ARCH_MAX_PARTS && part->list; part++) {
        if (!is_in(&m->hp, part->in, layer))
            continue;
        for (const struct tensor_spec *s = part->list; s->name; s++) {
            if (!bind(m, g, s, layer, &w[s->slot], err))
                return false;
            *n_bound += w[s->slot].mat.data != NULL;
        }
    }
    split_fused(&m->hp, w, layer);
    give_layer_biases(w);
    return true;
}

static bool bind_global(struct model *m, const struct gguf *g, const struct tensor_spec *list, int *n_bound,
                        hearth_error *err)
{
    for (const struct tensor_spec *s = list; s->name; s++) {
        if (!bind(m, g, s, -1, &m->global[s->slot], err))
            return false;
        *n_bound += m->global[s->slot].mat.data != NULL;
    }
    return true;
}

static bool bind_all(struct model *m, const struct gguf *g, hearth_error *err)
{
    int n_bound = 0;
    if (!bind_global(m, g, m->arch->global, &n_bound, err) || !bind_global(m, g, tensors_classifier, &n_bound, err)
        || (m->hp.n_embd_layer && !bind_global(m, g, tensors_layer_embd, &n_bound, err)))
        return false;
    for (int i = 0; i < m->hp.n_layers; i++)
        if (!bind_layer(m, g, i, &n_bound, err))
            return false;
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

/* The file's own word on which layers have the window: a period, or one bool for each layer; nothing in most files. */
struct windows_said {
    int period;
    struct gguf_array of_layer; /* n 0: not said */
};

static bool is_full(const struct model *m, const struct windows_said *said, int layer)
{
    if (m->arch->windows == WINDOWS_NONE || !m->hp.window)
        return true;
    if (said->of_layer.n)
        return !said->of_layer.data[layer];
    if (m->arch->windows == WINDOWS_BUT_FIRST)
        return layer % said->period == 0;
    return m->arch->windows == WINDOWS_BUT_FULL && (layer + 1) % said->period == 0;
}

/* Which layers have the window, and the heads of those. */
static bool read_windows(struct model *m, const struct gguf *g, hearth_error *err)
{
    char key[NAME_BYTES];
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", m->arch->name);
    const struct gguf_value *v = gguf_find(g, key);
    struct windows_said said = { .period = m->hp.window_period ? m->hp.window_period : m->arch->window_period };
    if (v && v->type == GGUF_ARRAY && !gguf_array_or_none(g, key, GGUF_BOOL, MAX_LAYERS, &said.of_layer, err))
        return false;
    if (said.of_layer.data && said.of_layer.n != (uint64_t)m->hp.n_layers)
        return fail(err, HEARTH_ERR_FORMAT, "%s has %llu items for %d layers; the file's metadata is damaged", key,
                    (unsigned long long)said.of_layer.n, m->hp.n_layers);
    for (int i = 0; i < m->hp.n_layers; i++) {
        struct layer_shape *of = &m->hp.layer[i];
        of->windowed = !is_full(m, &said, i);
        if (of->windowed)
            of->head_dim = m->hp.head_dim_window;
    }
    return true;
}

/* The last layers may read keys and values of the last layer before them that has a window as they have, or none. */
static bool share_kv(struct model *m, hearth_error *err)
{
    struct hparams *hp = &m->hp;
    int first = hp->n_layers - hp->n_shared_kv_layers;
    for (int i = first; i < hp->n_layers; i++) {
        int from = first - 1;
        while (from >= 0 && (hparams_is_recurrent(hp, from) || hp->layer[from].windowed != hp->layer[i].windowed))
            from--;
        if (from < 0 || hparams_is_recurrent(hp, i) || hp->layer[from].n_kv_heads != hp->layer[i].n_kv_heads)
            return fail(err, HEARTH_ERR_FORMAT,
                        "%s.attention.shared_kv_layers is %d, and layer %d has none of its kind and heads among the "
                        "first %d; the file's metadata is damaged",
                        m->arch->name, hp->n_shared_kv_layers, i, first);
        hp->layer[i].kv_layer = from;
    }
    return true;
}

/* Bytes of a page that are a layer's. */
static size_t layer_kv_bytes(const struct hparams *hp, int layer, hearth_kv_type type)
{
    const struct layer_shape *of = &hp->layer[layer];
    size_t n_halves = hp->n_latent ? 1 : 2;
    return hparams_has_kv(hp, layer) ? n_halves * kv_half_bytes(type, of->head_dim) * (size_t)of->n_kv_heads : 0;
}

/* Where in a page a layer's keys and values stand. */
static void place_kv(struct kv_place *place, const struct hparams *hp, int layer, hearth_kv_type type, size_t at)
{
    size_t half = kv_half_bytes(type, hp->layer[layer].head_dim);
    *place = (struct kv_place){ .at = at, .head_bytes = hp->n_latent ? half : 2 * half, .values_at = half };
}

/* Which window and which rotation each layer has, what its feed-forward reads, and where in a page or
 * a state it stands. */
static void place_layers(struct model *m)
{
    const struct arch *a = m->arch;
    const struct hparams *hp = &m->hp;
    size_t at[HEARTH_N_KV_TYPES] = { 0 };
    int n_recurrent = 0;
    for (int i = 0; i < hp->n_layers; i++) {
        struct layer *l = &m->layers[i];
        bool full = !hp->layer[i].windowed;
        l->shape = hp->layer[i];
        l->window = full ? 0 : hp->window;
        l->rope = a->rope_local && !full ? ROPE_LOCAL : ROPE_SCALED;
        if (a->rotated == ROTATED_NONE || (a->rotated == ROTATED_AS_SAID && hp->unrotated)
            || (a->rotated == ROTATED_BUT_FULL && full && hp->window)
            || (a->rotated == ROTATED_BUT_PERIOD && (i + 1) % a->rotated_period == 0))
            l->rope = ROPE_NONE;
        l->parallel = a->parallel && !l->w[W_FFN_NORM].vec;
        l->recurrent = hparams_is_recurrent(hp, i);
        if (l->recurrent)
            l->state_place = n_recurrent++;
        if (l->shape.kv_layer != i)
            memcpy(l->kv, m->layers[l->shape.kv_layer].kv, sizeof l->kv);
        for (int type = 0; type < HEARTH_N_KV_TYPES && l->shape.kv_layer == i; type++) {
            place_kv(&l->kv[type], hp, i, (hearth_kv_type)type, at[type]);
            at[type] += layer_kv_bytes(hp, i, (hearth_kv_type)type);
        }
        l->attention_scale = hp->attention_scale > 0 ? hp->attention_scale
                                                     : (float)(1.0 / sqrt((double)hp->layer[i].head_dim));
    }
}

/* Beyond the original context LongRoPE has factors of their own; which holds for all of a model's positions, since
 * keys are kept after they are rotated. */
static const struct weight *rope_factors(const struct model *m)
{
    if (m->global[G_ROPE_LONG].vec)
        return &m->global[m->hp.n_ctx_train > m->hp.rope.n_ctx_original ? G_ROPE_LONG : G_ROPE_SHORT];
    return &m->global[G_ROPE_FREQS];
}

static bool check_factors(const struct weight *w, hearth_error *err)
{
    for (int i = 0; w->vec && i < w->mat.n_cols; i++)
        if (!(w->vec[i] > 0))
            return fail(err, HEARTH_ERR_FORMAT, STR_FMT "[%d] is %g; factors must be above 0; the file is damaged",
                        STR_ARG(w->name), i, (double)w->vec[i]);
    return true;
}

static bool make_rope(struct model *m, hearth_error *err)
{
    struct rope_params local = { .base = m->hp.rope_local_base, .factor = 1, .n_ctx_original = m->hp.n_ctx_train };
    if (!(local.base > 0))
        local.base = m->arch->rope_local_same_base ? m->hp.rope.base : 10000;
    const struct weight *factors = rope_factors(m);
    m->n_ropes = m->arch->rotated == ROTATED_NONE ? 0 : m->arch->rope_local ? N_ROPE_TABLES : 1;
    if (m->n_ropes == 0)
        return true;
    if (m->n_ropes == 1 && m->hp.n_rot_window != m->hp.n_rot)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.rope.dimension_count_swa is %d and rope.dimension_count %d; layers of %s models rotate alike "
                    "as this version knows them",
                    m->arch->name, m->hp.n_rot_window, m->hp.n_rot, m->arch->name);
    return check_factors(factors, err)
           && rope_make(&m->rope[ROPE_SCALED], &m->arena, &m->hp.rope, m->hp.n_rot, factors->vec,
                        m->arch->yarn_fractional, err)
           && (m->n_ropes == 1
               || rope_make(&m->rope[ROPE_LOCAL], &m->arena, &local, m->hp.n_rot_window, NULL, false, err));
}

/* Experts that are chosen with a bias are chosen by sigmoids (DeepSeek V3), where nothing says otherwise: early files
 * of GLM-4.7-Flash do not. */
static enum gating likely_gating(const struct model *m)
{
    return m->layers[m->hp.n_layers - 1].w[W_SELECT_BIAS].vec ? GATING_SIGMOID : GATING_SOFTMAX;
}

static void set_router(struct model *m)
{
    const struct hparams *hp = &m->hp;
    struct router *r = &m->router;
    *r = m->arch->router;
    if (hp->gating != GATING_DEFAULT)
        r->gating = hp->gating;
    else if (r->gating == GATING_DEFAULT)
        r->gating = likely_gating(m);
    if (hp->expert_weights_norm >= 0)
        r->weights_norm = hp->expert_weights_norm;
    if (hp->expert_weights_scale > 0)
        r->weights_scale = hp->expert_weights_scale;
    if (!(r->weights_scale > 0))
        r->weights_scale = 1;
}

static float or_one(float scale) { return scale > 0 ? scale : 1; }

static void set_scales(struct model *m)
{
    const struct hparams *hp = &m->hp;
    m->embedding_scale = m->arch->embedding_sqrt ? sqrtf((float)hp->n_embd) : or_one(hp->embedding_scale);
    m->residual_scale = or_one(hp->residual_scale);
    m->logit_scale = m->arch->logits_divided ? 1 / or_one(hp->logit_scale) : or_one(hp->logit_scale);
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

static bool arch_has(const struct arch *a, enum layers in)
{
    for (const struct layer_part *part = a->layer; part < a->layer + ARCH_MAX_PARTS && part->list; part++)
        if (part->in == in)
            return true;
    return false;
}

/* What the file says it has, and this architecture does not. */
static bool check_parts(const struct model *m, hearth_error *err)
{
    const struct hparams *hp = &m->hp;
    if (hp->n_experts && !arch_has(m->arch, LAYERS_EXPERTS))
        return fail(err, HEARTH_ERR_FORMAT,
                    "the file has %d experts, and %s models have none as this version knows them; is "
                    "general.architecture right?",
                    hp->n_experts, m->arch->name);
    if (hp->n_shared_kv_layers && !arch_has(m->arch, LAYERS_OWN_KV))
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.attention.shared_kv_layers is %d, and all layers of %s models have keys and values of their "
                    "own as this version knows them; is general.architecture right?",
                    m->arch->name, hp->n_shared_kv_layers, m->arch->name);
    if (hp->n_embd_layer && !arch_has(m->arch, LAYERS_EMBD))
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.embedding_length_per_layer_input is %d, and layers of %s models have no embeddings of their "
                    "own as this version knows them; is general.architecture right?",
                    m->arch->name, hp->n_embd_layer, m->arch->name);
    if (hp->n_latent && !m->arch->latent)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.attention.kv_lora_rank is %d, and attention of %s models has no latent as this version knows "
                    "them; is general.architecture right?",
                    m->arch->name, hp->n_latent, m->arch->name);
    return hp->n_latent || !m->arch->latent
           || fail(err, HEARTH_ERR_FORMAT,
                   "%s.attention.kv_lora_rank is missing, and attention of %s models has a latent; the file is "
                   "incomplete",
                   m->arch->name, m->arch->name);
}

static bool load(struct model *m, const struct gguf *g, hearth_error *err)
{
    struct str name;
    char known[400];
    if (!gguf_need_str(g, "general.architecture", &name, err))
        return false;
    m->arch = arch_find(name);
    if (!m->arch)
        return fail(err, HEARTH_ERR_FORMAT, "architecture \"" STR_FMT "\" is not supported; this version runs %s",
                    STR_ARG(name), arch_names(known, sizeof known));
    if (!hparams_read(&m->hp, g, m->arch->name, !m->arch->encoder, err)
        || !recurrence_read(&m->hp, g, m->arch->name, m->arch->recurrence, err) || !read_vocab_size(m, g, err))
        return false;
    if (m->arch->encoder && m->hp.causal)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.attention.causal is true, and tokens of %s models see both ways as this version knows them; "
                    "is general.architecture right?",
                    m->arch->name, m->arch->name);
    if (!check_parts(m, err))
        return false;
    if (m->arch->adjust)
        m->arch->adjust(&m->hp);
    m->layers = arena_array(&m->arena, struct layer, m->hp.n_layers);
    if (!m->layers)
        return fail_memory(err, "the layer table");
    for (int i = 0; m->arch->xielu && i < m->hp.n_layers; i++)
        if (!xielu_read(&m->layers[i].xielu, g, i, m->hp.n_layers, err))
            return false;
    if (!read_windows(m, g, err) || !share_kv(m, err) || !bind_all(m, g, err) || !make_rope(m, err))
        return false;
    place_layers(m);
    if (!m->global[G_DENSE_2].mat.data != !m->global[G_DENSE_3].mat.data)
        return fail(err, HEARTH_ERR_FORMAT, "the file has one of dense_2.weight and dense_3.weight; it is incomplete");
    name_unused(m, g);
    set_scales(m);
    set_router(m);
    struct weight *embd = &m->global[G_TOKEN_EMBD];
    if (m->hp.causal && !m->global[G_OUTPUT].mat.data) {
        m->global[G_OUTPUT] = *embd; /* tied */
        m->act_kinds |= 1u << dtype_table[embd->mat.type].act;
        m->decode_bytes += (uint64_t)embd->mat.row_bytes * (uint64_t)embd->mat.n_rows;
    } else {
        m->decode_bytes += embd->mat.row_bytes;
    }
    give_global_biases(m->global);
    m->decode_bytes += m->global[G_LAYER_EMBD].mat.row_bytes;
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

bool model_has_dense(const struct model *m) { return m->global[G_DENSE_2].mat.data && m->global[G_DENSE_3].mat.data; }

bool model_check_context(const struct model *m, int n_ctx, hearth_error *err)
{
    int most = m->hp.n_ctx_train;
    return !m->global[G_POSITION_EMBD].mat.data || n_ctx <= most
           || fail(err, HEARTH_ERR_USAGE,
                   "a context of %d tokens: the model has learned %d positions, and there are no others; lower --ctx",
                   n_ctx, most);
}

bool model_check_writes(const struct model *m, hearth_error *err)
{
    return m->hp.causal || fail(err, HEARTH_ERR_USAGE, "this model makes embeddings, it does not write text");
}

size_t model_kv_page_bytes(const struct hparams *hp, hearth_kv_type type)
{
    size_t bytes = 0;
    for (int i = 0; i < hp->n_layers; i++)
        bytes += layer_kv_bytes(hp, i, type);
    return bytes;
}

uint64_t model_kv_bytes_per_token(const struct hparams *hp, hearth_kv_type type)
{
    return model_kv_page_bytes(hp, type) / KV_PAGE_TOKENS;
}

uint64_t model_kv_read_bytes(const struct hparams *hp, hearth_kv_type type)
{
    uint64_t bytes = 0;
    for (int i = 0; i < hp->n_layers; i++)
        if (!hparams_is_recurrent(hp, i))
            bytes += layer_kv_bytes(hp, hp->layer[i].kv_layer, type);
    return bytes / KV_PAGE_TOKENS;
}

static int value_dim(const struct hparams *hp, int layer)
{
    return hp->n_latent ? hp->n_latent : hp->layer[layer].head_dim;
}

uint64_t model_attention_macs(const struct hparams *hp)
{
    uint64_t macs = 0;
    for (int i = 0; i < hp->n_layers; i++)
        if (!hparams_is_recurrent(hp, i))
            macs += (uint64_t)hp->n_heads * ((uint64_t)hp->layer[i].head_dim + (uint64_t)value_dim(hp, i));
    return macs;
}

size_t model_state_bytes(const struct hparams *hp)
{
    return (size_t)(hp->n_layers - hp->n_kv_layers) * recurrence_floats(hp) * sizeof(float);
}
