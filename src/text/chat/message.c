/* message.c: the neutral form of a conversation to what a template is given. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "text/chat/chat_impl.h"

struct builder {
    const struct chat_traits *traits;
    struct chat_input *out;
    size_t index; /* of the message under way */
    hearth_error *err;
};

static void note(struct chat_input *in, const char *fmt, ...) PRINTF(2, 3);
static void note(struct chat_input *in, const char *fmt, ...)
{
    char line[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    size_t used = strlen(in->notes);
    if (!strstr(in->notes, line) && used + strlen(line) + 2 < sizeof in->notes)
        snprintf(in->notes + used, sizeof in->notes - used, "%s\n", line);
}

static bool refuse(const struct builder *b, const char *what)
{
    return fail(b->err, HEARTH_ERR_USAGE,
                "message %zu: the chat template drops %s, the model would not see it; leave it out or use another "
                "template (--chat-template)", b->index, what);
}

/* A new string, or NULL with the reason. */
static json_t *text_value(const struct builder *b, const char *field, const char *text, size_t n)
{
    json_t *s = json_stringn(text ? text : "", n);
    if (!s && utf8_valid((struct str){ text, text ? n : 0 }))
        fail_memory(b->err, "a conversation");
    else if (!s)
        fail(b->err, HEARTH_ERR_USAGE, "message %zu: %s is not UTF-8; send UTF-8 text", b->index, field);
    return s;
}

static bool set(const struct builder *b, json_t *object, const char *key, json_t *value)
{
    if (!value) /* said already */
        return false;
    return json_object_set_new(object, key, value) == 0 ? true : fail_memory(b->err, "a conversation");
}

static bool set_text(const struct builder *b, json_t *object, const char *key, const char *text)
{
    return !text || set(b, object, key, text_value(b, key, text, strlen(text)));
}

/* ---- content ---- */

static json_t *one_part(const struct builder *b, hearth_text part)
{
    json_t *text = text_value(b, "its text", part.text, part.n_bytes);
    return text ? json_pack("{s:s, s:o}", "type", "text", "text", text) : NULL;
}

static json_t *parts_value(const struct builder *b, const hearth_message *m)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < m->n_parts; i++) {
        if (json_array_append_new(list, one_part(b, m->parts[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *joined_value(const struct builder *b, const hearth_message *m)
{
    struct buf all = { 0 };
    for (size_t i = 0; i < m->n_parts; i++) {
        if (i > 0)
            buf_puts(&all, "\n");
        buf_put(&all, m->parts[i].n_bytes ? m->parts[i].text : "", m->parts[i].n_bytes);
    }
    json_t *text = all.failed ? NULL : text_value(b, "its text", all.ptr, all.len);
    buf_free(&all);
    return text;
}

static json_t *content_value(const struct builder *b, const hearth_message *m)
{
    const struct chat_traits *t = b->traits;
    if (m->n_parts == 0)
        return t->needs_parts ? json_array() : t->needs_text ? json_string("") : json_null();
    if (t->needs_parts || (t->parts && m->n_parts > 1))
        return parts_value(b, m);
    if (m->n_parts > 1)
        note(b->out, "message %zu: its %zu parts are joined by line feeds, the chat template takes one text", b->index,
             m->n_parts);
    return joined_value(b, m);
}

/* ---- tool calls ---- */

static json_t *arguments_value(const struct builder *b, const char *text, size_t index)
{
    json_error_t why;
    uint64_t refused = mem_n_refused();
    json_t *object = json_loads(text ? text : "", JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (mem_n_refused() != refused) {
        json_decref(object);
        fail_memory(b->err, "a conversation");
        return NULL;
    }
    if (!json_is_object(object)) {
        fail(b->err, HEARTH_ERR_USAGE, "message %zu: the arguments of tool call %zu are not a JSON object: %.120s",
             b->index, index, object ? text : why.text);
        json_decref(object);
        return NULL;
    }
    if (!b->traits->arguments_as_text)
        return object;
    json_decref(object);
    return text_value(b, "the arguments of a tool call", text, strlen(text));
}

static json_t *call_value(const struct builder *b, const hearth_tool_call *call, size_t index)
{
    json_t *function = json_object(), *value = json_object();
    bool ok = function && value && set_text(b, value, "id", call->id) && set(b, value, "type", json_string("function"))
           && set_text(b, function, "name", call->name ? call->name : "")
           && set(b, function, "arguments", arguments_value(b, call->arguments, index));
    ok = ok && json_object_set(value, "function", function) == 0;
    json_decref(function);
    if (ok)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *calls_value(const struct builder *b, const hearth_message *m)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < m->n_tool_calls; i++) {
        if (json_array_append_new(list, call_value(b, &m->tool_calls[i], i)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* ---- messages ---- */

/* The roles that there are, and what becomes of their text. */
static bool find_role(const struct builder *b, const char *name, const char **role)
{
    const struct chat_traits *t = b->traits;
    const struct {
        const char *name;
        enum chat_fate fate;
    } roles[] = {
        { "system", t->system },    { "developer", t->developer },     { "user", FATE_KEPT },
        { "assistant", FATE_KEPT }, { "tool", t->tool_results },
    };
    *role = NULL;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (!name || strcmp(name, roles[i].name) != 0)
            continue;
        *role = roles[i].name;
        if (roles[i].fate != FATE_DROPPED)
            return true;
        if (strcmp(name, "developer") == 0 && t->system != FATE_DROPPED) {
            *role = "system";
            note(b->out, "message %zu: role developer is given as system, which the chat template knows", b->index);
            return true;
        }
        char what[64];
        snprintf(what, sizeof what, "messages of role %s", name);
        return refuse(b, what);
    }
    return fail(b->err, HEARTH_ERR_USAGE,
                "message %zu has the role '%.40s'; roles are system, developer, user, assistant and tool", b->index,
                name ? name : "");
}

static bool set_thinking(const struct builder *b, json_t *value, const hearth_message *m)
{
    if (!m->thinking.text)
        return true;
    if (b->traits->thinking_key)
        return set(b, value, b->traits->thinking_key,
                   text_value(b, "its thinking", m->thinking.text, m->thinking.n_bytes));
    note(b->out, "message %zu: its thinking is not part of this chat template's prompts", b->index);
    return true;
}

static bool set_calls(const struct builder *b, json_t *value, const hearth_message *m)
{
    if (m->n_tool_calls == 0)
        return true;
    if (b->traits->tool_calls == FATE_DROPPED)
        return refuse(b, "tool calls");
    return set(b, value, "tool_calls", calls_value(b, m));
}

static json_t *message_value(const struct builder *b, const hearth_message *m)
{
    const char *role;
    json_t *value = json_object();
    if (!value) {
        fail_memory(b->err, "a conversation");
        return NULL;
    }
    if (find_role(b, m->role, &role) && set(b, value, "role", json_string(role))
        && set(b, value, "content", content_value(b, m)) && set_thinking(b, value, m) && set_calls(b, value, m)
        && set_text(b, value, "tool_call_id", m->tool_call_id) && set_text(b, value, "name", m->name))
        return value;
    json_decref(value);
    return NULL;
}

static bool add_messages(struct builder *b, const hearth_chat *chat)
{
    json_t *list = json_array();
    if (!list || json_object_set_new(b->out->values, "messages", list) != 0)
        return fail_memory(b->err, "a conversation");
    for (size_t i = 0; i < chat->n_messages; i++) {
        b->index = i;
        json_t *m = message_value(b, &chat->messages[i]);
        if (!m)
            return false;
        if (json_array_append_new(list, m) != 0)
            return fail_memory(b->err, "a conversation");
    }
    return true;
}

/* ---- what comes beside the messages ---- */

static json_t *parse(const char *text, const char *what, bool array, hearth_error *err)
{
    json_error_t why;
    uint64_t refused = mem_n_refused();
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (mem_n_refused() != refused) {
        json_decref(j);
        fail_memory(err, what);
        return NULL;
    }
    if (j && (array ? json_is_array(j) : json_is_object(j)))
        return j;
    fail(err, HEARTH_ERR_USAGE, "%s must be JSON text of %s: %.160s", what, array ? "an array" : "an object",
         j ? "it is something else" : why.text);
    json_decref(j);
    return NULL;
}

static bool add_kwargs(struct builder *b, const hearth_chat *chat)
{
    static const char *const taken[] = { "messages", "tools", "add_generation_prompt", "continue_final_message" };
    if (!chat->template_kwargs)
        return true;
    json_t *kwargs = parse(chat->template_kwargs, "template_kwargs", false, b->err);
    if (!kwargs)
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(taken); i++)
        if (json_object_get(kwargs, taken[i]))
            ok = fail(b->err, HEARTH_ERR_USAGE, "template_kwargs has '%s', which the request itself sets; leave it out",
                      taken[i]);
    if (ok && json_object_update(b->out->values, kwargs) != 0)
        ok = fail_memory(b->err, "a conversation");
    json_decref(kwargs);
    return ok;
}

static bool add_tools(struct builder *b, const hearth_chat *chat)
{
    if (!chat->tools)
        return true;
    json_t *tools = parse(chat->tools, "tools", true, b->err);
    if (!tools)
        return false;
    bool lost = b->traits->tools == FATE_DROPPED && json_array_size(tools) > 0;
    if (json_object_set_new(b->out->values, "tools", tools) != 0)
        return fail_memory(b->err, "a conversation");
    return lost ? fail(b->err, HEARTH_ERR_USAGE,
                       "tools: the chat template does not show them to the model; send none, or use a model or a "
                       "template that does (--chat-template)")
                : true;
}

static bool add_thinking(struct builder *b, hearth_thinking thinking)
{
    const char *key = b->traits->thinking_switch;
    if (thinking == HEARTH_THINKING_DEFAULT)
        return true;
    if (!key)
        return fail(b->err, HEARTH_ERR_USAGE,
                    "thinking cannot be turned %s: the chat template has no switch for it; leave it as it is",
                    thinking == HEARTH_THINKING_ON ? "on" : "off");
    return json_object_set_new(b->out->values, key, json_boolean(thinking == HEARTH_THINKING_ON)) == 0
               ? true
               : fail_memory(b->err, "a conversation");
}

static bool add_end(struct builder *b, const hearth_chat *chat)
{
    struct chat_input *in = b->out;
    in->generation_prompt = !chat->no_generation_prompt && !chat->continue_final_message;
    bool ok = json_object_set_new(in->values, "add_generation_prompt", json_boolean(in->generation_prompt)) == 0;
    if (ok && chat->continue_final_message)
        ok = json_object_set_new(in->values, "continue_final_message", json_true()) == 0;
    if (!ok)
        return fail_memory(b->err, "a conversation");
    if (!chat->continue_final_message)
        return true;
    const hearth_message *last = chat->n_messages ? &chat->messages[chat->n_messages - 1] : NULL;
    if (!last || !last->role || strcmp(last->role, "assistant") != 0 || last->n_parts == 0)
        return fail(b->err, HEARTH_ERR_USAGE,
                    "continue_final_message: the last message must be an assistant's, with text to go on from");
    const json_t *list = json_object_get(in->values, "messages");
    const json_t *content = json_object_get(json_array_get(list, json_array_size(list) - 1), "content");
    if (json_is_array(content))
        content = json_object_get(json_array_get(content, json_array_size(content) - 1), "text");
    in->go_on = (struct str){ json_string_value(content), json_string_length(content) };
    return true;
}

/* "2026-02-07", with or without a time behind it. */
static bool read_date(struct chat_input *in, const char *text, hearth_error *err)
{
    int d[6] = { 0 }, end = 0, n;
    clock_local(d);
    if (text) {
        d[3] = d[4] = d[5] = 0;
        n = sscanf(text, "%4d-%2d-%2d%n %2d:%2d:%2d%n", &d[0], &d[1], &d[2], &end, &d[3], &d[4], &d[5], &end);
        if ((n != 3 && n != 6) || text[end] || d[0] < 1 || d[1] < 1 || d[1] > 12 || d[2] < 1 || d[2] > 31 || d[3] < 0
            || d[3] > 23 || d[4] < 0 || d[4] > 59 || d[5] < 0 || d[5] > 59)
            return fail(err, HEARTH_ERR_USAGE, "the date is '%.40s'; write it as 2026-02-07 or 2026-02-07 15:04:05",
                        text);
    }
    in->date = (struct jinja_date){ d[0], d[1], d[2], d[3], d[4], d[5] };
    char shown[80];
    snprintf(shown, sizeof shown, "%04d-%02d-%02d %02d:%02d:%02d", d[0], d[1], d[2], d[3], d[4], d[5]);
    snprintf(in->date_text, sizeof in->date_text, "%.19s", shown);
    return true;
}

bool chat_input_make(const struct chat *c, const hearth_chat *chat, struct chat_input *out, hearth_error *err)
{
    struct builder b = { .traits = &c->traits, .out = out };
    *out = (struct chat_input){ .values = json_object() };
    if (!out->values)
        return fail_memory(err, "a conversation");
    hearth_error why = { 0 };
    b.err = &why;
    if (read_date(out, chat->date, &why) && add_kwargs(&b, chat) && add_messages(&b, chat) && add_tools(&b, chat)
        && add_thinking(&b, chat->thinking) && add_end(&b, chat))
        return true;
    if (why.status == HEARTH_OK) /* the JSON library gives no reason when it has no memory */
        fail_memory(&why, "a conversation");
    if (err)
        *err = why;
    return false;
}

void chat_input_free(struct chat_input *in)
{
    json_decref(in->values);
    in->values = NULL;
}
