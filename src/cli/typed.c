#include "cli/typed.h"

#include <string.h>

void typed_clear(struct typed *in)
{
    buf_clear(&in->text);
    in->block = in->literal = in->begun = false;
    in->n_lines = 0;
}

void typed_free(struct typed *in)
{
    buf_free(&in->text);
    *in = (struct typed){ 0 };
}

static const char fence[] = "\"\"\"";
enum { FENCE = sizeof fence - 1 };

static bool begins_with_fence(const char *line, size_t n) { return n >= FENCE && memcmp(line, fence, FENCE) == 0; }

static bool ends_with_fence(const char *line, size_t n)
{
    return n >= FENCE && memcmp(line + n - FENCE, fence, FENCE) == 0;
}

static void add_line(struct typed *in, const char *line, size_t n)
{
    if (in->n_lines++ > 0)
        buf_put(&in->text, "\n", 1);
    buf_put(&in->text, line, n);
}

bool typed_add(struct typed *in, const char *line, size_t n)
{
    bool opens = !in->begun && begins_with_fence(line, n);
    in->begun = true;
    if (opens) {
        in->block = in->literal = true;
        line += FENCE;
        n -= FENCE;
    }
    if (in->block) {
        bool closes = ends_with_fence(line, n);
        if (closes)
            n -= FENCE;
        if (n > 0 || !(opens || closes)) /* a mark alone on its line is no line of the text */
            add_line(in, line, n);
        return closes;
    }
    bool goes_on = n > 0 && line[n - 1] == '\\';
    add_line(in, line, goes_on ? n - 1 : n);
    return !goes_on;
}

static bool begins_with(const struct typed *in, const char *z)
{
    return in->text.len >= strlen(z) && memcmp(in->text.ptr, z, strlen(z)) == 0;
}

bool typed_is_command(const struct typed *in)
{
    return !in->literal && begins_with(in, "/") && !begins_with(in, "//");
}

struct str typed_message(const struct typed *in)
{
    size_t skip = !in->literal && begins_with(in, "//");
    return (struct str){ in->text.ptr ? in->text.ptr + skip : "", in->text.len - skip };
}
