/* compare_ask.h: one answer of each side for `hearth compare`. */
#pragma once
#include "cli/compare.h"
#include "store/openai.h"

/* What both are asked beside the prompt. */
struct compare_question {
    bool chat;
    const char *system;           /* of a conversation; NULL: none */
    hearth_request request;       /* for the model here, but for its prompt */
    hearth_thinking thinking;     /* of it */
    const char *template_kwargs;  /* of it */
    const json_t *fields;         /* for the server, but for its prompt */
    const struct price *price;    /* there; NULL: not known */
};

/* The answer goes into run and into a. False: memory is out, or an interrupt came; an answer that failed is true, and
 * a->error says why. */
bool compare_ask_local(const struct compare_question *q, hearth_model *model, const char *prompt,
                       struct compare_answers *a, struct compare_run *run, hearth_error *err);
bool compare_ask_api(const struct compare_question *q, struct openai_server *server, const char *prompt,
                     struct compare_answers *a, struct compare_run *run, hearth_error *err);
