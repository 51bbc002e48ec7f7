#include "server/api_tables.h"

#include <string.h>

#include "server/route.h"

static void put_route(struct buf *out, const struct route *r, const char *key)
{
    size_t n = strlen(r->path), before = strcspn(r->path, "*");
    bool star = r->path[before] != 0, tail = n > 1 && r->path[n - 1] == '/';
    buf_printf(out, "| %s | `%.*s%s%s` | %s |\n", r->method, (int)before, r->path, star || tail ? "ID" : "",
               star ? r->path + before + 1 : "", key);
}

static void put_routes(struct buf *out)
{
    static const char *const words[] = { [ACCESS_KEYED] = "needed", [ACCESS_PUBLIC] = "", [ACCESS_PROBE] = "",
                                         [ACCESS_ADMIN] = "admin" };
    buf_puts(out, "| method | path | key |\n|---|---|---|\n");
    for (const struct route *r = routes; r->path; r++)
        put_route(out, r, words[r->access]);
}

static void put_problems(struct buf *out)
{
    buf_puts(out, "| status | code | type | when |\n|---|---|---|---|\n");
    for (int i = PROBLEM_none + 1; i < N_PROBLEMS; i++)
        buf_printf(out, "| %d | `%s` | `%s` | %s |\n", problem_table[i].status, problem_table[i].code,
                   problem_table[i].type, problem_table[i].when);
}

void api_markdown(struct buf *out)
{
    static const unsigned groups[] = { ON_EVERY, ON_TOKENIZE, ON_DETOKENIZE, ON_TEMPLATE, ON_EMBED, ON_RERANK };
    put_routes(out);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        buf_puts(out, "\n");
        fields_markdown(out, groups[i]);
    }
    buf_puts(out, "\n");
    put_problems(out);
}
