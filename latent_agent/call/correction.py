"""A correction as latents: the model reads the right answer after the prompt that it answered."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from latent_agent.call.stored_call import call_of
from latent_agent.errors import LatentAgentError, PromptError
from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Engine, Writing
from latent_agent.model.prompt import encode_chat, encode_text
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import KnownAnswer
from latent_agent.recall.stored_search import search_of
from latent_memory import LatentMemory, LatentMemoryError, StoredTrace, Trace, TraceError
from latent_memory.feedback.rating import correct, give_up, read_copies
from latent_memory.feedback.rows import UnreadCorrection, unread_corrections

logger = logging.getLogger(__name__)

MARGIN = 0.5  # logits by which a corrected latent's token leads: more than packing takes away
_STEPS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Corrected:
    """A correction's beginning.

    Attributes:
        tokens: Its first tokens, n of them.
        latents: Latents that decode to them, (n, d) float32.
    """

    tokens: tuple[int, ...]
    latents: torch.Tensor


def read_correction(trace: Trace, correction: str, model: SharedModel) -> Corrected:
    """Read a correction by teacher forcing, as far as the trace's latents go.

    Where the model would have gone on otherwise, its state is moved by the least that makes the
    correction's token win.

    Raises:
        PromptError: If what was asked is not stored, or the prompt does not fit.
    """
    asked = call_of(trace)
    if asked is None:
        raise PromptError(
            "a correction is read after what was asked, but that is not stored, or cannot be asked "
            "again; the rating counts all the same"
        )
    engine = model.engine()
    told, tools = asked.form.told(model.tokenizer, asked.turns)
    template = search_of(trace.settings).template
    prompt = encode_chat(model.tokenizer, told, tools, template)
    tokens = tuple(encode_text(model.tokenizer, correction.strip())[: len(trace.base)])
    window = model.context_window
    if not tokens or (window is not None and len(prompt) + len(tokens) > window):
        raise PromptError(
            f"a correction must fit behind its prompt of {len(prompt)} tokens, in a context window "
            f"of {window}, got {len(tokens)} tokens; shorten it"
        )
    budget = Budget()
    row = Writing(
        prompt=prompt,
        prefix=(),
        limits=AnswerLimits(max_tokens=len(tokens), stop=()),
        sampler=KnownAnswer(tokens),
        latents=True,
    )
    written = engine.sequence(budget).write([row], "draft")[0]
    states = written.latents[: len(tokens)].float()
    return Corrected(tokens=tokens[: len(states)], latents=won(engine, states, tokens))


def won(engine: Engine, states: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """Move states (n, d) by the least that makes each one's token lead by `MARGIN`.

    As in DeepFool (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599): along the gradient of the gap
    to the strongest rival, exact for an affine head with one rival.
    """
    z, targets = states.clone(), torch.tensor(tokens[: len(states)], device=states.device)
    for _ in range(_STEPS):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            logits = engine.logits(z).float()
            own = logits.gather(-1, targets[:, None])[:, 0]
            rival = logits.scatter(-1, targets[:, None], -torch.inf).amax(-1)
            gap = own - rival
            if bool((gap >= MARGIN).all()):
                break
            (slope,) = torch.autograd.grad(gap.sum(), z)
        missing = (1.1 * MARGIN - gap).clamp_min(0.0) * (gap < MARGIN)
        z = z + slope * (missing / slope.square().sum(-1).clamp_min(1e-12))[:, None]
    return z.detach()


def read_waiting(
    memory: LatentMemory, model: SharedModel, namespace: str, most: int = 1_000_000
) -> int:
    """Read the corrections of a namespace that wait for this model; return how many it read.

    One that the model cannot read is given up, with a warning: its text stays.

    Args:
        memory: Where they are.
        model: The model; corrections of another one's answers wait on.
        namespace: Whose answers they correct.
        most: How many are looked at.
    """
    with memory.database.read() as connection:
        waiting = unread_corrections(connection, namespace, most)
    copies = {copy.id: copy for copy in read_copies(memory.database, waiting)} if waiting else {}
    read = 0
    for correction in waiting:
        copy = copies.get(correction.rated)
        if copy is not None and _made_by(model, copy.trace):
            read += _read(memory, model, correction, copy)
    return read


def _made_by(model: SharedModel, trace: Trace) -> bool:
    return search_of(trace.settings).fingerprint(model) == trace.shelf.fingerprint


def _read(
    memory: LatentMemory, model: SharedModel, correction: UnreadCorrection, copy: StoredTrace
) -> bool:
    try:
        corrected = read_correction(copy.trace, correction.text, model)
        base = copy.trace.base[: len(corrected.latents)]
        latents = corrected.latents.cpu().numpy()
        return correct(memory.database, correction, copy, base, latents, corrected.tokens)
    except (LatentAgentError, LatentMemoryError) as error:
        logger.warning("the correction of trace %d cannot be read: %s", correction.trace, error)
        if isinstance(error, (PromptError, TraceError)):  # it would fail again
            give_up(memory.database, correction)
        return False
