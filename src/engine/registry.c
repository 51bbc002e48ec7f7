/* registry.c: models in an engine: open, plan, memory, release. */
#include "engine/registry.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "engine/engine.h"

static bool progress_at(const hearth_model_options *o, const hearth_progress *at, hearth_error *err)
{
    return !o->progress || o->progress(o->progress_arg, at)
        || fail(err, HEARTH_ERR_CANCELLED, "opening the model was interrupted");
}

static bool progress(const hearth_model_options *o, const char *phase, double fraction, hearth_error *err)
{
    return progress_at(o, &(hearth_progress){ .phase = phase, .fraction = fraction }, err);
}

/* ---- memory ---- */

static bool make_memory(hearth_model *m, const struct plan_request *r, hearth_error *err)
{
    const struct model *model = &m->file->model;
    int n_vocab = model->hp.n_vocab;
    uint32_t pages_per_seq = ((uint32_t)m->plan.n_ctx_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    struct workspace_shape shape = plan_workspace(r, m->plan.n_ctx_tokens);
    if (!kv_create(&m->kv, &model->hp, r->kv_type, pages_per_seq * (uint32_t)r->n_seqs, err))
        return false;
    workspace_layout(&m->ws, model, &shape, NULL);
    m->ws_memory_bytes = m->ws.bytes;
    m->ws_memory = mem_pages(m->ws_memory_bytes, &m->ws_huge);
    m->room_bytes = registry_room_bytes(n_vocab, m->plan.n_ctx_tokens);
    m->room_memory = mem_pages(m->room_bytes, NULL);
    if (!m->ws_memory || !m->room_memory)
        return fail(err, HEARTH_ERR_MEMORY, "cannot reserve %zu MiB of workspace; close other programs or lower --ctx",
                    (m->ws_memory_bytes + m->room_bytes) >> 20);
    workspace_layout(&m->ws, model, &shape, m->ws_memory);
    sampler_room_layout(&m->room, m->room_memory, n_vocab, m->plan.n_ctx_tokens);
    m->logits_copy = (float *)((char *)m->room_memory + sampler_room_bytes(n_vocab, m->plan.n_ctx_tokens));
    return true;
}

static void seqs_free(struct hearth_engine *e, struct hearth_model *m)
{
    for (int i = 0; e->seqs && i < e->n_seqs; i++) {
        kv_seq_destroy(&m->kv, &e->seqs[i].kv);
        mem_free(e->seqs[i].history);
        mem_free(e->seqs[i].lookup.last);
        mem_free(e->seqs[i].held);
        mem_free(e->seqs[i].thinking);
    }
    mem_free(e->seqs);
    mem_free(e->batch_tokens);
    mem_free(e->slices);
    e->seqs = NULL;
    e->batch_tokens = NULL;
    e->slices = NULL;
}

static bool seqs_make(struct hearth_engine *e, struct hearth_model *m)
{
    size_t n_ctx = (size_t)m->plan.n_ctx_tokens;
    uint32_t pages = (uint32_t)((n_ctx + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS);
    e->seqs = mem_alloc(sizeof *e->seqs * (size_t)e->n_seqs);
    e->batch_tokens = mem_alloc(sizeof *e->batch_tokens * (size_t)m->ws.max_tokens);
    e->slices = mem_alloc(sizeof *e->slices * (size_t)e->n_seqs);
    bool ok = e->seqs && e->batch_tokens && e->slices;
    for (int i = 0; ok && i < e->n_seqs; i++) {
        struct seq *s = &e->seqs[i];
        s->history = mem_alloc(n_ctx * sizeof *s->history);
        s->held = mem_alloc(STREAM_TEXT_MAX_BYTES);
        s->thinking = mem_alloc(STREAM_TEXT_MAX_BYTES);
        void *index = mem_alloc(lookup_bytes((int)n_ctx));
        if (index)
            lookup_layout(&s->lookup, index, (int)n_ctx);
        ok = s->history && s->held && s->thinking && index && kv_seq_create(&s->kv, pages, NULL);
    }
    return ok;
}

bool engine_attach(struct hearth_engine *e, struct hearth_model *m, hearth_error *err)
{
    lock_take(&e->lock);
    bool taken = e->model != NULL;
    if (!taken)
        e->model = m;
    lock_release(&e->lock);
    if (taken)
        return fail(err, HEARTH_ERR_USAGE, "this engine already holds %s; release it first or create another engine",
                    e->model->file->name);
    bool ok = seqs_make(e, m);
    if (!ok)
        seqs_free(e, m);
    lock_take(&e->lock);
    e->attached = ok;
    if (!ok)
        e->model = NULL;
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
    return ok ? true : fail_memory(err, "the sequences");
}

void engine_detach(struct hearth_engine *e, struct hearth_model *m)
{
    lock_take(&e->lock);
    bool mine = e->model == m;
    e->attached = e->attached && !mine;
    while (mine && e->stepping)
        lock_wait(&e->lock);
    lock_release(&e->lock);
    if (!mine)
        return;
    seqs_free(e, m);
    lock_take(&e->lock);
    e->model = NULL;
    lock_release(&e->lock);
}

/* ---- open, release ---- */

static void destroy(hearth_model *m)
{
    engine_detach(m->engine, m);
    readahead_end(&m->readahead);
    for (uint32_t i = 0; m->locked && i < m->file->n_maps; i++)
        file_unlock(&m->file->maps[i]);
    kv_destroy(&m->kv);
    mem_pages_free(m->ws_memory, m->ws_memory_bytes);
    mem_pages_free(m->room_memory, m->room_bytes);
    hearth_file_close(m->file);
    mem_free(m);
}

/* ---- weights into memory ---- */

static void need_weight(struct readahead *r, const struct weight *w, uint32_t rank)
{
    const void *data = w->vec ? (const void *)w->vec : w->mat.data;
    uint64_t bytes = w->vec ? (uint64_t)w->mat.n_cols * sizeof *w->vec : (uint64_t)w->mat.n_rows * w->mat.row_bytes;
    readahead_need(r, data, bytes, rank);
}

/* Layer by layer, the output after them. Of an embedding that is not also the output a few rows are looked up: it
 * comes last. */
static void name_order(struct readahead *r, const struct model *m)
{
    uint32_t n_layers = (uint32_t)m->hp.n_layers;
    for (uint32_t l = 0; l < n_layers; l++)
        for (int slot = 0; slot < N_LAYER_SLOTS; slot++)
            need_weight(r, &m->layers[l].w[slot], l);
    for (int slot = 0; slot < N_GLOBAL_SLOTS; slot++)
        need_weight(r, &m->global[slot], slot == G_TOKEN_EMBD ? n_layers + 1 : n_layers);
}

/* A lock that is refused is refused before the file is read. */
static bool begin_reading(hearth_model *m, const hearth_model_options *o, hearth_error *err)
{
    struct machine machine;
    machine_read(&machine);
    uint64_t room = m->engine->budget_bytes ? m->engine->budget_bytes : machine_memory_budget(&machine);
    for (uint32_t i = 0; o->lock && i < m->file->n_maps; i++) {
        if (!file_lock(&m->file->maps[i], true, err))
            return err_context(err, "%s", m->file->name);
        m->locked = true;
    }
    if (!readahead_plan(&m->readahead, m->file->maps, m->file->n_maps, room, err))
        return false;
    name_order(&m->readahead, &m->file->model);
    readahead_begin(&m->readahead);
    return true;
}

static bool show_reading(void *options, uint64_t read_bytes, uint64_t file_bytes)
{
    const hearth_model_options *o = options;
    return progress_at(o, &(hearth_progress){ "weights", 0.9, read_bytes, file_bytes }, NULL);
}

/* Last: what can be refused sooner is refused before gigabytes are read. */
static bool finish_reading(hearth_model *m, const hearth_model_options *o, hearth_error *err)
{
    int64_t start = clock_ns();
    if (!o->preload && !o->lock)
        return true;
    uint64_t own = m->plan.total_bytes - m->plan.weights_bytes, file = m->readahead.file_bytes;
    if (file + own > m->plan.budget_bytes)
        return fail(err, HEARTH_ERR_MEMORY,
                    "%s: %llu MiB of weights to be kept in memory + KV cache, workspace and vocabulary %llu MiB do not "
                    "fit in the %llu MiB there are; lower --ctx, or leave out --preload and --lock",
                    m->file->name, (unsigned long long)(file >> 20), (unsigned long long)(own >> 20),
                    (unsigned long long)(m->plan.budget_bytes >> 20));
    if (!readahead_fill(&m->readahead, show_reading, (void *)(uintptr_t)o, err))
        return err_context(err, "%s", m->file->name);
    for (uint32_t i = 0; o->lock && i < m->file->n_maps; i++)
        if (!file_lock(&m->file->maps[i], false, err))
            return err_context(err, "%s", m->file->name);
    m->weights_ms = clock_ms_since(start);
    return true;
}

static bool open_model(hearth_model *m, const hearth_model_options *o, hearth_error *err)
{
    struct hearth_engine *e = m->engine;
    if (!progress(o, "metadata", 0, err))
        return false;
    m->file = hearth_file_open(&o->source, err);
    if (!m->file)
        return false;
    if (!m->file->runs) {
        if (err)
            *err = m->file->problem;
        return err_context(err, "%s", m->file->name);
    }
    if (!begin_reading(m, o, err) || !progress(o, "tokenizer", 0.3, err))
        return false;
    m->tokenizer = file_tokenizer(m->file, err);
    if (!m->tokenizer)
        return err_context(err, "%s", m->file->name);
    int n_tokens = tokenizer_vocab(m->tokenizer)->n_tokens;
    if (n_tokens > m->file->model.hp.n_vocab)
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s: the vocabulary has %d tokens but the weights only %d rows; the file is damaged", m->file->name,
                    n_tokens, m->file->model.hp.n_vocab);
    if (!progress(o, "plan", 0.8, err))
        return false;
    int64_t start = clock_ns();
    struct plan_request r = { .n_ctx = o->n_ctx_tokens,
                              .n_seqs = e->n_seqs,
                              .n_threads = max_int(e->n_threads, e->n_threads_prefill),
                              .n_step_tokens = e->n_step_tokens,
                              .kv_type = o->kv_type,
                              .budget_bytes = e->budget_bytes,
                              .observed = o->on_product != NULL };
    plan_make(&m->plan, m->file, &r);
    if (!m->plan.fits)
        return plan_refuse(&m->plan, m->file, err);
    if (!registry_identity(m->file, m->identity, err) || !make_memory(m, &r, err) || !engine_attach(e, m, err))
        return false;
    m->file->plan_ms = clock_ms_since(start);
    return finish_reading(m, o, err) && progress(o, "ready", 1, err);
}

hearth_model *hearth_model_open(hearth_engine *engine, const hearth_model_options *options, hearth_error *err)
{
    err_clear(err);
    if (options->n_ctx_tokens < 0 || options->n_ctx_tokens > MAX_CTX) {
        fail(err, HEARTH_ERR_USAGE, "a context of %d tokens is out of range (0 to %d)", options->n_ctx_tokens, MAX_CTX);
        return NULL;
    }
    if (!kv_type_ok(options->kv_type, err))
        return NULL;
    hearth_model *m = mem_alloc(sizeof *m);
    if (!m) {
        fail_memory(err, "a model");
        return NULL;
    }
    atomic_init(&m->n_refs, 1);
    m->engine = engine;
    m->observer = (struct observer){ options->on_product, options->on_product_arg };
    if (open_model(m, options, err))
        return m;
    destroy(m);
    return NULL;
}

void hearth_model_retain(hearth_model *m) { atomic_fetch_add(&m->n_refs, 1); }

void hearth_model_release(hearth_model *m)
{
    if (m && atomic_fetch_sub(&m->n_refs, 1) == 1)
        destroy(m);
}

void hearth_model_plan(const hearth_model *m, hearth_plan *plan) { *plan = m->plan; }

static hearth_page_use page_use(const void *start, size_t bytes)
{
    struct process_pages use;
    process_pages_read("/proc/self/smaps", start, bytes, &use);
    return (hearth_page_use){ use.resident_bytes, use.huge_bytes };
}

void hearth_model_pages(const hearth_model *m, hearth_pages *out)
{
    *out = (hearth_pages){ .kv = page_use(m->kv.data, m->kv.bytes),
                           .workspace = page_use(m->ws_memory, m->ws_memory_bytes) };
    for (uint32_t i = 0; i < m->file->n_maps; i++) {
        hearth_page_use use = page_use(m->file->maps[i].ptr, m->file->maps[i].bytes);
        out->weights.resident_bytes += use.resident_bytes;
        out->weights.huge_bytes += use.huge_bytes;
    }
}

void hearth_model_readahead(const hearth_model *m, hearth_readahead *out)
{
    *out = (hearth_readahead){ .file_bytes = m->readahead.file_bytes, .preloaded = m->readahead.filled,
                               .locked = m->locked };
    out->reading = readahead_look(&m->readahead, &out->read_bytes);
}

hearth_file *hearth_model_file(hearth_model *m) { return m->file; }
const char *hearth_model_identity(const hearth_model *m) { return m->identity; }
