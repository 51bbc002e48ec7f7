#include "cli/vocabularies.h"

#include <string.h>

#include "base/alloc.h"

bool vocabularies_compare(hearth_file *a, hearth_file *b, struct vocabulary_difference *out, hearth_error *err)
{
    hearth_file_info info_a, info_b;
    hearth_file_describe(a, &info_a);
    hearth_file_describe(b, &info_b);
    *out = (struct vocabulary_difference){ .n_a = info_a.n_vocab, .n_b = info_b.n_vocab, .id = -1 };
    uint64_t refused = mem_n_refused();
    for (int32_t id = 0; info_a.n_vocab == info_b.n_vocab && id < info_a.n_vocab && out->id < 0; id++) {
        size_t n_a = 0, n_b = 0;
        const char *text_a = hearth_file_token_text(a, id, &n_a), *text_b = hearth_file_token_text(b, id, &n_b);
        if (mem_n_refused() != refused) /* a missing text may also be one beyond the vocabulary */
            return fail_memory(err, "the texts of the tokens");
        if (!text_a != !text_b || (text_a && (n_a != n_b || memcmp(text_a, text_b, n_a) != 0)))
            out->id = id;
    }
    return true;
}
