# SPDX-License-Identifier: GPL-2.0-only
"""The oracle: instruction bodies run as they stand, on Python integers.

Slow and plain.  It exists to be compared with: the interpreter and the compiled tiers must leave
the same state.  Memory is a flat byte array without translation; interrupts are exceptions.
"""

from __future__ import annotations

import functools
import secrets
from typing import Any

from lpar.isa.common import FSCR_TAR
from lpar.isa.registry import INSTRUCTIONS, Instruction, field_value
from lpar.isa.state import FIELDS
from lpar.isa.values import Bits

MSR_SF = 1 << 63
MSR_VEC = 1 << 25
MSR_VSX = 1 << 23
MSR_EE = 1 << 15
MSR_PR = 1 << 14
MSR_FP = 1 << 13
MSR_LE = 1


class Interrupt(Exception):
    """An interrupt that the instruction raised: ``kind`` and its detail."""

    def __init__(self, kind: str, detail: int = 0) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class _Branch(Exception):
    def __init__(self, target: int) -> None:
        self.target = target


class _Array:
    """A register file whose elements are read and written as ``Bits`` of one width."""

    def __init__(self, width: int, values: list[int]) -> None:
        self._width = width
        self._values = values

    def __getitem__(self, n: int) -> Bits:
        return Bits(self._values[n], self._width)

    def __setitem__(self, n: int, value: Bits | int) -> None:
        if isinstance(value, Bits) and value.w != self._width:
            raise TypeError(f"width {value.w} written to a register of {self._width}")
        self._values[n] = Bits(value.v if isinstance(value, Bits) else value, self._width).v


class _Fprs:
    """FPR n is element 0 (upper half) of VSR n; writing it clears the lower half."""

    def __init__(self, vsr: list[int]) -> None:
        self._vsr = vsr

    def __getitem__(self, n: int) -> Bits:
        return Bits(self._vsr[n] >> 64, 64)

    def __setitem__(self, n: int, value: Bits) -> None:
        if value.w != 64:
            raise TypeError(f"width {value.w} written to an FPR")
        self._vsr[n] = value.v << 64


class _Vrs:
    def __init__(self, vsr: _Array) -> None:
        self._vsr = vsr

    def __getitem__(self, n: int) -> Bits:
        return self._vsr[32 + n]

    def __setitem__(self, n: int, value: Bits) -> None:
        self._vsr[32 + n] = value


@functools.cache
def _with_opcode(opcode: int, count: int) -> list[Instruction]:
    """The definitions of a primary opcode, ``count`` being how many there are of all."""
    return [i for i in INSTRUCTIONS if i.value >> 26 == opcode]


class Oracle:
    """A hardware thread on Python integers; the ``cpu`` that bodies see.

    ``memory`` is a bytearray at effective address ``origin``; accesses outside it raise
    ``Interrupt("data storage", ea)``.
    """

    keeps_order = False
    hard_float = False  #: it judges what uses the host's floating point

    def __init__(self, memory: bytearray | None = None, origin: int = 0, *, little: bool = True) -> None:
        object.__setattr__(self, "_s", {n: [0] * (c or 1) for n, (_, c) in FIELDS.items()})
        self._memory = memory if memory is not None else bytearray()
        self._origin = origin
        self._arrays: dict[str, Any] = {n: _Array(w, self._s[n]) for n, (w, c) in FIELDS.items() if c}
        self._arrays["fpr"] = _Fprs(self._s["vsr"])
        self._arrays["vr"] = _Vrs(self._arrays["vsr"])
        self._pc = 0
        self._length = 4
        self._timebase = 0
        self._reservation: tuple[int, int, int] | None = None
        self._s["fscr"][0] = 1 << FSCR_TAR
        self._s["msr"][0] = MSR_SF | MSR_VEC | MSR_VSX | MSR_FP | MSR_PR | MSR_EE | (MSR_LE if little else 0)

    # -- registers -------------------------------------------------------------------------------
    def __getattr__(self, name: str) -> Any:
        arrays = self.__dict__.get("_arrays", {})
        if name in arrays:
            return arrays[name]
        if name in FIELDS:
            return Bits(self._s[name][0], FIELDS[name][0])
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIELDS and not FIELDS[name][1]:
            width = FIELDS[name][0]
            if isinstance(value, Bits) and value.w != width:
                raise TypeError(f"width {value.w} written to {name} of {width}")
            self._s[name][0] = Bits(value.v if isinstance(value, Bits) else value, width).v
        else:
            object.__setattr__(self, name, value)

    def base(self, ra: int) -> Bits:
        """(RA|0)."""
        return self.gpr[ra] if ra else Bits(0, 64)

    def crbit(self, n: int) -> Bits:
        """CR bit ``n`` (0 to 31)."""
        return Bits(self._s["cr"][n >> 2] >> (3 - (n & 3)), 1)

    def set_crbit(self, n: int, value: Bits) -> None:
        """Write CR bit ``n``."""
        shift = 3 - (n & 3)
        old = self._s["cr"][n >> 2]
        self._s["cr"][n >> 2] = old & ~(1 << shift) | value.v << shift

    def const(self, value: int, width: int = 64) -> Bits:
        """A constant."""
        return Bits(value, width)

    # -- mode ------------------------------------------------------------------------------------
    @property
    def sf(self) -> Bits:
        """64-bit mode."""
        return Bits(self._s["msr"][0] >> 63, 1)

    @property
    def le(self) -> Bits:
        """Little-endian mode."""
        return Bits(self._s["msr"][0], 1)

    @property
    def cia(self) -> Bits:
        """Current instruction address."""
        return Bits(self._pc, 64)

    @property
    def nia(self) -> Bits:
        """The sequentially next instruction's address."""
        return self._ea(Bits(self._pc + self._length, 64))

    def _ea(self, ea: Bits) -> Bits:
        return ea if self.sf.v else Bits(ea.v & 0xFFFFFFFF, 64)

    # -- flow ------------------------------------------------------------------------------------
    def branch(self, target: Bits) -> None:
        """Go to ``target`` (low two bits ignored); ends the instruction."""
        raise _Branch(self._ea(target & ~3).v)

    def branch_rel(self, displacement: Bits) -> None:
        """Go to ``cia + displacement``; ends the instruction."""
        self.branch(self.cia + displacement)

    def program(self, cause: str) -> None:
        """Program interrupt: ``illegal``, ``privileged``, ``trap`` or ``fp``; ends the instruction."""
        raise Interrupt("program " + cause)

    def unavailable(self, facility: str) -> None:
        """Facility unavailable (``FP``, ``VEC``, ``VSX``...); ends the instruction."""
        raise Interrupt("unavailable " + facility)

    def facility(self, cause: int) -> None:
        """Facility unavailable interrupt with its cause for FSCR[IC]; ends the instruction."""
        raise Interrupt("facility unavailable", cause)

    def write_access(self, spr: int, value: Bits) -> None:
        """Write AMR (29), PIDR (48) or IAMR (61): what may be accessed."""
        setattr(self, {29: "amr", 48: "pidr", 61: "iamr"}[spr], value)

    def context_changed(self) -> None:
        """The mode or what may be accessed has changed: nothing is cached here."""

    def alignment(self, ea: Bits) -> None:
        """Alignment interrupt; ends the instruction."""
        raise Interrupt("alignment", ea.v)

    def data_storage(self, ea: Bits, cause: int) -> None:
        """Data storage interrupt with its cause for DSISR; ends the instruction."""
        raise Interrupt("data storage", self._ea(ea).v)

    def syscall(self, level: int) -> None:
        """System call; ends the instruction."""
        raise Interrupt("system call", level)

    def syscall_vectored(self, level: Bits) -> None:
        """System call vectored; ends the instruction."""
        raise Interrupt("system call vectored", level.v)

    def fence(self, kind: str) -> None:
        """Memory barrier: ``sync``, ``lwsync``, ``eieio``, ``ptesync``, ``isync``."""

    # -- memory ----------------------------------------------------------------------------------
    def _span(self, ea: Bits, size: int) -> int:
        offset = self._ea(ea).v - self._origin
        if offset < 0 or offset + size > len(self._memory):
            raise Interrupt("data storage", self._ea(ea).v)
        return offset

    @property
    def _order(self) -> Any:
        return "little" if self.le.v else "big"

    def load(self, ea: Bits, size: int) -> Bits:
        """``size`` bytes (1 to 16) at ``ea`` in the current byte order, as ``8 * size`` bits."""
        at = self._span(ea, size)
        return Bits(int.from_bytes(self._memory[at : at + size], self._order), 8 * size)

    def store(self, ea: Bits, value: Bits) -> None:
        """Store ``value`` (its width says how many bytes) in the current byte order."""
        size = value.w // 8
        at = self._span(ea, size)
        self._memory[at : at + size] = value.v.to_bytes(size, self._order)

    def load_reserve(self, ea: Bits, size: int) -> Bits:
        """Load and reserve; ``ea`` must be aligned to ``size``."""
        if ea.v % size:
            self.alignment(ea)
        value = self.load(ea, size)
        self._reservation = (self._ea(ea).v, size, value.v)
        return value

    def store_conditional(self, ea: Bits, value: Bits) -> Bits:
        """Store if the reservation holds; width-1 result; the reservation is gone afterwards."""
        if ea.v % (value.w // 8):
            self.alignment(ea)
        old = self.load(ea, value.w // 8)
        held = self._reservation == (self._ea(ea).v, value.w // 8, old.v)
        self._reservation = None
        if held:
            self.store(ea, value)
        return Bits(held, 1)

    def atomic(self, op: str, ea: Bits, value: Bits) -> Bits:
        """Read-modify-write at ``ea`` (aligned); gives the old value.

        ``op``: add, xor, or, and, umax, smax, umin, smin, xchg.
        """
        if ea.v % (value.w // 8):
            self.alignment(ea)
        old = self.load(ea, value.w // 8)
        new: Any = {
            "add": lambda: old + value,
            "xor": lambda: old ^ value,
            "or": lambda: old | value,
            "and": lambda: old & value,
            "xchg": lambda: value,
            "umax": lambda: old if old.v > value.v else value,
            "smax": lambda: old if old.signed > value.signed else value,
            "umin": lambda: old if old.v < value.v else value,
            "smin": lambda: old if old.signed < value.signed else value,
        }[op]()
        self.store(ea, new)
        return old

    def dcbz(self, ea: Bits) -> None:
        """Set the 128-byte block that contains ``ea`` to zero."""
        at = self._span(ea & ~127, 128)
        self._memory[at : at + 128] = bytes(128)

    def icbi(self, ea: Bits) -> None:
        """Forget what was decoded from the 128-byte block that contains ``ea``."""

    # -- sources of values -------------------------------------------------------------------------
    def timebase(self) -> Bits:
        """The time base; here it counts its own readings."""
        self._timebase += 1
        return Bits(self._timebase, 64)

    def random(self) -> Bits:
        """A random number of 64 bits."""
        return Bits(secrets.randbits(64), 64)

    # -- running ---------------------------------------------------------------------------------
    def decode(self, word: int) -> Instruction | None:
        """The instruction that ``word`` is, most specific match first."""
        found = [i for i in _with_opcode(word >> 26 & 63, len(INSTRUCTIONS)) if i.matches(word)]
        return max(found, key=lambda i: (bool(i.static_values), i.mask.bit_count()), default=None)

    def execute(self, word: int, suffix: int | None = None) -> None:
        """Execute one instruction at the current address and advance it; a prefixed one has a second word.

        Raises :class:`Interrupt`; the state is then as before the instruction, as far as the body keeps it.
        """
        self._length = 4 if suffix is None else 8
        word = word if suffix is None else word << 32 | suffix
        found = self.decode(word)
        if found is None:
            raise Interrupt("program illegal")
        self._check_facilities(found)
        try:
            found.body(self, *(field_value(f, word) for f in found.fields))
            self._pc = self.nia.v
        except _Branch as branch:
            self._pc = branch.target

    def _check_facilities(self, found: Instruction) -> None:
        msr = self._s["msr"][0]
        if "PRIV" in found.needs and msr & MSR_PR:
            raise Interrupt("program privileged")
        for name, bit in (("FP", MSR_FP), ("VEC", MSR_VEC), ("VSX", MSR_VSX)):
            if name in found.needs and not msr & bit:
                raise Interrupt("unavailable " + name)
