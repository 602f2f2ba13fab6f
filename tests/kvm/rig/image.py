# SPDX-License-Identifier: GPL-2.0-only
"""The rig's initramfs: Debian's Python, pytest, QEMU and KVM modules for ppc64el, lpar and its guest.

Two archives, one behind the other: what comes from packages is kept in the cache, what comes from
this tree is made anew each time.  Neither is compressed: the emulated host would take longer to
unpack them.
"""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from tests.kvm.rig import packages

from lpar import log
from lpar.cli import apt
from lpar.cli.cpio import Entry, append_to, archive, regular
from lpar.cli.guests import Guest, cache_dir
from lpar.errors import HostError

TREE = Path(__file__).resolve().parents[3]
KERNEL = "linux-image-6.1.0-50-powerpc64le"
WANTED = ("python3-minimal", "libpython3.11-stdlib", "python3-pytest", "busybox-static", "qemu-system-ppc")
FORMAT = 1  #: of what is kept in the cache; count up when it is made otherwise
BYTECODE = "cpython-311"  #: of Debian 12
MODULES = ("kvm.ko", "kvm-hv.ko")
PROGRAMS = ("usr/bin/python3.11", "usr/bin/qemu-system-ppc64", "bin/busybox")
#: Whole directories that go in, below the root of the unpacked packages.
TREES = ("usr/lib/python3.11", "usr/lib/python3/dist-packages")
FILES = ("usr/share/qemu/slof.bin",)
UNWANTED = ("test", "pydoc_data", "distutils", "lib2to3", "__pycache__", "ensurepip", "idlelib", "tkinter")
LIBRARIES = ("lib/powerpc64le-linux-gnu", "usr/lib/powerpc64le-linux-gnu", "lib", "usr/lib")
LOADER = "lib64/ld64.so.2"


def build(guest: Guest, to: Path, added: Sequence[Path] = ()) -> None:
    """Write the initramfs; ``added`` files go to /added.  Raises HostError when its parts cannot be had."""
    extra = [regular(f"added/{path.name}", path.read_bytes(), 0o755) for path in added]
    own = [
        *_directories([Path("added/x")]),
        *extra,
        *_tree(),
        *_guest(guest),
        regular("init", (TREE / "tests/kvm/rig/init.sh").read_bytes(), 0o755),
    ]
    to.write_bytes(append_to(_base().read_bytes(), own))


def _base() -> Path:
    """The part that comes from packages; made when the cache has none of this kind."""
    parts = (FORMAT, KERNEL, WANTED, MODULES, PROGRAMS, TREES, FILES, UNWANTED, sys.implementation.cache_tag)
    kind = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    where = cache_dir().parent / "rig" / f"base-{kind}.cpio"
    if not where.is_file():
        where.parent.mkdir(parents=True, exist_ok=True)
        for old in where.parent.glob("base-*.cpio"):
            old.unlink()
        with tempfile.TemporaryDirectory(prefix="rig.", dir=where.parent) as work:
            fresh = Path(work) / where.name
            fresh.write_bytes(archive(_from_packages(Path(work))))
            fresh.rename(where)
    return where


def _from_packages(work: Path) -> Iterator[Entry]:
    root = work / "root"
    root.mkdir()
    log.info("fetching Debian's ppc64el packages for the rig (110 MB)")
    for deb in packages.fetch([KERNEL, *WANTED], work):
        apt.unpack(deb, root)
    chosen = set(_chosen(root))
    chosen |= _libraries(root, chosen)
    yield from _directories(_and_bytecode(path.relative_to(root) for path in chosen))
    for path in sorted(chosen):
        yield from _file(root, path)
    for name, target in (("usr/bin/python3", "python3.11"), ("bin/sh", "busybox"), (LOADER, _loader(root))):
        yield Entry(name, stat.S_IFLNK | 0o777, target.encode())
    for name in MODULES:
        yield regular(f"modules/{name}", _one(root.rglob(name), name).read_bytes())


def _chosen(root: Path) -> Iterator[Path]:
    """What goes in for its own sake; links are followed when they are read."""
    for name in (*PROGRAMS, *FILES):
        yield _one([root / name], name)
    for tree in TREES:
        for path in (root / tree).rglob("*"):
            if path.is_file() and not set(path.relative_to(root / tree).parts) & set(UNWANTED):
                yield path


def _one(paths: Iterable[Path], name: str) -> Path:
    for path in paths:
        if path.exists():
            return path
    raise HostError(f"Debian's packages have no {name}")


def _libraries(root: Path, programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs and modules need, and those that these need."""
    found: set[Path] = set()
    todo = [path for path in programs if path.suffix != ".py"]
    while todo:
        for name in _needed(todo.pop()):
            path = _one([root / where / name for where in LIBRARIES], name)
            if path not in found:
                found.add(path)
                todo.append(path)
    return found


def _needed(path: Path) -> list[str]:
    with path.open("rb") as file:
        try:
            dynamic = ELFFile(file).get_section_by_name(".dynamic")
        except ELFError:
            return []
        return [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")] if dynamic else []


def _loader(root: Path) -> str:
    where = _one([root / directory / "ld64.so.2" for directory in LIBRARIES], "ld64.so.2")
    return "/" + str(where.relative_to(root))


def _directories(paths: Iterable[Path]) -> Iterator[Entry]:
    """Entries for all directories above ``paths``, parents first."""
    above = {parent for path in paths for parent in path.parents if parent != Path()}
    fixed = map(Path, ("bin", "dev", "lib64", "modules", "proc", "run", "sys", "tmp", "usr", "usr/bin"))
    for path in sorted(above | set(fixed)):
        yield Entry(str(path), stat.S_IFDIR | 0o755)


def _file(root: Path, path: Path) -> Iterator[Entry]:
    """A file under its name; a link's target is read in its place."""
    permissions = stat.S_IMODE(path.stat().st_mode)
    yield from _with_bytecode(path.relative_to(root), path, permissions)


def _with_bytecode(name: Path, path: Path, permissions: int = 0o644) -> Iterator[Entry]:
    """A file; a Python module with its compiled form, if our Python is the rig's.

    The emulated host would need half a minute to compile what one run of lpar imports.
    """
    yield regular(str(name), path.read_bytes(), permissions)
    if path.suffix == ".py" and sys.implementation.cache_tag == BYTECODE:
        with tempfile.NamedTemporaryFile() as made:
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            if py_compile.compile(str(path), made.name, f"/{name}", quiet=2, invalidation_mode=mode):
                compiled = name.parent / "__pycache__" / f"{name.stem}.{BYTECODE}.pyc"
                yield regular(str(compiled), Path(made.name).read_bytes())


def _and_bytecode(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield path
        if path.suffix == ".py":
            yield path.parent / "__pycache__" / "x"


def _tree() -> Iterator[Entry]:
    """lpar and the tests that run in the rig."""
    files = list(TREE.glob("src/lpar/**/*.py"))
    for where in ("tests/conftest.py", "tests/kvm/**/*.py", "tests/guest/*.py"):
        files += TREE.glob(where)
    names = {file: Path("lpar") / file.relative_to(TREE) for file in files}
    names[TREE / "tests/kvm/rig/pytest.ini"] = Path("lpar/pytest.ini")  # above pyproject.toml's
    yield from _directories(_and_bytecode(names.values()))
    for file, name in sorted(names.items()):
        yield from _with_bytecode(name, file)


def _guest(guest: Guest) -> Iterator[Entry]:
    """The guest, where ``lpar boot debian`` looks for it; the manifest fits times that cpio has not."""
    where = Path("root/.cache/lpar/guests") / guest.kernel.parent.name
    yield from _directories([where / "x"])
    manifest = json.loads((guest.kernel.parent / "manifest.json").read_text())
    for name, told in manifest["files"].items():
        told["mtime_ns"] = 0
        yield regular(str(where / name), (guest.kernel.parent / name).read_bytes())
    yield regular(str(where / "manifest.json"), json.dumps(manifest).encode())


def size_of(path: Path) -> str:
    """For people."""
    return f"{os.stat(path).st_size >> 20} MiB"
