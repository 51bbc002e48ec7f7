/* fuzz_store.c: what hubs answer, what users type and what stands in the store's own notes, as any bytes: names that
 * come out of it never lead out of the store, digests are digests, sizes have limits.
 *
 * The first byte of an input says what it is: r a reference, h a list of Hugging Face (in two pages where it has a
 * newline), o a manifest of Ollama, c a Content-Range, l a Link, p a note or a record. */
#include "base/tree.h"
#include "fuzz.h"
#include "store/http_client.h"
#include "store/records.h"

static void check_set(struct hub_set *s)
{
    must(s->n >= 1 && s->n <= REFERENCE_MOST_FILES);
    for (int i = 0; i < s->n; i++) {
        const struct hub_file *f = &s->file[i];
        must(tree_name_is_good(f->name) && f->url[0]);
        must(!f->sha256[0] || hub_is_sha256(f->sha256));
        must(f->bytes > 0 && f->bytes <= HUB_MOST_FILE_BYTES);
    }
    hub_set_free(s);
}

static void check_answer(struct str answer, bool hf)
{
    struct reference r;
    struct hub_set set;
    hearth_error err = { 0 };
    must(reference_read(&r, hf ? "hf:owner/repo" : "ollama:name", &err));
    /* A list that came in two pages, cut at a newline. */
    const char *cut = memchr(answer.ptr, '\n', answer.len);
    size_t n = cut ? (size_t)(cut - answer.ptr) : answer.len;
    const struct str page[] = { { answer.ptr, n }, { answer.ptr + n, answer.len - n } };
    if (hf ? hub_read_hf(&set, &r, "https://hub", page, cut ? 2 : 1, &err)
           : hub_read_ollama(&set, &r, "https://hub", answer, &err))
        check_set(&set);
    else
        must(err.message[0] && !set.file);
}

static void check_reference(const char *text)
{
    struct reference r, again;
    char name[STORE_NAME_BYTES];
    hearth_error err = { 0 };
    if (!reference_read(&r, text, &err)) {
        must(err.status == HEARTH_ERR_USAGE && err.message[0]);
        return;
    }
    reference_store_name(&r, name);
    must(tree_name_is_good(name) && reference_is_one(text));
    must(reference_read(&again, r.text, &err) && strcmp(again.text, r.text) == 0);
    if (r.kind != REFERENCE_URL)
        must(strlen(r.owner) <= REFERENCE_PART_BYTES && r.owner[0] != '.' && r.name[0] && r.name[0] != '.');
}

static void check_range(const char *text)
{
    uint64_t first, last, total;
    if (http_content_range(text, &first, &last, &total))
        must((first <= last && last < total) || (first == 1 && last == 0));
}

static void check_link(struct str value)
{
    char out[64];
    int found = http_link_next(value, out, sizeof out);
    must((found == 1) == (out[0] != 0) && strlen(out) < sizeof out);
    must(!strpbrk(out, " \t\r\n>"));
}

static void check_notes(struct str json)
{
    struct store_record r;
    struct partial p;
    if (record_read(&r, json))
        must((!r.sha256[0] || hub_is_sha256(r.sha256)) && (!r.path[0] || r.path[0] == '/'));
    if (partial_read(&p, json))
        must((!p.sha256[0] || hub_is_sha256(p.sha256)) && !strpbrk(p.etag, "\r\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *text = malloc(size);
    must(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    struct str bytes = { text, size - 1 };
    switch (data[0]) {
    case 'r':
        check_reference(text);
        break;
    case 'h':
    case 'o':
        check_answer(bytes, data[0] == 'h');
        break;
    case 'c':
        check_range(text);
        break;
    case 'l':
        check_link(bytes);
        break;
    default:
        check_notes(bytes);
    }
    free(text);
    return 0;
}
