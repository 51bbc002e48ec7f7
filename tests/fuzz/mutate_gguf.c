/* mutate_gguf.c: libFuzzer's mutations for GGUF files, by what a file is made of.
 *
 * Bytes changed at random break the first length or count they meet, and the parser refuses the file there. So a
 * file is taken apart (gguf_document.h), some of its fields, records, texts, arrays and shapes are changed, and it
 * is put together again with its counts, padding and offsets right, or, some of the time, with one of them wrong.
 * A quarter of the mutations are libFuzzer's own, on the bytes. Takes any bytes. */
#include <stdio.h>

#include "base/rng.h"
#include "format/gguf.h"
#include "fuzz.h"
#include "gguf_document.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_out, unsigned seed);

enum {
    MOST_TEXT = 600,      /* bytes that an edit makes of a text */
    MOST_DATA = 64 << 10, /* bytes of tensors that are laid out */
};

#define SEPARATOR "<<PART>>" /* of the files of a set, as in fuzz_gguf.c */

static bool one_in(struct rng *r, uint32_t n) { return rng_below(r, n) == 0; }
static size_t below(struct rng *r, size_t n) { return rng_below(r, (uint32_t)n); }

/* ---- numbers ---- */

/* Something that a careless reader gets wrong, of `width` bytes. near: the size of the file or another bound. */
static uint64_t interesting(struct rng *r, uint64_t now, uint64_t near)
{
    static const uint64_t known[] = {
        0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 31, 32, 33, 63, 64, 127, 128, 255, 256, 4096, 8192, 32767, 32768, 65535,
        65536, 65537, 1 << 20, (1 << 20) + 1, 16 << 20, (16 << 20) + 1, INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX,
        (uint64_t)UINT32_MAX + 1, (uint64_t)1 << 40, ((uint64_t)1 << 40) + 1, (uint64_t)1 << 61, (uint64_t)1 << 62,
        INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 31, UINT64_MAX - 7, UINT64_MAX - 1, UINT64_MAX,
    };
    uint64_t step = 1 + below(r, 8);
    switch (below(r, 8)) {
    case 0: return near;
    case 1: return one_in(r, 2) ? near + step : near - step;
    case 2: return now + step;
    case 3: return now - step;
    case 4: return one_in(r, 2) ? now * 2 : now / 2;
    case 5: return now ^ (uint64_t)1 << below(r, 64);
    default: return known[below(r, ARRAY_LEN(known))];
    }
}

static void set_number(struct rng *r, uint8_t *p, size_t width, uint64_t near)
{
    uint64_t v = 0;
    memcpy(&v, p, width);
    v = interesting(r, v, near);
    memcpy(p, &v, width);
}

static size_t size_of(const struct document *d)
{
    size_t n = 24 + d->tail.n;
    for (size_t i = 0; i < d->n_values; i++)
        n += d->value[i].n;
    for (size_t i = 0; i < d->n_tensors; i++)
        n += d->tensor[i].n;
    return n;
}

static struct record *any_value(struct document *d, struct rng *r, struct value_at *at)
{
    struct record *v = d->n_values ? &d->value[below(r, d->n_values)] : NULL;
    return v && doc_value_at(v, at) ? v : NULL;
}

static struct record *any_tensor(struct document *d, struct rng *r, struct tensor_at *at)
{
    struct record *t = d->n_tensors ? &d->tensor[below(r, d->n_tensors)] : NULL;
    return t && doc_tensor_at(t, at) ? t : NULL;
}

/* ---- edits: each changes one thing; false when it could not ---- */

/* A version or a count that the header promises. */
static bool edit_header(struct document *d, struct rng *r)
{
    uint64_t *count = one_in(r, 2) ? &d->n_more_values : &d->n_more_tensors;
    if (one_in(r, 3)) {
        d->version = one_in(r, 2) ? 2 + (uint32_t)below(r, 2) : (uint32_t)interesting(r, d->version, 3);
        return true;
    }
    *count = one_in(r, 2) ? 1 : interesting(r, *count, size_of(d));
    return true;
}

static uint32_t any_type(struct rng *r)
{
    return one_in(r, 8) ? (uint32_t)interesting(r, 0, GGUF_N_TYPES) : rng_below(r, GGUF_N_TYPES + 1);
}

/* A number of a value: a length, type, count, or what it holds. */
static bool edit_value_number(struct document *d, struct rng *r)
{
    struct value_at at;
    struct record *v = any_value(d, r, &at);
    if (!v)
        return false;
    bool array = at.type_number == GGUF_ARRAY;
    size_t width = doc_width(array ? at.elem_number : at.type_number), n_items = (v->n - at.payload) / (width + !width);
    switch (below(r, 10)) {
    case 0: set_number(r, v->p, 8, at.n_key); return true;
    case 1: doc_set_u32(v->p + at.type, any_type(r)); return true;
    case 2:
        if (array)
            doc_set_u32(v->p + at.elem, any_type(r));
        return array;
    case 3:
        if (array)
            set_number(r, v->p + at.count, 8, width ? n_items : size_of(d) / 8);
        return array;
    default: break;
    }
    if (width && n_items) {
        set_number(r, v->p + at.payload + below(r, n_items) * width, width, one_in(r, 2) ? size_of(d) : n_items);
        return true;
    }
    size_t offset = at.payload;
    if (array && (at.n == 0 || !doc_string_item(v, &at, below(r, (size_t)at.n), &offset)))
        return false;
    set_number(r, v->p + offset, 8, v->n - offset - 8);
    return true;
}

static bool edit_tensor_number(struct document *d, struct rng *r)
{
    struct tensor_at at;
    struct record *t = any_tensor(d, r, &at);
    if (!t)
        return false;
    switch (below(r, 6)) {
    case 0: set_number(r, t->p, 8, at.n_name); return true;
    case 1: set_number(r, t->p + at.n_dims, 4, GGUF_MAX_DIMS); return true;
    case 2: set_number(r, t->p + at.type, 4, 40); return true;
    case 3: set_number(r, t->p + at.offset, 8, d->tail.n); return true;
    default:
        if (at.dim_count == 0)
            return false;
        set_number(r, t->p + at.dims + 8 * below(r, at.dim_count), 8, d->tail.n);
        return true;
    }
}

/* Drop, repeat, swap or move a record. */
static bool rearrange(struct document *d, struct rng *r, struct record *list, size_t *n)
{
    struct record copy;
    if (*n == 0)
        return false;
    size_t i = below(r, *n), j = below(r, *n);
    switch (below(r, 4)) {
    case 0:
        (*n)--;
        memmove(list + i, list + i + 1, (*n - i) * sizeof *list);
        return true;
    case 1:
        if (*n == DOC_MOST_RECORDS || !doc_new(d, &copy, list[i].p, list[i].n))
            return false;
        memmove(list + j + 1, list + j, (*n - j) * sizeof *list);
        list[j] = copy;
        (*n)++;
        return true;
    default:
        copy = list[i];
        list[i] = list[j];
        list[j] = copy;
        return true;
    }
}

static bool edit_values_order(struct document *d, struct rng *r) { return rearrange(d, r, d->value, &d->n_values); }
static bool edit_tensors_order(struct document *d, struct rng *r) { return rearrange(d, r, d->tensor, &d->n_tensors); }

/* ---- texts ---- */

static const char *const words[] = {
    "general.architecture", "general.alignment", "general.name", "general.sampling.sequence", "split.no", "split.count",
    "split.tensors.count", "llama", "qwen2", "qwen3", "gpt2", "bert", "t5", "no_vocab", "default", "llama-bpe",
    "deepseek-llm", "falcon", "gpt-2", "tekken", "none", "linear", "yarn", "token_embd.weight", "output.weight",
    "output_norm.weight", "rope_freqs.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
    "blk.0.attn_output.weight", "blk.0.attn_q.bias", "blk.0.attn_q_norm.weight", "blk.0.ffn_gate.weight",
    "blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "blk.1.attn_norm.weight", "<s>", "</s>", "<unk>", "<pad>", "<0x0A>",
    "<0xFF>", "<|im_end|>", "<|eot_id|>", "<|fim_prefix|>", "[CLS]", "[SEP]", "##a", "\xe2\x96\x81", "\xc4\xa0",
    "\xc4\x8a", "\xef\xbf\xbd", "\xed\xa0\x80", "\xff", "a b", "\xc4\xa0 t", "{{ messages }}", "%s%n",
};

/* A text of the file, or NULL: for splicing into another. */
static const uint8_t *any_text(struct document *d, struct rng *r, size_t *n)
{
    struct value_at at;
    struct tensor_at t;
    size_t offset;
    const struct record *v;
    if (one_in(r, 4) && (v = any_tensor(d, r, &t))) {
        *n = t.n_name;
        return v->p + t.name;
    }
    if (!(v = any_value(d, r, &at)))
        return NULL;
    offset = at.payload;
    bool is_string = at.type_number == GGUF_STRING
                  || (at.n > 0 && at.n < UINT32_MAX && doc_string_item(v, &at, below(r, (size_t)at.n), &offset));
    offset = is_string ? offset : 0; /* the key */
    *n = (size_t)doc_u64(v->p + offset);
    return v->p + offset + 8;
}

/* Change the text whose length is at `offset` of the record; the length becomes right, or stays as it was. */
static bool change_text(struct document *d, struct rng *r, struct record *rec, size_t offset)
{
    uint8_t text[MOST_TEXT];
    size_t n = (size_t)doc_u64(rec->p + offset), n_other, kept = n < MOST_TEXT / 2 ? n : MOST_TEXT / 2;
    const uint8_t *other;
    memcpy(text, rec->p + offset + 8, kept);
    size_t at = below(r, kept + 1), n_new = kept;
    switch (below(r, 4)) {
    case 0:
        n_new = (size_t)snprintf((char *)text, sizeof text, "%s", words[below(r, ARRAY_LEN(words))]);
        break;
    case 1: /* the beginning of this and the end of another */
        other = any_text(d, r, &n_other);
        if (!other)
            return false;
        n_other = n_other < MOST_TEXT / 2 ? n_other : MOST_TEXT / 2;
        memcpy(text + at, other, n_other);
        n_new = at + n_other;
        break;
    case 2: /* nothing, or twice the same */
        memcpy(text + kept, text, kept);
        n_new = one_in(r, 2) ? 0 : 2 * kept;
        break;
    default: n_new = LLVMFuzzerMutate(text, kept, sizeof text); break;
    }
    if (!doc_splice(d, rec, offset + 8, kept, text, n_new))
        return false;
    if (!one_in(r, 16))
        doc_set_u64(rec->p + offset, n - kept + n_new);
    return true;
}

static bool edit_text(struct document *d, struct rng *r)
{
    struct value_at at;
    struct tensor_at t;
    struct record *rec;
    size_t offset;
    if (one_in(r, 4))
        return (rec = any_tensor(d, r, &t)) && change_text(d, r, rec, 0);
    if (!(rec = any_value(d, r, &at)))
        return false;
    if (one_in(r, 6))
        return change_text(d, r, rec, 0);
    if (at.type_number == GGUF_STRING)
        return change_text(d, r, rec, at.payload);
    return at.n > 0 && at.n < UINT32_MAX && doc_string_item(rec, &at, below(r, (size_t)at.n), &offset)
        && change_text(d, r, rec, offset);
}

/* ---- arrays ---- */

/* Offset of item i, which is at most n. */
static bool item_at(const struct record *v, const struct value_at *at, size_t i, size_t *offset)
{
    *offset = at->payload + i * doc_width(at->elem_number);
    return doc_width(at->elem_number) != 0 || doc_string_item(v, at, i, offset);
}

/* Drop, repeat or swap items, mostly with the count that is right then. */
static bool edit_items(struct document *d, struct rng *r)
{
    static uint8_t copy[MOST_DATA];
    struct value_at at;
    struct record *v = any_value(d, r, &at);
    size_t from, to, where;
    if (!v || at.type_number != GGUF_ARRAY || at.n == 0 || at.n >= UINT32_MAX)
        return false;
    size_t i = below(r, (size_t)at.n), n = 1 + (one_in(r, 2) ? below(r, (size_t)at.n - i) : 0);
    if (!item_at(v, &at, i, &from) || !item_at(v, &at, i + n, &to) || to - from > sizeof copy
        || !item_at(v, &at, below(r, (size_t)at.n + 1), &where))
        return false;
    memcpy(copy, v->p + from, to - from);
    bool drop = one_in(r, 2);
    if (!(drop ? doc_splice(d, v, from, to - from, NULL, 0) : doc_splice(d, v, where, 0, copy, to - from)))
        return false;
    if (!one_in(r, 16))
        doc_set_u64(v->p + at.count, drop ? at.n - n : at.n + n);
    return true;
}

/* Another type for a value or the items of an array, in bytes of that type: numbers keep their low bytes. */
static bool edit_retype(struct document *d, struct rng *r)
{
    struct value_at at;
    struct record *v = any_value(d, r, &at);
    uint32_t type = (uint32_t)below(r, GGUF_N_TYPES);
    if (!v)
        return false;
    bool array = at.type_number == GGUF_ARRAY;
    uint32_t was = array ? at.elem_number : at.type_number;
    size_t width = doc_width(type), old_width = doc_width(was), n = (size_t)at.n;
    if (width == 0 || old_width == 0 || n > 4096)
        return false;
    struct record changed = *v;
    for (size_t i = n; i-- > 0;) {
        size_t offset = at.payload + i * old_width;
        bool ok = width > old_width ? doc_splice(d, &changed, offset + old_width, 0, NULL, width - old_width)
                                    : doc_splice(d, &changed, offset + width, old_width - width, NULL, 0);
        if (!ok)
            return false;
    }
    doc_set_u32(changed.p + (array ? at.elem : at.type), type);
    *v = changed;
    return true;
}

/* ---- values that the library asks for ---- */

static const struct key {
    const char *name;
    uint8_t type, elem; /* as files have it */
} keys[] = {
    { "general.alignment", GGUF_U32, 0 },
    { "general.architecture", GGUF_STRING, 0 },
    { "general.sampling.sequence", GGUF_STRING, 0 },
    { "general.sampling.temp", GGUF_F32, 0 },
    { "split.no", GGUF_U16, 0 },
    { "split.count", GGUF_U16, 0 },
    { "split.tensors.count", GGUF_I32, 0 },
    { "tokenizer.chat_template", GGUF_STRING, 0 },
    { "tokenizer.ggml.model", GGUF_STRING, 0 },
    { "tokenizer.ggml.pre", GGUF_STRING, 0 },
    { "tokenizer.ggml.tokens", GGUF_ARRAY, GGUF_STRING },
    { "tokenizer.ggml.merges", GGUF_ARRAY, GGUF_STRING },
    { "tokenizer.ggml.scores", GGUF_ARRAY, GGUF_F32 },
    { "tokenizer.ggml.token_type", GGUF_ARRAY, GGUF_I32 },
    { "tokenizer.ggml.precompiled_charsmap", GGUF_ARRAY, GGUF_I8 },
    { "tokenizer.ggml.bos_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.eos_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.eot_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.eom_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.unknown_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.padding_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.cls_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.seperator_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.fim_pre_token_id", GGUF_U32, 0 },
    { "tokenizer.ggml.add_bos_token", GGUF_BOOL, 0 },
    { "tokenizer.ggml.add_eos_token", GGUF_BOOL, 0 },
    { "tokenizer.ggml.add_space_prefix", GGUF_BOOL, 0 },
    { "tokenizer.ggml.remove_extra_whitespaces", GGUF_BOOL, 0 },
    { "*.block_count", GGUF_U32, 0 },
    { "*.context_length", GGUF_U32, 0 },
    { "*.embedding_length", GGUF_U32, 0 },
    { "*.feed_forward_length", GGUF_U32, 0 },
    { "*.attention.head_count", GGUF_U32, 0 },
    { "*.attention.head_count_kv", GGUF_U32, 0 },
    { "*.attention.key_length", GGUF_U32, 0 },
    { "*.attention.value_length", GGUF_U32, 0 },
    { "*.attention.key_length_swa", GGUF_U32, 0 },
    { "*.attention.value_length_swa", GGUF_U32, 0 },
    { "*.attention.sliding_window", GGUF_U32, 0 },
    { "*.attention.sliding_window_pattern", GGUF_ARRAY, GGUF_BOOL },
    { "*.attention.shared_kv_layers", GGUF_U32, 0 },
    { "*.embedding_length_per_layer_input", GGUF_U32, 0 },
    { "*.rope.dimension_count_swa", GGUF_U32, 0 },
    { "*.attention.kv_lora_rank", GGUF_U32, 0 },
    { "*.attention.q_lora_rank", GGUF_U32, 0 },
    { "*.attention.key_length_mla", GGUF_U32, 0 },
    { "*.attention.value_length_mla", GGUF_U32, 0 },
    { "*.attention.layer_norm_rms_epsilon", GGUF_F32, 0 },
    { "*.rope.dimension_count", GGUF_U32, 0 },
    { "*.rope.freq_base", GGUF_F32, 0 },
    { "*.rope.scaling.type", GGUF_STRING, 0 },
    { "*.rope.scaling.factor", GGUF_F32, 0 },
    { "*.vocab_size", GGUF_U32, 0 },
};

static const char *const architectures[] = { "llama", "qwen2", "qwen3", "deepseek2" };

/* A string value of the file as a C string of at most 15 bytes; "" when there is none. */
static void read_short(struct document *d, const char *key, char out[16])
{
    struct value_at at;
    struct record *v = doc_find(d, key);
    out[0] = 0;
    if (!v || !doc_value_at(v, &at) || at.type_number != GGUF_STRING)
        return;
    size_t n = v->n - at.payload - 8;
    n = n < 15 ? n : 15;
    memcpy(out, v->p + at.payload + 8, n);
    out[n] = 0;
}

/* The bytes of one item. */
static size_t make_item(struct rng *r, uint32_t type, uint8_t out[MOST_TEXT])
{
    static const float floats[] = { 0, 1, -1, 0.5f, 1e-6f, 10000, 1e30f, __builtin_inff(), __builtin_nanf("") };
    uint64_t v = one_in(r, 2) ? below(r, 65) : interesting(r, 1, 256);
    size_t width = doc_width(type);
    if (type == GGUF_STRING) {
        const char *word = words[below(r, ARRAY_LEN(words))];
        doc_set_u64(out, strlen(word));
        memcpy(out + 8, word, strlen(word));
        return 8 + strlen(word);
    }
    if (type == GGUF_BOOL)
        v &= one_in(r, 8) ? 0xff : 1;
    if (type == GGUF_F32)
        memcpy(&v, &floats[below(r, ARRAY_LEN(floats))], 4);
    memcpy(out, &v, width);
    return width;
}

static bool make_value(struct document *d, struct rng *r, const struct key *key, const char *name, struct record *v)
{
    uint8_t head[128], item[MOST_TEXT];
    size_t n_name = strlen(name), n = 8;
    uint32_t n_items = key->type == GGUF_ARRAY ? (uint32_t)below(r, 20) : 1;
    doc_set_u64(head, n_name);
    memcpy(head + n, name, n_name);
    doc_set_u32(head + (n += n_name), key->type);
    n += 4;
    if (key->type == GGUF_ARRAY) {
        doc_set_u32(head + n, key->elem);
        doc_set_u64(head + n + 4, n_items);
        n += 12;
    }
    if (!doc_new(d, v, head, n))
        return false;
    for (; n_items > 0; n_items--) {
        size_t n_item = make_item(r, key->type == GGUF_ARRAY ? key->elem : key->type, item);
        if (!doc_splice(d, v, v->n, 0, item, n_item))
            return false;
    }
    return true;
}

/* Such a value in the place of the file's own, or added. */
static bool edit_known_key(struct document *d, struct rng *r)
{
    const struct key *key = &keys[below(r, ARRAY_LEN(keys))];
    char name[80], arch[16];
    struct record v;
    read_short(d, "general.architecture", arch);
    bool of_arch = key->name[0] == '*';
    snprintf(name, sizeof name, "%s%s", of_arch ? arch : key->name, of_arch ? key->name + 1 : "");
    struct record *old = doc_find(d, name);
    if ((!old && d->n_values == DOC_MOST_RECORDS) || !make_value(d, r, key, name, &v))
        return false;
    if (old)
        *old = v;
    else
        d->value[d->n_values++] = v;
    return true;
}

/* The whole file in another architecture's names. */
static bool edit_architecture(struct document *d, struct rng *r)
{
    char was[16];
    const char *now = architectures[below(r, ARRAY_LEN(architectures))];
    struct value_at at;
    struct record *v = doc_find(d, "general.architecture");
    read_short(d, "general.architecture", was);
    size_t n_was = strlen(was), n_now = strlen(now);
    if (n_was == 0 || !doc_value_at(v, &at) || v->n - at.payload - 8 != n_was
        || !doc_splice(d, v, at.payload + 8, n_was, now, n_now))
        return false;
    doc_set_u64(v->p + at.payload, n_now);
    for (size_t i = 0; i < d->n_values; i++) {
        v = &d->value[i];
        if (!doc_value_at(v, &at) || at.n_key <= n_was || memcmp(v->p + 8, was, n_was) != 0 || v->p[8 + n_was] != '.'
            || !doc_splice(d, v, 8, n_was, now, n_now))
            continue;
        doc_set_u64(v->p, at.n_key - n_was + n_now);
    }
    return true;
}

/* ---- tensors ---- */

/* A type and dimensions that go together. */
static bool edit_shape(struct document *d, struct rng *r)
{
    static const uint16_t sizes[] = { 1, 2, 8, 16, 32, 64, 96, 128, 256, 512 };
    struct gguf_type_info info;
    struct tensor_at at;
    struct record *t = any_tensor(d, r, &at);
    uint32_t type = (uint32_t)below(r, 44);
    if (!t)
        return false;
    if (one_in(r, 2) && gguf_type_info(type, &info))
        doc_set_u32(t->p + at.type, type);
    if (one_in(r, 2) && at.dim_count > 0)
        doc_set_u64(t->p + at.dims + 8 * below(r, at.dim_count), sizes[below(r, ARRAY_LEN(sizes))]);
    if (one_in(r, 6)) { /* one dimension more or less */
        bool more = at.dim_count == 0 || (at.dim_count < 5 && one_in(r, 2));
        size_t end = at.type;
        if (!(more ? doc_splice(d, t, end, 0, "\1\0\0\0\0\0\0", 8) : doc_splice(d, t, end - 8, 8, NULL, 0)))
            return false;
        doc_set_u32(t->p + at.n_dims, more ? at.dim_count + 1 : at.dim_count - 1);
    }
    return true;
}

/* The data: its bytes, or how many there are. */
static bool edit_data(struct document *d, struct rng *r)
{
    size_t n = d->tail.n;
    if (one_in(r, 2)) {
        d->tail.n = below(r, n + 1);
        return true;
    }
    if (one_in(r, 2))
        return doc_splice(d, &d->tail, n, 0, NULL, 1 + below(r, 300));
    if (n == 0)
        return false;
    size_t at = below(r, n), most = n - at < 64 ? n - at : 64;
    LLVMFuzzerMutate(d->tail.p + at, most, most);
    return true;
}

static const struct {
    bool (*edit)(struct document *d, struct rng *r);
    uint32_t weight;
} edits[] = {
    { edit_header, 1 },        { edit_value_number, 6 }, { edit_tensor_number, 3 }, { edit_values_order, 2 },
    { edit_tensors_order, 2 }, { edit_text, 6 },         { edit_items, 4 },         { edit_retype, 2 },
    { edit_known_key, 5 },     { edit_architecture, 1 }, { edit_shape, 3 },         { edit_data, 1 },
};

static void edit(struct document *d, struct rng *r)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(edits); i++)
        sum += edits[i].weight;
    int wanted = 1 + (int)below(r, one_in(r, 4) ? 8 : 2);
    for (int tries = 0; wanted > 0 && tries < 40; tries++) {
        uint32_t at = rng_below(r, sum);
        size_t i = 0;
        while (at >= edits[i].weight)
            at -= edits[i++].weight;
        wanted -= edits[i].edit(d, r);
    }
    if (!d->torn && !one_in(r, 4))
        doc_lay_out(d, MOST_DATA);
}

/* ---- libFuzzer's entries ---- */

static struct document one, two;
static uint8_t written[DOC_MOST_BYTES];

/* The part of a set to change, of those in the bytes. */
static void choose_part(struct rng *r, const uint8_t *data, size_t size, size_t *begin, size_t *end)
{
    const size_t n = sizeof SEPARATOR - 1;
    *begin = 0;
    *end = size;
    for (size_t i = 0; i + n <= size; i++) {
        if (data[i] != '<' || memcmp(data + i, SEPARATOR, n) != 0)
            continue;
        if (one_in(r, 2)) {
            *end = i;
            return;
        }
        *begin = i + n;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct rng r = { .key = seed };
    size_t begin, end;
    choose_part(&r, data, size, &begin, &end);
    if (one_in(&r, 4) || !doc_read(&one, data + begin, end - begin))
        return LLVMFuzzerMutate(data, size, max_size);
    edit(&one, &r);
    size_t rest = size - end, room = max_size - begin - rest;
    size_t n = doc_write(&one, written, room < sizeof written ? room : sizeof written);
    if (n == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + begin + n, data + end, rest);
    memcpy(data + begin, written, n);
    return begin + n + rest;
}

/* A record of the second file, in the first one's pool, in the place of one with this name where there is any. */
static void take_value(struct document *d, const struct record *from)
{
    char key[256];
    struct value_at at;
    struct record copy;
    if (!doc_value_at(from, &at) || at.n_key >= sizeof key || !doc_new(d, &copy, from->p, from->n))
        return;
    memcpy(key, from->p + at.key, at.n_key);
    key[at.n_key] = 0;
    struct record *old = doc_find(d, key);
    if (old)
        *old = copy;
    else if (d->n_values < DOC_MOST_RECORDS)
        d->value[d->n_values++] = copy;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_out, unsigned seed)
{
    struct rng r = { .key = seed };
    struct record copy;
    if (!doc_read(&one, data1, size1) || !doc_read(&two, data2, size2) || one.torn)
        return 0;
    uint32_t share = 1 + rng_below(&r, 6);
    for (size_t i = 0; i < two.n_values; i++)
        if (one_in(&r, share))
            take_value(&one, &two.value[i]);
    bool tensors = one_in(&r, 2);
    for (size_t i = 0; tensors && i < two.n_tensors && one.n_tensors < DOC_MOST_RECORDS; i++)
        if (one_in(&r, share) && doc_new(&one, &copy, two.tensor[i].p, two.tensor[i].n))
            one.tensor[one.n_tensors++] = copy;
    doc_lay_out(&one, MOST_DATA);
    return doc_write(&one, out, max_out);
}
