/* load.c: a sequence and the cache on disk (keep.h). */
#include <string.h>

#include "base/clock.h"
#include "engine/seq.h"

void seq_keep(struct seq *s)
{
    struct hearth_model *m = s->stream->model;
    keep_note(&m->keep, &m->kv, &s->kv, &s->kept);
}

bool seq_load(struct seq *s)
{
    struct hearth_model *m = s->stream->model;
    struct disk_load *l = &s->load;
    uint32_t n_full = s->kv.n_in_tree;
    s->load_tried = true;
    if (!m->keep.disk || s->stream->request.no_prefix_cache || s->n_done / KV_PAGE_TOKENS != (int)n_full)
        return false;
    uint32_t n = keep_look(&m->keep, s->kv.salt, s->history, n_full, seq_most_cached(s), l);
    if (n == 0 || !kv_seq_reserve(&m->kv, &s->kv, (int)(n_full + n) * KV_PAGE_TOKENS))
        return false;
    /* A page that was copied because it begins right is one of those that are read: all of it comes. */
    int n_part = s->n_done - (int)n_full * KV_PAGE_TOKENS;
    hearth_receipt *r = &s->stream->receipt;
    if (r->n_preemptions == 0)
        r->n_cached_tokens -= n_part;
    else
        r->n_recomputed_tokens += max_int(min_int(s->n_done, s->n_lost) - (s->n_done - n_part), 0);
    s->n_done -= n_part;
    l->form = &m->keep.form;
    l->first = n_full;
    l->n_pages = n;
    l->tokens = s->history + s->n_done;
    l->data = m->kv.data;
    l->pages = s->kv.pages + n_full;
    l->used_ns = clock_unix_ns();
    s->load_begin_ns = clock_ns();
    s->loading = true;
    disk_load_begin(m->keep.disk, l);
    return true;
}

/* Why there is not more of it: what is kept ends there, or is not what it should be. */
static void describe(struct seq *s)
{
    hearth_receipt *r = &s->stream->receipt;
    int first = (int)s->load.first * KV_PAGE_TOKENS;
    if (s->n_output > 0 || r->n_preemptions > 0 || first > r->n_prefix_tokens || s->n_done == r->n_prefix_tokens)
        return;
    r->n_prefix_tokens = s->n_done;
    r->prefix_end = s->n_done == seq_most_cached(s) ? HEARTH_PREFIX_WHOLE : HEARTH_PREFIX_ENDED;
    r->prefix_id = s->history[s->n_done];
    r->prefix_other_id = -1;
}

void seq_load_look(struct seq *s)
{
    hearth_receipt *r = &s->stream->receipt;
    bool ended = disk_load_ended(&s->load); /* first: then what is read is all of it */
    int had = s->n_done;
    s->n_done = (int)(s->load.first + disk_load_read(&s->load)) * KV_PAGE_TOKENS;
    r->n_disk_tokens += s->n_done - had;
    if (r->n_preemptions == 0)
        r->n_cached_tokens += s->n_done - had;
    else
        r->n_recomputed_tokens -= max_int(min_int(s->n_done, s->n_lost) - had, 0);
    if (s->n_done > had)
        seq_publish(s);
    if (!ended)
        return;
    s->loading = false;
    r->disk_ms += clock_ms_since(s->load_begin_ns);
    describe(s);
}
