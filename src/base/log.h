/* log.h: what happens, a line each, for whoever runs the program. Any thread.
 *
 * A line is an event, and what belongs to it as key and value:
 *   2026-11-27T02:10:11.123Z info request id=req-1 status=200 total_ms=12.500
 *   {"time":"2026-11-27T02:10:11.123Z","level":"info","event":"request","id":"req-1","status":200,"total_ms":12.500}
 * Whoever logs never waits for whoever reads: lines go through a ring of LOG_RING_BYTES to a thread that writes them.
 * When the ring is full lines are lost, and the next one that is not says how many. */
#pragma once
#include "base/base.h"
#include "base/err.h"

/* LOG_LEVEL_NOTICE: somebody asked for it; it is never left out. */
enum log_level { LOG_LEVEL_NOTICE, LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_form { LOG_FORM_TEXT, LOG_FORM_JSON };
enum { LOG_LINE_BYTES = 2048, LOG_RING_BYTES = 256 << 10 };

struct log; /* opaque; NULL is one that takes nothing */

/* least: what is less urgent is left out. fd stays the caller's. HEARTH_ERR_MEMORY, or no thread could be started. */
struct log *log_open(int fd, enum log_form form, enum log_level least, hearth_error *err);
/* Writes what is there, as long as it is taken: a reader that takes nothing is waited for half a second. */
void log_close(struct log *l);
bool log_wants(const struct log *l, enum log_level level);
uint64_t log_n_lost(struct log *l); /* lines, until now */

/* A line in the making. Keys and events are plain names of ours; values may hold anything. What does not fit any more
 * is left out, and the line says so (cut=true). */
struct log_line {
    struct log *log;
    size_t n;
    bool cut;
    char text[LOG_LINE_BYTES];
};
/* False: nobody wants it. Then nothing else of this line is to be called. */
bool log_begin(struct log_line *line, struct log *l, enum log_level level, const char *event);
void log_text(struct log_line *line, const char *key, const char *value); /* "" and NULL are left out */
void log_whole(struct log_line *line, const char *key, int64_t value);
void log_ms(struct log_line *line, const char *key, double value); /* to a microsecond */
void log_flag(struct log_line *line, const char *key, bool value);
void log_end(struct log_line *line);

/* A sentence. */
void log_say(struct log *l, enum log_level level, const char *event, const char *fmt, ...) PRINTF(4, 5);
