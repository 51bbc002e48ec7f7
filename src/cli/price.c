#include "cli/price.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURRENCY_BYTES = 8 };

/* The most is a limit of typing errors. */
#define PRICE_ROW(words, text)                                                                                \
    {                                                                                                         \
        .name = words, .type = OPT_FLOAT, .value = "X", .least = 0, .most = 1e9, .help = text                 \
    }

const struct opt price_opts[PRICE_N_OPTS] = {
    [PRICE_INPUT] = PRICE_ROW("input-per-million", "what a million tokens of prompts costs"),
    [PRICE_CACHED] = { .name = "cached-input-per-million", .type = OPT_FLOAT, .value = "X", .least = 0, .most = 1e9,
                       .dflt = "as the others",
                       .help = "what a million of those costs that the server says it had already" },
    [PRICE_OUTPUT] = PRICE_ROW("output-per-million", "what a million tokens of answers costs, thinking too"),
    [PRICE_CURRENCY] = { .name = "currency", .type = OPT_TEXT, .value = "TEXT", .help = "of these prices, as USD" },
    [PRICE_DATE] = { .name = "date", .type = OPT_TEXT, .value = "YYYY-MM-DD",
                     .help = "when they were that; it is shown with every amount, so that an old price is seen" },
};

static bool is_date(const char *text)
{
    static const char form[] = "dddd-dd-dd";
    if (strlen(text) != sizeof form - 1)
        return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    int month = atoi(text + 5), day = atoi(text + 8);
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static bool is_currency(const char *text)
{
    size_t n = strlen(text);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p <= 0x20 || *p == 0x7f)
            return false;
    return n >= 1 && n <= CURRENCY_BYTES;
}

bool price_check(const struct settings *s, const struct toml_section *section, hearth_error *err)
{
    struct opt_value v[PRICE_N_OPTS] = { 0 };
    if (!settings_fill_from(s, section, price_opts, PRICE_N_OPTS, v, OPT_FROM_FILE, err))
        return false;
    for (int i = 0; i < PRICE_N_OPTS; i++)
        if (i != PRICE_CACHED && v[i].origin == OPT_UNSET)
            return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: [price.\"%.60s\"] lacks %s: %s", s->path, section->line,
                        section->sub, price_opts[i].name, price_opts[i].help);
    if (!is_date(v[PRICE_DATE].text))
        return fail(err, HEARTH_ERR_USAGE, "%.180s:%d: date '%.40s' is none; write it as \"2026-11-01\"", s->path,
                    v[PRICE_DATE].line, v[PRICE_DATE].text);
    if (!is_currency(v[PRICE_CURRENCY].text))
        return fail(err, HEARTH_ERR_USAGE,
                    "%.180s:%d: currency '%.40s' must have 1 to %d bytes and no space, as \"USD\"",
                    s->path, v[PRICE_CURRENCY].line, v[PRICE_CURRENCY].text, CURRENCY_BYTES);
    return true;
}

bool price_find(struct price *out, const struct settings *s, const char *model)
{
    const struct toml_section *section = s && *model ? toml_section_find(&s->toml, "price", model) : NULL;
    struct opt_value v[PRICE_N_OPTS] = { 0 };
    if (!section || !settings_fill_from(s, section, price_opts, PRICE_N_OPTS, v, OPT_FROM_FILE, NULL))
        return false;
    *out = (struct price){ .model = section->sub,
                           .input = v[PRICE_INPUT].f,
                           .cached = v[PRICE_CACHED].origin == OPT_UNSET ? v[PRICE_INPUT].f : v[PRICE_CACHED].f,
                           .output = v[PRICE_OUTPUT].f,
                           .currency = v[PRICE_CURRENCY].text,
                           .date = v[PRICE_DATE].text };
    return true;
}

bool price_choose_equivalent(struct price_equivalent *out, const struct settings *s, const struct opt_value *given,
                             hearth_error *err)
{
    struct price *p = &out->price;
    if (!given->text)
        return true;
    if (!price_find(p, s, given->text))
        return fail(err, HEARTH_ERR_USAGE, "--equivalent-api %.80s: the settings have no [price.\"%.80s\"]; put it "
                    "there "
                    "(docs/settings.md)", given->text, given->text);
    out->of_receipts = (struct receipt_price){ .model = p->model, .currency = p->currency, .date = p->date,
                                               .input = p->input, .output = p->output };
    receipt_price_set(&out->of_receipts);
    return true;
}

double price_of(const struct price *p, double n_prompt, double n_cached, double n_output)
{
    double cached = n_cached > 0 ? n_cached : 0;
    if (cached > n_prompt) /* a server may say anything */
        cached = n_prompt;
    return ((n_prompt - cached) * p->input + cached * p->cached + n_output * p->output) / 1e6;
}

const char *price_text(char out[PRICE_TEXT_BYTES], double amount, const char *currency)
{
    int digits = 2;
    for (double v = amount; v > 0 && v < 0.1 && digits < 9; v *= 10)
        digits++;
    snprintf(out, PRICE_TEXT_BYTES, "%.*f %.8s", amount > 0 ? digits : 0, amount, currency);
    return out;
}
