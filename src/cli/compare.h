/* compare.h: the same prompts to the model here and to a server elsewhere: what is measured, and what is made of it. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "cli/price.h"
#include "hearth/hearth.h"

enum { COMPARE_LOCAL, COMPARE_API, COMPARE_N_SIDES };
enum { COMPARE_MOST_PROMPTS = 1000, COMPARE_MOST_ANSWERS = 10000, COMPARE_ERROR_BYTES = 512 };

enum compare_figure {
#define FIGURE(id, key, help) COMPARE_##id,
#include "cli/compare_figures.def"
    COMPARE_N_FIGURES
};
extern const char *const compare_key[COMPARE_N_FIGURES];
/* "local", "api" */
extern const char *const compare_side_name[COMPARE_N_SIDES];

/* One answer. */
struct compare_run {
    bool asked, ok;
    bool was_first;  /* of the two sides in this round */
    bool by_pieces;  /* n_output_tokens counts them */
    int http_status; /* 0: none */
    char finish[24];
    double figure[COMPARE_N_FIGURES]; /* NaN: not known */
};

/* A side's answers to one prompt. */
struct compare_answers {
    struct compare_run *run;   /* [n_runs] */
    struct buf text, thinking; /* of the first that is ok */
    int n_ok, n_same;          /* of those with that text, itself included */
    int n_failed;
    char error[COMPARE_ERROR_BYTES]; /* of the last that failed */
    char model[100];           /* what the server calls the one that answered; "" */
};

struct compare_prompt {
    char *text; /* mem_alloc'ed, UTF-8 */
    struct compare_answers side[COMPARE_N_SIDES];
};

struct comparison {
    struct compare_prompt *prompt; /* [n_prompts] */
    int n_prompts, n_runs;
    bool chat;               /* else the prompts go as they stand */
    const char *local_model; /* as its file is called */
    const char *identity, *isa;
    int n_threads;
    const char *place, *api_model; /* as sentences call the server; the model asked for there */
    char api_said[100];      /* what the server calls the model that answered; "" */
    const struct price *price; /* NULL: the settings have none */
    const json_t *given;     /* fields that both sides were given */
};

/* Room for the answers to n prompts, whose texts are still to be put there. HEARTH_ERR_MEMORY. Release with
 * comparison_free(), also after a failure. */
bool comparison_make(struct comparison *c, int n_prompts, int n_runs, hearth_error *err);
void comparison_free(struct comparison *c);

/* An answer that is whole is kept, or counted as the same. HEARTH_ERR_MEMORY. */
bool compare_keep_text(struct compare_answers *a, struct str text, struct str thinking, hearth_error *err);

/* Median of a side's answers to one prompt, or of those of all prompts; NaN: none has the figure. */
double compare_median(const struct comparison *c, const struct compare_prompt *p, int side, enum compare_figure f);
double compare_median_of_all(const struct comparison *c, int side, enum compare_figure f);

/* Where two texts part. */
struct divergence {
    bool same;
    size_t byte, n_chars; /* the same before it; a character is never cut */
    struct str word[2];   /* from the beginning of the word in which it is; pieces of the texts; empty: it ends there */
};
void divergence_find(struct divergence *d, struct str a, struct str b);

/* On standard output. width: columns of the terminal. */
void compare_print_text(const struct comparison *c, int width);
void compare_print_csv(const struct comparison *c);
bool compare_print_json(const struct comparison *c, hearth_error *err);
