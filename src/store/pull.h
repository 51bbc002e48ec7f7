/* pull.h: what a hub has of a model, before any of it is fetched (download.h). */
#pragma once
#include "base/buf.h"
#include "store/download.h"

/* hub: where to ask instead of the usual place (a mirror), "https://hub.example.com"; NULL: the usual one. source: how
 * errors call it. HEARTH_ERR_USAGE, HEARTH_ERR_FORMAT, HEARTH_ERR_IO. */
bool pull_list(struct hub_set *out, struct http_client *http, const struct reference *r, const char *hub,
               const struct download_options *o, hearth_error *err);

/* The first `most` bytes of a file, or all of a shorter one; *total: how long it is. HEARTH_ERR_FORMAT: the server does
 * not say. */
bool pull_head(struct buf *out, uint64_t *total, struct http_client *http, const struct hub_file *f, size_t most,
               const struct download_options *o, hearth_error *err);
