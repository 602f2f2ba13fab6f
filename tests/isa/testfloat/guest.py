# SPDX-License-Identifier: GPL-2.0-only
"""One instruction of the guest on arrays of operands: a loop in real mode, in any tier of the engine."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from tests.cpu.runner import FP, LE, ME, RI, SF, TIERS, VEC, VSX, Bench, watchdog
from tests.isa.testfloat.operands import Array

RAM = 32 << 20
CODE, STATE, GIVEN, MADE = 0x3000, 0x8000, 1 << 20, 20 << 20
ROWS = 100_000  #: cases of one run
MSR = SF | VEC | VSX | FP | ME | RI | LE
SECONDS = 600.0


class Guest:
    """A vCPU in one tier that runs one instruction on many operands.  Raises ValueError without the tier."""

    def __init__(self, tier: str = "interpreter") -> None:
        self.tier = TIERS[tier]
        self.bench = Bench(RAM, units=self.tier.units)
        self.bench.fill_vectors()
        if not self.tier.start(self.bench):
            raise ValueError(f"no tier {tier} here")
        whole = (ctypes.c_uint64 * (RAM // 8)).from_address(self.bench.memory.address)
        self._prepared = ("", 0)
        self.ram = np.frombuffer(whole, dtype=np.uint64)

    def close(self) -> None:
        """Stop the engine."""
        self.bench.close()

    def run(
        self, line: str, operands: Sequence[Array], fpscr: int, target: int = 4
    ) -> tuple[Array, Array, Array]:
        """Results (VSR ``target``), FPSCR and CR after ``line``, on images of VSRs 1, 2, 3.

        VRs 1, 2, 3 hold the same; VSR 4 and VR 4 hold the third operand.
        """
        if self._prepared != (line, target):
            self._prepare(line, target)
            self._prepared = (line, target)
        parts = [
            self._some([o[at : at + ROWS] for o in operands], fpscr)
            for at in range(0, len(operands[0]), ROWS)
        ]
        results, after, cr = (np.concatenate(column) for column in zip(*parts, strict=True))
        return results, after, cr

    def _prepare(self, line: str, target: int) -> None:
        body = [
            "lxv 1, 0(4)", "lxv 2, 16(4)", "lxv 3, 32(4)", "xxlor 4, 3, 3",
            "xxlor 33, 1, 1", "xxlor 34, 2, 2", "xxlor 35, 3, 3", "xxlor 36, 3, 3",
            "addi 4, 4, 48", "mtfsf 255, 31, 1, 0", line,
            "mffs 30", "mfcr 6", "stfd 30, 16(5)", "std 6, 24(5)",
        ]  # fmt: skip
        body += [f"stxv {target}, 0(5)", "addi 5, 5, 32"]
        self.bench.start([*body, f"bdnz .-{4 * len(body)}"], msr=MSR, at=CODE)
        self._run(1, 0)
        self.tier.install(self.bench, CODE)

    def _run(self, count: int, fpscr: int) -> None:
        state = self.bench.thread.state
        state.set("vsr", fpscr << 64, 31)
        for name, value in {"pc": CODE, "r4": GIVEN, "r5": MADE, "ctr": count, "fpscr": 0}.items():
            self.bench.cpu.set_reg(name, value)
        with watchdog(self.bench, SECONDS):
            self.bench.go()

    def _some(self, operands: Sequence[Array], fpscr: int) -> tuple[Array, Array, Array]:
        count = len(operands[0])
        given = self.ram[GIVEN // 8 : GIVEN // 8 + 6 * count].reshape(count, 6)
        for n in range(3):
            given[:, 2 * n : 2 * n + 2] = operands[n] if n < len(operands) else 0
        self._run(count, fpscr)
        made = self.ram[MADE // 8 : MADE // 8 + 4 * count].reshape(count, 4).copy()
        return made[:, :2], made[:, 2], made[:, 3]
