"""A folder's report: Markdown and one HTML page, with all figures behind them as JSON."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from latent_agent.evaluation import sweeps
from latent_agent.evaluation.plots import draw_all
from latent_agent.evaluation.records import Record
from latent_agent.evaluation.summary import REFERENCE
from latent_agent.evaluation.tables import (
    AGAINST,
    HEADINGS,
    against_rows,
    family_rows,
    method_rows,
)

_EACH = 4  # examples of each kind in the gallery
NOTES = (
    "Right: failures count as wrong. Intervals: 95% bootstrap over questions, seeds averaged; "
    "Wilson's where all answers are right, or all wrong.",
    "Forwarded tokens: non-padding positions through the model's body, prompts and judge included; "
    "the mean of a question.",
    "Steps: gradient steps, or answers tried after the draft. At once: the first answer that was "
    "judged passed. Length: the answer's, over the greedy answer's. Kept: right greedy answers "
    "that stayed right. Mended: wrong ones that were made right.",
    "At equal cost: the other method ends after the fewest answers at which it has spent as much "
    "as LatentSeek, or more. Its steps and tokens less: what it saves beside LatentSeek; below 0 "
    "it takes more. p: exact sign test on the questions that differ (McNemar's for one seed), "
    "two-sided, not corrected for the number of comparisons.",
)


def write_report(
    folder: Path,
    summary: Mapping[str, Any],
    records: Sequence[Record],
    settings: Mapping[str, Any],
) -> None:
    """Write ``summary.json``, ``figures/``, ``report.md`` and ``report.html`` into a folder."""
    pictures = draw_all(summary)
    (folder / "figures").mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (folder / "figures" / f"{name}.png").write_bytes(picture)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    told = _told(summary, records, settings)
    coded = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    for file, sources in (("report.md", dict.fromkeys(pictures, "")), ("report.html", coded)):
        page = _template(f"{file}.j2").render(**told, pictures=sources)
        (folder / file).write_bytes(page.encode("utf-8", "replace"))


def _template(name: str) -> Any:
    environment = Environment(
        loader=PackageLoader("latent_agent.evaluation"),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(name)


def _cell(text: object) -> str:
    """Keep a text within one cell of a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").split())


def _told(
    summary: Mapping[str, Any], records: Sequence[Record], settings: Mapping[str, Any]
) -> dict[str, Any]:
    groups = summary["groups"]
    headings, right = family_rows(groups, "accuracy", ".0%")
    _, steps = family_rows(groups, "steps", ".2f")
    answers = settings["answers"]
    return {
        "title": f"{answers['model']} on {answers['data']}",
        "questions": summary["questions"],
        "seeds": len(summary["seeds"]),
        "world": str(answers["data"]).startswith("bundled"),
        "headings": HEADINGS,
        "sections": [
            (name, method_rows(groups[name])) for name in ("all", "planted") if name in groups
        ],
        "against_headings": AGAINST,
        "against": [
            (name, rows)
            for name in ("all", "planted")
            if name in groups and (rows := against_rows(groups[name]))
        ],
        "family_headings": headings,
        "families": {"Right": right, "Steps": steps} if len(headings) > 1 else {},
        "sweep_headings": sweeps.HEADINGS,
        "sweeps": sweeps.sweep_rows(sweeps.swept_settings(groups["all"])),
        "nights": _nights(summary["prepared"]),
        "gallery": gallery(records),
        "settings": json.dumps(settings, indent=1),
        "notes": NOTES,
    }


def _nights(prepared: Mapping[str, Any] | None) -> list[str]:
    """Say how each training day and its night went."""
    if not prepared:
        return []
    lines: list[str] = []
    for number, day in enumerate(prepared["days"], 1):
        rows, night = day["questions"], day["night"]
        right = sum(row["right"] for row in rows) / len(rows)
        steps = sum(row["steps"] for row in rows) / len(rows)
        lines.append(
            f"Day {number}: {len(rows)} questions, {right:.0%} right, {steps:.2f} steps each. "
            f"Night: {night['verdict']}; {night['reason']}"
        )
    night = prepared["misled_night"]
    lines.append(f"The night on shuffled winners: {night['verdict']}; {night['reason']}")
    return lines


def gallery(records: Sequence[Record]) -> list[tuple[str, list[Record]]]:
    """Return LatentSeek's answers to look at, by kind: fixed, spoilt, believed, given up."""
    rows = [r for r in records if r.method == REFERENCE and r.draft is not None]
    if not rows:
        return []
    greedy = {r.item: r.right for r in records if r.method == "greedy"}
    kinds: Mapping[str, Callable[[Record], bool]] = {
        "Mended: a wrong draft, a right answer": lambda r: r.right and not greedy.get(r.item),
        "Spoilt: a right draft, a wrong answer": lambda r: (
            not r.right and greedy.get(r.item, False)
        ),
        "Believed: wrong, and accepted": lambda r: not r.right and r.stopped == "threshold",
        "Given up: wrong, and known to be": lambda r: not r.right and r.stopped != "threshold",
    }
    found = {name: [r for r in rows if wanted(r)][:_EACH] for name, wanted in kinds.items()}
    return [(name, some) for name, some in found.items() if some]
