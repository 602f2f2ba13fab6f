# SPDX-License-Identifier: GPL-2.0-only
"""A flat archive of Debian's packages, made of what the host's package client fetches into lpar's cache."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from lpar.cli import apt
from lpar.cli.debian import ARCHITECTURE
from lpar.cli.guests import cache_dir


def make(site: Path, packages: Sequence[str]) -> None:
    """Put ``packages`` and all that they depend on into the folder ``site``, with an index for apt."""
    index = apt.Foreign(cache_dir() / f"apt-{ARCHITECTURE}", ARCHITECTURE)
    entries = []
    for deb in index.closure(packages):
        os.symlink(deb, site / deb.name)
        entries.append(entry(deb))
    (site / "Packages.gz").write_bytes(gzip.compress("\n".join(entries).encode()))


def entry(deb: Path) -> str:
    """A package's part of the index."""
    control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
    size, digest = deb.stat().st_size, hashlib.sha256(deb.read_bytes()).hexdigest()
    return f"{control}Filename: ./{deb.name}\nSize: {size}\nSHA256: {digest}\n"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve the folder on the host's loopback; its address in the guest's user network."""
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://10.0.2.2:{server.server_port}"
    server.shutdown()
    server.server_close()
