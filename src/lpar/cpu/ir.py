# SPDX-License-Identifier: GPL-2.0-only
"""Values for tracing: the interface of ``lpar.isa.values.Bits`` on LLVM IR text.

Rules of this file:
* IR is written as text: an order of magnitude cheaper than building objects, and easy to read in dumps.
* Constants fold at once through ``Bits`` itself, so both implementations share one meaning.
* LLVM leaves oversized shifts and division by zero undefined; here amounts are masked and divisors guarded.
* A value may be a SIMD vector of ``n`` lanes (inside ``map_lanes`` only); n is 0 for scalars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from lpar.isa.values import Bits

#: how handlers call each other: LLVM guarantees tail calls of ghccc on x86-64 only; the other is no slower
HANDLER_CC, OTHER_CC = "ghccc", "preserve_nonecc"
COLD = "!prof !0"  # weights: unlikely to be taken (see Module.text)


class Block:
    """A basic block under construction."""

    __slots__ = ("cold", "done", "label", "lines")

    def __init__(self, label: str, cold: bool) -> None:
        self.label = label
        self.cold = cold  # comes last in the text: LLVM then makes one conditional jump of an exit
        self.lines: list[str] = []
        self.done = False


class Function:
    """A function under construction: blocks in order, a cursor, fresh names."""

    def __init__(self, header: str, module: Module) -> None:
        self.header = header
        self.module = module
        self.assumed: dict[tuple[Any, ...], int] = {}  # nodes of holes (holes.py) whose values are known
        self.blocks: list[Block] = []
        self._names = 0
        self.block = self.new_block()
        self.blocks.append(self.block)

    def new_block(self, *, cold: bool = False) -> Block:
        """A block not yet placed in the function."""
        self._names += 1
        return Block(f"b{self._names}", cold)

    def place(self, block: Block) -> None:
        """Append ``block`` to the function and go on in it."""
        self.blocks.append(block)
        self.block = block

    def line(self, text: str) -> None:
        """Append one instruction without a result."""
        if not self.block.done:
            self.block.lines.append(text)

    def emit(self, text: str) -> str:
        """Append one instruction; gives its result's name."""
        self._names += 1
        name = f"%v{self._names}"
        if not self.block.done:
            self.block.lines.append(f"{name} = {text}")
        return name

    def finish(self, text: str) -> None:
        """Append a terminator."""
        if not self.block.done:
            self.block.lines.append(text)
            self.block.done = True

    def jump(self, target: Block) -> None:
        """Terminate with an unconditional branch."""
        self.finish(f"br label %{target.label}")

    def branch(self, condition: str, then: Block, other: Block, weights: str = "") -> None:
        """Terminate with a conditional branch."""
        tail = f", {weights}" if weights else ""
        self.finish(f"br i1 {condition}, label %{then.label}, label %{other.label}{tail}")

    def text(self) -> str:
        """The function's IR."""
        out = [self.header + " {"]
        for block in sorted(self.blocks, key=lambda b: b.cold):
            if not block.done:
                raise AssertionError(f"block without end in {self.header}")
            out.append(block.label + ":")
            out.extend("  " + line for line in block.lines)
        out.append("}")
        return "\n".join(out)


class Module:
    """Functions, declarations and constants that become one LLVM module."""

    def __init__(self, arch: str = "generic") -> None:
        self.arch = arch
        self.functions: list[str] = []
        self.declared: dict[str, str] = {}
        self.defined: set[str] = set()
        self.holes: dict[tuple[Any, ...], str] = {}  # node -> symbol, see holes.py

    def declare(self, name: str, text: str) -> None:
        """Note that the module uses the external symbol ``name``."""
        self.declared[name] = text

    def hole(self, node: tuple[Any, ...], width: int) -> str:
        """The symbol whose address stands for a value that is known when the code is copied."""
        from lpar.cpu.holes import bounds

        if node not in self.holes:
            name = self.holes[node] = f"@v{len(self.holes)}"
            low, high = bounds(node, width)
            known = low >= -(1 << 31) and high < 1 << 31
            span = f"i64 {low}, i64 {high + 1}" if known else "i64 -1, i64 -1"
            self.declare(name, f"{name} = external hidden global i8, align 1, !absolute_symbol !{{{span}}}")
        return self.holes[node]

    def define(self, name: str, text: str) -> None:
        """Add a finished definition."""
        self.defined.add(name)
        self.functions.append(text)

    def text(self, triple: str, data_layout: str) -> str:
        """The module's IR."""
        lines = [f'target triple = "{triple}"', f'target datalayout = "{data_layout}"']
        lines += [t for n, t in self.declared.items() if n not in self.defined]
        lines += self.functions
        lines.append('!0 = !{!"branch_weights", i32 1, i32 4000}')
        lines.append("!1 = !{}")
        lines.append("!2 = !{i32 0, i32 2}")  # flags
        lines.append("!3 = !{i32 0, i32 16}")  # CR fields
        text = "\n".join(lines) + "\n"
        return text if self.arch == "x86_64" else text.replace(HANDLER_CC, OTHER_CC)


class IrBits:
    """``w`` bits (in each of ``n`` lanes, 0: scalar) named ``ref`` in function ``f``; ``c`` if constant."""

    __slots__ = ("c", "f", "n", "ref", "w")

    def __init__(self, f: Function, ref: str, w: int, n: int = 0, c: int | None = None) -> None:
        self.f = f
        self.ref = ref
        self.w = w
        self.n = n
        self.c = c

    # -- construction -------------------------------------------------------------------------
    @property
    def type(self) -> str:
        """The LLVM type."""
        return f"<{self.n} x i{self.w}>" if self.n else f"i{self.w}"

    def __repr__(self) -> str:
        return f"IrBits({self.type} {self.ref})"

    def __bool__(self) -> bool:
        if self.c is not None and self.w == 1:
            return bool(self.c)
        raise TypeError("a run-time condition was used where Python decides; was the function rewritten?")

    __hash__ = None  # type: ignore[assignment]

    def like(self, value: int) -> IrBits:
        """A constant of this type."""
        value &= (1 << self.w) - 1
        if self.n:
            body = ", ".join(f"i{self.w} {value}" for _ in range(self.n))
            return IrBits(self.f, f"<{body}>", self.w, self.n)
        return IrBits(self.f, str(value), self.w, 0, value)

    def _const(self, value: int, w: int) -> IrBits:
        value &= (1 << w) - 1
        return IrBits(self.f, str(value), w, 0, value)

    def _make(self, text: str, w: int | None = None) -> IrBits:
        return IrBits(self.f, self.f.emit(text), self.w if w is None else w, self.n)

    def _other(self, other: Any) -> IrBits:
        if isinstance(other, int):
            return self.like(other)
        if isinstance(other, Bits):
            other = self._const(other.v, other.w)
        if other.w != self.w:
            raise TypeError(f"widths differ: {self.w} and {other.w}")
        if self.n and not other.n:
            raise TypeError("a scalar met a vector in map_lanes: use plain ints")
        return other  # type: ignore[no-any-return]

    def _binary(self, op: str, other: Any, method: str) -> IrBits:
        b = self._other(other)
        if self.c is not None and b.c is not None:
            return self._const(getattr(Bits(self.c, self.w), method)(Bits(b.c, self.w)).v, self.w)
        if (patched := self._patched(op, self.w, b)) is not None:
            return patched
        return self._make(f"{op} {self.type} {self.ref}, {b.ref}")

    def _compare(self, op: str, other: Any, method: str) -> IrBits:
        b = self._other(other)
        if self.c is not None and b.c is not None:
            return self._const(getattr(Bits(self.c, self.w), method)(Bits(b.c, self.w)).v, 1)
        if (patched := self._patched(op, 1, b)) is not None:
            return patched
        return self._make(f"icmp {op} {self.type} {self.ref}, {b.ref}", 1)

    def _patched(self, op: str, width: int, *others: IrBits) -> IrBits | None:
        """The operation as a hole of a stencil, if all that it needs is known when the code is copied."""
        from lpar.cpu.holes import Hole, fold

        if not isinstance(self, Hole) and not any(isinstance(b, Hole) for b in others):
            return None

        return fold(op, width, self, *others)

    # -- arithmetic and logic -----------------------------------------------------------------
    def __add__(self, other: Any) -> IrBits:
        if isinstance(other, int) and not other:
            return self
        return self._binary("add", other, "__add__")

    __radd__ = __add__

    def __sub__(self, other: Any) -> IrBits:
        return self._binary("sub", other, "__sub__")

    def __rsub__(self, other: int) -> IrBits:
        return self.like(other) - self

    def __mul__(self, other: Any) -> IrBits:
        return self._binary("mul", other, "__mul__")

    __rmul__ = __mul__

    def __and__(self, other: Any) -> IrBits:
        if not self.n:
            b = self._other(other)
            ones = (1 << self.w) - 1
            if b.c == ones or self.c == 0:
                return self
            if self.c == ones or b.c == 0:
                return b
            if self.w == 32 and self.c is None and (given := self._operand("andl", b)) is not None:
                return given
        return self._binary("and", other, "__and__")

    __rand__ = __and__

    def __or__(self, other: Any) -> IrBits:
        if not self.n:
            b = self._other(other)
            if b.c == 0:
                return self
            if self.c == 0:
                return b
        return self._binary("or", other, "__or__")

    __ror__ = __or__

    def __xor__(self, other: Any) -> IrBits:
        return self._binary("xor", other, "__xor__")

    __rxor__ = __xor__

    def __invert__(self) -> IrBits:
        return self ^ -1

    def __neg__(self) -> IrBits:
        return self.like(0) - self

    def _amount(self, n: Any) -> IrBits:
        if isinstance(n, Bits):
            n = n.v
        if isinstance(n, int):
            return self.like(n % self.w)
        if n.c is not None and not self.n:
            return self.like(n.c % self.w)
        if n.w > self.w:
            n = n.trunc(self.w)
        elif n.w < self.w:
            n = n.zext(self.w)
        if self.w & (self.w - 1):
            return n.urem(self.w)  # type: ignore[no-any-return]
        return n & (self.w - 1)  # type: ignore[no-any-return]

    def _shift(self, op: str, n: Any, method: str) -> IrBits:
        amount = self._amount(n)
        if amount.c == 0 and not self.n:
            return self
        if self.c is not None and amount.c is not None:
            return self._const(getattr(Bits(self.c, self.w), method)(amount.c).v, self.w)
        if (patched := self._patched(op, self.w, amount)) is not None:
            return patched
        return self._make(f"{op} {self.type} {self.ref}, {amount.ref}")

    def __lshift__(self, n: Any) -> IrBits:
        return self._shift("shl", n, "__lshift__")

    def __rshift__(self, n: Any) -> IrBits:
        return self._shift("lshr", n, "__rshift__")

    def sar(self, n: Any) -> IrBits:
        """Arithmetic shift right."""
        return self._shift("ashr", n, "sar")

    def rotl(self, n: Any) -> IrBits:
        """Rotate left."""
        amount = self._amount(n)
        if self.c is not None and amount.c is not None:
            return self._const(Bits(self.c, self.w).rotl(amount.c).v, self.w)
        if (patched := self._patched("rotl", self.w, amount)) is not None:
            return patched
        if self.w == 32 and (given := self._operand("roll", amount)) is not None:
            return given
        return self._intrinsic("fshl", self.ref, self.ref, amount.ref)

    def _operand(self, mnemonic: str, other: IrBits) -> IrBits | None:
        """A host instruction on 32 bits with a hole as its immediate operand: LLVM would load that first."""
        from lpar.cpu.holes import Hole

        if not isinstance(other, Hole) or isinstance(self, Hole):
            return None
        wide = Hole(self.f, other.node, 64).ref
        asm = f'asm "{mnemonic} $2, $0", "=r,0,i,~{{flags}}"'
        return self._make(f"call i32 {asm}(i32 {self.ref}, i64 {wide})")

    def _intrinsic(self, name: str, *refs: str, extra: str = "") -> IrBits:
        suffix = f"v{self.n}i{self.w}" if self.n else f"i{self.w}"
        symbol = f"@llvm.{name}.{suffix}"
        types = ", ".join([self.type] * len(refs) + (["i1"] if extra else []))
        self.f.module.declare(symbol, f"declare {self.type} {symbol}({types})")
        args = ", ".join([f"{self.type} {r}" for r in refs] + ([extra] if extra else []))
        return self._make(f"call {self.type} {symbol}({args})")

    # -- comparison -----------------------------------------------------------------------------
    def __eq__(self, other: object) -> IrBits:  # type: ignore[override]
        return self._compare("eq", other, "__eq__")

    def __ne__(self, other: object) -> IrBits:  # type: ignore[override]
        return self._compare("ne", other, "__ne__")

    def __lt__(self, other: Any) -> IrBits:
        return self._compare("ult", other, "__lt__")

    def __le__(self, other: Any) -> IrBits:
        return self._compare("ule", other, "__le__")

    def __gt__(self, other: Any) -> IrBits:
        return self._compare("ugt", other, "__gt__")

    def __ge__(self, other: Any) -> IrBits:
        return self._compare("uge", other, "__ge__")

    def slt(self, other: Any) -> IrBits:
        """Signed less than."""
        return self._compare("slt", other, "slt")

    def sle(self, other: Any) -> IrBits:
        """Signed less than or equal."""
        return self._compare("sle", other, "sle")

    def sgt(self, other: Any) -> IrBits:
        """Signed greater than."""
        return self._compare("sgt", other, "sgt")

    def sge(self, other: Any) -> IrBits:
        """Signed greater than or equal."""
        return self._compare("sge", other, "sge")

    # -- width ------------------------------------------------------------------------------------
    def _cast(self, op: str, width: int, method: str) -> IrBits:
        if width == self.w:
            return self
        if self.c is not None:
            return self._const(getattr(Bits(self.c, self.w), method)(width).v, width)
        if (patched := self._patched(op, width)) is not None:
            return patched
        to = f"<{self.n} x i{width}>" if self.n else f"i{width}"
        return self._make(f"{op} {self.type} {self.ref} to {to}", width)

    def zext(self, width: int) -> IrBits:
        """Zero-extend."""
        return self._cast("zext", width, "zext")

    def sext(self, width: int) -> IrBits:
        """Sign-extend."""
        return self._cast("sext", width, "sext")

    def trunc(self, width: int) -> IrBits:
        """Keep the low bits."""
        return self._cast("trunc", width, "trunc")

    def bits(self, low: int, width: int) -> IrBits:
        """``width`` bits from position ``low``; bits beyond the top are zero."""
        if low >= self.w:
            return self.like(0).trunc(width) if width <= self.w else self.like(0).zext(width)
        shifted = self >> low if low else self
        return shifted.trunc(width) if width <= self.w else shifted.zext(width)

    def bit(self, n: int) -> IrBits:
        """Bit ``n`` as width 1."""
        return self.bits(n, 1)

    # -- counting and multiplying ---------------------------------------------------------------
    def _unary(self, name: str, method: str, extra: str = "") -> IrBits:
        if self.c is not None:
            return self._const(getattr(Bits(self.c, self.w), method)().v, self.w)
        if name != "bitreverse" and (patched := self._patched(name, self.w)) is not None:
            return patched
        return self._intrinsic(name, self.ref, extra=extra)

    def clz(self) -> IrBits:
        """Count leading zeros."""
        return self._unary("ctlz", "clz", "i1 false")

    def ctz(self) -> IrBits:
        """Count trailing zeros."""
        return self._unary("cttz", "ctz", "i1 false")

    def popcount(self) -> IrBits:
        """Count the one bits."""
        return self._unary("ctpop", "popcount")

    def bswap(self) -> IrBits:
        """Reverse the bytes."""
        return self if self.w == 8 else self._unary("bswap", "bswap")

    def bitreverse(self) -> IrBits:
        """Reverse the bits."""
        return self._unary("bitreverse", "bitreverse")

    def umulh(self, other: Any) -> IrBits:
        """High half of the unsigned product."""
        b = self._other(other)
        return ((self.zext(2 * self.w) * b.zext(2 * self.w)) >> self.w).trunc(self.w)

    def smulh(self, other: Any) -> IrBits:
        """High half of the signed product."""
        b = self._other(other)
        return ((self.sext(2 * self.w) * b.sext(2 * self.w)) >> self.w).trunc(self.w)

    def _divide(self, op: str, other: Any, bad: IrBits) -> IrBits:
        if self.w > 64:
            raise TypeError(f"no division of {self.w} bits: LLVM would call a function that is not there")
        b = self._other(other)
        safe = bad.select(self.like(1), b)
        result = self._make(f"{op} {self.type} {self.ref}, {safe.ref}")
        return bad.select(self.like(0), result)  # type: ignore[no-any-return]

    def udiv(self, other: Any) -> IrBits:
        """Unsigned quotient; 0 for a zero divisor."""
        return self._divide("udiv", other, self._other(other) == 0)

    def urem(self, other: Any) -> IrBits:
        """Unsigned remainder; 0 for a zero divisor."""
        return self._divide("urem", other, self._other(other) == 0)

    def _bad_signed(self, other: Any) -> IrBits:
        b = self._other(other)
        return (b == 0) | ((b == -1) & (self == 1 << (self.w - 1)))

    def sdiv(self, other: Any) -> IrBits:
        """Signed quotient; 0 where undefined."""
        return self._divide("sdiv", other, self._bad_signed(other))

    def srem(self, other: Any) -> IrBits:
        """Signed remainder; 0 where undefined."""
        return self._divide("srem", other, self._bad_signed(other))

    # -- what the free functions of values.py call -------------------------------------------
    def select(self, a: Any, b: Any) -> Any:
        """``a`` where self (width 1) holds, else ``b``."""
        a, b = _pair(self.f, a, b)
        if self.c is not None:
            return a if self.c else b
        if (patched := self._patched("select", a.w, a, b)) is not None:
            return patched
        chosen = self.f.emit(f"select {self.type} {self.ref}, {a.type} {a.ref}, {b.type} {b.ref}")
        return IrBits(self.f, chosen, a.w, a.n)

    def concat(self, parts: Sequence[Any]) -> IrBits:
        """Join values, the first most significant."""
        width = sum(p.w for p in parts)
        result: IrBits | None = None
        low = width
        for part in parts:
            low -= part.w
            if isinstance(part, Bits):
                part = self._const(part.v, part.w)
            piece = part.zext(width) << low if low else part.zext(width)
            result = piece if result is None else result | piece
        assert result is not None
        return Joined(result, parts)

    def map_lanes(self, width: int, fn: Callable[..., Any], vectors: Sequence[Any]) -> IrBits:
        """``fn`` on SIMD vectors of ``width``-bit elements."""
        total, n = self.w, self.w // width
        if n == 1:
            result = fn(*vectors)
        else:
            simd = [self._to_vector(v, width, n) for v in vectors]
            result = fn(*simd)
        if result.w == 1:
            result = result.sext(width)
        if n == 1:
            return result  # type: ignore[no-any-return]
        out = n * result.w
        ref = self.f.emit(f"bitcast {result.type} {result.ref} to i{out}")
        return IrBits(self.f, ref, out if out != total else total)

    # -- byte permutation ------------------------------------------------------------------------
    def shuffle_bytes(self, index: IrBits) -> IrBits:
        """See ``Bits.shuffle_bytes``."""
        return self.shuffle(self, index)

    def shuffle(self, table: Any, control: Any) -> IrBits:
        """See ``values.shuffle``; either argument may be ``bytes``."""
        if isinstance(control, bytes):
            return self._shuffle_fixed(control)
        if isinstance(table, bytes):
            if len(table) > 32:
                return self._lookup(table)
            table = constant(self.f, int.from_bytes(table, "big"), 8 * len(table))
        elif isinstance(table, Bits):
            table = constant(self.f, table.v, table.w)
        if isinstance(control, Bits):
            control = constant(self.f, control.v, control.w)
        from lpar.cpu.permute import permute

        return permute(self.f, table, control)

    def _shuffle_fixed(self, control: bytes) -> IrBits:
        n, m = self.w // 8, len(control)
        lanes = ", ".join(f"i32 {n - 1 - k % n}" for k in reversed(control))
        v = self._to_vector(self, 8, n)
        ref = self.f.emit(f"shufflevector {v.type} {v.ref}, {v.type} poison, <{m} x i32> <{lanes}>")
        return IrBits(self.f, self.f.emit(f"bitcast <{m} x i8> {ref} to i{8 * m}"), 8 * m)

    def _lookup(self, table: bytes) -> IrBits:
        """Every byte of self through a constant table."""
        name = "@table_" + hashlib.sha256(table).hexdigest()[:16]
        size = len(table)
        body = ", ".join(f"i8 {b}" for b in table)
        self.f.module.declare(name, f"{name} = private unnamed_addr constant [{size} x i8] [{body}]")
        out = []
        for low in range(self.w - 8, -1, -8):
            index = self.bits(low, 8) & (size - 1)
            at = self.f.emit(f"getelementptr i8, ptr {name}, i64 {index.zext(64).ref}")
            out.append(IrBits(self.f, self.f.emit(f"load i8, ptr {at}"), 8))
        return self.concat(out)

    def _to_vector(self, v: Any, width: int, n: int) -> IrBits:
        if isinstance(v, Bits):
            v = self._const(v.v, v.w)
        return IrBits(self.f, self.f.emit(f"bitcast i{v.w} {v.ref} to <{n} x i{width}>"), width, n)


class Joined(IrBits):
    """A value made by ``concat``, which still knows its parts: a bit that is one of them needs no code."""

    __slots__ = ("parts",)

    def __init__(self, whole: IrBits, parts: Sequence[Any]) -> None:
        super().__init__(whole.f, whole.ref, whole.w, whole.n, whole.c)
        self.parts = parts

    def bits(self, low: int, width: int) -> IrBits:
        """See ``IrBits.bits``."""
        at = self.w
        for part in self.parts:
            at -= part.w
            if (at, part.w) == (low, width) and isinstance(part, IrBits):
                return part
        return super().bits(low, width)


def _pair(f: Function, a: Any, b: Any) -> tuple[IrBits, IrBits]:
    if isinstance(a, Bits):
        a = constant(f, a.v, a.w)
    if isinstance(b, Bits):
        b = constant(f, b.v, b.w)
    if isinstance(a, int):
        a = b.like(a)
    if isinstance(b, int):
        b = a.like(b)
    if a.w != b.w:
        raise TypeError(f"widths differ: {a.w} and {b.w}")
    return a, b


def constant(f: Function, value: int, width: int) -> IrBits:
    """A constant value."""
    value &= (1 << width) - 1
    return IrBits(f, str(value), width, 0, value)
