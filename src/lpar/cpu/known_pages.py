# SPDX-License-Identifier: GPL-2.0-only
"""Memory that a region has looked up, kept in host registers: loops that stay in it need no TLB.

Accesses with the same base register and nearly the same displacement share a *site*: a range of pages beside
each other, in the guest's address space and in the host's, and what leads from one to the other.  An access
inside goes straight to memory; one outside asks the TLB, and its page extends the range or begins another.
Linux has pages of 64 KiB, the TLB of 4: most tables and arrays soon are one range.

Rules of this file:
* What the TLB said holds until the vCPU's next poll (native_tlb): a poll with a request leaves the region.
  A sample that is passed by (native_sample) counts as no poll.  A region that calls what changes translations
  or waits for other vCPUs (a vCPU that waits counts as outside) keeps nothing.
* A site's code is kept short, since LLVM takes its time for each line: what is rare is a routine
  (native_memory.extend_range).
* The check is ``ea - start < room``: room is 15 bytes less than the range has, so that it holds for an access
  of any size, and 0 for a site that is still empty.
* Which accesses share a site is a guess that only speed hangs on.  Only bases that stay or walk have sites:
  whatever is loaded or computed may be anywhere, and a check that fails half of the time costs more than a
  look-up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lpar.cpu.ir import Function, IrBits

if TYPE_CHECKING:
    from lpar.isa.routine import Routine

MOST = 8  #: sites of a region: each is three host registers, or places on its stack
NEAR = 9  #: bits of a displacement that accesses of one site may differ in
PARTS = {"start": 0, "room": 0, "addend": 1}  #: of a site, and what they are at first (no addend is odd)
UPDATES = (33, 35, 37, 39, 41, 43, 45, 49, 51, 53, 55)  #: D-form opcodes that write RA
SAFE = ("lpar.isa.", *(f"lpar.cpu.native_{name}" for name in ("memory", "mmu", "sample", "time")))

#: base register, index register or part of the displacement, place of the tag in a TLB entry
Site = tuple[int, int, int]


def _opcode(word: int) -> int:
    return word >> 26


def site_of(word: int, tag_at: int) -> Site:
    """The site of a load or store."""
    ra, rb = word >> 16 & 31, word >> 11 & 31
    if _opcode(word) == 31 or word >> 32:
        return ra, rb, tag_at
    displacement = (word & 0xFFFF ^ 0x8000) - 0x8000
    return ra, 32 + (displacement >> NEAR), tag_at


def source_of_step(word: int, register: int) -> tuple[int, int] | None:
    """How an instruction makes ``register``: from which (often itself), and the register of the step.

    The latter is 0 for an immediate step.  None: it does something else.
    """
    rt, ra, rb = word >> 21 & 31, word >> 16 & 31, word >> 11 & 31
    opcode, extended = _opcode(word), word >> 1 & 0x3FF
    if opcode in (14, 15) and rt == register and ra:
        return ra, 0
    if opcode in UPDATES or (opcode in (58, 62) and word & 3 == 1):
        return (ra, 0) if ra == register and (rt != register or opcode >= 36) else None
    if opcode == 31 and extended & 0x3F in (53, 55) and ra == register:  # ldux, lwzux and the like
        return ra, rb
    if opcode == 31 and extended & 0x1FF in (266, 40) and rt == register:  # add, subf
        return (ra, rb) if extended & 0x1FF == 266 else (rb, ra)
    if opcode == 31 and extended == 444 and ra == register and rt == rb:
        return rt, 0
    return None


class Bases:
    """Which general registers stay, and which walk in steps, in a region."""

    def __init__(self, writers: Mapping[int, list[int]]) -> None:
        """``writers``: the words of the instructions that write each register."""
        self.written = {register for register, words in writers.items() if words}
        self.walking = set(self.written)
        sources = {r: [source_of_step(word, r) for word in writers[r]] for r in self.written}
        while lost := {r for r in self.walking if not all(self._steps(source) for source in sources[r])}:
            self.walking -= lost

    def _steps(self, source: tuple[int, int] | None) -> bool:
        return source is not None and self.steady(source[0]) and (not source[1] or self.stays(source[1]))

    def stays(self, register: int) -> bool:
        """Whether nothing in the region writes it."""
        return register not in self.written

    def steady(self, register: int) -> bool:
        """Whether it stays or walks."""
        return self.stays(register) or register in self.walking

    def worth(self, site: Site) -> bool:
        """Whether a site's accesses are likely to stay in a page or two for a while."""
        base, index, _ = site
        if index >= 32:
            return self.steady(base)
        if base == 0:
            return self.steady(index)
        return self.stays(index) or self.stays(base) or (self.steady(base) and self.steady(index))


class KnownPages:
    """The sites of a region under construction."""

    def __init__(self, f: Function) -> None:
        self._f = f
        self._uses: Counter[Site] = Counter()
        self._names: dict[Site, str] = {}
        self._usable = True

    def called(self, routine: Routine) -> None:
        """Note a call: what is not known to leave translations alone ends all sites of the region."""
        if not routine.body.__module__.startswith(SAFE):
            self._usable = False

    def site(self, word: int, tag_at: int) -> tuple[str, IrBits]:
        """(the name of the site that an access belongs to, whether it keeps anything)."""
        site = site_of(word, tag_at)
        self._uses[site] += 1
        name = self._names.setdefault(site, f"%p{len(self._names)}")
        return name, IrBits(self._f, f"{name}.on", 1)

    def inside(self, name: str, ea: Any) -> Any:
        """Whether the range has an access."""
        return ea - self._part(name, "start") < self._part(name, "room")

    def _part(self, name: str, part: str) -> IrBits:
        return IrBits(self._f, self._f.emit(f"load i64, ptr {name}.{part}, align 8"), 64)

    def addend(self, name: str) -> IrBits:
        """What leads from effective addresses in the range to host memory."""
        return self._part(name, "addend")

    def known(self, name: str) -> list[IrBits]:
        """What the region knows: the parts of a site."""
        return [self._part(name, part) for part in PARTS]

    def learn(self, name: str, parts: tuple[IrBits, ...]) -> None:
        """More of the range, or a new one."""
        for part, value in zip(PARTS, parts, strict=True):
            self._f.line(f"store i64 {value.ref}, ptr {name}.{part}, align 8")

    def close(self, bases: Bases) -> list[str]:
        """The lines that the region begins with, now that its instructions are known."""
        worth = [site for site, _ in self._uses.most_common() if bases.worth(site)]
        chosen = set(worth[:MOST]) if self._usable else set()
        lines = []
        for site, name in self._names.items():
            for part, at_first in PARTS.items():
                lines.append(f"{name}.{part} = alloca i64, align 8")
                lines.append(f"store i64 {at_first}, ptr {name}.{part}, align 8")
            lines.append(f"{name}.on = icmp eq i64 0, {0 if site in chosen else 1}")
        return lines
