# SPDX-License-Identifier: GPL-2.0-only
"""Show the guests that run, and the root file systems there are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lpar.cli.options import Parser
from lpar.cli.roots import Root, all_roots
from lpar.cli.running import running
from lpar.units import format_size


def run(args: Sequence[str]) -> int:
    """``lpar list [--json]``."""
    parser = Parser(prog="lpar list", description="Show guests and root file systems.", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    space = parser.parse_args(list(args))
    guests, roots = running(), [_root(root) for root in all_roots()]
    if space.json:
        print(json.dumps({"guests": guests, "roots": roots}, indent=2))
        return 0
    _table(("guest", "pid", "memory", "cpus"), [_guest_row(guest) for guest in guests], "no guest runs")
    print()
    rows = [(root["name"], root["kind"], root["state"], root["path"]) for root in roots]
    _table(("root", "kind", "state", "path"), rows, "no root file system; make one: lpar setup debian")
    return 0


def _root(root: Root) -> dict[str, str]:
    state = "ready" if root.is_ready else root.state().get("stage", "begun")
    return {"name": root.name, "kind": root.kind, "state": state, "path": str(root.where)}


def _guest_row(guest: dict[str, Any]) -> tuple[str, ...]:
    memory = format_size(int(guest["memory"]))
    return str(guest["name"]), str(guest["pid"]), memory, str(guest["cpus"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    if not rows:
        print(nothing)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip(),
            flush=True,
        )
