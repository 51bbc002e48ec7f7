/* Text comes out of tokens in whole characters, whatever the tokens hold. */
#include "text_fixture.h"

#include "base/utf8.h"

static const struct made_token extra[] = {
    { "<unk>", TOKEN_UNKNOWN, 0 },  { "<s>", TOKEN_CONTROL, 0 },       { "</s>", TOKEN_CONTROL, 0 },
    { "\xe2\x96\x81", TOKEN_NORMAL, -3 }, { "a", TOKEN_NORMAL, -4 }, { "\xe2\x96\x81" "a", TOKEN_NORMAL, -1 },
    { "<tool>", TOKEN_USER_DEFINED, 0 },
};
enum { UNK = 256, BOS, EOS, SPACE, A, SPACE_A, TOOL };

static void open_made(struct loaded *l)
{
    struct maker m = { 0 };
    make_spm(&m, extra, ARRAY_LEN(extra));
    make_uint(&m, "bos_token_id", BOS);
    make_uint(&m, "eos_token_id", EOS);
    make_uint(&m, "unknown_token_id", UNK);
    loaded_open(l, make_file(&m));
}

/* Bytes in as byte tokens, one at a time; text out with a bar after each push. */
static void expect(struct loaded *l, const char *bytes, const char *text)
{
    char out[64];
    struct buf all = { 0 };
    struct detok d;
    detok_init(&d, l->t, false, false);
    for (const char *p = bytes; *p; p++) {
        buf_put(&all, out, detok_push(&d, (uint8_t)*p, out, sizeof out));
        buf_puts(&all, "|");
    }
    buf_put(&all, out, detok_finish(&d, out, sizeof out));
    assert_string_equal(all.ptr, text);
    buf_free(&all);
}

#define BAD "\xef\xbf\xbd"

static void characters_come_whole(void **state)
{
    (void)state;
    struct loaded l;
    open_made(&l);
    expect(&l, "ab", "a|b|");
    expect(&l, "\xc3\xa9", "|\xc3\xa9|");
    expect(&l, "\xe2\x82\xac!", "||\xe2\x82\xac|!|");
    expect(&l, "\xf0\x9f\x98\x80", "|||\xf0\x9f\x98\x80|");
    loaded_close(&l);
}

/* The rows of Unicode's table 3-8 and around it. */
static void one_replacement_for_each_maximal_ill_formed_part(void **state)
{
    (void)state;
    struct loaded l;
    open_made(&l);
    expect(&l, "\x80", BAD "|");
    expect(&l, "\xc0\xaf", BAD "|" BAD "|");
    expect(&l, "\xe0\x80\xbf", "|" BAD BAD "|" BAD "|");
    expect(&l, "\xed\xa0\x80", "|" BAD BAD "|" BAD "|");
    expect(&l, "\xf4\x91\x92\x93\xff" "A", "|" BAD BAD "|" BAD "|" BAD "|" BAD "|A|");
    expect(&l, "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf" "A", "||" BAD "|" BAD "||" "|" BAD "||" BAD "A|");
    expect(&l, "\xf0\x9f\x98", "|||" BAD);
    expect(&l, "\xe2\x82" "A", "||" BAD "A|");
    expect(&l, "\xc3", "|" BAD);
    loaded_close(&l);
}

static void the_first_space_of_a_sequence_is_the_encoder_s_own(void **state)
{
    (void)state;
    struct loaded l;
    open_made(&l);
    static const int32_t ids[] = { BOS, SPACE_A, SPACE_A };
    for (int at_start = 0; at_start < 2; at_start++) {
        struct detok d;
        char out[64], all[64];
        size_t n = 0;
        detok_init(&d, l.t, at_start, false);
        for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
            size_t got = detok_push(&d, ids[i], out, sizeof out);
            memcpy(all + n, out, got);
            n += got;
        }
        all[n] = 0;
        assert_string_equal(all, at_start ? "a a" : " a a");
    }
    loaded_close(&l);
}

static void special_tokens_show_only_when_asked(void **state)
{
    (void)state;
    struct loaded l;
    open_made(&l);
    char scratch[4096 + 8];
    assert_int_equal(tokenizer_piece(l.t, EOS, false, scratch, sizeof scratch).len, 0);
    assert_true(str_eq_z(tokenizer_piece(l.t, EOS, true, scratch, sizeof scratch), "</s>"));
    assert_true(str_eq_z(tokenizer_piece(l.t, TOOL, false, scratch, sizeof scratch), "<tool>"));
    assert_true(str_eq_z(tokenizer_piece(l.t, SPACE_A, false, scratch, sizeof scratch), " a"));
    assert_int_equal(tokenizer_piece(l.t, -1, true, scratch, sizeof scratch).len, 0);
    assert_int_equal(tokenizer_piece(l.t, 1 << 30, true, scratch, sizeof scratch).len, 0);
    loaded_close(&l);
}

/* Random ids of a real vocabulary never make ill-formed text, and never more than the room
 * the header promises to be enough. */
static void any_tokens_make_well_formed_text(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt-2", "llama-bpe", "llama-spm" };
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        struct loaded l;
        loaded_vocab(&l, names[k]);
        struct rng r = { .key = 11 };
        struct token_list ids = { 0 };
        for (int i = 0; i < 20000; i++)
            token_list_push(&ids, (int32_t)rng_below(&r, (uint32_t)tokenizer_vocab(l.t)->n_tokens));
        struct buf text = { 0 };
        decode(l.t, &ids, true, &text);
        bool valid;
        assert_int_equal(utf8_run(buf_str(&text), 0, &valid), text.len);
        assert_true(valid);
        buf_free(&text);
        token_list_free(&ids);
        loaded_close(&l);
    }
}

/* A token of 4 KB, every byte of it ill-formed in text, is refused at load rather than
 * cut at output. */
static void a_token_that_could_outgrow_the_output_is_refused(void **state)
{
    (void)state;
    static char long_text[4097];
    memset(long_text, 0x81, sizeof long_text - 1);
    for (int k = 0; k < 3; k++) {
        size_t len = k == 0 ? 4096 : k == 1 ? 1366 : 1365;
        char text[4097];
        snprintf(text, sizeof text, "%.*s", (int)len, long_text);
        struct made_token one = { text, TOKEN_NORMAL, 0 };
        struct maker m = { 0 };
        make_spm(&m, &one, 1);
        struct str file = make_file(&m);
        struct gguf g;
        hearth_error err = { 0 };
        if (!gguf_parse(&g, (const uint8_t *)file.ptr, file.len, &err)) {
            assert_int_equal(err.status, HEARTH_ERR_FORMAT);
            mem_free((void *)(uintptr_t)file.ptr);
            continue;
        }
        struct tokenizer *t = tokenizer_create(&g, &err);
        assert_int_equal(t != NULL, k == 2);
        if (t) {
            struct detok d;
            char out[4096 + 16];
            detok_init(&d, t, false, false);
            assert_int_equal(detok_push(&d, 0xf0, out, sizeof out), 0);
            assert_int_equal(detok_push(&d, 256, out, sizeof out), 3 * (1365 + 1));
        }
        tokenizer_destroy(t);
        gguf_free(&g);
        mem_free((void *)(uintptr_t)file.ptr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_come_whole),
        cmocka_unit_test(one_replacement_for_each_maximal_ill_formed_part),
        cmocka_unit_test(the_first_space_of_a_sequence_is_the_encoder_s_own),
        cmocka_unit_test(special_tokens_show_only_when_asked),
        cmocka_unit_test(any_tokens_make_well_formed_text),
        cmocka_unit_test(a_token_that_could_outgrow_the_output_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
