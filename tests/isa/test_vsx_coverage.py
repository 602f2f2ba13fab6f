# SPDX-License-Identifier: GPL-2.0-only
"""The coverage page: made from binutils' tables, and each definition's ISA version checked against them."""

from __future__ import annotations

import functools
import shutil

import pytest

from lpar.isa import coverage

#: binutils counts these to POWER8; the ISA has them since 3.0
EARLY = {"vabsdub", "vabsduh", "vabsduw", "waitasec"}


@functools.cache
def measured() -> dict[str, coverage.Mnemonic]:
    if shutil.which(coverage.OBJDUMP) is None:
        pytest.skip(f"{coverage.OBJDUMP} is not installed")
    return coverage.measure()


def test_every_definition_names_the_isa_version_of_binutils() -> None:
    wrong = {
        (m.name, m.since, d.since)
        for m in measured().values()
        for d in m.decoded
        if d.since != m.since and m.name not in EARLY
    }
    assert not wrong


def test_what_every_guest_needs_is_defined() -> None:
    found = measured()
    needed = "add. ldx stdu bclrl lxvd2x lxvx stxvl xvmaddadp vperm lvx fmadd xxpermdi rfid tlbie paddi plxv"
    assert [n for n in needed.split() if not found[n].decoded] == []


def test_the_page_counts_and_lists() -> None:
    one = coverage.Mnemonic("foo", "3.0", [0])
    two = coverage.Mnemonic("icswx", "2.07", [0])
    page = coverage.render({"foo": one, "icswx": two})
    assert "| 3.0 | POWER9 | 1 | 0 | 1 |" in page
    assert "* other: `foo`" in page
    assert ": `icswx`" in page
