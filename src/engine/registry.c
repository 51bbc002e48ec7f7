/* registry.c: models in an engine: open, plan, memory, release. */
#include "engine/registry.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "engine/engine.h"
#include "kernel/roof.h"

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

/* What goes between the pool and the disk. */
static bool make_keep(hearth_model *m, hearth_error *err)
{
    uint8_t digest[32];
    struct hearth_engine *e = m->engine;
    if (!e->disk || states_kept(&m->kv.states)) /* pages alone could not be gone on from */
        return true;
    return (registry_weights_digest(m->file, m->identity, digest)
            && keep_create(&m->keep, e->disk, &m->kv, digest, e->cache_least_tokens))
           || fail_memory(err, "the cache on disk");
}

static bool make_memory(hearth_model *m, const struct plan_request *r, hearth_error *err)
{
    const struct model *model = &m->file->model;
    int n_vocab = model->hp.n_vocab;
    struct workspace_shape shape = plan_workspace(r, m->file, m->plan.n_ctx_tokens);
    if (!kv_create(&m->kv, &model->hp, r->kv_type, kv_pages_for(m->plan.n_kv_tokens), r->n_seqs, err)
        || !make_keep(m, err))
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

/* ---- open, release ---- */

static void destroy(hearth_model *m)
{
    engine_detach(m->engine, m);
    readahead_end(&m->readahead);
    for (uint32_t i = 0; m->locked && i < m->file->n_maps; i++)
        file_unlock(&m->file->maps[i]);
    roofs_destroy(m->reading);
    keep_destroy(&m->keep, &m->kv, m->engine->cache_close_ms);
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
    bytes += (uint64_t)(max_int(w->n_mats, 1) - 1) * (w->vec ? bytes : w->mat_bytes);
    readahead_need(r, data, bytes, rank);
}

/* Layer by layer, the output after them. Of an embedding that is not also the output, and of one for all layers, a few
 * rows are looked up: they come last. */
static void name_order(struct readahead *r, const struct model *m)
{
    uint32_t n_layers = (uint32_t)m->hp.n_layers;
    for (uint32_t l = 0; l < n_layers; l++)
        for (int slot = 0; slot < N_LAYER_SLOTS; slot++)
            need_weight(r, &m->layers[l].w[slot], l);
    for (int slot = 0; slot < N_GLOBAL_SLOTS; slot++)
        need_weight(r, &m->global[slot], slot == G_TOKEN_EMBD || slot == G_LAYER_EMBD ? n_layers + 1 : n_layers);
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
    readahead_begin(&m->readahead, m->pinned || !m->engine->take_turns); /* else when it wakes */
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
    uint64_t own = m->plan.total_bytes - m->plan.weights_bytes - file_header_bytes(m->file);
    uint64_t file = m->readahead.file_bytes;
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

struct plan_request registry_request(const hearth_engine *e, const hearth_model_options *o, const hearth_file *f)
{
    uint64_t planned = f->model.weight_bytes + file_header_bytes(f), file = max_size(file_total_bytes(f), planned);
    return (struct plan_request){ .n_ctx = o->n_ctx_tokens,
                                  .n_kv_tokens = o->n_kv_tokens,
                                  .n_seqs = e->n_seqs,
                                  .n_threads = max_int(e->n_threads, e->n_threads_prefill),
                                  .n_step_tokens = e->n_step_tokens,
                                  .kv_type = o->kv_type,
                                  .budget_bytes = e->budget_bytes,
                                  .request_bytes = e->request_bytes,
                                  .program_bytes = e->program_bytes,
                                  .share_bytes = o->budget_bytes,
                                  .kept_bytes = o->preload || o->lock ? file - planned : 0,
                                  .observed = o->on_product != NULL,
                                  .on_disk = e->disk != NULL };
}

/* Its memory, beside that of the models that are open. One at a time: engine_plan_begin(). */
static bool take_place(hearth_model *m, const hearth_model_options *o, hearth_error *err)
{
    struct hearth_engine *e = m->engine;
    int64_t start = clock_ns();
    struct plan_request r = registry_request(e, o, m->file);
    r.budget_bytes = e->n_lanes ? e->planned_budget_bytes : e->budget_bytes;
    r.others_own_bytes = e->own_bytes;
    r.others_weights_bytes = e->weights_bytes;
    if (e->take_turns && !o->budget_bytes) /* it has no share in that */
        r.others_own_bytes += e->turn_room_bytes;
    if (!model_check_context(&m->file->model, o->n_ctx_tokens, err))
        return false;
    plan_make(&m->plan, m->file, &r);
    if (!m->plan.fits)
        return plan_refuse(&m->plan, m->file, err);
    if (!make_memory(m, &r, err) || (e->measures_reads && !idle_prepare(m, err)) || !engine_attach(e, m, err))
        return false;
    m->file->plan_ms = clock_ms_since(start);
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
    if (!progress(o, "plan", 0.8, err) || !registry_identity(m->file, m->identity, err))
        return false;
    engine_plan_begin(e);
    bool ok = take_place(m, o, err);
    engine_plan_end(e);
    return ok && finish_reading(m, o, err) && progress(o, "ready", 1, err);
}

hearth_model *hearth_model_open(hearth_engine *engine, const hearth_model_options *options, hearth_error *err)
{
    err_clear(err);
    if (options->n_ctx_tokens < 0 || options->n_ctx_tokens > MAX_CTX) {
        fail(err, HEARTH_ERR_USAGE, "a context of %d tokens is out of range (0 to %d)", options->n_ctx_tokens, MAX_CTX);
        return NULL;
    }
    if (options->n_kv_tokens < 0) {
        fail(err, HEARTH_ERR_USAGE, "n_kv_tokens is %d; it must be 0 (as many as fit) or more", options->n_kv_tokens);
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
    m->pinned = registry_stays(options);
    m->keep_awake_ns = options->keep_awake_ms ? (int64_t)max_int(options->keep_awake_ms, 0) * 1000000
                                              : engine->keep_awake_ns;
    m->observer = (struct observer){ options->on_product, options->on_product_arg };
    if (open_model(m, options, err)) {
        if (m->keep_awake_ns)
            engine_poke(engine); /* it is idle from now on, also if nobody ever asks */
        return m;
    }
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

uint64_t hearth_model_resident_weights(const hearth_model *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->file->n_maps; i++)
        n += file_resident_bytes(&m->file->maps[i]);
    return n;
}

void hearth_model_readahead(const hearth_model *m, hearth_readahead *out)
{
    *out = (hearth_readahead){ .file_bytes = m->readahead.file_bytes, .preloaded = m->readahead.filled,
                               .locked = m->locked };
    out->reading = readahead_look(&m->readahead, &out->read_bytes);
}

hearth_file *hearth_model_file(hearth_model *m) { return m->file; }
const char *hearth_model_identity(const hearth_model *m) { return m->identity; }
