#include "server/api/messages.h"

#include <stdio.h>
#include <string.h>

#include "server/api/json_in.h"
#include "server/api/json_text.h"

enum {
    ARENA_BYTES = 256 << 20, /* above all that the other limits let in */
    NOTES_MAX = 16,
    MESSAGE_PLACE_BYTES = 32, /* "messages[18446744073709551615]", and what is inside of it */
    PART_PLACE_BYTES = MESSAGE_PLACE_BYTES + 32,
    CALL_PLACE_BYTES = MESSAGE_PLACE_BYTES + 40,
    FUNCTION_PLACE_BYTES = CALL_PLACE_BYTES + 16,
};

struct reader {
    struct arena *arena;
    void (*note)(void *arg, const char *sentence);
    void *note_arg;
    size_t n_unknown; /* keys */
    size_t n_pieces, text_bytes;
    hearth_error *err;
};

/* ---- refusals and notes ---- */

static bool no_memory(struct reader *r)
{
    return fail(r->err, HEARTH_ERR_MEMORY, "there is no memory for the conversation; shorten it, or close other "
                "programs");
}

/* place: "messages[2]", or "" for the request itself. */
static bool wrong_type(struct reader *r, const char *place, const char *key, const json_t *got, const char *want)
{
    return fail(r->err, HEARTH_ERR_USAGE, "%s%s%s is %s; it must be %s", place, *place ? "." : "", key, json_kind(got),
                want);
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* Calls out the keys that are not in known; null is the same as not there. */
static void note_unknown(struct reader *r, const char *place, const json_t *object, const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (json_is_null(value) || is_one_of(key, known) || ++r->n_unknown > NOTES_MAX || !r->note)
            continue;
        hearth_error sentence; /* fail() keeps the user's bytes printable */
        fail(&sentence, HEARTH_OK, "%s%s%.80s is not known here and was not used", place, *place ? "." : "", key);
        r->note(r->note_arg, sentence.message);
    }
}

/* ---- single values ---- */

/* NULL when it is not there or null. */
static const json_t *field(const json_t *object, const char *key)
{
    const json_t *j = json_object_get(object, key);
    return json_is_null(j) ? NULL : j;
}

static bool count_text(struct reader *r, size_t n)
{
    r->text_bytes += n;
    return r->text_bytes <= MESSAGES_TEXT_MAX_BYTES
        || fail(r->err, HEARTH_ERR_USAGE, "the conversation has more than %d bytes of text, the most that is taken; "
                "shorten it", MESSAGES_TEXT_MAX_BYTES);
}

static bool count_pieces(struct reader *r, const char *place, const char *key, size_t n)
{
    r->n_pieces += n;
    return r->n_pieces <= MESSAGES_PIECES_MAX
        || fail(r->err, HEARTH_ERR_USAGE, "with the %zu of %s.%s the conversation has more than %d parts and tool "
                "calls, the most that is taken; join them", n, place, key, MESSAGES_PIECES_MAX);
}

static bool copy_text(struct reader *r, const json_t *j, hearth_text *out)
{
    struct str given = { json_string_value(j), json_string_length(j) };
    if (!count_text(r, given.len))
        return false;
    struct str copy = arena_strdup(r->arena, given);
    *out = (hearth_text){ copy.ptr, copy.len };
    return copy.ptr || no_memory(r);
}

/* A string that ends at its NUL. *out stays NULL when the key is not there. */
static bool read_word(struct reader *r, const char *place, const json_t *object, const char *key, const char **out)
{
    const json_t *j = field(object, key);
    hearth_text text;
    if (!j)
        return true;
    if (!json_is_string(j))
        return wrong_type(r, place, key, j, "a text");
    if (strlen(json_string_value(j)) != json_string_length(j))
        return fail(r->err, HEARTH_ERR_USAGE, "%s%s%s has a NUL character; take it out", place, *place ? "." : "",
                    key);
    if (!copy_text(r, j, &text))
        return false;
    *out = text.text;
    return true;
}

/* Any JSON as compact text. */
static bool copy_json(struct reader *r, const json_t *j, const char **out)
{
    struct str text = json_text(r->arena, j);
    *out = text.ptr;
    return text.ptr ? count_text(r, text.len) : no_memory(r);
}

static bool read_bool(struct reader *r, const json_t *object, const char *key, bool *out)
{
    const json_t *j = field(object, key);
    if (!j)
        return true;
    if (!json_is_boolean(j))
        return wrong_type(r, "", key, j, "true or false");
    *out = json_is_true(j);
    return true;
}

/* ---- content ---- */

static bool read_part(struct reader *r, const char *place, size_t i, const json_t *j, hearth_text *out)
{
    static const char *const known[] = { "type", "text", NULL };
    char here[PART_PLACE_BYTES];
    snprintf(here, sizeof here, "%s.content[%zu]", place, i);
    if (json_is_string(j))
        return copy_text(r, j, out);
    if (!json_is_object(j))
        return fail(r->err, HEARTH_ERR_USAGE, "%s is %s; a part is a text or {\"type\": \"text\", \"text\": ...}",
                    here, json_kind(j));
    const json_t *type = field(j, "type"), *text = field(j, "text");
    if (!type)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has no type; a part of text is {\"type\": \"text\", \"text\": ...}",
                    here);
    if (!json_is_string(type))
        return wrong_type(r, here, "type", type, "\"text\"");
    if (strcmp(json_string_value(type), "text") != 0)
        return fail(r->err, HEARTH_ERR_USAGE, "%s is of type '%.80s'; this model takes text only", here,
                    json_string_value(type));
    if (!text)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has no text; give one, \"\" for none", here);
    if (!json_is_string(text))
        return wrong_type(r, here, "text", text, "a text");
    note_unknown(r, here, j, known);
    return copy_text(r, text, out);
}

static bool read_content(struct reader *r, const char *place, const json_t *message, hearth_message *out)
{
    const json_t *j = field(message, "content");
    bool is_array = json_is_array(j);
    if (!j)
        return true;
    if (!is_array && !json_is_string(j))
        return wrong_type(r, place, "content", j, "a text or a list of parts");
    size_t n = is_array ? json_array_size(j) : 1;
    if (!count_pieces(r, place, "content", n))
        return false;
    hearth_text *parts = arena_array(r->arena, hearth_text, n);
    if (!parts)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        if (is_array ? !read_part(r, place, i, json_array_get(j, i), &parts[i]) : !copy_text(r, j, &parts[i]))
            return false;
    }
    out->parts = parts;
    out->n_parts = n;
    return true;
}

/* ---- what assistants and tools have besides ---- */

/* One value under several names: *out, or NULL. Two that differ are refused. */
static bool read_either(struct reader *r, const char *place, const json_t *message, const char *const *keys,
                        const json_t **out)
{
    const char *first = NULL;
    *out = NULL;
    for (; *keys; keys++) {
        const json_t *j = field(message, *keys);
        if (!j)
            continue;
        if (!json_is_string(j))
            return wrong_type(r, place, *keys, j, "a text");
        if (*out && !json_equal(*out, j))
            return fail(r->err, HEARTH_ERR_USAGE, "%s has both %s and %s, and they differ; give one", place, first,
                        *keys);
        first = *out ? first : *keys;
        *out = j;
    }
    return true;
}

static bool read_thinking(struct reader *r, const char *place, const json_t *message, hearth_message *out)
{
    static const char *const keys[] = { "reasoning_content", "reasoning", "thinking", NULL };
    const json_t *j;
    if (!read_either(r, place, message, keys, &j))
        return false;
    return !j || json_string_length(j) == 0 || copy_text(r, j, &out->thinking);
}

/* The text of an object is kept as it is: some templates repeat it. */
static bool read_arguments(struct reader *r, const char *place, const json_t *function, const char **out)
{
    const json_t *j = field(function, "arguments");
    json_error_t why;
    if (!j)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has no arguments; give a JSON object, {} for none", place);
    if (json_is_object(j))
        return copy_json(r, j, out);
    if (!json_is_string(j))
        return wrong_type(r, place, "arguments", j, "a JSON object, or the text of one");
    struct problem problem = { 0 };
    struct json_body parsed = { 0 };
    size_t cost = 0;
    bool scanned = json_scan(json_string_value(j), json_string_length(j), &cost, &problem);
    if (scanned && !json_read(&parsed, json_string_value(j), json_string_length(j), cost, &why))
        return no_memory(r);
    bool is_object = json_is_object(parsed.json);
    if (!scanned)
        snprintf(why.text, sizeof why.text, "%.150s", problem.message);
    else if (parsed.json && !is_object)
        snprintf(why.text, sizeof why.text, "it is %s", json_kind(parsed.json));
    json_body_free(&parsed);
    if (!is_object)
        return fail(r->err, HEARTH_ERR_USAGE, "%s.arguments is not the text of a JSON object: '%.100s' (%.150s)", place,
                    json_string_value(j), why.text);
    return read_word(r, place, function, "arguments", out);
}

static bool read_call(struct reader *r, const char *place, const json_t *j, hearth_tool_call *out)
{
    static const char *const known[] = { "id", "type", "function", NULL },
                      *const known_in_function[] = { "name", "arguments", NULL };
    char here[FUNCTION_PLACE_BYTES];
    if (!json_is_object(j))
        return fail(r->err, HEARTH_ERR_USAGE, "%s is %s; it must be an object with a function", place, json_kind(j));
    const json_t *type = field(j, "type"), *function = field(j, "function");
    if (type && !json_is_string(type))
        return wrong_type(r, place, "type", type, "\"function\"");
    if (type && strcmp(json_string_value(type), "function") != 0)
        return fail(r->err, HEARTH_ERR_USAGE, "%s is of type '%.80s'; only calls of type 'function' are known", place,
                    json_string_value(type));
    if (!function)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has no function; give {\"name\": ..., \"arguments\": ...}", place);
    if (!json_is_object(function))
        return wrong_type(r, place, "function", function, "an object");
    snprintf(here, sizeof here, "%s.function", place);
    if (!read_word(r, place, j, "id", &out->id) || !read_word(r, here, function, "name", &out->name))
        return false;
    if (!out->name || !*out->name)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has no name; say which function is called", here);
    note_unknown(r, place, j, known);
    note_unknown(r, here, function, known_in_function);
    return read_arguments(r, here, function, &out->arguments);
}

static bool read_calls(struct reader *r, const char *place, const json_t *message, hearth_message *out)
{
    const json_t *j = field(message, "tool_calls");
    if (!j)
        return true;
    if (!json_is_array(j))
        return wrong_type(r, place, "tool_calls", j, "a list");
    size_t n = json_array_size(j);
    if (!count_pieces(r, place, "tool_calls", n))
        return false;
    hearth_tool_call *calls = arena_array(r->arena, hearth_tool_call, n);
    if (!calls)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        char here[CALL_PLACE_BYTES];
        snprintf(here, sizeof here, "%s.tool_calls[%zu]", place, i);
        if (!read_call(r, here, json_array_get(j, i), &calls[i]))
            return false;
    }
    out->tool_calls = calls;
    out->n_tool_calls = n;
    return true;
}

static bool read_name(struct reader *r, const char *place, const json_t *message, hearth_message *out)
{
    static const char *const keys[] = { "name", "tool_name", NULL };
    const json_t *j;
    if (strcmp(out->role, "tool") != 0)
        return read_word(r, place, message, "name", &out->name);
    return read_either(r, place, message, keys, &j)
        && read_word(r, place, message, field(message, "name") ? "name" : "tool_name", &out->name);
}

/* ---- one message ---- */

static bool read_role(struct reader *r, const char *place, const json_t *message, hearth_message *out)
{
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };
    static const char list[] = "system, developer, user, assistant or tool";
    const json_t *j = field(message, "role");
    if (!j)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has no role; give one of %s", place, list);
    if (!json_is_string(j))
        return wrong_type(r, place, "role", j, "a text");
    struct str given = { json_string_value(j), json_string_length(j) };
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (str_eq_z(given, roles[i]))
            out->role = roles[i];
    return out->role
        || fail(r->err, HEARTH_ERR_USAGE, "%s has the role '%.80s'; it must be %s", place, given.ptr, list);
}

static bool check_role(struct reader *r, const char *place, const hearth_message *m)
{
    bool assistant = strcmp(m->role, "assistant") == 0, tool = strcmp(m->role, "tool") == 0;
    const char *strange = m->n_tool_calls > 0 && !assistant ? "tool_calls"
                        : m->thinking.text && !assistant    ? "thinking"
                        : m->tool_call_id && !tool          ? "tool_call_id"
                                                            : NULL;
    if (strange)
        return fail(r->err, HEARTH_ERR_USAGE, "%s has %s and the role '%s'; only '%s' may have that", place, strange,
                    m->role, strcmp(strange, "tool_call_id") == 0 ? "tool" : "assistant");
    if (m->n_parts > 0 || (assistant && (m->n_tool_calls > 0 || m->thinking.text)))
        return true;
    if (assistant)
        return fail(r->err, HEARTH_ERR_USAGE, "%s (assistant) has no content, tool_calls or reasoning_content; give "
                    "one of them, content \"\" for an empty text", place);
    return fail(r->err, HEARTH_ERR_USAGE, "%s (%s) has no content; give a text, \"\" for an empty one", place, m->role);
}

static bool read_message(struct reader *r, size_t i, const json_t *j, hearth_message *out)
{
    static const char *const known[] = { "role", "content", "name", "tool_call_id", "tool_calls", "reasoning_content",
                                         "reasoning", "thinking", NULL },
                      *const known_of_tool[] = { "role", "content", "name", "tool_name", "tool_call_id", "tool_calls",
                                                 "reasoning_content", "reasoning", "thinking", NULL };
    char place[MESSAGE_PLACE_BYTES];
    snprintf(place, sizeof place, "messages[%zu]", i);
    if (!json_is_object(j))
        return fail(r->err, HEARTH_ERR_USAGE, "%s is %s; a message is an object with role and content", place,
                    json_kind(j));
    if (!read_role(r, place, j, out) || !read_content(r, place, j, out) || !read_thinking(r, place, j, out)
        || !read_calls(r, place, j, out) || !read_word(r, place, j, "tool_call_id", &out->tool_call_id)
        || !read_name(r, place, j, out) || !check_role(r, place, out))
        return false;
    note_unknown(r, place, j, strcmp(out->role, "tool") == 0 ? known_of_tool : known);
    return true;
}

static bool read_messages(struct reader *r, const json_t *j, hearth_chat *chat)
{
    size_t n = json_array_size(j);
    if (n == 0)
        return fail(r->err, HEARTH_ERR_USAGE, "there are no messages; give at least one");
    if (n > MESSAGES_MAX)
        return fail(r->err, HEARTH_ERR_USAGE, "there are %zu messages, at most %d are taken; shorten the conversation",
                    n, MESSAGES_MAX);
    hearth_message *messages = arena_array(r->arena, hearth_message, n);
    if (!messages)
        return no_memory(r);
    for (size_t i = 0; i < n; i++)
        if (!read_message(r, i, json_array_get(j, i), &messages[i]))
            return false;
    chat->messages = messages;
    chat->n_messages = n;
    return true;
}

/* ---- the request around them ---- */

static bool read_tools(struct reader *r, const json_t *request, hearth_chat *chat)
{
    const json_t *j = field(request, "tools");
    if (!j)
        return true;
    if (!json_is_array(j))
        return wrong_type(r, "", "tools", j, "a list");
    for (size_t i = 0; i < json_array_size(j); i++) {
        const json_t *tool = json_array_get(j, i);
        if (!json_is_object(tool))
            return fail(r->err, HEARTH_ERR_USAGE, "tools[%zu] is %s; a tool is an object with type and function", i,
                        json_kind(tool));
    }
    return copy_json(r, j, &chat->tools);
}

/* A value with a place of its own in the request, among the values for the template. */
static bool add_value(struct reader *r, json_t *values, const char *key, const json_t *j)
{
    const json_t *there = field(values, key);
    if (!j)
        return true;
    if (there && !json_equal(there, j))
        return fail(r->err, HEARTH_ERR_USAGE, "%s and chat_template_kwargs.%s differ; give one", key, key);
    return json_object_set(values, key, (json_t *)(uintptr_t)j) == 0 || no_memory(r);
}

static bool read_template_values(struct reader *r, const json_t *request, hearth_chat *chat)
{
    const json_t *kwargs = field(request, "chat_template_kwargs"), *documents = field(request, "documents"),
                 *effort = field(request, "reasoning_effort");
    if (kwargs && !json_is_object(kwargs))
        return wrong_type(r, "", "chat_template_kwargs", kwargs, "an object");
    if (documents && !json_is_array(documents))
        return wrong_type(r, "", "documents", documents, "a list");
    if (effort && !json_is_string(effort))
        return wrong_type(r, "", "reasoning_effort", effort, "a text");
    if (!kwargs && !documents && !effort)
        return true;
    json_t *values = kwargs ? json_same(kwargs) : json_object();
    if (!values)
        return no_memory(r);
    bool ok = add_value(r, values, "documents", documents) && add_value(r, values, "reasoning_effort", effort)
           && copy_json(r, values, &chat->template_kwargs);
    json_decref(values);
    return ok;
}

static bool read_request(struct reader *r, const json_t *j, hearth_chat *chat)
{
    static const char *const known[] = { "messages", "tools", "chat_template_kwargs", "documents", "reasoning_effort",
                                         "add_generation_prompt", "continue_final_message", "date", NULL };
    const json_t *messages = field(j, "messages");
    bool generation_prompt = true;
    if (!messages)
        return fail(r->err, HEARTH_ERR_USAGE, "the object has no messages; give a list of them under \"messages\"");
    if (!json_is_array(messages))
        return wrong_type(r, "", "messages", messages, "a list");
    if (!read_messages(r, messages, chat) || !read_tools(r, j, chat) || !read_template_values(r, j, chat)
        || !read_bool(r, j, "add_generation_prompt", &generation_prompt)
        || !read_bool(r, j, "continue_final_message", &chat->continue_final_message)
        || !read_word(r, "", j, "date", &chat->date))
        return false;
    chat->no_generation_prompt = !generation_prompt;
    note_unknown(r, "", j, known);
    return true;
}

bool chat_from_json(struct chat_json *out, const json_t *j, void (*note)(void *arg, const char *sentence), void *arg,
                    hearth_error *err)
{
    struct reader r = { .arena = &out->arena, .note = note, .note_arg = arg, .err = err };
    *out = (struct chat_json){ 0 };
    arena_init(&out->arena, ARENA_BYTES);
    err_clear(err);
    bool ok;
    if (json_is_array(j))
        ok = read_messages(&r, j, &out->chat);
    else if (json_is_object(j))
        ok = read_request(&r, j, &out->chat);
    else
        ok = fail(err, HEARTH_ERR_USAGE, "a conversation is a list of messages, or an object that has them under "
                  "\"messages\"; this is %s", j ? json_kind(j) : "nothing");
    if (r.n_unknown > NOTES_MAX && note) {
        char rest[80];
        snprintf(rest, sizeof rest, "%zu further keys are not known here and were not used", r.n_unknown - NOTES_MAX);
        note(arg, rest);
    }
    return ok;
}

void chat_json_free(struct chat_json *c) { arena_free(&c->arena); }

/* ---- back to JSON ---- */

/* Sticky: one check at the end. */
struct object {
    json_t *json;
    bool failed;
};

static void put(struct object *o, const char *key, json_t *value) /* takes the reference */
{
    if (json_object_set_new(o->json, key, value) != 0)
        o->failed = true;
}

static json_t *done(struct object *o)
{
    if (!o->failed)
        return o->json;
    json_decref(o->json);
    return NULL;
}

static json_t *of_text(const hearth_text *t) { return json_stringn(t->text ? t->text : "", t->n_bytes); }

/* An array of what one() makes of each; NULL when something failed. */
static json_t *array_of(const void *items, size_t n, size_t bytes_each, json_t *(*one)(const void *item))
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++) {
        if (json_array_append_new(array, one((const char *)items + i * bytes_each)) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *of_part(const void *item)
{
    return json_pack("{s:s, s:o}", "type", "text", "text", of_text(item));
}

static json_t *of_call(const void *item)
{
    const hearth_tool_call *c = item;
    struct object o = { json_object(), false };
    if (c->id)
        put(&o, "id", json_string(c->id));
    put(&o, "type", json_string("function"));
    put(&o, "function", json_pack("{s:s, s:s}", "name", c->name, "arguments", c->arguments));
    return done(&o);
}

static json_t *of_content(const hearth_message *m)
{
    if (m->n_parts == 0)
        return json_null();
    return m->n_parts == 1 ? of_text(m->parts) : array_of(m->parts, m->n_parts, sizeof *m->parts, of_part);
}

static json_t *of_message(const void *item)
{
    const hearth_message *m = item;
    struct object o = { json_object(), false };
    put(&o, "role", json_string(m->role));
    put(&o, "content", of_content(m));
    if (m->thinking.text)
        put(&o, "reasoning_content", of_text(&m->thinking));
    if (m->n_tool_calls > 0)
        put(&o, "tool_calls", array_of(m->tool_calls, m->n_tool_calls, sizeof *m->tool_calls, of_call));
    if (m->tool_call_id)
        put(&o, "tool_call_id", json_string(m->tool_call_id));
    if (m->name)
        put(&o, "name", json_string(m->name));
    return done(&o);
}

json_t *messages_to_json(const hearth_message *messages, size_t n)
{
    return array_of(messages, n, sizeof *messages, of_message);
}
