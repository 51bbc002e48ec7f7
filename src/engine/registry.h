/* registry.h: files and models behind their public handles. */
#pragma once
#include "base/file.h"
#include "base/thread.h"
#include "engine/figures.h"
#include "engine/keep.h"
#include "engine/readahead.h"
#include "format/gguf.h"
#include "infer/kv.h"
#include "infer/lookup.h"
#include "infer/sampler.h"
#include "model/forward.h"
#include "text/chat/chat.h"

enum { ENGINE_STEP_TOKENS = 512 }; /* most tokens in one step, unless asked otherwise */

/* An opened GGUF file: mapped and parsed, nothing else until asked. */
struct hearth_file {
    struct file_map maps[GGUF_MAX_PARTS];
    uint32_t n_maps;
    struct gguf gguf;
    struct model model; /* when runs */
    bool runs;
    hearth_error problem; /* why it does not run */
    char name[128];
    char types[160];
    char *architecture, *title, *template_text; /* NUL-terminated copies in arena */
    struct str overrides;   /* what the source replaced, in words; empty: nothing */
    char template_from[64]; /* "file", or what the source calls its own; "": there is none */
    struct arena arena;

    struct lock lock; /* for what is made lazily: tokenizer, chat, findings, pieces */
    struct tokenizer *tokenizer;
    hearth_error tokenizer_error;
    bool tokenizer_tried;
    struct chat *chat;
    hearth_error chat_error;
    bool chat_tried;
    hearth_template_info template_info; /* .from NULL: not asked for yet */
    const hearth_finding *findings;     /* NULL: not looked for yet */
    size_t n_findings;
    hearth_finding broken;              /* the one of a template that does not compile */
    struct str *pieces; /* [n_tokens] decoded texts, made on demand */

    double map_ms, metadata_ms, tokenizer_ms, plan_ms, template_ms;
};

/* The tokenizer, made at the first call. NULL and err when the file has none we know. */
struct tokenizer *file_tokenizer(hearth_file *f, hearth_error *err);
/* The chat template, compiled and looked at, at the first call. NULL and err when there is none
 * or it does not compile. */
struct chat *file_chat(hearth_file *f, hearth_error *err);
bool file_damaged(const hearth_file *f); /* a mapped part shrank under us */
uint64_t file_total_bytes(const hearth_file *f);
uint64_t file_header_bytes(const hearth_file *f); /* of it, metadata and directory: all that is not tensors or gaps */
static inline bool file_is_mapped(const hearth_file *f) { return f->maps[0].fd >= 0; } /* else bytes in memory */

/* What a plan is made from. */
struct plan_request {
    int n_ctx; /* 0: choose */
    int n_kv_tokens; /* of the pool; 0: a context for each sequence, as far as they fit */
    int n_seqs, n_threads, n_step_tokens;
    hearth_kv_type kv_type;
    uint64_t budget_bytes; /* 0: what the machine has free */
    /* Of the engine, in the plan of each of its models and in none of others_own_bytes. */
    uint64_t request_bytes, program_bytes;
    uint64_t others_own_bytes, others_weights_bytes; /* of the models that are open in it, their weights apart */
    uint64_t share_bytes;  /* most of it that this model may have; 0: what the others leave */
    uint64_t kept_bytes;   /* of its file beside the weights, where all of it is to be kept in memory */
    bool observed;         /* somebody looks at the inputs of matrix products */
    bool on_disk;          /* the engine has a cache on disk */
};
/* False, with the error, for a number that names no type. */
bool kv_type_ok(hearth_kv_type type, hearth_error *err);
/* What the machine has free, and what this process has of its own already, as far as that is the program's. */
uint64_t plan_machine_budget(uint64_t program_bytes);
/* Pure but for the machine's free memory when budget_bytes is 0. Never fails: plan->fits. */
void plan_make(hearth_plan *plan, const hearth_file *f, const struct plan_request *r);
/* The least that it needs, whatever it may have: one context, the one that is asked for or the shortest that is chosen
 * unasked; and the most that it has use for: the longest one for each sequence. Only the parts and their total. */
void plan_bounds(const hearth_file *f, const struct plan_request *r, hearth_plan *least, hearth_plan *most);
/* The sum in words, for a plan that does not fit. */
bool plan_refuse(const hearth_plan *plan, const hearth_file *f, hearth_error *err);
/* What the workspace of a context of n_ctx tokens is laid out for. */
struct workspace_shape plan_workspace(const struct plan_request *r, const hearth_file *f, int n_ctx);

/* A model in an engine: the file, and the memory that was planned for it. */
struct hearth_model {
    atomic_int n_refs;
    struct hearth_engine *engine;
    hearth_file *file;
    struct tokenizer *tokenizer; /* the file's */
    char identity[96];
    hearth_plan plan;
    struct readahead readahead; /* of the file's parts */
    bool locked;                /* the file's parts, in memory */
    double weights_ms;          /* waited for them */
    struct model_figures figures;
    bool pinned;               /* it never sleeps */
    int64_t keep_awake_ns;     /* idle it stays awake so long; 0: for ever */
    uint64_t awake_bytes;      /* that it gives back when it does */
    atomic_bool asleep, told_to_sleep;
    atomic_llong told_to_wake_ns; /* 0: it is not */
    atomic_int why_asleep;     /* hearth_sleep, also after it woke */
    atomic_ullong n_wakes, n_sleeps;

    _Atomic double weights_gb_per_s; /* as last measured; 0: not yet */

    /* Owned by the engine thread from here on. */
    struct roofs *reading; /* measures that; NULL: not wanted */
    int64_t read_next_ns;
    unsigned long long read_at_step;
    struct kv_pool kv;
    struct keep keep; /* its way to disk and back */
    struct workspace ws;
    struct observer observer;
    void *ws_memory;
    size_t ws_memory_bytes;
    bool ws_huge; /* 2 MB pages were granted */
    struct sampler_room room;
    float *logits_copy; /* [n_vocab] */
    void *room_memory;
    size_t room_bytes;
};

/* What a model with these options is planned from in this engine, as long as no other is open. */
struct plan_request registry_request(const hearth_engine *e, const hearth_model_options *o, const hearth_file *f);
/* It never sleeps. */
static inline bool registry_stays(const hearth_model_options *o) { return o->pinned || o->preload || o->lock; }
/* In range, and something there is. */
bool sampling_value_ok(int index, double value);
/* "" when the file has no general.sampling.sequence or a usable one; else why not. */
void sampling_sequence_problem(const hearth_model *m, char *text, size_t room);
/* "sha256 of header and tensor directory"-"total bytes". */
bool registry_identity(const hearth_file *f, char out[96], hearth_error *err);
/* What keys and values on disk are told from those of other models by: the identity, samples of all weights, and when
 * the file was written, to the second. False: no memory. */
bool registry_weights_digest(const hearth_file *f, const char *identity, uint8_t out[32]);
size_t registry_room_bytes(int n_vocab, int n_ctx);
