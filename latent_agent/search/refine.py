"""A search for an answer that passes the threshold, in rounds.

Each round tries ``width`` places in one batch, by default one: steps of walks through the latents
(`Line`, LatentSeek), of a soft prefix (`SoftLine`, GradCuit; `SoftWalk`), or token flips.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import torch

from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.model.sampling import Sampler
from latent_agent.search.line import Line
from latent_agent.search.soft_prefix import SoftLine, SoftWalk
from latent_agent.search.token_flip import flips, turned
from latent_agent.search.types import Candidate, Found, Searchable, SearchRecord, Start, Trial
from latent_agent.search.walk import Walk
from latent_agent.settings import Settings

WALKS: Mapping[str, Callable[[Searchable, Settings, Start], Walk]] = {
    "gradient": Line,
    "soft_prefix": SoftLine,
    "soft_walk": SoftWalk,
}
"""What takes a search's steps, by the setting ``search``."""


class _Ended(Exception):  # noqa: N818 - an event of the search, not a mistake
    """An answer is accepted, or patience is out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Search:
    """Searches the latents for an answer that passes the threshold.

    A context manager: an accepted answer, a budget that is spent or a reward that fails leaves
    its ``with`` block, with the reason and the best answer so far in ``record``. Of a round that
    breaks off, what was scored until then counts.

    Args:
        call: Latents to tokens, and prefixes to scored answers.
        settings: How it is searched, and for how long.
        width: Sets of latents that a round tries.
        on_step: Called after each round.
    """

    def __init__(
        self,
        call: Searchable,
        settings: Settings,
        width: int = 1,
        on_step: Callable[[SearchRecord], None] = lambda _: None,
    ) -> None:
        self._call, self._settings, self._width, self._on_step = call, settings, width, on_step
        self._starts: list[Start] = []
        self.record = SearchRecord(ties=settings.ties, cut=settings.rest == "anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        record = self.record
        if isinstance(error, BudgetSpent):
            accepted = record.accepts(self._settings.threshold)
            record.stopped = "threshold" if accepted else error.reason
        elif isinstance(error, RewardError):
            record.stopped, record.error = "reward_error", str(error)
        elif isinstance(error, _Ended):
            record.stopped = error.reason
        else:
            return False
        return True

    def start_from(self, rounds: Iterable[Sequence[Start]]) -> None:
        """Take rounds of starts, the draft among them, until an answer is accepted."""
        for starts in rounds:
            self._starts.extend(starts)
            if self.record.add_starts(starts, self._settings.threshold):
                raise _Ended("threshold")

    def refine(self) -> None:
        """Take up to ``max_iterations`` rounds from the starts."""
        starts = self._chosen()
        if self._settings.search == "flip":
            self._flip(starts[0])
        else:
            walk = WALKS[self._settings.search]
            self._step([walk(self._call, self._settings, start) for start in starts])

    def _chosen(self) -> list[Start]:
        """Return where the search goes on from, the best first.

        That is the draft alone, since a warm start that failed led astray; or side by side all of
        them, as many as a round holds, of those that begin alike one.
        """
        drafts = [start for start in self._starts if start.trial.source == "draft"]
        if self._settings.starts == "draft" and drafts:
            return drafts
        ranked = sorted(self._starts, key=lambda start: -start.trial.score.value)
        different = {start.trial.tokens[: len(start.latents)]: start for start in reversed(ranked)}
        return list(reversed(different.values()))[: self._width]

    def _step(self, lines: Sequence[Walk]) -> None:
        """Take steps of walks, side by side."""
        best = lines[0], lines[0].trials[0]
        for number in range(1, self._settings.max_iterations + 1):
            shares = _shares(self._width, len(lines))
            ahead = [
                place
                for line, share in zip(lines, shares, strict=True)
                for place in line.step(share)
            ]
            self.record.iterations = number
            tried = self._try(number, ahead)
            if self._settings.onward == "each":
                lines = [line.seeing(trials) for line, trials in tried]
                continue
            answers = [(line, trial) for line, trials in tried for trial in trials]
            for one in answers:
                if self.record.better(one[1], best[1], self._settings.threshold):
                    best = one
            lines = [best[0].seeing([trial for _, trial in answers])]

    def _try(self, number: int, lines: Sequence[Walk]) -> list[tuple[Walk, Sequence[Trial]]]:
        """Score a round: each line's samples, all in one batch."""
        settings, samples = self._settings, self._settings.samples
        rows: list[Candidate] = []
        for place in range(len(lines) * samples):
            sampler = Sampler(
                settings.temperature,
                settings.seed,
                number,
                place,
                settings.top_p,
                self._call.constraint,
            )
            rows.append(lines[place // samples].row(sampler))
        found = self._round(rows, [line.z for line in lines], samples)
        return [(line, trials) for line, (_, trials) in zip(lines, found, strict=True) if trials]

    def _flip(self, start: Start) -> None:
        """Flip tokens of the start, one at a time; what follows each is written again."""
        settings, logits, width = self._settings, self._call.engine.logits, self._width
        z = start.whole.detach()
        prefix = start.trial.tokens[: len(z)]
        greedy = Sampler(0.0, constraint=self._call.constraint)
        count = settings.max_iterations * width
        pairs = flips(z, prefix, logits, self._call.constraint, count)
        for first in range(0, len(pairs), width):
            self.record.iterations += 1
            some = pairs[first : first + width]
            rows = [Candidate((*prefix[:place], token), greedy) for place, token in some]
            latents = [
                torch.cat([z[:place], turned(z[place], token, logits)[None]])
                for place, token in some
            ]
            self._round(rows, latents, 1)

    def _round(
        self, rows: Sequence[Candidate], latents: Sequence[torch.Tensor], samples: int
    ) -> list[Found]:
        """Score rows, ``samples`` for each set of latents; record what was scored."""
        trials: list[Trial | None] = []
        try:
            trials.extend(self._call.attempts(rows))
        except (BudgetSpent, RewardError):
            if any(trials):
                self._add(_by_latents(latents, trials, samples))
            raise
        found = _by_latents(latents, trials, samples)
        if self._add(found):
            raise _Ended("threshold")
        means = [sum(one) / len(one) for one in self.record.rewards[-self.record.rounds - 1 :]]
        if out_of_patience(means, self._settings.patience):
            raise _Ended("patience")
        return found

    def _add(self, found: Sequence[Found]) -> bool:
        """Record and report a round; return whether an answer is accepted."""
        accepted = self.record.add_round(found, self._settings.threshold)
        self._on_step(self.record)
        return accepted


def _by_latents(
    latents: Sequence[torch.Tensor], trials: Sequence[Trial | None], samples: int
) -> list[Found]:
    """Return each set of latents with its answers; those that failed, or are missing, left out."""
    return [
        (z, [trial for trial in trials[at * samples : (at + 1) * samples] if trial is not None])
        for at, z in enumerate(latents)
    ]


def _shares(width: int, lines: int) -> list[int]:
    """Part a round's width among lines, at least one each, the first ones getting what is over."""
    each, over = divmod(max(width, lines), lines)
    return [each + (number < over) for number in range(lines)]


def out_of_patience(rewards: Sequence[float], patience: int | None) -> bool:
    """Whether the mean reward, of the draft first, has not risen for ``patience`` rounds."""
    if patience is None or len(rewards) <= patience:
        return False
    return max(rewards[-patience:]) <= max(rewards[:-patience])
