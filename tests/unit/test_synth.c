/* test_synth.c: models with random weights are well-formed and of the published size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/synth.h"
#include "dtype/dtype.h"
#include "format/gguf.h"

#include <cmocka.h> /* last: it has a macro fail() */

static const struct synth_shape *shape(const char *name)
{
    const struct synth_shape *s = synth_shapes;
    while (s->name && strcmp(s->name, name) != 0)
        s++;
    assert_non_null(s->name);
    return s;
}

static const struct synth_type *type(const char *name)
{
    const struct synth_type *t = synth_types;
    while (t->name && strcmp(t->name, name) != 0)
        t++;
    assert_non_null(t->name);
    return t;
}

/* ---- vocabulary ---- */

static int by_text(const void *a, const void *b)
{
    const struct str *x = *(const struct str *const *)a, *y = *(const struct str *const *)b;
    int order = memcmp(x->ptr, y->ptr, min_size(x->len, y->len));
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void check_no_token_twice(const struct synth_vocab *v)
{
    const struct str **sorted = calloc((size_t)v->n_tokens, sizeof *sorted);
    assert_non_null(sorted);
    for (int i = 0; i < v->n_tokens; i++)
        sorted[i] = &v->raw[i];
    qsort(sorted, (size_t)v->n_tokens, sizeof *sorted, by_text);
    for (int i = 1; i < v->n_tokens; i++)
        assert_false(str_eq(*sorted[i - 1], *sorted[i]));
    free(sorted);
}

/* Every token above the bytes is made by some merge of two earlier tokens. */
static void check_merges(const struct synth_vocab *v)
{
    bool *made = calloc((size_t)v->n_base, 1);
    const struct str **sorted = calloc((size_t)v->n_base, sizeof *sorted);
    assert_non_null(made);
    assert_non_null(sorted);
    for (int i = 0; i < v->n_base; i++)
        sorted[i] = &v->raw[i];
    qsort(sorted, (size_t)v->n_base, sizeof *sorted, by_text);
    for (int i = 0; i < v->n_merges; i++) {
        struct str left = v->raw[v->merges[i].left], right = v->raw[v->merges[i].right];
        char text[64];
        memcpy(text, left.ptr, left.len);
        memcpy(text + left.len, right.ptr, right.len);
        struct str joined = { text, left.len + right.len };
        const struct str *key = &joined;
        const struct str **found = bsearch(&key, sorted, (size_t)v->n_base, sizeof *sorted, by_text);
        assert_non_null(found);
        int32_t id = (int32_t)(*found - v->raw);
        assert_true(id > v->merges[i].left && id > v->merges[i].right);
        made[id] = true;
    }
    for (int i = 256; i < v->n_base; i++)
        assert_true(made[i]);
    free(made);
    free(sorted);
}

static void every_vocabulary_has_its_published_size(void **state)
{
    (void)state;
    for (const struct synth_shape *s = synth_shapes; s->name; s++) {
        struct synth_vocab v;
        hearth_error err = { 0 };
        if (!synth_vocab_make(&v, s, 1, &err))
            fail_msg("%s: %s", s->name, err.message);
        assert_int_equal(v.n_tokens, s->n_vocab);
        assert_int_equal(v.n_merges, s->n_merges);
        check_no_token_twice(&v);
        check_merges(&v);
        synth_vocab_free(&v);
    }
}

static void token_lengths_are_like_those_of_real_vocabularies(void **state)
{
    (void)state;
    struct synth_vocab v;
    assert_true(synth_vocab_make(&v, shape("llama-3.2-1b"), 1, NULL));
    size_t bytes = 0, with_space = 0;
    for (int i = 256; i < v.n_base; i++) {
        assert_in_range(v.raw[i].len, 2, 12);
        bytes += v.raw[i].len;
        with_space += v.raw[i].ptr[0] == ' ';
    }
    size_t n = (size_t)v.n_base - 256;
    assert_in_range(bytes * 10 / n, 50, 80);       /* 5 to 8 bytes */
    assert_in_range(with_space * 100 / n, 20, 70); /* percent */
    synth_vocab_free(&v);
}

static void control_tokens_have_their_published_ids(void **state)
{
    (void)state;
    static const struct {
        const char *shape;
        int id;
        const char *text;
    } want[] = {
        { "llama-3.1-8b", 128000, "<|begin_of_text|>" },  { "llama-3.1-8b", 128001, "<|end_of_text|>" },
        { "llama-3.1-8b", 128006, "<|start_header_id|>" }, { "llama-3.1-8b", 128007, "<|end_header_id|>" },
        { "llama-3.1-8b", 128009, "<|eot_id|>" },          { "llama-3.1-8b", 128255, "<|reserved_special_token_247|>" },
        { "qwen3-0.6b", 151643, "<|endoftext|>" },         { "qwen3-0.6b", 151644, "<|im_start|>" },
        { "qwen3-0.6b", 151645, "<|im_end|>" },            { "qwen3-0.6b", 151668, "</think>" },
        { "qwen3-0.6b", 151935, "[PAD151935]" },
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct synth_vocab v;
        assert_true(synth_vocab_make(&v, shape(want[i].shape), 1, NULL));
        assert_true(str_eq_z(v.raw[want[i].id], want[i].text));
        synth_vocab_free(&v);
    }
}

/* ---- tensors ---- */

static void parameters_are_as_many_as_published(void **state)
{
    (void)state;
    static const struct {
        const char *shape;
        uint64_t n, n_rope;
    } want[] = {
        { "llama-3.2-1b", 1235814400, 32 },
        { "llama-3.1-8b", 8030261248, 64 },
        { "qwen3-0.6b", 596049920, 0 },
        { "qwen3-1.7b", 1720574976, 0 },
        { "qwen3-4b", 4022468096, 0 },
        { "qwen3-30b-a3b-8l", 30532122624 - 40 * (uint64_t)623120640, 0 }, /* 48 layers published, 40 left out */
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct synth_tensors t;
        assert_true(synth_tensors_make(&t, shape(want[i].shape), type("Q4_K_M"), NULL));
        assert_int_equal(t.n_values, want[i].n + want[i].n_rope);
        synth_tensors_free(&t);
    }
}

static const struct synth_tensor *find(const struct synth_tensors *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->tensors[i].name, name) == 0)
            return &t->tensors[i];
    return NULL;
}

static void q4_k_m_gives_half_of_the_layers_more_bits(void **state)
{
    (void)state;
    static const int more[] = { 0, 1, 4, 7, 10, 13, 14, 15 };
    struct synth_tensors t;
    assert_true(synth_tensors_make(&t, shape("llama-3.2-1b"), type("Q4_K_M"), NULL));
    for (int layer = 0; layer < 16; layer++) {
        bool want = false;
        for (size_t i = 0; i < ARRAY_LEN(more); i++)
            want |= more[i] == layer;
        static const char *const names[] = { "attn_v", "ffn_down", "attn_q", "attn_k", "attn_output", "ffn_up",
                                             "ffn_gate" };
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            char name[48];
            snprintf(name, sizeof name, "blk.%d.%s.weight", layer, names[i]);
            assert_int_equal(find(&t, name)->dtype, want && i < 2 ? DTYPE_q6_K : DTYPE_q4_K);
        }
    }
    assert_int_equal(find(&t, "token_embd.weight")->dtype, DTYPE_q6_K); /* tied: it is the output too */
    assert_null(find(&t, "output.weight"));
    synth_tensors_free(&t);

    assert_true(synth_tensors_make(&t, shape("llama-3.1-8b"), type("Q4_K_M"), NULL));
    assert_int_equal(find(&t, "output.weight")->dtype, DTYPE_q6_K);
    synth_tensors_free(&t);
}

static void rows_are_whole_blocks_in_every_type(void **state)
{
    (void)state;
    for (const struct synth_shape *s = synth_shapes; s->name; s++) {
        for (const struct synth_type *y = synth_types; y->name; y++) {
            struct synth_tensors t;
            assert_true(synth_tensors_make(&t, s, y, NULL));
            for (int i = 0; i < t.n; i++)
                assert_int_equal(t.tensors[i].dim[0] % (uint64_t)dtype_table[t.tensors[i].dtype].n_values, 0);
            synth_tensors_free(&t);
        }
    }
}

/* ---- files ---- */

static char path[256];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "test_synth_%ld.gguf", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void write_tiny(const char *type_name, uint64_t seed, int n_threads, char **bytes, size_t *n)
{
    hearth_error err = { 0 };
    struct synth_options o = { .shape = shape("tiny"), .type = type(type_name), .seed = seed, .n_threads = n_threads };
    if (!synth_write(path, &o, NULL, &err) || !file_read(path, 64 << 20, bytes, n, &err))
        fail_msg("%s", err.message);
}

static void a_tiny_file_parses_with_the_right_shapes(void **state)
{
    (void)state;
    for (const struct synth_type *y = synth_types; y->name; y++) {
        char *bytes;
        size_t n;
        struct gguf g;
        hearth_error err = { 0 };
        write_tiny(y->name, 1, 2, &bytes, &n);
        if (!gguf_parse(&g, (const uint8_t *)bytes, n, &err))
            fail_msg("%s", err.message);
        struct synth_tensors t;
        assert_true(synth_tensors_make(&t, shape("tiny"), y, NULL));
        assert_int_equal(g.n_tensors, t.n);
        for (int i = 0; i < t.n; i++) {
            const struct gguf_tensor *in_file = gguf_find_tensor(&g, str_z(t.tensors[i].name));
            assert_non_null(in_file);
            assert_int_equal(in_file->type, dtype_table[t.tensors[i].dtype].gguf_id);
            assert_int_equal(in_file->dim[0], t.tensors[i].dim[0]);
            assert_int_equal(in_file->dim[1], t.tensors[i].dim[1]);
            assert_int_equal(in_file->dim[2], t.tensors[i].n_mats);
        }
        struct str text;
        assert_true(gguf_need_str(&g, "general.architecture", &text, NULL));
        assert_true(str_eq_z(text, "llama"));
        assert_true(gguf_need_str(&g, "tokenizer.chat_template", &text, NULL));
        synth_tensors_free(&t);
        gguf_free(&g);
        mem_free(bytes);
    }
}

static void bytes_depend_on_the_seed_and_not_on_the_threads(void **state)
{
    (void)state;
    char *one, *three, *other;
    size_t n_one, n_three, n_other;
    write_tiny("Q4_K_M", 1, 1, &one, &n_one);
    write_tiny("Q4_K_M", 1, 3, &three, &n_three);
    write_tiny("Q4_K_M", 2, 1, &other, &n_other);
    assert_int_equal(n_one, n_three);
    assert_memory_equal(one, three, n_one);
    assert_true(n_one != n_other || memcmp(one, other, n_one) != 0);
    mem_free(one);
    mem_free(three);
    mem_free(other);
}

/* Norms lie around 1, matrices around 0 with the spread that was asked for. */
static void weights_spread_as_they_should(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    struct gguf g;
    struct synth_tensors t;
    write_tiny("F16", 1, 1, &bytes, &n);
    assert_true(gguf_parse(&g, (const uint8_t *)bytes, n, NULL));
    assert_true(synth_tensors_make(&t, shape("tiny"), type("F16"), NULL));
    for (int i = 0; i < t.n; i++) {
        const struct synth_tensor *want = &t.tensors[i];
        const struct gguf_tensor *got = gguf_find_tensor(&g, str_z(want->name));
        const struct dtype_info *d = &dtype_table[want->dtype];
        double sum = 0, squares = 0;
        for (uint64_t k = 0; k < got->n_values; k++) {
            float x;
            d->to_f32(&x, got->data + k * (uint64_t)d->block_bytes);
            sum += (double)x;
            squares += ((double)x - (double)want->mean) * ((double)x - (double)want->mean);
        }
        double count = (double)got->n_values, std = (double)want->std;
        double off = sum / count - (double)want->mean;
        /* 256 values in the smallest: the mean is off by at most 5 standard errors, the spread by 30 %. */
        assert_true(off * off <= 25 * std * std / count);
        assert_true(squares / count > 0.5 * std * std && squares / count < 1.7 * std * std);
    }
    synth_tensors_free(&t);
    gguf_free(&g);
    mem_free(bytes);
}

static bool stop(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    (void)done;
    (void)total;
    return false;
}

static void an_interrupted_file_is_removed(void **state)
{
    (void)state;
    char part[300];
    hearth_error err = { 0 };
    struct synth_options o = { .shape = shape("tiny"), .type = type("Q8_0"), .seed = 1, .n_threads = 1 };
    o.progress = stop;
    assert_false(synth_write(path, &o, NULL, &err));
    assert_int_equal(err.status, HEARTH_ERR_CANCELLED);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(part, sizeof part, "%s.part", path);
    assert_int_not_equal(access(part, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vocabulary_has_its_published_size),
        cmocka_unit_test(token_lengths_are_like_those_of_real_vocabularies),
        cmocka_unit_test(control_tokens_have_their_published_ids),
        cmocka_unit_test(parameters_are_as_many_as_published),
        cmocka_unit_test(q4_k_m_gives_half_of_the_layers_more_bits),
        cmocka_unit_test(rows_are_whole_blocks_in_every_type),
        cmocka_unit_test_teardown(a_tiny_file_parses_with_the_right_shapes, remove_path),
        cmocka_unit_test_teardown(bytes_depend_on_the_seed_and_not_on_the_threads, remove_path),
        cmocka_unit_test_teardown(weights_spread_as_they_should, remove_path),
        cmocka_unit_test_teardown(an_interrupted_file_is_removed, remove_path),
    };
    return cmocka_run_group_tests(tests, make_path, NULL);
}
