#include "model/hparams.h"

#include <stdio.h>
#include <string.h>

enum { KEY_BYTES = 128 };

/* Getters for keys of the form ARCH.<rest>; the first failure sticks. */
struct keys {
    const struct gguf *g;
    const char *arch;
    bool ok;
    hearth_error *err;
    char key[KEY_BYTES];
};

static const char *key_of(struct keys *k, const char *rest)
{
    snprintf(k->key, sizeof k->key, "%s.%s", k->arch, rest);
    return k->key;
}

static int need_int(struct keys *k, const char *rest, int least, int most)
{
    uint64_t v = 0;
    k->ok = k->ok && gguf_need_uint(k->g, key_of(k, rest), (uint64_t)least, (uint64_t)most, &v, k->err);
    return (int)v;
}

static int int_or(struct keys *k, const char *rest, int least, int most, int dflt)
{
    uint64_t v = 0;
    k->ok = k->ok && gguf_uint_or(k->g, key_of(k, rest), (uint64_t)least, (uint64_t)most, (uint64_t)dflt, &v, k->err);
    return (int)v;
}

static double float_or(struct keys *k, const char *rest, double least, double most, double dflt)
{
    double v = 0;
    k->ok = k->ok && gguf_float_or(k->g, key_of(k, rest), least, most, dflt, &v, k->err);
    return v;
}

static bool bool_or(struct keys *k, const char *rest, bool dflt)
{
    bool v = dflt;
    k->ok = k->ok && gguf_bool_or(k->g, key_of(k, rest), dflt, &v, k->err);
    return v;
}

static bool read_rope_scaling(struct rope_params *r, struct keys *k)
{
    static const struct { const char *name; enum rope_scaling scaling; } known[] = {
        { "none", ROPE_PLAIN }, { "linear", ROPE_LINEAR }, { "yarn", ROPE_YARN }, { "longrope", ROPE_LONG },
    };
    struct str type = STR("none");
    k->ok = k->ok && gguf_str_or(k->g, key_of(k, "rope.scaling.type"), type, &type, k->err);
    for (size_t i = 0; k->ok && i < ARRAY_LEN(known); i++)
        if (str_eq_z(type, known[i].name)) {
            r->scaling = known[i].scaling;
            return true;
        }
    return k->ok
           && fail(k->err, HEARTH_ERR_FORMAT,
                   "%s is \"" STR_FMT "\"; this version knows \"none\", \"linear\", \"yarn\" and \"longrope\"; "
                   "use a file without that scaling",
                   k->key, STR_ARG(type));
}

static bool read_rope(struct hparams *hp, struct keys *k)
{
    struct rope_params *r = &hp->rope;
    r->base = float_or(k, "rope.freq_base", 1e-6, 1e12, 10000.0);
    hp->rope_local_base = float_or(k, "rope.freq_base_swa", 0, 1e12, 0);
    bool finetuned = true;
    k->ok = k->ok && gguf_bool_or(k->g, key_of(k, "rope.scaling.finetuned"), true, &finetuned, k->err);
    hp->unrotated = !finetuned;
    r->factor = float_or(k, "rope.scale_linear", 1e-6, 1e6, 1.0);
    if (!k->ok || !read_rope_scaling(r, k))
        return false;
    if (r->scaling == ROPE_LINEAR || r->scaling == ROPE_YARN)
        r->factor = float_or(k, "rope.scaling.factor", 1e-6, 1e6, r->factor);
    r->n_ctx_original = int_or(k, "rope.scaling.original_context_length", 1, MAX_CTX, max_int(hp->n_ctx_train, 1));
    r->attn_factor = float_or(k, "rope.scaling.attn_factor", 0, 1e3, 0);
    r->yarn_factor = float_or(k, "rope.scaling.yarn_attn_factor", 0, 1e3, 0);
    r->beta_fast = float_or(k, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32);
    r->beta_slow = float_or(k, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1);
    r->log_multiplier = float_or(k, "rope.scaling.yarn_log_multiplier", 0, 1e3, 0);
    return k->ok;
}

/* Where each layer says of itself whether it has a window, the key is a list and no period. */
static int read_window_period(struct keys *k)
{
    const struct gguf_value *v = gguf_find(k->g, key_of(k, "attention.sliding_window_pattern"));
    return v && v->type != GGUF_ARRAY ? int_or(k, "attention.sliding_window_pattern", 1, MAX_LAYERS, 0) : 0;
}

static void read_scales(struct hparams *hp, struct keys *k)
{
    hp->embedding_scale = (float)float_or(k, "embedding_scale", 0, 1e6, 0);
    hp->residual_scale = (float)float_or(k, "residual_scale", 0, 1e6, 0);
    hp->logit_scale = (float)float_or(k, "logit_scale", 0, 1e6, 0);
    hp->attention_scale = (float)float_or(k, "attention.scale", 0, 1e6, 0);
    hp->score_cap = (float)float_or(k, "attn_logit_softcapping", 0, 1e6, 0);
    hp->logit_cap = (float)float_or(k, "final_logit_softcapping", 0, 1e6, 0);
    hp->temperature_scale = (float)float_or(k, "attention.temperature_scale", 0, 1e3, 0);
    hp->window = int_or(k, "attention.sliding_window", 0, MAX_CTX, 0);
    hp->window_period = read_window_period(k);
}

/* Keys of a model with experts; n_ff_expert 0 where there are none. */
static void read_experts(struct hparams *hp, struct keys *k)
{
    if (!k->ok || !hp->n_experts)
        return;
    hp->n_experts_used = need_int(k, "expert_used_count", 1, hp->n_experts);
    hp->n_dense_layers = int_or(k, "leading_dense_block_count", 0, MAX_LAYERS, 0);
    hp->n_ff_expert = int_or(k, "expert_feed_forward_length", 1, MAX_FF, max_int(hp->n_ff, 1));
    hp->n_shared_experts = int_or(k, "expert_shared_count", 0, MAX_EXPERTS, 0);
    hp->n_ff_shared = int_or(k, "expert_shared_feed_forward_length", 0, MAX_FF, 0);
    if (!hp->n_ff_shared)
        hp->n_ff_shared = (int)min_size((size_t)hp->n_ff_expert * (size_t)hp->n_shared_experts, MAX_FF);
    hp->n_expert_groups = int_or(k, "expert_group_count", 0, MAX_EXPERTS, 0);
    hp->n_expert_groups_used = int_or(k, "expert_group_used_count", 0, MAX_EXPERTS, 0);
    hp->gating = (enum gating)int_or(k, "expert_gating_func", 0, GATING_SOFTMAX_CHOSEN, GATING_DEFAULT);
    hp->expert_weights_norm = gguf_find(k->g, key_of(k, "expert_weights_norm")) ? 1 : -1;
    if (hp->expert_weights_norm > 0)
        hp->expert_weights_norm = bool_or(k, "expert_weights_norm", false);
    hp->expert_weights_scale = (float)float_or(k, "expert_weights_scale", 0, 1e4, 0);
}

/* A number of each layer, where the key is a list. False: it is none, or wrong. */
static bool list_of_layers(struct keys *k, const char *rest, int n, int least, int most, int *out)
{
    const struct gguf_value *v = gguf_find(k->g, key_of(k, rest));
    struct gguf_array list = { 0 };
    if (!k->ok || !v || v->type != GGUF_ARRAY)
        return false;
    k->ok = gguf_array_or_none(k->g, k->key, v->elem == GGUF_I32 ? GGUF_I32 : GGUF_U32, MAX_LAYERS, &list, k->err);
    if (k->ok && list.n != (uint64_t)n)
        k->ok = fail(k->err, HEARTH_ERR_FORMAT, "%s has %llu numbers for %d layers; the file's metadata is damaged",
                     k->key, (unsigned long long)list.n, n);
    for (int i = 0; k->ok && i < n; i++) {
        out[i] = gguf_array_i32(&list, (uint64_t)i);
        if (out[i] < least || out[i] > most)
            k->ok = fail(k->err, HEARTH_ERR_FORMAT, "%s is %d for layer %d; this version takes %d to %d", k->key,
                         out[i], i, least, most);
    }
    return k->ok;
}

/* One number for all layers, or one for each: 0 where a layer has no attention. */
static void read_kv_heads(struct hparams *hp, struct keys *k)
{
    int list[MAX_LAYERS];
    bool listed = list_of_layers(k, "attention.head_count_kv", hp->n_layers, 0, MAX_HEADS, list);
    int all = listed ? 0 : int_or(k, "attention.head_count_kv", 1, MAX_HEADS, max_int(hp->n_heads, 1));
    hp->n_kv_layers = hp->n_layers;
    for (int i = 0; k->ok && i < hp->n_layers; i++) {
        int n = hp->layer[i].n_kv_heads = listed ? list[i] : all;
        hp->n_kv_heads = max_int(hp->n_kv_heads, n);
        if (n == 0) {
            hp->recurrent[i / 64] |= (uint64_t)1 << (i % 64);
            hp->n_kv_layers--;
        } else if (hp->n_heads % n) {
            k->ok = fail(k->err, HEARTH_ERR_FORMAT,
                         "%d query heads cannot share %d KV heads evenly; the file's metadata is damaged", hp->n_heads,
                         n);
        }
    }
    if (k->ok && !hp->n_kv_layers)
        k->ok = fail(k->err, HEARTH_ERR_FORMAT, "%s is 0 for every layer; this version needs one with attention",
                     k->key);
}

/* The same. With experts: of layers without them; files may leave it out where there are none. */
static void read_ff(struct hparams *hp, struct keys *k)
{
    int list[MAX_LAYERS], all = 0;
    bool listed = list_of_layers(k, "feed_forward_length", hp->n_layers, hp->n_experts ? 0 : 1, MAX_FF, list);
    if (!listed)
        all = hp->n_experts ? int_or(k, "feed_forward_length", 0, MAX_FF, 0)
                            : need_int(k, "feed_forward_length", 1, MAX_FF);
    for (int i = 0; k->ok && i < hp->n_layers; i++) {
        hp->layer[i].n_ff = listed ? list[i] : all;
        hp->n_ff = max_int(hp->n_ff, hp->layer[i].n_ff);
    }
}

/* Latent attention: key_length and value_length are of what is kept, *_mla of heads. */
static bool read_latent(struct hparams *hp, struct keys *k, int value_dim)
{
    hp->n_q_rank = int_or(k, "attention.q_lora_rank", 0, MAX_EMBD, 0);
    if (k->ok && !gguf_find(k->g, key_of(k, "attention.key_length_mla")))
        return fail(k->err, HEARTH_ERR_FORMAT,
                    "%s is missing: the file has the older form of this attention (attn_kv_b in one, before April "
                    "2025); use a newer file of the model, or convert it again",
                    k->key);
    hp->n_head_key = need_int(k, "attention.key_length_mla", 1, MAX_HEAD_DIM);
    hp->n_head_value = need_int(k, "attention.value_length_mla", 1, MAX_HEAD_DIM);
    if (!k->ok)
        return false;
    if (hp->n_latent % 16)
        return fail(k->err, HEARTH_ERR_FORMAT, "%s.attention.kv_lora_rank is %d; this version needs a multiple of 16",
                    k->arch, hp->n_latent);
    return (hp->n_kv_heads == 1 && value_dim == hp->n_latent && hp->head_dim == hp->n_latent + hp->n_rot
            && hp->n_head_key > hp->n_rot)
           || fail(k->err, HEARTH_ERR_FORMAT,
                   "%d KV heads of %d and %d values, a latent of %d, heads of %d of which %d are rotated: that cannot "
                   "be; the file's metadata is damaged",
                   hp->n_kv_heads, hp->head_dim, value_dim, hp->n_latent, hp->n_head_key, hp->n_rot);
}

/* Heads of layers with a window may have another size. */
static bool read_heads(struct hparams *hp, struct keys *k)
{
    hp->head_dim = int_or(k, "attention.key_length", 1, MAX_EMBD, max_int(hp->n_embd / hp->n_heads, 1));
    int value_dim = int_or(k, "attention.value_length", 1, MAX_EMBD, hp->head_dim);
    hp->head_dim_window = int_or(k, "attention.key_length_swa", 1, MAX_EMBD, hp->head_dim);
    int value_dim_window = int_or(k, "attention.value_length_swa", 1, MAX_EMBD, hp->head_dim_window);
    hp->n_rot = int_or(k, "rope.dimension_count", 1, MAX_EMBD, hp->head_dim);
    hp->n_rot_window = int_or(k, "rope.dimension_count_swa", 1, MAX_EMBD, min_int(hp->n_rot, hp->head_dim_window));
    for (int i = 0; i < hp->n_layers; i++) {
        hp->layer[i].head_dim = hp->head_dim;
        hp->layer[i].kv_layer = i;
    }
    hp->n_latent = int_or(k, "attention.kv_lora_rank", 0, MAX_HEAD_DIM, 0);
    if (!k->ok)
        return false;
    if (hp->n_latent)
        return read_latent(hp, k, value_dim);
    if (value_dim != hp->head_dim || value_dim_window != hp->head_dim_window)
        return fail(k->err, HEARTH_ERR_FORMAT, "key size %d and value size %d differ; this version needs them equal",
                    value_dim != hp->head_dim ? hp->head_dim : hp->head_dim_window,
                    value_dim != hp->head_dim ? value_dim : value_dim_window);
    return true;
}

static bool check_head(struct keys *k, int head_dim, int n_rot, int most)
{
    if (head_dim % 8 || head_dim > most)
        return fail(k->err, HEARTH_ERR_FORMAT, "head size %d is not supported (a multiple of 8, at most %d)", head_dim,
                    most);
    return (n_rot % 2 == 0 && n_rot <= head_dim)
           || fail(k->err, HEARTH_ERR_FORMAT,
                   "%s.rope.dimension_count is %d; it must be even and at most the head size %d", k->arch, n_rot,
                   head_dim);
}

static bool check(const struct hparams *hp, struct keys *k)
{
    if (hp->n_expert_groups > 1
        && (hp->n_experts % hp->n_expert_groups || hp->n_expert_groups_used < 1
            || hp->n_expert_groups_used > hp->n_expert_groups
            || hp->n_experts / hp->n_expert_groups * hp->n_expert_groups_used < hp->n_experts_used))
        return fail(k->err, HEARTH_ERR_FORMAT,
                    "%d experts in %d groups, %d of them of the best %d groups used: that cannot be; the file's "
                    "metadata is damaged",
                    hp->n_experts, hp->n_expert_groups, hp->n_experts_used, hp->n_expert_groups_used);
    int most = hp->n_latent ? MAX_LATENT_KEY : MAX_HEAD_DIM;
    return check_head(k, hp->head_dim, hp->n_rot, most) && check_head(k, hp->head_dim_window, hp->n_rot_window, most);
}

bool hparams_read(struct hparams *hp, const struct gguf *g, const char *arch, bool causal, hearth_error *err)
{
    struct keys k = { .g = g, .arch = arch, .ok = true, .err = err };
    *hp = (struct hparams){ 0 };
    hp->n_layers = need_int(&k, "block_count", 1, MAX_LAYERS);
    /* The last of them predict further tokens and take no part in a pass. */
    hp->n_layers -= int_or(&k, "nextn_predict_layers", 0, max_int(hp->n_layers - 1, 0), 0);
    hp->n_embd = need_int(&k, "embedding_length", 1, MAX_EMBD);
    hp->n_experts = int_or(&k, "expert_count", 0, MAX_EXPERTS, 0);
    read_ff(hp, &k);
    read_experts(hp, &k);
    hp->n_heads = need_int(&k, "attention.head_count", 1, MAX_HEADS);
    read_kv_heads(hp, &k);
    hp->n_ctx_train = need_int(&k, "context_length", 1, MAX_CTX);
    hp->causal = bool_or(&k, "attention.causal", causal);
    double eps = float_or(&k, "attention.layer_norm_epsilon", 1e-13, 1e-1, 1e-5);
    hp->norm_eps = (float)float_or(&k, "attention.layer_norm_rms_epsilon", 1e-12, 1e-1, eps);
    read_scales(hp, &k);
    if (!k.ok)
        return false;
    if (!gguf_find(g, key_of(&k, "attention.key_length")) && hp->n_embd % hp->n_heads)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s.embedding_length %d is no multiple of the %d heads, and the head size is not stated; "
                    "the file's metadata is damaged",
                    arch, hp->n_embd, hp->n_heads);
    if (!read_heads(hp, &k))
        return false;
    hp->n_embd_layer = int_or(&k, "embedding_length_per_layer_input", 0, MAX_EMBD, 0);
    hp->n_shared_kv_layers = int_or(&k, "attention.shared_kv_layers", 0, hp->n_layers - 1, 0);
    hp->n_dense = int_or(&k, "dense_2_feat_out", 1, MAX_FF, 0);
    uint64_t n_types = 1;
    k.ok = k.ok && gguf_uint_or(g, "tokenizer.ggml.token_type_count", 1, MAX_VOCAB, 1, &n_types, err);
    hp->n_token_types = (int)n_types;
    struct gguf_array labels = { 0 };
    k.ok = k.ok && gguf_array_or_none(g, key_of(&k, "classifier.output_labels"), GGUF_STRING, MAX_VOCAB, &labels, err);
    hp->n_labels = labels.n ? (int)labels.n : 1;
    hp->n_vocab = int_or(&k, "vocab_size", 0, MAX_VOCAB, 0);
    if (!read_rope(hp, &k))
        return false;
    for (int i = 0; i < min_int(hp->n_dense_layers, hp->n_layers); i++)
        if (hp->layer[i].n_ff < 1)
            return fail(err, HEARTH_ERR_FORMAT, "%s.feed_forward_length is 0, and some layers have no experts; "
                                                "the file's metadata is damaged", arch);
    return check(hp, &k);
}
