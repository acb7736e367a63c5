"""What a trace does not hold, shown by the model that made it: the draft, and tokens as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from latent_agent.call.call import Call
from latent_agent.call.stored_call import call_of
from latent_agent.errors import ModelError
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import Sampler
from latent_agent.recall.stored_search import search_of
from latent_agent.reward import SelfReward
from latent_agent.settings import settings_for
from latent_memory.trace import Trace

_NEAR = 0.05  # of a latent's length: more than any rounding, less than any other prompt moves it


@dataclass(frozen=True, kw_only=True)
class Redraft:
    """A trace's draft.

    Attributes:
        before: The tokens that the draft's latents decode to, as text.
        after: The winning tokens, as text.
        text: The whole draft; None if what was asked is not stored, or does not lead to these
            latents.
    """

    before: Sequence[str]
    after: Sequence[str]
    text: str | None


def redraft(trace: Trace, model: SharedModel, name: str) -> Redraft:
    """Decode a trace's latents, and write its draft again.

    Args:
        trace: The trace.
        model: The model that made it.
        name: What the model is called, for the error.

    Raises:
        ModelError: If the trace is another model's, or there is no such model.
        PromptError: If the conversation makes no prompt.
    """
    searched = search_of(trace.settings)
    ours, theirs = searched.fingerprint(model), trace.shelf.fingerprint
    if ours != theirs:
        raise ModelError(
            f"a draft is shown by the model that made it, but the trace's fingerprint is "
            f"{theirs[:8]!r}, and {name!r} has {ours[:8]!r}; give the model with --model"
        )
    engine = model.engine()
    base = torch.from_numpy(trace.base).to(engine.device)
    return Redraft(
        before=[engine.text([token]) for token in engine.decode(base, Sampler(0.0))],
        after=[
            engine.text([token]) if token < engine.vocabulary else f"unknown token {token}"
            for token in trace.tokens
        ],
        text=_written(trace, searched.template, model),
    )


def _written(trace: Trace, template: Mapping[str, Any], model: SharedModel) -> str | None:
    """Answer what was asked as drafts are, if that leads to the latents."""
    asked = call_of(trace)
    if asked is None:
        return None
    prompt = encode_chat(model.tokenizer, asked.turns, asked.tools, template)
    settings = settings_for(chat_template_kwargs=template)
    draft = Call(model, settings, SelfReward(), asked.turns, prompt).writer.draft()
    stored = torch.from_numpy(trace.base)
    made = draft.latents[: len(stored)].cpu()
    if made.shape != stored.shape:
        return None
    gaps = (made - stored).norm(dim=-1) / stored.norm(dim=-1).clamp_min(1e-9)
    return draft.text if bool((gaps <= _NEAR).all()) else None
