/* cmd_quantize.c: write a model with its matrices in other formats. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/machine.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/quantize.h"
#include "cli/quantize_trial.h"
#include "cli/units.h"

enum { TYPE, TENSOR, OUTPUT_TYPE, EMBEDDING_TYPE, IMATRIX, REQUANTIZE, DRY_RUN, VERBOSE, FORCE, THREADS,
       COMPARE, TYPES, TEXT, WINDOWS, KEEP, JSON, CSV, N_OPTS };

static const struct opt options[N_OPTS] = {
    [TYPE] = { .name = "type", .type = OPT_CHOICE, .value = QUANTIZE_MIX_CHOICES,
               .help = "types of the tensors, mixed as in published files; needed" },
    [TENSOR] = { .name = "tensor", .aliases = "--tensor-type", .type = OPT_LIST, .value = "PATTERN=TYPE,...",
                 .help = "other types for tensors by name; * is any text, the last that fits wins; may be repeated" },
    [OUTPUT_TYPE] = { .name = "output-type", .aliases = "--output-tensor-type", .type = OPT_TEXT, .value = "T",
                      .help = "type of the output matrix (the embedding, where it is tied)" },
    [EMBEDDING_TYPE] = { .name = "token-embedding-type", .type = OPT_TEXT, .value = "T",
                         .help = "type of the embedding" },
    [IMATRIX] = { .name = "imatrix", .type = OPT_TEXT, .value = "FILE",
                  .help = "importance matrix (GGUF): how much each column matters" },
    [REQUANTIZE] = { .name = "requantize", .aliases = "--allow-requantize", .type = OPT_FLAG,
                     .help = "also from a file that is quantized already; what that lost does not come back" },
    [DRY_RUN] = { .name = "dry-run", .type = OPT_FLAG, .help = "say what would be written, and write nothing" },
    [VERBOSE] = { .name = "verbose", .aliases = "-v", .type = OPT_FLAG,
                  .help = "each tensor's type, why, and the error that it brings" },
    [FORCE] = { .name = "force", .aliases = "-f", .type = OPT_FLAG, .help = "replace OUT if it exists" },
    [THREADS] = { .name = "threads", .aliases = "-t", .type = OPT_INT, .value = "N", .least = 1, .most = 1024,
                  .dflt = "one for each physical core", .help = "threads to work with; the bytes do not depend on it" },
    [COMPARE] = { .name = "compare", .type = OPT_FLAG,
                  .help = "make several candidates of IN, measure each here, and say which to take; no OUT" },
    [TYPES] = { .name = "types", .type = OPT_TEXT, .value = "TYPE,TYPE,...",
                .dflt = "of Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K those that are smaller than IN",
                .help = "compare: the candidates, named as for --type" },
    [TEXT] = { .name = "text", .type = OPT_TEXT, .value = "FILE", .dflt = "a built-in one of some 1,000 tokens",
               .help = "compare: what is predicted; better of the kind that the model is for" },
    [WINDOWS] = { .name = "windows", .type = OPT_INT, .value = "N", .least = 1, .most = 100000, .dflt = "16",
                  .help = "compare: most windows of 256 tokens of it" },
    [KEEP] = { .name = "keep", .type = OPT_TEXT, .value = "DIR",
               .help = "compare: leave the candidates there, as NAME-TYPE.gguf; else they are temporary ($TMPDIR)" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "compare: print one JSON object" },
    [CSV] = { .name = "csv", .type = OPT_FLAG, .help = "compare: print a row for IN and for each candidate" },
};

static bool show(void *arg, const char *doing, uint64_t done, uint64_t total)
{
    progress_doing(arg, doing);
    progress_show(arg, done, total, "");
    return !interrupt_pending();
}

static void print_tensor(const struct quantize_tensor *t, bool dry_run)
{
    struct gguf_type_info from = { .name = "?" }, to = { .name = "?" };
    char bytes[UNITS_BYTES];
    gguf_type_info(t->in->type, &from);
    gguf_type_info(t->type, &to);
    for (size_t i = 0; i < t->in->name.len; i++) { /* names are the file's own words */
        unsigned char c = (unsigned char)t->in->name.ptr[i];
        putchar(c < 0x20 || c == 0x7f ? '?' : c);
    }
    printf("%*s  %-6s -> %-6s  %9s", (int)(t->in->name.len < 32 ? 32 - t->in->name.len : 0), "", from.name, to.name,
           text_of_bytes(bytes, t->bytes));
    if (t->converted && !dry_run)
        printf("  rms error %.3e (%.3f %%)", t->verified, t->size > 0 ? 100 * t->verified / t->size : 0);
    printf("  %s%s\n", t->why, t->has_importance ? ", by importance" : "");
}

static void print_summary(const struct quantize_result *r, const char *out, const struct quantize_options *o)
{
    char before[UNITS_BYTES], after[UNITS_BYTES];
    double worst = 0;
    const struct quantize_tensor *at = NULL;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct quantize_tensor *t = &r->tensors[i];
        if (t->converted && t->size > 0 && t->verified / t->size > worst) {
            worst = t->verified / t->size;
            at = t;
        }
    }
    printf("%s: %s, %u of %u tensors converted, %s to %s of weights, %.2f bits a weight\n", out, o->mix->name,
           r->n_converted, r->n, text_of_bytes(before, r->bytes_in), text_of_bytes(after, r->bytes_out),
           r->values ? 8.0 * (double)r->bytes_out / (double)r->values : 0);
    if (o->dry_run)
        puts("nothing was written (--dry-run)");
    else if (at)
        printf("read back: errors as written; largest " STR_FMT ", %.3f %% of its values (rms)\n",
               STR_ARG(at->in->name), 100 * worst);
    else
        puts("read back: all as written");
    if (o->imatrix_path && r->n_without_importance && !o->dry_run)
        printf("%u converted tensors are not in the importance matrix; their own size stood in for it\n",
               r->n_without_importance);
}

static const char *text_or_null(const struct opt_value *v) { return v->origin == OPT_UNSET ? NULL : v->text; }

static int quantize(const struct args *a, const struct quantize_options *o)
{
    hearth_error err = { 0 };
    static struct quantize_result r; /* tables for 512 parts are too large for the stack */
    bool ok = quantize_file(&r, a->word[0], a->n_words > 1 ? a->word[1] : "", o, &err);
    progress_end(o->progress_arg);
    if (ok) {
        for (uint32_t i = 0; a->value[VERBOSE].on && i < r.n; i++)
            print_tensor(&r.tensors[i], o->dry_run);
        print_summary(&r, a->n_words > 1 ? a->word[1] : "(no OUT)", o);
    }
    quantize_free(&r);
    return ok ? EXIT_DONE : report(&err);
}

static int columns(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? min_int(w.ws_col, 120) : 100;
}

/* Of an option that the other way to use the command has no use for. */
static int check_words(const struct args *a, bool compare)
{
    static const int alone[] = { TYPE, DRY_RUN, VERBOSE }, compared[] = { TYPES, TEXT, WINDOWS, KEEP, JSON, CSV };
    for (size_t i = 0; compare && i < ARRAY_LEN(alone); i++)
        if (a->value[alone[i]].origin == OPT_FROM_LINE)
            return usage_error(&cmd_quantize, "--%s is not for --compare%s", options[alone[i]].name,
                               alone[i] == TYPE ? ", which takes a list: --types" : "");
    for (size_t i = 0; !compare && i < ARRAY_LEN(compared); i++)
        if (a->value[compared[i]].origin == OPT_FROM_LINE)
            return usage_error(&cmd_quantize, "--%s goes with --compare", options[compared[i]].name);
    if (compare && a->n_words != 1)
        return usage_error(&cmd_quantize, "--compare takes IN alone: the file to make candidates of");
    if (compare && a->value[JSON].on && a->value[CSV].on)
        return usage_error(&cmd_quantize, "--json and --csv exclude each other");
    return EXIT_DONE;
}

static int compare(const struct args *a, const struct quantize_options *o)
{
    const struct opt_value *v = a->value;
    hearth_error err = { 0 };
    static struct trial t; /* too large for the stack */
    t.in = a->word[0];
    t.text_path = text_or_null(&v[TEXT]);
    t.keep = text_or_null(&v[KEEP]);
    t.quantize = *o;
    t.n_windows = v[WINDOWS].i ? (int)v[WINDOWS].i : 16;
    t.n_threads = (int)v[THREADS].i;
    bool ok = trial_types(&t, text_or_null(&v[TYPES]), &err) && trial_run(&t, &err);
    if (ok && v[JSON].on)
        ok = trial_print_object(&t, &err);
    else if (ok && v[CSV].on)
        trial_print_rows(&t);
    else if (ok)
        trial_print_table(&t, columns());
    windows_free(&t.windows);
    return ok ? EXIT_DONE : report(&err);
}

static int run(const struct args *a)
{
    const struct opt_value *v = a->value;
    hearth_error err = { 0 };
    bool compares = v[COMPARE].on;
    if (check_words(a, compares) != EXIT_DONE)
        return EXIT_USAGE;
    if (!compares && v[TYPE].origin == OPT_UNSET)
        return usage_error(&cmd_quantize, "--type is needed: %s", options[TYPE].value);
    if (!compares && a->n_words < 2 && !(a->n_words == 1 && v[DRY_RUN].on))
        return usage_error(&cmd_quantize, "IN and OUT are needed: the file to read and the file to write");
    if (!interrupt_init(&err))
        return report(&err);
    interrupt_hold();

    struct machine machine;
    machine_read(&machine);
    struct progress p;
    progress_begin(&p, NULL);
    struct quantize_options o = {
        .mix = compares ? NULL : &quantize_mixes[v[TYPE].i],
        .tensor_types = v[TENSOR].list,
        .n_tensor_types = v[TENSOR].n_list,
        .output_type = text_or_null(&v[OUTPUT_TYPE]),
        .embedding_type = text_or_null(&v[EMBEDDING_TYPE]),
        .imatrix_path = text_or_null(&v[IMATRIX]),
        .requantize = v[REQUANTIZE].on,
        .dry_run = !compares && v[DRY_RUN].on,
        .force = v[FORCE].on,
        .n_threads = v[THREADS].i ? (int)v[THREADS].i : machine_default_threads(&machine),
        .progress = show,
        .progress_arg = &p,
    };
    return compares ? compare(a, &o) : quantize(a, &o);
}

const struct command cmd_quantize = {
    .name = "quantize",
    .positionals = "IN OUT",
    .max_words = 2,
    .summary = "write a model in a smaller number format",
    .about = "Scales and codes are chosen for the least squared error, weighted by the importance matrix or by the\n"
             "values' size. The file is read back and compared before it gets its name. Norms and vectors stay as\n"
             "they are, or become F32 where they are in half precision; metadata is copied. A split set becomes one\n"
             "file.\n"
             "\n"
             "With --compare there is no OUT: candidates are made one after the other and measured here: size, how\n"
             "far their predictions are from IN's, perplexity, speed in turns with IN, planned memory. A picture\n"
             "shows what size costs, and a sentence says which to take. docs/operating.md explains the figures.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
