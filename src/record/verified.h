/* verified.h: what `hearth verify` found of a model, kept for those who want to know whether it is healthy.
 *
 * One JSON file a model in the state folder (base/state_dir.h), under the model's identity. A fine-tuned model may have
 * the header of another, so the file also holds the digest of samples of its weights: without that one it is not
 * believed. */
#pragma once
#include <jansson.h>

#include "base/err.h"

/* The report, as `hearth verify --json` prints it, with "identity" and "digest". The folder is made. */
bool verified_keep(const json_t *report, hearth_error *err);

/* What is known of a model. */
struct verified {
    bool known; /* else all is zero */
    bool ok;    /* no problem was found */
    char at[32], version[32]; /* when, RFC 3339; by which hearth */
    int arithmetic_revision, n_problems, n_warnings;
    double bits_per_byte; /* below 0: not measured */
};
/* False: nothing is kept of it, or what is kept is not readable. digest may be computed on demand: arg's. */
bool verified_read(const char *identity, bool (*digest)(void *arg, char out[65]), void *arg, struct verified *out);
/* As "verified" of the API; null where nothing is known. */
json_t *verified_json(const struct verified *v);
