# SPDX-License-Identifier: GPL-2.0-only
"""Which accelerator runs a guest, and what is said about it."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lpar import accel
from lpar.config import ACCELERATORS, MachineConfig
from lpar.cpu import build
from lpar.cpu.engine import Code
from lpar.errors import ConfigError, HostError
from lpar.machine.machine import Machine


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host that runs compiled regions; its ``arena`` and ``no_arena`` can be changed."""
    code = SimpleNamespace(arena=object(), no_arena="")
    monkeypatch.setattr(Code, "get", lambda progress=None, kind="": code)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return code


def without_memory(host: SimpleNamespace) -> None:
    host.arena, host.no_arena = None, "the host gives no executable memory: Permission denied"


def test_every_name_is_known(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "no_kvm", lambda: "")
    assert [accel.choose(name).name for name in ACCELERATORS] == ["kvm", "kvm", "jit", "interp"]


def test_what_the_user_chose_needs_no_reason(host: SimpleNamespace) -> None:
    assert accel.choose("jit").why == accel.choose("interp").why == ""


def test_auto_says_why(host: SimpleNamespace) -> None:
    assert accel.choose("auto") == accel.Choice("jit", "no KVM for POWER guests on x86_64")


@pytest.mark.parametrize(("machine", "kind"), [("x86_64", build.UNITS), ("aarch64", build.HANDLERS)])
def test_code_is_of_the_host_s_kind(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, machine: str, kind: str
) -> None:
    """arm64 compiles regions, and has no units: their code is never built there."""
    asked = []
    monkeypatch.setattr(Code, "get", lambda progress=None, kind="": asked.append(kind) or host)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert accel.choose("auto").name == "jit"
    assert asked == [kind]


def test_a_host_that_no_code_is_made_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(HostError, match="no code for riscv64 hosts"):
        build.load_bundle(build.HANDLERS)


def test_auto_falls_back(host: SimpleNamespace) -> None:
    without_memory(host)
    chosen = accel.choose("auto")
    assert chosen.name == "interp"
    assert chosen.why == f"no KVM for POWER guests on x86_64; {host.no_arena}"


def test_auto_on_power(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A POWER host without KVM runs the engine, and says what is missing."""
    monkeypatch.setattr(accel, "no_kvm", lambda: "no /dev/kvm: module kvm_hv is not loaded")
    assert accel.choose("auto") == accel.Choice("jit", "no /dev/kvm: module kvm_hv is not loaded")


def test_without_llvmlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's ppc64el has no llvmlite: KVM or nothing."""
    monkeypatch.setattr(accel, "no_kvm", lambda: "no /dev/kvm: nothing there")
    monkeypatch.setitem(sys.modules, "lpar.accel.soft", None)
    with pytest.raises(HostError, match=r"nothing there; no \S+ for the CPU engine"):
        accel.choose("auto")


def test_jit_that_cannot_be_had(host: SimpleNamespace) -> None:
    without_memory(host)
    with pytest.raises(HostError, match="--accel jit: the host gives no executable memory") as info:
        accel.choose("jit")
    assert info.value.hint == "use --accel interp or auto"
    assert accel.choose("interp").name == "interp"


def test_unknown() -> None:
    with pytest.raises(ConfigError, match="no accelerator warp"):
        accel.choose("warp")


def test_a_host_without_executable_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine itself finds out."""

    def refuse(near: int, size: int = 0) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(
        build, "load_bundle", lambda kind, progress: (build.Bundle(decode=b"0", prefix=b"0"), None)
    )
    monkeypatch.setattr("lpar.cpu.engine.Arena", refuse)
    code = Code(build.UNITS, None)
    assert (code.arena, code.no_arena) == (
        None,
        "the host gives no executable memory: Operation not permitted",
    )


@pytest.mark.parametrize(("name", "said"), [("auto", True), ("jit", False), ("interp", False)])
def test_what_is_said(
    host: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    said: bool,
) -> None:
    """One line for ``auto``, none for what the user chose; the choice is made once."""
    monkeypatch.setattr(accel.Choice, "make", lambda self, progress=None: self)
    machine = Machine(MachineConfig(kernel="vmlinux", accel=name))
    assert machine._choose() is machine._choose()
    machine._say_choice()
    expected = "lpar: accelerator jit: no KVM for POWER guests on x86_64\n"
    assert capsys.readouterr().err == (expected if said else "")
