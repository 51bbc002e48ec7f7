/* request_tokens.c: GET /hearth/requests/ID/tokens: how each token of a recorded answer was chosen, computed again. */
#include "record/explain.h"
#include "server/api/endpoints.h"

const struct explain_parameter explain_parameters[N_EXPLAIN_PARAMETERS] = {
    [EXPLAIN_TOKEN] = { "token", "this token of the answer alone, counted from 0, with all steps that chose it",
                        1 << 24, -1 },
    [EXPLAIN_TOP] = { "top", "how many of the model's likeliest tokens are followed besides the one that came (5)", 50,
                      5 },
    [EXPLAIN_CHOICE] = { "choice", "which of the answers to a request with n (0); not with the number of a row",
                         ASK_MAX_CHOICES - 1, 0 },
};

/* Of an answer that is computed once more: how the token was chosen, and whether it is the recorded one. */
static void gather(struct reply *r, struct choice *c, const hearth_event *e)
{
    const struct recording *was = &r->ask->recording;
    size_t i = (size_t)c->n_tokens;
    bool end = e->type == HEARTH_EVENT_END;
    if (end)
        c->is_another |= i != was->n_output || e->logits_mix != was->end_mix;
    else
        c->is_another |= i >= was->n_output || e->id != was->output[i]
                         || (was->mixes && e->logits_mix != was->mixes[i]);
    if (!e->choice || !reply_explains_token(r))
        return;
    json_t *told = explain_choice(r->view->file, i, e->choice, r->ask->only_token >= 0);
    if (end)
        c->end_token = told;
    else
        reply_add(r, &c->tokens, told);
    r->failed |= !told;
}

static json_t *whole(struct reply *r)
{
    struct choice *c = r->choices;
    const struct recording *was = &r->ask->recording;
    return explain_answer(was->receipt, r->view->file, was->prompt, was->n_prompt, json_boolean(!c->is_another),
                          c->tokens ? json_incref(c->tokens) : json_array(),
                          c->end_token ? json_incref(c->end_token) : json_null());
}

static const struct dialect explaining = { .id_prefix = "", .whole = whole, .gather = gather };

const struct endpoint endpoint_request_tokens = { .explains = true, .dialect = &explaining };
