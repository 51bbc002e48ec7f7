#include "store/download.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "store/download_wait.h"
#include "store/foreign.h"
#include "store/openai.h"

enum { SYNC_BYTES = 64 << 20, HASH_BYTES = 1 << 20, MOST_SAID_BYTES = 4 << 10, CONNECT_MS = 20000, FIRST_TRIES = 3 };

enum outcome { CAME, TRY_AGAIN, BEGIN_AGAIN, OVER };

struct download {
    const struct tree *tree;
    struct http_client *http;
    const struct hub_file *want;
    const struct download_options *o;
    const char *source;
    hearth_error *err;

    struct tree_file part;
    char part_name[PARTIAL_NAME_BYTES], note_name[PARTIAL_NAME_BYTES];
    struct partial note;
    struct sha256 *sha; /* of the first `have` bytes */
    uint64_t have, total; /* total UINT64_MAX: nobody said yet */
    uint64_t highest, resumed, fetched, synced;
    int n_other_parts; /* answers with another part than was asked for */
    bool was_wrong;    /* all of it came before, and was not right */

    /* Of the request under way. */
    bool begun;
    enum outcome outcome;
    char why[240];
    struct buf said;
};

static void tell(struct download *d, enum download_event event)
{
    const struct download_report r = {
        .event = event, .name = d->want->name, .bytes = d->total, .done = d->have, .resumed = d->resumed,
        .fetched = d->fetched, .why = d->why, .published = d->want->sha256[0] != 0,
    };
    d->o->tell(d->o->arg, &r);
}

static bool stopped(const struct download *d, hearth_error *err)
{
    if (!d->o->stop || !d->o->stop(d->o->arg))
        return false;
    fail(err, HEARTH_ERR_CANCELLED, "interrupted; what came is kept, and the same command goes on from there");
    return true;
}

/* ---- what is there ---- */

static bool hash_again(struct download *d, const struct tree_file *f, uint64_t bytes, hearth_error *err)
{
    uint8_t *block = mem_alloc(HASH_BYTES);
    bool ok = block != NULL || fail_memory(err, "a buffer");
    sha256_free(d->sha);
    d->sha = sha256_new();
    ok = ok && (d->sha || fail_memory(err, "a hash"));
    uint64_t total = d->total;
    d->total = bytes;
    for (d->have = 0; ok && d->have < bytes;) {
        size_t n = bytes - d->have < HASH_BYTES ? (size_t)(bytes - d->have) : HASH_BYTES;
        if (!tree_file_get(f, block, n, d->have))
            ok = fail(err, HEARTH_ERR_IO, "cannot read what is there of %s in %s; check the disk", d->want->name,
                      d->tree->path);
        sha256_add(d->sha, block, n);
        d->have += n;
        tell(d, DOWNLOAD_HASHING);
        ok = ok && !stopped(d, err);
    }
    d->total = total;
    mem_free(block);
    return ok;
}

static void fill_record(const struct download *d, const struct tree_file *f, const char *sha256, struct store_record *r)
{
    *r = (struct store_record){ .published = d->want->sha256[0] != 0, .bytes = f->bytes, .inode = f->inode,
                          .mtime_ns = f->mtime_ns };
    snprintf(r->source, sizeof r->source, "%s", d->source);
    snprintf(r->url, sizeof r->url, "%s", d->want->url);
    snprintf(r->sha256, sizeof r->sha256, "%s", sha256);
    clock_utc(r->when);
}

/* 1: it is there, whole and right; 0: it is not there; -1: something else is. */
static int find_present(struct download *d)
{
    struct tree_file f = { .fd = -1 };
    struct store_record r;
    char hex[65];
    int found = tree_file_open(d->tree, d->want->name, &f, d->err);
    if (found != 1)
        return found;
    int recorded = record_find(d->tree, d->want->name, &r, d->err);
    bool known = recorded == 1 && record_is_of(&r, &f);
    bool right = known && (d->want->sha256[0] ? r.published && strcmp(r.sha256, d->want->sha256) == 0
                                              : strcmp(r.url, d->want->url) == 0);
    if (recorded >= 0 && !right && d->want->sha256[0] && f.bytes == d->total
        && hash_again(d, &f, f.bytes, d->err)) {
        sha256_hex(d->sha, hex);
        fill_record(d, &f, hex, &r);
        right = strcmp(hex, d->want->sha256) == 0 && record_write(d->tree, d->want->name, &r, d->err);
    }
    tree_file_close(&f);
    if (right) {
        d->have = d->total = r.bytes;
        snprintf(d->why, sizeof d->why, "%s", r.sha256);
        return 1;
    }
    if (!d->err || d->err->status == HEARTH_OK)
        fail(d->err, HEARTH_ERR_USAGE, "%s/%s is there, and is not the file that is wanted: it came from elsewhere, "
             "was changed, or the hub has another one by now; hearth rm %s, and pull again",
             d->tree->path, d->want->name, d->want->name);
    return -1;
}

/* From the first byte again. What is there goes before the note says what comes, so no note is of other bytes. */
static bool begin_again(struct download *d, hearth_error *err)
{
    sha256_free(d->sha);
    d->sha = sha256_new();
    d->have = d->synced = d->resumed = 0;
    d->total = d->want->bytes;
    d->note.certain = 0;
    d->note.etag[0] = 0;
    return d->sha ? tree_file_cut(&d->part, 0, err) : fail_memory(err, "a hash");
}

/* How much of what is there is what is wanted. */
static uint64_t usable(struct download *d, const struct partial *was)
{
    char boot[64];
    bool same = d->want->sha256[0] ? strcmp(was->sha256, d->want->sha256) == 0
                                         && (d->want->bytes == UINT64_MAX || was->bytes == d->want->bytes)
                                   : strcmp(was->url, d->want->url) == 0 && was->etag[0] == '"';
    if (d->part.bytes == 0)
        return 0;
    if (strcmp(was->name, d->want->name) != 0 || !same) {
        snprintf(d->why, sizeof d->why, "what was there is a piece of another version, or nobody can tell");
        tell(d, DOWNLOAD_RESTART);
        return 0;
    }
    /* What was written since this start of the machine is there, whatever ended the process; after another start only
     * what was synced is certain. So it is, too, where no digest would notice. */
    partial_boot(boot);
    uint64_t n = boot[0] && strcmp(boot, was->boot) == 0 && d->want->sha256[0] ? d->part.bytes : was->certain;
    n = n < d->part.bytes ? n : d->part.bytes;
    return n <= was->bytes ? n : 0;
}

/* Onto the disk, and noted. */
static bool sync_part(struct download *d, hearth_error *err)
{
    if (!tree_file_sync(&d->part, err))
        return false;
    d->synced = d->note.certain = d->have;
    return partial_write(d->tree, d->note_name, &d->note, err);
}

static bool open_part(struct download *d)
{
    struct partial was;
    if (!partial_names(d->want->name, d->part_name, d->note_name, d->err))
        return false;
    int held = tree_file_hold(d->tree, d->part_name, &d->part, d->err);
    if (held < 0)
        return false;
    if (held == 0)
        return fail(d->err, HEARTH_ERR_USAGE, "another hearth fetches %s just now; wait for it, or end it",
                    d->want->name);
    if (partial_find(d->tree, d->note_name, &was, d->err) < 0)
        return false;
    uint64_t n = usable(d, &was);
    d->note = was;
    if (n == 0) {
        snprintf(d->note.name, sizeof d->note.name, "%s", d->want->name);
        snprintf(d->note.url, sizeof d->note.url, "%s", d->want->url);
        snprintf(d->note.sha256, sizeof d->note.sha256, "%s", d->want->sha256);
        return begin_again(d, d->err);
    }
    d->total = was.bytes;
    d->note.certain = was.certain < n ? was.certain : n;
    if (!tree_file_cut(&d->part, n, d->err) || !hash_again(d, &d->part, n, d->err))
        return false;
    d->resumed = d->highest = n;
    partial_boot(d->note.boot); /* of what comes; what is not certain after another start is cut off by now */
    return strcmp(d->note.boot, was.boot) == 0 || sync_part(d, d->err);
}

static bool has_room(const struct download *d, hearth_error *err)
{
    uint64_t room = tree_free_bytes(d->tree), need = d->total - d->have;
    if (d->total == UINT64_MAX || need <= room)
        return true;
    return fail(err, HEARTH_ERR_MEMORY, "%s has %.2f GB, %.2f GB of it are there, and %.2f GB are free in %s: %.2f GB "
                "are missing; make room there, or name another folder (--store-dir)", d->want->name,
                (double)d->total / 1e9, (double)d->have / 1e9, (double)room / 1e9, d->tree->path,
                (double)(need - room) / 1e9);
}

/* ---- an answer ---- */

static bool ends(struct download *d, enum outcome outcome, const char *why)
{
    d->outcome = outcome;
    snprintf(d->why, sizeof d->why, "%s", why);
    return false;
}

static bool over(struct download *d)
{
    d->outcome = OVER;
    return false;
}

static bool has_other_etag(const struct download *d, const struct http_answer *a)
{
    return d->note.etag[0] && a->etag[0] && strcmp(a->etag, d->note.etag) != 0;
}

static bool begin_part(struct download *d, const struct http_answer *a)
{
    uint64_t first, last, total;
    char why[240];
    if (!http_content_range(a->content_range, &first, &last, &total) || first != d->have || first > last) {
        snprintf(why, sizeof why, "the server sent another part of the file (%.80s) than bytes from %llu on",
                 a->content_range[0] ? a->content_range : "it does not say which", (unsigned long long)d->have);
        return ends(d, ++d->n_other_parts < 2 && d->have > 0 ? TRY_AGAIN : BEGIN_AGAIN, why);
    }
    if (has_other_etag(d, a))
        return ends(d, BEGIN_AGAIN, "the file has changed there: its ETag is another one");
    if (total != d->total) {
        snprintf(why, sizeof why, "the file has changed there: it has %llu bytes, and had %llu",
                 (unsigned long long)total, (unsigned long long)d->total);
        return ends(d, BEGIN_AGAIN, why);
    }
    return true;
}

static bool begin_whole(struct download *d, const struct http_answer *a, hearth_error *err)
{
    if (d->have > 0) {
        snprintf(d->why, sizeof d->why, "%s", has_other_etag(d, a) ? "the file has changed there: its ETag is another "
                 "one" : "the server sends all of it, not the part that was asked for");
        tell(d, DOWNLOAD_RESTART);
        if (!begin_again(d, err))
            return over(d);
    }
    if (a->n_content == UINT64_MAX && d->total == UINT64_MAX) {
        fail(err, HEARTH_ERR_FORMAT, "the server does not say how long %s is, so a piece of it could not be told from "
             "all of it; fetch it by other means", d->want->name);
        return over(d);
    }
    if (d->total == UINT64_MAX)
        d->total = a->n_content;
    if ((a->n_content != UINT64_MAX && a->n_content != d->total) || d->total > HUB_MOST_FILE_BYTES) {
        fail(err, HEARTH_ERR_FORMAT, "the server declares %llu bytes for %s, which has %llu by the hub's list; what is "
             "served is another file; try again later, or report it there", (unsigned long long)a->n_content,
             d->want->name, (unsigned long long)d->total);
        return over(d);
    }
    d->note.bytes = d->total;
    snprintf(d->note.etag, sizeof d->note.etag, "%s", a->etag);
    partial_boot(d->note.boot);
    return (has_room(d, err) && partial_write(d->tree, d->note_name, &d->note, err)) || over(d);
}

static bool add(struct download *d, const char *bytes, size_t n, hearth_error *err)
{
    char shown[60];
    if (n > d->total - d->have) {
        fail(err, HEARTH_ERR_FORMAT, "the server sends more than the %llu bytes of %s; nothing of it is kept",
             (unsigned long long)d->total, d->want->name);
        (void)tree_file_cut(&d->part, d->have = 0, NULL);
        return over(d);
    }
    if (d->have == 0 && n >= 4 && memcmp(bytes, "GGUF", 4) != 0) {
        fail(err, HEARTH_ERR_FORMAT, "what the server sends for %s is no GGUF file; it begins with '%s'", d->want->name,
             foreign_line(shown, sizeof shown, (struct str){ bytes, min_size(n, 60) }));
        return over(d);
    }
    if (!tree_file_add(&d->part, bytes, n, err)) {
        err_context(err, "%s/%s, %.2f of %.2f GB: what came is kept; make room, then the same command goes on",
                    d->tree->path, d->part_name, (double)d->have / 1e9, (double)d->total / 1e9);
        (void)tree_file_cut(&d->part, d->have, NULL); /* what was not hashed */
        return over(d);
    }
    sha256_add(d->sha, bytes, n);
    d->have += n;
    d->fetched += n;
    if (d->have - d->synced >= SYNC_BYTES && !sync_part(d, err))
        return over(d);
    tell(d, DOWNLOAD_GOES_ON);
    return true;
}

static bool take(void *arg, const struct http_answer *a, const char *bytes, size_t n, hearth_error *err)
{
    struct download *d = arg;
    if (a->status != 200 && a->status != 206) {
        buf_put(&d->said, bytes, min_size(n, MOST_SAID_BYTES - min_size(d->said.len, MOST_SAID_BYTES)));
        return true;
    }
    if (!d->begun) {
        d->begun = true;
        if (!(a->status == 206 ? begin_part(d, a) : begin_whole(d, a, err))) {
            if (d->outcome != OVER)
                fail(err, HEARTH_ERR_IO, "%s", d->why);
            return false;
        }
    }
    return add(d, bytes, n, err);
}

static bool stop(void *arg)
{
    struct download *d = arg;
    return d->o->stop && d->o->stop(d->o->arg);
}

/* What a request came to that sent nothing to keep. */
static enum outcome judge(struct download *d, const struct http_answer *a, int *wait_ms)
{
    char said[OPENAI_SAID_BYTES] = "";
    struct http_place place = { 0 };
    (void)http_place_of(d->want->url, &place, NULL);
    *wait_ms = a->retry_after_s > 0 && a->retry_after_s <= 60 ? (int)a->retry_after_s * 1000 : *wait_ms;
    if (a->status == 416) {
        snprintf(d->why, sizeof d->why, "the server has no bytes from %llu on", (unsigned long long)d->have);
        return BEGIN_AGAIN;
    }
    if (a->status == 200 || a->status == 206)
        return TRY_AGAIN; /* it ended early */
    if (d->said.len)
        openai_error_text(said, sizeof said, buf_str(&d->said));
    if (!download_refused(a, place.name, said, d->err))
        return OVER;
    snprintf(d->why, sizeof d->why, "%.*s", (int)sizeof d->why - 1, d->err->message);
    return TRY_AGAIN;
}

static enum outcome attempt(struct download *d, int *wait_ms)
{
    char range[32];
    struct http_answer a;
    struct http_request r = {
        .accept = "*/*", .connect_ms = CONNECT_MS, .stall_s = d->o->stall_s, .most_bytes = SIZE_MAX, .take = take,
        .stop = stop, .arg = d,
    };
    snprintf(range, sizeof range, "%llu-", (unsigned long long)d->have);
    if (d->have > 0) {
        r.range = range;
        r.if_range = d->note.etag[0] == '"' ? d->note.etag : NULL; /* a weak one (W/) cannot be held against bytes */
    }
    d->begun = false;
    d->outcome = CAME;
    buf_clear(&d->said);
    err_clear(d->err);
    snprintf(d->why, sizeof d->why, "the answer ended early");
    bool ok = download_send(d->http, d->want->url, d->o->key, &r, &a, d->err);
    if (d->outcome != CAME)
        return d->outcome;
    if (!ok) {
        snprintf(d->why, sizeof d->why, "%.*s", (int)sizeof d->why - 1, d->err->message);
        return d->err->status == HEARTH_ERR_IO ? TRY_AGAIN : OVER;
    }
    return d->begun && d->have == d->total ? CAME : judge(d, &a, wait_ms);
}

/* ---- until it is there ---- */

static bool give_up(struct download *d, int n_failed)
{
    char why[sizeof d->why];
    memcpy(why, d->why, sizeof why);
    return fail(d->err, HEARTH_ERR_IO, "%s: %d tries brought nothing new: %s; %s", d->want->name, n_failed, why,
                d->have > 0 ? "what came is kept, and the same command goes on from there" : "try again later");
}

static bool fetch(struct download *d)
{
    int n_failed = 0, wait_ms = d->o->retry_ms;
    while (d->have < d->total) {
        int wanted_ms = wait_ms;
        enum outcome outcome = attempt(d, &wanted_ms);
        if (outcome == OVER)
            return false;
        if (outcome == CAME)
            continue;
        if (d->have > d->highest) {
            d->highest = d->have;
            n_failed = 0;
            wanted_ms = wait_ms = d->o->retry_ms;
        }
        if (++n_failed >= (d->fetched > 0 ? d->o->most_tries : min_int(d->o->most_tries, FIRST_TRIES)))
            return give_up(d, n_failed);
        if (outcome == BEGIN_AGAIN) {
            tell(d, DOWNLOAD_RESTART);
            if (!begin_again(d, d->err))
                return false;
            continue;
        }
        struct download_report report = { .event = DOWNLOAD_RETRY, .name = d->want->name, .bytes = d->total,
                                          .done = d->have, .why = d->why, .wait_ms = wanted_ms };
        d->o->tell(d->o->arg, &report);
        if (!download_wait(wanted_ms, d->o->stop, d->o->arg))
            return !stopped(d, d->err);
        wait_ms = min_int(2 * wait_ms, 30000);
    }
    return true;
}

/* True: it is right. False with d->was_wrong unset before: all of it is to come again. */
static bool is_right(struct download *d, char hex[65])
{
    sha256_hex(d->sha, hex);
    if (!d->want->sha256[0] || strcmp(hex, d->want->sha256) == 0)
        return true;
    if (d->was_wrong)
        return fail(d->err, HEARTH_ERR_FORMAT, "%s came twice with another SHA-256 than the hub names: %.16s..., not "
                    "%.16s...; nothing of it is kept; what is served there is not what the hub lists", d->want->name,
                    hex, d->want->sha256);
    snprintf(d->why, sizeof d->why, "all of it came, and its SHA-256 is %.16s..., not %.16s...", hex, d->want->sha256);
    return false;
}

static bool finish(struct download *d, const char *hex)
{
    struct store_record record;
    if (!tree_file_sync(&d->part, d->err))
        return err_context(d->err, "%s", d->want->name);
    fill_record(d, &d->part, hex, &record);
    if (!record_write(d->tree, d->want->name, &record, d->err)
        || !tree_rename(d->tree, d->part_name, d->want->name, d->err))
        return false;
    (void)tree_remove(d->tree, d->note_name, NULL); /* a note without its file says nothing */
    const struct download_report r = {
        .event = DOWNLOAD_DONE, .name = d->want->name, .bytes = d->total, .done = d->have, .resumed = d->resumed,
        .fetched = d->fetched, .sha256 = hex, .published = record.published,
    };
    d->o->tell(d->o->arg, &r);
    return true;
}

static bool bring(struct download *d)
{
    char hex[65];
    for (;;) {
        if (!fetch(d))
            return false;
        if (is_right(d, hex))
            return finish(d, hex);
        bool again = !d->was_wrong;
        d->was_wrong = true;
        if (again)
            tell(d, DOWNLOAD_RESTART);
        if (!begin_again(d, again ? d->err : NULL) || !again)
            return false;
        d->highest = 0;
    }
}

/* Of a file that is there whole: what ended between its new name and the end of its note. */
static void leave_no_piece(struct download *d)
{
    struct tree_file f = { .fd = -1 };
    if (!partial_names(d->want->name, d->part_name, d->note_name, NULL))
        return;
    if (tree_file_hold(d->tree, d->part_name, &f, NULL) == 1 && tree_remove(d->tree, d->note_name, NULL))
        (void)tree_remove(d->tree, d->part_name, NULL);
    tree_file_close(&f);
}

static bool run(struct download *d)
{
    int present = find_present(d);
    if (present != 0) {
        struct download_report r = { .event = DOWNLOAD_PRESENT, .name = d->want->name, .bytes = d->total,
                                     .done = d->total, .sha256 = d->why, .published = d->want->sha256[0] != 0 };
        if (present == 1) {
            leave_no_piece(d);
            d->o->tell(d->o->arg, &r);
        }
        return present == 1;
    }
    if (!open_part(d) || !has_room(d, d->err))
        return false;
    tell(d, DOWNLOAD_BEGINS);
    if (bring(d))
        return true;
    hearth_error kept = *d->err; /* what of it is there is certain then: the machine may be turned off */
    if (d->have > 0 && d->note.bytes == d->total)
        (void)sync_part(d, NULL);
    else if (d->part.bytes == 0 && tree_remove(d->tree, d->note_name, NULL))
        (void)tree_remove(d->tree, d->part_name, NULL);
    *d->err = kept;
    return false;
}

bool download_file(const struct tree *t, struct http_client *http, const struct hub_file *f, const char *source,
                   const struct download_options *o, hearth_error *err)
{
    struct download d = { .tree = t, .http = http, .want = f, .o = o, .source = source, .err = err,
                          .part = { .fd = -1 }, .total = f->bytes };
    err_clear(err);
    bool ok = run(&d);
    tree_file_close(&d.part);
    sha256_free(d.sha);
    buf_free(&d.said);
    return ok;
}
