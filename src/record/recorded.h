/* recorded.h: reading what was recorded, beside whoever writes it. */
#pragma once
#include "base/base.h"
#include "base/err.h"
#include "record/recording.h"

/* All that is said must be so. */
struct recorded_filter {
    int64_t id;              /* 0: any */
    const char *request_id, *model, *key, *finish; /* NULL: any. finish: "stop", ... or a beginning of the detail */
    int status;              /* below 0: any */
    int64_t since_ms;        /* Unix time */
    double slower_than_ms;   /* in all */
    int64_t last;            /* the newest so many; 0: all */
};

/* Texts and blobs live until the next row. */
struct recorded_row {
    int64_t id, time_ms;
    const char *request_id, *key, *source, *model, *identity, *template_sha256; /* key, template_sha256: NULL: none */
    int choice, revision, status;
    const char *finish, *detail;
    int n_prompt_tokens, n_cached_tokens, n_output_tokens;
    double queue_ms, first_token_ms, total_ms; /* NaN: not known */
    uint64_t seed;
    const char *receipt; /* JSON; NULL: not asked for */
    bool has_body;       /* and, when asked for: */
    const int32_t *prompt, *output;
    const uint64_t *mixes;
    size_t n_prompt, n_output, n_mixes;
    const char *parameters; /* JSON */
};

/* A row that was read with RECORDED_BODY, and has one, as what is replayed. HEARTH_ERR_FORMAT: it is damaged;
 * HEARTH_ERR_MEMORY. Release with recording_free(). */
bool recorded_recording(const struct recorded_row *row, struct recording *out, hearth_error *err);

/* One that was read with RECORDED_RECEIPT or more, as a recording of a receipt and nothing else. */
bool recorded_receipt(const struct recorded_row *row, struct recording *out, hearth_error *err);

/* How much of a row is wanted. */
enum recorded_depth { RECORDED_LINE, RECORDED_RECEIPT, RECORDED_BODY };

/* The oldest first. see: false ends it. HEARTH_ERR_IO: there is no such database, or it cannot be read;
 * HEARTH_ERR_FORMAT: it is damaged, or none of ours. */
bool recorded_list(const char *dir, const struct recorded_filter *filter, enum recorded_depth depth,
                   bool (*see)(void *arg, const struct recorded_row *row), void *arg, hearth_error *err);
