/* fuzz_request.c: any bytes as the body of a request. The first byte chooses the endpoint and whether the server is
 * strict; then what must hold of everything that is taken, and of what is refused. */
#include <jansson.h>

#include "fuzz.h"
#include "server/api/endpoints.h"
#include "server/api/json_in.h"
#include "server/api/named.h"

/* ---- the parts of the library that endpoints call, without an engine; more in sampling.c ---- */

const char *hearth_fim_name(hearth_fim which) { return which < HEARTH_N_FIM ? "fim" : NULL; }
const char *hearth_version(void) { return "0"; }
const char *hearth_kv_type_name(hearth_kv_type type) { return type == 0 ? "f16" : NULL; }

/* ---- what must hold ---- */

static const char *piece(void *arg, int32_t id, size_t *n)
{
    (void)arg;
    *n = 1;
    return id % 2 ? "x" : "\xff";
}

static const struct endpoint *const endpoints[] = { &endpoint_chat_completions, &endpoint_completions,
                                                    &endpoint_completion, &endpoint_tokenize, &endpoint_detokenize,
                                                    &endpoint_apply_template, &endpoint_embeddings,
                                                    &endpoint_infill, &endpoint_rerank };

static void check_request(const struct ask *a, const struct view *v)
{
    const hearth_request *r = &a->request;
    must(r->max_tokens >= 0 && a->n >= 1 && a->n <= v->n_parallel && (a->ping_ms >= 50 || r->embed));
    must(r->n_stop <= ASK_MAX_STOPS && r->n_logit_bias <= ASK_MAX_LOGIT_BIAS);
    must(r->n_alternatives >= 0 && r->n_alternatives <= 50);
    must(a->n_prompts * a->n <= (r->embed ? ASK_MAX_INPUTS : ASK_MAX_CHOICES));
    for (size_t i = 0; i < r->n_stop; i++) {
        must(r->stop[i][0]);
        fuzz_read(r->stop[i], strlen(r->stop[i]));
    }
    for (size_t i = 0; i < r->n_logit_bias; i++)
        must(r->logit_bias[i].id >= 0 && r->logit_bias[i].id < v->info.n_vocab);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        double value = hearth_sampling_get(&r->sampling, i);
        must(value >= hearth_sampling_table[i].least && value <= hearth_sampling_table[i].most);
    }
    for (int i = 0; i < a->n_prompts; i++) {
        fuzz_read(a->prompts[i].text.text, a->prompts[i].text.n_bytes);
        for (size_t k = 0; k < a->prompts[i].n_spans; k++) {
            const hearth_span *span = &a->prompts[i].spans[k];
            fuzz_read(span->text, span->n_bytes);
            must(!span->trusted && (!span->is_token || (span->token >= 0 && span->token < v->info.n_vocab)));
        }
        fuzz_read(a->prompts[i].ids, a->prompts[i].n_ids * sizeof(int32_t));
    }
    for (size_t i = 0; i < a->chat.chat.n_messages; i++)
        must(a->chat.chat.messages[i].role);
    must(a->op != OP_GENERATE || a->n_prompts > 0 || a->chat.chat.n_messages > 0);
}

/* A short answer through the dialect: what is sent is JSON. */
static void check_answer(const struct ask *a, const struct view *v, const struct dialect *d)
{
    struct reply r;
    struct buf out = { 0 };
    hearth_event token = { .type = HEARTH_EVENT_TOKEN, .id = 3, .text = "\xc3\xa9", .n_bytes = 2 },
                 end = { .type = HEARTH_EVENT_END, .text = "", .reason = HEARTH_END_LENGTH };
    hearth_receipt receipt = { .n_prompt_tokens = 1, .n_output_tokens = 1, .plan = v->plan };
    must(reply_init(&r, a, v, d, "id", 1));
    if (a->stream && d->begin)
        d->begin(&r, &out);
    for (int i = 0; i < r.n_choices; i++) {
        const float vector[] = { 0.25f, -1e-30f, 3 };
        if (d->vector)
            d->vector(&r, &r.choices[i], vector, a->n_dimensions < 3 ? (size_t)a->n_dimensions : 3);
        else
            reply_take(&r, i, &token, NULL, a->stream ? &out : NULL);
        reply_take(&r, i, &end, &receipt, a->stream ? &out : NULL);
    }
    must(r.n_ended == r.n_choices && !r.failed);
    if (!a->stream)
        must(d->put ? d->put(&r, &out) : json_put(&out, d->whole(&r)));
    must(out.len > 0 && !out.failed);
    buf_free(&out);
    reply_free(&r);
}

static void check_refusal(const struct problem *p)
{
    int status = problem_status(p);
    must(p->code != PROBLEM_none && p->message[0] && (status < 500 || status == 501));
    json_t *j = problem_to_json(p);
    must(j);
    json_decref(j);
}

/* Whose request it would be where several are served: one of them, or a refusal with a sentence. */
static void check_name(struct str name)
{
    struct view all[2] = { { .all = all, .n_all = 2, .model_id = "small", .file_id = "m-q8_0" },
                           { .all = all, .n_all = 2, .model_id = "m", .file_id = "m" } };
    struct problem p = { 0 };
    const struct view *v = named_by_request(all, name, &p), *in_url = named_in_url(all, name);
    must(v ? (v == all || v == all + 1) && p.code == PROBLEM_none : p.code == PROBLEM_model_not_found && p.message[0]);
    must(!v || in_url == v);
    if (!v)
        check_refusal(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const char *const breakers[] = { "\n" };
    static const struct preset preset = { .name = "[model.m] of s.toml", .system = "Be brief.", .breakers = breakers,
                                          .n_breakers = 1, .template_kwargs = "{\"tone\": \"plain\"}",
                                          .thinking = HEARTH_THINKING_ON, .has_sampling[HEARTH_SAMPLING_top_k] = true };
    struct view v = { .model_id = "m", .file_id = "m", .fingerprint = "f", .model_identity = "i", .has_template = true,
                      .has_thinking_switch = true, .thinking_switch = "enable_thinking",
                      .preset = size % 2 ? &preset : NULL, .n_parallel = 4, .ping_ms = 15000, .strict = data[0] & 0x80,
                      .token_text = piece };
    v.info.n_vocab = 1000;
    v.info.n_embd = 8;
    for (int i = 0; i < HEARTH_N_FIM; i++)
        v.info.fim_id[i] = i;
    v.plan.n_ctx_tokens = 256;
    for (int i = 0; i < HEARTH_N_SAMPLING; i++)
        hearth_sampling_set(&v.sampling, i, hearth_sampling_table[i].dflt);
    const struct endpoint *e = endpoints[(data[0] & 0x7f) % (sizeof endpoints / sizeof *endpoints)];
    v.info.pooling = e->on & ON_RERANK ? "rank" : e->on & ON_EMBED ? "mean" : "";
    struct problem p = { 0 };
    struct ask a = { 0 };
    struct fields f = { 0 };
    size_t cost = 0;
    const char *text = (const char *)data + 1;
    bool ok = json_scan(text, size - 1, &cost, &p);
    struct json_body body = { 0 };
    ok = ok && json_parse(&body, text, size - 1, cost, &p) && ask_init(&a, e->on, &p)
      && (!e->on || fields_read(&f, body.json, e->on, v.strict, &a.notes, &p)) && e->read(&a, &f, &v, &p);
    const json_t *name = json_object_get(body.json, "model");
    check_name((struct str){ json_string_value(name), json_string_length(name) });
    check_name((struct str){ text, size - 1 });
    json_body_free(&body); /* nothing of the request points there */
    if (ok) {
        if (e->dialect) {
            check_request(&a, &v);
            check_answer(&a, &v, e->dialect);
        }
    } else {
        check_refusal(&p);
    }
    ask_free(&a);
    return 0;
}
