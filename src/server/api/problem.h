/* problem.h: why a request is refused, in the form that OpenAI's clients read. */
#pragma once
#include <jansson.h>

#include "base/base.h"

enum problem_code {
    PROBLEM_none,
#define PROBLEM(code, status, type, when) PROBLEM_##code,
#include "server/api/problems.def"
    N_PROBLEMS
};

struct problem_info {
    const char *code, *type, *when;
    int status;
};
extern const struct problem_info problem_table[N_PROBLEMS]; /* [0]: none */

struct problem {
    enum problem_code code;
    char param[96];                   /* the field, "" for none */
    char message[700];                /* one sentence */
    int64_t n_prompt_tokens, n_ctx;   /* of context_length_exceeded */
    double retry_after_s;             /* 0: none */
    char allow[32];                   /* of method_not_allowed: "GET, HEAD, DELETE" */
};

/* Record it. param may be NULL. Bytes of the client that are not printable come as '?'. Always returns false. */
bool refuse(struct problem *p, enum problem_code code, const char *param, const char *fmt, ...) PRINTF(4, 5);

int problem_status(const struct problem *p);
/* {"error": {message, type, param, code, ...}}. A new reference; NULL when memory is out. */
json_t *problem_to_json(const struct problem *p);
