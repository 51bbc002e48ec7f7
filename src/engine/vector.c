/* vector.c: what may be done with a vector that an engine made. */
#include <math.h>

#include "hearth/hearth.h"

/* In the order of the values, so that it rounds alike everywhere. */
void hearth_normalize(float *vector, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)vector[i] * (double)vector[i];
    double length = sqrt(sum);
    for (size_t i = 0; length > 0 && i < n; i++)
        vector[i] = (float)((double)vector[i] / length);
}
