# SPDX-License-Identifier: GPL-2.0-only
"""Root file systems that ``lpar setup`` made: where they are, and the machines that run on them.

Each is a directory ``$XDG_DATA_HOME/lpar/roots/NAME`` (by default below ``~/.local/share``) with
``root``, a folder served over 9p with mapped ids, or ``disk.img``; and ``state.json``, which says how
far its set-up is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpar import log
from lpar.cli import kernels
from lpar.config import MachineConfig
from lpar.errors import ConfigError

TAG = "root"
MOUNT = "cache=loose,msize=1048576"  #: how the guest mounts its root: nobody else changes it meanwhile
READY = "ready"
LABEL = "lpar-root"


@dataclass(frozen=True, slots=True)
class Root:
    """One root file system."""

    name: str
    where: Path

    @property
    def folder(self) -> Path:
        """The root as a folder."""
        return self.where / "root"

    @property
    def image(self) -> Path:
        """The root as a disk image."""
        return self.where / "disk.img"

    def state(self) -> dict[str, Any]:
        """What ``state.json`` says; empty when there is none."""
        try:
            return dict(json.loads((self.where / "state.json").read_text()))
        except (OSError, ValueError):
            return {}

    def set_state(self, **values: Any) -> None:
        """Change some of it.  The file is replaced at once, so it is never half written."""
        fresh = self.where / "state.json.new"
        fresh.write_text(json.dumps({**self.state(), **values}, indent=2) + "\n")
        fresh.replace(self.where / "state.json")

    @property
    def kind(self) -> str:
        """How the guest gets it."""
        return "disk" if self.image.exists() else "9p"

    @property
    def is_ready(self) -> bool:
        """Whether its set-up is done."""
        return self.state().get("stage") == READY


def base_dir() -> Path:
    """Where root file systems are."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(base) / "lpar" / "roots"


def all_roots() -> list[Root]:
    """All there are, by name."""
    try:
        names = sorted(path.name for path in base_dir().iterdir() if path.is_dir())
    except OSError:
        return []
    return [Root(name, base_dir() / name) for name in names]


def find(name: str) -> Root:
    """The root called ``name``, set up.  Raises ConfigError."""
    root = Root(name, base_dir() / name)
    if not root.is_ready:
        what = "is not set up to its end" if root.where.exists() else "is not set up"
        raise ConfigError(f"no guest {name!r}: it {what}", hint=f"lpar setup debian {name}")
    return root


def is_name(text: str) -> bool:
    """Whether a bare argument can mean a root, and does not mean a file."""
    return "/" not in text and not os.path.isfile(text) and (base_dir() / text).is_dir()


@contextlib.contextmanager
def in_use(root: Root, *, shared: bool = False) -> Iterator[None]:
    """Hold a root: one guest that writes, or several that do not.  Raises ConfigError."""
    with (root.where / "lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for its end, or make another root: lpar setup debian NAME"
            raise ConfigError(f"{root.name} is in use by another guest", hint=hint) from None
        yield


def machine(
    root: Root, *, init: str | None = None, quiet: bool = False, read_only: bool = False
) -> MachineConfig:
    """The machine that boots ``root``, by Debian's kernel, without a network.  Raises HostError."""
    kernel = kernels.debian_kernel()
    words = [kernel.params, "ro" if read_only else "rw"]
    if root.kind == "9p":
        words += [f"root={TAG}", "rootfstype=9p", f"rootflags={MOUNT}"]
    else:
        words += [f"root=LABEL={LABEL}", "rootfstype=ext4"]
    if quiet:
        words.append("quiet loglevel=1")
    if init:
        words.append(f"init={init}")
    return MachineConfig(
        kernel=str(kernel.kernel),
        initrd=str(kernel.initrd),
        params=" ".join(words),
        shares=(f"{root.folder},{TAG},mapped" + ",ro" * read_only,) if root.kind == "9p" else (),
        disks=(str(root.image).replace(",", ",,") + ",ro" * read_only,) if root.kind == "disk" else (),
    )


def default_network() -> tuple[str, ...]:
    """User networking where its library is, none elsewhere."""
    from lpar.backend import libslirp

    try:
        libslirp.load()
    except ConfigError as err:
        log.warning(f"no network: {err.message}")
        return ()
    return ("user",)
