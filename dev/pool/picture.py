"""``python -m dev.pool picture``: which of several answers a reward picks, drawn from a table."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer

from latent_agent.errors import EvaluationError

# In the unit of the drawing, which a page may show at any size: readable on a phone too.
_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 480, 190, 430, 58, 30
# Blue and vermilion of Okabe and Ito's colours, lighter in the dark; the page's own scheme decides.
_STYLE = """
text{font:14px system-ui,sans-serif;fill:#222}
.head{font-weight:600}.small{font-size:12px;fill:#555}
.ground{fill:#fff}.grid{stroke:#ddd}.reward{stroke:#0072b2;fill:#0072b2}
.plain{stroke:#c04d00;fill:#c04d00}.most{stroke:#777;fill:#777}
@media(prefers-color-scheme:dark){
text{fill:#eee}.small{fill:#aaa}.ground{fill:#16191f}.grid{stroke:#3a3f48}
.reward{stroke:#56b4e9;fill:#56b4e9}.plain{stroke:#f0904a;fill:#f0904a}.most{stroke:#aaa;fill:#aaa}}
"""


def picture(
    found: Annotated[Path, typer.Argument(help="What `table --json` printed, of one pool.")],
    out: Annotated[Path, typer.Option(help="An SVG file; one that is there is replaced.")],
    rewards: Annotated[
        list[str] | None, typer.Option("--reward", help="Only this one; several times.")
    ] = None,
) -> None:
    """Draw the share of right answers, greedy and by reward, with 95% intervals over questions."""
    pools = json.loads(found.read_text("utf-8"))["pools"]
    if len(pools) != 1:
        raise EvaluationError(
            f"a picture must show one pool, got {len(pools)} tables in {str(found)!r}; give "
            "`table` one pool, without --families"
        )
    out.write_text(drawn(pools[0], rewards or list(pools[0]["rewards"])), "utf-8")
    typer.echo(out)


def drawn(pool: Mapping[str, Any], names: list[str]) -> str:
    """Return the SVG of a pool's table.

    Raises:
        EvaluationError: If the table has no such reward.
    """
    if unknown := set(names) - set(pool["rewards"]):
        raise EvaluationError(
            f"--reward must be one of {', '.join(pool['rewards'])}, got {', '.join(unknown)}; "
            "take a name from the table"
        )
    plain = pool["plain"]
    rows = [("one greedy answer", "plain", plain["greedy"])]
    rows += [("majority vote", "plain", plain["voted"])]
    rows += [(name, "reward", pool["rewards"][name]["best"]) for name in names]
    rows += [(f"any of {plain['answers']} right", "most", plain["any"])]
    height = _TOP + _ROW * len(rows) + 30
    head = f"{pool['model']}: right answers to {plain['questions']} questions"
    under = f"{pool['data']}, {plain['answers']} answers each; lines: 95% intervals"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(head)}</title><style>{_STYLE}</style>",
            f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="6"/>',
            f'<text class="head" x="12" y="24">{escape(head)}</text>',
            f'<text class="small" x="12" y="42">{escape(under)}</text>',
            *_grid(height),
            *(line for at, row in enumerate(rows) for line in _row(at, *row)),
            "</svg>\n",
        ]
    )


def _grid(height: int) -> Iterator[str]:
    for share in (0, 0.25, 0.5, 0.75):
        x, under = f"{_x(share):.0f}", height - 9
        yield f'<path class="grid" d="M{x} {_TOP - 6}V{height - 26}"/>'
        yield f'<text class="small" text-anchor="middle" x="{x}" y="{under}">{share:.0%}</text>'


def _row(at: int, name: str, kind: str, share: Mapping[str, float]) -> Iterator[str]:
    y = _TOP + _ROW * (at + 0.5)
    low, mean, high = (_x(share[one]) for one in ("low", "mean", "high"))
    yield f'<text text-anchor="end" x="{_LEFT - 10}" y="{y + 5:.0f}">{escape(name)}</text>'
    yield f'<path class="{kind}" stroke-width="2" d="M{low:.1f} {y:.0f}H{high:.1f}"/>'
    yield f'<circle class="{kind}" cx="{mean:.1f}" cy="{y:.0f}" r="5"/>'
    yield f'<text text-anchor="end" x="{_WIDTH - 10}" y="{y + 5:.0f}">{share["mean"]:.0%}</text>'


def _x(share: float) -> float:
    """Where a share lies; the axis ends at 75%, or a higher share is drawn at its end."""
    return _LEFT + (_RIGHT - _LEFT) * min(share / 0.75, 1)
