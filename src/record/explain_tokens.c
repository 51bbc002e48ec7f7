#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "record/explain.h"
#include "record/receipt_json.h"

/* ---- texts ---- */

static bool is_control(const uint8_t *p, int n)
{
    uint32_t c = utf8_code_point(p, n);
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* One character of it; returns how many bytes that was. */
static size_t quote_one(const uint8_t *p, size_t n, struct buf *out)
{
    int length = utf8_length(p, n, NULL, NULL);
    if (*p == '\n' || *p == '\t')
        buf_puts(out, *p == '\n' ? "\\n" : "\\t");
    else if (*p == '"' || *p == '\\')
        buf_printf(out, "\\%c", *p);
    else if (length > 0 && !is_control(p, length))
        buf_put(out, p, (size_t)length);
    else
        buf_printf(out, "\\x%02x", *p);
    return length > 0 && !is_control(p, length) ? (size_t)length : 1;
}

void explain_quoted(const char *text, size_t n, struct buf *out)
{
    buf_puts(out, "\"");
    for (size_t at = 0; at < n;)
        at += quote_one((const uint8_t *)text + at, n - at, out);
    buf_puts(out, "\"");
}

void explain_token(hearth_file *file, int32_t id, struct buf *out)
{
    size_t n = 0;
    const char *text = hearth_file_token_text(file, id, &n);
    explain_quoted(text, text ? n : 0, out);
    buf_printf(out, " (%d)", id);
}

json_t *explain_token_text(hearth_file *file, int32_t id)
{
    size_t n = 0;
    struct buf out = { 0 };
    const char *text = hearth_file_token_text(file, id, &n);
    const uint8_t *p = (const uint8_t *)text;
    for (size_t at = 0; text && at < n;) {
        int bad = 1, length = utf8_length(p + at, n - at, &bad, NULL);
        if (length > 0)
            buf_put(&out, p + at, (size_t)length);
        else
            buf_puts(&out, "\xef\xbf\xbd");
        at += (size_t)(length > 0 ? length : bad);
    }
    json_t *json = out.failed || !text ? NULL : json_stringn(out.ptr ? out.ptr : "", out.len);
    buf_free(&out);
    return json;
}

/* ---- choices ---- */

static const hearth_choice_step *last_of(const hearth_choice *c) { return &c->steps[c->n_steps - 1]; }

const hearth_choice_step *explain_removal(const hearth_choice *c, int i)
{
    for (int s = 0; s < c->n_steps; s++)
        if (!(c->steps[s].logprobs[i] > -INFINITY))
            return &c->steps[s];
    return NULL;
}

int explain_chosen(const hearth_choice *c)
{
    int i = 0;
    while (i < c->n_tokens - 1 && c->ids[i] != c->id)
        i++;
    return i;
}

static json_t *of_float(float v) { return isfinite(v) ? json_of_float(v) : json_null(); }

static json_t *of_alternatives(hearth_file *file, const hearth_choice *c)
{
    json_t *list = json_array();
    bool failed = false;
    for (int i = 0; i < c->n_tokens; i++) {
        const hearth_choice_step *gone = explain_removal(c, i);
        failed |= json_array_append_new(list, json_pack("{s:i, s:o, s:o, s:o, s:o}", "id", c->ids[i], "text",
                                        explain_token_text(file, c->ids[i]), "logprob",
                                        of_float(c->steps[0].logprobs[i]), "final_logprob",
                                        of_float(last_of(c)->logprobs[i]), "removed_by",
                                        gone ? json_string(hearth_step_name(gone->step)) : json_null())) != 0;
    }
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *of_steps(const hearth_choice *c)
{
    json_t *list = json_array();
    bool failed = false;
    for (int s = 0; s < c->n_steps; s++) {
        const hearth_choice_step *step = &c->steps[s];
        int n_removed = s > 0 ? c->steps[s - 1].n_candidates - step->n_candidates : 0;
        json_t *logprobs = json_array();
        for (int i = 0; i < c->n_tokens; i++)
            failed |= json_array_append_new(logprobs, of_float(step->logprobs[i])) != 0;
        failed |= json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:o, s:o, s:o}", "name",
                                        hearth_step_name(step->step), "n_candidates", step->n_candidates, "n_removed",
                                        n_removed, "temperature", of_float(step->temperature), "entropy_bits",
                                        of_float(step->entropy_bits), "logprobs", logprobs)) != 0;
    }
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

json_t *explain_choice(hearth_file *file, size_t index, const hearth_choice *c, bool steps)
{
    int chosen = explain_chosen(c);
    const hearth_choice_step *first = &c->steps[0], *last = last_of(c);
    json_t *j = json_pack("{s:I, s:i, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:i, s:o}", "index", (json_int_t)index, "id",
                          c->id, "text", explain_token_text(file, c->id), "logprob", of_float(first->logprobs[chosen]),
                          "final_logprob", of_float(last->logprobs[chosen]), "rank", c->rank, "draw",
                          of_float(c->draw), "entropy_bits", of_float(first->entropy_bits), "final_entropy_bits",
                          of_float(last->entropy_bits), "n_final_candidates", last->n_candidates, "alternatives",
                          of_alternatives(file, c));
    if (j && steps && json_object_set_new(j, "steps", of_steps(c)) != 0) {
        json_decref(j);
        j = NULL;
    }
    return j;
}

/* ---- all of it ---- */

static json_t *of_buf(struct buf *b)
{
    json_t *j = b->failed ? NULL : json_stringn(b->ptr ? b->ptr : "", b->len);
    buf_free(b);
    return j;
}

static json_t *of_time(const json_t *receipt)
{
    struct explained_time t;
    json_t *j = json_object();
    bool failed = false;
    explain_time(&t, receipt);
    for (int i = 0; i < EXPLAIN_N_PARTS; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_ms", explain_part_name((enum explain_part)i));
        failed |= json_object_set_new(j, key, json_real(t.ms[i])) != 0;
    }
    failed |= json_object_set_new(j, "total_ms", json_real(t.total_ms)) != 0;
    if (!failed)
        return j;
    json_decref(j);
    return NULL;
}

static json_t *of_prompt(hearth_file *file, const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    bool failed = false;
    if (!ids) {
        json_decref(list);
        return json_null();
    }
    for (size_t i = 0; i < n && !failed; i++)
        failed = json_array_append_new(list, json_pack("{s:i, s:o, s:b}", "id", ids[i], "text",
                                       explain_token_text(file, ids[i]), "special",
                                       hearth_file_token_special(file, ids[i]))) != 0;
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

json_t *explain_answer(json_t *receipt, hearth_file *file, const int32_t *ids, size_t n_ids, json_t *exact,
                       json_t *tokens, json_t *end)
{
    struct buf prefix = { 0 }, trouble = { 0 };
    explain_prefix(receipt, file, ids, n_ids, &prefix);
    explain_trouble(receipt, &trouble);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O}", "exact", exact, "time", of_time(receipt), "trouble",
                     of_buf(&trouble), "prefix", of_buf(&prefix), "prompt", of_prompt(file, ids, n_ids), "tokens",
                     tokens, "end", end, "hearth", receipt);
}
