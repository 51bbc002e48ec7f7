/* test_readahead.c: a file is brought into memory ahead of its readers, or left alone with a reason. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

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

static void wait_until_through(struct readahead *r)
{
    while (!r->refused && !atomic_load(&r->stop) && atomic_load(&r->next) < r->n_pieces)
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
    readahead_begin(&r, maps, 2, 2 * FILE_BYTES);
    assert_int_equal(r.n_pieces, 6);
    assert_int_equal(r.file_bytes, 2 * FILE_BYTES);
    assert_false(r.no_room);
    wait_until_through(&r);
    if (!r.refused)
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
    readahead_begin(&r, &map, 1, FILE_BYTES - 1);
    assert_true(r.no_room);
    assert_false(r.threads[0].running);
    readahead_end(&r);
    file_unmap(&map);
}

static void bytes_in_memory_are_left_alone(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r;
    file_map_memory(&map, "abc", 3);
    readahead_begin(&r, &map, 1, 100);
    assert_false(r.no_room || r.refused || r.no_huge || r.threads[0].running);
    readahead_end(&r);
}

static void ending_early_and_twice_is_fine(void **state)
{
    (void)state;
    struct file_map map;
    struct readahead r = { 0 };
    readahead_end(&r);
    assert_true(file_map(&map, path, NULL));
    readahead_begin(&r, &map, 1, FILE_BYTES);
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
    readahead_begin(&r, &map, 1, FILE_BYTES);
    wait_until_through(&r);
    assert_false(file_map_damaged(&map)); /* nobody computed on the lost part */
    file_unmap(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_in_memory_when_reading_ahead_is_through),
        cmocka_unit_test(a_file_larger_than_the_room_is_left_alone),
        cmocka_unit_test(bytes_in_memory_are_left_alone),
        cmocka_unit_test(ending_early_and_twice_is_fine),
        cmocka_unit_test(a_file_cut_short_meanwhile_is_not_our_error),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
