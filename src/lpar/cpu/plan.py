# SPDX-License-Identifier: GPL-2.0-only
"""What to compile: a region is found in a page's decoded records and judged, before region.py traces it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from lpar.cpu.handlers import Variant

MAX_INSTRUCTIONS = 160
MAX_WITH_CASES = 256  #: instructions where a jump by CTR has its targets in the region
MAX_CUTS = 4
MAX_CASES = 256  #: in the table of a jump by CTR
FARTHEST = 1 << 20  #: bytes from a table to a case
LONG, STRETCH = 32, 12  #: instructions that a region without a loop must have, in all and for each branch
LAST = 1023  #: number of a page's last instruction


Words = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile: the entry and each instruction's (word, variant) by number within the page.

    The word of a prefixed instruction is prefix << 32 | suffix; its number is the prefix's.
    """

    entry: int
    code: dict[int, tuple[int, Variant]]
    cuts: tuple[int, ...] = ()  #: where the size limit cut the region off: entries of further ones
    cases: dict[int, tuple[int, ...]] = field(default_factory=dict)  #: where each jump by CTR may go


def length(word: int) -> int:
    """How many words an instruction has."""
    return 2 if word >> 32 else 1


def relative_target(index: int, word: int) -> int | None:
    """The instruction number that a relative branch goes to; None for other instructions."""
    if word & 2:
        return None
    if word >> 26 == 18:
        offset = word & 0x03FFFFFC
        return index + ((offset ^ 0x02000000) - 0x02000000 >> 2)
    if word >> 26 == 16:
        offset = word & 0xFFFC
        return index + ((offset ^ 0x8000) - 0x8000 >> 2)
    return None


def _falls_through(word: int) -> bool:
    """Whether the next instruction may follow (a call's return counts)."""
    opcode = word >> 26
    if opcode == 18:
        return bool(word & 1)
    if opcode == 16:
        return (word >> 21 & 0x14) != 0x14 or bool(word & 1)
    if opcode == 19 and (word >> 1 & 0x3FF) in (16, 528, 560):
        return (word >> 21 & 0x14) != 0x14 or bool(word & 1)
    if opcode == 19 and (word >> 1 & 0x3FF) in (18, 82, 274):
        return False
    return opcode != 17


def is_jump(word: int) -> bool:
    """Whether it is ``bctr``: a switch, or an interpreter's dispatch."""
    return word & 0xFC0007FF == 0x4C000420 and word >> 21 & 0x14 == 0x14


def cases_of(index: int, words: Words, page: bytes) -> tuple[int, ...]:
    """Where a ``bctr`` may go: what was executed of the cases in the table of distances behind it (GCC's).

    None, if there is no table, or if it leads out of the page more than now and then: to come and go costs
    more than a region gains.
    """
    table = index + 1
    cases, inside, count = set(), 0, 0
    for at in range(table, min(table + MAX_CASES, LAST + 1)):
        (distance,) = struct.unpack_from("<i", page, 4 * at)
        if words(at) is not None or distance % 4 or abs(distance) > FARTHEST:
            break
        count += 1
        to = table + distance // 4
        inside += 0 <= to <= LAST
        if 0 <= to <= LAST and words(to) is not None:
            cases.add(to)
    return tuple(sorted(cases)) if count > 1 and inside * 10 >= count * 9 else ()


def discover(entry: int, words: Words, decode: Callable[[int], Variant | None], page: bytes = b"") -> Plan:
    """The region around ``entry``; ``words`` gives an executed instruction's word, None for others.

    ``page``: the content of RAM, for what was not executed.
    """
    code: dict[int, tuple[int, Variant]] = {}
    cases: dict[int, tuple[int, ...]] = {}
    todo, cuts, most = [entry], [], MAX_INSTRUCTIONS
    while todo:
        index = todo.pop(0)
        while 0 <= index <= LAST and index not in code and len(code) < most:
            word = words(index)
            variant = decode(word) if word is not None else None
            if word is None or variant is None:
                break
            code[index] = (word, variant)
            target = relative_target(index, word)
            if target is not None and 0 <= target <= LAST:
                todo.append(target)
            if page and is_jump(word) and (found := cases_of(index, words, page)):
                cases[index] = found
                todo += found
                most = MAX_WITH_CASES
            if not _falls_through(word):
                break
            index += length(word)
        full = len(code) >= most
        if full and index not in code and 0 <= index <= LAST and words(index) is not None:
            cuts.append(index)
    return looping(Plan(entry, code, tuple(cuts[:MAX_CUTS]), cases))


def looping(plan: Plan) -> Plan:
    """What of a loop around the entry comes back to it; a plan without a loop as it is.

    The way out of a loop is taken once, and LLVM would take as long for it as for the loop.
    """
    if not _comes_back(plan):
        return plan
    sites = [i + length(word) for i, (word, _) in plan.code.items() if word & 1 and word >> 26 in (16, 18)]
    before: dict[int, set[int]] = {}
    for index, (word, _) in plan.code.items():
        returns = sites if word >> 26 == 19 and index not in plan.cases else []
        target = relative_target(index, word)
        for to in (*returns, *plan.cases.get(index, ()), *([] if target is None else [target])):
            before.setdefault(to, set()).add(index)
        if _falls_through(word):
            before.setdefault(index + length(word), set()).add(index)
    kept, todo = {plan.entry}, [plan.entry]
    while todo:
        new = before.get(todo.pop(), set()) - kept
        kept |= new
        todo += new
    code = {i: made for i, made in plan.code.items() if i in kept}
    cases = {i: tuple(to for to in cases if to in kept) for i, cases in plan.cases.items() if i in kept}
    return Plan(plan.entry, code, plan.cuts, cases)


def worthwhile(plan: Plan) -> bool:
    """Whether a region is likely to be quicker than units: a loop around its entry, or long, few branches.

    What passes through once gains less than it costs to load registers at the entry and store them at exits.
    """
    if _comes_back(plan):
        return True
    branches = sum(word >> 26 in (16, 18, 19) for word, _ in plan.code.values())
    return len(plan.code) >= LONG and branches * STRETCH <= len(plan.code)


def _comes_back(plan: Plan) -> bool:
    """Whether some path inside the region leads to its entry again; calls and returns are none."""
    seen: set[int] = set()
    todo = [plan.entry]
    while todo:
        index = todo.pop()
        if index in seen or index not in plan.code:
            continue
        seen.add(index)
        word = plan.code[index][0]
        call = word >> 26 in (16, 18) and word & 1
        follow = [index + length(word)] if _falls_through(word) else []
        target = None if call else relative_target(index, word)
        follow += [*([] if target is None else [target]), *plan.cases.get(index, ())]
        if plan.entry in follow:
            return True
        todo += follow
    return False


def joins(plan: Plan) -> set[int]:
    """Where more than one way may lead to: the entry, targets of branches, what follows calls."""
    found = {plan.entry, *(to for cases in plan.cases.values() for to in cases)}
    for index, (word, _) in plan.code.items():
        target = relative_target(index, word)
        if target is not None:
            found.add(target)
        if word & 1 and word >> 26 in (16, 18, 19):
            found.add(index + length(word))
    return found
