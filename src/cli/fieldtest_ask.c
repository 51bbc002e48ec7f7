/* fieldtest_ask.c: what both sides compute: log-probabilities along a greedy continuation, or vectors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/fieldtest.h"
#include "cli/interrupt.h"
#include "cli/text_ids.h"

enum { BATCH_TOKENS = 512 }; /* of a llama-server, unless it is told otherwise: an encoder's texts fit in there */

/* ---- here ---- */

static bool read_stream(hearth_stream *s, struct fieldtest_answer *out, hearth_error *err)
{
    hearth_event e;
    hearth_stream_on_wake(s, interrupt_wake, NULL);
    while (interrupt_next(s, &e)) {
        if (e.type != HEARTH_EVENT_TOKEN || !out || out->n == out->room)
            continue;
        struct fieldtest_place *p = &out->places[out->n++];
        p->id = e.id;
        p->n_top = min_int(e.n_alternatives, FIELDTEST_MOST_TOP);
        memcpy(p->top, e.alternatives, (size_t)p->n_top * sizeof *p->top);
    }
    if (e.reason == HEARTH_END_CANCELLED)
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the test");
    if (e.reason == HEARTH_END_ERROR)
        *err = *hearth_stream_error(s);
    return e.reason != HEARTH_END_ERROR;
}

/* Greedy, without penalties, over the end of the text: there the peer may stop. */
static bool continue_here(struct fieldtest *t, const int32_t *ids, size_t n, hearth_error *err)
{
    hearth_sampling_order order = { .n = 1, .stage = { HEARTH_STAGE_temperature } };
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = n, .no_prefix_cache = true, .max_tokens = t->n_tokens,
                         .sampling_order = &order, .has_seed = true, .ignore_eos = true,
                         .n_alternatives = t->n_top, .want_logprob = true, .speculate = HEARTH_SPECULATE_OFF };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = 0;
    t->here.n = 0;
    hearth_stream *s = hearth_submit(t->model, &r, err);
    bool ok = s && read_stream(s, &t->here, err);
    hearth_stream_close(s);
    return ok;
}

/* ---- there ---- */

static json_t *list_of(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(list, json_integer(ids[i])) == 0;
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

static struct str text_of(void *arg, int32_t id)
{
    size_t n = 0;
    const char *text = hearth_file_token_text(arg, id, &n);
    return (struct str){ text ? text : "", text ? n : 0 };
}

static bool continue_there(struct fieldtest *t, const int32_t *ids, size_t n, hearth_error *err)
{
    const struct fieldtest_words words = { text_of, t->file };
    struct json_body answer;
    int status;
    json_t *body = json_pack("{s:o, s:i, s:i, s:i, s:[s], s:i, s:b, s:b, s:b}", "prompt", list_of(ids, n), "n_predict",
                             t->n_tokens, "n_probs", t->n_top, "temperature", 0, "samplers", "temperature", "seed", 1,
                             "cache_prompt", 0, "return_tokens", 1, "stream", 0);
    bool ok = fieldtest_post(&t->peer, "/completion", body, &answer, &status, err)
           && fieldtest_read_answer(answer.json, t->info.n_vocab, &words, &t->there, err);
    json_body_free(&answer);
    return ok;
}

/* ---- log-probabilities ---- */

static bool is_special(void *arg, int32_t id) { return hearth_file_token_special(arg, id); }

static void put_token(struct fieldtest *t, struct buf *out, int32_t id)
{
    struct str text = text_of(t->file, id);
    buf_printf(out, "%d(", id);
    buf_put(out, text.ptr, text.len);
    buf_puts(out, ")");
}

static void put_side(struct fieldtest *t, struct buf *out, const struct fieldtest_apart *a,
                     const struct fieldtest_answer *side, float worst)
{
    if (a->worst > t->limits.largest) {
        buf_printf(out, "token %d: ", a->worst_place + 1);
        put_token(t, out, a->worst_id);
        buf_printf(out, " has %.4f%s", (double)worst, a->is_at_least ? " (or it is the least likely one named)" : "");
    }
    if (a->parts_at < 0 || a->is_tie)
        return;
    buf_printf(out, "%stoken %d is ", out->len ? "; " : "", a->parts_at + 1);
    if ((size_t)a->parts_at < side->n)
        put_token(t, out, side->places[a->parts_at].id);
    else
        buf_puts(out, "none: it ended");
}

static void count_parting(struct fieldtest *t, const struct fieldtest_apart *a)
{
    t->n_first_equal += a->parts_at != 0;
    t->n_first_ties += a->parts_at == 0 && a->is_tie;
    t->n_same += a->parts_at < 0;
    t->n_ties += a->parts_at >= 0 && a->is_tie;
    if (a->parts_at >= 0 && (t->earliest < 0 || a->parts_at < t->earliest))
        t->earliest = a->parts_at;
}

static void compare(struct fieldtest *t, int i, struct str text)
{
    struct fieldtest_apart a;
    fieldtest_compare(&a, &t->here, &t->there, &t->limits, is_special, t->file, &t->deltas);
    count_parting(t, &a);
    if (a.worst <= t->limits.largest && (a.parts_at < 0 || a.is_tie)) {
        fieldtest_equal(t, FIELDTEST_LOGPROBS);
        return;
    }
    struct buf here = { 0 }, there = { 0 };
    put_side(t, &here, &a, &t->here, a.worst_here);
    put_side(t, &there, &a, &t->there, a.worst_there);
    t->out_of_memory |= here.failed || there.failed;
    fieldtest_different(t, FIELDTEST_LOGPROBS, i, text, buf_str(&here), buf_str(&there));
    buf_free(&here);
    buf_free(&there);
}

static bool one_text(struct fieldtest *t, int i, hearth_error *err)
{
    struct str text = fieldtest_texts[i];
    int32_t *ids = NULL;
    size_t n = 0, most = (size_t)max_int(t->n_ctx_tokens - t->n_tokens, 1);
    bool ok = text_ids(t->file, text.ptr, text.len, false, true, &ids, &n, err);
    t->n_cut += ok && n > most;
    n = min_size(n, most);
    ok = ok && continue_here(t, ids, n, err) && continue_there(t, ids, n, err);
    if (ok)
        compare(t, i, text);
    mem_free(ids);
    return ok || fieldtest_untested(t, FIELDTEST_LOGPROBS, err);
}

bool fieldtest_logprobs(struct fieldtest *t, hearth_error *err)
{
    struct fieldtest_result *r = &t->kind[FIELDTEST_LOGPROBS];
    t->earliest = -1;
    if (r->nothing)
        return true;
    if (!fieldtest_answer_make(&t->here, (size_t)t->n_tokens, err)
        || !fieldtest_answer_make(&t->there, (size_t)t->n_tokens, err))
        return false;
    for (int i = 0; i < FIELDTEST_N; i++) {
        if (fieldtest_gives_up(t, FIELDTEST_LOGPROBS, i, FIELDTEST_N))
            break;
        fieldtest_show(t, FIELDTEST_LOGPROBS, i);
        if (!one_text(t, i, err))
            return false;
    }
    if (t->deltas.failed)
        return fail_memory(err, "the differences");
    double median = fieldtest_deltas_median(&t->deltas);
    if (median > t->limits.median)
        snprintf(r->beyond, sizeof r->beyond, "the median of all differences is %.4f, above %.4g", median,
                 t->limits.median);
    return true;
}

/* ---- vectors ---- */

static bool vector_here(struct fieldtest *t, struct str text, float *out, hearth_error *err)
{
    hearth_span span = { .text = text.ptr, .n_bytes = text.len };
    hearth_request r = { .spans = &span, .n_spans = 1, .embed = true };
    size_t n = 0;
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    hearth_stream *s = hearth_submit(t->model, &r, err);
    bool ok = s && read_stream(s, NULL, err);
    const float *vector = ok ? hearth_stream_vector(s, &n) : NULL;
    if (vector && n == (size_t)t->info.n_embd)
        memcpy(out, vector, n * sizeof *out);
    else if (ok)
        ok = fail(err, HEARTH_ERR_FORMAT, "here a vector has %zu values, and a state %d", n, t->info.n_embd);
    hearth_stream_close(s);
    return ok;
}

static bool vector_there(struct fieldtest *t, struct str text, float *out, hearth_error *err)
{
    struct json_body answer;
    int status;
    json_t *body = json_pack("{s:o, s:s}", "input", json_stringn(text.ptr, text.len), "encoding_format", "float");
    bool ok = fieldtest_post(&t->peer, "/v1/embeddings", body, &answer, &status, err)
           && fieldtest_read_vector(answer.json, out, (size_t)t->info.n_embd, err);
    json_body_free(&answer);
    return ok;
}

/* As much of it as goes into the context, and into a batch of a llama-server. */
static bool cut_text(struct fieldtest *t, struct str *text, hearth_error *err)
{
    size_t n = SIZE_MAX, most = (size_t)max_int(min_int(t->n_ctx_tokens, BATCH_TOKENS) - 8, 1), whole = text->len;
    for (;;) {
        int32_t *ids = NULL;
        if (!text_ids(t->file, text->ptr, text->len, false, true, &ids, &n, err))
            return false;
        mem_free(ids);
        if (n <= most || text->len < 4)
            break;
        text->len = text->len * 3 / 4;
        while (text->len > 0 && ((unsigned char)text->ptr[text->len] & 0xc0) == 0x80)
            text->len--;
    }
    t->n_cut += text->len < whole;
    return true;
}

/* A llama-server makes tokens of what looks like special ones in a text; hearth never does. */
static bool has_special(struct fieldtest *t, struct str text)
{
    int64_t plain = hearth_file_tokenize(t->file, text.ptr, text.len, false, false, NULL, 0, NULL);
    return plain != hearth_file_tokenize(t->file, text.ptr, text.len, true, false, NULL, 0, NULL);
}

static bool one_vector(struct fieldtest *t, int i, float *here, float *there, hearth_error *err)
{
    struct str text = fieldtest_texts[i];
    if (has_special(t, text))
        return true;
    if (!cut_text(t, &text, err) || !vector_here(t, text, here, err) || !vector_there(t, text, there, err))
        return fieldtest_untested(t, FIELDTEST_VECTORS, err);
    double distance = fieldtest_distance(here, there, (size_t)t->info.n_embd);
    t->farthest = fmax(t->farthest, distance);
    if (distance <= t->limits.cosine) {
        fieldtest_equal(t, FIELDTEST_VECTORS);
        return true;
    }
    char a[100], b[100];
    hearth_normalize(here, (size_t)t->info.n_embd);
    hearth_normalize(there, (size_t)t->info.n_embd);
    snprintf(a, sizeof a, "%.5f %.5f %.5f ...", (double)here[0], (double)here[1], (double)here[2]);
    snprintf(b, sizeof b, "%.5f %.5f %.5f ..., 1 - cosine is %.5f", (double)there[0], (double)there[1],
             (double)there[2], distance);
    fieldtest_different(t, FIELDTEST_VECTORS, i, text, str_z(a), str_z(b));
    return true;
}

bool fieldtest_vectors(struct fieldtest *t, hearth_error *err)
{
    size_t n = (size_t)max_int(t->info.n_embd, 3);
    if (t->kind[FIELDTEST_VECTORS].nothing)
        return true;
    float *both = mem_alloc(2 * n * sizeof *both);
    bool ok = both || fail_memory(err, "the vectors");
    for (int i = 0; ok && i < FIELDTEST_N && !fieldtest_gives_up(t, FIELDTEST_VECTORS, i, FIELDTEST_N); i++) {
        fieldtest_show(t, FIELDTEST_VECTORS, i);
        ok = one_vector(t, i, both, both + n, err);
    }
    mem_free(both);
    return ok;
}
