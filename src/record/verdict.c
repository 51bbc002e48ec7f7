#include "record/verdict.h"

#include <stdio.h>

#include "record/receipt_json.h"

/* Shares from which on something is the reason. */
#define MOST_OF_ALL   0.5
#define QUARTER       0.25
#define NEAR_ROOF     0.6
enum { LEAST_PROMPT = 64 };

const char *verdict_name(enum verdict_kind kind)
{
    static const char *const names[] = {
#define VERDICT(kind, name, help) name,
#include "record/verdicts.def"
    };
    return names[kind];
}

/* Parts of the time that do not overlap. */
struct times {
    double queue, preparing, prefill, decode, reader, all;
};

static struct times times_of(const hearth_receipt *r)
{
    struct times t = { .queue = r->queue_ms + r->preempted_ms, .preparing = r->template_ms + r->tokenize_ms,
                       .prefill = r->prefill_ms, .decode = r->decode_ms, .reader = r->slow_reader_ms };
    /* Waiting for pages and for a reader is part of the time in which it was read and said. */
    double waited = r->preempted_ms + t.reader, of_decode = waited < t.decode ? waited : t.decode;
    t.decode -= of_decode;
    t.prefill = t.prefill > waited - of_decode ? t.prefill - (waited - of_decode) : 0;
    t.all = r->total_ms > 0 ? r->total_ms : t.queue + t.preparing + t.prefill + t.decode + t.reader;
    return t;
}

static int percent(double part, double all)
{
    double share = all > 0 ? part / all : 0;
    return (int)(100 * (share < 1 ? share : 1) + 0.5);
}

static enum verdict_kind of_prefill(const hearth_receipt *r, const struct times *t, char *text, size_t room)
{
    int computed = r->n_prompt_tokens - r->n_cached_tokens;
    double rate = t->prefill > 0 ? computed / t->prefill * 1000 : 0;
    if (r->prefix_end == HEARTH_PREFIX_DIFFERS && computed >= LEAST_PROMPT
        && r->n_prefix_tokens < r->n_prompt_tokens / 2) {
        snprintf(text, room, "cache miss: %d %% of the time went to reading %d prompt tokens, because what is kept "
                 "differs from token %d on; put what changes (a date, a counter, a list in another order) behind what "
                 "does not",
                 percent(t->prefill, t->all), computed, r->n_prefix_tokens);
        return VERDICT_miss;
    }
    snprintf(text, room, "prefill-bound: %d %% of the time went to reading %d prompt tokens at %.0f tokens/s%s",
             percent(t->prefill, t->all), computed, rate,
             r->n_cached_tokens ? "" : "; a prompt that begins like an earlier one is read from where they part");
    return VERDICT_prefill;
}

/* Bits of a weight in a Q4_0 file, whose output matrix is kept finer; about the smallest that loses little. */
#define SMALL_BITS 4.7
#define WORTH_SAYING 1.5

/* What a smaller file, and company, would bring: from its own bytes, and from how fast it read its prompt, which is the
 * arithmetic of one more token in a step. Estimates, which leave out that reading and arithmetic overlap. */
static void say_remedies(const hearth_receipt *r, const struct times *t, char *text, size_t room)
{
    enum { USERS = 8 };
    int steps = receipt_decode_steps(r), computed = r->n_prompt_tokens - r->n_cached_tokens;
    double all = (double)r->decode_bytes_per_token, bits = r->bits_per_weight;
    double weights = all < (double)r->plan.weights_bytes ? all : (double)r->plan.weights_bytes;
    double faster = bits > SMALL_BITS ? all / (all - weights * (1 - SMALL_BITS / bits)) : 1;
    char users[80] = "several requests at once share the reading";
    if (computed >= LEAST_PROMPT && steps > 0 && t->prefill > 0) {
        double step = t->decode / steps, more = t->prefill / computed;
        double gain = USERS * step / (step + (USERS - 1) * more);
        if (gain >= WORTH_SAYING) /* less: the prompt was slow for another reason */
            snprintf(users, sizeof users, "%d users at once would get about %.1fx the total", USERS, gain);
    }
    if (faster >= 1.1)
        snprintf(text, room, "a Q4_0 file would be about %.1fx faster; %s", faster, users);
    else
        snprintf(text, room, "%s", users);
}

static enum verdict_kind of_decode(const hearth_receipt *r, const struct times *t, char *text, size_t room)
{
    int tokens = r->n_output_tokens > 1 ? r->n_output_tokens - 1 : 0;
    double share = receipt_roof_share(r), rate = t->decode > 0 ? tokens / t->decode * 1000 : 0;
    if (r->sample_ms > MOST_OF_ALL * t->decode) {
        snprintf(text, room, "sampling-bound: choosing tokens took %d %% of the time between them; fewer stages, or a "
                 "smaller top_k before them, cost less", percent(r->sample_ms, t->decode));
        return VERDICT_sampling;
    }
    if (share >= NEAR_ROOF) {
        int n = snprintf(text, room, "memory-bound: %.0f tokens/s, which reads weights at %.0f %% of this machine's "
                         "read roof; ", rate, 100 * share);
        say_remedies(r, t, text + n, room - (size_t)n);
        return VERDICT_memory;
    }
    if (share > 0)
        snprintf(text, room, "decode-bound: %.0f tokens/s, which reads weights at %.0f %% of what this machine can: "
                 "arithmetic, short steps or others on the machine took the rest", rate, 100 * share);
    else
        snprintf(text, room, "decode-bound: %d %% of the time went to %d tokens at %.0f tokens/s",
                 percent(t->decode, t->all), r->n_output_tokens, rate);
    return VERDICT_decode;
}

/* What kept it from computing, where that is the reason. N_VERDICTS: nothing did. */
static enum verdict_kind of_outside(const hearth_receipt *r, const struct times *t, char *text, size_t room)
{
    double computing = t->prefill + t->decode;
    double throttled = r->throttled_ms / (r->n_threads > 0 ? r->n_threads : 1);
    if (t->reader > MOST_OF_ALL * t->all) {
        snprintf(text, room, "slow reader: %d %% of the time it waited until its events were read; the client or the "
                 "network is slower than the model", percent(t->reader, t->all));
        return VERDICT_reader;
    }
    if (throttled > QUARTER * computing) {
        snprintf(text, room, "quota-bound: its control group withheld the processors for %d %% of the computing time; "
                 "raise the quota (cpu.max), or use fewer threads", percent(throttled, computing));
        return VERDICT_quota;
    }
    if ((double)r->disk_read_bytes > QUARTER * (double)r->plan.weights_bytes) {
        snprintf(text, room, "disk-bound: %llu MiB were read from disk while it was computed; after a start that "
                 "happens once (--preload), and again and again where the file is larger than the memory there is",
                 (unsigned long long)(r->disk_read_bytes >> 20));
        return VERDICT_disk;
    }
    if (r->no_processor_ms > QUARTER * computing) {
        snprintf(text, room, "crowded out: the engine had no processor for %d %% of the computing time, because others "
                 "ran; end them, or use fewer threads", percent(r->no_processor_ms, computing));
        return VERDICT_others;
    }
    return N_VERDICTS;
}

enum verdict_kind receipt_verdict(const hearth_receipt *r, char *text, size_t room)
{
    struct times t = times_of(r);
    if (r->n_output_tokens == 0 && r->prefill_ms <= 0) {
        snprintf(text, room, "nothing to judge: it ended before it was computed");
        return VERDICT_nothing;
    }
    double computing = t.prefill > t.decode ? t.prefill : t.decode;
    bool waited = t.queue > computing && t.queue > t.preparing && t.queue > t.reader;
    if (waited && r->wake_ms > MOST_OF_ALL * t.queue) {
        snprintf(text, room, "model asleep: %d %% of the time it waited until others had made room for its model; give "
                 "them more memory (--budget), pin it (--pin), or ask for one model after the other",
                 percent(r->wake_ms, t.all));
        return VERDICT_wake;
    }
    if (waited) {
        snprintf(text, room, "queue-bound: %d %% of the time it waited for a place; more requests at once "
                 "(--parallel), a second server, or fewer clients", percent(t.queue, t.all));
        return VERDICT_queue;
    }
    if (t.preparing > computing && t.preparing > t.reader) {
        snprintf(text, room, "prepare-bound: %d %% of the time went to rendering and tokenizing",
                 percent(t.preparing, t.all));
        return VERDICT_preparing;
    }
    enum verdict_kind outside = of_outside(r, &t, text, room);
    if (outside != N_VERDICTS)
        return outside;
    return t.prefill >= t.decode ? of_prefill(r, &t, text, room) : of_decode(r, &t, text, room);
}
