# SPDX-License-Identifier: GPL-2.0-only
"""A bar chart of speeds as SVG, on a logarithmic scale about 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

BAR, GAP, HEAD = 9, 8, 54  #: pixels: a bar, between rows, above the first row
LABELS, WIDTH = 130, 620  #: pixels: of the names, of the chart
COLOURS = ("#2a6f97", "#d98324", "#6a994e", "#9d4edd")

Bars = Mapping[tuple[str, str], Mapping[str, float]]  #: (group, row) -> contender -> speed


def plot(title: str, bars: Bars, names: Sequence[str]) -> str:
    """The chart: a row for each key, a bar for each name; the line at 1 is the reference."""
    values = [value for each in bars.values() for value in each.values()]
    low = math.floor(math.log2(min([*values, 0.5])))
    high = math.ceil(math.log2(max([*values, 2.0])))
    scale = WIDTH / (high - low)
    parts = [_legend(title, names)]
    at, last = HEAD, ""
    for (group, row), each in bars.items():
        if group != last:
            parts.append(_text(4, at + 14, group, bold=True))
            at, last = at + 20, group
        parts.append(_text(LABELS - 6, at + BAR * max(len(names), 1) / 2 + 4, row, anchor="end"))
        for n, name in enumerate(names):
            if name in each:
                parts.append(_bar(at + n * BAR, each[name], low, scale, COLOURS[n % len(COLOURS)]))
        at += BAR * len(names) + GAP
    grid = [_grid(power, at, low, scale) for power in range(low, high + 1)]
    size = f'width="{LABELS + WIDTH + 70}" height="{at + 10}"'
    style = "font-family:sans-serif;font-size:11px;background:white"
    body = "\n".join([*grid, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}">\n{body}\n</svg>\n'


def _bar(y: float, value: float, low: int, scale: float, colour: str) -> str:
    """From the line at 1 to the value, which is written beside it."""
    one, end = -low * scale + LABELS, (math.log2(value) - low) * scale + LABELS
    rect = f'x="{min(one, end):.1f}" y="{y:.1f}" width="{max(abs(end - one), 1):.1f}" height="{BAR - 1}"'
    label = _text(max(one, end) + 4, y + BAR - 1, f"{value:.2f}", size=9)
    return f'<rect {rect} fill="{colour}"/>{label}'


def _grid(power: int, bottom: float, low: int, scale: float) -> str:
    x = (power - low) * scale + LABELS
    colour = "#444" if power == 0 else "#ddd"
    line = f'<line x1="{x:.1f}" y1="{HEAD - 8}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>'
    return line + _text(x, HEAD - 12, f"{2.0**power:g}", anchor="middle")


def _legend(title: str, names: Sequence[str]) -> str:
    parts = [_text(4, 18, title, bold=True, size=14)]
    for n, name in enumerate(names):
        x = LABELS + 200 + n * 90
        parts.append(f'<rect x="{x}" y="9" width="10" height="10" fill="{COLOURS[n % len(COLOURS)]}"/>')
        parts.append(_text(x + 14, 18, name))
    return "".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False, size: int = 11) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}"{weight}>{escape(text)}</text>'
