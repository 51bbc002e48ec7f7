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
    hearth_span span = { .text = "Once upon a time", .n_bytes = 16 };
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

enum { CHECKED = 5 };

/* Rounding of f32 alone. With float weights nothing else differs (seen: 0.003 on a model with heads of 8). With
 * quantized ones a value next to a rounding boundary gets the neighbouring code, and everything after it the
 * noise of quantization (seen: up to 0.16 on the outlier files); but a third and more of all ids meet no such
 * value and are equal to 1e-5. A wrong formula leaves none. */
#define CLOSE           1e-4
#define FLOAT_TOLERANCE 0.01
#define CODES_TOLERANCE 0.25

/* What was seen of one golden. */
struct seen {
    double worst;          /* distance to the golden */
    double worst_contract; /* distance to our arithmetic in double precision */
    int n_ids, n_close;    /* of them within CLOSE of it */
    int n_beyond;          /* ids beyond the golden's tolerance, where the exact result is beyond it too */
    int n_lost;            /* ids beyond it where the exact result is within */
};

static double value_at(json_t *c, const char *key, int i)
{
    return json_real_value(json_array_get(json_object_get(c, key), (size_t)i));
}

/* Ask for the log-probabilities after a token sequence. */
static hearth_stream *next_token(hearth_model *model, json_t *tokens, hearth_event *e)
{
    int32_t ids[512];
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
    assert_non_null(s);
    assert_true(hearth_stream_next(s, e));
    assert_int_equal(e->type, HEARTH_EVENT_TOKEN);
    assert_int_equal(e->n_alternatives, 50);
    return s;
}

/* One case: the golden's likeliest tokens, and beside it the same computed in double precision
 * (tools/golden_logits.py). An id beyond the golden's tolerance is counted, not excused, unless
 * exact arithmetic on the same file lies beyond it too: then the golden's own rounding (half-
 * precision queries and weights of attention, activations in bf16) is what differs. */
static void check_case(hearth_model *model, json_t *c, json_t *ours, double tolerance, const char *name,
                       struct seen *seen)
{
    hearth_event e;
    json_t *top = json_object_get(c, "top");
    hearth_stream *s = next_token(model, json_object_get(c, "tokens"), &e);
    double gap = 0;
    for (int i = 0; i < CHECKED; i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(json_array_get(top, (size_t)i), 0));
        double want = json_real_value(json_array_get(json_array_get(top, (size_t)i), 1)), got = NAN;
        double exact = value_at(ours, "exact", i), contract = value_at(ours, "contract", i);
        if (i == 1)
            gap = json_real_value(json_array_get(json_array_get(top, 0), 1)) - want;
        for (int j = 0; j < e.n_alternatives; j++)
            if (e.alternatives[j].id == id)
                got = (double)e.alternatives[j].logprob;
        assert_true(isfinite(got));
        seen->worst = fmax(seen->worst, fabs(got - want));
        seen->n_ids++;
        seen->n_close += fabs(got - contract) < CLOSE;
        seen->worst_contract = fmax(seen->worst_contract, fabs(got - contract));
        if (fabs(got - want) > tolerance) {
            bool excused = fabs(exact - want) > tolerance;
            seen->n_beyond += excused;
            seen->n_lost += !excused;
            print_message("  %s: token %d: %.5f, golden %.5f +- %g, exact %.5f\n", name, id, got, want, tolerance,
                          exact);
        }
    }
    if (gap > tolerance)
        assert_int_equal(e.id, (int32_t)json_integer_value(json_array_get(json_array_get(top, 0), 0)));
    hearth_stream_close(s);
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

static json_t *load(const char *folder, const char *file)
{
    char path[2048];
    json_error_t err;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    json_t *root = json_load_file(path, 0, &err);
    if (!root)
        fail_msg("%s: %s", path, err.text);
    return root;
}

/* The outlier files are made to show what quantized activations cost: there hearth's integer
 * codes lose ids that exact arithmetic would keep, as every engine's do, each in its own way.
 * The number is what was seen; more is a fault. */
static int allowed_lost(const char *file)
{
    return strstr(file, "outlier-q8_0") ? 14 : strstr(file, "outlier-q4_k_m") ? 5 : 0;
}

/* Ids of a file that must equal our arithmetic in double precision to CLOSE: a quarter, but for two files of which
 * fewer were seen. What differs there is codes of activations at the middle between two, and nothing else: given
 * hearth's codes, double precision has all 120 ids of both files within 2e-5 (tools/golden_codes.py). The 24 prompts
 * are beginnings of 3 texts, so one such code early in a text moves 40 ids, and in these two files every text has one
 * (docs/decisions/0003). Fewer than what was seen is a fault. */
static int least_close(const char *file, int n_ids)
{
    return strstr(file, "4m-q4_1") ? 2 : strstr(file, "q5_k_m") ? 17 : (n_ids + 3) / 4;
}

static void check_golden(const char *dir, const char *file)
{
    char path[1024], name[128];
    struct seen seen = { 0 };
    snprintf(path, sizeof path, "%s/goldens", dir);
    json_t *root = load(path, file);
    snprintf(path, sizeof path, "%s/models/%s", dir, json_string_value(json_object_get(root, "model")));
    if (runs(path)) {
        snprintf(name, sizeof name, "%.*s.json", (int)(strstr(file, ".top10") - file), file);
        json_t *ours = load(HEARTH_GOLDEN_DIR "/logits", name);
        double tolerance = json_number_value(json_object_get(root, "tolerance"));
        json_t *cases = json_object_get(root, "cases"), *our_cases = json_object_get(ours, "cases");
        struct opened o = open_model(path);
        assert_int_equal(json_array_size(cases), json_array_size(our_cases));
        for (size_t i = 0; i < json_array_size(cases); i++)
            check_case(o.model, json_array_get(cases, i), json_array_get(our_cases, i), tolerance, file, &seen);
        print_message("%-34s %2zu cases: golden +-%.5f of %g (%d beyond, exact too; %d lost), "
                      "double precision +-%.5f (%d of %d close)\n",
                      file, json_array_size(cases), seen.worst, tolerance, seen.n_beyond, seen.n_lost,
                      seen.worst_contract, seen.n_close, seen.n_ids);
        bool floats = strstr(file, "-f32") || strstr(file, "-f16") || strstr(file, "-bf16");
        assert_true(seen.n_lost <= allowed_lost(file));
        assert_true(seen.n_close >= least_close(file, seen.n_ids));
        assert_true(seen.worst_contract <= (floats ? FLOAT_TOLERANCE : CODES_TOLERANCE));
        close_model(&o);
        json_decref(ours);
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
