# SPDX-License-Identifier: GPL-2.0-only
"""Instructions that exist and that a partition may not use: they do nothing but raise their interrupt.

* Hypervisor and ultravisor privileged (Book III, chapters 3, 5, 10 and 11): a privileged instruction
  interrupt, as MSR[HV] is 0.
* Transactional memory (ISA 2.07 Book II, chapter 5): facility unavailable, since MSR[TM] is 0.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction

TM_CAUSE = 5  #: for FSCR[IC]


def _privileged(name: str, opcd: int, xo: int, form: str = "X", since: str = "2.07") -> None:
    @instruction(name, opcd, xo, form=form, needs="PRIV", since=since)
    def body(cpu: Any) -> None:
        cpu.program("privileged")


for _name, _xo in {"doze": 402, "nap": 434, "sleep": 466, "rvwinkle": 498}.items():
    _privileged(_name, 19, _xo, "XL")
_privileged("urfid", 19, 306, "XL", "3.0")
for _name, _xo in {
    "msgsnd": 206, "msgclr": 238, "lwzcix": 789, "lhzcix": 821, "lbzcix": 853, "ldcix": 885,
    "stwcix": 917, "sthcix": 949, "stbcix": 981, "stdcix": 1013,
}.items():  # fmt: skip
    _privileged(_name, 31, _xo)
for _name, _xo in {"msgsndu": 78, "msgclru": 110}.items():
    _privileged(_name, 31, _xo, since="3.0")


def _transactional(name: str, xo: int, needs: str = "") -> None:
    @instruction(name, 31, xo, form="X", needs=needs)
    def body(cpu: Any) -> None:
        cpu.facility(TM_CAUSE)


for _name, _xo in {
    "tbegin.": 654, "tend.": 686, "tcheck": 718, "tsr.": 750, "tabortwc.": 782, "tabortdc.": 814,
    "tabortwci.": 846, "tabortdci.": 878, "tabort.": 910,
}.items():  # fmt: skip
    _transactional(_name, _xo)
for _name, _xo in {"treclaim.": 942, "trechkpt.": 1006}.items():
    _transactional(_name, _xo, "PRIV")
