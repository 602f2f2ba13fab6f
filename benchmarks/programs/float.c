/* SPDX-License-Identifier: GPL-2.0-only */
/* Floating-point and VSX rows.  Every operation is IEEE's own, fused multiply-add among them, so that
 * the checksum of the results' bits is one and the same on every right machine. */
#include "bench.h"

#include <altivec.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bits(double value)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static double uniform(uint64_t *seed)
{
    return (double)(next_random(seed) >> 11) * 0x1p-53;
}

enum { ORDER = 96 };

static double *random_matrix(uint64_t seed)
{
    double *matrix = allocate(ORDER * ORDER * sizeof *matrix);
    for (int n = 0; n < ORDER * ORDER; n++)
        matrix[n] = uniform(&seed) - 0.5;
    return matrix;
}

static void product(double *c, const double *a, const double *b)
{
    for (int i = 0; i < ORDER; i++)
        for (int j = 0; j < ORDER; j++) {
            double sum = 0;
            for (int k = 0; k < ORDER; k++)
                sum += a[i * ORDER + k] * b[k * ORDER + j];
            c[i * ORDER + j] = sum;
        }
}

static void product_vsx(double *c, const double *a, const double *b)
{
    for (int i = 0; i < ORDER; i++)
        for (int j = 0; j < ORDER; j += 4) {
            vector double low = vec_splats(0.0), high = low;
            for (int k = 0; k < ORDER; k++) {
                vector double factor = vec_splats(a[i * ORDER + k]);
                low = vec_madd(factor, vec_xl(0, b + k * ORDER + j), low);
                high = vec_madd(factor, vec_xl(16, b + k * ORDER + j), high);
            }
            vec_xst(low, 0, c + i * ORDER + j);
            vec_xst(high, 16, c + i * ORDER + j);
        }
}

static uint64_t multiply(uint64_t count, void by(double *, const double *, const double *))
{
    double *a = random_matrix(4), *b = random_matrix(5), *c = random_matrix(6);
    uint64_t sum = 0;
    for (uint64_t round = 0; round < count; round++) {
        by(c, a, b);
        sum = fold(sum, bits(c[round % (ORDER * ORDER)]));
        a[round % (ORDER * ORDER)] = c[round % ORDER] * 0.125;
    }
    free(a);
    free(b);
    free(c);
    return sum;
}

/* count products of two matrices of order 96, one element after the other (scalar VSX). */
uint64_t row_matmul(uint64_t count)
{
    return multiply(count, product);
}

/* The same with vectors of two doubles. */
uint64_t row_matmul_vsx(uint64_t count)
{
    return multiply(count, product_vsx);
}

struct body { double position[3], velocity[3], mass; };

static void attract(struct body *one, struct body *other, double step)
{
    double d[3], square = 0;
    for (int n = 0; n < 3; n++) {
        d[n] = one->position[n] - other->position[n];
        square += d[n] * d[n];
    }
    double pull = step / (square * __builtin_sqrt(square));
    for (int n = 0; n < 3; n++) {
        one->velocity[n] -= d[n] * other->mass * pull;
        other->velocity[n] += d[n] * one->mass * pull;
    }
}

/* count thousands of steps of five bodies. */
uint64_t row_nbody(uint64_t count)
{
    enum { BODIES = 5 };
    struct body body[BODIES];
    uint64_t seed = 7, sum = 0;
    for (int n = 0; n < BODIES; n++)
        body[n] = (struct body){{uniform(&seed) * 10, uniform(&seed) * 10, uniform(&seed) * 10},
                                {uniform(&seed), uniform(&seed), uniform(&seed)}, 0.1 + uniform(&seed)};
    for (uint64_t step = 0; step < count * 1000; step++) {
        for (int n = 0; n < BODIES; n++)
            for (int m = n + 1; m < BODIES; m++)
                attract(&body[n], &body[m], 0.001);
        for (int n = 0; n < BODIES; n++)
            for (int axis = 0; axis < 3; axis++)
                body[n].position[axis] += 0.001 * body[n].velocity[axis];
    }
    for (int n = 0; n < BODIES; n++)
        sum = fold(sum, bits(body[n].position[0]));
    return sum;
}

enum { POINTS = 4096 };

struct complex { double re, im; };

/* e^(-2 pi i n / POINTS) by halving the angle's cosine from -1 and rotating: no libm. */
static void roots_of_unity(struct complex *root)
{
    double cosine = -1, sine = 0;
    for (int n = POINTS; n > 2; n /= 2) {
        sine = __builtin_sqrt((1 - cosine) / 2);
        cosine = __builtin_sqrt((1 + cosine) / 2);
    }
    root[0] = (struct complex){1, 0};
    for (int n = 1; n < POINTS; n++) {
        root[n].re = root[n - 1].re * cosine + root[n - 1].im * sine;
        root[n].im = root[n - 1].im * cosine - root[n - 1].re * sine;
    }
}

static void reorder(struct complex *x)
{
    for (unsigned n = 0, mirrored = 0; n < POINTS; n++) {
        if (n < mirrored) {
            struct complex kept = x[n];
            x[n] = x[mirrored];
            x[mirrored] = kept;
        }
        unsigned bit = POINTS / 2;
        for (; mirrored & bit; bit /= 2)
            mirrored ^= bit;
        mirrored |= bit;
    }
}

static void transform(struct complex *x, const struct complex *root)
{
    reorder(x);
    for (unsigned half = 1; half < POINTS; half *= 2)
        for (unsigned start = 0; start < POINTS; start += 2 * half)
            for (unsigned n = 0; n < half; n++) {
                struct complex w = root[n * (POINTS / 2 / half)], *low = &x[start + n], *high = low + half;
                double re = high->re * w.re - high->im * w.im, im = high->re * w.im + high->im * w.re;
                *high = (struct complex){low->re - re, low->im - im};
                *low = (struct complex){low->re + re, low->im + im};
            }
}

/* count transforms of 4096 complex points. */
uint64_t row_fft(uint64_t count)
{
    struct complex *x = allocate(POINTS * sizeof *x), *root = allocate(POINTS * sizeof *root);
    uint64_t seed = 8, sum = 0;
    roots_of_unity(root);
    for (int n = 0; n < POINTS; n++)
        x[n] = (struct complex){uniform(&seed), 0};
    for (uint64_t round = 0; round < count; round++) {
        transform(x, root);
        for (int n = 0; n < POINTS; n++) {
            x[n].re *= 1.0 / 64;
            x[n].im *= 1.0 / 64;
        }
        sum = fold(sum, bits(x[round % POINTS].re));
    }
    free(x);
    free(root);
    return sum;
}
