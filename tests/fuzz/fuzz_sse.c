/* fuzz_sse.c: any bytes as a stream of events: the same events however it is cut, and no end of a line in one that did
 * not come from two lines. Each event is read as a piece of an answer, too, and the whole as what says why there is
 * none.
 *
 * The first byte of an input is how many bytes come at once. */
#include "base/utf8.h"
#include "fuzz.h"
#include "store/foreign.h"
#include "store/openai.h"
#include "store/sse.h"

static void must_be_a_line(const char *line, size_t room)
{
    must(strlen(line) < room && utf8_valid(str_z(line)));
    for (const char *p = line; *p; p++)
        must((unsigned char)*p >= 0x20);
}

static void read_answer(struct openai_answer *a, struct str data)
{
    hearth_error err = { 0 };
    size_t n_text = a->text.len, n_pieces = (size_t)a->n_pieces;
    if (!openai_read_event(a, data, 1, &err)) {
        must(err.status == HEARTH_ERR_FORMAT || err.status == HEARTH_ERR_IO);
        must_be_a_line(err.message, sizeof err.message);
    }
    must(a->text.len >= n_text && (size_t)a->n_pieces <= n_pieces + 1);
    must((a->first_ns > 0) == (a->n_pieces > 0) && utf8_valid(buf_str(&a->text)) && utf8_valid(buf_str(&a->thinking)));
    must(a->n_prompt_tokens >= -1 && a->n_output_tokens >= -1 && a->n_cached_tokens >= -1);
    must_be_a_line(a->finish, sizeof a->finish);
    must_be_a_line(a->model, sizeof a->model);
}

struct reader {
    struct buf *all;
    struct openai_answer answer;
};

static bool keep(void *arg, struct str data, hearth_error *err)
{
    struct reader *r = arg;
    struct buf *all = r->all;
    char line[80];
    (void)err;
    must(!memchr(data.ptr, '\r', data.len));
    must_be_a_line(foreign_line(line, sizeof line, data), sizeof line);
    read_answer(&r->answer, data);
    buf_printf(all, "%zu:", data.len);
    buf_put(all, data.ptr, data.len);
    return true;
}

static bool read_in_pieces(const uint8_t *p, size_t n, size_t piece, struct buf *all)
{
    struct sse s = { 0 };
    struct reader r = { .all = all };
    hearth_error err = { 0 };
    bool ok = true;
    openai_answer_begin(&r.answer);
    for (size_t at = 0; ok && at < n; at += piece) {
        size_t m = min_size(piece, n - at);
        uint8_t *copy = fuzz_copy(p + at, m);
        ok = sse_read(&s, (const char *)copy, m, keep, &r, &err);
        free(copy);
    }
    must(ok || (err.status == HEARTH_ERR_FORMAT && err.message[0]));
    sse_free(&s);
    openai_answer_free(&r.answer);
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
    char said[OPENAI_SAID_BYTES];
    openai_error_text(said, sizeof said, (struct str){ (const char *)data + 1, size - 1 });
    must_be_a_line(said, sizeof said);
    must(whole.len == 0 || memcmp(whole.ptr, cut.ptr, whole.len) == 0);
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
