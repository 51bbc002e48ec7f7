/* messages.h: conversations as the OpenAI chat API writes them, to struct hearth_chat and back. Pure: no
 * sockets, no model.
 *
 * A message: role (system, developer, user, assistant, tool); content (a string, null, or an array of strings
 * and {"type": "text", "text": ...}); of an assistant also tool_calls ([{id, type: "function", function: {name,
 * arguments}}], arguments an object or the text of one) and what it thought, as reasoning_content, reasoning or
 * thinking; of a tool its tool_call_id and name (or tool_name). null is the same as not there. */
#pragma once
#include <jansson.h>

#include "base/arena.h"
#include "base/err.h"
#include "hearth/hearth.h"

/* How to read JSON that comes from a user: a key given twice has no meaning that is safe to guess. */
#define MESSAGES_JSON_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

/* The most that is taken; more is HEARTH_ERR_USAGE. */
enum {
    MESSAGES_MAX = 100000,
    MESSAGES_PIECES_MAX = 1000000,      /* parts and tool calls of all messages */
    MESSAGES_TEXT_MAX_BYTES = 64 << 20, /* texts, names, tools and template values together */
};

/* A conversation and the memory it points into. */
struct chat_json {
    hearth_chat chat;
    struct arena arena;
};

/* j: an array of messages, or an object with "messages" and, as far as wanted, "tools" (array of objects),
 * "chat_template_kwargs" (object), "documents" (array) and "reasoning_effort" (string), which become template
 * values too, "add_generation_prompt" (default true), "continue_final_message", and "date" ("2026-02-07
 * 15:04:05"). Nothing in out points into j.
 *
 * HEARTH_ERR_USAGE names the place as in messages[2].content[0] and what belongs there. Keys that are not known
 * are called out through note (may be NULL; one sentence each, the first 16 and then their number), never
 * dropped in silence. Release with chat_json_free(), also after a failure. */
bool chat_from_json(struct chat_json *out, const json_t *j, void (*note)(void *arg, const char *sentence), void *arg,
                    hearth_error *err);
void chat_json_free(struct chat_json *c);

/* The messages as an array that chat_from_json() reads back. A new reference; NULL when memory is out or a text
 * is not UTF-8. */
json_t *messages_to_json(const hearth_message *messages, size_t n);
