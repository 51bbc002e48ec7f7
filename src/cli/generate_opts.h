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
#define OPT_CTX_ROW                                                                                           \
    {                                                                                                         \
        .name = "ctx", .aliases = "-c --ctx-size", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 30, \
        .dflt = "the largest power of two up to the trained length that fits",                                \
        .help = "most tokens of prompt and answer together"                                                   \
    }

/* hearth's values, the model's on top, what the line or the environment says on top of those.
 * given: the values of the HEARTH_N_SAMPLING rows of sampling_rows.def. */
void sampling_fill(hearth_sampling *s, hearth_origin origin[HEARTH_N_SAMPLING], const hearth_model *model,
                   const struct opt_value given[HEARTH_N_SAMPLING]);
