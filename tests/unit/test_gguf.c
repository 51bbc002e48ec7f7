/* test_gguf.c: what the parser and the getters promise beyond single files (test_gguf_corpus.c has those). */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>

#include "dtype/dtype.h"
#include "format/gguf_limits.h"
#include "format/gguf_set.h"
#include "test_gguf_bytes.h"

/* ---- getters ---- */

static const struct {
    const char *key;
    enum gguf_type type;
    uint64_t bits; /* little endian: the first bytes are the value */
    uint64_t value;
} integers[] = {
    { "u8", GGUF_U8, 200, 200 },
    { "i8", GGUF_I8, 100, 100 },
    { "u16", GGUF_U16, 60000, 60000 },
    { "i16", GGUF_I16, 30000, 30000 },
    { "u32", GGUF_U32, 4000000000u, 4000000000u },
    { "i32", GGUF_I32, 2000000000u, 2000000000u },
    { "u64", GGUF_U64, UINT64_MAX, UINT64_MAX },
    { "i64", GGUF_I64, INT64_MAX, INT64_MAX },
};

static void any_integer_type_gives_a_uint(void **state)
{
    static const size_t width[GGUF_N_TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    struct buf b = { 0 };
    struct gguf g;
    (void)state;
    bytes_header(&b, 0, ARRAY_LEN(integers));
    for (size_t i = 0; i < ARRAY_LEN(integers); i++)
        bytes_value(&b, integers[i].key, integers[i].type, &integers[i].bits, width[integers[i].type]);
    parse_ok(&g, &b);
    for (size_t i = 0; i < ARRAY_LEN(integers); i++) {
        uint64_t v = 0;
        hearth_error err = { 0 };
        assert_true(gguf_need_uint(&g, integers[i].key, 0, UINT64_MAX, &v, &err));
        assert_true(v == integers[i].value);
        assert_true(gguf_need_uint(&g, integers[i].key, integers[i].value, integers[i].value, &v, NULL));
        assert_false(gguf_need_uint(&g, integers[i].key, 0, integers[i].value - 1, &v, &err));
        assert_int_equal(err.status, HEARTH_ERR_FORMAT);
        expect_words(&err, integers[i].key);
        expect_words(&err, "it must lie between 0 and");
    }
    gguf_free(&g);
    buf_free(&b);
}

static void negative_integers_are_out_of_every_range(void **state)
{
    static const enum gguf_type types[] = { GGUF_I8, GGUF_I16, GGUF_I32, GGUF_I64 };
    static const size_t width[] = { 1, 2, 4, 8 };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct buf b = { 0 };
        struct gguf g;
        int64_t minus_1 = -1;
        uint64_t v = 7;
        hearth_error err = { 0 };
        bytes_header(&b, 0, 1);
        bytes_value(&b, "n", types[i], &minus_1, width[i]);
        parse_ok(&g, &b);
        assert_false(gguf_uint_or(&g, "n", 0, UINT64_MAX, 5, &v, &err));
        expect_words(&err, "n is -1; it must lie between 0 and 18446744073709551615");
        assert_int_equal(v, 7);
        gguf_free(&g);
        buf_free(&b);
    }
}

/* One value of every type, for the getters to be wrong about. */
static void one_of_each(struct buf *b, struct gguf *g)
{
    float f = 0.5f;
    double d = -0.25, not_a_number = NAN;
    float infinite = INFINITY;
    uint32_t u = 9;
    uint8_t yes = 1;
    struct buf text = { 0 };
    bytes_header(b, 0, 8);
    bytes_text(&text, "some text");
    bytes_value(b, "text", GGUF_STRING, text.ptr, text.len);
    bytes_value(b, "f32", GGUF_F32, &f, sizeof f);
    bytes_value(b, "f64", GGUF_F64, &d, sizeof d);
    bytes_value(b, "nan", GGUF_F64, &not_a_number, sizeof not_a_number);
    bytes_value(b, "inf", GGUF_F32, &infinite, sizeof infinite);
    bytes_value(b, "u32", GGUF_U32, &u, sizeof u);
    bytes_value(b, "bool", GGUF_BOOL, &yes, sizeof yes);
    bytes_array(b, "array", GGUF_U32, 1, &u, sizeof u);
    parse_ok(g, b);
    buf_free(&text);
}

static void floats_must_be_finite_and_in_range(void **state)
{
    struct buf b = { 0 };
    struct gguf g;
    double x = 0;
    hearth_error err = { 0 };
    (void)state;
    one_of_each(&b, &g);
    assert_true(gguf_need_float(&g, "f32", 0, 1, &x, &err));
    assert_true(x == 0.5);
    assert_true(gguf_need_float(&g, "f64", -1, 0, &x, &err));
    assert_true(x == -0.25);
    assert_true(gguf_need_float(&g, "f32", 0.5, 0.5, &x, &err)); /* both ends belong to the range */
    assert_false(gguf_need_float(&g, "f32", 0.6, 1, &x, &err));
    expect_words(&err, "f32 is 0.5; it must lie between 0.6 and 1");
    assert_false(gguf_need_float(&g, "nan", -1e308, 1e308, &x, &err));
    assert_false(gguf_float_or(&g, "inf", -1e308, 1e308, 0, &x, &err));
    assert_false(gguf_float_or(&g, "u32", 0, 100, 0, &x, &err));
    expect_words(&err, "u32 is of type u32 where a decimal number is needed");
    assert_true(gguf_float_or(&g, "absent", 0, 1, 77, &x, &err)); /* the default is the caller's */
    assert_true(x == 77);
    gguf_free(&g);
    buf_free(&b);
}

static void a_value_of_another_type_is_an_error_that_names_both(void **state)
{
    struct buf b = { 0 };
    struct gguf g;
    uint64_t u;
    bool yes = false;
    struct str s = STR("");
    struct gguf_array a;
    hearth_error err = { 0 };
    (void)state;
    one_of_each(&b, &g);
    assert_false(gguf_need_uint(&g, "text", 0, 9, &u, &err));
    expect_words(&err, "text is of type text where a whole number is needed");
    assert_false(gguf_need_uint(&g, "f32", 0, 9, &u, &err));
    assert_false(gguf_need_uint(&g, "bool", 0, 9, &u, &err));
    assert_false(gguf_need_uint(&g, "array", 0, 9, &u, &err));
    assert_false(gguf_bool_or(&g, "u32", true, &yes, &err));
    expect_words(&err, "u32 is of type u32 where yes or no (bool) is needed");
    assert_false(gguf_need_str(&g, "array", &s, &err));
    assert_false(gguf_str_or(&g, "f64", STR("x"), &s, &err));
    expect_words(&err, "f64 is of type f64 where text is needed");
    assert_false(gguf_array_or_none(&g, "text", GGUF_STRING, 9, &a, &err));
    expect_words(&err, "text is of type text where an array is needed");
    assert_false(gguf_array_or_none(&g, "array", GGUF_F32, 9, &a, &err));
    expect_words(&err, "array is an array of u32 where f32 is needed");
    assert_false(gguf_array_or_none(&g, "array", GGUF_U32, 0, &a, &err));
    expect_words(&err, "array has 1 items, at most 0 are allowed");
    assert_true(a.n == 0 && !a.data);
    assert_true(gguf_bool_or(&g, "bool", false, &yes, &err) && yes);
    assert_true(gguf_need_str(&g, "text", &s, &err) && str_eq_z(s, "some text"));
    gguf_free(&g);
    buf_free(&b);
}

static void an_absent_key_gives_the_default_or_an_error(void **state)
{
    struct buf b = { 0 };
    struct gguf g;
    uint64_t u;
    double d;
    bool yes;
    struct str s;
    struct gguf_array a;
    hearth_error err = { 0 };
    (void)state;
    one_of_each(&b, &g);
    assert_true(gguf_uint_or(&g, "none", 1, 2, 99, &u, &err) && u == 99);
    assert_true(gguf_bool_or(&g, "none", true, &yes, &err) && yes);
    assert_true(gguf_str_or(&g, "none", STR("dflt"), &s, &err) && str_eq_z(s, "dflt"));
    assert_true(gguf_array_or_none(&g, "none", GGUF_STRING, 0, &a, &err) && a.n == 0 && !a.data);
    assert_false(gguf_need_uint(&g, "none.uint", 0, 9, &u, &err));
    expect_words(&err, "the file lacks none.uint");
    assert_false(gguf_need_float(&g, "none.float", 0, 9, &d, &err));
    assert_false(gguf_need_str(&g, "none.str", &s, &err));
    expect_words(&err, "the file lacks none.str");
    assert_false(gguf_need_str(&g, "none.str", &s, NULL));
    assert_null(gguf_find(&g, "none"));
    assert_null(gguf_find(&g, ""));
    assert_null(gguf_find_tensor(&g, STR("none")));
    gguf_free(&g);
    assert_null(gguf_find(&g, "text")); /* freed: nothing to find */
    assert_null(gguf_find_tensor(&g, STR("none")));
    buf_free(&b);
}

static void arrays_are_read_in_place(void **state)
{
    static const float f[] = { 1.5f, -2.5f, 0.0f };
    static const int32_t i[] = { -7, 0, INT32_MAX };
    struct buf b = { 0 }, texts = { 0 };
    struct gguf g;
    struct gguf_array a;
    uint64_t cursor = 0;
    (void)state;
    bytes_text(&texts, "one");
    bytes_text(&texts, "");
    bytes_text(&texts, "three");
    bytes_header(&b, 0, 5);
    bytes_array(&b, "odd", GGUF_U8, 3, "abc", 3); /* what follows is not aligned */
    bytes_array(&b, "f", GGUF_F32, 3, f, sizeof f);
    bytes_array(&b, "i", GGUF_I32, 3, i, sizeof i);
    bytes_array(&b, "u", GGUF_U32, 3, i, sizeof i);
    bytes_array(&b, "s", GGUF_STRING, 3, texts.ptr, texts.len);
    parse_ok(&g, &b);
    assert_true(gguf_array_or_none(&g, "f", GGUF_F32, 3, &a, NULL) && a.n == 3);
    for (uint64_t n = 0; n < 3; n++)
        assert_true(gguf_array_f32(&a, n) == f[n]);
    assert_true(gguf_array_or_none(&g, "i", GGUF_I32, 3, &a, NULL) && a.n == 3);
    for (uint64_t n = 0; n < 3; n++)
        assert_int_equal(gguf_array_i32(&a, n), i[n]);
    assert_true(gguf_array_or_none(&g, "u", GGUF_I32, 3, &a, NULL)); /* writers disagree on the sign */
    assert_int_equal(a.elem, GGUF_U32);
    assert_true(gguf_array_or_none(&g, "s", GGUF_STRING, 3, &a, NULL) && a.n == 3);
    assert_true(str_eq_z(gguf_array_next_str(&a, &cursor), "one"));
    assert_true(str_eq_z(gguf_array_next_str(&a, &cursor), ""));
    assert_true(str_eq_z(gguf_array_next_str(&a, &cursor), "three"));
    assert_true(cursor == a.bytes);
    gguf_free(&g);
    buf_free(&texts);
    buf_free(&b);
}

/* ---- size ---- */

/* Values of 16 MB each in memory that is only promised: the 600 MB are never touched. */
static void metadata_beyond_512_mb_is_refused(void **state)
{
    enum { STRING_BYTES = 16 << 20, N = 37 };
    size_t all = (size_t)620 << 20;
    struct gguf g;
    hearth_error err = { 0 };
    (void)state;
    uint8_t *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    for (int n_strings = 31; n_strings <= N; n_strings += 6) {
        struct buf b = { 0 };
        size_t at = 0;
        bytes_header(&b, 0, (uint64_t)n_strings);
        for (int i = 0; i < n_strings; i++) {
            char key[16];
            uint64_t n = STRING_BYTES;
            snprintf(key, sizeof key, "k%d", i);
            bytes_value(&b, key, GGUF_STRING, &n, sizeof n);
            memcpy(p + at, b.ptr, b.len);
            at += b.len + STRING_BYTES;
            buf_clear(&b);
        }
        bool ok = gguf_parse(&g, p, all, &err);
        assert_int_equal(ok, n_strings == 31); /* 31 x 16 MB fit, 37 x 16 MB do not */
        if (ok)
            gguf_free(&g);
        buf_free(&b);
    }
    expect_words(&err, "metadata value 31, at byte 5200");
    expect_words(&err, "the metadata is longer than 512 MB");
    munmap(p, all);
}

/* The same limit ends the reading of an array: 16 M strings of 4 KB would touch 64 GB of pages. */
static void an_array_of_strings_ends_at_512_mb(void **state)
{
    size_t all = (size_t)1 << 30;
    struct buf b = { 0 };
    struct gguf g;
    hearth_error err = { 0 };
    (void)state;
    uint8_t *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    bytes_header(&b, 0, 1);
    bytes_array(&b, "a", GGUF_STRING, GGUF_MAX_ARRAY_ITEMS, NULL, 0);
    memcpy(p, b.ptr, b.len);
    uint64_t n = (256 << 10) - 8;
    for (size_t at = b.len; at + 8 <= all; at += n + 8)
        memcpy(p + at, &n, sizeof n);
    assert_false(gguf_parse(&g, p, all, &err));
    expect_words(&err, "the metadata is longer than 512 MB");
    buf_free(&b);
    munmap(p, all);
}

static void as_many_values_and_tensors_as_allowed_are_read(void **state)
{
    struct buf b = { 0 };
    struct gguf g;
    (void)state;
    bytes_header(&b, GGUF_MAX_TENSORS, GGUF_MAX_VALUES);
    for (int i = 0; i < GGUF_MAX_VALUES; i++) {
        char key[16];
        uint8_t one = 1;
        snprintf(key, sizeof key, "%x", i);
        bytes_value(&b, key, GGUF_BOOL, &one, 1);
    }
    for (int i = 0; i < GGUF_MAX_TENSORS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%x", i);
        bytes_tensor(&b, name, (uint64_t)i * 32);
    }
    size_t metadata = b.len;
    bytes_pad(&b, (size_t)GGUF_MAX_TENSORS * 32);
    parse_ok(&g, &b);
    assert_int_equal(g.n_values, GGUF_MAX_VALUES);
    assert_int_equal(g.n_tensors, GGUF_MAX_TENSORS);
    assert_non_null(gguf_find(&g, "ffff"));
    assert_null(gguf_find(&g, "10000"));
    assert_ptr_equal(gguf_find_tensor(&g, STR("ffff")), &g.tensors[0xffff]);
    assert_true(g.data_bytes == (uint64_t)GGUF_MAX_TENSORS * 32);
    assert_true(g.header_bytes[0] == metadata);
    assert_false(g.has_gaps);
    assert_true(g.arena.total_bytes <= 4 * metadata + ((size_t)64 << 20));
    gguf_free(&g);
    buf_free(&b);
}

static void running_out_of_memory_is_an_error(void **state)
{
    struct buf b = { 0 };
    struct gguf g;
    hearth_error err;
    bool ok = false;
    (void)state;
    bytes_header(&b, 600, 2);
    bytes_value(&b, "a", GGUF_BOOL, "", 1);
    bytes_value(&b, "b", GGUF_BOOL, "", 1);
    for (int i = 0; i < 600; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        bytes_tensor(&b, name, (uint64_t)i * 32);
    }
    bytes_pad(&b, 600 * 32);
    for (uint64_t n = 1; !ok; n++) {
        assert_true(n < 100);
        mem_fail_at(n);
        ok = gguf_parse(&g, (const uint8_t *)b.ptr, b.len, &err);
        mem_fail_at(0);
        if (!ok) {
            assert_int_equal(err.status, HEARTH_ERR_MEMORY);
            assert_null(g.arena.chunk);
        }
    }
    gguf_free(&g);
    buf_free(&b);
}

static void a_refusal_needs_no_error_struct_and_leaves_nothing(void **state)
{
    static const struct gguf empty;
    struct gguf g;
    (void)state;
    memset(&g, 0xa5, sizeof g);
    assert_false(gguf_parse(&g, (const uint8_t *)"GGUF", 4, NULL));
    assert_ptr_equal(g.values, empty.values);
    assert_ptr_equal(g.tensors, empty.tensors);
    assert_int_equal(g.n_values, 0);
    gguf_free(&g);
    gguf_free(&g);
    assert_false(gguf_parse(&g, NULL, 0, NULL));
}

static bool gaps_of(const uint64_t *offset, uint32_t n, size_t tail, uint32_t last_type)
{
    struct buf b = { 0 };
    struct gguf g;
    bytes_header(&b, n, 0);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        bytes_tensor(&b, name, offset[i]);
    }
    if (n)
        memcpy(b.ptr + b.len - 12, &last_type, sizeof last_type);
    bytes_pad(&b, (n ? offset[n - 1] + 32 : 0) + tail);
    parse_ok(&g, &b);
    bool gaps = g.has_gaps;
    gguf_free(&g);
    buf_free(&b);
    return gaps;
}

static void unused_bytes_beyond_the_alignment_are_noticed(void **state)
{
    static const uint64_t tight[] = { 0, 32, 64 }, between[] = { 0, 64, 96 }, before[] = { 32, 64, 96 };
    (void)state;
    assert_false(gaps_of(tight, 3, 0, 0));
    assert_false(gaps_of(tight, 3, 31, 0)); /* padding of the last tensor */
    assert_true(gaps_of(tight, 3, 32, 0));
    assert_true(gaps_of(between, 3, 0, 0));
    assert_true(gaps_of(before, 3, 0, 0));
    assert_false(gaps_of(tight, 3, 500, 200)); /* how long a tensor of unknown type is, nobody knows */
    assert_false(gaps_of(tight, 0, 500, 0));
}

/* ---- types ---- */

static void every_type_we_compute_with_has_the_layout_of_the_file_format(void **state)
{
    struct gguf_type_info info;
    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        assert_true(gguf_type_info(dtype_table[t].gguf_id, &info));
        assert_true(info.block_bytes * 1024 / info.block_values == dtype_row_bytes((enum dtype)t, 1024));
    }
    assert_false(gguf_type_info(4, &info)); /* was Q4_2 */
    assert_false(gguf_type_info(UINT32_MAX, &info));
}

/* ---- split sets ---- */

static void put_number(struct buf *b, const char *key, uint32_t n) { bytes_value(b, key, GGUF_U32, &n, sizeof n); }

static struct buf make_part(uint32_t number, uint32_t count, uint32_t n_tensors, const char *prefix)
{
    struct buf b = { 0 };
    bytes_header(&b, n_tensors, 2);
    put_number(&b, "split.no", number);
    put_number(&b, "split.count", count);
    for (uint32_t i = 0; i < n_tensors; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%u.%u", prefix, number, i);
        bytes_tensor(&b, name, i * 32ull);
    }
    bytes_pad(&b, n_tensors * (size_t)32);
    return b;
}

static bool add_part(struct gguf *g, uint32_t part, const struct buf *b, hearth_error *err)
{
    return gguf_add_part(g, part, (const uint8_t *)b->ptr, b->len, err);
}

static void the_parts_of_a_set_become_one_directory(void **state)
{
    struct buf parts[3];
    struct gguf g;
    uint32_t count = 0;
    hearth_error err = { 0 };
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        parts[i] = make_part(i, 3, i + 1, "t");
    parse_ok(&g, &parts[0]);
    assert_true(gguf_split_count(&g, &count, &err));
    assert_int_equal(count, 3);
    assert_true(add_part(&g, 1, &parts[1], &err));
    assert_true(add_part(&g, 2, &parts[2], &err));
    assert_int_equal(g.n_parts, 3);
    assert_int_equal(g.n_tensors, 6);
    assert_true(g.data_bytes == 6 * 32);
    for (uint32_t i = 0; i < g.n_tensors; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        const struct buf *home = &parts[t->part];
        assert_ptr_equal(gguf_find_tensor(&g, t->name), t);
        assert_ptr_equal(t->data, (const uint8_t *)home->ptr + t->offset);
        assert_ptr_equal(g.part_bytes[t->part], home->ptr);
        assert_true(t->offset + t->bytes <= home->len && t->offset >= g.header_bytes[t->part]);
    }
    assert_int_equal(gguf_find_tensor(&g, STR("t2.2"))->part, 2);
    gguf_free(&g);
    for (int i = 0; i < 3; i++)
        buf_free(&parts[i]);
}

static void the_path_of_a_part_follows_from_the_first_one_s(void **state)
{
    (void)state;
    hearth_error err = { 0 };
    char path[64];
    assert_true(gguf_part_path(path, sizeof path, "d/m-00001-of-00012.gguf", 11, 12, &err));
    assert_string_equal(path, "d/m-00012-of-00012.gguf");
    assert_true(gguf_part_path(path, 24, "d/m-00001-of-00012.gguf", 1, 12, &err));
    assert_false(gguf_part_path(path, 23, "d/m-00001-of-00012.gguf", 1, 12, &err));
    expect_words(&err, "the path of part 2 is longer than 22 bytes");
    assert_false(gguf_part_path(path, sizeof path, "d/m-00002-of-00012.gguf", 1, 12, &err));
    expect_words(&err, "named ...-00001-of-00012.gguf");
    assert_false(gguf_part_path(path, sizeof path, "m.gguf", 1, 2, &err));
}

static void a_part_that_is_refused_leaves_the_set_as_it_was(void **state)
{
    struct buf first = make_part(0, 2, 2, "t"), good = make_part(1, 2, 2, "t"), same_names = { 0 };
    struct gguf g;
    hearth_error err = { 0 };
    (void)state;
    bytes_header(&same_names, 2, 2);
    put_number(&same_names, "split.no", 1);
    put_number(&same_names, "split.count", 2);
    bytes_tensor(&same_names, "new", 0);
    bytes_tensor(&same_names, "t0.1", 32);
    bytes_pad(&same_names, 64);
    parse_ok(&g, &first);
    assert_false(add_part(&g, 1, &same_names, &err));
    expect_words(&err, "tensor t0.1 stands in two parts");
    assert_false(add_part(&g, 2, &good, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    expect_words(&err, "where part 2 comes next");
    assert_false(add_part(&g, 0, &good, &err));
    bool ok = false;
    for (uint64_t n = 1; !ok; n++) {
        assert_int_equal(g.n_parts, 1);
        assert_int_equal(g.n_tensors, 2);
        assert_null(gguf_find_tensor(&g, STR("new")));
        assert_null(gguf_find_tensor(&g, STR("t1.0")));
        assert_non_null(gguf_find_tensor(&g, STR("t0.1")));
        assert_non_null(gguf_find(&g, "split.count"));
        mem_fail_at(n);
        ok = add_part(&g, 1, &good, &err);
        mem_fail_at(0);
        assert_true(ok || err.status == HEARTH_ERR_MEMORY);
    }
    assert_non_null(gguf_find_tensor(&g, STR("t1.1")));
    assert_int_equal(g.n_tensors, 4);
    assert_false(add_part(&g, 2, &good, &err)); /* the set is complete */
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    gguf_free(&g);
    buf_free(&first);
    buf_free(&good);
    buf_free(&same_names);
}

static void a_set_of_512_parts_takes_memory_by_its_metadata(void **state)
{
    enum { FIRST = 65000 };
    struct buf parts[GGUF_MAX_PARTS];
    struct gguf g;
    hearth_error err = { 0 };
    size_t metadata = 0;
    (void)state;
    for (uint32_t i = 0; i < GGUF_MAX_PARTS; i++)
        parts[i] = make_part(i, GGUF_MAX_PARTS, i ? 1 : FIRST, "t");
    parse_ok(&g, &parts[0]);
    for (uint32_t i = 1; i < GGUF_MAX_PARTS; i++)
        if (!add_part(&g, i, &parts[i], &err))
            fail_msg("%s", err.message);
    assert_int_equal(g.n_tensors, FIRST + GGUF_MAX_PARTS - 1);
    for (uint32_t i = 0; i < GGUF_MAX_PARTS; i++)
        metadata += g.header_bytes[i];
    print_message("%zu KB of metadata, %zu KB of memory\n", metadata >> 10, g.arena.total_bytes >> 10);
    assert_true(g.arena.total_bytes <= 4 * metadata + ((size_t)64 << 20));
    assert_non_null(gguf_find_tensor(&g, STR("t511.0")));
    gguf_free(&g);
    for (int i = 0; i < GGUF_MAX_PARTS; i++)
        buf_free(&parts[i]);
}

static void a_set_may_not_have_more_tensors_than_a_file(void **state)
{
    struct buf first = make_part(0, 2, 40000, "t"), second = make_part(1, 2, 25537, "t");
    struct buf smaller = make_part(1, 2, 25536, "t");
    struct gguf g;
    hearth_error err = { 0 };
    (void)state;
    parse_ok(&g, &first);
    assert_false(add_part(&g, 1, &second, &err));
    expect_words(&err, "the set has more than 65536 tensors");
    assert_true(add_part(&g, 1, &smaller, &err));
    assert_int_equal(g.n_tensors, GGUF_MAX_TENSORS);
    gguf_free(&g);
    buf_free(&first);
    buf_free(&second);
    buf_free(&smaller);
}

/* ---- real files ---- */

static void every_fixture_is_read(void **state)
{
    static const char *const files[] = {
        "models/stories260K-f32",      "models/tolstoy-4m-bf16",   "models/tolstoy-4m-f16",
        "models/tolstoy-4m-f32",       "models/tolstoy-4m-iq4_nl", "models/tolstoy-4m-iq4_xs",
        "models/tolstoy-4m-q2_k",      "models/tolstoy-4m-q3_k_m", "models/tolstoy-4m-q4_0",
        "models/tolstoy-4m-q4_1",      "models/tolstoy-4m-q4_k_m", "models/tolstoy-4m-q5_0",
        "models/tolstoy-4m-q5_1",      "models/tolstoy-4m-q5_k_m", "models/tolstoy-4m-q6_k",
        "models/tolstoy-4m-q8_0",      "models/tolstoy-4m-tq1_0",  "models/tolstoy-4m-tq2_0",
        "models/tolstoy-outlier-f32",  "models/tolstoy-outlier-q4_k_m", "models/tolstoy-outlier-q8_0",
        "vocab/ggml-vocab-bert-bge",   "vocab/ggml-vocab-deepseek-llm", "vocab/ggml-vocab-falcon",
        "vocab/ggml-vocab-gpt-2",      "vocab/ggml-vocab-gpt-4o",  "vocab/ggml-vocab-llama-bpe",
        "vocab/ggml-vocab-llama-spm",  "vocab/ggml-vocab-phi-3",   "vocab/ggml-vocab-qwen2",
    };
    const char *root = getenv("HEARTH_FIXTURES");
    (void)state;
    if (!root || !*root)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[512];
        struct file_map map;
        struct gguf g;
        struct str architecture;
        hearth_error err = { 0 };
        snprintf(path, sizeof path, "%s/%s.gguf", root, files[i]);
        if (!file_map(&map, path, &err) || !gguf_parse(&g, map.ptr, map.bytes, &err))
            fail_msg("%s: %s", path, err.message);
        assert_false(g.has_gaps);
        assert_true(gguf_need_str(&g, "general.architecture", &architecture, &err));
        assert_int_equal(g.n_tensors > 0, files[i][0] == 'm');
        assert_true(g.arena.total_bytes <= 4 * g.header_bytes[0] + ((size_t)64 << 20));
        gguf_free(&g);
        file_unmap(&map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_integer_type_gives_a_uint),
        cmocka_unit_test(negative_integers_are_out_of_every_range),
        cmocka_unit_test(floats_must_be_finite_and_in_range),
        cmocka_unit_test(a_value_of_another_type_is_an_error_that_names_both),
        cmocka_unit_test(an_absent_key_gives_the_default_or_an_error),
        cmocka_unit_test(arrays_are_read_in_place),
        cmocka_unit_test(metadata_beyond_512_mb_is_refused),
        cmocka_unit_test(an_array_of_strings_ends_at_512_mb),
        cmocka_unit_test(as_many_values_and_tensors_as_allowed_are_read),
        cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(a_refusal_needs_no_error_struct_and_leaves_nothing),
        cmocka_unit_test(unused_bytes_beyond_the_alignment_are_noticed),
        cmocka_unit_test(every_type_we_compute_with_has_the_layout_of_the_file_format),
        cmocka_unit_test(the_parts_of_a_set_become_one_directory),
        cmocka_unit_test(the_path_of_a_part_follows_from_the_first_one_s),
        cmocka_unit_test(a_part_that_is_refused_leaves_the_set_as_it_was),
        cmocka_unit_test(a_set_of_512_parts_takes_memory_by_its_metadata),
        cmocka_unit_test(a_set_may_not_have_more_tensors_than_a_file),
        cmocka_unit_test(every_fixture_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
