/* fuzz_jinja.c: any bytes as a chat template, with a small conversation to render. */
#include <jansson.h>

#include "fuzz.h"
#include "text/jinja/jinja.h"

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"\\u00e9<|x|>\"},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\":"
    " {\"a\": 1, \"b\": [1.5, true, null]}}}]}], \"tools\": [{\"type\": \"function\"}], \"n\": 42,"
    " \"s\": \"Hello, World\", \"add_generation_prompt\": true}";

/* The spans cover the text, in turn trusted and not. */
static void check_output(const struct jinja_output *out, const struct jinja_limits *l)
{
    size_t at = 0;
    for (size_t i = 0; i < out->n_spans; i++) {
        must(out->spans[i].begin == at && out->spans[i].end > at);
        must(i == 0 || out->spans[i].trusted != out->spans[i - 1].trusted);
        at = out->spans[i].end;
    }
    must(at == out->text.len && at <= l->output_bytes);
    fuzz_read(out->text.ptr, out->text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *values; /* once for the process */
    struct jinja_limits l = jinja_limits_default();
    struct jinja_error err = { 0 };
    struct jinja_output out;
    l.wall_ms = 0;
    l.steps = 200000;
    l.memory_bytes = 16 << 20;
    if (!values)
        values = json_loads(conversation, 0, NULL);
    must(values);
    uint8_t *copy = fuzz_copy(data, size);
    struct jinja_template *t = jinja_compile((struct str){ (const char *)copy, size }, &l, &err);
    free(copy); /* a template keeps nothing of its source's memory */
    must(t || err.message[0]);
    if (t) {
        struct jinja_input in = { .values = values, .date = { 2026, 2, 7, 15, 4, 5 } };
        bool ok = jinja_render(t, &in, &l, &out, &err);
        must(ok || err.message[0] || err.failure == JINJA_RAISED); /* a template may raise "" */
        if (ok)
            check_output(&out, &l);
        jinja_output_free(&out);
    }
    jinja_template_free(t);
    return 0;
}
