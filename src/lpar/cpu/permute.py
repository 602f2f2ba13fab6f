# SPDX-License-Identifier: GPL-2.0-only
"""Byte permutation with a control known at run time only: the host's own instruction where it has one."""

from __future__ import annotations

from lpar.cpu.ir import Function, IrBits


def permute(f: Function, table: IrBits, control: IrBits) -> IrBits:
    """Run-time byte permutation; tables of 16 or 32 bytes, controls of 16 bytes."""
    if table.w == 256:
        high, low = permute(f, table.bits(128, 128), control), permute(f, table.bits(0, 128), control)
        return control.map_lanes(8, lambda c, h, lo: ((c & 16) == 0).select(h, lo), (control, high, low))
    if table.w < 128:  # numbers count modulo the table's size: repeat it
        table = table.concat([table] * (128 // table.w))
    if control.w < 128:
        wide = permute(f, table, control.zext(128) << (128 - control.w))
        return wide.bits(128 - control.w, control.w)
    if table.w != 128 or control.w != 128:
        raise TypeError("a run-time shuffle takes 128 bits")
    lanes = control._to_vector((control ^ int("0f" * 16, 16)) & int("0f" * 16, 16), 8, 16)
    data = table._to_vector(table, 8, 16)
    if f.module.arch == "x86_64":
        symbol = "@llvm.x86.ssse3.pshuf.b.128"
        f.module.declare(symbol, f"declare <16 x i8> {symbol}(<16 x i8>, <16 x i8>)")
        ref = f.emit(f"call <16 x i8> {symbol}(<16 x i8> {data.ref}, <16 x i8> {lanes.ref})")
    elif f.module.arch == "aarch64":
        symbol = "@llvm.aarch64.neon.tbl1.v16i8"
        f.module.declare(symbol, f"declare <16 x i8> {symbol}(<16 x i8>, <16 x i8>)")
        ref = f.emit(f"call <16 x i8> {symbol}(<16 x i8> {data.ref}, <16 x i8> {lanes.ref})")
    else:
        ref = "poison"
        for i in range(16):
            at = f.emit(f"extractelement <16 x i8> {lanes.ref}, i32 {i}")
            byte = f.emit(f"extractelement <16 x i8> {data.ref}, i8 {at}")
            ref = f.emit(f"insertelement <16 x i8> {ref}, i8 {byte}, i32 {i}")
    return IrBits(f, f.emit(f"bitcast <16 x i8> {ref} to i128"), 128)
