#include "record/database.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"

enum {
    APPLICATION_ID = 0x68727468, /* "hrth": whose file it is */
    BUSY_MS = 1000, HURRY_MS = 100, /* at most, for others that write; at the end */
    TRIM_ROWS = 64, TRIM_ROUNDS = 32,
    VACUUM_PAGES = 512,          /* given back to the file system at once */
};

/* AUTOINCREMENT: an id is never given twice. What lists are made of is apart from what is long, so that looking through
 * all of it reads little. */
static const char schema[] =
    "CREATE TABLE request("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  time_ms INTEGER NOT NULL,"
    "  request_id TEXT NOT NULL,"
    "  choice INTEGER NOT NULL,"
    "  key TEXT,"
    "  source TEXT NOT NULL,"
    "  model TEXT NOT NULL,"
    "  identity TEXT NOT NULL,"
    "  template_sha256 TEXT,"
    "  revision INTEGER NOT NULL,"
    "  status INTEGER NOT NULL,"
    "  finish TEXT NOT NULL,"
    "  detail TEXT NOT NULL,"
    "  n_prompt_tokens INTEGER NOT NULL,"
    "  n_cached_tokens INTEGER NOT NULL,"
    "  n_output_tokens INTEGER NOT NULL,"
    "  queue_ms REAL,"
    "  first_token_ms REAL,"
    "  total_ms REAL,"
    "  seed INTEGER NOT NULL);" /* two's complement of a number without a sign */
    "CREATE INDEX request_by_time ON request(time_ms);"
    "CREATE INDEX request_by_request_id ON request(request_id);"
    "CREATE TABLE receipt("
    "  id INTEGER PRIMARY KEY REFERENCES request(id) ON DELETE CASCADE,"
    "  json TEXT NOT NULL);"
    "CREATE TABLE body("
    "  id INTEGER PRIMARY KEY REFERENCES request(id) ON DELETE CASCADE,"
    "  prompt BLOB NOT NULL,"      /* int32, little-endian */
    "  output BLOB NOT NULL,"      /* the same */
    "  mixes BLOB NOT NULL,"       /* uint64, little-endian */
    "  parameters TEXT NOT NULL);";

static const char *const statements[N_DB_STATEMENTS] = {
    [DB_BEGIN] = "BEGIN IMMEDIATE",
    [DB_COMMIT] = "COMMIT",
    [DB_ROLLBACK] = "ROLLBACK",
    [DB_REQUEST] = "INSERT INTO request VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [DB_RECEIPT] = "INSERT INTO receipt VALUES(?,?)",
    [DB_BODY] = "INSERT INTO body VALUES(?,?,?,?,?)",
    [DB_OLD] = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE time_ms < ?1 ORDER BY time_ms LIMIT ?2)",
    [DB_FIRST] = "DELETE FROM request WHERE id IN (SELECT id FROM request ORDER BY id LIMIT ?1)",
    [DB_PAGES] = ("SELECT page_count, freelist_count, page_size"
                  " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"),
};

/* ---- how it went ---- */

static enum database_state state_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return DB_FINE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
        return DB_WAIT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return DB_DAMAGED;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        return DB_ROW;
    default:
        return DB_TROUBLE;
    }
}

/* SQLite's words, and what can be done about it. */
static enum database_state fail_as(const struct database *d, int code, hearth_error *err)
{
    enum database_state state = state_of(code);
    const char *advice = state == DB_WAIT && (code & 0xff) != SQLITE_FULL ? "another process has it locked"
                         : (code & 0xff) == SQLITE_FULL                   ? "make room on its disk"
                         : state == DB_DAMAGED                            ? "the file is damaged"
                                                    : "check the folder, its permissions and its free space";
    fail(err, state == DB_DAMAGED ? HEARTH_ERR_FORMAT : HEARTH_ERR_IO, "%.700s: %s (SQLite %d); %s", d->path,
         d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(code), code, advice);
    return state;
}

static enum database_state run_text(struct database *d, const char *sql, hearth_error *err)
{
    int code = sqlite3_exec(d->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? DB_FINE : fail_as(d, sqlite3_extended_errcode(d->db), err);
}

static enum database_state run(struct database *d, enum database_statement which, hearth_error *err)
{
    sqlite3_stmt *s = d->statement[which];
    int code = sqlite3_step(s);
    enum database_state state = DB_FINE;
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        state = fail_as(d, sqlite3_extended_errcode(d->db), err);
    sqlite3_reset(s);
    return state;
}

/* The number that a PRAGMA without arguments says. */
static enum database_state ask(struct database *d, const char *sql, int64_t *out, hearth_error *err)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(d->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    enum database_state state = code == SQLITE_ROW ? DB_FINE : fail_as(d, sqlite3_extended_errcode(d->db), err);
    sqlite3_finalize(s);
    return state;
}

/* ---- opening ---- */

/* Others write for milliseconds. */
static int wait_for_others(void *database, int n_tries)
{
    enum { STEP_MS = 5 };
    struct database *d = database;
    if (n_tries * STEP_MS >= (d->hurry && atomic_load(d->hurry) ? HURRY_MS : BUSY_MS))
        return 0;
    sqlite3_sleep(STEP_MS);
    return 1;
}

static enum database_state connect_to(struct database *d, int flags, hearth_error *err)
{
    int code = sqlite3_open_v2(d->path, &d->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return fail_as(d, code, err);
    sqlite3_extended_result_codes(d->db, 1);
    sqlite3_busy_handler(d->db, wait_for_others, d);
    sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return DB_FINE;
}

static enum database_state wrong_version(const struct database *d, int64_t version, hearth_error *err)
{
    fail(err, HEARTH_ERR_FORMAT, "%.700s has the form %lld of a later hearth, and this one knows form %d; use that "
         "one, or another folder (--record-dir)", d->path, (long long)version, DATABASE_VERSION);
    return DB_FOREIGN;
}

/* Ours, and of a form that we know; *version 0: there is nothing in it. */
static enum database_state look(struct database *d, int64_t *version, hearth_error *err)
{
    int64_t owner = 0, n_tables = 0;
    enum database_state state = ask(d, "PRAGMA application_id", &owner, err);
    if (state == DB_FINE)
        state = ask(d, "PRAGMA user_version", version, err);
    if (state == DB_FINE)
        state = ask(d, "SELECT count(*) FROM sqlite_schema", &n_tables, err);
    if (state != DB_FINE || (owner == 0 && *version == 0 && n_tables == 0))
        return state;
    if (owner != APPLICATION_ID) {
        fail(err, HEARTH_ERR_FORMAT, "%.700s is a database of another program; name another folder (--record-dir)",
             d->path);
        return DB_FOREIGN;
    }
    return *version == DATABASE_VERSION ? DB_FINE : wrong_version(d, *version, err);
}

/* Also by two processes at once: whoever is second finds it made. */
static enum database_state make_tables(struct database *d, hearth_error *err)
{
    char mark[96];
    int64_t version = 0;
    enum database_state state = run_text(d, "BEGIN IMMEDIATE", err);
    if (state != DB_FINE)
        return state;
    snprintf(mark, sizeof mark, "PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION_ID, DATABASE_VERSION);
    state = look(d, &version, err);
    if (state == DB_FINE && version == 0)
        state = run_text(d, schema, err);
    if (state == DB_FINE && version == 0)
        state = run_text(d, mark, err);
    if (state == DB_FINE)
        return run_text(d, "COMMIT", err);
    sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    return state;
}

/* auto_vacuum has an effect before the first table only. WAL: who reads and who writes do not wait for each other, and
 * a commit is a write and no sync; NORMAL syncs when the log goes into the file. Nothing is kept in other places than
 * the folder, and what is removed is overwritten. */
static const char settings[] =
    "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2000; PRAGMA mmap_size=0;"
    "PRAGMA secure_delete=ON; PRAGMA foreign_keys=ON; PRAGMA journal_size_limit=4194304; PRAGMA synchronous=NORMAL;";

static enum database_state use_log(struct database *d, hearth_error *err)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(d->db, "PRAGMA journal_mode=WAL", -1, &s, NULL);
    enum database_state state = DB_FINE;
    if (code == SQLITE_OK && (code = sqlite3_step(s)) != SQLITE_ROW)
        state = fail_as(d, sqlite3_extended_errcode(d->db), err);
    else if (code != SQLITE_ROW)
        state = fail_as(d, code, err);
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "wal") != 0) {
        fail(err, HEARTH_ERR_IO, "%.700s: its file system has no shared memory for a write-ahead log; name a folder "
             "on a local disk (--record-dir)", d->path);
        state = DB_TROUBLE;
    }
    sqlite3_finalize(s);
    return state;
}

static enum database_state prepare(struct database *d, hearth_error *err)
{
    for (int i = 0; i < N_DB_STATEMENTS; i++)
        if (sqlite3_prepare_v3(d->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &d->statement[i], NULL)
            != SQLITE_OK)
            return fail_as(d, sqlite3_extended_errcode(d->db), err);
    return DB_FINE;
}

static uint64_t inode_of_log(const struct database *d)
{
    char path[DATABASE_PATH_BYTES + 8];
    uint64_t device = 0, inode = 0;
    snprintf(path, sizeof path, "%s-wal", d->path);
    return file_identity(path, &device, &inode, NULL) == 1 ? inode : 0;
}

enum database_state database_open(struct database *d, const struct folder *f, const char *real_path, atomic_bool *hurry,
                                  hearth_error *err)
{
    char byte;
    int64_t version = 0;
    *d = (struct database){ .hurry = hurry };
    snprintf(d->path, sizeof d->path, "%s/" DATABASE_NAME, real_path);
    if (!folder_create(f, DATABASE_NAME, err))
        return DB_TROUBLE;
    sqlite3_randomness(1, &byte); /* it opens /dev/urandom once: before a sandbox is entered */
    enum database_state state = connect_to(d, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, err);
    if (state == DB_FINE)
        state = look(d, &version, err); /* before anything is written */
    if (state == DB_FINE)
        state = run_text(d, settings, err);
    if (state == DB_FINE)
        state = use_log(d, err);
    if (state == DB_FINE)
        state = make_tables(d, err);
    if (state == DB_FINE)
        state = prepare(d, err);
    if (state == DB_FINE && file_identity(d->path, &d->device, &d->inode, err) != 1)
        state = DB_TROUBLE;
    if (state != DB_FINE)
        database_close(d);
    else
        d->log_inode = inode_of_log(d);
    return state;
}

bool database_open_to_read(struct database *d, const char *dir, hearth_error *err)
{
    int64_t version = 0;
    uint64_t device, inode;
    *d = (struct database){ 0 };
    if ((size_t)snprintf(d->path, sizeof d->path, "%s/" DATABASE_NAME, dir) >= sizeof d->path)
        return fail(err, HEARTH_ERR_USAGE, "the path %.80s... is too long; name a shorter one", dir);
    int there = file_identity(d->path, &device, &inode, err);
    if (there == 0)
        return fail(err, HEARTH_ERR_IO, "there is no %.700s: nothing was recorded there; hearth serve records, and "
                    "--record-dir names its folder", d->path);
    /* Read-write where we may, for whoever closes it last takes its log away; nothing is written all the same. */
    if (there < 0 || connect_to(d, SQLITE_OPEN_READWRITE, err) != DB_FINE || look(d, &version, err) != DB_FINE
        || run_text(d, "PRAGMA query_only=ON; PRAGMA temp_store=MEMORY;", err) != DB_FINE) {
        database_close(d);
        return false;
    }
    return true;
}

void database_close(struct database *d)
{
    for (int i = 0; i < N_DB_STATEMENTS; i++) {
        sqlite3_finalize(d->statement[i]);
        d->statement[i] = NULL;
    }
    sqlite3_close(d->db);
    d->db = NULL;
}

void database_forget(struct database *d, const struct folder *f)
{
    bool ours = d->log_inode && inode_of_log(d) == d->log_inode; /* not that of another process, which came first */
    database_close(d);
    if (!ours)
        return;
    folder_remove(f, DATABASE_NAME "-wal");
    folder_remove(f, DATABASE_NAME "-shm");
}

bool database_is_gone(const struct database *d)
{
    uint64_t device = 0, inode = 0;
    int there = file_identity(d->path, &device, &inode, NULL);
    return there == 0 || (there == 1 && (device != d->device || inode != d->inode));
}

enum database_state database_check(struct database *d, hearth_error *err)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(d->db, "PRAGMA quick_check(1)", -1, &s, NULL);
    enum database_state state = DB_FINE;
    if (code != SQLITE_OK || (code = sqlite3_step(s)) != SQLITE_ROW) {
        state = fail_as(d, sqlite3_extended_errcode(d->db), err);
    } else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0) {
        fail(err, HEARTH_ERR_FORMAT, "%.300s is damaged: %.150s", d->path, (const char *)sqlite3_column_text(s, 0));
        state = DB_DAMAGED;
    }
    sqlite3_finalize(s);
    return state;
}

bool database_set_aside(const struct folder *f, char name[64], hearth_error *err)
{
    /* The log first: it must never lie beside a file that is not its own. */
    static const char *const parts[] = { "-wal", "-shm", "" };
    long long now = (long long)clock_unix_s();
    snprintf(name, 64, DATABASE_NAME ".damaged-%lld", now);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char from[32], to[80];
        snprintf(from, sizeof from, DATABASE_NAME "%s", parts[i]);
        snprintf(to, sizeof to, "%s%s", name, parts[i]);
        if (!folder_rename(f, from, to, err))
            return false;
    }
    return true;
}

/* ---- writing ---- */

enum database_state database_begin(struct database *d, hearth_error *err) { return run(d, DB_BEGIN, err); }
enum database_state database_commit(struct database *d, hearth_error *err) { return run(d, DB_COMMIT, err); }

void database_rollback(struct database *d)
{
    if (d->db && !sqlite3_get_autocommit(d->db))
        run(d, DB_ROLLBACK, NULL);
}

/* Values of a statement, one after the other. */
struct values {
    sqlite3_stmt *s;
    int n;
};

static void put_text(struct values *v, const char *text) /* NULL: not known */
{
    v->n++;
    if (text)
        sqlite3_bind_text(v->s, v->n, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(v->s, v->n);
}

static void put_some(struct values *v, const char *text) { put_text(v, text ? text : ""); }
static void put_whole(struct values *v, int64_t n) { sqlite3_bind_int64(v->s, ++v->n, n); }
static void put_ms(struct values *v, double ms) { sqlite3_bind_double(v->s, ++v->n, ms); } /* NaN becomes NULL */

static void put_str(struct values *v, struct str text)
{
    sqlite3_bind_text64(v->s, ++v->n, text.ptr ? text.ptr : "", text.len, SQLITE_STATIC, SQLITE_UTF8);
}

/* Machines that write the other end first would have to turn them round: there is none that we run on. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are little-endian");
static void put_bytes(struct values *v, const void *bytes, size_t n)
{
    sqlite3_bind_blob64(v->s, ++v->n, n ? bytes : "", n, SQLITE_STATIC);
}

static enum database_state insert_request(struct database *d, const struct database_row *row, hearth_error *err)
{
    struct values v = { d->statement[DB_REQUEST], 0 };
    put_whole(&v, row->time_ms);
    put_some(&v, row->request_id);
    put_whole(&v, row->choice);
    put_text(&v, row->key);
    put_some(&v, row->source);
    put_some(&v, row->model);
    put_some(&v, row->identity);
    put_text(&v, row->template_sha256);
    put_whole(&v, row->revision);
    put_whole(&v, row->status);
    put_some(&v, row->finish);
    put_some(&v, row->detail);
    put_whole(&v, row->n_prompt_tokens);
    put_whole(&v, row->n_cached_tokens);
    put_whole(&v, row->n_output_tokens);
    put_ms(&v, row->queue_ms);
    put_ms(&v, row->first_token_ms);
    put_ms(&v, row->total_ms);
    put_whole(&v, (int64_t)row->seed);
    return run(d, DB_REQUEST, err);
}

static enum database_state insert_receipt(struct database *d, int64_t id, const struct database_row *row,
                                          hearth_error *err)
{
    struct values v = { d->statement[DB_RECEIPT], 0 };
    put_whole(&v, id);
    put_str(&v, row->receipt);
    return run(d, DB_RECEIPT, err);
}

static enum database_state insert_body(struct database *d, int64_t id, const struct database_row *row,
                                       hearth_error *err)
{
    struct values v = { d->statement[DB_BODY], 0 };
    put_whole(&v, id);
    put_bytes(&v, row->prompt, row->n_prompt * sizeof *row->prompt);
    put_bytes(&v, row->output, row->n_output * sizeof *row->output);
    put_bytes(&v, row->mixes, row->n_mixes * sizeof *row->mixes);
    put_str(&v, row->parameters);
    return run(d, DB_BODY, err);
}

enum database_state database_insert(struct database *d, const struct database_row *row, hearth_error *err)
{
    enum database_state state = insert_request(d, row, err);
    int64_t id = sqlite3_last_insert_rowid(d->db);
    if (state == DB_FINE)
        state = insert_receipt(d, id, row, err);
    if (state == DB_FINE && row->has_body)
        state = insert_body(d, id, row, err);
    return state;
}

/* ---- what is too much ---- */

struct pages {
    int64_t n, n_free, bytes;
};

static enum database_state count_pages(struct database *d, struct pages *out, hearth_error *err)
{
    sqlite3_stmt *s = d->statement[DB_PAGES];
    enum database_state state = DB_FINE;
    if (sqlite3_step(s) == SQLITE_ROW)
        *out = (struct pages){ sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2) };
    else
        state = fail_as(d, sqlite3_extended_errcode(d->db), err);
    sqlite3_reset(s);
    return state;
}

static enum database_state remove_rows(struct database *d, enum database_statement which, int64_t before_ms,
                                       int *n_removed, hearth_error *err)
{
    struct values v = { d->statement[which], 0 };
    if (which == DB_OLD)
        put_whole(&v, before_ms);
    put_whole(&v, TRIM_ROWS);
    enum database_state state = run(d, which, err);
    *n_removed = state == DB_FINE ? sqlite3_changes(d->db) : 0;
    return state;
}

/* Pages that are free are used again; where there are many of them the file becomes shorter. */
static enum database_state give_back(struct database *d, const struct pages *p, hearth_error *err)
{
    char sql[64];
    if (p->n_free <= VACUUM_PAGES || p->n_free <= p->n / 4)
        return DB_FINE;
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    return run_text(d, sql, err);
}

enum database_state database_trim(struct database *d, int64_t before_ms, uint64_t most_bytes, uint64_t *bytes,
                                  uint64_t *n_removed, hearth_error *err)
{
    struct pages p = { 0 };
    enum database_state state = DB_FINE;
    bool any = true;
    for (int i = 0; i < TRIM_ROUNDS && any && state == DB_FINE; i++) {
        int n = 0;
        state = count_pages(d, &p, err);
        bool too_large = (uint64_t)(p.n - p.n_free) * (uint64_t)p.bytes > most_bytes;
        if (state == DB_FINE)
            state = remove_rows(d, DB_OLD, before_ms, &n, err);
        if (state == DB_FINE && n == 0 && too_large)
            state = remove_rows(d, DB_FIRST, 0, &n, err);
        *n_removed += (uint64_t)n;
        any = n > 0;
    }
    if (state == DB_FINE)
        state = give_back(d, &p, err);
    *bytes = (uint64_t)p.n * (uint64_t)p.bytes;
    return state;
}
