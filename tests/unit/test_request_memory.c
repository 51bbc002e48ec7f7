/* Requests while the k-th allocation fails, for every k, and while all from the k-th on do: each is refused as one
 * that there was no memory for, or is read and answered as it would have been; nothing in between. Leaks and bad
 * accesses are the sanitizers' to see. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "a_view.h"
#include "base/alloc.h"
#include "record/receipt_json.h"
#include "server/api/endpoints.h"
#include "server/api/json_in.h"

#include <cmocka.h> /* last: it has a macro fail() */

/* ---- what a request says, as text to compare ---- */

static void put_text(struct buf *out, hearth_text t)
{
    buf_printf(out, "%zu:%.*s ", t.n_bytes, (int)t.n_bytes, t.text);
}

static void put_chat(struct buf *out, const hearth_chat *c)
{
    for (size_t i = 0; i < c->n_messages; i++) {
        const hearth_message *m = &c->messages[i];
        buf_printf(out, "[%s %s %s ", m->role, m->name ? m->name : "", m->tool_call_id ? m->tool_call_id : "");
        for (size_t k = 0; k < m->n_parts; k++)
            put_text(out, m->parts[k]);
        put_text(out, m->thinking.text ? m->thinking : (hearth_text){ "", 0 });
        for (size_t k = 0; k < m->n_tool_calls; k++)
            buf_printf(out, "(%s %s %s)", m->tool_calls[k].id ? m->tool_calls[k].id : "", m->tool_calls[k].name,
                       m->tool_calls[k].arguments);
        buf_puts(out, "]");
    }
    buf_printf(out, "%s %s\n", c->tools ? c->tools : "", c->template_kwargs ? c->template_kwargs : "");
}

/* In the test's own memory: not counted, never short. */
static void describe(struct buf *out, const struct ask *a)
{
    const hearth_request *r = &a->request;
    put_chat(out, &a->chat.chat);
    buf_printf(out, "%d %d %d %d %d %d\n", (int)a->op, a->n_prompts, a->n, r->max_tokens, a->timeout_ms, a->ping_ms);
    for (int i = 0; i < a->n_prompts; i++)
        buf_printf(out, "%zu %.*s\n", a->prompts[i].n_ids, (int)a->prompts[i].text.n_bytes,
                   a->prompts[i].text.n_bytes ? a->prompts[i].text.text : "");
    for (size_t i = 0; i < r->n_stop; i++)
        buf_printf(out, "stop %s\n", r->stop[i]);
    for (size_t i = 0; i < r->n_logit_bias; i++)
        buf_printf(out, "bias %d %g\n", (int)r->logit_bias[i].id, (double)r->logit_bias[i].bias);
    for (size_t i = 0; i < r->n_dry_sequence_breakers; i++)
        buf_printf(out, "breaker %s\n", r->dry_sequence_breakers[i]);
    buf_printf(out, "%zu %.*s\n", a->n_ids, (int)a->text.n_bytes, a->text.text ? a->text.text : "");
}

/* ---- one request from its bytes to its answer ---- */

struct life {
    const struct endpoint *endpoint;
    const char *text;
};

static bool answer(const struct ask *a, const struct endpoint *e, const struct view *v, struct buf *out)
{
    struct reply r = { 0 };
    hearth_event token = { .type = HEARTH_EVENT_TOKEN, .id = 1, .text = " \"b\\", .n_bytes = 4, .logprob = -1,
                           .thinking = "\n", .n_thinking_bytes = 1 },
                 end = { .type = HEARTH_EVENT_END, .text = "", .reason = HEARTH_END_STOP };
    static hearth_receipt receipt = { .n_prompt_tokens = 5, .n_output_tokens = 3, .model_name = "a \"b\" \\",
                                      .notes = "one\ntwo\n", .n_draft_tokens = 3 };
    struct buf *to = a->stream ? out : NULL;
    bool ok = reply_init(&r, a, v, e->dialect, "id", 12);
    if (ok && to && r.dialect->begin)
        r.dialect->begin(&r, to);
    for (int i = 0; ok && i < r.n_choices; i++) {
        reply_take(&r, i, &token, NULL, to);
        reply_take(&r, i, &end, &receipt, to);
    }
    if (ok && !to)
        ok = json_put(out, r.dialect->whole(&r));
    ok = ok && !r.failed && !out->failed;
    reply_free(&r);
    return ok;
}

/* True: it was read, and what was said and answered is in the two. */
static bool live(const struct life *l, struct buf *said, struct buf *out)
{
    struct view v = make_view();
    struct ask a = { 0 };
    struct fields f = { 0 };
    struct problem p = { 0 };
    struct json_body body = { 0 };
    size_t cost;
    assert_true(json_scan(l->text, strlen(l->text), &cost, &p));
    bool ok = json_parse(&body, l->text, strlen(l->text), cost, &p) && ask_init(&a, l->endpoint->on, &p)
           && fields_read(&f, body.json, l->endpoint->on, v.strict, &a.notes, &p)
           && l->endpoint->read(&a, &f, &v, &p) && (!a.notes.failed || ask_no_memory(&p));
    json_body_free(&body);
    if (!ok && p.code != PROBLEM_out_of_memory)
        fail_msg("%s: %s: %s", l->text, problem_table[p.code].code, p.message);
    if (ok && l->endpoint->dialect)
        ok = answer(&a, l->endpoint, &v, out);
    else if (ok)
        ok = json_put(out, l->endpoint->write(&a, &v)) && !out->failed;
    mem_fail_at(0); /* from here on it is the test's memory */
    if (ok)
        describe(said, &a);
    ask_free(&a);
    assert_false(said->failed);
    return ok;
}

/* Lines of the process itself (memory, processor time) are another each time, and only have to be there. */
static bool same(const struct buf *a, const struct buf *b)
{
    static const char own[] = "hearth_process_";
    const char *at = a->ptr ? a->ptr : "", *bt = b->ptr ? b->ptr : "";
    while (*at || *bt) {
        size_t n = strcspn(at, "\n"), m = strcspn(bt, "\n");
        bool is_own = strncmp(at, own, sizeof own - 1) == 0 && strncmp(bt, own, sizeof own - 1) == 0;
        if (!is_own && (n != m || memcmp(at, bt, n) != 0))
            return false;
        if ((at[n] == '\n') != (bt[m] == '\n'))
            return false;
        at += n + (at[n] == '\n');
        bt += m + (bt[m] == '\n');
    }
    return true;
}

/* As many k as there are allocations. */
static unsigned try_life(const struct life *l, bool all_from)
{
    struct buf wanted_said = { 0 }, wanted = { 0 };
    unsigned n_tried = 0, n_refused = 0;
    assert_true(live(l, &wanted_said, &wanted));
    for (uint64_t k = 1;; k++, n_tried++) {
        struct buf said = { 0 }, out = { 0 };
        uint64_t before = mem_n_refused();
        if (all_from)
            mem_fail_from(k);
        else
            mem_fail_at(k);
        bool ok = live(l, &said, &out);
        bool reached = mem_n_refused() != before;
        if (ok && (!same(&said, &wanted_said) || !same(&out, &wanted)))
            fail_msg("%s: allocation %llu failed, and the answer is another one:\n%.*s\n%.*s", l->text,
                     (unsigned long long)k, (int)said.len, said.ptr, (int)out.len, out.ptr);
        n_refused += !ok;
        buf_free(&said);
        buf_free(&out);
        if (!reached)
            break;
    }
    buf_free(&wanted_said);
    buf_free(&wanted);
    assert_true(n_refused > n_tried / 2);
    return n_tried;
}

#define CALL "{\"id\":\"c\\u0031\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
#define USER "{\"role\":\"user\",\"content\":\"a \\\"quoted\\\" \\\\ \\u00e9 \\ud83d\\ude00 text\\n\"}"

static const struct life lives[] = {
    { &endpoint_chat_completions, "{\"messages\":[" USER "],\"n\":2,\"logprobs\":true,\"top_logprobs\":1,"
                                  "\"stop\":[\"x\"],\"logit_bias\":{\"1\":2},\"zzz\":1}" },
    { &endpoint_chat_completions, "{\"messages\":[" USER "],\"stream\":true,"
                                  "\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_k\":-1,"
                                  "\"max_tokens\":0,\"samplers\":[\"top_k\"]}" },
    /* Arguments as text with escapes inside of escapes, as an object, and the values that templates get. */
    { &endpoint_chat_completions, "{\"messages\":[" USER ",{\"role\":\"assistant\",\"tool_calls\":["
                                  CALL
                                  "\"{\\\"a\\\": \\\"\\\\\\\"\\\\\\\\ \\\\u00e9 \\\\n\\\","
                                  " \\\"b\\\": [1, 2.5, null]}\"}},"
                                  CALL "{\"a\\n\":\"\\\"\\\\ \\u00e9\",\"b\":[1,2.5,null,{\"c\":true}]}}}]},"
                                  "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"\\\\\"}],"
                                  "\"chat_template_kwargs\":{\"k\\\\\":\"\\\"\"},\"reasoning_effort\":\"low\","
                                  "\"documents\":[{\"t\":\"\\n\"}]}" },
    { &endpoint_chat_completions, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\t\"},"
                                  "{\"type\":\"text\",\"text\":\"b\",\"unknown\":1}]},{\"role\":\"assistant\","
                                  "\"content\":\"x\",\"reasoning_content\":\"\\\\\\\\\"}]}" },
    { &endpoint_completions, "{\"prompt\":[\"a\\n\",\"b\"],\"logprobs\":2,\"echo\":false,"
                             "\"max_tokens\":3,\"timeout_ms\":9}" },
    { &endpoint_completions, "{\"prompt\":[1,2,3],\"stream\":true,\"dry_sequence_breakers\":[\"\\n\"]}" },
    { &endpoint_completion, "{\"prompt\":\"\\\\a\",\"n_probs\":2,\"return_tokens\":true}" },
    { &endpoint_completion, "{\"prompt\":\"\\\\a\",\"stream\":true,\"n_probs\":1}" },
    { &endpoint_tokenize, "{\"content\":\"\\\\ \\\"\",\"with_pieces\":true}" },
    { &endpoint_detokenize, "{\"tokens\":[1,2,3]}" },
    { &endpoint_apply_template, "{\"messages\":[" USER "]}" },
};

static void a_request_without_memory_is_refused_or_right(void **state)
{
    unsigned n = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lives); i++)
        n += try_life(&lives[i], false) + try_life(&lives[i], true);
    print_message("%u failures of memory\n", n);
    assert_true(n > 1000);
}

/* ---- pages of figures ---- */

/* A page is made thousands of times: the sanitized build asks for every so-manyth of its allocations after these. */
enum { N_ALWAYS = 100 };
static uint64_t one_in = 1;

static bool read_page(const struct endpoint *e, struct buf *out)
{
    struct view v = make_view();
    struct load_figures now = { .request = { .id = "x", .state = "running" } };
    struct problem p = { 0 };
    bool ok = e->get(&v, &now, "m", out, &p);
    if (!ok && p.code != PROBLEM_out_of_memory)
        fail_msg("%s: %s", problem_table[p.code].code, p.message);
    return ok;
}

static void pages_without_memory_are_refused_or_whole(void **state)
{
    static const struct endpoint *const pages[] = { &endpoint_models, &endpoint_props, &endpoint_metrics,
                                                    &endpoint_status, &endpoint_openapi, &endpoint_health };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        struct buf whole = { 0 };
        assert_true(read_page(pages[i], &whole));
        for (uint64_t k = 1;; k += k < N_ALWAYS ? 1 : one_in) {
            struct buf out = { 0 };
            uint64_t before = mem_n_refused();
            mem_fail_at(k);
            bool ok = read_page(pages[i], &out), reached = mem_n_refused() != before;
            mem_fail_at(0);
            if (ok && !same(&out, &whole))
                fail_msg("page %zu: allocation %llu failed, and it is another one", i, (unsigned long long)k);
            buf_free(&out);
            if (!reached)
                break;
        }
        buf_free(&whole);
    }
}

/* A refusal needs memory, too; without it the connection ends. */
static void a_refusal_without_memory_is_none_or_whole(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 100; k++) {
        struct problem p = { 0 };
        refuse(&p, PROBLEM_context_length_exceeded, "p", "a \"b\"");
        p.n_ctx = 7;
        p.retry_after_s = 2;
        mem_fail_at(k);
        json_t *j = problem_to_json(&p);
        mem_fail_at(0);
        if (j)
            assert_int_equal(json_object_size(json_object_get(j, "error")), 7);
        json_decref(j);
    }
}

/* ---- a text inside of another ---- */

static void a_text_is_read_while_another_is_there(void **state)
{
    static const char outer[] = "{\"a\":\"{\\\"b\\\":[1,2]}\"}";
    struct json_body body, inner;
    struct problem p;
    json_error_t why;
    size_t cost;
    (void)state;
    assert_true(json_scan(outer, sizeof outer - 1, &cost, &p));
    assert_true(json_parse(&body, outer, sizeof outer - 1, cost, &p));
    for (int i = 0; i < 3; i++) {
        const json_t *text = json_object_get(body.json, "a");
        assert_true(json_scan(json_string_value(text), json_string_length(text), &cost, &p));
        assert_true(json_read(&inner, json_string_value(text), json_string_length(text), cost, &why));
        assert_int_equal(json_array_size(json_object_get(inner.json, "b")), 2);
        json_t *kept = json_deep_copy(inner.json); /* not in the block that goes */
        json_body_free(&inner);
        assert_int_equal(json_array_size(json_object_get(kept, "b")), 2);
        json_decref(kept);
    }
    assert_string_equal(json_string_value(json_object_get(body.json, "a")), "{\"b\":[1,2]}");
    json_body_free(&body);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_without_memory_is_refused_or_right),
        cmocka_unit_test(pages_without_memory_are_refused_or_whole),
        cmocka_unit_test(a_refusal_without_memory_is_none_or_whole),
        cmocka_unit_test(a_text_is_read_while_another_is_there),
    };
    if (argc > 1)
        one_in = strtoull(argv[1], NULL, 10);
    json_set_alloc_funcs(json_memory_alloc, json_memory_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
