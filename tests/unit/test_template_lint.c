/* test_template_lint.c: what is wrong with a template is found, and what is right is not complained about. */
#include "text_fixture.h"

#include "text/chat/chat.h"

struct linted {
    struct chat *chat;
    struct arena arena;
    const hearth_finding *at;
    size_t n;
};

static struct linted lint(const struct tokenizer *t, struct str source)
{
    struct linted l = { 0 };
    hearth_error err = { 0 };
    arena_init(&l.arena, 1 << 20);
    l.chat = chat_create(source, t, &err);
    if (!l.chat)
        fail_msg("%s", err.message);
    l.n = chat_lint(l.chat, &l.arena, &l.at);
    for (size_t i = 1; i < l.n; i++)
        assert_true(l.at[i - 1].level >= l.at[i].level); /* the worst first */
    return l;
}

static void lint_end(struct linted *l)
{
    arena_free(&l->arena);
    chat_destroy(l->chat);
}

static const hearth_finding *find(const struct linted *l, const char *code)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->at[i].code, code) == 0)
            return &l->at[i];
    return NULL;
}

/* Templates of one line, each with one fault; vocabulary: qwen2's, whose answers end with <|im_end|>. */
#define TURNS "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
#define BEGIN "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

static void each_fault_is_found(void **state)
{
    static const struct {
        const char *source, *code;
        hearth_finding_level level;
        const char *words;
    } faults[] = {
        { "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}" BEGIN,
          "unreachable-stop", HEARTH_FINDING_PROBLEM, "\"<|end|>\\n\", which holds none" },
        { "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'user' %}\n{% endif %}{% endfor %}",
          "unreachable-stop", HEARTH_FINDING_PROBLEM, "user: " },
        { "{% for m in messages %}{{ m.content }}\n\n{% endfor %}", "text-ends-answers", HEARTH_FINDING_NOTE,
          "\"\\n\\n\" does" },
        { "<|endoftext|>{{ bos_token }}" TURNS BEGIN, "double-bos", HEARTH_FINDING_PROBLEM, "2 BOS tokens" },
        { "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
          "{% if m.role == 'assistant' %}<|im_end|>\n{% endif %}{% endfor %}",
          "no-generation-prompt", HEARTH_FINDING_WARNING, "go on with the user's message" },
        { TURNS, "no-generation-prompt", HEARTH_FINDING_NOTE, "\"<|im_end|>\\n\" behind" },
        { "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
          "{% endfor %}" BEGIN, "system-dropped", HEARTH_FINDING_WARNING, "dropped" },
        { "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" TURNS BEGIN,
          "system-refused", HEARTH_FINDING_NOTE, "no system here" },
        { TURNS "{{ messages[0].content }}" BEGIN, "role-does-not-round-trip", HEARTH_FINDING_WARNING, "2 times" },
        { "{% for m in messages | reverse %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" BEGIN,
          "order", HEARTH_FINDING_PROBLEM, "in their order" },
        { "{% for m in messages %}{{ m.content }}\n\n{% endfor %}", "roles-look-alike", HEARTH_FINDING_NOTE,
          "nothing tells" },
        { "{% if messages | length > 2 %}{{ raise_exception('one turn') }}{% endif %}" TURNS BEGIN, "no-second-turn",
          HEARTH_FINDING_PROBLEM, "one turn" },
        { "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}" BEGIN,
          "trims", HEARTH_FINDING_NOTE, "trimmed" },
        { "<|im_sart|>" TURNS BEGIN, "unknown-special", HEARTH_FINDING_WARNING, "\"<|im_sart|>\"" },
        { "{{ strftime_now('%H:%M') }}" TURNS BEGIN, "clock", HEARTH_FINDING_WARNING, "at byte 1 of" },
        { "x{{ strftime_now('%d') }}" TURNS BEGIN, "date", HEARTH_FINDING_NOTE, "at byte 2 of" },
        { TURNS "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}",
          "history-rewritten", HEARTH_FINDING_WARNING, "\"<think>\\n\\n</think>\\n\\n\" becomes \"aQ7answer" },
        { "{{ messages | length }}" TURNS BEGIN, "history-rewritten", HEARTH_FINDING_WARNING, "at byte 0 of" },
        { "{{ tools | tojson if tools }}" TURNS BEGIN, "tool-calls-dropped", HEARTH_FINDING_WARNING, "calls" },
        { "{{ nothing.at.all }}", "does-not-render", HEARTH_FINDING_PROBLEM, "'nothing' is undefined" },
    };
    struct loaded v;
    (void)state;
    loaded_vocab(&v, "qwen2");
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        struct linted l = lint(v.t, str_z(faults[i].source));
        const hearth_finding *f = find(&l, faults[i].code);
        if (!f)
            fail_msg("%s: no %s", faults[i].source, faults[i].code);
        if (f->level != faults[i].level || !strstr(f->message, faults[i].words))
            fail_msg("%s: (%d) %s", faults[i].source, (int)f->level, f->message);
        lint_end(&l);
    }
    loaded_close(&v);
}

static void a_good_template_is_left_alone(void **state)
{
    struct loaded v;
    (void)state;
    loaded_vocab(&v, "qwen2");
    struct linted l = lint(v.t, STR(TURNS BEGIN));
    assert_int_equal(l.n, 0);
    lint_end(&l);
    static const char *const good[] = { "Qwen-Qwen2.5-7B-Instruct.jinja", "Qwen3-Coder.jinja",
                                        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct str source = fixture_read("templates", good[i]);
        l = lint(v.t, source);
        assert_int_equal(l.n, 0);
        lint_end(&l);
        mem_free((void *)(uintptr_t)source.ptr);
    }
    loaded_close(&v);
}

static void published_templates_are_seen_as_they_are(void **state)
{
    static const struct {
        const char *vocab, *template, *codes; /* all of them, in order */
    } want[] = {
        { "qwen2", "Qwen-Qwen3-0.6B", "thinking-leaves-history " },
        { "qwen2", "Qwen3.5-4B", "history-rewritten thinking-leaves-history trims " },
        { "llama-bpe", "meta-llama-Llama-3.1-8B-Instruct", "bos-once trims " },
        { "qwen2", "meta-llama-Llama-3.1-8B-Instruct", "unreachable-stop unknown-special trims " },
        { "phi-3", "microsoft-Phi-3.5-mini-instruct", "bos-added " },
        { "qwen2", "fireworks-ai-llama-3-firefunction-v2", "does-not-render " },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct loaded v;
        char file[96], codes[256] = "";
        loaded_vocab(&v, want[i].vocab);
        snprintf(file, sizeof file, "%s.jinja", want[i].template);
        struct str source = fixture_read("templates", file);
        struct linted l = lint(v.t, source);
        for (size_t k = 0; k < l.n; k++)
            snprintf(codes + strlen(codes), sizeof codes - strlen(codes), "%s ", l.at[k].code);
        assert_string_equal(codes, want[i].codes);
        lint_end(&l);
        mem_free((void *)(uintptr_t)source.ptr);
        loaded_close(&v);
    }
}

/* A look costs what a look may cost, not what a request may: a template like this one took 0.33 s of CPU time, a busy
 * machine 1.2 s, and what was found depended on how busy it was. Now 0.04 s. */
static void a_costly_turn_costs_the_linter_little(void **state)
{
    struct loaded l;
    (void)state;
    loaded_vocab(&l, "qwen2");
    struct linted it = lint(l.t, STR(TURNS BEGIN "{% if messages | length > 1 %}{% for a in range(99999) %}"
                                                 "{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}"));
    const hearth_finding *f = find(&it, "no-second-turn");
    assert_non_null(f);
    if (!strstr(f->message, "200000"))
        fail_msg("%s", f->message);
    lint_end(&it);
    loaded_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_found),
        cmocka_unit_test(a_good_template_is_left_alone),
        cmocka_unit_test(a_costly_turn_costs_the_linter_little),
        cmocka_unit_test(published_templates_are_seen_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
