"""Writes the answers of one call: the draft, and what follows a prefix."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from latent_agent.call.progress import Report
from latent_agent.errors import BudgetSpent, ModelError
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import (
    AnswerLimits,
    Completion,
    Engine,
    OnEnd,
    SoftSequence,
    Writing,
)
from latent_agent.model.generate import common_length
from latent_agent.model.logits_mask import Constraint
from latent_agent.model.sampling import Sampler
from latent_agent.model.soft_prefix import SoftPass, SoftPrefix
from latent_agent.search.prefix import read_prefix, until_change
from latent_agent.search.token_flip import turned
from latent_agent.search.types import Candidate
from latent_agent.settings import Settings


class Writer:
    """Writes the answers to one prompt.

    Two things make a call cheap, both exact: the prompt is read once, and with greedy decoding an
    answer depends on the latents only through their tokens, so a prefix seen before has a known
    answer and a step that changes no token calls no model.

    Args:
        engine, settings, prompt, budget, constraint: The call's; the prompt as ids.
        report: Called with the event ``draft`` once the draft is written.
        logprobs: Whether answers come with the log-probabilities of their tokens.
        on_draft: Given the draft's tokens, one by one, as they are made.

    Attributes:
        drafted: The draft, once it is written.
        greedy: Decodes greedily what the constraint allows.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        prompt: list[int],
        budget: Budget,
        constraint: Constraint,
        report: Report,
        on_draft: Callable[[int], None] | None = None,
        *,
        logprobs: bool = False,
    ) -> None:
        self._engine, self._settings, self._prompt = engine, settings, prompt
        self._budget, self._report, self._on_draft = budget, report, on_draft
        self._logprobs = logprobs
        room = (engine.context_window or len(prompt) + settings.max_tokens) - len(prompt)
        self._limits = AnswerLimits(max_tokens=min(settings.max_tokens, room), stop=settings.stop)
        self._sequence = engine.sequence(budget)
        self.greedy = self._drafting = Sampler(0.0, constraint=constraint)
        if settings.sample_draft or settings.max_iterations == 0:
            self._drafting = Sampler(
                settings.temperature, settings.seed, top_p=settings.top_p, constraint=constraint
            )
        self._opening: Completion | None = None
        self.drafted: Completion | None = None
        self._completions: dict[tuple[int, ...] | int, Completion] = {}  # of greedy prefixes

    def embed(self) -> torch.Tensor:
        """Read the prompt and return its embedding, (d,) float32.

        Raises:
            BudgetSpent: If the prompt alone breaks a budget.
        """
        return self._sequence.embed(self._prompt, "draft")

    def opening(self) -> Completion:
        """Draft no more than the latents that are optimised: all of it, unless N is fixed."""
        fixed = self._settings.prefix_tokens
        if fixed is None or self.drafted is not None:
            return self.draft()
        if self._opening is None:
            limits = replace(self._limits, max_tokens=min(fixed, self._limits.max_tokens))
            row = replace(self._row((), self._drafting), limits=limits, on_token=self._on_draft)
            self._opening = self._sequence.write([row], "draft")[0]
        return self._opening

    def draft(self) -> Completion:
        """Write the first answer, greedy unless the settings say otherwise."""
        if self.drafted is None:
            self.starts((), range(0))
        assert self.drafted is not None
        return self.drafted

    def starts(
        self,
        prefixes: Sequence[tuple[int, ...]],
        samples: range,
        *,
        draft: bool = True,
        on_end: Sequence[OnEnd] = (),
    ) -> list[Completion]:
        """Write what follows prefixes, the draft and sampled drafts, in one batch.

        Those have latents that a search may begin from.

        Args:
            prefixes: Decoded greedily from latents.
            samples: Numbers of the sampled drafts, from 1 on.
            draft: Whether to write the draft too, if it is not known.
            on_end: What hears of the end of each, in the order of what is returned, the draft last;
                may be left out.

        Returns:
            What follows the prefixes, then the sampled drafts; the draft is `drafted`.
        """
        latents = self._settings.starts == "all"
        rows = [replace(self._row(prefix, self.greedy), latents=latents) for prefix in prefixes]
        rows += [self._row((), self._draft_sampler(number)) for number in samples]
        begun = self._opening
        goes_on = draft and self.drafted is None
        if begun is not None and begun.finish != "length":
            goes_on = goes_on and bool(on_end)  # it has ended, and that is still to be told
        if goes_on:
            row = self._row(() if begun is None else begun.tokens, self._drafting)
            rows.append(replace(row, on_token=self._on_draft))
        if on_end:
            *others, of_draft = on_end
            told = [*others, partial(_whole_told, of_draft, begun)]
            rows = [replace(row, on_end=one) for row, one in zip(rows, told, strict=False)]
        stage: Stage = "draft" if draft or samples else "refine"
        written = self._sequence.write(rows, stage) if rows else []
        if goes_on:
            *written, rest = written
            begun = _joined(begun, rest)
        if draft and self.drafted is None and begun is not None:
            self._take(begun)
        for prefix, completion in zip(prefixes, written, strict=False):
            self._know(prefix, completion)
        return written

    def _take(self, draft: Completion) -> None:
        self.drafted = draft
        self._know(draft.tokens[: len(self.base())], draft)
        if draft.finish != "discarded":
            self._report("draft", text=draft.text, tokens=len(draft.tokens), finish=draft.finish)

    def _draft_sampler(self, number: int) -> Sampler:
        settings = self._settings
        return Sampler(
            settings.draft_temperature,
            settings.seed,
            sample=number,
            top_p=settings.top_p,
            constraint=self.greedy.constraint,
        )

    def base(self) -> torch.Tensor:
        """Return the first latents of the greedy draft, (N, d): LatentEvolve's equation 4."""
        begun = self.drafted or self.opening()
        return begun.latents[: self._settings.prefix_length(len(begun.tokens))]

    def as_latents(self, sampled: Completion) -> tuple[tuple[int, ...], torch.Tensor]:
        """Return the prefix of a sampled draft, and latents that greedily stand for it, (n, d).

        Up to where it leaves the draft they are the draft's. A latent whose likeliest token is
        another is turned until it is the one that was sampled.
        """
        draft, base = self.draft(), self.base()
        length = min(self._settings.prefix_length(len(sampled.tokens)), len(base))
        tokens = sampled.tokens[:length]
        shared = common_length([tokens, draft.tokens])
        latents = torch.cat([base[: shared + 1], sampled.latents[shared + 1 :]])[:length]
        for place in range(shared, length):
            latents[place] = turned(latents[place], tokens[place], self._engine.logits)
        if self._settings.rest == "anew":
            tokens = until_change(tokens, draft.tokens)
        return tokens, latents

    def decode(self, latents: torch.Tensor, sampler: Sampler) -> tuple[int, ...]:
        """Choose a token for each latent (N, d), up to and with the first stop token.

        Greedily, a position whose latent is the draft's keeps the draft's token: a head that
        rounds otherwise than the engine did could pick another.
        """
        begun = self.drafted or self.opening()
        known: dict[int, int] = {}
        if sampler.greedy:
            common = min(len(latents), len(begun.latents))
            unmoved = (latents[:common] == begun.latents[:common]).all(-1).tolist()
            known = {t: begun.tokens[t] for t, same in enumerate(unmoved) if same}
        return self._engine.decode(latents, sampler, known)

    def new_prefix(self, latents: torch.Tensor, *, whole: bool = False) -> tuple[int, ...] | None:
        """Return the prefix that latents (N, d) stand for; None if what follows it is known.

        With ``whole`` all tokens are kept; else the settings say which.
        """
        begun = self.opening().tokens
        settings = replace(self._settings, rest="kept") if whole else self._settings
        prefix = read_prefix(self.decode, begun, settings, latents, self.greedy)
        known = prefix == begun[: len(prefix)] or prefix in self._completions
        return None if known else prefix

    def continue_all(
        self, rows: Sequence[Candidate], on_end: OnEnd | None = None
    ) -> list[Completion]:
        """Continue prefixes to whole answers, in one batch; a finish says what was cut off.

        Args:
            rows: What is continued.
            on_end: Hears of the end of each that is not known; may end the round.

        Raises:
            BudgetSpent: If a budget is spent already.
        """
        self._budget.charge("refine", 0)  # time runs out also where nothing is forwarded
        # Greedy rows of one prefix are one answer; each sampled row is its own.
        keys = [
            row.prefix if row.sampler.greedy and row.soft is None else place
            for place, row in enumerate(rows)
        ]
        new = {
            key: replace(self._continued(row), on_end=on_end)
            for key, row in zip(keys, rows, strict=True)
            if key not in self._completions
        }
        answers = self._sequence.write(list(new.values()), "refine") if new else ()
        written = dict(zip(new, answers, strict=True))
        for key, completion in written.items():
            if isinstance(key, tuple):
                self._know(key, completion)
        return [written.get(key) or self._completions[key] for key in keys]

    def soft_prefix(self, ids: tuple[int, ...], block: int) -> SoftPrefix:
        """Return tokens behind the prompt, with their own states at a block's input.

        Raises:
            BudgetSpent: If reading them would break a budget.
                Also if they leave no room for an answer.
        """
        if self._behind(len(ids)).max_tokens < 1:
            raise BudgetSpent("tokens")
        states = self._soft_sequence().block_states(self._prompt, ids, block, "refine")
        return SoftPrefix(ids=ids, block=block, states=states)

    def soft_pass(self, soft: SoftPrefix, answers: Sequence[tuple[int, ...]]) -> SoftPass:
        """Read answers behind the prompt and a soft prefix, with gradients.

        A draft, which was written without the prefix, may not fit the window: then its end is cut.
        """
        room = self._behind(len(soft.ids)).max_tokens
        read = [answer[:room] for answer in answers]
        return self._soft_sequence().soft_pass(self._prompt, soft, read, "refine")

    def _soft_sequence(self) -> SoftSequence:
        if not isinstance(self._sequence, SoftSequence):
            raise ModelError(
                "a soft prefix needs states at a block's input, which the engine "
                f"{self._engine.name} does not take; use search='gradient'"
            )
        return self._sequence

    def _continued(self, row: Candidate) -> Writing:
        written = replace(self._row(row.prefix, row.sampler), latents=row.soft is not None)
        if row.soft is None:
            return written
        return replace(written, soft=row.soft, limits=self._behind(len(row.soft.ids)))

    def _behind(self, length: int) -> AnswerLimits:
        """Return the limits of an answer behind so many tokens more."""
        window = self._engine.context_window
        if window is None:
            return self._limits
        room = window - len(self._prompt) - length
        return replace(self._limits, max_tokens=min(self._limits.max_tokens, room))

    def _know(self, prefix: tuple[int, ...], completion: Completion) -> None:
        if completion.whole:
            self._completions[prefix] = completion

    def _row(self, prefix: tuple[int, ...], sampler: Sampler) -> Writing:
        return Writing(
            prompt=self._prompt,
            prefix=prefix,
            limits=self._limits,
            sampler=sampler,
            logprobs=self._logprobs,
        )


def _joined(begun: Completion | None, rest: Completion) -> Completion:
    """Return a draft that was written in two parts."""
    parts = [rest] if begun is None else [begun, rest]
    return replace(
        rest,
        latents=torch.cat([one.latents for one in parts]),
        logprobs=sum((one.logprobs for one in parts), ()),
    )


def _whole_told(on_end: OnEnd, begun: Completion | None, rest: Completion, token: int) -> bool:
    """Tell of the end of a draft that was written in two parts."""
    return on_end(_joined(begun, rest), token)
