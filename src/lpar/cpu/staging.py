# SPDX-License-Identifier: GPL-2.0-only
"""Staging: make plain Python functions of the semantics language traceable.

On Python integers a body runs as it stands.  To trace it on LLVM values, its control flow must become
data: this module rewrites ``if``, ``while``, ``break``, ``and``, ``or``, ``not``, conditional expressions,
``return`` and calls of further semantics functions into calls of the run-time half below, which decides at
once for Python conditions and emits blocks and phis for run-time ones.

Rules of this file:
* A path that has ended (return, break, interrupt) raises ``Done``; whoever opened the path catches it.
* Variables assigned in a branch travel as tuples into and out of the two inner functions.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lpar.cpu.ir import Block, Function, IrBits, constant
from lpar.isa.values import Bits


class Done(Exception):
    """This path of the traced function has ended."""


class _Undefined:
    def __repr__(self) -> str:
        return "<not assigned on every path>"


UNDEF = _Undefined()


@dataclass
class _Frame:
    returns: list[tuple[Block, Any]] = field(default_factory=list)


@dataclass
class _Loop:
    breaks: list[tuple[Block, tuple[Any, ...]]] = field(default_factory=list)


def _is_dynamic(value: Any) -> bool:
    return isinstance(value, IrBits) and value.c is None


def _truth(value: Any) -> bool:
    if isinstance(value, IrBits):
        return bool(value.c)
    return bool(value)


class Runtime:
    """The run-time half: one for each traced function."""

    def __init__(self, f: Function) -> None:
        self.f = f
        self._frames: list[_Frame] = []
        self._loops: list[_Loop] = []

    # -- calls and returns -----------------------------------------------------------------------
    def call(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Call ``fn``; semantics functions are rewritten and traced inline."""
        if not isinstance(fn, types.FunctionType) or not _is_semantics(fn):
            return fn(*args, **kwargs)
        return self.run(rewritten(fn, self), args, kwargs)

    def run(self, staged: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace a rewritten function inline; its returns meet in one block."""
        frame = _Frame()
        self._frames.append(frame)
        loops, self._loops = self._loops, []
        try:
            staged(*args, **kwargs)
            frame.returns.append((self.f.block, None))
        except Done:
            pass
        finally:
            self._frames.pop()
            self._loops = loops
        if not frame.returns:
            raise Done
        if len(frame.returns) == 1:
            block, value = frame.returns[0]
            if block is not self.f.block:
                self._continue_in(block)
            return value
        return self._merge(frame.returns)

    def _continue_in(self, block: Block) -> None:
        follow = self.f.new_block()
        self.f.block = block
        self.f.jump(follow)
        self.f.place(follow)

    def ret(self, value: Any = None) -> None:
        """``return value``."""
        self._frames[-1].returns.append((self.f.block, value))
        raise Done

    def _merge(self, paths: list[tuple[Block, Any]]) -> Any:
        merge = self.f.new_block()
        for block, _ in paths:
            self.f.block = block
            self.f.jump(merge)
        self.f.place(merge)
        return self._phi(paths)

    def _phi(self, paths: list[tuple[Block, Any]]) -> Any:
        values = [v for _, v in paths]
        first = next((v for v in values if v is not UNDEF), UNDEF)
        if any(v is UNDEF for v in values):
            return UNDEF
        if isinstance(first, (tuple, list)):
            parts = [self._phi([(b, v[i]) for b, v in paths]) for i in range(len(first))]
            return type(first)(parts)
        if all(v is first for v in values):
            return first
        if not any(isinstance(v, (IrBits, Bits)) for v in values):
            if all(type(v) is type(first) and v == first for v in values):
                return first
            raise TypeError(f"different Python values meet: {values}; use cpu.const")
        constants = all(isinstance(v, IrBits) and v.c is not None for v in values)
        if constants and all((v.c, v.w) == (values[0].c, values[0].w) for v in values):
            return first
        return self._phi_bits(paths)

    def _phi_bits(self, paths: list[tuple[Block, Any]]) -> IrBits:
        width = next(v.w for _, v in paths if isinstance(v, (IrBits, Bits)))
        parts = []
        for block, v in paths:
            if isinstance(v, (int, Bits)):
                v = constant(self.f, v.v if isinstance(v, Bits) else v, width)
            if not isinstance(v, IrBits) or v.w != width:
                raise TypeError(f"values of different widths meet: {[p[1] for p in paths]}")
            parts.append(f"[ {v.ref}, %{block.label} ]")
        return IrBits(self.f, self.f.emit(f"phi i{width} " + ", ".join(parts)), width)

    # -- branches ----------------------------------------------------------------------------------
    def if_(
        self, test: Any, then: Callable[..., Any], other: Callable[..., Any], values: tuple[Any, ...]
    ) -> Any:
        """``if``: gives the values of the variables assigned in either branch."""
        if not _is_dynamic(test):
            return (then if _truth(test) else other)(*values)
        if test.w != 1:
            raise TypeError(f"a condition has width 1, not {test.w}")
        blocks = (self.f.new_block(), self.f.new_block())
        self.f.branch(test.ref, *blocks)
        paths = []
        for block, branch in zip(blocks, (then, other), strict=True):
            self.f.place(block)
            try:
                result = branch(*values)
                paths.append((self.f.block, result))
            except Done:
                pass
        if not paths:
            raise Done
        if len(paths) == 1:
            block, result = paths[0]
            if block is not self.f.block or self.f.blocks[-1] is not block:
                self._continue_in(block)
            return result
        return self._merge(paths)

    def while_(
        self, cond: Callable[..., Any], body: Callable[..., Any], values: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """``while``: run-time conditions make a loop, Python conditions unroll."""
        if not _is_dynamic(cond(*values)) and not any(isinstance(v, IrBits) for v in values):
            while _truth(cond(*values)):
                values = body(*values)
            return values
        return self._dynamic_loop(cond, body, values)

    def _dynamic_loop(self, cond: Any, body: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        f = self.f
        before, header, inside, after = f.block, f.new_block(), f.new_block(), f.new_block()
        f.jump(header)
        f.place(header)
        carried = []
        slots: list[tuple[int, IrBits, IrBits] | None] = []
        for v in values:
            if isinstance(v, Bits):
                v = constant(f, v.v, v.w)
            if not isinstance(v, IrBits):
                if isinstance(v, int):
                    raise TypeError("a loop variable starts as a Python int: use cpu.const")
                carried.append(v)
                slots.append(None)
                continue
            phi = IrBits(f, f.emit(""), v.w)
            slots.append((len(header.lines) - 1, phi, v))
            carried.append(phi)
        loop = _Loop()
        self._loops.append(loop)
        test = cond(*carried)
        exits = [(f.block, tuple(carried))]
        if _is_dynamic(test):
            f.branch(test.ref, inside, after)
        elif _truth(test):
            f.jump(inside)
            exits = []
        else:
            raise TypeError("a loop with run-time variables whose condition is false at once")
        f.place(inside)
        backs: list[tuple[Block, tuple[Any, ...]]] = []
        try:
            result = body(*carried)
            backs.append((f.block, result))
            f.jump(header)
        except Done:
            pass
        self._loops.pop()
        self._close_header(header, before, slots, backs)
        for block, _ in loop.breaks:
            f.block = block
            f.jump(after)
        exits += loop.breaks
        if not exits:
            raise Done
        f.place(after)
        return tuple(
            v if slots[i] is None else self._phi([(b, vals[i]) for b, vals in exits])
            for i, v in enumerate(values)
        )

    def _close_header(self, header: Block, before: Block, slots: Any, backs: Any) -> None:
        for i, slot in enumerate(slots):
            if slot is None:
                continue
            line, phi, start = slot
            parts = [f"[ {start.ref}, %{before.label} ]"]
            for block, result in backs:
                v = result[i]
                if isinstance(v, (int, Bits)):
                    v = constant(self.f, v.v if isinstance(v, Bits) else v, phi.w)
                if v.w != phi.w:
                    raise TypeError(f"a loop variable changes its width from {phi.w} to {v.w}")
                parts.append(f"[ {v.ref}, %{block.label} ]")
            header.lines[line] = f"{phi.ref} = phi i{phi.w} " + ", ".join(parts)

    def brk(self, values: tuple[Any, ...]) -> None:
        """``break``."""
        self._loops[-1].breaks.append((self.f.block, values))
        raise Done

    # -- expressions ---------------------------------------------------------------------------------
    def and_(self, a: Any, b: Callable[[], Any]) -> Any:
        """``a and b``; for run-time values both are evaluated."""
        if not _is_dynamic(a):
            return b() if _truth(a) else a
        other = b()
        if isinstance(other, (int, bool)):
            return a if other else other
        return a & other

    def or_(self, a: Any, b: Callable[[], Any]) -> Any:
        """``a or b``; for run-time values both are evaluated."""
        if not _is_dynamic(a):
            return a if _truth(a) else b()
        other = b()
        if isinstance(other, (int, bool)):
            return other if other else a
        return a | other

    def not_(self, a: Any) -> Any:
        """``not a``."""
        return ~a if isinstance(a, IrBits) else not a

    def ifexp(self, test: Any, a: Callable[[], Any], b: Callable[[], Any]) -> Any:
        """``a if test else b``."""
        if not _is_dynamic(test):
            return a() if _truth(test) else b()
        return self.if_(test, lambda: (a(),), lambda: (b(),), ())[0]

    @staticmethod
    def get(read: Callable[[], Any]) -> Any:
        """The value of a variable, or UNDEF before its first assignment."""
        try:
            return read()
        except NameError:
            return UNDEF


# -- the rewriting half ------------------------------------------------------------------------------

_PREFIXES = ("lpar.isa.", "lpar.cpu.native", "tests.", "test_")
_OPAQUE = frozenset({"lpar.isa.values", "lpar.isa.registry", "lpar.isa.fields", "lpar.isa.routine"})


@functools.cache
def _module_is_semantics(name: str) -> bool:
    return name.startswith(_PREFIXES) and name not in _OPAQUE


def _is_semantics(fn: types.FunctionType) -> bool:
    return _module_is_semantics(fn.__module__ or "") and fn.__name__ != "<lambda>"


class _Assigned(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.names.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        return

    def visit_ListComp(self, node: ast.ListComp) -> None:
        return

    visit_GeneratorExp = visit_SetComp = visit_DictComp = visit_ListComp  # type: ignore[assignment]


def _assigned(body: list[ast.stmt]) -> list[str]:
    finder = _Assigned()
    for statement in body:
        finder.visit(statement)
    return sorted(n for n in finder.names if not n.startswith("_staged_"))


def _name(n: str, ctx: Any = None) -> ast.Name:
    return ast.Name(n, ctx or ast.Load())


def _rt(method: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(_name("_rt"), method, ast.Load()), list(args), [])


def _thunk(value: ast.expr) -> ast.Lambda:
    empty = ast.arguments([], [], None, [], [], None, [])
    return ast.Lambda(empty, value)


def _tuple(names: list[str], ctx: Any = None) -> ast.Tuple:
    return ast.Tuple([_name(n, ctx or ast.Load()) for n in names], ctx or ast.Load())


class _Rewriter(ast.NodeTransformer):
    def __init__(self) -> None:
        self._count = 0
        self._loops: list[list[str] | None] = []

    def _function(
        self, kind: str, names: list[str], body: list[ast.stmt], result: ast.expr
    ) -> ast.FunctionDef:
        self._count += 1
        params = ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])
        return ast.FunctionDef(f"_staged_{kind}{self._count}", params, [*body, ast.Return(result)], [])

    def _current(self, names: list[str]) -> ast.Tuple:
        return ast.Tuple([_rt("get", _thunk(_name(n))) for n in names], ast.Load())

    def visit_If(self, node: ast.If) -> Any:
        names = _assigned(node.body + node.orelse)
        test = self.visit(node.test)
        then = self._function("then", names, self._body(node.body), _tuple(names))
        other = self._function("else", names, self._body(node.orelse), _tuple(names))
        call = _rt("if_", test, _name(then.name), _name(other.name), self._current(names))
        return [then, other, self._bind(names, call)]

    @staticmethod
    def _bind(names: list[str], call: ast.expr) -> ast.stmt:
        return ast.Assign([_tuple(names, ast.Store())], call) if names else ast.Expr(call)

    def visit_While(self, node: ast.While) -> Any:
        if node.orelse:
            raise SyntaxError("while/else is not part of the language")
        names = _assigned(node.body)
        cond = self._function("cond", names, [], self.visit(node.test))
        self._loops.append(names)
        body = self._function("body", names, self._body(node.body), _tuple(names))
        self._loops.pop()
        call = _rt("while_", _name(cond.name), _name(body.name), self._current(names))
        return [cond, body, self._bind(names, call)]

    def visit_For(self, node: ast.For) -> Any:
        self._loops.append(None)
        node.body = self._body(node.body)
        self._loops.pop()
        node.iter = self.visit(node.iter)
        return node

    def visit_Break(self, node: ast.Break) -> Any:
        if not self._loops or self._loops[-1] is None:
            raise SyntaxError("break out of a for loop is not part of the language")
        return ast.Expr(_rt("brk", self._current(self._loops[-1])))

    def visit_Continue(self, node: ast.Continue) -> Any:
        raise SyntaxError("continue is not part of the language")

    def visit_Return(self, node: ast.Return) -> Any:
        value = self.visit(node.value) if node.value else ast.Constant(None)
        return ast.Expr(_rt("ret", value))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        method = "and_" if isinstance(node.op, ast.And) else "or_"
        values = [self.visit(v) for v in node.values]
        result = values[-1]
        for value in reversed(values[:-1]):
            result = _rt(method, value, _thunk(result))
        return result

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return _rt("not_", operand)
        return ast.UnaryOp(node.op, operand)

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        test, body, other = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return _rt("ifexp", test, _thunk(body), _thunk(other))

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        call = ast.Attribute(_name("_rt"), "call", ast.Load())
        return ast.Call(call, [node.func, *node.args], node.keywords)

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        node.body = self.visit(node.body)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        # an inner function: its calls go through the run-time half like any other's
        inner = _Rewriter()
        inner._count = self._count + 1000
        node.body = inner._body(node.body)
        node.body.append(ast.Return(ast.Constant(None)))
        raise SyntaxError(f"inner function {node.name}: make it a module-level function or a lambda")

    def _body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for statement in body:
            new = self.visit(statement)
            out.extend(new if isinstance(new, list) else [new])
        return out


@functools.cache
def _factory(code: types.CodeType, fn: types.FunctionType) -> Callable[..., Any]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    definition = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    definition.decorator_list = []
    definition.returns = None
    for arg in definition.args.args + definition.args.kwonlyargs:
        arg.annotation = None
    body = [s for s in definition.body if not isinstance(s, (ast.AnnAssign,)) or s.value is not None]
    definition.body = _Rewriter()._body(body) or [ast.Pass()]
    params = [ast.arg(n) for n in ("_rt", *code.co_freevars)]
    arguments = ast.arguments([], params, None, [], [], None, [])
    outer = ast.FunctionDef("_factory", arguments, [definition, ast.Return(_name(definition.name))], [])
    module = ast.fix_missing_locations(ast.Module([outer], []))
    scope: dict[str, Any] = fn.__globals__
    local: dict[str, Any] = {}
    exec(compile(module, f"<staged {fn.__qualname__}>", "exec"), scope, local)
    return local["_factory"]  # type: ignore[no-any-return]


_FACTORIES: dict[types.CodeType, Callable[..., Any]] = {}


def rewritten(fn: types.FunctionType, rt: Runtime) -> Callable[..., Any]:
    """``fn`` rewritten for ``rt``."""
    made = _FACTORIES.get(fn.__code__)
    if made is None:
        made = _FACTORIES[fn.__code__] = _factory(fn.__code__, fn)
    cells = [c.cell_contents for c in fn.__closure__ or ()]
    return made(rt, *cells)  # type: ignore[no-any-return]
