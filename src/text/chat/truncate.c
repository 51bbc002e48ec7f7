/* truncate.c: the oldest turns of a conversation, left out. */
#include <string.h>

#include "text/chat/chat.h"

static bool has_role(const json_t *messages, size_t i, const char *role)
{
    const char *have = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    return have && strcmp(have, role) == 0;
}

/* Messages at the beginning that say how to answer: they stay. */
static size_t count_head(const json_t *messages)
{
    size_t n = 0;
    while (has_role(messages, n, "system") || has_role(messages, n, "developer"))
        n++;
    return n;
}

/* Where turns begin that may be dropped up to there: at users behind the first turn. Returns how many there are, and
 * where the one with number `which` is. */
static size_t find_turns(const json_t *messages, size_t which, size_t *at)
{
    size_t n = 0;
    for (size_t i = count_head(messages) + 1; i < json_array_size(messages); i++)
        if (has_role(messages, i, "user") && n++ == which)
            *at = i;
    return n;
}

size_t chat_input_turns(const struct chat_input *in)
{
    size_t at;
    return find_turns(json_object_get(in->values, "messages"), SIZE_MAX, &at);
}

bool chat_input_without(const struct chat_input *in, size_t n_turns, struct chat_input *out, size_t *n_messages)
{
    const json_t *messages = json_object_get(in->values, "messages");
    size_t head = count_head(messages), from = head;
    if (n_turns > 0)
        find_turns(messages, n_turns - 1, &from);
    json_t *kept = json_array();
    bool failed = !kept;
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (i < head || i >= from)
            failed |= json_array_append(kept, json_array_get(messages, i)) != 0;
    *out = *in;
    out->values = json_copy(in->values);
    failed |= json_object_set_new(out->values, "messages", kept) != 0;
    *n_messages = from - head;
    if (failed)
        chat_input_free(out);
    return !failed;
}
