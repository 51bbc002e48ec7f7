/* test_base.c: arenas, buffers, files, the pool, errors: what everything stands on. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/thread.h"

static bool set_error(hearth_error *err) { return fail(err, HEARTH_ERR_FORMAT, "line\n%s", "two"); }

#undef fail
#include <cmocka.h>

static void temp_path(char *out, size_t room, const char *name)
{
    const char *dir = getenv("TMPDIR");
    snprintf(out, room, "%s/hearth-base-%ld-%s", dir ? dir : "/tmp", (long)getpid(), name);
}

static void an_arena_holds_its_ceiling_and_stays_failed(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 100000);
    for (int i = 0; i < 50; i++) {
        uint64_t *p = arena_array(&a, uint64_t, 25);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 8, 0);
        assert_int_equal(p[0] | p[24], 0);
        memset(p, 0xff, 25 * sizeof *p);
    }
    assert_true(a.total_bytes <= 100000);
    assert_null(arena_alloc(&a, 100000, 8));
    assert_true(a.failed);
    assert_null(arena_array(&a, uint64_t, SIZE_MAX / 4)); /* n * size overflows */
    arena_free(&a);
    arena_free(&a);
}

static void an_arena_reports_memory_running_out(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    mem_fail_at(1);
    assert_null(arena_alloc(&a, 10, 1));
    mem_fail_at(0);
    assert_true(a.failed);
    assert_non_null(arena_alloc(&a, 10, 1)); /* the flag is sticky, the arena still works */
    arena_free(&a);
}

static void a_buffer_grows_and_failure_sticks(void **state)
{
    (void)state;
    struct buf b = { 0 };
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_string_equal(b.ptr + b.len - 8, "998,999,");
    mem_fail_at(1);
    char big[8192] = { 0 };
    buf_put(&b, big, sizeof big);
    mem_fail_at(0);
    assert_true(b.failed);
    buf_free(&b);
}

static void errors_nest_and_keep_the_terminal_safe(void **state)
{
    (void)state;
    hearth_error err = { 0 };
    assert_false(set_error(&err));
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    assert_string_equal(err.message, "line?two");
    assert_false(err_context(&err, "part %d", 3));
    assert_string_equal(err.message, "part 3: line?two");
    assert_false(set_error(NULL));
}

static void checked_arithmetic_says_no(void **state)
{
    (void)state;
    uint64_t x;
    assert_false(add_ok(UINT64_MAX, 1, &x));
    assert_false(mul_ok((uint64_t)1 << 33, (uint64_t)1 << 31, &x));
    assert_false(align_ok(UINT64_MAX - 3, 32, &x));
    assert_true(align_ok(33, 32, &x) && x == 64);
    assert_true(align_ok(0, 32, &x) && x == 0);
}

/* A file under its final name is complete: until commit there is only PATH.part. */
static void a_written_file_appears_whole_or_not_at_all(void **state)
{
    (void)state;
    char path[300], part[310];
    temp_path(path, sizeof path, "writer");
    snprintf(part, sizeof part, "%s.part", path);
    struct file_writer w;
    assert_true(file_writer_open(&w, path, NULL));
    for (int i = 0; i < 300000; i++)
        file_write(&w, "0123456789", 10);
    assert_int_not_equal(access(path, F_OK), 0);
    file_writer_abort(&w);
    assert_int_not_equal(access(part, F_OK), 0);

    assert_true(file_writer_open(&w, path, NULL));
    file_write(&w, "0123456789", 10);
    assert_true(file_write_at(&w, 20, "abc", 3));
    assert_true(file_writer_commit(&w, NULL));
    char *text;
    size_t n;
    assert_true(file_read(path, 100, &text, &n, NULL));
    assert_int_equal(n, 23);
    assert_memory_equal(text + 20, "abc", 3);
    mem_free(text);
    assert_false(file_read(path, 22, &text, &n, NULL)); /* over the limit */
    unlink(path);
}

static void every_failing_call_of_a_writer_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    char path[300], part[310];
    temp_path(path, sizeof path, "faulty");
    snprintf(part, sizeof part, "%s.part", path);
    for (uint64_t k = 1;; k++) {
        struct file_writer w;
        hearth_error err = { 0 };
        file_fail_at(k);
        bool ok = file_writer_open(&w, path, &err);
        if (ok) {
            file_write(&w, "0123456789", 10);
            ok = file_writer_commit(&w, &err);
        }
        uint64_t calls = file_fail_at(0);
        if (ok) {
            assert_true(calls < k); /* the k-th call never came */
            break;
        }
        assert_int_equal(err.status, HEARTH_ERR_IO);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_not_equal(access(part, F_OK), 0);
    }
    unlink(path);
}

static void a_map_survives_its_file_being_cut_short(void **state)
{
    (void)state;
    enum { BYTES = 64 << 10 };
    char path[300];
    temp_path(path, sizeof path, "map");
    struct file_writer w;
    static const uint8_t ones[BYTES] = { [0] = 1, [BYTES - 1] = 7 };
    assert_true(file_writer_open(&w, path, NULL));
    file_write(&w, ones, BYTES);
    assert_true(file_writer_commit(&w, NULL));
    struct file_map m;
    assert_true(file_map(&m, path, NULL));
    assert_int_equal(m.bytes, BYTES);
    assert_int_equal(m.ptr[BYTES - 1], 7);
    assert_false(file_map_damaged(&m));
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(m.ptr[BYTES - 1], 0); /* SIGBUS, answered with zeros */
    assert_int_equal(m.ptr[0], 1);
    assert_true(file_map_damaged(&m));
    file_unmap(&m);
    file_unmap(&m);
    unlink(path);
    hearth_error err = { 0 };
    assert_false(file_map(&m, path, &err));
    assert_non_null(strstr(err.message, path));
    assert_false(file_map(&m, "/", &err));
    assert_non_null(strstr(err.message, "folder"));
}

/* A handler of somebody else, put in after ours, that hands on what it does not know to ours. */
static struct sigaction ours;
static volatile sig_atomic_t *n_theirs;

static void theirs(int sig, siginfo_t *info, void *context)
{
    if (++*n_theirs < 10)
        ours.sa_sigaction(sig, info, context);
    else
        _exit(1);
}

static void fault_outside_our_maps(const char *path)
{
    struct file_map before, after;
    signal(SIGBUS, SIG_DFL);
    if (!file_map(&before, path, NULL))
        _exit(2);
    struct sigaction a = { .sa_flags = SA_SIGINFO | SA_NODEFER };
    a.sa_sigaction = theirs;
    sigaction(SIGBUS, &a, &ours);
    if (!file_map(&after, path, NULL)) /* puts ours on top of theirs */
        _exit(3);
    FILE *f = tmpfile();
    volatile char *p = f ? mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0) : MAP_FAILED;
    if (p == MAP_FAILED)
        _exit(4);
    _exit(p[0] + 5); /* the file is empty */
}

static void a_foreign_fault_goes_round_once_and_then_ends_the_process(void **state)
{
    (void)state;
    char path[300];
    temp_path(path, sizeof path, "chain");
    struct file_writer w;
    assert_true(file_writer_open(&w, path, NULL));
    file_write(&w, "x", 1);
    assert_true(file_writer_commit(&w, NULL));
    n_theirs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(n_theirs, MAP_FAILED);
    int status;
    pid_t child = fork();
    if (child == 0)
        fault_outside_our_maps(path);
    assert_int_equal(waitpid(child, &status, 0), child);
    unlink(path);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    assert_int_equal(*n_theirs, 1);
    munmap((void *)n_theirs, 4096);
}

/* ---- the pool ---- */

enum { TILES = 1000 };
struct job {
    struct tiles tiles;
    atomic_int done[TILES];
};

static void do_tiles(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct job *job = arg;
    for (int t; (t = tiles_take(&job->tiles)) < job->tiles.n;)
        atomic_fetch_add(&job->done[t], 1);
}

/* Many short jobs: each tile is done once, and none after its job has returned. */
static void a_pool_does_every_tile_of_every_job_once(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
        static struct job jobs[200];
        memset(jobs, 0, sizeof jobs);
        struct pool *p = pool_create(n_threads, NULL);
        assert_non_null(p);
        assert_int_equal(pool_threads(p), n_threads);
        for (int j = 0; j < 200; j++) {
            tiles_reset(&jobs[j].tiles, 1 + j * 5);
            pool_run(p, do_tiles, &jobs[j]);
            for (int t = 0; t < TILES; t++)
                assert_int_equal(atomic_load(&jobs[j].done[t]), t < 1 + j * 5);
        }
        pool_destroy(p);
    }
}

struct runs_job {
    struct runs runs;
    atomic_int done[TILES];
};

static void do_runs(void *arg, int thread, int n_threads)
{
    (void)n_threads;
    struct runs_job *job = arg;
    for (int n, t; (t = runs_take(&job->runs, thread, &n)) >= 0;)
        for (int i = t; i < t + n; i++)
            atomic_fetch_add(&job->done[i], 1);
}

/* However many shares there are, and for how many threads of those that come. */
static void runs_give_every_tile_once(void **state)
{
    (void)state;
    static const int shares[] = { 1, 2, 3, 7, 64, 200 };
    static struct runs_job job;
    struct pool *p = pool_create(3, NULL);
    assert_non_null(p);
    for (size_t s = 0; s < ARRAY_LEN(shares); s++)
        for (int n = 0; n < TILES; n += 1 + n / 3) {
            memset(&job, 0, sizeof job);
            runs_reset(&job.runs, n, shares[s]);
            if (n % 2)
                pool_run(p, do_runs, &job);
            else
                do_runs(&job, n % 5, 1);
            for (int t = 0; t < TILES; t++)
                assert_int_equal(atomic_load(&job.done[t]), t < n);
        }
    pool_destroy(p);
}

/* A thread goes on where it was, and then takes from the end of another's share, so that that one can, too. */
static void runs_go_on_where_they_were(void **state)
{
    (void)state;
    static const struct {
        int thread, first, n;
    } want[] = { { 0, 0, 8 }, { 1, 16, 8 }, { 0, 8, 4 }, { 0, 12, 2 }, { 0, 14, 1 }, { 0, 15, 1 },
                 { 0, 28, 4 }, { 1, 24, 2 }, { 0, 27, 1 }, { 1, 26, 1 }, { 0, -1, 0 }, { 1, -1, 0 } };
    struct runs r;
    runs_reset(&r, 32, 2);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int n, at = runs_take(&r, want[i].thread, &n);
        assert_int_equal(at, want[i].first);
        if (at >= 0)
            assert_int_equal(n, want[i].n);
    }
}

/* Which threads of the pool took a tile, bit by bit. */
struct attendance {
    struct tiles tiles;
    atomic_uint came;
    int n_threads; /* as many as are used */
    atomic_bool wrong;
};

static void attend(void *arg, int thread, int n_threads)
{
    struct attendance *a = arg;
    atomic_fetch_or(&a->came, 1u << thread);
    if (thread >= n_threads || n_threads != a->n_threads)
        atomic_store(&a->wrong, true);
    while (tiles_take(&a->tiles) < a->tiles.n)
        thread_yield();
}

static void only_the_threads_in_use_take_part(void **state)
{
    (void)state;
    static const int use[] = { 2, 4, 1, 3, 4, 2 };
    struct pool *p = pool_create(4, NULL);
    assert_non_null(p);
    for (size_t i = 0; i < ARRAY_LEN(use); i++) {
        struct attendance a = { .n_threads = use[i] };
        pool_use(p, use[i]);
        for (int j = 0; j < 20 || (atomic_load(&a.came) != (1u << use[i]) - 1); j++) { /* until all of them came */
            tiles_reset(&a.tiles, 100);
            pool_run(p, attend, &a);
        }
        assert_false(atomic_load(&a.wrong));
        assert_int_equal(atomic_load(&a.came), (1u << use[i]) - 1);
    }
    pool_use(p, 0);
    pool_destroy(p);
}

/* Processor time, not the clock's: others on this machine do not count. */
static void an_idle_pool_uses_no_processor(void **state)
{
    (void)state;
    struct pool *p = pool_create(3, NULL);
    struct job job = { 0 };
    assert_non_null(p);
    tiles_reset(&job.tiles, TILES);
    pool_run(p, do_tiles, &job);
    int64_t used;
    do { /* until the workers had the time to go to sleep, wherever they stood */
        int64_t before = clock_process_ns();
        usleep(50000);
        used = clock_process_ns() - before;
    } while (used > 1000000);
    pool_destroy(p);
}

static void the_machine_makes_sense(void **state)
{
    (void)state;
    struct machine m;
    machine_read(&m);
    assert_true(m.n_cores >= 1 && m.n_logical >= 1);
    assert_true(m.memory_bytes > 1 << 24 && m.memory_available_bytes <= m.memory_bytes);
    assert_true(machine_default_threads(&m) >= 1 && machine_default_threads(&m) <= m.n_cores);
    assert_true(machine_memory_budget(&m) <= m.memory_bytes);
    m.cpu_quota = 1.5;
    m.n_cores = 8;
    assert_int_equal(machine_default_threads(&m), 1);
    m.cgroup_limit_bytes = 100;
    m.cgroup_used_bytes = 130;
    assert_int_equal(machine_memory_budget(&m), 0);
}

static void local_times_are_read_as_they_are_written(void **state)
{
    static const int64_t times[] = { 0, 1, 951827696, 1795763631, 4102444800 };
    static const int none[][6] = { { 2026, 2, 29, 0, 0, 0 }, { 2026, 13, 1, 0, 0, 0 }, { 2026, 4, 31, 0, 0, 0 } };
    char text[32];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        int parts[6];
        clock_local_at(times[i], parts);
        assert_true(clock_unix_of_local(parts) == times[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_true(clock_unix_of_local(none[i]) < 0);
    clock_utc_at(951827696789, text);
    assert_string_equal(text, "2000-02-29T12:34:56.789Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_times_are_read_as_they_are_written),
        cmocka_unit_test(an_arena_holds_its_ceiling_and_stays_failed),
        cmocka_unit_test(an_arena_reports_memory_running_out),
        cmocka_unit_test(a_buffer_grows_and_failure_sticks),
        cmocka_unit_test(errors_nest_and_keep_the_terminal_safe),
        cmocka_unit_test(checked_arithmetic_says_no),
        cmocka_unit_test(a_written_file_appears_whole_or_not_at_all),
        cmocka_unit_test(every_failing_call_of_a_writer_is_an_error_and_leaves_nothing),
        cmocka_unit_test(a_map_survives_its_file_being_cut_short),
        cmocka_unit_test(a_foreign_fault_goes_round_once_and_then_ends_the_process),
        cmocka_unit_test(a_pool_does_every_tile_of_every_job_once),
        cmocka_unit_test(runs_give_every_tile_once),
        cmocka_unit_test(runs_go_on_where_they_were),
        cmocka_unit_test(only_the_threads_in_use_take_part),
        cmocka_unit_test(an_idle_pool_uses_no_processor),
        cmocka_unit_test(the_machine_makes_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
