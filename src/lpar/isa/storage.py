# SPDX-License-Identifier: GPL-2.0-only
"""Storage control: cache, synchronization and atomic instructions (Book II, chapters 4 and 5)."""

from __future__ import annotations

from typing import Any

from lpar.isa.fixed_load import indexed
from lpar.isa.registry import instruction
from lpar.isa.values import concat

# -- cache management: memory is coherent here, so only what changes memory does anything --------------


@instruction("dcbz", 31, 1014, form="X")
def dcbz(cpu: Any, RA0: Any, RB: Any) -> None:
    cpu.dcbz(indexed(cpu, RA0, RB))


@instruction("icbi", 31, 982, form="X")
def icbi(cpu: Any, RA0: Any, RB: Any) -> None:
    """Treated as a load, as far as storage interrupts go."""
    ea = indexed(cpu, RA0, RB)
    cpu.load(ea, 1)
    cpu.icbi(ea)


@instruction("dcbf", 31, 86, form="X")
def dcbf(cpu: Any, RA0: Any, RB: Any) -> None:
    """Only the storage interrupts of a load are left of it."""
    cpu.load(indexed(cpu, RA0, RB), 1)


@instruction("dcbst", 31, 54, form="X")
def dcbst(cpu: Any, RA0: Any, RB: Any) -> None:
    """Only the storage interrupts of a load are left of it."""
    cpu.load(indexed(cpu, RA0, RB), 1)


@instruction("dcbt", 31, 278, form="X")
def dcbt(cpu: Any) -> None:
    pass


@instruction("dcbtst", 31, 246, form="X")
def dcbtst(cpu: Any) -> None:
    pass


@instruction("icbt", 31, 22, form="X")
def icbt(cpu: Any) -> None:
    pass


@instruction("dst", 31, 342, form="X")
def dst(cpu: Any) -> None:
    """Data streams of the older vector facility (dst, dstt) are hints."""


@instruction("dstst", 31, 374, form="X")
def dstst(cpu: Any) -> None:
    """Hints, see ``dst``."""


@instruction("dss", 31, 822, form="X")
def dss(cpu: Any) -> None:
    """Hints, see ``dst``."""


# -- synchronization ----------------------------------------------------------------------------------


@instruction("sync", 31, 598, form="X", static={"L3": range(6)})
def sync(cpu: Any, L3: int) -> None:
    """L = 1 is lwsync, 2 ptesync; the persistent ones (4, 5) order at least as much as 0 and 1."""
    cpu.fence({1: "lwsync", 2: "ptesync", 5: "lwsync"}.get(L3, "sync"))


@instruction("eieio", 31, 854, form="X")
def eieio(cpu: Any) -> None:
    cpu.fence("eieio")


@instruction("isync", 19, 150, form="XL")
def isync(cpu: Any) -> None:
    cpu.fence("isync")


@instruction("wait", 31, 30, form="X", since="3.0")
def wait(cpu: Any) -> None:
    """Waiting may end at any time: it ends at once."""


# -- load and reserve, store conditional --------------------------------------------------------------


@instruction("lbarx", 31, 52, form="X")
def lbarx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load_reserve(indexed(cpu, RA0, RB), 1).zext(64)


@instruction("lharx", 31, 116, form="X")
def lharx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load_reserve(indexed(cpu, RA0, RB), 2).zext(64)


@instruction("lwarx", 31, 20, form="X")
def lwarx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load_reserve(indexed(cpu, RA0, RB), 4).zext(64)


@instruction("ldarx", 31, 84, form="X")
def ldarx(cpu: Any, RT: Any, RA0: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.load_reserve(indexed(cpu, RA0, RB), 8)


@instruction("lqarx", 31, 276, form="X", fixed={(10, 10): 0})
def lqarx(cpu: Any, RTe: Any, RTo: Any, RA0: Any, RB: Any) -> None:
    value = cpu.load_reserve(indexed(cpu, RA0, RB), 16)
    cpu.gpr[RTe] = value.bits(64, 64)
    cpu.gpr[RTo] = value.trunc(64)


def conditional(cpu: Any, ea: Any, value: Any) -> None:
    """Store ``value`` if the reservation holds, and tell in CR0."""
    stored = cpu.store_conditional(ea, value)
    cpu.cr[0] = concat(cpu.const(0, 6), stored, cpu.so)


@instruction("stbcx.", 31, 694, form="X", fixed={(31, 31): 1})
def stbcx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    conditional(cpu, indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(8))


@instruction("sthcx.", 31, 726, form="X", fixed={(31, 31): 1})
def sthcx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    conditional(cpu, indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(16))


@instruction("stwcx.", 31, 150, form="X", fixed={(31, 31): 1})
def stwcx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    conditional(cpu, indexed(cpu, RA0, RB), cpu.gpr[RS].trunc(32))


@instruction("stdcx.", 31, 214, form="X", fixed={(31, 31): 1})
def stdcx(cpu: Any, RS: Any, RA0: Any, RB: Any) -> None:
    conditional(cpu, indexed(cpu, RA0, RB), cpu.gpr[RS])


@instruction("stqcx.", 31, 182, form="X", fixed={(10, 10): 0, (31, 31): 1})
def stqcx(cpu: Any, RTe: Any, RTo: Any, RA0: Any, RB: Any) -> None:
    conditional(cpu, indexed(cpu, RA0, RB), concat(cpu.gpr[RTe], cpu.gpr[RTo]))


# -- hash store and check: no-operations where DEXCR does not enable them, and there is no DEXCR here ----


@instruction("hashst", 31, 722, form="X")
def hashst(cpu: Any) -> None:
    pass


@instruction("hashchk", 31, 754, form="X")
def hashchk(cpu: Any) -> None:
    pass


@instruction("hashstp", 31, 658, form="X")
def hashstp(cpu: Any) -> None:
    pass


@instruction("hashchkp", 31, 690, form="X")
def hashchkp(cpu: Any) -> None:
    pass
