/* diff_json.c: two answers side by side as one JSON object. A figure that has no meaning is null. */
#include <math.h>

#include "cli/diff.h"
#include "cli/json_out.h"
#include "server/api/reply.h"

static const char *const keys[2] = { "a", "b" };

static json_t *index_or_null(size_t i) { return i == SIZE_MAX ? json_null() : json_integer((json_int_t)i); }

static json_t *pair_of(json_t *a, json_t *b) { return json_pack("{s:o, s:o}", "a", a, "b", b); }

static json_t *real_or_null(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static void put_real(struct json_out *o, const char *key, double v) { json_key(o, key, real_or_null(v)); }

static void put_count(struct json_out *o, const char *key, size_t n) { json_key(o, key, json_integer((json_int_t)n)); }

static json_t *value_or_null(const json_t *v) { return v ? json_deep_copy(v) : json_null(); }

static json_t *text_of_token(const struct diff_side *s, int32_t id)
{
    size_t n = 0;
    const char *text = hearth_file_token_text(s->file, id, &n);
    return text ? json_of_bytes(text, n) : json_null();
}

/* ---- what was asked ---- */

static json_t *of_settings(const struct diff *d)
{
    struct json_out o = json_begin();
    for (int i = 0; i < d->n_settings; i++) {
        const struct diff_setting *s = &d->settings[i];
        json_key(&o, s->name, pair_of(value_or_null(s->value[0]), value_or_null(s->value[1])));
    }
    return json_end(&o);
}

static json_t *of_vocabulary(const struct diff *d)
{
    const struct vocabulary_difference *v = &d->vocabulary;
    return json_pack("{s:b, s:o, s:o}", "same", vocabularies_same(v), "n_tokens",
                     pair_of(json_integer(v->n_a), json_integer(v->n_b)), "first_token_id",
                     v->id < 0 ? json_null() : json_integer(v->id));
}

static json_t *of_prompt_token(const struct diff *d, int which)
{
    const struct diff_side *s = &d->side[which];
    const struct recording *r = &s->recording;
    if (d->prompt_at >= r->n_prompt)
        return json_null();
    return json_pack("{s:i, s:o}", "token_id", r->prompt[d->prompt_at], "text",
                     text_of_token(s, r->prompt[d->prompt_at]));
}

static json_t *of_prompt(const struct diff *d)
{
    const struct recording *a = &d->side[0].recording, *b = &d->side[1].recording;
    struct json_out o = json_begin();
    bool compared = vocabularies_same(&d->vocabulary);
    json_key(&o, "same", compared ? json_boolean(d->prompt_at == SIZE_MAX) : json_null());
    json_key(&o, "n_tokens", pair_of(json_integer((json_int_t)a->n_prompt), json_integer((json_int_t)b->n_prompt)));
    json_key(&o, "first_token", index_or_null(d->prompt_at));
    for (int i = 0; i < 2; i++)
        json_key(&o, keys[i], of_prompt_token(d, i));
    return json_end(&o);
}

/* ---- the answers ---- */

/* A list, sticky. */
static struct json_out list_begin(void) { return (struct json_out){ json_array(), false }; }

static void add(struct json_out *list, json_t *value)
{
    list->failed |= json_array_append_new(list->json, value) != 0;
}

static json_t *of_ids(const int32_t *ids, size_t n)
{
    struct json_out list = list_begin();
    for (size_t i = 0; i < n; i++)
        add(&list, json_integer(ids[i]));
    return json_end(&list);
}

static json_t *of_side(const struct diff *d, int which)
{
    const struct diff_side *s = &d->side[which];
    const struct recording *r = &s->recording;
    struct json_out o = json_begin();
    json_key(&o, "model", json_of_text(recording_text(r, "model", "name")));
    json_key(&o, "text", json_of_bytes(s->text.ptr ? s->text.ptr : "", s->text.len));
    json_key(&o, "token_ids", of_ids(r->output, r->n_output));
    json_key(&o, "end", json_of_text(diff_end(s)));
    json_key(&o, "logits_as_recorded", d->scored && s->has_mixes ? json_boolean(s->other_logits == SIZE_MAX)
                                                                  : json_null());
    json_key(&o, "hearth", json_deep_copy(r->receipt));
    return json_end(&o);
}

static json_t *of_text(const struct diff *d)
{
    struct json_out o = json_begin();
    json_key(&o, "first_byte", index_or_null(d->text_at));
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        const char *words = d->text_at == SIZE_MAX ? "" : diff_words(&d->side[i].text, d->text_at, &n);
        json_key(&o, keys[i], d->text_at == SIZE_MAX ? json_null() : json_of_bytes(words, n));
    }
    return json_end(&o);
}

/* One of the two tokens there, and what each model gives it. */
static json_t *of_parted_token(const struct diff *d, int which)
{
    const struct divergence_side *a = &d->divergence.side[0], *b = &d->divergence.side[1];
    int32_t id = diff_token(&d->side[which], d->answer_at);
    struct json_out o = json_begin(), by = json_begin();
    json_key(&o, "token_id", id < 0 ? json_null() : json_integer(id));
    json_key(&o, "text", id < 0 ? json_null() : text_of_token(&d->side[which], id));
    json_key(&o, "is_end", json_boolean(d->answer_at >= d->side[which].recording.n_output));
    put_real(&by, "a", d->scored ? a->probe_logprob[which] : NAN);
    put_real(&by, "b", d->scored ? b->probe_logprob[which] : NAN);
    json_key(&o, "logprob_nats", json_end(&by));
    return json_end(&o);
}

static json_t *of_parting(const struct diff *d)
{
    if (d->answer_at == SIZE_MAX)
        return json_null();
    struct json_out o = json_begin();
    put_count(&o, "token", d->answer_at);
    for (int i = 0; i < 2; i++)
        json_key(&o, keys[i], of_parted_token(d, i));
    return json_end(&o);
}

/* ---- the distributions ---- */

static json_t *of_scored(const struct diff *d, int which)
{
    const struct divergence_side *s = &d->divergence.side[which];
    const struct diff_side *side = &d->side[which];
    size_t n = s->n_ids - s->from;
    struct json_out texts = list_begin(), logprobs = list_begin();
    struct json_out likeliest = list_begin(), likeliest_logprobs = list_begin();
    struct json_out o = json_begin();
    for (size_t i = 0; i < n; i++) {
        add(&texts, text_of_token(side, s->ids[s->from + i]));
        add(&logprobs, real_or_null(s->scored[i].logprob));
        add(&likeliest, json_integer(s->scored[i].likeliest));
        add(&likeliest_logprobs, real_or_null(s->scored[i].likeliest_logprob));
    }
    json_key(&o, "token_ids", of_ids(s->ids + s->from, n));
    json_key(&o, "texts", json_end(&texts));
    json_key(&o, "logprob_nats", json_end(&logprobs));
    json_key(&o, "likeliest_ids", json_end(&likeliest));
    json_key(&o, "likeliest_logprob_nats", json_end(&likeliest_logprobs));
    return json_end(&o);
}

/* Arrays with a value for each position. */
static json_t *of_positions(const struct diff *d)
{
    const struct divergence *g = &d->divergence;
    if (!d->scored)
        return json_null();
    struct json_out o = json_begin(), nats = list_begin(), top = list_begin(), logits = list_begin();
    for (int i = 0; i < 2; i++)
        json_key(&o, keys[i], of_scored(d, i));
    for (size_t i = 0; g->apart && i < g->side[0].n_ids - g->side[0].from; i++) {
        add(&nats, real_or_null(g->apart[i].k.divergence));
        add(&top, json_boolean(g->apart[i].k.same_top));
        add(&logits, json_boolean(g->apart[i].same_logits));
    }
    json_t *lists[3] = { json_end(&nats), json_end(&top), json_end(&logits) };
    static const char *const names[3] = { "divergence_nats", "same_likeliest", "same_logits" };
    for (int i = 0; i < 3; i++) {
        if (g->apart) {
            json_key(&o, names[i], lists[i]);
        } else {
            json_decref(lists[i]);
            json_key(&o, names[i], json_null());
        }
    }
    return json_end(&o);
}

static json_t *of_divergence(const struct diff *d)
{
    struct diff_summary s;
    const struct divergence *g = &d->divergence;
    if (!d->scored || !g->apart || g->side[0].n_ids == g->side[0].from)
        return json_null();
    if (!diff_summarize(d, &s))
        return NULL;
    struct json_out o = json_begin();
    put_count(&o, "n_positions", s.n);
    put_real(&o, "mean_nats", s.k.mean);
    put_real(&o, "standard_error_nats", s.k.standard_error);
    put_real(&o, "median_nats", s.k.median);
    put_real(&o, "p90_nats", s.k.p90);
    put_real(&o, "p99_nats", s.k.p99);
    put_real(&o, "max_nats", s.k.max);
    put_count(&o, "n_same_likeliest", s.n_same_top);
    put_count(&o, "n_same_logits", s.n_same_logits);
    return json_end(&o);
}

bool diff_print_json(const struct diff *d, hearth_error *err)
{
    struct json_out o = json_begin();
    json_key(&o, "same", json_boolean(diff_same(d)));
    json_key(&o, "differs", of_settings(d));
    json_key(&o, "vocabulary", of_vocabulary(d));
    json_key(&o, "prompt", of_prompt(d));
    json_key(&o, "first_token", index_or_null(d->answer_at));
    json_key(&o, "end_differs", vocabularies_same(&d->vocabulary) ? json_boolean(d->end_differs) : json_null());
    json_key(&o, "parting", of_parting(d));
    json_key(&o, "text", of_text(d));
    json_key(&o, "divergence", of_divergence(d));
    json_key(&o, "positions", of_positions(d));
    for (int i = 0; i < 2; i++)
        json_key(&o, keys[i], of_side(d, i));
    return json_print(json_end(&o), JSON_REAL_PRECISION(15) | JSON_COMPACT, "the JSON of the comparison", err);
}
