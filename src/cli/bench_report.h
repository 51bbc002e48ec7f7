/* bench_report.h: what `hearth bench` found, as a table, as CSV and as JSON. */
#pragma once
#include "base/err.h"
#include "cli/bench_figures.h"
#include "kernel/roof.h"

enum { BENCH_MOST_ROWS = BENCH_N_KINDS * BENCH_LIST_MOST };

struct bench_result {
    const char *model;    /* as shown */
    const char *isa;
    int n_threads, n_runs;
    hearth_kv_type kv_type;
    struct bench_readings roof[N_ROOFS];
    double load_ms, first_token_ms;
    uint64_t peak_rss_bytes, file_bytes;
    hearth_pages pages; /* after a first answer */
    double others, stolen; /* of the machine while it all ran, percent; others includes stolen */
    struct bench_row row[BENCH_MOST_ROWS];
    int n_rows;
};

/* Which roof a figure is held against. */
enum roof_kind bench_roof_of(enum bench_kind kind);
const char *bench_kind_name(enum bench_kind kind);

void bench_print_text(struct bench_result *r);
void bench_print_csv(struct bench_result *r);
bool bench_print_json(struct bench_result *r, hearth_error *err);
