# SPDX-License-Identifier: GPL-2.0-only
"""Real programs: packages of Debian's ppc64el userland, fetched by the machine's own package client.

The packages are unpacked below ``/debian`` of an archive that is appended to the installer's initrd,
with the data that the rows work on in ``/debian/data``.  The index and the state of apt for the foreign
architecture are private, so that neither root nor a changed system is needed.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import build
from lpar import log
from lpar.cli import apt
from lpar.cli.cpio import Entry, archive, regular
from lpar.errors import HostError

PACKAGES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libzstd1", "dash", "libselinux1", "libpcre2-8-0"),
    *("gzip", "xz-utils", "liblzma5", "openssl", "libssl3"),
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1"),
    *("sqlite3", "libsqlite3-0", "libreadline8", "libtinfo6"),
    *("cpp-12", "libgmp10", "libmpfr6", "libmpc3", "libisl23"),
    *("binutils-powerpc64le-linux-gnu", "libbinutils", "libctf0", "libctf-nobfd0", "libjansson4"),
)
#: What no row needs: paths below the root, and everything under them.
UNWANTED = (
    *("usr/share", "usr/lib/python3.11/pydoc_data"),
    *("usr/lib/python3.11/distutils", "usr/lib/python3.11/lib2to3"),
    *("usr/bin/powerpc64le-linux-gnu-cpp-12", "usr/bin/powerpc64le-linux-gnu-dwp"),
    *("usr/bin/powerpc64le-linux-gnu-ld.gold", "usr/bin/powerpc64le-linux-gnu-gprof"),
    *("usr/lib/powerpc64le-linux-gnu/gconv", "usr/lib/gcc/powerpc64le-linux-gnu/12/plugin"),
)
ROOT = "debian"
TEXT_SIZE = 8 << 20
TRIES = 3
EMULATOR = "qemu-ppc64le-static"


def userland() -> Path:
    """The archive; fetched and made when the cache has none.  Raises HostError."""
    return build.kept("userland.cpio", [Path(__file__).read_bytes()], _make)


def additions() -> list[Entry]:
    """Our own programs and scripts, to be added to the archive.  Raises HostError."""
    scripts = sorted((build.SOURCES / "scripts").iterdir())
    entries = [regular(f"{ROOT}/data/{script.name}", script.read_bytes()) for script in scripts]
    entries.append(regular(f"{ROOT}/data/input.i", build.preprocessed("float.c")))
    return [*entries, regular(f"{ROOT}/bin/lparbench", build.lparbench().read_bytes(), 0o755)]


def _make(to: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lpar-userland-") as work:
        root = Path(work) / ROOT
        root.mkdir()
        for deb in _packages(Path(work)):
            apt.unpack(deb, root)
        for unwanted in UNWANTED:
            _remove(root / unwanted)
        _local_links(root)
        _add_data(root)
        to.write_bytes(archive(_entries(Path(work), root)))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _packages(work: Path) -> list[Path]:
    """Fetch all packages.  Raises HostError."""
    options = _foreign_index(work)
    words = ["apt-get", *options, "-q", "download", *PACKAGES]
    log.info(f"fetching {len(PACKAGES)} packages of Debian for ppc64el (30 MB)")
    for _ in range(TRIES):
        done = _apt(words, work)
        found = sorted(work.glob("*.deb"))
        if done.returncode == 0 and len(found) == len(PACKAGES):
            return found
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no packages"]
    hint = "is the package mirror reachable?"
    raise HostError(f"cannot fetch Debian's ppc64el packages: {lines[-1]}", hint=hint)


def _apt(words: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=where, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _foreign_index(work: Path) -> list[str]:
    """Make apt's state for ppc64el in ``work``; the options that use it.

    A source that fails or knows no ppc64el is left out: what counts is that the packages can be had.
    """
    state, cache = work / "apt-state", work / "apt-cache"
    for directory in (state / "lists" / "partial", cache / "archives" / "partial"):
        directory.mkdir(parents=True)
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
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for _ in range(TRIES):
        words = ["apt-get", *options, "-q", "update"]
        if not _apt(words, work).returncode:
            break
    return options


def _local_links(root: Path) -> None:
    """Absolute links (of the loader, for one) become relative: the tree works wherever it stands."""
    for path in root.rglob("*"):
        if path.is_symlink() and (target := os.readlink(path)).startswith("/"):
            path.unlink()
            path.symlink_to(os.path.relpath(root / target[1:], path.parent))


def _add_data(root: Path) -> None:
    """What the rows read that takes long to make: text, the same compressed, a key."""
    data = root / "data"
    data.mkdir()
    (root / "tmp").mkdir(exist_ok=True)
    text = _text(root)
    (data / "text").write_bytes(text)
    (data / "half").write_bytes(text[: TEXT_SIZE // 2])
    (data / "text.gz").write_bytes(gzip.compress(text, 6, mtime=0))
    (data / "text.xz").write_bytes(lzma.compress(text, preset=3))
    openssl = [EMULATOR, "-L", str(root), str(root / "usr/bin/openssl")]
    build.run([*openssl, "genrsa", "-out", str(data / "key.pem"), "2048"])


def _text(root: Path) -> bytes:
    """The library of the guest's Python, as much as we want of it.  Raises HostError if it is too short."""
    files = sorted((root / "usr/lib/python3.11").rglob("*.py"))
    text = b"".join(file.read_bytes() for file in files if file.is_file())[:TEXT_SIZE]
    if len(text) < TEXT_SIZE:
        raise HostError(f"Debian's Python library has only {len(text)} bytes of text")
    return text


def _entries(base: Path, root: Path) -> Iterator[Entry]:
    """All of ``root``, parents first."""
    yield _entry(base, root)
    for path in sorted(root.rglob("*")):
        yield _entry(base, path)


def _entry(base: Path, path: Path) -> Entry:
    name, mode = str(path.relative_to(base)), path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return Entry(name, mode, os.readlink(path).encode())
    if stat.S_ISREG(mode):
        return regular(name, path.read_bytes(), stat.S_IMODE(mode))
    return Entry(name, stat.S_IFDIR | 0o755)
