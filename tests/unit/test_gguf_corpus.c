/* test_gguf_corpus.c: every file of tests/golden/gguf gets its verdict and the words for it.
 *
 * expect.tsv says what each file is for; tools/make_gguf_corpus.py makes both and explains the
 * verdicts. Each file is read from memory whose next byte may not be touched. */
#define _GNU_SOURCE
#include <dirent.h>
#include <utf8proc.h>

#include "model/model.h"
#include "test_gguf_bytes.h"
#include "text/tokenizer.h"

enum { MOST_FILE_BYTES = 256 << 10, MOST_PARTS = 8, MOST_ROWS = 1000 };

struct row {
    char *file, *verdict, *words;
};

static char *manifest;
static struct row rows[MOST_ROWS];
static size_t n_rows;

static const char *path_of(const char *file)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/gguf/%s", HEARTH_GOLDEN_DIR, file);
    return path;
}

static struct str read_golden(const char *file)
{
    char *bytes;
    size_t n;
    hearth_error err = { 0 };
    if (!file_read(path_of(file), MOST_FILE_BYTES, &bytes, &n, &err))
        fail_msg("%s", err.message);
    return (struct str){ bytes, n };
}

static char *cut(char **rest, char end)
{
    char *start = *rest, *stop = strchr(start, end);
    assert_non_null(stop);
    *stop = 0;
    *rest = stop + 1;
    return start;
}

static int read_manifest(void **state)
{
    (void)state;
    manifest = (char *)(uintptr_t)read_golden("expect.tsv").ptr;
    char *rest = manifest;
    cut(&rest, '\n'); /* says what made it */
    while (*rest && n_rows < MOST_ROWS) {
        struct row *r = &rows[n_rows++];
        r->file = cut(&rest, '\t');
        r->verdict = cut(&rest, '\t');
        r->words = cut(&rest, '\n');
    }
    return 0;
}

static int free_manifest(void **state)
{
    (void)state;
    mem_free(manifest);
    return 0;
}

static bool is(const struct row *r, const char *verdict) { return strcmp(r->verdict, verdict) == 0; }

/* ---- one file through its gates ---- */

struct gates {
    struct edge edge[MOST_PARTS];
    struct gguf g;
    struct model m;
};

static void gates_open(struct gates *p)
{
    for (int i = 0; i < MOST_PARTS; i++)
        edge_open(&p->edge[i], MOST_FILE_BYTES);
}

static void gates_close(struct gates *p)
{
    for (int i = 0; i < MOST_PARTS; i++)
        edge_close(&p->edge[i]);
}

/* NAME-00001-of-00002.gguf: the other parts lie beside it. */
static bool add_parts(struct gates *p, const char *file, hearth_error *err)
{
    uint32_t count = 0;
    char name[200];
    const char *number = strstr(file, "-00001-of-");
    if (!gguf_split_count(&p->g, &count, err))
        return false;
    for (uint32_t part = 1; number && part < count; part++) {
        assert_true(part < MOST_PARTS);
        snprintf(name, sizeof name, "%.*s-%05u%s", (int)(number - file), file, part + 1, number + 6);
        struct str bytes = read_golden(name);
        bool ok = gguf_add_part(&p->g, part, edge_put(&p->edge[part], bytes.ptr, bytes.len), bytes.len, err);
        mem_free((void *)(uintptr_t)bytes.ptr);
        if (!ok)
            return false;
    }
    return true;
}

static bool make_tokenizer(const struct gguf *g, hearth_error *err)
{
    struct tokenizer *t = tokenizer_create(g, err);
    tokenizer_destroy(t);
    return t != NULL;
}

/* The gate that refuses it, "runs" when none does. An "ok" file need not be a model. */
static const char *verdict_of(struct gates *p, const struct row *r, struct str file, hearth_error *err)
{
    const char *verdict = "runs";
    if (!gguf_parse(&p->g, edge_put(&p->edge[0], file.ptr, file.len), file.len, err))
        return "bad";
    assert_true(p->g.arena.total_bytes <= 4 * file.len + ((size_t)64 << 20));
    if (!add_parts(p, r->file, err))
        verdict = "set_bad";
    else if (!make_tokenizer(&p->g, err))
        verdict = "vocab_bad";
    else if (is(r, "ok"))
        verdict = "ok";
    else if (!model_load(&p->m, &p->g, err))
        verdict = "model_bad";
    else
        model_free(&p->m);
    gguf_free(&p->g);
    return verdict;
}

static bool one_printable_line(const char *message)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)message;
    for (utf8proc_int32_t c; *p;) {
        utf8proc_ssize_t n = utf8proc_iterate(p, -1, &c);
        if (n <= 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return false;
        p += n;
    }
    return message[0] != 0;
}

static bool as_expected(struct gates *p, const struct row *r)
{
    hearth_error err = { 0 };
    struct str file = read_golden(r->file);
    const char *verdict = verdict_of(p, r, file, &err);
    mem_free((void *)(uintptr_t)file.ptr);
    bool refused = !is(r, "ok") && !is(r, "runs");
    bool ok = is(r, verdict);
    if (ok && refused)
        ok = err.status == HEARTH_ERR_FORMAT && strstr(err.message, r->words) && one_printable_line(err.message);
    if (!ok)
        print_error("%s: is %s (%s), should be %s (%s)\n", r->file, verdict, err.message, r->verdict, r->words);
    return ok;
}

static void every_file_gets_its_verdict_and_the_words_for_it(void **state)
{
    struct gates p;
    size_t n_wrong = 0;
    (void)state;
    assert_true(n_rows >= 300);
    gates_open(&p);
    for (size_t i = 0; i < n_rows; i++)
        n_wrong += !as_expected(&p, &rows[i]);
    gates_close(&p);
    assert_int_equal(n_wrong, 0);
}

static void every_file_of_the_folder_is_expected(void **state)
{
    size_t n_strangers = 0;
    (void)state;
    DIR *folder = opendir(path_of(""));
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        size_t i = 0;
        const char *of = strstr(e->d_name, "-of-");
        if (!strstr(e->d_name, ".gguf") || (of && strncmp(of - 5, "00001", 5) != 0))
            continue;
        while (i < n_rows && strcmp(rows[i].file, e->d_name) != 0)
            i++;
        if (i == n_rows) {
            print_error("%s is not in expect.tsv\n", e->d_name);
            n_strangers++;
        }
    }
    closedir(folder);
    assert_int_equal(n_strangers, 0);
}

/* ---- good files, damaged ---- */

static void no_good_file_cut_short_is_read_beyond_its_end(void **state)
{
    struct gates p;
    hearth_error err;
    (void)state;
    gates_open(&p);
    for (size_t i = 0; i < n_rows; i++) {
        if (!is(&rows[i], "ok") && !is(&rows[i], "runs"))
            continue;
        struct str file = read_golden(rows[i].file);
        for (size_t n = 0; n < file.len; n += n < 600 ? 1 : 13) {
            bool ok = gguf_parse(&p.g, edge_put(&p.edge[0], file.ptr, n), n, &err);
            if (ok && model_load(&p.m, &p.g, &err))
                model_free(&p.m);
            if (ok)
                gguf_free(&p.g);
        }
        mem_free((void *)(uintptr_t)file.ptr);
    }
    gates_close(&p);
}

static void a_model_at_an_odd_address_is_refused(void **state)
{
    struct gates p;
    hearth_error err = { 0 };
    struct str file = read_golden("model_ok_llama.gguf");
    (void)state;
    gates_open(&p);
    uint8_t *bytes = edge_put(&p.edge[0], file.ptr, file.len) - 1;
    memmove(bytes, bytes + 1, file.len);
    assert_true(gguf_parse(&p.g, bytes, file.len, &err));
    assert_false(model_load(&p.m, &p.g, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    expect_words(&err, "lies at no multiple of 4 bytes in memory");
    gguf_free(&p.g);
    mem_free((void *)(uintptr_t)file.ptr);
    gates_close(&p);
}

static void load_changed(struct gates *p, const uint8_t *bytes, size_t n)
{
    hearth_error err;
    if (!gguf_parse(&p->g, bytes, n, &err))
        return;
    make_tokenizer(&p->g, &err);
    if (model_load(&p->m, &p->g, &err))
        model_free(&p->m);
    gguf_free(&p->g);
}

static void a_model_with_any_bytes_changed_is_refused_or_loads(void **state)
{
    static const uint8_t change[] = { 0x01, 0x80, 0xff };
    struct gates p;
    struct gguf g;
    struct str file = read_golden("model_ok_qwen2.gguf");
    (void)state;
    gates_open(&p);
    assert_int_equal(file.len % 32, 0); /* so that f32 lie at multiples of 4 */
    assert_true(gguf_parse(&g, (const uint8_t *)file.ptr, file.len, NULL));
    uint64_t n = g.header_bytes[0]; /* behind it are weights: any bits are legal */
    gguf_free(&g);
    for (uint64_t i = 0; i < n; i++) {
        for (size_t c = 0; c < ARRAY_LEN(change); c++) {
            uint8_t *bytes = edge_put(&p.edge[0], file.ptr, file.len);
            bytes[i] ^= change[c];
            load_changed(&p, bytes, file.len);
            bytes[(i + 8) % n] ^= change[(c + 1) % ARRAY_LEN(change)];
            load_changed(&p, bytes, file.len);
        }
    }
    mem_free((void *)(uintptr_t)file.ptr);
    gates_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_gets_its_verdict_and_the_words_for_it),
        cmocka_unit_test(every_file_of_the_folder_is_expected),
        cmocka_unit_test(no_good_file_cut_short_is_read_beyond_its_end),
        cmocka_unit_test(a_model_at_an_odd_address_is_refused),
        cmocka_unit_test(a_model_with_any_bytes_changed_is_refused_or_loads),
    };
    return cmocka_run_group_tests(tests, read_manifest, free_manifest);
}
