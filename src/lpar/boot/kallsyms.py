# SPDX-License-Identifier: GPL-2.0-only
"""The names of a Linux kernel's functions, from the tables that it carries for itself (kallsyms).

Source: scripts/kallsyms.c of Linux 5.x to 6.3, with offsets to a base: in ascending addresses lie offsets (32
bits each), base (64), number of names (32), names (length and tokens), markers (32 bits for each 256 names),
in newer ones the order of the names (24 bits each), token table (256 strings), token index (16 bits each);
each begins at a multiple of 8.  Memory is the guest's and may hold anything: what does not fit together gives
no names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_DIGITS = b"".join(b"%d\0" % n for n in range(10))  #: tokens of the digits stand for themselves, in order
_TOKENS = 256
_MAX_NAMES = 1 << 22
_MARKED, _LONGEST = 256, 130  #: names for each marker; bytes of a name at most, about
_SEARCH = 2 << 20  #: bytes before the tokens in which the markers are


def find_names(memory: bytes | memoryview, big_endian: bool = False) -> list[tuple[int, str]]:
    """(address, name) of each symbol, by address; empty where there is no table that we know."""
    data = bytes(memory)
    at = data.find(_DIGITS)
    while at >= 0:
        try:
            found = _read(data, at, ">" if big_endian else "<")
        except (ValueError, IndexError, struct.error):
            found = []
        if found:
            return sorted(found)
        at = data.find(_DIGITS, at + 1)
    return []


def _read(data: bytes, digits: int, order: str) -> list[tuple[int, str]]:
    second = _back(data, digits, ord("0") - 1)  # before the first token may be anything
    for start in range(second - 1 & ~7, second - _LONGEST, -8):
        tokens = _tokens(data, start, order)
        if tokens:
            return _symbols(data, start, order, tokens)
    return []


def _tokens(data: bytes, start: int, order: str) -> list[str]:
    """The tokens whose table begins at ``start``; empty if the index behind it does not fit."""
    tokens, index, at = [], [], start
    for _ in range(_TOKENS):
        end = data.index(b"\0", at, at + _LONGEST)
        tokens.append(data[at:end].decode("latin-1"))
        index.append(at - start)
        at = end + 1
    return tokens if struct.unpack_from(f"{order}{_TOKENS}H", data, _up(at)) == tuple(index) else []


def _symbols(data: bytes, start: int, order: str, tokens: list[str]) -> list[tuple[int, str]]:
    markers = _markers(data, start, order)
    names, count = _names_start(data, markers, order)
    texts = list(_names(data, names, count, tokens))
    base = struct.unpack_from(order + "Q", data, names - 16)[0]
    offsets = struct.unpack_from(f"{order}{count}I", data, names - 16 - _up(4 * count))
    return [(base + offset, name) for offset, name in zip(offsets, texts, strict=True)]


def _up(value: int) -> int:
    return value + 7 & ~7


def _back(data: bytes, at: int, strings: int) -> int:
    """Where the string begins that is ``strings`` strings before the one at ``at``."""
    for _ in range(strings):
        at = data.rindex(b"\0", 0, at - 1) + 1
    return at


def _markers(data: bytes, end: int, order: str) -> list[int]:
    """The nearest array before ``end`` that looks like markers, from 0 upwards: [its address, markers...]."""
    first = max(end - _SEARCH, 0)
    words = struct.unpack_from(f"{order}{(end - first) // 4}I", data, first)
    for n in range(len(words) - 2 & ~1, -1, -2):
        if words[n] == 0 and _MARKED <= words[n + 1] <= _MARKED * _LONGEST:
            found = [0]
            while n + len(found) < len(words) and 0 < words[n + len(found)] - found[-1] <= _MARKED * _LONGEST:
                found.append(words[n + len(found)])
            return [first + 4 * n, *found]
    raise ValueError("no markers")


def _names_start(data: bytes, markers: list[int], order: str) -> tuple[int, int]:
    """(where the names begin, how many): their number stands 8 bytes before them."""
    place, *offsets = markers
    nearest = place - offsets[-1] & ~7
    for start in range(nearest, max(nearest - _MARKED * _LONGEST, 16), -8):
        count = struct.unpack_from(order + "I", data, start - 8)[0]
        if -(-count // _MARKED) == len(offsets) and count <= _MAX_NAMES and _fits(data, start, offsets):
            return start, count
    raise ValueError("no names")


def _fits(data: bytes, start: int, offsets: list[int]) -> bool:
    """Whether 256 names from ``start`` on end where the second marker says."""
    at = start
    for _ in range(_MARKED):
        at += _length(data, at)[1]
    return at - start == offsets[1]


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(tokens of a name, bytes with its length): long names have two bytes of length."""
    first = data[at]
    if first & 0x80:
        count = first & 0x7F | data[at + 1] << 7
        return count, count + 2
    return first, first + 1


def _names(data: bytes, at: int, count: int, tokens: list[str]) -> Iterator[str]:
    """The names, without the letter of their kind."""
    for _ in range(count):
        number, size = _length(data, at)
        text = "".join(tokens[token] for token in data[at + size - number : at + size])
        yield text[1:]
        at += size
