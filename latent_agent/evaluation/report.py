"""A folder's report: Markdown and one HTML page, with all figures behind them as JSON."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from latent_agent.evaluation.plots import draw_all
from latent_agent.evaluation.records import Record
from latent_agent.evaluation.summary import REFERENCE
from latent_agent.evaluation.tables import (
    AGAINST,
    HEADINGS,
    SENSITIVITY,
    Section,
    against_rows,
    family_sections,
    method_rows,
    sweep_rows,
    swept_settings,
)

_GALLERY = ("Question", "Truth", "Draft", "Answer", "Rewards")
_EACH = 4  # examples of each kind in the gallery
NOTES = (
    "Right: failures count as wrong. Intervals: 95% bootstrap over questions, seeds averaged; "
    "Wilson's where all answers are right, or all wrong.",
    "Forwarded tokens: non-padding positions through the model's body, prompts and judge included; "
    "the mean of a question.",
    "Steps: gradient steps, or answers tried after the draft. At once: the first answer that was "
    "judged passed. Length: the answer's, over the greedy answer's. Kept: right greedy answers "
    "that stayed right. Fixed: wrong ones that were made right.",
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
    context = _context(summary, records, settings)
    coded = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    for file, sources in (("report.md", dict.fromkeys(pictures, "")), ("report.html", coded)):
        page = template(f"{file}.j2").render(**context, pictures=sources)
        (folder / file).write_bytes(page.encode("utf-8", "replace"))


def template(name: str) -> Template:
    """Return one of the pages' templates."""
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


def _context(
    summary: Mapping[str, Any], records: Sequence[Record], settings: Mapping[str, Any]
) -> dict[str, Any]:
    answers = settings["answers"]
    return {
        "title": f"{answers['model']} on {answers['data']}",
        "questions": summary["questions"],
        "seeds": len(summary["seeds"]),
        "world": str(answers["data"]).startswith("bundled"),
        "sections": [section for section in _sections(summary["groups"]) if section[2]],
        "nights": _nights(summary["prepared"]),
        "gallery": gallery(records),
        "settings": json.dumps(settings, indent=1),
        "notes": [*NOTES, *spent(summary)],
    }


def spent(summary: Mapping[str, Any]) -> list[str]:
    """Say in a line what all answers cost, alone and in truth, if that was counted."""
    tokens = summary["tokens"]
    if tokens is None:
        return []
    return [
        f"All answers: {tokens['charged']:,} forwarded tokens as each method would take them "
        f"alone, {tokens['forwarded']:,} in truth: what several methods want is written once."
    ]


def _sections(groups: Mapping[str, Any]) -> Iterator[Section]:
    kinds = {"all": "all questions", "planted": "planted families"}
    shown = [(kind, groups[name]) for name, kind in kinds.items() if name in groups]
    for kind, group in shown:
        yield f"Methods, {kind}", HEADINGS, method_rows(group)
    for kind, group in shown:
        title = f"LatentSeek against each, {kind} (points of accuracy)"
        yield title, AGAINST, against_rows(group)
    yield from family_sections(groups)
    yield "Sensitivity", SENSITIVITY, sweep_rows(swept_settings(groups["all"]))


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


def gallery(records: Sequence[Record]) -> list[Section]:
    """Return LatentSeek's answers to look at, by kind: fixed, spoilt, believed, given up."""
    rows = [r for r in records if r.method == REFERENCE and r.draft is not None]
    greedy = {r.item: r.right for r in records if r.method == "greedy"}
    kinds: Mapping[str, Callable[[Record], bool]] = {
        "Fixed: a wrong draft, a right answer": lambda r: r.right and not greedy.get(r.item),
        "Spoilt: a right draft, a wrong answer": lambda r: (
            not r.right and greedy.get(r.item, False)
        ),
        "Believed: wrong, and accepted": lambda r: not r.right and r.stopped == "threshold",
        "Given up: wrong, and known to be": lambda r: not r.right and r.stopped != "threshold",
    }
    return [
        (name, _GALLERY, [_example(r) for r in some])
        for name, wanted in kinds.items()
        if (some := [r for r in rows if wanted(r)][:_EACH])
    ]


def _example(record: Record) -> list[str]:
    rewards = " ".join(f"{reward:.2f}" for reward in record.rewards)
    return [record.question, record.truth, record.draft or "", record.text, rewards]
