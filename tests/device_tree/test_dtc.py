# SPDX-License-Identifier: GPL-2.0-only
"""dtc takes the tree; each of its warnings is explained here, any other fails."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lpar.papr.cpu_models import MODELS, CpuModel
from lpar.papr.device_tree import Description, build

pytestmark = pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed")

EXPLAINED = {
    "(unique_unit_address): /memory@0: duplicate unit-address": (
        "the reference names the interrupt controller interrupt-controller@0"
    ),
    "(avoid_unnecessary_addr_size): /ibm,platform-facilities": (
        "PAPR asks for the cells although no child has an address yet"
    ),
}


def warnings(blob: bytes, tmp_path: Path) -> list[str]:
    """dtc's messages about the blob.  Raises CalledProcessError if it does not take it."""
    path = tmp_path / "partition.dtb"
    path.write_bytes(blob)
    command = ["dtc", "-I", "dtb", "-O", "dts", "-o", str(tmp_path / "out.dts"), str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stderr.splitlines()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_dtc(full: Description, model: CpuModel, threads: int, tmp_path: Path) -> None:
    got = warnings(build(replace(full, model=model, threads=threads)), tmp_path)
    assert [line for line in got if not any(known in line for known in EXPLAINED)] == []
    assert all(any(known in line for line in got) for known in EXPLAINED)


def test_dtc_smallest(tmp_path: Path) -> None:
    got = warnings(build(Description(ram_size=16 << 20, vtys=())), tmp_path)
    left = [line for line in got if not any(known in line for known in EXPLAINED)]
    # With no terminal, /vdevice has no child with an address.
    assert all("avoid_unnecessary_addr_size): /vdevice" in line for line in left)


def test_dtc_reads_back_what_was_written(full: Description, tmp_path: Path) -> None:
    warnings(build(full), tmp_path)
    source = (tmp_path / "out.dts").read_text()
    assert (
        'compatible = "lpar,pseries\\0qemu,pseries"' in source or '"lpar,pseries", "qemu,pseries"' in source
    )
    assert "/memreserve/\t0x0000000003f00000 0x0000000000000014;" in source
