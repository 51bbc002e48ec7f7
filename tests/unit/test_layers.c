/* test_layers.c: a model whose layers differ (Gemma 4): heads of their own number and size, keys and values of layers
 * before them, embeddings for each layer, experts beside a dense block. What others left is gone on from, and requests
 * have the same bits however they meet. */
#include "base/file.h"
#include "format/gguf.h"
#include "meetings.h"

static struct tiny model = { .arch = "gemma4", .type = DTYPE_q8_0, .n_ctx = 2048 };

/* The first two of four layers: two heads of 32, and one of 64. */
static void a_page_has_what_layers_keep_and_no_more(void **state)
{
    struct opened o;
    hearth_plan plan;
    (void)state;
    open_model(&o, "pages", model, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    hearth_model_plan(o.model, &plan);
    assert_int_equal(plan.kv_bytes, (uint64_t)plan.n_kv_tokens * 2 * (2 * 32 + 64) * sizeof(uint16_t));
    close_model(&o);
}

/* Of the table a row, of the experts those that are used; and keys and values of two layers, by four. */
static void what_a_token_reads_is_counted(void **state)
{
    struct file_map map;
    struct gguf g;
    hearth_error err = { 0 };
    hearth_cost cost;
    char path[256];
    uint64_t bytes = 0;
    (void)state;
    tiny_path(path, sizeof path, "reads");
    tiny_write(path, &model);
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, &err);
    assert_true(file && hearth_file_cost(file, HEARTH_KV_f16, &cost));
    assert_true(file_map(&map, path, &err) && gguf_parse(&g, map.ptr, map.bytes, &err));
    for (uint32_t i = 0; i < g.n_tensors; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        bool table = str_eq_z(t->name, "per_layer_token_embd.weight"), experts = t->dim[2] > 1;
        if (t->dim[1] > 1)
            bytes += table ? t->bytes / TINY_VOCAB : experts ? t->bytes / 2 : t->bytes;
    }
    assert_int_equal(cost.pass_bytes, bytes);
    assert_int_equal(cost.kv_bytes, 512);
    assert_int_equal(cost.kv_read_bytes, 1024);
    hearth_file_info info;
    hearth_file_describe(file, &info);
    assert_true(info.layers_differ && info.head_dim == 64 && info.n_kv_heads == 2 && info.n_ff == 2 * TINY_FF);
    gguf_free(&g);
    file_unmap(&map);
    hearth_file_close(file);
    unlink(path);
}

static void what_is_not_finite_is_named(void **state)
{
    static const char *const names[] = {
        "blk.1.attn_k.weight",      "blk.3.attn_q.weight",       "per_layer_model_proj.weight",
        "blk.0.inp_gate.weight",    "blk.2.proj.weight",         "blk.2.ffn_down.weight",
        "blk.0.ffn_gate_inp.weight", "blk.3.ffn_gate_up_exps.weight", "blk.1.ffn_down_exps.weight",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_named(&model, names[i]);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
    static const struct wrong wrong[] = {
        { "attention.shared_kv_layers", 0, "the file lacks blk.2.attn_k.weight" },
        { "attention.shared_kv_layers", 1, "the file lacks blk.2.attn_k.weight" },
        { "attention.shared_kv_layers", 3, "layer 1 has none of its kind" },
        { "attention.shared_kv_layers", 4, "shared_kv_layers" },
        { "attention.sliding_window", 0, "layer 2 has none of its kind" },
        { "attention.sliding_window_pattern", 3, "layer 2 has none of its kind" },
        { "attention.key_length", 72, "key size 72 and value size 64 differ" },
        { "attention.key_length_swa", 64, "key size 64 and value size 32 differ" },
        { "attention.key_length_swa", -1, "key size 64 and value size 32 differ" },
        { "attention.value_length_swa", 1 << 30, "value_length_swa" },
        { "rope.dimension_count", 32, "rope_freqs.weight has shape" },
        { "rope.dimension_count_swa", 34, "at most the head size 32" },
        { "rope.dimension_count_swa", 15, "must be even" },
        { "rope.dimension_count_swa", 16, NULL },
        { "embedding_length_per_layer_input", 16, "per_layer_token_embd.weight has shape" },
        { "embedding_length_per_layer_input", 1 << 30, "embedding_length_per_layer_input" },
        { "embedding_length_per_layer_input", 0, NULL },
        { "expert_used_count", 5, "expert_used_count" },
        { "expert_feed_forward_length", 32, "ffn_gate_up_exps.weight has shape" },
        { "expert_count", 5, "has shape" },
        { "expert_count", 0, NULL },
        { "attention.head_count", 3, "3 query heads cannot share 2 KV heads" },
        { "block_count", 5, "has 4 numbers for 5 layers" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_refused(&model, &wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_what_layers_keep_and_no_more),
        cmocka_unit_test(what_a_token_reads_is_counted),
        MEETINGS_OF_KEYS_AND_VALUES(&model),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(numbers_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
