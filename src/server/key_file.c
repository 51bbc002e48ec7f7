#include "server/key_file.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "server/guard.h"

static struct keys *read_all(const char *text, const char *file, hearth_error *err)
{
    struct keys *k = mem_alloc(sizeof *k);
    if (!k)
        fail_memory(err, "the API keys");
    if (k && keys_read(k, text, file, err))
        return k;
    mem_free(k);
    return NULL;
}

static void free_all(struct keys *k)
{
    if (k)
        keys_free(k);
    mem_free(k);
}

/* Only comments, or nothing at all. */
static bool has_key(const char *text)
{
    for (const char *at = text; *at; at += *at == '\n') {
        at += strspn(at, " \t\r");
        if (*at != '#' && *at != '\n' && *at)
            return true;
        at += strcspn(at, "\n");
    }
    return false;
}

static bool check(const struct buf *out, const char *text, const char *file, hearth_error *err)
{
    if (out->failed)
        return fail_memory(err, "the API keys");
    if (has_key(text)) { /* what is wrong already is not blamed on the new line */
        struct keys *before = read_all(text, file, err);
        if (!before)
            return false;
        free_all(before);
    }
    struct keys *k = read_all(out->ptr, file, err);
    free_all(k);
    return k != NULL;
}

bool key_file_add(struct buf *out, const char *text, const char *file, const char *sha256, const char *name,
                  const char *words, const char *note, hearth_error *err)
{
    size_t n = strlen(text);
    if (!key_name_valid(str_z(name)))
        return fail(err, HEARTH_ERR_USAGE, "'%.80s' is no name for a key: it has 1 to %d letters, digits and -_.@",
                    name, GUARD_NAME_ROOM - 1);
    buf_puts(out, text);
    if (n > 0 && text[n - 1] != '\n')
        buf_puts(out, "\n");
    buf_printf(out, "sha256:%s name=%s%s%s # %s\n", sha256, name, *words ? " " : "", words, note);
    return check(out, text, file, err);
}

static const char *line_start(const char *text, int line)
{
    for (int i = 1; i < line; i++) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return text;
}

bool key_file_revoke(struct buf *out, const char *text, const char *file, const char *name, hearth_error *err)
{
    struct keys *k = read_all(text, file, err);
    int line = 0, n = k ? k->n : 0;
    for (int i = 0; i < n; i++)
        if (strcmp(k->key[i]->name, name) == 0)
            line = k->key[i]->line;
    free_all(k);
    if (n == 0)
        return false;
    if (line == 0)
        return fail(err, HEARTH_ERR_USAGE, "no key in %s has the name '%.80s'; hearth key list shows their names", file,
                    name);
    if (n == 1)
        return fail(err, HEARTH_ERR_USAGE, "'%s' is the last key in %s, and a server takes no file without one: add "
                    "another first, or end the server and remove the file", name, file);
    const char *start = line_start(text, line), *end = line_start(text, line + 1);
    buf_put(out, text, (size_t)(start - text));
    buf_puts(out, end);
    return !out->failed || fail_memory(err, "the API keys");
}

/* Behind the first '#' that begins a word. */
static struct str note_of(const char *text, int line)
{
    const char *at = line_start(text, line), *end = at + strcspn(at, "\n");
    while (at < end && !(at[0] == '#' && (at[-1] == ' ' || at[-1] == '\t')))
        at++;
    at += at < end;
    while (at < end && *at == ' ')
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\r'))
        end--;
    return (struct str){ at, (size_t)(end - at) };
}

static void put_number(struct buf *out, int64_t n)
{
    char text[24] = "any";
    if (n > 0)
        snprintf(text, sizeof text, "%lld", (long long)n);
    buf_printf(out, "%10s ", text);
}

bool key_file_list(struct buf *out, const char *text, const char *file, hearth_error *err)
{
    struct keys *k = read_all(text, file, err);
    if (!k)
        return false;
    int width = 4;
    for (int i = 0; i < k->n; i++)
        width = max_int(width, (int)strlen(k->key[i]->name));
    buf_printf(out, "%-*s %10s %10s  %-8s  %s\n", width, "name", "at once", "tokens/min", "may", "note");
    for (int i = 0; i < k->n; i++) {
        const struct key *key = k->key[i];
        struct str note = note_of(text, key->line);
        buf_printf(out, "%-*s ", width, key->name);
        put_number(out, key->n_at_once);
        put_number(out, key->n_per_minute);
        buf_printf(out, " %-8s  %.*s\n", key->is_admin ? "admin" : key->is_observer ? "observer" : "",
                   (int)min_size(note.len, 200), note.ptr);
    }
    free_all(k);
    return !out->failed || fail_memory(err, "the list of keys");
}
