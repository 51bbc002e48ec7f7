/* file.c: hearth_file: a GGUF file looked at, before anything is loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "engine/registry.h"
#include "format/gguf_override.h"
#include "format/gguf_set.h"
#include "text/pretok.h"

enum { FILE_ARENA_BYTES = 128 << 20, TEMPLATE_MAX_BYTES = 1 << 20 };

static char *copy_text(hearth_file *f, const char *key, size_t limit)
{
    struct str s = { "", 0 };
    hearth_error ignored = { 0 };
    if (!gguf_str_or(&f->gguf, key, s, &s, &ignored))
        s.len = 0;
    s.len = min_size(s.len, limit);
    return (char *)(uintptr_t)arena_strdup(&f->arena, s).ptr;
}

/* The source's template wins over the file's own. */
static bool choose_template(hearth_file *f, const hearth_source *source, hearth_error *err)
{
    size_t n = source->chat_template ? strlen(source->chat_template) : 0;
    if (n > TEMPLATE_MAX_BYTES)
        return fail(err, HEARTH_ERR_USAGE,
                    "the chat template has %zu bytes, at most %d are allowed; give a shorter one", n,
                    TEMPLATE_MAX_BYTES);
    if (source->chat_template)
        f->template_text = (char *)(uintptr_t)arena_strdup(&f->arena, (struct str){ source->chat_template, n }).ptr;
    else
        f->template_text = copy_text(f, "tokenizer.chat_template", TEMPLATE_MAX_BYTES);
    const char *given = source->chat_template_name ? source->chat_template_name : "given";
    const char *from = source->chat_template ? given : "file";
    if (f->template_text && f->template_text[0])
        snprintf(f->template_from, sizeof f->template_from, "%s", from);
    return true;
}

/* What was replaced, for the identity and for receipts. */
static bool override(hearth_file *f, const hearth_source *source, hearth_error *err)
{
    struct buf words = { 0 };
    if (!gguf_override(&f->gguf, source->overrides, source->n_overrides, err))
        return false;
    for (size_t i = 0; i < source->n_overrides; i++) {
        const hearth_override *o = &source->overrides[i];
        buf_puts(&words, i ? "; " : "");
        if (o->type == HEARTH_OVERRIDE_FLOAT)
            buf_printf(&words, "%s is %.17g", o->key, o->number);
        else
            buf_printf(&words, o->type == HEARTH_OVERRIDE_TEXT ? "%s is \"%s\"" : "%s and %s are exchanged", o->key,
                       o->text);
    }
    bool ok = !words.failed;
    if (ok && words.len > 0) {
        f->overrides = arena_strdup(&f->arena, buf_str(&words));
        ok = f->overrides.ptr != NULL;
    }
    buf_free(&words);
    return ok || fail_memory(err, "overrides");
}

/* ---- which types the weights have, by share of bytes ---- */

struct share {
    uint32_t type;
    uint64_t bytes;
};

static int larger_share(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : x->type < y->type ? -1 : 1;
}

static void describe_types(hearth_file *f)
{
    enum { MAX_TYPES = 64 };
    struct share shares[MAX_TYPES] = { 0 };
    int n = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < f->gguf.n_tensors; i++) {
        const struct gguf_tensor *t = &f->gguf.tensors[i];
        int j = 0;
        while (j < n && shares[j].type != t->type)
            j++;
        if (j == MAX_TYPES)
            continue;
        n = max_int(n, j + 1);
        shares[j].type = t->type;
        shares[j].bytes += t->bytes;
        total += t->bytes;
    }
    qsort(shares, (size_t)n, sizeof *shares, larger_share);
    size_t used = 0;
    for (int j = 0; j < n && used + 40 < sizeof f->types; j++) {
        struct gguf_type_info info = { .name = "unknown type" };
        gguf_type_info(shares[j].type, &info);
        double percent = total ? 100.0 * (double)shares[j].bytes / (double)total : 0;
        used += (size_t)snprintf(f->types + used, sizeof f->types - used, "%s%s %.*f %%", j ? ", " : "", info.name,
                                 percent < 1 ? 1 : 0, percent);
    }
}

/* ---- open, close ---- */

static void name_file(hearth_file *f, const hearth_source *source)
{
    const char *slash = source->path ? strrchr(source->path, '/') : NULL;
    const char *name = source->name ? source->name : slash ? slash + 1 : source->path ? source->path : "memory";
    snprintf(f->name, sizeof f->name, "%s", name);
}

static bool open_file(hearth_file *f, const hearth_source *source, hearth_error *err)
{
    int64_t start = clock_ns();
    name_file(f, source);
    if (source->path) {
        if (!file_map(&f->maps[0], source->path, err))
            return false;
    } else if (source->bytes && source->n_bytes) {
        file_map_memory(&f->maps[0], source->bytes, source->n_bytes);
    } else {
        return fail(err, HEARTH_ERR_USAGE, "no model was named; give a path or the bytes of a GGUF file");
    }
    f->n_maps = 1;
    f->map_ms = clock_ms_since(start);
    start = clock_ns();
    const char *shown = source->path ? source->path : f->name;
    if (!gguf_parse(&f->gguf, f->maps[0].ptr, f->maps[0].bytes, err))
        return err_context(err, "%s", shown);
    if (!gguf_map_parts(&f->gguf, f->maps, &f->n_maps, source->path, err) || !override(f, source, err))
        return false;
    f->architecture = copy_text(f, "general.architecture", 64);
    f->title = copy_text(f, "general.name", 256);
    if (!choose_template(f, source, err))
        return false;
    if (!f->architecture || !f->title || !f->template_text)
        return fail_memory(err, shown);
    describe_types(f);
    f->runs = model_load(&f->model, &f->gguf, &f->problem);
    if (f->problem.status == HEARTH_ERR_MEMORY) { /* says nothing about the file */
        if (err)
            *err = f->problem;
        return false;
    }
    f->metadata_ms = clock_ms_since(start);
    return true;
}

hearth_file *hearth_file_open(const hearth_source *source, hearth_error *err)
{
    err_clear(err);
    hearth_file *f = mem_alloc(sizeof *f);
    if (!f || !lock_init(&f->lock)) {
        mem_free(f);
        fail_memory(err, "opening a file");
        return NULL;
    }
    for (int i = 0; i < GGUF_MAX_PARTS; i++)
        f->maps[i].fd = f->maps[i].slot = -1;
    arena_init(&f->arena, FILE_ARENA_BYTES);
    if (open_file(f, source, err))
        return f;
    hearth_file_close(f);
    return NULL;
}

void hearth_file_close(hearth_file *f)
{
    if (!f)
        return;
    chat_destroy(f->chat);
    tokenizer_destroy(f->tokenizer);
    model_free(&f->model);
    gguf_free(&f->gguf);
    for (uint32_t i = 0; i < f->n_maps; i++)
        file_unmap(&f->maps[i]);
    arena_free(&f->arena);
    lock_destroy(&f->lock);
    mem_free(f);
}

bool file_damaged(const hearth_file *f)
{
    for (uint32_t i = 0; i < f->n_maps; i++)
        if (file_map_damaged(&f->maps[i]))
            return true;
    return false;
}

uint64_t file_header_bytes(const hearth_file *f)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < f->gguf.n_parts; i++)
        n += f->gguf.header_bytes[i];
    return n;
}

uint64_t file_total_bytes(const hearth_file *f)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < f->n_maps; i++)
        n += f->maps[i].bytes;
    return n;
}

bool registry_identity(const hearth_file *f, char out[96], hearth_error *err)
{
    struct sha256 *sha = sha256_new();
    char hex[65];
    if (!sha)
        return fail_memory(err, "the model's identity");
    for (uint32_t i = 0; i < f->n_maps; i++)
        sha256_add(sha, f->gguf.part_bytes[i], f->gguf.header_bytes[i]);
    sha256_add(sha, f->overrides.ptr, f->overrides.len);
    sha256_hex(sha, hex);
    sha256_free(sha);
    snprintf(out, 96, "%s-%llu", hex, (unsigned long long)file_total_bytes(f));
    return true;
}

/* Two models may have the same header, as fine-tuned ones do: of each tensor some bytes in its middle are looked at.
 * Weights that were damaged there and put right since have another time, if not other bytes. */
bool registry_weights_digest(const hearth_file *f, const char *identity, uint8_t out[32])
{
    enum { SAMPLE_BYTES = 4096 };
    struct sha256 *sha = sha256_new();
    if (!sha)
        return false;
    sha256_add(sha, identity, strlen(identity));
    for (uint32_t i = 0; i < f->n_maps; i++) {
        int64_t written_s = f->maps[i].mtime_ns / 1000000000;
        sha256_add(sha, &written_s, sizeof written_s);
    }
    for (uint32_t i = 0; i < f->gguf.n_tensors; i++) {
        const struct gguf_tensor *t = &f->gguf.tensors[i];
        size_t n = min_size((size_t)t->bytes, SAMPLE_BYTES), last = (size_t)t->bytes - n;
        sha256_add(sha, t->data, n);
        sha256_add(sha, t->data + last / 2 / SAMPLE_BYTES * SAMPLE_BYTES, n);
        sha256_add(sha, t->data + last, n);
    }
    sha256_bytes(sha, out);
    sha256_free(sha);
    return true;
}

bool hearth_file_identity(const hearth_file *f, char out[96], hearth_error *err)
{
    err_clear(err);
    return registry_identity(f, out, err);
}

bool hearth_file_digest(const hearth_file *f, char out[65], hearth_error *err)
{
    uint8_t bytes[32];
    char identity[96];
    err_clear(err);
    if (!registry_identity(f, identity, err))
        return false;
    if (!registry_weights_digest(f, identity, bytes))
        return fail_memory(err, "the model's digest");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* ---- describe ---- */

static int int_key(const hearth_file *f, const char *rest, uint64_t most)
{
    char key[160];
    uint64_t v = 0;
    hearth_error ignored = { 0 };
    snprintf(key, sizeof key, "%s.%s", f->architecture, rest);
    return gguf_uint_or(&f->gguf, key, 0, most, 0, &v, &ignored) ? (int)v : 0;
}

static int vocabulary_size(const hearth_file *f)
{
    struct gguf_array tokens = { 0 };
    hearth_error ignored = { 0 };
    return gguf_array_or_none(&f->gguf, "tokenizer.ggml.tokens", GGUF_STRING, MAX_VOCAB, &tokens, &ignored)
               ? (int)tokens.n
               : 0;
}

/* Layers that have attention among themselves, and all in the width of feed-forward. */
static bool layers_differ(const struct hparams *hp)
{
    const struct layer_shape *first = NULL;
    for (int i = 0; i < hp->n_layers; i++) {
        const struct layer_shape *l = &hp->layer[i];
        if (l->n_ff != hp->layer[0].n_ff)
            return true;
        if (hparams_is_recurrent(hp, i))
            continue;
        if (first && (l->n_kv_heads != first->n_kv_heads || l->head_dim != first->head_dim))
            return true;
        first = l;
    }
    return false;
}

static void describe_shape(const hearth_file *f, hearth_file_info *info)
{
    const struct hparams *hp = &f->model.hp;
    info->n_layers = f->runs ? hp->n_layers : int_key(f, "block_count", MAX_LAYERS);
    info->n_embd = f->runs ? hp->n_embd : int_key(f, "embedding_length", MAX_EMBD);
    info->n_heads = f->runs ? hp->n_heads : int_key(f, "attention.head_count", MAX_HEADS);
    info->n_kv_heads = f->runs ? hp->n_kv_heads : int_key(f, "attention.head_count_kv", MAX_HEADS);
    info->head_dim = f->runs ? max_int(hp->head_dim, hp->head_dim_window)
                             : int_key(f, "attention.key_length", MAX_EMBD);
    info->n_latent = f->runs ? hp->n_latent : 0;
    info->n_ff = f->runs ? hp->n_ff : int_key(f, "feed_forward_length", MAX_FF);
    info->layers_differ = f->runs && layers_differ(hp);
    info->n_ctx_train = f->runs ? hp->n_ctx_train : int_key(f, "context_length", MAX_CTX);
    info->n_vocab = f->runs ? hp->n_vocab : vocabulary_size(f);
    info->kv_bytes_per_token = f->runs ? model_kv_bytes_per_token(hp, HEARTH_KV_f16) : 0;
}

/* What is not in every model. */
static void describe_parts(const struct model *m, hearth_file_info *info)
{
    const struct hparams *hp = &m->hp;
    for (int i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        info->n_window_layers += l->window > 0 && !l->recurrent;
        info->n_state_layers += l->recurrent;
        info->n_dense_layers += hp->n_experts > 0 && !l->w[W_ROUTER].mat.data;
        if (l->w[W_SHARED_UP].mat.data)
            info->n_ff_shared = l->w[W_SHARED_UP].mat.n_rows;
    }
    info->n_window_tokens = info->n_window_layers ? hp->window : 0;
    info->state_bytes = model_state_bytes(hp);
    info->n_experts = hp->n_experts;
    info->n_experts_used = hp->n_experts_used;
    info->n_ff_expert = hp->n_ff_expert;
}

static const char *pooling_name(const hearth_file *f)
{
    static const char *const names[] = { "none", "mean", "cls", "last", "rank" };
    char key[160];
    snprintf(key, sizeof key, "%s.pooling_type", f->architecture);
    if (!gguf_find(&f->gguf, key))
        return "";
    int type = int_key(f, "pooling_type", ARRAY_LEN(names) - 1);
    return names[type];
}

static void describe_tokens(const struct tokenizer *t, hearth_file_info *info)
{
    static const struct vocab none = { .bos = -1, .eos = -1, .fim_pre = -1, .fim_suf = -1, .fim_mid = -1,
                                       .fim_pad = -1, .fim_rep = -1, .fim_sep = -1 };
    const struct vocab *v = t ? tokenizer_vocab(t) : &none;
    info->tokenizer = t ? tokenizer_name(t) : "";
    info->warning = v->pre_guessed ? tokenizer_guessed : "";
    info->bos_id = v->bos;
    info->eos_id = v->eos;
    info->fim_id[HEARTH_FIM_PREFIX] = v->fim_pre;
    info->fim_id[HEARTH_FIM_SUFFIX] = v->fim_suf;
    info->fim_id[HEARTH_FIM_MIDDLE] = v->fim_mid;
    info->fim_id[HEARTH_FIM_PAD] = v->fim_pad;
    info->fim_id[HEARTH_FIM_REPOSITORY] = v->fim_rep;
    info->fim_id[HEARTH_FIM_FILE] = v->fim_sep;
}

void hearth_file_describe(const hearth_file *cf, hearth_file_info *info)
{
    hearth_file *f = (hearth_file *)(uintptr_t)cf; /* the tokenizer is made on demand, under its lock */
    hearth_error err = { 0 };
    *info = (hearth_file_info){ .architecture = f->architecture,
                                .name = f->title,
                                .types = f->types,
                                .file_bytes = file_total_bytes(f),
                                .weight_bytes = f->gguf.data_bytes,
                                .gguf_version = f->gguf.version,
                                .n_tensors = f->gguf.n_tensors,
                                .n_metadata = f->gguf.n_values,
                                .n_parts = f->n_maps,
                                .template_text = f->template_text };
    for (uint32_t i = 0; i < f->gguf.n_tensors; i++)
        if (!add_ok(info->n_parameters, f->gguf.tensors[i].n_values, &info->n_parameters))
            info->n_parameters = UINT64_MAX; /* a type whose size nobody knows may claim anything */
    describe_shape(f, info);
    if (f->runs)
        describe_parts(&f->model, info);
    struct tokenizer *t = file_tokenizer(f, &err);
    describe_tokens(t, info);
    info->pooling = pooling_name(f);
    info->runs = f->runs && t;
    info->problem = !t && (f->runs || err.status == HEARTH_ERR_MEMORY) ? f->tokenizer_error.message
                    : !f->runs                                         ? f->problem.message
                                                                       : "";
}

bool hearth_file_cost(const hearth_file *f, hearth_kv_type kv_type, hearth_cost *cost)
{
    *cost = (hearth_cost){ 0 };
    if (!f->runs || !hearth_kv_type_name(kv_type))
        return false;
    const struct hparams *hp = &f->model.hp;
    const struct mat *output = &f->model.global[G_OUTPUT].mat;
    *cost = (hearth_cost){
        .pass_bytes = f->model.decode_bytes,
        .kv_bytes = model_kv_bytes_per_token(hp, kv_type),
        .kv_read_bytes = model_kv_read_bytes(hp, kv_type),
        .layer_macs = f->model.layer_macs,
        .output_macs = (uint64_t)output->n_rows * (uint64_t)output->n_cols,
        .attention_macs = model_attention_macs(hp),
    };
    return true;
}

/* ---- cost by number format ---- */

/* n: of so many matrices under one name. */
static void add_cost(hearth_format_cost costs[N_DTYPES], const struct mat *m, bool output, int n)
{
    hearth_format_cost *c = &costs[m->type];
    uint64_t macs = (uint64_t)m->n_rows * (uint64_t)m->n_cols * (uint64_t)n;
    c->pass_bytes += (uint64_t)m->row_bytes * (uint64_t)m->n_rows * (uint64_t)n;
    *(output ? &c->output_macs : &c->layer_macs) += macs;
}

static int more_bytes(const void *a, const void *b)
{
    const hearth_format_cost *x = a, *y = b;
    return x->pass_bytes < y->pass_bytes ? 1 : x->pass_bytes > y->pass_bytes ? -1 : strcmp(x->name, y->name);
}

size_t hearth_file_format_costs(const hearth_file *f, hearth_format_cost *out, size_t cap)
{
    hearth_format_cost costs[N_DTYPES] = { 0 };
    size_t n = 0;
    if (!f->runs)
        return 0;
    for (int i = 0; i < N_DTYPES; i++)
        costs[i].name = dtype_table[i].name;
    add_cost(costs, &f->model.global[G_OUTPUT].mat, true, 1);
    if (f->model.global[G_LAYER_PROJ].mat.data)
        add_cost(costs, &f->model.global[G_LAYER_PROJ].mat, false, 1);
    for (int i = 0; i < f->model.hp.n_layers; i++) {
        for (int s = 0; s < N_LAYER_SLOTS; s++) {
            const struct weight *w = &f->model.layers[i].w[s];
            bool expert = s == W_EXPERT_GATE || s == W_EXPERT_UP || s == W_EXPERT_DOWN;
            bool whole = s == W_QKV || s == W_GATE_UP || s == W_EXPERT_GATE_UP; /* their parts are there, too */
            if (w->mat.data && !w->vec && !whole)
                add_cost(costs, &w->mat, false, expert ? f->model.hp.n_experts_used : 1);
        }
    }
    qsort(costs, N_DTYPES, sizeof *costs, more_bytes);
    for (; n < N_DTYPES && costs[n].pass_bytes > 0; n++)
        if (n < cap)
            out[n] = costs[n];
    return n;
}

/* ---- tokens ---- */

struct tokenizer *file_tokenizer(hearth_file *f, hearth_error *err)
{
    lock_take(&f->lock);
    if (!f->tokenizer_tried) {
        int64_t start = clock_ns();
        f->tokenizer = tokenizer_create(&f->gguf, &f->tokenizer_error);
        f->tokenizer_tried = f->tokenizer || f->tokenizer_error.status != HEARTH_ERR_MEMORY; /* else once more */
        f->tokenizer_ms = clock_ms_since(start);
    }
    lock_release(&f->lock);
    if (!f->tokenizer && err)
        *err = f->tokenizer_error;
    return f->tokenizer;
}

int64_t hearth_file_tokenize(hearth_file *f, const char *text, size_t text_bytes, bool parse_special, bool add_bos,
                             int32_t *ids, size_t cap, hearth_error *err)
{
    err_clear(err);
    struct tokenizer *t = file_tokenizer(f, err);
    struct token_list list = { 0 };
    if (!t)
        return -1;
    const struct vocab *v = tokenizer_vocab(t);
    if (add_bos && v->add_bos && v->bos >= 0)
        token_list_push(&list, v->bos);
    int64_t n = -1;
    if (tokenizer_encode(t, (struct str){ text, text_bytes }, parse_special, true, &list, err)) {
        n = (int64_t)list.n;
        if (list.n && cap)
            memcpy(ids, list.ids, min_size(cap, list.n) * sizeof *ids);
    }
    token_list_free(&list);
    return n;
}

/* Decoded once per id, kept with the file. */
static struct str decode_piece(hearth_file *f, const struct tokenizer *t, int32_t id)
{
    char scratch[(4 << 10) + 8];
    struct str piece = tokenizer_piece(t, id, true, scratch, sizeof scratch);
    return arena_strdup(&f->arena, piece);
}

const char *hearth_file_token_text(hearth_file *f, int32_t id, size_t *n_bytes)
{
    hearth_error ignored = { 0 };
    struct tokenizer *t = file_tokenizer(f, &ignored);
    *n_bytes = 0;
    if (!t || id < 0 || id >= tokenizer_vocab(t)->n_tokens)
        return NULL;
    lock_take(&f->lock);
    if (!f->pieces)
        f->pieces = arena_array(&f->arena, struct str, tokenizer_vocab(t)->n_tokens);
    if (f->pieces && !f->pieces[id].ptr)
        f->pieces[id] = decode_piece(f, t, id);
    struct str s = f->pieces ? f->pieces[id] : (struct str){ NULL, 0 };
    lock_release(&f->lock);
    *n_bytes = s.len;
    return s.ptr;
}

bool hearth_file_token_special(hearth_file *f, int32_t id)
{
    hearth_error ignored = { 0 };
    struct tokenizer *t = file_tokenizer(f, &ignored);
    if (!t || id < 0 || id >= tokenizer_vocab(t)->n_tokens)
        return false;
    uint8_t type = tokenizer_vocab(t)->type[id];
    return type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED || type == TOKEN_UNKNOWN;
}

size_t hearth_pretokenizers(const char **names, size_t cap) { return pretok_list(names, cap); }
