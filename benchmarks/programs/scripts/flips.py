# SPDX-License-Identifier: GPL-2.0-only
"""Small integers and list slices: how many flips it takes to bring 1 to the front (fannkuch)."""

from itertools import permutations

SIZE = 8
most = checksum = 0
for index, order in enumerate(permutations(range(1, SIZE + 1))):
    cards = list(order)
    flips = 0
    while (first := cards[0]) != 1:
        cards[:first] = cards[first - 1 :: -1]
        flips += 1
    most = max(most, flips)
    checksum += flips if index % 2 else -flips
print(most, checksum)
