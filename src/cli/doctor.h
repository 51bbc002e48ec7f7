/* doctor.h: what a machine is for running models, in words. Facts are read once (doctor_facts.c); each check of
 * doctor.def is a pure function from them to a line (doctor_cores.c, doctor_memory.c, doctor_speed.c). */
#pragma once
#include <jansson.h>

#include "base/condition.h"
#include "base/disk_rate.h"
#include "base/machine.h"

struct doctor_facts {
    struct machine machine;
    struct condition before, now; /* when measuring began and when it had ended */
    int n_threads;                /* that hearth would compute with */
    uint64_t plan_bytes;          /* of memory, that a plan may take */

    const char *isa;              /* in use; NULL: HEARTH_ISA names one that is not there */
    const char *best_isa;         /* that this processor runs */
    char isas_here[64], isas_built[64]; /* that run here, and that this build has; spaces between, best first */

    char disk_file[300]; /* that the disk was read for; "the program's own file" */
    struct disk_rate disk;
    char disk_problem[512]; /* "": none */

    double read_gb_s, int8_gmac_s; /* 0: not measured */
    double disturbed_percent;      /* of the pieces that the two were measured in */
    char roof_problem[512];        /* why they were not measured; "" */

    double took_ms, others_percent, stolen_percent; /* of all processors in that time, the host's part in both */
};

/* model_path: the file to read for the disk's rate; NULL: the program's own. Never fails: what cannot be found out is a
 * problem among the facts. Takes two seconds at most. */
void doctor_facts_read(struct doctor_facts *f, const char *model_path);
json_t *doctor_facts_json(const struct doctor_facts *f); /* units in the keys; NULL: memory is out */

enum doctor_level { DOCTOR_FINE, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_N_LEVELS };
const char *doctor_level_name(enum doctor_level level);

struct finding {
    enum doctor_level level;
    char text[700];   /* what it is, and what it means */
    char remedy[300]; /* what would help; "": nothing would, or need to */
};

/* out is zeroed before: fine, without words. */
typedef void doctor_check(const struct doctor_facts *f, struct finding *out);
#define CHECK(name) doctor_check doctor_##name;
#include "cli/doctor.def"

struct doctor_row {
    const char *name;
    doctor_check *check;
};
extern const struct doctor_row doctor_rows[]; /* name NULL ends it */

/* For checks: more words behind those that are there. */
void doctor_say(struct finding *out, const char *fmt, ...) PRINTF(2, 3);
/* What would help, and how much it matters: the worst level that a check gives stays, with its remedy. */
void doctor_advise(struct finding *out, enum doctor_level level, const char *fmt, ...) PRINTF(3, 4);
