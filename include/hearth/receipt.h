/* receipt.h: where a request's time and memory went. Part of hearth.h, which includes it. */
#pragma once

#include "hearth/hearth.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Why keys and values of a prompt were found up to a token and no further. */
typedef enum {
    HEARTH_PREFIX_NOT_ASKED, /* no_prefix_cache; or it never ran */
    HEARTH_PREFIX_WHOLE,     /* all were that can be: the last token is computed for its logits, and what is scored */
    HEARTH_PREFIX_NEW,       /* nothing that is kept begins so */
    HEARTH_PREFIX_ENDED,     /* what is kept ends there; also what came from disk */
    HEARTH_PREFIX_DIFFERS,   /* what is kept goes on with another token */
    HEARTH_PREFIX_EVICTED,   /* what followed was given up for others */
    HEARTH_PREFIX_NO_PAGE,   /* what followed is part of a page, and there was none free to copy it to */
    HEARTH_PREFIX_NO_STATE,  /* what followed has no recurrent state at its end: only some places have one */
} hearth_prefix_end;

typedef struct {
    char request_id[HEARTH_REQUEST_ID_BYTES + 1];
    char model_name[128];
    char model_identity[96];     /* as hearth_model_identity() */
    char isa[16];
    int arithmetic_revision;
    int n_threads, n_threads_prefill;
    int n_ctx_tokens;
    hearth_end_reason reason;
    char finish_detail[96];      /* "end-of-generation token 2", "max_tokens 64", "context full at 256", ... */
    int n_repeated_tokens;       /* the answer's end is these last ones again and again; 0: it is not */
    int n_repetitions;           /* so many times */

    uint64_t seed;
    bool seed_drawn;             /* nobody gave one */
    hearth_sampling sampling;
    hearth_origin sampling_origin[HEARTH_N_SAMPLING];
    hearth_sampling_order sampling_order;
    hearth_origin sampling_order_origin;
    int n_dry_sequence_breakers;
    char dry_sequence_breakers[HEARTH_MAX_BREAKERS][HEARTH_BREAKER_BYTES];
    hearth_origin dry_sequence_breakers_origin;
    size_t n_logit_bias;
    bool bos_added;
    bool ignore_eos;

    char template_from[64];      /* as in hearth_template_info; "" when the prompt came without one */
    char template_sha256[65];
    char template_date[20];      /* what it was told, if it asks for the date; else "" */
    int n_dropped_messages;      /* oldest ones, because of truncate_chat */
    int n_full_prompt_tokens;    /* of the prompt with them; 0: none were dropped */
    int n_specials_kept;         /* places in messages that look like a special token and stayed text */
    bool starts_thinking;        /* the prompt ended inside thinking text */
    int n_thinking_tokens;       /* of the output */

    double load_map_ms, load_metadata_ms, load_tokenizer_ms, load_plan_ms; /* of the model, once */
    double load_weights_ms;      /* waited until all of the file was in memory; 0: not asked for */
    bool weights_preloaded, weights_locked; /* asked for, and so it is */
    double load_template_ms;     /* compile it and find out what it can do; 0: not used yet */
    double queue_ms, template_ms, tokenize_ms;
    double wake_ms;              /* of queue_ms, it waited for its model to wake */
    int n_prompt_tokens;
    int n_cached_tokens;         /* prompt tokens whose keys and values were there, or came meanwhile from others */
    int n_prefix_tokens;         /* of them there when it began: at this index is the first that was not */
    hearth_prefix_end prefix_end; /* why not more */
    int32_t prefix_id;           /* the prompt token at that index */
    int32_t prefix_other_id;     /* HEARTH_PREFIX_DIFFERS: the one that was kept in its place; -1: not known */
    int n_disk_tokens;           /* of all that it read, those whose keys and values came from the cache on disk */
    double disk_ms;              /* it waited for them */
    int n_preemptions;           /* times its keys and values were given up for older requests */
    int n_recomputed_tokens;     /* prompt and answer tokens that were computed again for it */
    double preempted_ms;         /* it waited for pages */
    double prefill_ms;           /* first prompt token in to first token out */
    int n_prefill_chunks;
    int n_output_tokens;
    double decode_ms;            /* first token out to the last */
    int speculate;               /* as in the request; HEARTH_SPECULATE_OFF also where it could not be */
    int n_draft_tokens;          /* computed before it was known that they come */
    int n_accepted_tokens;       /* of them came: so many steps were saved */
    double sample_ms;            /* inside the two */
    double first_token_ms;       /* submit to first token */
    double total_ms;

    uint64_t decode_bytes_per_token; /* weights and KV read for one token, for GB/s */
    double bits_per_weight;      /* of the weights that are read for one token, on average */
    double weights_gb_per_s;     /* hearth_model_read_rate() when the receipt was asked for; 0: not measured */

    hearth_plan plan;            /* memory by part */
    uint64_t resident_bytes, peak_resident_bytes;
    bool kv_huge, workspace_huge, weights_huge; /* the system gives 2 MB pages to them, as far as it has some */
    uint64_t minor_faults, major_faults; /* of the process while it ran */
    uint64_t disk_read_bytes;    /* by the process meanwhile, ahead of faults too */
    double throttled_ms;         /* its threads together: processors were withheld, for a quota of the control group */
    double no_processor_ms;      /* the engine thread was ready and others ran */
    double slow_reader_ms;       /* it waited until its events were read */

    char digest[65];             /* of every step's logits, when asked for; else "" */
    char notes[512];             /* one line each: fallbacks taken, fields without effect */
} hearth_receipt;

/* Valid after the END event; false before it. */
bool hearth_stream_receipt(const hearth_stream *stream, hearth_receipt *out);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
