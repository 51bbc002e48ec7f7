#include "store/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/tree.h"
#include "store/foreign.h"

static const char forms[] = "write hf:OWNER/REPO, hf:OWNER/REPO:Q4_K_M, ollama:NAME:TAG or https://HOST/FILE.gguf";

bool reference_is_one(const char *text)
{
    static const char *const begin[] = { "hf:", "ollama:", "https://", "http://" };
    for (size_t i = 0; i < ARRAY_LEN(begin); i++)
        if (strncmp(text, begin[i], strlen(begin[i])) == 0)
            return true;
    return false;
}

/* ---- reading ---- */

static bool bad(const char *text, const char *why, hearth_error *err)
{
    char shown[120];
    return fail(err, HEARTH_ERR_USAGE, "'%s' names no model: %s; %s",
                foreign_line(shown, sizeof shown, str_z(text)), why, forms);
}

/* Up to one of `ends` or the end of the text; *at is then there. */
static bool take_part(const char **at, const char *ends, char out[REFERENCE_PART_BYTES + 1])
{
    size_t n = strcspn(*at, ends);
    if (n > REFERENCE_PART_BYTES || !tree_part_is_good((struct str){ *at, n }) || strcspn(*at, "+=@,~") < n)
        return false;
    memcpy(out, *at, n);
    out[n] = 0;
    *at += n;
    return true;
}

static const char bad_part[] = "a part of it is empty, is longer than 80 bytes, begins with a dot, or has another "
                               "character than letters, digits, '.', '_' and '-'";

static bool read_hf(struct reference *r, const char *text, hearth_error *err)
{
    const char *at = text + 3;
    if (!take_part(&at, "/:", r->owner))
        return bad(text, bad_part, err);
    if (*at++ != '/')
        return bad(text, "it has no '/' between owner and repository", err);
    if (!take_part(&at, "/:", r->name) || (*at == ':' && (at++, !take_part(&at, ":", r->which))))
        return bad(text, bad_part, err);
    if (*at)
        return bad(text, "something follows that does not belong to it", err);
    snprintf(r->text, sizeof r->text, "hf:%s/%s%s%s", r->owner, r->name, *r->which ? ":" : "", r->which);
    return true;
}

static bool read_ollama(struct reference *r, const char *text, hearth_error *err)
{
    const char *at = text + 7;
    bool user = at[strcspn(at, "/:")] == '/';
    strcpy(r->owner, "library");
    strcpy(r->which, "latest");
    if (user && (!take_part(&at, "/:", r->owner) || *at++ != '/'))
        return bad(text, bad_part, err);
    if (!take_part(&at, "/:", r->name) || (*at == ':' && (at++, !take_part(&at, ":", r->which))))
        return bad(text, bad_part, err);
    if (*at)
        return bad(text, "something follows that does not belong to it", err);
    snprintf(r->text, sizeof r->text, "ollama:%s%s%s:%s", user ? r->owner : "", user ? "/" : "", r->name, r->which);
    return true;
}

/* A host as it stands in a folder's name: ':' of the port is '_'. */
static bool put_host(const char *host, size_t n, char out[REFERENCE_PART_BYTES + 1])
{
    if (n > REFERENCE_PART_BYTES)
        return false;
    for (size_t i = 0; i < n; i++)
        out[i] = host[i] == ':' ? '_' : host[i];
    out[n] = 0;
    return tree_part_is_good((struct str){ out, n }) && !strpbrk(out, "+=@,~");
}

static bool read_url(struct reference *r, const char *text, hearth_error *err)
{
    enum { MOST_PARTS = 9 }; /* below url/HOST, and records/ may come before */
    const char *host = strstr(text, "://") + 3, *path = host + strcspn(host, "/");
    int n_parts = 0;
    if (strpbrk(text, "?#"))
        return bad(text, "it has a '?' or '#' in it; leave that out", err);
    if (!put_host(host, (size_t)(path - host), r->owner))
        return bad(text, "its host is none, or has a user's name in it", err);
    for (const char *at = path; *at;) {
        size_t n = strcspn(++at, "/");
        if (n > REFERENCE_PART_BYTES || !tree_part_is_good((struct str){ at, n }) || ++n_parts > MOST_PARTS)
            return bad(text, "a part of its path is empty, longer than 80 bytes, begins with a dot, or has another "
                       "character than letters, digits and \"._-+=@,~\", or there are more than 9 of them", err);
        at += n;
    }
    size_t n = strlen(path);
    if (n_parts == 0 || n < 7 || strcmp(path + n - 5, ".gguf") != 0)
        return bad(text, "an address must end with the name of a .gguf file", err);
    strcpy(r->url, text);
    strcpy(r->text, text);
    return true;
}

bool reference_read(struct reference *out, const char *text, hearth_error *err)
{
    *out = (struct reference){ .kind = REFERENCE_HF };
    if (strlen(text) >= REFERENCE_PART_BYTES * 7)
        return fail(err, HEARTH_ERR_USAGE, "the name of the model has %zu bytes; at most %d are taken", strlen(text),
                    REFERENCE_PART_BYTES * 7 - 1);
    if (strncmp(text, "hf:", 3) == 0)
        return read_hf(out, text, err);
    if (strncmp(text, "ollama:", 7) == 0) {
        out->kind = REFERENCE_OLLAMA;
        return read_ollama(out, text, err);
    }
    out->kind = REFERENCE_URL;
    if (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0)
        return read_url(out, text, err);
    return bad(text, "it begins neither with hf: nor with ollama: or https://", err);
}

void reference_store_name(const struct reference *r, char out[STORE_NAME_BYTES])
{
    bool user = strcmp(r->owner, "library") != 0;
    if (r->kind == REFERENCE_HF)
        snprintf(out, STORE_NAME_BYTES, "hf/%s/%s", r->owner, r->name);
    else if (r->kind == REFERENCE_OLLAMA)
        snprintf(out, STORE_NAME_BYTES, "ollama/%s%s%s/%s.gguf", user ? r->owner : "", user ? "/" : "", r->name,
                 r->which);
    else
        snprintf(out, STORE_NAME_BYTES, "url/%s%s", r->owner, strchr(strstr(r->url, "://") + 3, '/'));
}

/* ---- choosing ---- */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool is_end(char c) { return c == 0 || strchr("-./", c) != NULL; }

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* `which` stands in it as a word of its own: Q4_K is not in Q4_K_M. */
static bool has_word(const char *name, const char *which)
{
    size_t n = strlen(which);
    for (const char *at = name; *at; at++) {
        size_t i = 0;
        while (i < n && lower(at[i]) == lower(which[i]))
            i++;
        if (i == n && (at == name || is_end(at[-1])) && is_end(at[n]))
            return true;
    }
    return false;
}

/* "-00002-of-00003.gguf" at its end: the two numbers, and how long what stands before it is. */
static bool is_part(const char *name, int *part, int *n_parts, size_t *n_before)
{
    size_t n = strlen(name);
    int read = 0;
    if (n <= 20 || sscanf(name + n - 20, "-%5d-of-%5d.gguf%n", part, n_parts, &read) != 2 || read != 20)
        return false;
    *n_before = n - 20;
    return *part >= 1 && *n_parts >= 1 && *part <= *n_parts;
}

static bool is_model(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".gguf") == 0 && !has_word(last_part(name), "mmproj")
        && !has_word(last_part(name), "imatrix");
}

bool reference_is_first(const char *name)
{
    int part, n_parts;
    size_t n_before;
    return !is_part(name, &part, &n_parts, &n_before) || part == 1;
}

static bool is_meant(const char *name, const char *which)
{
    return strcmp(name, which) == 0 || strcmp(last_part(name), which) == 0 || (is_model(name) && has_word(name, which));
}

static bool refuse(const char *which, const char *from, const char *const *names, int n_names, bool several,
                   hearth_error *err)
{
    enum { MOST_SHOWN = 12 };
    struct buf list = { 0 };
    int n_shown = 0, n_models = 0;
    for (int i = 0; i < n_names; i++) {
        if (!is_model(names[i]) || !reference_is_first(names[i]) || (several && *which && !is_meant(names[i], which)))
            continue;
        if (++n_models <= MOST_SHOWN && list.len < 500)
            buf_printf(&list, "%s%s", n_shown++ ? ", " : "", names[i]);
    }
    if (n_models > n_shown)
        buf_printf(&list, " and %d more", n_models - n_shown);
    const char *all = list.len ? list.ptr : "no .gguf file";
    if (list.failed)
        fail_memory(err, "the list of files");
    else if (n_models == 0)
        fail(err, HEARTH_ERR_USAGE, "%.170s has no .gguf file%s%s; see that it is a repository of GGUF files", from,
             *which ? " that goes with " : "", which);
    else if (several && *which)
        fail(err, HEARTH_ERR_USAGE, "%.170s:%s may be several files; name one of them after the colon: %s", from,
             which, all);
    else if (several)
        fail(err, HEARTH_ERR_USAGE, "%.170s has several files and none is Q4_K_M; say which after a colon, as "
             "%.170s:Q8_0: %s", from, from, all);
    else
        fail(err, HEARTH_ERR_USAGE, "%.170s has nothing that goes with %s; it has %s", from, which, all);
    buf_free(&list);
    return false;
}

/* All parts of the set that names[first] begins, in their order. */
static bool gather(struct choice *out, const char *const *names, int n_names, int first, hearth_error *err)
{
    int part, n_parts;
    size_t n_before, n;
    out->n = 1;
    out->index[0] = first;
    if (!is_part(names[first], &part, &n_parts, &n_before))
        return true;
    if (n_parts > REFERENCE_MOST_FILES)
        return fail(err, HEARTH_ERR_FORMAT, "%.200s says that it has %d parts; at most %d are taken", names[first],
                    n_parts, REFERENCE_MOST_FILES);
    for (out->n = 0; out->n < n_parts; out->n++) {
        int i = 0, all;
        while (i < n_names && !(is_part(names[i], &part, &all, &n) && part == out->n + 1 && all == n_parts
                                && n == n_before && memcmp(names[i], names[first], n) == 0))
            i++;
        if (i == n_names)
            return fail(err, HEARTH_ERR_FORMAT, "part %d of %d of %.200s is not there; take another file", out->n + 1,
                        n_parts, names[first]);
        out->index[out->n] = i;
    }
    return true;
}

bool reference_choose(struct choice *out, const char *which, const char *from, const char *const *names, int n_names,
                      hearth_error *err)
{
    int found = -1, n_found = 0, only = -1, n_models = 0;
    const char *wanted = *which ? which : "Q4_K_M";
    out->n = 0;
    for (int i = 0; i < n_names; i++) {
        if (strcmp(names[i], wanted) == 0 || strcmp(last_part(names[i]), wanted) == 0)
            return gather(out, names, n_names, i, err); /* a file's name, and no other is that */
        if (!reference_is_first(names[i]))
            continue;
        if (is_meant(names[i], wanted)) {
            found = i;
            n_found++;
        }
        if (is_model(names[i])) {
            only = i;
            n_models++;
        }
    }
    if (n_found == 0 && !*which && n_models == 1) {
        found = only;
        n_found = 1;
    }
    if (n_found != 1)
        return refuse(which, from, names, n_names, n_found > 1 || !*which, err);
    return gather(out, names, n_names, found, err);
}
