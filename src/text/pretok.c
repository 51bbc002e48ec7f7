#include "text/pretok.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* Unicode's White_Space, inside a class. */
#define WS \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define S  "[" WS "]"
#define NS "[^" WS "]"
#define HAN "\\p{sc:Han}" /* the script; PCRE2's bare \p{Han} also holds what Han shares with others */
#define BYTES "(?#bytes)" /* a comment to PCRE2: this stage sees bytes, not characters */

enum { MAX_STAGES = 6 };

struct pattern {
    unsigned flags;
    const char *stage[MAX_STAGES];
};

enum pattern_id {
#define PATTERN(id, ...) PATTERN_##id,
#define PRETOK(name, id)
#include "text/pretok.def"
};

static const struct pattern patterns[] = {
#define PATTERN(id, flag_bits, ...) [PATTERN_##id] = { .flags = (flag_bits), .stage = { __VA_ARGS__ } },
#define PRETOK(name, id)
#include "text/pretok.def"
};

static const struct {
    const char *name;
    enum pattern_id id;
} names[] = {
#define PATTERN(id, ...)
#define PRETOK(text, id) { text, PATTERN_##id },
#include "text/pretok.def"
};

struct pretok {
    unsigned flags;
    int n_stages;
    pcre2_code *code[MAX_STAGES];
    pcre2_general_context *general; /* where PCRE2 gets its memory */
    pcre2_match_context *limits;
};

/* Bounds on one match. Backing up over a run takes a step a character, so steps are allowed
 * in proportion to the text: matching is linear or it is refused. */
enum { STEPS_PER_BYTE = 8, STEPS_LEAST = 100000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KB = 64 << 10 };

static const struct pattern *find_pattern(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_z(name, names[i].name))
            return &patterns[names[i].id];
    return NULL;
}

bool pretok_known(struct str name, unsigned *flags)
{
    const struct pattern *p = find_pattern(name);
    if (p && flags)
        *flags = p->flags;
    return p != NULL;
}

size_t pretok_list(const char **out, size_t cap)
{
    size_t n = 0;
    bool seen[ARRAY_LEN(patterns)] = { false };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!seen[names[i].id] && n++ < cap)
            out[n - 1] = names[i].name;
        seen[names[i].id] = true;
    }
    return n;
}

void pretok_names(char *out, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(names) && at < room; i++)
        at += (size_t)snprintf(out + at, room - at, "%s%s", i ? ", " : "", names[i].name);
}

bool pretok_unknown(struct str name, hearth_error *err)
{
    return fail(err, HEARTH_ERR_FORMAT,
                "tokenizer.ggml.pre is \"" STR_FMT "\", which this build does not know; it knows %zu names, llama-bpe, "
                "qwen2, gpt-4o and tekken among them: see docs/tokenizers.md",
                STR_ARG(name), ARRAY_LEN(names));
}

static void *pcre_alloc(size_t bytes, void *unused)
{
    (void)unused;
    return mem_alloc(bytes);
}

static void pcre_free(void *p, void *unused)
{
    (void)unused;
    mem_free(p);
}

static bool compile_stage(struct pretok *p, const char *text, bool use_jit, hearth_error *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(p->general);
    if (!context)
        return fail_memory(err, "compiling the pre-tokenizer");
    int code = 0;
    PCRE2_SIZE at = 0;
    bool bytes = strncmp(text, BYTES, sizeof BYTES - 1) == 0;
    uint32_t options = bytes ? 0 : PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK;
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!c && code == PCRE2_ERROR_HEAP_FAILED)
        return fail_memory(err, "compiling the pre-tokenizer");
    if (!c)
        return fail(err, HEARTH_ERR_FORMAT,
                    "pre-tokenizer pattern %d does not compile (PCRE2 error %d at %zu); this PCRE2 lacks Unicode "
                    "support: build it with --enable-unicode",
                    p->n_stages, code, (size_t)at);
    p->code[p->n_stages++] = c;
    /* Systems that forbid making code at run time refuse this; the interpreter then does
     * the same more slowly. */
    if (use_jit)
        (void)pcre2_jit_compile(c, PCRE2_JIT_COMPLETE);
    return true;
}

struct pretok *pretok_create(struct str name, bool use_jit, hearth_error *err)
{
    const struct pattern *pattern = find_pattern(name);
    if (!pattern) {
        pretok_unknown(name, err);
        return NULL;
    }
    struct pretok *p = mem_alloc(sizeof *p);
    if (!p)
        goto no_memory;
    p->flags = pattern->flags;
    p->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    p->limits = p->general ? pcre2_match_context_create(p->general) : NULL;
    if (!p->limits)
        goto no_memory;
    pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KB);
    for (int i = 0; i < MAX_STAGES && pattern->stage[i]; i++) {
        if (!compile_stage(p, pattern->stage[i], use_jit, err)) {
            pretok_destroy(p);
            return NULL;
        }
    }
    return p;

no_memory:
    fail_memory(err, "compiling the pre-tokenizer");
    pretok_destroy(p);
    return NULL;
}

void pretok_destroy(struct pretok *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_stages; i++)
        pcre2_code_free(p->code[i]);
    pcre2_match_context_free(p->limits);
    pcre2_general_context_free(p->general);
    mem_free(p);
}

unsigned pretok_flags_of(const struct pretok *p) { return p->flags; }

size_t pretok_bytes(const struct pretok *p)
{
    size_t total = sizeof *p;
    for (int i = 0; i < p->n_stages; i++) {
        size_t code = 0, jit = 0;
        pcre2_pattern_info(p->code[i], PCRE2_INFO_SIZE, &code);
        if (pcre2_pattern_info(p->code[i], PCRE2_INFO_JITSIZE, &jit) != 0)
            jit = 0;
        total += code + jit;
    }
    return total;
}

void pretok_work_free(struct pretok_work *w)
{
    pcre2_match_data_free(w->match_data);
    pcre2_match_context_free(w->limits);
    *w = (struct pretok_work){ 0 };
}

struct split {
    const struct pretok *p;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pretok_fn *emit;
    void *ctx;
};

/* The next match at or after `at`: 1 found, 0 none, -1 failed. */
static int next_match(const struct split *s, int stage, struct str text, size_t at, size_t *start, size_t *end,
                      hearth_error *err)
{
    const pcre2_code *code = s->p->code[stage];
    PCRE2_SPTR bytes = (PCRE2_SPTR)text.ptr;
    int rc = pcre2_match(code, bytes, text.len, at, PCRE2_NO_UTF_CHECK, s->match, s->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its frames on the heap */
        rc = pcre2_match(code, bytes, text.len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, s->limits);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0) {
        fail(err, HEARTH_ERR_USAGE,
             "the pre-tokenizer gave up at byte %zu of a piece of %zu (PCRE2 error %d); send the text in smaller parts",
             at, text.len, rc);
        return -1;
    }
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->match);
    *start = found[0];
    *end = found[1];
    return 1;
}

/* At most MAX_STAGES deep. */
static bool split_stage(const struct split *s, int stage, struct str text, hearth_error *err)
{
    if (text.len == 0)
        return true;
    if (stage >= MAX_STAGES || stage == s->p->n_stages)
        return s->emit(s->ctx, text, err);
    for (size_t at = 0; at < text.len;) {
        size_t start = text.len, end = text.len;
        int found = next_match(s, stage, text, at, &start, &end, err);
        if (found < 0)
            return false;
        if (start == end) /* no match, or an empty one: what is left is one piece */
            start = end = text.len;
        if (!split_stage(s, stage + 1, (struct str){ text.ptr + at, start - at }, err)
            || !split_stage(s, stage + 1, (struct str){ text.ptr + start, end - start }, err))
            return false;
        at = end;
    }
    return true;
}

bool pretok_split(const struct pretok *p, struct pretok_work *w, struct str text, pretok_fn *emit, void *ctx,
                  hearth_error *err)
{
    if (!w->match_data)
        w->match_data = pcre2_match_data_create(1, p->general);
    if (!w->limits)
        w->limits = pcre2_match_context_copy(p->limits);
    if (!w->match_data || !w->limits)
        return fail_memory(err, "splitting text");
    size_t steps = STEPS_LEAST + STEPS_PER_BYTE * min_size(text.len, 256 << 20);
    pcre2_set_match_limit(w->limits, (uint32_t)steps);
    struct split s = { p, w->match_data, w->limits, emit, ctx };
    return split_stage(&s, 0, text, err);
}
