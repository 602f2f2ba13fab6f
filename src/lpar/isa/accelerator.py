# SPDX-License-Identifier: GPL-2.0-only
"""Copy and paste (ISA 3.0 Book II, section 4.4).

The partition has no accelerators: a copy reads, but there is nowhere to paste to.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.fixed_load import indexed
from lpar.isa.registry import instruction

BAD_PASTE = 1 << 19  #: DSISR: paste to storage that is no accelerator's
BLOCK = 128


def aligned(cpu: Any, ea: Any) -> None:
    """Copies are of aligned 128-byte blocks."""
    if (ea & (BLOCK - 1)) != 0:
        cpu.alignment(ea)


@instruction("copy", 31, 774, form="X", since="3.0", fixed={(10, 10): 1})
def copy(cpu: Any, RA0: Any, RB: Any) -> None:
    """What is left of it are the interrupts of the load."""
    ea = indexed(cpu, RA0, RB)
    aligned(cpu, ea)
    cpu.load(ea, 8)


@instruction("paste.", 31, 902, form="X", since="3.0", fixed={(10, 10): 1, (31, 31): 1})
def paste(cpu: Any, RA0: Any, RB: Any) -> None:
    """All storage is normal memory: an interrupt."""
    ea = indexed(cpu, RA0, RB)
    aligned(cpu, ea)
    cpu.load(ea, 8)
    cpu.data_storage(ea, BAD_PASTE)


@instruction("cpabort", 31, 838, form="X", since="3.0")
def cpabort(cpu: Any) -> None:
    """A copy that was never pasted leaves nothing behind."""
