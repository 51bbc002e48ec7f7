/* a_view.h: what a server would know of a model, for tests that read requests without one. */
#pragma once
#include <string.h>

#include "server/api/view.h"

static inline const char *piece(void *arg, int32_t id, size_t *n)
{
    static const char *const words[] = { "a", " b", "\xc3", "\xa9" };
    (void)arg;
    bool known = id >= 0 && id < 4;
    *n = known ? strlen(words[id]) : 0;
    return known ? words[id] : NULL;
}

static inline struct view make_view(void)
{
    struct view v = { .model_id = "m", .file_id = "m", .fingerprint = "f", .model_identity = "i", .has_template = true,
                      .n_parallel = 4, .n_queue = 8, .ping_ms = 15000, .bos_text = "<s>", .eos_text = "</s>",
                      .token_text = piece };
    v.info.n_vocab = 100;
    v.info.pooling = "";
    v.info.architecture = v.info.types = v.info.template_text = "t";
    v.plan.n_ctx_tokens = 64;
    hearth_sampling_defaults(NULL, &v.sampling, v.sampling_origin);
    return v;
}
