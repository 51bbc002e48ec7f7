#include "cli/imatrix.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dtype/dtype.h"
#include "format/gguf_limits.h"
#include "format/gguf_write.h"

static const size_t arena_bytes = (size_t)16 << 30; /* 671 B parameters in experts have sums of 2 GB */

void imatrix_init(struct imatrix *m)
{
    *m = (struct imatrix){ 0 };
    arena_init(&m->arena, arena_bytes);
}

void imatrix_free(struct imatrix *m)
{
    arena_free(&m->arena);
    mem_free(m->rows);
    *m = (struct imatrix){ 0 };
}

/* ---- summing ---- */

static struct imatrix_row *add_row(struct imatrix *m, const hearth_product *p)
{
    if (m->n == m->room) {
        size_t room = m->room ? 2 * m->room : 256;
        struct imatrix_row *rows = mem_resize(m->rows, room * sizeof *rows);
        if (!rows)
            return NULL;
        m->rows = rows;
        m->room = room;
    }
    struct str name = arena_strdup(&m->arena, (struct str){ p->tensor.text, p->tensor.n_bytes });
    size_t n_sums = (size_t)p->n_cols * (size_t)p->n_mats;
    double *sum2 = arena_array(&m->arena, double, n_sums);
    uint64_t *n_tokens = arena_array(&m->arena, uint64_t, p->n_mats);
    if (!name.ptr || !sum2 || !n_tokens)
        return NULL;
    m->rows[m->n] = (struct imatrix_row){ .name = name.ptr, .n_cols = p->n_cols, .n_mats = p->n_mats,
                                          .n_tokens = n_tokens, .sum2 = sum2 };
    return &m->rows[m->n++];
}

/* NULL: out of memory. */
static struct imatrix_row *find_row(struct imatrix *m, const hearth_product *p)
{
    struct str name = { p->tensor.text, p->tensor.n_bytes };
    for (size_t i = 0; i < m->n; i++) {
        size_t at = (m->next + 2 * m->n - 2 + i) % m->n; /* from two before: experts' gate and up come in turns */
        if (str_eq_z(name, m->rows[at].name)) {
            m->next = at + 1;
            return &m->rows[at];
        }
    }
    return add_row(m, p);
}

void imatrix_add(void *arg, const hearth_product *p)
{
    struct imatrix *m = arg;
    struct imatrix_row *row = find_row(m, p);
    if (!row || row->n_cols != p->n_cols || row->n_mats != p->n_mats) {
        m->failed = true;
        return;
    }
    double *sum2 = row->sum2 + (size_t)p->mat * (size_t)p->n_cols;
    for (int t = 0; t < p->n_rows; t++) {
        const float *x = p->x + (size_t)t * (size_t)p->n_cols;
        for (int i = 0; i < p->n_cols; i++)
            sum2[i] += (double)x[i] * (double)x[i];
    }
    row->n_tokens[p->mat] += (uint64_t)p->n_rows;
}

/* ---- the file ---- */

enum { SUFFIX_BYTES = 16 };

static uint64_t declare(struct gguf_writer *w, const struct imatrix_row *row, const char *suffix, int n)
{
    char name[GGUF_MAX_NAME_BYTES + SUFFIX_BYTES];
    snprintf(name, sizeof name, "%s.%s", row->name, suffix);
    const uint64_t dim[] = { (uint64_t)n, (uint64_t)row->n_mats };
    return gguf_declare_tensor(w, name, dtype_table[DTYPE_f32].gguf_id, 2, dim);
}

/* floats: [most sums of a tensor]; offsets: [2 * n]. */
static void write_rows(struct gguf_writer *w, const struct imatrix *m, const uint64_t *offsets, float *floats)
{
    for (size_t r = 0; r < m->n; r++) {
        const struct imatrix_row *row = &m->rows[r];
        size_t n_mats = (size_t)row->n_mats, n = n_mats * (size_t)row->n_cols;
        for (size_t i = 0; i < n; i++)
            floats[i] = (float)row->sum2[i];
        gguf_write_data(w, offsets[2 * r], floats, n * sizeof *floats);
        for (size_t i = 0; i < n_mats; i++)
            floats[i] = (float)row->n_tokens[i];
        gguf_write_data(w, offsets[2 * r + 1], floats, n_mats * sizeof *floats);
    }
}

bool imatrix_write(const struct imatrix *m, const struct imatrix_source *from, const char *path, hearth_error *err)
{
    struct gguf_writer w;
    size_t most = 1;
    struct str dataset = str_z(from->dataset);
    for (size_t r = 0; r < m->n; r++)
        most = max_size(most, (size_t)m->rows[r].n_cols * (size_t)m->rows[r].n_mats);
    float *floats = mem_alloc(most * sizeof *floats);
    uint64_t *offsets = mem_alloc((2 * m->n + 1) * sizeof *offsets);
    bool ok = floats && offsets ? gguf_write_open(&w, path, err) : fail_memory(err, "the importance matrix");
    if (ok) {
        gguf_put_str(&w, "general.type", STR("imatrix"));
        gguf_put_str_array(&w, "imatrix.datasets", &dataset, 1);
        gguf_put_u32(&w, "imatrix.chunk_count", from->n_chunks);
        gguf_put_u32(&w, "imatrix.chunk_size", from->n_chunk_tokens);
        for (size_t r = 0; r < m->n; r++) {
            offsets[2 * r] = declare(&w, &m->rows[r], "in_sum2", m->rows[r].n_cols);
            offsets[2 * r + 1] = declare(&w, &m->rows[r], "counts", 1);
        }
        write_rows(&w, m, offsets, floats);
        ok = gguf_write_commit(&w, err);
    }
    mem_free(floats);
    mem_free(offsets);
    return ok;
}
