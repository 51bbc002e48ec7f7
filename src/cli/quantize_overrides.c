/* quantize_overrides.c: types that --tensor gives by name. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/quantize.h"

/* '*' is any run of characters, '?' any one. */
static bool glob(struct str pattern, struct str name)
{
    size_t p = 0, i = 0, star = SIZE_MAX, from = 0;
    while (i < name.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            from = i;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == name.ptr[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star;
            i = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static bool read_one(struct quantize_override *o, struct str item, hearth_error *err)
{
    size_t equals = str_search_last(item, STR("="));
    size_t n = equals == SIZE_MAX ? 0 : item.len - equals - 1;
    if (n == 0 || equals == 0 || n >= sizeof o->type)
        return fail(err, HEARTH_ERR_USAGE, "--tensor '" STR_FMT "' is not PATTERN=TYPE; write blk.*.attn_v.weight=q6_K",
                    STR_ARG(item));
    o->pattern = (struct str){ item.ptr, equals };
    snprintf(o->type, sizeof o->type, "%.*s", (int)n, item.ptr + equals + 1);
    return true;
}

static bool add_one(struct quantize_overrides *all, struct str item, hearth_error *err)
{
    struct quantize_override o = { 0 };
    if (!read_one(&o, item, err))
        return false;
    for (size_t i = 0; i < all->n; i++)
        if (str_eq(all->item[i].pattern, o.pattern))
            return fail(err, HEARTH_ERR_USAGE, "--tensor gives " STR_FMT " twice, %s and %s; say it once",
                        STR_ARG(o.pattern), all->item[i].type, o.type);
    struct quantize_override *item_new = mem_resize(all->item, (all->n + 1) * sizeof *item_new);
    if (!item_new)
        return fail_memory(err, "the list of --tensor");
    all->item = item_new;
    all->item[all->n++] = o;
    return true;
}

bool quantize_overrides_read(struct quantize_overrides *all, const char *const *lists, int n, hearth_error *err)
{
    *all = (struct quantize_overrides){ 0 };
    for (int i = 0; i < n; i++) {
        for (const char *at = lists[i];; at++) {
            size_t length = strcspn(at, ",");
            if (!add_one(all, (struct str){ at, length }, err))
                return false;
            at += length;
            if (!*at)
                break;
        }
    }
    return true;
}

const char *quantize_override_of(struct quantize_overrides *all, struct str name)
{
    const char *type = NULL;
    for (size_t i = 0; i < all->n; i++) {
        if (glob(all->item[i].pattern, name)) {
            all->item[i].n_fits++;
            type = all->item[i].type;
        }
    }
    return type;
}

bool quantize_overrides_used(const struct quantize_overrides *all, hearth_error *err)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->item[i].n_fits == 0)
            return fail(err, HEARTH_ERR_USAGE, "--tensor " STR_FMT " fits none of the model's tensors; "
                        "--dry-run --verbose lists them", STR_ARG(all->item[i].pattern));
    return true;
}

void quantize_overrides_free(struct quantize_overrides *all)
{
    mem_free(all->item);
    *all = (struct quantize_overrides){ 0 };
}
