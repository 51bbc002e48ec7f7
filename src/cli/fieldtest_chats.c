/* fieldtest_chats.c: the prompts, and conversations made of them, as chat APIs write them. */
#include <string.h>

#include "cli/fieldtest.h"

#define TEXT(words) { words, sizeof(words) - 1 },
const struct str fieldtest_texts[FIELDTEST_N] = {
#include "cli/fieldtest_texts.def"
};

enum { NEEDS_SYSTEM = 1, NEEDS_TOOLS = 2, NEEDS_CALLS = 4, NEEDS_SWITCH = 8, NEEDS_HISTORY = 16 };
enum { ADDS_TOOLS = 1, ADDS_THINKING = 2, ADDS_NO_THINKING = 4, ADDS_NO_PROMPT = 8 };

static const struct form {
    const char *messages;
    unsigned needs, adds;
} forms[] = {
#define CHAT(messages, needs, adds) { messages, needs, adds },
#include "cli/fieldtest_chats.def"
};

static const char tools_json[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": \"The weather of a place, "
    "for some days from now on.\", \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": "
    "\"string\", \"description\": \"The name of a city.\"}, \"days\": {\"type\": \"integer\", \"description\": \"How "
    "many days.\"}}, \"required\": [\"city\"]}}}]";

static unsigned can_do(const hearth_template_info *i)
{
    return (i->system ? NEEDS_SYSTEM : 0) | (i->tools ? NEEDS_TOOLS : 0)
         | (i->tool_calls && i->tool_results ? NEEDS_CALLS : 0) | (i->thinking_switch[0] ? NEEDS_SWITCH : 0)
         | (i->thinking_history ? NEEDS_HISTORY : 0);
}

/* Number i of the forms that the template can do, over and over. The first one needs nothing. */
static const struct form *choose(int i, unsigned can)
{
    for (;;)
        for (size_t k = 0; k < ARRAY_LEN(forms); k++)
            if ((forms[k].needs & ~can) == 0 && i-- == 0)
                return &forms[k];
}

static json_t *text_of(int i)
{
    struct str t = fieldtest_texts[i % FIELDTEST_N];
    return json_stringn(t.ptr, t.len);
}

/* at: the text that this message has. NULL: memory is out. */
static json_t *message(char letter, int at)
{
    switch (letter) {
    case 's': return json_pack("{s:s, s:o}", "role", "system", "content", text_of(at));
    case 'u': return json_pack("{s:s, s:o}", "role", "user", "content", text_of(at));
    case 'a': return json_pack("{s:s, s:o}", "role", "assistant", "content", text_of(at));
    case 't':
        return json_pack("{s:s, s:o, s:o}", "role", "assistant", "content", text_of(at), "reasoning_content",
                         text_of(at + 1));
    case 'c': /* ids of nine letters: some templates refuse others */
        return json_pack("{s:s, s:n, s:[{s:s, s:s, s:{s:s, s:s}}]}", "role", "assistant", "content", "tool_calls", "id",
                         "call00001", "type", "function", "function", "name", "get_weather", "arguments",
                         "{\"city\": \"Z\xc3\xbcrich\", \"days\": 3}");
    default:
        return json_pack("{s:s, s:s, s:s, s:s}", "role", "tool", "tool_call_id", "call00001", "name", "get_weather",
                         "content", "{\"sky\": \"clear\", \"degrees\": [21, 19.5, 17]}");
    }
}

/* What llama-server always gives a value, whatever the template takes for none: the date of today is one of them. */
static json_t *values_of(const struct form *f, const hearth_template_info *info)
{
    const char *key = info->thinking_switch;
    json_t *o = json_pack("{s:s, s:s}", "date_string", "26 Jul 2024", "datetime", "Jul 26 2024");
    bool always = strcmp(key, "enable_thinking") == 0;
    if (o && (always || (f->adds & (ADDS_THINKING | ADDS_NO_THINKING)))
        && json_object_set_new(o, key, json_boolean((f->adds & ADDS_NO_THINKING) == 0)) != 0) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

json_t *fieldtest_chat(int i, const hearth_template_info *info)
{
    const struct form *f = choose(i, can_do(info));
    json_t *messages = json_array(), *o = json_object();
    bool ok = messages && o;
    for (int k = 0; ok && f->messages[k]; k++)
        ok = json_array_append_new(messages, message(f->messages[k], i + 7 * k)) == 0;
    ok = ok && json_object_set(o, "messages", messages) == 0;
    if (ok && (f->adds & ADDS_TOOLS) && info->tools)
        ok = json_object_set_new(o, "tools", json_loads(tools_json, 0, NULL)) == 0;
    ok = ok && json_object_set_new(o, "chat_template_kwargs", values_of(f, info)) == 0;
    if (ok && (f->adds & ADDS_NO_PROMPT))
        ok = json_object_set_new(o, "add_generation_prompt", json_false()) == 0;
    json_decref(messages);
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}
