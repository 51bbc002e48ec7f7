/* fuzz_fieldtest.c: any bytes as the answers of a server to `hearth dev fieldtest`.
 *
 * The first byte of an input says what it is: p /props, m /v1/models, t /tokenize, r /apply-template, v /v1/embeddings,
 * w text to be shown, anything else /completion. */
#include <math.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "cli/fieldtest.h"
#include "fuzz.h"

enum { N_VOCAB = 300, N_VALUES = 4, ROOM = 6 };

static void read_facts(const json_t *o, bool props)
{
    struct fieldtest_facts f = { 0 };
    hearth_error err = { 0 };
    bool ok = props ? fieldtest_read_props(o, "x", &f, &err) : fieldtest_read_models(o, &f, &err);
    must(ok || err.message[0]);
    must(strlen(f.build) < sizeof f.build && utf8_valid(str_z(f.path)) && !strpbrk(f.alias, "\n\r\t\x1b"));
    must(f.n_ctx >= 0 && f.n_vocab >= -1 && f.n_embd >= -1 && f.n_params >= -1 && f.n_bytes >= -1);
}

static void read_tokens(const json_t *o)
{
    int32_t *ids = NULL;
    size_t n = 0;
    hearth_error err = { 0 };
    bool ok = fieldtest_read_tokens(o, N_VOCAB, &ids, &n, &err);
    must(ok == (ids != NULL) && (ok || err.message[0]));
    for (size_t i = 0; ok && i < n; i++)
        must(ids[i] >= 0 && ids[i] < N_VOCAB);
    mem_free(ids);
}

static void read_prompt(const json_t *o)
{
    struct str text = { 0 };
    hearth_error err = { 0 };
    if (fieldtest_read_prompt(o, &text, &err))
        fuzz_read(text.ptr, text.len);
}

static void read_vector(const json_t *o)
{
    float v[N_VALUES];
    hearth_error err = { 0 };
    if (fieldtest_read_vector(o, v, N_VALUES, &err))
        for (int i = 0; i < N_VALUES; i++)
            must(isfinite(v[i]));
}

static struct str text_of(void *arg, int32_t id)
{
    (void)arg;
    return id % 3 == 0 ? STR("\xe2") : id % 3 == 1 ? STR("\x82\xac") : STR("a");
}

static bool is_special(void *arg, int32_t id)
{
    (void)arg;
    return id < 3;
}

/* What was read is compared with itself, and there is no difference. */
static void check_answer(const struct fieldtest_answer *a)
{
    struct fieldtest_limits limits = fieldtest_limits_for("F32");
    struct fieldtest_deltas deltas = { 0 };
    struct fieldtest_apart apart;
    must(a->n > 0 && a->n <= ROOM);
    for (size_t i = 0; i < a->n; i++) {
        const struct fieldtest_place *p = &a->places[i];
        must(p->id >= 0 && p->id < N_VOCAB && p->n_top >= 0 && p->n_top <= FIELDTEST_MOST_TOP);
        for (int k = 0; k < p->n_top; k++)
            must(p->top[k].id >= 0 && p->top[k].id < N_VOCAB && p->top[k].logprob < 0.01F);
    }
    fieldtest_compare(&apart, a, a, &limits, is_special, NULL, &deltas);
    must(apart.parts_at == -1 && fieldtest_deltas_median(&deltas) >= 0);
    mem_free(deltas.all);
}

static void read_answer(const json_t *o)
{
    const struct fieldtest_words words = { text_of, NULL };
    struct fieldtest_answer a;
    hearth_error err = { 0 };
    must(fieldtest_answer_make(&a, ROOM, &err));
    if (fieldtest_read_answer(o, N_VOCAB, NULL, &a, &err))
        check_answer(&a);
    if (fieldtest_read_answer(o, N_VOCAB, &words, &a, &err))
        check_answer(&a);
    mem_free(a.places);
}

static void show(struct str text)
{
    struct buf out = { 0 };
    fieldtest_put_visible(&out, text, 40);
    must(!out.failed && utf8_valid(buf_str(&out)));
    for (size_t i = 0; i < out.len; i++)
        must((unsigned char)out.ptr[i] >= 0x20 && out.ptr[i] != 0x7f);
    buf_free(&out);
}

static void read_json(const json_t *o, int what)
{
    switch (what) {
    case 'p':
    case 'm': read_facts(o, what == 'p'); break;
    case 't': read_tokens(o); break;
    case 'r': read_prompt(o); break;
    case 'v': read_vector(o); break;
    default: read_answer(o);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problem problem = { 0 };
    struct json_body body = { 0 };
    size_t cost = 0;
    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 1;
    if (data[0] == 'w')
        show((struct str){ bytes, size - 1 });
    else if (json_scan(bytes, size - 1, &cost, &problem) && json_parse(&body, bytes, size - 1, cost, &problem))
        read_json(body.json, data[0]);
    json_body_free(&body);
    return 0;
}
