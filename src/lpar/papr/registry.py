# SPDX-License-Identifier: GPL-2.0-only
"""One definition per hypercall and per RTAS call; everything else derives from it.

``@hcall(H_PUT_TERM_CHAR, "hcall-term")`` and ``@rtas("start-cpu", nargs=3)`` register a handler
once.  Dispatch, the RTAS tokens and the hypertas string of the device tree, the debug traces and
the documentation table all read the registrations.

Handlers get the partition, the calling vCPU and the arguments.  Of a hypercall ``a[0]`` is the
number and ``a[n]`` parameter *n* (register r3+n); of an RTAS call ``a[n]`` is argument *n* of
PAPR's tables, from 0, unsigned 32 bits.  The answer is a status, or a tuple of status and return
values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lpar.errors import InternalError
from lpar.papr.numbers import RTAS_TOKEN_BASE

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

Args = tuple[int, ...]
Result = int | tuple[int, ...]
Handler = Callable[["Partition", "Vcpu", Args], Result]


@dataclass(frozen=True, slots=True)
class Hcall:
    """A registered hypercall; ``function_set`` is its entry in ibm,hypertas-functions, if any."""

    number: int
    name: str
    function_set: str | None
    handler: Handler
    summary: str


@dataclass(frozen=True, slots=True)
class RtasCall:
    """A registered RTAS call.  ``nargs`` and ``nret`` are the counts PAPR allows."""

    token: int
    name: str
    nargs: tuple[int, ...]
    nret: tuple[int, ...]
    handler: Handler
    summary: str


HCALLS: dict[int, Hcall] = {}
HCALL_HANDLERS: dict[int, Handler] = {}  #: the hot path: number to function
RTAS_CALLS: dict[int, RtasCall] = {}  #: by token


def hcall(number: int, function_set: str | None = None) -> Callable[[Handler], Handler]:
    """Register the decorated function as hypercall ``number``; its name gives the call's name."""

    def register(handler: Handler) -> Handler:
        if number in HCALLS:
            raise InternalError(f"hypercall {number:#x} is registered twice")
        name = handler.__name__.upper()
        HCALLS[number] = Hcall(number, name, function_set, handler, _summary(handler))
        HCALL_HANDLERS[number] = handler
        return handler

    return register


def rtas(
    name: str, nargs: int | tuple[int, ...] = 0, nret: int | tuple[int, ...] = 1
) -> Callable[[Handler], Handler]:
    """Register the decorated function as RTAS call ``name``; tokens count up in order of definition."""

    def register(handler: Handler) -> Handler:
        if any(call.name == name for call in RTAS_CALLS.values()):
            raise InternalError(f"RTAS call {name} is registered twice")
        token = RTAS_TOKEN_BASE + len(RTAS_CALLS)
        counts = _counts(nargs), _counts(nret)
        RTAS_CALLS[token] = RtasCall(token, name, *counts, handler, _summary(handler))
        return handler

    return register


def rtas_tokens() -> dict[str, int]:
    """Name to token of every RTAS call, for the properties of the /rtas node."""
    return {call.name: call.token for call in RTAS_CALLS.values()}


def hypertas_functions() -> list[str]:
    """The strings of ibm,hypertas-functions: the function sets that are really there."""
    found = {call.function_set for call in HCALLS.values() if call.function_set}
    return sorted(found)


def describe() -> Iterator[tuple[str, str, str]]:
    """Rows (name, number or token, summary) of the documentation table."""
    for number in sorted(HCALLS):
        yield HCALLS[number].name, f"{number:#x}", HCALLS[number].summary
    for call in sorted(RTAS_CALLS.values(), key=lambda call: call.name):
        yield call.name, f"{call.token:#x}", call.summary


def markdown() -> str:
    """The documentation table."""
    rows = [f"| {name} | {number} | {summary} |" for name, number, summary in describe()]
    return "\n".join(["| call | number or token | what it does |", "|---|---|---|", *rows]) + "\n"


def _counts(count: int | tuple[int, ...]) -> tuple[int, ...]:
    return (count,) if isinstance(count, int) else count


def _summary(handler: Handler) -> str:
    return (handler.__doc__ or "").strip().partition("\n")[0]
