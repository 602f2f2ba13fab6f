# SPDX-License-Identifier: GPL-2.0-only
"""What is read out of kernel modules, and what modprobe is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lpar.cli import modules
from lpar.errors import HostError


def make(base: Path, name: str, *info: str) -> Path:
    """An object file with a ``.modinfo`` section, made by the cross assembler."""
    file = base / f"{name}.ko"
    text = '.section .modinfo,"a"\n' + "".join(f'.asciz "{line}"\n' for line in info)
    subprocess.run(["powerpc64le-linux-gnu-as", "-o", file, "-"], input=text.encode(), check=True)
    return file


def test_dependencies_come_first(tmp_path: Path) -> None:
    files = {
        "a_b": make(tmp_path, "a-b", "depends=c,builtin", "alias=virtio:d00000002v*", "license=GPL"),
        "c": make(tmp_path, "c", "depends=d"),
        "d": make(tmp_path, "d", "depends="),
        "other": make(tmp_path, "other"),
    }
    found = modules.closure(["a-b"], files, tmp_path)
    assert [module.name for module in found] == ["d", "c", "a_b"]
    assert modules.dependencies(found) == "d.ko:\nc.ko: d.ko\na-b.ko: c.ko d.ko\n"
    assert modules.aliases(found) == "alias virtio:d00000002v* a_b\n"


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no module nothing"):
        modules.closure(["nothing"], {}, tmp_path)


def test_a_file_that_is_no_module(tmp_path: Path) -> None:
    (tmp_path / "x.ko").write_bytes(b"no ELF file")
    with pytest.raises(HostError, match=r"x\.ko is no kernel module"):
        modules.closure(["x"], {"x": tmp_path / "x.ko"}, tmp_path)
