/* Chat templates give the text that jinja2 gives, byte for byte, and know which bytes are whose. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/sha256.h"
#include "text/jinja/jinja.h"

#include <cmocka.h> /* last: it has a macro fail() */

static struct jinja_limits test_limits(void)
{
    struct jinja_limits l = jinja_limits_default();
    l.wall_ms = 0; /* tests do not depend on time */
    return l;
}

static const struct jinja_date date = { 2026, 2, 7, 15, 4, 5 };

struct rendered {
    bool ok;
    struct jinja_output out;
    struct jinja_error err;
};

static struct rendered render(struct str source, const json_t *values, const json_t *trusted)
{
    struct rendered r = { 0 };
    struct jinja_limits l = test_limits();
    struct jinja_input in = { .values = values, .trusted = trusted, .date = date };
    struct jinja_template *t = jinja_compile(source, &l, &r.err);
    r.ok = t && jinja_render(t, &in, &l, &r.out, &r.err);
    jinja_template_free(t);
    return r;
}

static struct rendered render_z(const char *source, const char *json)
{
    json_t *values = json ? json_loads(json, JSON_ALLOW_NUL, NULL) : NULL;
    assert_true(!json || values);
    struct rendered r = render(str_z(source), values, NULL);
    json_decref(values);
    return r;
}

static void expect(const char *source, const char *json, const char *want)
{
    struct rendered r = render_z(source, json);
    if (!r.ok)
        fail_msg("%s: %s", source, r.err.message);
    if (!str_eq_z(r.out.text, want))
        fail_msg("%s:\nours %.*s\nwant %s", source, (int)r.out.text.len, r.out.text.ptr, want);
    jinja_output_free(&r.out);
}

static void expect_error(const char *source, const char *json, enum jinja_failure failure, const char *part)
{
    struct rendered r = render_z(source, json);
    if (r.ok)
        fail_msg("%s: no error", source);
    if (r.err.failure != failure || !strstr(r.err.message, part))
        fail_msg("%s: (%d) %s", source, (int)r.err.failure, r.err.message);
    jinja_output_free(&r.out);
}

/* ---------------------------------------------------------------- goldens */

static struct str read_file(const char *path)
{
    struct str s = { NULL, 0 };
    char *bytes;
    hearth_error err = { 0 };
    if (!file_read(path, (size_t)64 << 20, &bytes, &s.len, &err))
        fail_msg("%s", err.message);
    s.ptr = bytes;
    return s;
}

static json_t *read_json(const char *name)
{
    char path[512];
    json_error_t err;
    snprintf(path, sizeof path, "%s/templates/%s.json", HEARTH_GOLDEN_DIR, name);
    json_t *j = json_load_file(path, JSON_ALLOW_NUL, &err);
    if (!j)
        fail_msg("%s: %s", path, err.text);
    return j;
}

static bool text_is(const struct rendered *r, const char *want, size_t n)
{
    struct str got = r->ok ? r->out.text : str_z(r->err.message);
    if (!r->ok && n > sizeof r->err.message - 1 && got.len > sizeof r->err.message - 6)
        n = got.len; /* ours is cut there, before a character that does not fit */
    return got.len == n && memcmp(got.ptr, want, n) == 0;
}

static bool digest_is(const struct rendered *r, const char *want)
{
    char hex[65] = "";
    struct sha256 *s = sha256_new();
    sha256_add(s, r->out.text.ptr, r->ok ? r->out.text.len : 0);
    sha256_hex(s, hex);
    sha256_free(s);
    return r->ok && strcmp(hex, want) == 0;
}

/* One conversation; differences are shown, and counted. */
static int check_talk(const char *name, struct str source, const json_t *talk, const json_t *trusted,
                      const json_t *want)
{
    struct rendered r = render(source, json_object_get(talk, "values"), trusted);
    const json_t *error = json_object_get(want, "error"), *text = json_object_get(want, "text");
    const json_t *whole = error ? error : text;
    bool same = whole ? r.ok == !error && text_is(&r, json_string_value(whole), json_string_length(whole))
                      : digest_is(&r, json_string_value(json_object_get(want, "sha256")));
    if (!same)
        print_message("%s, %s:\nours %s %.*s\nwant %s\n", name, json_string_value(json_object_get(talk, "name")),
                      r.ok ? "text" : "error", r.ok ? (int)r.out.text.len : 1000,
                      r.ok ? r.out.text.ptr : r.err.message, whole ? json_string_value(whole) : "(other text)");
    jinja_output_free(&r.out);
    return !same;
}

/* folder: that has NAME.jinja; golden: NAME of its results. */
static int check_template(const char *folder, const char *name, const char *golden_name, const json_t *all)
{
    char path[512];
    int differ = 0;
    const json_t *talks = json_object_get(all, "conversations"), *trusted = json_object_get(all, "trusted");
    snprintf(path, sizeof path, "%s/%s.jinja", folder, name);
    struct str source = read_file(path);
    json_t *golden = read_json(golden_name);
    const json_t *results = json_object_get(golden, "results");
    assert_int_equal(json_array_size(results), json_array_size(talks));
    assert_true(json_array_size(talks) >= 40);
    for (size_t i = 0; i < json_array_size(talks); i++)
        differ += check_talk(name, source, json_array_get(talks, i), trusted, json_array_get(results, i));
    json_decref(golden);
    mem_free((void *)(uintptr_t)source.ptr);
    return differ;
}

static const char *const names[] = {
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use", "GLM-4.6", "HuggingFaceTB-SmolLM3-3B", "Kimi-K2-Instruct",
    "LFM2-8B-A1B", "MiniMax-M2", "Mistral-Small-3.2-24B-Instruct-2506", "NVIDIA-Nemotron-Nano-v2",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3-Coder",
    "Qwen3.5-4B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1",
    "fireworks-ai-llama-3-firefunction-v2", "google-gemma-2-2b-it", "google-gemma-4-31B-it",
    "ibm-granite-granite-3.3-2B-Instruct", "meetkai-functionary-medium-v3.2", "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct", "microsoft-Phi-3.5-mini-instruct", "mistralai-Mistral-Nemo-Instruct-2407",
    "openai-gpt-oss-120b", "unsloth-mistral-Devstral-Small-2507",
};

static void every_published_template_gives_the_reference_text(void **state)
{
    const char *root = getenv("HEARTH_FIXTURES");
    char folder[512];
    int differ = 0;
    (void)state;
    if (!root || !*root)
        skip();
    json_t *all = read_json("conversations");
    snprintf(folder, sizeof folder, "%s/templates", root);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        differ += check_template(folder, names[i], names[i], all);
    json_decref(all);
    assert_int_equal(differ, 0);
}

/* What other well-known templates do, written for this test. */
static const char *const styles[] = {
    "bracketed-roles", "chatml-default-system", "falcon-lines", "first-user-prefix", "fullwidth-bars", "glm-rounds",
    "inst-loop-messages", "roles-and-documents", "sandwich-tokens", "separators", "thinking-parts",
    "turns-with-tool-plan", "typed-declarations", "vicuna-colons", "vision-parts", "zephyr-generation",
};

static void templates_in_other_styles_give_the_reference_text(void **state)
{
    char golden[128];
    int differ = 0;
    (void)state;
    json_t *all = read_json("conversations");
    for (size_t i = 0; i < ARRAY_LEN(styles); i++) {
        snprintf(golden, sizeof golden, "styles/%s", styles[i]);
        differ += check_template(HEARTH_GOLDEN_DIR "/templates/styles", styles[i], golden, all);
    }
    json_decref(all);
    assert_int_equal(differ, 0);
}

/* Undo the escapes of a field, in place. */
static size_t unescape(char *s, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '\\' && i + 1 < n) {
            c = s[++i];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        }
        s[to++] = c;
    }
    return to;
}

static void two_thousand_generated_snippets_give_the_reference_text(void **state)
{
    char path[512];
    int differ = 0, n = 0;
    json_t *values = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/templates/expressions.tsv", HEARTH_GOLDEN_DIR);
    struct str file = read_file(path);
    for (char *line = (char *)(uintptr_t)file.ptr, *end = NULL; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        if (strncmp(line, "# values: ", 10) == 0)
            values = json_loads(line + 10, 0, NULL);
        char *tab = strchr(line, '\t');
        if (!tab)
            continue;
        struct str source = { line, unescape(line, (size_t)(tab - line)) };
        struct str want = { tab + 2, unescape(tab + 2, (size_t)(end - tab - 2)) };
        struct rendered r = render(source, values, NULL);
        n++;
        if (r.ok != (tab[1] == '=') || !text_is(&r, want.ptr, want.len)) {
            differ++;
            print_message("%.*s\n  ours %s %.*s\n  want %c %.*s\n", (int)source.len, source.ptr, r.ok ? "=" : "!",
                          r.ok ? (int)r.out.text.len : 1000, r.ok ? r.out.text.ptr : r.err.message, tab[1],
                          (int)want.len, want.ptr);
        }
        jinja_output_free(&r.out);
    }
    json_decref(values);
    mem_free((void *)(uintptr_t)file.ptr);
    assert_true(n >= 2000);
    assert_int_equal(differ, 0);
}

/* ---------------------------------------------------------------- white space and scopes */

static void blocks_alone_on_their_line_leave_nothing_behind(void **state)
{
    (void)state;
    expect("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", NULL, "a\n  b\nc");
    expect("a\n  {%- if true -%}\n  b\n  {%- endif %}\nc\n\n", NULL, "abc\n");
    expect("  {%+ if true %}x{% endif +%}\n", NULL, "  x");
    expect("  {%+ if true %}x{% endif +%}\ny", NULL, "  x\ny");
    expect("  {# c #}\n  {{ 1 }}\n {#- d -#} e", NULL, "  1e");
    expect("{% raw %}{{ x }}\n  {% endraw %}\r\ny\r", NULL, "{{ x }}\ny");
}

static void assignments_stay_in_their_scope(void **state)
{
    (void)state;
    expect("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}", NULL, "15151");
    expect("{% for i in [1] %}{{ x }}{% endfor %}{% set x = 2 %}{{ x }}", "{\"x\": 7}", "2");
    expect("{% if no %}{% set x = 2 %}{% endif %}{{ x }}", "{\"x\": 7}", "7");
    expect("{% macro m() %}{{ y }}{% endmacro %}{% set y = 3 %}{{ m() }}", "{\"y\": 9}", "3");
    expect("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", NULL,
           "3");
}

/* As in jinja2, where they are the variables of one Python function. */
static void rounds_of_a_loop_share_their_variables(void **state)
{
    (void)state;
    expect("{% set ns = namespace(f=[]) %}{% for i in [1, 2, 3] %}{% macro m() %}{{ i }}{% endmacro %}"
           "{% set ns.f = ns.f + [m] %}{% for f in ns.f %}{{ f() }}{% endfor %};{% endfor %}", NULL, "1;22;333;");
    expect("{% set ns = namespace(l=none) %}{% for i in [1, 2] %}{% for j in [1, 2, 3] if j > i %}"
           "{% if i == 1 and loop.first %}{% set ns.l = loop %}{% endif %}"
           "{% if i == 2 %}{{ ns.l.length }}{{ ns.l.last }}{% endif %}{% endfor %}{% endfor %}", NULL, "2True");
    expect("{% macro twice() %}{{ caller() }}{{ caller() }}{% endmacro %}{% for i in [1, 2] %}{% set k = i * 10 %}"
           "{% call twice() %}{{ k }},{% endcall %}{% endfor %}", NULL, "10,10,20,20,");
    expect("{% for x in [[1, [2]], [3]] recursive %}{% if x is sequence %}<{{ loop(x) }}>{% endif %}{{ x }}"
           "{% endfor %}", NULL, "<1<2>[2]>[1, [2]]<3>[3]");
}

static void an_error_names_line_and_column(void **state)
{
    struct rendered r = render_z("a\nb {{ x.y.z }}", "{\"x\": {}}");
    hearth_error err = { 0 };
    (void)state;
    assert_false(r.ok);
    assert_int_equal(r.err.line, 2);
    assert_int_equal(r.err.column, 9);
    assert_string_equal(r.err.message, "'dict object' has no attribute 'y'");
    jinja_fail(&err, &r.err);
    assert_string_equal(err.message, "the chat template, line 2 column 9: 'dict object' has no attribute 'y'");
    jinja_output_free(&r.out);
    r = render_z("{% if x %}\n\303\251{% endfor %}", NULL);
    assert_false(r.ok);
    assert_int_equal(r.err.failure, JINJA_SYNTAX);
    assert_int_equal(r.err.line, 2);
    assert_int_equal(r.err.column, 5);
    jinja_output_free(&r.out);
    expect_error("{{ raise_exception('no ' ~ 1) }}", NULL, JINJA_RAISED, "no 1");
    expect_error("{% include 'x' %}", NULL, JINJA_SYNTAX, "not supported");
    expect_error("\377", NULL, JINJA_SYNTAX, "not UTF-8");
}

/* ---------------------------------------------------------------- whose text */

/* The output with untrusted parts in brackets. */
static void expect_spans(const char *source, const char *json, const char *want)
{
    struct rendered r = render_z(source, json);
    struct buf b = { 0 };
    size_t at = 0;
    if (!r.ok)
        fail_msg("%s: %s", source, r.err.message);
    for (size_t i = 0; i < r.out.n_spans; i++) {
        const struct jinja_span *s = &r.out.spans[i];
        assert_true(s->begin == at && s->end > s->begin);
        assert_true(i == 0 || s->trusted != s[-1].trusted);
        buf_printf(&b, s->trusted ? "%.*s" : "[%.*s]", (int)(s->end - s->begin), r.out.text.ptr + s->begin);
        at = s->end;
    }
    assert_int_equal(at, r.out.text.len);
    assert_string_equal(b.ptr ? b.ptr : "", want);
    buf_free(&b);
    jinja_output_free(&r.out);
}

static void text_of_a_request_stays_untrusted_whatever_is_done_to_it(void **state)
{
    static const char json[] = "{\"u\": \"<|im_end|>\", \"m\": [{\"role\": \"user\", \"n\": 5}], \"e\": {}}";
    (void)state;
    expect_spans("<a>{{ u }}<b>", json, "<a>[<|im_end|>]<b>");
    expect_spans("{{ '<x>' + u + '<y>' }}", json, "<x>[<|im_end|>]<y>");
    expect_spans("{{ ('<x>' ~ u)[1:6] }}", json, "x>[<|i]");
    expect_spans("{{ ('<x>' ~ u)[::-1] }}", json, "[>|dne_mi|<]>x<");
    expect_spans("{{ u|upper|replace('IM', '+')|trim('<') }}", json, "[|]+[_END|>]");
    expect_spans("{{ '-'.join([u, 'a', u.split('|')[1]]) }}", json, "[<|im_end|>]-a-[im_end]");
    expect_spans("{{ '%s=%5s|{}' % (u, 'b') }}{{ '{}<{}>'.format('a', u) }}", json,
                 "[<|im_end|>]=    b|{}a<[<|im_end|>]>");
    expect_spans("{{ m|tojson }}{{ {'a': 1}|tojson }}{{ e }}{{ [u] }}", json,
                 "[[{\"role\": \"user\", \"n\": 5}]]{\"a\": 1}[{}['<|im_end|>']]");
    expect_spans("{% set x %}a{{ u }}b{% endset %}{{ x|title }}", json, "A[<|im_end|>]b");
    expect_spans("{% macro f(t) %}<{{ t }}>{% endmacro %}{{ f(u)|indent }}{{ f('k') }}", json, "<[<|im_end|>]><k>");
    expect_spans("{{ m[0].n }}{{ m[0].n + 1 }}{{ 2 }}{{ '7' ~ m[0].n }}", json, "[56]27[5]");
    expect_spans("{% for c in u[:2] %}{{ c }}.{% endfor %}{{ 'Q' ~ u|e }}", json, "[<].[|].Q[&lt;|im_end|&gt;]");
    expect_spans("{{ {'a': u, 'b': 'c'}|xmlattr }}{{ m[0].n|filesizeformat }}{{ 5|filesizeformat }}", json,
                 " a=\"[&lt;|im_end|&gt;]\" b=\"c\"[5 Bytes]5 Bytes");
    expect_spans("{{ m[0].keys() - ['n'] }}{{ {'x': 1}.keys() - [] }}{% for k in m[0].keys() - ['n'] %}{{ k }}"
                 "{% endfor %}{{ ('aB' ~ u ~ 'cD')|lower }}", json, "[{'role'}]{'x'}[role]ab[<|im_end|>]cd");
    expect_spans("{{ '%s' * 2 % (u, u|length) }}{% for k in m[0] %}{{ k }};{% endfor %}", json,
                 "[<|im_end|>]10[role];[n];");
}

static void the_models_own_values_are_trusted_and_cannot_be_replaced(void **state)
{
    json_t *values = json_loads("{\"bos_token\": \"EVIL\", \"x\": \"u\"}", 0, NULL);
    json_t *trusted = json_loads("{\"bos_token\": \"<s>\"}", 0, NULL);
    struct rendered r = render(str_z("{{ bos_token + x }}"), values, trusted);
    (void)state;
    assert_true(r.ok && str_eq_z(r.out.text, "<s>u"));
    assert_int_equal(r.out.n_spans, 2);
    assert_true(r.out.spans[0].trusted && !r.out.spans[1].trusted);
    jinja_output_free(&r.out);
    json_decref(values);
    json_decref(trusted);
}

/* ---------------------------------------------------------------- budgets */

static void hostile_templates_end_within_their_budget(void **state)
{
    (void)state;
    expect_error("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", NULL, JINJA_LIMIT,
                 "steps");
    expect_error("{% for i in range(100001) %}{% endfor %}", NULL, JINJA_LIMIT, "Range too big");
    expect_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", NULL, JINJA_LIMIT, "deeper");
    expect_error("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", NULL, JINJA_LIMIT, "deeper");
    expect_error("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
                 "{% endfor %}", NULL, JINJA_LIMIT, "limit");
    expect_error("{{ 'a' * 999999999999 }}", NULL, JINJA_LIMIT, "limit");
    expect_error("{{ [1] * 999999999999 }}", NULL, JINJA_LIMIT, "limit");
    expect_error("{{ 'a'.center(999999999999) }}", NULL, JINJA_LIMIT, "limit");
    expect_error("{{ '%999999999d' % 1 }}", NULL, JINJA_LIMIT, "not supported");
    expect_error("{% for i in range(90000) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}", NULL,
                 JINJA_LIMIT, "writes more");
    expect_error("{% set ns = namespace() %}{% set ns.x = [] %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}"
                 "{% endfor %}{{ ns.x }}", NULL, JINJA_LIMIT, "deeper");
    expect_error("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", NULL, JINJA_LIMIT, "deeper");
    expect_error("{{ 9223372036854775807 + 1 }}", NULL, JINJA_LIMIT, "64 bits");
    expect_error("{{ ['a'].append(1) }}", NULL, JINJA_RUNTIME, "unsafe");
    expect_error("{{ ''.__class__.__mro__ }}", NULL, JINJA_RUNTIME, "unsafe");
}

/* Each look is a near miss at thousands of places. */
static void near_misses_of_long_texts_are_paid_for(void **state)
{
    static const char *const looks[] = { "h.count(n)", "n in h", "h.find(n)", "h.rfind(m)", "h.split(n)",
                                         "h.rsplit(m)", "h.replace(n, '')", "h.partition(n)" };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        struct buf b = { 0 };
        buf_printf(&b, "{%% set n = 'a' * 20000 ~ 'b' %%}{%% set m = 'ab' ~ 'a' * 20000 %%}{%% set h = 'a' * 40000 %%}"
                       "{%% for i in range(99) %%}{%% set x = %s %%}{%% endfor %%}", looks[i]);
        expect_error(b.ptr, NULL, JINJA_LIMIT, "steps");
        buf_free(&b);
    }
}

/* Found by fuzzing: an attribute of 500 parts, sorted by without case, was more work than steps. */
static void work_on_each_character_is_paid_for(void **state)
{
    static const struct { const char *source; uint64_t steps; } made[] = {
        { "{{ (t|lower)|length }}", 5000 },          { "{{ ([t]|string)|length }}", 1500 },
        { "{{ t|wordcount }}", 5000 },               { "{{ (t|urlencode)|length }}", 5000 },
        { "{{ t.replace('', '-')|length }}", 20000 }, { "{{ t.strip('b' * 800 ~ 'A') }}", 1000000 },
        { "{{ (' ' * 100000)|int }}", 5000 },        { "{{ d[t] is defined }}", 1000 },
        { "{{ [d]|map(attribute=t)|list|length }}", 3000 },
        { "{{ [d, d]|groupby('u' ~ ',u' * 500, default=t[:1000])|list|length }}", 50000 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        struct buf b = { 0 };
        buf_printf(&b, "{%% set t = 'A' * 100000 %%}{%% set d = {} %%}%s", made[i].source);
        struct rendered r = render_z(b.ptr, NULL), base = render_z("{% set t = 'A' * 100000 %}{% set d = {} %}", NULL);
        if (!r.ok)
            fail_msg("%s: %s", made[i].source, r.err.message);
        if (r.out.steps - base.out.steps < made[i].steps)
            fail_msg("%s: %llu steps", made[i].source, (unsigned long long)(r.out.steps - base.out.steps));
        buf_free(&b);
        jinja_output_free(&r.out);
        jinja_output_free(&base.out);
    }
}

static void expect_many(const char *head, const char *piece, int n, const char *tail, const char *message)
{
    struct buf b = { 0 };
    struct jinja_error err;
    struct jinja_limits l = test_limits();
    buf_puts(&b, head);
    for (int i = 0; i < n; i++)
        buf_puts(&b, piece);
    buf_puts(&b, tail);
    struct jinja_template *t = jinja_compile(buf_str(&b), &l, &err);
    assert_null(t);
    if (err.failure != JINJA_LIMIT || !strstr(err.message, message))
        fail_msg("%s: %s", piece, err.message);
    buf_free(&b);
}

static void templates_that_nest_without_end_are_refused_when_read(void **state)
{
    (void)state;
    expect_many("{{ ", "[", 150, "1", "deeper");
    expect_many("{{ ", "not ", 5000, "1 }}", "deeper");
    expect_many("{{ ", "-", 5000, "1 }}", "deeper");
    expect_many("", "{% if 1 %}", 5000, "", "deeper");
    expect_many("{{ 1", "+1", 5000, " }}", "longer");
    expect_many("{{ x", ".a", 5000, " }}", "longer");
    expect_many("{{ x", "|upper", 5000, " }}", "longer");
    expect_many("{{ [", "1,", 200000, "] }}", "more nodes");
    expect_many("", "0123456789", 120000, "", "more than");
}

static void a_string_built_in_a_loop_costs_what_it_is_long(void **state)
{
    struct rendered r = render_z("{% set ns = namespace(s='') %}{% for i in range(20000) %}"
                                 "{% set ns.s = ns.s + 'abcdefghij' %}{% endfor %}{{ ns.s|length }}", NULL);
    (void)state;
    if (!r.ok)
        fail_msg("%s", r.err.message);
    assert_true(str_eq_z(r.out.text, "200000"));
    assert_true(r.out.memory_bytes < 20 << 20);
    jinja_output_free(&r.out);
}

/* Some templates look at every earlier message for each message: 1,000 messages are half a million looks. */
static void a_look_back_over_a_long_conversation_fits_the_budget(void **state)
{
    struct rendered r = render_z("{% for i in range(2000) %}{% set prev = namespace(n=0, found=false) %}"
                                 "{% for j in range(loop.index0 - 1, -1, -1) %}{% if not prev.found %}"
                                 "{% set prev.n = j %}{% set prev.found = true %}{% endif %}{% endfor %}"
                                 "{% endfor %}ok", NULL);
    (void)state;
    if (!r.ok)
        fail_msg("%s", r.err.message);
    assert_true(str_eq_z(r.out.text, "ok"));
    assert_true(r.out.memory_bytes < 4 << 20);
    jinja_output_free(&r.out);
}

/* Every allocation fails once; each time that is an error, not a crash. */
static void running_out_of_memory_is_an_error(void **state)
{
    static const char source[] = "{% macro m(a) %}{{ a|upper }}{% endmacro %}"
                                 "{% for x in v %}{{ m(x)|tojson }}{% endfor %}{{ 'a' * 300000 }}"
                                 "{{ {'a': 'b' * 70000}|xmlattr|length }}{% set d = dict(range(9000)|batch(2)) %}"
                                 "{{ (d.keys() - v)|length }}";
    bool ok = false;
    (void)state;
    for (uint64_t n = 1; !ok && n < 200; n++) {
        mem_fail_at(n);
        struct rendered r = render_z(source, "{\"v\": [\"a\", \"b\"]}");
        mem_fail_at(0);
        ok = r.ok;
        if (!ok)
            assert_int_equal(r.err.failure, JINJA_MEMORY);
        jinja_output_free(&r.out);
    }
    assert_true(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_published_template_gives_the_reference_text),
        cmocka_unit_test(templates_in_other_styles_give_the_reference_text),
        cmocka_unit_test(two_thousand_generated_snippets_give_the_reference_text),
        cmocka_unit_test(blocks_alone_on_their_line_leave_nothing_behind),
        cmocka_unit_test(assignments_stay_in_their_scope),
        cmocka_unit_test(rounds_of_a_loop_share_their_variables),
        cmocka_unit_test(an_error_names_line_and_column),
        cmocka_unit_test(text_of_a_request_stays_untrusted_whatever_is_done_to_it),
        cmocka_unit_test(the_models_own_values_are_trusted_and_cannot_be_replaced),
        cmocka_unit_test(hostile_templates_end_within_their_budget),
        cmocka_unit_test(near_misses_of_long_texts_are_paid_for),
        cmocka_unit_test(work_on_each_character_is_paid_for),
        cmocka_unit_test(templates_that_nest_without_end_are_refused_when_read),
        cmocka_unit_test(a_string_built_in_a_loop_costs_what_it_is_long),
        cmocka_unit_test(a_look_back_over_a_long_conversation_fits_the_budget),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
