/* quantize_file.c: tensors through the quantizers, one after the other, in tiles on all threads.
 *
 * A tile is some rows of one tensor: what a thread reads from the map, converts and writes at its place before it takes
 * the next one. Errors are summed by tile and then in order, so neither bytes nor figures depend on the threads. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "cli/quantize.h"
#include "format/gguf_write.h"
#include "quant/quant.h"

enum { TILE_VALUES = 1 << 16, COPY_BYTES = 8 << 20 };

struct tile_sum {
    double error, size; /* sums of squares */
};

struct job {
    const struct quantize_options *o;
    struct quantize_result *r;
    struct gguf_writer writer;
    struct pool *pool;
    /* the tensor at work */
    struct quantize_tensor *t;
    const float *importance; /* [n_experts][dim[0]]; NULL: none */
    uint64_t rows_each;      /* of a tile */
    struct tile_sum *sums;   /* [tiles] */
    struct tiles taken;
    const uint8_t *written;  /* reading back: the tensor's bytes in the new file */
    atomic_bool stop, no_memory;
    atomic_ullong bad_tile;  /* the first that failed; UINT64_MAX: none */
    atomic_ullong done_bytes;
    uint64_t total_bytes;
    const char *doing;
    bool cancelled;
};

/* ---- one tile ---- */

static void decode(enum dtype type, float *out, const uint8_t *bytes, uint64_t n)
{
    const struct dtype_info *d = &dtype_table[type];
    for (uint64_t i = 0; i < n; i += (uint64_t)d->n_values, bytes += d->block_bytes)
        d->to_f32(out + i, bytes);
}

static void add_error(struct tile_sum *sum, const float *x, const float *y, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        double e = (double)x[i] - (double)y[i];
        sum->error += e * e;
        sum->size += (double)x[i] * (double)x[i];
    }
}

struct scratch {
    float *x, *y;
    uint8_t *encoded;
};

static bool row_of_tile(struct job *j, uint64_t row, struct scratch *s, uint8_t *to, struct tile_sum *sum)
{
    const struct quantize_tensor *t = j->t;
    uint64_t n = t->in->dim[0], expert = row / t->in->dim[1];
    decode(t->from, s->x, t->in->data + row * dtype_row_bytes(t->from, n), n);
    if (j->written) {
        decode(t->to, s->y, j->written + row * dtype_row_bytes(t->to, n), n);
    } else {
        const float *importance = j->importance ? j->importance + expert * n : NULL;
        if (quant_row(t->to, to, s->x, importance, n, NULL) != QUANT_OK)
            return false;
        decode(t->to, s->y, to, n);
    }
    add_error(sum, s->x, s->y, n);
    return true;
}

static void note_bad(struct job *j, uint64_t tile)
{
    unsigned long long seen = atomic_load(&j->bad_tile);
    while (tile < seen && !atomic_compare_exchange_weak(&j->bad_tile, &seen, tile))
        ;
    atomic_store(&j->stop, true);
}

static void do_tile(struct job *j, uint64_t tile, struct scratch *s)
{
    const struct quantize_tensor *t = j->t;
    uint64_t n = t->in->dim[0], n_rows = t->in->n_values / n, first = tile * j->rows_each;
    uint64_t last = min_size(first + j->rows_each, n_rows);
    size_t row_bytes = dtype_row_bytes(t->to, n);
    for (uint64_t row = first; row < last; row++) {
        if (!row_of_tile(j, row, s, s->encoded + (row - first) * row_bytes, &j->sums[tile])) {
            note_bad(j, tile);
            return;
        }
    }
    size_t bytes = (last - first) * row_bytes;
    if (!j->written && !gguf_write_data(&j->writer, t->offset + first * row_bytes, s->encoded, bytes))
        atomic_store(&j->stop, true);
    atomic_fetch_add(&j->done_bytes, bytes);
}

static void report_progress(struct job *j)
{
    if (j->o->progress && !j->o->progress(j->o->progress_arg, j->doing, atomic_load(&j->done_bytes), j->total_bytes)) {
        j->cancelled = true;
        atomic_store(&j->stop, true);
    }
}

static void work(void *arg, int thread, int n_threads)
{
    struct job *j = arg;
    uint64_t n = j->t->in->dim[0];
    (void)n_threads;
    struct scratch s = { mem_alloc(n * sizeof(float)), mem_alloc(n * sizeof(float)),
                         mem_alloc(j->rows_each * dtype_row_bytes(j->t->to, n)) };
    if (!s.x || !s.y || !s.encoded) {
        atomic_store(&j->no_memory, true);
        atomic_store(&j->stop, true);
    }
    /* A tile that was taken is finished, so the first bad one is found on any number of threads. */
    while (!atomic_load(&j->stop)) {
        int tile = tiles_take(&j->taken);
        if (tile >= j->taken.n)
            break;
        do_tile(j, (uint64_t)tile, &s);
        if (thread == 0)
            report_progress(j);
    }
    mem_free(s.x);
    mem_free(s.y);
    mem_free(s.encoded);
}

/* ---- one tensor ---- */

/* The first number of the tensor that cannot be written, by walking the bad tile again. */
static bool fail_bad(struct job *j, hearth_error *err)
{
    const struct quantize_tensor *t = j->t;
    uint64_t n = t->in->dim[0], row = atomic_load(&j->bad_tile) * j->rows_each;
    float *x = mem_alloc(n * sizeof *x);
    uint8_t *encoded = mem_alloc(dtype_row_bytes(t->to, n));
    size_t at = 0;
    enum quant_result result = QUANT_OK;
    for (; x && encoded && result == QUANT_OK && row < t->in->n_values / n; row++) {
        decode(t->from, x, t->in->data + row * dtype_row_bytes(t->from, n), n);
        result = quant_row(t->to, encoded, x, NULL, n, &at);
    }
    bool found = x && encoded;
    mem_free(x);
    mem_free(encoded);
    if (!found)
        return fail_memory(err, "finding the number that cannot be written");
    if (result == QUANT_TOO_LARGE)
        return fail(err, HEARTH_ERR_FORMAT,
                    STR_FMT " has values in row %llu, from column %zu on, that are too large for %s; give it another "
                    "type with --tensor", STR_ARG(t->in->name), (unsigned long long)row - 1, at,
                    dtype_table[t->to].name);
    return fail(err, HEARTH_ERR_FORMAT,
                STR_FMT " has a NaN or infinity in row %llu, in the block from column %zu on; the file is damaged or "
                "its training failed: get another", STR_ARG(t->in->name), (unsigned long long)row - 1, at);
}

static bool run_tensor(struct job *j, struct quantize_tensor *t, const uint8_t *written, hearth_error *err)
{
    uint64_t n_rows = t->in->n_values / t->in->dim[0];
    j->t = t;
    j->written = written;
    j->rows_each = max_size(1, TILE_VALUES / t->in->dim[0]);
    uint64_t n_tiles = (n_rows + j->rows_each - 1) / j->rows_each;
    if (n_tiles > INT32_MAX / 2)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has %llu rows, too many to be a model's", STR_ARG(t->in->name),
                    (unsigned long long)n_rows);
    j->sums = mem_alloc(n_tiles * sizeof *j->sums);
    if (!j->sums)
        return fail_memory(err, "the tiles of a tensor");
    tiles_reset(&j->taken, (int)n_tiles);
    atomic_store(&j->bad_tile, UINT64_MAX);
    pool_run(j->pool, work, j);
    struct tile_sum sum = { 0 };
    for (uint64_t i = 0; i < n_tiles; i++) {
        sum.error += j->sums[i].error;
        sum.size += j->sums[i].size;
    }
    mem_free(j->sums);
    t->size = sqrt(sum.size / (double)t->in->n_values);
    *(written ? &t->verified : &t->error) = sqrt(sum.error / (double)t->in->n_values);
    if (atomic_load(&j->bad_tile) != UINT64_MAX)
        return fail_bad(j, err);
    if (atomic_load(&j->no_memory))
        return fail_memory(err, "the tiles");
    return !j->cancelled || fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is left of the unfinished file");
}

static bool copy_tensor(struct job *j, const struct quantize_tensor *t, hearth_error *err)
{
    for (uint64_t at = 0; at < t->bytes && !j->cancelled; at += COPY_BYTES) {
        size_t piece = min_size(COPY_BYTES, t->bytes - at);
        if (!gguf_write_data(&j->writer, t->offset + at, t->in->data + at, piece))
            break; /* the writer remembers why */
        atomic_fetch_add(&j->done_bytes, piece);
        report_progress(j);
    }
    return !j->cancelled || fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is left of the unfinished file");
}

/* ---- the file ---- */

static bool is_ours(struct str key)
{
    static const char *const keys[] = { "general.file_type", "general.quantization_version", "general.alignment",
                                        "split.no", "split.count", "split.tensors.count" };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq_z(key, keys[i]))
            return true;
    return str_starts(key, STR("quantize.imatrix.")); /* of how the input was made */
}

/* As it was, but for what says how the file itself is made. */
static void put_metadata(struct job *j)
{
    const struct gguf *g = &j->r->model.gguf;
    for (uint32_t i = 0; i < g->n_values; i++)
        if (!is_ours(g->values[i].key))
            gguf_put_value(&j->writer, &g->values[i]);
    if (j->o->mix->file_type >= 0)
        gguf_put_u32(&j->writer, "general.file_type", (uint32_t)j->o->mix->file_type);
    gguf_put_u32(&j->writer, "general.quantization_version", 2);
    if (j->o->imatrix_path)
        quantize_importance_record(&j->r->imatrix.gguf, j->o->imatrix_path, &j->writer);
}

static void declare(struct job *j)
{
    for (uint32_t i = 0; i < j->r->n; i++) {
        struct quantize_tensor *t = &j->r->tensors[i];
        char name[300];
        snprintf(name, sizeof name, "%.*s", (int)t->in->name.len, t->in->name.ptr);
        t->offset = gguf_declare_tensor(&j->writer, name, t->type, t->in->n_dims, t->in->dim);
    }
}

static bool write_tensors(struct job *j, hearth_error *err)
{
    struct quantize_result *r = j->r;
    gguf_write_data(&j->writer, 0, "", 0); /* the directory, before several threads write */
    for (uint32_t i = 0; i < r->n; i++) {
        struct quantize_tensor *t = &r->tensors[i];
        float *importance = NULL;
        if (atomic_load(&j->stop))
            break;
        if (t->converted && j->o->imatrix_path && !quantize_importance_of(&r->imatrix.gguf, t->in, &importance, err))
            return false;
        j->importance = importance;
        t->has_importance = importance != NULL;
        r->n_without_importance += t->converted && !importance && dtype_table[t->to].n_values > 1;
        bool ok = t->converted ? run_tensor(j, t, NULL, err) : copy_tensor(j, t, err);
        mem_free(importance);
        if (!ok)
            return false;
    }
    for (uint32_t i = 0; i < r->model.n_maps; i++)
        if (file_map_damaged(&r->model.maps[i]))
            return fail(err, HEARTH_ERR_IO, "the input became shorter while it was read; nothing is written");
    return true;
}

/* Every converted tensor's blocks, out of the new file: the error must be the one that was seen while writing. */
static bool verify(struct job *j, const char *path, hearth_error *err)
{
    struct quantize_result *r = j->r;
    struct model_bytes made;
    bool ok = model_bytes_open(&made, &(hearth_source){ .path = path }, err);
    atomic_store(&j->done_bytes, 0);
    j->doing = "reading back";
    for (uint32_t i = 0; ok && i < r->n; i++) {
        struct quantize_tensor *t = &r->tensors[i];
        const struct gguf_tensor *there = gguf_find_tensor(&made.gguf, t->in->name);
        ok = there && there->type == t->type && there->bytes == t->bytes;
        bool same = ok && (t->converted || memcmp(there->data, t->in->data, t->bytes) == 0);
        if (same && t->converted) {
            ok = run_tensor(j, t, there->data, err);
            same = !(t->verified > t->error) && !(t->verified < t->error);
        }
        if (!same && ok)
            fail(err, HEARTH_ERR_IO, STR_FMT " reads back with error %.9g, %.9g was written; "
                 "the disk or memory is faulty",
                 STR_ARG(t->in->name), t->verified, t->error);
        else if (!ok && err && !err->status)
            fail(err, HEARTH_ERR_IO, STR_FMT " did not read back as it was written; the disk is faulty",
                 STR_ARG(t->in->name));
        ok = ok && same;
    }
    model_bytes_close(&made);
    return ok;
}

static bool write_file(struct job *j, const char *path, hearth_error *err)
{
    if (!gguf_write_open(&j->writer, path, err))
        return false;
    put_metadata(j);
    declare(j);
    j->doing = "writing";
    if (!write_tensors(j, err)) {
        gguf_write_abort(&j->writer);
        return false;
    }
    return gguf_write_commit(&j->writer, err);
}

static bool has_file(const struct model_bytes *m, uint64_t device, uint64_t inode)
{
    for (uint32_t i = 0; i < m->n_maps; i++)
        if (m->maps[i].device == device && m->maps[i].inode == inode)
            return true;
    return false;
}

/* A file that is there and is none of those that are read, or no file. What cannot be found out is refused: the
 * rename would replace the model that is read. */
static bool check_free(const char *path, const struct quantize_result *r, hearth_error *err)
{
    uint64_t device = 0, inode = 0;
    int there = file_identity(path, &device, &inode, err);
    if (there > 0 && (has_file(&r->model, device, inode) || has_file(&r->imatrix, device, inode)))
        return fail(err, HEARTH_ERR_USAGE, "%s is one of the files that are read; name another OUT", path);
    return there >= 0;
}

/* OUT and the two names it has on its way must not be what is read. */
static bool check_out(const struct quantize_result *r, const char *out, const struct quantize_options *o,
                      char *temporary, size_t room, hearth_error *err)
{
    static const char *const tails[] = { "", ".new", ".new.part" };
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        int n = snprintf(temporary, room, "%s%s", out, tails[i]);
        if (n < 0 || (size_t)n >= room)
            return fail(err, HEARTH_ERR_USAGE, "OUT is longer than %zu bytes; give a shorter path", room);
        if (!check_free(temporary, r, err))
            return false;
    }
    snprintf(temporary, room, "%s.new", out);
    if (access(out, F_OK) == 0 && !o->force)
        return fail(err, HEARTH_ERR_USAGE, "%s exists; name another OUT, or replace it with --force", out);
    return true;
}

static bool make_file(struct job *j, const char *out, hearth_error *err)
{
    char temporary[4096];
    if (!check_out(j->r, out, j->o, temporary, sizeof temporary, err))
        return false;
    if (!(j->pool = pool_create(j->o->n_threads, err)))
        return false;
    bool ok = write_file(j, temporary, err);
    if (ok && !(ok = verify(j, temporary, err)))
        remove(temporary);
    if (ok && rename(temporary, out) != 0) {
        remove(temporary);
        ok = fail(err, HEARTH_ERR_IO, "cannot give %s its name; check that it is not a folder", out);
    }
    pool_destroy(j->pool);
    return ok;
}

bool quantize_file(struct quantize_result *r, const char *in, const char *out, const struct quantize_options *o,
                   hearth_error *err)
{
    struct job j = { .o = o, .r = r };
    memset(r, 0, sizeof *r);
    if (!model_bytes_open(&r->model, &(hearth_source){ .path = in }, err))
        return false;
    hearth_source imatrix = { .path = o->imatrix_path };
    if (o->imatrix_path && !(model_bytes_open(&r->imatrix, &imatrix, err)
                             && quantize_importance_check(&r->imatrix.gguf, &r->model.gguf, o->imatrix_path, err)))
        return false;
    r->n = r->model.gguf.n_tensors;
    r->tensors = mem_alloc((r->n ? r->n : 1) * sizeof *r->tensors);
    if (!r->tensors)
        return fail_memory(err, "the list of tensors");
    if (r->n == 0)
        return fail(err, HEARTH_ERR_FORMAT, "%s holds no tensors; name a model", in);
    if (!quantize_choose(r->tensors, r->n, &r->model.gguf, o, err))
        return false;
    for (uint32_t i = 0; i < r->n; i++) {
        r->bytes_in += r->tensors[i].in->bytes;
        r->bytes_out += r->tensors[i].bytes;
        r->values += r->tensors[i].in->n_values;
        r->n_converted += r->tensors[i].converted;
    }
    j.total_bytes = r->bytes_out;
    return o->dry_run || make_file(&j, out, err);
}

void quantize_free(struct quantize_result *r)
{
    mem_free(r->tensors);
    model_bytes_close(&r->model);
    model_bytes_close(&r->imatrix);
}
