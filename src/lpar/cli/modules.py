# SPDX-License-Identifier: GPL-2.0-only
"""Kernel modules: what they say of themselves, and the files that modprobe reads.

A module's ``.modinfo`` section has ``key=value`` strings: ``depends`` and ``softdep`` name other
modules, ``alias`` what it is loaded for (Documentation/kbuild of Linux).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lpar.errors import HostError


@dataclass(frozen=True, slots=True)
class Module:
    """A module: ``path`` below the directory of its kernel's modules."""

    name: str
    path: str
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


def canonical(name: str) -> str:
    """Dashes and underscores are the same in names of modules."""
    return name.replace("-", "_")


def read(base: Path, file: Path) -> Module:
    """What a module file says.  Raises HostError if it is none."""
    info = list(_modinfo(file))
    depends = [name for key, value in info if key == "depends" for name in value.split(",") if name]
    aliases = tuple(value for key, value in info if key == "alias")
    name = canonical(file.stem)
    return Module(name, str(file.relative_to(base)), tuple(map(canonical, depends)), aliases)


def _modinfo(file: Path) -> Iterator[tuple[str, str]]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with file.open("rb") as stream:
            section = ELFFile(stream).get_section_by_name(".modinfo")
            data = section.data() if section is not None else b""
    except (OSError, ELFError) as error:
        raise HostError(f"{file.name} is no kernel module: {error}") from None
    for text in data.split(b"\0"):
        key, _, value = text.decode(errors="replace").partition("=")
        if key:
            yield key, value


def closure(wanted: Iterable[str], files: dict[str, Path], base: Path) -> list[Module]:
    """The wanted modules and all that they depend on, dependencies first.

    ``files`` maps canonical names to files.  Raises HostError for a wanted module that is not there;
    what is built into the kernel has no file and is left out where another depends on it.
    """
    found: dict[str, Module] = {}

    def add(name: str, *, needed: bool) -> None:
        if name in found:
            return
        if name not in files:
            if needed:
                raise HostError(f"the kernel has no module {name}")
            return
        module = read(base, files[name])
        for other in module.depends:
            add(other, needed=False)
        found[name] = module

    for name in wanted:
        add(canonical(name), needed=True)
    return list(found.values())


def dependencies(modules: Iterable[Module]) -> str:
    """``modules.dep``: each module's file, and those it needs, nearest first."""
    by_name = {module.name: module for module in modules}

    def needs(module: Module) -> Iterator[str]:
        for name in module.depends:
            if name in by_name:
                yield by_name[name].path
                yield from needs(by_name[name])

    lines = [" ".join([f"{module.path}:", *dict.fromkeys(needs(module))]) for module in by_name.values()]
    return "\n".join(lines) + "\n"


def aliases(modules: Iterable[Module]) -> str:
    """``modules.alias``."""
    lines = [f"alias {alias} {module.name}" for module in modules for alias in module.aliases]
    return "\n".join(lines) + "\n"
