#include "record/receipt_json.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "record/verdict.h"

const char *finish_reason_name(hearth_end_reason reason)
{
    switch (reason) {
    case HEARTH_END_STOP:
        return "stop";
    case HEARTH_END_LENGTH:
        return "length";
    case HEARTH_END_CANCELLED:
        return "cancelled";
    case HEARTH_END_ERROR:
        break;
    }
    return "error";
}

json_t *json_of_float(float v)
{
    char text[32];
    if (!isfinite(v))
        return json_null();
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    return json_real(strtod(text, NULL));
}

/* Milliseconds to the microsecond. */
static json_t *of_ms(double ms) { return isfinite(ms) ? json_real(round(ms * 1000) / 1000) : json_null(); }

static json_t *of_rate(double n, double ms)
{
    return ms > 0 && n > 0 ? json_real(round(n / ms * 1000 * 1000) / 1000) : json_null();
}

static json_t *of_u64(uint64_t n) { return json_integer((json_int_t)n); }

/* Text from a fixed field, which may have been cut inside a character. */
static json_t *of_text(const char *text)
{
    size_t n = 0, length = strlen(text);
    for (int c; n < length && (c = utf8_length((const uint8_t *)text + n, length - n, NULL, NULL)) > 0;)
        n += (size_t)c;
    return json_stringn(text, n);
}

static const char *origin_name(hearth_origin origin)
{
    switch (origin) {
    case HEARTH_FROM_MODEL:
        return "model";
    case HEARTH_FROM_PRESET:
        return "preset";
    case HEARTH_FROM_REQUEST:
        return "request";
    case HEARTH_FROM_DEFAULT:
        break;
    }
    return "default";
}

static json_t *of_sampling(const hearth_receipt *r)
{
    json_t *all = json_object();
    bool failed = false;
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        double v = hearth_sampling_get(&r->sampling, i);
        json_t *value = strcmp(info->type, "int") == 0 ? json_integer((json_int_t)v) : json_of_float((float)v);
        json_t *entry = json_pack("{s:o, s:s}", "value", value, "from", origin_name(r->sampling_origin[i]));
        failed |= json_object_set_new(all, info->name, entry) != 0;
    }
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

/* Takes the list; one that lacks an item is no list. */
static json_t *list_from(json_t *list, bool failed, hearth_origin origin)
{
    if (!failed)
        return json_pack("{s:o, s:s}", "value", list, "from", origin_name(origin));
    json_decref(list);
    return NULL;
}

static json_t *of_order(const hearth_receipt *r)
{
    json_t *names = json_array();
    bool failed = false;
    for (int i = 0; i < r->sampling_order.n; i++)
        failed |= json_array_append_new(names, json_string(hearth_sampling_stages()[r->sampling_order.stage[i]])) != 0;
    return list_from(names, failed, r->sampling_order_origin);
}

static json_t *of_breakers(const hearth_receipt *r)
{
    json_t *texts = json_array();
    bool failed = false;
    for (int i = 0; i < r->n_dry_sequence_breakers; i++)
        failed |= json_array_append_new(texts, of_text(r->dry_sequence_breakers[i])) != 0;
    return list_from(texts, failed, r->dry_sequence_breakers_origin);
}

/* Seeds above 2^63-1 do not fit a JSON integer everywhere: those come as a string of digits. */
static json_t *of_seed(const hearth_receipt *r)
{
    char digits[32];
    json_t *value = json_integer((json_int_t)r->seed);
    if (r->seed > INT64_MAX) {
        json_decref(value);
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)r->seed);
        value = json_string(digits);
    }
    return json_pack("{s:o, s:s}", "value", value, "from", r->seed_drawn ? "drawn" : "request");
}

json_t *plan_to_json(const hearth_plan *plan)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:i, s:i, s:i, s:i, s:o}",
                     "weights_bytes", of_u64(plan->weights_bytes),
                     "kv_type", hearth_kv_type_name(plan->kv_type), "kv_bytes", of_u64(plan->kv_bytes),
                     "workspace_bytes", of_u64(plan->workspace_bytes),
                     "vocabulary_bytes", of_u64(plan->vocabulary_bytes),
                     "program_bytes", of_u64(plan->program_bytes),
                     "request_bytes", of_u64(plan->request_bytes),
                     "total_bytes", of_u64(plan->total_bytes), "budget_bytes", of_u64(plan->budget_bytes),
                     "fits", plan->fits, "n_ctx_tokens", plan->n_ctx_tokens, "n_seqs", plan->n_seqs,
                     "n_kv_tokens", plan->n_kv_tokens, "n_threads", plan->n_threads,
                     "reason", of_text(plan->reason));
}

static json_t *of_memory(const hearth_receipt *r)
{
    json_t *memory = plan_to_json(&r->plan);
    json_t *huge = json_pack("{s:b, s:b, s:b}", "weights", r->weights_huge, "kv", r->kv_huge, "workspace",
                             r->workspace_huge);
    if (json_object_set_new(memory, "huge_pages", huge) == 0
        && json_object_set_new(memory, "resident_bytes", of_u64(r->resident_bytes)) == 0
        && json_object_set_new(memory, "peak_resident_bytes", of_u64(r->peak_resident_bytes)) == 0)
        return memory;
    json_decref(memory);
    return NULL;
}

static json_t *of_notes(const char *notes)
{
    json_t *lines = json_array();
    bool failed = false;
    while (*notes) {
        size_t n = strcspn(notes, "\n");
        char line[sizeof ((hearth_receipt *)0)->notes];
        snprintf(line, sizeof line, "%.*s", (int)n, notes);
        if (n > 0)
            failed |= json_array_append_new(lines, of_text(line)) != 0;
        notes += n + (notes[n] == '\n');
    }
    if (!failed)
        return lines;
    json_decref(lines);
    return NULL;
}

/* What was kept of the prompt when it began, and why not more. */
static json_t *of_prefix(const hearth_receipt *r)
{
    static const char *const why[] = {
        [HEARTH_PREFIX_NOT_ASKED] = "not asked for", [HEARTH_PREFIX_WHOLE] = "whole",
        [HEARTH_PREFIX_NEW] = "new",                 [HEARTH_PREFIX_ENDED] = "ended",
        [HEARTH_PREFIX_DIFFERS] = "differs",         [HEARTH_PREFIX_EVICTED] = "evicted",
        [HEARTH_PREFIX_NO_PAGE] = "no page",
        [HEARTH_PREFIX_NO_STATE] = "no state",
    };
    json_t *id = r->n_prompt_tokens > 0 ? json_integer(r->prefix_id) : json_null();
    json_t *other = r->prefix_end == HEARTH_PREFIX_DIFFERS && r->prefix_other_id >= 0
                        ? json_integer(r->prefix_other_id)
                        : json_null();
    return json_pack("{s:i, s:s, s:o, s:o}", "n_tokens", r->n_prefix_tokens, "end", why[r->prefix_end], "id", id,
                     "kept_id", other);
}

/* Of all that it read, what came from the cache on disk. */
static json_t *of_disk(const hearth_receipt *r)
{
    return json_pack("{s:i, s:o}", "n_tokens", r->n_disk_tokens, "ms", of_ms(r->disk_ms));
}

static json_t *of_prefill(const hearth_receipt *r)
{
    int computed = r->n_prompt_tokens - r->n_cached_tokens;
    return json_pack("{s:i, s:i, s:i, s:i, s:o, s:o}", "n_prompt_tokens", r->n_prompt_tokens, "n_cached_tokens",
                     r->n_cached_tokens, "n_computed_tokens", computed, "n_chunks", r->n_prefill_chunks, "ms",
                     of_ms(r->prefill_ms), "tokens_per_s", of_rate(computed, r->prefill_ms));
}

int receipt_decode_steps(const hearth_receipt *r)
{
    int tokens = r->n_output_tokens > 0 ? r->n_output_tokens - 1 : 0;
    return tokens > r->n_accepted_tokens ? tokens - r->n_accepted_tokens : 0;
}

static double share_of_measured(const hearth_receipt *r)
{
    if (r->weights_gb_per_s <= 0 || r->decode_ms <= 0)
        return 0;
    return (double)r->decode_bytes_per_token / 1e6 * receipt_decode_steps(r) / r->decode_ms / r->weights_gb_per_s;
}

/* An answer that was faster says that others were at work when the roof was measured: it is none. */
static bool roof_is_known(const hearth_receipt *r)
{
    const double noise = 1.1;
    return r->weights_gb_per_s > 0 && share_of_measured(r) <= noise;
}

double receipt_roof_share(const hearth_receipt *r) { return roof_is_known(r) ? share_of_measured(r) : 0; }

/* The first token belongs to prefill: decode_ms runs from it to the last. Tokens that were drafted cost no step. */
static json_t *of_decode(const hearth_receipt *r)
{
    int tokens = r->n_output_tokens > 0 ? r->n_output_tokens - 1 : 0;
    int steps = receipt_decode_steps(r);
    double share = receipt_roof_share(r);
    json_t *bits = r->bits_per_weight > 0 ? json_real(round(r->bits_per_weight * 100) / 100) : json_null();
    return json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n_output_tokens", r->n_output_tokens,
                     "n_thinking_tokens", r->n_thinking_tokens, "ms", of_ms(r->decode_ms), "tokens_per_s",
                     of_rate(tokens, r->decode_ms), "bytes_per_token", of_u64(r->decode_bytes_per_token),
                     "bits_per_weight", bits, "gb_per_s",
                     of_rate((double)r->decode_bytes_per_token / 1e9 * steps, r->decode_ms), "roof_gb_per_s",
                     roof_is_known(r) ? json_real(round(r->weights_gb_per_s * 1000) / 1000) : json_null(),
                     "roof_share", share > 0 ? json_real(round(share * 1000) / 1000) : json_null());
}

static json_t *of_speculation(const hearth_receipt *r)
{
    json_t *setting = r->speculate > 0 ? json_integer(r->speculate)
                                       : json_string(r->speculate == HEARTH_SPECULATE_OFF ? "off" : "auto");
    return json_pack("{s:o, s:i, s:i}", "setting", setting, "n_draft_tokens", r->n_draft_tokens, "n_accepted_tokens",
                     r->n_accepted_tokens);
}

static const struct receipt_price *price;

void receipt_price_set(const struct receipt_price *p) { price = p; }

/* What the same tokens would have cost there, all of the prompt new to it. */
static json_t *of_price(const hearth_receipt *r)
{
    if (!price)
        return json_null();
    double amount = (r->n_prompt_tokens * price->input + r->n_output_tokens * price->output) / 1e6;
    return json_pack("{s:f, s:s, s:s, s:s}", "amount", round(amount * 1e9) / 1e9, "currency", price->currency, "model",
                     price->model, "date", price->date);
}

/* Sticky: one check at the end. */
struct object {
    json_t *json;
    bool failed;
};

static void put(struct object *o, const char *key, json_t *value)
{
    if (json_object_set_new(o->json, key, value) != 0)
        o->failed = true;
}

static void put_identity(struct object *o, const hearth_receipt *r)
{
    put(o, "request_id", of_text(r->request_id));
    put(o, "version", json_string(hearth_version()));
    put(o, "model", json_pack("{s:o, s:o}", "name", of_text(r->model_name), "identity", of_text(r->model_identity)));
    put(o, "isa", of_text(r->isa));
    put(o, "arithmetic_revision", json_integer(r->arithmetic_revision));
    put(o, "n_threads", json_integer(r->n_threads));
    put(o, "n_threads_prefill", json_integer(r->n_threads_prefill));
    put(o, "n_ctx_tokens", json_integer(r->n_ctx_tokens));
}

/* What was left out of a conversation so that it fits. null: nothing. */
static json_t *of_truncation(const hearth_receipt *r)
{
    if (r->n_full_prompt_tokens == 0)
        return json_null();
    return json_pack("{s:i, s:i}", "n_dropped_messages", r->n_dropped_messages, "n_full_prompt_tokens",
                     r->n_full_prompt_tokens);
}

/* Of a conversation: the template, and what came of its text. null: the prompt came without one. */
static json_t *of_template(const hearth_receipt *r)
{
    if (!r->template_from[0])
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:b}", "from", of_text(r->template_from), "sha256",
                     of_text(r->template_sha256), "date", r->template_date[0] ? of_text(r->template_date) : json_null(),
                     "ms", of_ms(r->template_ms), "n_specials_kept", r->n_specials_kept, "starts_thinking",
                     r->starts_thinking);
}

static json_t *of_finish(const hearth_receipt *r)
{
    json_t *repetition = json_null();
    if (r->n_repeated_tokens > 0)
        repetition = json_pack("{s:i, s:i}", "n_tokens", r->n_repeated_tokens, "n_times", r->n_repetitions);
    return json_pack("{s:s, s:o, s:o}", "reason", finish_reason_name(r->reason), "detail", of_text(r->finish_detail),
                     "repetition", repetition);
}

json_t *receipt_to_json(const hearth_receipt *r)
{
    char verdict[RECEIPT_VERDICT_BYTES];
    enum verdict_kind kind = receipt_verdict(r, verdict, sizeof verdict);
    struct object o = { json_object(), false };
    put_identity(&o, r);
    put(&o, "verdict", json_pack("{s:s, s:s}", "kind", verdict_name(kind), "sentence", verdict));
    put(&o, "finish", of_finish(r));
    put(&o, "seed", of_seed(r));
    put(&o, "sampling", of_sampling(r));
    put(&o, "samplers", of_order(r));
    put(&o, "dry_sequence_breakers", of_breakers(r));
    put(&o, "n_logit_bias", json_integer((json_int_t)r->n_logit_bias));
    put(&o, "bos_added", json_boolean(r->bos_added));
    put(&o, "ignore_eos", json_boolean(r->ignore_eos));
    put(&o, "load", json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "map_ms", of_ms(r->load_map_ms), "metadata_ms",
                              of_ms(r->load_metadata_ms), "tokenizer_ms", of_ms(r->load_tokenizer_ms), "plan_ms",
                              of_ms(r->load_plan_ms), "template_ms", of_ms(r->load_template_ms), "weights_ms",
                              of_ms(r->load_weights_ms)));
    put(&o, "weights", json_pack("{s:b, s:b}", "preloaded", r->weights_preloaded, "locked", r->weights_locked));
    put(&o, "queue_ms", of_ms(r->queue_ms));
    put(&o, "wake_ms", of_ms(r->wake_ms));
    put(&o, "template", of_template(r));
    put(&o, "truncation", of_truncation(r));
    put(&o, "tokenize_ms", of_ms(r->tokenize_ms));
    put(&o, "prefix", of_prefix(r));
    put(&o, "disk", of_disk(r));
    put(&o, "prefill", of_prefill(r));
    put(&o, "decode", of_decode(r));
    put(&o, "preemption", json_pack("{s:i, s:i, s:o}", "n", r->n_preemptions, "n_recomputed_tokens",
                                    r->n_recomputed_tokens, "ms", of_ms(r->preempted_ms)));
    put(&o, "speculation", of_speculation(r));
    put(&o, "sample_ms", of_ms(r->sample_ms));
    put(&o, "first_token_ms", of_ms(r->first_token_ms));
    put(&o, "total_ms", of_ms(r->total_ms));
    put(&o, "memory", of_memory(r));
    put(&o, "faults", json_pack("{s:o, s:o, s:o}", "n_minor", of_u64(r->minor_faults), "n_major",
                                of_u64(r->major_faults), "disk_read_bytes", of_u64(r->disk_read_bytes)));
    put(&o, "withheld", json_pack("{s:o, s:o, s:o}", "throttled_ms", of_ms(r->throttled_ms), "no_processor_ms",
                                  of_ms(r->no_processor_ms), "slow_reader_ms", of_ms(r->slow_reader_ms)));
    put(&o, "equivalent_api_price", of_price(r));
    put(&o, "digest", r->digest[0] ? json_string(r->digest) : json_null());
    put(&o, "notes", of_notes(r->notes));
    if (!o.failed)
        return o.json;
    json_decref(o.json);
    return NULL;
}

bool receipt_without_texts(json_t *receipt)
{
    json_t *prefix = json_object_get(receipt, "prefix");
    json_t *breakers = json_object_get(receipt, "dry_sequence_breakers");
    const char *from = json_string_value(json_object_get(breakers, "from"));
    return json_object_set_new(prefix, "id", json_null()) == 0
        && json_object_set_new(receipt, "digest", json_null()) == 0 /* who guesses right could find out */
        && json_object_set_new(prefix, "kept_id", json_null()) == 0
        && (!from || strcmp(from, "request") != 0 || json_object_set_new(breakers, "value", json_null()) == 0);
}
