# SPDX-License-Identifier: GPL-2.0-only
"""Berkeley SoftFloat as the reference: its functions, called in a compiled loop over arrays.

``softfloatpy`` ships the library; a call through Python for each case would take hours, so the loop is
compiled here.  Tininess is detected before rounding, as on Power.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import softfloatpy
from tests.isa.testfloat.operands import Array

NEAREST, ZERO, DOWN, UP, AWAY = range(5)  #: SoftFloat's rounding modes
INEXACT, UNDERFLOW, OVERFLOW, INFINITE, INVALID = 1, 2, 4, 8, 16  #: and its flags
_WORDS = {
    "f16": "i16",
    "f32": "i32",
    "f64": "i64",
    "i32": "i32",
    "ui32": "i32",
    "i64": "i64",
    "ui64": "i64",
    "b": "i1",
}


@functools.cache
def library() -> ctypes.CDLL:
    """The library, detecting tininess before rounding."""
    found = ctypes.CDLL(softfloatpy._core.__file__)
    ctypes.c_uint8.in_dll(found, "softfloat_detectTininess").value = 0
    return found


def _call(function: str, kinds: Sequence[str], result: str, more: str) -> tuple[str, str, str]:
    """IR that declares and calls ``function`` on %a0, %a1..., and stores its result to %to."""
    types, passed, loads = [], [], []
    for n, kind in enumerate(kinds):
        low, high = f"%low{n}", f"%high{n}"
        loads.append(f"  {low} = load i64, ptr %at{n}")
        if kind == "f128":
            loads += [
                f"  %next{n} = getelementptr i64, ptr %at{n}, i64 1",
                f"  {high} = load i64, ptr %next{n}",
            ]
            types += ["i64", "i64"]
            passed += [low, high]
        elif _WORDS[kind] == "i64":
            types.append("i64")
            passed.append(low)
        else:
            loads.append(f"  %cut{n} = trunc i64 {low} to {_WORDS[kind]}")
            types.append(_WORDS[kind])
            passed.append(f"%cut{n}")
    returned = "{i64, i64}" if result == "f128" else _WORDS[result]
    arguments = ", ".join([f"{t} {v}" for t, v in zip(types, passed, strict=True)] + ([more] if more else []))
    signature = ", ".join(types + [m.split()[0] for m in more.split(", ") if m])
    lines = [*loads, f"  %r = call {returned} @{function}({arguments})"]
    if result == "f128":
        lines += [
            "  %r0 = extractvalue {i64, i64} %r, 0", "  %r1 = extractvalue {i64, i64} %r, 1",
            "  store i64 %r0, ptr %to", "  %to1 = getelementptr i64, ptr %to, i64 1",
            "  store i64 %r1, ptr %to1",
        ]  # fmt: skip
    else:
        lines.append(
            "  store i64 %r, ptr %to" if returned == "i64" else f"  %wide = zext {returned} %r to i64"
        )
        lines += [] if returned == "i64" else ["  store i64 %wide, ptr %to"]
    return f"declare {returned} @{function}({signature})", "\n".join(lines), returned


def _module(function: str, kinds: Sequence[str], result: str, more: str) -> str:
    declared, body, _ = _call(function, kinds, result, more)
    places = "\n".join(
        f"  %row{n} = getelementptr [2 x i64], ptr %a{n}, i64 %i\n  %at{n} = bitcast ptr %row{n} to ptr"
        for n in range(len(kinds))
    )
    parameters = ", ".join(f"ptr %a{n}" for n in range(len(kinds)))
    return f"""
@softfloat_exceptionFlags = external global i8
{declared}
define void @loop(i64 %count, ptr %results, ptr %flags, {parameters}) {{
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%j, %head]
{places}
  %to = getelementptr [2 x i64], ptr %results, i64 %i
  store volatile i8 0, ptr @softfloat_exceptionFlags
{body}
  %raised = load volatile i8, ptr @softfloat_exceptionFlags
  %flag = getelementptr i8, ptr %flags, i64 %i
  store i8 %raised, ptr %flag
  %j = add i64 %i, 1
  %more = icmp ult i64 %j, %count
  br i1 %more, label %head, label %done
done:
  ret void
}}
"""


@functools.cache
def _loop(function: str, kinds: tuple[str, ...], result: str, more: str) -> tuple[Any, Any]:
    """The compiled loop and the engine that keeps it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for symbol in (function, "softfloat_exceptionFlags"):
        llvm.add_symbol(symbol, ctypes.addressof(ctypes.c_char.in_dll(library(), symbol)))
    machine = llvm.Target.from_default_triple().create_target_machine(opt=1)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(_module(function, kinds, result, more)), machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_uint64, *[ctypes.c_void_p] * (2 + len(kinds)))
    return prototype(engine.get_function_address("loop")), engine


def run(
    function: str, kinds: Sequence[str], result: str, operands: Sequence[Array], rounding: int, more: str = ""
) -> tuple[Array, Array]:
    """Results and flags of a SoftFloat function on ``kinds`` of operands; ``more``: constant arguments."""
    loop, _ = _loop(function, tuple(kinds), result, more)
    ctypes.c_uint8.in_dll(library(), "softfloat_roundingMode").value = rounding
    count = len(operands[0])
    results, flags = np.zeros((count, 2), dtype=np.uint64), np.zeros(count, dtype=np.uint8)
    given = [np.ascontiguousarray(o) for o in operands]
    loop(count, results.ctypes.data, flags.ctypes.data, *(g.ctypes.data for g in given))
    return results, flags
