#include "server/api/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const struct problem_info problem_table[N_PROBLEMS] = {
    [PROBLEM_none] = { "", "", "", 200 },
#define PROBLEM(code, status, type, when) [PROBLEM_##code] = { #code, type, when, status },
#include "server/api/problems.def"
};

/* In place: control characters and what is no UTF-8 become '?'. */
static void make_printable(char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        int length = utf8_length((const uint8_t *)text + at, n - at, NULL, NULL);
        if (length == 0 || (unsigned char)text[at] < 0x20 || text[at] == 0x7f)
            text[at] = '?';
        at += length > 0 ? (size_t)length : 1;
    }
}

bool refuse(struct problem *p, enum problem_code code, const char *param, const char *fmt, ...)
{
    va_list args;
    *p = (struct problem){ .code = code };
    snprintf(p->param, sizeof p->param, "%s", param ? param : "");
    va_start(args, fmt);
    vsnprintf(p->message, sizeof p->message, fmt, args);
    va_end(args);
    make_printable(p->param);
    make_printable(p->message);
    return false;
}

int problem_status(const struct problem *p) { return problem_table[p->code].status; }

json_t *problem_to_json(const struct problem *p)
{
    const struct problem_info *info = &problem_table[p->code];
    json_t *error = json_pack("{s:s, s:s, s:s?, s:s}", "message", p->message, "type", info->type, "param",
                              p->param[0] ? p->param : NULL, "code", info->code);
    bool failed = !error;
    if (p->n_ctx > 0) {
        failed |= json_object_set_new(error, "n_prompt_tokens", json_integer(p->n_prompt_tokens)) != 0;
        failed |= json_object_set_new(error, "n_ctx", json_integer(p->n_ctx)) != 0;
    }
    if (p->retry_after_s > 0)
        failed |= json_object_set_new(error, "retry_after_s", json_real(p->retry_after_s)) != 0;
    if (!failed)
        return json_pack("{s:o}", "error", error);
    json_decref(error);
    return NULL;
}
