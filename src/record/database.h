/* database.h: the file in which answers are recorded: SQLite, with a write-ahead log (docs/decisions/0012).
 *
 * One thread at a time. Several processes may have the same folder: each writes in short transactions, and whoever
 * reads waits for nobody. What database_commit() has taken is there for others, and after a kill. */
#pragma once
#include <stdatomic.h>

#include "base/folder.h"

enum { DATABASE_VERSION = 1, DATABASE_PATH_BYTES = 1024 };
#define DATABASE_NAME "record.db"

struct sqlite3;
struct sqlite3_stmt;

enum database_statement { DB_BEGIN, DB_COMMIT, DB_ROLLBACK, DB_REQUEST, DB_RECEIPT, DB_BODY, DB_OLD, DB_FIRST, DB_PAGES,
                          N_DB_STATEMENTS };

struct database {
    struct sqlite3 *db; /* NULL: closed */
    struct sqlite3_stmt *statement[N_DB_STATEMENTS];
    char path[DATABASE_PATH_BYTES];
    uint64_t device, inode, log_inode; /* of the file that is open, and of its log */
    atomic_bool *hurry;     /* others are waited for no longer than for a moment; NULL: false */
};

/* How it went. */
enum database_state {
    DB_FINE,
    DB_WAIT,    /* somebody else has it, or there is no room: later */
    DB_TROUBLE, /* the system refuses: close it, and open it again later */
    DB_DAMAGED, /* it is no database, or a broken one */
    DB_FOREIGN, /* it is somebody else's, or of a later version: never write there */
    DB_ROW,     /* this row cannot be stored, others can */
};

/* One answer, as columns. Texts may be NULL where nothing is known; only receipt must be there. */
struct database_row {
    int64_t time_ms; /* Unix time, when it ended */
    const char *request_id, *key, *source, *model, *identity, *template_sha256;
    int choice, revision, status;
    const char *finish, *detail;
    int n_prompt_tokens, n_cached_tokens, n_output_tokens;
    double queue_ms, first_token_ms, total_ms;
    uint64_t seed;
    struct str receipt; /* JSON */
    /* With a body: token ids, hearth_event.logits_mix of each output token and of one that ended them, and JSON of what
     * the receipt does not have. */
    bool has_body;
    const int32_t *prompt, *output;
    const uint64_t *mixes;
    size_t n_prompt, n_output, n_mixes;
    struct str parameters;
};

/* For writing: made if it is not there, for its owner alone. real_path: of the folder, without links. Anything but
 * DB_FINE: closed, and *err says why. */
enum database_state database_open(struct database *d, const struct folder *f, const char *real_path, atomic_bool *hurry,
                                  hearth_error *err);
/* For reading, beside whoever writes. False: HEARTH_ERR_IO (there is none), HEARTH_ERR_FORMAT. */
bool database_open_to_read(struct database *d, const char *dir, hearth_error *err);
void database_close(struct database *d); /* fine twice */
/* The file under its name is another one now, or none. */
bool database_is_gone(const struct database *d);
/* Close such a one. Its log goes with it: whatever is under that name now would take it for its own. */
void database_forget(struct database *d, const struct folder *f);
/* All pages are looked at, which takes as long as reading them does. DB_FINE or DB_DAMAGED; DB_TROUBLE: not to say. */
enum database_state database_check(struct database *d, hearth_error *err);
/* A damaged one gets another name in its folder, with all that belongs to it. name: the new one. */
bool database_set_aside(const struct folder *f, char name[64], hearth_error *err);

enum database_state database_begin(struct database *d, hearth_error *err);
enum database_state database_insert(struct database *d, const struct database_row *row, hearth_error *err);
enum database_state database_commit(struct database *d, hearth_error *err);
void database_rollback(struct database *d);

/* Inside of a transaction: rows from before that time go, and the oldest ones as long as it is larger than it may be,
 * but not more than some at once. *bytes: of the file. *n_removed grows. */
enum database_state database_trim(struct database *d, int64_t before_ms, uint64_t most_bytes, uint64_t *bytes,
                                  uint64_t *n_removed, hearth_error *err);
