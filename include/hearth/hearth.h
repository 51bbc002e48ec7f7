/* hearth.h: the public interface of libhearth.
 *
 *   hearth_engine    one thread that computes, one memory budget
 *   hearth_model     an opened GGUF file: immutable, reference-counted
 *   hearth_request   what to generate and how (a struct you fill in)
 *   hearth_stream    one running request; read its events until it ends
 *   hearth_receipt   where time and memory went, and what a replay needs
 *
 * For every function in this file:
 *
 *   Errors   A function that can fail returns NULL or false and fills *err (err may be
 *            NULL). err->message is one sentence the user of your program can act on.
 *   Strings  UTF-8. Inputs are borrowed for the duration of the call. Outputs say how long
 *            they live.
 *   Threads  Call from any thread; one stream has one reader at a time.
 *   Units    Names carry them: _bytes, _tokens, _ms. Counts start with n_.
 *   Zero     Zero-initialise every struct you pass in: 0 means "the default".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a shared library shows; all else is hidden. */
#pragma GCC visibility push(default)

/* Most bytes of hearth_request.request_id. */
enum { HEARTH_REQUEST_ID_BYTES = 64 };

typedef struct hearth_engine hearth_engine;
typedef struct hearth_model hearth_model;
typedef struct hearth_stream hearth_stream;
typedef struct hearth_file hearth_file;

typedef enum {
    HEARTH_OK = 0,
    HEARTH_ERR_USAGE,     /* the caller asked for something that cannot be */
    HEARTH_ERR_IO,        /* the operating system refused */
    HEARTH_ERR_FORMAT,    /* a file or message is damaged, or unknown to us */
    HEARTH_ERR_MEMORY,    /* does not fit; the message says what would */
    HEARTH_ERR_BUSY,      /* queue full; try again */
    HEARTH_ERR_CANCELLED, /* somebody asked for it to stop */
    HEARTH_ERR_MODEL,     /* the model produced NaN or Inf, or its file changed under us */
} hearth_status;

typedef struct {
    hearth_status status;
    char message[512]; /* "" when status is HEARTH_OK */
    /* HEARTH_ERR_USAGE because a prompt does not fit: what it has, and what there is room for; else 0. */
    uint64_t n_prompt_tokens;
    int n_ctx_tokens;
} hearth_error;

/* ------------------------------------------------------------------ the library itself */

/* "0.1.0". Static. */
const char *hearth_version(void);

/* Raised whenever the bits of any result may change. A replay on the same revision, model
 * and parameters is exact. */
int hearth_arithmetic_revision(void);

/* Name of the instruction set in use ("avx512vnni", ...). NULL when HEARTH_ISA names one
 * that this build or CPU does not have; the error lists those that run here. Static. */
const char *hearth_isa(hearth_error *err);

/* Space-separated names of the instruction sets that run here, best first. Static. */
const char *hearth_isa_list(void);

/* Writes up to cap names of supported architectures (static strings), returns how many exist. */
size_t hearth_architectures(const char **names, size_t cap);

/* What keys and values are kept as: HEARTH_KV_f16 (the default, 0), HEARTH_KV_bf16, HEARTH_KV_q8: kv_types.def. */
typedef enum {
#define KV_TYPE(name, value_bytes, group, help) HEARTH_KV_##name,
#include "hearth/kv_types.def"
    HEARTH_N_KV_TYPES
} hearth_kv_type;

/* "f16"; NULL for a value that is none of them. Static. */
const char *hearth_kv_type_name(hearth_kv_type type);

/* ------------------------------------------------------------------ files: look before loading */

/* Names for tokenizer.ggml.pre, one for each way to cut text that this build knows (static strings): writes up to cap,
 * returns how many there are. */
size_t hearth_pretokenizers(const char **names, size_t cap);

/* Something of a file that is read as if it said otherwise: to find out what is wrong with it, or to use it all the
 * same. The identity of the model is another one then, and receipts say what was replaced. */
typedef enum {
    HEARTH_OVERRIDE_FLOAT, /* the metadata value `key` is `number` */
    HEARTH_OVERRIDE_TEXT,  /* the metadata value `key` is `text` */
    HEARTH_OVERRIDE_SWAP,  /* the tensors `key` and `text`, of one shape, have each other's data */
} hearth_override_type;
typedef struct {
    hearth_override_type type;
    const char *key, *text;
    double number;
} hearth_override;
enum { HEARTH_MAX_OVERRIDES = 64 };

/* Where a model's bytes come from. Give path, or bytes that outlive the handle. */
typedef struct {
    const char *path;    /* GGUF file; of a split set, its first part */
    const void *bytes;   /* instead of path: a model in memory (the built-in one), at a multiple of 4 bytes */
    size_t n_bytes;
    const char *name;    /* shown in receipts; NULL: the path's last component */
    const char *chat_template;      /* Jinja text to use instead of the file's own; NULL: the file's */
    const char *chat_template_name; /* what receipts call it; NULL: "given" */
    const hearth_override *overrides; /* one after the other; NULL: none */
    size_t n_overrides;
} hearth_source;

/* Open a GGUF file and read its metadata, nothing more: works for vocabularies without
 * tensors and for architectures this build cannot run. HEARTH_ERR_IO or HEARTH_ERR_FORMAT; HEARTH_ERR_USAGE for an
 * override of what it does not have.
 * You own the handle; release it with hearth_file_close(). */
hearth_file *hearth_file_open(const hearth_source *source, hearth_error *err);
void hearth_file_close(hearth_file *file); /* NULL is a no-op */

/* Tokens that tell a model which part of a text is where, so that it writes what is missing in between. */
typedef enum {
    HEARTH_FIM_PREFIX,     /* before the text in front of the gap */
    HEARTH_FIM_SUFFIX,     /* before the text behind it */
    HEARTH_FIM_MIDDLE,     /* before the answer */
    HEARTH_FIM_PAD,
    HEARTH_FIM_REPOSITORY, /* before the name of a repository */
    HEARTH_FIM_FILE,       /* before the name of a file, its text on the next line */
    HEARTH_N_FIM
} hearth_fim;
/* "fim_prefix", ...; NULL for a value that is none of them. Static. */
const char *hearth_fim_name(hearth_fim which);

/* As hearth_model_identity(), and a SHA-256 in hexadecimal that also tells files apart whose headers are the same, as
 * fine-tuned ones have: of the identity, of some bytes of each tensor, and of when the file was written, to the second.
 * HEARTH_ERR_MEMORY. */
bool hearth_file_identity(const hearth_file *file, char out[96], hearth_error *err);
bool hearth_file_digest(const hearth_file *file, char out[65], hearth_error *err);

/* What the metadata says. Strings live as long as the file handle. */
typedef struct {
    const char *architecture;
    const char *name;            /* general.name; "" when absent */
    const char *types;           /* tensor types by share of bytes, e.g. "Q4_K 78 %, Q6_K 22 %" */
    uint64_t n_parameters;
    uint64_t file_bytes;         /* all parts of a split set */
    uint64_t weight_bytes;
    uint32_t gguf_version;
    uint32_t n_tensors, n_metadata, n_parts;
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab; /* 0: not stated; of unlike layers the most */
    bool layers_differ;          /* in their heads or widths */
    int n_ctx_train;
    int n_latent;                /* values of a key that are its value, too, and kept once; 0: they are apart */
    uint64_t kv_bytes_per_token; /* at f16 */
    /* Of a model that runs here, where it has them; else 0. */
    int n_experts, n_experts_used, n_ff_expert; /* of a layer, of a token, and the width of each */
    int n_ff_shared;             /* width of what all tokens have beside them */
    int n_dense_layers;          /* that have no experts, where others do */
    int n_window_layers, n_window_tokens; /* layers that see only so many tokens */
    int n_state_layers;          /* that keep a state instead of keys and values */
    uint64_t state_bytes;        /* of one sequence */
    const char *tokenizer;       /* "llama (SentencePiece BPE)", "gpt2 (byte-level BPE, qwen2)", ... */
    int32_t bos_id, eos_id;      /* -1: none */
    int32_t fim_id[HEARTH_N_FIM]; /* -1: none; by the file's metadata, else by well-known texts of tokens */
    const char *pooling;         /* of embeddings: "none", "mean", "cls", "last", "rank"; "": not stated */
    const char *template_text;   /* the chat template; "" when the file has none */
    bool runs;                   /* this build can run it on a machine with memory enough */
    const char *problem;         /* one sentence when it cannot; "" */
    const char *warning;         /* one sentence when its pre-tokenizer had to be guessed; "" */
} hearth_file_info;
void hearth_file_describe(const hearth_file *file, hearth_file_info *info);

/* What computing costs: what a speed is held against. Multiply-adds of matrices and attention; the rest is small. */
typedef struct {
    uint64_t pass_bytes;     /* weights read in one pass over the model, by however many tokens share it */
    uint64_t kv_bytes, kv_read_bytes; /* keys and values of one position: kept; and read for every later token */
    uint64_t layer_macs;     /* of one token in the matrices of all layers */
    uint64_t output_macs;    /* of one token's logits: once a prompt, once each token that is generated */
    uint64_t attention_macs; /* of one token with one position that it sees, all layers */
} hearth_cost;
/* With keys and values of this type. False for a file that this build cannot run. */
bool hearth_file_cost(const hearth_file *file, hearth_kv_type kv_type, hearth_cost *cost);

/* The part of that in each number format that the matrices have: formats differ in what it takes to unpack them. */
typedef struct {
    const char *name;        /* "q4_K"; static */
    uint64_t pass_bytes;     /* all formats together: hearth_cost.pass_bytes without rows that are looked up */
    uint64_t layer_macs, output_macs;
} hearth_format_cost;
/* Writes up to cap of them, the one with most bytes first; returns how many there are. 0: this build cannot run it. */
size_t hearth_file_format_costs(const hearth_file *file, hearth_format_cost *out, size_t cap);

/* Memory by part, computed from shapes before anything is touched. */
typedef struct {
    uint64_t weights_bytes;   /* file pages, shared and reclaimable */
    hearth_kv_type kv_type;
    uint64_t kv_bytes;        /* the paged pool, and where layers keep recurrent states the pool of those */
    uint64_t state_bytes;     /* of these, the second: of sequences that run, and snapshots that others go on from */
    uint64_t workspace_bytes; /* activations, logits, scratch of every thread, what each sequence has beside its keys
                               * and values, lists of pages; with a cache on disk, copies of pages on their way there */
    uint64_t vocabulary_bytes; /* tokens, merges, and what is read of the file's metadata */
    uint64_t program_bytes;   /* set aside for the program itself (hearth_engine_options), once for all models */
    uint64_t request_bytes;   /* set aside for what requests bring (hearth_engine_options) and for the list of a cache
                               * on disk, once for all models */
    uint64_t total_bytes;
    uint64_t asleep_bytes;    /* of these, what it keeps while it sleeps: the vocabulary, and indexes over its cache */
    uint64_t budget_bytes;    /* what it is held against: its share, or what the engine's other models leave */
    uint64_t machine_budget_bytes; /* of all models of the engine together */
    int n_ctx_tokens;         /* the context this plan holds: of each request, however many run */
    int n_seqs;               /* that may run at once */
    int n_kv_tokens;          /* that the pool holds, of all of them together: at least one context */
    int n_threads;
    bool fits;
    char reason[256];         /* why this context: "trained length", "largest power of two that fits", ... */
} hearth_plan;

/* The plan on this machine: n_ctx_tokens 0 chooses, as hearth_model_open() would;
 * n_threads 0: one per physical core; budget_bytes 0: what the machine has free.
 * A plan that does not fit is not an error: plan->fits says so and reason has the sum. */
bool hearth_file_plan(const hearth_file *file, int n_ctx_tokens, hearth_kv_type kv_type, int n_threads,
                      uint64_t budget_bytes, hearth_plan *plan, hearth_error *err);
/* The same for n_seqs sequences at once (1 to 64), each with keys and values of a whole context. */
bool hearth_file_plan_seqs(const hearth_file *file, int n_ctx_tokens, int n_seqs, hearth_kv_type kv_type, int n_threads,
                           uint64_t budget_bytes, hearth_plan *plan, hearth_error *err);
/* What else: all that hearth_file_plan() is told; what is 0 is the default there, n_seqs 0: 1. */
typedef struct {
    int n_ctx_tokens, n_seqs;
    hearth_kv_type kv_type;
    int n_threads;
    uint64_t budget_bytes, program_bytes, request_bytes; /* as in hearth_engine_options */
} hearth_plan_options;
bool hearth_file_plan_with(const hearth_file *file, const hearth_plan_options *options, hearth_plan *plan,
                           hearth_error *err);

/* What would fit in a plan's budget, with its weights, threads and sequences. */
typedef struct {
    int longest_ctx_tokens[HEARTH_N_KV_TYPES]; /* with each type of keys and values, up to n_ctx_train; 0: none */
    int n_ctx_train;
    double bits_per_weight, most_bits_per_weight; /* that it has, and that would fit beside this context; 0: none */
} hearth_plan_choices;
/* By planning again. All 0 for a file that this build cannot run. */
void hearth_file_plan_choices(const hearth_file *file, const hearth_plan *plan, hearth_plan_choices *out);

/* Tokenize with the file's own vocabulary. parse_special: texts of special tokens become
 * those tokens (only for text you trust). add_bos: as the file asks. Writes up to cap ids,
 * returns how many there are (call again with more room if it is above cap), or -1. */
int64_t hearth_file_tokenize(hearth_file *file, const char *text, size_t text_bytes, bool parse_special,
                             bool add_bos, int32_t *ids, size_t cap, hearth_error *err);
/* The bytes of one token: a pointer that lives as long as the file, or NULL for a bad id or when memory runs out.
 * Special tokens give their text. */
const char *hearth_file_token_text(hearth_file *file, int32_t id, size_t *n_bytes);
/* Control, unknown or user-defined: a token that text becomes only as a whole, if at all. False for a bad id. */
bool hearth_file_token_special(hearth_file *file, int32_t id);

/* ------------------------------------------------------------------ conversations */

typedef struct {
    const char *text;
    size_t n_bytes;
} hearth_text;

typedef struct {
    const char *id;        /* NULL: none */
    const char *name;      /* of the function */
    const char *arguments; /* JSON text of an object */
} hearth_tool_call;

/* One message, the same for every API. */
typedef struct {
    const char *role;         /* "system", "developer", "user", "assistant" or "tool" */
    const hearth_text *parts; /* its text, in one part or several */
    size_t n_parts;           /* 0: none (an assistant that only calls tools) */
    hearth_text thinking;     /* assistant: what it thought before it answered; text NULL: nothing */
    const hearth_tool_call *tool_calls; /* assistant */
    size_t n_tool_calls;
    const char *tool_call_id; /* tool: the call that this is the result of; NULL: none */
    const char *name;         /* of the speaker, or of the function of a result; NULL: none */
} hearth_message;

typedef enum { HEARTH_THINKING_DEFAULT, HEARTH_THINKING_ON, HEARTH_THINKING_OFF } hearth_thinking;

/* A conversation, to be put into the model's own words by the chat template. */
typedef struct {
    const hearth_message *messages;
    size_t n_messages;
    const char *tools;           /* JSON text of an array, in OpenAI's form; NULL: none */
    const char *template_kwargs; /* JSON text of an object: further values for the template; NULL: none */
    hearth_thinking thinking;    /* refused where the template has no switch for it */
    bool no_generation_prompt;   /* do not begin the assistant's answer */
    bool continue_final_message; /* the answer goes on where the last message ends */
    const char *date;            /* what strftime_now() is told, "2026-02-07 15:04:05"; NULL: the local time */
} hearth_chat;

/* A run of prompt text. Only trusted spans may contain special tokens as text. In the spans of a request it may also be
 * one token, whatever its text is, which parts the texts before and behind it. */
typedef struct {
    const char *text;
    size_t n_bytes;
    bool trusted;
    bool is_token; /* this token, and no text; of a request only */
    int32_t token;
} hearth_span;

/* What the model will read. Text of the template is trusted, text of messages is not: no
 * special token is ever made of it. */
typedef struct {
    const char *text;
    size_t n_bytes;
    const hearth_span *spans; /* cover text without gaps */
    size_t n_spans;
    const int32_t *ids;       /* the prompt in tokens */
    size_t n_ids;
    bool bos_added;           /* the file asks for BOS and the template does not write it: ids begin with it */
    size_t n_specials_kept;   /* places in messages that look like a special token and stay text */
    bool starts_thinking;     /* the prompt ends inside thinking text: the answer goes on with it */
    const char *notes;        /* one line each: what was changed to suit the template; "" */
} hearth_rendered;

/* Render with the file's chat template (or the source's). HEARTH_ERR_USAGE when there is none, when the
 * template refuses the conversation (the message is the template's own, with line and column) or when a
 * message's text would not reach the model; HEARTH_ERR_FORMAT when the template does not compile.
 * You own the result; release it with hearth_rendered_free(). */
hearth_rendered *hearth_file_render(hearth_file *file, const hearth_chat *chat, hearth_error *err);
void hearth_rendered_free(hearth_rendered *rendered); /* NULL is a no-op */

/* What a chat template can do, found out by rendering. Strings live as long as the file. */
typedef struct {
    const char *from;         /* "file", or the source's chat_template_name; "" when there is no template */
    const char *sha256;       /* of its text */
    const char *problem;      /* one sentence when it does not compile or render; "" */
    bool system, developer;   /* text of these roles reaches the prompt */
    bool tools, tool_calls, tool_results;
    bool parts;               /* a message may come in parts */
    bool thinking_history;    /* thinking of earlier messages can be part of the prompt */
    bool uses_date;           /* the prompt depends on the clock */
    const char *thinking_switch; /* the template value that turns thinking on and off; "" when there is none */
    const char *thinking_open, *thinking_close; /* around thinking text; "" when none is known */
    const char *answer_end;   /* what the template writes after an answer */
} hearth_template_info;
/* False when there is no template. */
bool hearth_file_template(hearth_file *file, hearth_template_info *info);

typedef enum { HEARTH_FINDING_NOTE, HEARTH_FINDING_WARNING, HEARTH_FINDING_PROBLEM } hearth_finding_level;
typedef struct {
    hearth_finding_level level;
    const char *code;    /* "double-bos" */
    const char *message; /* one sentence or two */
} hearth_finding;
/* What is wrong with the template and its stop tokens. Found once; the list lives as long as the file. Returns
 * how many there are, the worst first; none when there is no template. When memory ran out it is one finding,
 * "out-of-memory", and the next call looks again. */
size_t hearth_file_template_findings(hearth_file *file, const hearth_finding **findings);

/* ------------------------------------------------------------------ engine and models */

typedef struct {
    int n_threads;         /* 0: one per physical core, held to the cgroup's quota */
    int n_threads_prefill; /* of steps that have prompt tokens; 0: n_threads. Answers depend on neither */
    const char *isa;       /* the instruction set to compute with, one of hearth_isa_list(); NULL: as hearth_isa() */
    uint64_t budget_bytes; /* for KV, workspace and request memory; 0: what the machine has free */
    int n_seqs;            /* sequences of a model computed together, up to 64; 0: 1 */
    int n_step_tokens;     /* most tokens in one step (prompt chunk); 0: 512 */
    uint64_t request_bytes; /* of the budget for the memory of whoever asks: a server's bodies, JSON and connections */
    uint64_t program_bytes; /* the same for the program around it: code, libraries, stacks, what it allocates */
    int step_ms;           /* prompts are cut so that steps take about this while somebody is streamed to, four times
                              it while nobody is; 0: 100. Not with n_seqs 1 and no answer */
    /* A folder for keys and values of long prompts, which survive the engine there: what was computed for a prompt is
     * read and not computed again, with the same bits. Made if it is not there; its files are for their owner alone,
     * and can be turned back into the text they were computed from. NULL: none. */
    const char *cache_dir;
    uint64_t cache_disk_bytes; /* that may be in it, the longest unused go first; 0: 10 GiB */
    int cache_least_tokens;    /* of a sequence that is kept there; 0: 512 */
    int cache_close_ms;        /* releasing a model waits so long for what is still to be written; 0: 500 */
    /* When nobody wants anything, find out how fast a model's weights can be read here, for receipts: 20 ms of all
     * threads after the first answer and every 30 s at most, which end at once when somebody comes. */
    bool measure_reads;
    /* Where the models that hearth_engine_share() is asked for do not fit together, their weights included, they take
     * turns: a model sleeps until a request wants it, and again when others need the room. */
    bool take_turns;
    int keep_awake_ms; /* a model that nobody has asked for so long sleeps, whether there is room or not; 0: never */
    /* Something is wrong with the folder or a file of it: one line, at most one of a kind in a minute. On a helper
     * thread; no answer depends on it. NULL: not wanted. */
    void (*cache_note)(void *arg, const char *line);
    void *cache_note_arg;
} hearth_engine_options;

/* Start the engine thread. It owns every sequence, KV page and workspace. */
hearth_engine *hearth_engine_create(const hearth_engine_options *options, hearth_error *err);
/* Cancel what is running, stop the thread. Close streams and models first. NULL is a no-op. */
void hearth_engine_destroy(hearth_engine *engine);

/* Prompt tokens of requests that wait, of all models together; 0 (at first): as many as come. A request that is one too
 * many ends with HEARTH_ERR_BUSY before it began. Where nobody waits any prompt is let in. Any thread. */
void hearth_engine_bound_queue(hearth_engine *engine, uint64_t n_tokens);

/* Books of memory: take() is asked before a prompt is rendered and tokenized, for HEARTH_PREPARE_BYTES for each byte of
 * its text (what that takes at most, measured), give() is told when that is free again. Where take() says false the
 * request ends with HEARTH_ERR_MEMORY. One prompt at a time, on the engine's helper thread. NULL, NULL: no books (at
 * first); when this returns none of the earlier two is under way. */
enum { HEARTH_PREPARE_BYTES = 72 };
void hearth_engine_keep_books(hearth_engine *engine, bool (*take)(void *arg, uint64_t bytes),
                              void (*give)(void *arg, uint64_t bytes), void *arg);

/* What waits in an engine now. Any thread. */
typedef struct {
    int n_raw;            /* requests whose prompts are not tokens yet */
    uint64_t raw_bytes;   /* of their texts */
    int n_waiting;        /* requests that are ready and wait for a place */
    uint64_t n_waiting_tokens; /* of their prompts */
    uint64_t n_refused;   /* requests that were too many until now */
} hearth_engine_queue;
void hearth_engine_look(hearth_engine *engine, hearth_engine_queue *out);

/* Memory is short around the program, by about so many bytes (0: not any more). Between two steps the engine gives back
 * what it only keeps because somebody may want it again: the memory of pages of keys and values that have nothing in
 * them any more, then pages of prompts and answers that are over, the longest unused first, then models that nobody
 * uses, which sleep; and as long as memory is short it uses such pages again before it touches new ones. No answer
 * changes, and none is given up; prompts that began like those pages are computed again. Any thread; returns at
 * once. */
void hearth_engine_short(hearth_engine *engine, uint64_t n_bytes);
typedef enum { HEARTH_GIVES_FREE, HEARTH_GIVES_KEPT, HEARTH_GIVES_MODELS, HEARTH_N_GIVES } hearth_gives;
/* "free pages", "kept pages", "idle models"; NULL for a value that is none of them. Static. */
const char *hearth_gives_name(hearth_gives what);
/* What it gave back until now, of each kind. Any thread. */
typedef struct {
    uint64_t n_times, n_pages, bytes;
} hearth_given;
void hearth_engine_given(const hearth_engine *engine, hearth_given given[HEARTH_N_GIVES]);

/* Whether the engine thread lives. Any thread, and it waits for nothing: no lock is taken. */
typedef struct {
    uint64_t n_beats;  /* another number whenever it got on: many times in a step. While it stays the same and busy is
                          true, the engine stands still */
    bool busy;         /* it computes, or there is something that it has not looked at yet */
    double longest_ms; /* of the steps of late the longest */
} hearth_pulse;
void hearth_engine_pulse(const hearth_engine *engine, hearth_pulse *out);

/* The cache on disk: what is there now, and what was done since the engine was created. A page is 64 tokens of a
 * sequence, one file. */
typedef struct {
    const char *path;     /* lives as long as the engine */
    uint64_t n_pages, bytes, most_bytes;
    uint64_t n_read, read_bytes;       /* pages read and used */
    uint64_t n_written, written_bytes;
    uint64_t n_waiting;   /* copies on their way out */
    uint64_t n_dropped;   /* pages that were not written: the disk was too slow, or nothing older could go for them */
    uint64_t n_removed;   /* for newer ones */
    uint64_t n_foreign;   /* files in the folder that are none of the cache's; they are left alone */
    uint64_t n_unusable;  /* files that were damaged, cut short or not what their name says; they are removed */
    uint64_t n_read_failed, n_write_failed; /* the system refused */
} hearth_disk_cache;
/* False: the engine has none. Any thread. */
bool hearth_engine_disk_cache(hearth_engine *engine, hearth_disk_cache *out);

/* What a weight matrix was just multiplied with. */
typedef struct {
    hearth_text tensor;  /* the matrix's name in the file; lives as long as the model */
    const float *x;      /* [n_rows][n_cols] the inputs, before any rounding to codes; one row a token */
    int n_rows, n_cols;  /* n_cols: the matrix's row length */
    int mat, n_mats;     /* of matrices behind one another in one tensor (experts, heads) which; else 0 of 1 */
} hearth_product;

/* How far opening a model is. */
typedef struct {
    const char *phase; /* "metadata", "tokenizer", "plan", "weights" (preload or lock), "ready" */
    double fraction;   /* of the whole */
    uint64_t read_bytes, file_bytes; /* phase "weights": in memory by now, and of how many */
} hearth_progress;

typedef struct {
    hearth_source source;
    /* Most that its KV cache, workspace and vocabulary may take of the engine's budget, and what its weights should
     * fit in beside them; 0: what the models that are open leave. */
    uint64_t budget_bytes;
    int n_ctx_tokens; /* longest sequence; 0: the largest power of two up to the trained length that fits */
    /* Keys and values that are kept for all its sequences together, in tokens, at least a context; 0: a context for
     * each sequence, or as much as fits. Where it is less, requests wait for each other when it is used up. */
    int n_kv_tokens;
    hearth_kv_type kv_type; /* of all its sequences: f16 unless said. Another one is another arithmetic: other bits */
    /* All bytes of the file are in memory, and mapped, when hearth_model_open() returns. HEARTH_ERR_MEMORY when they
     * are more than the budget of the engine, or than the machine has free. */
    bool preload;
    /* The same, and the system may not take them away again (mlock) until the model is released. HEARTH_ERR_MEMORY
     * names the limit when the process may not lock as much. */
    bool lock;
    /* It never sleeps; nor does one that is preloaded or locked. */
    bool pinned;
    int keep_awake_ms; /* of this model: 0: what the engine's options say; below 0: idle it never sleeps */
    /* Called while opening, on the calling thread; in phase "weights" every few MB. False ends it with
     * HEARTH_ERR_CANCELLED. NULL: not wanted. */
    bool (*progress)(void *arg, const hearth_progress *at);
    void *progress_arg;
    /* Sees the inputs of every matrix product that any request causes (importance matrices), product by product, rows
     * in the order of tokens. The output matrix has rows only for tokens whose logits are wanted. Called on the engine
     * thread, which waits: reduce them and return; call nothing of hearth from it. on_product_arg must live as long as
     * the model. Costs memory for one step's widest input, in the plan, and speculation, which computes tokens that do
     * not come. NULL: costs nothing. */
    void (*on_product)(void *arg, const hearth_product *product);
    void *on_product_arg;
} hearth_model_options;

/* Open a model in an engine. The weights are mapped, not copied: the file must stay where it
 * is until the model is released. Only metadata is waited for here unless the options say
 * otherwise; helper threads begin to read the weights ahead in the order of their use, and
 * the first request pays for what they have not reached.
 * HEARTH_ERR_IO, HEARTH_ERR_FORMAT (not GGUF, or an architecture or tensor this build does
 * not know) or HEARTH_ERR_MEMORY (with the arithmetic). An engine holds up to 16 models
 * under its one budget and gives each that has work a step in turn.
 * You own one reference; release it with hearth_model_release(). */
hearth_model *hearth_model_open(hearth_engine *engine, const hearth_model_options *options, hearth_error *err);
/* Before several models are opened: divide the budget of an engine in which none is open, and refuse what does not fit
 * together, before anything is loaded. files[i] is opened from options[i].source; of it the vocabulary is read, no
 * weights. Into options[i].budget_bytes (0 before) goes a share with which hearth_model_open() fits, in any order: what
 * the model needs at least (its weights, one context, workspace, vocabulary), and an even part of the rest, of which
 * what one has no use for goes to the others. In an engine whose models may take turns, where they do not fit together
 * with their weights: each may have all that is left beside the pinned ones and what the others keep while they sleep,
 * and sleeps until it is wanted. The budget stays what it is found to be here. HEARTH_ERR_MEMORY has the sum, and the
 * longest context that would fit; HEARTH_ERR_FORMAT a file that cannot be run; HEARTH_ERR_USAGE n. */
bool hearth_engine_share(hearth_engine *engine, hearth_file *const *files, hearth_model_options *options, int n,
                         hearth_error *err);
void hearth_model_retain(hearth_model *model);
void hearth_model_release(hearth_model *model); /* NULL is a no-op */

/* Models sleep and wake. One that is awake has memory for keys and values and for computing, and its weights are
 * mapped. One that sleeps has given that back to the system: its file stays open, a request to it is taken as ever and
 * wakes it, and its answers have the same bits as before. What was kept of earlier prompts is gone, but for the cache
 * on disk. */
typedef enum {
    HEARTH_SLEEP_NOT,   /* it has not slept */
    HEARTH_SLEEP_START, /* models take turns, and nobody has asked for it yet */
    HEARTH_SLEEP_IDLE,  /* its keep_awake_ms are over */
    HEARTH_SLEEP_ROOM,  /* another one needed the room */
    HEARTH_SLEEP_TOLD,  /* hearth_model_sleep() */
    HEARTH_SLEEP_SHORT, /* memory was short (hearth_engine_short()), and nobody used it */
} hearth_sleep;
/* "idle", ...; NULL for a value that is none of them. Static. */
const char *hearth_sleep_name(hearth_sleep why);
/* Let it sleep once nobody has a slot of it, or wake before a request does: soon, on the engine thread; the later call
 * counts. One that is pinned does not sleep, and one that sleeps or is awake stays so: no effect. */
void hearth_model_sleep(hearth_model *model);
void hearth_model_wake(hearth_model *model);

/* A model went to sleep, or woke. */
typedef struct {
    const hearth_model *model; /* to be compared: it may be gone */
    hearth_sleep why;          /* it went to sleep; HEARTH_SLEEP_NOT: it woke */
    double ms;                 /* since it was wanted; of one that went to sleep, since it woke */
    uint64_t bytes;            /* that it has while it is awake, and not while it sleeps */
} hearth_turn;
/* What happened in an engine after the first *seen turns: up to cap of them, the oldest first. Returns how many and
 * adds them to *seen; those that are too old to be remembered are added to *seen and *n_forgotten. Any thread. */
size_t hearth_engine_turns(hearth_engine *engine, uint64_t *seen, hearth_turn *turns, size_t cap,
                           uint64_t *n_forgotten);

/* The plan it was opened with. */
void hearth_model_plan(const hearth_model *model, hearth_plan *plan);
/* How far helper threads have brought the weights into memory; answers before that wait for what they need. */
typedef struct {
    uint64_t read_bytes, file_bytes; /* read ahead by now, and of how many */
    bool reading;                    /* it goes on */
    bool preloaded, locked;          /* as asked for in the options */
} hearth_readahead;
void hearth_model_readahead(const hearth_model *model, hearth_readahead *out);
/* How fast all threads together read its weights when they do nothing else, in 10^9 bytes a second: what the speed of
 * answers is held against. 0: the engine was not asked to measure it, or found no time in wait_ms. */
double hearth_model_read_rate(const hearth_model *model, int wait_ms);
/* What is in memory now, and how much of it in pages of 2 MB, which the processor finds faster; zeros where the system
 * does not tell. Takes milliseconds for a large model. */
typedef struct {
    uint64_t resident_bytes, huge_bytes;
} hearth_page_use;
typedef struct {
    hearth_page_use weights, kv, workspace;
} hearth_pages;
void hearth_model_pages(const hearth_model *model, hearth_pages *out);
/* Of the weights' file what is in memory now, whoever brought it there; sooner told than all of that. */
uint64_t hearth_model_resident_weights(const hearth_model *model);
/* Times as a histogram: bucket i has those up to hearth_time_bounds_s[i], the last one all that are longer. */
enum { HEARTH_N_TIMES = 17 };
extern const double hearth_time_bounds_s[HEARTH_N_TIMES - 1];
/* The bucket of a time. */
int hearth_time_bucket(double seconds);

/* What a model is doing, for metrics. */
typedef struct {
    uint32_t n_pages, page_tokens; /* keys and values: the pool, and positions in a page */
    uint32_t n_used_pages;         /* of requests in slots; others have to wait for them */
    uint32_t n_touched_pages;      /* that have memory: a page that nothing was in yet takes none */
    uint64_t page_bytes;
    uint64_t state_touched_bytes;  /* the same of recurrent states */
    uint32_t n_kept_pages;         /* of prompts and answers that are over: there for a prompt that begins the same */
    uint64_t n_steps;              /* begun until now */
    double since_step_ms;          /* since the last one began; below 0: none did */
    uint64_t gaps[HEARTH_N_TIMES]; /* times between two tokens of an answer, as a histogram */
    double gaps_s;                 /* all of them together */
    bool asleep, pinned;
    bool takes_turns;              /* it sleeps when others need the room */
    double keep_awake_ms;          /* and when it is idle for so long; 0: that is no reason */
    hearth_sleep why_asleep;       /* of the last time that it slept */
    uint64_t n_wakes, n_sleeps;    /* a sleep from the start on is none of them */
    uint64_t awake_bytes;          /* that it gives back when it sleeps */
} hearth_model_now;
/* Any thread; waits for nothing, not for a step either. */
void hearth_model_look(hearth_model *model, hearth_model_now *out);

/* What has a slot of a model, as it was when the last step began. */
typedef enum {
    HEARTH_SLOT_FREE,
    HEARTH_SLOT_READING,   /* its prompt */
    HEARTH_SLOT_ANSWERING,
    HEARTH_SLOT_PAUSED,    /* its reader does not read, or another is reading what its prompt begins with */
    HEARTH_SLOT_PREEMPTED, /* it gave its pages to older ones, and waits for some */
} hearth_slot_state;
typedef struct {
    hearth_slot_state state; /* HEARTH_SLOT_FREE: all else is zero */
    char request_id[HEARTH_REQUEST_ID_BYTES + 1];
    int n_prompt_tokens, n_output_tokens;
    int n_done_tokens;       /* of both: whose keys and values are there */
    uint32_t n_pages;
} hearth_slot;
/* Writes up to cap of them, returns how many slots there are. Any thread. */
int hearth_model_slots(hearth_model *model, hearth_slot *slots, int cap);

/* The file behind it; lives as long as the model. */
hearth_file *hearth_model_file(hearth_model *model);
/* SHA-256 of header and tensor directory, plus the size: "hhhh...-bytes". Lives as long as the model. */
const char *hearth_model_identity(const hearth_model *model);

/* ------------------------------------------------------------------ requests */

/* Sampling parameters: one field for each line of sampling.def. Fill with
 * hearth_sampling_defaults() and change what you want. */
typedef struct {
#define SAMPLER(name, type, dflt, least, most, help) type name;
#include "hearth/sampling.def"
} hearth_sampling;

/* Where each value came from, in the order of sampling.def. */
typedef enum {
    HEARTH_FROM_DEFAULT,
    HEARTH_FROM_MODEL,   /* its file */
    HEARTH_FROM_REQUEST,
    HEARTH_FROM_PRESET,  /* the caller's own defaults for this model */
} hearth_origin;

enum {
#define SAMPLER(name, type, dflt, least, most, help) HEARTH_SAMPLING_##name,
#include "hearth/sampling.def"
    HEARTH_N_SAMPLING
};

/* One row per parameter, for programs that build options and checks from it. */
typedef struct {
    const char *name, *type, *help;
    double dflt, least, most;
} hearth_sampling_info;
extern const hearth_sampling_info hearth_sampling_table[HEARTH_N_SAMPLING];

/* One parameter by its place in hearth_sampling_table. */
void hearth_sampling_set(hearth_sampling *s, int index, double value);
double hearth_sampling_get(const hearth_sampling *s, int index);
/* hearth's defaults; with a model (may be NULL), its own general.sampling.* on top.
 * origin: [HEARTH_N_SAMPLING] or NULL. */
void hearth_sampling_defaults(const hearth_model *model, hearth_sampling *s, hearth_origin *origin);

/* The order in which stages run between logits and the draw. What is not named does not run. */
enum {
#define STAGE(name, spellings, help) HEARTH_STAGE_##name,
#include "hearth/sampling_stages.def"
    HEARTH_N_STAGES
};
typedef struct {
    int n;                                /* 0: nothing runs, the draw is from all tokens as they are */
    unsigned char stage[HEARTH_N_STAGES]; /* HEARTH_STAGE_... none of them twice */
} hearth_sampling_order;

/* "penalties;dry;top_k;top_p;temperature", separated by ';', in the names of sampling_stages.def or their other
 * spellings, any case; "" names none. HEARTH_ERR_USAGE has the name that is unknown or stands twice, and those there
 * are. */
bool hearth_sampling_order_read(hearth_sampling_order *order, const char *text, hearth_error *err);
/* "penalties;dry", the main spellings. At most HEARTH_ORDER_BYTES with the NUL. */
enum { HEARTH_ORDER_BYTES = 128 };
void hearth_sampling_order_write(const hearth_sampling_order *order, char text[HEARTH_ORDER_BYTES]);
/* hearth's order, or the model's own (may be NULL) where its file has a usable general.sampling.sequence. Returns
 * which. */
hearth_origin hearth_sampling_order_default(const hearth_model *model, hearth_sampling_order *order);
/* NULL-terminated names, in hearth's order. Static. */
const char *const *hearth_sampling_stages(void);

typedef struct {
    int32_t id;
    float bias; /* added to the logit; -INFINITY bans the token */
} hearth_logit_bias;

enum { HEARTH_MAX_BREAKERS = 16, HEARTH_BREAKER_BYTES = 64 };

/* 1 to HEARTH_REQUEST_ID_BYTES letters, digits and -_.:=+@ */
bool hearth_request_id_valid(const char *text, size_t n_bytes);

/* How the states of a text's tokens become one vector: HEARTH_POOLING_file (0), as the file says, ...: poolings.def. */
typedef enum {
#define POOLING(name, help) HEARTH_POOLING_##name,
#include "hearth/poolings.def"
    HEARTH_N_POOLINGS
} hearth_pooling;
const char *hearth_pooling_name(hearth_pooling pooling); /* "mean"; NULL: it is none of them. Static. */
void hearth_normalize(float *vector, size_t n); /* to length 1, the same bits everywhere; zeros stay as they are */

/* hearth_request.speculate */
enum { HEARTH_SPECULATE_OFF = -1, HEARTH_SPECULATE_AUTO = 0, HEARTH_MAX_DRAFT = 16 };

typedef struct {
    /* The prompt: a conversation, spans of one text, or token ids; one of the three. */
    const hearth_chat *chat;
    /* A conversation that does not fit goes without its oldest turns (a user's message and what follows up to the
     * next), as few as leave max_tokens free, or a quarter of the context if that is less or max_tokens is 0. The
     * system's messages at its beginning and the last one of the user stay; where these do not fit it is refused. */
    bool truncate_chat;
    const hearth_span *spans;
    size_t n_spans;
    const int32_t *prompt_ids;
    size_t n_prompt_ids;
    /* prompt_ids are a conversation as the template rendered it (hearth_rendered.ids): the answer is read like one,
     * thinking apart from the rest and the template's end of an answer as a stop text; and hearth_rendered's word on
     * whether the prompt ends inside thinking. */
    bool ids_are_chat, ids_start_thinking;
    bool no_bos;               /* spans: do not add BOS even if the file asks for it */
    bool no_prefix_cache;      /* compute the whole prompt, also what the KV cache still has of it */
    /* Keys and values that requests computed are kept for others whose prompts begin with the same tokens, but only for
     * those with the same salt: give each of your users one of theirs, and none can tell by the time what another
     * asked. */
    uint64_t cache_salt;
    uint64_t owner;            /* who asks: waiting requests of different owners begin in turn */
    const char *request_id;    /* what the receipt calls it; NULL: one is drawn */
    bool beyond_queue_tokens;  /* let in whatever waits: a part of the same question was */

    int max_tokens;            /* 0: until the context is full */
    hearth_sampling sampling;  /* all fields are used as they stand: start from hearth_sampling_defaults() */
    hearth_origin sampling_origin[HEARTH_N_SAMPLING];
    const hearth_sampling_order *sampling_order; /* NULL: hearth_sampling_order_default() */
    hearth_origin sampling_order_origin; /* of that, for the receipt; 0: the request */
    /* dry: a token whose text has one of these in it ends a repetition. NULL: newline, colon, quote and asterisk. */
    const char *const *dry_sequence_breakers;
    size_t n_dry_sequence_breakers; /* at most 16 of 1 to 63 bytes; not NULL and 0: none */
    hearth_origin dry_sequence_breakers_origin; /* of those, for the receipt; 0: the request */
    bool has_seed;             /* false: one is drawn and stands in the receipt */
    uint64_t seed;
    const hearth_logit_bias *logit_bias;
    size_t n_logit_bias;       /* at most 4096 */
    const char *const *stop;   /* texts that end the answer; not part of it; not looked for in thinking */
    size_t n_stop;             /* at most 64 of at most 256 bytes */
    bool ignore_eos;           /* end-of-generation tokens are ordinary text */

    int n_alternatives;        /* likeliest tokens reported with each token, 0..50 */
    bool want_logprob;         /* log-probability of each token (before the sampler chain) */
    bool want_progress;        /* HEARTH_EVENT_ADMITTED and HEARTH_EVENT_PROGRESS before the first token */
    bool want_digest;          /* SHA-256 over the bits of every step's logits, in the receipt */
    bool want_logits_mix;      /* hearth_event.logits_mix: where two runs part, in a tenth of a digest's time */
    /* hearth_event.choice: stage by stage what became of the n_alternatives likeliest tokens and of the one that came.
     * Each token is chosen twice then, which takes milliseconds; it is the same token. */
    bool want_choice;
    int n_chunk_tokens;        /* prompt tokens per step; 0: the engine's */
    /* Where the text repeats itself, what followed then is computed together with the last token, and kept as far as
     * it is what would have come anyway: the answer has the same bits, in less time. 0: as long as it pays and other
     * sequences leave room; 1 to HEARTH_MAX_DRAFT: so many tokens at a time, wherever a step has
     * room for them; HEARTH_SPECULATE_OFF: not. */
    int speculate;

    /* Scoring: nothing is generated. Each prompt token from index score_from (>= 1) on comes
     * as a HEARTH_EVENT_TOKEN with its log-probability given all before it. */
    bool score;
    size_t score_from;
    /* Each prompt token comes as a HEARTH_EVENT_PROMPT_TOKEN before the answer, with its log-probability given all
     * before it and the alternatives that were asked for; the first one's is NaN, for there is nothing before it. A BOS
     * that was added does not come. All of the prompt is computed, also what the cache has of it. score_from has no
     * effect. With `score` there is no answer. */
    bool score_prompt;
    /* Scoring: the whole distribution, once for each scored token, in order, before its event: logits[n_vocab] as
     * the model computed them, of the position before prompt token `index`. Called on the engine thread, which waits:
     * copy or reduce them and return; call nothing of hearth from it. They are gone when it returns. on_logits_arg
     * must live until the END event was read. NULL: not wanted. */
    void (*on_logits)(void *arg, size_t index, const float *logits, int n_vocab);
    void *on_logits_arg;
    /* Embedding: nothing is generated. The prompt becomes a vector, hearth_stream_vector() after END; spans end with
     * the file's end token where it asks for that, as they begin with BOS. HEARTH_POOLING_last may find keys and values
     * in the cache; others compute the whole prompt. Alone and among others the bits are the same. */
    bool embed;
    hearth_pooling pooling;
    /* Each token's state, in order, before anything is pooled; as on_logits. NULL: not wanted. */
    void (*on_state)(void *arg, size_t index, const float *state, int n_embd);
    void *on_state_arg;
} hearth_request;

typedef struct {
    int32_t id;
    float logprob; /* natural log, of the model's own distribution */
} hearth_alternative;

typedef enum {
    HEARTH_EVENT_TOKEN,
    HEARTH_EVENT_END,
    HEARTH_EVENT_ADMITTED, /* want_progress: it has waited, and begins to be computed */
    HEARTH_EVENT_PROMPT_TOKEN, /* score_prompt: id, logprob and alternatives, as of TOKEN */
    HEARTH_EVENT_PROGRESS, /* want_progress: more of the prompt is read; after each step of it */
} hearth_event_type;

typedef enum {
    HEARTH_END_STOP,      /* the model finished, or a stop text appeared */
    HEARTH_END_LENGTH,    /* max_tokens or the context is used up; or scoring reached the end */
    HEARTH_END_CANCELLED,
    HEARTH_END_ERROR,
} hearth_end_reason;

/* Steps of a choice besides the stages (HEARTH_STAGE_..., which come first in the same numbers). */
enum {
    HEARTH_STEP_model = HEARTH_N_STAGES, /* what the model computed */
    HEARTH_STEP_logit_bias,
    HEARTH_STEP_likeliest, /* temperature 0: no draw, the likeliest of them */
    HEARTH_STEP_mirostat,  /* its cut by surprise */
    HEARTH_N_STEPS
};
/* "model", "top_k", ...; NULL for a number that is none of them. Static. */
const char *hearth_step_name(int step);

/* What was left of the tokens after a step that had something to do. */
typedef struct {
    int step;
    int n_candidates;      /* tokens that could still come */
    float temperature;     /* by which their logits are divided by now */
    float entropy_bits;    /* of what is left */
    const float *logprobs; /* [n_tokens] natural logs, among what is left; -INFINITY: it is not */
} hearth_choice_step;

/* How a token was chosen. The last step's log-probabilities are those that it was drawn by. */
typedef struct {
    int32_t id;
    int rank;           /* so many tokens the model held to be likelier */
    float draw;         /* in [0, 1): the random number; NaN: nothing was drawn */
    const int32_t *ids; /* [n_tokens] the model's likeliest, the first one first; then the one that came, if it is none
                           of them */
    int n_tokens;
    const hearth_choice_step *steps; /* [n_steps] "model" first */
    int n_steps;
} hearth_choice;

typedef struct {
    hearth_event_type type;
    int32_t id;               /* TOKEN */
    const char *text;         /* TOKEN: whole UTF-8 characters, never half of one; may be empty.
                                 END: what was held back (an unfinished character comes as U+FFFD) */
    size_t n_bytes;
    const char *thinking;     /* the same for text that the model thinks before it answers (chat requests);
                                 the marks around it are part of neither */
    size_t n_thinking_bytes;
    float logprob;            /* TOKEN, when asked for; PROMPT_TOKEN */
    const hearth_alternative *alternatives; /* [n_alternatives], likeliest first */
    int n_alternatives;
    /* TOKEN, PROMPT_TOKEN, when asked for: 64 bits of a hash over the logits that the token was chosen or scored from,
     * as the model computed them: another computation of the same step has the same. END: of the step that chose the
     * end-of-generation token, if that ended it; else 0. */
    uint64_t logits_mix;
    const hearth_choice *choice; /* TOKEN, when asked for; END: of the token that ended it, if one did; else NULL */
    hearth_end_reason reason; /* END */
    /* ADMITTED, PROGRESS: */
    int n_prompt_tokens;
    int n_cached_tokens;      /* of them whose keys and values were there, or came meanwhile from another request */
    int n_processed_tokens;   /* of them read by now, with the cached ones; never less than before */
    double elapsed_ms;        /* since it was admitted */
} hearth_event;

/* Hand a request to the engine. It is copied; returns at once. HEARTH_ERR_BUSY when the
 * queue is full, HEARTH_ERR_USAGE for a request that can never run (the message has the
 * field and the limit). You own the stream; release it with hearth_stream_close(). */
hearth_stream *hearth_submit(hearth_model *model, const hearth_request *request, hearth_error *err);

/* Called on the engine thread when a stream has something new, once for all that a step brought: it may only signal.
 * The last call may still be under way when END was read: when this function returns, none of the earlier wake is and
 * none will be (NULL: none at all), so do that before arg goes. Not to be called from wake, nor while holding what wake
 * waits for. */
void hearth_stream_on_wake(hearth_stream *stream, void (*wake)(void *arg), void *arg);

/* The next event if there is one; never blocks. event's pointers live until the next call.
 * The last event is HEARTH_EVENT_END; after it this returns false for ever. */
bool hearth_stream_poll(hearth_stream *stream, hearth_event *event);
/* The same, waiting for it. False only after the END event. */
bool hearth_stream_next(hearth_stream *stream, hearth_event *event);
/* Stop as soon as the current step ends; the stream still gets its END event. */
void hearth_stream_cancel(hearth_stream *stream);
/* The same, but it ends as at a limit of tokens: HEARTH_END_LENGTH, with what there is. */
void hearth_stream_stop(hearth_stream *stream);
/* After END with HEARTH_END_ERROR: why. Lives as long as the stream. */
const hearth_error *hearth_stream_error(const hearth_stream *stream);
/* Once a TOKEN event was read: tokens of its prompt, and how many of them were there already: for one that is not read
 * to its end, where the receipt is. */
void hearth_stream_prompt_tokens(const hearth_stream *stream, int *n_tokens, int *n_cached);
/* Then, too: the prompt as the model read it, with BOS if that was added. Lives as long as the stream. */
void hearth_stream_prompt_ids(const hearth_stream *stream, const int32_t **ids, size_t *n_ids);
/* After END: the vector of an embedding, not normalized. NULL: there is none. Lives as long as the stream. */
const float *hearth_stream_vector(const hearth_stream *stream, size_t *n);
/* Cancels if it is still running. NULL is a no-op. */
void hearth_stream_close(hearth_stream *stream);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#include "hearth/receipt.h"
