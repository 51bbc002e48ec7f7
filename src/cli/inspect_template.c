#include "cli/inspect_template.h"
#include "cli/json_out.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "cli/prompt_text.h"

static const char *const level_names[] = { "note", "warning", "problem" };

bool template_count(hearth_file *file, int n[3])
{
    hearth_template_info info;
    const hearth_finding *f;
    n[0] = n[1] = n[2] = 0;
    if (!hearth_file_template(file, &info))
        return false;
    for (size_t i = 0, count = hearth_file_template_findings(file, &f); i < count; i++)
        n[f[i].level]++;
    return true;
}

/* ---- for people ---- */

static void row(const char *name, const char *text)
{
    printf("%-15s", name);
    for (const char *line = text; *line;) { /* a mark may end with a line feed */
        size_t n = strcspn(line, "\n");
        visible_print(stdout, line, n);
        line += n;
        if (*line == '\n') {
            fputs("\\n", stdout);
            line++;
        }
    }
    putchar('\n');
}

static void print_abilities(const hearth_template_info *t)
{
    const struct {
        const char *name;
        bool can;
    } all[] = { { "system", t->system },         { "developer", t->developer },
                { "tools", t->tools },           { "tool calls", t->tool_calls },
                { "tool results", t->tool_results }, { "content in parts", t->parts },
                { "thinking of earlier messages", t->thinking_history }, { "the date", t->uses_date } };
    const char *separator = "";
    printf("%-15s", "uses");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (!all[i].can)
            continue;
        printf("%s%s", separator, all[i].name);
        separator = ", ";
    }
    puts(*separator ? "" : "texts of users and assistants only");
}

/* A short conversation, with a system message where the template takes one. */
static void print_sample(hearth_file *file, const hearth_template_info *t)
{
    static const hearth_text system = { "Be brief.", 9 }, question = { "What is 2 + 2?", 14 }, answer = { "4", 1 },
                             more = { "And 3 + 3?", 10 };
    const hearth_message all[] = { { .role = "system", .parts = &system, .n_parts = 1 },
                                   { .role = "user", .parts = &question, .n_parts = 1 },
                                   { .role = "assistant", .parts = &answer, .n_parts = 1 },
                                   { .role = "user", .parts = &more, .n_parts = 1 } };
    size_t skip = t->system ? 0 : 1;
    hearth_error err = { 0 };
    hearth_rendered *r = hearth_file_render(
        file, &(hearth_chat){ .messages = all + skip, .n_messages = ARRAY_LEN(all) - skip }, &err);
    puts(r ? "\na conversation, with special tokens marked:\n" : "\na conversation does not render:\n");
    if (r)
        prompt_print(stdout, file, r);
    else
        row("", err.message);
    hearth_rendered_free(r);
}

static void print_findings(hearth_file *file)
{
    const hearth_finding *f;
    size_t n = hearth_file_template_findings(file, &f);
    puts(n ? "\nfindings:\n" : "\nfindings: none");
    for (size_t i = 0; i < n; i++) {
        printf("%-8s %s: ", level_names[f[i].level], f[i].code);
        visible_print(stdout, f[i].message, strlen(f[i].message));
        putchar('\n');
    }
}

void template_print(hearth_file *file)
{
    hearth_template_info t;
    if (!hearth_file_template(file, &t)) {
        puts("chat template  none (--chat-template FILE looks at one)");
        return;
    }
    row("chat template", t.from);
    row("sha256", t.sha256);
    if (t.problem[0]) {
        row("problem", t.problem);
    } else {
        print_abilities(&t);
        row("answer ends", t.answer_end);
        if (t.thinking_open[0]) {
            row("thinking from", t.thinking_open);
            row("thinking to", t.thinking_close);
        }
        if (t.thinking_switch[0])
            row("switched by", t.thinking_switch);
        else if (t.thinking_open[0])
            row("switched by", "nothing: thinking cannot be turned on or off");
        print_sample(file, &t);
    }
    print_findings(file);
}

/* ---- for programs ---- */

json_t *template_to_json(hearth_file *file)
{
    hearth_template_info t;
    const hearth_finding *f;
    if (!hearth_file_template(file, &t))
        return json_null();
    json_t *findings = json_array();
    bool failed = false;
    for (size_t i = 0, n = hearth_file_template_findings(file, &f); i < n; i++)
        failed |= json_array_append_new(findings, json_pack("{s:s, s:s, s:o}", "level", level_names[f[i].level],
                                                            "code", f[i].code, "message",
                                                            json_of_text(f[i].message))) != 0;
    if (failed) {
        json_decref(findings);
        return NULL;
    }
    return json_pack("{s:o, s:s, s:o, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "from",
                     json_of_text(t.from), "sha256", t.sha256, "problem", json_of_text(t.problem), "system", t.system,
                     "developer", t.developer, "tools", t.tools, "tool_calls", t.tool_calls, "tool_results",
                     t.tool_results, "parts", t.parts, "thinking_history", t.thinking_history, "uses_date",
                     t.uses_date, "thinking_switch",
                     t.thinking_switch[0] ? json_string(t.thinking_switch) : json_null(), "thinking_open",
                     json_of_text(t.thinking_open), "thinking_close", json_of_text(t.thinking_close), "answer_end",
                     json_of_text(t.answer_end), "findings", findings);
}
