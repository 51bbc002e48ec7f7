#include "cli/receipt_text.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli/command.h"
#include "cli/units.h"
#include "record/receipt_json.h"

/* "412 tok/s", "3.21 tok/s"; "" when there is no time to divide by. */
static const char *rate(char out[UNITS_BYTES], int n_tokens, double ms)
{
    double v = ms > 0 && n_tokens > 0 ? n_tokens / ms * 1000 : 0;
    out[0] = 0;
    if (v > 0)
        snprintf(out, UNITS_BYTES, " (%.*f tok/s)", v < 10 ? 2 : v < 100 ? 1 : 0, v);
    return out;
}

void receipt_print_figures(const hearth_receipt *r)
{
    char prefill[UNITS_BYTES], decode[UNITS_BYTES], resident[UNITS_BYTES];
    char kept[80] = "", drafts[80] = "", disk[80] = "";
    int computed = r->n_prompt_tokens - r->n_cached_tokens;
    if (r->n_cached_tokens > 0)
        snprintf(kept, sizeof kept, ", %d of %d prompt tokens kept", r->n_cached_tokens, r->n_prompt_tokens);
    if (r->n_disk_tokens > 0)
        snprintf(disk, sizeof disk, " (%d from disk in %.1f ms)", r->n_disk_tokens, r->disk_ms);
    if (r->n_draft_tokens > 0)
        snprintf(drafts, sizeof drafts, ", %d of %d drafted tokens right", r->n_accepted_tokens, r->n_draft_tokens);
    fprintf(stderr,
            "prompt %d tokens in %.1f ms%s, first token after %.1f ms, answer %d tokens in %.1f ms%s, memory %s, "
            "end: %s%s%s%s\n",
            r->n_prompt_tokens, r->prefill_ms, rate(prefill, computed, r->prefill_ms), r->first_token_ms,
            r->n_output_tokens, r->decode_ms, rate(decode, max_int(r->n_output_tokens - 1, 0), r->decode_ms),
            text_of_bytes(resident, r->peak_resident_bytes),
            r->finish_detail[0] ? r->finish_detail : finish_reason_name(r->reason), kept, disk, drafts);
}

void print_in_line(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0; /* a control character of two bytes */
        if (*p == '\n')
            fputs("\\n", out);
        else if (*p < 0x20 || *p == 0x7f || c1)
            fprintf(out, "\\x%02x", c1 ? *++p : *p);
        else
            putc(*p, out);
    }
}

/* Without an exponent where nine digits behind the point hold it: prices of few tokens are small. */
static void print_real(FILE *out, double v)
{
    char text[32];
    if (fabs(v) >= 1e-4 || fabs(v) < 1e-9) {
        fprintf(out, "%.9g", v);
        return;
    }
    snprintf(text, sizeof text, "%.9f", v);
    for (size_t n = strlen(text); text[n - 1] == '0'; n--)
        text[n - 1] = 0;
    fputs(text, out);
}

static void print_scalar(FILE *out, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        print_in_line(out, json_string_value(v));
        break;
    case JSON_INTEGER:
        fprintf(out, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        print_real(out, json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        fputs(json_is_true(v) ? "yes" : "no", out);
        break;
    default:
        fputs("-", out);
    }
}

/* "a;b" */
static void print_list(FILE *out, json_t *v)
{
    size_t i;
    json_t *item;
    json_array_foreach(v, i, item) {
        fputs(i ? ";" : "", out);
        print_scalar(out, item);
    }
    if (json_array_size(v) == 0)
        fputs("none", out);
}

/* {"value": v, "from": where} as "v (where)"; any other object as "key v, key v". */
static void print_value(FILE *out, json_t *v)
{
    const char *key, *separator = "";
    json_t *item;
    size_t i;
    json_t *value = json_object_get(v, "value"), *from = json_object_get(v, "from");
    if (value && from) {
        if (json_is_array(value))
            print_list(out, value);
        else
            print_scalar(out, value);
        fputs(" (", out);
        print_scalar(out, from);
        fputc(')', out);
    } else if (json_is_object(v)) {
        json_object_foreach(v, key, item) {
            fputs(separator, out);
            print_in_line(out, key);
            fputc(' ', out);
            print_value(out, item);
            separator = ", ";
        }
    } else if (json_is_array(v)) {
        if (json_array_size(v) == 0)
            fputs("-", out);
        json_array_foreach(v, i, item) {
            fputs(separator, out);
            print_value(out, item);
            separator = "; ";
        }
    } else {
        print_scalar(out, v);
    }
}

void receipt_print_json(FILE *out, json_t *receipt)
{
    const char *key;
    json_t *v;
    json_object_foreach(receipt, key, v) {
        fprintf(out, "  ");
        print_in_line(out, key);
        fprintf(out, "%*s ", (int)(strlen(key) < 20 ? 20 - strlen(key) : 0), "");
        print_value(out, v);
        fputc('\n', out);
    }
}

void receipt_print_all(const hearth_receipt *r)
{
    json_t *all = receipt_to_json(r);
    fputs("receipt\n", stderr);
    if (!all)
        say("out of memory for the receipt; free some and run again");
    receipt_print_json(stderr, all);
    json_decref(all);
}
