# SPDX-License-Identifier: GPL-2.0-only
"""``--profile`` of a real kernel: its functions by name, called by those that call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.guest.conftest import Boot


def test_profile_of_a_boot(boot: Boot, tmp_path: Path) -> None:
    shell = boot("--profile", f"{tmp_path}/", "-c", "2").ready()
    assert shell.power_off() == 0
    made = json.loads((tmp_path / "profile.speedscope.json").read_text())
    frames = [frame["name"] for frame in made["shared"]["frames"]]
    guest, engine = made["profiles"]
    stacks = [[frames[n] for n in sample] for sample in guest["samples"]]
    starting = [stack for stack in stacks if "start_kernel" in stack]
    assert starting
    assert all(stack.index("start_here_common") < stack.index("start_kernel") for stack in starting)
    assert any("process" in stack[0] for stack in stacks)
    assert sum(engine["weights"]) > 500, "milliseconds"
    assert "<svg" in (tmp_path / "profile.svg").read_text()
    assert "lpar: compiling " in shell.session.stderr, "even if there was nothing to compile"
