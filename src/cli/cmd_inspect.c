/* cmd_inspect.c: what a model file holds, the memory it would take here, and will it run. */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/generate_opts.h"
#include "cli/inspect_plan.h"
#include "cli/inspect_template.h"
#include "cli/json_out.h"
#include "cli/program.h"
#include "cli/template_choice.h"
#include "cli/units.h"
#include "record/receipt_json.h"

enum { MODEL, TEMPLATE, CHAT_TEMPLATE, THREADS, CTX, KV_TYPE, PLAN, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [TEMPLATE] = { .name = "template", .type = OPT_FLAG,
                   .help = "the chat template instead: what it can do, a conversation in it, what is wrong with it" },
    [CHAT_TEMPLATE] = OPT_TEMPLATE_ROW,
    [THREADS] = { .name = "threads", .aliases = "-t", .type = OPT_INT, .value = "N", .least = 1, .most = 1024,
                  .dflt = "one for each physical core", .help = "plan for this many threads" },
    [CTX] = { .name = "ctx", .aliases = "-c --ctx-size", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 30,
              .dflt = "the largest power of two up to the trained length that fits", .help = "plan for this context" },
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [PLAN] = { .name = "plan", .type = OPT_FLAG,
               .help = "memory by part against the budget, why it is planned so, and what would fit instead" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object" },
};

struct report {
    const struct model_choice *choice;
    hearth_file_info info;
    hearth_plan plan;
    bool has_plan;
    hearth_kv_type kv_type;
    uint64_t kv_bytes_per_token; /* 0: not known */
    const char *problem; /* why it does not run here; "" when it does */
    hearth_file *file;
    hearth_error plan_error;
    char sum[280]; /* of a plan that does not fit */
    uint64_t program_bytes; /* of a server, before it opens a model */
    struct plan_asked asked;
};

/* Weights may be read from disk again and again; the rest must be there. */
static const char *sum_in_words(struct report *r)
{
    const hearth_plan *p = &r->plan;
    char a[UNITS_BYTES], b[UNITS_BYTES], c[UNITS_BYTES], d[UNITS_BYTES], e[UNITS_BYTES], f[UNITS_BYTES];
    snprintf(r->sum, sizeof r->sum,
             "KV %s for %d tokens + workspace %s + vocabulary %s + program %s = %s, but the budget is %s; --plan has "
             "what would fit",
             text_of_bytes(a, p->kv_bytes), p->n_ctx_tokens, text_of_bytes(b, p->workspace_bytes),
             text_of_bytes(c, p->vocabulary_bytes), text_of_bytes(f, p->program_bytes),
             text_of_bytes(d, p->total_bytes - p->weights_bytes), text_of_bytes(e, p->budget_bytes));
    return r->sum;
}

static void look(struct report *r, hearth_file *file, const struct args *a)
{
    hearth_cost cost;
    r->file = file;
    r->kv_type = (hearth_kv_type)a->value[KV_TYPE].i;
    r->kv_bytes_per_token = hearth_file_cost(file, r->kv_type, &cost) ? cost.kv_bytes : 0;
    hearth_file_describe(file, &r->info);
    const hearth_plan_options wanted = { .n_ctx_tokens = (int)a->value[CTX].i,
                                         .kv_type = r->kv_type,
                                         .n_threads = (int)a->value[THREADS].i,
                                         .program_bytes = r->program_bytes };
    r->asked = (struct plan_asked){ .ctx = a->value[CTX].i > 0,
                                    .threads = a->value[THREADS].i > 0,
                                    .kv_type = a->value[KV_TYPE].origin != OPT_UNSET };
    r->has_plan = hearth_file_plan_with(file, &wanted, &r->plan, &r->plan_error);
    r->problem = "";
    if (!r->info.runs)
        r->problem = r->info.problem;
    else if (!r->has_plan)
        r->problem = r->plan_error.message;
    else if (!r->plan.fits)
        r->problem = sum_in_words(r);
}

/* "name   text", with control bytes of the file's own words kept off the terminal. */
PRINTF(2, 3) static void line(const char *name, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    printf("%-15s%s\n", name, text);
}

static void print_file(const struct report *r)
{
    const hearth_file_info *i = &r->info;
    char a[UNITS_BYTES], b[UNITS_BYTES];
    line("file", "%s, %s in %u part%s, GGUF version %u, %u metadata values, %u tensors", r->choice->text,
         text_of_bytes(a, i->file_bytes), i->n_parts, i->n_parts == 1 ? "" : "s", i->gguf_version, i->n_metadata,
         i->n_tensors);
    if (i->name[0])
        line("name", "%s", i->name);
    line("architecture", "%s", i->architecture[0] ? i->architecture : "(not stated)");
    line("parameters", "%s", text_of_count(a, i->n_parameters));
    line("weights", "%s%s%s", text_of_bytes(b, i->weight_bytes), i->types[0] ? ": " : "", i->types);
}

/* "BOS 1, EOS 2, fim_prefix 32007": those that there are. */
static void print_tokens(const struct report *r)
{
    const hearth_file_info *i = &r->info;
    char text[256] = "";
    size_t n = 0;
    if (i->bos_id >= 0)
        n += (size_t)snprintf(text + n, sizeof text - n, ", BOS %d", i->bos_id);
    if (i->eos_id >= 0)
        n += (size_t)snprintf(text + n, sizeof text - n, ", EOS %d", i->eos_id);
    for (int f = 0; f < HEARTH_N_FIM; f++)
        if (i->fim_id[f] >= 0)
            n += (size_t)snprintf(text + n, sizeof text - n, ", %s %d", hearth_fim_name((hearth_fim)f), i->fim_id[f]);
    if (n > 0)
        line("tokens", "%s", text + 2);
}

static void print_parts(const hearth_file_info *i)
{
    char text[160] = "", bytes[UNITS_BYTES];
    size_t n = 0;
    if (i->n_ff_shared > 0)
        n += (size_t)snprintf(text + n, sizeof text - n, "; FFN %d for all tokens", i->n_ff_shared);
    if (i->n_dense_layers > 0)
        snprintf(text + n, sizeof text - n, "; none in %d of %d layers", i->n_dense_layers, i->n_layers);
    if (i->n_experts > 0)
        line("experts", "%d of FFN %d, a token has %d%s", i->n_experts, i->n_ff_expert, i->n_experts_used, text);
    if (i->n_window_layers > 0)
        line("window", "%d of %d layers see %d tokens", i->n_window_layers, i->n_layers, i->n_window_tokens);
    if (i->n_state_layers > 0)
        line("state", "%d of %d layers keep one instead of keys and values: %s a sequence", i->n_state_layers,
             i->n_layers, text_of_bytes(bytes, i->state_bytes));
}

static void print_shape(const struct report *r)
{
    const hearth_file_info *i = &r->info;
    char a[UNITS_BYTES];
    if (i->n_layers > 0 && i->n_latent > 0)
        line("shape", "%d layers, width %d, %d heads over a latent of %d (%d kept of a token), FFN %d", i->n_layers,
             i->n_embd, i->n_heads, i->n_latent, i->head_dim, i->n_ff);
    else if (i->n_layers > 0)
        line("shape", "%d layers, width %d, %d heads of %d, %d KV heads, FFN %d%s", i->n_layers, i->n_embd, i->n_heads,
             i->head_dim, i->n_kv_heads, i->n_ff, i->layers_differ ? " (layers differ: the most of one)" : "");
    print_parts(i);
    if (i->n_ctx_train > 0)
        line("context", "%d tokens as trained", i->n_ctx_train);
    if (r->kv_bytes_per_token > 0)
        line("KV cache", "%s per token (%s)", text_of_bytes(a, r->kv_bytes_per_token), hearth_kv_type_name(r->kv_type));
    if (i->tokenizer[0])
        line("tokenizer", "%s, %d tokens", i->tokenizer, i->n_vocab);
    else
        line("tokenizer", "none");
    print_tokens(r);
    if (i->pooling[0])
        line("pooling", "%s", i->pooling);
    if (i->warning[0])
        line("warning", "%s", i->warning);
}

static void print_template(const struct report *r)
{
    int n[3];
    if (!template_count(r->file, n))
        line("chat template", "none");
    else if (n[HEARTH_FINDING_PROBLEM] + n[HEARTH_FINDING_WARNING] == 0)
        line("chat template", "yes, %zu bytes", strlen(r->info.template_text));
    else
        line("chat template", "yes, %zu bytes; %d problem%s, %d warning%s (--template)", strlen(r->info.template_text),
             n[HEARTH_FINDING_PROBLEM], n[HEARTH_FINDING_PROBLEM] == 1 ? "" : "s", n[HEARTH_FINDING_WARNING],
             n[HEARTH_FINDING_WARNING] == 1 ? "" : "s");
}

static void print_plan(const hearth_plan *p)
{
    char a[UNITS_BYTES], b[UNITS_BYTES], c[UNITS_BYTES], d[UNITS_BYTES], e[UNITS_BYTES], f[UNITS_BYTES];
    line("plan here", "context %d tokens (%s), %d thread%s", p->n_ctx_tokens, p->reason, p->n_threads,
         p->n_threads == 1 ? "" : "s");
    line("memory", "%s of %s: weights %s (file pages), KV %s, workspace %s, vocabulary %s",
         text_of_bytes(a, p->total_bytes), text_of_bytes(b, p->budget_bytes), text_of_bytes(c, p->weights_bytes),
         text_of_bytes(d, p->kv_bytes), text_of_bytes(e, p->workspace_bytes), text_of_bytes(f, p->vocabulary_bytes));
}

static void print_text(const struct report *r, const struct args *a)
{
    print_file(r);
    print_shape(r);
    print_template(r);
    if (r->has_plan && a->value[PLAN].on)
        inspect_plan_print(r->file, &r->plan, &r->asked);
    else if (r->has_plan)
        print_plan(&r->plan);
    line("runs here", "%s%s", r->problem[0] ? "no: " : "yes", r->problem);
}

static json_t *count_or_null(int n) { return n > 0 ? json_integer(n) : json_null(); }

static json_t *shape_json(const hearth_file_info *i)
{
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "n_layers", count_or_null(i->n_layers), "n_embd",
                     count_or_null(i->n_embd), "n_heads", count_or_null(i->n_heads), "n_kv_heads",
                     count_or_null(i->n_kv_heads), "head_dim", count_or_null(i->head_dim), "n_ff",
                     count_or_null(i->n_ff), "n_vocab", count_or_null(i->n_vocab), "layers_differ",
                     i->layers_differ);
    const struct { const char *key; uint64_t value; } parts[] = { /* of models that have them */
        { "n_latent", (uint64_t)i->n_latent },
        { "n_experts", (uint64_t)i->n_experts },
        { "n_experts_used", (uint64_t)i->n_experts_used },
        { "n_ff_expert", (uint64_t)i->n_ff_expert },
        { "n_ff_shared", (uint64_t)i->n_ff_shared },
        { "n_dense_layers", (uint64_t)i->n_dense_layers },
        { "n_window_layers", (uint64_t)i->n_window_layers },
        { "n_window_tokens", (uint64_t)i->n_window_tokens },
        { "n_state_layers", (uint64_t)i->n_state_layers },
        { "state_bytes", i->state_bytes },
    };
    for (size_t p = 0; o && p < ARRAY_LEN(parts); p++)
        if (parts[p].value)
            json_object_set_new(o, parts[p].key, json_integer((json_int_t)parts[p].value));
    return o;
}

static json_t *id_or_null(int32_t id) { return id >= 0 ? json_integer(id) : json_null(); }

static json_t *tokens_json(const hearth_file_info *i)
{
    json_t *o = json_pack("{s:o, s:o}", "bos", id_or_null(i->bos_id), "eos", id_or_null(i->eos_id));
    for (int f = 0; o && f < HEARTH_N_FIM; f++)
        json_object_set_new(o, hearth_fim_name((hearth_fim)f), id_or_null(i->fim_id[f]));
    return o;
}

static json_t *plan_json(const struct report *r)
{
    hearth_plan_choices choices;
    hearth_file_plan_choices(r->file, &r->plan, &choices);
    return plan_why_to_json(&r->plan, &r->asked, &choices);
}

static json_t *report_json(const struct report *r)
{
    const hearth_file_info *i = &r->info;
    const char *path = r->choice->source.path;
    return json_pack(
        "{s:o, s:o, s:o, s:I, s:i, s:i, s:i, s:i, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:b, s:o,"
        " s:o, s:o}",
        "file", path ? json_of_text(path) : json_null(), "name", json_of_text(i->name), "architecture",
        json_of_text(i->architecture), "n_parameters", (json_int_t)i->n_parameters, "gguf_version",
        (int)i->gguf_version, "n_parts", (int)i->n_parts,
        "n_metadata", (int)i->n_metadata, "n_tensors", (int)i->n_tensors, "file_bytes", (json_int_t)i->file_bytes,
        "weight_bytes", (json_int_t)i->weight_bytes, "types", json_of_text(i->types), "shape", shape_json(i),
        "n_ctx_train_tokens", count_or_null(i->n_ctx_train), "kv_bytes_per_token", (json_int_t)r->kv_bytes_per_token,
        "tokenizer", json_of_text(i->tokenizer), "warnings",
        i->warning[0] ? json_pack("[s]", i->warning) : json_array(), "chat_template",
        i->template_text[0] ? json_of_text(i->template_text) : json_null(), "template", template_to_json(r->file),
        "plan", r->has_plan ? plan_json(r) : json_null(), "runs", !r->problem[0], "problem",
        json_of_text(r->problem), "tokens", tokens_json(i), "pooling",
        i->pooling[0] ? json_of_text(i->pooling) : json_null());
}

static int print_json(json_t *o) /* stolen */
{
    hearth_error err;
    size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY | RECEIPT_JSON_FLAGS;
    return json_print(o, flags, "the JSON of the report", &err) ? EXIT_DONE : report(&err);
}

/* A template with a problem is none to go on with: EXIT_FAILED. */
static int inspect_template(hearth_file *file, bool json)
{
    int n[3], code = EXIT_DONE;
    const hearth_finding *first;
    if (hearth_file_template_findings(file, &first) > 0 && strcmp(first->code, "out-of-memory") == 0) {
        hearth_error err = { 0 };
        fail(&err, HEARTH_ERR_MEMORY, "%s", first->message);
        return report(&err);
    }
    template_count(file, n);
    if (json)
        code = print_json(template_to_json(file));
    else
        template_print(file);
    return code == EXIT_DONE && n[HEARTH_FINDING_PROBLEM] > 0 ? EXIT_FAILED : code;
}

static int inspect(hearth_file *file, const struct model_choice *choice, const struct args *a, uint64_t program_bytes)
{
    struct report r = { .choice = choice, .program_bytes = program_bytes };
    int code = EXIT_DONE;
    if (a->value[TEMPLATE].on)
        return inspect_template(file, a->value[JSON].on);
    look(&r, file, a);
    if (a->value[JSON].on)
        code = print_json(report_json(&r));
    else
        print_text(&r, a);
    return code == EXIT_DONE && r.problem[0] ? EXIT_FAILED : code;
}

static int run(const struct args *a)
{
    struct model_choice choice;
    hearth_error err = { 0 };
    if (!model_choose(&choice, &cmd_inspect, a->word[0], &a->value[MODEL]))
        return EXIT_USAGE;
    if (!choice.from_line)
        model_say(&choice);
    struct template_choice template;
    static const struct opt_value unset;
    if (!template_choose(&template, &choice.source, a->value[TEMPLATE].on, &a->value[CHAT_TEMPLATE], &unset, &unset,
                         &unset, &err)) {
        template_choice_free(&template);
        return report(&err);
    }
    uint64_t program_bytes = program_memory_bytes((int)a->value[THREADS].i); /* without pages of the file */
    hearth_file *file = hearth_file_open(&choice.source, &err);
    int code = file ? inspect(file, &choice, a, program_bytes) : model_report(&choice, &err);
    hearth_file_close(file);
    template_choice_free(&template);
    return code;
}

const struct command cmd_inspect = {
    .name = "inspect",
    .alias = "show",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "what a model file holds, and will it run here",
    .about = "Reads metadata only. Ends with 0 when the file would run on this machine, with 1 and the reason when\n"
             "not (an architecture or tensor type this build lacks, no tensors, too little memory), with 3 when the\n"
             "file is damaged or no GGUF at all.\n"
             "\n"
             "With --template: which roles, tools and thinking the chat template knows, a conversation rendered with\n"
             "its special tokens marked, and findings: stop tokens that no answer reaches, BOS twice, a missing\n"
             "generation prompt, roles that do not come back, what makes the prefix cache miss. Ends with 1 when a\n"
             "problem is among them.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
