/* again.c: a recorded answer, found and asked for once more, to be explained. Work thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "record/recorded.h"
#include "server/core.h"

/* ---- which one ---- */

struct search {
    const struct exchange *x;
    const struct recorder_figures *recorder;
    bool by_number;
    int64_t id; /* 0: none yet */
};

/* What others asked is not there for a key, nor what was not asked of a server: `hearth chat` may have this folder. */
static bool is_theirs(const struct exchange *x, const struct recorded_row *row)
{
    if (row->source[0] != '/')
        return false;
    if (x->key && x->key->is_admin)
        return true;
    return x->key ? row->key && strcmp(row->key, x->key->name) == 0 : !row->key;
}

static bool note_row(void *arg, const struct recorded_row *row)
{
    struct search *s = arg;
    if (is_theirs(s->x, row) && (s->by_number || row->choice == s->x->explain[EXPLAIN_CHOICE]))
        s->id = row->id; /* the newest is the last */
    return true;
}

static bool look(struct search *s, struct recorded_filter *filter, struct problem *p)
{
    hearth_error err = { 0 }, none;
    uint64_t device, inode;
    if (s->x->key && !s->x->key->is_admin)
        filter->key = s->x->key->name;
    if (recorded_list(s->recorder->dir, filter, RECORDED_LINE, note_row, s, &err)
        || file_identity(s->recorder->path, &device, &inode, &none) == 0) /* nothing was recorded yet */
        return true;
    problem_of_error(p, &err);
    return false;
}

/* By every spelling that clients know of an id. The number of a row is for who may see all: it can be counted up. */
static bool find(struct search *s, struct problem *p)
{
    static const char *const prefixes[] = { "chatcmpl-", "cmpl-" };
    const char *said = s->x->explained;
    char own[sizeof s->x->explained + 8];
    char *end;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (strncmp(said, prefixes[i], strlen(prefixes[i])) == 0)
            said += strlen(prefixes[i]);
    snprintf(own, sizeof own, "req-%s", said);
    const char *const names[] = { s->x->explained, said, own };
    struct recorded_filter filter = { .status = -1, .last = ASK_MAX_CHOICES };
    for (size_t i = 0; i < ARRAY_LEN(names) && !s->id; i++) {
        filter.request_id = names[i];
        if (!look(s, &filter, p))
            return false;
    }
    filter.request_id = NULL;
    filter.id = strtoll(said, &end, 10);
    s->by_number = s->x->sees_all && filter.id > 0 && !*end;
    if (!s->id && s->by_number && !look(s, &filter, p))
        return false;
    return s->id
           || refuse(p, PROBLEM_request_not_found, NULL, "no answer of request '%.60s' is recorded; what has just "
                     "ended is within a second", s->x->explained);
}

/* ---- what was recorded of it ---- */

struct load {
    struct exchange *x;
    struct problem *p;
    bool seen, ok;
};

/* As the database has it, and as JSON values. */
static size_t bytes_of(const struct recorded_row *row)
{
    enum { OF_JSON = 12 };
    size_t text = (row->receipt ? strlen(row->receipt) : 0) + (row->parameters ? strlen(row->parameters) : 0);
    return row->n_prompt * sizeof *row->prompt + row->n_output * (sizeof *row->output + sizeof *row->mixes)
           + OF_JSON * text;
}

/* A recording that is damaged, or has nothing that could be computed again, is nothing that a model did wrong. */
static bool cannot(struct problem *p, const hearth_error *err)
{
    if (err->status == HEARTH_ERR_FORMAT)
        return refuse(p, PROBLEM_not_recorded, NULL, "%s", err->message);
    problem_of_error(p, err);
    return false;
}

static bool take_row(void *arg, const struct recorded_row *row)
{
    enum { OF_A_TOKEN = 1400 }; /* of the prompt, as JSON */
    struct load *l = arg;
    struct exchange *x = l->x;
    hearth_error err = { 0 };
    size_t bytes = bytes_of(row) + OF_A_TOKEN * row->n_prompt;
    l->seen = true;
    if (!row->has_body)
        l->ok = refuse(l->p, PROBLEM_not_recorded, NULL, "this answer was recorded without its tokens; a server "
                       "started with --record full keeps those of the answers to come");
    else if (bytes > x->server->memory.most)
        l->ok = refuse(l->p, PROBLEM_prompt_too_large, NULL, "explaining this answer takes %zu MiB, and the memory for "
                       "requests is %zu MiB (--request-memory); hearth why does it", bytes >> 20,
                       x->server->memory.most >> 20);
    else if (!memory_take(&x->server->memory, bytes))
        l->ok = refuse(l->p, PROBLEM_out_of_memory, NULL, "explaining this answer takes %zu MiB, and of the memory for "
                       "requests (%zu MiB) less is free; try again later, or hearth why", bytes >> 20,
                       x->server->memory.most >> 20);
    else {
        x->reserved_bytes += bytes;
        l->ok = recorded_recording(row, &x->ask.recording, &err);
        if (!l->ok)
            cannot(l->p, &err);
    }
    return false;
}

static bool load(struct exchange *x, const char *dir, int64_t id, struct problem *p)
{
    hearth_error err = { 0 };
    struct recorded_filter filter = { .status = -1, .id = id };
    struct load l = { .x = x, .p = p };
    if (!recorded_list(dir, &filter, RECORDED_BODY, take_row, &l, &err)) {
        problem_of_error(p, &err);
        return false;
    }
    if (!l.seen)
        return refuse(p, PROBLEM_request_not_found, NULL, "the record of request '%.60s' has just been removed",
                      x->explained);
    return l.ok;
}

/* ---- once more ---- */

/* The model that it was computed with, and with the same keys and values. */
static bool choose_model(struct exchange *x, struct problem *p)
{
    const struct recording *r = &x->ask.recording;
    for (int i = 0; i < x->server->options.n_models; i++) {
        const struct view *v = &x->server->views[i];
        if (strcmp(v->model_identity, recording_text(r, "model", "identity")) == 0
            && strcmp(hearth_kv_type_name(v->plan.kv_type), recording_text(r, "memory", "kv_type")) == 0)
            return served_take(x, i, p);
    }
    return refuse(p, PROBLEM_not_recorded, NULL, "this answer is of model '%.60s' with keys and values of type %.10s, "
                  "which is not served now; hearth why ID MODEL computes it", recording_text(r, "model", "name"),
                  recording_text(r, "memory", "kv_type"));
}

bool again_read(struct exchange *x, struct problem *p)
{
    struct ask *a = &x->ask;
    struct recorder_figures recorder;
    struct search s = { .x = x, .recorder = &recorder };
    hearth_error err = { 0 };
    hearth_template_info template;
    recorder_look(x->server->options.recorder, &recorder);
    if (!recorder.on)
        return refuse(p, PROBLEM_not_recorded, NULL, "nothing is recorded here; start the server with --record full");
    if (!ask_init(a, 0, p) || !find(&s, p) || !load(x, recorder.dir, s.id, p) || !choose_model(x, p))
        return false;
    if (!recording_ask(&a->recording, &a->arena, &a->request, &err))
        return cannot(p, &err);
    const struct recording *r = &a->recording;
    a->request.ids_are_chat &= hearth_file_template(x->server->served[x->model].file, &template);
    /* As far as it was recorded: what a cut answer would have said next, nobody knows. */
    a->request.max_tokens = max_int((int)r->n_output + (r->end_mix != 0), 1);
    a->request.want_choice = true;
    a->request.n_alternatives = x->explain[EXPLAIN_TOP];
    a->only_token = x->explain[EXPLAIN_TOKEN];
    return true;
}
