#include "cli/bench_report.h"

#include <stdio.h>

#include "cli/json_out.h"
#include "cli/units.h"

static const char *const roof_key[N_ROOFS] = { "read_gb_s", "int8_gmac_s", "f32_gmac_s" };
static const char *const roof_name[N_ROOFS] = { "memory", "int8", "f32" };
static const char *const roof_unit[N_ROOFS] = { "GB/s", "GMAC/s", "GMAC/s" };
static const char *const kind_name[BENCH_N_KINDS] = { "prefill", "decode", "batch" };

enum roof_kind bench_roof_of(enum bench_kind kind) { return kind == BENCH_PREFILL ? ROOF_INT8 : ROOF_READ; }

const char *bench_kind_name(enum bench_kind kind) { return kind_name[kind]; }

static double roof_of(struct bench_result *r, int kind, double *low, double *high)
{
    return bench_median(r->roof[kind].v, r->roof[kind].n, low, high);
}

/* ---- text ---- */

/* "725 of 788 MiB": what of it is in pages of 2 MB. */
static const char *huge_text(char out[2 * UNITS_BYTES + 8], const hearth_page_use *use)
{
    char huge[UNITS_BYTES], all[UNITS_BYTES];
    snprintf(out, 2 * UNITS_BYTES + 8, "%s of %s", text_of_bytes(huge, use->huge_bytes),
             text_of_bytes(all, use->resident_bytes));
    return out;
}

static void print_head(struct bench_result *r)
{
    char peak[UNITS_BYTES], file[UNITS_BYTES];
    printf("%s: %s, %d thread%s, KV %s, hearth %s\n", r->model, r->isa, r->n_threads, r->n_threads == 1 ? "" : "s",
           hearth_kv_type_name(r->kv_type), hearth_version());
    for (int i = 0; i < N_ROOFS; i++) {
        double low, high, v = roof_of(r, i, &low, &high);
        printf("%-7s%8.1f %-6s  (%.1f to %.1f in %d readings)\n", roof_name[i], v, roof_unit[i], low, high,
               r->roof[i].n);
    }
    printf("load %.1f ms, first token %.1f ms later, peak memory %s with a file of %s\n", r->load_ms,
           r->first_token_ms, text_of_bytes(peak, r->peak_rss_bytes), text_of_bytes(file, r->file_bytes));
    char weights[2 * UNITS_BYTES + 8], kv[2 * UNITS_BYTES + 8], workspace[2 * UNITS_BYTES + 8];
    printf("in pages of 2 MB: weights %s, KV cache %s, workspace %s\n", huge_text(weights, &r->pages.weights),
           huge_text(kv, &r->pages.kv), huge_text(workspace, &r->pages.workspace));
}

void bench_print_text(struct bench_result *r)
{
    print_head(r);
    if (r->n_rows > 0)
        printf("\n%-14s%9s  %17s  %15s%10s%8s%8s\n", "", "tok/s", "quartiles", "", "roof", "share", "others");
    for (int i = 0; i < r->n_rows; i++) {
        const struct bench_row *row = &r->row[i];
        struct bench_summary s;
        char what[32];
        bench_summarize(&s, row, r->n_runs);
        snprintf(what, sizeof what, "%s %d", kind_name[row->kind], row->n);
        printf("%-14s%9.1f  %8.1f %8.1f  %8.1f %-6s%10.1f%6.1f %%%6.0f %%\n", what, s.tok_s, s.low, s.high,
               s.tok_s * row->amount / 1e9, roof_unit[bench_roof_of(row->kind)], s.roof, 100 * s.share, s.others);
    }
    printf("\n%.0f %% of the machine went to others (%.0f %% to the host's)%s\n", r->others, r->stolen,
           r->others > 5 ? ": these figures are too low; measure again when it is quiet" : "");
}

/* ---- CSV ---- */

/* The columns of bench/results/, after commit and date. */
void bench_print_csv(struct bench_result *r)
{
    printf("benchmark,value,unit,low,high,runs,roof,others\n");
    for (int i = 0; i < N_ROOFS; i++) {
        double low, high, v = roof_of(r, i, &low, &high);
        printf("%s roof,%.4g,%s,%.4g,%.4g,%d,0,%.0f\n", roof_name[i], v, roof_unit[i], low, high, r->roof[i].n,
               r->others);
    }
    printf("load,%.4g,ms,%.4g,%.4g,%d,0,%.0f\n", r->load_ms, r->load_ms, r->load_ms, r->n_runs, r->others);
    printf("first token,%.4g,ms,%.4g,%.4g,%d,0,%.0f\n", r->first_token_ms, r->first_token_ms, r->first_token_ms,
           r->n_runs, r->others);
    double peak = (double)r->peak_rss_bytes / 1e6;
    printf("peak memory,%.4g,MB,%.4g,%.4g,%d,%.4g,%.0f\n", peak, peak, peak, r->n_runs, (double)r->file_bytes / 1e6,
           r->others);
    for (int i = 0; i < r->n_rows; i++) {
        const struct bench_row *row = &r->row[i];
        struct bench_summary s;
        bench_summarize(&s, row, r->n_runs);
        printf("%s %d,%.4g,tok/s,%.4g,%.4g,%d,%.4g,%.0f\n", kind_name[row->kind], row->n, s.tok_s, s.low, s.high, s.n,
               s.roof * 1e9 / row->amount, s.others);
    }
}

/* ---- JSON ---- */

static json_t *rows_json(struct bench_result *r, enum bench_kind kind)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_rows; i++) {
        const struct bench_row *row = &r->row[i];
        struct bench_summary s;
        if (row->kind != kind)
            continue;
        bench_summarize(&s, row, r->n_runs);
        json_t *o = json_pack("{s:i, s:f, s:f}", kind == BENCH_DECODE ? "ctx" : "n", row->n, "tok_s", s.tok_s,
                              kind == BENCH_PREFILL ? "roof_gmac_s" : "roof_gb_s", s.roof);
        if (!o || (kind != BENCH_BATCH && json_object_set_new(o, "roof_share", json_real(s.share)) != 0)
            || json_array_append_new(list, o) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *use_json(const hearth_page_use *use)
{
    return json_pack("{s:I, s:I}", "resident_bytes", (json_int_t)use->resident_bytes, "huge_bytes",
                     (json_int_t)use->huge_bytes);
}

static json_t *pages_json(const hearth_pages *p)
{
    return json_pack("{s:o, s:o, s:o}", "weights", use_json(&p->weights), "kv", use_json(&p->kv), "workspace",
                     use_json(&p->workspace));
}

bool bench_print_json(struct bench_result *r, hearth_error *err)
{
    double roof[N_ROOFS];
    for (int i = 0; i < N_ROOFS; i++)
        roof[i] = roof_of(r, i, NULL, NULL);
    json_t *o = json_pack(
        "{s:o, s:s, s:s, s:i, s:i, s:{s:f, s:f, s:f}, s:f, s:f, s:I, s:I, s:o, s:o, s:o, s:o, s:f, s:f}", "model",
        json_of_text(r->model), "isa", r->isa, "kv_type", hearth_kv_type_name(r->kv_type), "n_threads", r->n_threads,
        "n_runs", r->n_runs, "roof", roof_key[0], roof[0], roof_key[1], roof[1], roof_key[2], roof[2], "load_ms",
        r->load_ms, "first_token_ms", r->first_token_ms, "peak_rss_bytes", (json_int_t)r->peak_rss_bytes,
        "file_bytes", (json_int_t)r->file_bytes, "huge_pages", pages_json(&r->pages), "prefill",
        rows_json(r, BENCH_PREFILL), "decode", rows_json(r, BENCH_DECODE), "batch", rows_json(r, BENCH_BATCH),
        "others_percent", r->others, "stolen_percent", r->stolen);
    return json_print(o, JSON_INDENT(2) | JSON_REAL_PRECISION(6), "the JSON of the figures", err);
}
