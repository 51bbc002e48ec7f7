/* test_store.c: names of models, and the folder that they are in. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/tree.h"
#include "store/http_client.h"
#include "store/reference.h"

#include <cmocka.h> /* last: it has a macro fail() */

static void names_that_lead_out_are_none(void **state)
{
    static const char *const good[] = { "a", "hf/o/r/F-Q4_K_M.gguf", "url/h_80/a+b=c@d,e~f.gguf" };
    static const char *const bad[] = { "", "/", "/a", "a/", "a//b", "..", "a/../b", ".a", "a/.b", "a b", "a\\b", "a\n",
                                       "a/b/c/d/e/f/g/h/i/j/k/l/m" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(tree_name_is_good(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(tree_name_is_good(bad[i]));
}

static void references_have_names_in_the_store(void **state)
{
    static const char *const rows[][3] = {
        { "hf:o/r", "hf:o/r", "hf/o/r" },
        { "hf:o/r:Q8_0", "hf:o/r:Q8_0", "hf/o/r" },
        { "ollama:m", "ollama:m:latest", "ollama/m/latest.gguf" },
        { "ollama:u/m:7b", "ollama:u/m:7b", "ollama/u/m/7b.gguf" },
        { "https://h:8/a/b.gguf", "https://h:8/a/b.gguf", "url/h_8/a/b.gguf" },
    };
    char name[STORE_NAME_BYTES];
    struct reference r;
    hearth_error err = { 0 };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(reference_read(&r, rows[i][0], &err));
        reference_store_name(&r, name);
        assert_string_equal(r.text, rows[i][1]);
        assert_string_equal(name, rows[i][2]);
    }
}

/* A list of several is refused with the list, and never guessed at. */
static void a_word_chooses_one_file(void **state)
{
    static const char *const names[] = { "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "x/m-Q8_0-00001-of-00002.gguf",
                                         "x/m-Q8_0-00002-of-00002.gguf", "mmproj-F16.gguf" };
    const int n = ARRAY_LEN(names);
    struct choice c;
    hearth_error err = { 0 };
    (void)state;
    assert_true(reference_choose(&c, "", "hf:o/r", names, n, &err));
    assert_int_equal(c.index[0], 0);
    assert_true(reference_choose(&c, "q8_0", "hf:o/r", names, n, &err));
    assert_int_equal(c.n, 2);
    assert_int_equal(c.index[1], 3);
    assert_true(reference_choose(&c, "mmproj-F16.gguf", "hf:o/r", names, n, &err));
    assert_int_equal(c.index[0], 4);
    assert_false(reference_choose(&c, "Q4_K", "hf:o/r", names, n, &err));
    assert_non_null(strstr(err.message, "m-Q4_K_S.gguf"));
    assert_false(reference_choose(&c, "", "hf:o/r", names + 1, n - 1, &err));
    assert_false(reference_choose(&c, "Q8_0", "hf:o/r", names, 3, &err)); /* its second part is not there */
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
}

static void a_content_range_is_exact(void **state)
{
    static const char *const bad[] = { "", "bytes", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-9/*", "bytes 0-9/10 ",
                                       "bytes 0-9/99999999999999999999", "bytes -9/10", "bits 0-9/10" };
    uint64_t first, last, total;
    (void)state;
    assert_true(http_content_range("bytes 5-9/10", &first, &last, &total));
    assert_true(first == 5 && last == 9 && total == 10);
    assert_true(http_content_range("bytes */10", &first, &last, &total));
    assert_true(first > last && total == 10);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(http_content_range(bad[i], &first, &last, &total));
}

/* A page that is not seen would hide files; one that is made up would be asked for. */
static void the_next_page_is_found_in_a_link_header(void **state)
{
    static const struct {
        const char *value, *next;
        int found;
    } rows[] = {
        { "<https://h/a?c=1>; rel=\"next\"", "https://h/a?c=1", 1 },
        { "<https://h/a>;rel=next", "https://h/a", 1 },
        { "<https://h/p>; rel=\"prev\", <https://h/n,x;y>; title=\"a, b; c\"; REL=\"last Next\"",
          "https://h/n,x;y", 1 },
        { "<https://h/p>; rel=\"prev\"", "", 0 },
        { "<https://h/p>; rel=\"nextish\", <https://h/q>; title=\"rel=next\"", "", 0 },
        { "", "", 0 },
        { "<>; rel=next", "", -1 },
        { "<https://h/a b>; rel=next", "", -1 },
        { "<https://h/01234567890123456789012345678901234567890123456789012345>; rel=next", "", -1 },
        { "<https://h/a", "", 0 },
        { "rel=next", "", 0 },
    };
    char out[64];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(http_link_next(str_z(rows[i].value), out, sizeof out), rows[i].found);
        assert_string_equal(out, rows[i].next);
    }
}

/* Whatever somebody puts into the folder, files outside of it are not touched. */
static void links_in_a_tree_are_not_followed(void **state)
{
    char folder[] = "/tmp/hearth-tree-XXXXXX", inside[64], out[64], *text = NULL;
    struct tree t;
    struct tree_file f, g;
    hearth_error err = { 0 };
    size_t n;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(inside, sizeof inside, "%s/t", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    assert_true(tree_open(&t, inside, true, &err));
    assert_int_equal(mkdir(out, 0700), 0);
    assert_true(tree_write(&t, "a/b/c", "text", 4, &err));
    assert_int_equal(tree_read(&t, "a/b/c", 100, &text, &n, &err), 1);
    assert_string_equal(text, "text");
    mem_free(text);
    snprintf(inside, sizeof inside, "%s/t/link", folder);
    assert_int_equal(symlink(out, inside), 0);
    assert_false(tree_write(&t, "link/x", "text", 4, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_int_equal(tree_read(&t, "../out", 100, &text, &n, &err), -1);
    assert_int_equal(tree_file_hold(&t, "p/x.part", &f, &err), 1);
    assert_int_equal(tree_file_hold(&t, "p/x.part", &g, &err), 0); /* somebody has it */
    assert_true(tree_rename(&t, "p/x.part", "a/b/x", &err));
    assert_int_equal(tree_file_hold(&t, "p/x.part", &g, &err), 1); /* and that is another one now */
    assert_true(f.inode != g.inode);
    tree_file_close(&f);
    tree_file_close(&g);
    assert_int_equal(rmdir(out), 0); /* nothing came into it */
    assert_int_equal(unlink(inside), 0);
    assert_true(tree_remove(&t, "a/b/c", &err) && tree_remove(&t, "a/b/x", &err) && tree_remove(&t, "p/x.part", &err));
    assert_int_equal(tree_read(&t, "a/b/c", 100, &text, &n, &err), 0);
    tree_close(&t);
    snprintf(inside, sizeof inside, "rm -r %s", folder);
    assert_int_equal(system(inside), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_lead_out_are_none),
        cmocka_unit_test(references_have_names_in_the_store),
        cmocka_unit_test(a_word_chooses_one_file),
        cmocka_unit_test(a_content_range_is_exact),
        cmocka_unit_test(the_next_page_is_found_in_a_link_header),
        cmocka_unit_test(links_in_a_tree_are_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
