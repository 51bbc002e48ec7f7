/* fuzz_recording.c: any bytes as a recording's file. What is taken says the same when it is written again, and asks for
 * something or says what it lacks. */
#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "fuzz.h"
#include "record/receipt_json.h"
#include "record/recording.h"

const char *hearth_version(void) { return "0"; }
const char *hearth_kv_type_name(hearth_kv_type type) { return type == 0 ? "f16" : NULL; }

static char *text_of(const struct recording *r)
{
    json_t *json = recording_to_json(r);
    char *text = json ? json_dumps(json, RECEIPT_JSON_FLAGS | JSON_SORT_KEYS) : NULL;
    must(text != NULL);
    json_decref(json);
    return text;
}

static void check_asking(const struct recording *r)
{
    struct arena arena;
    hearth_request asked;
    hearth_error err = { 0 };
    arena_init(&arena, RECORDING_ARENA_BYTES);
    if (recording_ask(r, &arena, &asked, &err)) {
        must(asked.n_prompt_ids > 0 && asked.max_tokens >= 0);
        for (size_t i = 0; i < asked.n_stop; i++)
            fuzz_read(asked.stop[i], strlen(asked.stop[i]));
        for (size_t i = 0; i < asked.n_dry_sequence_breakers; i++)
            fuzz_read(asked.dry_sequence_breakers[i], strlen(asked.dry_sequence_breakers[i]));
        must(asked.n_dry_sequence_breakers <= HEARTH_MAX_BREAKERS);
    } else {
        must(err.status == HEARTH_ERR_FORMAT && err.message[0]);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recording r, again;
    hearth_error err = { 0 };
    json_t *json = json_loadb((const char *)data, size, 0, NULL);
    if (!json)
        return 0;
    if (recording_from_json(&r, json, &err)) {
        for (size_t i = 0; i < r.n_prompt; i++)
            must(r.prompt[i] >= 0);
        char *text = text_of(&r);
        json_t *read = json_loads(text, 0, NULL);
        must(read && recording_from_json(&again, read, &err));
        char *text_again = text_of(&again);
        must(strcmp(text, text_again) == 0);
        check_asking(&r);
        free(text_again);
        free(text);
        json_decref(read);
        recording_free(&again);
        recording_free(&r);
    } else {
        must(err.status == HEARTH_ERR_FORMAT && err.message[0] && !r.receipt);
    }
    json_decref(json);
    return 0;
}
