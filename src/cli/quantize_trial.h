/* quantize_trial.h: several quantizations of one model, made, measured and compared here (quantize --compare). */
#pragma once
#include "base/scratch.h"
#include "cli/bench_figures.h"
#include "cli/kld_windows.h"
#include "cli/quantize.h"
#include "cli/quantize_trade.h"

enum { TRIAL_PATH_BYTES = 1200, TRIAL_MOST = TRADE_MOST, TRIAL_PROMPT = 128, TRIAL_OUTPUT = 32 };

/* IN, or a candidate. */
struct trial_one {
    const struct quantize_mix *mix; /* NULL: IN */
    char path[TRIAL_PATH_BYTES];
    uint64_t bytes;          /* of the file; before it is made: about */
    double bits;             /* a weight */
    struct score score;
    struct kld_summary kld;  /* of a candidate */
    double prefill, decode;  /* tokens a second, medians */
    double prefill_times, decode_times; /* of IN's beside it */
    uint64_t planned_bytes;  /* at n_ctx tokens */
};

struct trial_speed {
    struct bench_readings prefill, decode; /* tokens a second */
};

struct trial {
    /* Asked: */
    const char *in, *text_path, *keep; /* NULL: the built-in text; temporary files */
    struct quantize_options quantize;  /* of every candidate, but for the mix */
    bool usual;                        /* nobody named the types */
    int n_windows, n_threads;          /* n_threads 0: one for each core */
    /* Found: */
    struct trial_one model, each[TRIAL_MOST];
    int n;
    struct windows windows;
    int n_ctx;                  /* of the plans */
    int used_threads;
    double others;              /* percent of the machine while speed was measured */
    struct trade_point point[TRIAL_MOST];
    struct trade trade;
    /* At work: */
    struct scratch scratch;
    const char *folder;         /* of the candidates */
    int distributions;          /* IN's logits of all windows, a file; -1: none */
    struct kld_windows kld;
    uint64_t window_bytes;      /* of IN's logits */
    int n_prompt;               /* tokens of the prompt that is timed */
    struct trial_speed *speed;  /* of IN and the candidate at work */
    struct bench_readings in_prefill, in_decode; /* medians beside each candidate */
    int64_t start_ns;           /* of the first candidate */
    double done_ms;             /* that those before the one at work took */
};

/* "Q8_0,Q4_K_M" into the candidates; NULL: a usual list, of which what is not smaller than IN is left out.
 * HEARTH_ERR_USAGE names what is no mix or is there twice. */
bool trial_types(struct trial *t, const char *list, hearth_error *err);

/* Bytes that the folder must have: of all candidates together where they are kept, else of the largest, with IN's
 * distributions. HEARTH_ERR_IO has the sum when the room is less. Pure. */
bool trial_room(const struct trial *t, uint64_t distributions_bytes, uint64_t room, hearth_error *err);

/* Of n candidates, by the done_ms that the n_done of them that are through took together; the next one began begun_ms
 * ago. NaN: none is through, and nothing is known. Pure. */
double trial_ms_left(int n, int n_done, double done_ms, double begun_ms);

/* All of it. Temporary files are gone afterwards, however it ends; candidates that are kept and whole stay. */
bool trial_run(struct trial *t, hearth_error *err);

/* On standard output (quantize_trial_report.c). */
void trial_print_table(const struct trial *t, int width);
void trial_print_rows(const struct trial *t);
bool trial_print_object(const struct trial *t, hearth_error *err);
