/* conversation.h: what was said so far, and the moves a person makes in it. Pure: no terminal, no model.
 *
 * A conversation is leading system messages, then exchanges: each begins with a message of the user and lasts to
 * the next one, so what a model called and was told in between belongs to it. */
#pragma once
#include <jansson.h>

#include "base/err.h"
#include "hearth/hearth.h"

struct conversation {
    hearth_message *messages; /* [n], each with the block that holds its texts */
    void **blocks;
    size_t n, room;
    char *tools;           /* JSON text that came with a loaded conversation; NULL: none */
    char *template_kwargs; /* JSON text: values for the template; NULL: none */
};

/* Called with a sentence about something the user should know. */
typedef void conversation_note_fn(void *arg, const char *sentence);

void conversation_free(struct conversation *c); /* leaves an empty one */

/* Put a copy of a message at the end. HEARTH_ERR_MEMORY leaves the conversation as it was. */
bool conversation_add(struct conversation *c, const hearth_message *m, hearth_error *err);
/* The same with a message of plain text; thinking may be empty. */
bool conversation_say(struct conversation *c, const char *role, struct str text, struct str thinking,
                      hearth_error *err);

/* Replace all leading system messages by one, or take them away (text empty). */
bool conversation_set_system(struct conversation *c, struct str text, hearth_error *err);

/* A copy of JSON text; NULL takes them away. */
bool conversation_set_kwargs(struct conversation *c, const char *template_kwargs, hearth_error *err);

size_t conversation_n_system(const struct conversation *c);   /* leading system messages */
size_t conversation_n_exchanges(const struct conversation *c);
/* Where the last message of the user stands; n when there is none. */
size_t conversation_last_user(const struct conversation *c);

/* Messages taken out at the end, to be put back or thrown away. */
struct conversation_tail {
    hearth_message *messages;
    void **blocks;
    size_t n;
};
/* Take messages [from, n) out. */
bool conversation_cut(struct conversation *c, size_t from, struct conversation_tail *tail, hearth_error *err);
/* What stands from `from` on now is thrown away, the tail comes back. Cannot fail. */
void conversation_restore(struct conversation *c, size_t from, struct conversation_tail *tail);
void conversation_tail_free(struct conversation_tail *tail);

/* Throw away the last exchange, the oldest one, or all but the system messages. Returns how many messages went. */
size_t conversation_undo(struct conversation *c);
size_t conversation_drop(struct conversation *c);
size_t conversation_clear(struct conversation *c);

/* Text of a message in one piece. mem_alloc'ed, NUL-terminated; NULL when memory is out. */
char *message_text(const hearth_message *m, size_t *n_bytes);

/* Borrowed view. The caller sets thinking, date and the rest. */
hearth_chat conversation_chat(const struct conversation *c);

/* {"messages": [...], "tools": ..., "chat_template_kwargs": ...}. A new reference; NULL when memory is out. */
json_t *conversation_to_json(const struct conversation *c);
/* Take over the messages and tools of such an object, or of an array of messages; its template values too if it
 * has some. On failure nothing is changed. note: as in chat_from_json(). */
bool conversation_from_json(struct conversation *c, const json_t *j, conversation_note_fn *note, void *arg,
                            hearth_error *err);

/* The same as files. Saving goes over an existing file only when told to (HEARTH_ERR_USAGE otherwise), never
 * leaves half a file, and lets nobody else read it. */
bool conversation_save(const struct conversation *c, const char *path, bool replace, hearth_error *err);
bool conversation_load(struct conversation *c, const char *path, conversation_note_fn *note, void *arg,
                       hearth_error *err);
