# SPDX-License-Identifier: GPL-2.0-only
"""What to compile: a region is found in a page's decoded records and judged, before region.py traces it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lpar.cpu.handlers import Variant

MAX_INSTRUCTIONS = 160
MAX_WITH_CASES = 256  #: instructions where a jump by CTR has its targets in the region
MAX_CUTS = 4
REACH, MAX_CASES = 256, 48  #: of a jump by CTR: instructions to its targets, and their number
LONG, STRETCH = 32, 12  #: instructions that a region without a loop must have, in all and for each branch
LAST = 1023  #: number of a page's last instruction


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


def cases_of(index: int, words: Callable[[int], int | None]) -> tuple[int, ...]:
    """Where a ``bctr`` may go: executed code near it that nothing runs into from above.

    That is code behind a jump, a table, or what aligns it.
    """
    out = []
    for at in range(max(index - REACH, 1), min(index + REACH, LAST) + 1):
        before = words(at - 1)
        runs_on = before is not None and not is_jump(before) and (before >> 26 != 18 or before & 1)
        if words(at) is not None and not runs_on:
            out.append(at)
    return tuple(sorted(out, key=lambda at: abs(at - index))[:MAX_CASES])


def discover(entry: int, words: Callable[[int], int | None], decode: Callable[[int], Variant | None]) -> Plan:
    """The region around ``entry``; ``words`` gives an executed instruction's word, None for others."""
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
            if is_jump(word):
                cases[index] = cases_of(index, words)
                todo += cases[index]
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
