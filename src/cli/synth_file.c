/* synth_file.c: the whole file: metadata, then tensors in tiles on all threads.
 *
 * A tile is some rows of one tensor, about TILE_VALUES numbers: what a thread makes, converts
 * and writes at its place before it takes the next one. */
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/thread.h"
#include "cli/synth.h"
#include "dtype/dtype.h"
#include "kernel/num.h"

enum { TILE_VALUES = 1 << 18, ROW_MAX_VALUES = 1 << 16 };

struct tile {
    const struct synth_tensor *tensor;
    uint64_t first_row;
    uint64_t n_rows;
};

struct scratch { /* of one thread */
    float row[ROW_MAX_VALUES];
    uint8_t encoded[(TILE_VALUES + ROW_MAX_VALUES) * sizeof(float)];
};

struct job {
    const struct synth_options *options;
    struct gguf_writer writer;
    struct synth_tensors list;
    struct tile *tiles; /* [n_tiles] */
    int n_tiles;
    struct tiles taken;
    struct scratch *scratch; /* [n_threads] */
    atomic_ullong done_bytes;
    atomic_bool stop;   /* cancelled, or a write failed */
    bool cancelled;
};

/* ---- numbers ---- */

/* Llama 3's scaling of slow frequencies: 1 for short wavelengths, rope_factor for long ones, a
 * straight line between them in the frequency (old context 8192, low factor 1, high factor 4). */
static float rope_factor(const struct synth_shape *s, int pair)
{
    const double pi = 3.14159265358979323846, old_ctx = 8192, low = 1, high = 4;
    double wavelength = 2 * pi * num_pow(s->rope_base, 2.0 * pair / s->head_dim);
    if (wavelength < old_ctx / high)
        return 1;
    if (wavelength > old_ctx / low)
        return (float)s->rope_factor;
    double smooth = (old_ctx / wavelength - low) / (high - low);
    return (float)(1 / ((1 - smooth) / s->rope_factor + smooth));
}

/* One row. key: of (seed, tensor). */
static void make_row(float *out, const struct synth_shape *shape, const struct synth_tensor *t, uint64_t key,
                     uint64_t row)
{
    int n = (int)t->dim[0];
    struct rng rng = { key, row * t->dim[0] };
    for (int i = 0; i < n; i++)
        out[i] = t->is_rope ? rope_factor(shape, i) : t->mean + t->std * rng_normal(&rng);
}

static size_t encode_tile(struct scratch *s, const struct job *job, const struct tile *tile)
{
    const struct synth_tensor *t = tile->tensor;
    const struct dtype_info *d = &dtype_table[t->dtype];
    uint64_t key = rng_at(job->options->seed, (uint64_t)(t - job->list.tensors));
    size_t used = 0;
    for (uint64_t row = tile->first_row; row < tile->first_row + tile->n_rows; row++) {
        make_row(s->row, job->list.shape, t, key, row);
        for (uint64_t i = 0; i < t->dim[0]; i += (uint64_t)d->n_values) {
            d->from_f32(s->encoded + used, s->row + i);
            used += (size_t)d->block_bytes;
        }
    }
    return used;
}

/* ---- tiles ---- */

static uint64_t tile_rows(const struct synth_tensor *t) { return max_size(1, TILE_VALUES / t->dim[0]); }

static uint64_t all_rows(const struct synth_tensor *t) { return t->dim[1] * t->n_mats; }

static bool list_tiles(struct job *job, hearth_error *err)
{
    uint64_t n = 0;
    for (int i = 0; i < job->list.n; i++)
        n += (all_rows(&job->list.tensors[i]) + tile_rows(&job->list.tensors[i]) - 1)
             / tile_rows(&job->list.tensors[i]);
    job->tiles = mem_alloc(n * sizeof *job->tiles);
    if (!job->tiles)
        return fail_memory(err, "the list of tiles");
    for (int i = 0; i < job->list.n; i++) {
        const struct synth_tensor *t = &job->list.tensors[i];
        for (uint64_t row = 0; row < all_rows(t); row += tile_rows(t))
            job->tiles[job->n_tiles++] = (struct tile){ t, row, min_size(tile_rows(t), all_rows(t) - row) };
    }
    return true;
}

static void write_tile(struct job *job, const struct tile *tile, struct scratch *scratch)
{
    const struct synth_tensor *t = tile->tensor;
    size_t n = encode_tile(scratch, job, tile);
    uint64_t offset = t->offset + tile->first_row * dtype_row_bytes((enum dtype)t->dtype, t->dim[0]);
    if (!gguf_write_data(&job->writer, offset, scratch->encoded, n))
        atomic_store(&job->stop, true);
    atomic_fetch_add(&job->done_bytes, n);
}

static void work(void *arg, int thread, int n_threads)
{
    struct job *job = arg;
    const struct synth_options *o = job->options;
    (void)n_threads;
    for (int i; (i = tiles_take(&job->taken)) < job->n_tiles && !atomic_load(&job->stop);) {
        write_tile(job, &job->tiles[i], &job->scratch[thread]);
        if (thread != 0 || !o->progress)
            continue;
        if (!o->progress(o->progress_arg, atomic_load(&job->done_bytes), job->list.bytes)) {
            job->cancelled = true;
            atomic_store(&job->stop, true);
        }
    }
}

static bool run_threads(struct job *job, hearth_error *err)
{
    int n_threads = job->options->n_threads;
    struct pool *pool = NULL;
    job->scratch = mem_alloc((size_t)n_threads * sizeof *job->scratch);
    bool ok = job->scratch || fail_memory(err, "the tiles");
    ok = ok && (pool = pool_create(n_threads, err)) != NULL;
    if (ok) {
        tiles_reset(&job->taken, job->n_tiles);
        /* The first piece of data makes the writer write its directory: before the others start. */
        write_tile(job, &job->tiles[tiles_take(&job->taken)], &job->scratch[0]);
        pool_run(pool, work, job);
    }
    pool_destroy(pool);
    mem_free(job->scratch);
    return ok;
}

/* ---- metadata ---- */

static void put_u32(struct gguf_writer *w, const char *arch, const char *key, int value)
{
    char full[80];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    gguf_put_u32(w, full, (uint32_t)value);
}

static void put_f32(struct gguf_writer *w, const char *arch, const char *key, double value)
{
    char full[80];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    gguf_put_f32(w, full, (float)value);
}

static void put_metadata(struct gguf_writer *w, const struct synth_options *o)
{
    const struct synth_shape *s = o->shape;
    const char *arch = s->family == SYNTH_LLAMA3 ? "llama" : s->n_experts ? "qwen3moe" : "qwen3";
    char name[80];
    snprintf(name, sizeof name, "Random weights in the shape of %s", s->name);
    gguf_put_str(w, "general.architecture", str_z(arch));
    gguf_put_str(w, "general.type", STR("model"));
    gguf_put_str(w, "general.name", str_z(name));
    gguf_put_u32(w, "general.file_type", o->type->file_type);
    gguf_put_u32(w, "general.quantization_version", 2);
    put_u32(w, arch, "block_count", s->n_layers);
    put_u32(w, arch, "context_length", s->n_ctx_train);
    put_u32(w, arch, "embedding_length", s->n_embd);
    put_u32(w, arch, "feed_forward_length", s->n_ff);
    put_u32(w, arch, "attention.head_count", s->n_heads);
    put_u32(w, arch, "attention.head_count_kv", s->n_kv_heads);
    put_u32(w, arch, "attention.key_length", s->head_dim);
    put_u32(w, arch, "attention.value_length", s->head_dim);
    put_f32(w, arch, "attention.layer_norm_rms_epsilon", s->rms_eps);
    put_f32(w, arch, "rope.freq_base", s->rope_base);
    if (s->n_experts) {
        put_u32(w, arch, "expert_count", s->n_experts);
        put_u32(w, arch, "expert_used_count", s->n_experts_used);
        put_u32(w, arch, "expert_feed_forward_length", s->n_ff_expert);
    }
    if (s->family == SYNTH_LLAMA3) {
        put_u32(w, arch, "rope.dimension_count", s->head_dim);
        put_u32(w, arch, "vocab_size", s->n_vocab);
    }
}

static void declare_tensors(struct job *job)
{
    for (int i = 0; i < job->list.n; i++) {
        struct synth_tensor *t = &job->list.tensors[i];
        uint64_t dims[] = { t->dim[0], t->dim[1], t->n_mats };
        uint32_t n_dims = t->n_mats > 1 ? 3 : t->dim[1] > 1 ? 2 : 1;
        t->offset = gguf_declare_tensor(&job->writer, t->name, dtype_table[t->dtype].gguf_id, n_dims, dims);
    }
}

/* ---- all of it ---- */

static bool write_file(struct job *job, hearth_error *err)
{
    const struct synth_options *o = job->options;
    struct synth_vocab vocab;
    put_metadata(&job->writer, o);
    bool ok = synth_vocab_make(&vocab, o->shape, o->seed, err)
           && synth_vocab_write(&job->writer, &vocab, o->shape, err);
    synth_vocab_free(&vocab);
    if (!ok)
        return false;
    declare_tensors(job);
    if (!list_tiles(job, err) || !run_threads(job, err))
        return false;
    return !job->cancelled || fail(err, HEARTH_ERR_CANCELLED, "interrupted; the unfinished file is removed");
}

bool synth_write(const char *path, const struct synth_options *o, uint64_t *n_values, hearth_error *err)
{
    struct job job = { .options = o };
    bool ok = synth_tensors_make(&job.list, o->shape, o->type, err) && gguf_write_open(&job.writer, path, err);
    if (ok) {
        ok = write_file(&job, err);
        if (ok)
            ok = gguf_write_commit(&job.writer, err);
        else
            gguf_write_abort(&job.writer);
    }
    if (n_values)
        *n_values = job.list.n_values;
    mem_free(job.tiles);
    synth_tensors_free(&job.list);
    return ok;
}
