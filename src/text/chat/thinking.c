#include "text/chat/thinking.h"

#include <string.h>

static const struct thinking_marks known[] = {
#define THINKING(open, close, answer) { { open, sizeof(open) - 1 }, { close, sizeof(close) - 1 }, \
                                        { answer, sizeof(answer) - 1 } },
#include "text/chat/thinking.def"
};

struct thinking_marks thinking_marks_in(struct str source)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_search(source, known[i].open) != SIZE_MAX || str_search(source, known[i].close) != SIZE_MAX)
            return known[i];
    return (struct thinking_marks){ 0 };
}

void splitter_init(struct splitter *s, const struct thinking_marks *marks, bool in_thinking)
{
    *s = (struct splitter){ .marks = *marks, .state = SPLIT_ANSWER };
    if (marks->open.len && marks->open.len < MARK_MAX_BYTES && marks->close.len && marks->close.len < MARK_MAX_BYTES
        && marks->answer.len < MARK_MAX_BYTES) {
        s->state = in_thinking ? SPLIT_THINKING : SPLIT_BEGIN;
        s->skip_space = in_thinking;
    }
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static void put(struct splitter *s, struct split_text *out, char c, bool hidden)
{
    if (s->skip_space && is_space(c))
        return;
    if (hidden)
        return;
    s->skip_space = false;
    if (s->state == SPLIT_THINKING)
        out->thinking[out->n_thinking++] = c;
    else
        out->answer[out->n_answer++] = c;
}

/* The first n held bytes go out, or away. */
static void release(struct splitter *s, size_t n, struct split_text *out)
{
    for (size_t i = 0; out && i < n; i++)
        put(s, out, s->held[i], s->hidden[i]);
    memmove(s->held, s->held + n, s->n_held - n);
    memmove(s->hidden, s->hidden + n, (s->n_held - n) * sizeof *s->hidden);
    s->n_held = (uint8_t)(s->n_held - n);
}

enum match { MATCH_NONE, MATCH_BEGUN, MATCH_WHOLE };

/* Does the held text from `at` on begin with this mark, or may it become it? */
static enum match match(const struct splitter *s, size_t at, struct str mark)
{
    size_t n = s->n_held - at;
    if (mark.len == 0 || memcmp(s->held + at, mark.ptr, min_size(n, mark.len)) != 0)
        return MATCH_NONE;
    return n >= mark.len ? MATCH_WHOLE : MATCH_BEGUN;
}

static size_t space_before(const struct splitter *s)
{
    size_t n = 0;
    while (n < s->n_held && is_space(s->held[n]) && !s->hidden[n])
        n++;
    return n;
}

static void enter(struct splitter *s, enum splitter_state state, size_t n_mark)
{
    release(s, n_mark, NULL);
    s->state = state;
    s->skip_space = true;
}

/* At the beginning: a mark after at most some white space, or the answer has begun. */
static bool look_for_opening(struct splitter *s, struct split_text *out)
{
    size_t at = space_before(s);
    enum match open = match(s, at, s->marks.open), answer = match(s, at, s->marks.answer);
    if (open == MATCH_WHOLE) {
        enter(s, SPLIT_THINKING, at + s->marks.open.len);
    } else if (answer == MATCH_WHOLE) {
        enter(s, SPLIT_ANSWER, at + s->marks.answer.len);
    } else if ((open == MATCH_NONE && answer == MATCH_NONE && at < s->n_held) || s->n_held == MARK_MAX_BYTES) {
        s->state = SPLIT_ANSWER;
        release(s, s->n_held, out);
    } else {
        return false;
    }
    return true;
}

/* In thinking: its end, with the white space before it; what cannot be either goes out. */
static bool look_for_close(struct splitter *s, struct split_text *out)
{
    size_t at = space_before(s);
    switch (match(s, at, s->marks.close)) {
    case MATCH_WHOLE:
        enter(s, SPLIT_ANSWER, at + s->marks.close.len);
        return true;
    case MATCH_BEGUN:
        if (s->n_held < MARK_MAX_BYTES)
            return false;
        break;
    case MATCH_NONE:
        break;
    }
    release(s, at < s->n_held ? at + 1 : at, out);
    return s->n_held > 0;
}

void splitter_push(struct splitter *s, struct str text, bool hidden, struct split_text *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (s->state == SPLIT_ANSWER) {
            put(s, out, text.ptr[i], hidden);
            continue;
        }
        s->held[s->n_held] = text.ptr[i];
        s->hidden[s->n_held++] = hidden;
        bool again = true;
        while (again && s->n_held > 0 && s->state != SPLIT_ANSWER)
            again = s->state == SPLIT_BEGIN ? look_for_opening(s, out) : look_for_close(s, out);
    }
}

void splitter_finish(struct splitter *s, struct split_text *out)
{
    size_t at = s->state == SPLIT_THINKING ? space_before(s) : 0;
    if (at == s->n_held) /* white space at the end of unfinished thinking */
        s->n_held = 0;
    if (s->state == SPLIT_BEGIN)
        s->state = SPLIT_ANSWER;
    release(s, s->n_held, out);
}
