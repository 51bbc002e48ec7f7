/* cmd_doctor.c: what this machine is, as far as running models goes, and what would help. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/json_out.h"
#include "cli/model_choice.h"

enum { MODEL, JSON, N_OPTS };
enum { N_CHECKS = 0
#define CHECK(name) + 1
#include "cli/doctor.def"
};
enum { COLUMN = 24, LEAST_WIDTH = 60, NO_WIDTH = 1 << 20, NAME_BYTES = 32 };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON object" },
};

static const char next_step[] = "hearth fit --catalogue says which models suit this machine and how fast they would "
                                "be; hearth run MODEL.gguf answers with one that you have";

/* "memory_limit" is memory-limit to people. */
static const char *name_of(const struct doctor_row *row, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s", row->name);
    for (char *p = out; *p; p++)
        if (*p == '_')
            *p = '-';
    return out;
}

/* On a terminal lines are broken between words; elsewhere a finding is one line, for grep. */
static int width_of_output(void)
{
    struct winsize w = { 0 };
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return NO_WIDTH;
    return w.ws_col > LEAST_WIDTH ? w.ws_col : LEAST_WIDTH;
}

/* From COLUMN on, with control bytes of a path or a vendor's name kept off the terminal. */
static void print_words(const char *text, int width)
{
    int at = COLUMN;
    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");
        if (at > COLUMN && at + 1 + n > width) {
            printf("\n%*s", COLUMN, "");
            at = COLUMN;
        } else if (at > COLUMN) {
            putchar(' ');
            at++;
        }
        for (int i = 0; i < n; i++)
            putchar((unsigned char)word[i] < 0x20 || word[i] == 0x7f ? '?' : word[i]);
        at += n;
        word += n + (word[n] == ' ');
    }
    putchar('\n');
}

static void print_text(const struct finding *finding)
{
    int n[DOCTOR_N_LEVELS] = { 0 }, width = width_of_output();
    for (int i = 0; i < N_CHECKS; i++) {
        char name[NAME_BYTES];
        printf("%-8s%-16s", doctor_level_name(finding[i].level), name_of(&doctor_rows[i], name));
        print_words(finding[i].text, width);
        n[finding[i].level]++;
        if (finding[i].remedy[0]) {
            printf("%8s%-16s", "", "what would help");
            print_words(finding[i].remedy, width);
        }
    }
    printf("\n%d warning%s, %d note%s, %d fine\n", n[DOCTOR_WARNING], n[DOCTOR_WARNING] == 1 ? "" : "s",
           n[DOCTOR_NOTE], n[DOCTOR_NOTE] == 1 ? "" : "s", n[DOCTOR_FINE]);
    printf("next: %s\n", next_step);
}

static json_t *findings_json(const struct finding *finding)
{
    json_t *list = json_array();
    for (int i = 0; list && i < N_CHECKS; i++) {
        char name[NAME_BYTES];
        json_t *o = json_pack("{s:s, s:s, s:o, s:o}", "name", name_of(&doctor_rows[i], name), "level",
                              doctor_level_name(finding[i].level), "text", json_of_text(finding[i].text), "remedy",
                              finding[i].remedy[0] ? json_of_text(finding[i].remedy) : json_null());
        if (!o || json_array_append_new(list, o) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int print_json(const struct doctor_facts *f, const struct finding *finding)
{
    hearth_error err = { 0 };
    json_t *o = doctor_facts_json(f), *list = o ? findings_json(finding) : NULL;
    if (!list || json_object_set_new(o, "findings", list) != 0
        || json_object_set_new(o, "next", json_string(next_step)) != 0) {
        json_decref(o);
        o = NULL;
    }
    return json_print(o, JSON_INDENT(2) | JSON_REAL_PRECISION(6), "the JSON of the findings", &err) ? EXIT_DONE
                                                                                                   : report(&err);
}

static int run(const struct args *a)
{
    struct model_choice choice;
    static struct doctor_facts facts;
    static struct finding finding[N_CHECKS];
    if (!model_choose(&choice, &cmd_doctor, a->word[0], &a->value[MODEL]))
        return EXIT_USAGE;
    doctor_facts_read(&facts, choice.source.path);
    for (int i = 0; i < N_CHECKS; i++) {
        finding[i] = (struct finding){ 0 };
        doctor_rows[i].check(&facts, &finding[i]);
    }
    if (a->value[JSON].on)
        return print_json(&facts, finding);
    print_text(finding);
    return EXIT_DONE;
}

const struct command cmd_doctor = {
    .name = "doctor",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "what this machine is for running models, and what would help",
    .about = "A line for each finding: fine, note or warning, what it is, what it means, and what would help where\n"
             "something would: cores that count and what keeps them from computing (quotas, other programs, a host,\n"
             "heat, clocks), instruction sets, memory and its limits, and three rates that are measured in two\n"
             "seconds: the disk's (of MODEL, else of the program's own file), memory's, and that of multiply-adds.\n"
             "Measure while it is quiet; it says when it was not. Ends with 0 whatever it finds.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
