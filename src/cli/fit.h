/* fit.h: forecasts: what a model would need and how fast it would be here, before it is loaded.
 *
 * Everything but fit_machine.c is pure. */
#pragma once
#include "base/err.h"
#include "hearth/hearth.h"

/* ---- what is known of a model (fit_model.c, fit_catalogue.c) ---- */

enum { FIT_MOST_FORMATS = 12, FIT_NAME_BYTES = 128 };

struct fit_model {
    char name[FIT_NAME_BYTES];
    char architecture[32];
    char types[160];          /* "Q4_K 78 %, Q6_K 22 %", or the name of a mix */
    uint64_t n_parameters, file_bytes, weight_bytes;
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_ctx_train;
    int n_used; /* experts of a token; 0: there are none, and n_ff is all of a token's */
    struct fit_format {
        const char *name;     /* "q4_K"; static */
        double bytes, layer_macs, output_macs; /* read in a pass; multiply-adds of a token */
    } format[FIT_MOST_FORMATS];
    int n_formats;
    double kv_bytes, attention_macs; /* of one position that one token sees, all layers */
    hearth_kv_type kv_type;
    bool runs;                /* this build can compute it */
    char problem[400];        /* why not */
    bool from_dimensions;     /* of the catalogue: no file was seen */
    char source[96];          /* of the dimensions */
    char identity[96];        /* of a file, as receipts have it; "": of the catalogue */
};

/* What is asked for. */
struct fit_task {
    int n_context;   /* tokens that each user's conversation may have */
    int n_prompt;    /* of the prompt whose first token is forecast */
    int n_users;     /* that are answered together */
    hearth_kv_type kv_type;
};

/* From the header of an opened GGUF file. */
void fit_model_of_file(struct fit_model *m, hearth_file *file, const char *name, hearth_kv_type kv_type);

/* ---- the machine (fit_machine.c) ---- */

struct fit_machine {
    const char *isa;
    int n_threads;
    double read, int8, f32;   /* roofs of all threads together, 10^9 bytes or multiply-adds a second */
    double disturbed;         /* share of the readings that others disturbed, 0 to 1 */
    bool given;               /* the roofs were not measured but said */
    double disk;              /* 10^6 bytes a second; 0: not known */
    bool disk_measured;       /* else it was said */
    double cpu_share;         /* of n_threads processors that a quota leaves, 0 to 1 */
    uint64_t cache_bytes, budget_bytes;
};

/* Roofs (under a second), cores, budget. m->n_threads above 0: with so many. */
bool fit_machine_measure(struct fit_machine *m, hearth_error *err);
/* How fast this file comes from its disk (a quarter of a second, past what is in memory), into m->disk; it stays what
 * it was where that is not to be found out. */
void fit_machine_read_disk(struct fit_machine *m, const char *path);

/* ---- the forecast (fit_predict.c) ---- */

struct fit_figure {
    double value, low, high;
};

struct fit_memory {
    uint64_t weights, kv, workspace, vocabulary, program, total, budget; /* bytes */
    bool fits;
};

struct fit_forecast {
    struct fit_memory memory;
    struct fit_figure load_cold_ms; /* until the first token of a short prompt can come; NaN: the disk is not known */
    struct fit_figure load_warm_ms; /* the file is in the page cache */
    struct fit_figure first_token_ms; /* of a prompt of n_prompt tokens, when it is loaded */
    struct fit_figure prompt_tok_s;
    struct fit_figure tok_s;        /* alone, after the prompt */
    struct fit_figure tok_s_all;    /* n_users together; each has an n_users-th of it */
    double band;                    /* how far figures of speed may be off, 0.15: 15 % */
    bool isa_measured;              /* the kernels' shares were measured with this instruction set */
    int n_recorded;                 /* answers of this file that were recorded here */
    double decode_times, prefill_times; /* what they corrected the figures by; 1: nothing */
};

/* Speeds and loading. f->memory is left alone. */
void fit_predict(struct fit_forecast *f, const struct fit_model *m, const struct fit_machine *machine,
                 const struct fit_task *task);
/* Seconds of one step in which n_seqs sequences get a token each, every one seeing n_seen positions. */
double fit_step_seconds(const struct fit_model *m, const struct fit_machine *machine, int n_seqs, double n_seen);
/* Seconds of a prompt. */
double fit_prompt_seconds(const struct fit_model *m, const struct fit_machine *machine, int n_tokens);
/* Of the plan that hearth itself makes. */
void fit_memory_of_plan(struct fit_memory *out, const hearth_plan *plan);
/* The same sums from dimensions alone. */
void fit_memory_of_shape(struct fit_memory *out, const struct fit_model *m, const struct fit_machine *machine,
                         const struct fit_task *task);
/* What it lacks: "needs 12.3 GiB (weights 10.1 + KV 2.0 + ...), the budget is 8.00 GiB". */
void fit_memory_sum(char *out, size_t n, const struct fit_memory *m);

/* ---- choosing (fit_rank.c) ---- */

enum fit_goal { FIT_CHAT, FIT_CODE, FIT_BATCH, FIT_EMBED, FIT_N_GOALS };
struct fit_goal_info {
    const char *name;
    int n_context, n_prompt, n_users; /* where nobody says otherwise */
    double min_speed;                 /* tok/s, of what the goal counts */
    const char *counts;               /* "tokens a second alone" */
};
extern const struct fit_goal_info fit_goals[FIT_N_GOALS];

/* Why a candidate is where it is. The better come first. */
enum fit_verdict { FIT_GOOD, FIT_SLOW, FIT_TOO_LARGE, FIT_NOT_RUN };

struct fit_candidate {
    struct fit_model model;
    char path[2048];          /* "": of the catalogue */
    struct fit_task task;     /* the context is held to what the model was trained for */
    struct fit_forecast forecast;
    enum fit_verdict verdict;
    double speed;             /* what the goal counts */
};
/* Set verdict and speed of each, and sort: the largest that is fast enough first. */
void fit_rank(struct fit_candidate *c, int n, enum fit_goal goal, double min_speed);
struct fit_choice {
    int best, smaller, larger; /* indices; -1: there is none */
};
void fit_choose(struct fit_choice *out, const struct fit_candidate *c, int n);

/* ---- what was recorded (fit_record.c) ---- */

/* Forecasts of files that answered here before, corrected by how fast that was; dir: as of hearth log. HEARTH_ERR_IO:
 * nothing is recorded there. */
bool fit_record_correct(struct fit_candidate *c, int n, const struct fit_machine *machine, const char *dir,
                        hearth_error *err);

/* ---- the catalogue (fit_catalogue.c, catalogue.def) ---- */

struct fit_row {
    char name[64], architecture[24], source[96];
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_ctx_train;
    bool tied, plain_ffn, fused_qkv;      /* plain: two matrices instead of three */
    int n_experts, n_used, n_expert_ff;   /* 0: none */
    double published_millions;            /* parameters as published */
};
extern const struct fit_row fit_catalogue[];
extern const int fit_catalogue_n;
/* Parameters by the dimensions alone. */
double fit_row_parameters(const struct fit_row *r);
/* As a file of this mix (a name of quantize_mix.def) would be. HEARTH_ERR_USAGE: there is no such mix. */
bool fit_row_model(struct fit_model *m, const struct fit_row *r, const char *mix, hearth_kv_type kv_type,
                   hearth_error *err);
enum { FIT_MOST_ROWS = 64 };
/* Rows that somebody wrote (fit_rows.c). HEARTH_ERR_FORMAT names the line. */
bool fit_rows_read(struct fit_row rows[FIT_MOST_ROWS], int *n, const char *path, hearth_error *err);

/* ---- showing (fit_report.c) ---- */

struct fit_result {
    const struct fit_candidate *c;
    int n;
    struct fit_choice choice;
    const struct fit_machine *machine;
    enum fit_goal goal;
    double min_speed;
    bool catalogue;
};
/* A table, what is recommended and why, and size against speed as a picture of `width` columns. */
void fit_print_text(const struct fit_result *r, int width);
void fit_print_csv(const struct fit_result *r);
bool fit_print_json(const struct fit_result *r, hearth_error *err);
