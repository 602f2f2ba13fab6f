# SPDX-License-Identifier: GPL-2.0-only
"""Stacks with counts as pictures: an SVG flame graph, and JSON for speedscope.

A stack is a tuple of names, the outermost first.  Names come from guests: they are escaped.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

Stacks = Mapping[tuple[str, ...], int]

WIDTH, ROW, LETTER = 1200.0, 17, 7.0  #: pixels
NARROWEST = 0.4  #: pixels: what is narrower is left out of the picture

_STYLE = "text{font:12px monospace;pointer-events:none}rect{stroke:#fff;stroke-width:.5}"


@dataclass(slots=True)
class Node:
    """A function below its callers: samples in it and what it called."""

    count: int = 0
    below: dict[str, Node] = field(default_factory=dict)


def tree(stacks: Stacks) -> Node:
    """All stacks, merged from their outermost function."""
    root = Node()
    for stack, count in stacks.items():
        node = root
        node.count += count
        for name in stack:
            node = node.below.setdefault(name, Node())
            node.count += count
    return root


def svg(stacks: Stacks, title: str) -> str:
    """The flame graph, callers below; each box tells its name and share when pointed at."""
    root = tree(stacks)
    boxes: list[tuple[float, int, float, str, int]] = []
    _place(root, "all", 0.0, 0, WIDTH / max(root.count, 1), boxes)
    height = (2 + max(row for _, row, *_ in boxes)) * ROW + ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{height}">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="4" y="{ROW - 4}">{escape(title)}</text>',
    ]
    lines += (_box(box, height, root.count) for box in boxes)
    return "\n".join([*lines, "</svg>\n"])


def _place(
    node: Node,
    name: str,
    x: float,
    row: int,
    scale: float,
    boxes: list[tuple[float, int, float, str, int]],
) -> None:
    width = node.count * scale
    if width < NARROWEST and row:
        return
    boxes.append((x, row, width, name, node.count))
    for below, child in sorted(node.below.items()):
        _place(child, below, x, row + 1, scale, boxes)
        x += child.count * scale


def _box(box: tuple[float, int, float, str, int], height: int, total: int) -> str:
    x, row, width, name, count = box
    y = height - (row + 1) * ROW
    share = 100 * count / max(total, 1)
    shown = name[: int(width / LETTER)] if width > 3 * LETTER else ""
    return (
        f"<g><title>{escape(name)} ({count} samples, {share:.1f}%)</title>"
        f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" fill="{_colour(name)}"/>'
        f'<text x="{x + 2:.2f}" y="{y + 12}">{escape(shown)}</text></g>'
    )


def _colour(name: str) -> str:
    """The same for the same name; problem state is blue, the kernel red to yellow."""
    number = zlib.crc32(name.encode())
    hue = 200 + number % 30 if name.startswith(("0x", "process")) else 10 + number % 45
    return f"hsl({hue},{60 + number // 64 % 30}%,{62 + number // 4096 % 14}%)"


def speedscope(profiles: Mapping[str, Stacks], name: str) -> str:
    """All profiles in speedscope's file format (https://www.speedscope.app/file-format-schema.json)."""
    frames: dict[str, int] = {}
    made = [_sampled(each, stacks, frames) for each, stacks in profiles.items()]
    return json.dumps(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "shared": {"frames": [{"name": frame} for frame in frames]},
            "profiles": made,
            "name": name,
            "exporter": "lpar",
        }
    )


def _sampled(name: str, stacks: Stacks, frames: dict[str, int]) -> dict[str, object]:
    return {
        "type": "sampled",
        "name": name,
        "unit": "none",
        "startValue": 0,
        "endValue": sum(stacks.values()),
        "samples": [_numbers(stack, frames) for stack in stacks],
        "weights": list(stacks.values()),
    }


def _numbers(stack: Iterable[str], frames: dict[str, int]) -> list[int]:
    return [frames.setdefault(name, len(frames)) for name in stack]
