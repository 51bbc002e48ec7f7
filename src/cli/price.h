/* price.h: what tokens cost elsewhere: [price."MODEL"] of the settings file. None is built in: prices change. */
#pragma once
#include "cli/settings.h"
#include "record/receipt_json.h"

/* What such a section has, as a table of options. */
enum { PRICE_INPUT, PRICE_CACHED, PRICE_OUTPUT, PRICE_CURRENCY, PRICE_DATE, PRICE_N_OPTS };
extern const struct opt price_opts[PRICE_N_OPTS];

struct price {
    const char *model;                /* all texts are the settings' */
    double input, cached, output;     /* of a million tokens; cached: as input where nothing else is said */
    const char *currency, *date;      /* "USD", "2026-11-01" */
};

/* What is wrong with a section whose keys are known and of their types: a key that it lacks, a date that is none.
 * HEARTH_ERR_USAGE is "FILE:LINE: ...". */
bool price_check(const struct settings *s, const struct toml_section *section, hearth_error *err);

/* False: the settings have no price of this model. */
bool price_find(struct price *out, const struct settings *s, const char *model);

/* The row of --equivalent-api, and what it says: receipts have the price of that model from here on; *out must outlive
 * them. True without the option, too. HEARTH_ERR_USAGE: the settings have no such price. */
#define OPT_EQUIVALENT_ROW                                                                                    \
    {                                                                                                         \
        .name = "equivalent-api", .type = OPT_TEXT, .value = "NAME",                                          \
        .help = "receipts say what the tokens would have cost there, by [price.\"NAME\"] of the settings"     \
    }
struct price_equivalent {
    struct price price;
    struct receipt_price of_receipts;
};
bool price_choose_equivalent(struct price_equivalent *out, const struct settings *s, const struct opt_value *given,
                             hearth_error *err);

/* n_cached of the n_prompt tokens; below 0: not known, and none. */
double price_of(const struct price *p, double n_prompt, double n_cached, double n_output);

/* "0.00123 USD", at least two digits of it. */
enum { PRICE_TEXT_BYTES = 48 };
const char *price_text(char out[PRICE_TEXT_BYTES], double amount, const char *currency);
