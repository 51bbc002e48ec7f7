/* fit_predict.c: bytes and multiply-adds over roofs. The formulas are those of docs/fit.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli/fit.h"
#include "cli/units.h"

enum source { FIT_WHOLE, FIT_KERNEL, FIT_ALIKE };
enum isa_class { CLASS_512, CLASS_256, N_CLASSES };
enum { STEP_TOKENS = 512, LOGIT_ROWS = 8 };
static const double q8_bytes = 34.0 / 32; /* of a value, with its part of a scale */

static const struct coefficients {
    const char *name;
    enum source source;
    double read, macs[N_CLASSES], columns[N_CLASSES];
} coefficients[] = {
#define FIT_FORMAT(name, source, read, m512, c512, m256, c256) \
    { #name, source, read, { m512, m256 }, { c512, c256 } },
#define FIT_NUMBER(name, value)
#include "cli/fit_coefficients.def"
};

enum number {
#define FIT_FORMAT(name, source, read, m512, c512, m256, c256)
#define FIT_NUMBER(name, value) NUMBER_##name,
#include "cli/fit_coefficients.def"
};
static const double number[] = {
#define FIT_FORMAT(name, source, read, m512, c512, m256, c256)
#define FIT_NUMBER(name, value) value,
#include "cli/fit_coefficients.def"
};

static const struct coefficients *of_format(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(coefficients); i++)
        if (strcmp(coefficients[i].name, name) == 0)
            return &coefficients[i];
    return &coefficients[0];
}

static bool is_float(const char *name)
{
    return strcmp(name, "f16") == 0 || strcmp(name, "bf16") == 0 || strcmp(name, "f32") == 0;
}

/* Sets of instructions whose int8 roof is one dot product for four codes. */
static enum isa_class class_of(const char *isa)
{
    bool dots = strncmp(isa, "avx512", 6) == 0 || strcmp(isa, "avxvnni") == 0 || strncmp(isa, "neondot", 7) == 0
             || strcmp(isa, "neoni8mm") == 0;
    return dots ? CLASS_512 : CLASS_256;
}

/* Two things that go on at the same time: as long as the longer one, somewhat more where both are alike. */
static double together(double a, double b) { return cbrt(a * a * a + b * b * b); }

/* Bytes a second. Small models stay in the cache. */
static double read_rate(const struct fit_model *m, const struct fit_machine *machine)
{
    double bytes = 0, cache = number[NUMBER_cache_part] * (double)machine->cache_bytes;
    for (int i = 0; i < m->n_formats; i++)
        bytes += m->format[i].bytes;
    return machine->read * 1e9 * machine->cpu_share * (bytes <= cache ? number[NUMBER_cache_times] : 1);
}

/* How the kernels of a set of instructions take columns (docs/kernels.md). */
static const struct columns {
    int tile, few, few_256; /* columns of a panel's tile; in place, and with a scale for 256 values */
    int beside_float; /* most columns beside whose float products the weights come from memory; more: before them */
    enum number in_place, column, least;
} columns_of[N_CLASSES] = {
    [CLASS_512] = { 12, 4, 3, 6, NUMBER_in_place_512, NUMBER_column_512, NUMBER_least_512 },
    [CLASS_256] = { 4, 1, 1, 3, NUMBER_in_place_256, NUMBER_column_256, NUMBER_least_256 },
};

static bool has_super_blocks(const char *name)
{
    return strstr(name, "_K") || (strncmp(name, "iq", 2) == 0 && strcmp(name, "iq4_nl") != 0);
}

/* What n columns cost beside one column's products, with what unpacking takes. */
static double columns_cost(const struct coefficients *c, enum isa_class k, double n)
{
    const struct columns *of = &columns_of[k];
    if (n <= 0)
        return 0;
    if (is_float(c->name))
        return n + c->columns[k] * (n > 1 ? 1 : number[NUMBER_in_place_float]);
    if (n <= (has_super_blocks(c->name) ? of->few_256 : of->few))
        return n * number[of->column] + c->columns[k] * number[of->in_place];
    double groups = ceil(n / of->tile);
    return groups * cbrt(pow(n / groups, 3) + pow(number[of->least], 3)) + c->columns[k];
}

/* What n columns take of a format's matrices that have so many weights. */
static double product_seconds(const struct fit_format *f, double weights, double n, double rate,
                              const struct fit_machine *machine)
{
    enum isa_class k = class_of(machine->isa);
    const struct coefficients *c = of_format(f->name);
    if (n <= 0 || weights <= 0)
        return 0;
    double roof = (is_float(f->name) ? machine->f32 : machine->int8) * 1e9 * machine->cpu_share;
    double read = f->bytes * weights / (f->layer_macs + f->output_macs) / (rate * c->read);
    double compute = weights * columns_cost(c, k, n) / (roof * c->macs[k]);
    bool beside = !is_float(f->name) || n <= columns_of[k].beside_float;
    return beside ? together(read, compute) : read + compute;
}

/* One pass over the weights in which n tokens go through the layers and n_out of them to logits. */
static double pass_seconds(const struct fit_model *m, const struct fit_machine *machine, double n, double n_out)
{
    double seconds = 0, rate = read_rate(m, machine);
    for (int i = 0; i < m->n_formats; i++)
        seconds += product_seconds(&m->format[i], m->format[i].layer_macs, n, rate, machine)
                 + product_seconds(&m->format[i], m->format[i].output_macs, n_out, rate, machine);
    double width = (double)m->n_layers * (4.0 * m->n_embd + 2.0 * m->n_heads * m->head_dim + 2.0 * m->n_ff);
    seconds += n * width * number[NUMBER_pass_macs] / (machine->f32 * 1e9 * machine->cpu_share);
    double us = number[NUMBER_step_us] + m->n_layers * number[NUMBER_layer_us] + n_out * number[NUMBER_sequence_us];
    return seconds + us * 1e-6 / machine->cpu_share;
}

/* What one position costs a token in f32 multiply-adds: all heads multiply, and turn scores into weights. */
static double position_macs(const struct fit_model *m)
{
    return m->attention_macs * (1 + number[NUMBER_score_macs] / (2.0 * max_int(1, m->head_dim)));
}

/* Of tokens that see so many positions together. */
static double attention_seconds(const struct fit_model *m, const struct fit_machine *machine, double n_positions)
{
    double f32 = machine->f32 * 1e9, values = m->kv_type == HEARTH_KV_q8 ? m->kv_bytes / q8_bytes : 0;
    double read = m->kv_bytes / (machine->read * 1e9 * number[NUMBER_attention_read]);
    double compute = position_macs(m) / (f32 * number[NUMBER_attention_f32]);
    double unpack = values * number[NUMBER_attention_unpack] / f32;
    return n_positions * together(together(read, compute), unpack) / machine->cpu_share;
}

double fit_step_seconds(const struct fit_model *m, const struct fit_machine *machine, int n_seqs, double n_seen)
{
    return pass_seconds(m, machine, n_seqs, n_seqs) + attention_seconds(m, machine, n_seqs * n_seen);
}

double fit_prompt_seconds(const struct fit_model *m, const struct fit_machine *machine, int n_tokens)
{
    double seconds = 0, n = n_tokens;
    for (int done = 0; done < n_tokens; done += STEP_TOKENS) {
        int step = min_int(STEP_TOKENS, n_tokens - done);
        seconds += pass_seconds(m, machine, step, done + step == n_tokens);
    }
    double f32 = machine->f32 * 1e9 * machine->cpu_share * number[NUMBER_attention_prompt];
    double seen = (n + 1) / 2 + (n_tokens > 1 ? number[NUMBER_prompt_positions] : 0);
    return seconds + n * seen * position_macs(m) / f32;
}

/* ---- how sure ---- */

static bool isa_measured(const char *isa) { return strncmp(isa, "avx512", 6) == 0 || strcmp(isa, "avx2") == 0; }

/* By where the coefficients come from, weighted by bytes; what disturbed the roofs; an instruction set never timed. */
static double band_of(const struct fit_model *m, const struct fit_machine *machine)
{
    static const double of_source[] = { [FIT_WHOLE] = 0.15, [FIT_KERNEL] = 0.25, [FIT_ALIKE] = 0.35 };
    double all = 0, band = 0;
    for (int i = 0; i < m->n_formats; i++) {
        band += m->format[i].bytes * of_source[of_format(m->format[i].name)->source];
        all += m->format[i].bytes;
    }
    band = all > 0 ? band / all : of_source[FIT_ALIKE];
    return band + 0.3 * machine->disturbed + (isa_measured(machine->isa) ? 0 : 0.3);
}

static struct fit_figure figure(double value, double band)
{
    return (struct fit_figure){ value, value / (1 + band), value * (1 + band) };
}

void fit_predict(struct fit_forecast *f, const struct fit_model *m, const struct fit_machine *machine,
                 const struct fit_task *task)
{
    static const double of_disk = 0.5; /* disks drift more than cores */
    double band = f->band = band_of(m, machine), n_seen = task->n_prompt;
    f->isa_measured = isa_measured(machine->isa);
    f->decode_times = f->prefill_times = 1;
    double prompt = fit_prompt_seconds(m, machine, task->n_prompt);
    f->first_token_ms = figure(prompt * 1e3, band);
    f->prompt_tok_s = figure(task->n_prompt / prompt, band);
    f->tok_s = figure(1 / fit_step_seconds(m, machine, 1, n_seen), band);
    f->tok_s_all = figure(task->n_users / fit_step_seconds(m, machine, task->n_users, n_seen), band);
    double load = number[NUMBER_load_ms] + number[NUMBER_vocabulary_ms] * m->n_vocab / 1e3;
    double first = 1e3 * fit_prompt_seconds(m, machine, 1);
    double warm = load + number[NUMBER_map_ms] * (double)m->file_bytes / 1e9 + first;
    f->load_warm_ms = figure(warm, 2 * band);
    double read = machine->disk > 0 ? (double)m->file_bytes / machine->disk / 1e3 : NAN;
    f->load_cold_ms = figure(load + fmax(read, warm - load), of_disk);
    if (isnan(read))
        f->load_cold_ms = (struct fit_figure){ NAN, NAN, NAN };
}

/* ---- memory ---- */

static void add_up(struct fit_memory *m)
{
    m->program = (uint64_t)(number[NUMBER_program_mb] * 1e6);
    m->total = m->weights + m->kv + m->workspace + m->vocabulary + m->program;
    m->fits = m->total <= m->budget;
}

void fit_memory_of_plan(struct fit_memory *out, const hearth_plan *plan)
{
    *out = (struct fit_memory){ .weights = plan->weights_bytes, .kv = plan->kv_bytes,
                                .workspace = plan->workspace_bytes + plan->request_bytes,
                                .vocabulary = plan->vocabulary_bytes, .budget = plan->machine_budget_bytes };
    add_up(out);
}

/* As workspace_layout() and registry_room_bytes() count it, without what depends on no dimension. */
static double workspace_of_shape(const struct fit_model *m, const struct fit_task *task, int n_threads)
{
    double tokens = min_int(STEP_TOKENS, task->n_context);
    double q = (double)m->n_heads * m->head_dim, kv = (double)m->n_kv_heads * m->head_dim;
    double of_token = 4 * (3.0 * m->n_embd + 2 * q + 2 * kv + 2.0 * m->n_ff) + 1.2 * (m->n_embd + m->n_ff);
    of_token += (4 + 1.2) * m->n_used * m->n_embd; /* each expert's input and result */
    double logits = 4.0 * m->n_vocab * max_int(task->n_users, LOGIT_ROWS);
    double room = 24.0 * m->n_vocab + 16.0 * task->n_context * task->n_users;
    return tokens * of_token + logits + room + n_threads * 1.0e6;
}

void fit_memory_of_shape(struct fit_memory *out, const struct fit_model *m, const struct fit_machine *machine,
                         const struct fit_task *task)
{
    double kv = (double)task->n_context * task->n_users * m->kv_bytes;
    double workspace = workspace_of_shape(m, task, machine->n_threads);
    *out = (struct fit_memory){ .weights = m->weight_bytes, .kv = (uint64_t)kv, .workspace = (uint64_t)workspace,
                                .vocabulary = (uint64_t)m->n_vocab * 80, .budget = machine->budget_bytes };
    add_up(out);
}

void fit_memory_sum(char *out, size_t n, const struct fit_memory *m)
{
    char t[UNITS_BYTES], b[UNITS_BYTES], w[UNITS_BYTES], k[UNITS_BYTES], s[UNITS_BYTES];
    snprintf(out, n, "needs %s (weights %s + KV %s + the rest %s), the budget is %s", text_of_bytes(t, m->total),
             text_of_bytes(w, m->weights), text_of_bytes(k, m->kv),
             text_of_bytes(s, m->workspace + m->vocabulary + m->program), text_of_bytes(b, m->budget));
}
