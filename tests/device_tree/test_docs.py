# SPDX-License-Identifier: GPL-2.0-only
"""docs/design/device-tree.md names every property of the tree, and no other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from lpar.papr.device_tree import Description, tree

PAGE = Path(__file__).parents[2] / "docs" / "design" / "device-tree.md"


def test_the_page_has_every_property(full: Description) -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    built = {name for _, node in tree(replace(full, threads=2)).root.walk() for name in node.props}
    assert built - set(full.rtas_tokens) == documented
