#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "base/utf8.h"

/* PIECE_BYTES: what a pipe that has room at all takes without blocking (pipe(7): PIPE_BUF). */
enum { PIECE_BYTES = 4096, POLL_MS = 100, LAST_POLLS = 5, KEPT_BACK = sizeof ",\"cut\":true}\n" };

struct log {
    int fd;
    enum log_form form;
    enum log_level least;
    struct thread writer;
    struct lock lock; /* guards what follows */
    char ring[LOG_RING_BYTES];
    size_t head, tail; /* bytes ever written and taken in */
    uint64_t n_lost, n_untold;
    bool stop;
};

/* ---- the thread ---- */

/* False: it cannot be written, now or ever. */
static bool write_piece(struct log *l, const char *bytes, size_t n)
{
    int n_polls = 0;
    while (n > 0) {
        struct pollfd p = { .fd = l->fd, .events = POLLOUT };
        int ready = poll(&p, 1, POLL_MS);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready <= 0) { /* nobody reads: waited for, but not at the end */
            lock_take(&l->lock);
            bool stop = l->stop;
            lock_release(&l->lock);
            if (stop && ++n_polls >= LAST_POLLS)
                return false;
            continue;
        }
        ssize_t done = write(l->fd, bytes, n);
        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        bytes += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

static void write_main(void *arg)
{
    struct log *l = arg;
    char piece[PIECE_BYTES];
    lock_take(&l->lock);
    for (;;) {
        while (l->head == l->tail && !l->stop)
            lock_wait(&l->lock);
        size_t at = l->head % LOG_RING_BYTES, n = min_size(l->tail - l->head, LOG_RING_BYTES - at);
        if (n == 0)
            break;
        n = min_size(n, PIECE_BYTES);
        memcpy(piece, l->ring + at, n);
        lock_release(&l->lock);
        bool written = write_piece(l, piece, n);
        lock_take(&l->lock);
        l->head += n;
        for (size_t i = 0; !written && i < n; i++) {
            l->n_lost += piece[i] == '\n';
            l->n_untold += piece[i] == '\n';
        }
        if (!written && l->stop)
            break;
    }
    lock_release(&l->lock);
}

struct log *log_open(int fd, enum log_form form, enum log_level least, hearth_error *err)
{
    struct log *l = mem_alloc(sizeof *l);
    if (!l || !lock_init(&l->lock)) {
        mem_free(l);
        fail_memory(err, "the log");
        return NULL;
    }
    l->fd = fd;
    l->form = form;
    l->least = least;
    if (thread_start(&l->writer, "hearth-log", write_main, l, err))
        return l;
    log_close(l);
    return NULL;
}

void log_close(struct log *l)
{
    if (!l)
        return;
    lock_take(&l->lock);
    l->stop = true;
    lock_wake_all(&l->lock);
    lock_release(&l->lock);
    thread_join(&l->writer);
    lock_destroy(&l->lock);
    mem_free(l);
}

bool log_wants(const struct log *l, enum log_level level) { return l && level <= l->least; }

uint64_t log_n_lost(struct log *l)
{
    if (!l)
        return 0;
    lock_take(&l->lock);
    uint64_t n = l->n_lost;
    lock_release(&l->lock);
    return n;
}

/* ---- a line ---- */

static void put(struct log_line *line, const char *bytes, size_t n)
{
    if (n > LOG_LINE_BYTES - KEPT_BACK - line->n) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->n, bytes, n);
    line->n += n;
}

static void puts_line(struct log_line *line, const char *z) { put(line, z, strlen(z)); }

/* In quotes, as JSON wants it. What is no UTF-8 becomes '?'. */
static void put_quoted(struct log_line *line, const char *text)
{
    size_t n = strlen(text);
    puts_line(line, "\"");
    for (size_t at = 0; at < n;) {
        int length = utf8_length((const uint8_t *)text + at, n - at, NULL, NULL);
        unsigned char c = (unsigned char)text[at];
        char escaped[8];
        if (length <= 0) {
            puts_line(line, "?");
        } else if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
            puts_line(line, escaped);
        } else {
            put(line, text + at, (size_t)length);
        }
        at += length > 0 ? (size_t)length : 1;
    }
    puts_line(line, "\"");
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || *text == '"' || *text == '=' || *text == '\\')
            return false;
    return true;
}

static void put_key(struct log_line *line, const char *key)
{
    bool json = line->log->form == LOG_FORM_JSON;
    puts_line(line, json ? ",\"" : " ");
    puts_line(line, key);
    puts_line(line, json ? "\":" : "=");
}

/* Key and value stand there whole, or neither. */
static void put_plain(struct log_line *line, const char *key, const char *value, bool quoted)
{
    size_t n = line->n;
    bool cut = line->cut;
    line->cut = false;
    put_key(line, key);
    if (quoted)
        put_quoted(line, value);
    else
        puts_line(line, value);
    if (line->cut)
        line->n = n;
    line->cut = line->cut || cut;
}

bool log_begin(struct log_line *line, struct log *l, enum log_level level, const char *event)
{
    static const char *const names[] = { "notice", "error", "warn", "info", "debug" };
    char time[32];
    if (!log_wants(l, level))
        return false;
    line->log = l;
    line->n = 0;
    line->cut = false;
    clock_utc(time);
    int n = snprintf(line->text, sizeof line->text,
                     l->form == LOG_FORM_JSON ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"" : "%s %s %s", time,
                     names[level], event);
    line->n = (size_t)n;
    return true;
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    if (value && *value)
        put_plain(line, key, value, line->log->form == LOG_FORM_JSON || !is_plain(value));
}

void log_whole(struct log_line *line, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_plain(line, key, text, false);
}

void log_ms(struct log_line *line, const char *key, double value)
{
    char text[340];
    snprintf(text, sizeof text, "%.3f", value);
    put_plain(line, key, text, false);
}

void log_flag(struct log_line *line, const char *key, bool value)
{
    put_plain(line, key, value ? "true" : "false", false);
}

/* Room for one that says how many were lost, and for this one. */
static void push(struct log *l, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t to = l->tail % LOG_RING_BYTES, piece = min_size(n - at, LOG_RING_BYTES - to);
        memcpy(l->ring + to, text + at, piece);
        l->tail += piece;
        at += piece;
    }
}

static void tell_lost(struct log *l)
{
    struct log_line line;
    if (l->n_untold == 0 || !log_begin(&line, l, LOG_LEVEL_WARN, "log"))
        return;
    log_whole(&line, "lost_lines", (int64_t)l->n_untold);
    puts_line(&line, l->form == LOG_FORM_JSON ? "}\n" : "\n");
    push(l, line.text, line.n);
    l->n_untold = 0;
}

void log_end(struct log_line *line)
{
    struct log *l = line->log;
    bool json = l->form == LOG_FORM_JSON;
    const char *end = line->cut ? (json ? ",\"cut\":true}\n" : " cut=true\n") : json ? "}\n" : "\n";
    memcpy(line->text + line->n, end, strlen(end));
    line->n += strlen(end);
    lock_take(&l->lock);
    bool fits = l->tail - l->head + line->n + LOG_LINE_BYTES <= LOG_RING_BYTES;
    if (fits) {
        tell_lost(l);
        push(l, line->text, line->n);
    } else {
        l->n_lost++;
        l->n_untold++;
    }
    lock_wake_all(&l->lock);
    lock_release(&l->lock);
}

void log_say(struct log *l, enum log_level level, const char *event, const char *fmt, ...)
{
    struct log_line line;
    char sentence[LOG_LINE_BYTES / 2];
    va_list args;
    if (!log_begin(&line, l, level, event))
        return;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    log_text(&line, "message", sentence);
    log_end(&line);
}
