/* WordPiece, Unigram and merges of characters give the ids of independent implementations for 10,000 random strings and
 * the fixtures' texts: tests/golden/tokens/random.tsv, made by tools/golden_unigram.py and golden_ranked.py. */
#include "random_texts.h"

static void digest_of(const struct tokenizer *t, const struct texts *texts, char out[65])
{
    struct sha256 *sha = sha256_new();
    struct buf line = { 0 };
    assert_non_null(sha);
    for (size_t i = 0; i < texts->n; i++) {
        struct token_list ids = encode(t, text_of(texts, i), false, true);
        buf_clear(&line);
        for (size_t k = 0; k < ids.n; k++)
            buf_printf(&line, "%s%d", k ? " " : "", (int)ids.ids[k]);
        buf_puts(&line, "\n");
        sha256_add(sha, line.ptr, line.len);
        token_list_free(&ids);
    }
    sha256_hex(sha, out);
    sha256_free(sha);
    buf_free(&line);
}

static void golden_vocab(struct loaded *l, const char *name)
{
    char path[512], *bytes;
    struct str s = { NULL, 0 };
    hearth_error err = { 0 };
    snprintf(path, sizeof path, "%s/tokens/ok_%s.gguf", HEARTH_GOLDEN_DIR, name);
    if (!file_read(path, 1 << 20, &bytes, &s.len, &err))
        fail_msg("%s", err.message);
    s.ptr = bytes;
    loaded_open(l, s);
}

static void check(const char *name, bool fixture)
{
    struct loaded l;
    char digest[65];
    if (fixture)
        loaded_vocab(&l, name);
    else
        golden_vocab(&l, name);
    struct texts *made = made_texts();
    digest_of(l.t, made, digest);
    expect_golden(HEARTH_GOLDEN_DIR "/tokens/random.tsv", name, 1, digest);
    texts_free(made);
    if (getenv("HEARTH_FIXTURES")) {
        struct texts *given = given_texts();
        digest_of(l.t, given, digest);
        expect_golden(HEARTH_GOLDEN_DIR "/tokens/random.tsv", name, 2, digest);
        texts_free(given);
    }
    loaded_close(&l);
}

static void wordpiece_is_as_published(void **state)
{
    (void)state;
    check("bert-bge", true);
}

static void unigram_with_a_charsmap_is_sentencepiece_s(void **state)
{
    (void)state;
    check("ugm", false);
}

static void unigram_with_byte_tokens_is_sentencepiece_s(void **state)
{
    (void)state;
    check("ugm_bytes", false);
}

static void characters_join_by_merges_as_published(void **state)
{
    (void)state;
    check("ranked", false);
}

static void merges_of_characters_must_be_there(void **state)
{
    (void)state;
    struct maker m = { 0 };
    struct gguf g;
    hearth_error err = { 0 };
    make_str(&m, "model", "gemma4");
    make_array(&m, "tokens", GGUF_STRING, 1);
    make_text(&m.values, STR("a"));
    struct str file = make_file(&m);
    assert_true(gguf_parse(&g, (const uint8_t *)file.ptr, file.len, &err));
    assert_null(tokenizer_create(&g, &err));
    assert_non_null(strstr(err.message, "merges is missing"));
    gguf_free(&g);
    mem_free((void *)(uintptr_t)file.ptr);
}

enum { MEGABYTE = 1 << 20 };

static void a_megabyte_of_anything_is_no_trouble(void **state)
{
    (void)state;
    static char text[MEGABYTE];
    static const char *const names[] = { "ugm", "ugm_bytes", "ranked" };
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        struct loaded l;
        double ms[3];
        golden_vocab(&l, names[k]);
        for (int kind = 0; kind < 3; kind++) {
            struct rng r = { .key = 3 };
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = kind == 0 ? 'a' : kind == 1 ? ' ' : (char)rng_below(&r, 256);
            int64_t start = clock_ns();
            struct token_list ids = encode(l.t, (struct str){ text, sizeof text }, false, true);
            ms[kind] = clock_ms_since(start);
            assert_true(ids.n <= sizeof text + 8);
            token_list_free(&ids);
        }
        print_message("%-10s 1 MB of a: %.0f ms, of spaces: %.0f ms, of random bytes: %.0f ms\n", names[k], ms[0],
                      ms[1], ms[2]);
        loaded_close(&l);
    }
}

/* What is not UTF-8 stays where there are byte tokens, and is one unknown token where there are none. */
static void unigram_takes_any_bytes(void **state)
{
    (void)state;
    struct loaded l;
    golden_vocab(&l, "ugm_bytes");
    struct buf back = { 0 };
    struct token_list ids = encode(l.t, STR("war\xff\xfe and \xe6\x96\x87"), false, true);
    decode(l.t, &ids, true, &back);
    assert_string_equal(back.ptr, "war\xef\xbf\xbd\xef\xbf\xbd and \xe6\x96\x87");
    token_list_free(&ids);
    loaded_close(&l);
    golden_vocab(&l, "ugm");
    ids = encode(l.t, STR("\xff\xfe\xfd"), false, false);
    assert_int_equal(ids.n, 1);
    assert_int_equal(ids.ids[0], 0);
    token_list_free(&ids);
    buf_free(&back);
    loaded_close(&l);
}

static void put_charsmap(struct maker *m, const char *bytes, size_t n)
{
    make_array(m, "precompiled_charsmap", GGUF_U8, n);
    buf_put(&m->values, bytes, n);
}

/* A file with one token and this charsmap; NULL when it is refused. */
static struct tokenizer *with_charsmap(struct gguf *g, struct str *file, const char *bytes, size_t n, hearth_error *err)
{
    struct maker m = { 0 };
    make_str(&m, "model", "t5");
    make_array(&m, "tokens", GGUF_STRING, 2);
    make_text(&m.values, STR("<unk>"));
    make_text(&m.values, STR("a"));
    make_array(&m, "scores", GGUF_F32, 2);
    make_u32(&m.values, 0);
    make_u32(&m.values, 0);
    put_charsmap(&m, bytes, n);
    *file = make_file(&m);
    assert_true(gguf_parse(g, (const uint8_t *)file->ptr, file->len, err));
    return tokenizer_create(g, err);
}

static void damaged_charsmaps_are_refused_or_harmless(void **state)
{
    (void)state;
    static char longer[4 + 4 + 66] = { 4 };
    memset(longer + 8, 'x', 65);
    static const struct {
        const char *bytes;
        size_t n;
        const char *says; /* NULL: loads */
    } tries[] = {
        { "\4\0\0", 3, "a table of 0" },
        { "\3\0\0\0aaa\0", 8, "a table of 3" },
        { "\377\377\377\177aaaa", 8, "the file is damaged" },
        { "\4\0\0\0aaaa", 8, "does not end with a 0" },
        { "\4\0\0\0aaaax", 9, "does not end with a 0" },
        { longer, sizeof longer, "at most 64" },
        { "\4\0\0\0\377\377\377\377\0", 9, NULL }, /* offsets that lead out of the table */
        { "\10\0\0\0\0\0\0\0a\377\377\377\0", 13, NULL },
    };
    for (size_t k = 0; k < ARRAY_LEN(tries); k++) {
        struct gguf g;
        struct str file;
        hearth_error err = { 0 };
        struct tokenizer *t = with_charsmap(&g, &file, tries[k].bytes, tries[k].n, &err);
        assert_int_equal(t == NULL, tries[k].says != NULL);
        if (!t && !strstr(err.message, tries[k].says))
            fail_msg("\"%s\" does not say \"%s\"", err.message, tries[k].says);
        if (t) {
            struct token_list ids = encode(t, STR("aAa\xff"), false, false);
            token_list_free(&ids);
        }
        tokenizer_destroy(t);
        gguf_free(&g);
        mem_free((void *)(uintptr_t)file.ptr);
    }
}

/* A small WordPiece vocabulary in one of the two conventions. */
static void wordpiece(const char *const *tokens, size_t n, const char *name, const char *text, const char *shown)
{
    struct maker m = { 0 };
    make_str(&m, "model", "bert");
    make_array(&m, "tokens", GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        make_text(&m.values, str_z(tokens[i]));
    make_uint(&m, "unknown_token_id", 0);
    struct loaded l;
    loaded_open(&l, make_file(&m));
    assert_string_equal(tokenizer_name(l.t), name);
    struct token_list ids = encode(l.t, str_z(text), false, true);
    struct buf got = { 0 }, back = { 0 };
    for (size_t i = 0; i < ids.n; i++)
        buf_printf(&got, "%s%d", i ? " " : "", (int)ids.ids[i]);
    decode(l.t, &ids, true, &back);
    buf_printf(&got, ": %s", back.ptr);
    assert_string_equal(got.ptr, shown);
    buf_free(&got);
    buf_free(&back);
    token_list_free(&ids);
    loaded_close(&l);
}

static void wordpiece_conventions_are_told_by_the_tokens(void **state)
{
    (void)state;
    static const char *const marks[] = { "[UNK]", "\xe2\x96\x81go", "ing", "\xe2\x96\x81!" };
    static const char *const hashes[] = { "[UNK]", "go", "##ing", "!" };
    static const char *const cased[] = { "[UNK]", "Go", "##ing", "!", "caf\xc3\xa9" };
    static const char *const accents[] = { "[UNK]", "go", "##ing", "!", "caf\xc3\xa9" };
    wordpiece(marks, 4, "bert (WordPiece, uncased)", "G\xc3\xb2ing! ing go", "1 2 3 0 1: going ![UNK] go");
    wordpiece(hashes, 4, "bert (WordPiece, uncased)", "G\xc3\xb2ing! ing go", "1 2 3 0 1: going ! [UNK] go");
    wordpiece(cased, 5, "bert (WordPiece, cased)", "Going! go caf\xc3\xa9", "1 2 3 0 4: Going ! [UNK] caf\xc3\xa9");
    wordpiece(accents, 5, "bert (WordPiece, uncased, with accents)", "GOING CAF\xc3\x89", "1 2 4: going caf\xc3\xa9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordpiece_is_as_published),
        cmocka_unit_test(unigram_with_a_charsmap_is_sentencepiece_s),
        cmocka_unit_test(unigram_with_byte_tokens_is_sentencepiece_s),
        cmocka_unit_test(characters_join_by_merges_as_published),
        cmocka_unit_test(merges_of_characters_must_be_there),
        cmocka_unit_test(a_megabyte_of_anything_is_no_trouble),
        cmocka_unit_test(unigram_takes_any_bytes),
        cmocka_unit_test(damaged_charsmaps_are_refused_or_harmless),
        cmocka_unit_test(wordpiece_conventions_are_told_by_the_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
