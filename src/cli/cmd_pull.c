/* cmd_pull.c: a model from a hub into the store. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/sandbox.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/key_text.h"
#include "cli/command.h"
#include "cli/fit.h"
#include "cli/store_choice.h"
#include "cli/units.h"
#include "store/pull.h"

enum { PLAN, SHA256, STORE_DIR, TOKEN_FILE, HUB, CA_FILE, STALL, RETRIES, RETRY_WAIT, NO_SANDBOX, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [PLAN] = { .name = "plan", .type = OPT_FLAG,
               .help = "fetch the beginning of the file only, and say how large it is, whether the disk has room for "
                       "it, whether it fits into memory here, and how fast it would be" },
    [SHA256] = { .name = "sha256", .type = OPT_TEXT, .value = "HEX",
                 .help = "what the file must be, for an address, which says no digest by itself" },
    [STORE_DIR] = OPT_STORE_DIR_ROW,
    [TOKEN_FILE] = { .name = "token-file", .type = OPT_TEXT, .value = "FILE",
                     .help = "a file with a token for the hub in its first line that is not empty and no # comment; it "
                             "goes to the hub alone, never on to where that points, and is never shown" },
    [HUB] = { .name = "hub", .type = OPT_TEXT, .value = "URL", .dflt = "https://huggingface.co, "
              "https://registry.ollama.ai", .help = "another server that speaks the same: a mirror; http only on this "
              "machine" },
    [CA_FILE] = { .name = "ca-file", .type = OPT_TEXT, .value = "FILE", .dflt = "those of the system",
                  .help = "certificates (PEM) to trust" },
    [STALL] = { .name = "stall", .type = OPT_INT, .value = "S", .least = 1, .most = 3600, .dflt = "30",
                .help = "begin a new request after so many seconds with less than 1,000 bytes each" },
    [RETRIES] = { .name = "retries", .type = OPT_INT, .value = "N", .least = 1, .most = 1000, .dflt = "8",
                  .help = "give up after so many tries that brought not one byte more" },
    [RETRY_WAIT] = { .name = "retry-wait", .type = OPT_INT, .value = "MS", .least = 1, .most = 30000, .dflt = "1000",
                     .help = "how long to wait before the second try; twice that before each next one, up to 30 s" },
    [NO_SANDBOX] = { .name = "no-sandbox", .type = OPT_FLAG,
                     .help = "keep all rights of the user, where without it all but writing the store and connecting "
                             "to others is given up before the first byte comes (docs/models-store.md)" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print each event as a JSON object in a line of its own" },
};

enum { TERMINAL_MS = 200, ELSEWHERE_MS = 5000, JSON_MS = 500, HEAD_BYTES = 24 << 20, PART_HEAD_BYTES = 1 << 20,
       MOST_PLANNED = 64, TOKEN_BYTES = 2048 };

struct job {
    struct reference reference;
    struct tree tree;
    struct http_client *http;
    struct hub_set set;
    struct download_options download;
    struct fit_machine machine; /* of --plan */
    char token[TOKEN_BYTES];
    bool json, terminal, shown;
    int64_t begun_ns, shown_ns;
};

static bool interrupted(void *arg)
{
    (void)arg;
    return interrupt_pending();
}

/* ---- what is said meanwhile ---- */

static void end_line(struct job *j)
{
    if (j->shown && j->terminal)
        fputs("\r\x1b[K", stderr);
    j->shown = false;
}

static void say_progress(struct job *j, const struct download_report *r)
{
    char done[UNITS_BYTES], all[UNITS_BYTES], rate[UNITS_BYTES];
    int64_t now = clock_ns();
    if (now - j->shown_ns < (j->terminal ? TERMINAL_MS : ELSEWHERE_MS) * INT64_C(1000000) || r->bytes == UINT64_MAX)
        return;
    j->shown_ns = now;
    double s = (double)(now - j->begun_ns + 1) / 1e9;
    uint64_t each_second = (uint64_t)((double)r->fetched / s);
    fprintf(stderr, "%s%s%s of %s, %.0f %%", j->terminal ? "\r" : "",
            r->event == DOWNLOAD_HASHING ? "reading what is there: " : "", text_of_bytes(done, r->done),
            text_of_bytes(all, r->bytes), 100.0 * (double)r->done / (double)r->bytes);
    if (r->event == DOWNLOAD_GOES_ON && each_second > 0)
        fprintf(stderr, ", %s/s, %.0f s left", text_of_bytes(rate, each_second),
                (double)(r->bytes - r->done) / (double)each_second);
    fputs(j->terminal ? "   " : "\n", stderr);
    j->shown = true;
}

static void say_event(struct job *j, const struct download_report *r)
{
    char a[UNITS_BYTES], b[UNITS_BYTES];
    if (r->event != DOWNLOAD_GOES_ON && r->event != DOWNLOAD_HASHING)
        end_line(j);
    switch (r->event) {
    case DOWNLOAD_BEGINS:
        if (r->done > 0)
            fprintf(stderr, "%s: %s are there and go on\n", r->name, text_of_bytes(a, r->done));
        break;
    case DOWNLOAD_HASHING:
    case DOWNLOAD_GOES_ON:
        say_progress(j, r);
        break;
    case DOWNLOAD_RETRY:
        fprintf(stderr, "%s; again in %.3g s\n", r->why, r->wait_ms / 1e3);
        break;
    case DOWNLOAD_RESTART:
        fprintf(stderr, "%s: from the beginning again: %s\n", r->name, r->why);
        break;
    case DOWNLOAD_DONE:
        fprintf(stderr, "%s: %s, %s of them fetched now; SHA-256 %s, %s\n", r->name, text_of_bytes(a, r->bytes),
                text_of_bytes(b, r->fetched), r->sha256,
                r->published ? "as the hub says" : "which nobody published: hold it against its maker's");
        break;
    case DOWNLOAD_PRESENT:
        fprintf(stderr, "%s: it is there already\n", r->name);
        break;
    }
}

static void print_event(struct job *j, const struct download_report *r)
{
    static const char *const name[] = { "begin", "hashing", "progress", "retry", "restart", "done", "present" };
    int64_t now = clock_ns();
    hearth_error err = { 0 };
    if (r->event == DOWNLOAD_HASHING || r->event == DOWNLOAD_GOES_ON) {
        if (now - j->shown_ns < JSON_MS * INT64_C(1000000))
            return;
        j->shown_ns = now;
    }
    bool has_why = r->event == DOWNLOAD_RETRY || r->event == DOWNLOAD_RESTART;
    json_t *o = json_pack("{ss ss sI sI sI ss* ss* sb}", "event", name[r->event], "name", r->name, "done",
                          (json_int_t)r->done, "resumed", (json_int_t)r->resumed, "fetched", (json_int_t)r->fetched,
                          "why", has_why ? r->why : NULL, "sha256", r->sha256, "published", (int)r->published);
    if (o && r->bytes != UINT64_MAX)
        json_object_set_new(o, "bytes", json_integer((json_int_t)r->bytes));
    if (!json_print(o, JSON_COMPACT, "the JSON of an event", &err))
        say("%s", err.message);
    fflush(stdout);
}

static void tell(void *arg, const struct download_report *r)
{
    struct job *j = arg;
    if (r->event == DOWNLOAD_BEGINS)
        j->begun_ns = clock_ns();
    if (j->json)
        print_event(j, r);
    else
        say_event(j, r);
}

/* ---- what it would be ---- */

/* What the parts of a model are called while only their beginnings are there. */
static void plan_name(const struct job *j, int i, char out[TREE_NAME_BYTES])
{
    if (j->set.n == 1)
        snprintf(out, TREE_NAME_BYTES, "partial/plan.gguf");
    else
        snprintf(out, TREE_NAME_BYTES, "partial/plan-%05d-of-%05d.gguf", i + 1, j->set.n);
}

/* What a plan that was killed has left; not what another one works on. */
static void see_partial(void *arg, const char *name, const struct tree_file *f)
{
    struct tree_file mine = { .fd = -1 };
    const struct job *j = arg;
    (void)f;
    if (strncmp(name, "partial/plan", 12) == 0 && tree_file_hold(&j->tree, name, &mine, NULL) == 1)
        (void)tree_remove(&j->tree, name, NULL);
    tree_file_close(&mine);
}

/* The beginning of a part as a file of its whole length, with a hole for the rest: only its metadata is read. *f holds
 * it. */
static bool put_head(struct job *j, int i, struct tree_file *f, hearth_error *err)
{
    char name[TREE_NAME_BYTES];
    uint64_t bytes;
    struct buf head = { 0 };
    plan_name(j, i, name);
    if (!pull_head(&head, &bytes, j->http, &j->set.file[i], i == 0 ? HEAD_BYTES : PART_HEAD_BYTES, &j->download, err))
        return false;
    j->set.file[i].bytes = bytes;
    int held = tree_file_hold(&j->tree, name, f, err);
    bool ok = held == 1 && tree_file_cut(f, 0, err) && tree_file_add(f, head.ptr, head.len, err)
           && tree_file_cut(f, bytes, err);
    if (held == 0)
        fail(err, HEARTH_ERR_USAGE, "another hearth plans just now; wait for it, or end it");
    buf_free(&head);
    return ok;
}

/* What it would be here. n_ctx_tokens of the plan 0: not known. */
struct outlook {
    hearth_plan plan;
    struct fit_forecast speed;
    bool has_speed;
};

/* As `hearth fit` has it, for a chat. */
static void forecast(struct outlook *o, hearth_file *file, const char *name, const struct fit_machine *machine)
{
    const struct fit_goal_info *chat = &fit_goals[FIT_CHAT];
    struct fit_model model;
    fit_model_of_file(&model, file, name, (hearth_kv_type)0);
    o->has_speed = model.runs && machine->read > 0;
    if (o->has_speed)
        fit_predict(&o->speed, &model, machine, &(struct fit_task){ .n_context = chat->n_context,
                                                                    .n_prompt = chat->n_prompt, .n_users = 1 });
}

/* True: *out is what it takes here, of all parts together; or *why says why that is not known before it is here. */
static bool look_ahead(struct job *j, struct outlook *out, hearth_error *why, hearth_error *err)
{
    struct tree_file *part = mem_alloc((size_t)j->set.n * sizeof *part);
    char name[TREE_NAME_BYTES], path[TREE_PATH_BYTES + TREE_NAME_BYTES];
    int n = 0;
    bool ok = part || fail_memory(err, "the list of files"), few = j->set.n <= MOST_PLANNED;
    if (!few)
        fail(why, HEARTH_ERR_USAGE, "it has more than %d parts", MOST_PLANNED);
    for (; ok && few && n < j->set.n; n++) {
        part[n].fd = -1;
        ok = put_head(j, n, &part[n], err);
    }
    plan_name(j, 0, name);
    snprintf(path, sizeof path, "%s/%s", j->tree.path, name);
    hearth_file *file = ok && few ? hearth_file_open(&(hearth_source){ .path = path }, why) : NULL;
    if (file && !hearth_file_plan(file, 0, (hearth_kv_type)0, 0, 0, &out->plan, why))
        out->plan.n_ctx_tokens = 0;
    if (file)
        forecast(out, file, j->set.file[0].name, &j->machine);
    hearth_file_close(file);
    for (int i = 0; i < n; i++) {
        plan_name(j, i, name);
        if (part[i].fd >= 0)
            (void)tree_remove(&j->tree, name, NULL);
        tree_file_close(&part[i]);
    }
    mem_free(part);
    return ok;
}

static bool print_plan(struct job *j, hearth_error *err)
{
    uint64_t bytes = 0, free_bytes = tree_free_bytes(&j->tree);
    char a[UNITS_BYTES], b[UNITS_BYTES];
    struct outlook o = { 0 };
    hearth_error why = { 0 };
    if (!look_ahead(j, &o, &why, err))
        return false;
    const hearth_plan *plan = &o.plan;
    bool has_plan = plan->n_ctx_tokens > 0;
    for (int i = 0; i < j->set.n; i++)
        bytes += j->set.file[i].bytes;
    if (j->json) {
        json_t *all = json_pack("{ss ss si sI sI sb}", "event", "plan", "name", j->set.file[0].name, "files", j->set.n,
                                "bytes", (json_int_t)bytes, "free_bytes", (json_int_t)(free_bytes & INT64_MAX),
                                "disk_has_room", (int)(bytes <= free_bytes));
        if (all && has_plan) {
            json_object_set_new(all, "memory_bytes", json_integer((json_int_t)plan->total_bytes));
            json_object_set_new(all, "memory_fits", json_boolean(plan->fits));
        }
        if (all && o.has_speed) {
            json_object_set_new(all, "tok_s", json_real(o.speed.tok_s.value));
            json_object_set_new(all, "first_token_ms", json_real(o.speed.first_token_ms.value));
        }
        return json_print(all, JSON_COMPACT, "the JSON of the plan", err);
    }
    printf("%-10s%s%s\n", "file", j->set.file[0].name, j->set.n > 1 ? " and its other parts" : "");
    printf("%-10s%s in %d file%s, %s are free in %s: %s\n", "disk", text_of_bytes(a, bytes), j->set.n,
           j->set.n == 1 ? "" : "s", text_of_bytes(b, free_bytes), j->tree.path,
           bytes <= free_bytes ? "it fits" : "it does not fit");
    printf("%-10s%s\n", "sha256", j->set.file[0].sha256[0] ? j->set.file[0].sha256 : "not published");
    if (has_plan)
        printf("%-10s%s with a context of %d tokens: %s\n", "memory", text_of_bytes(a, plan->total_bytes),
               plan->n_ctx_tokens, plan->fits ? "it fits" : plan->reason);
    else
        printf("%-10snot known before it is here%s%s\n", "memory", why.message[0] ? ": " : "", why.message);
    if (o.has_speed)
        printf("%-10sabout %.3g tokens a second (%.3g to %.3g), the first of a prompt of %d after %s (hearth fit)\n",
               "speed", o.speed.tok_s.value, o.speed.tok_s.low, o.speed.tok_s.high, fit_goals[FIT_CHAT].n_prompt,
               text_of_ms(a, o.speed.first_token_ms.value));
    return true;
}

/* ---- what is given up before ---- */

static bool say_sandbox(const struct job *j, const struct sandbox *s, bool off, hearth_error *err)
{
    bool all = s->seccomp && s->landlock;
    if (j->json)
        return json_print(json_pack("{ss sb sb si}", "event", "sandbox", "seccomp", (int)s->seccomp, "landlock",
                                    (int)s->landlock, "landlock_abi", s->landlock_abi),
                          JSON_COMPACT, "the JSON of an event", err);
    if (off)
        say("warning: without its sandbox (--no-sandbox) whoever takes over this command has all rights of its user");
    else if (!all)
        say("warning: this kernel has no %s, so the sandbox is %s",
            s->seccomp ? "Landlock" : s->landlock ? "seccomp" : "seccomp and no Landlock",
            s->seccomp || s->landlock ? "only half of it" : "off");
    return true;
}

/* From here on this process writes nothing but the store, and runs no programs: what others send is read after that. */
static bool enter_sandbox(struct job *j, const struct args *a, hearth_error *err)
{
    /* Of the system's files, what it takes to say whether a model fits. */
    static const char *const of_plan[] = { "/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup" };
    const struct opt_value *v = a->value;
    struct sandbox s = { 0 };
    /* Its topology is read once, from more files than those above. A speed is not worth ending for. */
    if (v[PLAN].on && !fit_machine_measure(&j->machine, NULL))
        j->machine = (struct fit_machine){ 0 };
    if (v[NO_SANDBOX].on) {
        sandbox_look(&s);
        return say_sandbox(j, &s, true, err);
    }
    bool ok = sandbox_may_connect(&s) && sandbox_may_write(&s, j->tree.path)
           && sandbox_may_read(&s, "/proc/sys/kernel/random") /* since when the machine runs: records.h */
           && (!v[CA_FILE].text || sandbox_may_read(&s, v[CA_FILE].text));
    for (size_t i = 0; v[PLAN].on && ok && i < ARRAY_LEN(of_plan); i++)
        ok = sandbox_may_read(&s, of_plan[i]);
    if (!ok)
        return fail(err, HEARTH_ERR_USAGE, "the path of the store or of --ca-file has more than %d bytes; name a "
                    "shorter one, or turn the sandbox off with --no-sandbox", SANDBOX_PATH_BYTES - 1);
    return sandbox_enter(&s, err) && say_sandbox(j, &s, false, err);
}

/* ---- all of it ---- */

static bool check_room(const struct job *j, hearth_error *err)
{
    uint64_t need = 0, room = tree_free_bytes(&j->tree);
    char part[PARTIAL_NAME_BYTES], note[PARTIAL_NAME_BYTES];
    for (int i = 0; i < j->set.n; i++) {
        struct tree_file f = { .fd = -1 };
        const struct hub_file *w = &j->set.file[i];
        uint64_t there = 0;
        if (w->bytes == UINT64_MAX)
            return true;
        if (tree_file_open(&j->tree, w->name, &f, NULL) == 1)
            there = f.bytes;
        else if (partial_names(w->name, part, note, err) && tree_file_open(&j->tree, part, &f, NULL) == 1)
            there = f.bytes;
        tree_file_close(&f);
        need += w->bytes > there ? w->bytes - there : 0;
    }
    return need <= room
        || fail(err, HEARTH_ERR_MEMORY, "%.200s: %.2f GB are to come and %.2f GB are free in %s: %.2f GB are missing; "
                "make room there, or name another folder (--store-dir)", j->reference.text, (double)need / 1e9,
                (double)room / 1e9, j->tree.path, (double)(need - room) / 1e9);
}

/* What came, read as a model, still in the sandbox: it is right by its digest, and may yet be none that runs here. The
 * template is what an honest model is most easily changed in, so its digest can be held against another place's. */
static bool say_model(const struct job *j, hearth_error *err)
{
    char path[TREE_PATH_BYTES + STORE_NAME_BYTES];
    hearth_error why = { 0 };
    hearth_file_info info = { .architecture = "", .problem = why.message };
    hearth_template_info template = { .sha256 = "" };
    snprintf(path, sizeof path, "%s/%s", j->tree.path, j->set.file[0].name);
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, &why);
    if (file)
        hearth_file_describe(file, &info);
    bool has_template = file && hearth_file_template(file, &template), ok = true;
    if (j->json) {
        ok = json_print(json_pack("{ss ss so sb ss so}", "event", "model", "name", j->set.file[0].name, "architecture",
                                  json_of_text(info.architecture), "runs", (int)info.runs, "template_sha256",
                                  has_template ? template.sha256 : "", "problem", json_of_text(info.problem)),
                        JSON_COMPACT, "the JSON of an event", err);
    } else {
        if (has_template)
            fprintf(stderr, "%s: SHA-256 of its template %s (hearth inspect --template shows it)\n",
                    j->set.file[0].name, template.sha256);
        if (!info.runs)
            say("warning: %s is whole and right, and does not run here: %s", j->set.file[0].name, info.problem);
    }
    hearth_file_close(file);
    return ok;
}

static bool pull(struct job *j, const struct args *a, hearth_error *err)
{
    const struct opt_value *v = a->value;
    (void)tree_look(&j->tree, "partial", see_partial, j, NULL); /* what cannot be read is said where it is needed */
    if (!pull_list(&j->set, j->http, &j->reference, v[HUB].text, &j->download, err))
        return false;
    for (int i = 0; v[SHA256].text && i < j->set.n; i++)
        snprintf(j->set.file[i].sha256, sizeof j->set.file[i].sha256, "%s", v[SHA256].text);
    if (v[PLAN].on)
        return print_plan(j, err);
    if (!check_room(j, err))
        return false;
    for (int i = 0; i < j->set.n; i++)
        if (!download_file(&j->tree, j->http, &j->set.file[i], j->reference.text, &j->download, err))
            return false;
    if (!say_model(j, err))
        return false;
    if (!j->json) {
        printf("%s/%s\n", j->tree.path, j->set.file[0].name);
        fprintf(stderr, "next: hearth chat %s\n", j->reference.text);
    }
    return true;
}

static int run(const struct args *a)
{
    const struct opt_value *v = a->value;
    hearth_error err = { 0 };
    char folder[TREE_PATH_BYTES];
    struct job j = { .tree = { .fd = -1 }, .json = v[JSON].on, .terminal = isatty(STDERR_FILENO) };
    if (a->n_words == 0)
        return usage_error(&cmd_pull, "which model? hf:OWNER/REPO, hf:OWNER/REPO:Q4_K_M, ollama:NAME:TAG or "
                           "https://HOST/FILE.gguf");
    if (!reference_read(&j.reference, a->word[0], &err))
        return usage_error(&cmd_pull, "%s", err.message);
    if (v[SHA256].text && (j.reference.kind != REFERENCE_URL || !hub_is_sha256(v[SHA256].text)))
        return usage_error(&cmd_pull, "--sha256 is 64 digits (0-9a-f) for an address; hubs name theirs themselves");
    j.download = (struct download_options){
        .stall_s = v[STALL].origin == OPT_UNSET ? 30 : (int)v[STALL].i,
        .retry_ms = v[RETRY_WAIT].origin == OPT_UNSET ? 1000 : (int)v[RETRY_WAIT].i,
        .most_tries = v[RETRIES].origin == OPT_UNSET ? 8 : (int)v[RETRIES].i,
        .tell = tell, .stop = interrupted, .arg = &j,
    };
    if (!key_text_read(j.token, sizeof j.token, "--token-file", v[TOKEN_FILE].text, &err)
        || !store_choose(folder, &v[STORE_DIR], &err) || !interrupt_init(&err))
        return report(&err);
    j.download.key = j.token[0] ? j.token : NULL;
    interrupt_hold();
    bool ok = tree_open(&j.tree, folder, true, &err) && (j.http = http_client_create(v[CA_FILE].text, &err))
           && enter_sandbox(&j, a, &err) && pull(&j, a, &err);
    end_line(&j);
    hub_set_free(&j.set);
    http_client_destroy(j.http);
    tree_close(&j.tree);
    memset(j.token, 0, sizeof j.token);
    return ok ? EXIT_DONE : report(&err);
}

const struct command cmd_pull = {
    .name = "pull",
    .positionals = "REFERENCE",
    .max_words = 1,
    .summary = "fetch a model: hf:OWNER/REPO[:QUANT], ollama:NAME[:TAG] or https://HOST/FILE.gguf",
    .about = "Of a repository with several files QUANT says which (Q4_K_M, or a file's name); without it Q4_K_M is\n"
             "taken, else the only one there is. All parts of a split file are fetched. A file is under its name when\n"
             "all of it is there, synced, and its SHA-256 is the one that the hub names, and not before: until then\n"
             "it is in partial/, and the same command goes on where the last one ended, whatever ended it.\n"
             "\n"
             "Then `hearth run hf:OWNER/REPO`, and every other MODEL, takes the same reference. Proxies of the\n"
             "environment (https_proxy, all_proxy, no_proxy) are used, but not for this machine; hearth env has them.\n"
             "It gives up the rest of its user's rights before the first byte comes. docs/models-store.md.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
