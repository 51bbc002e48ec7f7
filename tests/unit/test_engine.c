/* test_engine.c: one request gives the same bits however it is run, and ends well whatever
 * happens to it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/machine.h"
#include "tiny.h"

enum { MAX_IDS = 512 };

struct answer {
    char text[8192], digest[65];
    int32_t ids[MAX_IDS];
    float logprobs[MAX_IDS];
    int n;
    hearth_end_reason reason;
    hearth_error error;
    hearth_receipt receipt;
};

struct opened {
    hearth_engine *engine;
    hearth_model *model;
};

static struct opened open_typed(const char *path, hearth_engine_options eo, int n_ctx, hearth_kv_type type)
{
    hearth_model_options mo = { .source.path = path, .n_ctx_tokens = n_ctx, .kv_type = type };
    hearth_error err = { 0 };
    struct opened o = { 0 };
    o.engine = hearth_engine_create(&eo, &err);
    if (o.engine)
        o.model = hearth_model_open(o.engine, &mo, &err);
    if (!o.model)
        fail_msg("%s: %s", path, err.message);
    return o;
}

static struct opened open_with(const char *path, hearth_engine_options eo, int n_ctx)
{
    return open_typed(path, eo, n_ctx, HEARTH_KV_f16);
}

static void close_all(struct opened *o)
{
    hearth_model_release(o->model);
    hearth_engine_destroy(o->engine);
}

static const char long_prompt[] =
    "The quick brown fox jumps over the lazy dog, again and again, until the evening comes and the dog, who was never "
    "lazy but only old, gets up and walks home; and the fox, who was never quick but only young, walks with him.";

static hearth_request request_for(hearth_span *span, const char *text)
{
    hearth_request r = { 0 };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = 0;
    *span = (hearth_span){ .text = text, .n_bytes = strlen(text) };
    r.spans = span;
    r.n_spans = 1;
    r.max_tokens = 24;
    r.want_digest = true;
    r.want_logprob = true;
    r.no_prefix_cache = true; /* a second run must be a run */
    r.ignore_eos = true;
    return r;
}

static void collect(hearth_stream *s, struct answer *a)
{
    hearth_event e;
    *a = (struct answer){ 0 };
    while (hearth_stream_next(s, &e)) {
        strncat(a->text, e.text, sizeof a->text - strlen(a->text) - 1);
        a->reason = e.reason;
        if (e.type == HEARTH_EVENT_TOKEN && a->n < MAX_IDS) {
            a->ids[a->n] = e.id;
            a->logprobs[a->n++] = e.logprob;
        }
    }
    a->error = *hearth_stream_error(s);
    assert_true(hearth_stream_receipt(s, &a->receipt));
    memcpy(a->digest, a->receipt.digest, sizeof a->digest);
    hearth_stream_close(s);
}

static void answer(hearth_model *m, const hearth_request *r, struct answer *a)
{
    hearth_error err = { 0 };
    hearth_stream *s = hearth_submit(m, r, &err);
    if (!s)
        fail_msg("%s", err.message);
    collect(s, a);
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_string_equal(a->digest, b->digest);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
    assert_memory_equal(a->logprobs, b->logprobs, (size_t)a->n * sizeof *a->logprobs);
}

static void make(char *path, size_t room, const char *name, struct tiny t)
{
    tiny_path(path, room, name);
    tiny_write(path, &t);
}

/* ---- same bits (contract 1) ---- */

/* Every architecture and format: threads, chunks and company change nothing. */
static void check_equivalence(const char *arch, enum dtype type)
{
    char path[256];
    static struct answer base, other, company[3];
    hearth_span span, spans[3];
    make(path, sizeof path, "equal", (struct tiny){ .arch = arch, .type = type, .rope_freqs = type == DTYPE_q8_0 });
    struct opened o = open_with(path, (hearth_engine_options){ .n_threads = 1 }, 0);
    hearth_request r = request_for(&span, long_prompt);
    answer(o.model, &r, &base);
    assert_int_equal(base.n, 24);
    assert_int_equal(strlen(base.digest), 64);
    close_all(&o);

    for (int threads = 2; threads <= 3; threads++) {
        o = open_with(path, (hearth_engine_options){ .n_threads = threads, .n_threads_prefill = 5 - threads }, 0);
        answer(o.model, &r, &other);
        assert_same(&base, &other);
        assert_int_equal(other.receipt.n_threads, threads);
        assert_int_equal(other.receipt.n_threads_prefill, 5 - threads);
        assert_int_equal(other.receipt.plan.n_threads, 3);
        static const int chunks[] = { 1, 3, 17, 64 };
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            r.n_chunk_tokens = chunks[i];
            answer(o.model, &r, &other);
            assert_same(&base, &other);
        }
        r.n_chunk_tokens = 0;
        close_all(&o);
    }

    o = open_with(path, (hearth_engine_options){ .n_threads = 2, .n_seqs = 4, .n_step_tokens = 40 }, 0);
    hearth_stream *streams[3];
    for (int i = 0; i < 3; i++) {
        hearth_request c = request_for(&spans[i], long_prompt + 20 * i + 7);
        c.max_tokens = 20 + 9 * i;
        streams[i] = hearth_submit(o.model, &c, NULL);
        assert_non_null(streams[i]);
    }
    answer(o.model, &r, &other);
    for (int i = 0; i < 3; i++)
        collect(streams[i], &company[i]);
    assert_same(&base, &other);
    hearth_request alone = request_for(&spans[1], long_prompt + 27);
    alone.max_tokens = 29;
    answer(o.model, &alone, &other);
    assert_same(&company[1], &other);
    close_all(&o);
    unlink(path);
}

/* The sanitized build asks for every so-manyth format. */
static int one_in = 1;

static void threads_chunks_and_company_change_no_bit(void **state)
{
    (void)state;
    static const char *const archs[] = { "llama", "qwen2", "qwen3" };
    for (int a = 0; a < 3; a++)
        check_equivalence(archs[a], DTYPE_q4_K);
    for (int t = 0; t < N_DTYPES; t += one_in)
        check_equivalence("llama", (enum dtype)t);
}

/* Requests that nobody waits for any more, one running and others waiting: nothing of them stays. The address
 * sanitizer looks. */
static void an_engine_that_is_destroyed_ends_what_runs(void **state)
{
    char path[256];
    hearth_span span;
    hearth_event e;
    (void)state;
    make(path, sizeof path, "destroyed", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 });
    struct opened o = open_with(path, (hearth_engine_options){ .n_threads = 1 }, 0);
    hearth_request r = request_for(&span, long_prompt);
    r.max_tokens = 0;
    hearth_stream *running = hearth_submit(o.model, &r, NULL), *waiting = hearth_submit(o.model, &r, NULL);
    hearth_stream *closed = hearth_submit(o.model, &r, NULL);
    assert_true(running && waiting && closed);
    assert_true(hearth_stream_next(running, &e)); /* it has begun */
    hearth_stream_close(closed);
    hearth_stream_close(running);
    hearth_stream_close(waiting);
    hearth_model_release(o.model);
    hearth_engine_destroy(o.engine);
    unlink(path);
}

/* ---- keys and values that are still there ---- */

/* The ids of a text and of an answer to it, then more. */
static size_t going_on(hearth_model *m, const char *text, const struct answer *a, const char *more, int32_t *ids)
{
    hearth_file *f = hearth_model_file(m);
    int64_t n = hearth_file_tokenize(f, text, strlen(text), false, true, ids, MAX_IDS, NULL);
    for (int i = 0; i < a->n; i++)
        ids[n + i] = a->ids[i];
    n += a->n;
    return (size_t)(n + hearth_file_tokenize(f, more, strlen(more), false, false, ids + n, MAX_IDS - (size_t)n, NULL));
}

static void what_the_cache_still_has_changes_no_bit(void **state)
{
    static const char *const archs[] = { "llama", "qwen2", "qwen3" };
    static struct answer first, cold, warm;
    (void)state;
    for (int a = 0; a < 3; a++) {
        char path[256];
        hearth_span span;
        int32_t ids[MAX_IDS];
        make(path, sizeof path, "prefix", (struct tiny){ .arch = archs[a], .type = DTYPE_q4_K });
        struct opened o = open_with(path, (hearth_engine_options){ .n_threads = 2 }, 0);
        hearth_request r = request_for(&span, long_prompt);
        r.no_prefix_cache = false;
        answer(o.model, &r, &first);
        assert_int_equal(first.receipt.n_cached_tokens, 0);
        answer(o.model, &r, &warm); /* again: all but the last token is there */
        assert_same(&first, &warm);
        assert_int_equal(warm.receipt.n_cached_tokens, warm.receipt.n_prompt_tokens - 1);

        hearth_request next = { .prompt_ids = ids, .want_digest = true, .want_logprob = true, .max_tokens = 16,
                                .ignore_eos = true, .sampling = r.sampling };
        next.n_prompt_ids = going_on(o.model, long_prompt, &first, "and then", ids);
        answer(o.model, &next, &warm);
        /* the last token of an answer has not been through the model when it ends */
        assert_int_equal(warm.receipt.n_cached_tokens, first.receipt.n_prompt_tokens + first.n - 1);
        next.no_prefix_cache = true;
        answer(o.model, &next, &cold);
        assert_int_equal(cold.receipt.n_cached_tokens, 0);
        assert_same(&cold, &warm);

        ids[70] ^= 1; /* differs inside the second page of keys and values */
        next.no_prefix_cache = false;
        answer(o.model, &next, &warm);
        assert_int_equal(warm.receipt.n_cached_tokens, 70);
        assert_int_equal(warm.receipt.prefix_end, HEARTH_PREFIX_DIFFERS);
        assert_int_equal(warm.receipt.prefix_id, ids[70]);
        assert_int_equal(warm.receipt.prefix_other_id, ids[70] ^ 1);
        next.no_prefix_cache = true;
        answer(o.model, &next, &cold);
        assert_same(&cold, &warm);
        close_all(&o);
        unlink(path);
    }
}

/* Another arithmetic each, but the same in chunks, by threads and out of the cache. */
static void every_kv_type_keeps_its_bits(void **state)
{
    static struct answer of_type[HEARTH_N_KV_TYPES], other;
    (void)state;
    char path[256];
    hearth_span span;
    make(path, sizeof path, "kv", (struct tiny){ .arch = "llama", .type = DTYPE_q4_K });
    for (int t = 0; t < HEARTH_N_KV_TYPES; t++) {
        hearth_kv_type type = (hearth_kv_type)t;
        struct opened o = open_typed(path, (hearth_engine_options){ .n_threads = 1 }, 0, type);
        hearth_request r = request_for(&span, long_prompt);
        answer(o.model, &r, &of_type[t]);
        close_all(&o);
        o = open_typed(path, (hearth_engine_options){ .n_threads = 2 }, 0, type);
        r.n_chunk_tokens = 17;
        answer(o.model, &r, &other);
        assert_same(&of_type[t], &other);
        r.no_prefix_cache = false;
        answer(o.model, &r, &other);
        assert_same(&of_type[t], &other);
        assert_int_equal(other.receipt.n_cached_tokens, other.receipt.n_prompt_tokens - 1);
        assert_int_equal(other.receipt.plan.kv_type, type);
        close_all(&o);
        for (int before = 0; before < t; before++)
            assert_string_not_equal(of_type[t].digest, of_type[before].digest);
    }
    unlink(path);
}

static void plans_and_costs_count_the_bytes_of_a_kv_type(void **state)
{
    (void)state;
    char path[256];
    hearth_error err = { 0 };
    make(path, sizeof path, "kv_bytes", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    hearth_file *f = hearth_file_open(&(hearth_source){ .path = path }, NULL);
    static const uint64_t of_head[] = { [HEARTH_KV_f16] = 128, [HEARTH_KV_bf16] = 128, [HEARTH_KV_q8] = 68,
                                        [HEARTH_KV_f32] = 256 };
    for (int t = 0; t < HEARTH_N_KV_TYPES; t++) { /* 2 layers, K and V, 2 heads of 64 */
        hearth_cost c;
        hearth_plan p;
        assert_true(hearth_file_cost(f, (hearth_kv_type)t, &c));
        assert_int_equal(c.kv_bytes, 2 * 2 * 2 * of_head[t]);
        assert_true(hearth_file_plan(f, 100, (hearth_kv_type)t, 1, 1 << 30, &p, &err));
        assert_int_equal(p.kv_bytes, 128 * c.kv_bytes); /* whole pages */
        assert_int_equal(p.kv_type, t);
    }
    hearth_plan none;
    assert_false(hearth_file_plan(f, 100, HEARTH_N_KV_TYPES, 1, 1 << 30, &none, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    err = (hearth_error){ 0 };
    hearth_engine *e = hearth_engine_create(NULL, &err);
    hearth_model_options o = { .source.path = path, .kv_type = HEARTH_N_KV_TYPES };
    assert_null(hearth_model_open(e, &o, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    hearth_engine_destroy(e);
    assert_null(hearth_kv_type_name(HEARTH_N_KV_TYPES));
    assert_string_equal(hearth_kv_type_name(0), "f16");
    hearth_file_close(f);
    unlink(path);
}

/* Conversations in turn keep what they computed, in whatever slot they run. */
static void conversations_keep_their_past(void **state)
{
    char path[256];
    static struct answer got;
    static const char *const texts[] = { "the first conversation begins so", "another one, quite different, ",
                                         "zum dritten" };
    hearth_span span;
    (void)state;
    make(path, sizeof path, "slots", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    struct opened o = open_with(path, (hearth_engine_options){ .n_threads = 1, .n_seqs = 2 }, 0);
    static const struct {
        int text;
        bool kept;
    } turns[] = { { 0, false }, { 1, false }, { 0, true }, { 1, true },
                  { 2, false }, { 1, true },  { 0, true }, { 2, true } };
    for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
        hearth_request r = request_for(&span, texts[turns[i].text]);
        r.no_prefix_cache = false;
        answer(o.model, &r, &got);
        int most = got.receipt.n_prompt_tokens - 1;
        assert_true(turns[i].kept ? got.receipt.n_cached_tokens == most : got.receipt.n_cached_tokens < 3);
    }
    close_all(&o);
    unlink(path);
}

/* What generation reports for a token is what scoring the same text reports. */
static void scoring_gives_the_logprobs_of_generation(void **state)
{
    (void)state;
    char path[256];
    static struct answer generated, scored;
    hearth_span span;
    int32_t ids[MAX_IDS];
    make(path, sizeof path, "score", (struct tiny){ .arch = "qwen3", .type = DTYPE_q6_K });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "abc def");
    answer(o.model, &r, &generated);
    int64_t n = hearth_file_tokenize(hearth_model_file(o.model), "abc def", 7, false, true, ids, MAX_IDS, NULL);
    assert_true(n > 3);
    for (int i = 0; i < generated.n; i++)
        ids[n + i] = generated.ids[i];
    hearth_request s = { .prompt_ids = ids, .n_prompt_ids = (size_t)(n + generated.n), .score = true };
    hearth_sampling_defaults(NULL, &s.sampling, NULL);
    s.score_from = (size_t)n;
    answer(o.model, &s, &scored);
    assert_int_equal(scored.n, generated.n);
    assert_memory_equal(scored.ids, generated.ids, (size_t)scored.n * sizeof *scored.ids);
    assert_memory_equal(scored.logprobs, generated.logprobs, (size_t)scored.n * sizeof *scored.logprobs);
    close_all(&o);
    unlink(path);
}

struct distributions {
    int n, n_wrong;
    size_t first;        /* index of the first one */
    double logprob[MAX_IDS]; /* of the token that came, from the whole row */
    const int32_t *ids;
};

static void see_logits(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct distributions *d = arg;
    double sum = 0;
    if (d->n == 0)
        d->first = index;
    d->n_wrong += index != d->first + (size_t)d->n || n_vocab != TINY_VOCAB;
    for (int i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i]);
    d->logprob[d->n++] = (double)logits[d->ids[index]] - log(sum);
}

/* Whole rows come once per scored token and in order, whatever the chunks; the events' log-probabilities are theirs.
 * A float between 8 and 16 is rounded by at most 5e-7. */
static void scoring_shows_whole_distributions(void **state)
{
    (void)state;
    char path[256];
    static struct answer scored;
    static struct distributions d;
    int32_t ids[200];
    make(path, sizeof path, "distributions", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    struct opened o = open_with(path, (hearth_engine_options){ .n_seqs = 2 }, 0);
    for (int i = 0; i < 200; i++)
        ids[i] = (i * 37 + i / 7) % TINY_VOCAB;
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = 200, .score = true, .on_logits = see_logits,
                         .on_logits_arg = &d, .no_prefix_cache = true };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    static const int from[] = { 1, 101, 199 }, chunks[] = { 0, 1, 33 };
    for (int i = 0; i < 9; i++) {
        r.score_from = (size_t)from[i / 3];
        r.n_chunk_tokens = chunks[i % 3];
        d = (struct distributions){ .ids = ids };
        answer(o.model, &r, &scored);
        assert_int_equal(d.n, 200 - from[i / 3]);
        assert_int_equal(d.first, from[i / 3]);
        assert_int_equal(d.n_wrong, 0);
        assert_int_equal(scored.n, d.n);
        for (int j = 0; j < d.n; j++)
            assert_true(fabs(d.logprob[j] - (double)scored.logprobs[j]) < 1e-5);
    }
    hearth_error err = { 0 };
    r.score = false;
    assert_null(hearth_submit(o.model, &r, &err));
    assert_int_equal(err.status, HEARTH_ERR_USAGE);
    close_all(&o);
    unlink(path);
}

enum { MAX_PRODUCTS = 64, MAX_COLS = 512 };

/* Sums of squares per column, as an importance matrix has them. */
struct inputs {
    int n;
    struct input {
        char name[64];
        int n_rows, n_cols;
        double sum2[MAX_COLS];
    } of[MAX_PRODUCTS];
};

static void see_product(void *arg, const hearth_product *p)
{
    struct inputs *all = arg;
    struct input *in = all->of;
    while (in < all->of + all->n && strncmp(in->name, p->tensor.text, p->tensor.n_bytes) != 0)
        in++;
    if (in == all->of + all->n) {
        snprintf(in->name, sizeof in->name, "%.*s", (int)p->tensor.n_bytes, p->tensor.text);
        in->n_cols = p->n_cols;
        all->n++;
    }
    in->n_rows += p->n_rows;
    for (int row = 0; row < p->n_rows; row++)
        for (int i = 0; i < p->n_cols; i++) {
            double x = (double)p->x[row * p->n_cols + i];
            in->sum2[i] += x * x;
        }
}

static void look_at_inputs(const char *path, int n_threads, int n_chunk, struct inputs *all)
{
    static struct answer scored;
    hearth_error err = { 0 };
    int32_t ids[100];
    *all = (struct inputs){ 0 };
    hearth_engine *engine = hearth_engine_create(&(hearth_engine_options){ .n_threads = n_threads }, &err);
    hearth_model_options mo = { .source.path = path, .on_product = see_product, .on_product_arg = all };
    hearth_model *model = hearth_model_open(engine, &mo, &err);
    if (!model)
        fail_msg("%s", err.message);
    for (int i = 0; i < 100; i++)
        ids[i] = (i * 37 + i / 7) % TINY_VOCAB;
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = 100, .score = true, .score_from = 1,
                         .n_chunk_tokens = n_chunk, .no_prefix_cache = true };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    answer(model, &r, &scored);
    hearth_model_release(model);
    hearth_engine_destroy(engine);
}

static void an_observer_sees_the_inputs_of_every_product(void **state)
{
    (void)state;
    char path[256];
    static struct inputs base, other;
    make(path, sizeof path, "inputs", (struct tiny){ .arch = "llama", .type = DTYPE_q4_0, .untied = true });
    look_at_inputs(path, 1, 0, &base);
    assert_int_equal(base.n, 7 * TINY_LAYERS + 1);
    for (int i = 0; i < base.n; i++) {
        bool output = strcmp(base.of[i].name, "output.weight") == 0;
        assert_int_equal(base.of[i].n_rows, output ? 99 : 100);
        assert_int_equal(base.of[i].n_cols, strstr(base.of[i].name, "ffn_down") ? TINY_FF : TINY_EMBD);
        for (int col = 0; col < base.of[i].n_cols; col++)
            assert_true(base.of[i].sum2[col] > 0);
    }
    assert_string_equal(base.of[0].name, "blk.0.attn_q.weight");
    assert_string_equal(base.of[2].name, "blk.0.attn_v.weight");
    assert_memory_equal(base.of[0].sum2, base.of[2].sum2, sizeof base.of[0].sum2);
    for (int i = 0; i < 6; i++) {
        static const int chunks[] = { 0, 1, 23 };
        look_at_inputs(path, 1 + 2 * (i / 3), chunks[i % 3], &other);
        assert_memory_equal(&base, &other, sizeof base);
    }
    unlink(path);
}

static void a_seed_decides_the_answer(void **state)
{
    (void)state;
    char path[256];
    static struct answer a, b, c;
    hearth_span span;
    make(path, sizeof path, "seed", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "abc");
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.has_seed = true;
    r.seed = 1;
    answer(o.model, &r, &a);
    answer(o.model, &r, &b);
    assert_same(&a, &b);
    r.seed = 2;
    answer(o.model, &r, &c);
    assert_true(memcmp(a.ids, c.ids, (size_t)a.n * sizeof *a.ids) != 0);
    r.has_seed = false; /* drawn: it stands in the receipt and reproduces the answer */
    answer(o.model, &r, &a);
    assert_true(a.receipt.seed_drawn);
    r.has_seed = true;
    r.seed = a.receipt.seed;
    answer(o.model, &r, &b);
    assert_same(&a, &b);
    close_all(&o);
    unlink(path);
}

/* ---- ends ---- */

static void a_stop_text_ends_the_answer_and_is_not_part_of_it(void **state)
{
    (void)state;
    char path[256], stop[8];
    static struct answer whole, cut;
    hearth_span span;
    make(path, sizeof path, "stop", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "stop here");
    answer(o.model, &r, &whole);
    size_t at = strlen(whole.text) / 2;
    snprintf(stop, sizeof stop, "%.3s", whole.text + at);
    const char *stops[] = { "never in there", stop };
    r.stop = stops;
    r.n_stop = 2;
    answer(o.model, &r, &cut);
    const char *first = strstr(whole.text, stop);
    assert_int_equal(cut.reason, HEARTH_END_STOP);
    assert_int_equal(strlen(cut.text), first - whole.text);
    assert_memory_equal(cut.text, whole.text, strlen(cut.text));
    close_all(&o);
    unlink(path);
}

static void a_full_context_ends_with_its_number(void **state)
{
    (void)state;
    char path[256];
    static struct answer a;
    hearth_span span;
    make(path, sizeof path, "full", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 64 });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "abc");
    r.max_tokens = 0;
    answer(o.model, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_LENGTH);
    assert_non_null(strstr(a.receipt.finish_detail, "64"));
    assert_int_equal(a.n + a.receipt.n_prompt_tokens, 64);

    r = request_for(&span, long_prompt);
    answer(o.model, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_ERROR);
    assert_int_equal(a.error.status, HEARTH_ERR_USAGE);
    assert_non_null(strstr(a.error.message, "64"));
    close_all(&o);
    unlink(path);
}

static void cancelling_ends_the_stream_and_frees_the_slot(void **state)
{
    (void)state;
    char path[256];
    static struct answer a;
    hearth_span span;
    hearth_event e;
    make(path, sizeof path, "cancel", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "abc");
    r.max_tokens = 0;
    for (int i = 0; i < 3; i++) {
        hearth_stream *s = hearth_submit(o.model, &r, NULL);
        assert_true(hearth_stream_next(s, &e));
        hearth_stream_cancel(s);
        collect(s, &a);
        assert_int_equal(a.reason, HEARTH_END_CANCELLED);
    }
    hearth_stream *abandoned = hearth_submit(o.model, &r, NULL);
    assert_true(hearth_stream_next(abandoned, &e));
    hearth_stream_close(abandoned); /* nobody listens any more */
    r.max_tokens = 5;
    answer(o.model, &r, &a);
    assert_int_equal(a.n, 5);
    close_all(&o);
    unlink(path);
}

/* A reader that does not read holds up itself, nobody else, and loses nothing. */
static void a_slow_reader_pauses_only_itself(void **state)
{
    (void)state;
    char path[256];
    static struct answer fast, slow, again;
    hearth_span span;
    make(path, sizeof path, "slow", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 4096 });
    struct opened o = open_with(path, (hearth_engine_options){ .n_seqs = 2 }, 0);
    hearth_request r = request_for(&span, "abc");
    r.n_alternatives = 50; /* large events: the ring is full after about a hundred */
    r.max_tokens = 400;
    hearth_stream *s = hearth_submit(o.model, &r, NULL);
    hearth_request quick = request_for(&span, "abc");
    quick.n_alternatives = 50;
    quick.max_tokens = 400;
    answer(o.model, &quick, &fast); /* ends although nobody reads s */
    collect(s, &slow);
    assert_int_equal(slow.n, 400);
    assert_same(&fast, &slow);
    answer(o.model, &r, &again);
    assert_same(&fast, &again);
    close_all(&o);
    unlink(path);
}

static void bad_requests_are_refused_with_field_and_limit(void **state)
{
    (void)state;
    char path[256];
    hearth_span span;
    hearth_error err;
    make(path, sizeof path, "bad", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "abc");
    r.sampling.top_p = 2;
    assert_null(hearth_submit(o.model, &r, &err));
    assert_non_null(strstr(err.message, "top_p"));
    r = request_for(&span, "abc");
    hearth_logit_bias bias = { TINY_VOCAB, 1 };
    r.logit_bias = &bias;
    r.n_logit_bias = 1;
    assert_null(hearth_submit(o.model, &r, &err));
    assert_non_null(strstr(err.message, "288"));
    r = request_for(&span, "abc");
    int32_t id = -1;
    r.prompt_ids = &id;
    r.n_prompt_ids = 1;
    assert_null(hearth_submit(o.model, &r, &err));
    r.n_spans = 0;
    assert_null(hearth_submit(o.model, &r, &err));
    assert_non_null(strstr(err.message, "-1"));
    close_all(&o);
    unlink(path);
}

/* ---- bad models ---- */

static void nan_in_a_weight_is_named_by_layer_and_tensor(void **state)
{
    (void)state;
    static const char *const tensors[] = { "blk.0.attn_k.weight", "blk.1.ffn_down.weight", "blk.1.attn_output.weight" };
    char path[256];
    static struct answer a;
    hearth_span span;
    for (int i = 0; i < 3; i++) {
        make(path, sizeof path, "nan", (struct tiny){ .arch = "llama", .type = DTYPE_f16, .nan_tensor = tensors[i] });
        struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
        hearth_request r = request_for(&span, "abc");
        answer(o.model, &r, &a);
        assert_int_equal(a.reason, HEARTH_END_ERROR);
        assert_int_equal(a.error.status, HEARTH_ERR_MODEL);
        if (!strstr(a.error.message, tensors[i]))
            fail_msg("%s is not named in: %s", tensors[i], a.error.message);
        close_all(&o);
        unlink(path);
    }
}

static void a_file_cut_short_while_mapped_fails_the_model_not_the_process(void **state)
{
    (void)state;
    char path[256];
    static struct answer a;
    hearth_span span;
    make(path, sizeof path, "cut", (struct tiny){ .arch = "llama", .type = DTYPE_f32 });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    assert_int_equal(truncate(path, 65536), 0);
    hearth_request r = request_for(&span, "abc");
    answer(o.model, &r, &a);
    assert_int_equal(a.reason, HEARTH_END_ERROR);
    assert_int_equal(a.error.status, HEARTH_ERR_MODEL);
    assert_non_null(strstr(a.error.message, "cut short"));
    close_all(&o);
    unlink(path);
}

/* NVFP4 weights have a scale per tensor beside them (name.scale), which nothing here applies yet. Its blocks of 64 are
 * as long as two of Q4_0. */
static void a_type_without_kernels_is_refused_by_name(void **state)
{
    (void)state;
    static const char name[] = "blk.0.ffn_down.weight";
    static char bytes[1 << 20];
    char path[256];
    hearth_error err = { 0 };
    make(path, sizeof path, "nvfp4", (struct tiny){ .arch = "llama", .type = DTYPE_q4_0 });
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f), at = 0;
    while (at + sizeof name < n && memcmp(bytes + at, name, sizeof name - 1) != 0)
        at++;
    at += sizeof name - 1 + 4 + 2 * 8; /* the number of dimensions, two of them */
    assert_true(at < n && bytes[at] == 2);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    fputc(40, f);
    assert_int_equal(fclose(f), 0);
    hearth_engine *e = hearth_engine_create(&(hearth_engine_options){ 0 }, &err);
    assert_non_null(e);
    assert_null(hearth_model_open(e, &(hearth_model_options){ .source.path = path }, &err));
    assert_int_equal(err.status, HEARTH_ERR_FORMAT);
    assert_non_null(strstr(err.message, "blk.0.ffn_down.weight has type NVFP4 (number 40), which this version cannot"));
    assert_non_null(strstr(err.message, "use a file in one of f32, f16, bf16, q4_0"));
    assert_non_null(strstr(err.message, ", q2_0")); /* the whole list */
    hearth_engine_destroy(e);
    unlink(path);
}

/* ---- memory (contract 3) ---- */

struct phases {
    char text[256]; /* each once */
    const char *stop_at;
    uint64_t file_bytes;
};

static bool note_phase(void *arg, const hearth_progress *at)
{
    struct phases *p = arg;
    if (!strstr(p->text, at->phase)) {
        strcat(p->text, at->phase);
        strcat(p->text, " ");
    }
    assert_true(at->read_bytes <= at->file_bytes && at->fraction >= 0 && at->fraction <= 1);
    if (at->file_bytes)
        p->file_bytes = at->file_bytes;
    return !p->stop_at || strcmp(at->phase, p->stop_at) != 0;
}

static void weights_are_in_memory_when_asked_for(void **state)
{
    (void)state;
    char path[256];
    static struct answer a;
    hearth_error err = { 0 };
    hearth_span span;
    hearth_readahead at;
    hearth_plan plan;
    struct phases phases = { 0 };
    make(path, sizeof path, "preload", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0 });
    hearth_model_options o = { .source.path = path, .n_ctx_tokens = 128, .preload = true, .progress = note_phase,
                               .progress_arg = &phases };
    hearth_engine *e = hearth_engine_create(NULL, &err);
    hearth_model *m = hearth_model_open(e, &o, &err);
    if (!m)
        fail_msg("%s", err.message);
    hearth_model_readahead(m, &at);
    assert_true(at.preloaded && !at.locked && !at.reading);
    assert_true(at.read_bytes == at.file_bytes && at.file_bytes == phases.file_bytes && at.file_bytes > 100000);
    assert_string_equal(phases.text, "metadata tokenizer plan weights ready ");
    hearth_request r = request_for(&span, long_prompt);
    r.max_tokens = 2;
    answer(m, &r, &a);
    assert_true(a.receipt.weights_preloaded && !a.receipt.weights_locked && a.receipt.load_weights_ms > 0);
    hearth_model_plan(m, &plan);
    hearth_model_release(m);

    o.preload = false;
    o.lock = true;
    m = hearth_model_open(e, &o, &err);
    if (m) {
        hearth_model_readahead(m, &at);
        assert_true(at.preloaded && at.locked);
        assert_true(process_locked_bytes() >= at.file_bytes);
        hearth_model_release(m);
        assert_int_equal(process_locked_bytes(), 0);
    } else { /* this process may not */
        assert_int_equal(err.status, HEARTH_ERR_MEMORY);
        assert_non_null(strstr(err.message, "limit on locked memory"));
    }

    o.lock = false;
    o.preload = true;
    static const char *const phase[] = { "metadata", "tokenizer", "plan", "weights", "ready" };
    for (size_t i = 0; i < sizeof phase / sizeof *phase; i++) {
        phases = (struct phases){ .stop_at = phase[i] };
        assert_null(hearth_model_open(e, &o, &err));
        assert_int_equal(err.status, HEARTH_ERR_CANCELLED);
    }
    hearth_engine_destroy(e);

    /* Its own memory fits, but not with the file beside it. */
    e = hearth_engine_create(&(hearth_engine_options){ .budget_bytes = plan.total_bytes - 1 }, &err);
    phases = (struct phases){ 0 };
    assert_null(hearth_model_open(e, &o, &err));
    assert_int_equal(err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(err.message, "--preload"));
    o.preload = false;
    m = hearth_model_open(e, &o, &err);
    if (!m)
        fail_msg("%s", err.message);
    hearth_model_release(m);
    hearth_engine_destroy(e);
    unlink(path);
}

static void a_context_that_does_not_fit_is_refused_with_the_sum(void **state)
{
    (void)state;
    char path[256];
    hearth_error err = { 0 };
    make(path, sizeof path, "fit", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .n_ctx = 8192 });
    hearth_engine *e =
        hearth_engine_create(&(hearth_engine_options){ .budget_bytes = 24 << 20, .n_step_tokens = 64 }, &err);
    assert_non_null(e);
    hearth_model_options o = { .source.path = path, .n_ctx_tokens = 1 << 20 };
    assert_null(hearth_model_open(e, &o, &err));
    assert_int_equal(err.status, HEARTH_ERR_MEMORY);
    assert_non_null(strstr(err.message, "--ctx"));
    assert_non_null(strstr(err.message, "1048576"));

    o.n_ctx_tokens = 0; /* chosen: the largest power of two that fits */
    hearth_model *m = hearth_model_open(e, &o, &err);
    if (!m)
        fail_msg("%s", err.message);
    hearth_plan plan;
    hearth_model_plan(m, &plan);
    assert_true(plan.fits && plan.n_ctx_tokens >= 4096);
    assert_true(plan.kv_bytes + plan.workspace_bytes + plan.vocabulary_bytes <= plan.budget_bytes);
    hearth_model_release(m);
    hearth_engine_destroy(e);
    unlink(path);
}

static void a_running_answer_allocates_nothing(void **state)
{
    (void)state;
    char path[256];
    hearth_span span;
    hearth_event e;
    make(path, sizeof path, "alloc", (struct tiny){ .arch = "llama", .type = DTYPE_q4_K });
    struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
    hearth_request r = request_for(&span, "abc");
    r.max_tokens = 100;
    r.n_alternatives = 10;
    hearth_stream *s = hearth_submit(o.model, &r, NULL);
    assert_true(hearth_stream_next(s, &e));
    mem_fail_at(0);
    while (hearth_stream_next(s, &e))
        ;
    assert_int_equal(mem_fail_at(0), 0);
    hearth_stream_close(s);
    close_all(&o);
    unlink(path);
}

/* ---- whose sampling it is ---- */

static void a_model_file_has_its_order_and_its_values(void **state)
{
    (void)state;
    char path[256], order[HEARTH_ORDER_BYTES];
    static struct answer a;
    hearth_span span;
    for (int bad = 0; bad < 2; bad++) {
        make(path, sizeof path, "samplers", (struct tiny){ .arch = "llama", .type = DTYPE_q8_0,
                                                           .samplers = bad ? "top_k;nonsense" : "temp;top_k" });
        struct opened o = open_with(path, (hearth_engine_options){ 0 }, 0);
        hearth_request r = request_for(&span, "abc");
        hearth_sampling_defaults(o.model, &r.sampling, r.sampling_origin);
        /* The names that converters write (PyPI gguf 0.19.0); three are others than ours. */
        assert_true(r.sampling.temperature == 0.5f && r.sampling.top_k == 7 && r.sampling.xtc_threshold == 0.25f);
        assert_true(r.sampling.repeat_penalty == 1.25f && r.sampling.repeat_last_n == 9);
        assert_int_equal(r.sampling_origin[HEARTH_SAMPLING_temperature], HEARTH_FROM_MODEL);
        assert_int_equal(r.sampling.mirostat, 0); /* version 1 there is not */
        answer(o.model, &r, &a);
        hearth_sampling_order_write(&a.receipt.sampling_order, order);
        assert_int_equal(a.receipt.sampling_order_origin, bad ? HEARTH_FROM_DEFAULT : HEARTH_FROM_MODEL);
        assert_true(bad || strcmp(order, "temperature;top_k") == 0);
        assert_true(!bad == !strstr(a.receipt.notes, "no sampler 'nonsense'"));

        hearth_error err = { 0 };
        hearth_sampling_order twice = { 2, { HEARTH_STAGE_xtc, HEARTH_STAGE_xtc } };
        r.sampling_order = &twice;
        assert_null(hearth_submit(o.model, &r, &err));
        assert_non_null(strstr(err.message, "stands twice"));
        r.sampling_order = NULL;
        r.sampling.mirostat = 1;
        assert_null(hearth_submit(o.model, &r, &err));
        assert_non_null(strstr(err.message, "use 2, or 0"));
        close_all(&o);
        unlink(path);
    }
}

/* By hand: a layer has 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512 weights, and there are two. */
static void costs_are_those_of_the_shapes(void **state)
{
    (void)state;
    char path[256];
    for (int untied = 0; untied < 2; untied++) {
        tiny_path(path, sizeof path, "cost");
        tiny_write(path, &(struct tiny){ .arch = "llama", .type = DTYPE_q8_0, .untied = untied });
        hearth_file *f = hearth_file_open(&(hearth_source){ .path = path }, NULL);
        hearth_cost c;
        assert_non_null(f);
        assert_true(hearth_file_cost(f, HEARTH_KV_f16, &c));
        assert_int_equal(c.layer_macs, 1179648);
        assert_int_equal(c.output_macs, 288 * 256);
        assert_int_equal(c.attention_macs, 2 * 2 * 4 * 64);
        assert_int_equal(c.kv_bytes, 2 * 2 * 2 * 64 * 2);
        assert_int_equal(c.pass_bytes, (1179648 + 288 * 256) / 32 * 34 + untied * 256 / 32 * 34);
        hearth_file_close(f);
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_chunks_and_company_change_no_bit),
        cmocka_unit_test(a_model_file_has_its_order_and_its_values),
        cmocka_unit_test(costs_are_those_of_the_shapes),
        cmocka_unit_test(an_engine_that_is_destroyed_ends_what_runs),
        cmocka_unit_test(what_the_cache_still_has_changes_no_bit),
        cmocka_unit_test(every_kv_type_keeps_its_bits),
        cmocka_unit_test(plans_and_costs_count_the_bytes_of_a_kv_type),
        cmocka_unit_test(conversations_keep_their_past),
        cmocka_unit_test(scoring_gives_the_logprobs_of_generation),
        cmocka_unit_test(scoring_shows_whole_distributions),
        cmocka_unit_test(an_observer_sees_the_inputs_of_every_product),
        cmocka_unit_test(a_seed_decides_the_answer),
        cmocka_unit_test(a_stop_text_ends_the_answer_and_is_not_part_of_it),
        cmocka_unit_test(a_full_context_ends_with_its_number),
        cmocka_unit_test(cancelling_ends_the_stream_and_frees_the_slot),
        cmocka_unit_test(a_slow_reader_pauses_only_itself),
        cmocka_unit_test(bad_requests_are_refused_with_field_and_limit),
        cmocka_unit_test(nan_in_a_weight_is_named_by_layer_and_tensor),
        cmocka_unit_test(a_file_cut_short_while_mapped_fails_the_model_not_the_process),
        cmocka_unit_test(a_type_without_kernels_is_refused_by_name),
        cmocka_unit_test(weights_are_in_memory_when_asked_for),
        cmocka_unit_test(a_context_that_does_not_fit_is_refused_with_the_sum),
        cmocka_unit_test(a_running_answer_allocates_nothing),
    };
    if (argc > 1)
        one_in = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
