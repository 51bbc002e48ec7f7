/* fuzz_messages.c: any bytes as the JSON of a conversation. */
#include <jansson.h>

#include "fuzz.h"
#include "server/api/messages.h"

static void read_note(void *arg, const char *sentence)
{
    (void)arg;
    must(sentence[0]);
    fuzz_read(sentence, strlen(sentence));
}

static void read_word(const char *z)
{
    if (z)
        fuzz_read(z, strlen(z));
}

static void must_be_json(const char *text, json_type type)
{
    json_t *j = text ? json_loads(text, MESSAGES_JSON_FLAGS, NULL) : NULL;
    must(!text || (j && json_typeof(j) == type));
    json_decref(j);
}

static void check_text(const hearth_text *t)
{
    fuzz_read(t->text, t->n_bytes);
    must(!t->text || t->text[t->n_bytes] == 0);
}

static void check_message(const hearth_message *m)
{
    must(m->role && (m->n_parts > 0 || m->n_tool_calls > 0 || m->thinking.text));
    for (size_t i = 0; i < m->n_parts; i++) {
        must(m->parts[i].text);
        check_text(&m->parts[i]);
    }
    check_text(&m->thinking);
    for (size_t i = 0; i < m->n_tool_calls; i++) {
        const hearth_tool_call *c = &m->tool_calls[i];
        must(c->name && c->name[0] && c->arguments);
        read_word(c->id);
        must_be_json(c->arguments, JSON_OBJECT);
    }
    read_word(m->tool_call_id);
    read_word(m->name);
}

/* What was read, written and read again is the same. */
static void check_round_trip(const hearth_chat *chat)
{
    struct chat_json again;
    hearth_error err;
    json_t *j = messages_to_json(chat->messages, chat->n_messages);
    must(j && chat_from_json(&again, j, NULL, NULL, &err));
    json_t *second = messages_to_json(again.chat.messages, again.chat.n_messages);
    must(json_equal(j, second));
    json_decref(j);
    json_decref(second);
    chat_json_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_json c;
    hearth_error err;
    json_t *j = json_loadb((const char *)data, size, MESSAGES_JSON_FLAGS | JSON_DECODE_ANY, NULL);
    bool ok = chat_from_json(&c, j, read_note, NULL, &err);
    must(ok ? err.status == HEARTH_OK : err.status == HEARTH_ERR_USAGE && err.message[0]);
    json_decref(j); /* nothing of the conversation points there */
    if (ok) {
        must(c.chat.n_messages > 0);
        for (size_t i = 0; i < c.chat.n_messages; i++)
            check_message(&c.chat.messages[i]);
        must_be_json(c.chat.tools, JSON_ARRAY);
        must_be_json(c.chat.template_kwargs, JSON_OBJECT);
        read_word(c.chat.date);
        check_round_trip(&c.chat);
    }
    chat_json_free(&c);
    return 0;
}
