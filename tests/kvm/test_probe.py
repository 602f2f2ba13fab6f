# SPDX-License-Identifier: GPL-2.0-only
"""Which host will do, and what is said of one that will not."""

from __future__ import annotations

import errno
import platform
from pathlib import Path

import pytest
from tests.kvm.fake_kvm import HV, FakeKernel

from lpar import accel
from lpar.accel import kvm_probe
from lpar.errors import HostError


@pytest.fixture(autouse=True)
def power(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "ppc64le")


def problem(kernel: FakeKernel) -> str:
    return kvm_probe.obstacle(kernel)  # type: ignore[arg-type]


def test_good_host(hv: FakeKernel) -> None:
    assert problem(hv) == ""
    assert set(hv.fds.values()) == {"closed"}


def test_x86(hv: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its /dev/kvm is not even opened."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert problem(hv) == "no KVM for POWER guests on x86_64"
    assert not hv.fds


def test_no_permission(hv: FakeKernel) -> None:
    hv.open_error = errno.EACCES
    assert problem(hv).startswith("no permission to use /dev/kvm (group ")


@pytest.mark.parametrize(
    ("loaded", "built", "text"),
    [
        ((), ("kvm-hv.ko",), "module kvm_hv is not loaded (modprobe kvm_hv)"),
        ((), ("kvm-pr.ko.xz",), "module kvm_pr is not loaded (modprobe kvm_pr)"),
        (("kvm_hv",), (), "module kvm_hv found no virtualization that it can use"),
        ((), (), "this kernel has neither module kvm_hv nor kvm_pr"),
    ],
)
def test_no_device(
    hv: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    loaded: tuple[str, ...],
    built: tuple[str, ...],
    text: str,
) -> None:
    for name in loaded:
        (tmp_path / "sys" / name).mkdir(parents=True)
    for name in built:
        (tmp_path / "modules/kernel").mkdir(parents=True)
        (tmp_path / "modules/kernel" / name).touch()

    def path(first: str, *rest: str) -> Path:
        return tmp_path.joinpath("sys", *rest) if first.startswith("/sys") else tmp_path / "modules"

    monkeypatch.setattr(kvm_probe, "Path", path)
    hv.open_error = errno.ENOENT
    assert problem(hv) == f"no /dev/kvm: {text}"


def test_without_papr() -> None:
    assert problem(FakeKernel({**HV, 68: 0})).startswith("KVM without PAPR")


def test_other_interface(hv: FakeKernel) -> None:
    hv.api_version = 11
    assert problem(hv) == "KVM speaks version 11 of its interface, not 12"


def test_machine_refused(hv: FakeKernel) -> None:
    hv.refuse["CREATE_VM"] = errno.ENODEV
    assert problem(hv).startswith("KVM makes no machine: No such device")


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "no_kvm", lambda: "")
    assert accel.choose("auto") == accel.Choice("kvm", "this host has it")
    assert accel.choose("kvm", irqchip="user") == accel.Choice("kvm", kernel_irqs=False)
    monkeypatch.setattr(accel, "no_kvm", lambda: "no /dev/kvm: nothing")
    with pytest.raises(HostError, match="--accel kvm: no /dev/kvm: nothing") as info:
        accel.choose("kvm")
    assert info.value.hint == "use --accel auto or jit"
