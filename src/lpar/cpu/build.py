# SPDX-License-Identifier: GPL-2.0-only
"""The engine's own code as it is kept: bundles in the cache directory, and how they get there.

A bundle is keyed by the engine's source text, llvmlite and the host CPU; a damaged or stale file is built
anew.  Building happens in a process of its own (builder.py), so that LLVM stays out of this one.

There are two kinds: ``units`` has stencils, and handlers for what has none or runs in other modes;
``handlers`` has fast handlers too, for interpreting and for hosts that have no units (arm64).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pickle
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lpar.cpu.relocate import MACHINES
from lpar.errors import HostError, InternalError

Progress = Callable[[str, int, int], None]
KEPT_BUNDLES = 8
UNITS, HANDLERS = "units", "handlers"
PART, LOCK = ".part", ".lock"  #: suffixes: the beginning of a bundle being built; held while it is
POLL = 0.05  #: seconds


@dataclass
class Bundle:
    """What a build leaves behind.  One that is not ``complete`` is the beginning of one that is.

    ``image``, ``symbols`` (offsets in it) and ``slots`` are linked code (linker.py), ``decode`` and
    ``prefix`` the tables of decode_table.py with handlers' distances from ``lp_decode``.  ``stencils``,
    ``stencil_symbols`` and ``constants``: see stencil_table.py.  ``links`` names what compiled regions may
    call, by number; ``touched`` what each routine may touch.
    """

    complete: bool = True
    image: bytes = b""
    symbols: dict[str, int] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    decode: bytes = b""
    prefix: bytes = b""
    stencils: bytes = b""
    stencil_symbols: list[str] = field(default_factory=list)
    constants: bytes = b""
    links: list[str] = field(default_factory=list)
    touched: dict[str, set[str]] = field(default_factory=dict)


def compiled_kind() -> str:
    """The kind for guests whose hot code is compiled: stencils are x86-64's."""
    return UNITS if platform.machine() == "x86_64" else HANDLERS


def cache_directory() -> Path:
    """Where compiled code is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "lpar" / "engine"


def host_description() -> str:
    """What compiled code depends on besides our sources; found without loading LLVM."""
    found = importlib.util.find_spec("llvmlite")
    where = Path(found.origin).parent if found is not None and found.origin else Path("/")
    try:
        version = (where / "_version.py").read_text()
    except OSError:
        version = ""
    return f"{version} {_processor()} {platform.machine()} {platform.python_version()}"


def _processor() -> str:
    """The first processor's model and features, as Linux tells them."""
    wanted = ("vendor_id", "cpu family", "model\t", "model name", "flags", "Features", "CPU ")
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return platform.processor()
    return "\n".join(line for line in first.splitlines() if line.startswith(wanted))


def source_key(host: str) -> str:
    """A digest of everything that the compiled code depends on."""
    digest = hashlib.sha256(host.encode())
    root = Path(__file__).resolve().parent.parent
    for room in ("isa", "cpu"):
        for path in sorted((*(root / room).glob("*.py"), *(root / room).glob("*.txt"))):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def bundle_key(kind: str) -> str:
    """The name of a kind's bundle, and of the regions that fit it."""
    return f"{source_key(host_description())}-{kind}"


def bundle_path(kind: str) -> Path:
    """Where a kind's bundle is kept."""
    return cache_directory() / f"handlers-{bundle_key(kind)}.bin"


class Pending:
    """A build under way in another process, which gives one bundle after the other.

    ``progress`` hears of it until there is one to start with.
    """

    def __init__(self, kind: str, progress: Progress) -> None:
        self._progress: Progress | None = progress
        self._process = _start_builder(kind)

    def next(self) -> Bundle:
        """The next bundle, the last is complete.  Raises InternalError if the build failed."""
        pipe = self._process.stdout
        assert pipe is not None
        while True:
            try:
                message = pickle.load(pipe)
            except (EOFError, pickle.UnpicklingError) as error:
                raise InternalError("building the CPU engine failed") from error
            if isinstance(message, Bundle):
                self._progress = None
                if message.complete:
                    pipe.close()
                    self._process.wait()
                return message
            if self._progress is not None:
                self._progress(*message)


class Elsewhere:
    """A build that another lpar has started: its bundles come by the cache."""

    def __init__(self, kind: str, progress: Progress) -> None:
        self._kind, self._progress = kind, progress
        self._path, self._begun = bundle_path(kind), False

    def next(self) -> Bundle:
        """The next bundle.  Builds itself if the other ends without."""
        while True:
            found = read_bundle(self._path)
            if found is None and not self._begun:
                found = read_bundle(self._path.with_suffix(PART))
            if found is not None:
                self._begun = True
                return found
            if not being_built(self._path):
                return self._build()
            time.sleep(POLL)

    def _build(self) -> Bundle:
        pending = Pending(self._kind, self._progress)
        while not (made := pending.next()).complete and self._begun:
            pass
        self.next = pending.next  # type: ignore[method-assign]
        return made


def _start_builder(kind: str) -> subprocess.Popen[bytes]:
    """It has a session of its own: what ends us shall not end it, since the next run wants its result."""
    command = [sys.executable, "-m", "lpar.cpu.builder", kind]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=python_environment(),
        start_new_session=True,
    )


def python_environment() -> dict[str, str]:
    """For a Python of ours that finds this very package."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def load_bundle(kind: str, progress: Progress | None = None) -> tuple[Bundle, Pending | Elsewhere | None]:
    """A bundle to start with: the complete one from the cache, or the first part of one being built.

    Raises ModuleNotFoundError where LLVM is missing, HostError for a host that we make no code for,
    InternalError if the build fails.
    """
    found = read_bundle(bundle_path(kind))
    if found is not None:
        return found, None
    if importlib.util.find_spec("llvmlite") is None:
        raise ModuleNotFoundError("the CPU engine is built by llvmlite", name="llvmlite")
    if platform.machine() not in MACHINES:
        raise HostError(f"the CPU engine makes no code for {platform.machine()} hosts")
    report = progress or (lambda what, done, total: None)
    elsewhere = being_built(bundle_path(kind))
    pending = Elsewhere(kind, report) if elsewhere else Pending(kind, report)
    return pending.next(), pending


@contextlib.contextmanager
def build_lock(path: Path) -> Iterator[None]:
    """Tells others that the bundle is being built."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            path.with_suffix(LOCK).unlink(missing_ok=True)
            path.with_suffix(PART).unlink(missing_ok=True)
    except OSError:  # somebody else builds too, or there is no cache
        yield


def being_built(path: Path) -> bool:
    """Whether another process builds the bundle now."""
    try:
        with path.with_suffix(LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def read_bundle(path: Path) -> Bundle | None:
    """The bundle in a file; None if there is none or it is damaged."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        loaded = pickle.loads(data[32:])
        return loaded if isinstance(loaded, Bundle) and loaded.complete == (path.suffix != PART) else None
    except Exception:  # a damaged pickle may raise anything; the file is built anew
        return None


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Keep a bundle; a cache that cannot be written costs time only."""
    body, scratch = pickle.dumps(bundle), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
            scratch = Path(out.name)
            out.write(hashlib.sha256(body).digest() + body)
        os.replace(scratch, path)
        _prune(path)
    except OSError:
        if scratch is not None:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


def _prune(newest: Path) -> None:
    """Keep the few newest bundles, and the compiled regions that belong to them."""
    bundles = sorted(newest.parent.glob("handlers-*.bin"), key=lambda p: p.stat().st_mtime)
    for stale in bundles[:-KEPT_BUNDLES]:
        stale.unlink(missing_ok=True)
    kept = {p.stem.removeprefix("handlers-") for p in bundles[-KEPT_BUNDLES:]}
    for regions in newest.parent.glob("regions-*.db*"):
        if regions.name.removeprefix("regions-").split(".")[0] not in kept:
            regions.unlink(missing_ok=True)


def send(pipe: IO[bytes], message: Any) -> None:
    """To whoever waits for the build, if it still does."""
    with contextlib.suppress(OSError):
        pickle.dump(message, pipe)
        pipe.flush()
