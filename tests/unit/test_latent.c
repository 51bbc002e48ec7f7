/* test_latent.c: a model with latent attention, of which one vector of a token is kept for keys and values of all
 * heads: what others left is gone on from, and requests have the same bits however they meet. */
#include "meetings.h"

static struct tiny model = { .arch = "deepseek2", .type = DTYPE_q8_0, .n_ctx = 2048 };

/* Half of what keys and values apart would have. */
static void a_page_has_the_latent_once(void **state)
{
    struct opened o;
    hearth_plan plan;
    (void)state;
    open_model(&o, "once", model, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    hearth_model_plan(o.model, &plan);
    assert_int_equal(plan.kv_bytes, (uint64_t)plan.n_kv_tokens * TINY_LAYERS * TINY_KEPT * sizeof(uint16_t));
    close_model(&o);
}

/* In any type of keys and values; at the end of a page, and within one, of which a copy is gone on with. */
static void what_was_left_is_gone_on_from(void **state)
{
    static struct answer alone, got;
    static int32_t a[600], b[600];
    (void)state;
    for (int type = 0; type < HEARTH_N_KV_TYPES; type++) {
        struct opened o;
        open_model(&o, "left", model, (hearth_engine_options){ .n_threads = 2 },
                   (hearth_model_options){ .kv_type = (hearth_kv_type)type });
        fill_ids(a, 600, 1);
        hearth_request r = request_of(a, 500, 8);
        answer(&o, &r, &got);
        assert_int_equal(got.receipt.n_cached_tokens, 0);
        static const int same[] = { 499, 450, 448, 100, 64 };
        for (size_t i = 0; i < ARRAY_LEN(same); i++) {
            memcpy(b, a, sizeof b);
            fill_ids(b + same[i], 600 - same[i], 2 + i);
            b[same[i]] = 260 + (a[same[i]] - 260 + 1) % (TINY_VOCAB - 260);
            hearth_request cold = cold_of(b, 500, 8), next = request_of(b, 500, 8);
            answer(&o, &cold, &alone);
            answer(&o, &next, &got);
            assert_same(&alone, &got);
            assert_int_equal(got.receipt.n_cached_tokens, same[i]);
        }
        close_model(&o);
    }
}

/* Drafts that were wrong leave nothing in a page. */
static void drafts_change_nothing(void **state)
{
    static struct answer alone, got;
    static int32_t ids[64];
    struct opened o;
    (void)state;
    open_model(&o, "drafts", model, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
    for (int i = 0; i < 64; i++)
        ids[i] = 260 + i % 4; /* much to look up */
    hearth_request cold = cold_of(ids, 64, 100), r = request_of(ids, 64, 100);
    cold.speculate = HEARTH_SPECULATE_OFF;
    r.speculate = 4;
    answer(&o, &cold, &alone);
    answer(&o, &r, &got);
    assert_same(&alone, &got);
    assert_true(got.receipt.n_draft_tokens > 0);
    close_model(&o);
}

/* Each tensor of the attention, when it has a NaN. */
static void what_is_not_finite_is_named(void **state)
{
    static const char *const names[] = { "blk.1.attn_kv_a_mqa.weight", "blk.0.attn_k_b.weight",
                                         "blk.1.attn_v_b.weight" };
    static struct answer got;
    static int32_t ids[100];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct opened o;
        struct tiny damaged = model;
        damaged.type = DTYPE_f32;
        damaged.nan_tensor = names[i];
        open_model(&o, "damaged", damaged, (hearth_engine_options){ .n_threads = 1 }, (hearth_model_options){ 0 });
        fill_ids(ids, 100, 6);
        hearth_request r = request_of(ids, 100, 4);
        answer(&o, &r, &got);
        assert_int_equal(got.reason, HEARTH_END_ERROR);
        if (!strstr(got.error.message, names[i]))
            fail_msg("%s: %s", names[i], got.error.message);
        close_model(&o);
    }
}

/* What a file says of itself is held against what can be, before anything is computed from it. */
static void numbers_that_cannot_be_are_refused(void **state)
{
    static const struct { const char *key; int number; const char *words; } wrong[] = {
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
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char path[256];
        hearth_error err = { 0 };
        struct tiny t = model;
        t.wrong_key = wrong[i].key;
        t.wrong_number = wrong[i].number;
        tiny_path(path, sizeof path, "wrong");
        tiny_write(path, &t);
        hearth_file_info info;
        hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, &err);
        assert_non_null(file);
        hearth_file_describe(file, &info);
        if (info.runs != !wrong[i].words || (wrong[i].words && !strstr(info.problem, wrong[i].words)))
            fail_msg("%s %d: \"%s\"", wrong[i].key, wrong[i].number, info.problem);
        hearth_file_close(file);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_the_latent_once),
        cmocka_unit_test(what_was_left_is_gone_on_from),
        cmocka_unit_test_prestate(steps_and_neighbours_change_nothing, &model),
        cmocka_unit_test_prestate(several_of_one_prompt_are_computed_once, &model),
        cmocka_unit_test_prestate(who_was_preempted_has_the_same_bits, &model),
        cmocka_unit_test(drafts_change_nothing),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(numbers_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
