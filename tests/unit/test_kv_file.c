/* test_kv_file.c: a page as a file: what is believed of it, and what every kind of damage is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/rng.h"
#include "infer/kv_file.h"

#include <cmocka.h> /* after our headers: it has a macro fail() */

enum { DATA = 1024 };

static const struct kv_form form = { .model = { 1, 2, 3 }, .kv_type = 0, .arithmetic_revision = 7,
                                     .page_bytes = DATA };

struct made {
    int32_t tokens[PREFIX_PAGE_TOKENS];
    uint8_t head[KV_FILE_HEAD_BYTES], data[DATA];
    struct kv_file_page page;
};

static void make(struct made *m, uint64_t seed)
{
    struct rng r = { seed, 0 };
    struct sha256 *sha = sha256_new();
    assert_non_null(sha);
    for (int i = 0; i < PREFIX_PAGE_TOKENS; i++)
        m->tokens[i] = (int32_t)rng_below(&r, 1000);
    for (int i = 0; i < DATA; i++)
        m->data[i] = (uint8_t)rng_below(&r, 256);
    m->page = (struct kv_file_page){ .number = 0, .tokens = m->tokens };
    kv_key_first(sha, &form, 0, &m->page.before);
    kv_key_next(sha, &m->page.before, m->tokens, &m->page.key);
    kv_file_head(m->head, &form, &m->page, kv_file_sum(m->data, DATA));
    sha256_free(sha);
}

static enum kv_file_fault check(const struct made *m, uint64_t n_bytes)
{
    uint64_t sum;
    enum kv_file_fault fault = kv_file_check(m->head, n_bytes, &form, &m->page, &sum);
    return fault == KV_FILE_GOOD && sum != kv_file_sum(m->data, DATA) ? KV_FILE_DATA : fault;
}

static void every_bit_of_a_file_counts(void **state)
{
    struct made m;
    (void)state;
    make(&m, 1);
    assert_int_equal(check(&m, KV_FILE_HEAD_BYTES + DATA), KV_FILE_GOOD);
    for (int i = 0; i < KV_FILE_HEAD_BYTES * 8; i++) {
        m.head[i / 8] ^= (uint8_t)(1 << i % 8);
        enum kv_file_fault fault = check(&m, KV_FILE_HEAD_BYTES + DATA);
        assert_int_equal(fault, i < 64 ? KV_FILE_FOREIGN : i < 96 ? KV_FILE_OTHER_VERSION : KV_FILE_HEAD);
        m.head[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (int i = 0; i < DATA * 8; i++) {
        m.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(check(&m, KV_FILE_HEAD_BYTES + DATA), KV_FILE_DATA);
        m.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (uint64_t n = 0; n < 2 * (KV_FILE_HEAD_BYTES + DATA); n++)
        assert_int_equal(check(&m, n), n == KV_FILE_HEAD_BYTES + DATA ? KV_FILE_GOOD : KV_FILE_LENGTH);
}

/* Whole, with right checksums, and still not what was asked for. */
static void a_whole_file_of_somebody_else_is_not_used(void **state)
{
    struct made m, other;
    uint64_t sum;
    (void)state;
    make(&m, 1);
    make(&other, 2);
    memcpy(other.head, m.head, sizeof m.head);
    assert_int_equal(check(&other, KV_FILE_HEAD_BYTES + DATA), KV_FILE_OTHER);
    struct kv_form forms[] = { form, form, form, form };
    forms[0].model[31]++;
    forms[1].kv_type++;
    forms[2].arithmetic_revision++;
    forms[3].page_bytes += 64;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        assert_int_equal(kv_file_check(m.head, kv_file_bytes(&forms[i]), &forms[i], &m.page, &sum), KV_FILE_OTHER);
    m.page.number++;
    assert_int_equal(check(&m, KV_FILE_HEAD_BYTES + DATA), KV_FILE_OTHER);
    m.page.number--;
    m.tokens[63]++; /* a key that says other tokens does not happen; the tokens are compared all the same */
    assert_int_equal(check(&m, KV_FILE_HEAD_BYTES + DATA), KV_FILE_OTHER);
}

static bool same(const struct kv_key *a, const struct kv_key *b) { return memcmp(a, b, sizeof *a) == 0; }

static void a_key_is_of_all_tokens_the_form_and_the_salt(void **state)
{
    struct made m;
    struct kv_key first, key, again, other;
    struct sha256 *sha = sha256_new();
    (void)state;
    make(&m, 3);
    kv_key_first(sha, &form, 5, &first);
    kv_key_next(sha, &first, m.tokens, &key);
    kv_key_first(sha, &form, 5, &other);
    kv_key_next(sha, &other, m.tokens, &again);
    assert_true(same(&key, &again));
    kv_key_next(sha, &key, m.tokens, &again);
    assert_false(same(&key, &again));
    kv_key_first(sha, &form, 6, &other);
    kv_key_next(sha, &other, m.tokens, &again);
    assert_false(same(&key, &again));
    struct kv_form another = form;
    another.arithmetic_revision++;
    kv_key_first(sha, &another, 5, &other);
    assert_false(same(&first, &other));
    for (int i = 0; i < PREFIX_PAGE_TOKENS; i++) {
        m.tokens[i] ^= 1 << i % 31;
        kv_key_next(sha, &first, m.tokens, &again);
        assert_false(same(&key, &again));
        m.tokens[i] ^= 1 << i % 31;
    }
    sha256_free(sha);
}

static void names_are_those_of_keys_and_no_others(void **state)
{
    static const char *const others[] = {
        "", ".kv", "hearth.lock", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef.kv.part",
        "0123456789ABCDEF0123456789abcdef.kv", "0123456789abcdef0123456789abcdeg.kv",
        "0123456789abcdef0123456789abcdef0.kv", "0123456789abcdef0123456789abcde.kv",
    };
    struct kv_id id = { { 0x0123456789abcdef, 0xfedcba9876543210 } }, got;
    char name[KV_FILE_NAME_BYTES];
    (void)state;
    kv_file_name(id, name);
    assert_string_equal(name, "0123456789abcdeffedcba9876543210.kv");
    assert_true(kv_file_name_read(name, &got));
    assert_memory_equal(&got, &id, sizeof id);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(kv_file_name_read(others[i], &got));
}

static void a_sum_is_of_all_bytes_and_the_length(void **state)
{
    uint8_t bytes[300] = { 0 };
    uint64_t sums[301];
    (void)state;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        sums[n] = kv_file_sum(bytes, n);
        for (size_t i = 0; i < n; i++)
            assert_true(sums[i] != sums[n]);
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = 1;
        for (size_t n = 0; n <= sizeof bytes; n++)
            assert_true((kv_file_sum(bytes, n) == sums[n]) == (n <= i));
        bytes[i] = 0;
    }
    for (size_t i = 8; i < sizeof bytes; i += 8) { /* the same words in another order */
        bytes[i - 8] = 1;
        uint64_t a = kv_file_sum(bytes, 296);
        bytes[i - 8] = 0;
        bytes[i] = 1;
        assert_true(i >= 296 || a != kv_file_sum(bytes, 296));
        bytes[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_of_a_file_counts),
        cmocka_unit_test(a_whole_file_of_somebody_else_is_not_used),
        cmocka_unit_test(a_key_is_of_all_tokens_the_form_and_the_salt),
        cmocka_unit_test(names_are_those_of_keys_and_no_others),
        cmocka_unit_test(a_sum_is_of_all_bytes_and_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
