# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: ANN001, ANN201
"""Generators, sets and big integers: queens on a board, then digits of pi."""


def queens(size, row=0, columns=frozenset(), falling=frozenset(), rising=frozenset()):
    if row == size:
        yield 1
        return
    for column in range(size):
        if column in columns or row - column in falling or row + column in rising:
            continue
        yield from queens(
            size, row + 1, columns | {column}, falling | {row - column}, rising | {row + column}
        )


def digits_of_pi(count):
    q, r, t, k, m, x = 1, 0, 1, 1, 3, 3
    while count:
        if 4 * q + r - t < m * t:
            yield m
            count -= 1
            q, r, m = 10 * q, 10 * (r - m * t), 10 * (3 * q + r) // t - 10 * m
        else:
            digit = (q * (7 * k + 2) + r * x) // (t * x)
            q, r, t, k, m, x = q * k, (2 * q + r) * x, t * x, k + 1, digit, x + 2


print(sum(queens(8)))
print("".join(map(str, digits_of_pi(800))))
