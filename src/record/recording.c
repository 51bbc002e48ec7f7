#include "record/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "record/receipt_json.h"

enum { VERSION = 1, MAX_LIST = 4096, MIX_DIGITS = 16 };

void recording_free(struct recording *r)
{
    json_decref(r->receipt);
    json_decref(r->request);
    mem_free(r->prompt);
    mem_free(r->output);
    mem_free(r->mixes);
    *r = (struct recording){ 0 };
}

/* ---- the request ---- */

/* JSON has no infinity, and one is how a token is banned. */
static json_t *of_bias(float bias)
{
    return isinf(bias) ? json_string(bias > 0 ? "inf" : "-inf") : json_of_float(bias);
}

static bool bias_of(const json_t *j, float *out)
{
    const char *word = json_string_value(j);
    *out = word ? (word[0] == '-' ? -INFINITY : INFINITY) : (float)json_number_value(j);
    return word ? strcmp(word, "inf") == 0 || strcmp(word, "-inf") == 0 : json_is_number(j);
}

json_t *recording_of_request(const hearth_request *r)
{
    json_t *stop = json_array(), *bias = json_array();
    bool failed = false;
    for (size_t i = 0; i < r->n_stop; i++)
        failed |= json_array_append_new(stop, json_string(r->stop[i])) != 0;
    for (size_t i = 0; i < r->n_logit_bias; i++)
        failed |= json_array_append_new(bias, json_pack("[i, o]", r->logit_bias[i].id,
                                                       of_bias(r->logit_bias[i].bias))) != 0;
    json_t *all = json_pack("{s:i, s:o, s:o}", "max_tokens", r->max_tokens, "stop", stop, "logit_bias", bias);
    if (all && !failed)
        return all;
    json_decref(all);
    return NULL;
}

static bool blank(json_t *in, const char *key, json_t *value)
{
    if (json_object_get(in, key))
        return json_object_set_new(in, key, value) == 0;
    json_decref(value);
    return true;
}

/* Of the request the limit stays, and nothing that is not known here. */
bool recording_redact(struct recording *r)
{
    json_t *prefix = json_object_get(r->receipt, "prefix");
    json_t *breakers = json_object_get(r->receipt, "dry_sequence_breakers");
    json_t *most = json_object_get(r->request, "max_tokens");
    json_t *rest = json_pack("{s:O, s:[], s:[]}", "max_tokens", most ? most : json_null(), "stop", "logit_bias");
    json_decref(r->request);
    r->request = rest;
    r->n_prompt = r->n_output = 0;
    mem_free(r->mixes);
    r->mixes = NULL;
    r->end_mix = 0;
    json_object_del(r->receipt, "request");
    return rest && blank(r->receipt, "digest", json_null()) && blank(r->receipt, "request_id", json_null())
           && blank(r->receipt, "notes", json_array())
           && blank(prefix, "id", json_null()) && blank(prefix, "kept_id", json_null())
           && blank(breakers, "value", json_array()) && json_object_set_new(r->receipt, "redacted", json_true()) == 0;
}

/* ---- the request again ---- */

struct reading {
    const struct recording *r;
    struct arena *arena;
    hearth_request *to;
    hearth_error *err;
};

static bool lacks(hearth_error *err, const char *what)
{
    return fail(err, HEARTH_ERR_FORMAT, "the recording lacks %s, or has something else there; it was not written by "
                "hearth, or by a later one", what);
}

/* receipt.NAME.value */
static json_t *value_of(const json_t *in, const char *name)
{
    return json_object_get(json_object_get(in, name), "value");
}

static bool read_seed(const struct reading *x)
{
    const json_t *j = value_of(x->r->receipt, "seed");
    const char *digits = json_string_value(j);
    char *end = NULL;
    x->to->has_seed = true;
    x->to->seed = digits ? strtoull(digits, &end, 10) : (uint64_t)json_integer_value(j);
    return (digits ? digits[0] >= '0' && digits[0] <= '9' && !*end : json_is_integer(j)) || lacks(x->err, "the seed");
}

static bool read_sampling(const struct reading *x)
{
    const json_t *all = json_object_get(x->r->receipt, "sampling");
    hearth_sampling_defaults(NULL, &x->to->sampling, NULL);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        const json_t *value = value_of(all, info->name);
        if (!json_is_number(value) || json_number_value(value) < info->least || json_number_value(value) > info->most)
            return lacks(x->err, info->name);
        hearth_sampling_set(&x->to->sampling, i, json_number_value(value));
    }
    return true;
}

/* The names of a list, one behind the other with ';' between them. */
static bool read_order(const struct reading *x)
{
    char text[HEARTH_ORDER_BYTES + 32] = "";
    size_t i, n = 0;
    json_t *name, *list = value_of(x->r->receipt, "samplers");
    hearth_sampling_order *order = arena_new(x->arena, hearth_sampling_order);
    if (!order)
        return fail_memory(x->err, "a recording");
    bool ok = json_is_array(list);
    json_array_foreach(list, i, name) {
        const char *word = json_string_value(name);
        ok = ok && word && n + strlen(word) + 2 < sizeof text;
        if (ok)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? ";" : "", word);
    }
    x->to->sampling_order = order;
    return (ok && hearth_sampling_order_read(order, text, NULL)) || lacks(x->err, "the order of samplers");
}

/* A list of texts, NULL when it is none, or too long a one. */
static const char **read_texts(const struct reading *x, const json_t *list, size_t most, size_t *n)
{
    *n = json_array_size(list);
    const char **texts = json_is_array(list) && *n <= most ? arena_array(x->arena, const char *, *n + 1) : NULL;
    for (size_t i = 0; texts && i < *n; i++)
        if (!(texts[i] = json_string_value(json_array_get(list, i))))
            return NULL;
    return texts;
}

static bool read_biases(const struct reading *x)
{
    const json_t *list = json_object_get(x->r->request, "logit_bias");
    size_t n = json_array_size(list);
    hearth_logit_bias *bias = n <= MAX_LIST ? arena_array(x->arena, hearth_logit_bias, n + 1) : NULL;
    bool ok = json_is_array(list) && bias;
    for (size_t i = 0; ok && i < n; i++) {
        const json_t *pair = json_array_get(list, i), *id = json_array_get(pair, 0);
        ok = json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= INT32_MAX
             && bias_of(json_array_get(pair, 1), &bias[i].bias);
        bias[i].id = (int32_t)json_integer_value(id);
    }
    x->to->logit_bias = bias;
    x->to->n_logit_bias = n;
    return ok || lacks(x->err, "logit_bias");
}

static bool read_rest(const struct reading *x)
{
    const json_t *receipt = x->r->receipt, *most = json_object_get(x->r->request, "max_tokens");
    const json_t *template = json_object_get(receipt, "template");
    hearth_request *to = x->to;
    to->dry_sequence_breakers = read_texts(x, value_of(receipt, "dry_sequence_breakers"), HEARTH_MAX_BREAKERS,
                                           &to->n_dry_sequence_breakers);
    if (!to->dry_sequence_breakers)
        return lacks(x->err, "dry_sequence_breakers");
    to->stop = read_texts(x, json_object_get(x->r->request, "stop"), MAX_LIST, &to->n_stop);
    if (!to->stop)
        return lacks(x->err, "stop");
    if (!json_is_integer(most) || json_integer_value(most) < 0 || json_integer_value(most) > INT32_MAX)
        return lacks(x->err, "max_tokens");
    to->max_tokens = (int)json_integer_value(most);
    to->ignore_eos = json_is_true(json_object_get(receipt, "ignore_eos"));
    to->ids_are_chat = json_is_object(template);
    to->ids_start_thinking = json_is_true(json_object_get(template, "starts_thinking"));
    return true;
}

bool recording_ask(const struct recording *r, struct arena *arena, hearth_request *to, hearth_error *err)
{
    struct reading x = { r, arena, to, err };
    *to = (hearth_request){ .prompt_ids = r->prompt, .n_prompt_ids = r->n_prompt, .want_logits_mix = true };
    if (json_is_true(json_object_get(r->receipt, "redacted")))
        return fail(err, HEARTH_ERR_FORMAT, "the recording was redacted: it has no tokens to compute again");
    if (r->n_output == 0 && !r->end_mix)
        return fail(err, HEARTH_ERR_FORMAT, "nothing was answered that could be compared: it ended before its first "
                    "token, or its prompt alone was scored");
    if (r->n_prompt == 0)
        return lacks(err, "the prompt's tokens");
    return read_seed(&x) && read_sampling(&x) && read_order(&x) && read_biases(&x) && read_rest(&x);
}

const char *recording_text(const struct recording *r, const char *object, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(r->receipt, object), key));
    return text ? text : "";
}

bool recording_kv_type(const struct recording *r, hearth_kv_type *type, hearth_error *err)
{
    const char *name = recording_text(r, "memory", "kv_type");
    for (int i = 0; i < HEARTH_N_KV_TYPES; i++)
        if (strcmp(name, hearth_kv_type_name((hearth_kv_type)i)) == 0) {
            *type = (hearth_kv_type)i;
            return true;
        }
    return fail(err, HEARTH_ERR_FORMAT, "the recording's keys and values are of type '%.20s', which this hearth does "
                "not know", name);
}

/* ---- as a file ---- */

static json_t *of_ids(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    bool failed = !list;
    for (size_t i = 0; i < n && !failed; i++)
        failed = json_array_append_new(list, json_integer(ids[i])) != 0;
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

/* Digits: 64 bits are more than a number of JSON holds everywhere. */
static json_t *of_mix(uint64_t mix)
{
    char digits[MIX_DIGITS + 1];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)mix);
    return json_string(digits);
}

static json_t *of_mixes(const struct recording *r)
{
    json_t *list = r->mixes ? json_array() : json_null();
    bool failed = !list;
    for (size_t i = 0; r->mixes && i < r->n_output && !failed; i++)
        failed = json_array_append_new(list, of_mix(r->mixes[i])) != 0;
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

json_t *recording_to_json(const struct recording *r)
{
    return json_pack("{s:i, s:O, s:O, s:o, s:o, s:o, s:o}", "hearth_recording", VERSION, "receipt", r->receipt,
                     "request", r->request, "prompt_ids", of_ids(r->prompt, r->n_prompt), "output_ids",
                     of_ids(r->output, r->n_output), "logits_mixes", of_mixes(r), "end_mix", of_mix(r->end_mix));
}

static bool ids_of(const json_t *list, int32_t **ids, size_t *n)
{
    *n = json_array_size(list);
    if (!json_is_array(list) || *n > RECORDING_MAX_TOKENS || !(*ids = mem_alloc((*n + 1) * sizeof **ids)))
        return false;
    for (size_t i = 0; i < *n; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return false;
        (*ids)[i] = (int32_t)json_integer_value(id);
    }
    return true;
}

static bool mix_of(const json_t *j, uint64_t *mix)
{
    const char *digits = json_string_value(j);
    char *end;
    if (!digits || strlen(digits) != MIX_DIGITS || strspn(digits, "0123456789abcdef") != MIX_DIGITS)
        return false;
    *mix = strtoull(digits, &end, 16);
    return true;
}

static bool mixes_of(const json_t *list, struct recording *r)
{
    if (json_is_null(list))
        return true;
    if (!json_is_array(list) || json_array_size(list) != r->n_output
        || !(r->mixes = mem_alloc((r->n_output + 1) * sizeof *r->mixes)))
        return false;
    for (size_t i = 0; i < r->n_output; i++)
        if (!mix_of(json_array_get(list, i), &r->mixes[i]))
            return false;
    return true;
}

static bool read_file(struct recording *r, const json_t *json, hearth_error *err)
{
    const json_t *version = json_object_get(json, "hearth_recording");
    json_t *receipt = json_object_get(json, "receipt"), *request = json_object_get(json, "request");
    if (!json_is_integer(version))
        return fail(err, HEARTH_ERR_FORMAT, "this is no recording: it has no hearth_recording; `hearth export` writes "
                    "one");
    if (json_integer_value(version) != VERSION)
        return fail(err, HEARTH_ERR_FORMAT, "this recording is of version %lld, and this hearth reads version %d; "
                    "use the hearth that wrote it, or a later one", (long long)json_integer_value(version), VERSION);
    if (!json_is_object(receipt) || !json_is_object(request))
        return lacks(err, "the receipt or the request");
    r->receipt = json_incref(receipt);
    r->request = json_incref(request);
    return (ids_of(json_object_get(json, "prompt_ids"), &r->prompt, &r->n_prompt) || lacks(err, "prompt_ids"))
           && (ids_of(json_object_get(json, "output_ids"), &r->output, &r->n_output) || lacks(err, "output_ids"))
           && (mixes_of(json_object_get(json, "logits_mixes"), r) || lacks(err, "logits_mixes"))
           && (mix_of(json_object_get(json, "end_mix"), &r->end_mix) || lacks(err, "end_mix"));
}

bool recording_from_json(struct recording *r, const json_t *json, hearth_error *err)
{
    *r = (struct recording){ 0 };
    if (read_file(r, json, err))
        return true;
    recording_free(r);
    return false;
}
