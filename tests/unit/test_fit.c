/* test_fit.c: forecasts, the catalogue's arithmetic, and what is recommended. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cli/fit.h"
#include "hearth/hearth.h"

#include <cmocka.h>

static const struct fit_machine machine = { .isa = "avx512vnni", .n_threads = 2, .read = 80, .int8 = 980, .f32 = 250,
                                            .cpu_share = 1, .cache_bytes = 32 << 20, .budget_bytes = 16ull << 30 };
static const struct fit_task chat = { .n_context = 4096, .n_prompt = 512, .n_users = 1 };

/* A row of the catalogue; "Tomorrow": one whose architecture nobody has written yet. */
static const struct fit_row *row(const char *name)
{
    static struct fit_row unknown;
    if (strcmp(name, "Tomorrow") == 0) {
        unknown = *row("Command-R");
        strcpy(unknown.architecture, "tomorrow");
        return &unknown;
    }
    for (int i = 0; i < fit_catalogue_n; i++)
        if (strcmp(fit_catalogue[i].name, name) == 0)
            return &fit_catalogue[i];
    fail_msg("no %s in the catalogue", name);
    return NULL;
}

static struct fit_model model(const char *name, const char *mix)
{
    struct fit_model m;
    hearth_error err;
    assert_true(fit_row_model(&m, row(name), mix, HEARTH_KV_f16, &err));
    return m;
}

/* A dimension that was remembered wrongly changes the count. */
static void dimensions_give_the_parameters_that_were_published(void **state)
{
    (void)state;
    assert_true(fit_catalogue_n >= 40);
    for (int i = 0; i < fit_catalogue_n; i++) {
        double n = fit_row_parameters(&fit_catalogue[i]) / 1e6, off = n / fit_catalogue[i].published_millions - 1;
        if (fabs(off) > 0.02)
            fail_msg("%s: %.1f million by its dimensions, %.1f published (%+.1f %%)", fit_catalogue[i].name, n,
                     fit_catalogue[i].published_millions, 100 * off);
        assert_true(strchr(fit_catalogue[i].source, '/') != NULL);
    }
}

/* Published files: bytes of what is in them, without the vocabulary. */
static void a_mix_gives_the_size_of_its_files(void **state)
{
    (void)state;
    struct fit_model m = model("Llama-3.1-8B", "Q4_K_M");
    assert_true(fabs((double)m.weight_bytes / 4.913e9 - 1) < 0.01); /* 4.92 GB as a file */
    m = model("Llama-3.1-8B", "Q8_0");
    assert_true(fabs((double)m.weight_bytes / 8.533e9 - 1) < 0.01); /* 8.54 GB */
    struct fit_model none;
    hearth_error err;
    assert_false(fit_row_model(&none, row("Qwen3-4B"), "Q9_X", HEARTH_KV_f16, &err));
    assert_non_null(strstr(err.message, "Q9_X"));
}

static void what_this_build_does_not_run_is_named(void **state)
{
    (void)state;
    struct fit_model m = model("Tomorrow", "Q8_0");
    assert_false(m.runs);
    assert_non_null(strstr(m.problem, "tomorrow"));
    assert_true(model("Qwen3-4B", "Q8_0").runs);
}

static double decode_bytes(const struct fit_model *m)
{
    double sum = 0;
    for (int i = 0; i < m->n_formats; i++)
        sum += m->format[i].bytes;
    return sum;
}

/* A token goes to 2 of Mixtral's 8 experts: of 46.7 billion weights it meets 12.9. */
static void of_experts_a_token_has_a_few(void **state)
{
    (void)state;
    struct fit_model m = model("Mixtral-8x7B", "Q8_0"); /* its architecture is called llama, too */
    assert_true(m.runs);
    assert_true(fabs((double)m.weight_bytes / 49.6e9 - 1) < 0.01);
    assert_true(fabs(decode_bytes(&m) / (12.75e9 * 34 / 32) - 1) < 0.01);
}

/* No forecast is faster than the machine: bytes over the roof bound a token, multiply-adds a prompt. */
static void no_forecast_is_above_a_roof(void **state)
{
    (void)state;
    static const char *const mixes[] = { "Q4_K_M", "Q6_K", "Q8_0", "Q4_0" };
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++) {
        struct fit_model m = model("Llama-3.1-8B", mixes[i]);
        struct fit_forecast f;
        double bytes = 0, macs = 0;
        fit_predict(&f, &m, &machine, &chat);
        for (int j = 0; j < m.n_formats; j++) {
            bytes += m.format[j].bytes;
            macs += m.format[j].layer_macs;
        }
        assert_true(f.tok_s.value < 80e9 / bytes);
        assert_true(f.tok_s.value > 0.4 * 80e9 / bytes);
        assert_true(f.prompt_tok_s.value < 980e9 / macs);
        assert_true(f.tok_s.low < f.tok_s.value && f.tok_s.value < f.tok_s.high);
    }
}

static void forecasts_go_the_way_that_machines_go(void **state)
{
    (void)state;
    struct fit_model m = model("Llama-3.1-8B", "Q4_K_M"), q8 = model("Llama-3.1-8B", "Q8_0");
    double one = fit_step_seconds(&m, &machine, 1, 0), eight = fit_step_seconds(&m, &machine, 8, 0);
    assert_true(eight > one && eight < 8 * one); /* weights are read once for all */
    assert_true(fit_step_seconds(&m, &machine, 1, 8192) > one);
    assert_true(fit_step_seconds(&q8, &machine, 1, 0) > one);
    struct fit_machine slower = machine;
    slower.read = 40;
    assert_true(fit_step_seconds(&m, &slower, 1, 0) > 1.3 * one);
    slower = machine;
    slower.cpu_share = 0.5; /* a quota */
    assert_true(fabs(fit_step_seconds(&m, &slower, 1, 0) / one - 2) < 0.01);
    assert_true(fit_prompt_seconds(&m, &machine, 2048) > 4 * fit_prompt_seconds(&m, &machine, 512));
}

static void more_sequences_never_take_less_time(void **state)
{
    (void)state;
    static const char *const isas[] = { "avx512vnni", "avx2" }, *const mixes[] = { "Q4_K_M", "Q8_0", "Q4_0", "F16" };
    for (size_t i = 0; i < ARRAY_LEN(isas); i++) {
        struct fit_machine here = machine;
        here.isa = isas[i];
        here.read = 1e6; /* nothing hides behind reading */
        for (size_t j = 0; j < ARRAY_LEN(mixes); j++) {
            struct fit_model m = model("Llama-3.2-1B", mixes[j]);
            for (int n = 1; n < 40; n++)
                assert_true(fit_step_seconds(&m, &here, n + 1, 16) > fit_step_seconds(&m, &here, n, 16));
        }
    }
}

/* What 8,192 positions add to a step. */
static double attention(const struct fit_model *m, const struct fit_machine *here)
{
    return fit_step_seconds(m, here, 1, 8192) - fit_step_seconds(m, here, 1, 0);
}

/* As many multiply-adds in heads half as wide have twice as many scores. */
static void narrow_heads_cost_more(void **state)
{
    (void)state;
    struct fit_model m = model("Llama-3.1-8B", "Q4_K_M"), narrow = m;
    struct fit_machine here = machine;
    narrow.head_dim = m.head_dim / 2;
    assert_true(fit_prompt_seconds(&narrow, &machine, 8192) > 1.02 * fit_prompt_seconds(&m, &machine, 8192));
    here.read = 1e6;
    assert_true(attention(&narrow, &here) > 1.05 * attention(&m, &here));
}

/* q8 is half to read, which helps where reading is the limit and not where turning codes to floats is. */
static void codes_of_keys_are_turned_to_floats(void **state)
{
    (void)state;
    struct fit_model f16 = model("Llama-3.1-8B", "Q4_K_M"), q8 = f16;
    struct fit_machine slow = machine, fast = machine;
    f16.attention_macs = f16.kv_bytes / 2; /* a query head for each KV head */
    q8.attention_macs = f16.attention_macs;
    q8.kv_type = HEARTH_KV_q8;
    q8.kv_bytes *= 17.0 / 32;
    fast.f32 = 1e4;
    assert_true(attention(&q8, &fast) < 0.6 * attention(&f16, &fast));
    slow.f32 = 20;
    assert_true(attention(&q8, &slow) > attention(&f16, &slow));
}

/* A quota that leaves half of the threads' time doubles all parts of it. */
static void a_quota_takes_its_part_of_all(void **state)
{
    (void)state;
    struct fit_model m = model("Qwen3-0.6B", "Q8_0");
    struct fit_machine half = machine;
    half.cpu_share = 0.5;
    for (int n = 1; n < 40; n += 5)
        assert_true(fabs(fit_step_seconds(&m, &half, n, 4096) / fit_step_seconds(&m, &machine, n, 4096) - 2) < 1e-6);
    assert_true(fabs(fit_prompt_seconds(&m, &half, 700) / fit_prompt_seconds(&m, &machine, 700) - 2) < 1e-6);
}

static void the_disk_decides_a_first_start(void **state)
{
    (void)state;
    struct fit_model m = model("Llama-3.1-8B", "Q4_K_M");
    struct fit_machine with_disk = machine;
    struct fit_forecast f;
    fit_predict(&f, &m, &machine, &chat);
    assert_true(isnan(f.load_cold_ms.value));
    with_disk.disk = 500;
    fit_predict(&f, &m, &with_disk, &chat);
    assert_true(fabs(f.load_cold_ms.value / ((double)m.file_bytes / 500e3) - 1) < 0.1);
    assert_true(f.load_warm_ms.value < f.load_cold_ms.value);
}

static void what_is_not_measured_has_a_wider_band(void **state)
{
    (void)state;
    struct fit_model known = model("Qwen3-4B", "Q8_0"), alike = model("Qwen3-4B", "TQ1_0");
    struct fit_machine other = machine, noisy = machine;
    struct fit_forecast a, b;
    fit_predict(&a, &known, &machine, &chat);
    fit_predict(&b, &alike, &machine, &chat);
    assert_true(b.band > a.band);
    other.isa = "neondot";
    fit_predict(&b, &known, &other, &chat);
    assert_true(b.band > a.band && !b.isa_measured && a.isa_measured);
    noisy.disturbed = 0.5;
    fit_predict(&b, &known, &noisy, &chat);
    assert_true(b.band > a.band);
}

static struct fit_candidate candidate(const char *name, const char *mix)
{
    struct fit_candidate c = { .model = model(name, mix), .task = chat };
    fit_memory_of_shape(&c.forecast.memory, &c.model, &machine, &c.task);
    if (c.model.runs)
        fit_predict(&c.forecast, &c.model, &machine, &c.task);
    return c;
}

static void the_largest_that_is_fast_enough_is_recommended(void **state)
{
    (void)state;
    struct fit_candidate c[] = { candidate("Tomorrow", "Q4_K_M"), candidate("Qwen3-14B", "Q4_K_M"),
                                 candidate("Qwen3-0.6B", "Q4_K_M"), candidate("Llama-3.3-70B", "Q4_K_M"),
                                 candidate("Llama-3.1-8B", "Q4_K_M") };
    struct fit_choice choice;
    char sum[240];
    fit_rank(c, ARRAY_LEN(c), FIT_CHAT, 0.9 * c[4].forecast.tok_s.value);
    fit_choose(&choice, c, ARRAY_LEN(c));
    assert_string_equal(c[choice.best].model.name, "Llama-3.1-8B Q4_K_M");
    assert_string_equal(c[choice.smaller].model.name, "Qwen3-0.6B Q4_K_M");
    assert_string_equal(c[choice.larger].model.name, "Qwen3-14B Q4_K_M");
    assert_int_equal(c[choice.larger].verdict, FIT_SLOW);
    assert_int_equal(c[3].verdict, FIT_TOO_LARGE);
    assert_int_equal(c[4].verdict, FIT_NOT_RUN);
    fit_memory_sum(sum, sizeof sum, &c[3].forecast.memory);
    assert_non_null(strstr(sum, "the budget is 16.0 GiB"));
    fit_rank(c, ARRAY_LEN(c), FIT_CHAT, 1e6); /* none is */
    assert_string_equal(c[0].model.name, "Qwen3-0.6B Q4_K_M");
    assert_int_equal(c[0].verdict, FIT_SLOW);
    fit_choose(&choice, c + 3, 2);
    assert_int_equal(choice.best, -1);
}

/* Dimensions and a file of them: the plan of the file is the truth. */
static void a_file_costs_what_its_formats_cost(void **state)
{
    (void)state;
    const char *dir = getenv("HEARTH_FIXTURES");
    char path[4096];
    hearth_format_cost formats[FIT_MOST_FORMATS];
    hearth_cost cost;
    hearth_error err;
    if (!dir)
        skip();
    snprintf(path, sizeof path, "%s/models/tolstoy-4m-q4_k_m.gguf", dir);
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, &err);
    assert_non_null(file);
    size_t n = hearth_file_format_costs(file, formats, FIT_MOST_FORMATS);
    uint64_t bytes = 0, layers = 0, output = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += formats[i].pass_bytes;
        layers += formats[i].layer_macs;
        output += formats[i].output_macs;
    }
    assert_true(hearth_file_cost(file, HEARTH_KV_f16, &cost));
    assert_true(n >= 2 && bytes <= cost.pass_bytes && bytes + 4096 > cost.pass_bytes);
    assert_true(layers == cost.layer_macs && output == cost.output_macs);
    hearth_plan one, four;
    assert_true(hearth_file_plan_seqs(file, 128, 1, HEARTH_KV_f16, 1, 1 << 30, &one, &err));
    assert_true(hearth_file_plan_seqs(file, 128, 4, HEARTH_KV_f16, 1, 1 << 30, &four, &err));
    assert_int_equal(four.n_kv_tokens, 4 * 128);
    assert_true(four.kv_bytes == 4 * one.kv_bytes);
    assert_false(hearth_file_plan_seqs(file, 128, 65, HEARTH_KV_f16, 1, 1 << 30, &four, &err));
    assert_non_null(strstr(err.message, "65"));
    hearth_file_close(file);
}

/* The context that is named fits in the budget, with the weights, and one page more does not. */
static void what_a_plan_names_instead_is_the_most_that_fits(void **state)
{
    (void)state;
    const char *dir = getenv("HEARTH_FIXTURES");
    char path[4096];
    hearth_error err;
    hearth_plan plan, p;
    hearth_plan_choices c;
    if (!dir)
        skip();
    snprintf(path, sizeof path, "%s/models/tolstoy-4m-q4_k_m.gguf", dir);
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, &err);
    assert_non_null(file);
    hearth_plan_options o = { .n_ctx_tokens = 64, .n_seqs = 1, .n_threads = 2, .budget_bytes = 1 << 30,
                              .program_bytes = 5 << 20, .request_bytes = 3 << 20 };
    assert_true(hearth_file_plan_with(file, &o, &plan, &err));
    assert_true(plan.program_bytes == 5 << 20 && plan.request_bytes == 3 << 20 && plan.n_seqs == 1);
    hearth_file_plan_choices(file, &plan, &c);
    assert_true(c.n_ctx_train == 256 && c.longest_ctx_tokens[HEARTH_KV_f16] == c.n_ctx_train);
    assert_true(hearth_file_plan_with(file, &o, &plan, &err)); /* what was asked of the file takes memory, too */
    uint64_t own = plan.total_bytes - plan.weights_bytes;
    o.budget_bytes = plan.total_bytes;
    assert_true(hearth_file_plan_with(file, &o, &plan, &err));
    hearth_file_plan_choices(file, &plan, &c);
    for (int t = 0; t < HEARTH_N_KV_TYPES; t++) {
        hearth_plan_options other = o;
        other.kv_type = (hearth_kv_type)t;
        other.n_ctx_tokens = c.longest_ctx_tokens[t];
        assert_true(!other.n_ctx_tokens || hearth_file_plan_with(file, &other, &p, &err));
        assert_true(!other.n_ctx_tokens || p.total_bytes <= o.budget_bytes);
        if (c.longest_ctx_tokens[t] == c.n_ctx_train)
            continue;
        other.n_ctx_tokens += 64;
        assert_true(hearth_file_plan_with(file, &other, &p, &err));
        assert_true(p.total_bytes > o.budget_bytes);
    }
    assert_true(c.longest_ctx_tokens[HEARTH_KV_f16] >= 64 && c.longest_ctx_tokens[HEARTH_KV_f16] < c.n_ctx_train);
    assert_true(c.longest_ctx_tokens[HEARTH_KV_f32] <= c.longest_ctx_tokens[HEARTH_KV_q8]);
    double most = c.most_bits_per_weight * (double)plan.weights_bytes / c.bits_per_weight;
    assert_true(most > 0.999 * (double)(o.budget_bytes - own) && most < 1.001 * (double)(o.budget_bytes - own));
    hearth_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dimensions_give_the_parameters_that_were_published),
        cmocka_unit_test(a_mix_gives_the_size_of_its_files),
        cmocka_unit_test(what_this_build_does_not_run_is_named),
        cmocka_unit_test(of_experts_a_token_has_a_few),
        cmocka_unit_test(no_forecast_is_above_a_roof),
        cmocka_unit_test(forecasts_go_the_way_that_machines_go),
        cmocka_unit_test(more_sequences_never_take_less_time),
        cmocka_unit_test(narrow_heads_cost_more),
        cmocka_unit_test(codes_of_keys_are_turned_to_floats),
        cmocka_unit_test(a_quota_takes_its_part_of_all),
        cmocka_unit_test(the_disk_decides_a_first_start),
        cmocka_unit_test(what_is_not_measured_has_a_wider_band),
        cmocka_unit_test(what_a_plan_names_instead_is_the_most_that_fits),
        cmocka_unit_test(the_largest_that_is_fast_enough_is_recommended),
        cmocka_unit_test(a_file_costs_what_its_formats_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
