"""An engine without weights, for tests of chains, rewards and memories: it writes what it is told.

```python
from latent_agent import ChatLatentSeek
from latent_agent.model.fake_engine import FakeEngine

engine = FakeEngine({"What is 2 + 2?": ["5", "4"]})
chat = ChatLatentSeek(model=engine, reward=lambda question, answer: -float(answer != "4"))
chat.invoke("What is 2 + 2?")  # drafts "5", and a search finds "4"
```
"""

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from latent_agent.model import generate
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import Completion, Engine, TokenSequence, Writing
from latent_agent.model.generate import common_length
from latent_agent.model.open_answer import PassOutput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_USER, _ASSISTANT, _END = "<|user|>", "<|assistant|>", "<|end|>"
_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_FIRST, _SECOND = 1.0, 0.97  # logits of what is written, and of the reply that comes next


class FakeEngine(Engine):
    """Replies by the last human text.

    A latent holds one number for each token, and the head is the identity. Of several replies the
    first is the draft; where the second differs its token comes next, so that a gradient step
    against the first leads to it, and so on. An answer that begins like none of them ends there.

    Args:
        replies: The replies to a text, or the only one.
        default: The reply to all other texts, those of judges included.
    """

    name = "fake"
    capabilities = frozenset()
    device = torch.device("cpu")
    context_window = 4096
    place, survives_fork, threads = "the CPU", True, 1

    def __init__(
        self, replies: Mapping[str, str | Sequence[str]], default: str = "I do not know."
    ) -> None:
        self.tokenizer = _byte_tokenizer()
        end = self._ids(_END)
        self.stop_ids = frozenset(end)
        (self._answers,) = self._ids(_ASSISTANT)
        self._default = [self._ids(default) + end]
        self._replies = {
            text: [self._ids(reply) + end for reply in _several(known)]
            for text, known in replies.items()
        }
        told = json.dumps([replies, default], sort_keys=True, default=list)
        self._identity = f"fake {hashlib.sha256(told.encode()).hexdigest()}"

    @property
    def identity(self) -> str:
        """An id of what it was told."""
        return self._identity

    @property
    def vocabulary(self) -> int:
        """How many tokens there are: one for each byte, and the template's."""
        return len(self.tokenizer)

    @property
    def width(self) -> int:
        """One number for each token."""
        return self.vocabulary

    def sequence(self, budget: Budget) -> "FakeSequence":
        """Return an empty sequence."""
        return FakeSequence(self, budget)

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return how often each token comes in a prompt, (vocabulary,)."""
        length = self.vocabulary
        return [torch.bincount(torch.tensor(ids), minlength=length).float() for ids in prompts]

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Return the latents themselves."""
        return latents.clone() if tokens is None else latents[:, tokens]

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Return the gradient itself."""
        return gradient

    def following(self, ids: Sequence[int]) -> torch.Tensor:
        """Return the latent after ids, (1, vocabulary): what is written next, and its rivals."""
        answers = max(
            (place + 1 for place, token in enumerate(ids) if token == self._answers), default=0
        )
        asked, written = self.tokenizer.decode(list(ids[:answers])), list(ids[answers:])
        assert isinstance(asked, str)
        question = asked.rpartition(_USER)[2].removesuffix(_END + _ASSISTANT)
        latent = torch.zeros(1, self.vocabulary)
        score = _FIRST
        for reply in self._replies.get(question, self._default):
            token = reply[len(written) : len(written) + 1]
            if token and reply[: len(written)] == written and latent[0, token[0]] == 0:
                latent[0, token[0]] = score
                score *= _SECOND
        if score == _FIRST:
            latent[0, list(self.stop_ids)] = score
        return latent

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)


class FakeSequence(TokenSequence):
    """Ids that were read; forks are sequences too."""

    rows_at_once = 64

    def __init__(self, engine: FakeEngine, budget: Budget, ids: Sequence[int] = ()) -> None:
        self.engine, self._budget, self._ids = engine, budget, list(ids)

    def embed(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Read a prompt and return its embedding."""
        self.hold(ids, stage)
        return self.engine.embed([ids])[0]

    def write(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Write each row's answer."""
        return generate.write(self, rows, stage)

    def next_logits(self, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
        """Return the logits of what follows each prompt."""
        return generate.next_logits(self, prompts, stage)

    @contextmanager
    def batched(self) -> Generator[None]:
        """Calls share nothing."""
        yield

    def hold(self, ids: Sequence[int], stage: Stage) -> None:
        """Read what is not shared with the ids that are held."""
        self._budget.charge(stage, len(ids) - common_length([self._ids, ids]))
        self._ids = list(ids)

    def read(self, ids: Sequence[int], stage: Stage, *, latents: bool) -> PassOutput:  # noqa: ARG002
        """Hold ids; return what follows them."""
        self.hold(ids, stage)
        latent = self.engine.following(self._ids)
        return latent, latent

    def extend(self, token: int, stage: Stage) -> PassOutput:
        """Append a token; return what follows it."""
        return self.read([*self._ids, token], stage, latents=True)

    def fork(self, tails: Sequence[Sequence[int]], stage: Stage) -> "FakeRows":
        """Return rows that go on from here."""
        self._budget.charge(stage, sum(map(len, tails)))
        return FakeRows(self.engine, self._budget, stage, [[*self._ids, *tail] for tail in tails])


class FakeRows:
    """Rows that go on from a sequence."""

    def __init__(
        self, engine: FakeEngine, budget: Budget, stage: Stage, rows: Sequence[list[int]]
    ) -> None:
        self._engine, self._budget, self._rows = engine, budget, rows
        self._stage: Stage = stage

    def branch(self, rows: Sequence[int], tails: Sequence[Sequence[int]]) -> "FakeRows":
        """Return rows that go on from these."""
        self._budget.charge(self._stage, sum(map(len, tails)))
        longer = [[*self._rows[row], *tail] for row, tail in zip(rows, tails, strict=True)]
        return FakeRows(self._engine, self._budget, self._stage, longer)

    @contextmanager
    def joined(self, *, keep: bool) -> Generator[None]:  # noqa: ARG002
        """Calls share nothing."""
        yield

    def read(self, *, latents: bool) -> PassOutput:  # noqa: ARG002
        """Return what follows the rows."""
        found = torch.cat([self._engine.following(row) for row in self._rows])
        return found, found

    def step(self, tokens: Sequence[int | None]) -> PassOutput:
        """Append a token to each row that has not ended."""
        self._budget.charge(self._stage, sum(token is not None for token in tokens))
        for row, token in zip(self._rows, tokens, strict=True):
            row += [] if token is None else [token]
        return self.read(latents=True)


def _several(known: str | Sequence[str]) -> Sequence[str]:
    return [known] if isinstance(known, str) else known


def _byte_tokenizer() -> "PreTrainedTokenizerBase":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[])
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=_END)
    tokenizer.add_tokens([_USER, _ASSISTANT, "<|system|>", "<|tool|>"], special_tokens=True)
    tokenizer.chat_template = _TEMPLATE
    return tokenizer
