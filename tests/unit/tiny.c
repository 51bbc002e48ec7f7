#include "tiny.h"

#include "../random_block.h"
#include "base/rng.h"
#include "format/gguf_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h> /* after our headers: it has a macro fail() */

void tiny_path(char *out, size_t room, const char *name)
{
    const char *dir = getenv("TMPDIR");
    snprintf(out, room, "%s/hearth-test-%ld-%s.gguf", dir ? dir : "/tmp", (long)getpid(), name);
}

struct writer {
    struct gguf_writer w;
    const struct tiny *t;
    struct rng rng;
    struct tensor {
        char name[64];
        enum dtype type;
        uint64_t offset, row, rows; /* rows of all matrices, if there are several */
        bool norm;
    } tensors[128];
    int n;
};

static void declare_mats(struct writer *w, const char *name, uint64_t row, uint64_t rows, uint64_t mats, bool vector)
{
    struct tensor *t = &w->tensors[w->n++];
    uint64_t dim[3] = { row, rows, mats };
    snprintf(t->name, sizeof t->name, "%s", name);
    bool taps = strstr(name, "conv.weight") || strstr(name, "conv1d.weight");
    t->type = vector || taps ? DTYPE_f32 : w->t->type;
    t->row = row;
    t->rows = rows * mats;
    t->norm = strstr(name, "norm") || strstr(name, "scale");
    t->offset = gguf_declare_tensor(&w->w, name, dtype_table[t->type].gguf_id, vector ? 1 : mats > 1 ? 3 : 2,
                                    dim);
}

static void declare(struct writer *w, const char *name, uint64_t row, uint64_t rows, bool vector)
{
    declare_mats(w, name, row, rows, 1, vector);
}

/* Layers without attention: the first of two. */
static bool is_recurrent(const struct tiny *t, int layer)
{
    return (strcmp(t->arch, "lfm2") == 0 || strcmp(t->arch, "qwen35") == 0) && layer == 0;
}

static bool is_latent(const struct tiny *t) { return strcmp(t->arch, "deepseek2") == 0; }

enum { ROTATED = TINY_KEPT - TINY_LATENT, OF_HEAD = TINY_EMBD / TINY_HEADS };
enum { STATE = 32, GROUPS = 2, VALUE_HEADS = 4, INNER = VALUE_HEADS * STATE, CONV = INNER + 2 * GROUPS * STATE };

static bool is_gemma4(const struct tiny *t) { return strcmp(t->arch, "gemma4") == 0; }
static int n_layers(const struct tiny *t) { return is_gemma4(t) ? TINY_GEMMA4_LAYERS : TINY_LAYERS; }

/* With the window, without, and the same again without keys and values of their own; experts beside a dense block. */
static void declare_gemma4_layer(struct writer *w, int layer)
{
    enum { EXPERTS = 4, OF_EXPERT = 64, PIECE = 32 };
    const bool full = layer % 2, own = layer < 2;
    const int head = full ? TINY_EMBD / TINY_HEADS : TINY_EMBD / TINY_HEADS / 2, ff = own ? TINY_FF : 2 * TINY_FF;
    const struct {
        const char *name;
        int row, rows, mats; /* rows 0: a vector */
        bool without;
    } parts[] = {
        { "attn_norm.weight", TINY_EMBD, 0, 1, false },
        { "attn_q.weight", TINY_EMBD, TINY_HEADS * head, 1, false },
        { "attn_q_norm.weight", head, 0, 1, false },
        { "attn_k.weight", TINY_EMBD, full ? head : 2 * head, 1, !own },
        { "attn_k_norm.weight", head, 0, 1, !own },
        { "attn_v.weight", TINY_EMBD, 2 * head, 1, !own || full },
        { "attn_output.weight", TINY_HEADS * head, TINY_EMBD, 1, false },
        { "post_attention_norm.weight", TINY_EMBD, 0, 1, false },
        { "ffn_norm.weight", TINY_EMBD, 0, 1, false },
        { "ffn_gate.weight", TINY_EMBD, ff, 1, false },
        { "ffn_up.weight", TINY_EMBD, ff, 1, false },
        { "ffn_down.weight", ff, TINY_EMBD, 1, false },
        { "post_ffw_norm.weight", TINY_EMBD, 0, 1, false },
        { "ffn_gate_inp.weight", TINY_EMBD, EXPERTS, 1, false },
        { "ffn_gate_inp.scale", TINY_EMBD, 0, 1, false },
        { "ffn_gate_up_exps.weight", TINY_EMBD, 2 * OF_EXPERT, EXPERTS, false },
        { "ffn_down_exps.weight", OF_EXPERT, TINY_EMBD, EXPERTS, false },
        { "ffn_down_exps.scale", EXPERTS, 0, 1, false },
        { "post_ffw_norm_1.weight", TINY_EMBD, 0, 1, false },
        { "pre_ffw_norm_2.weight", TINY_EMBD, 0, 1, false },
        { "post_ffw_norm_2.weight", TINY_EMBD, 0, 1, false },
        { "inp_gate.weight", TINY_EMBD, PIECE, 1, false },
        { "proj.weight", PIECE, TINY_EMBD, 1, false },
        { "post_norm.weight", TINY_EMBD, 0, 1, false },
        { "layer_output_scale.weight", 1, 0, 1, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
        if (!parts[i].without)
            declare_mats(w, name, (uint64_t)parts[i].row, (uint64_t)max_int(parts[i].rows, 1), (uint64_t)parts[i].mats,
                         parts[i].rows == 0);
    }
}

static void declare_gemma4(struct writer *w)
{
    const uint64_t piece = 32, pieces = piece * TINY_GEMMA4_LAYERS;
    declare(w, "per_layer_token_embd.weight", pieces, TINY_VOCAB, false);
    declare(w, "per_layer_model_proj.weight", TINY_EMBD, pieces, false);
    declare(w, "per_layer_proj_norm.weight", piece, 1, true);
    declare(w, "rope_freqs.weight", TINY_EMBD / TINY_HEADS / 2, 1, true);
}

static void declare_layer(struct writer *w, int layer)
{
    enum in { ALL, ATTENTION, RECURRENT, PLAIN /* attention, and none that is latent */ };
    static const struct {
        const char *name;
        int row, rows; /* rows 0: a vector */
        const char *only; /* architecture; NULL: all */
        enum in in;
        int mats; /* 0: one */
    } parts[] = {
        { "attn_norm.weight", TINY_EMBD, 0, NULL, ALL },
        { "shortconv.in_proj.weight", TINY_EMBD, 3 * TINY_EMBD, "lfm2", RECURRENT },
        { "shortconv.conv.weight", 3, TINY_EMBD, "lfm2", RECURRENT },
        { "shortconv.out_proj.weight", TINY_EMBD, TINY_EMBD, "lfm2", RECURRENT },
        { "attn_qkv.weight", TINY_EMBD, CONV, "qwen35", RECURRENT },
        { "attn_gate.weight", TINY_EMBD, INNER, "qwen35", RECURRENT },
        { "ssm_beta.weight", TINY_EMBD, VALUE_HEADS, "qwen35", RECURRENT },
        { "ssm_alpha.weight", TINY_EMBD, VALUE_HEADS, "qwen35", RECURRENT },
        { "ssm_conv1d.weight", 4, CONV, "qwen35", RECURRENT },
        { "ssm_dt.bias", VALUE_HEADS, 0, "qwen35", RECURRENT },
        { "ssm_a", VALUE_HEADS, 0, "qwen35", RECURRENT },
        { "ssm_norm.weight", STATE, 0, "qwen35", RECURRENT },
        { "ssm_out.weight", INNER, TINY_EMBD, "qwen35", RECURRENT },
        { "attn_q.weight", TINY_EMBD, TINY_EMBD, NULL, ATTENTION },
        { "attn_k.weight", TINY_EMBD, TINY_EMBD / 2, NULL, PLAIN },
        { "attn_v.weight", TINY_EMBD, TINY_EMBD / 2, NULL, PLAIN },
        { "attn_kv_a_mqa.weight", TINY_EMBD, TINY_KEPT, "deepseek2", ATTENTION },
        { "attn_kv_a_norm.weight", TINY_LATENT, 0, "deepseek2", ATTENTION },
        { "attn_k_b.weight", OF_HEAD - ROTATED, TINY_LATENT, "deepseek2", ATTENTION, TINY_HEADS },
        { "attn_v_b.weight", TINY_LATENT, OF_HEAD, "deepseek2", ATTENTION, TINY_HEADS },
        { "attn_output.weight", TINY_EMBD, TINY_EMBD, NULL, ATTENTION },
        { "attn_q.bias", TINY_EMBD, 0, "qwen2", ATTENTION },
        { "attn_k.bias", TINY_EMBD / 2, 0, "qwen2", ATTENTION },
        { "attn_v.bias", TINY_EMBD / 2, 0, "qwen2", ATTENTION },
        { "attn_q_norm.weight", TINY_EMBD / TINY_HEADS, 0, "qwen3", ATTENTION },
        { "attn_k_norm.weight", TINY_EMBD / TINY_HEADS, 0, "qwen3", ATTENTION },
        { "attn_q_norm.weight", TINY_EMBD / TINY_HEADS, 0, "qwen35", ATTENTION },
        { "attn_k_norm.weight", TINY_EMBD / TINY_HEADS, 0, "qwen35", ATTENTION },
        { "attn_q_norm.weight", TINY_EMBD / TINY_HEADS, 0, "lfm2", ATTENTION },
        { "attn_k_norm.weight", TINY_EMBD / TINY_HEADS, 0, "lfm2", ATTENTION },
        { "ffn_norm.weight", TINY_EMBD, 0, NULL, ALL },
        { "ffn_gate.weight", TINY_EMBD, TINY_FF, NULL, ALL },
        { "ffn_up.weight", TINY_EMBD, TINY_FF, NULL, ALL },
        { "ffn_down.weight", TINY_FF, TINY_EMBD, NULL, ALL },
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char name[64];
        if ((parts[i].only && strcmp(parts[i].only, w->t->arch) != 0)
            || (parts[i].in == PLAIN && (is_latent(w->t) || is_recurrent(w->t, layer)))
            || parts[i].in == (is_recurrent(w->t, layer) ? ATTENTION : RECURRENT))
            continue;
        bool qwen35 = strcmp(w->t->arch, "qwen35") == 0;
        bool after = qwen35 && strcmp(parts[i].name, "ffn_norm.weight") == 0;
        uint64_t rows = parts[i].rows ? (uint64_t)parts[i].rows : 1;
        if (qwen35 && strcmp(parts[i].name, "attn_q.weight") == 0)
            rows *= 2; /* and gates */
        snprintf(name, sizeof name, "blk.%d.%s", layer, after ? "post_attention_norm.weight" : parts[i].name);
        declare_mats(w, name, (uint64_t)parts[i].row, rows, (uint64_t)max_int(parts[i].mats, 1), parts[i].rows == 0);
    }
}

static void put_number(struct writer *w, const char *rest, uint32_t value)
{
    char key[96];
    bool wrong = w->t->wrong_key && strcmp(w->t->wrong_key, rest) == 0;
    snprintf(key, sizeof key, "%s.%s", w->t->arch, rest);
    if (!wrong || w->t->wrong_number >= 0)
        gguf_put_u32(&w->w, key, wrong ? (uint32_t)w->t->wrong_number : value);
}

static void put_gemma4(struct writer *w)
{
    static const int32_t kv_heads[] = { 2, 1, 2, 1 }, ff[] = { TINY_FF, TINY_FF, 2 * TINY_FF, 2 * TINY_FF };
    const struct {
        const char *rest;
        uint32_t value;
    } numbers[] = {
        { "attention.shared_kv_layers", 2 },
        { "attention.sliding_window", 80 },
        { "attention.sliding_window_pattern", 2 },
        { "attention.key_length", TINY_EMBD / TINY_HEADS },
        { "attention.value_length", TINY_EMBD / TINY_HEADS },
        { "attention.key_length_swa", TINY_EMBD / TINY_HEADS / 2 },
        { "attention.value_length_swa", TINY_EMBD / TINY_HEADS / 2 },
        { "rope.dimension_count", TINY_EMBD / TINY_HEADS },
        { "rope.dimension_count_swa", TINY_EMBD / TINY_HEADS / 2 },
        { "embedding_length_per_layer_input", 32 },
        { "expert_count", 4 },
        { "expert_used_count", 2 },
        { "expert_feed_forward_length", 64 },
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        put_number(w, numbers[i].rest, numbers[i].value);
    gguf_put_i32_array(&w->w, "gemma4.attention.head_count_kv", kv_heads, ARRAY_LEN(kv_heads));
    gguf_put_i32_array(&w->w, "gemma4.feed_forward_length", ff, ARRAY_LEN(ff));
    gguf_put_f32(&w->w, "gemma4.final_logit_softcapping", 30);
}

static void put_metadata(struct writer *w)
{
    struct gguf_writer *g = &w->w;
    const struct tiny *t = w->t;
    char key[96];
    const struct {
        const char *rest;
        uint32_t value;
    } numbers[] = {
        { "block_count", (uint32_t)n_layers(t) },
        { "context_length", t->n_ctx ? (uint32_t)t->n_ctx : 512 },
        { "embedding_length", TINY_EMBD },
        { "attention.head_count", TINY_HEADS },
        { "feed_forward_length", TINY_FF },
        { "attention.head_count_kv", is_latent(t) ? 1 : TINY_KV_HEADS },
    };
    static const int32_t kv_heads[TINY_LAYERS] = { 0, TINY_KV_HEADS };
    bool recurrent = is_recurrent(t, 0) && strcmp(t->arch, "lfm2") == 0;
    gguf_put_str(g, "general.architecture", str_z(t->arch));
    for (size_t i = 0; i < ARRAY_LEN(numbers) - (is_gemma4(t) ? 2 : recurrent); i++)
        put_number(w, numbers[i].rest, numbers[i].value);
    if (recurrent) {
        gguf_put_i32_array(g, "lfm2.attention.head_count_kv", kv_heads, TINY_LAYERS);
        gguf_put_u32(g, "lfm2.shortconv.l_cache", 3);
    }
    if (is_latent(t)) {
        put_number(w, "attention.kv_lora_rank", TINY_LATENT);
        put_number(w, "attention.key_length", TINY_KEPT);
        put_number(w, "attention.value_length", TINY_LATENT);
        put_number(w, "attention.key_length_mla", OF_HEAD);
        put_number(w, "attention.value_length_mla", OF_HEAD);
        put_number(w, "rope.dimension_count", ROTATED);
    }
    if (is_gemma4(t))
        put_gemma4(w);
    if (strcmp(t->arch, "qwen35") == 0) {
        gguf_put_u32(g, "qwen35.ssm.conv_kernel", 4);
        gguf_put_u32(g, "qwen35.ssm.state_size", STATE);
        gguf_put_u32(g, "qwen35.ssm.group_count", GROUPS);
        gguf_put_u32(g, "qwen35.ssm.time_step_rank", VALUE_HEADS);
        gguf_put_u32(g, "qwen35.ssm.inner_size", INNER);
        gguf_put_u32(g, "qwen35.full_attention_interval", TINY_LAYERS);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", t->arch);
    gguf_put_f32(g, key, 1e-5f);
    if (t->samplers) {
        gguf_put_str(g, "general.sampling.sequence", str_z(t->samplers));
        gguf_put_f32(g, "general.sampling.temp", 0.5f);
        gguf_put_u32(g, "general.sampling.top_k", 7);
        gguf_put_u32(g, "general.sampling.penalty_last_n", 9);
        gguf_put_f32(g, "general.sampling.penalty_repeat", 1.25f);
        gguf_put_f32(g, "general.sampling.xtc_threshold", 0.25f);
        gguf_put_u32(g, "general.sampling.mirostat", 1);
    }
}

/* Bytes as tokens <0x00> .. <0xFF> and a few letters: enough for SPM with byte fallback. */
static void put_vocabulary(struct gguf_writer *g)
{
    static char texts[TINY_VOCAB][8];
    struct str tokens[TINY_VOCAB];
    float scores[TINY_VOCAB];
    int32_t types[TINY_VOCAB];
    for (int i = 0; i < TINY_VOCAB; i++) {
        bool byte = i >= 3 && i < 259;
        if (byte)
            snprintf(texts[i], sizeof texts[i], "<0x%02X>", i - 3);
        else if (i < 3)
            snprintf(texts[i], sizeof texts[i], "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else if (i == 259)
            snprintf(texts[i], sizeof texts[i], "\xe2\x96\x81");
        else
            snprintf(texts[i], sizeof texts[i], "%c", i < 286 ? 'a' + i - 260 : 'A' + i - 286);
        tokens[i] = str_z(texts[i]);
        scores[i] = (float)-i;
        types[i] = i == 0 ? 2 : i < 3 ? 3 : byte ? 6 : 1;
    }
    gguf_put_str(g, "tokenizer.ggml.model", STR("llama"));
    gguf_put_str_array(g, "tokenizer.ggml.tokens", tokens, TINY_VOCAB);
    gguf_put_f32_array(g, "tokenizer.ggml.scores", scores, TINY_VOCAB);
    gguf_put_i32_array(g, "tokenizer.ggml.token_type", types, TINY_VOCAB);
    gguf_put_u32(g, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(g, "tokenizer.ggml.eos_token_id", 2);
}

static void write_tensor(struct writer *w, const struct tensor *t)
{
    const struct dtype_info *info = &dtype_table[t->type];
    size_t n = (size_t)(t->row * t->rows), n_blocks = n / (size_t)info->n_values;
    bool factors = strcmp(t->name, "rope_freqs.weight") == 0, vector = t->type == DTYPE_f32 && t->rows == 1;
    float *x = malloc(n * sizeof *x);
    uint8_t *blocks = malloc(n_blocks * (size_t)info->block_bytes);
    assert_true(x && blocks);
    for (size_t i = 0; i < n; i++)
        x[i] = factors ? 1.0f + (float)i / 8 : t->norm ? 1.0f + 0.1f * rng_normal(&w->rng)
             : vector ? 0.3f * rng_normal(&w->rng) : rng_normal(&w->rng) * 1.6f / sqrtf((float)t->row);
    for (size_t i = 0; i < n && strstr(t->name, "ssm_a") && vector; i++)
        x[i] = -fabsf(x[i]); /* decays */
    if (w->t->nan_tensor && strcmp(w->t->nan_tensor, t->name) == 0)
        x[0] = NAN;
    for (size_t b = 0; b < n_blocks; b++)
        if (info->from_f32)
            info->from_f32(blocks + b * (size_t)info->block_bytes, x + b * (size_t)info->n_values);
        else
            random_block(info, &w->rng, 1.6f / sqrtf((float)t->row), blocks + b * (size_t)info->block_bytes);
    assert_true(gguf_write_data(&w->w, t->offset, blocks, n_blocks * (size_t)info->block_bytes));
    free(blocks);
    free(x);
}

void tiny_write(const char *path, const struct tiny *t)
{
    static struct writer w;
    hearth_error err = { 0 };
    w = (struct writer){ .t = t, .rng = { 7, 0 } };
    assert_true(gguf_write_open(&w.w, path, &err));
    put_metadata(&w);
    put_vocabulary(&w.w);
    declare(&w, "token_embd.weight", TINY_EMBD, TINY_VOCAB, false);
    declare(&w, strcmp(t->arch, "lfm2") == 0 ? "token_embd_norm.weight" : "output_norm.weight", TINY_EMBD, 1, true);
    if (t->untied)
        declare(&w, "output.weight", TINY_EMBD, TINY_VOCAB, false);
    if (t->rope_freqs)
        declare(&w, "rope_freqs.weight", TINY_EMBD / TINY_HEADS / 2, 1, true);
    if (is_gemma4(t))
        declare_gemma4(&w);
    for (int i = 0; i < n_layers(t); i++)
        (is_gemma4(t) ? declare_gemma4_layer : declare_layer)(&w, i);
    for (int i = 0; i < w.n; i++)
        write_tensor(&w, &w.tensors[i]);
    if (!gguf_write_commit(&w.w, &err))
        fail_msg("%s", err.message);
}
