/* embeddings.c: POST /v1/embeddings: there are no models for it yet, and clients are told so. */
#include "server/api/endpoints.h"

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    (void)a;
    (void)f;
    return refuse(p, PROBLEM_not_implemented, NULL, "'%s' is a model that generates text, without pooling for "
                  "embeddings; hearth has no others yet", v->model_id);
}

const struct endpoint endpoint_embeddings = { .read = read };
