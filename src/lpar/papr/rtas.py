# SPDX-License-Identifier: GPL-2.0-only
"""RTAS: the argument block and the dispatch of its calls.

The guest calls the five-instruction stub, which makes hypercall KVMPPC_H_RTAS with the address of
the argument block in r4: token, nargs, nret, arguments, return words, all big-endian 32 bits
(PAPR 7.2.7).  The first return word is the status.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lpar.errors import GuestError
from lpar.papr import numbers as n
from lpar.papr.hcalls_term import rtas_display_character
from lpar.papr.registry import RTAS_CALLS, Args, Result, RtasCall, hcall

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

REAL_MASK = (1 << 60) - 1  #: the high bits of a real address are ignored
MAX_WORDS = 16  #: arguments and return words that one call may have, each
_RAW = RtasCall(0xA, "display-character", (1,), (1,), rtas_display_character, "")


@hcall(n.KVMPPC_H_RTAS)
def h_rtas(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Make an RTAS call: (address of the argument block)."""
    block = a[1] & REAL_MASK
    token, nargs, nret = struct.unpack(">3I", p.memory.read(block, 12))
    if nargs > MAX_WORDS or nret > MAX_WORDS:
        return n.H_PARAMETER
    args = struct.unpack(f">{nargs}I", p.memory.read(block + 12, 4 * nargs))
    answer_at = block + 12 + 4 * nargs
    if not p.memory.contains(answer_at, max(4 * nret, 1)):
        return n.H_PARAMETER
    call = _RAW if token == n.RTAS_RAW_DISPLAY_CHARACTER else RTAS_CALLS.get(token)
    rets = _make(p, vcpu, call, args, nret)
    if p.trace_rtas:
        p.trace_rtas(_trace_line(vcpu, token, call, args, rets))
    words = [ret & 0xFFFFFFFF for ret in rets[:nret]]
    p.memory.write(answer_at, struct.pack(f">{len(words)}I", *words))
    return n.H_PARAMETER if call is None else n.H_SUCCESS


def _make(p: Partition, vcpu: Vcpu, call: RtasCall | None, args: Args, nret: int) -> tuple[int, ...]:
    """The return words of one call; the guest's mistakes are status -3."""
    if call is None or len(args) not in call.nargs or nret not in call.nret:
        return (n.RTAS_PARAM_ERROR,)
    try:
        result = call.handler(p, vcpu, args)
    except GuestError:
        return (n.RTAS_PARAM_ERROR,)
    return result if isinstance(result, tuple) else (result,)


def _trace_line(vcpu: Vcpu, token: int, call: RtasCall | None, args: Args, rets: tuple[int, ...]) -> str:
    name = call.name if call else f"unknown token {token:#x}"
    shown = ", ".join(f"{arg:#x}" for arg in args)
    answer = ", ".join([str(rets[0]), *(f"{ret:#x}" for ret in rets[1:])])
    return f"rtas cpu{vcpu.index} {name}({shown}) = {answer}"
