# SPDX-License-Identifier: GPL-2.0-only
"""The ``cpu`` that traced bodies see, as far as routines need it: state, raw host memory, calls.

``lpar.cpu.handler_cpu`` adds guest memory, control flow and interrupts for an instruction's handler.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.ir import Function, IrBits, Module, constant
from lpar.cpu.layout import NARROWEST, SLOTS, Slot
from lpar.cpu.staging import Done, Runtime
from lpar.isa.routine import Routine
from lpar.isa.values import Bits


class _Array:
    def __init__(self, cpu: TraceCpu, slot: Slot, width: int, shift: int = 0) -> None:
        self._cpu, self._slot, self._width, self._shift = cpu, slot, width, shift

    def __getitem__(self, n: Any) -> IrBits:
        known = isinstance(n, (int, Bits))
        load = self._cpu.state_load if known else self._cpu.register_load
        return load(self._at(n), self._width)

    def __setitem__(self, n: Any, value: Any) -> None:
        self._cpu.state_store(self._at(n), value, self._width)

    def _at(self, n: Any) -> str:
        slot = self._slot
        if isinstance(n, IrBits) and n.c is not None:
            n = n.c
        if isinstance(n, (int, Bits)):
            number = n if isinstance(n, int) else n.v
            return self._cpu.state_ptr(slot.offset + self._shift + slot.stride * number)
        offset = n.zext(64) * slot.stride
        return self._cpu.state_ptr(slot.offset + self._shift, offset)


class _Fprs(_Array):
    """FPR n is the upper doubleword of VSR n; writing it clears the lower one."""

    def __setitem__(self, n: Any, value: Any) -> None:
        wide = value.zext(128) << 64 if isinstance(value, (IrBits, Bits)) else value << 64
        whole = _Array(self._cpu, self._slot, 128)
        whole[n] = wide


class _Vrs(_Array):
    """VR n is VSR 32 + n."""

    def __init__(self, cpu: TraceCpu, slot: Slot) -> None:
        super().__init__(cpu, slot, 128, 32 * slot.stride)


class TraceCpu:
    """State, host memory and routine calls for a function under construction."""

    def __init__(self, f: Function) -> None:
        vsr = SLOTS["vsr"]
        arrays = {n: _Array(self, s, s.width) for n, s in SLOTS.items() if s.count}
        arrays |= {"fpr": _Fprs(self, vsr, 64, 8), "vr": _Vrs(self, vsr)}
        object.__setattr__(self, "_arrays", arrays)
        object.__setattr__(self, "used", set())  # state fields and routines that the function names
        object.__setattr__(self, "f", f)
        object.__setattr__(self, "rt", Runtime(f))

    # -- state -------------------------------------------------------------------------------------
    def state_ptr(self, offset: int, dynamic: IrBits | None = None) -> str:
        """A pointer ``offset`` (plus a run-time offset) bytes into the state block."""
        f: Function = self.f
        at = f.emit(f"getelementptr i8, ptr %s, i64 {offset}")
        if dynamic is not None:
            at = f.emit(f"getelementptr i8, ptr {at}, i64 {dynamic.ref}")
        return at

    def state_load(self, at: str, width: int) -> IrBits:
        """Load a state field; narrow ones are held in a word."""
        f: Function = self.f
        if width < NARROWEST:
            span = {1: ", !range !2", 8: ", !range !3"}[width]
            return IrBits(f, f.emit(f"load i{NARROWEST}, ptr {at}, align 4{span}"), NARROWEST).trunc(width)
        return IrBits(f, f.emit(f"load i{width}, ptr {at}, align {width // 8}"), width)

    def register_load(self, at: str, width: int) -> IrBits:
        """Load an element of a register file, of a number that is known later."""
        return self.state_load(at, width)

    def state_store(self, at: str, value: Any, width: int) -> None:
        """Store a state field."""
        f: Function = self.f
        if isinstance(value, (int, Bits)):
            value = constant(f, value.v if isinstance(value, Bits) else value, width)
        if value.w != width:
            raise TypeError(f"width {value.w} written to a field of {width}")
        width = max(width, NARROWEST)
        f.line(f"store i{width} {value.zext(width).ref}, ptr {at}, align {width // 8}")

    def __getattr__(self, name: str) -> Any:
        arrays = object.__getattribute__(self, "_arrays")
        if name in arrays:
            self.used.add({"fpr": "vsr", "vr": "vsr"}.get(name, name))
            return arrays[name]
        slot = SLOTS.get(name)
        if slot is None:
            raise AttributeError(name)
        self.used.add(name)
        return self.state_load(self.state_ptr(slot.offset), slot.width)

    def __setattr__(self, name: str, value: Any) -> None:
        slot = SLOTS.get(name)
        if slot is None or slot.count:
            raise AttributeError(f"no writable state field {name}")
        self.used.add(name)
        self.state_store(self.state_ptr(slot.offset), value, slot.width)

    def const(self, value: int, width: int = 64) -> IrBits:
        """A constant."""
        return constant(self.f, value, width)

    def base(self, ra: Any) -> Any:
        """(RA|0); the decoder picks the handler with a static 0."""
        if isinstance(ra, int):
            return self.gpr[ra] if ra else self.const(0)
        return self.gpr[ra]

    def crbit(self, n: Any) -> IrBits:
        """CR bit ``n``."""
        if isinstance(n, int):
            return self.cr[n >> 2].bit(3 - (n & 3))  # type: ignore[no-any-return]
        return (self.cr[n >> 2] >> (((n & 3) ^ 3).trunc(8))).trunc(1)  # type: ignore[no-any-return]

    def set_crbit(self, n: Any, value: Any) -> None:
        """Write CR bit ``n``."""
        if isinstance(n, int):
            field, shift = n >> 2, self.const(3 - (n & 3), 8)
        else:
            field, shift = n >> 2, ((n & 3) ^ 3).trunc(8)
        old = self.cr[field]
        self.cr[field] = (old & ~(self.const(1, 8) << shift)) | (value.zext(8) << shift)

    @property
    def sf(self) -> IrBits:
        """64-bit mode."""
        return self.msr.bit(63)  # type: ignore[no-any-return]

    @property
    def le(self) -> IrBits:
        """Little-endian mode."""
        return self.msr.bit(0)  # type: ignore[no-any-return]

    # -- host floating point ---------------------------------------------------------------------
    keeps_order = False  #: CR fields of comparisons are made as late as they are wanted (region.py)
    hard_float = True  #: the host's floating-point unit may be used

    def host_float(self, operation: str, *values: Any) -> IrBits:
        """On binary64s, rounded to nearest: fadd, fsub, fmul, fdiv, sqrt, fma; round32: to single."""
        f: Function = self.f
        doubles = [f.emit(f"bitcast i64 {v.ref} to double") for v in values]
        if operation == "round32":
            result = f.emit(f"fpext float {f.emit(f'fptrunc double {doubles[0]} to float')} to double")
        elif operation in ("sqrt", "fma"):
            symbol, types = f"@llvm.{operation}.f64", ", ".join(["double"] * len(values))
            f.module.declare(symbol, f"declare double {symbol}({types})")
            arguments = ", ".join(f"double {d}" for d in doubles)
            result = f.emit(f"call double {symbol}({arguments})")
        else:
            result = f.emit(f"{operation} double {', '.join(doubles)}")
        return IrBits(f, f.emit(f"bitcast double {result} to i64"), 64)

    # -- host memory and calls -------------------------------------------------------------------
    def raw_load(self, address: Any, width: int, align: int = 1) -> IrBits:
        """Load ``width`` bits from a host address, host byte order (little-endian)."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        return IrBits(f, f.emit(f"load i{width}, ptr {at}, align {align}"), width)

    def raw_store(self, address: Any, value: Any, align: int = 1) -> None:
        """Store to a host address."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        f.line(f"store i{value.w} {value.ref}, ptr {at}, align {align}")

    def raw_cas(self, address: Any, old: Any, new: Any) -> tuple[IrBits, IrBits]:
        """Atomic compare-and-swap at a naturally aligned host address: (old value found, success)."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        pair = f.emit(f"cmpxchg ptr {at}, i{old.w} {old.ref}, i{new.w} {new.ref} seq_cst seq_cst")
        self._after_atomic()
        kind = f"{{ i{old.w}, i1 }}"
        found = IrBits(f, f.emit(f"extractvalue {kind} {pair}, 0"), old.w)
        return found, IrBits(f, f.emit(f"extractvalue {kind} {pair}, 1"), 1)

    def raw_atomic(self, op: str, address: Any, value: Any) -> IrBits:
        """Atomic read-modify-write (LLVM's names: add, or, xchg, umax...): gives the old value."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        found = f.emit(f"atomicrmw {op} ptr {at}, i{value.w} {value.ref} seq_cst")
        self._after_atomic()
        return IrBits(f, found, value.w)

    def _after_atomic(self) -> None:
        """Plain accesses behind an atomic one come after it: so it is on x86-64, and our protocols need it.

        On arm64 a later load may pass the store of a pair of exclusive accesses.
        """
        if self.f.module.arch != "x86_64":
            self.memory_fence()

    def state_address(self, name: str) -> IrBits:
        """The host address of a state field."""
        f: Function = self.f
        return IrBits(f, f.emit(f"ptrtoint ptr {self.state_ptr(SLOTS[name].offset)} to i64"), 64)

    def own_address(self) -> IrBits:
        """The host address of the state block: what ``states`` has for this vCPU."""
        return IrBits(self.f, self.f.emit("ptrtoint ptr %s to i64"), 64)

    def clear(self, address: Any, size: Any) -> None:
        """Fill ``size`` bytes at a host address with zeros."""
        self._fill(address, size, 0)

    def clear_block(self, address: Any) -> None:
        """Zero 128 bytes at a host address, unless they are zero.

        RAM that nobody has written is zero, and the host finds a page for it at the first write.  Linux
        clears all pages that it allocates, but does not fill all of them.
        """
        f: Function = self.f
        places = [f.emit(f"inttoptr i64 {(address + at).ref} to ptr") for at in range(0, 128, 16)]
        found, *others = [f.emit(f"load <2 x i64>, ptr {place}, align 16") for place in places]
        for other in others:
            found = f.emit(f"or <2 x i64> {found}, {other}")
        used = f.emit(f"icmp ne i128 {f.emit(f'bitcast <2 x i64> {found} to i128')}, 0")
        write, done = f.new_block(), f.new_block()
        f.branch(used, write, done)
        f.place(write)
        for place in places:
            f.line(f"store <2 x i64> zeroinitializer, ptr {place}, align 16")
        f.jump(done)
        f.place(done)

    def _fill(self, address: Any, size: Any, byte: int) -> None:
        f: Function = self.f
        f.module.declare("@llvm.memset", "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        count = size if isinstance(size, int) else size.ref
        f.line(f"call void @llvm.memset.p0.i64(ptr align 8 {at}, i8 {byte}, i64 {count}, i1 false)")

    def fill_ones(self, address: Any, size: Any) -> None:
        """Fill ``size`` bytes at a host address with ones."""
        self._fill(address, size, -1)

    def memory_fence(self) -> None:
        """A full fence."""
        self.f.line("fence seq_cst")

    def load_fence(self) -> None:
        """Loads from here on come after those before: no instruction on x86-64."""
        self.f.line("fence acquire")

    def store_fence(self) -> None:
        """Stores from here on come after those before: no instruction on x86-64."""
        self.f.line("fence release")

    def fence(self, kind: str) -> None:
        """A barrier instruction's effect on the host."""
        self.f.line("fence seq_cst" if kind in ("sync", "ptesync", "eieio") else "fence acq_rel")

    def libc(self, name: str, *args: Any) -> IrBits:
        """Call a function of the C library (arguments and result as 64-bit integers)."""
        f: Function = self.f
        types = ", ".join(["i64"] * len(args))
        f.module.declare("@" + name, f"declare i64 @{name}({types})")
        values = ", ".join(f"i64 {self._ref(a)}" for a in args)
        return IrBits(f, f.emit(f"call i64 @{name}({values})"), 64)

    @staticmethod
    def _ref(a: Any) -> str:
        return str(a) if isinstance(a, int) else str(a.ref)

    def call_routine(self, routine: Routine, args: tuple[Any, ...]) -> Any:
        """Call a routine; gives what its body returns."""
        f: Function = self.f
        self.used.add("rt_" + routine.name)
        f.module.declare("@" + symbol(routine), f"declare {signature(routine, named=False)}")
        values = []
        for a, w in zip(args, routine.args, strict=True):
            if isinstance(a, (int, Bits)):
                a = constant(f, a.v if isinstance(a, Bits) else a, w)
            if a.w != w:
                raise TypeError(f"{routine.name}: argument of width {a.w}, wants {w}")
            values.append(f"i{w} {a.ref}")
        text = f"{result_type(routine)} @{symbol(routine)}({', '.join(['ptr %s', *values])})"
        if routine.returns is None:
            return f.line("call " + text)
        result = f.emit("call " + text)
        if isinstance(routine.returns, int):
            return IrBits(f, result, routine.returns)
        kind = result_type(routine)
        return tuple(
            IrBits(f, f.emit(f"extractvalue {kind} {result}, {i}"), w) for i, w in enumerate(routine.returns)
        )

    def timebase(self) -> Any:
        """The timebase, 64 bits, 512 MHz."""
        from lpar.cpu.native_time import timebase

        return timebase(self)

    def random(self) -> Any:
        """64 random bits."""
        from lpar.cpu.native_time import random64

        return random64(self)


def symbol(routine: Routine) -> str:
    """The linker symbol of a routine."""
    return "rt_" + routine.name


def result_type(routine: Routine) -> str:
    """The LLVM type that a routine returns."""
    if routine.returns is None:
        return "void"
    if isinstance(routine.returns, int):
        return f"i{routine.returns}"
    return "{ " + ", ".join(f"i{w}" for w in routine.returns) + " }"


def signature(routine: Routine, *, named: bool) -> str:
    """A routine's LLVM signature."""
    params = [f"i{w} %a{i}" if named else f"i{w}" for i, w in enumerate(routine.args)]
    head = "ptr %s" if named else "ptr"
    return f"{result_type(routine)} @{symbol(routine)}({', '.join([head, *params])})"


def trace_routine(module: Module, routine: Routine) -> set[str]:
    """Define ``routine`` in ``module``; gives the state fields and routines that it names."""
    f = Function(f"define {signature(routine, named=True)} nounwind", module)
    cpu = TraceCpu(f)
    args = [IrBits(f, f"%a{i}", w) for i, w in enumerate(routine.args)]
    try:
        value = cpu.rt.call(routine.body, cpu, *args)
        _return(f, routine, value)
    except Done:
        pass
    except Exception as error:
        raise type(error)(f"in routine {routine.name}: {error}") from error
    module.define("@" + symbol(routine), f.text())
    return set(cpu.used)


def _return(f: Function, routine: Routine, value: Any) -> None:
    if routine.returns is None:
        return f.finish("ret void")
    widths = (routine.returns,) if isinstance(routine.returns, int) else routine.returns
    values = [value] if isinstance(routine.returns, int) else list(value)
    values = [
        constant(f, v.v if isinstance(v, Bits) else v, w) if isinstance(v, (int, Bits)) else v
        for v, w in zip(values, widths, strict=True)
    ]
    for v, w in zip(values, widths, strict=True):
        if v.w != w:
            raise TypeError(f"{routine.name} returns width {v.w}, declared {w}")
    if isinstance(routine.returns, int):
        return f.finish(f"ret i{widths[0]} {values[0].ref}")
    kind, whole = result_type(routine), "poison"
    for i, v in enumerate(values):
        whole = f.emit(f"insertvalue {kind} {whole}, i{v.w} {v.ref}, {i}")
    f.finish(f"ret {kind} {whole}")
    return None
