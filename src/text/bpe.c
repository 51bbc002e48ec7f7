#include "text/bpe.h"

#include <string.h>

#include "base/alloc.h"
#include "text/byte_alphabet.h"
#include "text/keyed_hash.h"

enum { MAX_TOKEN_BYTES = 4096 };

static uint32_t pair_slot(const struct bpe *b, int32_t left, int32_t right)
{
    return (uint32_t)keyed_hash_pair(b->vocab->hash_key, (uint32_t)left, (uint32_t)right) & b->mask;
}

static const struct bpe_pair *find_pair(const struct bpe *b, int32_t left, int32_t right)
{
    for (uint32_t i = pair_slot(b, left, right); b->pairs[i].turn; i = (i + 1) & b->mask)
        if (b->pairs[i].left == left && b->pairs[i].right == right)
            return &b->pairs[i];
    return NULL;
}

/* The first of equal pairs counts. */
static void add_pair(struct bpe *b, int32_t left, int32_t right, uint32_t rank)
{
    uint32_t i = pair_slot(b, left, right);
    for (; b->pairs[i].turn; i = (i + 1) & b->mask)
        if (b->pairs[i].left == left && b->pairs[i].right == right)
            return;
    b->pairs[i] = (struct bpe_pair){ left, right, rank + 1 };
}

static uint64_t table_room(uint64_t n_merges)
{
    uint64_t room = 16;
    while (room * 3 < n_merges * 5) /* at most 60 % full */
        room *= 2;
    return room;
}

static size_t pair_bytes(uint64_t n_merges) { return (size_t)table_room(n_merges) * sizeof(struct bpe_pair); }

size_t bpe_bytes(uint64_t n_merges)
{
    return pair_bytes(n_merges) + (size_t)n_merges * sizeof(int32_t);
}

/* Only ordinary tokens take part: no merge can make a control token out of plain text. */
static bool takes_part(const struct vocab *v, int32_t id)
{
    return id >= 0 && v->type[id] != TOKEN_CONTROL && v->type[id] != TOKEN_UNKNOWN;
}

static bool is_joined(struct str whole, struct str left, struct str right)
{
    return whole.len == left.len + right.len && memcmp(whole.ptr, left.ptr, left.len) == 0
           && memcmp(whole.ptr + left.len, right.ptr, right.len) == 0;
}

/* Merges are written in the order of the tokens they made, so the result is mostly that of
 * the merge before or the token after it: a comparison instead of a search. */
static int32_t find_result(const struct vocab *v, struct str left, struct str right, int32_t guess)
{
    for (int32_t id = guess; id <= guess + 1 && id < v->n_tokens; id++)
        if (v->type[id] == TOKEN_NORMAL && is_joined(v->text[id], left, right))
            return id;
    char joined[MAX_TOKEN_BYTES];
    if (left.len + right.len > sizeof joined)
        return -1;
    memcpy(joined, left.ptr, left.len);
    memcpy(joined + left.len, right.ptr, right.len);
    return vocab_find(v, (struct str){ joined, left.len + right.len });
}

/* "left right" -> part[0], part[1]. */
static bool cut_merge(struct str merge, uint64_t rank, struct str *part, hearth_error *err)
{
    const char *space = merge.len > 2 ? memchr(merge.ptr + 1, ' ', merge.len - 2) : NULL;
    if (!space)
        return fail(err, HEARTH_ERR_FORMAT,
                    "tokenizer.ggml.merges[%llu] is \"" STR_FMT "\", not two texts with a space between; "
                    "the file is damaged",
                    (unsigned long long)rank, STR_ARG(merge));
    part[0] = (struct str){ merge.ptr, (size_t)(space - merge.ptr) };
    part[1] = (struct str){ space + 1, merge.len - part[0].len - 1 };
    return true;
}

enum { GROUP = 32 }; /* merges resolved together, so that waits for memory overlap */

static void add_group(struct bpe *b, const struct str *part, uint32_t rank, uint32_t n, int32_t *guess)
{
    int32_t id[2 * GROUP];
    vocab_find_many(b->vocab, part, id, 2 * n);
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(&b->pairs[pair_slot(b, id[2 * i], id[2 * i + 1])], 1);
    for (uint32_t i = 0; i < n; i++) {
        int32_t result = find_result(b->vocab, part[2 * i], part[2 * i + 1], *guess);
        b->merged[rank + i] = result;
        if (!takes_part(b->vocab, id[2 * i]) || !takes_part(b->vocab, id[2 * i + 1])
            || !takes_part(b->vocab, result)) {
            b->n_skipped++;
            continue;
        }
        *guess = result;
        add_pair(b, id[2 * i], id[2 * i + 1], rank + i);
    }
}

static bool add_merges(struct bpe *b, const struct gguf_array *merges, hearth_error *err)
{
    uint64_t cursor = 0;
    int32_t guess = 0;
    for (uint32_t rank = 0; rank < b->n_merges;) {
        struct str part[2 * GROUP];
        uint32_t n = 0;
        for (; n < GROUP && rank + n < b->n_merges; n++)
            if (!cut_merge(gguf_array_next_str(merges, &cursor), rank + n, part + 2 * n, err))
                return false;
        add_group(b, part, rank, n, &guess);
        rank += n;
    }
    return true;
}

bool bpe_build(struct bpe *b, const struct vocab *v, const struct gguf_array *merges, bool whole, hearth_error *err)
{
    *b = (struct bpe){ .vocab = v, .whole = whole, .n_merges = (uint32_t)merges->n };
    b->mask = (uint32_t)table_room(merges->n) - 1;
    b->pairs = mem_pages(pair_bytes(b->n_merges), NULL);
    b->merged = mem_alloc(merges->n * sizeof *b->merged);
    bool ok = b->pairs && b->merged ? add_merges(b, merges, err) : fail_memory(err, "the tokenizer's merges");
    if (!ok)
        bpe_free(b);
    return ok;
}

void bpe_free(struct bpe *b)
{
    mem_pages_free(b->pairs, pair_bytes(b->n_merges));
    mem_free(b->merged);
    *b = (struct bpe){ 0 };
}

uint32_t bpe_rank(const struct bpe *b, int32_t left, int32_t right, int32_t *merged)
{
    const struct bpe_pair *pair = find_pair(b, left, right);
    if (!pair)
        return MERGE_NONE;
    *merged = b->merged[pair->turn - 1];
    return pair->turn - 1;
}

static uint32_t pair_key(const void *ctx, const struct merger *m, int32_t left, int32_t *merged)
{
    const struct merge_symbol *s = &m->symbol[left];
    return bpe_rank(ctx, s->id, m->symbol[s->next].id, merged);
}

/* The token whose text is the whole piece; -1: none. */
static int32_t whole_token(const struct vocab *v, struct str piece)
{
    char text[512];
    size_t n = 0;
    if (piece.len > sizeof text / 2)
        return -1; /* no vocabulary has ordinary tokens that long */
    for (size_t i = 0; i < piece.len; i++) {
        uint32_t c = char_of_byte((uint8_t)piece.ptr[i]);
        if (c >= 0x80)
            text[n++] = (char)(0xc0 | c >> 6);
        text[n++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    int32_t id = vocab_find(v, (struct str){ text, n });
    return id >= 0 && v->type[id] == TOKEN_NORMAL ? id : -1;
}

bool bpe_encode(const struct bpe *b, struct merger *m, struct str piece, struct token_list *out, hearth_error *err)
{
    if (b->whole && piece.len > 1) {
        int32_t id = whole_token(b->vocab, piece);
        if (id >= 0) {
            token_list_push(out, id);
            return true;
        }
    }
    if (!merge_reserve(m, piece.len))
        return fail_memory(err, "tokenizing text");
    for (size_t i = 0; i < piece.len; i++) {
        uint8_t byte = (uint8_t)piece.ptr[i];
        int32_t id = b->vocab->byte_token[byte] >= 0 ? b->vocab->byte_token[byte] : b->vocab->unk;
        if (id < 0)
            return fail(err, HEARTH_ERR_FORMAT,
                        "the vocabulary has no token for byte 0x%02x and no unknown token; use another model file",
                        byte);
        m->symbol[i] = (struct merge_symbol){ .prev = (int32_t)i - 1, .next = (int32_t)i + 1, .id = id };
    }
    m->symbol[piece.len - 1].next = -1;
    if (!merge_run(m, piece.len, pair_key, b))
        return fail_memory(err, "tokenizing text");
    for (int32_t i = 0; i >= 0; i = m->symbol[i].next)
        token_list_push(out, m->symbol[i].id);
    return true;
}
