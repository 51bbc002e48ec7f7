/* sampling.c: the library's table of sampling parameters, for targets that have no engine. */
#include "hearth/hearth.h"

const hearth_sampling_info hearth_sampling_table[HEARTH_N_SAMPLING] = {
#define SAMPLER(name, type, dflt, least, most, help) { #name, #type, help, dflt, least, most },
#include "hearth/sampling.def"
};

void hearth_sampling_set(hearth_sampling *s, int index, double value)
{
    switch (index) {
#define SAMPLER(name, type, dflt, least, most, help) \
    case HEARTH_SAMPLING_##name: s->name = (type)value; break;
#include "hearth/sampling.def"
    default: break;
    }
}

double hearth_sampling_get(const hearth_sampling *s, int index)
{
    switch (index) {
#define SAMPLER(name, type, dflt, least, most, help) \
    case HEARTH_SAMPLING_##name: return (double)s->name;
#include "hearth/sampling.def"
    default: return 0;
    }
}

const hearth_sampling_order *sampling_order_standard(void);
const hearth_sampling_order *sampling_order_standard(void)
{
    static const hearth_sampling_order standard = { .n = 1, .stage = { HEARTH_STAGE_temperature } };
    return &standard;
}

void hearth_sampling_defaults(const hearth_model *model, hearth_sampling *s, hearth_origin *origin)
{
    (void)model;
    (void)origin;
    for (int i = 0; i < HEARTH_N_SAMPLING; i++)
        hearth_sampling_set(s, i, hearth_sampling_table[i].dflt);
}
