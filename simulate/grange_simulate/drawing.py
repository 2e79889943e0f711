"""The results as a drawing: loss probability with its interval, and repair traffic, for every code. SVG.

Decides how it looks. It is a few lines and bars, which is less than a plotting library would ask for.
"""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from grange_simulate.report import Result

_ROW, _TOP, _LEFT, _PANEL, _GAP = 46, 74, 96, 360, 70
_INK, _FAINT = "#222222", "#d5d5d5"
_FULL, _CALM, _READ, _WRITTEN = "#b3402a", "#2f6f9f", "#6b8e4e", "#c3a23a"
_LEAST = 1e-12


def drawn(results: Sequence[Result], title: str) -> str:
    """An SVG document."""
    bottom = _TOP + _ROW * len(results)
    width, height = _LEFT + 2 * _PANEL + _GAP + 30, bottom + 80
    second = _LEFT + _PANEL + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        text(_LEFT, 24, title, size=14),
        text(_LEFT, 52, "an order is lost within a year (95 % interval)"),
        text(second, 52, "repair traffic, TiB for each TiB stored for a month"),
    ]
    parts += [text(_LEFT - 12, _middle(i) + 4, str(one.code), anchor="end") for i, one in enumerate(results)]
    parts += _losses(results, bottom) + _traffic(results, second, bottom)
    legend = ((_FULL, "with a shock"), (_CALM, "without"), (_READ, "read"), (_WRITTEN, "written"))
    for (colour, word), x in zip(legend, (_LEFT, _LEFT + 120, second, second + 120), strict=True):
        parts += [bar(x, bottom + 48, 14, 10, colour), text(x + 20, bottom + 57, word)]
    return "\n".join([*parts, "</svg>", ""])


def _losses(results: Sequence[Result], bottom: int) -> list[str]:
    estimates = [e for one in results for e in (one.loss_per_year, one.calm_loss_per_year)]
    ends = [max(_LEAST, p) for e in estimates for p in (e.low, e.high) if p > 0]
    low, high = floor(log10(min(ends))) - 1, ceil(log10(max(ends)))

    def x(probability: float) -> float:
        share = (log10(max(probability, 10.0**low)) - low) / (high - low)
        return _LEFT + _PANEL * share

    parts = []
    for power in range(low, high + 1):
        label = "0" if power == low else f"1e{power}"
        parts += [
            line(x(10.0**power), _TOP, x(10.0**power), bottom, _FAINT),
            text(x(10.0**power), bottom + 18, label, anchor="middle"),
        ]
    for i, one in enumerate(results):
        for estimate, colour, shift in ((one.loss_per_year, _FULL, -6), (one.calm_loss_per_year, _CALM, 6)):
            y = _middle(i) + shift
            parts.append(line(x(estimate.low), y, x(estimate.high), y, colour, width=3))
            if estimate.probability > 0:
                parts.append(f'<circle cx="{x(estimate.probability):.1f}" cy="{y}" r="5" fill="{colour}"/>')
    return parts


def _traffic(results: Sequence[Result], left: int, bottom: int) -> list[str]:
    most = max(0.01, *(max(one.read_tib, one.written_tib) for one in results))
    parts = []
    for share in (0.0, 0.5, 1.0):
        x = left + _PANEL * share
        parts += [
            line(x, _TOP, x, bottom, _FAINT),
            text(x, bottom + 18, f"{most * share:.2f}", anchor="middle"),
        ]
    for i, one in enumerate(results):
        parts.append(bar(left, _middle(i) - 13, _PANEL * one.read_tib / most, 12, _READ))
        parts.append(bar(left, _middle(i) + 1, _PANEL * one.written_tib / most, 12, _WRITTEN))
    return parts


def _middle(row: int) -> int:
    return _TOP + _ROW * row + _ROW // 2


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12) -> str:
    """Words at a place."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{_INK}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: int = 1) -> str:
    """A line from one place to another."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
