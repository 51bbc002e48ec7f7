/* chat_impl.h: inside text/chat/. */
#pragma once
#include "text/chat/chat.h"

/* Texts that no template writes and that trimming, splitting and escaping leave as they are. */
#define USER_TEXT    "uQ7user"
#define USER_2_TEXT  "uQ7second"
#define SYSTEM_TEXT  "sQ7system"
#define ANSWER_TEXT  "aQ7answer"
#define THOUGHT_TEXT "tQ7thought"

enum { CHAT_MAX_MARKS = 16 };

struct chat {
    struct arena arena;
    const struct tokenizer *tokenizer;
    struct str source;
    struct jinja_template *template;
    json_t *trusted;                        /* bos_token and the like */
    struct special_set always;              /* user-defined tokens that the template does not write itself */
    int32_t mark[CHAT_MAX_MARKS], close[CHAT_MAX_MARKS];
    int n_mark, n_close;
    char sha256[65];
    struct chat_traits traits;
};

/* Rendering for a look at the template itself, held to a small budget of steps. */
bool chat_try(const struct chat *c, const json_t *values, const struct jinja_date *date, struct jinja_output *out,
              struct jinja_error *err);

/* chat_render() with the same budget. */
bool chat_render_look(const struct chat *c, const struct chat_input *in, struct chat_prompt *out, hearth_error *err);

/* Fills c->traits. False: no memory. */
bool chat_probe(struct chat *c);
