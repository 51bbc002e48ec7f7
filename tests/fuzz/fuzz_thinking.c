/* fuzz_thinking.c: any answer, told apart into thinking and answer whole, byte by byte and in pieces of any size.
 *
 * The first byte of an input chooses the marks and where the prompt ended, the second the sizes of the pieces. The rest
 * is the text; byte 1 begins or ends the text of a special token, which is shown to nobody. With marks of its own
 * (top bit of the first byte) they are the text's first three lines. */
#include "base/rng.h"
#include "fuzz.h"
#include "text/chat/thinking.h"

/* What a template says of its marks; the last one says nothing. */
static const char *const sources[] = {
    "<think>", "<|channel|>analysis<|message|>", "<|channel>thought", "<|START_THINKING|>", "[THINK]", "<seed:think>",
    "",
};

enum { HIDE = 1 };

static struct str line_of(struct str *text)
{
    const char *end = text->len ? memchr(text->ptr, '\n', text->len) : NULL;
    size_t n = end ? (size_t)(end - text->ptr) : text->len;
    struct str line = { text->ptr, n };
    n += end != NULL;
    *text = (struct str){ text->ptr + n, text->len - n };
    return line;
}

/* In memory of exactly the size that is promised to be enough. */
static struct split_text room_for(size_t n)
{
    struct split_text out = { .thinking = malloc(n + MARK_MAX_BYTES), .answer = malloc(n + MARK_MAX_BYTES) };
    must(out.thinking && out.answer);
    return out;
}

static void free_split(struct split_text *out)
{
    free(out->thinking);
    free(out->answer);
}

/* most: bytes in a piece; with a rng any number up to it. */
static struct split_text split(const struct thinking_marks *marks, bool in_thinking, struct str text, size_t most,
                               struct rng *r)
{
    struct splitter s;
    struct split_text all = room_for(text.len);
    bool hidden = false;
    splitter_init(&s, marks, in_thinking);
    for (size_t at = 0; at < text.len;) {
        size_t n = 0, want = r ? 1 + rng_below(r, (uint32_t)most) : most;
        while (n < want && at + n < text.len && text.ptr[at + n] != HIDE)
            n++;
        struct split_text piece = room_for(n);
        splitter_push(&s, (struct str){ text.ptr + at, n }, hidden, &piece);
        must(piece.n_thinking + piece.n_answer <= n + MARK_MAX_BYTES);
        memcpy(all.thinking + all.n_thinking, piece.thinking, piece.n_thinking);
        memcpy(all.answer + all.n_answer, piece.answer, piece.n_answer);
        all.n_thinking += piece.n_thinking;
        all.n_answer += piece.n_answer;
        free_split(&piece);
        at += n;
        if (at < text.len && text.ptr[at] == HIDE) {
            hidden = !hidden;
            at++;
        }
    }
    splitter_finish(&s, &all);
    must(all.n_thinking + all.n_answer <= text.len);
    return all;
}

/* Nothing is made up, and nothing changes its place: part is text with something left out. */
static void must_be_within(const char *part, size_t n, struct str text)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++, at++) {
        while (at < text.len && text.ptr[at] != part[i])
            at++;
        must(at < text.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t *copy = fuzz_copy(data + 2, size - 2);
    struct str text = { (const char *)copy, size - 2 };
    bool own = data[0] & 0x80, in_thinking = data[0] & 0x40;
    struct rng r = { .key = data[1] };
    struct thinking_marks marks = thinking_marks_in(str_z(sources[(data[0] & 0x3f) % ARRAY_LEN(sources)]));
    if (own) {
        marks.open = line_of(&text);
        marks.close = line_of(&text);
        marks.answer = line_of(&text);
    }
    struct split_text whole = split(&marks, in_thinking, text, text.len + 1, NULL);
    for (int i = 0; i < 3; i++) {
        struct split_text same = split(&marks, in_thinking, text, i == 0 ? 1 : 8 << i, i == 0 ? NULL : &r);
        must(same.n_thinking == whole.n_thinking && memcmp(same.thinking, whole.thinking, same.n_thinking) == 0);
        must(same.n_answer == whole.n_answer && memcmp(same.answer, whole.answer, same.n_answer) == 0);
        free_split(&same);
    }
    must_be_within(whole.thinking, whole.n_thinking, text);
    must_be_within(whole.answer, whole.n_answer, text);
    bool hides = text.len && memchr(text.ptr, HIDE, text.len);
    if (!marks.open.len && !hides) /* no marks: all of it is the answer */
        must(whole.n_answer == text.len);
    free_split(&whole);
    free(copy);
    return 0;
}
