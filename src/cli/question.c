#include "cli/question.h"

#include <string.h>

void question_fill(struct question *q, struct str prompt, const char *system, bool trusted,
                   const struct template_choice *template)
{
    *q = (struct question){
        .span = { .text = prompt.ptr, .n_bytes = prompt.len, .trusted = trusted },
        .system = { system, system ? strlen(system) : 0 },
        .prompt = { prompt.ptr, prompt.len },
        .chat = { .thinking = template->thinking, .template_kwargs = template->kwargs },
    };
    size_t n = 0;
    if (system)
        q->messages[n++] = (hearth_message){ .role = "system", .parts = &q->system, .n_parts = 1 };
    q->messages[n++] = (hearth_message){ .role = "user", .parts = &q->prompt, .n_parts = 1 };
    q->chat.messages = q->messages;
    q->chat.n_messages = n;
}

void question_ask(const struct question *q, bool raw, hearth_request *r)
{
    r->chat = raw ? NULL : &q->chat;
    r->spans = &q->span;
    r->n_spans = raw ? 1 : 0;
}
