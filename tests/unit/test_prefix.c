/* test_prefix.c: pages of keys and values are found by the tokens they were computed from, and by nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "infer/kv.h"

#include <cmocka.h>

enum { PAGE = KV_PAGE_TOKENS, N_SEQS = 4, MOST_TOKENS = 8 * PAGE };

static struct kv_pool pool;

/* What a sequence computes here for a position is its token and the salt: what a page holds is what it should hold. */
struct computed {
    int32_t token;
    uint32_t salt;
};

struct one {
    struct kv_seq kv;
    int32_t tokens[MOST_TOKENS];
    int n_done;
};
static struct one seqs[N_SEQS];

static void open_pool(uint32_t n_pages)
{
    const struct hparams hp = { .n_layers = 1, .n_kv_layers = 1, .layer = { { .n_kv_heads = 1, .head_dim = 8 } } };
    hearth_error err = { 0 };
    assert_true(kv_create(&pool, &hp, HEARTH_KV_f16, n_pages, 1, &err));
    assert_true(pool.page_bytes >= PAGE * sizeof(struct computed));
    memset(seqs, 0, sizeof seqs);
    for (int i = 0; i < N_SEQS; i++)
        assert_true(kv_seq_create(&seqs[i].kv, MOST_TOKENS / PAGE, &err));
}

static void close_pool(void)
{
    for (int i = 0; i < N_SEQS; i++)
        kv_seq_destroy(&pool, &seqs[i].kv);
    kv_destroy(&pool);
}

static struct computed *at(const struct one *s, int i)
{
    return (struct computed *)(void *)(pool.data + s->kv.pages[i / PAGE] * pool.page_bytes) + i % PAGE;
}

static void assert_right(const struct one *s)
{
    for (int i = 0; i < s->n_done; i++) {
        assert_int_equal(at(s, i)->token, s->tokens[i]);
        assert_int_equal(at(s, i)->salt, s->kv.salt);
    }
}

static struct kv_match begin(struct one *s, uint64_t salt, const int32_t *tokens, int n)
{
    struct kv_match m;
    memcpy(s->tokens, tokens, (size_t)n * sizeof *tokens);
    kv_seq_find(&pool, &s->kv, salt, s->tokens, n, &m);
    s->n_done = m.n_tokens;
    assert_right(s);
    return m;
}

static bool compute(struct one *s, int n)
{
    if (!kv_seq_reserve(&pool, &s->kv, n))
        return false;
    for (; s->n_done < n; s->n_done++)
        *at(s, s->n_done) = (struct computed){ s->tokens[s->n_done], (uint32_t)s->kv.salt };
    kv_seq_publish(&pool, &s->kv, s->tokens, s->n_done);
    return true;
}

static void leave(struct one *s)
{
    kv_seq_leave(&pool, &s->kv, s->tokens, s->n_done);
    s->n_done = 0;
}

static void run(struct one *s, uint64_t salt, const int32_t *tokens, int n)
{
    begin(s, salt, tokens, n);
    assert_true(compute(s, n));
    leave(s);
}

static void count(int32_t *tokens, int n, int32_t from)
{
    for (int i = 0; i < n; i++)
        tokens[i] = from + i;
}

/* ---- what is found, and why not more ---- */

static void what_ended_is_found_to_the_token(void **state)
{
    int32_t a[200], b[200];
    (void)state;
    open_pool(16);
    count(a, 200, 1000);
    run(&seqs[0], 7, a, 150);
    assert_int_equal(kv_available(&pool), 16);
    for (int n = 1; n <= 150; n++) {
        struct kv_match m = begin(&seqs[n % N_SEQS], 7, a, n);
        assert_int_equal(m.n_tokens, n);
        assert_int_equal(m.end, HEARTH_PREFIX_WHOLE);
        leave(&seqs[n % N_SEQS]);
    }
    struct kv_match m = begin(&seqs[1], 7, a, 200);
    assert_int_equal(m.n_tokens, 150);
    assert_int_equal(m.end, HEARTH_PREFIX_ENDED);
    leave(&seqs[1]);
    for (int differs = 1; differs < 150; differs++) {
        memcpy(b, a, sizeof b);
        b[differs] = -5;
        m = begin(&seqs[2], 7, b, 200);
        assert_int_equal(m.n_tokens, differs);
        assert_int_equal(m.end, HEARTH_PREFIX_DIFFERS);
        assert_int_equal(m.other, differs % PAGE ? a[differs] : -1);
        leave(&seqs[2]);
    }
    b[0] = -5;
    m = begin(&seqs[2], 7, b, 200);
    assert_int_equal(m.n_tokens, 0);
    assert_int_equal(m.end, HEARTH_PREFIX_NEW);
    leave(&seqs[2]);
    close_pool();
}

static void nothing_is_found_under_another_salt(void **state)
{
    int32_t a[200];
    (void)state;
    open_pool(16);
    count(a, 200, 1000);
    run(&seqs[0], 7, a, 150);
    struct kv_match m = begin(&seqs[1], 8, a, 150);
    assert_int_equal(m.n_tokens, 0);
    assert_int_equal(m.end, HEARTH_PREFIX_NEW);
    assert_true(compute(&seqs[1], 150));
    leave(&seqs[1]);
    assert_int_equal(begin(&seqs[2], 7, a, 150).n_tokens, 150); /* both are kept */
    assert_int_equal(begin(&seqs[3], 8, a, 150).n_tokens, 150);
    assert_true(seqs[2].kv.pages[0] != seqs[3].kv.pages[0]);
    close_pool();
}

/* The hash says where to look and no more. */
static void a_hash_alone_is_no_hit(void **state)
{
    int32_t a[PAGE], b[PAGE];
    (void)state;
    open_pool(4);
    count(a, PAGE, 0);
    memcpy(b, a, sizeof b);
    b[40]++;
    prefix_add(&pool.tree, 2, PREFIX_NONE, 7, a, PAGE);
    assert_int_equal(prefix_find(&pool.tree, PREFIX_NONE, 7, a), 2);
    assert_int_equal(prefix_find(&pool.tree, PREFIX_NONE, 7, b), PREFIX_NONE);
    prefix_add(&pool.tree, 3, PREFIX_NONE, 7, b, PAGE);
    /* forge: the page of b under the hash of a, before that of a */
    struct prefix_tree *t = &pool.tree;
    uint32_t *of_a = &t->same[t->nodes[2].hash & (t->n_buckets - 1)];
    uint32_t *of_b = &t->same[t->nodes[3].hash & (t->n_buckets - 1)];
    *of_b = PREFIX_NONE;
    *of_a = 3;
    t->nodes[3].hash = t->nodes[2].hash;
    t->nodes[3].next_same = 2;
    t->nodes[2].next_same = PREFIX_NONE;
    assert_int_equal(prefix_find(t, PREFIX_NONE, 7, a), 2);
    t->nodes[2].parent = 0; /* nor behind another page */
    assert_int_equal(prefix_find(t, PREFIX_NONE, 7, a), PREFIX_NONE);
    t->nodes[2].parent = PREFIX_NONE;
    t->nodes[2].salt = 8;
    assert_int_equal(prefix_find(t, PREFIX_NONE, 7, a), PREFIX_NONE);
    t->nodes[2].n_tokens = t->nodes[3].n_tokens = 0;
    close_pool();
}

/* ---- sharing ---- */

static void full_pages_are_shared_and_others_copied(void **state)
{
    int32_t a[200];
    (void)state;
    open_pool(16);
    count(a, 200, 1000);
    run(&seqs[0], 0, a, 150);
    begin(&seqs[0], 0, a, 150);
    begin(&seqs[1], 0, a, 150);
    assert_memory_equal(seqs[0].kv.pages, seqs[1].kv.pages, 2 * sizeof(uint32_t));
    assert_int_equal(pool.n_refs[seqs[0].kv.pages[0]], 2);
    assert_true(seqs[0].kv.pages[2] != seqs[1].kv.pages[2]);
    seqs[0].tokens[150] = 1;
    seqs[1].tokens[150] = 2;
    assert_true(compute(&seqs[0], 151) && compute(&seqs[1], 151));
    assert_right(&seqs[0]);
    assert_right(&seqs[1]);
    close_pool();
}

static void who_comes_meanwhile_goes_on_with_what_is_there(void **state)
{
    int32_t a[300];
    (void)state;
    open_pool(16);
    count(a, 300, 1000);
    for (int i = 0; i < 2; i++)
        begin(&seqs[i], 0, a, 300);
    assert_true(compute(&seqs[1], 70) && compute(&seqs[0], 200)); /* the same page of both: one is kept */
    assert_int_equal(seqs[0].kv.pages[0], seqs[1].kv.pages[0]);
    assert_int_equal(kv_available(&pool), 16 - 5);
    seqs[1].n_done = kv_seq_join(&pool, &seqs[1].kv, seqs[1].tokens, seqs[1].n_done, 300);
    assert_int_equal(seqs[1].n_done, 192);
    assert_int_equal(kv_available(&pool), 16 - 4);
    assert_right(&seqs[1]);
    assert_int_equal(kv_seq_join(&pool, &seqs[1].kv, seqs[1].tokens, 192, 300), 192);
    close_pool();
}

/* What is computed to be compared with what is kept must not be it. */
static void who_stays_apart_has_only_its_own_pages(void **state)
{
    int32_t a[300];
    (void)state;
    open_pool(16);
    count(a, 300, 1000);
    run(&seqs[0], 0, a, 150);
    struct one *s = &seqs[1];
    memcpy(s->tokens, a, sizeof a);
    s->kv.apart = true;
    assert_true(compute(s, 70));
    assert_int_equal(kv_seq_join(&pool, &s->kv, s->tokens, 70, 300), 70);
    assert_true(compute(s, 290));
    assert_int_equal(s->kv.n_in_tree, 0);
    assert_int_equal(kv_available(&pool), 16 - 5);
    leave(s);
    assert_int_equal(kv_available(&pool), 16);
    assert_int_equal(begin(&seqs[2], 0, a, 300).n_tokens, 150);
    close_pool();
}

/* ---- giving pages away ---- */

static void the_oldest_pages_are_given_away_from_their_ends(void **state)
{
    int32_t a[200], b[200], c[400];
    (void)state;
    open_pool(8);
    count(a, 200, 1000);
    count(b, 200, 2000);
    count(c, 400, 3000);
    run(&seqs[0], 0, a, 150); /* 3 pages each */
    run(&seqs[0], 0, b, 150);
    run(&seqs[0], 0, c, 256); /* 2 free, 2 of a */
    struct kv_match m = begin(&seqs[0], 0, a, 200);
    assert_int_equal(m.n_tokens, 64);
    assert_int_equal(m.end, HEARTH_PREFIX_EVICTED);
    leave(&seqs[0]);
    m = begin(&seqs[0], 0, b, 200);
    assert_int_equal(m.n_tokens, 150);
    assert_true(compute(&seqs[0], 200));
    leave(&seqs[0]);
    run(&seqs[1], 0, a, 128); /* what was computed again is there again */
    assert_int_equal(begin(&seqs[1], 0, a, 128).n_tokens, 128);
    close_pool();
}

/* A pool that one sequence fills: the page that is copied from becomes the copy. */
static void a_full_pool_still_goes_on_from_its_last_page(void **state)
{
    int32_t a[200];
    (void)state;
    open_pool(3);
    count(a, 200, 1000);
    run(&seqs[0], 0, a, 150);
    struct kv_match m = begin(&seqs[0], 0, a, 160);
    assert_int_equal(m.n_tokens, 150);
    assert_int_equal(m.end, HEARTH_PREFIX_ENDED);
    assert_true(compute(&seqs[0], 160));
    assert_right(&seqs[0]);
    /* somebody else has all pages: nothing to copy to, and it says so */
    m = begin(&seqs[1], 0, a, 100);
    assert_int_equal(m.n_tokens, 64);
    assert_int_equal(m.end, HEARTH_PREFIX_NO_PAGE);
    assert_false(compute(&seqs[1], 100));
    close_pool();
}

static void look_says_what_find_will_find(void **state)
{
    int32_t a[200];
    uint32_t n_full, n_idle;
    (void)state;
    open_pool(16);
    count(a, 200, 1000);
    run(&seqs[0], 3, a, 200);
    kv_look(&pool, 3, a, 199, &n_full, &n_idle);
    assert_int_equal(n_full, 3);
    assert_int_equal(n_idle, 3);
    begin(&seqs[0], 3, a, 70);
    kv_look(&pool, 3, a, 199, &n_full, &n_idle);
    assert_int_equal(n_full, 3);
    assert_int_equal(n_idle, 2);
    kv_look(&pool, 4, a, 199, &n_full, &n_idle);
    assert_int_equal(n_full, 0);
    close_pool();
}

/* ---- anything at all ---- */

/* Tokens of few kinds, so that beginnings meet; now and then another salt. */
static void random_prompt(struct rng *r, int32_t *tokens, int n)
{
    for (int i = 0; i < n; i++)
        tokens[i] = (int32_t)(rng_below(r, 80) ? (uint32_t)i / 40 : rng_below(r, 3));
}

static void check_pool(void)
{
    uint32_t n_used = 0;
    for (uint32_t p = 0; p < pool.n_pages; p++) {
        uint32_t n = 0;
        for (int i = 0; i < N_SEQS; i++)
            for (uint32_t k = 0; k < seqs[i].kv.n_pages; k++)
                n += seqs[i].kv.pages[k] == p;
        assert_int_equal(pool.n_refs[p], n);
        n_used += n > 0;
        const struct prefix_node *node = &pool.tree.nodes[p];
        if (prefix_has(&pool.tree, p) && node->parent != PREFIX_NONE) {
            assert_true(prefix_has(&pool.tree, node->parent));
            assert_true(pool.n_refs[node->parent] >= n);
        }
    }
    assert_int_equal(n_used + kv_available(&pool), pool.n_pages);
    for (uint32_t p = pool.tree.oldest; p != PREFIX_NONE; p = pool.tree.nodes[p].newer)
        for (uint32_t up = pool.tree.nodes[p].parent, q = p; up != PREFIX_NONE && pool.tree.nodes[up].idle;
             up = PREFIX_NONE) { /* the parent is newer */
            while (q != PREFIX_NONE && q != up)
                q = pool.tree.nodes[q].newer;
            assert_int_equal(q, up);
        }
}

static void no_order_of_things_gives_a_wrong_page(void **state)
{
    static int32_t prompt[MOST_TOKENS];
    struct rng r = { 11, 0 };
    unsigned n_found = 0, n_joined = 0, n_short = 0;
    (void)state;
    open_pool(14);
    for (int turn = 0; turn < 20000; turn++) {
        struct one *s = &seqs[rng_below(&r, N_SEQS)];
        int n = 1 + (int)rng_below(&r, MOST_TOKENS);
        switch (rng_below(&r, 5)) {
        case 0:
            leave(s);
            break;
        case 1:
            leave(s);
            s->kv.apart = false;
            random_prompt(&r, prompt, MOST_TOKENS);
            memcpy(s->tokens, prompt, sizeof prompt);
            if (rng_below(&r, 9) == 0)
                s->kv.apart = true;
            else
                n_found += begin(s, rng_below(&r, 8) == 0, prompt, n).n_tokens > 0;
            break;
        case 2:
            if (s->n_done > 0) {
                int had = s->n_done;
                s->n_done = kv_seq_join(&pool, &s->kv, s->tokens, s->n_done, n);
                n_joined += s->n_done > had;
            }
            break;
        default:
            n_short += n > s->n_done && !compute(s, min_int(n, s->n_done + 200));
        }
        assert_right(s);
        check_pool();
    }
    assert_true(n_found > 500 && n_joined > 100 && n_short > 100 && pool.tree.n_given_away > 500);
    close_pool();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ended_is_found_to_the_token),
        cmocka_unit_test(nothing_is_found_under_another_salt),
        cmocka_unit_test(a_hash_alone_is_no_hit),
        cmocka_unit_test(full_pages_are_shared_and_others_copied),
        cmocka_unit_test(who_comes_meanwhile_goes_on_with_what_is_there),
        cmocka_unit_test(who_stays_apart_has_only_its_own_pages),
        cmocka_unit_test(the_oldest_pages_are_given_away_from_their_ends),
        cmocka_unit_test(a_full_pool_still_goes_on_from_its_last_page),
        cmocka_unit_test(look_says_what_find_will_find),
        cmocka_unit_test(no_order_of_things_gives_a_wrong_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
