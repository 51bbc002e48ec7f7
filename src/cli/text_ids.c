#include "cli/text_ids.h"

#include "base/alloc.h"

bool text_ids(hearth_file *file, const char *text, size_t n_bytes, bool special, bool bos, int32_t **out, size_t *n,
              hearth_error *err)
{
    size_t room = n_bytes + 64; /* a token has at least one byte, but for BOS and the like */
    for (*out = NULL;;) {
        *out = mem_alloc(room * sizeof **out);
        if (!*out)
            return fail_memory(err, "the list of tokens");
        int64_t got = hearth_file_tokenize(file, text, n_bytes, special, bos, *out, room, err);
        if (got >= 0 && (size_t)got <= room) {
            *n = (size_t)got;
            return true;
        }
        mem_free(*out);
        *out = NULL;
        if (got < 0)
            return false;
        room = (size_t)got; /* normalization made the text longer */
    }
}
