/* lint.c: what is wrong with a template, or with the tokens that should end its answers; found by rendering. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/chat/chat_impl.h"

enum { LINT_MAX_FINDINGS = 32 };

struct linter {
    const struct chat *c;
    struct arena *arena;
    hearth_finding *findings;
    size_t n;
    bool no_memory;
};

/* ---- reporting ---- */

static void found(struct linter *l, hearth_finding_level level, const char *code, const char *fmt, ...) PRINTF(4, 5);
static void found(struct linter *l, hearth_finding_level level, const char *code, const char *fmt, ...)
{
    char text[640];
    va_list args;
    if (l->n == LINT_MAX_FINDINGS)
        return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    struct str copy = arena_strdup(l->arena, (struct str){ text, min_size((size_t)n, sizeof text - 1) });
    l->no_memory |= !copy.ptr;
    if (copy.ptr)
        l->findings[l->n++] = (hearth_finding){ level, code, copy.ptr };
}

/* Text in quotes, on one line and not too long, cut between characters. */
struct quoted {
    char text[96];
};
static struct quoted quote(struct str s)
{
    enum { MOST = 64 };
    struct quoted q = { "\"" };
    size_t n = 1, i = 0;
    for (; i < s.len && (n < MOST || ((unsigned char)s.ptr[i] & 0xc0) == 0x80); i++) {
        if (s.ptr[i] == '\n')
            q.text[n++] = '\\';
        q.text[n++] = s.ptr[i] == '\n' ? 'n' : s.ptr[i];
    }
    snprintf(q.text + n, sizeof q.text - n, i < s.len ? "...\"" : "\"");
    return q;
}

/* ---- rendering ---- */

struct view {
    struct chat_input in;
    struct chat_prompt prompt;
    struct str text; /* empty when it did not render */
    hearth_error err;
};

struct turn {
    const char *role, *text, *thinking;
};

static const char day[] = "2026-02-07 15:04:05";

/* A conversation as a request would give it. Close the view also after a failure. */
static bool look_at(struct linter *l, struct view *v, const struct turn *turns, size_t n, bool generation,
                    const char *date)
{
    hearth_message messages[4] = { { 0 } };
    hearth_text texts[4];
    hearth_chat chat = { .messages = messages, .n_messages = n, .no_generation_prompt = !generation, .date = date };
    for (size_t i = 0; i < n; i++) {
        texts[i] = (hearth_text){ turns[i].text, strlen(turns[i].text) };
        messages[i] = (hearth_message){ .role = turns[i].role, .parts = &texts[i], .n_parts = 1 };
        if (turns[i].thinking)
            messages[i].thinking = (hearth_text){ turns[i].thinking, strlen(turns[i].thinking) };
    }
    *v = (struct view){ .text = STR("") };
    bool ok = chat_input_make(l->c, &chat, &v->in, &v->err) && chat_render_look(l->c, &v->in, &v->prompt, &v->err);
    if (ok)
        v->text = v->prompt.text;
    l->no_memory |= v->err.status == HEARTH_ERR_MEMORY;
    return ok;
}

static void close_view(struct view *v)
{
    chat_prompt_free(&v->prompt);
    chat_input_free(&v->in);
}

#define LOOK(l, v, generation, ...)                                                                              \
    look_at(l, v, (const struct turn[]){ __VA_ARGS__ }, ARRAY_LEN(((const struct turn[]){ __VA_ARGS__ })), generation, \
            day)
#define USER   { "user", USER_TEXT, NULL }
#define USER_2 { "user", USER_2_TEXT, NULL }
#define ANSWER { "assistant", ANSWER_TEXT, NULL }
#define SYSTEM { "system", SYSTEM_TEXT, NULL }

static size_t count(struct str s, const char *what)
{
    size_t n = 0;
    for (size_t at; (at = str_search(s, str_z(what))) != SIZE_MAX; n++) {
        s.ptr += at + strlen(what);
        s.len -= at + strlen(what);
    }
    return n;
}

/* ---- the end of an answer ---- */

static void list_ends(const struct vocab *v, struct buf *out)
{
    int n = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (!vocab_is_eog(v, i))
            continue;
        if (n++ < 6)
            buf_printf(out, n > 1 ? ", " STR_FMT : STR_FMT, STR_ARG(v->text[i]));
    }
    if (n > 6)
        buf_printf(out, " and %d more", n - 6);
}

static void check_end(struct linter *l)
{
    const struct chat_traits *t = &l->c->traits;
    struct buf ends = { 0 };
    if (t->ends_answers)
        return;
    list_ends(tokenizer_vocab(l->c->tokenizer), &ends);
    l->no_memory |= ends.failed;
    const char *known = ends.ptr ? ends.ptr : "none";
    if (t->answer_end.len == 0)
        found(l, HEARTH_FINDING_PROBLEM, "no-end",
              "the template writes nothing behind an answer: no token ends one (the file's end tokens: %s)", known);
    else if (t->stop_text.len && strspn(t->stop_text.ptr, " \n\t") >= t->stop_text.len)
        found(l, HEARTH_FINDING_NOTE, "text-ends-answers", "no token ends an answer: the text %s does",
              quote(t->stop_text).text);
    else
        found(l, HEARTH_FINDING_PROBLEM, "unreachable-stop",
              "behind an answer the template writes %s, which holds none of the tokens that end one in this file (%s): "
              "a model that follows its template would not stop; the text %s stops it instead",
              quote(t->answer_end).text, known, quote(t->stop_text).text);
    buf_free(&ends);
}

/* ---- BOS ---- */

static void check_bos(struct linter *l)
{
    const struct vocab *v = tokenizer_vocab(l->c->tokenizer);
    struct token_list ids = { 0 };
    struct view w;
    bool added = false;
    size_t n = 0;
    if (LOOK(l, &w, true, USER) && chat_encode(l->c, &w.prompt, &ids, &added, NULL, &w.err))
        while (n < ids.n && v->bos >= 0 && ids.ids[n] == v->bos)
            n++;
    l->no_memory |= w.err.status == HEARTH_ERR_MEMORY;
    if (n > 1)
        found(l, HEARTH_FINDING_PROBLEM, "double-bos", "the prompt begins with %zu BOS tokens; one is right", n);
    else if (added)
        found(l, HEARTH_FINDING_NOTE, "bos-added",
              "the template does not write BOS, the file asks for it: it is added");
    else if (n == 1 && v->add_bos)
        found(l, HEARTH_FINDING_NOTE, "bos-once", "template and file both ask for BOS: it comes once");
    token_list_free(&ids);
    close_view(&w);
}

/* ---- where an answer begins ---- */

static void check_generation_prompt(struct linter *l)
{
    struct view w;
    if (l->c->traits.has_generation_prompt)
        return;
    bool ok = LOOK(l, &w, true, USER);
    size_t at = ok ? str_search_last(w.text, STR(USER_TEXT)) + strlen(USER_TEXT) : 0;
    struct str tail = { w.text.ptr + at, w.text.len - at };
    if (!ok)
        ; /* another check says so */
    else if (tail.len == 0)
        found(l, HEARTH_FINDING_WARNING, "no-generation-prompt",
              "nothing marks where the answer begins: the model may go on with the user's message");
    else
        found(l, HEARTH_FINDING_NOTE, "no-generation-prompt",
              "the template ignores add_generation_prompt: %s behind the user's message must do", quote(tail).text);
    close_view(&w);
}

/* ---- roles ---- */

static void check_system(struct linter *l)
{
    struct view w;
    enum chat_fate fate = l->c->traits.system;
    if (fate == FATE_DROPPED) {
        found(l, HEARTH_FINDING_WARNING, "system-dropped",
              "system messages are dropped by the template: requests that have one are refused");
    } else if (fate == FATE_REFUSED) {
        LOOK(l, &w, true, SYSTEM, USER);
        found(l, HEARTH_FINDING_NOTE, "system-refused", "system messages are refused: %.300s", w.err.message);
        close_view(&w);
    }
}

/* What stands between two texts, of which the first comes first. */
static struct str between(struct str text, const char *first, const char *second)
{
    size_t from = str_search(text, str_z(first)) + strlen(first);
    return (struct str){ text.ptr + from, str_search(text, str_z(second)) - from };
}

static void check_roles(struct linter *l)
{
    struct view w;
    static const char *const texts[] = { USER_TEXT, ANSWER_TEXT, USER_2_TEXT };
    if (!LOOK(l, &w, true, USER, ANSWER, USER_2)) {
        found(l, HEARTH_FINDING_PROBLEM, "no-second-turn", "a second turn does not render: %.300s", w.err.message);
        close_view(&w);
        return;
    }
    size_t before = 0;
    bool ordered = true;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size_t n = count(w.text, texts[i]), at = str_search(w.text, str_z(texts[i]));
        if (n != 1)
            found(l, n == 0 ? HEARTH_FINDING_PROBLEM : HEARTH_FINDING_WARNING, "role-does-not-round-trip",
                  "in user, assistant, user the text of message %zu stands %zu times in the prompt", i, n);
        ordered &= n > 0 && at >= before;
        before = n > 0 ? at : before;
    }
    if (!ordered)
        found(l, HEARTH_FINDING_PROBLEM, "order", "the prompt does not have the messages in their order");
    else if (str_eq(between(w.text, USER_TEXT, ANSWER_TEXT), between(w.text, ANSWER_TEXT, USER_2_TEXT)))
        found(l, HEARTH_FINDING_NOTE, "roles-look-alike", "nothing tells a user's message from an assistant's");
    close_view(&w);
    if (LOOK(l, &w, true, { "user", "  " USER_TEXT " \n", NULL }) && count(w.text, "  " USER_TEXT " \n") == 0)
        found(l, HEARTH_FINDING_NOTE, "trims", "white space around a message's text is trimmed");
    close_view(&w);
}

static void check_tools(struct linter *l)
{
    const struct chat_traits *t = &l->c->traits;
    if (t->tools == FATE_KEPT && t->tool_calls == FATE_DROPPED)
        found(l, HEARTH_FINDING_WARNING, "tool-calls-dropped",
              "tools are shown to the model, but its earlier calls are dropped: requests with such calls are refused");
    if (t->tools == FATE_KEPT && t->tool_results == FATE_DROPPED)
        found(l, HEARTH_FINDING_WARNING, "tool-results-dropped",
              "tools are shown to the model, but their results are dropped: requests with results are refused");
}

/* ---- texts that look like special tokens and are none ---- */

static bool has_space(const char *text, size_t n) { return memchr(text, ' ', n) || memchr(text, '\n', n); }

/* The next "<|...|>" (or with U+FF5C bars) at or after *at; false: none. */
static bool next_special_look(struct str s, size_t *at, struct str *out)
{
    static const struct {
        struct str open, close;
    } looks[] = { { STR("<|"), STR("|>") }, { STR("<\xef\xbd\x9c"), STR("\xef\xbd\x9c>") } };
    struct str rest = { s.ptr + *at, s.len - *at };
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        size_t begin = str_search(rest, looks[i].open);
        if (begin == SIZE_MAX || begin >= best)
            continue;
        size_t after = begin + looks[i].open.len;
        size_t length = str_search((struct str){ rest.ptr + after, min_size(rest.len - after, 64) }, looks[i].close);
        if (length == SIZE_MAX || has_space(rest.ptr + after, length))
            continue;
        best = begin;
        *out = (struct str){ rest.ptr + begin, after + length + looks[i].close.len - begin };
    }
    *at = (size_t)(out->ptr - s.ptr) + 2;
    return best != SIZE_MAX;
}

static void check_unknown_specials(struct linter *l)
{
    struct view w;
    struct str look = { "", 0 };
    if (LOOK(l, &w, true, SYSTEM, USER, ANSWER, USER_2) || (close_view(&w), LOOK(l, &w, true, USER))) {
        for (size_t at = 0; next_special_look(w.text, &at, &look);) {
            int32_t id = vocab_find(tokenizer_vocab(l->c->tokenizer), look);
            if (id >= 0 && tokenizer_vocab(l->c->tokenizer)->type[id] != TOKEN_NORMAL)
                continue;
            found(l, HEARTH_FINDING_WARNING, "unknown-special",
                  "the template writes %s, which is no special token of this vocabulary: the model reads it as "
                  "letters; template and vocabulary may not belong together", quote(look).text);
            break; /* one tells enough */
        }
    }
    close_view(&w);
}

/* ---- what makes the prefix cache miss ---- */

static size_t part_at(struct str a, struct str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    return n;
}

static void check_date(struct linter *l)
{
    static const struct turn turns[] = { USER };
    struct view now, later, tomorrow;
    if (!l->c->traits.uses_date)
        return;
    bool ok = look_at(l, &now, turns, 1, true, day);
    ok &= look_at(l, &later, turns, 1, true, "2026-02-07 16:05:06");
    ok &= look_at(l, &tomorrow, turns, 1, true, "2026-02-08 15:04:05");
    if (ok && !str_eq(now.text, later.text))
        found(l, HEARTH_FINDING_WARNING, "clock",
              "the prompt holds the time of day at byte %zu of %zu: what follows is computed again by every request",
              part_at(now.text, later.text), now.text.len);
    else if (ok && !str_eq(now.text, tomorrow.text))
        found(l, HEARTH_FINDING_NOTE, "date",
              "the prompt holds the date at byte %zu of %zu: what follows is computed again after midnight",
              part_at(now.text, tomorrow.text), now.text.len);
    close_view(&now);
    close_view(&later);
    close_view(&tomorrow);
}

/* A prompt, once answered, must begin the next one. */
static void compare_turns(struct linter *l, struct str first, struct str second)
{
    size_t at = part_at(first, second);
    if (at == first.len)
        return;
    while (at > 0 && ((unsigned char)first.ptr[at] & 0xc0) == 0x80)
        at--;
    found(l, HEARTH_FINDING_WARNING, "history-rewritten",
          "the next turn's prompt parts from this one's at byte %zu of %zu: %s becomes %s; from there on it is "
          "computed again at every turn", at, first.len, quote((struct str){ first.ptr + at, first.len - at }).text,
          quote((struct str){ second.ptr + at, second.len - at }).text);
}

static void check_history(struct linter *l)
{
    struct view first, second;
    if (LOOK(l, &first, true, USER)) {
        if (LOOK(l, &second, true, USER, ANSWER, USER_2))
            compare_turns(l, first.text, second.text);
        close_view(&second);
    }
    close_view(&first);
    if (!l->c->traits.thinking_key)
        return;
    if (LOOK(l, &first, false, USER, { "assistant", ANSWER_TEXT, THOUGHT_TEXT })
        && count(first.text, THOUGHT_TEXT) > 0) {
        if (LOOK(l, &second, true, USER, { "assistant", ANSWER_TEXT, THOUGHT_TEXT }, USER_2)
            && count(second.text, THOUGHT_TEXT) == 0)
            found(l, HEARTH_FINDING_NOTE, "thinking-leaves-history",
                  "thinking of earlier turns is left out of the next prompt: the last answer is computed again there");
        close_view(&second);
    }
    close_view(&first);
}

/* ---- all of it ---- */

static void (*const checks[])(struct linter *) = {
    check_end,   check_bos,  check_generation_prompt, check_system,
    check_roles, check_tools, check_unknown_specials, check_date, check_history,
};

static int worst_first(const void *a, const void *b)
{
    const hearth_finding *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    return strcmp(x->code, y->code);
}

/* Half the findings would say that the rest is well. */
size_t chat_lint_no_memory(const hearth_finding **findings)
{
    static const hearth_finding it[] = { { HEARTH_FINDING_PROBLEM, CHAT_LINT_NO_MEMORY,
                                           "out of memory: what is wrong with the template is not known; close other "
                                           "programs" } };
    *findings = it;
    return 1;
}

size_t chat_lint(const struct chat *c, struct arena *arena, const hearth_finding **findings)
{
    struct linter l = { .c = c, .arena = arena, .findings = arena_array(arena, hearth_finding, LINT_MAX_FINDINGS) };
    *findings = l.findings;
    if (!l.findings)
        return chat_lint_no_memory(findings);
    if (c->traits.problem[0])
        found(&l, HEARTH_FINDING_PROBLEM, "does-not-render", "the simplest conversation does not render: %s",
              c->traits.problem);
    for (size_t i = 0; i < ARRAY_LEN(checks) && !c->traits.problem[0]; i++)
        checks[i](&l);
    if (l.no_memory)
        return chat_lint_no_memory(findings);
    qsort(l.findings, l.n, sizeof *l.findings, worst_first);
    return l.n;
}
