"""The records summed up: accuracy and cost of each method, and one against another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from latent_agent.evaluation.records import Record
from latent_agent.evaluation.statistics import compare, estimate

REFERENCE = "latentseek"
Rows = Mapping[str, Sequence[Record]]


def summarise(
    records: Sequence[Record],
    prepared: Mapping[str, Any] | None,
    tokens: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return everything that tables and plots show, as plain values; see `Finished`."""
    by_method = {
        method: [record for record in records if record.method == method]
        for method in dict.fromkeys(record.method for record in records)
    }
    return {
        "questions": len({record.item for record in records}),
        "seeds": sorted({record.seed for record in records}),
        "groups": {name: _group(rows) for name, rows in _groups(by_method).items()},
        "curves": curves(by_method),
        "curves_planted": curves(_only(by_method, lambda record: record.planted)),
        "stream": {name: _stream(rows) for name, rows in by_method.items()},
        "rewards": {name: _rewards(rows) for name, rows in by_method.items()},
        "prepared": prepared,
        "tokens": None if tokens is None else dict(tokens),
    }


def _only(by_method: Rows, wanted: Callable[[Record], bool]) -> dict[str, list[Record]]:
    return {
        name: some for name, rows in by_method.items() if (some := [r for r in rows if wanted(r)])
    }


def _groups(by_method: Rows) -> dict[str, Rows]:
    """All questions, the planted families together, and each family."""
    families = sorted({r.family for rows in by_method.values() for r in rows if r.family})
    groups: dict[str, Rows] = {"all": by_method}
    if planted := _only(by_method, lambda record: record.planted):
        groups["planted"] = planted
    if len(families) > 1:
        for family in families:
            groups[family] = _only(by_method, lambda record, family=family: record.family == family)
    return groups


def _group(by_method: Rows) -> dict[str, Any]:
    greedy = {r.item: r for r in by_method.get("greedy", ())}
    reference = by_method.get(REFERENCE)
    return {
        name: {
            **_figures(rows, greedy),
            "against": None
            if reference is None or name == REFERENCE
            else _against(reference, rows),
        }
        for name, rows in by_method.items()
    }


def _figures(rows: Sequence[Record], greedy: Mapping[str, Record]) -> dict[str, Any]:
    known = [(greedy[r.item], r) for r in rows if r.item in greedy]
    were_right = [now for before, now in known if before.right]
    were_wrong = [now for before, now in known if not before.right]
    lengths = [
        now.answer_tokens / before.answer_tokens for before, now in known if before.answer_tokens
    ]
    return {
        "answers": len(rows),
        "failures": sum(row.stopped == "failed" for row in rows),
        "accuracy": asdict(estimate(_means(rows, lambda r: r.right), share=True)),
        "forwarded": asdict(estimate(_means(rows, lambda r: r.cost))),
        "steps": asdict(estimate(_means(rows, lambda r: r.steps))),
        "seconds": float(np.mean([r.seconds for r in rows])),
        "at_once": float(np.mean([r.at_once for r in rows])),
        "length": float(np.mean(lengths)) if lengths else None,
        "kept": [sum(r.right for r in were_right), len(were_right)],
        "fixed": [sum(r.right for r in were_wrong), len(were_wrong)],
    }


def _means(rows: Sequence[Record], figure: Callable[[Record], float]) -> list[float]:
    """Average a figure over the seeds of each question, questions in one order."""
    by_item: dict[str, list[float]] = {}
    for row in rows:
        by_item.setdefault(row.item, []).append(float(figure(row)))
    return [sum(by_item[item]) / len(by_item[item]) for item in sorted(by_item)]


def _against(reference: Sequence[Record], rows: Sequence[Record]) -> dict[str, Any]:
    """Compare LatentSeek with a method as they are, and with the method cut to the same cost.

    Cut: it ends after the fewest answers at which it has spent what LatentSeek spends, or more.
    """
    shared = {r.item for r in reference} & {r.item for r in rows}
    ours, theirs = [[r for r in side if r.item in shared] for side in (reference, rows)]
    tries = tries_for(theirs, float(np.mean([r.cost for r in ours])))
    right = _means(ours, lambda r: r.right)

    def saved(figure: Callable[[Record], float]) -> dict[str, float]:
        return asdict(estimate(np.subtract(_means(ours, figure), _means(theirs, figure)).tolist()))

    return {
        "as_they_are": asdict(compare(right, _means(theirs, lambda r: r.right))),
        "equal_cost": asdict(compare(right, _means(theirs, lambda r: r.after(tries)[1]))),
        "tries": tries,
        "cost_at_tries": float(np.mean([r.after(tries)[0] for r in theirs])),
        "fewer_steps": saved(lambda r: r.steps),
        "fewer_tokens": saved(lambda r: r.cost),
    }


def tries_for(rows: Sequence[Record], mean: float) -> int:
    """Return the fewest answers after which calls cost ``mean`` or more; all if they never do."""
    longest = max(len(row.points) for row in rows)
    for tries in range(longest):
        if np.mean([row.after(tries)[0] for row in rows]) >= mean:
            return tries
    return longest


def curves(by_method: Rows) -> dict[str, list[list[float]]]:
    """Return points (mean forwarded tokens, accuracy) for each method, one an answer more."""
    points: dict[str, list[list[float]]] = {}
    for name, rows in by_method.items():
        ends = [
            [row.after(tries) for row in rows] for tries in range(max(len(r.points) for r in rows))
        ]
        points[name] = [
            [float(np.mean([cost for cost, _ in end])), float(np.mean([right for _, right in end]))]
            for end in ends
        ]
    return points


def _stream(rows: Sequence[Record], parts: int = 8) -> list[dict[str, float]]:
    """Return mean steps and accuracy along the order of the questions."""
    places = max(row.place for row in rows) + 1
    shown: list[dict[str, float]] = []
    for part in range(min(parts, places)):
        begin, end = places * part // parts, places * (part + 1) // parts
        some = [row for row in rows if begin <= row.place < end]
        if some:
            shown.append(
                {
                    "from": begin + 1,
                    "to": end,
                    "steps": float(np.mean([row.steps for row in some])),
                    "accuracy": float(np.mean([row.right for row in some])),
                }
            )
    return shown


def _rewards(rows: Sequence[Record]) -> list[float]:
    """Return the mean of the best reward so far after each round; a search that ended keeps its."""
    histories = [list(row.rewards) for row in rows if row.rewards]
    longest = max(map(len, histories), default=0)
    best = [
        np.maximum.accumulate(history + [max(history)] * (longest - len(history)))
        for history in histories
    ]
    return np.mean(best, axis=0).tolist() if best else []
