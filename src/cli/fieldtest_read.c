/* fieldtest_read.c: what a llama-server answers, out of its JSON. Pure: every size and type is looked at. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "cli/fieldtest.h"
#include "store/foreign.h"

/* ---- small parts ---- */

/* Up to what a double holds. -1: none, or another type. */
static int64_t count_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    return n >= 0 && n <= (json_int_t)1 << 53 ? n : -1;
}

static void line_of(char *out, size_t room, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    foreign_line(out, room, (struct str){ json_is_string(v) ? json_string_value(v) : "", json_string_length(v) });
}

static bool id_of(const json_t *v, int n_vocab, int32_t *out, hearth_error *err)
{
    json_int_t id = json_integer_value(v);
    if (!json_is_integer(v))
        return fail(err, HEARTH_ERR_FORMAT, "its tokens are no numbers");
    if (id < 0 || id >= n_vocab)
        return fail(err, HEARTH_ERR_FORMAT, "it names token %lld of a vocabulary that has %d", (long long)id, n_vocab);
    *out = (int32_t)id;
    return true;
}

/* ---- who it is ---- */

/* It leaves out how the text ends. */
static struct str without_end(struct str text)
{
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    return text;
}

static bool same_template(const json_t *theirs, struct str ours)
{
    return str_eq(without_end((struct str){ json_string_value(theirs), json_string_length(theirs) }),
                  without_end(ours));
}

bool fieldtest_read_props(const json_t *o, const char *our_template, struct fieldtest_facts *out, hearth_error *err)
{
    const json_t *template = json_object_get(o, "chat_template");
    const json_t *settings = json_object_get(o, "default_generation_settings");
    if (!json_is_object(settings) && !json_is_string(json_object_get(o, "model_path")))
        return fail(err, HEARTH_ERR_FORMAT, "/props has neither default_generation_settings nor model_path; is a "
                    "llama-server there?");
    line_of(out->build, sizeof out->build, o, "build_info");
    line_of(out->path, sizeof out->path, o, "model_path");
    line_of(out->alias, sizeof out->alias, o, "model_alias");
    int64_t n_ctx = count_of(settings, "n_ctx");
    out->n_ctx = n_ctx > 0 && n_ctx <= INT32_MAX ? (int)n_ctx : 0;
    out->has_our_template = -1;
    if (json_is_string(template) && our_template[0]) /* without one it takes one of its own */
        out->has_our_template = same_template(template, str_z(our_template));
    return true;
}

bool fieldtest_read_models(const json_t *o, struct fieldtest_facts *out, hearth_error *err)
{
    const json_t *list = json_object_get(o, "data"), *meta;
    size_t n = json_array_size(list);
    out->n_vocab = out->n_embd = out->n_params = out->n_bytes = -1;
    if (!json_is_array(list) || n == 0)
        return fail(err, HEARTH_ERR_FORMAT, "/v1/models has no list of models");
    if (n > 1)
        return fail(err, HEARTH_ERR_USAGE, "it has %zu models; start it with the one file alone", n);
    meta = json_object_get(json_array_get(list, 0), "meta");
    out->n_vocab = count_of(meta, "n_vocab");
    out->n_embd = count_of(meta, "n_embd");
    out->n_params = count_of(meta, "n_params");
    out->n_bytes = count_of(meta, "size");
    return true;
}

/* ---- tokens and templates ---- */

bool fieldtest_read_tokens(const json_t *o, int n_vocab, int32_t **ids, size_t *n, hearth_error *err)
{
    const json_t *list = json_object_get(o, "tokens");
    *ids = NULL;
    *n = json_array_size(list);
    if (!json_is_array(list))
        return fail(err, HEARTH_ERR_FORMAT, "its answer to /tokenize has no list of tokens");
    *ids = mem_alloc(max_size(*n, 1) * sizeof **ids);
    if (!*ids)
        return fail_memory(err, "the list of tokens");
    for (size_t i = 0; i < *n; i++) {
        if (id_of(json_array_get(list, i), n_vocab, &(*ids)[i], err))
            continue;
        mem_free(*ids);
        *ids = NULL;
        return false;
    }
    return true;
}

bool fieldtest_read_prompt(const json_t *o, struct str *out, hearth_error *err)
{
    const json_t *prompt = json_object_get(o, "prompt");
    if (!json_is_string(prompt))
        return fail(err, HEARTH_ERR_FORMAT, "its answer to /apply-template has no prompt");
    *out = (struct str){ json_string_value(prompt), json_string_length(prompt) };
    return true;
}

/* ---- a continuation ---- */

bool fieldtest_answer_make(struct fieldtest_answer *a, size_t room, hearth_error *err)
{
    *a = (struct fieldtest_answer){ .places = mem_alloc(room * sizeof *a->places), .room = room };
    return a->places || fail_memory(err, "the continuations");
}

static bool read_ids(const json_t *o, const json_t *list, int n_vocab, struct fieldtest_answer *out, hearth_error *err)
{
    const json_t *ids = json_object_get(o, "tokens");
    bool by_list = json_array_size(ids) == 0; /* some builds have them there alone */
    size_t n = json_array_size(by_list ? list : ids);
    out->n = 0;
    for (size_t i = 0; i < n && i < out->room; i++) {
        const json_t *one = json_array_get(by_list ? list : ids, i);
        struct fieldtest_place *place = &out->places[i];
        place->n_top = 0;
        if (!id_of(by_list ? json_object_get(one, "id") : one, n_vocab, &place->id, err))
            return false;
        out->n++;
    }
    return out->n > 0 || fail(err, HEARTH_ERR_FORMAT, "its answer to /completion has no tokens");
}

static bool read_top(const json_t *entry, int n_vocab, struct fieldtest_place *out, hearth_error *err)
{
    const json_t *list = json_object_get(entry, "top_logprobs");
    size_t n = min_size(json_array_size(list), FIELDTEST_MOST_TOP);
    if (n == 0)
        return fail(err, HEARTH_ERR_FORMAT, "its answer to /completion has %s where top_logprobs are asked for",
                    json_object_get(entry, "top_probs") ? "probabilities after its samplers" : "nothing");
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i), *logprob = json_object_get(one, "logprob");
        double value = json_is_number(logprob) ? json_number_value(logprob) : NAN;
        if (!id_of(json_object_get(one, "id"), n_vocab, &out->top[i].id, err))
            return false;
        if (!(value <= 1e-3 && value >= -3.5e38))
            return fail(err, HEARTH_ERR_FORMAT, "it gives token %d a log-probability that is none", out->top[i].id);
        out->top[i].logprob = (float)value;
    }
    out->n_top = (int)n;
    return true;
}

static int32_t entry_id(const json_t *list, size_t i)
{
    const json_t *id = json_object_get(json_array_get(list, i), "id");
    json_int_t n = json_is_integer(id) ? json_integer_value(id) : -1;
    return n >= 0 && n <= INT32_MAX ? (int32_t)n : -1;
}

/* The text, of which the last bytes are in tail, ends inside of a character. */
static bool ends_inside(const uint8_t tail[4])
{
    for (int i = 1; i <= 3; i++) {
        uint8_t c = tail[4 - i];
        if ((c & 0xc0) != 0x80)
            return (c >= 0xc0 && i < 2) || (c >= 0xe0 && i < 3) || (c >= 0xf0 && i < 4);
    }
    return false;
}

static void push(uint8_t tail[4], struct str text)
{
    for (size_t i = text.len > 4 ? text.len - 4 : 0; i < text.len; i++) {
        memmove(tail, tail + 1, 3);
        tail[3] = (uint8_t)text.ptr[i];
    }
}

/* Into where[i]: the entry of token i; SIZE_MAX: it has none. llama-server leaves those out where the text ends inside
 * of a character. False: these are others. */
static bool place_by_text(const json_t *list, const struct fieldtest_answer *a, const struct fieldtest_words *w,
                          size_t *where)
{
    uint8_t tail[4] = { 0 };
    size_t at = 0;
    for (size_t i = 0; i < a->n; i++) {
        push(tail, w->text(w->arg, a->places[i].id));
        where[i] = ends_inside(tail) ? SIZE_MAX : at++;
        if (where[i] != SIZE_MAX && entry_id(list, where[i]) != a->places[i].id)
            return false;
    }
    return true;
}

/* The same by the ids alone, from both ends; where these differ nobody knows. */
static void place_by_id(const json_t *list, const struct fieldtest_answer *a, size_t *where)
{
    size_t at = 0, end = json_array_size(list);
    for (size_t i = 0; i < a->n; i++) {
        bool is = entry_id(list, at) == a->places[i].id;
        where[i] = is ? at : SIZE_MAX;
        at += is;
    }
    for (size_t i = a->n; i-- > 0;) {
        bool is = end > 0 && entry_id(list, end - 1) == a->places[i].id;
        end -= is;
        if (!is || where[i] != end)
            where[i] = SIZE_MAX;
    }
}

static bool read_tops(const json_t *list, int n_vocab, const struct fieldtest_words *w, struct fieldtest_answer *out,
                      hearth_error *err)
{
    bool ok = true, whole = json_array_size(list) >= out->n;
    size_t *where = mem_alloc(max_size(out->n, 1) * sizeof *where);
    if (!where)
        return fail_memory(err, "the continuations");
    for (size_t i = 0; i < out->n; i++) {
        where[i] = i;
        whole &= entry_id(list, i) == out->places[i].id;
    }
    if (!whole && !(w && place_by_text(list, out, w, where)))
        place_by_id(list, out, where);
    for (size_t i = 0; ok && i < out->n; i++)
        if (where[i] != SIZE_MAX)
            ok = read_top(json_array_get(list, where[i]), n_vocab, &out->places[i], err);
    mem_free(where);
    return ok;
}

bool fieldtest_read_answer(const json_t *o, int n_vocab, const struct fieldtest_words *words,
                           struct fieldtest_answer *out, hearth_error *err)
{
    const json_t *list = json_object_get(o, "completion_probabilities"), *why = json_object_get(o, "stop_type");
    out->n = 0;
    out->ended = json_is_string(why) && strcmp(json_string_value(why), "eos") == 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return fail(err, HEARTH_ERR_FORMAT, "its answer to /completion has no completion_probabilities");
    if (!read_ids(o, list, n_vocab, out, err) || !read_tops(list, n_vocab, words, out, err))
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (out->places[i].n_top > 0)
            return true;
    return fail(err, HEARTH_ERR_FORMAT, "its answer to /completion has no log-probabilities of its tokens");
}

/* ---- a vector ---- */

bool fieldtest_read_vector(const json_t *o, float *out, size_t n, hearth_error *err)
{
    const json_t *list = json_object_get(json_array_get(json_object_get(o, "data"), 0), "embedding");
    if (!json_is_array(list) || json_array_size(list) != n)
        return fail(err, HEARTH_ERR_FORMAT, "its answer to /v1/embeddings has a vector of %zu values, and the model's "
                    "have %zu", json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        double value = json_is_number(v) ? json_number_value(v) : NAN;
        if (!(fabs(value) <= 1e30))
            return fail(err, HEARTH_ERR_FORMAT, "value %zu of its vector is no number", i);
        out[i] = (float)value;
    }
    return true;
}

/* ---- for people ---- */

/* Spaces without width, marks of direction, ends of lines: not seen, or seen as something else. */
static bool is_hidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f)
        || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c < 0xe1000);
}

void fieldtest_put_visible(struct buf *out, struct str text, size_t most)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    for (size_t i = 0; i < text.len;) {
        int bad = 0, length = utf8_length(p + i, text.len - i, &bad, NULL);
        uint32_t c = length > 0 ? utf8_code_point(p + i, length) : 0;
        if (i >= most) {
            buf_puts(out, "...");
            return;
        }
        if (length == 0)
            for (int k = 0; k < bad; k++)
                buf_printf(out, "\\x%02x", p[i + (size_t)k]);
        else if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '\t')
            buf_puts(out, "\\t");
        else if (c == '\\' || c == '\'')
            buf_printf(out, "\\%c", (char)c);
        else if (is_hidden(c))
            buf_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        else
            buf_put(out, p + i, (size_t)length);
        i += (size_t)(length > 0 ? length : bad);
    }
}
