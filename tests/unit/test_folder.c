/* test_folder.c: folders of files that are ours alone, also while calls to the system fail. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/sha256.h"
#include "base/thread.h"

#include <cmocka.h> /* after our headers: it has a macro fail() */

static char path[256];

static void at(char *out, size_t room, const char *name) { snprintf(out, room, "%s/%s", path, name); }

struct seen {
    int n;
    char name[8][64];
    uint64_t bytes;
    int64_t used_ns;
};

static void see(void *arg, const char *name, uint64_t bytes, int64_t used_ns)
{
    struct seen *s = arg;
    snprintf(s->name[s->n++ % 8], sizeof s->name[0], "%s", name);
    s->bytes += bytes;
    s->used_ns = used_ns;
}

static struct seen look(const struct folder *f)
{
    struct seen s = { 0 };
    assert_true(folder_look(f, see, &s, NULL));
    return s;
}

static int make(void **state)
{
    static struct folder f;
    snprintf(path, sizeof path, "%s/hearth-folder-%ld", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (long)getpid());
    *state = &f;
    return folder_open(&f, path, NULL) ? 0 : 1;
}

static int clear(void **state)
{
    struct folder *f = *state;
    struct seen s = look(f);
    for (int i = 0; i < s.n; i++)
        folder_remove(f, s.name[i]);
    folder_close(f);
    return rmdir(path);
}

static const struct bytes_part parts[2] = { { "head", 4 }, { "and body", 8 } };

static void what_is_written_is_read_again_and_is_for_its_owner_alone(void **state)
{
    struct folder *f = *state;
    char file[300], got[13] = "";
    struct stat st;
    uint64_t n = 0;
    assert_true(folder_write(f, "a", parts, 2, 1500000000123456789, NULL));
    at(file, sizeof file, "a");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    struct seen s = look(f);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.bytes, 12);
    assert_true(s.used_ns == 1500000000123456789);
    int fd = folder_file_open(f, "a", &n, NULL);
    assert_true(fd >= 0 && n == 12);
    fd_will_read(fd);
    assert_true(fd_read(fd, got, 12, 0));
    assert_string_equal(got, "headand body");
    assert_false(fd_read(fd, got, 12, 1)); /* it ends before */
    fd_mark_used(fd, 1600000000000000001);
    fd_done(fd);
    assert_true(look(f).used_ns == 1600000000000000001);
    assert_true(folder_remove(f, "a") && folder_remove(f, "a"));
    assert_int_equal(look(f).n, 0);
}

static void files_are_made_and_renamed_in_it_and_nothing_is_overwritten(void **state)
{
    struct folder *f = *state;
    hearth_error err = { 0 };
    char name[300];
    struct stat st;
    assert_true(folder_create(f, "a", NULL) && folder_create(f, "a", NULL)); /* it is there */
    at(name, sizeof name, "a");
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(folder_write(f, "b", parts, 2, 1, NULL));
    assert_false(folder_rename(f, "a", "b", &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_true(folder_rename(f, "b", "c", NULL) && folder_rename(f, "nothing", "d", NULL));
    assert_int_equal(look(f).bytes, 12);
    at(name, sizeof name, "link");
    assert_int_equal(symlink("c", name), 0);
    assert_false(folder_create(f, "link", &err));
    assert_non_null(strstr(err.message, name));
    assert_true(folder_remove(f, "link") && folder_remove(f, "a") && folder_remove(f, "c"));
}

static void parents_are_made_where_they_are_missing(void **state)
{
    struct folder *f = *state;
    hearth_error err = { 0 };
    char name[300];
    struct stat st;
    at(name, sizeof name, "x/y/z");
    assert_true(folder_make(name, NULL) && folder_make(name, NULL));
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (int i = 0; i < 3; i++, name[strlen(name) - 2] = 0)
        assert_int_equal(rmdir(name), 0);
    assert_true(folder_create(f, "a", NULL));
    at(name, sizeof name, "a/b");
    assert_false(folder_make(name, &err)); /* in a file */
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_true(folder_remove(f, "a"));
}

static void links_pipes_and_folders_are_no_files(void **state)
{
    struct folder *f = *state;
    hearth_error err = { 0 };
    char name[300];
    uint64_t n;
    at(name, sizeof name, "link");
    assert_int_equal(symlink("/etc/passwd", name), 0);
    at(name, sizeof name, "pipe");
    assert_int_equal(mkfifo(name, 0600), 0);
    at(name, sizeof name, "folder");
    assert_int_equal(mkdir(name, 0700), 0);
    static const char *const names[] = { "link", "pipe", "folder", "nothing" };
    assert_int_equal(look(f).n, 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(folder_file_open(f, names[i], &n, &err), -1);
        assert_int_equal(err.status, HEARTH_ERR_IO);
    }
    assert_true(folder_remove(f, "link") && folder_remove(f, "pipe"));
    assert_false(folder_remove(f, "folder"));
    assert_int_equal(rmdir(name), 0);
}

static void a_failing_call_leaves_what_was_there(void **state)
{
    struct folder *f = *state;
    static const struct bytes_part other = { "other", 5 };
    uint64_t calls = 0;
    assert_true(folder_write(f, "a", parts, 2, 1, NULL));
    for (uint64_t k = 1; k == 1 || calls >= k - 1; k++) {
        hearth_error err = { 0 };
        file_fail_at(k);
        bool ok = folder_write(f, "a", &other, 1, 2, &err);
        calls = file_fail_at(0);
        struct seen s = look(f);
        assert_int_equal(s.n, 1); /* no part of it */
        assert_int_equal(s.bytes, ok ? 5 : 12);
        assert_true(ok || (err.status == HEARTH_ERR_IO && strstr(err.message, path)));
        assert_true(ok == (calls < k));
    }
    assert_true(calls >= 4); /* create, write, sync, rename */
    folder_remove(f, "a");
}

static void one_holds_it_at_a_time(void **state)
{
    struct folder *f = *state;
    int mine = folder_hold(f, "held");
    assert_true(mine >= 0);
    assert_int_equal(folder_hold(f, "held"), -1);
    folder_let_go(mine);
    mine = folder_hold(f, "held");
    assert_true(mine >= 0);
    folder_let_go(mine);
    folder_remove(f, "held");
}

static void a_folder_that_cannot_be_is_named(void **state)
{
    struct folder f;
    hearth_error err = { 0 };
    (void)state;
    assert_false(folder_open(&f, "/nowhere/at/all", &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    assert_false(folder_open(&f, "/etc/passwd", &err));
    folder_close(&f);
}

static void a_digest_can_be_begun_anew(void **state)
{
    uint8_t a[32], b[32];
    struct sha256 *s = sha256_new();
    (void)state;
    assert_non_null(s);
    for (int i = 0; i < 2; i++) {
        sha256_add(s, "abc", 3);
        sha256_bytes(s, i ? b : a);
    }
    assert_memory_equal(a, b, 32);
    assert_int_equal(a[0], 0xba); /* FIPS 180-2, appendix B.1: ba7816bf ... */
    assert_int_equal(a[31], 0xad);
    sha256_free(s);
}

static void waiting_with_a_limit_ends(void **state)
{
    struct lock l;
    (void)state;
    assert_true(lock_init(&l));
    int64_t start = clock_ns();
    lock_take(&l);
    while (lock_wait_ms(&l, 20))
        ;
    lock_release(&l);
    assert_true(clock_ms_since(start) >= 19);
    lock_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_again_and_is_for_its_owner_alone, make, clear),
        cmocka_unit_test_setup_teardown(files_are_made_and_renamed_in_it_and_nothing_is_overwritten, make, clear),
        cmocka_unit_test_setup_teardown(parents_are_made_where_they_are_missing, make, clear),
        cmocka_unit_test_setup_teardown(links_pipes_and_folders_are_no_files, make, clear),
        cmocka_unit_test_setup_teardown(a_failing_call_leaves_what_was_there, make, clear),
        cmocka_unit_test_setup_teardown(one_holds_it_at_a_time, make, clear),
        cmocka_unit_test(a_folder_that_cannot_be_is_named),
        cmocka_unit_test(a_digest_can_be_begun_anew),
        cmocka_unit_test(waiting_with_a_limit_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
