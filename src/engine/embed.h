/* embed.h: vectors of texts instead of answers: what a request wants of them, and the rows of a step they are made of.
 *
 * Rows are added up one by one in the order of the text, on the engine thread: so the sum has the same bits however the
 * text was divided into steps, and whoever else was in them. */
#pragma once
#include "engine/seq.h"

/* What may be asked of this model: HEARTH_ERR_USAGE. */
bool embed_check(const hearth_model *m, const hearth_request *r, hearth_error *err);
/* Of a stream whose request is copied: how its rows are pooled, and room for the vector. */
bool embed_prepare(struct hearth_stream *s, hearth_error *err);
/* After a pass: the rows of a slice from row first_row on. Returns how many were taken: all n, or those before one that
 * is not finite, which is the caller's matter. Uses ws->out. */
int embed_rows(struct seq *s, const struct kernels *k, struct pool *pool, int first_row, int first_pos, int n);
/* Its prompt is through. */
void embed_end(struct seq *s, const struct kernels *k, struct pool *pool);
