/* fuzz_sse.c: any bytes as a stream of events: the same events however it is cut, and no end of a line in one that did
 * not come from two lines.
 *
 * The first byte of an input is how many bytes come at once. */
#include "base/buf.h"
#include "fuzz.h"
#include "store/foreign.h"
#include "store/sse.h"

static bool keep(void *arg, struct str data, hearth_error *err)
{
    struct buf *all = arg;
    char line[80];
    (void)err;
    must(!memchr(data.ptr, '\r', data.len));
    must(strlen(foreign_line(line, sizeof line, data)) < sizeof line);
    for (const char *p = line; *p; p++)
        must((unsigned char)*p >= 0x20);
    buf_printf(all, "%zu:", data.len);
    buf_put(all, data.ptr, data.len);
    return true;
}

static bool read_in_pieces(const uint8_t *p, size_t n, size_t piece, struct buf *all)
{
    struct sse s = { 0 };
    hearth_error err = { 0 };
    bool ok = true;
    for (size_t at = 0; ok && at < n; at += piece) {
        size_t m = min_size(piece, n - at);
        uint8_t *copy = fuzz_copy(p + at, m);
        ok = sse_read(&s, (const char *)copy, m, keep, all, &err);
        free(copy);
    }
    must(ok || (err.status == HEARTH_ERR_FORMAT && err.message[0]));
    sse_free(&s);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = { 0 }, cut = { 0 };
    if (size < 2)
        return 0;
    bool ok = read_in_pieces(data + 1, size - 1, size, &whole);
    must(read_in_pieces(data + 1, size - 1, (size_t)data[0] + 1, &cut) == ok);
    must(!whole.failed && !cut.failed && whole.len == cut.len);
    must(whole.len == 0 || memcmp(whole.ptr, cut.ptr, whole.len) == 0);
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
