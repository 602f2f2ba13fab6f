# SPDX-License-Identifier: GPL-2.0-only
"""Routines: pieces of semantics compiled once and called, instead of inlined at every use.

``@routine(args=(64, 64), returns=(64, 32))`` decorates ``def f(cpu, a, b)`` that returns a tuple of
``Bits`` of these widths (a single width instead of a tuple: one value; ``None``: nothing).
On Python integers the call is the plain call; an engine supplies ``cpu.call_routine``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Widths = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Routine:
    """A compiled-once function of the semantics."""

    name: str
    body: Callable[..., Any]
    args: Widths
    returns: Widths | int | None

    def __call__(self, cpu: Any, *args: Any) -> Any:
        """Run it: in place on the oracle, as a native call in an engine's trace."""
        call = getattr(cpu, "call_routine", None)
        return self.body(cpu, *args) if call is None else call(self, args)


ROUTINES: dict[str, Routine] = {}


def routine(args: Widths, returns: Widths | int | None) -> Callable[[Callable[..., Any]], Routine]:
    """Register ``def f(cpu, ...)`` as a routine; its name must be unique."""

    def register(body: Callable[..., Any]) -> Routine:
        made = Routine(body.__name__, body, args, returns)
        if made.name in ROUTINES:
            raise ValueError(f"two routines are named {made.name}")
        ROUTINES[made.name] = made
        return made

    return register
