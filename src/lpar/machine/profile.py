# SPDX-License-Identifier: GPL-2.0-only
"""``--profile``: from samples of addresses to names, files, and a table of the engine's time."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from lpar.accel.protocol import Profile, Stack
from lpar.boot.kallsyms import find_names
from lpar.errors import ConfigError
from lpar.host.memory import GuestMemory
from lpar.machine import flamegraph

KERNEL = 0xC000000000000000
KERNEL_IMAGE = 96 << 20  #: bytes of RAM in which the kernel's own tables are
#: where the kernel's own threads begin: PIDR there is of whoever ran before
KERNEL_ENTRIES = (
    *("ret_from_kernel_thread", "ret_from_kernel_user_thread", "start_here_common", "start_secondary_resume"),
    *("start_secondary_prolog", "start_secondary"),
)
LONGEST = 1 << 20  #: bytes behind a symbol that still belong to it


class Symbols:
    """Names for the kernel's addresses; none for what is not the kernel's image."""

    def __init__(self, names: Iterable[tuple[int, str]]) -> None:
        known = list(names)
        self._addresses = [address for address, _ in known]
        self._names = [name for _, name in known]

    @classmethod
    def of_guest(cls, memory: GuestMemory) -> Symbols:
        """What the kernel in memory says of itself (kallsyms)."""
        image = memory.view(0, min(memory.size, KERNEL_IMAGE))
        return cls(find_names(image) or find_names(image, big_endian=True))

    def start(self, address: int) -> int:
        """Where the function of an address begins; the address itself if that is unknown."""
        n = bisect.bisect(self._addresses, address) - 1
        return self._addresses[n] if n >= 0 and address - self._addresses[n] < LONGEST else address

    def name(self, address: int) -> str:
        """The function's name, or the address."""
        start = self.start(address)
        n = bisect.bisect_left(self._addresses, start)
        known = n < len(self._addresses) and self._addresses[n] == start
        return self._names[n] if known else f"{address:#x}"


def named(stacks: Mapping[Stack, int], symbols: Symbols) -> Counter[tuple[str, ...]]:
    """Stacks of names, outermost first, below the process: its number is PIDR's, 0 the kernel alone."""
    out: Counter[tuple[str, ...]] = Counter()
    for (pid, problem, pc, lr, frames), count in stacks.items():
        addresses = [pc, *_callers(pc, lr, frames, symbols)]
        names = [symbols.name(address) for address in reversed(addresses)]
        own = not problem and (not pid or names[0] in KERNEL_ENTRIES)
        out["kernel" if own else f"process {pid}", *names] += count
    return out


def _callers(pc: int, lr: int, frames: tuple[int, ...], symbols: Symbols) -> list[int]:
    """Return addresses from the inside out.

    A function without a frame has its caller in the link register alone; in others that is a leftover of
    a call that came back, to the function itself.
    """
    first = frames[0] if frames else 0
    leaf = symbols.start(lr) not in (symbols.start(pc), symbols.start(first)) and lr != 0
    same_side = (lr >= KERNEL) == (pc >= KERNEL)
    callers = [lr] if leaf and same_side and _plausible(lr) else []
    return callers + [address for address in frames if _plausible(address)]


def _plausible(address: int) -> bool:
    return address % 4 == 0 and address >= 0x1000 and (address < 1 << 52 or address >= KERNEL)


def paths(target: str) -> tuple[Path, Path]:
    """(flame graph, speedscope file) for what the user gave: a directory, or a file beside which both are.

    Raises ConfigError if they cannot be written there.
    """
    path = Path(target)
    directory = path if path.is_dir() or target.endswith("/") else path.parent
    stem = "profile" if directory == path else path.name.removesuffix(".svg").removesuffix(".json")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        made = directory / f"{stem}.svg", directory / f"{stem}.speedscope.json"
        for each in made:
            each.touch()
    except OSError as err:
        raise ConfigError(f"--profile {target}: {err.strerror}", hint="a file or a directory") from None
    return made


def write(target: str, profile: Profile, memory: GuestMemory, name: str) -> list[str]:
    """Write both files; the lines of the table to be shown."""
    picture, scope = paths(target)
    stacks = named(profile.stacks, Symbols.of_guest(memory))
    total = sum(stacks.values())
    picture.write_text(flamegraph.svg(stacks, f"{name}: {total} samples"))
    spent = profile.engine_seconds()
    engine: flamegraph.Stacks = {(what,): round(seconds * 1000) for what, seconds in spent.items()}
    scope.write_text(flamegraph.speedscope({"guest": stacks, "engine (ms)": engine}, name))
    return [f"profile: {total} samples, in {picture} and {scope}", *_table(spent)]


def _table(seconds: Mapping[str, float]) -> list[str]:
    whole = sum(seconds.values()) or 1.0
    rows = sorted(seconds.items(), key=lambda item: -item[1])
    return [f"{what:<22} {spent:8.2f} s {100 * spent / whole:5.1f} %" for what, spent in rows]
