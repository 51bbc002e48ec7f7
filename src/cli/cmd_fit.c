/* cmd_fit.c: which of some models, and how fast each would be here, before one is loaded. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/folder.h"
#include "cli/command.h"
#include "cli/fit.h"
#include "cli/generate_opts.h"
#include "cli/record_choice.h"
#include "cli/store_choice.h"

enum { GOAL, CATALOGUE, ROWS_FILE, TYPE, CONTEXT, PROMPT, USERS, MIN_SPEED, THREADS, KV_TYPE, MEMORY, DISK, ROOFS,
       RECORD_DIR, JSON, CSV, N_OPTS };
enum { MOST_MODELS = 256 };

static const struct opt options[N_OPTS] = {
    [GOAL] = { .name = "for", .type = OPT_CHOICE, .value = "chat|code|batch|embed", .dflt = "chat",
               .help = "what it is wanted for: chat and code count tokens a second alone, batch those of all users "
                       "together, embed prompts" },
    [CATALOGUE] = { .name = "catalogue", .type = OPT_FLAG,
                    .help = "common open models, by their published dimensions, instead of files" },
    [ROWS_FILE] = { .name = "catalogue-file", .type = OPT_TEXT, .value = "FILE",
                    .help = "the catalogue, and before it the models whose dimensions stand in FILE (docs/fit.md)" },
    [TYPE] = { .name = "type", .type = OPT_TEXT, .value = "MIX", .dflt = "Q4_K_M",
               .help = "with --catalogue: how the files would be quantized, as in hearth quantize --type" },
    [CONTEXT] = { .name = "context", .aliases = "-c --ctx", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 24,
                  .dflt = "chat 4096, code 8192, batch 2048, embed 512", .help = "tokens of each conversation" },
    [PROMPT] = { .name = "prompt", .type = OPT_INT, .value = "N", .least = 1, .most = 1 << 24,
                 .dflt = "512, for code 2048", .help = "tokens of the prompt whose first token is forecast" },
    [USERS] = { .name = "users", .type = OPT_INT, .value = "N", .least = 1, .most = 64, .dflt = "1, for batch 8",
                .help = "answered together" },
    [MIN_SPEED] = { .name = "min-speed", .type = OPT_FLOAT, .value = "TOK_S", .least = 0, .most = 1e9,
                    .dflt = "chat 8, code 15, batch 20, embed 200", .help = "slower ones are not recommended" },
    [THREADS] = OPT_THREADS_ROW,
    [KV_TYPE] = OPT_KV_TYPE_ROW,
    [MEMORY] = { .name = "memory", .type = OPT_FLOAT, .value = "GIB", .least = 0.001, .most = 1e6,
                 .dflt = "what is free here", .help = "the budget that all must fit in" },
    [DISK] = { .name = "disk", .type = OPT_FLOAT, .value = "MB_S", .least = 0.1, .most = 1e6,
               .dflt = "measured now: that of the first model, with --catalogue of the program's own file",
               .help = "what the disk gives, for the time of a first start" },
    [ROOFS] = { .name = "roofs", .type = OPT_TEXT, .value = "READ,INT8,F32",
                .dflt = "measured now", .help = "GB/s and 10^9 multiply-adds a second, as hearth bench shows them: "
                                                "of another time, or another machine" },
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object" },
    [CSV] = { .name = "csv", .type = OPT_FLAG, .help = "print a row for each model" },
};

struct job {
    const struct args *args;
    struct fit_machine machine;
    struct fit_candidate *c; /* [MOST_MODELS] */
    struct fit_row own[FIT_MOST_ROWS]; /* of --catalogue-file */
    int n_own;
    int n;
    enum fit_goal goal;
    struct fit_task task;
    const char *dir; /* whose files are looked at */
    int n_left_out;
};

static struct fit_candidate *next(struct job *job)
{
    if (job->n == MOST_MODELS) {
        job->n_left_out++;
        return NULL;
    }
    struct fit_candidate *c = &job->c[job->n++];
    *c = (struct fit_candidate){ .task = job->task };
    return c;
}

/* A context that the model was not trained for is none to plan with. */
static void hold_to_training(struct fit_candidate *c)
{
    int most = c->model.n_ctx_train > 1 ? c->model.n_ctx_train : c->task.n_context;
    c->task.n_context = min_int(c->task.n_context, most);
    c->task.n_prompt = min_int(c->task.n_prompt, c->task.n_context);
}

static bool add_file(struct job *job, const char *path, const char *name, hearth_error *err)
{
    hearth_source source = { .path = path };
    hearth_plan plan;
    hearth_file *file = hearth_file_open(&source, err);
    struct fit_candidate *c = file ? next(job) : NULL;
    bool ok = file != NULL;
    if (c) {
        fit_model_of_file(&c->model, file, name, job->task.kv_type);
        snprintf(c->path, sizeof c->path, "%s", path);
        hold_to_training(c);
        if (c->model.runs) {
            ok = hearth_file_plan_seqs(file, c->task.n_context, c->task.n_users, job->task.kv_type,
                                       job->machine.n_threads, job->machine.budget_bytes, &plan, err);
            if (ok)
                fit_memory_of_plan(&c->forecast.memory, &plan);
        }
    }
    hearth_file_close(file);
    return ok;
}

/* Later parts of a split set are no models of their own. */
static bool is_model(const char *name)
{
    size_t n = strlen(name);
    const char *part = n > 20 ? name + n - 20 : NULL; /* -00002-of-00003.gguf */
    bool later = part && part[0] == '-' && strncmp(part + 6, "-of-", 4) == 0 && strncmp(part + 1, "00001", 5) != 0;
    return n > 5 && strcmp(name + n - 5, ".gguf") == 0 && !later;
}

static void see(void *arg, const char *name, uint64_t bytes, int64_t used_ns)
{
    struct job *job = arg;
    char path[4096];
    hearth_error err = { 0 };
    (void)bytes;
    (void)used_ns;
    if (!is_model(name) || snprintf(path, sizeof path, "%s/%s", job->dir, name) >= (int)sizeof path)
        return;
    if (!add_file(job, path, name, &err))
        say("%s is left out: %s", path, err.message);
}

static bool is_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* A path, or what the store has under that name. */
static bool add_named(struct job *job, const char *word, hearth_error *err)
{
    char found[STORE_FILE_BYTES];
    int is = store_path_of(word, found, err);
    const char *path = is == 1 ? found : word, *slash = strrchr(path, '/');
    return is >= 0 && add_file(job, path, slash && slash[1] ? slash + 1 : path, err);
}

static bool add_words(struct job *job, hearth_error *err)
{
    for (int i = 0; i < job->args->n_words; i++) {
        const char *path = job->args->word[i];
        if (!is_folder(path)) {
            if (!add_named(job, path, err))
                return false;
            continue;
        }
        struct folder folder;
        job->dir = path;
        bool ok = folder_open(&folder, path, err) && folder_look(&folder, see, job, err);
        folder_close(&folder);
        if (!ok)
            return false;
    }
    return job->n > 0 || fail(err, HEARTH_ERR_IO, "there is no model (*.gguf) in %s", job->args->word[0]);
}

static bool add_rows(struct job *job, const struct fit_row *rows, int n, hearth_error *err)
{
    const char *mix = job->args->value[TYPE].text ? job->args->value[TYPE].text : options[TYPE].dflt;
    for (int i = 0; i < n; i++) {
        struct fit_candidate *c = next(job);
        if (!c)
            break;
        if (!fit_row_model(&c->model, &rows[i], mix, job->task.kv_type, err))
            return false;
        hold_to_training(c);
        fit_memory_of_shape(&c->forecast.memory, &c->model, &job->machine, &c->task);
    }
    return true;
}

static bool add_catalogue(struct job *job, hearth_error *err)
{
    const char *path = job->args->value[ROWS_FILE].text;
    return (!path || fit_rows_read(job->own, &job->n_own, path, err)) && add_rows(job, job->own, job->n_own, err)
           && add_rows(job, fit_catalogue, fit_catalogue_n, err);
}

static bool read_roofs(struct fit_machine *m, const char *text)
{
    char end;
    m->given = text != NULL;
    return !text || (sscanf(text, "%lf,%lf,%lf%c", &m->read, &m->int8, &m->f32, &end) == 3 && m->read > 0
                     && m->int8 > 0 && m->f32 > 0 && m->read < 1e9 && m->int8 < 1e9 && m->f32 < 1e9);
}

static void read_task(struct job *job)
{
    const struct opt_value *v = job->args->value;
    const struct fit_goal_info *g = &fit_goals[job->goal];
    job->task = (struct fit_task){ .n_context = v[CONTEXT].i ? (int)v[CONTEXT].i : g->n_context,
                                   .n_prompt = v[PROMPT].i ? (int)v[PROMPT].i : g->n_prompt,
                                   .n_users = v[USERS].i ? (int)v[USERS].i : g->n_users,
                                   .kv_type = (hearth_kv_type)v[KV_TYPE].i };
    job->task.n_context = max_int(job->task.n_context, v[PROMPT].i ? job->task.n_prompt : 1);
    job->task.n_prompt = min_int(job->task.n_prompt, job->task.n_context);
}

static bool wants_catalogue(const struct job *job)
{
    return job->args->value[CATALOGUE].on || job->args->value[ROWS_FILE].text;
}

/* Nothing that was recorded is no trouble, and roofs that were said are of another time or machine. */
static void correct(struct job *job)
{
    char dir[RECORD_DIR_BYTES];
    hearth_error err = { 0 };
    if (job->machine.given || wants_catalogue(job) || !record_place(dir, &job->args->value[RECORD_DIR], NULL))
        return;
    if (!fit_record_correct(job->c, job->n, &job->machine, dir, &err) && err.status != HEARTH_ERR_IO)
        say("nothing is corrected by what was recorded: %s", err.message);
}

static int show(struct job *job)
{
    const struct opt_value *v = job->args->value;
    struct fit_result r = { .c = job->c, .n = job->n, .machine = &job->machine, .goal = job->goal,
                            .catalogue = wants_catalogue(job) };
    hearth_error err = { 0 };
    struct winsize w = { 0 };
    r.min_speed = v[MIN_SPEED].origin != OPT_UNSET ? v[MIN_SPEED].f : fit_goals[job->goal].min_speed;
    for (int i = 0; i < job->n; i++)
        if (job->c[i].model.runs)
            fit_predict(&job->c[i].forecast, &job->c[i].model, &job->machine, &job->c[i].task);
    correct(job);
    fit_rank(job->c, job->n, job->goal, r.min_speed);
    fit_choose(&r.choice, job->c, job->n);
    if (job->n_left_out)
        say("%d models are left out: at most %d are compared", job->n_left_out, MOST_MODELS);
    if (v[JSON].on)
        return fit_print_json(&r, &err) ? EXIT_DONE : report(&err);
    if (v[CSV].on)
        fit_print_csv(&r);
    else
        fit_print_text(&r, ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 60 ? w.ws_col : 100);
    return r.choice.best >= 0 && job->c[0].verdict == FIT_GOOD ? EXIT_DONE : EXIT_FAILED;
}

static int run_job(struct job *job)
{
    const struct opt_value *v = job->args->value;
    hearth_error err = { 0 };
    if (wants_catalogue(job) == (job->args->n_words > 0))
        return usage_error(&cmd_fit, "give the files or a folder of models, or --catalogue");
    if (v[JSON].on && v[CSV].on)
        return usage_error(&cmd_fit, "--json and --csv exclude each other");
    if (!read_roofs(&job->machine, v[ROOFS].text))
        return usage_error(&cmd_fit, "--roofs is '%.80s'; give three numbers above 0 with commas between, as "
                           "80,980,250", v[ROOFS].text);
    job->goal = (enum fit_goal)v[GOAL].i;
    job->machine.n_threads = (int)v[THREADS].i;
    job->machine.budget_bytes = (uint64_t)(v[MEMORY].f * (double)(1u << 30));
    job->machine.disk = v[DISK].f;
    read_task(job);
    if (!fit_machine_measure(&job->machine, &err))
        return report(&err);
    if (!(wants_catalogue(job) ? add_catalogue : add_words)(job, &err))
        return report(&err);
    if (job->machine.disk == 0 && !job->machine.given)
        fit_machine_read_disk(&job->machine, wants_catalogue(job) ? "/proc/self/exe" : job->c[0].path);
    return show(job);
}

static int run(const struct args *a)
{
    struct job *job = mem_alloc(sizeof *job);
    struct fit_candidate *c = job ? mem_alloc(MOST_MODELS * sizeof *c) : NULL;
    hearth_error err = { 0 };
    int code;
    if (c) {
        *job = (struct job){ .args = a, .c = c };
        code = run_job(job);
    } else {
        fail_memory(&err, "the list of models");
        code = report(&err);
    }
    mem_free(c);
    mem_free(job);
    return code;
}

const struct command cmd_fit = {
    .name = "fit",
    .positionals = "[MODEL|DIR]...",
    .max_words = WORDS_MAX,
    .summary = "which model fits here, and how fast it would be, before it is loaded",
    .about = "Forecasts memory, the time of a first token and tokens a second from the headers of files. What the\n"
             "machine can do is measured in the same run, in about a second: how fast memory and the disk are read,\n"
             "and multiply-adds of 8-bit integers and of floats. How much of that hearth's kernels reach in\n"
             "each number format was measured before (docs/fit.md), and how far a forecast may be off stands beside\n"
             "it. A file that answered here before, alone and recorded, is forecast by how fast that was. Ranked for\n"
             "the goal: first the largest that fits and is fast enough. Size is no measure of quality, but the only\n"
             "one that a header has. What does not fit is shown with the sum. Ends with 0 when one is recommended,\n"
             "with 1 when none is good enough.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
