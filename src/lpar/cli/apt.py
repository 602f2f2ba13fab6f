# SPDX-License-Identifier: GPL-2.0-only
"""Fetching one Debian package without installing it: ``apt-get download`` and ``dpkg-deb -x``.

The system's package index is used when it knows the package; otherwise a private index is made in
the working directory, so that neither root nor a changed system is needed.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from lpar import log
from lpar.errors import HostError
from lpar.units import human_size

TRIES = 3
_POLL = 0.1  #: seconds between two looks at the growing file


def download(package: str, work: Path) -> Path:
    """Fetch ``package`` into ``work`` and return the ``.deb``.  Raises HostError."""
    _need("apt-get")
    problem: HostError | None = None
    for index in (_system_index, _private_index):  # the system's may be missing, or older than the mirror
        options = index(work)
        size = _available(package, options, work)
        try:
            if size is not None:
                return _download(package, options, work, size)
        except HostError as err:
            problem = err
    hint = "the package sources of this machine must offer Debian 12 (bookworm) main"
    raise problem or HostError(f"no package {package} to be had", hint=hint)


def unpack(deb: Path, into: Path) -> None:
    """Unpack the files of ``deb`` below ``into``.  Raises HostError."""
    _need("dpkg-deb")
    done = _run(["dpkg-deb", "-x", str(deb), str(into)], into)
    if done.returncode:
        raise HostError(f"cannot unpack {deb.name}: {_last_line(done)}")


def _need(program: str) -> None:
    if shutil.which(program) is None:
        hint = "on other systems give a kernel and an initrd of your own: lpar run -k FILE -i FILE"
        raise HostError(f"no {program} on this machine, which fetching a Debian guest needs", hint=hint)


def _run(words: Sequence[str], where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=where, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"status {done.returncode}"


def _available(package: str, options: Sequence[str], work: Path) -> int | None:
    """The package's size in bytes, None when the index does not know it.

    ``--print-uris`` answers one line: 'URI' file size hash.
    """
    done = _run(["apt-get", *options, "download", "--print-uris", package], work)
    words = done.stdout.split()
    if done.returncode or len(words) < 3 or not words[2].isdigit():
        return None
    return int(words[2])


def _system_index(work: Path) -> list[str]:
    """No options: the index as the machine has it."""
    return []


def _private_index(work: Path) -> list[str]:
    """Make a package index of our own; returns the options that use it."""
    state, cache = work / "apt-state", work / "apt-cache"
    for directory in (state / "lists" / "partial", cache / "archives" / "partial"):
        directory.mkdir(parents=True)
    options = ["-o", f"Dir::State={state}", "-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User="]
    log.info("fetching the package index")
    for left in reversed(range(TRIES)):
        done = _run(["apt-get", *options, "-q", "update"], work)
        if done.returncode == 0 or not left:
            break
        log.info(f"apt-get update failed, trying again: {_last_line(done)}")
    return options


def _download(package: str, options: Sequence[str], work: Path, size: int) -> Path:
    words = ["apt-get", *options, "-q", "download", package]
    for left in reversed(range(TRIES)):
        with _progress(f"fetching {package}", work, size):
            done = _run(words, work)
        found = sorted(work.glob("*.deb"))
        if done.returncode == 0 and found:
            return found[0]
        if left:
            log.info(f"apt-get download failed, trying again: {_last_line(done)}")
    raise HostError(f"cannot fetch {package}: {_last_line(done)}", hint="is the package mirror reachable?")


@contextlib.contextmanager
def _progress(title: str, work: Path, size: int) -> Iterator[None]:
    """A progress bar on a terminal, one line elsewhere, nothing with ``--quiet``."""
    if log.level() == log.Level.QUIET or not sys.stderr.isatty():
        log.info(f"{title} ({human_size(size)})")
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("lpar: {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=size)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_POLL):
                progress.update(task, completed=min(size, _fetched(work)))

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            progress.update(task, completed=min(size, _fetched(work)))


def _fetched(work: Path) -> int:
    """Bytes of package files in ``work``; they come and go while apt-get runs."""
    total = 0
    for path in work.glob("*.deb*"):
        try:
            total += path.stat().st_size
        except OSError:
            pass
    return total


class Foreign:
    """Packages of another architecture: an index and a state of its own in ``where``, no root needed.

    A source that fails or does not know the architecture is left out: what counts is that the packages
    can be had.
    """

    def __init__(self, where: Path, architecture: str) -> None:
        self._where = where
        self._updated = False
        settings = {
            "Dir::State": where / "state",
            "Dir::State::status": where / "state" / "status",
            "Dir::Cache": where / "cache",
            "APT::Sandbox::User": "",
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "Acquire::Languages": "none",
        }
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def show(self, package: str, field: str) -> str:
        """A field of the newest version's record.  Raises HostError when there is no such package."""
        self._update()
        done = _run(["apt-cache", *self._options, "show", "--no-all-versions", package], self._where)
        for line in done.stdout.splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
        hint = "the package sources of this machine must offer Debian 12 (bookworm) main"
        raise HostError(f"no package {package} to be had", hint=hint)

    def fetch(self, packages: Sequence[str], into: Path) -> list[Path]:
        """Download packages into a directory; their files, sorted by name.  Raises HostError."""
        self._update()
        words = ["apt-get", *self._options, "-q", "download", *packages]
        for left in reversed(range(TRIES)):
            done = _run(words, into)
            found = sorted(into.glob("*.deb"))
            if done.returncode == 0 and len(found) >= len(packages):
                return found
            if left:
                log.info(f"apt-get download failed, trying again: {_last_line(done)}")
        raise HostError(
            f"cannot fetch {packages[0]}: {_last_line(done)}", hint="is the package mirror reachable?"
        )

    def closure(self, wanted: Sequence[str]) -> list[Path]:
        """The packages ``wanted`` (names or apt's patterns) and all they depend on, from the cache.

        What the cache has is not fetched again.  Raises HostError.
        """
        self._update()
        options = [*self._options, "-o", "APT::Install-Recommends=false", "-y", "-q"]
        listed = _run(["apt-get", *options, "--print-uris", "install", *wanted], self._where)
        lines = [line.split() for line in listed.stdout.splitlines() if line.startswith("'")]
        if listed.returncode:
            hint = "the package sources of this machine must offer Debian 12 (bookworm) main"
            raise HostError(f"cannot choose packages: {_last_line(listed)}", hint=hint)
        archives = self._where / "cache" / "archives"
        size = sum(int(words[2]) for words in lines)
        for left in reversed(range(TRIES if lines else 0)):
            with _progress(f"fetching {len(lines)} packages", archives / "partial", size):
                done = _run(["apt-get", *options, "--download-only", "install", *wanted], self._where)
            if done.returncode == 0:
                break
            if not left:
                raise HostError(
                    f"cannot fetch packages: {_last_line(done)}", hint="is the package mirror reachable?"
                )
            log.info(f"apt-get failed, trying again: {_last_line(done)}")
        return self._installable(options, wanted)

    def _installable(self, options: Sequence[str], wanted: Sequence[str]) -> list[Path]:
        """The files of all chosen packages: apt's simulation names them with their versions."""
        done = _run(["apt-get", *options, "--simulate", "install", *wanted], self._where)
        archives = self._where / "cache" / "archives"
        found = []
        for line in done.stdout.splitlines():
            match = re.match(r"Inst (\S+) \((\S+) .*\[(\w+)\]\)", line)
            if match:
                version = match[2].replace(":", "%3a")
                found.append(archives / f"{match[1].partition(':')[0]}_{version}_{match[3]}.deb")
        missing = [path.name for path in found if not path.is_file()]
        if missing or not found:
            raise HostError(f"apt-get did not fetch {missing[0] if missing else 'anything'}")
        return found

    def sources(self) -> list[str]:
        """Lines for the guest's list of sources: where this index is from, Debian's own only."""
        form = "$(ORIGIN)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
        words = ["apt-get", *self._options, "indextargets", "--format", form, "Created-By: Packages"]
        lines = _run(words, self._where).stdout.splitlines()
        return list(
            dict.fromkeys(text for origin, _, text in (x.partition("|") for x in lines) if origin == "Debian")
        )

    def _update(self) -> None:
        """Fetch the index, once."""
        if self._updated:
            return
        _need("apt-get")
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (self._where / directory).mkdir(parents=True, exist_ok=True)
        (self._where / "state" / "status").touch()
        log.info("fetching the package index for the guest")
        for _ in range(TRIES):
            if _run(["apt-get", *self._options, "-q", "update"], self._where).returncode == 0:
                break
        self._updated = True
