#include "cli/kld_windows.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/vocabularies.h"

size_t kld_from(const struct windows *w) { return (size_t)w->n_tokens / 2 + 1; }

bool kld_vocabularies(hearth_file *model, hearth_file *reference, int *n_vocab, hearth_error *err)
{
    struct vocabulary_difference d;
    if (!vocabularies_compare(model, reference, &d, err))
        return false;
    *n_vocab = d.n_a;
    if (d.n_a != d.n_b)
        return fail(err, HEARTH_ERR_USAGE,
                    "the model has %d tokens and the reference %d; --kld compares models of one vocabulary", d.n_a,
                    d.n_b);
    return d.id < 0
           || fail(err, HEARTH_ERR_USAGE,
                   "token %" PRId32 " is another in the reference; --kld compares models of one vocabulary", d.id);
}

bool kld_windows_make(struct kld_windows *k, const struct windows *windows, int n_vocab, hearth_error *err)
{
    *k = (struct kld_windows){ .windows = windows, .from = kld_from(windows), .n_vocab = n_vocab };
    k->n_scored = (size_t)windows->n_tokens - k->from;
    k->ids = mem_alloc((size_t)windows->n_tokens * sizeof *k->ids);
    k->logits = mem_alloc(k->n_scored * (size_t)n_vocab * sizeof *k->logits);
    k->positions = mem_alloc(windows->n * k->n_scored * sizeof *k->positions);
    return (k->ids && k->logits && k->positions)
        || fail_memory(err, "the reference's distributions; a smaller window or fewer of them need less");
}

void kld_windows_free(struct kld_windows *k)
{
    mem_free(k->logits);
    mem_free(k->ids);
    mem_free(k->positions);
    *k = (struct kld_windows){ 0 };
}

static void keep_row(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct kld_windows *k = arg;
    if (n_vocab == k->n_vocab)
        memcpy(k->logits + (index - k->from) * (size_t)n_vocab, logits, (size_t)n_vocab * sizeof *logits);
    else
        k->wrong_vocabulary = true;
}

static void compare_row(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct kld_windows *k = arg;
    if (n_vocab == k->n_vocab)
        kld_compare(logits, k->logits + (index - k->from) * (size_t)n_vocab, n_vocab, k->ids[index],
                    &k->positions[k->n_positions++]);
    else
        k->wrong_vocabulary = true;
}

static bool run(struct kld_windows *k, struct measured *m, size_t i, struct score *score,
                void (*on_logits)(void *arg, size_t index, const float *logits, int n_vocab), hearth_error *err)
{
    struct window_run one = { .windows = k->windows, .first = i, .n = 1, .from = k->from, .on_logits = on_logits,
                              .arg = k };
    window_ids(k->windows, i, k->ids);
    if (!windows_run(m, &one, score, err))
        return false;
    return !k->wrong_vocabulary
        || fail(err, HEARTH_ERR_FORMAT, "a model has other logits than its file says; it is damaged");
}

bool kld_windows_keep(struct kld_windows *k, struct measured *reference, size_t i, struct score *score,
                      hearth_error *err)
{
    return run(k, reference, i, score, keep_row, err);
}

bool kld_windows_compare(struct kld_windows *k, struct measured *model, size_t i, struct score *score,
                         hearth_error *err)
{
    return run(k, model, i, score, compare_row, err);
}
