"""Writes the answers of one call: the draft, and what follows a prefix."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from latent_agent.call.progress import Report
from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Completion, Engine, Writing
from latent_agent.model.logits_mask import Constraint
from latent_agent.model.sampling import Sampler
from latent_agent.search.prefix import read_prefix
from latent_agent.search.types import Row
from latent_agent.settings import Settings


class Writer:
    """Writes the answers to one prompt.

    Two things make a call cheap, both exact: the prompt is read once, and with greedy decoding an
    answer depends on the latents only through their tokens, so a prefix seen before has a known
    answer and a step that changes no token calls no model.

    Args:
        engine, settings, prompt, budget, constraint: The call's; the prompt as ids.
        report: Called with the event ``draft`` once the draft is written.
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
    ) -> None:
        self._engine, self._settings, self._prompt = engine, settings, prompt
        self._budget, self._report, self._on_draft = budget, report, on_draft
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
        if fixed is None:
            return self.draft()
        if self._opening is None:
            limits = replace(self._limits, max_tokens=min(fixed, self._limits.max_tokens))
            self._opening = self._write_draft((), limits)
        return self._opening

    def draft(self) -> Completion:
        """Write the first answer, greedy unless the settings say otherwise."""
        if self.drafted is None:
            begun = self._opening or self._write_draft((), self._limits)
            draft = begun
            if begun is self._opening and begun.finish == "length":
                rest = self._write_draft(begun.tokens, self._limits)
                draft = replace(rest, latents=torch.cat([begun.latents, rest.latents]))
            self.drafted = draft
            if draft.finish not in ("time", "tokens"):
                self._completions[draft.tokens[: len(self.base())]] = draft
            self._report("draft", text=draft.text, tokens=len(draft.tokens), finish=draft.finish)
        return self.drafted

    def base(self) -> torch.Tensor:
        """Return the first latents of the greedy draft, (N, d): LatentEvolve's equation 4."""
        begun = self.drafted or self.opening()
        return begun.latents[: self._settings.prefix_length(len(begun.tokens))]

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

    def new_prefix(self, latents: torch.Tensor) -> tuple[int, ...] | None:
        """Return the prefix that latents (N, d) stand for; None if what follows it is known."""
        begun = self.opening().tokens
        prefix = read_prefix(self.decode, begun, self._settings, latents, self.greedy)
        known = prefix == begun[: len(prefix)] or prefix in self._completions
        return None if known else prefix

    def continue_all(self, rows: Sequence[Row]) -> list[Completion]:
        """Continue prefixes to whole answers, in one batch; a finish says what a budget cut off.

        Raises:
            BudgetSpent: If a budget is spent already.
        """
        self._budget.charge("refine", 0)  # time runs out also where nothing is forwarded
        # Greedy rows of one prefix are one answer; each sampled row is its own.
        keys = [prefix if sampler.greedy else place for place, (prefix, sampler) in enumerate(rows)]
        row = Writing(prompt=self._prompt, limits=self._limits, latents=False)
        new = {
            key: replace(row, prefix=prefix, sampler=sampler)
            for key, (prefix, sampler) in zip(keys, rows, strict=True)
            if key not in self._completions
        }
        answers = self._sequence.write(list(new.values()), "refine") if new else ()
        written = dict(zip(new, answers, strict=True))
        for key, completion in written.items():
            if isinstance(key, tuple) and completion.finish not in ("time", "tokens"):
                self._completions[key] = completion
        return [written.get(key) or self._completions[key] for key in keys]

    def _write_draft(self, prefix: tuple[int, ...], limits: AnswerLimits) -> Completion:
        row = Writing(
            prompt=self._prompt,
            prefix=prefix,
            limits=limits,
            sampler=self._drafting,
            on_token=self._on_draft,
        )
        return self._sequence.write([row], "draft")[0]
