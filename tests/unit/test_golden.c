/* test_golden.c: real models against what independent implementations computed on them. */
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hearth/hearth.h"

static const char *fixtures(void)
{
    const char *dir = getenv("HEARTH_FIXTURES");
    if (!dir) {
        print_message("HEARTH_FIXTURES is not set\n");
        skip();
    }
    return dir;
}

struct opened {
    hearth_engine *engine;
    hearth_model *model;
};

static struct opened open_model(const char *path)
{
    hearth_error err = { 0 };
    struct opened o = { 0 };
    o.engine = hearth_engine_create(NULL, &err);
    if (o.engine)
        o.model = hearth_model_open(o.engine, &(hearth_model_options){ .source.path = path }, &err);
    if (!o.model)
        fail_msg("%s: %s", path, err.message);
    return o;
}

static void close_model(struct opened *o)
{
    hearth_model_release(o->model);
    hearth_engine_destroy(o->engine);
}

static hearth_request greedy(void)
{
    hearth_request r = { 0 };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = 0;
    return r;
}

/* 200 greedy tokens, on which llama.cpp and llama2.c agree. */
static void greedy_text_of_stories_equals_the_golden(void **state)
{
    (void)state;
    char path[1024], want[4096], got[8192] = "";
    snprintf(path, sizeof path, "%s/goldens/stories260K-f32.greedy.txt", fixtures());
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    want[fread(want, 1, sizeof want - 1, f)] = 0;
    fclose(f);

    snprintf(path, sizeof path, "%s/models/stories260K-f32.gguf", fixtures());
    struct opened o = open_model(path);
    hearth_request r = greedy();
    hearth_span span = { "Once upon a time", 16, false };
    r.spans = &span;
    r.n_spans = 1;
    r.max_tokens = 200;
    hearth_stream *s = hearth_submit(o.model, &r, NULL);
    hearth_event e;
    assert_non_null(s);
    while (hearth_stream_next(s, &e))
        strncat(got, e.text, sizeof got - strlen(got) - 1);
    hearth_stream_close(s);
    close_model(&o);
    assert_string_equal(got, want);
}

enum { TOP = 10, CHECKED = 5 };

/* One case of a golden: the ten likeliest next tokens after a token sequence. */
static double check_case(hearth_model *model, json_t *c, double tolerance, const char *name)
{
    int32_t ids[512];
    json_t *tokens = json_object_get(c, "tokens"), *top = json_object_get(c, "top");
    size_t n = json_array_size(tokens);
    assert_true(n > 0 && n <= 512);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(tokens, i));

    hearth_request r = greedy();
    r.prompt_ids = ids;
    r.n_prompt_ids = n;
    r.max_tokens = 1;
    r.n_alternatives = 50;
    r.ignore_eos = true;
    hearth_stream *s = hearth_submit(model, &r, NULL);
    hearth_event e;
    assert_non_null(s);
    assert_true(hearth_stream_next(s, &e));
    assert_int_equal(e.type, HEARTH_EVENT_TOKEN);
    assert_int_equal(e.n_alternatives, 50);

    double worst = 0, gap = 0;
    for (int i = 0; i < CHECKED; i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(json_array_get(top, (size_t)i), 0));
        double want = json_real_value(json_array_get(json_array_get(top, (size_t)i), 1)), got = NAN;
        if (i == 1)
            gap = json_real_value(json_array_get(json_array_get(top, 0), 1)) - want;
        for (int j = 0; j < e.n_alternatives; j++)
            if (e.alternatives[j].id == id)
                got = (double)e.alternatives[j].logprob;
        if (!(fabs(got - want) <= tolerance))
            fail_msg("%s: token %d after %zu tokens has log-probability %.5f, the golden says %.5f +- %g", name, id, n, got,
                     want, tolerance);
        worst = fmax(worst, fabs(got - want));
    }
    int32_t first = (int32_t)json_integer_value(json_array_get(json_array_get(top, 0), 0));
    if (gap > tolerance)
        assert_int_equal(e.id, first);
    hearth_stream_close(s);
    return worst;
}

/* Types this build has kernels for; the others are refused by name, which is tested elsewhere. */
static bool runs(const char *path)
{
    hearth_file_info info;
    hearth_error err;
    hearth_file *f = hearth_file_open(&(hearth_source){ .path = path }, &err);
    if (!f)
        fail_msg("%s: %s", path, err.message);
    hearth_file_describe(f, &info);
    bool ok = info.runs;
    hearth_file_close(f);
    return ok;
}

static void check_golden(const char *dir, const char *file)
{
    char path[1024], model[1024];
    json_error_t jerr;
    snprintf(path, sizeof path, "%s/goldens/%s", dir, file);
    json_t *root = json_load_file(path, 0, &jerr);
    assert_non_null(root);
    snprintf(model, sizeof model, "%s/models/%s", dir, json_string_value(json_object_get(root, "model")));
    if (runs(model)) {
        double tolerance = json_number_value(json_object_get(root, "tolerance")), worst = 0;
        json_t *cases = json_object_get(root, "cases");
        struct opened o = open_model(model);
        for (size_t i = 0; i < json_array_size(cases); i++)
            worst = fmax(worst, check_case(o.model, json_array_get(cases, i), tolerance, file));
        print_message("%-34s %2zu cases, largest difference %.5f of %g allowed\n", file, json_array_size(cases), worst,
                      tolerance);
        close_model(&o);
    } else {
        print_message("%-34s no kernels for its types in this build\n", file);
    }
    json_decref(root);
}

/* Every provided type that this build computes with: log-probabilities of the golden's five
 * likeliest tokens, and the likeliest one where the golden is not undecided. */
static void likeliest_tokens_of_every_type_equal_the_goldens(void **state)
{
    (void)state;
    char folder[1024];
    snprintf(folder, sizeof folder, "%s/goldens", fixtures());
    DIR *d = opendir(folder);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strstr(e->d_name, ".top10.json")) {
            check_golden(fixtures(), e->d_name);
            n++;
        }
    }
    closedir(d);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_text_of_stories_equals_the_golden),
        cmocka_unit_test(likeliest_tokens_of_every_type_equal_the_goldens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
