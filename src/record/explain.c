#include "record/explain.h"

#include <ctype.h>
#include <string.h>

#include "base/base.h"

static const struct {
    const char *name;
    char letter;
} parts[EXPLAIN_N_PARTS] = {
#define TIME_PART(name, letter, what) { #name, letter },
#include "record/time_parts.def"
};

const char *explain_part_name(enum explain_part part) { return parts[part].name; }
char explain_part_letter(enum explain_part part) { return parts[part].letter; }

/* ---- time ---- */

/* receipt[object][key], or receipt[key]; 0: it is not there. */
static double number(const json_t *receipt, const char *object, const char *key)
{
    const double most = 1e15; /* a recording comes from strangers */
    double v = json_number_value(json_object_get(object ? json_object_get(receipt, object) : receipt, key));
    return v < -most ? -most : v > most ? most : v;
}

static double positive(double ms) { return ms > 0 ? ms : 0; }

/* *from is made up of others: what they took is no longer its own. Returns what it had of it. */
static double take_out(double *from, double ms)
{
    double of_it = ms < *from ? ms : *from;
    *from -= of_it;
    return of_it;
}

void explain_time(struct explained_time *t, const json_t *receipt)
{
    double *ms = t->ms, sum = 0;
    *t = (struct explained_time){ .total_ms = positive(number(receipt, NULL, "total_ms")) };
    ms[EXPLAIN_queue] = positive(number(receipt, NULL, "queue_ms"));
    ms[EXPLAIN_wake] = take_out(&ms[EXPLAIN_queue], positive(number(receipt, NULL, "wake_ms")));
    ms[EXPLAIN_template] = positive(number(receipt, "template", "ms"));
    ms[EXPLAIN_tokenize] = positive(number(receipt, NULL, "tokenize_ms"));
    ms[EXPLAIN_prefill] = positive(number(receipt, "prefill", "ms"));
    ms[EXPLAIN_decode] = positive(number(receipt, "decode", "ms"));
    ms[EXPLAIN_cache] = take_out(&ms[EXPLAIN_prefill], positive(number(receipt, "disk", "ms")));
    /* These lie somewhere in the two, and most of it between tokens. */
    static const struct {
        enum explain_part part;
        const char *object, *key;
    } inside[] = {
        { EXPLAIN_network, "withheld", "slow_reader_ms" },
        { EXPLAIN_pages, "preemption", "ms" },
        { EXPLAIN_sampling, NULL, "sample_ms" },
    };
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        double all = positive(number(receipt, inside[i].object, inside[i].key));
        double of_decode = take_out(&ms[EXPLAIN_decode], all);
        ms[inside[i].part] = of_decode + take_out(&ms[EXPLAIN_prefill], all - of_decode);
    }
    for (int i = 0; i < EXPLAIN_other; i++)
        sum += ms[i];
    ms[EXPLAIN_other] = positive(t->total_ms - sum);
    t->total_ms = sum + ms[EXPLAIN_other];
}

void explain_bar(const struct explained_time *t, int width, char *out)
{
    double before = 0;
    int at = 0;
    for (int i = 0; i < EXPLAIN_N_PARTS && t->total_ms > 0; i++) {
        before += t->ms[i];
        int end = (int)(before / t->total_ms * width + 0.5);
        while (at < end && at < width)
            out[at++] = parts[i].letter;
    }
    out[at] = 0;
}

enum { SOME = 5 /* %: what matters */ };

static void say_share(struct buf *out, double ms, double all, const char *what)
{
    double of_all = ms < all ? ms : all; /* counters run on between a step's end and the answer's */
    if (all > 0 && 100 * ms >= SOME * all)
        buf_printf(out, "%.0f %% of the time %s\n", 100 * of_all / all, what);
}

void explain_trouble(const json_t *receipt, struct buf *out)
{
    double all = number(receipt, NULL, "total_ms"), threads = number(receipt, NULL, "n_threads");
    double read = number(receipt, "faults", "disk_read_bytes"), major = number(receipt, "faults", "n_major");
    double weights = number(receipt, "memory", "weights_bytes");
    say_share(out, number(receipt, "withheld", "throttled_ms") / (threads > 0 ? threads : 1), all,
              "the control group withheld processors, for its quota (cpu.max) was used up");
    say_share(out, number(receipt, "withheld", "no_processor_ms"), all,
              "the engine was ready and had no processor, because others ran");
    say_share(out, number(receipt, "withheld", "slow_reader_ms"), all,
              "its events were not read: the client, or the network, was slower than the model");
    if (100 * read >= SOME * weights && read > 0)
        buf_printf(out, "%.0f MiB (%.0f %% of the weights) were read from the disk meanwhile, with %.0f page faults "
                   "that waited for it\n", read / (1 << 20), weights > 0 ? 100 * read / weights : 0, major);
}

/* ---- the prompt ---- */

static const char *text_of(const json_t *receipt, const char *object, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(receipt, object), key));
    return text ? text : "";
}

/* The texts of tokens from..to have digits in them. */
static bool has_digits(hearth_file *file, const int32_t *ids, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        size_t n = 0;
        const char *text = hearth_file_token_text(file, ids[i], &n);
        for (size_t j = 0; text && j < n; j++)
            if (isdigit((unsigned char)text[j]))
                return true;
    }
    return false;
}

/* What mostly makes prompts differ at such a place. */
static void say_cause(const json_t *receipt, hearth_file *file, const int32_t *ids, size_t n_ids, size_t at,
                      struct buf *out)
{
    enum { AROUND = 4, BEGINNING = 10 /* % */ };
    bool digits = ids && file
                  && has_digits(file, ids, at > AROUND ? at - AROUND : 0, at + AROUND < n_ids ? at + AROUND : n_ids);
    double n_prompt = number(receipt, "prefill", "n_prompt_tokens");
    const char *date = text_of(receipt, "template", "date");
    if (json_is_object(json_object_get(receipt, "truncation")))
        buf_puts(out, " Likely cause: the oldest turns were left out so that it fits, so what follows stands elsewhere "
                 "each time; a larger --ctx, or a summary in their place, keeps the beginning.");
    else if (date[0] && digits)
        buf_printf(out, " Likely cause: the template puts the date into the prompt (%.20s).", date);
    else if (digits)
        buf_puts(out, " Likely cause: a date, a counter or an id that changes from request to request; put it behind "
                 "what stays the same.");
    else if (100 * (double)at < BEGINNING * n_prompt)
        buf_puts(out, " Likely cause: another beginning: another system prompt, or tools in another order.");
    else
        buf_puts(out, " Likely cause: an earlier turn was edited, or the client sends answers back in another form "
                 "than the model wrote them.");
}

static void say_differs(const json_t *receipt, hearth_file *file, const int32_t *ids, size_t n_ids, size_t at,
                        struct buf *out)
{
    const json_t *kept = json_object_get(json_object_get(receipt, "prefix"), "kept_id");
    if (ids && at < n_ids) {
        buf_printf(out, "Token %zu is ", at);
        explain_token(file, ids[at], out);
        if (json_is_integer(kept)) {
            buf_puts(out, ", where what is kept has ");
            explain_token(file, (int32_t)json_integer_value(kept), out);
        }
        buf_puts(out, ".");
    } else {
        buf_printf(out, "What is kept differs from token %zu on.", at);
    }
    say_cause(receipt, file, ids, n_ids, at, out);
}

void explain_prefix(const json_t *receipt, hearth_file *file, const int32_t *ids, size_t n_ids, struct buf *out)
{
    static const struct {
        const char *end, *words;
    } why[] = {
        { "whole", "All that can be known was; the last token is always computed." },
        { "new", "Nothing that is kept begins so: the first of its kind, the first since the start, or of another "
                 "key." },
        { "ended", "What is kept ends there; what follows is new." },
        { "evicted", "What followed had been given up, because its memory was needed: a larger --kv-tokens, or "
                     "--cache-dir, keeps more." },
        { "no page", "What followed was part of a page, and there was none free to copy it to." },
        { "no state", "What followed is kept, but has no recurrent state at its end: this model can go on "
                      "only from where it has one." },
        { "not asked for", "The request wanted all of it computed." },
    };
    double n_prompt = number(receipt, "prefill", "n_prompt_tokens"), n_prefix = number(receipt, "prefix", "n_tokens");
    double n_computed = number(receipt, "prefill", "n_computed_tokens"), ms = number(receipt, "prefill", "ms");
    const char *end = text_of(receipt, "prefix", "end");
    buf_printf(out, "%.0f of %.0f prompt tokens were known. ", n_prefix, n_prompt);
    if (strcmp(end, "differs") == 0)
        say_differs(receipt, file, ids, n_ids, n_prefix > 0 ? (size_t)n_prefix : 0, out);
    for (size_t i = 0; i < sizeof why / sizeof *why; i++)
        if (strcmp(end, why[i].end) == 0)
            buf_puts(out, why[i].words);
    if (n_computed > 1 && strcmp(end, "whole") != 0)
        buf_printf(out, " Reading the other %.0f took %.1f ms.", n_computed, ms);
}
