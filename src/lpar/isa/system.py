# SPDX-License-Identifier: GPL-2.0-only
"""Privileged instructions and registers (Power ISA Book III, chapters 3 to 11).

The partition runs below a hypervisor: MSR[HV] is 0, hypervisor resources are refused.
What touches translation or time is done by the engine behind ``cpu``'s methods named in each body.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import select

MSR_SF, MSR_HV, MSR_EE, MSR_PR, MSR_ME, MSR_IR, MSR_DR, MSR_RI, MSR_LE = (
    1 << 63, 1 << 60, 1 << 15, 1 << 14, 1 << 12, 1 << 5, 1 << 4, 2, 1,
)  # fmt: skip
#: bits of MSR that a guest may set: SF, VEC, VSX, EE, PR, FP, ME, FE0, TE, FE1, IR, DR, PMM, RI, LE
MSR_WRITABLE = (
    MSR_SF | 1 << 25 | 1 << 23 | MSR_EE | MSR_PR | 1 << 13 | MSR_ME | 1 << 11 | 0x600 | 1 << 8
    | MSR_IR | MSR_DR | 4 | MSR_RI | MSR_LE
)  # fmt: skip
FSCR_SCV = 1 << 12
LPCR_GTSE = 1 << 10


def relocate_if_problem(msr: Any) -> Any:
    """MSR[PR] set implies EE, IR and DR (Book III, 4.3.1)."""
    return select((msr & MSR_PR) != 0, msr | (MSR_EE | MSR_IR | MSR_DR), msr)


def set_msr(cpu: Any, value: Any) -> None:
    """Write MSR as rfid and mtmsrd do: HV and unimplemented bits stay."""
    cpu.msr = relocate_if_problem((value & MSR_WRITABLE) | (cpu.msr & MSR_HV))


@instruction("mfmsr", 31, 83, form="X", needs="PRIV")
def mfmsr(cpu: Any, RT: Any) -> None:
    cpu.gpr[RT] = cpu.msr


@instruction("mtmsrd", 31, 178, form="X", needs="PRIV", static={"L15": (1,)})
def mtmsrd_ee(cpu: Any, RS: Any, L15: Any) -> None:
    """L=1: only EE and RI."""
    old = cpu.msr
    cpu.msr = (old & ~(MSR_EE | MSR_RI)) | (cpu.gpr[RS] & (MSR_EE | MSR_RI))
    cpu.interrupts_enabled()


@instruction("mtmsrd", 31, 178, form="X", needs="PRIV", static={"L15": (0,)})
def mtmsrd(cpu: Any, RS: Any, L15: Any) -> None:
    value = cpu.gpr[RS]
    keep = MSR_LE | MSR_ME
    set_msr(cpu, (value & ~keep) | (cpu.msr & keep))
    cpu.context_changed()


@instruction("mtmsr", 31, 146, form="X", needs="PRIV", static={"L15": (1,)})
def mtmsr_ee(cpu: Any, RS: Any, L15: Any) -> None:
    old = cpu.msr
    cpu.msr = (old & ~(MSR_EE | MSR_RI)) | (cpu.gpr[RS] & (MSR_EE | MSR_RI))
    cpu.interrupts_enabled()


@instruction("mtmsr", 31, 146, form="X", needs="PRIV", static={"L15": (0,)})
def mtmsr(cpu: Any, RS: Any, L15: Any) -> None:
    """The low half only."""
    old = cpu.msr
    keep = MSR_LE | MSR_ME | 0xFFFFFFFF00000000
    set_msr(cpu, (cpu.gpr[RS] & ~keep) | (old & keep))
    cpu.context_changed()


@instruction("rfid", 19, 18, form="XL", needs="PRIV")
def rfid(cpu: Any) -> None:
    target = cpu.srr0
    set_msr(cpu, cpu.srr1)
    cpu.resume_at(target)


@instruction("rfscv", 19, 82, form="XL", needs="PRIV", since="3.0")
def rfscv(cpu: Any) -> None:
    target = cpu.lr
    set_msr(cpu, cpu.ctr)
    cpu.resume_at(target)


@instruction("hrfid", 19, 274, form="XL", needs="PRIV")
def hrfid(cpu: Any) -> None:
    cpu.program("privileged")


@instruction("scv", 17, form="SC", xo=1, since="3.0")
def scv(cpu: Any, LEV: Any) -> None:
    if (cpu.fscr & FSCR_SCV) == 0:
        cpu.facility(12)
    cpu.syscall_vectored(LEV)


@instruction("stop", 19, 370, form="XL", needs="PRIV", since="3.0")
def stop(cpu: Any) -> None:
    """A partition waits by H_CEDE; stop resumes at once."""


@instruction("attn", 0, 256, form="X")
def attn(cpu: Any) -> None:
    cpu.program("illegal")


# -- translation ----------------------------------------------------------------------------------


def need_gtse(cpu: Any) -> None:
    """tlbie and tlbsync are the hypervisor's unless LPCR[GTSE] gives them to the guest (3.0B, 5.9.3.3)."""
    if (cpu.lpcr & LPCR_GTSE) == 0:
        cpu.program("privileged")


@instruction("tlbie", 31, 306, form="X", needs="PRIV")
def tlbie(cpu: Any, RS: Any, RB: Any, RIC: Any, R: Any) -> None:
    need_gtse(cpu)
    cpu.tlbie(cpu.gpr[RB], cpu.gpr[RS], RIC, R, 1)


@instruction("tlbiel", 31, 274, form="X", needs="PRIV")
def tlbiel(cpu: Any, RS: Any, RB: Any, RIC: Any, R: Any) -> None:
    cpu.tlbie(cpu.gpr[RB], cpu.gpr[RS], RIC, R, 0)


@instruction("tlbsync", 31, 566, form="X", needs="PRIV")
def tlbsync(cpu: Any) -> None:
    need_gtse(cpu)
    cpu.fence("sync")


@instruction("slbsync", 31, 338, form="X", needs="PRIV", since="3.0")
def slbsync(cpu: Any) -> None:
    cpu.fence("sync")


@instruction("slbmte", 31, 402, form="X", needs="PRIV")
def slbmte(cpu: Any, RS: Any, RB: Any) -> None:
    cpu.slbmte(cpu.gpr[RS], cpu.gpr[RB])


@instruction("slbmfev", 31, 851, form="X", needs="PRIV")
def slbmfev(cpu: Any, RT: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.slb_vsid[cpu.gpr[RB] & 31]


@instruction("slbmfee", 31, 915, form="X", needs="PRIV")
def slbmfee(cpu: Any, RT: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.slb_esid[cpu.gpr[RB] & 31]


@instruction("slbie", 31, 434, form="X", needs="PRIV")
def slbie(cpu: Any, RB: Any) -> None:
    cpu.slbie(cpu.gpr[RB])


@instruction("slbieg", 31, 466, form="X", needs="PRIV", since="3.0")
def slbieg(cpu: Any, RS: Any, RB: Any) -> None:
    cpu.slbie(cpu.gpr[RB])


@instruction("slbiag", 31, 850, form="X", needs="PRIV", since="3.0")
def slbiag(cpu: Any) -> None:
    """Nobody else has this partition's segments: as slbia."""
    cpu.slbia(0)


@instruction("slbia", 31, 498, form="X", needs="PRIV")
def slbia(cpu: Any, L3: Any) -> None:
    cpu.slbia(L3)


@instruction("slbfee.", 31, 979, form="X", needs="PRIV", fixed={(31, 31): 1})
def slbfee(cpu: Any, RT: Any, RB: Any) -> None:
    value, found = cpu.slbfee(cpu.gpr[RB])
    cpu.gpr[RT] = value
    cpu.cr[0] = select(found, cpu.const(2, 8), 0) | cpu.so.zext(8)


# -- doorbells (privileged, within a core) ------------------------------------------------------------


@instruction("msgsndp", 31, 142, form="X", needs="PRIV")
def msgsndp(cpu: Any, RB: Any) -> None:
    cpu.msgsndp(cpu.gpr[RB])


@instruction("msgclrp", 31, 174, form="X", needs="PRIV")
def msgclrp(cpu: Any, RB: Any) -> None:
    cpu.msgclrp(cpu.gpr[RB])


@instruction("msgsync", 31, 886, form="X", needs="PRIV", since="3.0")
def msgsync(cpu: Any) -> None:
    cpu.fence("sync")


# -- special purpose registers ---------------------------------------------------------------------

#: SPR number -> state field, privileged read and write
STORED = {
    17: "dscr", 18: "dsisr", 19: "dar", 26: "srr0", 27: "srr1", 28: "cfar", 153: "fscr",
    157: "uamor", 159: "pspb", 272: "sprg0", 273: "sprg1", 274: "sprg2", 275: "sprg3", 304: "hashkeyr",
    736: "sier2", 737: "sier3", 738: "mmcr3", 752: "sier2", 753: "sier3", 754: "mmcr3",
    784: "sier", 785: "mmcr2", 786: "mmcra",
    787: "pmc1", 788: "pmc2", 789: "pmc3", 790: "pmc4", 791: "pmc5", 792: "pmc6", 795: "mmcr0", 796: "siar",
    797: "sdar", 798: "mmcr1", 823: "psscr", 851: "mmcrc",
    469: "hashpkeyr", 468: "hashkeyr", 848: "ic",
}  # fmt: skip
del STORED[304]
#: SPR number -> state field, readable only
READ_ONLY = {152: "ctrl", 287: "pvr", 446: "tir", 1023: "pir", 176: "dpdes"}
#: user-readable aliases of privileged registers
USER_READ = {
    259: "sprg3", 768: "sier", 769: "mmcr2", 770: "mmcra", 771: "pmc1", 772: "pmc2", 773: "pmc3",
    774: "pmc4", 775: "pmc5", 776: "pmc6", 779: "mmcr0", 780: "siar", 781: "sdar", 782: "mmcr1",
}  # fmt: skip


def _stored(number: int, name: str, *, write: bool) -> None:
    @instruction("mfspr", 31, 339, form="XFX", needs="PRIV", static={"SPR": (number,)})
    def mfspr(cpu: Any, RT: Any, SPR: Any) -> None:
        cpu.gpr[RT] = getattr(cpu, name)

    if write:

        @instruction("mtspr", 31, 467, form="XFX", needs="PRIV", static={"SPR": (number,)})
        def mtspr(cpu: Any, RS: Any, SPR: Any) -> None:
            setattr(cpu, name, cpu.gpr[RS])


def _user_read(number: int, name: str) -> None:
    @instruction("mfspr", 31, 339, form="XFX", static={"SPR": (number,)})
    def mfspr(cpu: Any, RT: Any, SPR: Any) -> None:
        cpu.gpr[RT] = getattr(cpu, name)


for _number, _name in STORED.items():
    _stored(_number, _name, write=True)
for _number, _name in READ_ONLY.items():
    _stored(_number, _name, write=False)
for _number, _name in USER_READ.items():
    _user_read(_number, _name)


@instruction("mfspr", 31, 339, form="XFX", needs="PRIV", static={"SPR": (22,)})
def mfspr_dec(cpu: Any, RT: Any, SPR: Any) -> None:
    value = cpu.read_dec()
    cpu.gpr[RT] = select((cpu.lpcr & (1 << 17)) != 0, value, value.trunc(32).zext(64))


@instruction("mtspr", 31, 467, form="XFX", needs="PRIV", static={"SPR": (22,)})
def mtspr_dec(cpu: Any, RS: Any, SPR: Any) -> None:
    cpu.write_dec(cpu.gpr[RS])


@instruction("mfspr", 31, 339, form="XFX", needs="PRIV", static={"SPR": (308, 309, 849)})
def mfspr_time(cpu: Any, RT: Any, SPR: Any) -> None:
    """SPURR, PURR, VTB: this thread always has the whole core."""
    cpu.gpr[RT] = cpu.timebase()


@instruction("mfspr", 31, 339, form="XFX", needs="PRIV", static={"SPR": (29, 48, 61)})
def mfspr_access(cpu: Any, RT: Any, SPR: Any) -> None:
    """AMR, PIDR, IAMR."""
    cpu.gpr[RT] = {29: cpu.amr, 48: cpu.pidr, 61: cpu.iamr}[SPR]


@instruction("mtspr", 31, 467, form="XFX", needs="PRIV", static={"SPR": (29, 48, 61)})
def mtspr_access(cpu: Any, RS: Any, SPR: Any) -> None:
    """AMR, PIDR, IAMR: what may be accessed changes."""
    cpu.write_access(SPR, cpu.gpr[RS])
    cpu.context_changed()


@instruction("mfspr", 31, 339, form="XFX")
def mfspr_other(cpu: Any, RT: Any, SPR_I: Any) -> None:
    """No such register for this partition: no operation where privileged, else an interrupt."""
    refuse(cpu, SPR_I)


@instruction("mtspr", 31, 467, form="XFX")
def mtspr_other(cpu: Any, RS: Any, SPR_I: Any) -> None:
    """As mfspr_other."""
    refuse(cpu, SPR_I)


def refuse(cpu: Any, spr: Any) -> None:
    """Book III, 4.4.4: undefined SPR numbers."""
    if (cpu.msr & MSR_PR) != 0:
        if (spr & 0x10) != 0:
            cpu.program("privileged")
        cpu.program("illegal")
    if (spr == 0) | (spr == 4) | (spr == 5) | (spr == 6):
        cpu.program("illegal")
