# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: ANN001, ANN201, ANN204, B905
"""Floats, lists and attribute look-ups: planets that attract each other."""

from itertools import combinations
from math import sqrt


class Body:
    def __init__(self, position, velocity, mass):
        self.position = position
        self.velocity = velocity
        self.mass = mass


def attract(one, other, step):
    delta = [a - b for a, b in zip(one.position, other.position)]
    square = sum(d * d for d in delta)
    pull = step / (square * sqrt(square))
    for axis, d in enumerate(delta):
        one.velocity[axis] -= d * other.mass * pull
        other.velocity[axis] += d * one.mass * pull


def advance(bodies, step):
    for one, other in combinations(bodies, 2):
        attract(one, other, step)
    for body in bodies:
        body.position = [p + step * v for p, v in zip(body.position, body.velocity)]


bodies = [Body([n * 1.7, n * n * 0.3, 5.0 - n], [0.1 * n, 0.3, -0.05 * n], 1.0 / (n + 1)) for n in range(5)]
for _ in range(1200):
    advance(bodies, 0.001)
for body in bodies:
    print(*(p.hex() for p in body.position))
