/* sse.h: the events of a stream (https://html.spec.whatwg.org/multipage/server-sent-events.html), out of bytes that are
 * cut anywhere. Pure.
 *
 * Only `data` is read: the lines of one event, with a newline between. Comments and all other fields are passed over.
 * Lines end with LF, CR LF or CR. An event that has not ended when the bytes do is none. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { SSE_MOST_BYTES = 1 << 20 }; /* of a line, and of an event's data */

struct sse { /* zero: nothing was read yet */
    struct buf line, data;
    bool has_data; /* a line of the event that is open had some, be it empty */
    bool after_cr; /* an LF that comes now belongs to the line that has ended */
    bool begun;    /* a line has ended: there is no byte-order mark any more */
};

/* Takes n bytes more and gives each event that they complete to `event`. False: `event` said so, with what it put into
 * err, or HEARTH_ERR_FORMAT, which says that a line or an event is too long, or HEARTH_ERR_MEMORY; then no more bytes
 * are to be given. */
typedef bool sse_event(void *arg, struct str data, hearth_error *err);
bool sse_read(struct sse *s, const char *bytes, size_t n, sse_event *event, void *arg, hearth_error *err);
void sse_free(struct sse *s);
