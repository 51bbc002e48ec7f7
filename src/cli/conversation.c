#include "cli/conversation.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "server/api/messages.h"

/* ---- one message in one block ---- */

/* The same code runs twice over a message: first without a base, to count. */
struct packer {
    char *base;
    size_t used;
};

static void *pack_room(struct packer *p, size_t n)
{
    p->used = align_size(p->used, sizeof(void *));
    void *at = p->base ? p->base + p->used : NULL;
    p->used += n;
    return at;
}

static const char *pack_bytes(struct packer *p, const char *text, size_t n)
{
    if (!text)
        return NULL;
    char *at = pack_room(p, n + 1);
    if (at) {
        memcpy(at, text, n);
        at[n] = 0;
    }
    return at;
}

static const char *pack_z(struct packer *p, const char *z) { return pack_bytes(p, z, z ? strlen(z) : 0); }

static hearth_text pack_text(struct packer *p, hearth_text t)
{
    return (hearth_text){ .text = pack_bytes(p, t.text, t.n_bytes), .n_bytes = t.n_bytes };
}

static hearth_message pack_message(struct packer *p, const hearth_message *m)
{
    hearth_text *parts = pack_room(p, m->n_parts * sizeof *parts);
    hearth_tool_call *calls = pack_room(p, m->n_tool_calls * sizeof *calls);
    for (size_t i = 0; i < m->n_parts; i++) {
        hearth_text part = pack_text(p, m->parts[i]);
        if (parts)
            parts[i] = part;
    }
    for (size_t i = 0; i < m->n_tool_calls; i++) {
        const hearth_tool_call *from = &m->tool_calls[i];
        hearth_tool_call call = { pack_z(p, from->id), pack_z(p, from->name), pack_z(p, from->arguments) };
        if (calls)
            calls[i] = call;
    }
    return (hearth_message){
        .role = pack_z(p, m->role),
        .parts = parts,
        .n_parts = m->n_parts,
        .thinking = pack_text(p, m->thinking),
        .tool_calls = calls,
        .n_tool_calls = m->n_tool_calls,
        .tool_call_id = pack_z(p, m->tool_call_id),
        .name = pack_z(p, m->name),
    };
}

char *message_text(const hearth_message *m, size_t *n_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_parts; i++)
        n += m->parts[i].n_bytes;
    char *text = mem_alloc(n + 1);
    *n_bytes = 0;
    for (size_t i = 0; text && i < m->n_parts; i++) {
        if (m->parts[i].n_bytes)
            memcpy(text + *n_bytes, m->parts[i].text, m->parts[i].n_bytes);
        *n_bytes += m->parts[i].n_bytes;
    }
    return text;
}

/* ---- the list ---- */

static bool is_system(const hearth_message *m)
{
    return strcmp(m->role, "system") == 0 || strcmp(m->role, "developer") == 0;
}

static bool is_user(const hearth_message *m) { return strcmp(m->role, "user") == 0; }

static bool reserve(struct conversation *c)
{
    if (c->n < c->room)
        return true;
    size_t room = max_size(16, c->room * 2);
    hearth_message *messages = mem_resize(c->messages, room * sizeof *messages);
    if (messages)
        c->messages = messages;
    void **blocks = mem_resize(c->blocks, room * sizeof *blocks);
    if (blocks)
        c->blocks = blocks;
    if (!messages || !blocks)
        return false;
    c->room = room;
    return true;
}

bool conversation_add(struct conversation *c, const hearth_message *m, hearth_error *err)
{
    struct packer p = { 0 };
    pack_message(&p, m);
    char *block = mem_alloc(p.used + 1);
    if (!block || !reserve(c)) {
        mem_free(block);
        return fail_memory(err, "one more message");
    }
    p = (struct packer){ .base = block };
    c->messages[c->n] = pack_message(&p, m);
    c->blocks[c->n++] = block;
    return true;
}

bool conversation_say(struct conversation *c, const char *role, struct str text, struct str thinking,
                      hearth_error *err)
{
    hearth_text part = { text.ptr ? text.ptr : "", text.len };
    hearth_message m = { .role = role, .parts = &part, .n_parts = 1 };
    if (thinking.len > 0)
        m.thinking = (hearth_text){ thinking.ptr, thinking.len };
    return conversation_add(c, &m, err);
}

/* Throw away messages [from, to). */
static void remove_range(struct conversation *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        mem_free(c->blocks[i]);
    if (c->n > to) {
        memmove(c->messages + from, c->messages + to, (c->n - to) * sizeof *c->messages);
        memmove(c->blocks + from, c->blocks + to, (c->n - to) * sizeof *c->blocks);
    }
    c->n -= to - from;
}

void conversation_free(struct conversation *c)
{
    remove_range(c, 0, c->n);
    mem_free(c->messages);
    mem_free(c->blocks);
    mem_free(c->tools);
    mem_free(c->template_kwargs);
    *c = (struct conversation){ 0 };
}

size_t conversation_n_system(const struct conversation *c)
{
    size_t n = 0;
    while (n < c->n && is_system(&c->messages[n]))
        n++;
    return n;
}

size_t conversation_n_exchanges(const struct conversation *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += is_user(&c->messages[i]);
    return n;
}

size_t conversation_last_user(const struct conversation *c)
{
    for (size_t i = c->n; i > 0; i--)
        if (is_user(&c->messages[i - 1]))
            return i - 1;
    return c->n;
}

bool conversation_set_system(struct conversation *c, struct str text, hearth_error *err)
{
    size_t n_old = conversation_n_system(c);
    if (text.len > 0) {
        if (!conversation_say(c, "system", text, (struct str){ 0 }, err))
            return false;
        hearth_message added = c->messages[c->n - 1];
        void *block = c->blocks[c->n - 1];
        memmove(c->messages + 1, c->messages, (c->n - 1) * sizeof *c->messages);
        memmove(c->blocks + 1, c->blocks, (c->n - 1) * sizeof *c->blocks);
        c->messages[0] = added;
        c->blocks[0] = block;
    }
    size_t first_old = text.len > 0;
    remove_range(c, first_old, first_old + n_old);
    return true;
}

/* ---- taking back ---- */

bool conversation_cut(struct conversation *c, size_t from, struct conversation_tail *tail, hearth_error *err)
{
    size_t n = c->n - from;
    *tail = (struct conversation_tail){ .messages = mem_alloc((n + 1) * sizeof *tail->messages),
                                        .blocks = mem_alloc((n + 1) * sizeof *tail->blocks) };
    if (!tail->messages || !tail->blocks) {
        conversation_tail_free(tail);
        return fail_memory(err, "taking back a message");
    }
    if (n > 0) {
        memcpy(tail->messages, c->messages + from, n * sizeof *tail->messages);
        memcpy(tail->blocks, c->blocks + from, n * sizeof *tail->blocks);
    }
    tail->n = n;
    c->n = from;
    return true;
}

void conversation_restore(struct conversation *c, size_t from, struct conversation_tail *tail)
{
    remove_range(c, from, c->n);
    if (tail->n > 0) { /* there is room: the list never shrinks */
        memcpy(c->messages + from, tail->messages, tail->n * sizeof *tail->messages);
        memcpy(c->blocks + from, tail->blocks, tail->n * sizeof *tail->blocks);
    }
    c->n = from + tail->n;
    tail->n = 0;
    conversation_tail_free(tail);
}

void conversation_tail_free(struct conversation_tail *tail)
{
    for (size_t i = 0; i < tail->n; i++)
        mem_free(tail->blocks[i]);
    mem_free(tail->messages);
    mem_free(tail->blocks);
    *tail = (struct conversation_tail){ 0 };
}

size_t conversation_undo(struct conversation *c)
{
    size_t from = conversation_last_user(c), n = c->n - from;
    remove_range(c, from, c->n);
    return n;
}

size_t conversation_drop(struct conversation *c)
{
    size_t from = conversation_n_system(c), to = from, n_users = 0;
    while (to < c->n && (n_users += is_user(&c->messages[to])) < 2)
        to++;
    remove_range(c, from, to);
    return to - from;
}

size_t conversation_clear(struct conversation *c)
{
    size_t from = conversation_n_system(c), n = c->n - from;
    remove_range(c, from, c->n);
    return n;
}

/* ---- out and in ---- */

hearth_chat conversation_chat(const struct conversation *c)
{
    return (hearth_chat){ .messages = c->messages, .n_messages = c->n, .tools = c->tools,
                          .template_kwargs = c->template_kwargs };
}

/* Text that was JSON when it came in. */
static bool put_parsed(json_t *o, const char *key, const char *text)
{
    return !text || json_object_set_new(o, key, json_loads(text, MESSAGES_JSON_FLAGS | JSON_DECODE_ANY, NULL)) == 0;
}

json_t *conversation_to_json(const struct conversation *c)
{
    uint64_t refused = mem_n_refused();
    json_t *o = json_object();
    if (o && json_object_set_new(o, "messages", messages_to_json(c->messages, c->n)) == 0
        && put_parsed(o, "tools", c->tools) && put_parsed(o, "chat_template_kwargs", c->template_kwargs)
        && mem_n_refused() == refused)
        return o;
    json_decref(o);
    return NULL;
}

/* A copy of text over *to; NULL leaves NULL. */
static bool replace_text(char **to, const char *text)
{
    char *copy = text ? mem_alloc(strlen(text) + 1) : NULL;
    if (text && !copy)
        return false;
    if (copy)
        strcpy(copy, text);
    mem_free(*to);
    *to = copy;
    return true;
}

bool conversation_set_kwargs(struct conversation *c, const char *template_kwargs, hearth_error *err)
{
    return replace_text(&c->template_kwargs, template_kwargs) || fail_memory(err, "the template values");
}

/* Everything that can fail happens on a new conversation. */
static bool take_over(struct conversation *c, const hearth_chat *chat, hearth_error *err)
{
    struct conversation fresh = { 0 };
    bool ok = true;
    for (size_t i = 0; i < chat->n_messages && ok; i++)
        ok = conversation_add(&fresh, &chat->messages[i], err);
    const char *kwargs = chat->template_kwargs ? chat->template_kwargs : c->template_kwargs;
    if (ok && !(replace_text(&fresh.tools, chat->tools) && replace_text(&fresh.template_kwargs, kwargs)))
        ok = fail_memory(err, "the conversation");
    if (!ok) {
        conversation_free(&fresh);
        return false;
    }
    conversation_free(c);
    *c = fresh;
    return true;
}

bool conversation_from_json(struct conversation *c, const json_t *j, conversation_note_fn *note, void *arg,
                            hearth_error *err)
{
    struct chat_json read = { 0 };
    bool ok = chat_from_json(&read, j, note, arg, err) && take_over(c, &read.chat, err);
    if (ok && note && (read.chat.no_generation_prompt || read.chat.continue_final_message))
        note(arg, "add_generation_prompt and continue_final_message are not part of a conversation: the next answer "
                  "begins anew");
    chat_json_free(&read);
    return ok;
}

static int write_piece(const char *text, size_t n, void *writer)
{
    file_write(writer, text, n);
    return 0; /* the writer remembers a failure */
}

bool conversation_save(const struct conversation *c, const char *path, bool replace, hearth_error *err)
{
    struct file_writer w;
    if (!replace && access(path, F_OK) == 0)
        return fail(err, HEARTH_ERR_USAGE, "%.200s exists; /save! %.200s replaces it", path, path);
    json_t *o = conversation_to_json(c);
    if (!o)
        return fail_memory(err, "the conversation as JSON");
    bool ok = file_writer_open_private(&w, path, err);
    if (ok && json_dump_callback(o, write_piece, &w, JSON_INDENT(2)) != 0) {
        file_writer_abort(&w);
        ok = fail_memory(err, "the conversation as JSON");
    }
    if (ok) {
        file_write(&w, "\n", 1);
        ok = file_writer_commit(&w, err);
    }
    json_decref(o);
    return ok;
}

enum { FILE_LIMIT_BYTES = 64 << 20 };

bool conversation_load(struct conversation *c, const char *path, conversation_note_fn *note, void *arg,
                       hearth_error *err)
{
    char *text;
    size_t n;
    json_error_t where;
    if (!file_read(path, FILE_LIMIT_BYTES, &text, &n, err))
        return false;
    uint64_t refused = mem_n_refused();
    json_t *j = json_loadb(text, n, MESSAGES_JSON_FLAGS, &where);
    mem_free(text);
    if (mem_n_refused() != refused) {
        json_decref(j);
        return fail_memory(err, path);
    }
    if (!j)
        return fail(err, HEARTH_ERR_FORMAT, "%.200s is not JSON: %.160s (line %d, column %d)", path, where.text,
                    where.line, where.column);
    bool ok = conversation_from_json(c, j, note, arg, err) || err_context(err, "%.200s", path);
    json_decref(j);
    return ok;
}
