/* quantize_choose.c: names and shapes to types. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/quantize.h"
#include "quant/quant.h"

enum which { OTHER, OUTPUT, EMBEDDING, ATTN_V, ATTN_OUTPUT, ATTN_QKV, FFN_DOWN };
enum where {
    ALWAYS,
    MORE_BITS,
    FIRST_EIGHTH,
    FIRST_EIGHTH_AIDED,   /* by an importance matrix */
    FIRST_EIGHTH_UNAIDED, /* without one */
    FIRST_SIXTEENTH,
    FIRST_2,
    FIRST_4,
    MANY_SHARE_KV,
};

const struct quantize_mix quantize_mixes[] = {
#define MIX(name, file_type, matrix) { #name, file_type, #matrix },
#define RULE(mix, which, where, type)
#define FALLBACK(type, other)
#include "cli/quantize_mix.def"
    { 0 },
};

static const struct rule {
    const char *mix;
    enum which which;
    enum where where;
    const char *type;
} rules[] = {
#define MIX(name, file_type, matrix)
#define RULE(mix, which, where, type) { #mix, which, where, #type },
#define FALLBACK(type, other)
#include "cli/quantize_mix.def"
};

static const struct {
    const char *type, *other;
} fallbacks[] = {
#define MIX(name, file_type, matrix)
#define RULE(mix, which, where, type)
#define FALLBACK(type, other) { #type, #other },
#include "cli/quantize_mix.def"
};

static const char *const why_where[] = {
    [ALWAYS] = "this kind of tensor in this mix",
    [MORE_BITS] = "first eighth, last eighth or every third layer between",
    [FIRST_EIGHTH] = "first eighth of the layers",
    [FIRST_EIGHTH_AIDED] = "first eighth of the layers, with an importance matrix",
    [FIRST_EIGHTH_UNAIDED] = "first eighth of the layers, without an importance matrix",
    [FIRST_SIXTEENTH] = "first sixteenth of the layers",
    [FIRST_2] = "first 2 layers",
    [FIRST_4] = "first 4 layers",
    [MANY_SHARE_KV] = "4 or more query heads share it",
};

/* What rules look at. */
struct shape {
    uint64_t n_layers, n_share; /* query heads of a KV head */
    bool tied;                  /* no output.weight: the embedding is the output matrix */
    bool aided;                 /* by an importance matrix */
};

static bool read_shape(struct shape *s, const struct gguf *g, const struct quantize_options *o, hearth_error *err)
{
    struct str arch;
    char key[300];
    uint64_t heads = 1, kv_heads = 1;
    if (!gguf_str_or(g, "general.architecture", STR(""), &arch, err))
        return false;
    snprintf(key, sizeof key, STR_FMT ".block_count", STR_ARG(arch));
    if (!gguf_uint_or(g, key, 0, 65536, 0, &s->n_layers, err))
        return false;
    /* Some families have a list of head counts, one a layer: then nothing is known about all. */
    snprintf(key, sizeof key, STR_FMT ".attention.head_count", STR_ARG(arch));
    bool known = gguf_uint_or(g, key, 1, 65536, 1, &heads, NULL);
    snprintf(key, sizeof key, STR_FMT ".attention.head_count_kv", STR_ARG(arch));
    known = known && gguf_uint_or(g, key, 1, 65536, heads, &kv_heads, NULL);
    s->n_share = known ? heads / kv_heads : 1;
    s->aided = o->imatrix_path != NULL;
    s->tied = !gguf_find_tensor(g, STR("output.weight"));
    return true;
}

static bool has(struct str name, const char *part) { return str_search(name, str_z(part)) != SIZE_MAX; }
static bool ends_with(struct str s, const char *z)
{
    size_t n = strlen(z);
    return s.len >= n && memcmp(s.ptr + s.len - n, z, n) == 0;
}

static enum which which_of(struct str name, const struct shape *s)
{
    static const struct {
        const char *part;
        enum which which;
    } parts[] = { { "attn_v.weight", ATTN_V },     { "attn_output.weight", ATTN_OUTPUT },
                  { "attn_qkv.weight", ATTN_QKV }, { "ffn_down", FFN_DOWN } };
    if (str_eq_z(name, "output.weight") || (s->tied && str_eq_z(name, "token_embd.weight")))
        return OUTPUT;
    if (str_eq_z(name, "token_embd.weight"))
        return EMBEDDING;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (has(name, parts[i].part))
            return parts[i].which;
    return OTHER;
}

static uint64_t layer_of(struct str name)
{
    uint64_t layer = 0;
    for (size_t i = 4; str_starts(name, STR("blk.")) && i < name.len && name.ptr[i] >= '0' && name.ptr[i] <= '9'; i++)
        layer = layer < 65536 ? layer * 10 + (uint64_t)(name.ptr[i] - '0') : layer;
    return layer;
}

static bool applies(enum where where, uint64_t i, const struct shape *s)
{
    uint64_t n = s->n_layers;
    switch (where) {
    case ALWAYS:
        return true;
    case MORE_BITS:
        return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case FIRST_EIGHTH:
        return i < n / 8;
    case FIRST_EIGHTH_AIDED:
        return s->aided && i < n / 8;
    case FIRST_EIGHTH_UNAIDED:
        return !s->aided && i < n / 8;
    case FIRST_SIXTEENTH:
        return i < n / 16;
    case FIRST_2:
        return i < 2;
    case FIRST_4:
        return i < 4;
    case MANY_SHARE_KV:
        return s->n_share >= 4;
    }
    return false;
}

static bool known_type(const char *name, enum dtype *out, hearth_error *err)
{
    if (dtype_from_name(name, out) && quant_known(*out))
        return true;
    char names[400] = "";
    size_t used = 0;
    for (int t = 0; t < N_DTYPES; t++) {
        const char *each = dtype_table[t].name;
        if (quant_known((enum dtype)t) && used + strlen(each) + 3 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", each);
    }
    return fail(err, HEARTH_ERR_USAGE, "%s is not a type that this build can write; it has %s", name, names);
}

/* Not a matrix that a mix is about: norms, biases, vectors, routers, small state of recurrent layers. */
static const char *why_kept(const struct gguf_tensor *t)
{
    static const char *const parts[] = { "_norm", "ffn_gate_inp", "ssm_conv1d", "ssm_a", "ssm_d", "position_embd",
                                         "token_types", "rope_freqs" };
    if (t->n_dims < 2 || t->n_values == t->dim[0])
        return "a vector";
    if (!ends_with(t->name, ".weight"))
        return "not a weight";
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (has(t->name, parts[i]))
            return "small and sensitive";
    return NULL;
}

static const char *mix_type(struct quantize_tensor *t, const struct shape *s, const struct quantize_options *o)
{
    enum which which = which_of(t->in->name, s);
    uint64_t layer = layer_of(t->in->name);
    t->why = "matrix type of the mix";
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct rule *r = &rules[i];
        if (r->which != which || strcmp(r->mix, o->mix->name) != 0 || !applies(r->where, layer, s))
            continue;
        t->why = why_where[r->where];
        return r->type;
    }
    if (which != OUTPUT)
        return o->mix->matrix;
    t->why = s->tied ? "embedding that is also the output matrix" : "output matrix";
    return "q6_K";
}

/* Blocks that the row does not hold a whole number of. */
static bool fit_row(struct quantize_tensor *t, bool asked, hearth_error *err)
{
    uint64_t row = t->in->dim[0];
    for (size_t i = 0; row % (uint64_t)dtype_table[t->to].n_values && i < ARRAY_LEN(fallbacks) && !asked; i++) {
        if (strcmp(fallbacks[i].type, dtype_table[t->to].name) != 0)
            continue;
        t->why = "rows are not a multiple of the type's block";
        if (!known_type(fallbacks[i].other, &t->to, err))
            return false;
        break;
    }
    if (row % (uint64_t)dtype_table[t->to].n_values == 0)
        return true;
    if (asked)
        return fail(err, HEARTH_ERR_USAGE,
                    STR_FMT " has rows of %llu values, which blocks of %d (%s) do not divide; choose a type of 32 or 1",
                    STR_ARG(t->in->name), (unsigned long long)row, dtype_table[t->to].n_values,
                    dtype_table[t->to].name);
    t->why = "rows are not a multiple of any block";
    t->to = DTYPE_f16;
    return true;
}

bool quantize_mix_type(enum dtype *out, const struct quantize_mix *mix, struct str name, uint64_t n_rows,
                       uint64_t n_columns, const struct quantize_mix_shape *shape)
{
    struct gguf_tensor in = { .name = name, .n_dims = 2, .dim = { n_columns, n_rows, 1, 1 },
                              .n_values = n_columns * n_rows };
    struct quantize_tensor t = { .in = &in };
    struct quantize_options o = { .mix = mix };
    struct shape s = { .n_layers = shape->n_layers, .n_share = shape->n_share, .tied = shape->tied };
    if (why_kept(&in))
        t.to = DTYPE_f32;
    else if (!known_type(mix_type(&t, &s, &o), &t.to, NULL) || !fit_row(&t, false, NULL))
        return false;
    *out = t.to;
    return true;
}

static bool source_type(struct quantize_tensor *t, const struct quantize_options *o, hearth_error *err)
{
    struct gguf_type_info info = { .name = "an unknown type" };
    gguf_type_info(t->in->type, &info);
    if (!dtype_from_gguf(t->in->type, &t->from))
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is %s, which this build cannot read; start from an F16 file",
                    STR_ARG(t->in->name), info.name);
    if (dtype_table[t->from].n_values > 1 && !o->requantize)
        return fail(err, HEARTH_ERR_USAGE,
                    STR_FMT " is %s already, and what it lost does not come back; start from an F16, BF16 or F32 file, "
                    "or insist with --requantize", STR_ARG(t->in->name), info.name);
    return true;
}

/* Norms and vectors in half precision: every engine, this one too, wants them in f32. */
static bool is_half_vector(const struct gguf_tensor *t)
{
    bool half = t->type == dtype_table[DTYPE_f16].gguf_id || t->type == dtype_table[DTYPE_bf16].gguf_id;
    return half && (t->n_dims < 2 || t->n_values == t->dim[0] || has(t->name, "_norm"));
}

static bool choose_one(struct quantize_tensor *t, const struct shape *s, struct quantize_overrides *by_name,
                       const struct quantize_options *o, hearth_error *err)
{
    const char *kept = why_kept(t->in), *type = NULL, *overridden = quantize_override_of(by_name, t->in->name);
    enum which which = which_of(t->in->name, s);
    if (overridden) {
        type = overridden;
        t->why = "--tensor";
    } else if (which == OUTPUT && o->output_type) {
        type = o->output_type;
        t->why = "--output-type";
    } else if (str_eq_z(t->in->name, "token_embd.weight") && o->embedding_type) {
        type = o->embedding_type;
        t->why = "--token-embedding-type";
    } else if (kept) {
        t->why = kept;
        type = is_half_vector(t->in) ? "f32" : NULL;
    } else {
        type = mix_type(t, s, o);
    }
    t->type = t->in->type;
    t->bytes = t->in->bytes;
    if (!type)
        return t->bytes || fail(err, HEARTH_ERR_FORMAT, STR_FMT " has type %u, whose layout is not known here",
                                STR_ARG(t->in->name), t->in->type);
    bool asked_for = overridden || strncmp(t->why, "--", 2) == 0;
    if (!known_type(type, &t->to, err) || !fit_row(t, asked_for, err))
        return false;
    if (dtype_table[t->to].gguf_id == t->in->type)
        return true; /* it is that already */
    if (!source_type(t, o, err))
        return false;
    t->converted = true;
    t->type = dtype_table[t->to].gguf_id;
    t->bytes = dtype_row_bytes(t->to, t->in->n_values);
    return true;
}

static bool choose_all(struct quantize_tensor *t, uint32_t n, const struct gguf *g, struct quantize_overrides *by_name,
                       const struct quantize_options *o, hearth_error *err)
{
    struct shape s;
    if (!read_shape(&s, g, o, err))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        t[i].in = &g->tensors[i];
        if (!choose_one(&t[i], &s, by_name, o, err))
            return false;
    }
    return quantize_overrides_used(by_name, err);
}

bool quantize_choose(struct quantize_tensor *t, uint32_t n, const struct gguf *g, const struct quantize_options *o,
                     hearth_error *err)
{
    struct quantize_overrides by_name;
    bool ok = quantize_overrides_read(&by_name, o->tensor_types, o->n_tensor_types, err)
           && choose_all(t, n, g, &by_name, o, err);
    quantize_overrides_free(&by_name);
    return ok;
}
