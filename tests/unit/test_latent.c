/* test_latent.c: a model with latent attention, of which one vector of a token is kept for keys and values of all
 * heads: what others left is gone on from, and requests have the same bits however they meet. */
#include "meetings.h"

static struct tiny model = { .arch = "deepseek2", .type = DTYPE_q8_0, .n_ctx = 2048 };

/* Half of what keys and values apart would have. */
static void a_page_has_the_latent_once(void **state)
{
    struct opened o;
    hearth_plan plan;
    hearth_file_info info;
    hearth_error err = { 0 };
    (void)state;
    open_model(&o, "once", model, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    hearth_model_plan(o.model, &plan);
    assert_int_equal(plan.kv_bytes, (uint64_t)plan.n_kv_tokens * TINY_LAYERS * TINY_KEPT * sizeof(uint16_t));
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = o.path }, &err);
    assert_non_null(file);
    hearth_file_describe(file, &info);
    assert_int_equal(info.n_latent, TINY_LATENT);
    assert_int_equal(info.kv_bytes_per_token, TINY_LAYERS * TINY_KEPT * sizeof(uint16_t));
    hearth_file_close(file);
    close_model(&o);
}

/* Each tensor of the attention, when it has a NaN. */
static void what_is_not_finite_is_named(void **state)
{
    static const char *const names[] = { "blk.1.attn_kv_a_mqa.weight", "blk.0.attn_k_b.weight",
                                         "blk.1.attn_v_b.weight" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_named(&model, names[i]);
}

/* What a file says of itself is held against what can be, before anything is computed from it. */
static void numbers_that_cannot_be_are_refused(void **state)
{
    static const struct wrong wrong[] = {
        { "attention.kv_lora_rank", -1, "key size 96 and value size 64 differ" },
        { "attention.kv_lora_rank", 0, "key size 96 and value size 64 differ" },
        { "attention.kv_lora_rank", 72, "needs a multiple of 16" },
        { "attention.kv_lora_rank", 48, "the file's metadata is damaged" },
        { "attention.kv_lora_rank", 1 << 20, "kv_lora_rank" },
        { "attention.key_length_mla", -1, "attn_kv_b in one" },
        { "attention.key_length_mla", TINY_KEPT - TINY_LATENT, "the file's metadata is damaged" },
        { "attention.key_length_mla", 1 << 30, "key_length_mla" },
        { "attention.value_length_mla", 0, "value_length_mla" },
        { "attention.value_length_mla", 32, "attn_v_b.weight has shape" },
        { "attention.key_length", 104, "the file's metadata is damaged" },
        { "attention.value_length", 96, "the file's metadata is damaged" },
        { "attention.head_count_kv", 2, "the file's metadata is damaged" },
        { "attention.q_lora_rank", 0, NULL }, /* that is none */
        { "rope.dimension_count", 30, "the file's metadata is damaged" },
        { "attention.head_count", 8, "has shape" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_refused(&model, &wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_the_latent_once),
        MEETINGS_OF_KEYS_AND_VALUES(&model),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(numbers_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
