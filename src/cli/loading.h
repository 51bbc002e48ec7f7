/* loading.h: how far the weights are on their way into memory, on standard error, when that takes over a second. */
#pragma once
#include "cli/opts.h"
#include "cli/progress.h"
#include "hearth/hearth.h"

/* Rows of option tables: what becomes of a model's file when it is opened. */
#define OPT_PRELOAD_ROW                                                                                       \
    {                                                                                                         \
        .name = "preload", .type = OPT_FLAG,                                                                  \
        .help = "read the whole file into memory before anything is computed"                                 \
    }
#define OPT_LOCK_ROW                                                                                          \
    {                                                                                                         \
        .name = "lock", .aliases = "--mlock", .type = OPT_FLAG,                                               \
        .help = "preload, and keep the system from taking the weights out of memory again"                    \
    }

struct loading {
    const hearth_model *model; /* NULL: it is being opened */
    struct progress progress;
};

/* hearth_model_open(), with its preloading shown. Ctrl-C (interrupt_hold()) ends it with HEARTH_ERR_CANCELLED. engine
 * NULL: what made none has filled *err, and there is no model either. */
hearth_model *loading_model(hearth_engine *engine, const hearth_model_options *options, hearth_error *err);

/* Before waiting for the first answer of an open model. */
void loading_begin(struct loading *l, const hearth_model *model);
/* Show it. Returns how long to wait before the next look in milliseconds; -1: there is nothing to show any more. */
int loading_look(struct loading *l);
/* The same at a time of clock_ns(), with what hearth_model_readahead() says, for tests. */
int loading_look_at(struct loading *l, int64_t now_ns, const hearth_readahead *at);
/* Something came: what was shown is wiped away. Fine on a zeroed struct, and twice. */
void loading_end(struct loading *l);
