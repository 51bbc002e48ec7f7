/* generate_opts.h: the options of every command that generates, written once. */
#pragma once
#include "cli/opts.h"

/* Rows of an option table; those of sampling.def come from cli/sampling_rows.def. */
#define OPT_MAX_TOKENS_ROW                                                                                    \
    {                                                                                                         \
        .name = "max-tokens", .aliases = "-n --predict --n-predict", .type = OPT_INT, .value = "MAX",         \
        .least = 1, .most = 1 << 30, .dflt = "until the model stops or the context is full",                  \
        .help = "most tokens to answer with"                                                                  \
    }
#define OPT_SEED_ROW                                                                                          \
    {                                                                                                         \
        .name = "seed", .aliases = "-s", .type = OPT_COUNT, .value = "S", .dflt = "drawn, and in the receipt", \
        .help = "start of the random choice: the same seed gives the same answer"                             \
    }
#define OPT_THREADS_ROW                                                                                       \
    {                                                                                                         \
        .name = "threads", .aliases = "-t", .type = OPT_INT, .value = "N", .least = 1, .most = 1024,          \
        .dflt = "one for each physical core",                                                                 \
        .help = "threads to compute with; the answer does not depend on it"                                   \
    }
#define OPT_THREADS_PREFILL_ROW                                                                               \
    {                                                                                                         \
        .name = "threads-prefill", .aliases = "--threads-batch -tb", .type = OPT_INT, .value = "N",           \
        .least = 1, .most = 1024, .dflt = "as many as --threads",                                             \
        .help = "threads while a prompt is computed"                                                          \
    }
#define OPT_CTX_ROW                                                                                           \
    {                                                                                                         \
        .name = "ctx", .aliases = "-c --ctx-size", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 30, \
        .dflt = "the largest power of two up to the trained length that fits",                                \
        .help = "most tokens of prompt and answer together"                                                   \
    }
/* What a line leaves unsaid is the first of them, with the value 0. */
#define OPT_KV_TYPE_ROW                                                                                       \
    {                                                                                                         \
        .name = "kv-type", .type = OPT_CHOICE, .value = kv_type_choices + 1, .dflt = "f16",                   \
        .help = "what keys and values are kept as: q8 takes about half of f16's memory; each gives other bits" \
    }
extern const char kv_type_choices[]; /* "|f16|bf16|...": those of hearth_kv_type */

#define OPT_OFFLINE_ROW                                                                                       \
    {                                                                                                         \
        .name = "offline", .type = OPT_FLAG,                                                                  \
        .help = "connect to nothing: the kernel refuses it to the whole process, or the command does not start" \
    }
#define OPT_KEEP_ALIVE_ROW                                                                                    \
    {                                                                                                         \
        .name = "keep-alive", .type = OPT_FLOAT, .value = "SECONDS", .least = 0, .most = 604800, .dflt = "0", \
        .help = "a model that nobody has asked for so long sleeps: its memory goes back to the " \
                "system, and the next request wakes it; 0: only when another model needs the room"            \
    }
#define OPT_CACHE_DIR_ROW                                                                                     \
    {                                                                                                         \
        .name = "cache-dir", .type = OPT_TEXT, .value = "DIR",                                                \
        .help = "a folder where keys and values of prompts of 512 tokens and more outlive the process, so that they " \
                "are not computed again; its files can be turned back into the prompts"                       \
    }
#define OPT_CACHE_DISK_ROW                                                                                    \
    {                                                                                                         \
        .name = "cache-disk", .type = OPT_INT, .value = "MB", .least = 1, .most = 1 << 30, .dflt = "10240",   \
        .help = "the most that may be in --cache-dir; what was of no use for longest goes first"              \
    }
/* Into what an engine is made of. close_ms: how long to wait at the end for what is still to be written. */
void cache_fill(hearth_engine_options *engine, const struct opt_value *dir, const struct opt_value *disk, int close_ms);
enum { CACHE_CLOSE_ANSWER_MS = 5000 }; /* of a command that ends with its answer */

#define OPT_SAMPLERS_ROW                                                                                      \
    {                                                                                                         \
        .name = "samplers", .type = OPT_TEXT, .value = "ORDER",                                               \
        .dflt = "the model file's, else "                                                                     \
                "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",                          \
        .help = "the stages between logits and the choice, in their order; what is not named does not run"    \
    }
#define OPT_BREAKER_ROW                                                                                       \
    {                                                                                                         \
        .name = "dry-sequence-breaker", .type = OPT_LIST, .value = "TEXT",                                    \
        .dflt = "newline, colon, quote and asterisk",                                                         \
        .help = "dry: a token with this in it ends a repetition; may be given several times, \\n is a newline, " \
                "none: no breakers"                                                                           \
    }
#define OPT_CHUNK_ROW                                                                                         \
    {                                                                                                         \
        .name = "chunk", .type = OPT_INT, .value = "N", .least = 1, .most = 65536, .dflt = "512",             \
        .help = "prompt tokens computed in one step; the answer does not depend on it"                        \
    }
#define OPT_SPECULATE_ROW                                                                                     \
    {                                                                                                         \
        .name = "speculate", .type = OPT_TEXT, .value = "auto|off|N", .dflt = "auto",                         \
        .help = "where the text repeats itself, compute what followed then together with the last token: auto as " \
                "long as it pays, N (1 to 16) so many tokens at a time; the answer does not depend on it"     \
    }

/* As hearth_request.speculate has it. HEARTH_ERR_USAGE has the text and what there is. */
bool speculate_choose(int *speculate, const struct opt_value *given, hearth_error *err);

/* What --samplers and --dry-sequence-breaker say. Texts point into itself: not to be copied. */
struct sampling_choice {
    bool has_order;
    hearth_sampling_order order;
    bool has_breakers;
    char texts[OPT_LIST_MAX][HEARTH_BREAKER_BYTES];
    const char *breakers[OPT_LIST_MAX];
    size_t n_breakers;
    hearth_origin order_origin, breakers_origin;
};
/* HEARTH_ERR_USAGE names what is wrong with one of the two. */
bool sampling_choose(struct sampling_choice *c, const struct opt_value *samplers, const struct opt_value *breakers,
                     hearth_error *err);
void sampling_choice_fill(hearth_request *r, const struct sampling_choice *c);

/* hearth's values, the model's on top, what the line or the environment says on top of those.
 * given: the values of the HEARTH_N_SAMPLING rows of sampling_rows.def. */
void sampling_fill(hearth_sampling *s, hearth_origin origin[HEARTH_N_SAMPLING], const hearth_model *model,
                   const struct opt_value given[HEARTH_N_SAMPLING]);
