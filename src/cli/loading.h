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

/* Before a model is opened: fills its options from the two rows, and shows its preloading. l must live until it is
 * open. Ctrl-C (interrupt_hold()) ends the opening with HEARTH_ERR_CANCELLED. */
void loading_open(struct loading *l, hearth_model_options *o, bool preload, bool lock);
/* After it, well or not. */
void loading_opened(struct loading *l);

/* Before waiting for the first answer of an open model. */
void loading_begin(struct loading *l, const hearth_model *model);
/* Show it. Returns how long to wait before the next look in milliseconds; -1: there is nothing to show any more. */
int loading_look(struct loading *l);
/* The same at a time of clock_ns(), with what hearth_model_readahead() says, for tests. */
int loading_look_at(struct loading *l, int64_t now_ns, const hearth_readahead *at);
/* Something came: what was shown is wiped away. Fine on a zeroed struct, and twice. */
void loading_end(struct loading *l);
