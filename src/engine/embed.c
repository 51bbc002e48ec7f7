#include "engine/embed.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"

static const char *const names[HEARTH_N_POOLINGS] = {
#define POOLING(name, help) #name,
#include "hearth/poolings.def"
};

const char *hearth_pooling_name(hearth_pooling pooling)
{
    return (unsigned)pooling < ARRAY_LEN(names) ? names[pooling] : NULL;
}

/* HEARTH_POOLING_file: the file does not say. */
static hearth_pooling pooling_of(const hearth_model *m, const hearth_request *r)
{
    hearth_file_info info;
    if (r->pooling != HEARTH_POOLING_file)
        return r->pooling;
    hearth_file_describe(m->file, &info);
    for (int i = HEARTH_POOLING_none; i < HEARTH_N_POOLINGS; i++)
        if (strcmp(info.pooling, names[i]) == 0)
            return (hearth_pooling)i;
    return HEARTH_POOLING_file;
}

bool embed_check(const hearth_model *m, const hearth_request *r, hearth_error *err)
{
    if (!r->embed)
        return (!r->on_state && r->pooling == HEARTH_POOLING_file)
               || fail(err, HEARTH_ERR_USAGE, "pooling and on_state are for embeddings; set embed, or leave them");
    if (r->score || r->score_prompt)
        return fail(err, HEARTH_ERR_USAGE, "a request is to embed its prompt and to score it; ask for one of the two");
    if (!hearth_pooling_name(r->pooling))
        return fail(err, HEARTH_ERR_USAGE, "pooling is %d; it must lie between 0 and %d", (int)r->pooling,
                    HEARTH_N_POOLINGS - 1);
    hearth_pooling pooling = pooling_of(m, r);
    if (pooling == HEARTH_POOLING_file)
        return fail(err, HEARTH_ERR_USAGE,
                    "%s says no pooling for embeddings: it is a model that writes text; say which (mean, cls or last), "
                    "or use a model for embeddings",
                    m->file->name);
    if (pooling == HEARTH_POOLING_rank && !model_check_ranks(&m->file->model, err))
        return false;
    if (pooling == HEARTH_POOLING_rank && r->n_spans != 2)
        return fail(err, HEARTH_ERR_USAGE, "with pooling rank the prompt is two spans, the query and the document");
    if (pooling == HEARTH_POOLING_none && !r->on_state)
        return fail(err, HEARTH_ERR_USAGE,
                    "with pooling none there is a vector for each token and none for the text; take them with "
                    "on_state, or choose another pooling");
    return true;
}

/* ---- a query and a document as one text ---- */

struct pair_list {
    hearth_span spans[8];
    size_t n;
};

static void add_text(struct pair_list *l, const char *text, size_t n, bool trusted)
{
    if (n > 0)
        l->spans[l->n++] = (hearth_span){ .text = text, .n_bytes = n, .trusted = trusted };
}

static void add_token(struct pair_list *l, int32_t id)
{
    if (id >= 0)
        l->spans[l->n++] = (hearth_span){ .text = "", .is_token = true, .token = id };
}

/* The first place of it; the template's length: it is nowhere. */
static size_t find(struct str text, struct str what)
{
    for (size_t at = 0; at + what.len <= text.len; at++)
        if (memcmp(text.ptr + at, what.ptr, what.len) == 0)
            return at;
    return text.len;
}

/* As the file's template for it says, which has the places of both. */
static void add_by_template(struct pair_list *l, struct str t, const hearth_span *pair)
{
    static const struct str marks[2] = { { "{query}", 7 }, { "{document}", 10 } };
    size_t place[2] = { find(t, marks[0]), find(t, marks[1]) }, at = 0;
    int first = place[1] < place[0];
    for (int i = 0; i < 2; i++) {
        int which = i == 0 ? first : !first;
        if (place[which] == t.len)
            continue;
        add_text(l, t.ptr + at, place[which] - at, true);
        add_text(l, pair[which].text, pair[which].n_bytes, pair[which].trusted);
        at = place[which] + marks[which].len;
    }
    add_text(l, t.ptr + at, t.len - at, true);
}

/* Without one they follow each other, each with an end token behind it; XLM-RoBERTa, whose vocabulary is a Unigram one,
 * was trained with two between them. BOS comes as before any text. */
static void add_by_tokens(struct pair_list *l, const struct vocab *v, const hearth_span *pair)
{
    add_text(l, pair[0].text, pair[0].n_bytes, pair[0].trusted);
    add_token(l, v->eos);
    if (v->kind == VOCAB_UGM)
        add_token(l, v->eos);
    add_text(l, pair[1].text, pair[1].n_bytes, pair[1].trusted);
    add_token(l, v->eos);
}

/* The request's two spans into one text, whose bytes lie one behind the other. */
static bool make_pair(struct hearth_stream *s)
{
    struct pair_list list = { 0 };
    struct str template = STR("");
    hearth_error ignored;
    size_t n_bytes = 0;
    if (!gguf_str_or(&s->model->file->gguf, "tokenizer.chat_template.rerank", STR(""), &template, &ignored))
        template = STR("");
    s->pair_by_template = template.len > 0;
    if (template.len)
        add_by_template(&list, template, s->request.spans);
    else
        add_by_tokens(&list, tokenizer_vocab(s->model->tokenizer), s->request.spans);
    for (size_t i = 0; i < list.n; i++)
        n_bytes += list.spans[i].n_bytes;
    hearth_span *spans = arena_array(&s->arena, hearth_span, list.n);
    char *at = arena_alloc(&s->arena, n_bytes + 1, 1);
    if (!spans || !at)
        return false;
    for (size_t i = 0; i < list.n; i++) {
        spans[i] = list.spans[i];
        spans[i].text = at;
        memcpy(at, list.spans[i].text, spans[i].n_bytes);
        at += spans[i].n_bytes;
    }
    s->request.spans = spans;
    s->request.n_spans = list.n;
    s->text_bytes = n_bytes;
    return true;
}

bool embed_prepare(struct hearth_stream *s, hearth_error *err)
{
    if (!s->request.embed)
        return true;
    s->pooling = pooling_of(s->model, &s->request);
    bool causal = s->model->file->model.hp.causal;
    if (!causal && s->request.n_chunk_tokens > 0)
        receipt_note(&s->receipt, "n_chunk_tokens has no effect: tokens see what comes after them, all are computed at "
                                  "once\n");
    bool from_cache = causal && (s->pooling == HEARTH_POOLING_last || s->pooling == HEARTH_POOLING_rank);
    if (!from_cache || s->request.on_state) /* rows that keys and values are found for are not computed */
        s->request.no_prefix_cache = true;
    if (s->pooling == HEARTH_POOLING_none)
        return true;
    s->n_vector = (size_t)s->model->file->model.hp.n_embd;
    s->vector = mem_alloc(s->n_vector * sizeof *s->vector);
    if (!s->vector || (s->pooling == HEARTH_POOLING_rank && !make_pair(s)))
        return fail_memory(err, "an embedding");
    return true;
}

/* The row of the token at this position is part of it. */
static bool wants_row(const struct seq *s, int pos)
{
    switch (s->stream->pooling) {
    case HEARTH_POOLING_cls:
        return pos == 0;
    case HEARTH_POOLING_last:
        return pos == s->n_prompt - 1;
    case HEARTH_POOLING_rank: /* who sees all of it */
        return pos == (s->stream->model->file->model.hp.causal ? s->n_prompt - 1 : 0);
    default:
        return true;
    }
}

/* A text that is read again after it gave its pages to others begins anew. */
static void take_row(struct seq *s, const struct kernels *k, const float *row, int pos)
{
    struct hearth_stream *st = s->stream;
    int n = st->model->file->model.hp.n_embd;
    if (st->request.on_state && pos >= s->n_scored) {
        st->request.on_state(st->request.on_state_arg, (size_t)pos, row, n);
        s->n_scored = pos + 1;
    }
    if (!st->vector || !wants_row(s, pos))
        return;
    if (st->pooling == HEARTH_POOLING_mean && pos > 0)
        k->add(st->vector, row, n);
    else
        memcpy(st->vector, row, (size_t)n * sizeof *row);
}

int embed_rows(struct seq *s, const struct kernels *k, struct pool *pool, int first_row, int first_pos, int n)
{
    enum { TOGETHER = 64 };
    struct workspace *ws = &s->stream->model->ws;
    const struct model *m = &s->stream->model->file->model;
    int rows[TOGETHER];
    for (int at = 0; at < n;) {
        int n_rows = 0;
        for (; at < n && n_rows < TOGETHER; at++)
            if (wants_row(s, first_pos + at) || s->stream->request.on_state)
                rows[n_rows++] = first_row + at;
        if (n_rows == 0)
            continue;
        model_states(m, k, pool, ws, rows, n_rows);
        for (int i = 0; i < n_rows; i++) {
            const float *row = ws->out + (size_t)i * (size_t)m->hp.n_embd;
            if (!k->all_finite(row, m->hp.n_embd))
                return rows[i] - first_row;
            take_row(s, k, row, first_pos + rows[i] - first_row);
        }
    }
    return n;
}

void embed_end(struct seq *s, const struct kernels *k, struct pool *pool)
{
    struct hearth_stream *st = s->stream;
    char detail[64];
    if (st->pooling == HEARTH_POOLING_mean)
        k->scale(st->vector, st->vector, 1.0f / (float)s->n_prompt, (int)st->n_vector);
    const struct model *m = &st->model->file->model;
    if (st->vector && st->pooling != HEARTH_POOLING_rank && model_has_dense(m))
        model_dense(m, k, pool, &st->model->ws, st->vector, st->vector);
    if (st->pooling == HEARTH_POOLING_rank) {
        st->vector[0] = model_rank(m, k, &st->model->ws, st->vector);
        st->n_vector = 1;
    }
    snprintf(detail, sizeof detail, "embedded, pooling %s", names[st->pooling]);
    seq_end(s, HEARTH_END_STOP, detail, NULL);
}
