"""The results as a picture: bars of seconds, one group a job, each group on its own scale."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.report import Result

_WIDTH = 860
_LEFT = 190
_RIGHT = 80
_BAR = 14
_STEP = 19
_TITLE = 34
_GAP = 16

_STYLE = """
text { font: 12px sans-serif; fill: #24292f; }
.title { font-weight: bold; font-size: 13px; }
.name { text-anchor: end; }
.ferry { fill: #1a7f37; }
.peer { fill: #8aa4c8; }
.reference { fill: #d0d7de; }
.goal { stroke: #cf222e; stroke-width: 2; }
"""


def svg(results: Sequence[Result]) -> str:
    """Return the chart: ferry, its peers and the references; a red mark where a goal ends."""
    parts: list[str] = []
    y = _GAP
    for result in results:
        parts += _group(result, y)
        y += _TITLE + _STEP * len(result.case.contenders) + _GAP
    y += _STEP
    legend = (
        "Seconds, less is better. Green: ferry; blue: peers; grey: references that do less. "
        "Red mark: goal."
    )
    parts.append(_text(_GAP, y - _GAP, legend))
    size = f'width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _group(result: Result, top: int) -> list[str]:
    best = result.best
    scale = (_WIDTH - _LEFT - _RIGHT) / max(best.values())
    parts = [_text(_GAP, top + 16, result.case.title, "title")]
    y = top + _TITLE - 8
    for contender in result.case.contenders:
        name, seconds = contender.name, best[contender.name]
        kind = "reference" if contender.reference else "ferry" if name == "ferry" else "peer"
        width = max(1.0, seconds * scale)
        parts.append(_text(_LEFT - 8, y + 11, name, "name"))
        parts.append(
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
        )
        if name == "ferry" and (goal := result.case.goal):
            x = _LEFT + scale * goal.limit * (best[goal.of] if goal.of else 1)
            parts.append(
                f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + _BAR + 2}"/>'
            )
            width = max(width, x - _LEFT)
        parts.append(_text(_LEFT + width + 6, y + 11, f"{seconds:.3g} s"))
        y += _STEP
    return parts


def _text(x: float, y: float, content: str, kind: str = "") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'
