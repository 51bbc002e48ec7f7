/* quantize_importance.c: what an importance matrix (GGUF) says of each tensor, and what is kept of it.
 *
 * For every matrix NAME of the model: NAME.in_sum2 [columns, experts], sums of squares of what each column was
 * multiplied with, and NAME.counts [1, experts], over how many tokens. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/quantize.h"
#include "format/gguf_limits.h"

#define SUMS ".in_sum2"

static const struct gguf_tensor *part_of(const struct gguf *g, struct str tensor, const char *suffix)
{
    char name[GGUF_MAX_NAME_BYTES + 16];
    snprintf(name, sizeof name, "%.*s%s", (int)tensor.len, tensor.ptr, suffix);
    return gguf_find_tensor(g, str_z(name));
}

bool quantize_importance_check(const struct gguf *g, const struct gguf *model, const char *path, hearth_error *err)
{
    struct str type;
    if (!gguf_str_or(g, "general.type", STR(""), &type, err))
        return err_context(err, "%s", path);
    if (!str_eq_z(type, "imatrix"))
        return fail(err, HEARTH_ERR_FORMAT,
                    "%s is no importance matrix: its general.type is '" STR_FMT "'; make one with hearth imatrix", path,
                    STR_ARG(type));
    for (uint32_t i = 0; i < model->n_tensors; i++)
        if (part_of(g, model->tensors[i].name, SUMS))
            return true;
    return fail(err, HEARTH_ERR_FORMAT, "%s says nothing about any of the model's tensors; it is of another model",
                path);
}

bool quantize_importance_of(const struct gguf *g, const struct gguf_tensor *t, float **out, hearth_error *err)
{
    uint64_t n = t->dim[0], experts = t->dim[2];
    const struct gguf_tensor *sums = part_of(g, t->name, SUMS), *counts = part_of(g, t->name, ".counts");
    *out = NULL;
    if (!sums)
        return true;
    if (!counts || sums->type != 0 || counts->type != 0 || sums->dim[0] != n || sums->n_values != n * experts
        || counts->n_values != experts)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the importance matrix does not fit " STR_FMT " (%llu columns, %llu experts); it is of another "
                    "model",
                    STR_ARG(t->name), (unsigned long long)n, (unsigned long long)experts);
    float *all = mem_alloc(n * experts * sizeof *all);
    if (!all)
        return fail_memory(err, "the importance of a tensor");
    for (uint64_t e = 0; e < experts; e++) {
        float count;
        memcpy(&count, counts->data + e * sizeof count, sizeof count);
        for (uint64_t i = 0; i < n; i++) {
            float sum;
            memcpy(&sum, sums->data + (e * n + i) * sizeof sum, sizeof sum);
            if (!isfinite(sum) || sum < 0 || !isfinite(count) || count < 0) {
                mem_free(all);
                return fail(err, HEARTH_ERR_FORMAT, "the importance of " STR_FMT " is negative or not finite; make the "
                            "matrix again", STR_ARG(t->name));
            }
            all[e * n + i] = count > 0 ? sum / count : 1; /* an expert that met no text */
        }
    }
    *out = all;
    return true;
}

static uint32_t n_entries(const struct gguf *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        struct str name = g->tensors[i].name, suffix = STR(SUMS);
        n += name.len > suffix.len && memcmp(name.ptr + name.len - suffix.len, suffix.ptr, suffix.len) == 0;
    }
    return n;
}

void quantize_importance_record(const struct gguf *g, const char *path, struct gguf_writer *w)
{
    struct gguf_array names;
    uint64_t chunks, cursor = 0;
    hearth_error ignored = { 0 };
    const char *slash = strrchr(path, '/');
    gguf_put_str(w, "quantize.imatrix.file", str_z(slash ? slash + 1 : path));
    if (gguf_array_or_none(g, "imatrix.datasets", GGUF_STRING, 1 << 20, &names, &ignored) && names.n > 0)
        gguf_put_str(w, "quantize.imatrix.dataset", gguf_array_next_str(&names, &cursor));
    gguf_put_u32(w, "quantize.imatrix.entries_count", n_entries(g));
    if (gguf_uint_or(g, "imatrix.chunk_count", 1, UINT32_MAX, 0, &chunks, &ignored) && chunks > 0)
        gguf_put_u32(w, "quantize.imatrix.chunks_count", (uint32_t)chunks);
}
