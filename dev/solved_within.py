"""How many wrong drafts a search with a perfect judge puts right within so many answers.

``python -m dev.solved_within FOLDER [FOLDER ...]`` reads what ``latent-agent evaluate`` wrote with
methods that end in ``+psrm``, such as::

    latent-agent evaluate --model MODEL --data FILE --max-iterations 8 --out FOLDER --methods \
      best-of-n+psrm,latentseek+psrm:fraction=0.2:rest=kept,latentseek+psrm:search=soft_prefix

Only questions count whose draft is wrong in every method. An answer that was written before is no
new one; a search may take several steps to its next. Each method is compared with the first by an
exact sign test on the questions that one of them puts right within the most answers.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from latent_agent.evaluation.records import Record, read_records
from latent_agent.evaluation.statistics import compare, estimate

MOST = 8
Outcome = tuple[int | None, int]
"""After how many new answers it was right, None: never; and how many there were."""


def outcome(record: Record) -> Outcome | None:
    """Return what a search made of a wrong draft; None: the draft is right, or there is none."""
    if not record.points or record.points[0].right:
        return None
    seen = {record.points[0].text}
    for point in record.points[1:]:
        if point.text in seen:
            continue
        seen.add(point.text)
        if point.right:
            return len(seen) - 1, len(seen) - 1
    return None, len(seen) - 1


def collect(paths: Sequence[Path]) -> dict[str, dict[str, Outcome | None]]:
    """Return outcomes by method, then by seed and item."""
    found: dict[str, dict[str, Outcome | None]] = {}
    for path in paths:
        for record in read_records(path / "records.jsonl"):
            if "+psrm" in record.method and record.error is None:
                rows = found.setdefault(record.method, {})
                rows[f"{record.seed}/{record.item}"] = outcome(record)
    return found


def table(found: Mapping[str, Mapping[str, Outcome | None]]) -> Table:
    """Return the table, a row a method."""
    common = sorted(set.intersection(*(set(rows) for rows in found.values())))
    wrong = [key for key in common if all(rows[key] is not None for rows in found.values())]
    shown = Table(title=f"Put right of {len(wrong)} wrong drafts, within so many answers")
    for name in ("method", "1", "2", "4", str(MOST), f"within {MOST}, 95%", "answers", "p"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    first: list[float] = []
    for method, rows in found.items():
        outcomes = [one for key in wrong if (one := rows[key]) is not None]
        solved = [float(one is not None and one <= MOST) for one, _ in outcomes]
        first = first or solved
        own = estimate(solved, share=True)
        shown.add_row(
            method,
            *(str(n) for n in _within(outcomes, (1, 2, 4, MOST))),
            f"{own.mean:.0%} [{own.low:.0%}, {own.high:.0%}]",
            f"{sum(min(count, MOST) for _, count in outcomes) / max(1, len(outcomes)):.1f}",
            "" if solved is first else f"{compare(solved, first).p:.2g}",
        )
    return shown


def _within(outcomes: Sequence[Outcome], tries: Sequence[int]) -> Iterator[int]:
    for most in tries:
        yield sum(one is not None and one <= most for one, _ in outcomes)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    found = collect(parser.parse_args().folders)
    if not found:
        sys.exit("no methods with a perfect judge in these folders; their names end in +psrm")
    Console().print(table(found))


if __name__ == "__main__":
    main()
