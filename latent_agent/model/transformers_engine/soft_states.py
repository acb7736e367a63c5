"""States at a block's input, read and put in: what a soft prefix needs of a Hugging Face model."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle
from transformers import PretrainedConfig

Back = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
_NAME = "hidden_states"  # where a body gives them by name


def blocks_of(body: Any, config: PretrainedConfig) -> Sequence[Any]:
    """Return a body's blocks in order; none if it does not say where they are."""
    blocks = getattr(body, "layers", None)
    if isinstance(blocks, torch.nn.ModuleList) and len(blocks) == config.num_hidden_layers:
        return list(blocks)
    return ()


@contextmanager
def replaced(block: Any, states: torch.Tensor) -> Generator[None]:
    """Put states (rows, P, d) in the place of a block's first P input states, for one pass.

    No gradient goes back beyond them.
    """

    def put(_: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        hidden: torch.Tensor = (inputs[0] if inputs else named[_NAME]).detach()
        rest = hidden[:, states.shape[1] :]
        hidden = torch.cat([states.to(hidden.dtype), rest], dim=1)
        return ((hidden, *inputs[1:]), named) if inputs else (inputs, {**named, _NAME: hidden})

    with _hooked(block, put):
        yield


@contextmanager
def caught(block: Any) -> Generator[list[torch.Tensor]]:
    """Collect a block's input states (rows, length, d)."""
    seen: list[torch.Tensor] = []

    def take(_: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(inputs[0] if inputs else named[_NAME])

    with _hooked(block, take):
        yield seen


@contextmanager
def _hooked(block: Any, hook: Any) -> Generator[None]:
    handle: RemovableHandle = block.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


class AnswersRead:
    """Answers that were read behind soft prefixes, with the way back to their states.

    Args:
        states: The prefix's, (P, d), which require a gradient.
        output: Last states, (rows, P + longest answer, d).
        lengths: Of the answers, in tokens.
        back: Takes output, states and the output's gradient; returns the states'.
    """

    def __init__(
        self, states: torch.Tensor, output: torch.Tensor, lengths: Sequence[int], back: Back
    ) -> None:
        self._states, self._back = states, back
        first = len(states) - 1  # the state of the prefix's last token gives the first one
        self._output = output[:, first:-1]
        self.latents: Sequence[torch.Tensor] = [
            row[:length].detach().float() for row, length in zip(self._output, lengths, strict=True)
        ]

    def pull_back(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Turn gradients (T, d) with respect to latents into the states' (P, d); once."""
        wanted = torch.zeros_like(self._output)
        for row, gradient in zip(wanted, gradients, strict=True):
            row[: len(gradient)] = gradient
        return self._back(self._output, self._states, wanted)
