/* test_gguf_write.c: what is written is read back, and what cannot be written is said. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "format/gguf_write.h"
#include "test_gguf_bytes.h"

static char path[64], part_path[80];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", "/tmp/hearth-gguf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(part_path, sizeof part_path, "%s.part", path);
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(access(part_path, F_OK), -1); /* nothing unfinished is left behind */
    return 0;
}

static struct str read_back(struct gguf *g)
{
    char *bytes;
    size_t n;
    hearth_error err = { 0 };
    if (!file_read(path, (size_t)16 << 20, &bytes, &n, &err) || !gguf_parse(g, (const uint8_t *)bytes, n, &err))
        fail_msg("%s", err.message);
    return (struct str){ bytes, n };
}

static void give_back(struct gguf *g, struct str file)
{
    gguf_free(g);
    mem_free((void *)(uintptr_t)file.ptr);
}

static void open_writer(struct gguf_writer *w)
{
    hearth_error err = { 0 };
    if (!gguf_write_open(w, path, &err))
        fail_msg("%s", err.message);
}

static void commit(struct gguf_writer *w)
{
    hearth_error err = { 0 };
    if (!gguf_write_commit(w, &err))
        fail_msg("%s", err.message);
}

static void refused(struct gguf_writer *w, const char *words)
{
    hearth_error err = { 0 };
    assert_false(gguf_write_commit(w, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    expect_words(&err, words);
}

static void put_one_of_each(struct gguf_writer *w)
{
    static const struct str texts[] = { { "one", 3 }, { "", 0 }, { "t\0o", 3 } };
    static const float floats[] = { 1.5f, -2.0f };
    static const int32_t ints[] = { -1, 7, INT32_MIN };
    gguf_put_str(w, "general.architecture", STR("llama"));
    gguf_put_u32(w, "u32", UINT32_MAX);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_f32(w, "f32", 0.25f);
    gguf_put_bool(w, "yes", true);
    gguf_put_bool(w, "no", false);
    gguf_put_str(w, "empty", STR(""));
    gguf_put_str_array(w, "texts", texts, 3);
    gguf_put_f32_array(w, "floats", floats, 2);
    gguf_put_i32_array(w, "ints", ints, 3);
    gguf_put_i32_array(w, "none", NULL, 0);
}

static void expect_one_of_each(const struct gguf *g)
{
    struct str s;
    uint64_t u, cursor = 0;
    double d;
    bool yes;
    struct gguf_array a;
    assert_int_equal(g->version, 3);
    assert_int_equal(g->n_values, 11);
    assert_true(gguf_need_str(g, "general.architecture", &s, NULL) && str_eq_z(s, "llama"));
    assert_true(gguf_need_uint(g, "u32", UINT32_MAX, UINT32_MAX, &u, NULL));
    assert_true(gguf_need_uint(g, "u64", UINT64_MAX, UINT64_MAX, &u, NULL));
    assert_true(gguf_need_float(g, "f32", 0.25, 0.25, &d, NULL));
    assert_true(gguf_bool_or(g, "yes", false, &yes, NULL) && yes);
    assert_true(gguf_bool_or(g, "no", true, &yes, NULL) && !yes);
    assert_true(gguf_need_str(g, "empty", &s, NULL) && s.len == 0);
    assert_true(gguf_array_or_none(g, "texts", GGUF_STRING, 3, &a, NULL) && a.n == 3);
    assert_true(str_eq_z(gguf_array_next_str(&a, &cursor), "one"));
    assert_int_equal(gguf_array_next_str(&a, &cursor).len, 0);
    assert_true(str_eq(gguf_array_next_str(&a, &cursor), STR("t\0o")));
    assert_true(gguf_array_or_none(g, "floats", GGUF_F32, 2, &a, NULL) && a.n == 2);
    assert_true(gguf_array_f32(&a, 1) == -2.0f);
    assert_true(gguf_array_or_none(g, "ints", GGUF_I32, 3, &a, NULL) && a.n == 3);
    assert_int_equal(gguf_array_i32(&a, 2), INT32_MIN);
    assert_true(gguf_find(g, "none") && gguf_find(g, "none")->n == 0);
}

static void every_kind_of_value_is_read_back(void **state)
{
    struct gguf_writer w;
    struct gguf g;
    (void)state;
    open_writer(&w);
    put_one_of_each(&w);
    commit(&w);
    struct str file = read_back(&g);
    expect_one_of_each(&g);
    assert_int_equal(g.n_tensors, 0);
    give_back(&g, file);
}

static void values_are_copied_from_file_to_file(void **state)
{
    struct gguf_writer w;
    struct gguf first, second;
    (void)state;
    open_writer(&w);
    put_one_of_each(&w);
    commit(&w);
    struct str a = read_back(&first);
    open_writer(&w);
    for (uint32_t i = 0; i < first.n_values; i++)
        gguf_put_value(&w, &first.values[i]);
    commit(&w);
    struct str b = read_back(&second);
    expect_one_of_each(&second);
    assert_true(str_eq(a, b));
    give_back(&first, a);
    give_back(&second, b);
}

static void tensors_are_written_in_any_order_and_piece(void **state)
{
    static const uint64_t matrix[] = { 32, 3 }, vector[] = { 5 }, block[] = { 2, 2, 2, 2 };
    struct gguf_writer w;
    struct gguf g;
    uint8_t bytes[256];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    open_writer(&w);
    gguf_put_bool(&w, "a", true);
    uint64_t q = gguf_declare_tensor(&w, "matrix", 2, 2, matrix);  /* 3 rows of 18 bytes */
    uint64_t v = gguf_declare_tensor(&w, "vector", 0, 1, vector);  /* 20 bytes */
    uint64_t n = gguf_declare_tensor(&w, "unwritten", 1, 4, block); /* 32 bytes of zeros */
    assert_true(q == 0 && v == 64 && n == 96);
    assert_true(gguf_write_data(&w, v, bytes, 20));
    assert_true(gguf_write_data(&w, q + 36, bytes + 36, 18));
    assert_true(gguf_write_data(&w, q, bytes, 36));
    commit(&w);
    struct str file = read_back(&g);
    const struct gguf_tensor *t = gguf_find_tensor(&g, STR("matrix"));
    assert_true(t && t->n_dims == 2 && t->dim[0] == 32 && t->dim[1] == 3 && t->dim[2] == 1 && t->type == 2);
    assert_memory_equal(t->data, bytes, 54);
    t = gguf_find_tensor(&g, STR("vector"));
    assert_true(t && t->bytes == 20);
    assert_memory_equal(t->data, bytes, 20);
    t = gguf_find_tensor(&g, STR("unwritten"));
    assert_true(t && t->n_dims == 4 && t->n_values == 16 && t->bytes == 32);
    for (int i = 0; i < 32; i++)
        assert_int_equal(t->data[i], 0);
    assert_false(g.has_gaps);
    assert_int_equal(file.len % 32, 0); /* the padding of the last tensor belongs to the file */
    give_back(&g, file);
}

static void keys_that_cannot_be_read_are_not_written(void **state)
{
    static const char *const bad[] = { "", "a b", "a/b", "caf\xc3\xa9" };
    struct gguf_writer w;
    char longest[258];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        open_writer(&w);
        gguf_put_bool(&w, bad[i], true);
        refused(&w, "cannot be written");
    }
    memset(longest, 'k', 257);
    for (int n = 255; n <= 256; n++) {
        longest[n] = 0;
        open_writer(&w);
        gguf_put_bool(&w, longest, true);
        if (n == 255)
            commit(&w);
        else
            refused(&w, "cannot be written");
        longest[n] = 'k';
    }
}

static void tensors_that_cannot_be_read_are_not_written(void **state)
{
    static const struct {
        const char *name;
        uint32_t type, n_dims;
        uint64_t dim[4];
    } bad[] = {
        { "row", 2, 1, { 33 } },          { "type", 4, 1, { 32 } },        { "no_dims", 0, 0, { 1 } },
        { "five", 0, 5, { 1, 1, 1, 1 } }, { "zero", 0, 2, { 4, 0 } },      { "long", 0, 1, { (1ull << 40) + 1 } },
        { "", 0, 1, { 1 } },              { "huge", 0, 4, { 1ull << 40, 1ull << 40, 1, 1 } },
    };
    struct gguf_writer w;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        open_writer(&w);
        gguf_put_bool(&w, "a", true);
        assert_true(gguf_declare_tensor(&w, bad[i].name, bad[i].type, bad[i].n_dims, bad[i].dim) == 0);
        refused(&w, "cannot be written: type");
    }
}

static void data_outside_the_declared_tensors_is_refused(void **state)
{
    static const uint64_t dim[] = { 8 };
    static const uint8_t bytes[64];
    struct gguf_writer w;
    (void)state;
    for (int i = 0; i < 3; i++) {
        static const uint64_t offset[] = { 1, 33, UINT64_MAX };
        open_writer(&w);
        gguf_declare_tensor(&w, "t", 0, 1, dim);
        assert_true(gguf_write_data(&w, 0, bytes, 32));
        assert_false(gguf_write_data(&w, offset[i], bytes, 32));
        refused(&w, "outside the 32 bytes of the declared tensors");
    }
}

static void what_comes_after_the_first_data_is_refused(void **state)
{
    static const uint64_t dim[] = { 8 };
    static const uint8_t bytes[32];
    struct gguf_writer w;
    (void)state;
    for (int tensor = 0; tensor < 2; tensor++) {
        open_writer(&w);
        gguf_declare_tensor(&w, "t", 0, 1, dim);
        assert_true(gguf_write_data(&w, 0, bytes, 32));
        if (tensor)
            gguf_declare_tensor(&w, "late", 0, 1, dim);
        else
            gguf_put_bool(&w, "late", true);
        refused(&w, "late");
    }
}

static bool write_a_file(hearth_error *err)
{
    static const uint64_t dim[] = { 8 };
    static const uint8_t bytes[32];
    struct gguf_writer w;
    if (!gguf_write_open(&w, path, err))
        return false;
    put_one_of_each(&w);
    gguf_declare_tensor(&w, "t", 0, 1, dim);
    gguf_write_data(&w, 0, bytes, 16); /* the rest of the tensor reads as zeros */
    return gguf_write_commit(&w, err);
}

static void a_failure_at_any_point_leaves_the_old_file(void **state)
{
    struct gguf_writer w;
    struct gguf g;
    (void)state;
    for (int io = 0; io < 2; io++) {
        bool ok = false;
        open_writer(&w);
        gguf_put_bool(&w, "old", true);
        commit(&w);
        for (uint64_t n = 1; !ok; n++) {
            hearth_error err = { 0 };
            assert_true(n < 200);
            mem_fail_at(io ? 0 : n);
            file_fail_at(io ? n : 0);
            ok = write_a_file(&err);
            mem_fail_at(0);
            file_fail_at(0);
            assert_int_equal(access(part_path, F_OK), -1);
            struct str file = read_back(&g);
            assert_int_equal(gguf_find(&g, "old") == NULL, ok);
            give_back(&g, file);
            if (!ok)
                assert_int_equal(err.status, io ? HEARTH_ERR_IO : HEARTH_ERR_MEMORY);
        }
    }
}

static void a_writer_given_up_leaves_nothing(void **state)
{
    struct gguf_writer w;
    (void)state;
    open_writer(&w);
    put_one_of_each(&w);
    assert_int_equal(access(part_path, F_OK), 0);
    gguf_write_abort(&w);
    assert_int_equal(access(part_path, F_OK), -1);
    hearth_error err = { 0 };
    assert_false(gguf_write_open(&w, "/nonexistent/folder/file.gguf", &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_value_is_read_back, make_path, remove_path),
        cmocka_unit_test_setup_teardown(values_are_copied_from_file_to_file, make_path, remove_path),
        cmocka_unit_test_setup_teardown(tensors_are_written_in_any_order_and_piece, make_path, remove_path),
        cmocka_unit_test_setup_teardown(keys_that_cannot_be_read_are_not_written, make_path, remove_path),
        cmocka_unit_test_setup_teardown(tensors_that_cannot_be_read_are_not_written, make_path, remove_path),
        cmocka_unit_test_setup_teardown(data_outside_the_declared_tensors_is_refused, make_path, remove_path),
        cmocka_unit_test_setup_teardown(what_comes_after_the_first_data_is_refused, make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_failure_at_any_point_leaves_the_old_file, make_path, remove_path),
        cmocka_unit_test_setup_teardown(a_writer_given_up_leaves_nothing, make_path, remove_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
