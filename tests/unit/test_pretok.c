/* Text is cut where the published tokenizers cut it, in linear time. */
#include "text_fixture.h"

#include <utf8proc.h>

#include "text/pretok.h"
#include "base/utf8.h"

struct pieces {
    struct buf shown; /* pieces with a bar after each */
    uint64_t digest;  /* of all lengths, in order */
    size_t n, bytes;
    bool keep;
};

static bool collect(void *ctx, struct str piece, hearth_error *err)
{
    (void)err;
    struct pieces *p = ctx;
    assert_true(piece.len > 0);
    if (p->keep) {
        buf_put(&p->shown, piece.ptr, piece.len);
        buf_puts(&p->shown, "|");
    }
    p->digest = rng_mix(p->digest ^ piece.len);
    p->n++;
    p->bytes += piece.len;
    return true;
}

static struct pieces split(const char *name, struct str text, bool use_jit, bool keep)
{
    struct pieces p = { .keep = keep };
    struct pretok_work w = { 0 };
    hearth_error err = { 0 };
    struct pretok *pre = pretok_create(str_z(name), use_jit, &err);
    if (!pre)
        fail_msg("%s", err.message);
    if (!pretok_split(pre, &w, text, collect, &p, &err))
        fail_msg("%s", err.message);
    pretok_work_free(&w);
    pretok_destroy(pre);
    assert_int_equal(p.bytes, text.len);
    return p;
}

static void expect(const char *name, const char *text, const char *shown)
{
    struct pieces p = split(name, str_z(text), true, true);
    assert_string_equal(p.shown.ptr, shown);
    buf_free(&p.shown);
}

static void words_numbers_and_spaces_part_as_published(void **state)
{
    (void)state;
    expect("gpt-2", "Hello world's  12345!!\n\n  x", "Hello| world|'s| | 12345|!!|\n\n | x|");
    expect("llama-bpe", "Hello world'S  12345!!\n\n  x", "Hello| world|'S| | |123|45|!!\n\n| | x|");
    expect("qwen2", "Hello world'S  12345!!\n\n  x", "Hello| world|'S| | |1|2|3|4|5|!!\n\n| | x|");
    expect("starcoder", "a 12", "a| |1|2|");
    expect("gpt-4o", "HelloWorld HELLO's a/b", "Hello|World| HELLO's| a|/b|");
    expect("tekken", "HelloWorld 12's", "Hello|World| |1|2|'s|");
    expect("default", "a=1234 b", "a|=|123|4| b|");
}

/* PCRE2 counts U+180E as a space, Unicode (since 6.3) and the published tokenizers do not. */
static void space_is_unicode_s_white_space(void **state)
{
    (void)state;
    expect("gpt-2", "a\xe1\xa0\x8e" "b", "a|\xe1\xa0\x8e|b|");
    expect("gpt-2", "!\xe1\xa0\x8e", "!\xe1\xa0\x8e|");
    expect("gpt-2", "!\xc2\x85", "!|\xc2\x85|");
    expect("gpt-2", "!\xe3\x80\x80", "!|\xe3\x80\x80|");
    expect("gpt-2", "!\xc2\xa0", "!|\xc2\xa0|");
    expect("gpt-2", "!\x1c", "!\x1c|");
}

static void unknown_names_are_refused_with_the_known_ones(void **state)
{
    (void)state;
    hearth_error err = { 0 };
    assert_null(pretok_create(STR("nobody-knows"), true, &err));
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    assert_non_null(strstr(err.message, "nobody-knows"));
    assert_non_null(strstr(err.message, "llama-bpe"));
    assert_non_null(strstr(err.message, "docs/tokenizers.md")); /* the end: it is not cut short */
    char names[2048];
    pretok_names(names, sizeof names);
    assert_non_null(strstr(names, ", tekken")); /* the last */
}

/* Calls fn with each known name. */
static void each_name(void (*fn)(const char *name, struct str text), struct str text)
{
    char names[2048];
    pretok_names(names, sizeof names);
    for (char *save = NULL, *name = strtok_r(names, ", ", &save); name; name = strtok_r(NULL, ", ", &save))
        fn(name, text);
}

static void same_both_ways(const char *name, struct str text)
{
    struct pieces jit = split(name, text, true, false), plain = split(name, text, false, false);
    assert_int_equal(jit.n, plain.n);
    assert_true(jit.digest == plain.digest);
}

static void compiled_and_interpreted_patterns_cut_alike(void **state)
{
    (void)state;
    struct str text = fixture_read("text", "mixed.txt");
    each_name(same_both_ways, text);
    mem_free((void *)(uintptr_t)text.ptr);
}

enum { MEGABYTE = 1 << 20 };

/* What backtracking could turn quadratic. A match that took more steps than a fixed number
 * a byte would be refused by the limits, so passing is a proof of sorts. */
static void long_runs(const char *name, struct str unused)
{
    (void)unused;
    static const char *const units[] = { "a", "A",        " ",            "\n", " \n",     "1",
                                         "!", "\xcc\x81", "\xe6\x96\x87", "aA", "\xc2\xa0" };
    static char text[MEGABYTE + 2];
    for (size_t k = 0; k < ARRAY_LEN(units); k++) {
        size_t unit = strlen(units[k]), n = MEGABYTE / unit * unit;
        for (size_t i = 0; i < n; i++)
            text[i] = units[k][i % unit];
        text[n] = k % 2 ? 'x' : '1'; /* so that (?!\S) has to look at something */
        split(name, (struct str){ text, n }, true, false);
        struct pieces jit = split(name, (struct str){ text, n + 1 }, true, false);
        struct pieces plain = split(name, (struct str){ text, n + 1 }, false, false);
        assert_true(jit.digest == plain.digest);
    }
}

static void a_megabyte_of_one_character_is_linear(void **state)
{
    (void)state;
    int64_t start = clock_ns();
    /* One name of each pattern: what is behind the others is the same. */
    static const char *const pattern[] = {
        "default", "gpt-2",       "starcoder", "llama-bpe", "qwen2",        "qwen35",         "gpt-4o",     "tekken",
        "kimi-k2", "deepseek-v3", "falcon",    "viking",    "deepseek-llm", "deepseek-coder", "seed-coder",
        "bailingmoe",
    };
    for (size_t k = 0; k < ARRAY_LEN(pattern); k++)
        long_runs(pattern[k], STR(""));
    print_message("%zu megabytes of one character: %.0f ms\n", ARRAY_LEN(pattern) * 33, clock_ms_since(start));
}

static void nfc_is_what_utf8proc_says(void **state)
{
    (void)state;
    struct str text = fixture_read("text", "mixed.txt");
    struct buf ours = { 0 };
    assert_true(nfc_append(&ours, text));
    utf8proc_uint8_t *theirs = utf8proc_NFC((const utf8proc_uint8_t *)text.ptr);
    assert_string_equal(ours.ptr, (char *)theirs);
    free(theirs);
    buf_free(&ours);
    mem_free((void *)(uintptr_t)text.ptr);
}

/* Every character, alone and between others, so that each place to cut is a safe one. */
static void nfc_agrees_on_every_character_and_neighbour(void **state)
{
    (void)state;
    static const uint32_t around[] = { 'a',    0xc4,   0x301,  0x323, 0x1100, 0x1161, 0x11a8,
                                       0xac00, 0x304b, 0x3099, 0x915, 0x93c,  0x418,  0x306 };
    for (size_t k = 0; k < ARRAY_LEN(around); k++) {
        struct buf text = { 0 }, ours = { 0 };
        for (uint32_t c = 1; c < 0x31400; c++) {
            utf8proc_uint8_t bytes[4];
            if (c >= 0xd800 && c <= 0xdfff)
                continue;
            buf_put(&text, bytes, (size_t)utf8proc_encode_char((int32_t)around[k], bytes));
            buf_put(&text, bytes, (size_t)utf8proc_encode_char((int32_t)c, bytes));
        }
        assert_true(nfc_append(&ours, buf_str(&text)));
        utf8proc_uint8_t *theirs = utf8proc_NFC((const utf8proc_uint8_t *)text.ptr);
        assert_true(strcmp(ours.ptr, (char *)theirs) == 0);
        assert_true(!nfc_surely(buf_str(&text)));
        free(theirs);
        buf_free(&text);
        buf_free(&ours);
    }
}

/* Marks in the wrong order: utf8proc's own ordering would take 10^11 steps here. */
static void nfc_orders_a_megabyte_of_marks(void **state)
{
    (void)state;
    struct buf text = { 0 }, ours = { 0 };
    for (int i = 0; i < MEGABYTE / 4; i++)
        buf_puts(&text, "\xcc\x81\xcc\xa3"); /* above (230), below (220) */
    int64_t start = clock_ns();
    assert_true(nfc_append(&ours, buf_str(&text)));
    print_message("a megabyte of marks: %.0f ms\n", clock_ms_since(start));
    assert_int_equal(ours.len, text.len);
    assert_memory_equal(ours.ptr, "\xcc\xa3\xcc\xa3", 4);
    assert_memory_equal(ours.ptr + ours.len - 4, "\xcc\x81\xcc\x81", 4);
    buf_free(&text);
    buf_free(&ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_numbers_and_spaces_part_as_published),
        cmocka_unit_test(space_is_unicode_s_white_space),
        cmocka_unit_test(unknown_names_are_refused_with_the_known_ones),
        cmocka_unit_test(compiled_and_interpreted_patterns_cut_alike),
        cmocka_unit_test(a_megabyte_of_one_character_is_linear),
        cmocka_unit_test(nfc_is_what_utf8proc_says),
        cmocka_unit_test(nfc_agrees_on_every_character_and_neighbour),
        cmocka_unit_test(nfc_orders_a_megabyte_of_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
