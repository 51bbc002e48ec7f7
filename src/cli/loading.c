#include "cli/loading.h"

#include <string.h>

#include "base/clock.h"
#include "cli/interrupt.h"

enum { LOOK_MS = 200 };
static const int64_t quiet_ns = 1000000000;

static void begin(struct loading *l, const hearth_model *model)
{
    *l = (struct loading){ .model = model };
    progress_begin(&l->progress, NULL);
    progress_doing(&l->progress, "reading the weights");
}

static void show(struct loading *l, int64_t now_ns, uint64_t read_bytes, uint64_t file_bytes)
{
    if (now_ns - l->progress.start_ns >= quiet_ns && read_bytes < file_bytes)
        progress_show_at(&l->progress, now_ns, read_bytes, file_bytes, "");
}

static bool show_opening(void *loading, const hearth_progress *at)
{
    if (strcmp(at->phase, "weights") == 0)
        show(loading, clock_ns(), at->read_bytes, at->file_bytes);
    return !interrupt_pending();
}

hearth_model *loading_model(hearth_engine *engine, const hearth_model_options *options, hearth_error *err)
{
    struct loading l;
    hearth_model_options shown = *options;
    begin(&l, NULL);
    shown.progress = show_opening;
    shown.progress_arg = &l;
    hearth_model *model = engine ? hearth_model_open(engine, &shown, err) : NULL;
    loading_end(&l);
    return model;
}

void loading_begin(struct loading *l, const hearth_model *model) { begin(l, model); }

int loading_look_at(struct loading *l, int64_t now_ns, const hearth_readahead *at)
{
    if (!at->reading)
        return -1;
    show(l, now_ns, at->read_bytes, at->file_bytes);
    return LOOK_MS;
}

int loading_look(struct loading *l)
{
    hearth_readahead at;
    if (!l->model)
        return -1;
    hearth_model_readahead(l->model, &at);
    return loading_look_at(l, clock_ns(), &at);
}

void loading_end(struct loading *l)
{
    if (l->progress.terminal && l->progress.shown)
        fputs("\r\x1b[K", l->progress.to);
    l->progress.shown = false;
    l->model = NULL;
}
