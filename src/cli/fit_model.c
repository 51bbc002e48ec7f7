/* fit_model.c: a model as a forecast needs it, from the header of its file. */
#include <stdio.h>

#include "base/base.h"
#include "cli/fit.h"

void fit_model_of_file(struct fit_model *m, hearth_file *file, const char *name, hearth_kv_type kv_type)
{
    hearth_file_info i;
    hearth_cost cost;
    hearth_format_cost formats[FIT_MOST_FORMATS];
    hearth_file_describe(file, &i);
    *m = (struct fit_model){ .n_parameters = i.n_parameters, .file_bytes = i.file_bytes,
                             .weight_bytes = i.weight_bytes, .n_layers = i.n_layers, .n_embd = i.n_embd,
                             .n_heads = i.n_heads, .n_kv_heads = i.n_kv_heads, .head_dim = i.head_dim, .n_ff = i.n_ff,
                             .n_vocab = i.n_vocab, .n_ctx_train = i.n_ctx_train, .kv_type = kv_type, .runs = i.runs };
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(m->architecture, sizeof m->architecture, "%s", i.architecture);
    snprintf(m->types, sizeof m->types, "%s", i.types);
    snprintf(m->problem, sizeof m->problem, "%s", i.problem);
    if (!hearth_file_identity(file, m->identity, NULL))
        m->identity[0] = '\0';
    if (!i.runs || !hearth_file_cost(file, kv_type, &cost))
        return;
    m->kv_bytes = (double)cost.kv_read_bytes;
    m->attention_macs = (double)cost.attention_macs;
    m->n_formats = min_int((int)hearth_file_format_costs(file, formats, FIT_MOST_FORMATS), FIT_MOST_FORMATS);
    for (int f = 0; f < m->n_formats; f++)
        m->format[f] = (struct fit_format){ formats[f].name, (double)formats[f].pass_bytes,
                                            (double)formats[f].layer_macs, (double)formats[f].output_macs };
}
