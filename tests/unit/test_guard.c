/* Heads of requests: what can be read in two ways is refused; keys are found in a time that tells nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "server/guard.h"
#include "server/route.h"

#include <cmocka.h> /* last: it has a macro fail() */

/* "Name: value\n..." as headers. */
static struct head head_of(const char *text)
{
    struct head h = { .method = "POST", .path = "/", .version = "HTTP/1.1" };
    while (*text) {
        size_t line = strcspn(text, "\n"), name = strcspn(text, ":");
        struct str value = { text + name + 1, line - name - 1 };
        while (value.len && *value.ptr == ' ') {
            value.ptr++;
            value.len--;
        }
        h.header[h.n_headers].name = (struct str){ text, name };
        h.header[h.n_headers++].value = value;
        text += line + (text[line] == '\n');
    }
    return h;
}

static void test_one_way_to_frame_a_body_is_taken(void **state)
{
    static const struct {
        const char *headers;
        bool chunked;
        uint64_t length;
    } rows[] = { { "Host: x", false, 0 }, { "host: x\ncontent-length: 15", false, 15 },
                 { "HOST: x\nTransfer-Encoding: Chunked", true, 0 }, { "Host: x\nContent-Length: 0", false, 0 },
                 { "Host: x\nX-Tab: a\tb", false, 0 },
                 { "Host: x\nContent-Length: 18446744073709551615", false, UINT64_MAX } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct head h = head_of(rows[i].headers);
        struct body_frame frame;
        struct problem p = { 0 };
        if (!guard_framing(&h, &frame, &p))
            fail_msg("%s: %s", rows[i].headers, p.message);
        assert_int_equal(frame.chunked, rows[i].chunked);
        assert_true(frame.length == rows[i].length);
    }
}

static void test_all_other_ways_are_refused(void **state)
{
    static const char *const rows[] = {
        "", "Host: x\nHost: x", "Host: x\nContent-Length: 1\nContent-Length: 1",
        "Host: x\nContent-Length: 1\nTransfer-Encoding: chunked", ("Host: x\nTransfer-Encoding: chunked\n"
        "Transfer-Encoding: chunked"), "Host: x\nTransfer-Encoding: gzip", "Host: x\nTransfer-Encoding: xchunked",
        "Host: x\nTransfer-Encoding: chunked, chunked", "Host: x\nTransfer-Encoding:", "Host: x\nContent-Length: +1",
        "Host: x\nContent-Length: -1", "Host: x\nContent-Length: 1, 1", "Host: x\nContent-Length: 0x1",
        "Host: x\nContent-Length: 18446744073709551616", "Host: x\nContent-Length:", "Host: x\nContent-Length: 1 ",
        "Host: x\nX : 1", "Host: x\n: 1", "Host: x\nX\x01: 1", "Host: x\nX: \x01", "Host: x\nX: a\rb",
        "Host: x\nX\x80: 1", "Host: x\nX(: 1",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct head h = head_of(rows[i]);
        struct body_frame frame;
        struct problem p = { 0 };
        if (guard_framing(&h, &frame, &p))
            fail_msg("taken: %s", rows[i]);
        assert_int_equal(p.code, PROBLEM_bad_framing);
    }
}

static void test_a_coding_under_chunks_is_not_implemented(void **state)
{
    (void)state;
    struct head h = head_of("Host: x\nTransfer-Encoding: gzip, chunked");
    struct body_frame frame;
    struct problem p = { 0 };
    assert_false(guard_framing(&h, &frame, &p));
    assert_int_equal(p.code, PROBLEM_not_implemented);
}

static void test_versions_and_bodies_have_limits(void **state)
{
    (void)state;
    struct head h = head_of("Host: x\nContent-Length: 100");
    struct body_frame frame;
    struct problem p = { 0 };
    assert_true(guard_framing(&h, &frame, &p));
    assert_true(guard_body(&h, &frame, 100, &p));
    assert_false(guard_body(&h, &frame, 99, &p));
    assert_int_equal(p.code, PROBLEM_body_too_large);
    h.version = "HTTP/2.0";
    assert_false(guard_framing(&h, &frame, &p));
    assert_int_equal(p.code, PROBLEM_http_version);
    h = head_of("Host: x");
    assert_true(guard_framing(&h, &frame, &p));
    assert_false(guard_body(&h, &frame, 99, &p));
    assert_int_equal(p.code, PROBLEM_length_required);
    h = head_of("");
    h.version = "HTTP/1.0"; /* had no Host yet */
    assert_true(guard_framing(&h, &frame, &p));
}

static struct keys *keys_of(const char *text)
{
    struct keys *k = calloc(1, sizeof *k);
    hearth_error err = { 0 };
    if (!keys_read(k, text, "keys", &err))
        fail_msg("%s: %s", text, err.message);
    return k;
}

static void test_keys_are_found_and_only_they(void **state)
{
    (void)state;
    char hex[65], text[200];
    struct sha256 *s = sha256_new();
    sha256_add(s, "gamma", 5);
    sha256_hex(s, hex);
    sha256_free(s);
    snprintf(text, sizeof text, "# keys\n\nalpha requests=3\r\n  beta # of somebody\nsha256:%s requests=1 # x\n", hex);
    struct keys *k = keys_of(text);
    assert_int_equal(k->n, 3);
    static const struct {
        const char *header;
        int which;
    } rows[] = { { "Authorization: Bearer alpha", 0 }, { "authorization: bearer beta", 1 }, { "X-Api-Key: gamma", 2 },
                 { "Authorization: Bearer alph", -1 }, { "Authorization: Bearer alphaa", -1 },
                 { "Authorization: alpha", -1 }, { "Authorization: Bearer ", -1 }, { "X-Api-Key:", -1 }, { "X: "
                         "alpha", -1 },
                 { "X-Api-Key: alpha\nX-Api-Key: alpha", -1 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct head h = head_of(rows[i].header);
        struct problem p = { 0 };
        struct key *key;
        assert_int_equal(guard_key(k, &h, &key, &p), rows[i].which >= 0);
        assert_ptr_equal(key, rows[i].which < 0 ? NULL : k->key[rows[i].which]);
        if (!key)
            assert_int_equal(p.code, PROBLEM_invalid_api_key);
    }
    assert_int_equal(k->key[0]->n_at_once, 3);
    assert_int_equal(k->key[1]->n_at_once, 0);
    keys_free(k);
    free(k);
}

static void test_a_key_file_that_is_none_is_refused_by_its_line(void **state)
{
    static const char *const rows[] = { "", "# nothing\n", "a b\n", "a requests=0\n", "a requests=x\n", "sha256:12\n",
                                        "a requests=1 b\n", "sha256:zz\n", "a tokens=0\n",
                                        "a tokens=1 tokens=2\n", "a tokens=1000000001\n", "a requests=1 requests=1\n",
                                        "a tokens=\n", "a name=\n", "a name=x name=y\n", "a name=x/y\n",
                                        "a name=1234567890123456789012345678901234567890123456789\n",
                                        "a observer observer\n", "a name=x\nb name=x\n", "a\nb name=line-1\n",
                                        "a\n# again:\na requests=1\n" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct keys *k = calloc(1, sizeof *k);
        hearth_error err = { 0 };
        assert_false(keys_read(k, rows[i], "keys", &err));
        assert_int_equal(err.status, HEARTH_ERR_USAGE);
        assert_non_null(strstr(err.message, "keys"));
        assert_int_equal(k->n, 0);
        free(k);
    }
}

static void test_keys_have_names_and_a_salt_of_their_own(void **state)
{
    (void)state;
    struct keys *k = keys_of("# ours\nalpha name=alice.b@x-1 observer\nbeta\n"), *again = keys_of("beta\nalpha\n");
    assert_string_equal(k->key[0]->name, "alice.b@x-1");
    assert_true(k->key[0]->is_observer && !k->key[1]->is_observer);
    assert_string_equal(k->key[1]->name, "line-3");
    assert_true(k->key[0]->salt != 0 && k->key[0]->salt != k->key[1]->salt);
    assert_true(k->key[0]->salt == again->key[1]->salt); /* wherever it stands */
    char digits[17];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)k->key[0]->salt);
    assert_int_not_equal(strncmp(digits, k->key[0]->sha256, 15), 0);
    keys_free(k);
    keys_free(again);
    free(k);
    free(again);
}

static struct key *key_of(struct keys *k, const char *header)
{
    struct head h = head_of(header);
    struct problem p = { 0 };
    struct key *key;
    guard_key(k, &h, &key, &p);
    return key;
}

static void test_a_file_that_is_read_again_changes_terms_and_no_request(void **state)
{
    (void)state;
    struct keys *k = keys_of("a name=ann tokens=60\nb name=bob\nc name=cid\n"),
                *fresh = keys_of("d name=bob observer\na name=anna requests=2 tokens=600\n");
    struct key *a = k->key[0], *b = k->key[1];
    a->n_now = 2;
    a->usage.n_requests = 7;
    key_charge(a, 50, 1000);
    b->n_now = 2; /* it runs on, and is no key any more */
    keys_adopt(k, fresh);
    assert_int_equal(k->n, 2);
    assert_int_equal(fresh->n, 0);
    assert_ptr_equal(key_of(k, "X-Api-Key: a"), a);
    assert_string_equal(a->name, "anna");
    assert_int_equal(a->n_at_once, 2);
    assert_int_equal(a->n_now, 2);
    assert_int_equal(a->usage.n_requests, 7);
    double full_s;
    assert_int_equal(key_tokens_left(a, 1000, &full_s), 550); /* what it used it has used */
    assert_null(key_of(k, "X-Api-Key: b"));
    assert_null(key_of(k, "X-Api-Key: c"));
    assert_true(key_of(k, "X-Api-Key: d")->is_observer && !b->is_observer);
    assert_true(b->revoked && !a->revoked);
    key_leave(b);
    assert_int_equal(b->n_now, 1);
    key_leave(b); /* and now it is gone: the sanitizer looks */
    key_leave(a);
    assert_int_equal(a->n_now, 1);
    keys_free(k);
    free(k);
    free(fresh);
}

static void test_tokens_of_a_minute_come_back_with_time(void **state)
{
    (void)state;
    const int64_t s = 1000000000, t = 77 * s;
    double full_s;
    struct keys *k = keys_of("a tokens=600 requests=2 # ours\nb requests=4 tokens=1\nc\n");
    assert_int_equal(k->key[0]->n_at_once, 2);
    assert_int_equal(k->key[0]->n_per_minute, 600);
    assert_int_equal(k->key[1]->n_at_once, 4);
    struct key *key = k->key[0];
    assert_true(key_wait_s(key, t) == 0);
    assert_int_equal(key_tokens_left(key, t, &full_s), 600);
    key_charge(key, 300, t);
    assert_int_equal(key_tokens_left(key, t, &full_s), 300);
    assert_true(full_s == 30 && key_wait_s(key, t) == 0);
    assert_int_equal(key_tokens_left(key, t + 10 * s, &full_s), 400);
    key_charge(key, 1000, t + 10 * s); /* more than there is: paid back before the next */
    assert_int_equal(key_tokens_left(key, t + 10 * s, &full_s), 0);
    assert_float_equal(key_wait_s(key, t + 10 * s), 60.1, 1e-6);
    assert_true(key_wait_s(key, t + 70 * s) > 0 && key_wait_s(key, t + 71 * s) == 0);
    assert_int_equal(key_tokens_left(key, t + 1000 * s, &full_s), 600); /* never more */
    key_charge(k->key[1], 1, t);
    assert_float_equal(key_wait_s(k->key[1], t), 60, 1e-6);
    key_charge(k->key[2], 1 << 30, t);
    assert_true(key_wait_s(k->key[2], t) == 0);
    keys_free(k);
    free(k);
}

static void test_paths_are_found_as_they_are(void **state)
{
    static const struct {
        const char *method, *path, *tail;
        enum problem_code code;
    } rows[] = { { "GET", "/health", "", PROBLEM_none }, { "HEAD", "/health", "", PROBLEM_none },
                 { "GET", "/v1/models/a/b", "a/b", PROBLEM_none }, { "GET", "/v1/models/", NULL, PROBLEM_not_found },
                 { "POST", "/health", NULL, PROBLEM_method_not_allowed }, { "GET", "/healthx", NULL,
                                                                           PROBLEM_not_found },
                 { "GET", "/health/", NULL, PROBLEM_not_found }, { "GET", "", NULL, PROBLEM_not_found },
                 { "GET", "/hearth/requests/a/tokens", "a/tokens", PROBLEM_none },
                 { "GET", "/hearth/requests/a", "a", PROBLEM_none },
                 { "GET", "/hearth/requests/a/b/tokens", "a/b/tokens", PROBLEM_none }, /* an id, if a strange one */
                 { "GET", "/hearth/requests//tokens", "/tokens", PROBLEM_none },
                 { "DELETE", "/hearth/requests/a/tokens", NULL, PROBLEM_method_not_allowed },
                 { "POST", "/hearth/requests/a/tokens", NULL, PROBLEM_method_not_allowed },
                 { "GET", "/a%00", NULL, PROBLEM_bad_framing }, { "GET", "/", "", PROBLEM_none } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct problem p = { 0 };
        const char *tail = NULL;
        const struct route *r = route_find(rows[i].method, rows[i].path, &tail, &p);
        assert_int_equal(p.code, rows[i].code);
        assert_int_equal(r != NULL, rows[i].code == PROBLEM_none);
        if (r)
            assert_string_equal(tail, rows[i].tail);
    }
    for (const struct route *r = routes; r->path; r++)
        assert_true(r->endpoint->get || (r->endpoint->read && strcmp(r->method, "POST") == 0)
                    || (r->endpoint->explains && r->endpoint->dialect && strcmp(r->method, "GET") == 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_way_to_frame_a_body_is_taken),
        cmocka_unit_test(test_all_other_ways_are_refused),
        cmocka_unit_test(test_a_coding_under_chunks_is_not_implemented),
        cmocka_unit_test(test_versions_and_bodies_have_limits),
        cmocka_unit_test(test_keys_are_found_and_only_they),
        cmocka_unit_test(test_a_key_file_that_is_none_is_refused_by_its_line),
        cmocka_unit_test(test_keys_have_names_and_a_salt_of_their_own),
        cmocka_unit_test(test_a_file_that_is_read_again_changes_terms_and_no_request),
        cmocka_unit_test(test_tokens_of_a_minute_come_back_with_time),
        cmocka_unit_test(test_paths_are_found_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
