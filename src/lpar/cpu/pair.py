# SPDX-License-Identifier: GPL-2.0-only
"""Pairs: two instructions that often follow each other, as one stencil.

* A comparison and the branch on it: the branch has no CR field to read.
* Two loads, or two stores, with the same base register: one look into the TLB serves both.

The word of a pair is both words, the second one above.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lpar.cpu.handler_cpu import HANDLER_ARGS
from lpar.cpu.handlers import MASKED, Variant, arguments
from lpar.cpu.holes import WORD, Hole
from lpar.cpu.ir import Function, IrBits, Module
from lpar.cpu.native_decode import COMPARISON, LOADS, STORES
from lpar.cpu.staging import Done
from lpar.cpu.stencil import ATTRIBUTES, StencilCpu, assume_order
from lpar.isa.values import select

#: instructions that write a CR field, which is the first unless they have a field BF
COMPARED = (
    *(f"{name} L10={wide}" for name in ("cmpi", "cmpli", "cmp", "cmpl") for wide in (0, 1)),
    *("andi.", "rlwinm{.} Rc=1", "rldicl{.} Rc=1", "and{.} Rc=1", "or{.} Rc=1", "addic."),
)
#: the branches behind them, by the value that the bit shall have
BRANCHES = ("bc{l}{a} BOC=2 AA=0 LK=0", "bc{l}{a} BOC=6 AA=0 LK=0")
BITS = 3  #: LT, GT, EQ
#: accesses by their kind, and how many bytes they take
SIZES = {
    LOADS: {"lbz": 1, "lhz": 2, "lha": 2, "lwz": 4, "lwa": 4, "ld": 8},
    STORES: {"stb": 1, "sth": 2, "stw": 4, "std": 8},
}


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs that begin with a variant: symbols of stencils.

    ``about``: of a comparison whether it has a field BF, of an access its number among those of its kind.
    """

    kind: int
    about: int
    names: tuple[str, ...]


class PairCpu(StencilCpu):
    """The ``cpu`` of a pair, while it is traced."""

    def __init__(self, f: Function, slow_symbol: str = "") -> None:
        super().__init__(f, near=True, slow_symbol=slow_symbol)
        object.__setattr__(self, "second", False)

    @property
    def word(self) -> IrBits:
        """The word of the instruction that is being traced."""
        both = Hole(self.f, WORD, 64)
        return both >> 32 if self.second else both & 0xFFFFFFFF

    @property
    def rec(self) -> IrBits:
        """Its record; %rec is the first one's."""
        first = super().rec
        return first + 8 if self.second else first

    def trace(self, variants: tuple[Variant, Variant]) -> None:
        """Trace both."""
        try:
            for number, variant in enumerate(variants):
                object.__setattr__(self, "second", bool(number))
                self.rt.call(variant.instruction.body, self, *arguments(self, variant))
            self.next()
        except Done:
            pass


class ComparisonCpu(PairCpu):
    """Of a comparison and a conditional branch that looks at ``bit`` of the CR field."""

    def __init__(self, f: Function, first: Variant, bit: int) -> None:
        super().__init__(f)
        if first.kind in MASKED.values():
            assume_order(self, first, True)  # others have no pairs
        cr = _LastCr(self._arrays["cr"])
        object.__setattr__(self, "_arrays", self._arrays | {"cr": cr})
        object.__setattr__(self, "bit", bit)

    def crbit(self, n: Any) -> IrBits:
        """The bit that the first instruction has just made."""
        return self._arrays["cr"].value.bit(3 - self.bit)  # type: ignore[no-any-return]


class _LastCr:
    """The CR fields; ``value``: what was written last."""

    def __init__(self, fields: Any) -> None:
        self._fields, self.value = fields, None

    def __setitem__(self, n: Any, value: Any) -> None:
        self._fields[n] = self.value = value


class AccessCpu(PairCpu):
    """Of two loads or two stores with the same base register."""

    def __init__(self, f: Function, variants: tuple[Variant, Variant], sizes: tuple[int, int]) -> None:
        super().__init__(f, variants[0].name + "s")
        set_ = object.__setattr__
        set_(self, "sizes", sizes)
        set_(self, "base_at", None)  # the host address that the base register stands for
        steps = []
        for number, variant in enumerate(variants):
            set_(self, "second", bool(number))
            fields = [field.name for field in variant.instruction.fields]
            given = dict(zip(fields, arguments(self, variant), strict=True))
            steps.append(given["D"] if "D" in given else given["DS"])
        set_(self, "second", False)
        set_(self, "register", given["RA0"])
        set_(self, "steps", steps)

    def _host(self, ea: Any, size: int, tag_at: int) -> IrBits:
        """The host address of an access: the first look into the TLB counts for both."""
        if self.base_at is None:
            object.__setattr__(self, "base_at", self._look_up(tag_at))
        return self.base_at + self.steps[self.second]  # type: ignore[no-any-return]

    def _look_up(self, tag_at: int) -> IrBits:
        """Leave unless a page has both accesses, from the lower one's first byte to the upper one's last."""
        (a, b), (size_a, size_b) = self.steps, self.sizes
        end_a, end_b = a + (size_a - 1), b + (size_b - 1)
        low, high = select(a.sle(b), a, b), select(end_a.sle(end_b), end_b, end_a)
        base = self.gpr[self.register]
        entry = self._entry(self._settled(base + low))
        tag = self.raw_load(entry + tag_at, 64, 8)
        self.cold_if(tag != (base + high) & ~0xFFF, self.slow_symbol)
        return self._settled(base + self.raw_load(entry + 16, 64, 8))


Traced = tuple[Variant, Pairs, list[StencilCpu]]


def trace_pairs(module: Module, known: dict[str, Variant]) -> Iterator[Traced]:
    """Define all pairs; gives each variant that begins some, and what the stencils were traced with.

    ``known``: variants by title.
    """
    for title in COMPARED:
        first, names, cpus = known[title], [], []
        for bit in range(BITS):
            for wanted, branch in enumerate(BRANCHES):
                names.append(f"st_{first.name}_{bit}{wanted}")
                f = _function(module, names[-1])
                cpus.append(_traced(ComparisonCpu(f, first, bit), (first, known[branch])))
                module.define("@" + names[-1], f.text())
        own = any(field.name == "BF" for field in first.instruction.fields)
        yield first, Pairs(COMPARISON, own, tuple(names)), cpus
    for kind, sizes in SIZES.items():
        for number, title in enumerate(sizes):
            first, names, cpus = known[title], [], []
            for other in sizes:
                both = first, known[other]
                names.append(f"st_{first.name}_{known[other].name}")
                f = _function(module, names[-1])
                cpus.append(_traced(AccessCpu(f, both, (sizes[title], sizes[other])), both))
                module.define("@" + names[-1], f.text())
            yield first, Pairs(kind, number, tuple(names)), cpus


def _function(module: Module, name: str) -> Function:
    return Function(f"define ghccc void @{name}({HANDLER_ARGS}) {ATTRIBUTES}", module)


def _traced(cpu: PairCpu, variants: tuple[Variant, Variant]) -> StencilCpu:
    cpu.trace(variants)
    return cpu
