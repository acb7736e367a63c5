"""An answer on its way to its end, token by token."""

from collections.abc import Sequence

import torch

from latent_agent.model.engine import Completion, Engine, Finish, Writing
from latent_agent.model.stop_strings import holds_stop
from latent_agent.model.thinking import Thinking

PassOutput = tuple[torch.Tensor, torch.Tensor]
"""Latents, (rows, d) float32, and their logits, (rows, vocabulary)."""


class OpenAnswer:
    """An answer that is being written.

    Args:
        engine: Reads tokens as text.
        row: What is written.

    Attributes:
        row: As given.
        tokens: Its tokens so far, those of the prefix included.
        finish: Why it has ended; None: it goes on.
    """

    def __init__(self, engine: Engine, row: Writing) -> None:
        self.row, self._engine = row, engine
        self.tokens = list(row.prefix[: row.limits.max_tokens])
        self._prefixed = len(self.tokens)
        self._thinking = Thinking(engine, row.prompt)
        self._begins = self._thinking.answer_at(self.tokens, len(self.tokens))
        self._sent = 0 if self._begins is None else len(self.tokens)
        self._latents: list[torch.Tensor] = []
        self._logits: torch.Tensor | None = None
        self._logprobs: list[float] = []
        self.finish: Finish | None = self._ended(new=len(self.tokens))

    @property
    def ids(self) -> list[int]:
        """Prompt and answer."""
        return [*self.row.prompt, *self.tokens]

    def take(self, output: PassOutput) -> None:
        """Take in the latent of the next token, and its logits, of one row."""
        if self.row.latents:
            self._latents.append(output[0][0])
        self._logits = output[1][0]

    def choose(self) -> None:
        """Choose the next token."""
        assert self._logits is not None
        self.tokens.append(self.row.sampler.choose(self._logits, self.tokens))
        if self.row.logprobs:
            logits = self._logits.float()
            self._logprobs.append(float(logits[self.tokens[-1]] - logits.logsumexp(0)))
        if self._begins is None:
            self._begins = self._thinking.answer_at(self.tokens, 1)
        if self.row.on_token is not None and self._begins is not None:
            for token in self.tokens[max(self._sent, self._begins) :]:
                self.row.on_token(token)
            self._sent = len(self.tokens)
        self.finish = self._ended(new=1)

    @property
    def new(self) -> int:
        """How many tokens stand behind its prefix."""
        return len(self.tokens) - self._prefixed

    def told(self) -> bool:
        """Tell of its end; return whether the round ends with it."""
        return self.row.on_end is not None and self.row.on_end(self.completion(), self.new)

    def _ended(self, new: int) -> Finish | None:
        if self.tokens and self.tokens[-1] in self._engine.stop_ids:
            return "stop"
        begins, limits = self._begins, self.row.limits
        if begins is not None:

            def text(ids: Sequence[int]) -> str:
                # What stands between a thought and its answer is part of neither.
                return self._engine.text(ids).lstrip() if begins else self._engine.text(ids)

            answer = self.tokens[begins:]
            if holds_stop(text, answer, limits.stop, min(new, len(answer))):
                return "stop"
        return "length" if len(self.tokens) >= limits.max_tokens else None

    def completion(self) -> Completion:
        """Return what was written."""
        parts = self._thinking.parts(self.tokens)
        none = torch.empty(0, self._engine.width, device=self._engine.device)
        return Completion(
            tokens=tuple(self.tokens),
            text=cut_at_stop(parts.answer, self.row.limits.stop),
            latents=torch.stack(self._latents) if self._latents else none,
            finish=self.finish or "discarded",
            thought_finished=parts.finished,
            logprobs=tuple(self._logprobs),
        )


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Cut a text before the first stop text in it."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text
