# SPDX-License-Identifier: GPL-2.0-only
"""Debian's ppc64el packages for the rig, with all that they depend on.

apt works on a state of its own that knows nothing as installed, so that it resolves the whole
closure and neither root nor a changed system is needed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lpar.errors import HostError

TRIES = 3


def fetch(names: Sequence[str], work: Path) -> list[Path]:
    """Download ``names`` and what they depend on into ``work``; the package files.  Raises HostError."""
    options = _private_state(work)
    get = ["apt-get", *options, "-q", "-y", "--no-install-recommends", "--download-only", "install", *names]
    for _ in range(TRIES):
        # Some index may fail and another do: what counts is whether the packages can be had.
        _run(["apt-get", *options, "-q", "update"])
        done = _run(get)
        if not done.returncode:
            return sorted((work / "cache" / "archives").glob("*.deb"))
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
    raise HostError(
        f"cannot fetch Debian's ppc64el packages: {lines[-1]}", hint="is the package mirror reachable?"
    )


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _private_state(work: Path) -> list[str]:
    """apt's directories in ``work``; the options that use them."""
    state, cache = work / "state", work / "cache"
    for directory in (state / "lists" / "partial", cache / "archives" / "partial"):
        directory.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": cache,
        "APT::Sandbox::User": "",
        "APT::Architecture": "ppc64el",
        "APT::Architectures::": "ppc64el",
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
