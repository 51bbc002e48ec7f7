/* fit.h: scales, minima and codes of one block by weighted least squares.
 *
 * Every format here decodes as
 *
 *   x[i] ~ d * scale[g] * level[i] - m * min[g]          g = i / n_group
 *
 * with d and m in half precision, whole numbers scale and min for each group, and levels that are either
 * all whole numbers from least to most or the entries of a table. Formats without groups have scale 1;
 * an offset of any sign is min -1.
 *
 * How: (1) for each group alone, try inverse scales around the one that spans it; given the codes q, the
 * scale and offset that minimise sum w (x - s q - o)^2 solve a linear system of one or two unknowns; keep
 * the best and let codes and solution follow each other twice. (2) Turn the groups' scales and minima into
 * whole numbers of d and m. (3) In turns: move each group's scale and min by a step where that is better,
 * and solve for d and m given all codes; stop when the error no longer falls. This is coordinate descent on
 * the block's error (Lloyd's algorithm for a quantizer whose levels have few parameters). */
#pragma once
#include "quant/quant.h"

enum { QUANT_GROUPS_MAX = 16 };

/* A fitted block: what pack() gets. */
struct quant_fit {
    uint16_t d, m;                /* f16 */
    int scale[QUANT_GROUPS_MAX];
    int min[QUANT_GROUPS_MAX];
    int8_t level[QUANT_BLOCK_MAX];
};

struct quant_form {
    const char *name;             /* as in dtype.def */
    int n_groups, n_group;        /* groups of a block, values of a group (a multiple of 16) */
    int least, most;              /* levels */
    const int8_t *table;          /* [n_table] ascending levels; NULL: all whole numbers */
    int n_table;
    int scale_least, scale_most;  /* of the groups' scale codes; both 1: none are stored */
    int min_most;                 /* of the groups' min codes; 0: no minima; -1: one offset of any sign, m * 1 */
    void (*pack)(void *block, const struct quant_fit *fit);
};

/* Fit finite x under weights w. False: d or m overflows half precision. */
bool quant_fit_block(struct quant_fit *fit, const struct quant_form *form, const float *x, const float *w);

/* mxfp4, whose scale is a power of two (quant/mxfp4.c). */
bool quant_fit_mxfp4(void *block, const float *x, const float *w);

/* The form of the format with this name; NULL: it has none. */
const struct quant_form *quant_form_of(const char *name);
