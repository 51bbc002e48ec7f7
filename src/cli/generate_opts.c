#include "cli/generate_opts.h"

#include <string.h>

void sampling_fill(hearth_sampling *s, hearth_origin origin[HEARTH_N_SAMPLING], const hearth_model *model,
                   const struct opt_value given[HEARTH_N_SAMPLING])
{
    hearth_sampling_defaults(model, s, origin);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        if (given[i].origin == OPT_UNSET)
            continue;
        bool whole = strcmp(hearth_sampling_table[i].type, "int") == 0;
        hearth_sampling_set(s, i, whole ? (double)given[i].i : given[i].f);
        origin[i] = HEARTH_FROM_REQUEST;
    }
}
