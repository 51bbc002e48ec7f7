/* fuzz_gguf.c: any bytes as a GGUF file: parse, read everything through the getters, make the
 * tokenizer, load the model. Bytes with SEPARATOR in them are the parts of a split set. */
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "fuzz.h"
#include "model/model.h"
#include "text/tokenizer.h"

#define SEPARATOR "<<PART>>"

enum { MOST_PARTS = 4, MOST_PIECES = 600 };

/* ---- reading, so that the sanitizers see every access ---- */

static void read_array(const struct gguf *g, const char *key)
{
    struct gguf_array a;
    uint64_t cursor = 0;
    for (int elem = 0; elem < GGUF_N_TYPES; elem++) {
        if (!gguf_array_or_none(g, key, (enum gguf_type)elem, UINT64_MAX, &a, NULL))
            continue;
        fuzz_read(a.data, a.bytes);
        for (uint64_t i = 0; i < a.n && a.elem == GGUF_STRING; i++) {
            struct str s = gguf_array_next_str(&a, &cursor);
            must(cursor <= a.bytes);
            fuzz_read(s.ptr, s.len);
        }
        for (uint64_t i = 0; i < a.n && a.elem == GGUF_F32; i++)
            fuzz_sink += (uint64_t)(gguf_array_f32(&a, i) > 0);
        for (uint64_t i = 0; i < a.n && (a.elem == GGUF_I32 || a.elem == GGUF_U32); i++)
            fuzz_sink ^= (uint64_t)gguf_array_i32(&a, i);
    }
}

static void read_value(const struct gguf *g, const struct gguf_value *v)
{
    char key[256];
    uint64_t u;
    double d;
    bool yes;
    struct str s;
    hearth_error err = { 0 };
    must(v->key.len >= 1 && v->key.len < sizeof key);
    memcpy(key, v->key.ptr, v->key.len);
    key[v->key.len] = 0;
    must(gguf_find(g, key) == v);
    fuzz_read(v->data, v->bytes);
    must(gguf_need_uint(g, key, 10, 1000000, &u, &err) ? u >= 10 && u <= 1000000 : err.status == HEARTH_ERR_FORMAT);
    must(!gguf_need_float(g, key, -1, 1, &d, &err) || (d >= -1 && d <= 1));
    if (gguf_bool_or(g, key, false, &yes, &err))
        fuzz_sink += yes;
    if (gguf_need_str(g, key, &s, &err))
        fuzz_read(s.ptr, s.len);
    read_array(g, key);
}

static void read_tensor(const struct gguf *g, const struct gguf_tensor *t)
{
    struct gguf_type_info info;
    must(t->part < g->n_parts);
    must(t->data == g->part_bytes[t->part] + t->offset);
    must(t->offset >= g->header_bytes[t->part] && t->bytes <= g->part_n_bytes[t->part] - t->offset);
    must(gguf_find_tensor(g, t->name) == t);
    must(t->n_dims >= 1 && t->n_dims <= GGUF_MAX_DIMS);
    if (gguf_type_info(t->type, &info))
        must(t->bytes == t->n_values / info.block_values * info.block_bytes);
    else
        must(t->bytes == 0);
    fuzz_read(t->data, t->bytes);
}

static void read_all(const struct gguf *g, size_t n_bytes)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->n_values; i++)
        read_value(g, &g->values[i]);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        read_tensor(g, &g->tensors[i]);
        sum += g->tensors[i].bytes;
    }
    must(sum == g->data_bytes && sum <= n_bytes);
    must(g->arena.total_bytes <= 4 * n_bytes + ((size_t)64 << 20));
}

/* ---- what is built on it ---- */

static void use_tokenizer(const struct gguf *g)
{
    static const char text[] = "Hello  w\xc3\xb6rld 123\n\xff<|end|></s>ab abc\xe4\xbd\xa0";
    static char scratch[4096 + 8], out[4096 + 16];
    hearth_error err = { 0 };
    struct detok d;
    struct token_list ids = { 0 };
    struct tokenizer *t = tokenizer_create(g, &err);
    if (!t) {
        must(err.status == HEARTH_ERR_FORMAT && err.message[0]);
        return;
    }
    const struct vocab *v = tokenizer_vocab(t);
    for (int special = 0; special < 2; special++)
        tokenizer_encode(t, (struct str){ text, sizeof text - 1 }, special, !special, &ids, &err);
    for (size_t i = 0; i < ids.n; i++)
        must(ids.ids[i] >= 0 && ids.ids[i] < v->n_tokens);
    detok_init(&d, t, true, true);
    for (int32_t i = 0; i < v->n_tokens && i < MOST_PIECES; i++) {
        struct str piece = tokenizer_piece(t, i, true, scratch, sizeof scratch);
        fuzz_read(piece.ptr, piece.len);
        must(detok_push(&d, i, out, sizeof out) <= sizeof out);
    }
    token_list_free(&ids);
    tokenizer_destroy(t);
}

static void use_model(const struct gguf *g)
{
    struct model m;
    hearth_error err = { 0 };
    if (!model_load(&m, g, &err)) {
        must(err.status == HEARTH_ERR_FORMAT && err.message[0]);
        return;
    }
    for (int i = 0; i < m.hp.n_layers; i++)
        for (int s = 0; s < N_LAYER_SLOTS; s++)
            if (m.layers[i].w[s].mat.data)
                fuzz_read(m.layers[i].w[s].mat.data,
                          (uint64_t)m.layers[i].w[s].mat.n_rows * m.layers[i].w[s].mat.row_bytes);
    for (int t = 0; t < m.n_ropes; t++)
        for (int i = 0; i < m.rope[t].n_rot / 2; i++)
            must(m.rope[t].freq[i] >= 0);
    model_free(&m);
}

/* ---- one input ---- */

static const uint8_t *find_separator(const uint8_t *p, size_t n)
{
    const size_t length = sizeof SEPARATOR - 1;
    for (size_t i = 0; i + length <= n; i++)
        if (p[i] == '<' && memcmp(p + i, SEPARATOR, length) == 0)
            return p + i;
    return NULL;
}

/* Each part in memory of its own, so that reading into the next one is seen. */
static size_t cut_parts(const uint8_t *data, size_t size, uint8_t *parts[MOST_PARTS], size_t n_bytes[MOST_PARTS])
{
    size_t n = 0;
    for (bool more = true; more && n < MOST_PARTS; n++) {
        const uint8_t *end = find_separator(data, size);
        more = end != NULL;
        n_bytes[n] = more ? (size_t)(end - data) : size;
        parts[n] = fuzz_copy(data, n_bytes[n]);
        if (more) {
            size -= n_bytes[n] + sizeof SEPARATOR - 1;
            data = end + sizeof SEPARATOR - 1;
        }
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *parts[MOST_PARTS];
    size_t n_bytes[MOST_PARTS], all = 0;
    struct gguf g;
    uint32_t count = 0;
    hearth_error err = { 0 };
    size_t n = cut_parts(data, size, parts, n_bytes);
    if (gguf_parse(&g, parts[0], n_bytes[0], &err)) {
        bool ok = gguf_split_count(&g, &count, &err);
        for (size_t i = 1; ok && i < n && i < count; i++)
            ok = gguf_add_part(&g, (uint32_t)i, parts[i], n_bytes[i], &err);
        for (size_t i = 0; i < g.n_parts; i++)
            all += n_bytes[i];
        read_all(&g, all);
        use_tokenizer(&g);
        use_model(&g);
        gguf_free(&g);
    } else {
        must(err.status == HEARTH_ERR_FORMAT && err.message[0]);
    }
    for (size_t i = 0; i < n; i++)
        free(parts[i]);
    return 0;
}
