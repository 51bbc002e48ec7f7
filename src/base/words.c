#include "base/words.h"

#include <string.h>

static char fold(char c) { return c == '_' ? '-' : c; }

/* Row by row of the table of prefixes (Wagner and Fischer, The String-to-String Correction Problem, 1974). */
int word_distance(const char *a, const char *b)
{
    int row[WORD_LONGEST + 1];
    size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > WORD_LONGEST || n_b > WORD_LONGEST)
        return WORD_LONGEST;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n_b; j++) {
            int replaced = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));
            diagonal = row[j];
            row[j] = min_int(replaced, 1 + min_int(row[j], row[j - 1]));
        }
    }
    return row[n_b];
}
