/* test_scratch.c: temporary files are gone afterwards, also while calls to the system fail. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/scratch.h"

#include <cmocka.h> /* after our headers: it has a macro fail() */

static char home[256];

static int make(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/hearth-scratch-test-%ld", (long)getpid());
    return mkdir(home, 0700) != 0 || setenv("TMPDIR", home, 1) != 0;
}

static int clear(void **state)
{
    (void)state;
    return rmdir(home); /* fails where something was left */
}

static void count(void *arg, const char *name, uint64_t bytes, int64_t used_ns)
{
    (void)name;
    (void)bytes;
    (void)used_ns;
    ++*(int *)arg;
}

/* Names in a folder; links and folders are not counted. */
static int n_files(const char *path)
{
    struct folder f;
    int n = 0;
    assert_true(folder_open(&f, path, NULL));
    assert_true(folder_look(&f, count, &n, NULL));
    folder_close(&f);
    return n;
}

static void a_folder_goes_with_the_files_in_it(void **state)
{
    (void)state;
    struct scratch s = { 0 };
    struct stat st;
    char file[1100];
    assert_true(scratch_open(&s, NULL));
    assert_int_equal(strncmp(s.path, home, strlen(home)), 0);
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (int i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/%d", s.path, i);
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        assert_int_equal(fclose(f), 0);
    }
    snprintf(file, sizeof file, "%s", s.path);
    scratch_close(&s);
    assert_int_equal(access(file, F_OK), -1);
    scratch_close(&s);
}

static void a_file_has_no_name_and_keeps_what_was_written(void **state)
{
    (void)state;
    char got[6] = "";
    int fd = scratch_file(home, NULL);
    assert_true(fd >= 0);
    assert_int_equal(n_files(home), 0);
    hearth_error err = { 0 };
    assert_true(scratch_write(fd, "world", 5, 1000000, &err));
    assert_true(scratch_write(fd, "hello", 5, 3, &err));
    assert_true(scratch_read(fd, got, 5, 1000000, &err));
    assert_string_equal(got, "world");
    assert_true(scratch_read(fd, got, 5, 3, &err));
    assert_string_equal(got, "hello");
    assert_false(scratch_read(fd, got, 5, 1000003, &err));
    assert_non_null(strstr(err.message, "ends early"));
    scratch_file_close(fd);
}

static void what_the_system_refuses_is_an_error_that_names_the_folder(void **state)
{
    (void)state;
    struct scratch s = { 0 };
    hearth_error err = { 0 };
    uint64_t bytes = 0;
    assert_true(folder_room(home, &bytes, &err) && bytes > 0);
    assert_false(folder_room("/nowhere/at/all", &bytes, &err));
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    assert_int_equal(scratch_file("/nowhere/at/all", &err), -1);
    assert_int_equal(err.status, HEARTH_ERR_IO);
    file_fail_at(1);
    assert_false(scratch_open(&s, &err));
    assert_non_null(strstr(err.message, home));
    assert_string_equal(s.path, "");
    file_fail_at(0);
    int fd = scratch_file(home, &err);
    file_fail_at(1);
    assert_false(scratch_write(fd, "x", 1, 0, &err));
    assert_non_null(strstr(err.message, "TMPDIR"));
    file_fail_at(0);
    scratch_file_close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_goes_with_the_files_in_it),
        cmocka_unit_test(a_file_has_no_name_and_keeps_what_was_written),
        cmocka_unit_test(what_the_system_refuses_is_an_error_that_names_the_folder),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
