# SPDX-License-Identifier: GPL-2.0-only
"""Units: straight-line guest code compiled by copying stencils, natively, when it is first met.

A unit begins at the instruction that is about to run and ends with its first branch (or before an instruction
that has no stencil, or that is decoded already).  The records of all its instructions lead into it.

Rules of this file:
* Only records lead into units: no unit jumps into another one, so wiping records is all it takes to be rid
  of code.  A store wipes the records of the UNIT - 1 instructions before it too (native_code), since a unit
  that began there may contain the word.
* %rec is added up only where a stencil uses it (flag USES_REC) and at the end: ``pending`` instructions are
  owed.  A record whose instruction comes with some pending leads to a stub that takes them off first; an exit
  to a handler goes by a stub that pays.  Stubs are seldom run: they lie at the other end of the vCPU's piece
  of the arena, so that code that is run lies close together.
* Words are read, code and records are written, and words are read again: see native_code.

The machine code written here is x86-64 (stencil.py); %rec is rbp, the base r14; r12, elsewhere the word, is
free.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_tlb
from lpar.cpu.layout import SLOTS
from lpar.cpu.native_decode import RECORD_BYTES, RECORD_STRIDE, find_entry, find_pair, find_stencil
from lpar.cpu.native_shared import is_marked, shared_field
from lpar.cpu.stencil_table import (
    EXIT,
    FOLLOW,
    GOES_ON,
    IMMEDIATE,
    MAX_CODE,
    OPERATION,
    OPERATORS,
    PATCH,
    USES_REC,
)
from lpar.isa.routine import routine
from lpar.isa.values import select

UNIT = 64  #: instructions at most
CHUNK = 1 << 16  #: bytes of the arena that a vCPU takes at once
STUB = 12  #: bytes
ROOM = 2 * MAX_CODE + UNIT * 64  #: what a unit may need beyond what is written when it goes on
ADD_REC = 0xC58148  #: add rbp, imm32: 48 81 C5
ADD_REC_SHORT = 0xC58348  #: add rbp, imm8: 48 83 C5
JUMP = 0xE9
#: movsxd rax, [rbp + 4]; add rax, r14; jmp rax
DISPATCH = bytes.fromhex("48634504 4c01f0 ffe0".replace(" ", ""))


def _signed(cpu: Any, value: Any, width: Any) -> Any:
    """The low ``width`` bits of a value, sign-extended."""
    away = 64 - width
    return (value << away).sar(away)


def operate(cpu: Any, kind: Any, width: Any, a: Any, b: Any, amount: Any) -> Any:
    """The common operations; see stencil_table.OPERATORS.  ``amount``: the immediate's operand number."""
    result = cpu.const(0)
    if kind == OPERATORS["field"]:
        result = (a >> amount) & b
    elif kind == OPERATORS["add"]:
        result = a + b
    elif kind == OPERATORS["mul"]:
        result = a * b
    elif kind == OPERATORS["shl"]:
        result = a << b
    elif kind == OPERATORS["lshr"]:
        result = a >> b
    elif kind == OPERATORS["ashr"]:
        result = _signed(cpu, a, width).sar(b)
    elif kind == OPERATORS["and"]:
        result = a & b
    elif kind == OPERATORS["or"]:
        result = a | b
    elif kind == OPERATORS["xor"]:
        result = a ^ b
    elif kind == OPERATORS["sub"]:
        result = a - b
    elif kind == OPERATORS["const"]:
        result = b
    elif kind == OPERATORS["sext"]:
        result = _signed(cpu, a, width)
    elif kind == OPERATORS["rotl"]:
        right = (width - b) & 63
        result = (a << b) | select(b == 0, cpu.const(0), a >> right)
    else:
        result = compare(cpu, kind, a, b, _signed(cpu, a, width), _signed(cpu, b, width))
    return result


def compare(cpu: Any, kind: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Comparisons: of zero-extended ``a``, ``b`` and sign-extended ``x``, ``y``."""
    wanted = {
        "eq": a == b, "ne": a != b, "ult": a < b, "ule": a <= b, "ugt": a > b, "uge": a >= b,
        "slt": x.slt(y), "sle": x.sle(y), "sgt": x.sgt(y), "sge": x.sge(y),
    }  # fmt: skip
    return pick(cpu, kind, wanted)


def pick(cpu: Any, kind: Any, wanted: Any) -> Any:
    """The truth that ``kind`` asks for."""
    result = cpu.const(0, 1)
    for name in ("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge"):
        result = select(kind == OPERATORS[name], wanted[name], result)
    return result.zext(64)


@routine(args=(64, 64), returns=None)
def make_values(cpu: Any, stencil: Any, word: Any) -> None:
    """Run a stencil's operations: its values for an instruction word."""
    values = cpu.state_address("unit_values")
    cpu.raw_store(values, word, 8)
    operation = cpu.stencil_table + cpu.raw_load(stencil + 8, 32, 4).zext(64)
    end = operation + cpu.raw_load(stencil + 12, 16, 2).zext(64) * OPERATION
    to = values + 8
    while operation < end:
        head = cpu.raw_load(operation, 64, 8)
        immediate = cpu.raw_load(operation + 8, 64, 8)
        kind, width, number = head & 0xFF, (head >> 8) & 0xFF, (head >> 24) & 0xFF
        a = cpu.raw_load(values + (((head >> 16) & 63) << 3), 64, 8)
        b = cpu.raw_load(values + ((number & 63) << 3), 64, 8)
        c = cpu.raw_load(values + (((head >> 32) & 63) << 3), 64, 8)
        inline = (number == IMMEDIATE) | (kind == OPERATORS["field"])
        second = select(inline, immediate, b)
        value = operate(cpu, kind, width, a, second, number & 63)
        if kind == OPERATORS["select"]:
            value = select(a != 0, b, c)
        keep = 64 - ((head >> 40) & 0xFF)
        cpu.raw_store(to, (value << keep) >> keep, 8)
        operation = operation + OPERATION
        to = to + 8


@routine(args=(64, 64, 64), returns=None)
def copy_stencil(cpu: Any, stencil: Any, to: Any, pending: Any) -> None:
    """Copy a stencil's code and fill its holes from ``unit_values``; its exits owe ``pending`` records."""
    table = cpu.stencil_table
    head = cpu.raw_load(stencil, 64, 8)
    code, size = table + (head & 0xFFFFFFFF), (head >> 32) & 0xFFFF
    at = cpu.const(0)
    while at < size:
        cpu.raw_store(to + at, cpu.raw_load(code + at, 128, 1), 1)
        at = at + 16
    values = cpu.state_address("unit_values")
    patch = table + cpu.raw_load(stencil + 16, 32, 4).zext(64)
    end = patch + cpu.raw_load(stencil + 14, 16, 2).zext(64) * PATCH
    while patch < end:
        what = cpu.raw_load(patch, 64, 8)
        addend = cpu.raw_load(patch + 8, 64, 8)
        where, kind = to + (what & 0xFFFF), (what >> 16) & 0xFF
        if kind > 3:
            symbol = cpu.raw_load(cpu.stencil_symbols + ((what >> 32) << 3), 64, 8)
            target = select(kind == FOLLOW, to + size, symbol)
            if (kind == EXIT) & (pending != 0):
                target = put_stub(cpu, pending, symbol)
            cpu.raw_store(where, (target + addend - where).trunc(32), 1)
        else:
            value = cpu.raw_load(values + (((what >> 24) & 63) << 3), 64, 8) + addend
            if kind == 0:
                cpu.raw_store(where, value, 1)
            elif kind == 1:
                cpu.raw_store(where, value.trunc(32), 1)
            elif kind == 2:
                cpu.raw_store(where, value.trunc(16), 1)
            else:
                cpu.raw_store(where, value.trunc(8), 1)
        patch = patch + PATCH


@routine(args=(), returns=1)
def have_room(cpu: Any) -> Any:
    """Whether the vCPU has room for a unit; takes a new piece of the arena if need be."""
    room = (cpu.unit_limit - cpu.unit_next).sgt(2 * ROOM)
    if ~room:
        start = cpu.raw_atomic("add", shared_field(cpu, "units_next"), cpu.const(CHUNK))
        if start + CHUNK <= cpu.raw_load(shared_field(cpu, "units_end"), 64, 8):
            cpu.unit_next = start
            cpu.unit_limit = start + CHUNK
            room = cpu.const(1, 1)
        else:
            make_room(cpu)
    return room


@routine(args=(), returns=None)
def make_room(cpu: Any) -> None:
    """The arena is full: forget all units and start over.  Meanwhile there are no new ones.

    Every vCPU first loses its piece, then passes a poll (it may be writing a unit); all records into units
    are wiped; every vCPU passes another poll, so that none is inside a unit.  A vCPU that waits for others
    counts as outside, so stencils never call what waits (stencil.py).
    """
    lock = shared_field(cpu, "units_lock")
    _, mine = cpu.raw_cas(lock, cpu.const(0), cpu.const(1))
    if mine:
        wait_for_all(cpu, cpu.const(1))
        page, pages = cpu.const(0), cpu.ram_size >> 12
        while page < pages:
            if cpu.raw_load(cpu.page_flags + page, 8) != 0:
                wipe_units(cpu, page)
            page = page + 1
        wait_for_all(cpu, cpu.const(0))
        cpu.n_unit_flushes = cpu.n_unit_flushes + 1
        cpu.raw_store(
            shared_field(cpu, "units_next"), cpu.raw_load(shared_field(cpu, "units_start"), 64, 8), 8
        )
        cpu.raw_atomic("xchg", lock, cpu.const(0))


@routine(args=(64,), returns=None)
def wait_for_all(cpu: Any, take: Any) -> None:
    """Wait until every other vCPU has passed a poll or is outside; ``take``: first take all pieces away."""
    count = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    own = cpu.own_address()
    n = cpu.const(0)
    while n < count:
        other = cpu.raw_load(shared_field(cpu, "states") + n * 8, 64, 8)
        if take != 0:
            cpu.raw_store(other + SLOTS["unit_limit"].offset, cpu.const(0), 8)
        if other != own:
            native_tlb.wait_for_poll(cpu, other)
        n = n + 1


@routine(args=(64,), returns=None)
def wipe_units(cpu: Any, page: Any) -> None:
    """Wipe the records of a page that lead into units."""
    start = cpu.raw_load(shared_field(cpu, "units_start"), 64, 8)
    size = cpu.raw_load(shared_field(cpu, "units_end"), 64, 8) - start
    record = cpu.code_base[0] + page * RECORD_STRIDE
    end = record + RECORD_BYTES
    while record < end:
        value = cpu.raw_load(record, 64, 8)
        if value.sar(32) + cpu.handler_base - start < size:
            cpu.raw_cas(record, value, cpu.const(0))
        record = record + 8


def add_rec(cpu: Any, to: Any, count: Any) -> Any:
    """Write code that adds ``count`` records to %rec; gives where it ends."""
    distance = (count << 3).trunc(32)
    short = distance.sar(3) + 16 < 32
    cpu.raw_store(to, select(short, cpu.const(ADD_REC_SHORT, 32), ADD_REC), 1)
    cpu.raw_store(to + 3, distance, 1)
    return to + select(short, cpu.const(4), 7)


def dispatch_code(cpu: Any, to: Any, pending: Any) -> Any:
    """Write the end of a unit: go on by the record."""
    end = add_rec(cpu, to, pending)
    cpu.raw_store(end, cpu.const(int.from_bytes(DISPATCH, "little"), 128), 1)
    return end + len(DISPATCH)


@routine(args=(64, 64), returns=64)
def put_stub(cpu: Any, count: Any, target: Any) -> Any:
    """Write a stub below those that are there: it adds ``count`` records to %rec and goes to ``target``."""
    stub = cpu.unit_stubs - STUB
    end = add_rec(cpu, stub, count)
    cpu.raw_store(end, cpu.const(JUMP, 8), 1)
    cpu.raw_store(end + 1, (target - end - 5).trunc(32), 1)
    cpu.unit_stubs = stub
    return stub


@routine(args=(64, 64, 64, 64), returns=64)
def write_unit(cpu: Any, record: Any, address: Any, offset: Any, limit: Any) -> Any:
    """Write a unit's code for at most ``limit`` instructions; gives how many it has.

    Where each begins and how many are pending there goes to ``unit_place`` and ``unit_pending``, the words to
    ``unit_words``.  What is copied with the instruction before it (pair.py) has ``lp_alone`` as its place:
    who comes there in another way finds a unit of its own.
    """
    to = cpu.unit_next
    stop = cpu.unit_stubs - ROOM
    n, pending, flags = cpu.const(0), cpu.const(0), cpu.const(GOES_ON)
    going = cpu.const(1, 1)
    while going:
        word = cpu.raw_load(address + (n << 2), 32, 4).zext(64)
        entry = find_entry(cpu, word)
        stencil = find_stencil(cpu, entry, word, offset + (n << 2))
        taken = (n != 0) & (cpu.raw_load(record + (n << 3), 64, 8) != 0)
        if (stencil == 0) | taken:
            going = cpu.const(0, 1)
        else:
            width, both = cpu.const(1), word
            if n + 1 < limit:
                second = cpu.raw_load(address + (n << 2) + 4, 32, 4).zext(64)
                pair = find_pair(cpu, entry, word, second, offset + (n << 2) + 4)
                if (pair != 0) & (cpu.raw_load(record + (n << 3) + 8, 64, 8) == 0):
                    stencil, width, both = pair, cpu.const(2), word | (second << 32)
                    cpu.unit_place[n + 1] = cpu.unit_alone
                    cpu.unit_pending[n + 1] = 0
                    cpu.unit_words[n + 1] = second
            head = cpu.raw_load(stencil, 64, 8)
            flags = head >> 48
            if ((flags & USES_REC) != 0) & (pending != 0):
                to = add_rec(cpu, to, pending)
                pending = cpu.const(0)
            cpu.unit_place[n] = to
            cpu.unit_pending[n] = pending
            cpu.unit_words[n] = word
            make_values(cpu, stencil, both)
            copy_stencil(cpu, stencil, to, pending)
            to = to + ((head >> 32) & 0xFFFF)
            n = n + width
            pending = pending + width
            going = ((flags & GOES_ON) != 0) & (n < limit) & (to < stop)
    if (flags & GOES_ON) != 0:
        to = dispatch_code(cpu, to, pending)
    cpu.unit_next = to
    return n


@routine(args=(64, 64), returns=None)
def lead_in(cpu: Any, record: Any, count: Any) -> None:
    """Make the records of a unit's instructions lead into it."""
    n, base = cpu.const(0), cpu.handler_base
    while n < count:
        place = cpu.unit_place[n]
        pending = cpu.unit_pending[n]
        if pending != 0:
            place = put_stub(cpu, cpu.const(0) - pending, place)
        cpu.raw_store(record + (n << 3), ((place - base) << 32) | cpu.unit_words[n], 8)
        n = n + 1


@routine(args=(64, 64, 64), returns=1)
def decode_unit(cpu: Any, record: Any, address: Any, offset: Any) -> Any:
    """Compile a unit that begins at a record (of 64-bit little-endian mode); gives whether there is one.

    ``address``: of the word in host memory, ``offset``: in its page.
    """
    done = cpu.const(0, 1)
    room = have_room(cpu)
    top = cpu.unit_limit  # 0 as soon as another vCPU makes room
    if room & (top - cpu.unit_next).sgt(2 * ROOM):
        cpu.unit_stubs = top
        left = 1024 - (offset >> 2)
        limit = select(left < UNIT, left, UNIT)
        count = write_unit(cpu, record, address, offset, limit)
        if count != 0:
            lead_in(cpu, record, count)
            cpu.unit_next = (cpu.unit_next + 15) & ~15
            cpu.raw_cas(cpu.state_address("unit_limit"), top, cpu.unit_stubs)
            cpu.memory_fence()
            marked = is_marked(cpu, (address - cpu.ram_base) >> 12)
            done = marked & unchanged(cpu, address, count)
            if ~done:
                cpu.clear(record, count << 3)
            cpu.n_decoded = cpu.n_decoded + count
    return done


def unchanged(cpu: Any, address: Any, count: Any) -> Any:
    """Whether RAM still holds the words that the unit was made from."""
    n, same = cpu.const(0), cpu.const(1, 1)
    while n < count:
        word = cpu.raw_load(address + (n << 2), 32, 4).zext(64)
        same = same & (word == cpu.unit_words[n])
        n = n + 1
    return same
