#include "server/api/ask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { ARENA_BYTES = 256 << 20 }; /* above all that the limits of bodies let in */

bool ask_no_memory(struct problem *p)
{
    return refuse(p, PROBLEM_out_of_memory, NULL, "there is no memory for the request; try again later");
}

bool ask_init(struct ask *a, unsigned on, struct problem *p)
{
    *a = (struct ask){ .on = on, .n = 1 };
    arena_init(&a->arena, ARENA_BYTES);
    return notes_init(&a->notes) || ask_no_memory(p);
}

void ask_free(struct ask *a)
{
    chat_json_free(&a->chat);
    recording_free(&a->recording);
    notes_free(&a->notes);
    buf_free(&a->out_text);
    arena_free(&a->arena);
    *a = (struct ask){ 0 };
}

/* ---- texts and ids ---- */

bool ask_copy_text(struct ask *a, const json_t *j, hearth_text *out, struct problem *p)
{
    struct str copy = arena_strdup(&a->arena, (struct str){ json_string_value(j), json_string_length(j) });
    *out = (hearth_text){ copy.ptr, copy.len };
    return copy.ptr || ask_no_memory(p);
}

bool ask_read_text(struct ask *a, const struct fields *f, enum field id, hearth_text *out, struct problem *p)
{
    *out = (hearth_text){ 0 };
    return !f->value[id] || ask_copy_text(a, f->value[id], out, p);
}

bool ask_read_ids(struct ask *a, const json_t *list, const char *name, int n_vocab, int32_t **ids, size_t *n,
                  struct problem *p)
{
    *n = json_array_size(list);
    *ids = arena_array(&a->arena, int32_t, *n);
    if (!*ids)
        return ask_no_memory(p);
    for (size_t i = 0; i < *n; i++) {
        const json_t *j = json_array_get(list, i);
        json_int_t id = json_integer_value(j);
        if (!json_is_integer(j))
            return refuse(p, PROBLEM_invalid_type, name, "%s[%zu] is no token id; ids are whole numbers", name, i);
        if (id < 0 || id >= n_vocab)
            return refuse(p, PROBLEM_invalid_value, name, "%s[%zu] is token %lld; ids lie between 0 and %d", name, i,
                          (long long)id, n_vocab - 1);
        (*ids)[i] = (int32_t)id;
    }
    return true;
}

static bool read_prompt(struct ask *a, const json_t *j, const char *name, struct ask_prompt *out, struct problem *p)
{
    if (json_is_array(j))
        return ask_read_ids(a, j, name, INT32_MAX, &out->ids, &out->n_ids, p);
    hearth_span *span = arena_array(&a->arena, hearth_span, 1);
    if (!ask_copy_text(a, j, &out->text, p))
        return false;
    if (!span)
        return ask_no_memory(p);
    *span = (hearth_span){ .text = out->text.text, .n_bytes = out->text.n_bytes };
    out->spans = span;
    out->n_spans = 1;
    a->text_bytes = max_size(a->text_bytes, out->text.n_bytes);
    return true;
}

bool ask_read_prompts(struct ask *a, const struct fields *f, enum field id, int most, struct problem *p)
{
    const json_t *j = f->value[id];
    const char *name = field_table[id].name;
    if (!j)
        return refuse(p, PROBLEM_missing_field, name, "there is no %s; give a text, or a list of token ids", name);
    bool is_list = json_is_array(j) && (json_is_string(json_array_get(j, 0)) || json_is_array(json_array_get(j, 0)));
    if (!json_is_string(j) && !json_is_array(j))
        return field_wrong_type(p, name, j, "a text, or a list of token ids");
    if (is_list && most == 1)
        return refuse(p, PROBLEM_invalid_type, name, "%s is a list of prompts; this endpoint takes one at a "
                      "time: a text, or a list of token ids", name);
    size_t n = is_list ? json_array_size(j) : 1;
    if (n > (size_t)most)
        return refuse(p, PROBLEM_invalid_value, name, "there are %zu %ss; at most %d are taken in one request", n, name,
                      most);
    a->prompts = arena_array(&a->arena, struct ask_prompt, n);
    if (!a->prompts)
        return ask_no_memory(p);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = is_list ? json_array_get(j, i) : j;
        if (!json_is_string(one) && !json_is_array(one))
            return refuse(p, PROBLEM_invalid_type, name, "%s[%zu] is neither a text nor a list of token ids", name, i);
        if (!read_prompt(a, one, name, &a->prompts[i], p))
            return false;
    }
    a->n_prompts = (int)n;
    return true;
}

/* ---- what ends an answer ---- */

static bool read_stop(struct ask *a, const json_t *j, size_t i, const char **out, struct problem *p)
{
    size_t n = json_string_length(j);
    hearth_text text;
    if (!json_is_string(j))
        return refuse(p, PROBLEM_invalid_type, "stop", "stop[%zu] is no text", i);
    if (n > ASK_MAX_STOP_BYTES || n == 0 || strlen(json_string_value(j)) != n)
        return refuse(p, PROBLEM_invalid_value, "stop", "stop[%zu] has %zu bytes%s; it must have 1 to %d", i, n,
                      n && strlen(json_string_value(j)) != n ? ", a NUL among them" : "", ASK_MAX_STOP_BYTES);
    if (!ask_copy_text(a, j, &text, p))
        return false;
    *out = text.text;
    return true;
}

static bool read_stops(struct ask *a, const json_t *j, struct problem *p)
{
    bool is_list = json_is_array(j);
    size_t n = !j ? 0 : is_list ? json_array_size(j) : 1;
    const char **stops = arena_array(&a->arena, const char *, n);
    if (j && !is_list && !json_is_string(j))
        return field_wrong_type(p, "stop", j, "a text, or a list of texts");
    if (n > ASK_MAX_STOPS)
        return refuse(p, PROBLEM_invalid_value, "stop", "there are %zu stop texts; at most %d are taken", n,
                      ASK_MAX_STOPS);
    if (!stops)
        return ask_no_memory(p);
    for (size_t i = 0; i < n; i++)
        if (!read_stop(a, is_list ? json_array_get(j, i) : j, i, &stops[i], p))
            return false;
    a->request.stop = stops;
    a->request.n_stop = n;
    return true;
}

/* Several names of one limit: the smallest counts. */
static void read_limit(struct ask *a, const struct fields *f)
{
    static const enum field names[] = { F_max_tokens, F_max_completion_tokens, F_n_predict };
    const char *first = NULL;
    double most = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        double v = f->number[names[i]];
        if (!f->value[names[i]])
            continue;
        if (first && v != most)
            notes_adjusted(&a->notes, "%s and %s differ: the smaller one is used", first, field_table[names[i]].name);
        most = first ? fmin(v, most) : v;
        first = first ? first : field_table[names[i]].name;
    }
    a->request.max_tokens = (int)most;
    a->no_answer = first && most == 0 && field_flag(f, F_echo, false);
    if (first && most == 0 && !a->no_answer) {
        a->request.max_tokens = 1;
        notes_adjusted(&a->notes, "%s 0 is taken as 1", first);
    }
}

/* ---- how tokens are chosen ---- */

static void read_sampling(struct ask *a, const struct fields *f, const struct view *v)
{
    hearth_request *r = &a->request;
    r->sampling = v->sampling;
    memcpy(r->sampling_origin, v->sampling_origin, sizeof r->sampling_origin);
    for (int i = 0; i < N_FIELDS; i++) {
        int index = field_table[i].sampling;
        if (index < 0 || !f->value[i])
            continue;
        hearth_sampling_set(&r->sampling, index, f->number[i]);
        r->sampling_origin[index] = HEARTH_FROM_REQUEST;
    }
}

static bool read_bias(const json_t *value, const char *key, hearth_logit_bias *out, struct problem *p)
{
    bool is_id = *key != 0 && strlen(key) <= 9 && strspn(key, "0123456789") == strlen(key);
    if (!is_id)
        return refuse(p, PROBLEM_invalid_value, "logit_bias", "logit_bias has '%.40s' for a token; give its id "
                      "(/tokenize tells it)", key);
    if (!json_is_number(value) && !json_is_false(value))
        return refuse(p, PROBLEM_invalid_type, "logit_bias", "logit_bias of token %s must be a number, or false to ban "
                      "it", key);
    out->bias = json_is_false(value) ? -INFINITY : (float)json_number_value(value);
    out->id = 0;
    for (; *key; key++)
        out->id = out->id * 10 + (*key - '0');
    return true;
}

/* [[id, value], ...] */
static bool read_bias_pairs(const json_t *j, hearth_logit_bias *out, struct problem *p)
{
    for (size_t i = 0; i < json_array_size(j); i++) {
        const json_t *pair = json_array_get(j, i), *id = json_array_get(pair, 0);
        char key[32];
        if (json_array_size(pair) != 2 || !json_is_integer(id))
            return refuse(p, PROBLEM_invalid_type, "logit_bias", "logit_bias[%zu] must be a pair [token id, value]", i);
        snprintf(key, sizeof key, "%lld", (long long)json_integer_value(id));
        if (!read_bias(json_array_get(pair, 1), key, &out[i], p))
            return false;
    }
    return true;
}

static bool read_biases(struct ask *a, const json_t *j, const struct view *v, struct problem *p)
{
    if (j && !json_is_object(j) && !json_is_array(j))
        return field_wrong_type(p, "logit_bias", j, "an object {\"token id\": value}");
    size_t n = !j ? 0 : json_is_object(j) ? json_object_size(j) : json_array_size(j), i = 0;
    if (n > ASK_MAX_LOGIT_BIAS)
        return refuse(p, PROBLEM_invalid_value, "logit_bias", "logit_bias has %zu tokens; at most %d are taken", n,
                      ASK_MAX_LOGIT_BIAS);
    hearth_logit_bias *list = arena_array(&a->arena, hearth_logit_bias, n);
    const char *key;
    json_t *value;
    if (!list)
        return ask_no_memory(p);
    if (json_is_array(j) && !read_bias_pairs(j, list, p))
        return false;
    if (json_is_object(j))
        json_object_foreach((json_t *)(uintptr_t)j, key, value)
            if (!read_bias(value, key, &list[i++], p))
                return false;
    for (i = 0; i < n; i++)
        if (list[i].id >= v->info.n_vocab)
            return refuse(p, PROBLEM_invalid_value, "logit_bias", "logit_bias names token %d; ids lie between 0 and %d",
                          list[i].id, v->info.n_vocab - 1);
    a->request.logit_bias = list;
    a->request.n_logit_bias = n;
    return true;
}

/* ["top_k", "temperature"], or one text with ';' between. */
static bool read_samplers(struct ask *a, const json_t *j, struct problem *p)
{
    char text[512] = "";
    size_t used = 0;
    hearth_error err;
    if (!j)
        return true;
    if (!json_is_array(j) && !json_is_string(j))
        return field_wrong_type(p, "samplers", j, "a list of names");
    for (size_t i = 0; i < (json_is_array(j) ? json_array_size(j) : 1); i++) {
        const char *name = json_string_value(json_is_array(j) ? json_array_get(j, i) : j);
        if (!name)
            return refuse(p, PROBLEM_invalid_type, "samplers", "samplers[%zu] is no text", i);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ";" : "", name);
        if (used >= sizeof text)
            return refuse(p, PROBLEM_invalid_value, "samplers", "samplers has too many names; there are %d stages",
                          HEARTH_N_STAGES);
    }
    if (!hearth_sampling_order_read(&a->order, text, &err))
        return refuse(p, PROBLEM_invalid_value, "samplers", "%s", err.message);
    a->request.sampling_order = &a->order;
    return true;
}

static bool read_breakers(struct ask *a, const json_t *j, struct problem *p)
{
    static const char *const none[1];
    size_t n = json_array_size(j);
    if (!j)
        return true;
    if (n > HEARTH_MAX_BREAKERS)
        return refuse(p, PROBLEM_invalid_value, "dry_sequence_breakers", "there are %zu dry_sequence_breakers; at most "
                      "%d are taken", n, HEARTH_MAX_BREAKERS);
    const char **list = arena_array(&a->arena, const char *, n);
    if (!list)
        return ask_no_memory(p);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(j, i);
        hearth_text text;
        size_t length = json_string_length(one);
        if (!json_is_string(one) || length < 1 || length >= HEARTH_BREAKER_BYTES
            || strlen(json_string_value(one)) != length)
            return refuse(p, PROBLEM_invalid_value, "dry_sequence_breakers", "dry_sequence_breakers[%zu] must be a "
                          "text "
                          "of 1 to %d bytes", i, HEARTH_BREAKER_BYTES - 1);
        if (!ask_copy_text(a, one, &text, p))
            return false;
        list[i] = text.text;
    }
    a->request.dry_sequence_breakers = n ? list : none;
    a->request.n_dry_sequence_breakers = n;
    return true;
}

/* ---- what there is not yet: refused, so that nobody believes in it ---- */

static bool is_word(const json_t *j, const char *word)
{
    return json_is_string(j) && strcmp(json_string_value(j), word) == 0;
}

static bool no_constraints(const struct fields *f, struct problem *p)
{
    static const enum field formats[] = { F_json_schema, F_grammar }, choices[] = { F_tool_choice, F_function_call },
                            tools[] = { F_tools, F_functions };
    const json_t *format = json_object_get(f->value[F_response_format], "type");
    if (f->value[F_response_format] && !is_word(format, "text"))
        return refuse(p, PROBLEM_not_supported, "response_format", "response_format other than {\"type\": \"text\"} is "
                      "not supported yet; ask for the form in the prompt");
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (f->value[formats[i]])
            return refuse(p, PROBLEM_not_supported, field_table[formats[i]].name, "%s is not supported yet; ask for "
                          "the "
                          "form in the prompt", field_table[formats[i]].name);
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        if (json_array_size(f->value[tools[i]]) > 0)
            return refuse(p, PROBLEM_not_supported, field_table[tools[i]].name, "%s are not supported yet; leave them "
                          "out", field_table[tools[i]].name);
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        const json_t *j = f->value[choices[i]];
        if (j && !is_word(j, "none") && !is_word(j, "auto"))
            return refuse(p, PROBLEM_not_supported, field_table[choices[i]].name, "%s other than none and auto is not "
                          "supported yet", field_table[choices[i]].name);
    }
    return true;
}

static bool only_text(const struct fields *f, struct problem *p)
{
    const json_t *modalities = f->value[F_modalities];
    for (size_t i = 0; i < json_array_size(modalities); i++)
        if (!is_word(json_array_get(modalities, i), "text"))
            return refuse(p, PROBLEM_unsupported_content, "modalities", "the answer can only be text");
    if (f->value[F_audio])
        return refuse(p, PROBLEM_unsupported_content, "audio", "the answer can only be text; leave audio out");
    return true;
}

/* ---- all together ---- */

static bool read_probabilities(struct ask *a, const struct fields *f, struct problem *p)
{
    hearth_request *r = &a->request;
    bool chat = field_flag(f, F_chat_logprobs, false);
    if (f->value[F_top_logprobs] && f->number[F_top_logprobs] > 0 && !chat)
        return refuse(p, PROBLEM_invalid_value, "top_logprobs", "top_logprobs needs logprobs: true");
    a->logprobs = chat || f->value[F_text_logprobs] || f->number[F_n_probs] > 0;
    r->want_logprob = a->logprobs;
    r->n_alternatives = (int)(f->number[F_top_logprobs] + f->number[F_text_logprobs] + f->number[F_n_probs]);
    return true;
}

static bool read_streaming(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    const json_t *options = f->value[F_stream_options], *usage = json_object_get(options, "include_usage");
    const char *key;
    json_t *value;
    a->stream = field_flag(f, F_stream, false);
    a->ping_ms = f->value[F_sse_ping_interval] ? (int)(f->number[F_sse_ping_interval] * 1000) : v->ping_ms;
    a->request.want_progress = a->stream && field_flag(f, F_return_progress, false);
    if (f->value[F_return_progress] && !a->stream)
        notes_ignored(&a->notes, "return_progress");
    if (options && !a->stream)
        notes_ignored(&a->notes, "stream_options");
    if (usage && !json_is_boolean(usage) && !json_is_null(usage))
        return field_wrong_type(p, "stream_options.include_usage", usage, "true or false");
    a->include_usage = json_is_true(usage);
    json_object_foreach((json_t *)(uintptr_t)options, key, value) {
        char name[100];
        if (strcmp(key, "include_usage") == 0)
            continue;
        snprintf(name, sizeof name, "stream_options.%.60s", key);
        notes_ignored(&a->notes, name);
    }
    return true;
}

static bool read_n(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    a->n = f->value[F_n] ? (int)f->number[F_n] : 1;
    if (a->n > v->n_parallel)
        return refuse(p, PROBLEM_invalid_value, "n", "n is %d; this server computes %d at once (--parallel)", a->n,
                      v->n_parallel);
    if (f->value[F_best_of] && (int)f->number[F_best_of] != a->n)
        return refuse(p, PROBLEM_not_supported, "best_of", "best_of is %d and n is %d; choosing among more answers is "
                      "not supported", (int)f->number[F_best_of], a->n);
    return true;
}

static void read_model(struct ask *a, const struct fields *f)
{
    const char *name = json_string_value(f->value[F_model]);
    size_t n = name ? min_size(strlen(name), sizeof a->model - 1) : 0;
    while (name && n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
        n--; /* not inside of a character */
    snprintf(a->model, sizeof a->model, "%.*s", (int)n, name ? name : "");
}

static bool read_truncation(struct ask *a, const struct fields *f, struct problem *p)
{
    const json_t *j = f->value[F_truncation];
    a->request.truncate_chat = is_word(j, "auto");
    if (!j || is_word(j, "auto") || is_word(j, "disabled"))
        return true;
    return refuse(p, PROBLEM_invalid_value, "truncation", "truncation is '%.40s'; it must be auto or disabled",
                  json_string_value(j));
}

void ask_read_model(struct ask *a, const struct fields *f, const struct view *v)
{
    read_model(a, f);
    read_sampling(a, f, v);
    a->timeout_ms = (int)f->number[F_timeout_ms];
}

bool ask_read_common(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    hearth_request *r = &a->request;
    ask_read_model(a, f, v);
    read_limit(a, f);
    r->has_seed = f->value[F_seed] != NULL;
    if (r->has_seed)
        r->seed = json_is_integer(f->value[F_seed]) ? (uint64_t)json_integer_value(f->value[F_seed])
                                                    : (uint64_t)f->number[F_seed];
    r->ignore_eos = field_flag(f, F_ignore_eos, false);
    r->want_digest = field_flag(f, F_digest, false);
    r->no_prefix_cache = !field_flag(f, F_cache_prompt, true);
    a->return_tokens = field_flag(f, F_return_tokens, false);
    a->echo = field_flag(f, F_echo, false);
    r->score = a->no_answer; /* the prompt alone */
    r->score_prompt = a->no_answer || (a->echo && f->value[F_text_logprobs]);
    bool ok = no_constraints(f, p) && only_text(f, p) && read_truncation(a, f, p)
           && read_n(a, f, v, p) && read_stops(a, f->value[F_stop], p)
           && read_biases(a, f->value[F_logit_bias], v, p) && read_samplers(a, f->value[F_samplers], p)
           && read_breakers(a, f->value[F_dry_sequence_breakers], p) && read_probabilities(a, f, p)
           && read_streaming(a, f, v, p);
    preset_request(a, v);
    return ok;
}

/* ---- conversations ---- */

/* Parts that are no text have a code of their own: clients look for it. */
static bool only_text_parts(const json_t *messages, struct problem *p)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *content = json_object_get(json_array_get(messages, i), "content");
        for (size_t k = 0; json_is_array(content) && k < json_array_size(content); k++) {
            const char *type = json_string_value(json_object_get(json_array_get(content, k), "type"));
            char place[64];
            snprintf(place, sizeof place, "messages[%zu].content[%zu]", i, k);
            if (type && strcmp(type, "text") != 0)
                return refuse(p, PROBLEM_unsupported_content, place, "%s is of type '%.40s'; this model takes text "
                              "only",
                              place, type);
        }
    }
    return true;
}

static void note_message_key(void *arg, const char *sentence) { notes_adjusted(arg, "%s", sentence); }

/* The part of the request that messages.c reads, under its names. */
static json_t *chat_object(const struct fields *f)
{
    static const enum field taken[] = { F_messages, F_chat_template_kwargs, F_documents, F_reasoning_effort,
                                        F_add_generation_prompt, F_continue_final_message };
    json_t *o = json_object();
    for (size_t i = 0; o && i < ARRAY_LEN(taken); i++) {
        if (f->value[taken[i]]
            && json_object_set(o, field_table[taken[i]].name, (json_t *)(uintptr_t)f->value[taken[i]]) != 0) {
            json_decref(o);
            o = NULL;
        }
    }
    return o;
}

bool ask_read_chat(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    const json_t *messages = f->value[F_messages];
    hearth_error err;
    if (!messages)
        return refuse(p, PROBLEM_missing_field, "messages", "there are no messages; give a list of {role, content}");
    if (json_array_size(messages) > ASK_MAX_MESSAGES)
        return refuse(p, PROBLEM_invalid_value, "messages", "there are %zu messages; at most %d are taken",
                      json_array_size(messages), ASK_MAX_MESSAGES);
    if (!v->has_template)
        return refuse(p, PROBLEM_not_supported, "messages", "this model has no chat template; use /v1/completions, or "
                      "start the server with --chat-template");
    if (!only_text_parts(messages, p))
        return false;
    json_t *object = chat_object(f);
    bool ok = object && chat_from_json(&a->chat, object, note_message_key, &a->notes, &err);
    json_decref(object);
    if (!object || (!ok && err.status == HEARTH_ERR_MEMORY))
        return ask_no_memory(p);
    if (!ok)
        return refuse(p, PROBLEM_invalid_messages, "messages", "%s", err.message);
    for (size_t i = 0; i < a->chat.chat.n_messages; i++)
        for (size_t k = 0; k < a->chat.chat.messages[i].n_parts; k++)
            a->text_bytes += a->chat.chat.messages[i].parts[k].n_bytes;
    if (v->has_thinking_switch && is_word(f->value[F_reasoning_effort], "none"))
        a->chat.chat.thinking = HEARTH_THINKING_OFF;
    return preset_chat(a, f, v, p);
}
