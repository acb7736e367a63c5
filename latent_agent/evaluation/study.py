"""The whole evaluation, training included, at several values of one thing: a folder for each."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from latent_agent.errors import EvaluationError
from latent_agent.evaluation.plots import draw_settings
from latent_agent.evaluation.report import template
from latent_agent.evaluation.setup import EvaluationRequest
from latent_agent.evaluation.specs import setting
from latent_agent.evaluation.tables import (
    HEADINGS,
    Figures,
    Lines,
    Section,
    family_sections,
    in_order,
    method_rows,
)
from latent_agent.nights.gate import PUBLISHED
from latent_agent.settings import Settings

_COUNTS = ("train_questions", "period", "questions", "draw")
_TRAINING = ("day", "train_questions", "period")  # greedy answers hang on none of them
_SETTINGS = {field.name for field in fields(Settings)} - {"seed", "stop"}
_SHOWN = (0, 1, 2, 3, 5)  # of HEADINGS
_DAYS = (
    "Questions", "Nights", "Published", "Right", "Forwarded tokens", "Steps", "Without a step",
)  # fmt: skip
Summary = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """One thing, and the values that it takes.

    Attributes:
        name: ``day``, one of the counts of a command line, or a setting.
        values: As they are written.
    """

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Study":
        """Read ``name=value,value``.

        Raises:
            EvaluationError: If there is no such thing to vary.
        """
        name, _, values = text.partition("=")
        given = tuple(value.strip() for value in values.split(",") if value.strip())
        if name in ("seed", "seeds"):
            raise EvaluationError(
                f"a study must not vary the seed, got {text!r}: it would give the same questions "
                f"several tables; give --seeds {max(2, len(given))} instead, which answers each "
                "question under that many seeds and shows their spread"
            )
        if name not in ("day", *_COUNTS, *_SETTINGS) or not given:
            raise EvaluationError(
                f"a study must be written name=value,value, got {text!r}; the names are day, "
                f"{', '.join(_COUNTS)}, and every setting, for example --each period=50,100,200"
            )
        return cls(name=name, values=given)

    def variants(self, asked: EvaluationRequest) -> Iterator[tuple[str, EvaluationRequest]]:
        """Yield each value with the evaluation that it stands for."""
        for value in self.values:
            yield value, self._at(asked, value)

    def _at(self, asked: EvaluationRequest, value: str) -> EvaluationRequest:
        if self.name == "day":
            return replace(asked, days=tuple(value.split("/")))
        if self.name in _COUNTS:
            return replace(asked, **{self.name: _count(self.name, value)})
        name, number = setting(f"{self.name}={value}")
        return replace(asked, settings={**asked.settings, name: number})

    def folder(self, out: Path, value: str) -> Path:
        """Return where a value's evaluation lies."""
        return out / f"{self.name}={value.replace('/', '-then-')}"

    def merged(self, summaries: Mapping[str, Summary]) -> dict[str, dict[str, Any]]:
        """Return the figures of all values, by group and ``method @ value``; ``greedy`` once."""
        merged: dict[str, dict[str, Any]] = {}
        for value, summary in summaries.items():
            for group, methods in summary["groups"].items():
                rows = merged.setdefault(group, {})
                for method, figures in methods.items():
                    if method == "greedy" and self.name in _TRAINING:
                        rows.setdefault(method, figures)
                    else:
                        rows[f"{method} @ {self.name}={value}"] = figures
        return merged

    def lines(self, summaries: Mapping[str, Summary], group: str) -> Lines:
        """Return figures by method, a point a value."""
        lines: dict[str, list[tuple[str, Figures]]] = {}
        for value, summary in summaries.items():
            for method, figures in summary["groups"].get(group, {}).items():
                lines.setdefault(method, []).append((value, figures))
        return {method: in_order(points) for method, points in lines.items()}


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < (name != "draw"):
        raise EvaluationError(f"{name} must be a whole number, got {value!r}; give 1 or more")
    return int(value)


def write_study(out: Path, study: Study, summaries: Mapping[str, Summary]) -> str:
    """Write ``study.json``, ``study.md`` and ``study.png`` into a folder; return the page."""
    merged = study.merged(summaries)
    (out / "study.json").write_text(json.dumps(merged, indent=1) + "\n", "utf-8")
    picture = draw_settings(
        {f"{study.name}, {group}": study.lines(summaries, group) for group in _groups(merged)}
    )
    if picture is not None:
        (out / "study.png").write_bytes(picture)
    page = template("study.md.j2").render(
        name=study.name, values=study.values, sections=list(_sections(study, merged, summaries))
    )
    (out / "study.md").write_text(page, "utf-8")
    return page


def _groups(merged: Mapping[str, Any]) -> list[str]:
    return [name for name in ("all", "planted") if name in merged]


def _sections(
    study: Study, merged: Mapping[str, Mapping[str, Any]], summaries: Mapping[str, Summary]
) -> Iterator[Section]:
    headings = [HEADINGS[number] for number in _SHOWN]
    for group in _groups(merged):
        rows = [[row[number] for number in _SHOWN] for row in method_rows(merged[group])]
        yield group.capitalize(), headings, rows
    yield from family_sections(merged)
    if rows := [_training(value, s["prepared"]) for value, s in summaries.items() if s["prepared"]]:
        yield "The training days", (study.name, *_DAYS), rows


def _training(value: str, prepared: Mapping[str, Any]) -> list[str]:
    """Return what the training questions themselves cost, over all days."""
    days = prepared["days"]
    rows: list[Mapping[str, Any]] = [row for day in days for row in day["questions"]]
    published = sum(day["night"]["verdict"] == PUBLISHED for day in days)
    right, tokens, steps = (
        sum(row[name] for row in rows) / len(rows) for name in ("right", "forwarded", "steps")
    )
    at_once = sum(not row["steps"] for row in rows) / len(rows)
    return [
        value, f"{len(rows):,}", str(len(days)), str(published), f"{right:.1%}", f"{tokens:.0f}",
        f"{steps:.2f}", f"{at_once:.0%}",
    ]  # fmt: skip
