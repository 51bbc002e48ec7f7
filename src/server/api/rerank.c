/* rerank.c: POST /v1/rerank and /rerank: how well documents answer a query, in the form of Jina and Cohere (documents)
 * or that of text-embeddings-inference (texts). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "server/api/endpoints.h"

/* ---- the request ---- */

static bool read_document(struct ask *a, const json_t *j, size_t i, const hearth_span *query, struct ask_prompt *out,
                          struct problem *p)
{
    const json_t *text = json_is_object(j) ? json_object_get(j, "text") : j;
    hearth_span *pair = arena_array(&a->arena, hearth_span, 2);
    if (!json_is_string(text))
        return refuse(p, PROBLEM_invalid_type, a->inputs, "%s[%zu] must be a text%s", a->inputs, i,
                      a->texts_form ? "" : ", or an object with one: {\"text\": ...}");
    if (!ask_copy_text(a, text, &out->text, p))
        return false;
    if (!pair)
        return ask_no_memory(p);
    pair[0] = *query;
    pair[1] = (hearth_span){ .text = out->text.text, .n_bytes = out->text.n_bytes };
    out->spans = pair;
    out->n_spans = 2;
    a->text_bytes = max_size(a->text_bytes, query->n_bytes + out->text.n_bytes);
    return true;
}

static bool read_documents(struct ask *a, const json_t *list, const hearth_span *query, struct problem *p)
{
    size_t n = json_array_size(list);
    if (n < 1 || n > ASK_MAX_INPUTS)
        return refuse(p, PROBLEM_invalid_value, a->inputs, "there are %zu %s; 1 to %d are taken in one request", n,
                      a->inputs, ASK_MAX_INPUTS);
    a->prompts = arena_array(&a->arena, struct ask_prompt, n);
    if (!a->prompts)
        return ask_no_memory(p);
    for (size_t i = 0; i < n; i++)
        if (!read_document(a, json_array_get(list, i), i, query, &a->prompts[i], p))
            return false;
    a->n_prompts = (int)n;
    return true;
}

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    const json_t *documents = f->value[F_documents], *texts = f->value[F_texts];
    hearth_text query;
    if (!f->value[F_query])
        return refuse(p, PROBLEM_missing_field, "query", "there is no query; give a text");
    if (strcmp(v->info.pooling, "rank") != 0)
        return refuse(p, PROBLEM_not_implemented, NULL, "'%s' does not rank documents: its file has no classifier for "
                      "that (pooling rank); use a model for reranking", v->model_id);
    if (!documents == !texts)
        return refuse(p, PROBLEM_missing_field, "documents", "give either documents or texts: a list of texts");
    a->op = OP_GENERATE;
    a->request.embed = true;
    a->n_dimensions = 1;
    a->texts_form = texts != NULL;
    a->inputs = texts ? "texts" : "documents";
    a->as_they_are = field_flag(f, F_raw_scores, false);
    a->echo = field_flag(f, texts ? F_return_text : F_return_documents, false);
    a->top_n = f->value[F_top_n] ? (int)f->number[F_top_n] : ASK_MAX_INPUTS;
    ask_read_model(a, f, v);
    if (!ask_read_text(a, f, F_query, &query, p))
        return false;
    return read_documents(a, texts ? texts : documents,
                          &(hearth_span){ .text = query.text, .n_bytes = query.n_bytes }, p);
}

/* ---- the answer ---- */

static void vector(struct reply *r, struct choice *c, const float *v, size_t n)
{
    double odds = n ? (double)v[0] : 0;
    c->score = r->ask->as_they_are ? odds : 1 / (1 + exp(-odds));
}

/* The best first; of equal ones the one that came first. */
static int compare(const void *a, const void *b)
{
    const struct choice *x = *(struct choice *const *)a, *y = *(struct choice *const *)b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index - y->index;
}

static json_t *of_result(const struct reply *r, const struct choice *c)
{
    const hearth_text *text = &r->ask->prompts[c->index].text;
    bool tei = r->ask->texts_form;
    struct json_out o = json_begin();
    json_key(&o, "index", json_integer(c->index));
    json_key(&o, tei ? "score" : "relevance_score", json_real(c->score));
    if (r->ask->echo && tei)
        json_key(&o, "text", json_of_bytes(text->text, text->n_bytes));
    else if (r->ask->echo)
        json_key(&o, "document", json_pack("{s:o}", "text", json_of_bytes(text->text, text->n_bytes)));
    return json_end(&o);
}

static json_t *of_results(struct reply *r)
{
    struct choice **best = mem_alloc((size_t)r->n_choices * sizeof *best);
    json_t *list = best ? json_array() : NULL;
    bool failed = !list;
    for (int i = 0; best && i < r->n_choices; i++)
        best[i] = &r->choices[i];
    if (best)
        qsort(best, (size_t)r->n_choices, sizeof *best, compare);
    for (int i = 0; !failed && i < r->n_choices && i < r->ask->top_n; i++)
        failed |= json_array_append_new(list, of_result(r, best[i])) != 0;
    mem_free(best);
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *whole(struct reply *r)
{
    if (r->ask->texts_form)
        return of_results(r);
    struct json_out o = json_begin();
    json_key(&o, "object", json_string("list"));
    json_key(&o, "model", json_string(r->view->model_id));
    json_key(&o, "results", of_results(r));
    json_key(&o, "usage", reply_usage_of_inputs(r));
    json_key(&o, "hearth", reply_receipt(r, r->choices));
    return json_end(&o);
}

static const struct dialect dialect = { .id_prefix = "rank-", .vector = vector, .whole = whole };

const struct endpoint endpoint_rerank = { .on = ON_RERANK, .read = read, .dialect = &dialect };
