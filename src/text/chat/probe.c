/* probe.c: what a template can do, found out by rendering small conversations and looking for their texts. */
#include <stdio.h>
#include <string.h>

#include "text/chat/chat_impl.h"

#define TOOL_NAME    "fQ7tool"
#define VALUE_TEXT   "vQ7value"
#define RESULT_TEXT  "rQ7result"
#define CALL_ID      "q7call123" /* nine letters and digits: some templates insist */

/* Keys under which templates look for the thinking of an earlier message, and values that switch it. */
static const char *const thinking_keys[] = { "reasoning_content", "thinking", "reasoning" };
static const char *const thinking_switches[] = { "enable_thinking", "thinking" };

struct prober {
    struct chat *c;
    struct jinja_output out;
    bool rendered;
    struct str text; /* of the last rendering; empty when it failed */
    struct jinja_error why;
    bool no_memory;
};

static const struct jinja_date some_day = { 2026, 2, 7, 15, 4, 5 };

/* Render values (stolen). */
static bool show(struct prober *p, json_t *values)
{
    jinja_output_free(&p->out);
    p->why = (struct jinja_error){ 0 };
    p->rendered = values && chat_try(p->c, values, &some_day, &p->out, &p->why);
    p->no_memory |= !values || (!p->rendered && p->why.failure == JINJA_MEMORY);
    p->text = p->rendered ? p->out.text : STR("");
    json_decref(values);
    return p->rendered;
}

static bool has(const struct prober *p, const char *what) { return str_search(p->text, str_z(what)) != SIZE_MAX; }

static enum chat_fate fate_of(const struct prober *p, const char *what)
{
    return !p->rendered ? FATE_REFUSED : has(p, what) ? FATE_KEPT : FATE_DROPPED;
}

static json_t *say(const char *role, const char *text)
{
    return json_pack("{s:s, s:s}", "role", role, "content", text);
}

static json_t *say_in_parts(const char *role, const char *text)
{
    return json_pack("{s:s, s:[{s:s, s:s}]}", "role", role, "content", "type", "text", "text", text);
}

static json_t *none(void) { return json_null(); }

/* object (may be NULL) with one more value; NULL when memory is out. Both are stolen. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* Up to three messages (stolen). NULL when memory is out, for one of them too. */
static json_t *talk(json_t *a, json_t *b, json_t *c, bool generation_prompt)
{
    json_t *list = json_array();
    json_t *all[] = { a, b, c };
    bool failed = false;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (!json_is_null(all[i]))
            failed |= json_array_append_new(list, all[i]) != 0;
    if (failed) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:o, s:b}", "messages", list, "add_generation_prompt", (int)generation_prompt);
}

static json_t *user(void) { return say("user", USER_TEXT); }

/* A copy that lives as long as the chat. */
static struct str keep(struct prober *p, struct str s)
{
    struct str copy = arena_strdup(&p->c->arena, s);
    p->no_memory |= !copy.ptr;
    return copy.ptr ? copy : STR("");
}

/* ---- the form of content ---- */

static bool probe_content(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    show(p, talk(user(), none(), none(), true));
    bool as_text = has(p, USER_TEXT);
    struct str plain = keep(p, p->text);
    if (!p->rendered && p->why.message[0])
        snprintf(t->problem, sizeof t->problem, "line %d column %d: %.250s", p->why.line, p->why.column,
                 p->why.message);
    show(p, talk(say_in_parts("user", USER_TEXT), none(), none(), true));
    bool as_parts = has(p, USER_TEXT);
    t->parts = as_text && as_parts && str_eq(plain, p->text);
    t->needs_parts = !as_text && as_parts;
    if (as_text || as_parts)
        t->problem[0] = 0;
    else if (!t->problem[0])
        snprintf(t->problem, sizeof t->problem, "the text of a user's message is not in the prompt");
    return as_text || as_parts;
}

static json_t *content(struct prober *p, const char *role, const char *text)
{
    return p->c->traits.needs_parts ? say_in_parts(role, text) : say(role, text);
}

static void probe_roles(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    show(p, talk(content(p, "system", SYSTEM_TEXT), content(p, "user", USER_TEXT), none(), true));
    t->system = fate_of(p, SYSTEM_TEXT);
    /* A template that writes any role's name as it comes does not know this one for that. */
    t->developer = FATE_DROPPED;
    if (str_search(p->c->source, STR("developer")) != SIZE_MAX) {
        show(p, talk(content(p, "developer", SYSTEM_TEXT), content(p, "user", USER_TEXT), none(), true));
        t->developer = fate_of(p, SYSTEM_TEXT) == FATE_KEPT ? FATE_KEPT : FATE_DROPPED;
    }
    struct str with;
    show(p, talk(content(p, "user", USER_TEXT), none(), none(), true));
    with = keep(p, p->text);
    show(p, talk(content(p, "user", USER_TEXT), none(), none(), false));
    t->has_generation_prompt = !str_eq(with, p->text);
}

/* ---- tools ---- */

static json_t *a_tool(void)
{
    return json_pack("[{s:s, s:{s:s, s:s, s:{s:s, s:{s:{s:s, s:s}}, s:[s]}}}]", "type", "function", "function", "name",
                     TOOL_NAME, "description", "Does it.", "parameters", "type", "object", "properties", "x", "type",
                     "string", "description", "What.", "required", "x");
}

static json_t *with_tool(json_t *values) { return with(values, "tools", a_tool()); }

static json_t *a_call(bool empty_text, bool arguments_as_text)
{
    json_t *arguments = arguments_as_text ? json_string("{\"x\": \"" VALUE_TEXT "\"}")
                                          : json_pack("{s:s}", "x", VALUE_TEXT);
    return json_pack("{s:s, s:o, s:[{s:s, s:s, s:{s:s, s:o}}]}", "role", "assistant", "content",
                     empty_text ? json_string("") : json_null(), "tool_calls", "id", CALL_ID, "type", "function",
                     "function", "name", TOOL_NAME, "arguments", arguments);
}

static json_t *a_result(void)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "role", "tool", "tool_call_id", CALL_ID, "name", TOOL_NAME, "content",
                     RESULT_TEXT);
}

/* A call with "" as its text: the template writes no None then, and the call as before. */
static bool text_avoids_none(struct prober *p)
{
    const struct chat_traits *t = &p->c->traits;
    show(p, with_tool(talk(content(p, "user", USER_TEXT), a_call(true, t->arguments_as_text), a_result(), true)));
    return has(p, TOOL_NAME) && fate_of(p, VALUE_TEXT) == FATE_KEPT && !has(p, "None");
}

/* The first form of a call that the template takes; "" and text are tried where none and an object fail. */
static void probe_calls(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    t->tool_calls = FATE_DROPPED;
    for (int form = 0; form < 4 && t->tool_calls != FATE_KEPT; form++) {
        t->needs_text = form & 1;
        t->arguments_as_text = form & 2;
        show(p, with_tool(talk(content(p, "user", USER_TEXT), a_call(t->needs_text, t->arguments_as_text), a_result(),
                               true)));
        enum chat_fate fate = has(p, TOOL_NAME) ? fate_of(p, VALUE_TEXT) : p->rendered ? FATE_DROPPED : FATE_REFUSED;
        if (form == 0 || fate == FATE_KEPT) {
            t->tool_calls = fate;
            t->tool_results = fate_of(p, RESULT_TEXT);
        }
    }
    if (t->tool_calls != FATE_KEPT)
        t->needs_text = t->arguments_as_text = false;
    else if (!t->needs_text && has(p, "None")) /* some write whatever the text is, and a model would read that word */
        t->needs_text = text_avoids_none(p);
}

static void probe_tools(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    show(p, with_tool(talk(content(p, "user", USER_TEXT), none(), none(), true)));
    t->tools = fate_of(p, TOOL_NAME);
    probe_calls(p);
}

/* ---- thinking ---- */

static json_t *with_thought(json_t *message, const char *key)
{
    return with(message, key, json_string(THOUGHT_TEXT));
}

/* At the end of a conversation, or before the result of a call: elsewhere templates leave it out. */
static bool keeps_thought(struct prober *p, const char *key)
{
    show(p, talk(content(p, "user", USER_TEXT), with_thought(content(p, "assistant", ANSWER_TEXT), key), none(),
                 false));
    if (has(p, THOUGHT_TEXT))
        return true;
    const struct chat_traits *t = &p->c->traits;
    show(p, with_tool(talk(content(p, "user", USER_TEXT),
                           with_thought(a_call(t->needs_text, t->arguments_as_text), key), a_result(), true)));
    return has(p, THOUGHT_TEXT);
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/* The tag that ends (or begins) right next to the thought, past white space: "<think>". Empty: none. */
static struct str tag_beside(struct str text, size_t at, bool before)
{
    size_t begin = at, end = at;
    if (before) {
        while (end > 0 && is_blank(text.ptr[end - 1]))
            end--;
        if (end == 0 || (text.ptr[end - 1] != '>' && text.ptr[end - 1] != ']'))
            return STR("");
        char opener = text.ptr[end - 1] == '>' ? '<' : '[';
        for (begin = end; begin > 0 && text.ptr[begin - 1] != opener && end - begin < MARK_MAX_BYTES / 2;)
            begin--;
        return begin == 0 || text.ptr[begin - 1] != opener ? STR("")
                                                           : (struct str){ text.ptr + begin - 1, end - begin + 1 };
    }
    while (begin < text.len && is_blank(text.ptr[begin]))
        begin++;
    if (begin == text.len || (text.ptr[begin] != '<' && text.ptr[begin] != '['))
        return STR("");
    char closer = text.ptr[begin] == '<' ? '>' : ']';
    for (end = begin; end < text.len && text.ptr[end] != closer && end - begin < MARK_MAX_BYTES / 2;)
        end++;
    return end == text.len || text.ptr[end] != closer ? STR("") : (struct str){ text.ptr + begin, end + 1 - begin };
}

static void probe_marks(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    t->marks = thinking_marks_in(p->c->source);
    size_t at = t->marks.open.len || !t->thinking_key ? SIZE_MAX : str_search(p->text, STR(THOUGHT_TEXT));
    if (at == SIZE_MAX)
        return;
    struct str open = tag_beside(p->text, at, true);
    struct str close = tag_beside(p->text, at + strlen(THOUGHT_TEXT), false);
    if (open.len && close.len)
        t->marks = (struct thinking_marks){ .open = keep(p, open), .close = keep(p, close) };
}

static json_t *with_switch(json_t *values, const char *key, bool on)
{
    return with(values, key, json_boolean(on));
}

static void probe_thinking(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    for (size_t i = 0; i < ARRAY_LEN(thinking_switches) && !t->thinking_switch; i++) {
        const char *key = thinking_switches[i];
        if (!show(p, with_switch(talk(content(p, "user", USER_TEXT), none(), none(), true), key, true)))
            continue;
        struct str on = keep(p, p->text);
        if (show(p, with_switch(talk(content(p, "user", USER_TEXT), none(), none(), true), key, false))
            && !str_eq(on, p->text))
            t->thinking_switch = key;
    }
    for (size_t i = 0; i < ARRAY_LEN(thinking_keys) && !t->thinking_key; i++)
        if (keeps_thought(p, thinking_keys[i]))
            t->thinking_key = thinking_keys[i];
    t->thinking = t->thinking_key ? FATE_KEPT : FATE_DROPPED;
    probe_marks(p);
}

/* ---- the end of an answer ---- */

static struct str behind_answer(const struct prober *p)
{
    size_t at = str_search_last(p->text, STR(ANSWER_TEXT));
    if (at == SIZE_MAX)
        return STR("");
    at += strlen(ANSWER_TEXT);
    size_t next = str_search(p->text, STR(USER_2_TEXT));
    size_t end = next != SIZE_MAX && next > at ? next : p->text.len;
    return (struct str){ p->text.ptr + at, end - at };
}

/* What two continuations have in common, not cut inside a tag. */
static struct str common(struct str a, struct str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    if (n < a.len && n < b.len) {
        size_t open = str_search_last((struct str){ a.ptr, n }, STR("<"));
        size_t close = str_search_last((struct str){ a.ptr, n }, STR(">"));
        if (open != SIZE_MAX && (close == SIZE_MAX || close < open))
            n = open;
    }
    return (struct str){ a.ptr, n };
}

static bool holds_eog(struct prober *p, struct str text)
{
    const struct chat *c = p->c;
    struct token_list ids = { 0 };
    hearth_error why = { 0 };
    bool found = false;
    if (text.len && tokenizer_encode(c->tokenizer, text, true, false, &ids, &why))
        for (size_t i = 0; i < ids.n; i++)
            found |= vocab_is_eog(tokenizer_vocab(c->tokenizer), ids.ids[i]);
    p->no_memory |= why.status == HEARTH_ERR_MEMORY;
    token_list_free(&ids);
    return found;
}

/* Where no token ends an answer, the text that the template goes on with does. */
static struct str stop_text(struct str end)
{
    size_t n = end.len;
    while (n > 0 && is_blank(end.ptr[n - 1]))
        n--;
    if (n == 0 && end.len < 2)
        return STR(""); /* a single line feed or space stands in every answer */
    struct str tag = tag_beside(end, 0, false);
    if (tag.len)
        n = (size_t)(tag.ptr - end.ptr) + tag.len; /* the first one: what comes behind it need not come */
    return n == 0 ? end : (struct str){ end.ptr, n };
}

static void probe_end(struct prober *p)
{
    struct chat_traits *t = &p->c->traits;
    show(p, talk(content(p, "user", USER_TEXT), content(p, "assistant", ANSWER_TEXT), none(), false));
    struct str last = keep(p, behind_answer(p));
    show(p, talk(content(p, "user", USER_TEXT), content(p, "assistant", ANSWER_TEXT), content(p, "user", USER_2_TEXT),
                 true));
    struct str between = keep(p, behind_answer(p));
    t->answer_end = common(between, last);
    if (t->answer_end.len == 0) /* another end at the end of the conversation */
        t->answer_end = holds_eog(p, last) || between.len == 0 ? last : between;
    t->ends_answers = holds_eog(p, t->answer_end);
    if (!t->ends_answers)
        t->stop_text = stop_text(t->answer_end);
}

bool chat_probe(struct chat *c)
{
    struct prober p = { .c = c };
    c->traits.uses_date = str_search(c->source, STR("strftime_now")) != SIZE_MAX;
    c->traits.has_generation_prompt = true;
    c->traits.marks = thinking_marks_in(c->source);
    if (probe_content(&p)) {
        probe_roles(&p);
        probe_tools(&p);
        probe_thinking(&p);
        probe_end(&p);
    }
    jinja_output_free(&p.out);
    return !p.no_memory && !c->arena.failed;
}
