# SPDX-License-Identifier: GPL-2.0-only
"""Values that are known when code is copied, not when it is compiled: the holes of stencils.

A stencil (stencil.py) is one instruction's compiled code with holes for what depends on the instruction word:
register offsets, immediates, masks.  While it is traced, whatever follows from the word alone is a ``Hole``:
an expression that grows instead of becoming code.  Where code needs its value it names a symbol, which LLVM
takes for an address known later; the relocation that this leaves behind is where the value goes.

Nodes: ``("word",)``, ``("const", value)``, ``(operator, width, *operands)``; values are zero-extended.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.ir import Function, IrBits
from lpar.isa.values import Bits

Node = tuple[Any, ...]
WORD: Node = ("word",)
WIDEST = 64
FULL = (-(1 << 63), (1 << 63) - 1)

#: operators of two operands, by the name of the method of ``Bits`` that means the same
BINARY = ("and", "or", "xor", "add", "sub", "mul", "shl", "lshr", "ashr", "rotl",
          "eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge")  # fmt: skip
UNARY = ("ctlz", "cttz", "ctpop", "bswap")


class Hole(IrBits):
    """``w`` bits that follow from the instruction word; ``node`` says how."""

    __slots__ = ("node",)

    def __init__(self, f: Function, node: Node, w: int) -> None:
        self.f, self.node, self.w, self.n, self.c = f, node, w, 0, None

    @property
    def ref(self) -> str:  # type: ignore[override]
        """An IR constant: the address of the symbol that stands for the value."""
        return f"ptrtoint (ptr {self.f.module.hole(self.node, self.w)} to i{self.w})"

    def __repr__(self) -> str:
        return f"Hole(i{self.w} {self.node})"


def node_of(value: IrBits) -> Node | None:
    """The value as a node; None if it is known at run time only."""
    if isinstance(value, Hole):
        return value.node
    if value.c is not None and not value.n and value.w <= WIDEST:
        return ("const", value.c)
    return None


def fold(operator: str, width: int, *operands: IrBits) -> IrBits | None:
    """The operation as a hole, if its operands are holes and constants; None for others.

    ``width`` is the result's; operators of several widths find their operand's in the node.
    """
    if width > WIDEST:
        return None
    nodes = [node_of(v) for v in operands]
    if any(n is None for n in nodes) or not any(isinstance(v, Hole) for v in operands):
        return None
    kept = operands[-1].w if operator != "select" else width
    node = (operator, width, kept, *nodes)
    f = next(v.f for v in operands if isinstance(v, Hole))
    known = f.assumed.get(node)
    return Hole(f, node, width) if known is None else operands[0]._const(known, width)


def bounds(node: Node, w: int) -> tuple[int, int]:
    """A signed range that holds the node's value as 64 bits."""
    if w < WIDEST:
        return 0, (1 << w) - 1
    found = _bounds(node)
    return found if FULL[0] <= found[0] and found[1] <= FULL[1] else FULL


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _bounds(node: Node) -> tuple[int, int]:
    if node[0] == "word":
        return FULL  # a pair's second word is in the upper half
    if node[0] == "const":
        return (_signed(node[1]),) * 2
    operator, width, kept, *operands = node
    if width < WIDEST:
        return 0, (1 << width) - 1
    if operator == "zext":
        return 0, (1 << kept) - 1
    if operator == "sext":
        return -(1 << (kept - 1)), (1 << (kept - 1)) - 1
    rule = _RULES.get(operator)
    found = rule(*(_bounds(n) for n in operands)) if rule else FULL
    return found if FULL[0] <= found[0] and found[1] <= FULL[1] else FULL


Range = tuple[int, int]


def _and(a: Range, b: Range) -> Range:
    highs = [r[1] for r in (a, b) if r[0] >= 0]
    return (0, min(highs)) if highs else FULL


def _or(a: Range, b: Range) -> Range:
    if a[0] < 0 or b[0] < 0:
        return FULL
    return 0, (1 << max(a[1].bit_length(), b[1].bit_length())) - 1


def _shl(a: Range, b: Range) -> Range:
    if b[0] != b[1]:
        return FULL
    return a[0] << b[0], a[1] << b[0]


def _lshr(a: Range, b: Range) -> Range:
    if b[0] != b[1] or not b[0]:
        return FULL
    return (a[0] >> b[0], a[1] >> b[0]) if a[0] >= 0 else (0, ((1 << 64) - 1) >> b[0])


def _ashr(a: Range, b: Range) -> Range:
    return (a[0] >> b[0], a[1] >> b[0]) if b[0] == b[1] else FULL


def _mul(a: Range, b: Range) -> Range:
    products = [x * y for x in a for y in b]
    return min(products), max(products)


_RULES: dict[str, Any] = {
    "and": _and,
    "or": _or,
    "xor": _or,
    "shl": _shl,
    "lshr": _lshr,
    "ashr": _ashr,
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _mul,
    "select": lambda c, a, b: (min(a[0], b[0]), max(a[1], b[1])),
}


def evaluate(node: Node, word: int) -> int:
    """The node's value for an instruction word: what the native code of native_unit computes."""
    if node[0] == "word":
        return word
    if node[0] == "const":
        return int(node[1])
    operator, width, kept, *operands = node
    values = [evaluate(n, word) for n in operands]
    if operator == "select":
        return int(values[1] if values[0] else values[2])
    if operator in ("zext", "trunc"):
        return int(values[0] & ((1 << width) - 1))
    first = Bits(values[0], kept)
    if operator == "sext":
        return int(first.sext(width).v)
    if operator in UNARY:
        return int(getattr(first, _METHODS[operator])().v)
    amount: Any = values[1] if operator in ("shl", "lshr", "ashr", "rotl") else Bits(values[1], kept)
    return int(getattr(first, _METHODS[operator])(amount).v)


_METHODS = {
    "and": "__and__", "or": "__or__", "xor": "__xor__", "add": "__add__", "sub": "__sub__", "mul": "__mul__",
    "shl": "__lshift__", "lshr": "__rshift__", "ashr": "sar", "rotl": "rotl",
    "eq": "__eq__", "ne": "__ne__", "ult": "__lt__", "ule": "__le__", "ugt": "__gt__", "uge": "__ge__",
    "slt": "slt", "sle": "sle", "sgt": "sgt", "sge": "sge",
    "ctlz": "clz", "cttz": "ctz", "ctpop": "popcount", "bswap": "bswap",
}  # fmt: skip
