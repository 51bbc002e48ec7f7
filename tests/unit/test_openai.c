/* test_openai.c: pieces of an answer, and what a server says in place of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "store/openai.h"

#include <cmocka.h> /* last: it has a macro fail() */

static bool give(struct openai_answer *a, const char *event, int64_t now_ns, hearth_error *err)
{
    *err = (hearth_error){ 0 };
    return openai_read_event(a, str_z(event), now_ns, err);
}

static void pieces_become_an_answer(void **state)
{
    struct openai_answer a = { 0 };
    hearth_error err;
    (void)state;
    openai_answer_begin(&a);
    assert_int_equal(a.n_output_tokens, -1);
    assert_true(give(&a, "{\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}", 5,
                     &err));
    assert_int_equal(a.first_ns, 0); /* no text yet */
    assert_true(give(&a, "{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}", 6, &err));
    assert_true(give(&a, "{\"choices\":[{\"delta\":{\"content\":\"na\\u00efve\"},\"finish_reason\":null}]}", 7, &err));
    assert_true(give(&a, "{\"choices\":[{\"text\":\"!\",\"finish_reason\":\"length\"}]}", 8, &err));
    assert_false(a.done);
    assert_true(give(&a, "{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,"
                         "\"prompt_tokens_details\":null}}", 9, &err));
    assert_true(give(&a, "[DONE]", 10, &err));
    assert_true(a.done);
    assert_string_equal(a.text.ptr, "na\xc3\xafve!");
    assert_string_equal(a.thinking.ptr, "hm");
    assert_string_equal(a.finish, "length");
    assert_string_equal(a.model, "m");
    assert_int_equal(a.n_pieces, 3);
    assert_int_equal(a.first_ns, 6);
    assert_int_equal(a.last_ns, 8);
    assert_int_equal(a.n_prompt_tokens, 3);
    assert_int_equal(a.n_output_tokens, 4);
    assert_int_equal(a.n_cached_tokens, -1);
    openai_answer_begin(&a);
    assert_int_equal(a.text.len, 0);
    assert_int_equal(a.n_pieces, 0);
    openai_answer_free(&a);
}

static void values_of_other_types_are_nothing(void **state)
{
    static const char *const events[] = {
        "{}", "{\"choices\":{}}", "{\"choices\":[1]}", "{\"choices\":[{\"delta\":[],\"finish_reason\":7}]}",
        "{\"choices\":[{\"delta\":{\"content\":[]},\"text\":null}]}", "{\"usage\":[]}",
        "{\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":\"x\"}}", "{\"model\":3,\"error\":null}",
    };
    struct openai_answer a = { 0 };
    hearth_error err;
    (void)state;
    openai_answer_begin(&a);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        assert_true(give(&a, events[i], 1, &err));
    assert_int_equal(a.n_pieces, 0);
    assert_int_equal(a.n_prompt_tokens, -1);
    assert_string_equal(a.finish, "");
    openai_answer_free(&a);
}

static void what_is_no_piece_is_an_error(void **state)
{
    struct openai_answer a = { 0 };
    hearth_error err;
    (void)state;
    openai_answer_begin(&a);
    assert_false(give(&a, "{\"choices\":", 1, &err));
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    assert_false(give(&a, "[]", 1, &err));
    assert_false(give(&a, "{\"error\":{\"message\":\"too\\nlong\"}}", 1, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_string_equal(err.message, "the server ended the answer: too long");
    assert_false(give(&a, "{\"error\":\"no\"}", 1, &err));
    assert_string_equal(err.message, "the server ended the answer: no");
    assert_false(give(&a, "{\"error\":{}}", 1, &err));
    assert_string_equal(err.message, "the server ended the answer: it does not say why");
    openai_answer_free(&a);
}

/* body: a block of its own, without an end that could be read by mistake. */
static void assert_said(const char *body, const char *want)
{
    char out[40];
    size_t n = strlen(body);
    char *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, body, n);
    openai_error_text(out, sizeof out, (struct str){ copy, n });
    free(copy);
    assert_string_equal(out, want);
}

static void the_words_of_a_server_are_found(void **state)
{
    (void)state;
    assert_said("{\"error\":{\"message\":\"a\",\"type\":\"b\"}}", "a");
    assert_said("{\"error\":\"a\"}", "a");
    assert_said("{\"message\":\"a\"}", "a");
    assert_said("{\"detail\":\"a\"}", "a");
    assert_said("{\"detail\":[{\"msg\":\"a\"}]}", "");
    assert_said("plain\x1b words\n", "plain words");
    assert_said("<html>down", "");
    assert_said("\n\r\n <!doctype html>", "");
    assert_said("", "");
    assert_said("\n\n\r", ""); /* once read beyond its end: the fuzz target found it */
    assert_said("0123456789012345678901234567890123456789", "012345678901234567890123456789012345...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_become_an_answer),
        cmocka_unit_test(values_of_other_types_are_nothing),
        cmocka_unit_test(what_is_no_piece_is_an_error),
        cmocka_unit_test(the_words_of_a_server_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
