/* test_give.c: memory that an engine gives back when there is little of it; no bit of any answer depends on it. */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/machine.h"
#include "infer/kv.h"
#include "server/core.h"

#include "requests.h"

/* Large pages (f32) give much memory with few tokens: what takes time here, under sanitizers most of all, is to
 * compute them. */
enum { N = 3, N_PROMPT = 1500, N_OUT = 20, N_CTX = 2048, WAIT_MS = 20000 };
enum { PAGE_BYTES = 128 << 10, SLACK_BYTES = 1 << 20 };
static const struct tiny tiny = { .arch = "llama", .type = DTYPE_q8_0, .n_ctx = N_CTX };

static int32_t ids[N + 2][N_PROMPT];
static struct answer answers[N + 2], again;

static void open_large(struct opened *o, const char *name)
{
    open_model(o, name, tiny, (hearth_engine_options){ .n_threads = 2, .n_seqs = 2 },
               (hearth_model_options){ .kv_type = HEARTH_KV_f32 });
    for (int i = 0; i < N + 2; i++)
        fill_ids(ids[i], N_PROMPT, 70 + (uint64_t)i);
}

/* When nothing has a slot any more. */
static hearth_model_now look(const struct opened *o)
{
    hearth_model_now now;
    int64_t start = clock_ns();
    do
        hearth_model_look(o->model, &now);
    while (now.n_used_pages > 0 && clock_ms_since(start) < WAIT_MS);
    assert_int_equal(now.n_used_pages, 0);
    return now;
}

/* Until so many pages were given back of what is kept. */
static void wait_for_given(const struct opened *o, uint64_t n_pages, hearth_given given[HEARTH_N_GIVES])
{
    int64_t start = clock_ns();
    do
        hearth_engine_given(o->engine, given);
    while (given[HEARTH_GIVES_KEPT].n_pages < n_pages && clock_ms_since(start) < WAIT_MS);
    assert_true(given[HEARTH_GIVES_KEPT].n_pages >= n_pages);
}

static void ask(const struct opened *o, int i, struct answer *out)
{
    hearth_request r = request_of(ids[i], N_PROMPT, N_OUT);
    answer(o, &r, out);
}

/* What was kept goes, the process is so much smaller, and who asks again gets the same bits, computed anew. */
static void kept_pages_go_and_answers_stay(void **state)
{
    struct opened o;
    hearth_given given[HEARTH_N_GIVES];
    (void)state;
    open_large(&o, "give");
    for (int i = 0; i < 2; i++)
        ask(&o, i, &answers[i]);
    ask(&o, 0, &again);
    assert_true(again.receipt.n_cached_tokens == N_PROMPT - 1);
    uint32_t n_kept = look(&o).n_kept_pages;
    assert_true(n_kept >= 2 * (N_PROMPT / 64) && look(&o).n_touched_pages >= n_kept);
    assert_int_equal(look(&o).page_bytes, PAGE_BYTES);

    uint64_t before = process_anonymous_bytes();
    hearth_engine_short(o.engine, UINT64_MAX);
    wait_for_given(&o, n_kept, given);
    uint64_t after = process_anonymous_bytes(), bytes = (uint64_t)n_kept * PAGE_BYTES;
    assert_true(before > after && before - after >= bytes - SLACK_BYTES);
    assert_int_equal(given[HEARTH_GIVES_KEPT].n_times, 1);
    assert_true(given[HEARTH_GIVES_KEPT].bytes == bytes);
    hearth_engine_short(o.engine, 0);
    for (int i = 0; i < 2; i++) {
        ask(&o, i, &again);
        assert_same(&answers[i], &again);
        assert_int_equal(again.receipt.n_cached_tokens, 0);
        /* And it says so, where the list of what was given away has it still. */
        assert_true(again.receipt.prefix_end == HEARTH_PREFIX_EVICTED || again.receipt.prefix_end == HEARTH_PREFIX_NEW);
    }
    close_model(&o);
}

/* Only when that was not enough: its workspace goes, too, and who asks wakes it. */
static void a_model_that_nobody_uses_sleeps_last(void **state)
{
    struct opened o;
    hearth_given given[HEARTH_N_GIVES];
    hearth_model_now now;
    int64_t start = clock_ns();
    (void)state;
    open_large(&o, "sleeps");
    ask(&o, 0, &answers[0]);
    uint64_t n_bytes = look(&o).n_touched_pages * (uint64_t)PAGE_BYTES;
    hearth_engine_short(o.engine, n_bytes);
    wait_for_given(&o, 1, given);
    assert_false(look(&o).asleep);
    assert_int_equal(given[HEARTH_GIVES_MODELS].n_times, 0);
    hearth_engine_short(o.engine, 1);
    do
        hearth_model_look(o.model, &now);
    while (!now.asleep && clock_ms_since(start) < WAIT_MS);
    hearth_engine_given(o.engine, given);
    assert_true(now.asleep && now.why_asleep == HEARTH_SLEEP_SHORT);
    assert_string_equal(hearth_sleep_name(now.why_asleep), "memory was short");
    ask(&o, 0, &again);
    assert_same(&answers[0], &again);
    hearth_model_look(o.model, &now);
    assert_true(!now.asleep && now.n_wakes == 1);
    hearth_engine_given(o.engine, given);
    assert_int_equal(given[HEARTH_GIVES_MODELS].n_times, 1);
    assert_true(given[HEARTH_GIVES_MODELS].bytes > 0);
    close_model(&o);
}

/* No more goes than is wanted, the longest unused first. */
static void what_was_used_last_stays(void **state)
{
    struct opened o;
    hearth_given given[HEARTH_N_GIVES];
    (void)state;
    open_large(&o, "some");
    for (int i = 0; i < 2; i++)
        ask(&o, i, &answers[i]);
    uint32_t n_kept = look(&o).n_kept_pages;
    hearth_engine_short(o.engine, 20 * PAGE_BYTES);
    wait_for_given(&o, 20, given);
    assert_int_equal(given[HEARTH_GIVES_KEPT].n_pages, 20);
    assert_int_equal(look(&o).n_kept_pages, n_kept - 20);
    ask(&o, 1, &again);
    assert_int_equal(again.receipt.n_cached_tokens, N_PROMPT - 1);
    assert_same(&answers[1], &again);
    close_model(&o);
}

/* As long as memory is short no page is touched that was not, while there are others to be had. */
static void while_it_is_short_kept_pages_are_used_again(void **state)
{
    struct opened o;
    hearth_given given[HEARTH_N_GIVES];
    (void)state;
    open_large(&o, "tight");
    ask(&o, 0, &answers[0]);
    uint32_t n_touched = look(&o).n_touched_pages;
    hearth_engine_short(o.engine, 1);
    wait_for_given(&o, 1, given);
    for (int i = 2; i < N + 2; i++) {
        ask(&o, i, &answers[i]);
        assert_true(look(&o).n_touched_pages <= n_touched);
    }
    hearth_engine_short(o.engine, 0);
    ask(&o, 1, &answers[1]);
    ask(&o, 0, &again);
    assert_same(&answers[0], &again);
    assert_true(look(&o).n_touched_pages > n_touched);
    close_model(&o);
}

/* Pages that nothing is in any more go first, and what sequences have stays what it is. */
static void free_pages_lose_what_was_in_them(void **state)
{
    enum { N_PAGES = 8 };
    struct hparams hp = { .n_layers = 1, .n_kv_layers = 1, .layer = { { .n_kv_heads = 1, .head_dim = 64 } } };
    struct kv_pool pool;
    struct kv_seq a, b;
    uint32_t n;
    hearth_error err;
    (void)state;
    assert_true(kv_create(&pool, &hp, HEARTH_KV_f16, N_PAGES, 1, &err));
    assert_true(kv_seq_create(&a, N_PAGES, &err) && kv_seq_create(&b, N_PAGES, &err));
    assert_true(kv_seq_reserve(&pool, &a, 3 * KV_PAGE_TOKENS) && kv_seq_reserve(&pool, &b, 2 * KV_PAGE_TOKENS));
    memset(pool.data, 7, 5 * pool.page_bytes);
    assert_int_equal(pool.n_touched, 5);
    assert_int_equal(kv_give_free(&pool, SIZE_MAX, &n), 0);
    assert_int_equal(n, 0);
    kv_seq_clear(&pool, &a);
    assert_int_equal(kv_give_free(&pool, 1, &n), pool.page_bytes);
    assert_int_equal(n, 1);
    assert_int_equal(kv_give_free(&pool, SIZE_MAX, &n), 2 * pool.page_bytes);
    assert_int_equal(n, 2);
    assert_int_equal(pool.n_touched, 2);
    for (size_t i = 0; i < 5 * pool.page_bytes; i++)
        assert_int_equal(pool.data[i], i < 3 * pool.page_bytes ? 0 : 7);
    assert_int_equal(kv_give_kept(&pool, SIZE_MAX, &n), 0);
    assert_true(kv_seq_reserve(&pool, &a, 6 * KV_PAGE_TOKENS));
    assert_int_equal(pool.n_touched, N_PAGES);
    kv_seq_destroy(&pool, &a);
    kv_seq_destroy(&pool, &b);
    kv_destroy(&pool);
}

/* ---- the server's look at the system ---- */

/* A machine of files: so much is left, and everybody waits for memory in so many percent of the time. */
static void make_machine(const char *root, uint64_t total_kb, uint64_t left_kb, double percent)
{
    char path[300];
    snprintf(path, sizeof path, "%s/proc", root);
    (void)!mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "MemTotal: %llu kB\nMemAvailable: %llu kB\n", (unsigned long long)total_kb, (unsigned long long)left_kb);
    fclose(f);
    snprintf(path, sizeof path, "%s/proc/pressure", root);
    (void)!mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/proc/pressure/memory", root);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "some avg10=99.00 avg60=0.00\nfull avg10=%.2f avg60=0.00\n", percent);
    fclose(f);
}

static void remove_machine(const char *root)
{
    static const char *const names[] = { "/proc/pressure/memory", "/proc/pressure", "/proc/meminfo", "/proc", "/log",
                                         "" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[300];
        snprintf(path, sizeof path, "%s%s", root, names[i]);
        remove(path);
    }
}

/* How often the log has it. */
static int count_lines(FILE *log, const char *what)
{
    char line[LOG_LINE_BYTES];
    int n = 0;
    rewind(log);
    while (fgets(line, sizeof line, log))
        n += strstr(line, what) != NULL;
    return n;
}

/* Nothing happens while there is enough; then as much goes as is wanted, it is said and counted, and answers stay. */
static void a_server_gives_back_what_the_system_lacks(void **state)
{
    char root[200], path[300];
    struct opened o;
    hearth_given given[HEARTH_N_GIVES];
    struct memory_figures now;
    struct server *s = calloc(1, sizeof *s);
    const char *dir = getenv("TMPDIR");
    hearth_error err;
    (void)state;
    open_large(&o, "relief");
    for (int i = 0; i < 2; i++)
        ask(&o, i, &answers[i]);
    uint32_t n_kept = look(&o).n_kept_pages;
    snprintf(root, sizeof root, "%s/hearth-relief-XXXXXX", dir ? dir : "/tmp");
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/log", root);
    FILE *log = fopen(path, "w+");
    assert_non_null(log);
    struct served served = { .model = o.model };
    s->served = &served;
    s->options.engine = o.engine;
    s->options.n_models = 1;
    s->options.log = log_open(fileno(log), LOG_FORM_TEXT, LOG_LEVEL_INFO, &err);
    make_machine(root, 160 << 10, 6 << 10, 0); /* more than a 32nd is left */
    relief_open(s, root);
    relief_look(s);
    relief_show(s, MEMORY_OF_WEIGHTS, &now);
    assert_false(now.is_short);
    assert_int_equal(now.limit_bytes, 160 << 20);
    assert_true(now.stalled_percent == 0 && now.n_shortages == 0);
    assert_true(now.weights_resident_bytes > 0 && now.resident_bytes > now.anonymous_bytes);

    uint64_t before = process_anonymous_bytes();
    make_machine(root, 160 << 10, 4608, 0); /* 10 MiB should be: 44 pages more */
    assert_true(n_kept > 44);
    relief_look(s);
    wait_for_given(&o, 44, given);
    assert_int_equal(given[HEARTH_GIVES_KEPT].bytes, 44 * PAGE_BYTES);
    assert_true(before - process_anonymous_bytes() >= given[HEARTH_GIVES_KEPT].bytes - SLACK_BYTES);
    make_machine(root, 160 << 10, 10 << 10, 0);
    relief_look(s);
    relief_show(s, MEMORY_OF_PROCESS, &now);
    assert_false(now.is_short);
    assert_int_equal(now.n_shortages, 1);
    assert_int_equal(now.given[HEARTH_GIVES_KEPT].n_times, 1);

    for (int i = 0; i < 2; i++) {
        ask(&o, i, &again);
        assert_same(&answers[i], &again);
    }
    n_kept = look(&o).n_kept_pages;
    make_machine(root, 160 << 10, 100 << 10, 12.5); /* there is enough, but everybody waits for it */
    relief_look(s);
    wait_for_given(&o, given[HEARTH_GIVES_KEPT].n_pages + n_kept / 16, given);
    relief_show(s, MEMORY_OF_PROCESS, &now);
    assert_true(now.is_short && now.n_shortages == 2 && now.stalled_percent == 12.5);
    assert_int_equal(given[HEARTH_GIVES_KEPT].n_times, 2);
    relief_close(s);
    log_close(s->options.log);
    assert_int_equal(count_lines(log, "warn memory gave_back=\"kept pages\" times=1"), 1);
    fclose(log);
    remove_machine(root);
    close_model(&o);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_pages_lose_what_was_in_them),
        cmocka_unit_test(kept_pages_go_and_answers_stay),
        cmocka_unit_test(a_model_that_nobody_uses_sleeps_last),
        cmocka_unit_test(what_was_used_last_stays),
        cmocka_unit_test(while_it_is_short_kept_pages_are_used_again),
        cmocka_unit_test(a_server_gives_back_what_the_system_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
