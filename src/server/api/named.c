#include "server/api/named.h"

#include <stdio.h>
#include <string.h>

#include "base/words.h"

enum { LISTED_BYTES = 380 }; /* of a refusal's message, for all names */

static int count(const struct view *v) { return v->all ? v->n_all : 1; }
static const struct view *at(const struct view *v, int i) { return v->all ? &v->all[i] : v; }

static bool is_file(const struct view *v, struct str name)
{
    static const struct str suffix = { ".gguf", 5 };
    if (str_eq_z(name, v->file_id))
        return true;
    size_t n = name.len > suffix.len ? name.len - suffix.len : 0;
    return n > 0 && str_eq((struct str){ name.ptr + n, suffix.len }, suffix)
        && str_eq_z((struct str){ name.ptr, n }, v->file_id);
}

const struct view *named_exactly(const struct view *v, struct str name)
{
    const struct view *found = NULL;
    int n_files = 0;
    for (int i = 0; i < count(v); i++) {
        if (str_eq_z(name, at(v, i)->model_id))
            return at(v, i);
        if (is_file(at(v, i), name)) {
            found = at(v, i);
            n_files++;
        }
    }
    return n_files == 1 ? found : NULL;
}

static int hex(char c)
{
    int letter = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

const struct view *named_in_url(const struct view *v, struct str name)
{
    char plain[256];
    size_t n = 0;
    const struct view *found = named_exactly(v, name);
    for (size_t i = 0; !found && i < name.len; n++) {
        bool coded = name.ptr[i] == '%' && i + 2 < name.len && hex(name.ptr[i + 1]) >= 0 && hex(name.ptr[i + 2]) >= 0;
        if (n == sizeof plain)
            return NULL;
        plain[n] = name.ptr[i];
        if (coded)
            plain[n] = (char)(hex(name.ptr[i + 1]) << 4 | hex(name.ptr[i + 2]));
        i += coded ? 3 : 1;
    }
    return found ? found : named_exactly(v, (struct str){ plain, n });
}

/* ---- names that nothing has ---- */

static void lower(char out[WORD_LONGEST + 2], struct str name)
{
    size_t n = min_size(name.len, WORD_LONGEST + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] + ('a' - 'A')) : name.ptr[i];
    out[n] = 0;
}

static void look_at(const char *candidate, const char *given, int *best, const char **nearest)
{
    char folded[WORD_LONGEST + 2];
    lower(folded, str_z(candidate));
    int distance = word_distance(folded, given);
    if (*nearest && distance >= *best)
        return;
    *best = distance;
    *nearest = candidate;
}

const char *named_nearest(const struct view *v, struct str name)
{
    char given[WORD_LONGEST + 2];
    const char *nearest = NULL;
    int best = 0;
    lower(given, name);
    for (int i = 0; i < count(v); i++) {
        look_at(at(v, i)->model_id, given, &best, &nearest);
        if (named_exactly(v, str_z(at(v, i)->file_id))) /* else it names none */
            look_at(at(v, i)->file_id, given, &best, &nearest);
    }
    return nearest;
}

/* "'a', 'b' and 14 more (GET /v1/models)" */
static void list(const struct view *v, char out[LISTED_BYTES + 1])
{
    enum { TAIL = 40, NAME = 127 };
    size_t used = 0;
    int i = 0;
    for (; i < count(v) && used + min_size(strlen(at(v, i)->model_id), NAME) + 4 + TAIL < LISTED_BYTES; i++)
        used += (size_t)snprintf(out + used, LISTED_BYTES + 1 - used, "%s'%.*s'", i ? ", " : "", (int)NAME,
                                 at(v, i)->model_id);
    if (i < count(v))
        snprintf(out + used, LISTED_BYTES + 1 - used, " and %d more (GET /v1/models)", count(v) - i);
}

bool named_refuse(const struct view *v, struct str name, struct problem *p)
{
    char names[LISTED_BYTES + 1] = "";
    list(v, names);
    int n = (int)min_size(name.len, 80);
    if (count(v) == 1)
        return refuse(p, PROBLEM_model_not_found, "model", "'%.*s' is not served here; the model here is %s", n,
                      name.ptr, names);
    return refuse(p, PROBLEM_model_not_found, "model", "'%.*s' is not served here; the nearest name is '%.127s'. There "
                  "are: %s", n, name.ptr, named_nearest(v, name), names);
}

const struct view *named_by_request(const struct view *v, struct str name, struct problem *p)
{
    char names[LISTED_BYTES + 1] = "";
    if (count(v) == 1)
        return at(v, 0);
    const struct view *found = name.len ? named_exactly(v, name) : NULL;
    if (!found && name.len) {
        named_refuse(v, name, p);
    } else if (!found) {
        list(v, names);
        refuse(p, PROBLEM_model_not_found, "model", "the request names no model, and several are served: give one in "
               "'model': %s", names);
    }
    return found;
}
