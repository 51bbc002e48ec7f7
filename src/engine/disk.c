#include "engine/disk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/folder.h"
#include "engine/disk_index.h"

enum {
    REST_MS = 10000,       /* after a write that failed nothing is written for so long */
    NOTE_MS = 60000,       /* between two lines of one kind */
};

enum note { NOTE_UNUSABLE, NOTE_READ, NOTE_WRITE, NOTE_HELD, N_NOTES };

static const char held_name[] = "hearth.lock";

struct disk {
    struct disk_options o;
    char *path; /* o.path */
    struct folder folder;
    int held_fd; /* of the process that may write; only the writer looks at it once the threads run */

    struct lock lock; /* guards what follows */
    struct disk_index index;
    hearth_disk_cache counts;
    struct disk_load *first_load, *last_load, *loading;
    struct disk_copy *first_copy, *last_copy;
    int64_t noted_ns[N_NOTES];
    bool stop_reading, stop;
    bool looked; /* through the folder: what follows is a second look */

    struct sha256 *sha; /* the reader's */
    int64_t rest_until_ns; /* the writer's */
    struct thread reader, writer;
};

/* ---- what others are told ---- */

PRINTF(3, 4) static void note(struct disk *d, enum note what, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    lock_take(&d->lock);
    int64_t now = clock_ns(), last = d->noted_ns[what];
    bool again = !last || now - last >= NOTE_MS * (int64_t)1000000;
    if (again)
        d->noted_ns[what] = now;
    lock_release(&d->lock);
    if (!again || !d->o.note)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    d->o.note(d->o.note_arg, line);
}

void disk_look(struct disk *d, hearth_disk_cache *out)
{
    lock_take(&d->lock);
    *out = d->counts;
    out->path = d->o.path;
    out->n_pages = d->index.n;
    out->bytes = d->index.bytes;
    out->most_bytes = d->o.most_bytes;
    lock_release(&d->lock);
}

bool disk_has(struct disk *d, struct kv_id id, int64_t used_ns)
{
    lock_take(&d->lock);
    struct disk_entry *e = disk_index_find(&d->index, id);
    bool has = e && !e->coming;
    if (has && e->used_ns < used_ns)
        e->used_ns = used_ns;
    lock_release(&d->lock);
    return has;
}

bool disk_touch(struct disk *d, struct kv_id id, int64_t used_ns)
{
    lock_take(&d->lock);
    struct disk_entry *e = disk_index_find(&d->index, id);
    if (e && e->used_ns < used_ns)
        e->used_ns = used_ns;
    lock_release(&d->lock);
    return e != NULL;
}

void disk_dropped(struct disk *d, uint64_t n)
{
    lock_take(&d->lock);
    d->counts.n_dropped += n;
    lock_release(&d->lock);
}

static void forget(struct disk *d, struct kv_id id)
{
    lock_take(&d->lock);
    struct disk_entry *e = disk_index_find(&d->index, id);
    if (e && !e->coming)
        disk_index_remove(&d->index, e);
    lock_release(&d->lock);
}

/* ---- reading ---- */

/* A file that is open, or why it is not. */
struct reading {
    struct kv_file_page page;
    int fd, why;
    uint64_t bytes;
};

static void begin_page(struct disk *d, const struct disk_load *l, uint32_t i, const struct kv_key *before,
                       struct reading *r)
{
    char name[KV_FILE_NAME_BYTES];
    r->page = (struct kv_file_page){ .before = *before, .number = l->first + i,
                                     .tokens = l->tokens + (size_t)i * PREFIX_PAGE_TOKENS };
    kv_key_next(d->sha, before, r->page.tokens, &r->page.key);
    kv_file_name(kv_id_of(&r->page.key), name);
    r->fd = folder_file_open(&d->folder, name, &r->bytes, NULL);
    r->why = r->fd < 0 ? errno : 0;
    if (r->fd >= 0)
        fd_will_read(r->fd);
}

/* Into the page of the pool. r->why: the system's reason, where it has one. */
static enum kv_file_fault read_page(const struct disk_load *l, struct reading *r, uint8_t *data)
{
    uint8_t head[KV_FILE_HEAD_BYTES];
    uint64_t sum;
    if (r->bytes < sizeof head)
        return KV_FILE_LENGTH;
    enum kv_file_fault fault = KV_FILE_LENGTH;
    bool read = fd_read(r->fd, head, sizeof head, 0);
    if (read && (fault = kv_file_check(head, r->bytes, l->form, &r->page, &sum)) != KV_FILE_GOOD)
        return fault;
    read = read && fd_read(r->fd, data, l->form->page_bytes, sizeof head);
    if (!read) {
        r->why = errno;
        return KV_FILE_LENGTH;
    }
    return kv_file_sum(data, l->form->page_bytes) == sum ? KV_FILE_GOOD : KV_FILE_DATA;
}

/* A file that is not what its name says is of no use, and would be read again and again. One that cannot be read, or
 * not be removed, is there still: it counts, and may be read another time. */
static void refuse_page(struct disk *d, const struct reading *r, enum kv_file_fault fault)
{
    char name[KV_FILE_NAME_BYTES];
    struct kv_id id = kv_id_of(&r->page.key);
    kv_file_name(id, name);
    if (r->why == ENOENT) { /* somebody else removed it */
        forget(d, id);
        return;
    }
    lock_take(&d->lock);
    d->counts.n_read_failed += r->why != 0;
    d->counts.n_unusable += r->why == 0;
    lock_release(&d->lock);
    if (r->why) {
        note(d, NOTE_READ, "cannot read %s/%s: %s; its tokens are computed", d->o.path, name, strerror(r->why));
        return;
    }
    if (folder_remove(&d->folder, name))
        forget(d, id);
    note(d, NOTE_UNUSABLE, "%s/%s is not used and removed: %s; its tokens are computed", d->o.path, name,
         kv_file_fault_text(fault));
}

static void count_read(struct disk *d, const struct kv_form *form)
{
    lock_take(&d->lock);
    d->counts.n_read++;
    d->counts.read_bytes += kv_file_bytes(form);
    lock_release(&d->lock);
}

/* The next file is opened, and the system told to read it, before this one's bytes are asked for. */
static void load(struct disk *d, struct disk_load *l)
{
    struct reading now, next;
    begin_page(d, l, 0, &l->before, &now);
    for (uint32_t i = 0; i < l->n_pages; i++, now = next) {
        next = (struct reading){ .fd = -1 };
        if (i + 1 < l->n_pages && now.fd >= 0)
            begin_page(d, l, i + 1, &now.page.key, &next);
        enum kv_file_fault fault = KV_FILE_LENGTH;
        if (now.fd >= 0 && !atomic_load(&l->stop))
            fault = read_page(l, &now, l->data + (size_t)l->pages[i] * l->form->page_bytes);
        else if (now.fd >= 0)
            now.why = ENOENT; /* not asked for any more */
        if (fault == KV_FILE_GOOD) {
            fd_mark_used(now.fd, l->used_ns - (int64_t)now.page.number * DISK_DEPTH_NS);
            count_read(d, l->form);
            atomic_store(&l->n_read, i + 1);
        } else if (!atomic_load(&l->stop)) {
            refuse_page(d, &now, fault);
        }
        if (now.fd >= 0)
            fd_done(now.fd);
        if (fault != KV_FILE_GOOD) {
            if (next.fd >= 0)
                fd_done(next.fd);
            return;
        }
    }
}

static void reader_main(void *arg)
{
    struct disk *d = arg;
    lock_take(&d->lock);
    for (;;) {
        while (!d->stop_reading && !d->first_load)
            lock_wait(&d->lock);
        struct disk_load *l = d->first_load;
        if (!l)
            break;
        d->first_load = l->next;
        if (!l->next)
            d->last_load = NULL;
        bool wanted = !d->stop_reading;
        d->loading = l;
        lock_release(&d->lock);
        if (wanted)
            load(d, l);
        lock_take(&d->lock);
        d->loading = NULL;
        lock_release(&d->lock);
        atomic_store(&l->ended, true);
        d->o.wake(d->o.wake_arg);
        lock_take(&d->lock);
    }
    lock_release(&d->lock);
}

void disk_load_begin(struct disk *d, struct disk_load *l)
{
    l->next = NULL;
    atomic_store(&l->n_read, 0);
    atomic_store(&l->stop, false);
    atomic_store(&l->ended, false);
    lock_take(&d->lock);
    if (d->last_load)
        d->last_load->next = l;
    else
        d->first_load = l;
    d->last_load = l;
    lock_wake_all(&d->lock);
    lock_release(&d->lock);
}

/* ---- writing ---- */

static void see_file(void *arg, const char *name, uint64_t bytes, int64_t used_ns);

/* Whoever had the folder before has written and removed files: they are looked at again. */
static bool hold(struct disk *d)
{
    if (d->held_fd >= 0)
        return true;
    d->held_fd = folder_hold(&d->folder, held_name);
    if (d->held_fd < 0 || !d->looked)
        return d->held_fd >= 0;
    lock_take(&d->lock);
    disk_index_clear(&d->index);
    d->counts.n_foreign = 0;
    lock_release(&d->lock);
    hearth_error err = { 0 };
    if (!folder_look(&d->folder, see_file, d, &err))
        note(d, NOTE_READ, "%s", err.message);
    return true;
}

static void count_removed(struct disk *d)
{
    lock_take(&d->lock);
    d->counts.n_removed++;
    lock_release(&d->lock);
}

/* It is there still, and not the one to be tried next. */
static void put_back(struct disk *d, const struct disk_entry *e)
{
    lock_take(&d->lock);
    if (!disk_index_find(&d->index, e->id))
        disk_index_put(&d->index, e->id, e->bytes, clock_unix_ns());
    lock_release(&d->lock);
}

/* Remove files that are older than this until all are within the limits. False: there are none. */
static bool make_room(struct disk *d, int64_t used_ns)
{
    for (;;) {
        char name[KV_FILE_NAME_BYTES];
        struct disk_entry old = { 0 };
        lock_take(&d->lock);
        bool over = d->index.bytes > d->o.most_bytes || d->index.n > DISK_KEPT_FILES;
        struct disk_entry *e = over && !d->stop ? disk_index_oldest(&d->index) : NULL;
        if (e && e->used_ns < used_ns) {
            old = *e;
            disk_index_remove(&d->index, e);
        }
        lock_release(&d->lock);
        if (!old.bytes)
            return !over;
        kv_file_name(old.id, name);
        if (!folder_remove(&d->folder, name)) {
            put_back(d, &old);
            note(d, NOTE_WRITE, "cannot remove %s/%s: %s; nothing more is written there", d->o.path, name,
                 strerror(errno));
            return false;
        }
        count_removed(d);
    }
}

/* False: it was not tried. */
static bool write_copy(struct disk *d, const struct disk_copy *c, bool *written)
{
    uint8_t head[KV_FILE_HEAD_BYTES];
    char name[KV_FILE_NAME_BYTES];
    hearth_error err = { 0 };
    if (clock_ns() < d->rest_until_ns)
        return false;
    if (!hold(d)) {
        note(d, NOTE_HELD, errno == EWOULDBLOCK ? "%s is written by another process; this one only reads it"
                                                : "%s cannot be written by this process, and is only read", d->o.path);
        return false;
    }
    if (!make_room(d, c->used_ns))
        return false;
    kv_file_name(kv_id_of(&c->page.key), name);
    kv_file_head(head, c->form, &c->page, kv_file_sum(c->data, c->form->page_bytes));
    const struct bytes_part parts[2] = { { head, sizeof head }, { c->data, c->form->page_bytes } };
    *written = folder_write(&d->folder, name, parts, 2, c->used_ns, &err);
    if (*written)
        return true;
    d->rest_until_ns = clock_ns() + REST_MS * (int64_t)1000000;
    note(d, NOTE_WRITE, "%s; for %d s nothing is written there", err.message, REST_MS / 1000);
    return true;
}

static void settle_copy(struct disk *d, struct disk_copy *c, bool tried, bool written)
{
    struct disk_entry *e = disk_index_find(&d->index, kv_id_of(&c->page.key));
    d->counts.n_written += written;
    d->counts.written_bytes += written ? kv_file_bytes(c->form) : 0;
    d->counts.n_write_failed += tried && !written;
    d->counts.n_dropped += !tried;
    d->counts.n_waiting--;
    if (e && written)
        e->coming = false;
    else if (e)
        disk_index_remove(&d->index, e);
    c->state = COPY_FREE;
}

static struct disk_copy *take_copy(struct disk *d)
{
    struct disk_copy *c = d->first_copy;
    d->first_copy = c->next;
    if (!c->next)
        d->last_copy = NULL;
    c->state = COPY_WRITTEN;
    return c;
}

static void writer_main(void *arg)
{
    struct disk *d = arg;
    thread_low_priority();
    if (hold(d)) /* the limit may be another one than the last time */
        make_room(d, INT64_MAX);
    lock_take(&d->lock);
    for (;;) {
        while (!d->stop && !d->first_copy)
            lock_wait(&d->lock);
        if (!d->first_copy)
            break;
        struct disk_copy *c = take_copy(d);
        bool tried = false, written = false, wanted = !d->stop;
        lock_release(&d->lock);
        if (wanted)
            tried = write_copy(d, c, &written);
        lock_take(&d->lock);
        settle_copy(d, c, tried, written);
        lock_wake_all(&d->lock);
        lock_release(&d->lock);
        d->o.wake(d->o.wake_arg);
        lock_take(&d->lock);
    }
    lock_release(&d->lock);
}

struct disk_copy *disk_copy_take(struct disk *d, struct disk_stage *s)
{
    struct disk_copy *c = NULL;
    lock_take(&d->lock);
    for (int i = 0; i < s->n && !c && !d->stop; i++)
        if (s->copies[i].state == COPY_FREE)
            c = &s->copies[i];
    if (c)
        c->state = COPY_TAKEN;
    lock_release(&d->lock);
    return c;
}

void disk_copy_put(struct disk *d, struct disk_copy *c)
{
    struct kv_id id = kv_id_of(&c->page.key);
    lock_take(&d->lock);
    struct disk_entry *e = disk_index_find(&d->index, id);
    if (!e && !d->stop && kv_file_bytes(c->form) <= d->o.most_bytes)
        e = disk_index_put(&d->index, id, kv_file_bytes(c->form), c->used_ns);
    else
        e = NULL;
    if (e) {
        e->coming = true;
        c->state = COPY_WAITS;
        c->next = NULL;
        if (d->last_copy)
            d->last_copy->next = c;
        else
            d->first_copy = c;
        d->last_copy = c;
        d->counts.n_waiting++;
        lock_wake_all(&d->lock);
    } else {
        c->state = COPY_FREE;
        d->counts.n_dropped++;
    }
    lock_release(&d->lock);
}

static int count_free(const struct disk_stage *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += s->copies[i].state == COPY_FREE;
    return n;
}

bool disk_stage_wait(struct disk *d, struct disk_stage *s, double ms, bool all)
{
    int64_t start = clock_ns();
    double left = ms;
    lock_take(&d->lock);
    int want = all ? s->n : 1;
    while (!d->stop && count_free(s) < want && left > 0) {
        lock_wait_ms(&d->lock, left);
        left = ms - clock_ms_since(start);
    }
    bool free = !d->stop && count_free(s) >= want;
    lock_release(&d->lock);
    return free;
}

static bool is_of(const struct disk_stage *s, const struct disk_copy *c)
{
    return c >= s->copies && c < s->copies + s->n;
}

void disk_stage_end(struct disk *d, struct disk_stage *s)
{
    lock_take(&d->lock);
    struct disk_copy *c = d->first_copy;
    d->first_copy = d->last_copy = NULL;
    for (struct disk_copy *next; c; c = next) {
        next = c->next;
        c->next = NULL;
        if (is_of(s, c)) {
            settle_copy(d, c, false, false);
            continue;
        }
        if (d->last_copy)
            d->last_copy->next = c;
        else
            d->first_copy = c;
        d->last_copy = c;
    }
    while (count_free(s) < s->n) /* the one that is being written */
        lock_wait(&d->lock);
    lock_release(&d->lock);
}

/* ---- life ---- */

static void count_foreign(struct disk *d)
{
    lock_take(&d->lock);
    d->counts.n_foreign++;
    lock_release(&d->lock);
}

/* Of more than there is place for some go, as if they were the oldest. */
static void see_page(struct disk *d, const char *name, struct kv_id id, uint64_t bytes, int64_t used_ns)
{
    int64_t now = clock_unix_ns();
    lock_take(&d->lock);
    bool whole = bytes >= KV_FILE_HEAD_BYTES;
    bool known = whole && (disk_index_find(&d->index, id)
                           || disk_index_put(&d->index, id, bytes, used_ns < now ? used_ns : now));
    lock_release(&d->lock);
    if (!known && whole && d->held_fd >= 0 && folder_remove(&d->folder, name))
        count_removed(d);
    else if (!known)
        count_foreign(d);
}

static void see_file(void *arg, const char *name, uint64_t bytes, int64_t used_ns)
{
    struct disk *d = arg;
    struct kv_id id;
    size_t n = strlen(name);
    char whole[KV_FILE_NAME_BYTES];
    if (strcmp(name, held_name) == 0)
        return;
    if (kv_file_name_read(name, &id)) {
        see_page(d, name, id, bytes, used_ns);
        return;
    }
    snprintf(whole, sizeof whole, "%.*s", (int)sizeof whole - 1, name);
    bool part = n == sizeof whole - 1 + 5 && strcmp(name + n - 5, ".part") == 0 && kv_file_name_read(whole, &id);
    if (part && d->held_fd >= 0) /* of a process that was killed while it wrote */
        folder_remove(&d->folder, name);
    else
        count_foreign(d);
}

uint64_t disk_memory_bytes(void) { return disk_index_bytes() + sizeof(struct disk); }

static bool open_all(struct disk *d, hearth_error *err)
{
    size_t n = strlen(d->o.path) + 1;
    if (!disk_index_create(&d->index) || !(d->sha = sha256_new()) || !(d->path = mem_alloc(n)))
        return fail_memory(err, "the cache on disk");
    d->o.path = memcpy(d->path, d->o.path, n);
    if (!folder_open(&d->folder, d->o.path, err))
        return false;
    d->held_fd = folder_hold(&d->folder, held_name);
    if (!folder_look(&d->folder, see_file, d, err))
        return false;
    d->looked = true;
    return thread_start(&d->reader, "hearth-kv-read", reader_main, d, err)
           && thread_start(&d->writer, "hearth-kv-write", writer_main, d, err);
}

struct disk *disk_open(const struct disk_options *o, hearth_error *err)
{
    struct disk *d = mem_alloc(sizeof *d);
    if (!d || !lock_init(&d->lock)) {
        mem_free(d);
        fail_memory(err, "the cache on disk");
        return NULL;
    }
    d->o = *o;
    d->folder.fd = d->held_fd = -1;
    if (open_all(d, err))
        return d;
    disk_stop(d);
    disk_close(d);
    return NULL;
}

void disk_stop_reading(struct disk *d)
{
    if (!d)
        return;
    lock_take(&d->lock);
    d->stop_reading = true;
    if (d->loading)
        disk_load_stop(d->loading);
    lock_wake_all(&d->lock);
    lock_release(&d->lock);
    thread_join(&d->reader);
}

void disk_stop(struct disk *d)
{
    if (!d)
        return;
    disk_stop_reading(d);
    lock_take(&d->lock);
    d->stop = true;
    lock_wake_all(&d->lock);
    lock_release(&d->lock);
    thread_join(&d->writer);
}

void disk_close(struct disk *d)
{
    if (!d)
        return;
    if (d->held_fd >= 0)
        folder_let_go(d->held_fd);
    folder_close(&d->folder);
    disk_index_destroy(&d->index);
    sha256_free(d->sha);
    mem_free(d->path);
    lock_destroy(&d->lock);
    mem_free(d);
}
