"""What may be stored and searched for: checked once, here, at the memory's door."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent_memory.codec import LARGEST
from latent_memory.errors import TraceError
from latent_memory.trace import Matrix, Shelf, Trace, Vector

MAX_NAME = 200
MAX_CONVERSATION = 65_536  # characters
MAX_ROWS = 65535
MAX_WIDTH = 2**20
MAX_TOKEN = 2**31 - 1


def check_name(what: str, name: object) -> str:
    """Return a name if it is one: any text of 1 to 200 characters without NUL.

    Raises:
        TraceError: If it is not.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or "\0" in name:
        raise TraceError(
            f"{what} must be a text of 1 to {MAX_NAME} characters without NUL, got "
            f"{_brief(name)}; choose another"
        )
    check_text(what, name)
    return name


def check_text(what: str, text: str | None) -> None:
    """Raise TraceError if a text is not valid Unicode."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise TraceError(
            f"{what} must be valid Unicode, got a lone surrogate at {error.start} in "
            f"{_brief(text)}; remove it, for example with .encode(errors='replace').decode()"
        ) from None


def _check_length(what: str, text: str | None) -> None:
    check_text(what, text)
    if text is not None and len(text) > MAX_CONVERSATION:
        raise TraceError(
            f"{what} must have at most {MAX_CONVERSATION} characters, got {len(text)}; store '' in "
            "place of a longer one"
        )


def check_shelf(shelf: Shelf) -> None:
    """Raise TraceError if a shelf's names are not names."""
    for what in ("namespace", "fingerprint", "reward"):
        check_name(what, getattr(shelf, what))


def check_embedding(embedding: object) -> Vector:
    """Return an embedding as (e,) float32; raise TraceError if it is none."""
    vector = _floats("embedding", embedding)
    check_shape("embedding", vector.shape)
    if np.linalg.norm(vector.astype(np.float64)) >= 1e19:  # its square overflows float32
        raise TraceError(
            "embedding must have a length below 1e19, got a number as large as "
            f"{float(np.abs(vector).max())!r}; scale it down"
        )
    return vector


def check_shape(what: str, shape: Sequence[int]) -> None:
    """Raise TraceError if ``embedding``, ``base`` or ``optimised`` may not have a shape."""
    if what == "embedding":
        if len(shape) != 1 or not 1 <= shape[0] <= MAX_WIDTH:
            raise TraceError(
                f"embedding must be one vector of 1 to {MAX_WIDTH} numbers, got shape "
                f"{tuple(shape)}; pass one row"
            )
        return
    rows, width = shape if len(shape) == 2 else (0, 0)
    if not (1 <= rows <= MAX_ROWS and 1 <= width <= MAX_WIDTH):
        raise TraceError(
            f"{what} latents must be (N, d) with N from 1 to {MAX_ROWS} and d from 1 to "
            f"{MAX_WIDTH}, got shape {tuple(shape)}; pass one row a token"
        )


def check_trace(trace: Trace) -> Trace:
    """Return a trace with its arrays as float32, if everything in it can be stored.

    Raises:
        TraceError: If not.
    """
    check_shelf(trace.shelf)
    check_text("query", trace.query)
    check_text("answer", trace.answer)
    for what in ("conversation", "settings"):
        _check_length(what, getattr(trace, what))
    check_name("stopped", trace.stopped)
    if trace.prior is not None:
        check_name("prior", trace.prior)
    base, optimised = _latents("base", trace.base), _latents("optimised", trace.optimised)
    if base.shape != optimised.shape:
        raise TraceError(
            f"base and optimised latents must have one shape, got {base.shape} and "
            f"{optimised.shape}; cut both to the same positions"
        )
    if len(trace.tokens) > len(base):
        raise TraceError(
            f"tokens must be at most one a latent, got {len(trace.tokens)} for {len(base)} "
            "latents; keep the first ones"
        )
    return replace(
        trace,
        embedding=check_embedding(trace.embedding),
        base=base,
        optimised=optimised,
        tokens=tuple(_whole("tokens", token, MAX_TOKEN) for token in trace.tokens),
        score=_reward(trace.score),
        rewards=tuple(map(_round, trace.rewards)),
        steps=_whole("steps", trace.steps),
        neighbours=tuple(_whole("neighbours", neighbour) for neighbour in trace.neighbours),
    )


def _latents(what: str, latents: object) -> Matrix:
    matrix = _floats(f"{what} latents", latents)
    check_shape(what, matrix.shape)
    if (largest := float(np.abs(matrix).max())) > LARGEST:
        raise TraceError(
            f"{what} latents must lie within ±{LARGEST:.0f}, got {largest!r}; was the model's "
            "final norm left out?"
        )
    return matrix


def _floats(what: str, values: Any) -> NDArray[np.float32]:
    try:
        if np.iscomplexobj(values):
            raise TraceError(
                f"{what} must be an array of real numbers, got complex ones; pass their real part"
            )
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused below
            array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise TraceError(
            f"{what} must be an array of numbers, got {_brief(values)}; pass NumPy arrays"
        ) from error
    if not np.isfinite(array).all():
        where = tuple(int(at) for at in np.argwhere(~np.isfinite(array))[0])
        raise TraceError(
            f"{what} must be finite, got {float(array[where])!r} at {where}; drop what was made of "
            "it, or run the model in float32"
        )
    return array


def _round(rewards: Any) -> tuple[float, ...]:
    if isinstance(rewards, Real) or not rewards:
        raise TraceError(
            f"rewards must be one tuple of numbers for each round, got {_brief(rewards)}; write "
            "((-0.5,), (-0.2, 0.0)) for one answer and then two"
        )
    return tuple(map(_reward, rewards))


def _reward(reward: Any) -> float:
    if isinstance(reward, bool) or not isinstance(reward, Real) or not -1 <= float(reward) <= 0:
        raise TraceError(
            f"rewards must be numbers in [-1, 0], got {_brief(reward)}; of a quality in [0, 1] "
            "subtract 1"
        )
    return float(reward)


def _whole(what: str, number: Any, most: int = 2**63 - 1) -> int:
    if isinstance(number, bool) or not isinstance(number, Integral) or not 0 <= int(number) <= most:
        raise TraceError(
            f"{what} must be whole numbers from 0 to {most}, got {_brief(number)}; give an int"
        )
    return int(number)


def _brief(value: object) -> str:
    shown = repr(value)
    count = len(value) if isinstance(value, str) else len(shown)
    return shown if len(shown) <= 80 else f"{shown[:60]}... ({count} characters)"
