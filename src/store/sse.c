#include "store/sse.h"

static bool too_long(const char *what, hearth_error *err)
{
    return fail(err, HEARTH_ERR_FORMAT, "%s of the stream has more than %d bytes; this is no stream of answers", what,
                SSE_MOST_BYTES);
}

static bool end_event(struct sse *s, sse_event *event, void *arg, hearth_error *err)
{
    bool ok = !s->has_data || event(arg, buf_str(&s->data), err);
    buf_clear(&s->data);
    s->has_data = false;
    return ok;
}

/* line: without its end. */
static bool end_line(struct sse *s, struct str line, sse_event *event, void *arg, hearth_error *err)
{
    static const struct str mark = STR("\xef\xbb\xbf"), field = STR("data");
    if (!s->begun && str_starts(line, mark))
        line = (struct str){ line.ptr + mark.len, line.len - mark.len };
    s->begun = true;
    if (line.len == 0)
        return end_event(s, event, arg, err);
    if (!str_starts(line, field) || (line.len > field.len && line.ptr[field.len] != ':'))
        return true;
    size_t skip = min_size(field.len + 1, line.len);
    if (skip < line.len && line.ptr[skip] == ' ')
        skip++;
    if (s->data.len + line.len - skip >= SSE_MOST_BYTES)
        return too_long("an event", err);
    if (s->has_data)
        buf_put(&s->data, "\n", 1);
    buf_put(&s->data, line.ptr + skip, line.len - skip);
    s->has_data = true;
    return !s->data.failed || fail_memory(err, "an event of the stream");
}

/* Bytes before the next end of a line; n: there is none. */
static size_t length_of_line(const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n && bytes[i] != '\n' && bytes[i] != '\r')
        i++;
    return i;
}

bool sse_read(struct sse *s, const char *bytes, size_t n, sse_event *event, void *arg, hearth_error *err)
{
    while (n > 0) {
        if (s->after_cr && *bytes == '\n') {
            bytes++;
            n--;
        }
        s->after_cr = false;
        if (n == 0)
            break;
        size_t length = length_of_line(bytes, n);
        bool whole = length < n, joined = s->line.len > 0 || !whole;
        if (s->line.len + length > SSE_MOST_BYTES)
            return too_long("a line", err);
        if (joined)
            buf_put(&s->line, bytes, length);
        if (s->line.failed)
            return fail_memory(err, "a line of the stream");
        if (!whole)
            break;
        if (!end_line(s, joined ? buf_str(&s->line) : (struct str){ bytes, length }, event, arg, err))
            return false;
        buf_clear(&s->line);
        s->after_cr = bytes[length] == '\r';
        bytes += length + 1;
        n -= length + 1;
    }
    return true;
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
}
