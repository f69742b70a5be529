"""The results as pictures: SVG, written by hand. Pure."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any

WIDTH, LABELS, RIGHT = 860, 210, 120
LINE, TOP, BOTTOM = 24, 52, 40
COLOURS = ("#2563eb", "#0891b2", "#64748b", "#d97706", "#7c3aed", "#059669", "#db2777", "#92400e")
OURS, THEIRS = "#2563eb", "#94a3b8"
FONT = 'font-family="system-ui, sans-serif"'

Range = tuple[str, float, float]
"""A label, and where its bar begins and ends, in seconds."""
Stack = tuple[str, Mapping[str, float]]
"""A label, and the lengths of the parts of its bar."""


def delays(document: Mapping[str, Any], scenario: str) -> list[Range]:
    """From the median to the 99th percentile, for each peer that was measured."""
    return _ranges(document, scenario, "p50", "p99")


def bursts(document: Mapping[str, Any], scenario: str) -> list[Range]:
    """From the first start to the last."""
    return _ranges(document, scenario, "min", "max")


def _ranges(document: Mapping[str, Any], scenario: str, low: str, high: str) -> list[Range]:
    measured = [each for each in document["results"] if each["scenario"] == scenario and "figures" in each]
    return [
        (each["peer"], each["figures"][low], each["figures"][high])
        for each in measured
        if each["figures"][high] is not None
    ]


def costs(document: Mapping[str, Any], scenario: str) -> list[Stack]:
    """Milliseconds of CPU a run, by part."""
    measured = [each for each in document["results"] if each["scenario"] == scenario and "figures" in each]
    return [(each["peer"], each["figures"]["cpu_ms"]) for each in measured if each["figures"]["started"]]


def ranges(title: str, rows: Sequence[Range]) -> str:
    """Bars on a logarithmic scale."""
    low = math.floor(math.log10(max(0.0005, min(begin for _, begin, _ in rows))))
    high = max(low + 1, math.ceil(math.log10(max(end for _, _, end in rows))))

    def x(seconds: float) -> float:
        share = (math.log10(max(seconds, 10.0**low)) - low) / (high - low)
        return LABELS + share * (WIDTH - LABELS - RIGHT)

    ticks = [(x(10.0**power), _said(10.0**power)) for power in range(low, high + 1)]
    bars = []
    for number, (label, begin, end) in enumerate(rows):
        colour = OURS if label.startswith("Duetime") else THEIRS
        bars.append(_bar(x(begin), max(3.0, x(end) - x(begin)), number, colour))
        bars.append(_text(x(end) + 6, number, f"{_said(begin)} to {_said(end)}"))
    return _picture(title, [label for label, _, _ in rows], ticks, bars)


def stacks(title: str, rows: Sequence[Stack]) -> str:
    """Bars made of parts, on a linear scale of milliseconds."""
    longest = max(sum(parts.values()) for _, parts in rows)
    scale = (WIDTH - LABELS - RIGHT) / longest
    step = 10.0 ** math.floor(math.log10(longest))
    ticks = [(LABELS + n * step * scale, f"{n * step:g} ms") for n in range(int(longest / step) + 1)]
    # What nobody could see is left out.
    rows = [(label, {name: part for name, part in parts.items() if part > longest / 200}) for label, parts in rows]
    names = list(dict.fromkeys(name for _, parts in rows for name in parts))
    colours = dict(zip(names, COLOURS * (1 + len(names) // len(COLOURS)), strict=False))
    bars = []
    for number, (_, parts) in enumerate(rows):
        begins = accumulate((parts[name] * scale for name in parts), initial=float(LABELS))
        bars += [
            _bar(begin, parts[name] * scale, number, colours[name]) for begin, name in zip(begins, parts, strict=False)
        ]
        bars.append(_text(LABELS + sum(parts.values()) * scale + 6, number, f"{sum(parts.values()):.0f} ms"))
    return _picture(title, [label for label, _ in rows], ticks, bars + _legend(colours))


def _said(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _bar(x: float, width: float, number: int, colour: str) -> str:
    y = TOP + number * LINE + 5
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LINE - 10}" rx="2" fill="{colour}"/>'


def _text(x: float, number: int, words: str, anchor: str = "start") -> str:
    y = TOP + number * LINE + LINE / 2 + 4
    return f'<text x="{x:.1f}" y="{y:g}" font-size="12" text-anchor="{anchor}" fill="#334155">{escape(words)}</text>'


def _legend(colours: Mapping[str, str]) -> list[str]:
    found = []
    for number, (name, colour) in enumerate(colours.items()):
        x = LABELS + number * 80
        found.append(f'<rect x="{x}" y="32" width="10" height="10" fill="{colour}"/>')
        found.append(f'<text x="{x + 14}" y="41" font-size="11" fill="#334155">{escape(name)}</text>')
    return found


def _picture(title: str, labels: Sequence[str], ticks: Sequence[tuple[float, str]], bars: Sequence[str]) -> str:
    bottom = TOP + len(labels) * LINE
    height = bottom + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" {FONT} role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600" fill="#0f172a">{escape(title)}</text>',
    ]
    for x, words in ticks:
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="#e2e8f0"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" font-size="11" text-anchor="middle" fill="#64748b">{words}</text>'
        )
    lines += [_text(LABELS - 8, number, label, "end") for number, label in enumerate(labels)]
    return "\n".join([*lines, *bars, "</svg>", ""])
