/* fuzz_tokenizer.c: any text through every kind of tokenizer, and back.
 *
 * The first byte of an input chooses the vocabulary and the mode; the rest is the text. */
#include <stdio.h>

#include "base/file.h"
#include "fuzz.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"

enum { MOST_FILE_BYTES = 64 << 10 };

/* Made by tools/make_gguf_corpus.py and tools/golden_unigram.py. exact: has all bytes and no normalization, so that the
 * tokens of a text give the text. */
static struct {
    const char *file;
    bool exact;
    bool grows; /* its charsmap may make a text longer, within CHARSMAP_MAX_BYTES a byte */
    struct gguf g;
    struct tokenizer *t;
} vocabularies[] = {
    { .file = "gguf/ok_vocab_bpe.gguf", .exact = true },
    { .file = "gguf/ok_vocab_bpe_llama.gguf", .exact = true },
    { .file = "gguf/ok_vocab_bpe_qwen2.gguf" },
    { .file = "gguf/ok_vocab_spm.gguf" },
    { .file = "gguf/ok_vocab_spm_no_types.gguf" },
    { .file = "gguf/ok_vocab_bpe_falcon.gguf", .exact = true },
    { .file = "gguf/ok_vocab_bpe_deepseek.gguf", .exact = true },
    { .file = "gguf/ok_vocab_bpe_kimi.gguf", .exact = true },
    { .file = "gguf/ok_vocab_wpm.gguf" },
    { .file = "gguf/ok_vocab_wpm_hashes.gguf" },
    { .file = "tokens/ok_ugm.gguf", .grows = true },
    { .file = "tokens/ok_ugm_bytes.gguf" },
};

/* Once for the process: the bytes and the tokenizers stay until it ends. */
static void open_vocabularies(void)
{
    for (size_t i = 0; i < ARRAY_LEN(vocabularies) && !vocabularies[i].t; i++) {
        static char *bytes[ARRAY_LEN(vocabularies)];
        size_t n;
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", HEARTH_GOLDEN_DIR, vocabularies[i].file);
        must(file_read(path, MOST_FILE_BYTES, &bytes[i], &n, NULL));
        must(gguf_parse(&vocabularies[i].g, (const uint8_t *)bytes[i], n, NULL));
        vocabularies[i].t = tokenizer_create(&vocabularies[i].g, NULL);
        must(vocabularies[i].t);
    }
}

/* The bytes of the pieces, one after the other, are the text. */
static void expect_same_bytes(const struct tokenizer *t, const struct token_list *ids, struct str text)
{
    static char scratch[4096 + 8];
    size_t at = 0;
    for (size_t i = 0; i < ids->n; i++) {
        struct str piece = tokenizer_piece(t, ids->ids[i], true, scratch, sizeof scratch);
        must(piece.len <= text.len - at && memcmp(piece.ptr, text.ptr + at, piece.len) == 0);
        at += piece.len;
    }
    must(at == text.len);
}

static void detokenize(const struct tokenizer *t, const struct token_list *ids)
{
    static char out[4096 + 16];
    struct detok d;
    detok_init(&d, t, true, true);
    for (size_t i = 0; i < ids->n; i++)
        fuzz_read(out, detok_push(&d, ids->ids[i], out, sizeof out));
    fuzz_read(out, detok_finish(&d, out, sizeof out));
}

/* A charsmap of any bytes, as a file may hold it: the first half of the input is the map, the rest the text. */
static void any_charsmap(const uint8_t *data, size_t size)
{
    size_t n = size / 2;
    uint8_t *blob = fuzz_copy(data, n), *text = fuzz_copy(data + n, size - n);
    struct charsmap map;
    struct str out;
    if (charsmap_open(&map, (struct str){ (const char *)blob, n }, NULL))
        for (size_t i = 0; i < size - n; i++) {
            struct str rest = { (const char *)text + i, size - n - i };
            size_t used = charsmap_match(&map, rest, &out);
            must(used <= rest.len);
            if (used > 0) {
                must(out.len <= CHARSMAP_MAX_BYTES);
                fuzz_read(out.ptr, out.len);
            }
        }
    free(blob);
    free(text);
}

/* Where all bytes have the same trust, cutting the text changes nothing. */
static void expect_same_in_spans(const struct tokenizer *t, const struct token_list *want, struct str text,
                                 bool parse_special, bool first)
{
    hearth_span spans[3];
    struct token_list ids = { 0 };
    hearth_error err = { 0 };
    if (!first)
        return;
    size_t cut = text.len / 3;
    for (size_t i = 0; i < 3; i++)
        spans[i] = (hearth_span){ .text = text.ptr + i * cut, .n_bytes = i < 2 ? cut : text.len - 2 * cut,
                                  .trusted = parse_special };
    must(tokenizer_encode_spans(t, spans, 3, NULL, &ids, NULL, &err));
    must(ids.n == want->n);
    for (size_t i = 0; i < ids.n; i++)
        must(ids.ids[i] == want->ids[i]);
    spans[1].trusted = !parse_special;
    ids.n = 0;
    must(tokenizer_encode_spans(t, spans, 3, NULL, &ids, NULL, &err));
    token_list_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_list ids = { 0 };
    hearth_error err = { 0 };
    if (size == 0)
        return 0;
    open_vocabularies();
    size_t which = (data[0] & 0x3f) % (ARRAY_LEN(vocabularies) + 1);
    if (which == ARRAY_LEN(vocabularies)) {
        any_charsmap(data + 1, size - 1);
        return 0;
    }
    bool parse_special = data[0] & 0x80, first = data[0] & 0x40;
    const struct tokenizer *t = vocabularies[which].t;
    const struct vocab *v = tokenizer_vocab(t);
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    struct str text = { (const char *)copy, size - 1 };
    if (tokenizer_encode(t, text, parse_special, first, &ids, &err)) {
        must(ids.n <= (vocabularies[which].grows ? CHARSMAP_MAX_BYTES : 4) * text.len + 4);
        for (size_t i = 0; i < ids.n; i++)
            must(ids.ids[i] >= 0 && ids.ids[i] < v->n_tokens);
        if (vocabularies[which].exact)
            expect_same_bytes(t, &ids, text);
        detokenize(t, &ids);
        expect_same_in_spans(t, &ids, text, parse_special, first);
    } else {
        must(!vocabularies[which].exact && err.message[0]);
    }
    token_list_free(&ids);
    free(copy);
    return 0;
}
