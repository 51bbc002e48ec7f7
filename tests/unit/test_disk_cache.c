/* test_disk_cache.c: keys and values on disk: the same bits after a restart, for the same key only, and never an answer
 * that depends on what became of the files. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include <stdatomic.h>

#include "requests.h"

enum { PROMPT = 300, PART = 150, PART_FULL = PART / 64 * 64, FULL = PROMPT / 64 * 64, MOST_NAMES = 512 };

static const struct tiny tiny = { .arch = "llama", .type = DTYPE_q4_K, .n_ctx = 2048 };
static char folder[256], model[256];
static char noted[8][1024];
static atomic_int n_noted;

static void note(void *arg, const char *line)
{
    (void)arg;
    int i = atomic_fetch_add(&n_noted, 1);
    snprintf(noted[i % 8], sizeof noted[0], "%s", line);
}

/* ---- the folder ---- */

struct names {
    int n;
    char name[MOST_NAMES][64];
};

static const struct names *list(void)
{
    static struct names names;
    names.n = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && names.n < MOST_NAMES)
            snprintf(names.name[names.n++], sizeof names.name[0], "%.63s", e->d_name);
    if (dir)
        closedir(dir);
    return &names;
}

static int n_files(void)
{
    const struct names *names = list();
    int n = 0;
    for (int i = 0; i < names->n; i++)
        n += strstr(names->name[i], ".kv") != NULL;
    return n;
}

static void path_of(char *out, size_t room, const char *name) { snprintf(out, room, "%s/%s", folder, name); }

static void empty_folder(void)
{
    const struct names *names = list();
    for (int i = 0; i < names->n; i++) {
        char path[400];
        path_of(path, sizeof path, names->name[i]);
        unlink(path);
    }
}

static int make_folder(void **state)
{
    (void)state;
    tiny_path(folder, sizeof folder, "cache");
    tiny_path(model, sizeof model, "disk");
    tiny_write(model, &tiny);
    empty_folder();
    atomic_store(&n_noted, 0);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    empty_folder();
    unlink(model);
    return rmdir(folder);
}

/* ---- an engine with it ---- */

static hearth_engine_options options(void)
{
    return (hearth_engine_options){ .n_threads = 1, .n_seqs = 2, .cache_dir = folder, .cache_least_tokens = 64,
                                    .cache_close_ms = 20000, .cache_note = note };
}

/* The file is written once: another one would be another model. */
static void open_with(struct opened *o, hearth_engine_options eo, hearth_model_options mo)
{
    hearth_error err = { 0 };
    snprintf(o->path, sizeof o->path, "%s", model);
    mo.source.path = model;
    o->engine = hearth_engine_create(&eo, &err);
    o->model = o->engine ? hearth_model_open(o->engine, &mo, &err) : NULL;
    if (!o->model)
        fail_msg("%s", err.message);
}

static void shut(struct opened *o)
{
    hearth_model_release(o->model);
    hearth_engine_destroy(o->engine);
}

static hearth_disk_cache counts(const struct opened *o)
{
    hearth_disk_cache c;
    assert_true(hearth_engine_disk_cache(o->engine, &c));
    return c;
}

static int32_t ids[4][PROMPT + 200];

static hearth_request ask_of(int which)
{
    fill_ids(ids[which], PROMPT + 200, 100 + (uint64_t)which);
    return request_of(ids[which], PROMPT, 8);
}

/* One life of an engine that answers r. */
static hearth_disk_cache live(const hearth_request *r, struct answer *a)
{
    struct opened o;
    open_with(&o, options(), (hearth_model_options){ 0 });
    answer(&o, r, a);
    hearth_disk_cache c = counts(&o);
    shut(&o);
    return c;
}

static void after_a_restart_the_bits_are_the_same_and_nothing_is_computed_twice(void **state)
{
    static struct answer first, second, third;
    hearth_request r = ask_of(0);
    struct stat st;
    char path[400];
    (void)state;
    live(&r, &first);
    assert_int_equal(first.receipt.n_disk_tokens, 0);
    assert_int_equal(first.receipt.prefix_end, HEARTH_PREFIX_NEW);
    assert_int_equal(n_files(), FULL / 64);
    for (int i = 0; i < list()->n; i++) {
        path_of(path, sizeof path, list()->name[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    hearth_disk_cache c = live(&r, &second);
    assert_same(&first, &second);
    assert_int_equal(second.receipt.n_disk_tokens, FULL);
    assert_int_equal(second.receipt.n_cached_tokens, FULL);
    assert_int_equal(second.receipt.n_prefix_tokens, FULL);
    assert_int_equal(second.receipt.prefix_end, HEARTH_PREFIX_ENDED);
    assert_int_equal(second.receipt.prefix_id, ids[0][FULL]);
    assert_true(second.receipt.disk_ms > 0);
    assert_int_equal(c.n_read, FULL / 64);
    assert_int_equal(c.n_written, 0);
    assert_int_equal(c.n_pages, FULL / 64);
    r.no_prefix_cache = true;
    live(&r, &third);
    assert_same(&first, &third);
    assert_int_equal(third.receipt.n_disk_tokens, 0);
    assert_int_equal(atomic_load(&n_noted), 0);
}

/* What is in memory comes from there, what follows from disk; two at the same time read it once. */
static void memory_first_then_disk(void **state)
{
    static struct answer alone, got[2], brief;
    hearth_request r = ask_of(0), part = request_of(ids[0], PART, 4), same = r;
    struct opened o;
    (void)state;
    live(&r, &alone);
    open_with(&o, options(), (hearth_model_options){ 0 });
    part.no_prefix_cache = true;
    answer(&o, &part, &brief);
    hearth_stream *s[2] = { submit(&o, &r), submit(&o, &same) };
    int n_disk = 0;
    for (int i = 0; i < 2; i++) {
        collect(s[i], &got[i]);
        assert_same(&alone, &got[i]);
        n_disk += got[i].receipt.n_disk_tokens;
        assert_true(got[i].receipt.n_cached_tokens >= FULL);
        assert_true(got[i].receipt.n_cached_tokens >= got[i].receipt.n_prefix_tokens);
    }
    assert_int_equal(n_disk, FULL - PART_FULL);
    shut(&o);
}

static void a_file_serves_its_own_key_only(void **state)
{
    static struct answer got;
    static const struct {
        uint64_t salt;
        int n_disk;
    } lives[] = { { 7, 0 }, { 8, 0 }, { 0, 0 }, { 7, FULL }, { 0, FULL }, { 8, FULL } };
    hearth_request r = ask_of(0);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
        r.cache_salt = lives[i].salt;
        live(&r, &got);
        assert_int_equal(got.receipt.n_disk_tokens, lives[i].n_disk);
    }
    assert_int_equal(n_files(), 3 * (FULL / 64));
}

static void other_weights_another_type_or_a_later_file_do_not_use_it(void **state)
{
    static struct answer got;
    hearth_request r = ask_of(0);
    struct opened o;
    (void)state;
    live(&r, &got);
    open_with(&o, options(), (hearth_model_options){ .kv_type = HEARTH_KV_q8 });
    answer(&o, &r, &got);
    assert_int_equal(got.receipt.n_disk_tokens, 0);
    shut(&o);
    /* The same header and the same time, and other weights. */
    struct stat st;
    uint8_t bytes[4096];
    int fd = open(model, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    off_t from = st.st_size / 2;
    ssize_t n;
    for (; (n = pread(fd, bytes, sizeof bytes, from)) > 0; from += n) {
        for (ssize_t i = 0; i < n; i += 512)
            bytes[i] ^= 1;
        assert_int_equal(pwrite(fd, bytes, (size_t)n, from), n);
    }
    assert_int_equal(futimens(fd, (struct timespec[]){ st.st_mtim, st.st_mtim }), 0);
    live(&r, &got);
    assert_int_equal(got.receipt.n_disk_tokens, 0);
    live(&r, &got);
    assert_int_equal(got.receipt.n_disk_tokens, FULL);
    /* The same bytes, at another time. */
    st.st_mtim.tv_sec -= 100;
    assert_int_equal(futimens(fd, (struct timespec[]){ st.st_mtim, st.st_mtim }), 0);
    live(&r, &got);
    assert_int_equal(got.receipt.n_disk_tokens, 0);
    close(fd);
}

/* ---- damage ---- */

enum damage { CUT, LONGER, EMPTY, HEAD, DATA, MAGIC, VERSION, SWAPPED, LINK, FOLDER, GONE, N_DAMAGES };

static void damage_file(const char *path, const char *other, enum damage what)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte;
    off_t at = what == HEAD ? 200 : what == DATA ? st.st_size - 77 : what == VERSION ? 8 : 0;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 16;
    switch (what) {
    case CUT:
    case LONGER:
    case EMPTY:
        assert_int_equal(ftruncate(fd, what == CUT ? st.st_size - 1 : what == EMPTY ? 0 : st.st_size + 1), 0);
        break;
    case HEAD:
    case DATA:
    case MAGIC:
    case VERSION:
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        break;
    case SWAPPED:
        assert_int_equal(unlink(path), 0);
        assert_int_equal(link(other, path), 0);
        break;
    case LINK:
    case FOLDER:
    case GONE:
    case N_DAMAGES:
        assert_int_equal(unlink(path), 0);
        assert_int_equal(what == LINK ? symlink(other, path) : what == FOLDER ? mkdir(path, 0700) : 0, 0);
    }
    close(fd);
}

static void a_damaged_file_is_computed_again_and_said(void **state)
{
    static struct answer first, got;
    hearth_request r = ask_of(0);
    (void)state;
    live(&r, &first);
    for (int what = 0; what < N_DAMAGES; what++) {
        char path[400], other[400];
        assert_int_equal(n_files(), FULL / 64);
        const struct names *names = list();
        int n = 0;
        for (int i = 0; i < names->n; i++)
            if (strstr(names->name[i], ".kv"))
                path_of(n++ ? other : path, sizeof path, names->name[i]);
        atomic_store(&n_noted, 0);
        damage_file(path, other, (enum damage)what);
        hearth_disk_cache c = live(&r, &got);
        assert_same(&first, &got);
        assert_true(got.receipt.n_disk_tokens < FULL && got.receipt.n_disk_tokens % 64 == 0);
        assert_int_equal(got.receipt.n_cached_tokens, got.receipt.n_disk_tokens);
        bool found = what < LINK && what != EMPTY, said = found || what == FOLDER;
        if (c.n_unusable != found || atomic_load(&n_noted) != said)
            fail_msg("damage %d: %d unusable, noted %d: %s", what, (int)c.n_unusable, atomic_load(&n_noted), noted[0]);
        assert_true(!said || strstr(noted[0], found ? ".kv is not used and removed: " : "Is a directory"));
        rmdir(path); /* of FOLDER, which is nobody's to remove */
        live(&r, &got); /* what is missing was written again, in this life or before */
        live(&r, &got);
        assert_int_equal(got.receipt.n_disk_tokens, FULL);
        assert_same(&first, &got);
    }
}

static void files_of_others_are_left_alone_and_counted(void **state)
{
    static const char *const names[] = { "notes.txt", "0123.kv", "0123456789abcdef0123456789abcdef.kv.tmp" };
    static struct answer got;
    char path[400];
    hearth_request r = ask_of(0);
    (void)state;
    assert_int_equal(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        path_of(path, sizeof path, names[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    path_of(path, sizeof path, "0123456789abcdef0123456789abcdef.kv.part"); /* of one that was killed */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    hearth_disk_cache c = live(&r, &got);
    assert_int_equal(c.n_foreign, ARRAY_LEN(names));
    assert_int_equal(access(path, F_OK), -1);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        path_of(path, sizeof path, names[i]);
        assert_int_equal(access(path, F_OK), 0);
    }
}

/* ---- limits ---- */

/* Room for one prompt and a half: the one that was asked last is there whole, of the others their beginnings. */
static void the_longest_unused_go_first_and_ends_before_beginnings(void **state)
{
    static struct answer got;
    uint64_t page_bytes = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct opened o;
        hearth_engine_options eo = options();
        hearth_request r = ask_of(i);
        if (i > 0)
            eo.cache_disk_bytes = page_bytes * (FULL / 64 * 3 / 2);
        open_with(&o, eo, (hearth_model_options){ 0 });
        answer(&o, &r, &got);
        shut(&o);
        open_with(&o, eo, (hearth_model_options){ 0 });
        hearth_disk_cache c = counts(&o);
        page_bytes = c.bytes / c.n_pages;
        assert_true(c.bytes <= c.most_bytes);
        assert_int_equal(c.n_pages, i ? FULL / 64 * 3 / 2 : FULL / 64);
        answer(&o, &r, &got);
        assert_int_equal(got.receipt.n_disk_tokens, FULL);
        shut(&o);
    }
    hearth_request before = ask_of(1), first = ask_of(0);
    hearth_engine_options eo = options();
    struct opened o;
    eo.cache_disk_bytes = page_bytes * (FULL / 64 * 3 / 2);
    open_with(&o, eo, (hearth_model_options){ 0 });
    answer(&o, &before, &got);
    assert_true(got.receipt.n_disk_tokens > 0 && got.receipt.n_disk_tokens < FULL);
    answer(&o, &first, &got);
    assert_int_equal(got.receipt.n_disk_tokens, 0);
    shut(&o);
}

static void short_sequences_and_one_too_large_are_not_kept(void **state)
{
    static struct answer got;
    struct opened o;
    hearth_request r = ask_of(0);
    hearth_engine_options eo = options();
    (void)state;
    eo.cache_least_tokens = PROMPT + 100;
    open_with(&o, eo, (hearth_model_options){ 0 });
    answer(&o, &r, &got);
    shut(&o);
    assert_int_equal(n_files(), 0);
    eo.cache_least_tokens = 0;
    eo.cache_disk_bytes = 1000; /* less than a page */
    open_with(&o, eo, (hearth_model_options){ 0 });
    answer(&o, &r, &got);
    hearth_disk_cache c = counts(&o);
    shut(&o);
    assert_int_equal(n_files(), 0);
    assert_int_equal(c.n_written, 0);
}

/* Two engines with one folder: one writes, both read. */
static void of_two_engines_one_writes_and_both_read(void **state)
{
    static struct answer first, got;
    struct opened a, b;
    hearth_request r = ask_of(0), other = ask_of(1);
    (void)state;
    live(&r, &first);
    open_with(&a, options(), (hearth_model_options){ 0 });
    hearth_engine_options eo = options();
    hearth_error err = { 0 };
    b.engine = hearth_engine_create(&eo, &err);
    b.model = hearth_model_open(b.engine, &(hearth_model_options){ .source.path = model }, &err);
    assert_non_null(b.model);
    answer(&b, &other, &got);
    hearth_model_release(b.model);
    hearth_disk_cache c = counts(&b);
    for (; c.n_dropped < FULL / 64; c = counts(&b)) /* the engine may be the last to let go of the model */
        usleep(1000);
    assert_int_equal(c.n_written, 0);
    assert_int_equal(c.n_dropped, FULL / 64);
    assert_int_equal(n_files(), FULL / 64);
    b.model = hearth_model_open(b.engine, &(hearth_model_options){ .source.path = model }, &err);
    answer(&b, &r, &got);
    assert_same(&first, &got);
    assert_int_equal(got.receipt.n_disk_tokens, FULL);
    hearth_model_release(b.model);
    hearth_engine_destroy(b.engine);
    shut(&a);
}

/* It has the folder as it is then, not as it was when it began. The engine has its own copy of the folder's name. */
static void who_takes_the_folder_over_looks_again(void **state)
{
    static struct answer got;
    struct opened a, b;
    hearth_request r = ask_of(0), other = ask_of(1), third = ask_of(2);
    char borrowed[512];
    (void)state;
    live(&r, &got);
    open_with(&a, options(), (hearth_model_options){ 0 });
    hearth_engine_options eo = options();
    hearth_error err = { 0 };
    snprintf(borrowed, sizeof borrowed, "%s", eo.cache_dir);
    eo.cache_dir = borrowed;
    b.engine = hearth_engine_create(&eo, &err);
    memset(borrowed, 0x78, sizeof borrowed - 1);
    assert_int_equal(counts(&b).n_pages, FULL / 64);
    answer(&a, &other, &got);
    shut(&a);
    assert_int_equal(n_files(), 2 * FULL / 64);
    b.model = hearth_model_open(b.engine, &(hearth_model_options){ .source.path = model }, &err);
    assert_non_null(b.model);
    answer(&b, &third, &got);
    hearth_model_release(b.model);
    hearth_disk_cache c = counts(&b);
    for (int i = 0; i < 5000 && c.n_written < FULL / 64; i++, c = counts(&b))
        usleep(1000);
    assert_int_equal(c.n_written, FULL / 64);
    assert_int_equal(c.n_pages, 3 * FULL / 64);
    assert_int_equal(c.n_foreign, 0);
    hearth_engine_destroy(b.engine);
}

/* ---- nothing that fails is an error of an answer ---- */

static void every_failing_call_to_the_files_costs_time_only(void **state)
{
    static struct answer first, got;
    enum { CALLS = 5 * FULL / 64 }; /* of writing: create, twice write, sync, rename; of reading less */
    uint64_t calls = 0;
    hearth_request r = ask_of(0);
    (void)state;
    live(&r, &first);
    for (uint64_t k = 1; k <= CALLS; k++) {
        struct opened o;
        hearth_error err = { 0 };
        hearth_engine_options eo = options();
        if (k % 2) /* writing, else reading */
            empty_folder();
        open_with(&o, eo, (hearth_model_options){ 0 });
        file_fail_at(k);
        answer(&o, &r, &got);
        hearth_model_release(o.model);
        uint64_t n = file_fail_at(0);
        calls = n > calls ? n : calls;
        assert_same(&first, &got);
        o.model = hearth_model_open(o.engine, &(hearth_model_options){ .source.path = model }, &err);
        answer(&o, &r, &got);
        assert_same(&first, &got);
        shut(&o);
        for (int i = 0; i < list()->n; i++)
            assert_null(strstr(list()->name[i], ".part"));
    }
    assert_true(calls >= 4 * FULL / 64); /* all of them were reached in one or the other */
}

/* A pool of one context, two that need more together, and files: pages come and go, bits stay. */
static void who_gives_its_pages_up_reads_them_again(void **state)
{
    static struct answer alone[4], got[4];
    struct opened o;
    int n_disk = 0, n_preempted = 0;
    (void)state;
    for (int i = 0; i < 4; i++) {
        hearth_request r = ask_of(i);
        r.max_tokens = 200;
        live(&r, &alone[i]);
    }
    hearth_engine_options eo = options();
    eo.n_seqs = 4;
    open_with(&o, eo, (hearth_model_options){ .n_ctx_tokens = 640, .n_kv_tokens = 1344 });
    for (int round = 0; round < 3; round++) {
        hearth_stream *s[4];
        for (int i = 0; i < 4; i++) {
            hearth_request r = ask_of(i);
            r.max_tokens = 200;
            s[i] = submit(&o, &r);
        }
        for (int i = 0; i < 4; i++) {
            collect(s[i], &got[i]);
            assert_same(&alone[i], &got[i]);
            n_disk += got[i].receipt.n_disk_tokens;
            n_preempted += got[i].receipt.n_preemptions;
            assert_true(got[i].receipt.n_recomputed_tokens >= 0);
        }
    }
    assert_true(n_disk > 0);
    print_message("%d tokens from disk, %d times given up\n", n_disk, n_preempted);
    shut(&o);
}

/* Whoever goes away while its pages are read leaves nothing behind. */
static void who_is_cancelled_while_it_loads_is_gone(void **state)
{
    static struct answer first, got;
    struct opened o;
    hearth_request r = ask_of(0);
    (void)state;
    live(&r, &first);
    for (int i = 0; i < 30; i++) {
        open_with(&o, options(), (hearth_model_options){ 0 });
        hearth_stream *s = submit(&o, &r);
        usleep((useconds_t)(i * 200));
        hearth_stream_cancel(s);
        if (i % 3)
            collect(s, &got);
        else
            hearth_stream_close(s);
        answer(&o, &r, &got);
        assert_same(&first, &got);
        shut(&o);
    }
}

static void the_plan_has_room_for_it_and_a_bad_folder_is_named(void **state)
{
    struct opened o;
    hearth_plan with, without;
    hearth_error err = { 0 };
    hearth_engine_options eo = options();
    hearth_disk_cache c;
    (void)state;
    open_with(&o, eo, (hearth_model_options){ .n_ctx_tokens = 512 });
    hearth_model_plan(o.model, &with);
    shut(&o);
    eo.cache_dir = NULL;
    open_with(&o, eo, (hearth_model_options){ .n_ctx_tokens = 512 });
    hearth_model_plan(o.model, &without);
    assert_false(hearth_engine_disk_cache(o.engine, &c));
    shut(&o);
    assert_true(with.workspace_bytes > without.workspace_bytes && with.request_bytes > without.request_bytes);
    assert_int_equal(with.total_bytes - without.total_bytes,
                     with.workspace_bytes - without.workspace_bytes + with.request_bytes - without.request_bytes);
    eo.cache_dir = "/nowhere/at/all";
    assert_null(hearth_engine_create(&eo, &err));
    assert_int_equal(err.status, HEARTH_ERR_IO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

/* What a model has when it goes to sleep is written first. */
static void who_sleeps_reads_its_pages_when_it_wakes(void **state)
{
    struct opened o;
    static struct answer first, again;
    hearth_request r = ask_of(0);
    hearth_model_now now = { 0 };
    (void)state;
    open_with(&o, options(), (hearth_model_options){ 0 });
    answer(&o, &r, &first);
    hearth_model_sleep(o.model);
    for (; !now.asleep; usleep(1000))
        hearth_model_look(o.model, &now);
    while (counts(&o).n_written < FULL / 64) /* copies of them are on their way */
        usleep(1000);
    answer(&o, &r, &again);
    assert_same(&first, &again);
    assert_int_equal(again.receipt.n_disk_tokens, FULL);
    assert_int_equal(counts(&o).n_dropped, 0);
    shut(&o);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(after_a_restart_the_bits_are_the_same_and_nothing_is_computed_twice),
        IN_FOLDER(memory_first_then_disk),
        IN_FOLDER(a_file_serves_its_own_key_only),
        IN_FOLDER(other_weights_another_type_or_a_later_file_do_not_use_it),
        IN_FOLDER(a_damaged_file_is_computed_again_and_said),
        IN_FOLDER(files_of_others_are_left_alone_and_counted),
        IN_FOLDER(the_longest_unused_go_first_and_ends_before_beginnings),
        IN_FOLDER(short_sequences_and_one_too_large_are_not_kept),
        IN_FOLDER(of_two_engines_one_writes_and_both_read),
        IN_FOLDER(who_takes_the_folder_over_looks_again),
        IN_FOLDER(every_failing_call_to_the_files_costs_time_only),
        IN_FOLDER(who_gives_its_pages_up_reads_them_again),
        IN_FOLDER(who_sleeps_reads_its_pages_when_it_wakes),
        IN_FOLDER(who_is_cancelled_while_it_loads_is_gone),
        IN_FOLDER(the_plan_has_room_for_it_and_a_bad_folder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
