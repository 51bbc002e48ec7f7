/* chat_commands.c: what begins with "/" in a conversation. The table is chat_commands.def. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/words.h"
#include "cli/dialogue.h"
#include "cli/generate_opts.h"
#include "cli/prompt_text.h"
#include "cli/receipt_text.h"
#include "record/receipt_json.h"

typedef void command_fn(struct dialogue *d, const char *argument, bool force);

#define CHAT_COMMAND(name, arguments, words, help) static command_fn do_##name;
#include "cli/chat_commands.def"

static const struct chat_command {
    const char *name, *slashed, *arguments, *words, *help;
    command_fn *run;
} chat_commands[] = {
#define CHAT_COMMAND(name, arguments, words, help) { #name, "/" #name, arguments, words, help, do_##name },
#include "cli/chat_commands.def"
};

/* The parameters of /set, as the command line has them. */
enum { MAX, SEED, SAMPLING, N_PARAMETERS = SAMPLING + HEARTH_N_SAMPLING };

static const struct opt parameters[N_PARAMETERS] = {
    [MAX] = OPT_MAX_TOKENS_ROW,
    [SEED] = OPT_SEED_ROW,
#include "cli/sampling_rows.def"
};

static struct opt_value *parameter_value(struct dialogue *d, int i)
{
    return i == MAX ? &d->max_tokens : i == SEED ? &d->seed : &d->sampling[i - SAMPLING];
}

/* As they are written here; those of sampling.def have theirs already. */
static const char *parameter_name(int i) { return i == MAX ? "max_tokens" : parameters[i].name; }

static bool last_is_user(const struct dialogue *d)
{
    return d->talk.n > 0 && conversation_last_user(&d->talk) == d->talk.n - 1;
}

/* ---- the message and its answer ---- */

static void do_retry(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    size_t last = conversation_last_user(&d->talk);
    if (last == d->talk.n)
        dialogue_refuse(d, EXIT_USAGE, "there is no message to answer yet");
    else
        dialogue_ask(d, last + 1, NULL);
}

static void do_edit(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    if (conversation_last_user(&d->talk) == d->talk.n)
        dialogue_refuse(d, EXIT_USAGE, "there is no message to change yet");
    else if (!line_editor_on_terminal(d->editor))
        dialogue_refuse(d, EXIT_USAGE, "/edit needs a terminal; /undo takes the message back, then send another");
    else
        d->editing = true;
}

static void do_undo(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    if (conversation_undo(&d->talk) == 0)
        dialogue_refuse(d, EXIT_USAGE, "there is no message to take back");
    else
        fprintf(stderr, "taken back; %zu messages stay\n", d->talk.n);
}

static void do_drop(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    size_t n = conversation_drop(&d->talk);
    if (n == 0)
        dialogue_refuse(d, EXIT_USAGE, "there is no message to forget");
    else
        fprintf(stderr, "the oldest %zu messages are forgotten; %zu stay\n", n, d->talk.n);
}

static void do_clear(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    conversation_clear(&d->talk);
    fputs(d->talk.n > 0 ? "a new conversation; the system message stays\n" : "a new conversation\n", stderr);
}

static void show_system(const struct dialogue *d)
{
    size_t n_system = conversation_n_system(&d->talk);
    if (n_system == 0)
        fputs("there is no system message\n", stderr);
    for (size_t i = 0; i < n_system; i++) {
        size_t n;
        char *text = message_text(&d->talk.messages[i], &n);
        fprintf(stderr, "%s: %s\n", d->talk.messages[i].role, text ? text : "");
        mem_free(text);
    }
}

static void do_system(struct dialogue *d, const char *argument, bool force)
{
    (void)force;
    hearth_error err;
    bool away = strcmp(argument, "-") == 0;
    if (!argument[0])
        show_system(d);
    else if (!conversation_set_system(&d->talk, str_z(away ? "" : argument), &err))
        dialogue_report(d, &err);
    else
        fprintf(stderr, "%s; it counts from the next answer on\n", away ? "taken away" : "set");
}

/* ---- parameters ---- */

/* "samplers" is set here and not by the table: it has a text that must outlive the line. */
static void set_order(struct dialogue *d, const char *value)
{
    hearth_error err;
    hearth_sampling_order order;
    bool standard = strcmp(value, "default") == 0;
    if (!standard && !hearth_sampling_order_read(&order, value, &err)) {
        dialogue_report(d, &err);
        return;
    }
    d->has_order = !standard;
    if (!standard)
        d->order = order;
}

static int find_parameter(const char *name, size_t n)
{
    char flag[OPT_SPELLING_BYTES];
    snprintf(flag, sizeof flag, "--%.*s", (int)min_size(n, sizeof flag - 3), name);
    for (int i = 0; i < N_PARAMETERS; i++)
        if (opt_matches(&parameters[i], flag, strlen(flag)))
            return i;
    return -1;
}

static void refuse_parameter(struct dialogue *d, const char *name, size_t n)
{
    char given[40];
    int best = max_int(2, (int)n / 3) + 1;
    const char *near = NULL;
    snprintf(given, sizeof given, "%.*s", (int)min_size(n, 39), name);
    for (int i = 0; i < N_PARAMETERS; i++) {
        int distance = word_distance(parameter_name(i), given);
        if (distance < best) {
            best = distance;
            near = parameter_name(i);
        }
    }
    if (near)
        dialogue_refuse(d, EXIT_USAGE, "there is no parameter %s; did you mean %s?", given, near);
    else
        dialogue_refuse(d, EXIT_USAGE, "there is no parameter %s; /params lists them", given);
}

static void do_set(struct dialogue *d, const char *argument, bool force)
{
    (void)force;
    hearth_error err;
    size_t n = strcspn(argument, " ");
    const char *value = argument + n + strspn(argument + n, " ");
    if (!value[0]) {
        dialogue_refuse(d, EXIT_USAGE, "/set needs a name and a value, as in /set temperature 0.5; /params lists them");
        return;
    }
    if (n == strlen("samplers") && strncmp(argument, "samplers", n) == 0) {
        set_order(d, value);
        return;
    }
    int i = find_parameter(argument, n);
    if (i < 0) {
        refuse_parameter(d, argument, n);
        return;
    }
    struct opt_value set = { 0 };
    if (strcmp(value, "default") != 0 && !opt_set_value(&set, &parameters[i], parameter_name(i), value, &err)) {
        dialogue_report(d, &err);
        return;
    }
    set.text = NULL; /* it would outlive the line */
    *parameter_value(d, i) = set;
}

static const char *origin_text(hearth_origin origin)
{
    return origin == HEARTH_FROM_REQUEST  ? "set"
           : origin == HEARTH_FROM_MODEL  ? "the model file's"
           : origin == HEARTH_FROM_PRESET ? "the preset's"
                                          : "default";
}

static void print_sampling(const struct dialogue *d)
{
    hearth_sampling s;
    hearth_origin origin[HEARTH_N_SAMPLING];
    sampling_fill(&s, origin, d->model, d->sampling);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        json_t *shortest = json_of_float((float)hearth_sampling_get(&s, i));
        bool whole = strcmp(hearth_sampling_table[i].type, "int") == 0;
        double v = whole || !shortest ? hearth_sampling_get(&s, i) : json_real_value(shortest);
        fprintf(stderr, "  %-18s %-10.9g %-18s %s\n", hearth_sampling_table[i].name, v, origin_text(origin[i]),
                hearth_sampling_table[i].help);
        json_decref(shortest);
    }
}

static void do_params(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    for (int i = MAX; i < SAMPLING; i++) {
        const struct opt_value *v = parameter_value(d, i);
        char text[24] = "-";
        if (v->origin != OPT_UNSET)
            snprintf(text, sizeof text, "%lld", (long long)v->i);
        fprintf(stderr, "  %-18s %-10s %-18s %s (default: %s)\n", parameter_name(i), text,
                origin_text(v->origin == OPT_UNSET ? HEARTH_FROM_DEFAULT : HEARTH_FROM_REQUEST), parameters[i].help,
                parameters[i].dflt);
    }
    print_sampling(d);
    char order[HEARTH_ORDER_BYTES];
    hearth_sampling_order of_model;
    hearth_origin from = hearth_sampling_order_default(d->model, &of_model);
    hearth_sampling_order_write(d->has_order ? &d->order : &of_model, order);
    fprintf(stderr, "  %-18s %s (%s)\n", "samplers", order, origin_text(d->has_order ? HEARTH_FROM_REQUEST : from));
}

/* "on", "off" or nothing. False after refusing something else. */
static bool read_switch(struct dialogue *d, const char *name, const char *argument, bool *on)
{
    if (strcmp(argument, "on") != 0 && strcmp(argument, "off") != 0) {
        dialogue_refuse(d, EXIT_USAGE, "%s %.80s: give on or off", name, argument);
        return false;
    }
    *on = strcmp(argument, "on") == 0;
    return true;
}

static void do_timing(struct dialogue *d, const char *argument, bool force)
{
    (void)force;
    if (!argument[0] || read_switch(d, "/timing", argument, &d->timing))
        fprintf(stderr, "timing is %s\n", d->timing ? "on" : "off");
}

static void do_thinking(struct dialogue *d, const char *argument, bool force)
{
    (void)force;
    static const char *const names[] = { [HEARTH_THINKING_DEFAULT] = "default", [HEARTH_THINKING_ON] = "on",
                                         [HEARTH_THINKING_OFF] = "off" };
    hearth_template_info info;
    bool has_switch = hearth_file_template(d->file, &info) && info.thinking_switch[0];
    bool found = !argument[0];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(argument, names[i]) != 0)
            continue;
        if (i != HEARTH_THINKING_DEFAULT && !has_switch) {
            dialogue_refuse(d, EXIT_USAGE, "the chat template of this model has no switch for thinking");
            return;
        }
        d->thinking = (hearth_thinking)i;
        found = true;
    }
    if (found)
        fprintf(stderr, "thinking is %s%s\n", names[d->thinking],
                has_switch ? "" : " (the chat template has no switch for it)");
    else
        dialogue_refuse(d, EXIT_USAGE, "/thinking %.80s: give on, off or default", argument);
}

/* ---- files ---- */

static void say_note(void *arg, const char *sentence)
{
    (void)arg;
    fprintf(stderr, "note: %s\n", sentence);
}

static bool needs_file(struct dialogue *d, const char *name, const char *argument)
{
    if (!argument[0])
        dialogue_refuse(d, EXIT_USAGE, "%s needs the name of a file", name);
    return argument[0] != 0;
}

static void do_save(struct dialogue *d, const char *argument, bool force)
{
    hearth_error err;
    if (!needs_file(d, "/save", argument))
        return;
    if (d->talk.n == 0)
        dialogue_refuse(d, EXIT_USAGE, "the conversation is empty; there is nothing to save");
    else if (conversation_save(&d->talk, argument, force, &err))
        fprintf(stderr, "%zu messages are in %s\n", d->talk.n, argument);
    else
        dialogue_report(d, &err);
}

static void do_load(struct dialogue *d, const char *argument, bool force)
{
    (void)force;
    hearth_error err;
    if (!needs_file(d, "/load", argument))
        return;
    if (!conversation_load(&d->talk, argument, say_note, NULL, &err)) {
        dialogue_report(d, &err);
        return;
    }
    fprintf(stderr, "%zu messages from %s%s\n", d->talk.n, argument,
            last_is_user(d) ? "; /retry answers the last one" : "");
}

/* ---- what the model reads ---- */

/* NULL after saying why. */
static hearth_rendered *render_now(struct dialogue *d)
{
    hearth_error err;
    hearth_rendered *r = dialogue_render(d, last_is_user(d), &err);
    if (!r)
        dialogue_report(d, &err);
    return r;
}

static void do_tokens(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    hearth_plan plan;
    hearth_model_plan(d->model, &plan);
    if (d->talk.n == 0) {
        fprintf(stderr, "the conversation is empty; %d tokens fit\n", plan.n_ctx_tokens);
        return;
    }
    hearth_rendered *r = render_now(d);
    if (r)
        fprintf(stderr, "%zu tokens in %zu messages; %d fit, so %lld are left\n", r->n_ids, d->talk.n,
                plan.n_ctx_tokens, (long long)plan.n_ctx_tokens - (long long)r->n_ids);
    hearth_rendered_free(r);
}

static void do_prompt(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    if (d->talk.n == 0) {
        fputs("the conversation is empty\n", stderr);
        return;
    }
    hearth_rendered *r = render_now(d);
    if (!r)
        return;
    prompt_print(stderr, d->file, r);
    if (r->n_specials_kept > 0)
        fprintf(stderr, "note: %zu places in messages look like special tokens and stay text\n", r->n_specials_kept);
    for (const char *line = r->notes; *line;) {
        size_t n = strcspn(line, "\n");
        fprintf(stderr, "note: %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    hearth_rendered_free(r);
}

static void do_receipt(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    if (d->has_receipt)
        receipt_print_all(&d->receipt);
    else
        dialogue_refuse(d, EXIT_USAGE, "there is no answer yet, so there is no receipt");
}

/* ---- the rest ---- */

static void do_help(struct dialogue *d, const char *argument, bool force)
{
    (void)d, (void)argument, (void)force;
    for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++) {
        char left[48];
        snprintf(left, sizeof left, "%s%s", chat_commands[i].slashed, chat_commands[i].arguments);
        fprintf(stderr, "  %-27s %s\n", left, chat_commands[i].help);
    }
    fputs("A line that ends in \\ goes on in the next; \"\"\" begins and ends a message of many lines. A message that\n"
          "begins with / is typed with //.", stderr);
    fputs(line_editor_on_terminal(d->editor) ? " Tab completes commands, Alt-Enter makes a new line.\n" : "\n", stderr);
}

static void do_quit(struct dialogue *d, const char *argument, bool force)
{
    (void)argument, (void)force;
    d->ended = true;
}

static void refuse_command(struct dialogue *d, const char *name)
{
    int best = max_int(2, (int)strlen(name) / 3) + 1;
    const char *near = NULL;
    for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++) {
        int distance = word_distance(name, chat_commands[i].name);
        if (distance < best) {
            best = distance;
            near = chat_commands[i].name;
        }
    }
    if (near)
        dialogue_refuse(d, EXIT_USAGE, "there is no command /%s; did you mean /%s?", name, near);
    else
        dialogue_refuse(d, EXIT_USAGE, "there is no command /%s; /help lists them, //%s sends it as a message", name,
                        name);
}

/* What follows the name, without spaces around it. mem_alloc'ed; NULL when memory is out. */
static char *copy_argument(const char *text)
{
    text += strspn(text, " ");
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ')
        n--;
    char *copy = mem_alloc(n + 1);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

void dialogue_command(struct dialogue *d, const char *line)
{
    char name[40];
    size_t n = strcspn(line + 1, " \n");
    bool force = n > 0 && line[n] == '!';
    snprintf(name, sizeof name, "%.*s", (int)min_size(n - force, sizeof name - 1), line + 1);
    const struct chat_command *command = NULL;
    for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++)
        if (strcmp(chat_commands[i].name, name) == 0)
            command = &chat_commands[i];
    if (!command) {
        refuse_command(d, name);
        return;
    }
    hearth_error err;
    char *argument = copy_argument(line + 1 + n);
    if (!argument && !fail_memory(&err, "the command"))
        dialogue_report(d, &err);
    else if (argument[0] && !command->arguments[0])
        dialogue_refuse(d, EXIT_USAGE, "/%s takes nothing after it, '%.80s' was given", name, argument);
    else if (force && command->run != do_save)
        dialogue_refuse(d, EXIT_USAGE, "only /save has a form with !; type /%s", name);
    else
        command->run(d, argument, force);
    mem_free(argument);
}

/* ---- completion ---- */

static void add_word(struct completion *out, const char *word)
{
    if (out->n_words < COMPLETIONS_MAX)
        out->words[out->n_words++] = word;
}

/* The word after the name of a command. */
static void complete_argument(const struct chat_command *command, struct completion *out)
{
    static const char *const switches[] = { "on", "off", "default" };
    if (strcmp(command->words, "FILE") == 0)
        out->files = true;
    for (int i = 0; command->run == do_set && i < N_PARAMETERS; i++)
        add_word(out, parameter_name(i));
    if (command->run == do_set)
        add_word(out, "samplers");
    for (size_t i = 0; i < ARRAY_LEN(switches); i++)
        if (strstr(command->words, switches[i]))
            add_word(out, switches[i]);
}

void dialogue_complete(const char *before, struct completion *out)
{
    size_t n = strcspn(before, " ");
    if (before[0] != '/')
        return;
    if (!before[n]) {
        for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++)
            add_word(out, chat_commands[i].slashed);
        return;
    }
    out->from = n + strspn(before + n, " ");
    bool second_word = !strchr(before + out->from, ' ');
    size_t n_name = n - (before[n - 1] == '!');
    for (size_t i = 0; i < ARRAY_LEN(chat_commands); i++) {
        const struct chat_command *command = &chat_commands[i];
        if (strlen(command->slashed) == n_name && strncmp(before, command->slashed, n_name) == 0
            && (second_word || strcmp(command->words, "FILE") == 0))
            complete_argument(command, out);
    }
}
