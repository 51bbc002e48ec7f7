/* view.h: what endpoints may know of the server. Immutable while it serves, but for the figures of `load`. */
#pragma once
#include "base/sandbox.h"
#include "hearth/hearth.h"
#include "record/plan_why.h"
#include "record/recorder.h"
#include "record/verified.h"
#include "server/api/preset.h"

/* A request that runs or waits. */
struct request_state {
    const char *id, *state; /* "reading", "waiting", "running" */
    double age_s;
    int n_choices, n_tokens; /* so far, of all of them */
    bool stream;
};

enum { VIEW_MAX_MODELS = 16 }; /* that are served together: as many as an engine holds */

/* Times as a histogram: hearth_time_bounds_s. */
struct times {
    uint64_t n[HEARTH_N_TIMES];
    double sum_s;
};

/* Of one model. */
struct model_load {
    int n_running, n_waiting; /* of those whose body is read */
    uint64_t n_completed, prompt_tokens, cached_tokens, output_tokens;
    double prompt_ms, output_ms;
    uint64_t n_preemptions, n_draft_tokens, n_accepted_tokens;
    struct times queue, first_token; /* of answers that came to their end */
    hearth_model_now engine;
    hearth_readahead weights;
};

/* What was asked for with a key, or in all: requests to generate. n_requests are those that run, and the sum of the
 * four ways to end. */
struct usage {
    uint64_t n_requests, n_completed, n_refused, n_failed, n_cancelled; /* refused: 429 and 503 */
    uint64_t prompt_tokens, cached_tokens, output_tokens; /* cached: of the prompt's */
    double seconds; /* that its answers had a slot */
};
struct usage_row {
    const char *name;
    int n_running, n_at_once; /* 0: as many as there is room for */
    int64_t n_per_minute;     /* 0: as many as it likes */
    struct usage usage;
};

/* Memory of the process, and around it. What an endpoint does not see is 0. */
enum memory_seen { MEMORY_NOT_SEEN, MEMORY_OF_PROCESS, MEMORY_OF_WEIGHTS /* takes milliseconds */ };
struct memory_figures {
    uint64_t resident_bytes, peak_resident_bytes, anonymous_bytes; /* of the process */
    uint64_t weights_resident_bytes;
    bool is_short;
    uint64_t n_shortages;             /* times that it became so */
    uint64_t limit_bytes, used_bytes; /* memory_pressure.h */
    double stalled_percent;           /* below 0: the system does not say */
    hearth_given given[HEARTH_N_GIVES];
};

/* Figures of now, for pages that show them. */
struct load_figures {
    bool ready, draining, stalled;
    double still_ms, patience_ms; /* since the engine got on for the last time, while it has something to do */
    double uptime_s;
    int n_running, n_waiting, n_connections;
    uint64_t waiting_tokens;  /* of prompts that wait, as far as they are counted */
    uint64_t n_requests, n_completed, n_failed, n_cancelled, n_refused, n_turned_away;
    uint64_t output_tokens;       /* of all models */
    struct model_load of[VIEW_MAX_MODELS]; /* [n_models], in the order of view.all */
    int n_models;
    uint64_t memory_used_bytes; /* of the pool of requests */
    struct memory_figures memory;
    bool has_disk_cache;
    hearth_disk_cache disk_cache;
    struct request_state request; /* for endpoints that are about one */
    int n_ended;                  /* requests, by an endpoint that ends them */
    struct recorder_figures recorder;
    uint64_t n_lost_lines;        /* of the log */
    struct usage usage;           /* of all that asked */
    const struct usage_row *rows; /* [n_rows] of the keys that who asks may see */
    int n_rows;
    bool sees_all;                /* these are all */
};

/* One of the models that are served, and the server around it. */
struct view {
    const struct view *all;     /* [n_all] all of them, this one among them; NULL: there are no others */
    int n_all;
    const char *model_id;       /* under which it is listed */
    const char *file_id;        /* the file's own name; the same where no alias was given */
    const char *fingerprint;
    const char *model_identity;
    struct verified verified;   /* what `hearth verify` found of it, as it was at start */
    int64_t started_s;          /* Unix time */
    hearth_file_info info;
    hearth_plan plan;
    hearth_plan_choices plan_choices; /* what else would fit */
    struct plan_asked plan_asked;
    bool has_template, has_thinking_switch;
    const char *thinking_switch; /* the template value that turns thinking on and off; "": there is none */
    const struct preset *preset; /* what the settings say of this model; NULL: nothing */
    const char *settings;       /* the settings file that was read; NULL: none */
    const char *bos_text, *eos_text;

    hearth_sampling sampling;   /* of requests that say nothing: hearth's, the model's and the preset's on top */
    hearth_origin sampling_origin[HEARTH_N_SAMPLING];

    int n_parallel;             /* computed at once, of each model */
    int n_queue;                /* that may wait besides, of all models together */
    uint64_t n_queue_tokens;    /* of their prompts */
    int ping_ms;
    int request_ms;             /* for a request from its headers on; 0: as long as it takes */
    size_t body_max_bytes, memory_bytes;
    bool strict, has_keys;
    const struct sandbox *sandbox; /* NULL: nobody asked */

    /* The bytes of a token, NULL for a bad id; lives as long as the server. Any thread. */
    const char *(*token_text)(void *arg, int32_t id, size_t *n_bytes);
    void *token_arg;
    hearth_file *file; /* of the model, for what explains answers; NULL where there is none */
};
