#include "dtype/dtype.h"

#include "dtype/all.h"

const struct dtype_info dtype_table[N_DTYPES] = {
#define DTYPE(name, id, n_values, block_bytes, act, ...) \
    [DTYPE_##name] = { #name, id, n_values, block_bytes, act, __VA_ARGS__, name##_block_to_f32, name##_block_from_f32 },
#include "dtype/dtype.def"
};

bool dtype_from_gguf(uint32_t gguf_id, enum dtype *out)
{
    for (int i = 0; i < N_DTYPES; i++)
        if (dtype_table[i].gguf_id == gguf_id) {
            *out = (enum dtype)i;
            return true;
        }
    return false;
}

static int lower(int c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }

bool dtype_from_name(const char *name, enum dtype *out)
{
    for (int i = 0; i < N_DTYPES; i++) {
        const char *a = dtype_table[i].name, *b = name;
        while (*a && lower(*a) == lower(*b)) {
            a++;
            b++;
        }
        if (!*a && !*b) {
            *out = (enum dtype)i;
            return true;
        }
    }
    return false;
}

const char *dtype_names(void)
{
#define DTYPE(name, id, n_values, block_bytes, act, ...) ", " #name
    static const char names[] =
#include "dtype/dtype.def"
        ;
    return names + 2; /* without the first comma */
}
