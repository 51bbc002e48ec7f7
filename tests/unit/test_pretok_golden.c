/* Every pre-tokenizer name cuts 10,000 random strings and the fixtures' texts where the published
 * one does: tests/golden/pretok.tsv, made by tools/golden_pretok.py from the same random numbers. */
#include "random_texts.h"

#include "text/pretok.h"

static bool add_length(void *ctx, struct str piece, hearth_error *err)
{
    (void)err;
    struct buf *line = ctx;
    buf_printf(line, "%s%zu", line->len ? " " : "", piece.len);
    return true;
}

/* name NULL: of the texts themselves. */
static void digest_of(const char *name, const struct texts *t, char out[65])
{
    struct sha256 *sha = sha256_new();
    struct pretok *p = name ? pretok_create(str_z(name), true, NULL) : NULL;
    struct pretok_work w = { 0 };
    struct buf line = { 0 };
    hearth_error err = { 0 };
    assert_non_null(sha);
    assert_true(p || !name);
    for (size_t i = 0; i < t->n; i++) {
        struct str text = text_of(t, i);
        buf_clear(&line);
        if (!p)
            buf_put(&line, text.ptr, text.len);
        else if (!pretok_split(p, &w, text, add_length, &line, &err))
            fail_msg("%s", err.message);
        buf_puts(&line, "\n");
        sha256_add(sha, line.ptr, line.len);
    }
    sha256_hex(sha, out);
    sha256_free(sha);
    buf_free(&line);
    pretok_work_free(&w);
    pretok_destroy(p);
}

static void check(const struct texts *t, int column)
{
    char digest[65], names[2048];
    digest_of(NULL, t, digest);
    expect_golden(HEARTH_GOLDEN_DIR "/pretok.tsv", "strings", column, digest);
    pretok_names(names, sizeof names);
    for (char *save = NULL, *name = strtok_r(names, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
        digest_of(name, t, digest);
        expect_golden(HEARTH_GOLDEN_DIR "/pretok.tsv", name, column, digest);
    }
}

static void every_name_cuts_random_strings_as_published(void **state)
{
    (void)state;
    struct texts *t = made_texts();
    check(t, 1);
    texts_free(t);
}

static void every_name_cuts_the_fixtures_as_published(void **state)
{
    (void)state;
    struct texts *t = given_texts();
    check(t, 2);
    texts_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_cuts_random_strings_as_published),
        cmocka_unit_test(every_name_cuts_the_fixtures_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
