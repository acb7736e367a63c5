"""How many wrong drafts a search with a perfect judge puts right within so many answers.

``python -m dev.solved_within FOLDER [FOLDER ...]`` reads what ``latent-agent evaluate`` wrote with
methods that end in ``+psrm``, such as::

    latent-agent evaluate --model MODEL --data FILE --max-iterations 8 --out FOLDER --methods \
      best-of-n+psrm,latentseek+psrm:fraction=0.2:rest=kept,latentseek+psrm:search=soft_prefix

Only questions count whose draft is wrong in every method; several seeds of one are averaged. An
answer that was written before is no new one; a search may take several steps to its next. Each
method is compared with the first by an exact sign test on the questions that one of them puts right
within the most answers.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from latent_agent.evaluation.records import Record, read_records
from latent_agent.evaluation.statistics import compare, estimate

MOST = 8
Outcome = tuple[int | None, int]
"""After how many new answers it was right, None: never; and how many there were."""
Runs = dict[str, dict[int, Outcome | None]]
"""By item, then by seed; None: the draft was right."""


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


def collect(paths: Sequence[Path]) -> dict[str, Runs]:
    """Return outcomes by method."""
    found: dict[str, Runs] = {}
    for path in paths:
        for record in read_records(path / "records.jsonl"):
            if "+psrm" in record.method and record.error is None:
                runs = found.setdefault(record.method, {})
                runs.setdefault(record.item, {})[record.seed] = outcome(record)
    return found


def table(found: Mapping[str, Runs]) -> Table:
    """Return the table, a row a method; several seeds of one question are averaged."""
    common = sorted(set.intersection(*(set(runs) for runs in found.values())))
    wrong = [item for item in common if all(_wrong(runs[item]) for runs in found.values())]
    shown = Table(title=f"Put right of {len(wrong)} wrong drafts, within so many answers")
    for name in ("method", "1", "2", "4", str(MOST), f"within {MOST}, 95%", "answers", "p"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    first: list[float] = []
    for method, runs in found.items():
        solved = {most: [_share(runs[item], most) for item in wrong] for most in (1, 2, 4, MOST)}
        own = estimate(solved[MOST], share=True)
        first = first or solved[MOST]
        answers = [mean(min(one[1], MOST) for one in _wrong(runs[item])) for item in wrong]
        shown.add_row(
            method,
            *(f"{sum(shares):.3g}" for shares in solved.values()),
            f"{own.mean:.0%} [{own.low:.0%}, {own.high:.0%}]",
            f"{mean(answers or [0]):.1f}",
            "" if solved[MOST] is first else f"{compare(solved[MOST], first).p:.2g}",
        )
    return shown


def _wrong(seeds: Mapping[int, Outcome | None]) -> list[Outcome]:
    """Return what became of the wrong drafts of a question."""
    return [one for one in seeds.values() if one is not None]


def _share(seeds: Mapping[int, Outcome | None], most: int) -> float:
    """Return in how many seeds' shares a question's wrong draft was put right."""
    return mean(float(one is not None and one <= most) for one, _ in _wrong(seeds))


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
