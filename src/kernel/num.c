#include "kernel/num.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln 2 in two parts: the first has 32 bits, so that n * LN2_HIGH is exact for |n| < 2^21. */
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW  0x1.a39ef35793c76p-33
#define LOG2_E   0x1.71547652b82fep+0

/* pi / 2 in four parts; the first three have 25 bits, so that n times them is exact for |n| < 2^28. */
#define PI2_1  0x1.921fb50000000p+0
#define PI2_2  0x1.110b460000000p-26
#define PI2_3  0x1.1a62630000000p-54
#define PI2_4  0x1.8a2e03707344ap-81
#define TWO_PI 0x1.45f306dc9c883p-1 /* 2 / pi */

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static int64_t nearest(double x) { return (int64_t)(x < 0 ? x - 0.5 : x + 0.5); }

static double power_of_2(int64_t n) { return of_bits((uint64_t)(n + 1023) << 52); } /* -1022 <= n <= 1023 */

double num_exp(double x)
{
    if (x != x)
        return x;
    if (x > 709.8)
        return (double)INFINITY;
    if (x < -745.2)
        return 0;
    int64_t n = nearest(x * LOG2_E);
    double r = (x - (double)n * LN2_HIGH) - (double)n * LN2_LOW;
    double sum = 1.0;
    for (int i = 14; i > 0; i--) /* Taylor, |r| <= 0.35 */
        sum = 1.0 + sum * r / (double)i;
    return sum * power_of_2(n / 2) * power_of_2(n - n / 2);
}

double num_log(double x)
{
    if (x != x || x <= 0 || bits_of(x) == 0x7ff0000000000000u)
        return x > 0 ? x : x == 0 ? -(double)INFINITY : (double)NAN;
    int64_t n = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        n = -54;
    }
    uint64_t bits = bits_of(x);
    n += (int64_t)(bits >> 52) - 1023;
    double m = of_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
    if (m > 0x1.6a09e667f3bcdp+0) { /* sqrt 2 */
        m *= 0.5;
        n++;
    }
    /* log m = 2 artanh f, f = (m - 1) / (m + 1), |f| <= 0.172 */
    double f = (m - 1.0) / (m + 1.0), f2 = f * f, sum = 0;
    for (int i = 23; i >= 3; i -= 2)
        sum = (sum + 1.0 / (double)i) * f2;
    return (double)n * LN2_HIGH + (2.0 * f + (2.0 * f * sum + (double)n * LN2_LOW));
}

double num_softplus(double x) { return x > 40 ? x : num_log(1.0 + num_exp(x)); }

double num_pow(double base, double e) { return num_exp(e * num_log(base)); }

/* x minus the nearest multiple of pi / 2; *quadrant: that multiple modulo 4. */
static double reduce(double x, int *quadrant)
{
    int64_t n = nearest(x * TWO_PI);
    double k = (double)n;
    *quadrant = (int)(n & 3);
    return ((x - k * PI2_1) - k * PI2_2) - k * PI2_3 - k * PI2_4;
}

/* Taylor on |r| <= 0.79. */
static double sin_small(double r)
{
    double r2 = r * r, sum = 0;
    for (int i = 18; i > 0; i -= 2)
        sum = -(sum + 1.0) * r2 / (double)(i * (i + 1));
    return r + r * sum;
}
static double cos_small(double r)
{
    double r2 = r * r, sum = 0;
    for (int i = 19; i > 0; i -= 2)
        sum = -(sum + 1.0) * r2 / (double)(i * (i + 1));
    return 1.0 + sum;
}

double num_sin(double x)
{
    if (!(x > -0x1p28 && x < 0x1p28))
        return (double)NAN;
    int quadrant;
    double r = reduce(x, &quadrant);
    double s = quadrant & 1 ? cos_small(r) : sin_small(r);
    return quadrant & 2 ? -s : s;
}

double num_cos(double x)
{
    if (!(x > -0x1p28 && x < 0x1p28))
        return (double)NAN;
    int quadrant;
    double r = reduce(x, &quadrant);
    double c = quadrant & 1 ? sin_small(r) : cos_small(r);
    return (quadrant == 1 || quadrant == 2) ? -c : c;
}
