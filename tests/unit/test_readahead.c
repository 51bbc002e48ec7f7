/* test_readahead.c: a file is brought into memory ahead of its readers, or left alone with a reason. */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/machine.h"

#include "engine/readahead.h" /* before cmocka.h, which has a macro fail() */
#include <cmocka.h>
#include "tiny.h"

enum { FILE_BYTES = (9 << 20) + 5000 }; /* three pieces, the last one short */

static char path[256];

static int make_file(void **state)
{
    (void)state;
    static uint8_t block[1 << 16];
    struct file_writer w;
    tiny_path(path, sizeof path, "readahead");
    assert_true(file_writer_open(&w, path, NULL));
    for (size_t at = 0; at < FILE_BYTES; at += sizeof block) {
        memset(block, (int)(at >> 16 & 255), sizeof block);
        file_write(&w, block, min_size(sizeof block, FILE_BYTES - at));
    }
    assert_true(file_writer_commit(&w, NULL));
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void begin(struct readahead *r, const struct file_map *maps, uint32_t n_maps, uint64_t room_bytes)
{
    assert_true(readahead_plan(r, maps, n_maps, room_bytes, NULL));
    readahead_begin(r, true);
}

static void wait_until_through(struct readahead *r)
{
    uint64_t bytes;
    assert_int_equal(r->n_threads, READAHEAD_THREADS);
    while (readahead_look(r, &bytes))
        sched_yield();
    readahead_end(r);
}

static void a_file_is_in_memory_when_reading_ahead_is_through(void **state)
{
    (void)state;
    struct file_map maps[2];
    struct readahead r;
    assert_true(file_map(&maps[0], path, NULL) && file_map(&maps[1], path, NULL));
    (void)file_advise(&maps[0], 0, maps[0].bytes, FILE_EVICT);
    begin(&r, maps, 2, 2 * FILE_BYTES);
    assert_int_equal(r.n_pieces, 6);
    assert_int_equal(r.file_bytes, 2 * FILE_BYTES);
    assert_false(r.no_room);
    wait_until_through(&r);
    for (int i = 0; i < 2; i++)
        assert_int_equal(file_resident_bytes(&maps[i]), maps[i].bytes);
    for (size_t at = 0; at < FILE_BYTES; at += 4096)
        assert_int_equal(maps[0].ptr[at], at >> 16 & 255);
    file_unmap(&maps[0]);
    file_unmap(&maps[1]);
}

static void a_file_larger_than_the_room_is_left_alone(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r;
    assert_true(file_map(&map, path, NULL));
    hearth_error err = { 0 };
    begin(&r, &map, 1, FILE_BYTES - 1);
    assert_true(r.no_room);
    assert_false(r.threads[0].running);
    assert_false(readahead_fill(&r, NULL, NULL, &err));
    assert_int_equal(err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(err.message, "9 MiB"));
    assert_false(r.filled);
    readahead_end(&r);
    file_unmap(&map);
}

static void bytes_in_memory_are_left_alone(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r;
    file_map_memory(&map, "abc", 3);
    begin(&r, &map, 1, 100);
    assert_false(r.no_room || r.no_huge || r.threads[0].running);
    assert_true(readahead_fill(&r, NULL, NULL, NULL)); /* there is nothing to wait for */
    assert_true(r.filled);
    readahead_end(&r);
}

static void pieces_come_in_the_order_of_their_need(void **state)
{
    (void)state;
    static const struct file_map none = { .fd = -1, .slot = -1 };
    enum { PIECE = READAHEAD_PIECE_BYTES };
    uint8_t *bytes = (uint8_t *)(uintptr_t)(1 << 20); /* nobody looks at them */
    struct file_map maps[2] = { none, none };
    struct readahead r;
    maps[0].ptr = bytes;
    maps[0].bytes = 4 * PIECE + 1;
    maps[1].ptr = bytes + 100 * (size_t)PIECE;
    maps[1].bytes = 3 * PIECE;
    assert_true(readahead_plan(&r, maps, 2, UINT64_MAX, NULL));
    assert_int_equal(r.n_pieces, 8);
    readahead_need(&r, bytes + 3 * PIECE, PIECE + 1, 0);             /* pieces 3 and 4, to the file's last byte */
    readahead_need(&r, maps[1].ptr + 2 * PIECE - 1, 1, 1);           /* piece 6 */
    readahead_need(&r, bytes + PIECE + 100, 2 * PIECE, 2);           /* 1 to 3: 3 is there already */
    readahead_need(&r, NULL, 5, 0);                                  /* nothing */
    readahead_need(&r, bytes, 0, 0);
    readahead_need(&r, bytes + 50 * (size_t)PIECE, PIECE, 0);        /* not ours */
    readahead_need(&r, maps[1].ptr + 2 * PIECE, UINT64_MAX >> 1, 7); /* piece 7, and beyond the end */
    readahead_begin(&r, true);
    static const uint32_t want[] = { 3, 4, 6, 1, 2, 7, 0, 5 };
    for (uint32_t i = 0; i < ARRAY_LEN(want); i++)
        assert_int_equal(r.pieces[i].piece, want[i]);
    readahead_end(&r);
}

struct shown {
    uint64_t last, n, stop_at;
};

static bool show(void *arg, uint64_t read_bytes, uint64_t file_bytes)
{
    struct shown *s = arg;
    assert_int_equal(file_bytes, FILE_BYTES);
    assert_true(read_bytes >= s->last && read_bytes <= file_bytes);
    s->last = read_bytes;
    return ++s->n != s->stop_at;
}

static void filling_waits_until_all_is_there_and_counts(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r;
    struct shown shown = { 0 };
    uint64_t bytes;
    assert_true(file_map(&map, path, NULL));
    (void)file_advise(&map, 0, map.bytes, FILE_EVICT);
    begin(&r, &map, 1, FILE_BYTES);
    assert_true(readahead_fill(&r, show, &shown, NULL));
    assert_true(r.filled);
    assert_false(readahead_look(&r, &bytes));
    assert_int_equal(bytes, FILE_BYTES);
    assert_int_equal(file_resident_bytes(&map), FILE_BYTES);
    readahead_end(&r);

    begin(&r, &map, 1, FILE_BYTES);
    for (int i = 0; i < READAHEAD_THREADS; i++) /* as where no thread can be started: the caller reads alone */
        thread_join(&r.threads[i]);
    atomic_store(&r.next, 0);
    atomic_store(&r.read_bytes, 0);
    shown = (struct shown){ 0 };
    assert_true(readahead_fill(&r, show, &shown, NULL));
    assert_int_equal(shown.n, 4); /* before each piece, and when none is left */
    assert_int_equal(shown.last, FILE_BYTES);
    readahead_end(&r);

    begin(&r, &map, 1, FILE_BYTES);
    for (int i = 0; i < READAHEAD_THREADS; i++)
        thread_join(&r.threads[i]);
    atomic_store(&r.next, 0);
    hearth_error err = { 0 };
    shown = (struct shown){ .stop_at = 2 };
    atomic_store(&r.read_bytes, 0);
    assert_false(readahead_fill(&r, show, &shown, &err));
    assert_int_equal(err.status, HEARTH_ERR_CANCELLED);
    assert_int_equal(shown.n, 2);
    readahead_end(&r);
    file_unmap(&map);
}

static void looking_at_every_page_brings_them_too(void **state)
{
    (void)state;
    struct file_map map;
    assert_true(file_map(&map, path, NULL));
    (void)file_advise(&map, 0, map.bytes, FILE_EVICT);
    assert_true(file_advise(&map, 0, map.bytes, FILE_TOUCH));
    assert_int_equal(file_resident_bytes(&map), FILE_BYTES);
    file_unmap(&map);
}

/* In a child, which gives up the right to lock more than the limit. UINT64_MAX: as we are. */
static int lock_with_limit(uint64_t limit_bytes, char *message, size_t room)
{
    struct file_map map;
    hearth_error err = { 0 };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };
    if (!file_map(&map, path, NULL))
        return 2;
    if (limit_bytes != UINT64_MAX
        && (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ limit_bytes, limit_bytes }) != 0
            || syscall(SYS_capset, &header, none) != 0))
        return 2;
    bool later = file_lock(&map, true, &err), now = file_lock(&map, false, &err);
    snprintf(message, room, "%s", err.message);
    if (later != now || (!now && err.status != HEARTH_ERR_MEMORY))
        return 3;
    if (now && process_locked_bytes() < FILE_BYTES)
        return 4;
    file_unmap(&map);
    return now ? process_locked_bytes() == 0 ? 0 : 5 : 1;
}

static int in_child(uint64_t limit_bytes, char *message, size_t room)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(lock_with_limit(limit_bytes, message, room));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_lock_is_granted_or_refused_with_the_limit(void **state)
{
    (void)state;
    enum { ROOM = 4096 };
    char *message = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(message, MAP_FAILED);
    int code = in_child(UINT64_MAX, message, ROOM);
    if (code == 1)
        print_message("only refusals are tried: %s\n", message);
    else
        assert_int_equal(code, 0);
    assert_int_equal(in_child(1 << 20, message, ROOM), 1);
    assert_non_null(strstr(message, "cannot lock 9 MiB"));
    assert_non_null(strstr(message, "1024 KiB"));
    assert_non_null(strstr(message, "ulimit -l"));
    assert_int_equal(in_child(0, message, ROOM), 1);
    assert_non_null(strstr(message, "is 0 KiB"));
    munmap(message, ROOM);
}

static void ending_early_and_twice_is_fine(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r = { 0 };
    readahead_end(&r);
    assert_true(file_map(&map, path, NULL));
    begin(&r, &map, 1, FILE_BYTES);
    readahead_end(&r);
    readahead_end(&r);
    file_unmap(&map);
}

static void a_file_cut_short_meanwhile_is_not_our_error(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r;
    assert_true(file_map(&map, path, NULL));
    assert_int_equal(truncate(path, 1 << 20), 0);
    begin(&r, &map, 1, FILE_BYTES);
    wait_until_through(&r);
    assert_false(file_map_damaged(&map)); /* nobody computed on the lost part */
    hearth_error err = { 0 };
    begin(&r, &map, 1, FILE_BYTES);
    assert_false(readahead_fill(&r, NULL, NULL, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    readahead_end(&r);
    file_unmap(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_in_memory_when_reading_ahead_is_through),
        cmocka_unit_test(a_file_larger_than_the_room_is_left_alone),
        cmocka_unit_test(bytes_in_memory_are_left_alone),
        cmocka_unit_test(pieces_come_in_the_order_of_their_need),
        cmocka_unit_test(filling_waits_until_all_is_there_and_counts),
        cmocka_unit_test(looking_at_every_page_brings_them_too),
        cmocka_unit_test(a_lock_is_granted_or_refused_with_the_limit),
        cmocka_unit_test(ending_early_and_twice_is_fine),
        cmocka_unit_test(a_file_cut_short_meanwhile_is_not_our_error),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
