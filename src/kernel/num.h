/* num.h: exp, log, sin, cos and pow whose bits do not depend on the machine.
 *
 * libm's differ between versions and between CPUs with and without FMA, so nothing that can
 * influence a logit, a probability or a token may call it. These are plain IEEE double
 * arithmetic (compiled with -ffp-contract=off); add, multiply, divide and sqrt are exactly
 * rounded everywhere. Errors: below 1e-14 relative for num_exp, num_log and num_pow on the
 * ranges used; below 1e-14 absolute for num_sin and num_cos on |x| < 2^28. */
#pragma once

double num_exp(double x);              /* overflow: inf; underflow: 0 */
double num_log(double x);              /* x > 0 */
double num_pow(double base, double e); /* base > 0 */
double num_softplus(double x);         /* log(1 + e^x) */
double num_sin(double x);
double num_cos(double x);
