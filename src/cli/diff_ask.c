/* diff_ask.c: a side's answer to a prompt, as the recording that a server would have kept of it.
 *
 * One side after the other, each in an engine that is gone afterwards: what both need together is then no more than
 * what one needs, and threads, context and type of keys and values may be others. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cli/diff.h"
#include "cli/interrupt.h"
#include "cli/loading.h"
#include "cli/question.h"
#include "record/receipt_json.h"

static bool add_token(struct recording *r, size_t *room, const hearth_event *e, hearth_error *err)
{
    if (r->n_output == *room) {
        size_t more = *room ? 2 * *room : 256;
        int32_t *output = mem_resize(r->output, more * sizeof *output);
        r->output = output ? output : r->output;
        uint64_t *mixes = output ? mem_resize(r->mixes, more * sizeof *mixes) : NULL;
        r->mixes = mixes ? mixes : r->mixes;
        if (!mixes)
            return fail_memory(err, "an answer");
        *room = more;
    }
    r->output[r->n_output] = e->id;
    r->mixes[r->n_output++] = e->logits_mix;
    return true;
}

/* To its END, whatever happens. */
static bool read_tokens(struct recording *r, hearth_stream *s, hearth_error *err)
{
    hearth_event e;
    size_t room = 0;
    bool ok = true;
    hearth_stream_on_wake(s, interrupt_wake, NULL);
    while (interrupt_next(s, &e)) {
        if (ok && e.type == HEARTH_EVENT_TOKEN && !(ok = add_token(r, &room, &e, err)))
            hearth_stream_cancel(s);
    }
    r->end_mix = e.logits_mix;
    if (e.reason == HEARTH_END_ERROR) {
        *err = *hearth_stream_error(s);
        return false;
    }
    if (ok && e.reason == HEARTH_END_CANCELLED)
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is said of a part of an answer");
    return ok;
}

static bool read_rest(struct recording *r, hearth_stream *s, const hearth_request *request, uint64_t *seed,
                      hearth_error *err)
{
    hearth_receipt receipt;
    const int32_t *ids;
    hearth_stream_prompt_ids(s, &ids, &r->n_prompt);
    r->prompt = mem_alloc((r->n_prompt + 1) * sizeof *ids);
    bool ok = r->prompt && hearth_stream_receipt(s, &receipt) && (r->receipt = receipt_to_json(&receipt))
              && (r->request = recording_of_request(request));
    if (!ok)
        return fail_memory(err, "what is known of an answer");
    memcpy(r->prompt, ids, r->n_prompt * sizeof *ids);
    if (seed)
        *seed = receipt.seed;
    return true;
}

static bool ask(struct diff_side *side, const struct diff_question *q, hearth_model *model, uint64_t *seed,
                hearth_error *err)
{
    struct question question;
    hearth_template_info template;
    bool raw = q->raw;
    if (!raw && !hearth_file_template(hearth_model_file(model), &template)) {
        raw = true;
        fprintf(stderr, "%c: this file has no chat template: the prompt is completed as it stands, as with --raw\n",
                side->label);
    }
    if (raw && q->system_from_line)
        return fail(err, HEARTH_ERR_USAGE, "--system is for conversations, and the prompt of %c goes without a chat "
                    "template", side->label);
    question_fill(&question, q->prompt, q->system, false, &side->template);
    hearth_request r = { .max_tokens = q->max_tokens, .has_seed = q->has_seed, .seed = q->seed,
                         .ignore_eos = q->ignore_eos, .want_logits_mix = true };
    question_ask(&question, raw, &r);
    sampling_fill(&r.sampling, r.sampling_origin, model, q->sampling);
    sampling_choice_fill(&r, q->choice);
    hearth_stream *s = hearth_submit(model, &r, err);
    bool ok = s && read_tokens(&side->recording, s, err) && read_rest(&side->recording, s, &r, seed, err);
    hearth_stream_close(s);
    return ok;
}

bool diff_ask(struct diff_side *side, const struct diff_question *q, uint64_t *seed, hearth_error *err)
{
    hearth_engine_options eo = { .n_threads = q->n_threads, .n_seqs = 1 };
    hearth_model_options mo = { .source = side->choice.source, .n_ctx_tokens = q->n_ctx_tokens,
                                .kv_type = q->kv_type };
    hearth_engine *engine = hearth_engine_create(&eo, err);
    hearth_model *model = loading_model(engine, &mo, err);
    bool ok = model && ask(side, q, model, seed, err);
    hearth_model_release(model);
    hearth_engine_destroy(engine);
    return ok;
}
