/* seq.h: one sequence while it runs: from a row of logits to text in a stream. Owned by the
 * engine thread. */
#pragma once
#include "base/machine.h"
#include "base/pressure.h"
#include "engine/stream.h"

struct seq {
    struct hearth_stream *stream; /* NULL: the slot is free */
    uint64_t order;               /* of arrival */
    struct kv_seq kv;
    int32_t *history;      /* [n_ctx] prompt, then output */
    int n_prompt, n_total; /* tokens in history */
    int n_prefill;         /* of them to be read first: the prompt, after a preemption also what was sampled */
    int n_done;            /* positions in the KV cache */
    bool preempted;        /* its pages were needed: it has none, and waits for some */
    int64_t preempted_ns;
    int n_lost;            /* positions it had before */
    int save_at, branch_at; /* tokens after which its recurrent state is saved: the prompt's last full page, and where
                             * it leaves what is kept; 0: nowhere */
    int n_told;            /* prompt tokens that its last event of progress had */
    int n_scored;          /* scoring: the first prompt token whose event was not sent yet */
    struct keep_mark kept; /* pages of it that are noted for the disk */
    struct disk_load load; /* pages that are read from there, when `loading` */
    bool loading, load_tried;
    int64_t load_begin_ns;
    int leader, n_followed; /* the slot that reads the same up to n_followed; 0: none */
    uint64_t leader_order;
    int n_output;
    struct sampling_memory sampling; /* what the sampler remembers of this request */
    struct lookup lookup;
    int n_draft, n_right; /* tokens behind the last one that this step tries; of them were right */
    int n_verified;       /* rows of this step that were looked at */
    bool dropped;         /* the rest of the step's rows is not wanted */
    const hearth_choice *end_choice; /* of the token that ends it, while that is under way; NULL */
    struct hearth_stream *finished; /* ended in this step; the engine lets go of it after the step */

    struct detok detok;
    struct splitter split; /* thinking from answer; all is answer where the prompt is no conversation */
    char *held;     /* [STREAM_TEXT_MAX_BYTES] answer text that may be the start of a stop text */
    size_t n_held;
    char *thinking; /* [STREAM_TEXT_MAX_BYTES] thinking text of the event under way */

    int64_t begin_ns, first_token_ns, last_token_ns;
    struct process_faults faults_at_begin;
    struct pressure_counts pressure_at_begin;
    int64_t slow_reader_ns; /* since then nobody reads its events; 0: it has room for more */
};

/* Take a prepared stream into a free slot, with the keys and values that are kept of its prompt. */
void seq_begin(struct seq *s, struct hearth_stream *stream, uint64_t order);

/* Give its pages back. What was sampled stays; its keys and values are computed again. */
void seq_preempt(struct seq *s);
void seq_resume(struct seq *s);

/* Tokens of what it reads that may come from the cache: the last must be computed for its logits, a scored one needs
 * those before it. */
int seq_most_cached(const struct seq *s);
/* Scoring: the first prompt token that is still to be scored. */
static inline int seq_score_from(const struct seq *s)
{
    return max_int((int)s->stream->request.score_from, s->n_scored);
}

/* There are prompt tokens whose log-probabilities are still wanted. */
static inline bool seq_scores(const struct seq *s)
{
    const hearth_request *r = &s->stream->request;
    return r->score || (r->score_prompt && seq_score_from(s) < s->n_prompt);
}

/* Reading its prompt: keys and values that others have computed meanwhile are taken from them. */
void seq_join(struct seq *s);
/* A step has read more of its prompt; told to who wants to know. */
void seq_progress(struct seq *s);
/* Before a step: whether it must wait because nobody reads its events. */
void seq_note_reader(struct seq *s, bool slow);
/* Prompt tokens up to where its recurrent state is to be saved next; 0: nowhere. */
int seq_to_save(const struct seq *s);
/* Its state after n_tokens, whole pages, will be there for others. False: it is beyond that, or saves one before. */
bool seq_will_save(struct seq *s, int n_tokens);
/* After a step: others may have what is full. */
void seq_publish(struct seq *s);

/* load.c: the cache on disk. */

/* Pages that the cache on disk has behind those that it has: begin to read them. False: there are none. While it loads
 * it can neither run, nor end, nor give pages back. */
bool seq_load(struct seq *s);
/* Take what is read by now; when that has ended, it goes on as if it had computed it. */
void seq_load_look(struct seq *s);
/* Pages that others can find now may go to disk. */
void seq_keep(struct seq *s);

/* One row of logits: sample, send the token. False when the sequence has ended (END is sent
 * and the slot is free; `finished` holds the stream). logits are changed. */
bool seq_sample(struct seq *s, const struct kernels *k, float *logits);

/* What may come next, to be computed in the same step: into history behind n_total. Returns how many tokens. n_columns:
 * of the step so far. */
int seq_draft(struct seq *s, int n_columns);
/* A step has computed the last token and n tokens of the draft (0: none). What follows must be called in this order:
 * seq_verify() for rows 0, 1 ... n, as long as seq_wants() says so; then seq_settle(). */
void seq_try(struct seq *s, int n);
bool seq_wants(const struct seq *s);
/* The next row: as seq_sample(), then a look at whether the draft was right. */
void seq_verify(struct seq *s, const struct kernels *k, float *logits);
void seq_settle(struct seq *s, struct kv_pool *pool);

/* Scoring: logits of the position before prompt token `index`. */
void seq_score(struct seq *s, const struct kernels *k, const float *logits, int index);

/* End it. err NULL unless reason is HEARTH_END_ERROR. detail goes into the receipt. */
void seq_end(struct seq *s, hearth_end_reason reason, const char *detail, const hearth_error *err);
