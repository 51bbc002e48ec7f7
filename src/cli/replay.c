#include "cli/replay.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/err.h"
#include "record/receipt_json.h"

bool replay_exact(const struct replay_found *f)
{
    return f->first_logits == SIZE_MAX && f->first_token == SIZE_MAX && !f->end_differs;
}

static const char *finish(const struct recording *r, const char *key) { return recording_text(r, "finish", key); }

/* Somebody ended it: a client that left, a deadline, the end of the server. */
static bool was_cut(const struct recording *r)
{
    return strcmp(finish(r, "reason"), finish_reason_name(HEARTH_END_CANCELLED)) == 0
           || strcmp(finish(r, "reason"), finish_reason_name(HEARTH_END_ERROR)) == 0
           || strncmp(finish(r, "detail"), "stopped b", 9) == 0; /* by the caller, before it began */
}

bool replay_open(const struct recording *r, const hearth_source *source, const struct replay_how *how,
                 hearth_engine **engine, hearth_model **model, hearth_error *err)
{
    /* As long as it became: where the context was full, it is again, and else there is room for one more. */
    bool was_full = strncmp(finish(r, "detail"), "context full", 12) == 0;
    hearth_engine_options eo = { .n_threads = how->n_threads, .n_threads_prefill = how->n_threads_prefill,
                                 .n_step_tokens = how->n_chunk_tokens };
    hearth_model_options mo = { .source = *source, .n_ctx_tokens = (int)(r->n_prompt + r->n_output + !was_full) };
    *engine = NULL;
    *model = NULL;
    if (!recording_kv_type(r, &mo.kv_type, err) || !(*engine = hearth_engine_create(&eo, err)))
        return false;
    *model = hearth_model_open(*engine, &mo, err);
    if (!*model) {
        hearth_engine_destroy(*engine);
        *engine = NULL;
    }
    return *model != NULL;
}

static void add(struct replay_difference *d, int *n, const char *what, const char *was, const char *is)
{
    d[*n].what = what;
    snprintf(d[*n].was, sizeof d->was, "%s", was);
    snprintf(d[(*n)++].is, sizeof d->is, "%s", is);
}

int replay_differences(const struct recording *r, hearth_model *model,
                       struct replay_difference d[REPLAY_MOST_DIFFERENCES])
{
    hearth_template_info template = { .sha256 = "" };
    int n = 0;
    char was[16], is[16];
    const char *identity = recording_text(r, "model", "identity"), *sha256 = recording_text(r, "template", "sha256");
    const json_t *revision = json_object_get(r->receipt, "arithmetic_revision");
    snprintf(was, sizeof was, "%lld", (long long)json_integer_value(revision));
    snprintf(is, sizeof is, "%d", hearth_arithmetic_revision());
    if (strcmp(identity, hearth_model_identity(model)) != 0)
        add(d, &n, "model", identity, hearth_model_identity(model));
    if (strcmp(was, is) != 0)
        add(d, &n, "arithmetic_revision", was, is);
    if (sha256[0])
        hearth_file_template(hearth_model_file(model), &template);
    if (strcmp(sha256, template.sha256) != 0)
        add(d, &n, "template", sha256, template.sha256[0] ? template.sha256 : "none");
    return n;
}

/* One token of the replay. False: they have parted. */
static bool compare(const struct recording *r, size_t i, const hearth_event *e, struct replay_found *f)
{
    if (r->mixes && f->first_logits == SIZE_MAX && i < r->n_output && e->logits_mix != r->mixes[i])
        f->first_logits = i;
    if (i < r->n_output && e->id == r->output[i])
        return true;
    f->first_token = i;
    f->token_now = e->id;
    return false;
}

static void compare_end(const struct recording *r, size_t n, const hearth_event *e, struct replay_found *f)
{
    if (n < r->n_output) {
        f->first_token = n;
        f->token_now = -1;
        if (r->mixes && e->logits_mix && f->first_logits == SIZE_MAX && e->logits_mix != r->mixes[n])
            f->first_logits = n;
        return;
    }
    if (f->cut)
        return;
    if (r->end_mix && f->first_logits == SIZE_MAX && e->logits_mix != r->end_mix)
        f->first_logits = n;
    f->end_differs = strcmp(f->receipt.finish_detail, finish(r, "detail")) != 0;
}

bool replay_run(const struct recording *r, hearth_model *model, const struct replay_how *how, struct replay_found *f,
                hearth_error *err)
{
    struct arena arena;
    hearth_request request;
    hearth_event e;
    size_t n = 0;
    bool together = true;
    *f = (struct replay_found){ .n_tokens = r->n_output, .first_logits = SIZE_MAX, .first_token = SIZE_MAX,
                                .has_mixes = r->mixes && (r->n_output > 0 || r->end_mix), .cut = was_cut(r) };
    arena_init(&arena, RECORDING_ARENA_BYTES);
    hearth_stream *s = NULL;
    if (recording_ask(r, &arena, &request, err)) {
        hearth_template_info template;
        request.speculate = how->speculate;
        request.want_choice = how->see != NULL;
        request.n_alternatives = how->n_alternatives;
        if (!hearth_file_template(hearth_model_file(model), &template))
            request.ids_are_chat = false; /* whoever compares templates says so */
        if (f->cut)
            request.max_tokens = max_int((int)r->n_output, 1);
        s = hearth_submit(model, &request, err);
    }
    bool ok = s != NULL;
    while (s && hearth_stream_next(s, &e)) {
        bool beyond = f->cut && n >= r->n_output; /* what a cut answer would have said next, nobody knows */
        if (how->see && together && !beyond && (e.type == HEARTH_EVENT_TOKEN || e.type == HEARTH_EVENT_END))
            how->see(how->see_arg, n, &e);
        if (e.type == HEARTH_EVENT_TOKEN && together && !beyond && !(together = compare(r, n++, &e, f)))
            hearth_stream_cancel(s);
        if (e.type == HEARTH_EVENT_END && e.reason == HEARTH_END_ERROR) {
            *err = *hearth_stream_error(s);
            ok = false;
        } else if (e.type == HEARTH_EVENT_END) {
            hearth_stream_receipt(s, &f->receipt);
            if (together)
                compare_end(r, n, &e, f);
        }
    }
    hearth_stream_close(s);
    arena_free(&arena);
    return ok;
}
