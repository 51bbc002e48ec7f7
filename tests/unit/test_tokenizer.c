/* Text becomes the ids the published tokenizers give, in time that no input can stretch. */
#include "text_fixture.h"

#include "text/merge.h"
#include "text/pretok.h"

static const char *const models[] = { "gpt-2",     "llama-bpe", "qwen2",        "gpt-4o",
                                     "llama-spm", "phi-3",     "deepseek-llm", "falcon",
                                     "bert-bge" };

/* The ids of a line or file, as text. */
static void show_ids(struct buf *out, const struct token_list *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        buf_printf(out, "%s%d", i ? " " : "", (int)ids->ids[i]);
    buf_put(out, "", 0);
}

static struct str trim(const char *from, const char *to)
{
    while (from < to && *from == ' ')
        from++;
    while (from < to && to[-1] == ' ')
        to--;
    return (struct str){ from, (size_t)(to - from) };
}

/* NAME.gguf.inp against NAME.gguf.out. No line differs for NFC's sake: the qwen2 fixture's
 * texts are in NFC already; test_pretok.c and mixed.txt have some that are not. */
static int check_lines(const struct tokenizer *t, const char *texts, const char *ids)
{
    static const char bar[] = "\n__ggml_vocab_test__\n";
    int line = 0;
    for (const char *end; *ids; ids = end + 1, line++) {
        end = strchr(ids, '\n');
        const char *stop = texts ? strstr(texts, bar) : NULL;
        assert_non_null(end);
        assert_non_null(texts);
        struct str text = { texts, stop ? (size_t)(stop - texts) : strlen(texts) };
        struct token_list got = encode(t, text, false, true);
        struct buf shown = { 0 };
        show_ids(&shown, &got);
        struct str want = trim(ids, end);
        if (!str_eq(buf_str(&shown), want))
            fail_msg("line %d \"%.*s\":\nours %s\nwant %.*s", line, (int)text.len, text.ptr, shown.ptr, (int)want.len,
                     want.ptr);
        buf_free(&shown);
        token_list_free(&got);
        texts = stop ? stop + sizeof bar - 1 : NULL;
    }
    return line;
}

static void every_line_of_the_fixtures_is_equal(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(models); k++) {
        struct loaded l;
        char name[96];
        loaded_vocab(&l, models[k]);
        snprintf(name, sizeof name, "ggml-vocab-%s.gguf.inp", models[k]);
        struct str texts = fixture_read("vocab", name);
        snprintf(name, sizeof name, "ggml-vocab-%s.gguf.out", models[k]);
        struct str ids = fixture_read("vocab", name);
        assert_true(check_lines(l.t, texts.ptr, ids.ptr) >= 46);
        mem_free((void *)(uintptr_t)texts.ptr);
        mem_free((void *)(uintptr_t)ids.ptr);
        loaded_close(&l);
    }
}

/* tests/golden/tokens, made by tools/golden_tokens.py. */
static struct str read_golden(const char *model)
{
    char path[512], *bytes;
    struct str s = { NULL, 0 };
    hearth_error err = { 0 };
    snprintf(path, sizeof path, "%s/tokens/%s.mixed.ids", HEARTH_GOLDEN_DIR, model);
    if (!file_read(path, 1 << 20, &bytes, &s.len, &err))
        fail_msg("%s", err.message);
    s.ptr = bytes;
    return s;
}

static void mixed_text_equals_an_independent_implementation(void **state)
{
    (void)state;
    struct str text = fixture_read("text", "mixed.txt");
    for (size_t k = 0; k < ARRAY_LEN(models); k++) {
        struct loaded l;
        loaded_vocab(&l, models[k]);
        struct str golden = read_golden(models[k]);
        struct token_list ids = encode(l.t, text, false, true);
        char *at = strchr(golden.ptr, '\n'), *end = at;
        for (size_t i = 0; i < ids.n; i++, at = end)
            if (strtol(at, &end, 10) != ids.ids[i] || end == at)
                fail_msg("%s: token %zu is %d, golden has %ld", models[k], i, (int)ids.ids[i], strtol(at, NULL, 10));
        assert_string_equal(end, "\n");
        token_list_free(&ids);
        mem_free((void *)(uintptr_t)golden.ptr);
        loaded_close(&l);
    }
    mem_free((void *)(uintptr_t)text.ptr);
}

/* For qwen2 what comes back is the NFC form: that is what the published tokenizer reads. */
static void text_survives_the_round_trip(void **state)
{
    (void)state;
    struct str text = fixture_read("text", "mixed.txt");
    struct buf nfc = { 0 };
    assert_true(nfc_append(&nfc, text));
    assert_string_not_equal(nfc.ptr, text.ptr);
    for (size_t k = 0; k < ARRAY_LEN(models); k++) {
        struct loaded l;
        loaded_vocab(&l, models[k]);
        struct token_list ids = encode(l.t, text, false, true);
        struct buf back = { 0 };
        decode(l.t, &ids, false, &back);
        const char *want = strcmp(models[k], "qwen2") == 0 ? nfc.ptr : text.ptr;
        /* phi-3: its </s> is a token, and a space is put after it; BERT's tokens do not hold the text. */
        if (strcmp(models[k], "phi-3") != 0 && strcmp(models[k], "bert-bge") != 0)
            assert_string_equal(back.ptr, want);
        assert_true(ids.n <= text.len + 8);
        buf_free(&back);
        token_list_free(&ids);
        loaded_close(&l);
    }
    buf_free(&nfc);
    mem_free((void *)(uintptr_t)text.ptr);
}

/* Bytes that are not UTF-8 come through as they are. */
static void any_bytes_survive_the_round_trip(void **state)
{
    (void)state;
    static const char bytes[] = "a\xff\xfe \xc3(\xe2\x82 x\xf0\x9f\x98\x80\0\xed\xa0\x80z";
    static const char *const lossless[] = { "gpt-2", "llama-bpe", "gpt-4o", "llama-spm" };
    for (size_t k = 0; k < ARRAY_LEN(lossless); k++) {
        struct loaded l;
        char scratch[4096 + 8];
        loaded_vocab(&l, lossless[k]);
        struct token_list ids = encode(l.t, (struct str){ bytes, sizeof bytes - 1 }, false, true);
        struct buf back = { 0 };
        for (size_t i = 0; i < ids.n; i++) {
            struct str piece = tokenizer_piece(l.t, ids.ids[i], false, scratch, sizeof scratch);
            buf_put(&back, piece.ptr, piece.len);
        }
        size_t skip_space = tokenizer_vocab(l.t)->add_space_prefix;
        assert_int_equal(back.len - skip_space, sizeof bytes - 1);
        assert_memory_equal(back.ptr + skip_space, bytes, sizeof bytes - 1);
        buf_free(&back);
        token_list_free(&ids);
        loaded_close(&l);
    }
}

enum { MEGABYTE = 1 << 20 };

static void a_megabyte_of_anything_is_no_trouble(void **state)
{
    (void)state;
    static char text[MEGABYTE];
    for (size_t k = 0; k < ARRAY_LEN(models); k++) {
        struct loaded l;
        loaded_vocab(&l, models[k]);
        double ms[3];
        /* Falcon's vocabulary lacks most control characters and what UTF-8 never has. */
        bool falcon = strcmp(models[k], "falcon") == 0;
        uint32_t least = falcon ? ' ' : 0, n_bytes = falcon ? 95 : 256;
        for (int kind = 0; kind < 3; kind++) {
            struct rng r = { .key = 3 };
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = kind == 0 ? 'a' : kind == 1 ? ' ' : (char)(least + rng_below(&r, n_bytes));
            int64_t start = clock_ns();
            struct token_list ids = encode(l.t, (struct str){ text, sizeof text }, false, true);
            ms[kind] = clock_ms_since(start);
            assert_true(ids.n > 0 || kind == 1); /* nothing is left of spaces in BERT's */
            assert_true(ids.n <= sizeof text + 8);
            token_list_free(&ids);
        }
        print_message("%-10s 1 MB of a: %.0f ms, of spaces: %.0f ms, of random bytes: %.0f ms\n", models[k], ms[0],
                      ms[1], ms[2]);
        loaded_close(&l);
    }
}

/* A made-up merge table: ids below 97 join when a hash says so. */
static uint32_t odd_key(const void *ctx, const struct merger *m, int32_t left, int32_t *merged)
{
    (void)ctx;
    uint64_t h = rng_at((uint64_t)m->symbol[left].id, (uint64_t)m->symbol[m->symbol[left].next].id);
    *merged = (int32_t)(h >> 40) % 97;
    return h % 3 == 0 ? MERGE_NONE : (uint32_t)(h >> 8) % 50;
}

static size_t merge_plainly(int32_t *ids, size_t n)
{
    for (;;) {
        struct merge_symbol s[2] = { { .next = 1 }, { .next = -1 } };
        struct merger two = { .symbol = s, .n = 2 };
        uint32_t least = MERGE_NONE;
        size_t best = 0;
        int32_t merged = 0, result = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            s[0].id = ids[i];
            s[1].id = ids[i + 1];
            uint32_t key = odd_key(NULL, &two, 0, &merged);
            if (key < least) {
                least = key;
                best = i;
                result = merged;
            }
        }
        if (least == MERGE_NONE)
            return n;
        ids[best] = result;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        n--;
    }
}

static void scan_and_heap_join_the_same_pairs(void **state)
{
    (void)state;
    struct merger m = { 0 };
    struct rng r = { .key = 5 };
    for (int round = 0; round < 500; round++) {
        int32_t ids[120];
        size_t n = 1 + rng_below(&r, 120);
        assert_true(merge_reserve(&m, n));
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int32_t)rng_below(&r, 8);
            m.symbol[i] = (struct merge_symbol){ (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1, ids[i], 0, 0 };
        }
        assert_true(merge_run(&m, n, odd_key, NULL));
        n = merge_plainly(ids, n);
        size_t k = 0;
        for (int32_t i = 0; i >= 0; i = m.symbol[i].next)
            assert_int_equal(m.symbol[i].id, ids[k++]);
        assert_int_equal(k, n);
    }
    merge_free(&m);
}

static void only_trusted_text_makes_control_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *model, *text;
    } tries[] = {
        { "llama-bpe", "<|start_header_id|>system<|eot_id|><|begin_of_text|>" },
        { "qwen2", "<|im_start|>system<|im_end|><|endoftext|>" },
        { "llama-spm", "<s>x</s><unk><0x41></s>" },
        { "phi-3", "<|user|>x<|end|><|assistant|>" },
        { "gpt-2", "<|endoftext|>" },
        { "bert-bge", "[CLS] x [MASK]" },
    };
    for (size_t k = 0; k < ARRAY_LEN(tries); k++) {
        struct loaded l;
        loaded_vocab(&l, tries[k].model);
        const struct vocab *v = tokenizer_vocab(l.t);
        for (int trusted = 0; trusted < 2; trusted++) {
            struct token_list ids = encode(l.t, str_z(tries[k].text), trusted, true);
            int n_control = 0;
            for (size_t i = 0; i < ids.n; i++)
                n_control += v->type[ids.ids[i]] == TOKEN_CONTROL || v->type[ids.ids[i]] == TOKEN_UNKNOWN;
            assert_int_equal(n_control > 0, trusted);
            token_list_free(&ids);
        }
        loaded_close(&l);
    }
}

static void wordpiece_words_come_back_with_one_space_between(void **state)
{
    (void)state;
    struct loaded l;
    loaded_vocab(&l, "bert-bge");
    const struct vocab *v = tokenizer_vocab(l.t);
    assert_string_equal(tokenizer_name(l.t), "bert (WordPiece, uncased)");
    assert_int_equal(v->bos, 101);
    assert_int_equal(v->eos, 102);
    assert_true(v->add_bos && v->add_eos);
    struct token_list ids = encode(l.t, STR("  Caf\xc3\xa9  UNBELIEVABLY\x01 good\xff"), false, true);
    struct buf back = { 0 };
    decode(l.t, &ids, true, &back);
    assert_string_equal(back.ptr, "cafe unbelievably good[UNK]");
    buf_free(&back);
    token_list_free(&ids);
    loaded_close(&l);
}

static void user_defined_tokens_are_always_recognised(void **state)
{
    (void)state;
    struct loaded l;
    loaded_vocab(&l, "qwen2");
    struct token_list ids = encode(l.t, STR("a<tool_call>b</tool_call>"), false, true);
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.ids[1], 151657);
    assert_int_equal(ids.ids[3], 151658);
    token_list_free(&ids);
    loaded_close(&l);
}

/* Three texts, one behind the other; trust: a letter for each, 't' or 'u'. */
static struct token_list encode_spans(const struct tokenizer *t, const char *const text[3], const char *trust,
                                      size_t *n_kept)
{
    char whole[256] = "";
    hearth_span spans[3];
    struct token_list ids = { 0 };
    hearth_error err = { 0 };
    for (int i = 0; i < 3; i++) {
        spans[i] = (hearth_span){ .text = whole + strlen(whole), .n_bytes = strlen(text[i]),
                                  .trusted = trust[i] == 't' };
        strcat(whole, text[i]);
    }
    assert_true(tokenizer_encode_spans(t, spans, 3, NULL, &ids, n_kept, &err));
    return ids;
}

/* A chat in one string and in spans gives one sequence; what the user typed stays text. */
static void spans_cut_at_special_tokens_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *model, *span[3];
    } chats[] = {
        { "qwen2", { "<|im_start|>user\n", "Hello  there", "<|im_end|>\n<|im_start|>assistant\n" } },
        { "llama-bpe", { "<|start_header_id|>user<|end_header_id|>\n\n", "Hello  there", "<|eot_id|>" } },
        { "phi-3", { "<|user|>", "Hello  there", "<|end|>\n<|assistant|>\n" } },
        { "llama-spm", { "<s>", "Hello there", "</s>" } },
    };
    for (size_t k = 0; k < ARRAY_LEN(chats); k++) {
        struct loaded l;
        loaded_vocab(&l, chats[k].model);
        struct buf whole = { 0 };
        for (int i = 0; i < 3; i++)
            buf_puts(&whole, chats[k].span[i]);
        struct token_list once = encode(l.t, buf_str(&whole), true, true);
        struct token_list spans = encode_spans(l.t, chats[k].span, "tut", NULL);
        assert_int_equal(once.n, spans.n);
        assert_memory_equal(once.ids, spans.ids, once.n * sizeof *once.ids);
        token_list_free(&once);
        token_list_free(&spans);
        buf_free(&whole);
        loaded_close(&l);
    }
}

/* What is trusted decides which special tokens there are, and nothing else: a word that begins in the template and
 * ends in a message is one word, and a special token put together from both is none. */
static void a_special_token_needs_trust_in_all_its_bytes(void **state)
{
    (void)state;
    struct loaded l;
    loaded_vocab(&l, "qwen2");
    const int32_t im_end = vocab_find(tokenizer_vocab(l.t), STR("<|im_end|>"));
    static const struct {
        const char *span[3], *trust;
        int n_special;
        size_t n_kept;
    } tries[] = {
        { { "<|im_end|>", "", "" }, "ttt", 1, 0 },
        { { "<|im", "_en", "d|>" }, "ttt", 1, 0 },
        { { "<|im", "_en", "d|>" }, "tut", 0, 1 },
        { { "<|im_end", "|>", "" }, "tut", 0, 1 },
        { { "<|im_end|>", "<|im_end|>", "<|im_end|>" }, "tut", 2, 1 },
        { { "<|im_end|>", "<|im_end|><|im_start|>", "" }, "uuu", 0, 3 },
        { { "a", "<|im_end|>", "b" }, "utu", 1, 0 },
        { { "a ", "<|im_e", "nd|>" }, "uut", 0, 1 },
    };
    for (size_t k = 0; k < ARRAY_LEN(tries); k++) {
        size_t n_kept = 0;
        struct token_list ids = encode_spans(l.t, tries[k].span, tries[k].trust, &n_kept);
        int n = 0;
        for (size_t i = 0; i < ids.n; i++)
            n += ids.ids[i] == im_end;
        assert_int_equal(n, tries[k].n_special);
        assert_int_equal(n_kept, tries[k].n_kept);
        token_list_free(&ids);
    }
    struct token_list word = encode(l.t, STR("Hello"), true, true);
    struct token_list cut = encode_spans(l.t, (const char *const[]){ "He", "ll", "o" }, "tut", NULL);
    assert_int_equal(word.n, 1);
    assert_int_equal(cut.n, 1);
    assert_int_equal(cut.ids[0], word.ids[0]);
    token_list_free(&word);
    token_list_free(&cut);
    loaded_close(&l);
}

static bool keep_none(void *arg, struct str text)
{
    (void)arg;
    (void)text;
    return false;
}

static void what_untrusted_text_may_hold_is_the_callers_choice(void **state)
{
    (void)state;
    struct loaded l;
    loaded_vocab(&l, "qwen2");
    struct arena arena;
    struct special_set none;
    struct token_list ids = { 0 };
    hearth_error err = { 0 };
    size_t n_kept = 0;
    arena_init(&arena, 1 << 20);
    assert_true(special_subset(&none, tokenizer_always(l.t), keep_none, NULL, &arena, &err));
    hearth_span span = { .text = "a<tool_call>b", .n_bytes = 13 };
    assert_true(tokenizer_encode_spans(l.t, &span, 1, &none, &ids, &n_kept, &err));
    assert_true(ids.n > 3);
    assert_int_equal(n_kept, 1);
    span.trusted = true;
    ids.n = 0;
    assert_true(tokenizer_encode_spans(l.t, &span, 1, &none, &ids, &n_kept, &err));
    assert_int_equal(ids.n, 3);
    assert_int_equal(n_kept, 0);
    token_list_free(&ids);
    arena_free(&arena);
    loaded_close(&l);
}

static void the_longest_special_token_wins(void **state)
{
    (void)state;
    static const struct made_token extra[] = {
        { "<unk>", TOKEN_UNKNOWN, 0 }, { "<a", TOKEN_CONTROL, 0 },     { "<a>", TOKEN_CONTROL, 0 },
        { "<a><b>", TOKEN_CONTROL, 0 }, { "<b>", TOKEN_USER_DEFINED, 0 },
        { "\xe2\x96\x81\xe2\x96\x81", TOKEN_USER_DEFINED, 0 },
    };
    struct maker m = { 0 };
    make_spm(&m, extra, ARRAY_LEN(extra));
    make_key(&m, "add_space_prefix", GGUF_BOOL);
    buf_put(&m.values, "\0", 1);
    struct loaded l;
    loaded_open(&l, make_file(&m));
    static const int32_t want[] = { 259, 258, '<', 257, '<', 260, 261, 'x', 257 };
    struct token_list ids = encode(l.t, STR("<a><b><a><<a<<b>  x<a"), true, true);
    assert_int_equal(ids.n, ARRAY_LEN(want));
    assert_memory_equal(ids.ids, want, sizeof want);
    token_list_free(&ids);
    loaded_close(&l);
}

static void what_ends_an_answer_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool add_bos, add_space;
        int n_eog;
        int32_t eog[6], not_eog;
    } rows[] = {
        { "gpt-2", false, false, 1, { 50256 }, 0 },
        { "llama-bpe", true, false, 3, { 128001, 128008, 128009 }, 128000 },
        { "qwen2", false, false, 5, { 151643, 151645, 151662, 151663, 151664 }, 151644 },
        { "llama-spm", true, true, 1, { 2 }, 1 },
        { "phi-3", true, true, 2, { 32000, 32007 }, 2 },
    };
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct loaded l;
        loaded_vocab(&l, rows[k].model);
        const struct vocab *v = tokenizer_vocab(l.t);
        int n = 0;
        for (int i = 0; i < v->n_tokens; i++)
            n += vocab_is_eog(v, i);
        assert_int_equal(n, rows[k].n_eog);
        for (int i = 0; i < rows[k].n_eog; i++)
            assert_true(vocab_is_eog(v, rows[k].eog[i]));
        assert_false(vocab_is_eog(v, rows[k].not_eog));
        assert_false(vocab_is_eog(v, -1));
        assert_false(vocab_is_eog(v, v->n_tokens));
        assert_int_equal(v->add_bos, rows[k].add_bos);
        assert_int_equal(v->add_space_prefix, rows[k].add_space);
        assert_false(v->pre_guessed);
        loaded_close(&l);
    }
}

static void qwen_s_fill_in_tokens_are_found_by_their_text(void **state)
{
    (void)state;
    struct loaded l;
    loaded_vocab(&l, "qwen2");
    const struct vocab *v = tokenizer_vocab(l.t);
    assert_int_equal(v->fim_pre, 151659);
    assert_int_equal(v->fim_mid, 151660);
    assert_int_equal(v->fim_suf, 151661);
    assert_int_equal(v->fim_pad, 151662);
    assert_int_equal(v->fim_rep, 151663);
    assert_int_equal(v->fim_sep, 151664);
    assert_int_equal(v->eot, 151645);
    assert_string_equal(tokenizer_name(l.t), "gpt2 (byte-level BPE, qwen2)");
    loaded_close(&l);
}

/* A small byte-level vocabulary: 'a', 'b', "ab", and what the caller adds. */
static void make_bpe(struct maker *m, const char *pre, const char *const *merges, size_t n_merges)
{
    static const char *const texts[] = { "a", "b", "ab", "aba", "<|im_end|>" };
    make_str(m, "model", "gpt2");
    if (pre)
        make_str(m, "pre", pre);
    make_array(m, "tokens", GGUF_STRING, ARRAY_LEN(texts));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        make_text(&m->values, str_z(texts[i]));
    make_array(m, "merges", GGUF_STRING, n_merges);
    for (size_t i = 0; i < n_merges; i++)
        make_text(&m->values, str_z(merges[i]));
}

static void a_merge_without_a_token_is_skipped(void **state)
{
    (void)state;
    static const char *const merges[] = { "b a", "a b", "ab a" };
    struct maker m = { 0 };
    make_bpe(&m, NULL, merges, ARRAY_LEN(merges));
    struct loaded l;
    loaded_open(&l, make_file(&m));
    assert_true(tokenizer_vocab(l.t)->pre_guessed);
    assert_string_equal(tokenizer_name(l.t), "gpt2 (byte-level BPE, default, guessed)");
    static const int32_t want[] = { 1, 3 };
    struct token_list ids = encode(l.t, STR("baba"), false, true);
    assert_int_equal(ids.n, 2);
    assert_memory_equal(ids.ids, want, sizeof want);
    token_list_free(&ids);
    /* A byte nobody has a token for is an error that names it, and leaves the list as it was. */
    hearth_error err = { 0 };
    token_list_push(&ids, 7);
    assert_false(tokenizer_encode(l.t, STR("abz"), false, true, &ids, &err));
    assert_non_null(strstr(err.message, "0x7a"));
    assert_int_equal(ids.n, 1);
    token_list_free(&ids);
    loaded_close(&l);
}

/* tokenizer_create() must refuse the file with a sentence that holds `says`. */
static void refused(struct maker *m, const char *says)
{
    struct str file = make_file(m);
    struct gguf g;
    hearth_error err = { 0 };
    assert_true(gguf_parse(&g, (const uint8_t *)file.ptr, file.len, &err));
    struct tokenizer *t = tokenizer_create(&g, &err);
    assert_null(t);
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    if (!strstr(err.message, says))
        fail_msg("\"%s\" does not say \"%s\"", err.message, says);
    gguf_free(&g);
    mem_free((void *)(uintptr_t)file.ptr);
}

static const struct made_token plain_token[] = { { "a", TOKEN_NORMAL, 0 } };

static void damaged_vocabularies_are_refused(void **state)
{
    (void)state;
    struct maker m = { 0 };
    make_spm(&m, plain_token, 1);
    make_uint(&m, "bos_token_id", 257);
    refused(&m, "bos_token_id");

    m = (struct maker){ 0 };
    make_spm(&m, (struct made_token[]){ { "a", TOKEN_NORMAL, 0.0f / 0.0f } }, 1);
    refused(&m, "scores[256] is not a finite");

    m = (struct maker){ 0 };
    make_spm(&m, (struct made_token[]){ { "a", 7, 0 } }, 1);
    refused(&m, "token_type[256] is 7");

    m = (struct maker){ 0 };
    make_spm(&m, (struct made_token[]){ { "<0xGG>", TOKEN_BYTE, 0 } }, 1);
    refused(&m, "<0xGG>");

    static char long_text[258];
    memset(long_text, 'x', sizeof long_text - 1);
    m = (struct maker){ 0 };
    make_spm(&m, (struct made_token[]){ { long_text, TOKEN_CONTROL, 0 } }, 1);
    refused(&m, "special and 257 bytes");

    m = (struct maker){ 0 };
    make_str(&m, "model", "gpt2");
    make_str(&m, "pre", "mystery");
    refused(&m, "mystery");

    m = (struct maker){ 0 };
    make_str(&m, "model", "rwkv");
    refused(&m, "rwkv");

    m = (struct maker){ 0 };
    make_str(&m, "model", "llama");
    refused(&m, "tokens");

    m = (struct maker){ 0 };
    make_bpe(&m, "gpt-2", (const char *const[]){ "a b", "ab" }, 2);
    refused(&m, "merges[1]");

    m = (struct maker){ 0 };
    make_bpe(&m, "gpt-2", (const char *const[]){ "a b" }, 1);
    make_array(&m, "token_type", GGUF_I32, 4);
    for (uint32_t i = 0; i < 4; i++)
        make_u32(&m.values, 1);
    refused(&m, "4 items for 5 tokens");

    m = (struct maker){ 0 };
    make_bpe(&m, "gpt-2", NULL, 0);
    refused(&m, "merges");
}

static void a_file_without_a_tokenizer_loads_and_says_so(void **state)
{
    (void)state;
    struct maker m = { 0 };
    make_uint(&m, "unrelated", 1);
    struct loaded l;
    loaded_open(&l, make_file(&m));
    assert_int_equal(tokenizer_vocab(l.t)->kind, VOCAB_NONE);
    struct token_list ids = { 0 };
    hearth_error err = { 0 };
    assert_false(tokenizer_encode(l.t, STR("x"), true, true, &ids, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    loaded_close(&l);
}

/* Each allocation in turn fails; every time it is an error, never a crash or a leak. */
static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    static const char text[] = "abababababababababababababababababababababababab e\xcc\x81 \xff";
    for (int kind = 0; kind < 2; kind++) {
        struct maker m = { 0 };
        if (kind)
            make_spm(&m, plain_token, 1);
        else
            make_bpe(&m, "qwen2", (const char *const[]){ "a b", "ab a" }, 2);
        if (!kind)
            make_uint(&m, "unknown_token_id", 0);
        struct str file = make_file(&m);
        struct gguf g;
        hearth_error err = { 0 };
        assert_true(gguf_parse(&g, (const uint8_t *)file.ptr, file.len, &err));
        bool done = false;
        for (uint64_t n = 1; n < 200 && !done; n++) {
            mem_fail_at(n);
            struct token_list ids = { 0 };
            err = (hearth_error){ 0 };
            struct tokenizer *t = tokenizer_create(&g, &err);
            bool ok = t && tokenizer_encode(t, (struct str){ text, sizeof text - 1 }, false, true, &ids, &err);
            done = mem_fail_at(0) < n;
            assert_int_equal(err.status, ok ? HEARTH_OK : HEARTH_ERR_MEMORY);
            token_list_free(&ids);
            tokenizer_destroy(t);
        }
        assert_true(done);
        gguf_free(&g);
        mem_free((void *)(uintptr_t)file.ptr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_of_the_fixtures_is_equal),
        cmocka_unit_test(mixed_text_equals_an_independent_implementation),
        cmocka_unit_test(text_survives_the_round_trip),
        cmocka_unit_test(any_bytes_survive_the_round_trip),
        cmocka_unit_test(a_megabyte_of_anything_is_no_trouble),
        cmocka_unit_test(scan_and_heap_join_the_same_pairs),
        cmocka_unit_test(only_trusted_text_makes_control_tokens),
        cmocka_unit_test(wordpiece_words_come_back_with_one_space_between),
        cmocka_unit_test(user_defined_tokens_are_always_recognised),
        cmocka_unit_test(spans_cut_at_special_tokens_change_nothing),
        cmocka_unit_test(a_special_token_needs_trust_in_all_its_bytes),
        cmocka_unit_test(what_untrusted_text_may_hold_is_the_callers_choice),
        cmocka_unit_test(the_longest_special_token_wins),
        cmocka_unit_test(what_ends_an_answer_is_known),
        cmocka_unit_test(qwen_s_fill_in_tokens_are_found_by_their_text),
        cmocka_unit_test(a_merge_without_a_token_is_skipped),
        cmocka_unit_test(damaged_vocabularies_are_refused),
        cmocka_unit_test(a_file_without_a_tokenizer_loads_and_says_so),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
