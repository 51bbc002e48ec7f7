/* verify_weights.c: every scale and every value of a file, looked at once.
 *
 * Codes of a quantized block are whole numbers and cannot be wrong by themselves: what is NaN, infinite or absurd in a
 * block is its scale or its minimum (dtype.def says where they lie), so that is all that is read of it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "cli/interrupt.h"
#include "cli/model_bytes.h"
#include "cli/units.h"
#include "cli/verify.h"
#include "dtype/dtype.h"
#include "dtype/half.h"

/* Zero blocks in a row that are no accident: a hole that a download or a copy left. */
enum { HOLE_BYTES = 64 << 10 };
/* Times the typical scale of its tensor, as a power of 2: 12 is 4,096 times; seen in healthy files: 7. And a scale is
 * not absurd below this, whatever the others are. */
enum { ABSURD_OCTAVES = 12 };
static const float absurd_least = 8;

struct scan {
    uint64_t n;              /* scales that were looked at */
    uint64_t n_bad, bad_at;  /* not finite; the index of the first */
    uint32_t bad;            /* its bits */
    uint32_t most;           /* the largest magnitude, bits */
    uint64_t most_at;
    uint64_t n_zero;
    uint64_t run, longest, longest_end; /* chunks of zeros in a row: how many values, and where the longest ends */
    uint64_t sum;            /* of the bits of all magnitudes but zeros: over n it is about their mean logarithm */
};

/* ---- scales of each kind, as bits that order like their magnitude ---- */

typedef uint32_t read_fn(const uint8_t *p);

static inline uint32_t read_u8(const uint8_t *p) { return p[0]; }
static inline uint32_t read_u16(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }
static inline uint32_t read_u32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline uint32_t read_nibbles(const uint8_t *p)
{
    return (uint32_t)(p[0] >> 4 | (p[2] >> 4) << 4 | (p[4] >> 4) << 8 | (p[6] >> 4) << 12);
}

/* The first of n that is as large. */
static inline uint64_t find_first(const uint8_t *p, size_t stride, read_fn *read, uint32_t magnitude, uint32_t least)
{
    uint64_t i = 0;
    while ((read(p + i * stride) & magnitude) < least)
        i++;
    return i;
}

/* A chunk of n <= CHUNK: in one simple loop what is usual, which compilers turn into vectors; the rest seldom.
 * read and the masks are constants at every call. */
static inline void scan_chunk(struct scan *s, const uint8_t *p, uint64_t n, size_t stride, read_fn *read,
                              uint32_t magnitude, uint32_t infinite)
{
    uint32_t most = 0, n_zero = 0;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t v = read(p + i * stride) & magnitude;
        most = v > most ? v : most;
        n_zero += v == 0;
        sum += v;
    }
    if (most > s->most) {
        s->most = most;
        s->most_at = s->n + find_first(p, stride, read, magnitude, most);
    }
    if (most >= infinite) {
        uint64_t first = find_first(p, stride, read, magnitude, infinite);
        if (s->n_bad == 0) {
            s->bad = read(p + first * stride);
            s->bad_at = s->n + first;
        }
        for (uint64_t i = first; i < n; i++)
            s->n_bad += (read(p + i * stride) & magnitude) >= infinite;
    }
    s->sum += sum;
    s->n_zero += n_zero;
    s->n += n;
    s->run = n_zero == n ? s->run + n : 0; /* whole chunks of them */
    if (s->run > s->longest) {
        s->longest = s->run;
        s->longest_end = s->n;
    }
}

static inline void scan_blocks(struct scan *s, const uint8_t *p, uint64_t n, size_t stride, read_fn *read,
                               uint32_t magnitude, uint32_t infinite)
{
    enum { CHUNK = 256 };
    for (uint64_t i = 0; i < n; i += CHUNK)
        scan_chunk(s, p + i * stride, n - i < CHUNK ? n - i : CHUNK, stride, read, magnitude, infinite);
}

#define SCAN(kind, read, magnitude, infinite)                                               \
    static void scan_##kind(struct scan *s, const uint8_t *p, uint64_t n, size_t stride)     \
    {                                                                                       \
        scan_blocks(s, p, n, stride, read, magnitude, infinite);                            \
    }
SCAN(f32, read_u32, 0x7fffffff, 0x7f800000)
SCAN(f16, read_u16, 0x7fff, 0x7c00)
SCAN(bf16, read_u16, 0x7fff, 0x7f80)
SCAN(e8m0, read_u8, 0xff, 0xff)
SCAN(nibbles, read_nibbles, 0x7fff, 0x7c00)

static float float_of_f32(uint32_t bits) { return f32_of_bits(bits); }
static float float_of_f16(uint32_t bits) { return f16_to_f32((uint16_t)bits); }
static float float_of_bf16(uint32_t bits) { return bf16_to_f32((uint16_t)bits); }
static float float_of_e8m0(uint32_t bits)
{
    return bits == 0xff ? f32_of_bits(0x7fc00000) : 2 * bf16_to_f32(e8m0_half_bf16((uint8_t)bits));
}

static const struct {
    void (*scan)(struct scan *s, const uint8_t *p, uint64_t n, size_t stride);
    float (*value)(uint32_t bits);
    int octave_bits; /* as many bits make a power of 2 */
} kinds[N_SCALE_KINDS] = {
    [SCALE_F32] = { scan_f32, float_of_f32, 23 },
    [SCALE_F16] = { scan_f16, float_of_f16, 10 },
    [SCALE_BF16] = { scan_bf16, float_of_bf16, 7 },
    [SCALE_E8M0] = { scan_e8m0, float_of_e8m0, 0 },
    [SCALE_NIBBLES] = { scan_nibbles, float_of_f16, 10 },
};

/* ---- one tensor ---- */

/* "the scale of block 3 in row 12, byte 4711 of the file" */
static void say_place(const struct gguf_tensor *t, const struct dtype_info *d, uint64_t block, int at, char *out,
                      size_t room)
{
    uint64_t per_row = t->dim[0] / (uint64_t)d->n_values;
    unsigned long long row = block / per_row, column = block % per_row;
    unsigned long long offset = t->offset + block * (uint64_t)d->block_bytes + (uint64_t)at;
    int n = d->n_values > 1 ? snprintf(out, room, "the %s of block %llu in row %llu, byte %llu of the file",
                                       at == d->min_at ? "minimum" : "scale", column, row, offset)
                            : snprintf(out, room, "value %llu of row %llu, byte %llu of the file", column, row, offset);
    if (t->part > 0 && n > 0 && (size_t)n < room)
        snprintf(out + n, room - (size_t)n, " (part %u of the set)", t->part + 1);
}

static void judge(struct verify *v, const struct gguf_tensor *t, const struct dtype_info *d, const struct scan *s,
                  int at)
{
    char place[200], more[96] = "";
    float most = kinds[d->scale].value(s->most);
    int octaves = kinds[d->scale].octave_bits;
    if (s->n_bad > 0) {
        say_place(t, d, s->bad_at, at, place, sizeof place);
        if (s->n_bad > 1)
            snprintf(more, sizeof more, ", and %llu more of the tensor's %llu are no numbers",
                     (unsigned long long)s->n_bad - 1, (unsigned long long)s->n);
        verify_say(v, VERIFY_WEIGHTS, HEARTH_FINDING_PROBLEM, d->n_values > 1 ? "bad-scale" : "bad-value", t->name,
                   "%s is %g%s; the file is damaged: download it again", place,
                   (double)kinds[d->scale].value(s->bad), more);
        return;
    }
    uint64_t n = s->n - s->n_zero, mean = n ? s->sum / n : 0;
    if (octaves && t->n_dims > 1 && s->most > mean && (s->most - mean) >> octaves >= ABSURD_OCTAVES
        && most >= absurd_least) {
        say_place(t, d, s->most_at, at, place, sizeof place);
        verify_say(v, VERIFY_WEIGHTS, HEARTH_FINDING_WARNING, "absurd-scale", t->name,
                   "%s is %g, over %d times what is usual in this tensor (%g); a flipped bit looks like that", place,
                   (double)most, 1 << ABSURD_OCTAVES, (double)kinds[d->scale].value((uint32_t)mean));
    }
    if (s->n_zero == s->n && t->n_dims > 1) {
        verify_say(v, VERIFY_WEIGHTS, HEARTH_FINDING_PROBLEM, "all-zero", t->name,
                   "all of its values are zero: the tensor was never written, or lies in a hole of the file; "
                   "download it again");
    } else if (at == d->scale_at && s->longest * (uint64_t)d->block_bytes >= HOLE_BYTES) {
        say_place(t, d, s->longest_end - s->longest, at, place, sizeof place);
        verify_say(v, VERIFY_WEIGHTS, HEARTH_FINDING_WARNING, "hole", t->name,
                   "%llu KB of zeros begin at %s; a download that lost a part looks like that",
                   (unsigned long long)(s->longest * (uint64_t)d->block_bytes >> 10), place);
    }
}

/* In pieces, so that Ctrl-C and progress are looked after in between. */
static bool scan_tensor(struct verify *v, const struct gguf_tensor *t, uint64_t done, uint64_t total,
                        hearth_error *err)
{
    enum { PIECE_BYTES = 256 << 10 };
    enum dtype type;
    if (!dtype_from_gguf(t->type, &type) || t->n_values == 0)
        return true; /* the model does not run then, which is said elsewhere */
    const struct dtype_info *d = &dtype_table[type];
    uint64_t n_blocks = t->n_values / (uint64_t)d->n_values, piece = PIECE_BYTES / (uint64_t)d->block_bytes;
    struct scan scale = { 0 }, minimum = { 0 };
    for (uint64_t i = 0; i < n_blocks; i += piece) {
        uint64_t n = n_blocks - i < piece ? n_blocks - i : piece;
        const uint8_t *p = t->data + i * (uint64_t)d->block_bytes;
        kinds[d->scale].scan(&scale, p + d->scale_at, n, (size_t)d->block_bytes);
        if (d->min_at >= 0)
            kinds[d->scale].scan(&minimum, p + d->min_at, n, (size_t)d->block_bytes);
        progress_show(&v->progress, done + (i + n) * (uint64_t)d->block_bytes, total, "");
        if (interrupt_pending())
            return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the checks");
    }
    judge(v, t, d, &scale, d->scale_at);
    if (d->min_at >= 0 && scale.n_bad == 0)
        judge(v, t, d, &minimum, d->min_at);
    return true;
}

bool verify_weights(struct verify *v, hearth_error *err)
{
    struct model_bytes f;
    bool ok = model_bytes_open(&f, &v->source, err);
    uint64_t done = 0;
    progress_begin(&v->progress, NULL);
    progress_doing(&v->progress, "reading the weights");
    for (uint32_t i = 0; ok && i < f.gguf.n_tensors; i++) {
        ok = scan_tensor(v, &f.gguf.tensors[i], done, f.gguf.data_bytes, err);
        done += f.gguf.tensors[i].bytes;
    }
    progress_end(&v->progress);
    if (ok && model_bytes_damaged(&f))
        ok = fail(err, HEARTH_ERR_IO, "the file became shorter while it was read");
    if (ok) {
        char size[UNITS_BYTES];
        verify_done(v, VERIFY_WEIGHTS, "%u tensors, %s: every scale and value was read", f.gguf.n_tensors,
                    text_of_bytes(size, done));
    }
    model_bytes_close(&f);
    return ok;
}

/* ---- all bytes ---- */

static bool digest_part(struct verify *v, const struct file_map *map, uint64_t *done, uint64_t total, hearth_error *err)
{
    enum { PIECE_BYTES = 1 << 20 };
    char hex[65];
    struct sha256 *sha = sha256_new();
    for (size_t at = 0; sha && at < map->bytes && !interrupt_pending(); at += PIECE_BYTES) {
        size_t n = min_size(map->bytes - at, PIECE_BYTES);
        sha256_add(sha, map->ptr + at, n);
        *done += n;
        progress_show(&v->progress, *done, total, "");
    }
    sha256_hex(sha, hex);
    const char *copy = sha ? arena_strdup(&v->arena, str_z(hex)).ptr : NULL;
    sha256_free(sha);
    if (interrupt_pending())
        return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the checks");
    if (!copy)
        return fail_memory(err, "the digest of the file");
    v->sha256[v->n_sha256++] = copy;
    return true;
}

static_assert((int)GGUF_MAX_PARTS <= (int)VERIFY_MOST_PARTS, "each part has its digest");

bool verify_sha256(struct verify *v, hearth_error *err)
{
    struct model_bytes f;
    bool ok = model_bytes_open(&f, &v->source, err);
    uint64_t done = 0, total = 0;
    for (uint32_t i = 0; i < f.n_maps; i++)
        total += f.maps[i].bytes;
    progress_begin(&v->progress, NULL);
    progress_doing(&v->progress, "digesting the file");
    for (uint32_t i = 0; ok && i < f.n_maps; i++)
        ok = digest_part(v, &f.maps[i], &done, total, err);
    progress_end(&v->progress);
    if (ok && model_bytes_damaged(&f))
        ok = fail(err, HEARTH_ERR_IO, "the file became shorter while it was read");
    model_bytes_close(&f);
    return ok;
}
