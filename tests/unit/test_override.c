/* test_override.c: a file read as if it said otherwise, and an engine on another instruction set. */
#include <math.h>

#include "requests.h"

enum { N_IDS = 40 };

/* An answer of the tiny model at path, with these on top. */
static void answer_with(const char *path, const hearth_override *all, size_t n, const char *isa, struct answer *a,
                        char identity[96])
{
    hearth_error err = { 0 };
    struct opened o = { 0 };
    int32_t ids[N_IDS];
    hearth_engine_options eo = { .n_threads = 1, .isa = isa };
    hearth_model_options mo = { .source = { .path = path, .overrides = all, .n_overrides = n }, .n_ctx_tokens = 64 };
    fill_ids(ids, N_IDS, 3);
    o.engine = hearth_engine_create(&eo, &err);
    o.model = o.engine ? hearth_model_open(o.engine, &mo, &err) : NULL;
    if (!o.model)
        fail_msg("%s", err.message);
    hearth_request r = request_of(ids, N_IDS, 8);
    answer(&o, &r, a);
    snprintf(identity, 96, "%s", hearth_model_identity(o.model));
    hearth_model_release(o.model);
    hearth_engine_destroy(o.engine);
}

static void write_tiny(char path[256], const char *name)
{
    tiny_path(path, 256, name);
    tiny_write(path, &(struct tiny){ .arch = "llama", .type = DTYPE_q4_0 });
}

static void a_value_is_read_otherwise_and_everybody_is_told(void **state)
{
    (void)state;
    char path[256], plain_identity[96], same_identity[96], other_identity[96];
    struct answer plain, same, other;
    const char key[] = "llama.rope.freq_base";
    hearth_override o = { HEARTH_OVERRIDE_FLOAT, key, NULL, 10000 };
    write_tiny(path, "override_value");
    answer_with(path, NULL, 0, NULL, &plain, plain_identity);
    answer_with(path, &o, 1, NULL, &same, same_identity); /* what is taken where a file says nothing */
    o.number = 500000;
    answer_with(path, &o, 1, NULL, &other, other_identity);
    assert_same(&plain, &same);
    assert_string_not_equal(plain.receipt.digest, other.receipt.digest);
    assert_string_not_equal(plain_identity, same_identity);
    assert_string_not_equal(plain_identity, other_identity);
    assert_string_not_equal(same_identity, other_identity);
    assert_null(strstr(plain.receipt.notes, "file says"));
    assert_non_null(strstr(other.receipt.notes, "not as the file says: llama.rope.freq_base is 500000\n"));
    unlink(path);
}

static void texts_are_replaced_too(void **state)
{
    (void)state;
    char path[256];
    hearth_error err = { 0 };
    hearth_file_info info;
    const hearth_override all[] = { { HEARTH_OVERRIDE_TEXT, "general.name", "another", 0 },
                                    { HEARTH_OVERRIDE_TEXT, "general.name", "the last one", 0 },
                                    { HEARTH_OVERRIDE_TEXT, "tokenizer.chat_template", "{{ messages }}", 0 } };
    write_tiny(path, "override_text");
    hearth_file *f = hearth_file_open(&(hearth_source){ .path = path, .overrides = all, .n_overrides = 3 }, &err);
    assert_non_null(f);
    hearth_file_describe(f, &info);
    assert_string_equal(info.name, "the last one");
    assert_string_equal(info.template_text, "{{ messages }}");
    hearth_file_close(f);
    unlink(path);
}

static void tensors_have_each_others_data(void **state)
{
    (void)state;
    char path[256], identity[96];
    struct answer plain, once, twice;
    const hearth_override swap = { HEARTH_OVERRIDE_SWAP, "blk.0.ffn_up.weight", "blk.1.ffn_up.weight", 0 };
    const hearth_override both[] = { swap, swap };
    write_tiny(path, "override_swap");
    answer_with(path, NULL, 0, NULL, &plain, identity);
    answer_with(path, &swap, 1, NULL, &once, identity);
    answer_with(path, both, 2, NULL, &twice, identity);
    assert_string_not_equal(plain.receipt.digest, once.receipt.digest);
    assert_same(&plain, &twice);
    assert_non_null(strstr(once.receipt.notes, "blk.0.ffn_up.weight and blk.1.ffn_up.weight are exchanged"));
    unlink(path);
}

static void what_cannot_be_is_refused_with_its_name(void **state)
{
    (void)state;
    char path[256];
    static const struct {
        hearth_override o;
        const char *words;
    } all[] = {
        { { HEARTH_OVERRIDE_SWAP, "blk.0.ffn_up.weight", "blk.7.ffn_up.weight", 0 }, "blk.7.ffn_up.weight" },
        { { HEARTH_OVERRIDE_SWAP, "blk.0.ffn_up.weight", "blk.0.ffn_down.weight", 0 }, "shapes differ" },
        { { HEARTH_OVERRIDE_SWAP, "blk.0.ffn_up.weight", NULL, 0 }, "lacks" },
        { { HEARTH_OVERRIDE_TEXT, NULL, "x", 0 }, "lacks" },
        { { HEARTH_OVERRIDE_FLOAT, "llama.rope.freq_base", NULL, (double)INFINITY }, "no finite number" },
        { { (hearth_override_type)9, "llama.rope.freq_base", "x", 0 }, "unknown type" },
    };
    write_tiny(path, "override_refused");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        hearth_error err = { 0 };
        hearth_source source = { .path = path, .overrides = &all[i].o, .n_overrides = 1 };
        assert_null(hearth_file_open(&source, &err));
        assert_int_equal(err.status, HEARTH_ERR_USAGE);
        assert_non_null(strstr(err.message, all[i].words));
        source.n_overrides = HEARTH_MAX_OVERRIDES + 1; /* refused before they are looked at */
        assert_null(hearth_file_open(&source, &err));
        assert_non_null(strstr(err.message, "too many"));
    }
    unlink(path);
}

static void an_engine_computes_with_the_instruction_set_it_is_told(void **state)
{
    (void)state;
    char path[256], identity[96];
    struct answer fast, scalar;
    hearth_error err = { 0 };
    write_tiny(path, "override_isa");
    answer_with(path, NULL, 0, NULL, &fast, identity);
    answer_with(path, NULL, 0, "scalar", &scalar, identity);
    assert_same(&fast, &scalar);
    assert_string_equal(fast.receipt.isa, hearth_isa(NULL));
    assert_string_equal(scalar.receipt.isa, "scalar");
    assert_null(hearth_engine_create(&(hearth_engine_options){ .isa = "mmx" }, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    assert_non_null(strstr(err.message, "\"mmx\""));
    unlink(path);
}

static void each_way_to_cut_text_has_one_name(void **state)
{
    (void)state;
    const char *names[64];
    size_t n = hearth_pretokenizers(names, ARRAY_LEN(names));
    assert_in_range(n, 15, ARRAY_LEN(names));
    assert_string_equal(names[0], "default");
    assert_int_equal(hearth_pretokenizers(names, 1), n);
    int n_llama = 0;
    hearth_pretokenizers(names, ARRAY_LEN(names));
    for (size_t i = 0; i < n; i++)
        n_llama += strcmp(names[i], "llama-bpe") == 0 || strcmp(names[i], "llama3") == 0;
    assert_int_equal(n_llama, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_read_otherwise_and_everybody_is_told),
        cmocka_unit_test(texts_are_replaced_too),
        cmocka_unit_test(tensors_have_each_others_data),
        cmocka_unit_test(what_cannot_be_is_refused_with_its_name),
        cmocka_unit_test(an_engine_computes_with_the_instruction_set_it_is_told),
        cmocka_unit_test(each_way_to_cut_text_has_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
