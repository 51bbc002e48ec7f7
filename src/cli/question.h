/* question.h: one prompt as a request has it: a user's message, or a text that is completed as it stands. */
#pragma once
#include "cli/template_choice.h"

/* Points into itself: not to be copied. */
struct question {
    hearth_span span;
    hearth_text system, prompt;
    hearth_message messages[2];
    hearth_chat chat;
};

/* system: NULL: none. trusted: texts of special tokens in a prompt without a template become those tokens. What it is
 * filled from must outlive it. */
void question_fill(struct question *q, struct str prompt, const char *system, bool trusted,
                   const struct template_choice *template);
/* Into a request: raw, as it stands; else as a conversation. */
void question_ask(const struct question *q, bool raw, hearth_request *r);
