"""The engine seam: what the method needs of a model, whatever runs it.

A latent ``z_t`` is the last hidden state after the final norm, the one that the LM head turns into
the distribution of answer token ``x_t`` (arXiv 2505.13308, section 3).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch

from latent_agent.errors import ModelError
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.sampling import GREEDY, Sampler
from latent_agent.model.soft_prefix import SoftPass, SoftPrefix

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = 8  # latents whose logits are held at a time: all N of a large vocabulary take much memory

Capability = Literal["block_gradients", "block_states", "state_offsets"]
"""What only some engines could do, for a search to name: gradients through blocks, states put in at
a block's input, and offsets on last hidden states while an answer is written."""

Finish = Literal["stop", "length", "time", "tokens", "discarded"]


@dataclass(frozen=True, kw_only=True)
class AnswerLimits:
    """Where an answer ends: length in tokens, the window's room included, and stop texts.

    A thought counts towards the length, and no stop text ends it.
    """

    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Writing:
    """One row that is to be written.

    Attributes:
        prompt: Ids of the prompt.
        soft: What stands between prompt and answer. Rows that are written together all have one, of
            the same length, behind the same prompt and without a `prefix`; or none has.
        prefix: First ids of the answer; may be empty, may already end it.
        limits: Where the answer ends at the latest.
        sampler: Chooses each token.
        latents: Whether the latents of what follows the prefix are wanted.
        logprobs: Whether the log-probabilities of what follows the prefix are wanted.
        on_token: Given each token of the answer as it is made; those of a thought are left out.
        on_end: Where rows are written together: given the answer once it has ended, and how many
            tokens behind the prefix it took. True ends the round with this token: rows that are
            not that far yet end there too, and those that go on are ``discarded``. Other calls'
            passes do not wait for it.
    """

    prompt: Sequence[int]
    soft: SoftPrefix | None = None
    prefix: Sequence[int] = ()
    limits: AnswerLimits
    sampler: Sampler = GREEDY
    latents: bool = True
    logprobs: bool = False
    on_token: Callable[[int], None] | None = None
    on_end: "OnEnd | None" = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer.

    Attributes:
        tokens: Its ids, those of the prefix and a stop token included.
        text: Without thought, stop token and stop text.
        latents: Those of the tokens after the prefix, (T - len(prefix), d) float32; none where
            none were wanted.
        finish: Why it ended; ``time`` and ``tokens`` are budgets, ``discarded`` is not its own end
            but that of its round.
        thought_finished: False if there is nothing but a thought.
        logprobs: Natural log-probabilities of the tokens after the prefix, at temperature 1 and
            without a constraint, whatever drew them; none where none were wanted.
    """

    tokens: tuple[int, ...]
    text: str
    latents: torch.Tensor
    finish: Finish
    thought_finished: bool = True
    logprobs: tuple[float, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it came to its own end."""
        return self.finish not in ("time", "tokens", "discarded")


OnEnd = Callable[[Completion, int], bool]
"""Takes an answer that has ended, and its tokens behind the prefix; True ends its round."""


class TokenSequence(ABC):
    """Token ids that an engine has read, and keeps: a prompt is read once.

    What is read next goes back to what it shares with the ids that are kept.
    """

    @abstractmethod
    def embed(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Read a prompt into the empty sequence and return its embedding, (e,) float32.

        Raises:
            BudgetSpent: If the prompt alone breaks a budget.
        """

    @abstractmethod
    def write(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Write each row's answer, all at once; what their prompts share is read once.

        If a budget is spent, the answers are what was written up to there.
        """

    @abstractmethod
    def next_logits(self, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
        """Return the logits of what follows each prompt, (rows, vocabulary) float32.

        Raises:
            BudgetSpent: If reading them would break a budget.
        """


class SoftSequence(TokenSequence):
    """A sequence that takes states at a block's input, with gradients back to them.

    What the engines give that are capable of ``block_states`` and ``block_gradients``.
    """

    @abstractmethod
    def block_states(
        self, prompt: Sequence[int], ids: Sequence[int], block: int, stage: Stage
    ) -> torch.Tensor:
        """Return the states of ids behind a prompt at a block's input, (P, d) float32.

        Raises:
            BudgetSpent: If reading them would break a budget.
        """

    @abstractmethod
    def soft_pass(
        self,
        prompt: Sequence[int],
        soft: SoftPrefix,
        answers: Sequence[Sequence[int]],
        stage: Stage,
    ) -> SoftPass:
        """Read answers, none of them empty, behind a prompt and a soft prefix.

        Raises:
            BudgetSpent: If reading them would break a budget.
        """


class Engine(ABC):
    """A frozen causal LM with its tokenizer.

    Attributes:
        name: Of what runs the model.
        capabilities: What it can do beyond this seam.
        tokenizer: The model's, with its chat template.
        device: Where latents and logits lie.
        stop_ids: What ends an answer.
        context_window: How many positions a prompt and its answer may take; None: no limit.
        place: Where it computes, for messages.
        survives_fork: Whether a child that is forked can use it too.
        threads: How many threads of the CPU compute.
        good_width: How many answers it writes for little more time than one.
        blocks: At how many blocks' inputs it takes states.
        vocabulary: How many logits the head makes.
        width: How many numbers a latent has (d).
    """

    name: str
    capabilities: frozenset[Capability]
    tokenizer: "PreTrainedTokenizerBase"
    device: torch.device
    stop_ids: frozenset[int]
    context_window: int | None
    place: str
    survives_fork: bool
    threads: int
    good_width: int = 1
    blocks: int = 0

    @property
    def identity(self) -> str:
        """An id of its weights as it computes with them; of an engine that is given as a model.

        Raises:
            ModelError: If it has none: then what its source says of them counts.
        """
        raise ModelError(
            f"an engine that is given as a model must have an identity, got {type(self).__name__}; "
            "give the model's name or file instead"
        )

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """How many logits the head makes."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers a latent has (d)."""

    @abstractmethod
    def sequence(self, budget: Budget) -> TokenSequence:
        """Return an empty sequence, which books forwarded tokens in a call's budget."""

    @abstractmethod
    def embed(self, prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return the embeddings of prompts, (e,) float32 each: what `TokenSequence.embed` does."""

    @abstractmethod
    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Turn latents (N, d) into logits (N, vocabulary), float32 and differentiable.

        Args:
            latents: The latents.
            tokens: Ids, (M,), to which the vocabulary is cut: the logits are (N, M) then.
        """

    @abstractmethod
    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn the gradient of a sum with respect to logits into that with respect to latents.

        Args:
            latents: Where the logits were taken, (N, d).
            gradient: With respect to `logits`, (N, vocabulary) float32; overwritten.

        Returns:
            The gradient with respect to the latents, (N, d) float32.
        """

    @torch.no_grad()
    def decode(
        self,
        latents: torch.Tensor,
        sampler: Sampler,
        known: Mapping[int, int] = MappingProxyType({}),
    ) -> tuple[int, ...]:
        """Choose a token for each latent (N, d), up to and with the first stop token.

        Args:
            latents: The latents.
            sampler: Chooses.
            known: Tokens by position that are known already. The head as it is computed here may
                round otherwise than where the answer was written, and pick another.
        """
        tokens: list[int] = []
        as_known = True  # so far: a constraint allowed the known tokens after each other alone
        for first in range(0, len(latents), ROWS):
            rows, scores = latents[first : first + ROWS], None
            for place in range(first, first + len(rows)):
                token = known.get(place)
                if token is None or not (sampler.free or as_known):
                    scores = self.logits(rows) if scores is None else scores
                    token = sampler.choose(scores[place - first], tokens)
                tokens.append(token)
                as_known = as_known and token == known.get(place)
                if token in self.stop_ids:
                    return tuple(tokens)
        return tuple(tokens)

    def text(self, tokens: Sequence[int]) -> str:
        """Decode answer tokens without stop tokens; whitespace stays as it is."""
        kept = [token for token in tokens if token not in self.stop_ids]
        text: Any = self.tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text
