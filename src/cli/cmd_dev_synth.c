/* cmd_dev_synth.c: write a full-size model with random weights. */
#include <stdio.h>
#include <string.h>

#include "base/machine.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/synth.h"
#include "cli/units.h"

enum { SHAPE, TYPE, SEED, THREADS, N_OPTS };

static const struct opt options[N_OPTS] = {
    [SHAPE] = { .name = "shape", .type = OPT_CHOICE, .value = "llama-3.2-1b|qwen3-0.6b|qwen3-1.7b|qwen3-4b|"
                                                                 "qwen3-30b-a3b-8l|llama-3.1-8b|tiny",
                .help = "whose dimensions to take; needed" },
    [TYPE] = { .name = "type", .type = OPT_CHOICE, .value = "Q4_K_M|Q6_K|Q8_0|Q4_0|F16", .dflt = "Q4_K_M",
               .help = "types of the tensors, mixed as in published files" },
    [SEED] = { .name = "seed", .aliases = "-s", .type = OPT_COUNT, .value = "S", .dflt = "1",
               .help = "start of the random numbers: the same seed gives the same bytes" },
    [THREADS] = { .name = "threads", .aliases = "-t", .type = OPT_INT, .value = "N", .least = 1, .most = 1024,
                  .dflt = "one for each physical core", .help = "threads to work with" },
};

static bool show(void *arg, uint64_t done, uint64_t total)
{
    progress_show(arg, done, total, "");
    return !interrupt_pending();
}

static int run(const struct args *a)
{
    const struct opt_value *v = a->value;
    hearth_error err = { 0 };
    if (v[SHAPE].origin == OPT_UNSET)
        return usage_error(&cmd_dev_synth, "--shape is needed: %s", options[SHAPE].value);
    if (a->n_words == 0)
        return usage_error(&cmd_dev_synth, "OUT is needed: the file to write");
    if (!interrupt_init(&err))
        return report(&err);
    interrupt_hold();

    struct machine machine;
    machine_read(&machine);
    struct progress p;
    progress_begin(&p, NULL);
    struct synth_options o = {
        .shape = &synth_shapes[v[SHAPE].i],
        .type = &synth_types[v[TYPE].i],
        .seed = v[SEED].origin == OPT_UNSET ? 1 : (uint64_t)v[SEED].i,
        .n_threads = v[THREADS].i ? (int)v[THREADS].i : machine_default_threads(&machine),
        .progress = show,
        .progress_arg = &p,
    };
    uint64_t n_values = 0;
    bool ok = synth_write(a->word[0], &o, &n_values, &err);
    progress_end(&p);
    if (!ok)
        return report(&err);
    char count[UNITS_BYTES];
    fprintf(stderr, "%s: %s %s, %s parameters, %.1f s\n", a->word[0], o.shape->name, o.type->name,
            text_of_count(count, n_values), progress_seconds(&p));
    return EXIT_DONE;
}

const struct command cmd_dev_synth = {
    .name = "dev synth",
    .positionals = "OUT",
    .max_words = 1,
    .summary = "write a full-size model with random weights",
    .about = "For benchmarks and tests without downloads: every dimension, the tensor types, and the sizes of\n"
             "vocabulary and merge list are those of the published model (tiny is for tests, and -8l has 8 of\n"
             "the layers); attention is not uniform; there is a chat template. The bytes depend on shape, type\n"
             "and seed alone.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
