/* bench_chat: a conversation of 20,000 tokens through chat templates: rendered, and in tokens.
 *
 *   bench_chat [--csv FILE] [--windows N] [--tokens N] VOCABULARY.gguf TEXT.txt TEMPLATE.jinja...
 *
 * The conversation is TEXT cut into turns of some 100 words, users and assistants in turn. Each figure is the median
 * of N renderings; a template that refuses such a conversation is named and skipped. Rows
 * "benchmark,value,unit,low,high,runs,roof" are appended to FILE, as by bench_kernel; there is no roof (0). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "format/gguf.h"
#include "text/chat/chat.h"

enum { MAX_WINDOWS = 101, TURN_BYTES = 560, MAX_MESSAGES = 4096 };

static struct {
    FILE *csv;
    int n_windows, n_tokens;
    struct tokenizer *tokenizer;
    struct str text;
    hearth_message messages[MAX_MESSAGES];
    hearth_text texts[MAX_MESSAGES];
} bench = { .n_windows = 21, .n_tokens = 20000 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *template, const char *what, double *ms)
{
    int n = bench.n_windows;
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    printf("%-52s %-18s %8.2f ms  (%.2f to %.2f)\n", template, what, ms[n / 2], ms[n / 4], ms[3 * n / 4]);
    if (bench.csv)
        fprintf(bench.csv, "chat %s %s,%.4g,ms,%.4g,%.4g,%d,0\n", what, template, ms[n / 2], ms[n / 4], ms[3 * n / 4],
                n);
}

static hearth_chat make_talk(int n_messages)
{
    size_t at = 0;
    for (int i = 0; i < n_messages; i++) {
        if (bench.text.len - at < 2 * TURN_BYTES)
            at = 0; /* once more from the beginning */
        size_t end = at + TURN_BYTES;
        while (bench.text.ptr[end] != ' ' && bench.text.ptr[end] != '\n')
            end++;
        bench.texts[i] = (hearth_text){ bench.text.ptr + at, end - at };
        bench.messages[i] =
            (hearth_message){ .role = i % 2 ? "assistant" : "user", .parts = &bench.texts[i], .n_parts = 1 };
        at = end + 1;
    }
    return (hearth_chat){ .messages = bench.messages, .n_messages = (size_t)n_messages, .date = "2026-02-07" };
}

/* Milliseconds of both; *n_ids: tokens of the prompt. */
static bool once(const struct chat *c, const hearth_chat *talk, double *render_ms, double *all_ms, size_t *n_ids,
                 hearth_error *err)
{
    struct chat_input in;
    struct chat_prompt prompt = { 0 };
    struct token_list ids = { 0 };
    bool bos;
    int64_t start = clock_ns();
    bool ok = chat_input_make(c, talk, &in, err) && chat_render(c, &in, &prompt, err);
    *render_ms = clock_ms_since(start);
    ok = ok && chat_encode(c, &prompt, &ids, &bos, NULL, err);
    *all_ms = clock_ms_since(start);
    *n_ids = ids.n;
    token_list_free(&ids);
    chat_prompt_free(&prompt);
    chat_input_free(&in);
    return ok;
}

/* An odd number of messages that gives the wanted number of tokens, or a few more. */
static bool fit(const struct chat *c, hearth_chat *talk, hearth_error *err)
{
    double render_ms, all_ms;
    size_t n_ids = 0;
    for (int n = 101; n < MAX_MESSAGES; n += max_int(2, (int)((size_t)bench.n_tokens - n_ids) / 150 / 2 * 2)) {
        *talk = make_talk(n);
        if (!once(c, talk, &render_ms, &all_ms, &n_ids, err))
            return false;
        if (n_ids >= (size_t)bench.n_tokens)
            return true;
    }
    return fail(err, HEARTH_ERR_USAGE, "%d messages have only %zu tokens; ask for fewer", MAX_MESSAGES, n_ids);
}

static void bench_template(const char *path)
{
    hearth_error err = { 0 };
    char *bytes, name[128];
    size_t n, n_ids;
    double render_ms[MAX_WINDOWS], all_ms[MAX_WINDOWS];
    hearth_chat talk;
    const char *base = strrchr(path, '/');
    snprintf(name, sizeof name, "%s", base ? base + 1 : path);
    *strstr(strcat(name, ".jinja"), ".jinja") = 0;
    struct chat *c = NULL;
    bool ok = file_read(path, 1 << 20, &bytes, &n, &err);
    if (ok) {
        c = chat_create((struct str){ bytes, n }, bench.tokenizer, &err);
        mem_free(bytes);
        ok = c && fit(c, &talk, &err);
    }
    for (int i = 0; ok && i < bench.n_windows; i++)
        ok = once(c, &talk, &render_ms[i], &all_ms[i], &n_ids, &err);
    if (ok) {
        printf("%-52s %zu tokens in %zu messages\n", name, n_ids, talk.n_messages);
        report(name, "render", render_ms);
        report(name, "render and tokenize", all_ms);
    } else {
        printf("%-52s skipped: %s\n", name, err.message);
    }
    chat_destroy(c);
}

static bool set_up(const char *vocabulary, const char *text, hearth_error *err)
{
    static struct gguf g;
    char *bytes, *words;
    size_t n;
    if (!file_read(vocabulary, (size_t)1 << 30, &bytes, &n, err) || !gguf_parse(&g, (const uint8_t *)bytes, n, err))
        return false;
    bench.tokenizer = tokenizer_create(&g, err);
    if (!bench.tokenizer || !file_read(text, 64 << 20, &words, &n, err))
        return false;
    bench.text = (struct str){ words, n };
    return n > 8 * TURN_BYTES ? true
                              : fail(err, HEARTH_ERR_USAGE, "%s has %zu bytes; give at least %d", text, n,
                                     8 * TURN_BYTES);
}

int main(int argc, char **argv)
{
    hearth_error err = { 0 };
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "--csv") == 0)
            bench.csv = fopen(argv[i + 1], "a");
        else if (strcmp(argv[i], "--windows") == 0)
            bench.n_windows = max_int(1, min_int(atoi(argv[i + 1]), MAX_WINDOWS));
        else if (strcmp(argv[i], "--tokens") == 0)
            bench.n_tokens = max_int(100, min_int(atoi(argv[i + 1]), 300000));
    }
    if (argc - i < 3) {
        fprintf(stderr, "usage: bench_chat [--csv FILE] [--windows N] [--tokens N] VOCABULARY TEXT TEMPLATE...\n");
        return 2;
    }
    if (!set_up(argv[i], argv[i + 1], &err)) {
        fprintf(stderr, "bench_chat: %s\n", err.message);
        return 1;
    }
    for (i += 2; i < argc; i++)
        bench_template(argv[i]);
    return bench.csv && fclose(bench.csv) != 0;
}
