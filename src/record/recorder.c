#include "record/recorder.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "record/item.h"

enum {
    DAYS = 30,
    TIDY_MS = 60000,         /* how often rows that are too old are looked for */
    REST_MS = 1000,          /* after a failure */
    LEAVING_MS = 10000,      /* a stream that was given up ends within a step */
    DATABASE_BYTES = 3 << 20 /* pages that SQLite keeps, and what it works with */
};
static const uint64_t MOST_BYTES = 1ull << 30;

enum note_kind { NOTE_TROUBLE, NOTE_DAMAGED, NOTE_GONE, NOTE_FINE, N_NOTES };

struct recorder {
    struct recorder_options o;
    struct folder folder;
    char dir[DATABASE_PATH_BYTES], path[DATABASE_PATH_BYTES]; /* without links */
    struct thread thread;
    atomic_bool stop;

    struct lock lock; /* of what follows */
    struct item *first, *last;
    int n_waiting; /* those that the thread has taken among them */
    size_t waiting_bytes;
    char problem[512];

    _Atomic uint64_t n_written, n_dropped, n_removed, n_failed, bytes;

    /* The thread's own. */
    struct database db;
    bool foreign, suspect; /* never to be written; to be looked at before it is used */
    int64_t tidied_ns, noted_ns[N_NOTES];
    struct buf json;
};

static size_t queue_bytes(bool full) { return full ? RECORDER_FULL_QUEUE_BYTES : RECORDER_QUEUE_BYTES; }
uint64_t recorder_memory_bytes(bool full) { return queue_bytes(full) + DATABASE_BYTES; }
bool recorder_is_full(const struct recorder *r) { return r && r->o.full; }

/* ---- trouble ---- */

PRINTF(3, 4) static void note(struct recorder *r, enum note_kind kind, const char *fmt, ...)
{
    static const int64_t minute_ns = 60000000000;
    char line[1024];
    va_list args;
    if (!r->o.note || (r->noted_ns[kind] && clock_ns() - r->noted_ns[kind] < minute_ns))
        return;
    r->noted_ns[kind] = clock_ns();
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    r->o.note(r->o.note_arg, line);
}

static void set_problem(struct recorder *r, const char *text)
{
    lock_take(&r->lock);
    snprintf(r->problem, sizeof r->problem, "%s", text);
    lock_release(&r->lock);
}

static void say_trouble(struct recorder *r, const hearth_error *err)
{
    uint64_t n = atomic_load(&r->n_dropped);
    atomic_fetch_add(&r->n_failed, 1);
    set_problem(r, err->message);
    note(r, NOTE_TROUBLE, "nothing is recorded for now, answers go on: %s (%llu dropped until now)", err->message,
         (unsigned long long)n);
}

static void say_fine(struct recorder *r)
{
    if (!r->problem[0]) /* only this thread writes there */
        return;
    set_problem(r, "");
    note(r, NOTE_FINE, "answers are recorded again; %llu were dropped until now",
         (unsigned long long)atomic_load(&r->n_dropped));
}

/* A damaged one is kept under another name, and a new one begun. */
static void set_aside(struct recorder *r, const hearth_error *why)
{
    char name[64];
    hearth_error err = { 0 };
    database_close(&r->db);
    r->suspect = false;
    if (!database_set_aside(&r->folder, name, &err)) {
        say_trouble(r, &err);
        return;
    }
    atomic_fetch_add(&r->n_failed, 1);
    note(r, NOTE_DAMAGED, "%s; it is %s/%s now, and a new one is begun", why->message, r->dir, name);
}

/* What a failure means for the database. */
static void take_state(struct recorder *r, enum database_state state, const hearth_error *err)
{
    if (state == DB_FINE)
        return;
    database_rollback(&r->db);
    r->foreign = state == DB_FOREIGN;
    r->suspect |= state == DB_DAMAGED; /* until it was looked through */
    if (state == DB_TROUBLE || state == DB_DAMAGED)
        database_close(&r->db);
    say_trouble(r, err);
}

/* ---- the database ---- */

/* One that was found damaged while it was used may be another one by now, or fine: it is looked at, all of it. */
static enum database_state check(struct recorder *r, hearth_error *err)
{
    enum database_state state = r->suspect ? database_check(&r->db, err) : DB_FINE;
    if (state == DB_FINE)
        r->suspect = false;
    return state;
}

static bool open_database(struct recorder *r)
{
    hearth_error err = { 0 };
    for (int i = 0; i < 2; i++) {
        enum database_state state = database_open(&r->db, &r->folder, r->dir, &r->stop, &err);
        if (state == DB_FINE)
            state = check(r, &err);
        if (state == DB_FINE)
            return true;
        if (state != DB_DAMAGED) {
            take_state(r, state, &err);
            return false;
        }
        set_aside(r, &err);
    }
    return false;
}

/* Somebody may have taken the file away: what is written to it then nobody finds. */
static bool have_database(struct recorder *r)
{
    if (r->db.db && database_is_gone(&r->db)) {
        database_forget(&r->db, &r->folder);
        note(r, NOTE_GONE, "%s was taken away; a new one is begun", r->path);
    }
    return r->db.db || (!r->foreign && open_database(r));
}

/* ---- writing ---- */

/* *n_bad: rows that cannot be stored. */
static enum database_state insert_all(struct recorder *r, struct item *first, uint64_t *n_bad, hearth_error *err)
{
    enum database_state state = DB_FINE;
    for (struct item *i = first; i && state == DB_FINE; i = i->next) {
        struct database_row row;
        bool ok = item_row(i, r->o.full, &r->json, &row);
        state = ok ? database_insert(&r->db, &row, err) : DB_ROW;
        *n_bad += state == DB_ROW;
        state = state == DB_ROW ? DB_FINE : state;
    }
    return state;
}

static enum database_state trim(struct recorder *r, hearth_error *err)
{
    static const int64_t day_ms = 86400000;
    uint64_t bytes = 0, n_removed = 0;
    int64_t before = clock_unix_ns() / 1000000 - r->o.days * day_ms;
    enum database_state state = database_trim(&r->db, before, r->o.most_bytes, &bytes, &n_removed, err);
    if (state == DB_FINE) {
        atomic_store(&r->bytes, bytes);
        atomic_fetch_add(&r->n_removed, n_removed);
    }
    return state;
}

/* All in one transaction. False: nothing of it. */
static bool write_all(struct recorder *r, struct item *first, uint64_t n)
{
    hearth_error err = { 0 };
    uint64_t n_bad = 0;
    if (!have_database(r))
        return false;
    enum database_state state = database_begin(&r->db, &err);
    if (state == DB_FINE)
        state = insert_all(r, first, &n_bad, &err);
    if (state == DB_FINE)
        state = trim(r, &err);
    if (state == DB_FINE)
        state = database_commit(&r->db, &err);
    take_state(r, state, &err);
    if (state != DB_FINE)
        return false;
    atomic_fetch_add(&r->n_written, n - n_bad);
    atomic_fetch_add(&r->n_dropped, n_bad);
    r->tidied_ns = clock_ns();
    say_fine(r);
    return true;
}

/* ---- the queue ---- */

struct chain {
    struct item *first, *last;
    uint64_t n;
};

static void add(struct chain *c, struct item *i)
{
    i->next = NULL;
    if (c->last)
        c->last->next = i;
    else
        c->first = i;
    c->last = i;
    c->n++;
}

/* They are done with: written, or dropped. */
static void forget(struct recorder *r, struct chain *c, bool dropped)
{
    size_t bytes = 0;
    if (dropped)
        atomic_fetch_add(&r->n_dropped, c->n);
    for (struct item *i = c->first, *next; i; i = next) {
        next = i->next;
        bytes += i->bytes;
        item_free(i);
    }
    lock_take(&r->lock);
    r->n_waiting -= (int)c->n;
    r->waiting_bytes -= bytes;
    lock_release(&r->lock);
}

static void put_back(struct recorder *r, struct chain *c)
{
    if (!c->first)
        return;
    lock_take(&r->lock);
    c->last->next = r->first;
    r->first = c->first;
    if (!r->last)
        r->last = c->last;
    lock_release(&r->lock);
}

/* Those that can be written; of the others some are tried again later. */
static void sort_out(struct item *all, struct chain *ready, struct chain *later, struct chain *lost)
{
    for (struct item *i = all, *next; i; i = next) {
        next = i->next;
        if (item_ready(i))
            add(ready, i);
        else
            add(clock_ms_since(i->put_ns) > LEAVING_MS ? lost : later, i);
    }
}

/* What waits longer than anybody should is given up. */
static void give_up_old(struct recorder *r, struct chain *failed, struct chain *later, struct chain *lost)
{
    double most_ms = atomic_load(&r->stop) || r->foreign ? -1 : r->o.patience_ms;
    for (struct item *i = failed->first, *next; i; i = next) {
        next = i->next;
        add(clock_ms_since(i->put_ns) > most_ms ? lost : later, i);
    }
}

/* False: the database took nothing. */
static bool write_queue(struct recorder *r, struct item *all)
{
    struct chain ready = { 0 }, later = { 0 }, lost = { 0 };
    sort_out(all, &ready, &later, &lost);
    bool tidy = clock_ms_since(r->tidied_ns) > TIDY_MS;
    bool ok = (!ready.first && !tidy) || write_all(r, ready.first, ready.n);
    if (ok)
        forget(r, &ready, false);
    else
        give_up_old(r, &ready, &later, &lost);
    forget(r, &lost, true);
    put_back(r, &later);
    return ok;
}

/* Until something has waited for RECORDER_MS, or much is there; rest_ms: and not before that time is over. The lock is
 * held before and after. */
static void wait_for_work(struct recorder *r, double rest_ms)
{
    int64_t start = clock_ns();
    while (!atomic_load(&r->stop)) {
        bool much = r->n_waiting > r->o.queue_rows / 2 || r->waiting_bytes > queue_bytes(r->o.full) / 2;
        double ms = r->first ? RECORDER_MS - clock_ms_since(r->first->put_ns) : TIDY_MS;
        ms = r->first && much ? 0 : ms;
        double left = rest_ms - clock_ms_since(start);
        ms = left > ms ? left : ms;
        if (ms <= 0 || (!lock_wait_ms(&r->lock, ms) && !r->first))
            return;
    }
}

/* Not at low priority: where others keep the processors busy, what it does takes several times as long then, and a kill
 * takes more with it than the second that is promised. */
static void run(void *arg)
{
    struct recorder *r = arg;
    double rest_ms = 0;
    int64_t stopped_ns = 0;
    lock_take(&r->lock);
    for (bool goes_on = true; goes_on;) {
        wait_for_work(r, rest_ms);
        if (!stopped_ns && atomic_load(&r->stop))
            stopped_ns = clock_ns();
        struct item *all = r->first;
        r->first = r->last = NULL;
        lock_release(&r->lock);
        bool ok = write_queue(r, all);
        lock_take(&r->lock);
        rest_ms = ok ? r->first ? RECORDER_MS / 4 : 0 : REST_MS;
        goes_on = !stopped_ns || (ok && r->first && clock_ms_since(stopped_ns) < RECORDER_LAST_MS);
        if (stopped_ns && goes_on) /* for streams that end */
            lock_wait_ms(&r->lock, 2);
    }
    lock_release(&r->lock);
}

static bool has_room(const struct recorder *r, size_t bytes)
{
    return r->n_waiting < r->o.queue_rows && r->waiting_bytes + bytes <= queue_bytes(r->o.full);
}

void recorder_put(struct recorder *r, const struct record *record)
{
    struct item *i = r ? item_new(record, r->o.full, queue_bytes(r->o.full) / 4) : NULL;
    if (!i) {
        hearth_stream_close(record->stream);
        if (r)
            atomic_fetch_add(&r->n_dropped, 1);
        return;
    }
    lock_take(&r->lock);
    bool room = has_room(r, i->bytes);
    if (room) {
        struct chain c = { r->first, r->last, 0 };
        add(&c, i);
        r->first = c.first;
        r->last = c.last;
        r->n_waiting++;
        r->waiting_bytes += i->bytes;
        if (c.first == c.last || r->n_waiting > r->o.queue_rows / 2 || r->waiting_bytes > queue_bytes(r->o.full) / 2)
            lock_wake_all(&r->lock);
    }
    lock_release(&r->lock);
    if (room)
        return;
    atomic_fetch_add(&r->n_dropped, 1);
    item_free(i);
}

/* ---- its life ---- */

static void fill_options(struct recorder *r, const struct recorder_options *o)
{
    r->o = *o;
    r->o.dir = r->dir;
    r->o.days = o->days ? o->days : DAYS;
    r->o.most_bytes = o->most_bytes ? o->most_bytes : MOST_BYTES;
    r->o.patience_ms = o->patience_ms ? o->patience_ms : RECORDER_PATIENCE_MS;
    r->o.queue_rows = o->queue_rows ? o->queue_rows : RECORDER_ROWS;
}

static bool open_folder(struct recorder *r, const char *dir, hearth_error *err)
{
    if (!folder_make(dir, err))
        return false;
    if (!file_real_path(dir, r->dir, sizeof r->dir)
        || (size_t)snprintf(r->path, sizeof r->path, "%s/" DATABASE_NAME, r->dir) >= sizeof r->path)
        return fail(err, HEARTH_ERR_USAGE, "the path of the folder %.80s... is too long; name a shorter one", dir);
    return folder_open(&r->folder, r->dir, err);
}

struct recorder *recorder_open(const struct recorder_options *options, hearth_error *err)
{
    struct recorder *r = mem_alloc(sizeof *r);
    if (!r || !lock_init(&r->lock)) {
        mem_free(r);
        fail_memory(err, "the flight recorder");
        return NULL;
    }
    r->folder.fd = -1;
    fill_options(r, options);
    if (open_folder(r, options->dir, err)) {
        open_database(r); /* here, so that it is open when a sandbox is entered */
        if (thread_start(&r->thread, "hearth-record", run, r, err))
            return r;
    }
    recorder_close(r);
    return NULL;
}

void recorder_close(struct recorder *r)
{
    if (!r)
        return;
    lock_take(&r->lock);
    atomic_store(&r->stop, true);
    lock_wake_all(&r->lock);
    lock_release(&r->lock);
    thread_join(&r->thread);
    struct chain left = { r->first, r->last, (uint64_t)r->n_waiting };
    forget(r, &left, true);
    database_close(&r->db);
    folder_close(&r->folder);
    lock_destroy(&r->lock);
    buf_free(&r->json);
    mem_free(r);
}

void recorder_look(struct recorder *r, struct recorder_figures *out)
{
    *out = (struct recorder_figures){ .on = r != NULL };
    if (!r)
        return;
    out->full = r->o.full;
    out->path = r->path;
    out->dir = r->dir;
    out->n_written = atomic_load(&r->n_written);
    out->n_dropped = atomic_load(&r->n_dropped);
    out->n_removed = atomic_load(&r->n_removed);
    out->n_failed = atomic_load(&r->n_failed);
    out->bytes = atomic_load(&r->bytes);
    lock_take(&r->lock);
    out->n_waiting = (uint64_t)r->n_waiting;
    memcpy(out->problem, r->problem, sizeof out->problem);
    lock_release(&r->lock);
}
