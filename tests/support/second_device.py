"""A second device without one: tensors on it hold their numbers in CPU memory, and do not mix.

It goes by the name of ``meta``, which torch knows everywhere. As on a GPU, an operation refuses
tensors of both devices (but for CPU scalars and copies), random numbers need a generator of their
own device, and numpy sees nothing.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

DEVICE = torch.device("meta")
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_IS_META: Any = torch.Tensor.is_meta  # which nothing is: there are numbers
_REACHES_INSIDE = (torch.Tensor.data_ptr, torch.Tensor.tolist, _IS_META.__get__)


class Elsewhere(torch.Tensor):
    """A tensor on the second device."""

    inside: torch.Tensor

    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inside.shape,
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            device=DEVICE,
        )
        made.inside = inside
        return made

    @classmethod
    def __torch_function__(cls, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _REACHES_INSIDE:
            return function(args[0].inside, *args[1:])
        if function is torch.Tensor.numpy:
            raise TypeError("can't convert a tensor of the second device to numpy")
        with torch._C.DisableTorchFunctionSubclass():  # or results would be turned into Elsewhere
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


class _Dispatch(TorchDispatchMode):
    """Lets operations that name the second device make tensors there."""

    def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Lets ``torch.tensor`` make tensors there: it never reaches an operation with the device."""

    def __torch_function__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if function is torch.tensor and _is_ours(given.get("device")):
            del given["device"]
            return Elsewhere(function(*args, **given))
        return function(*args, **given)


@contextmanager
def second_device() -> Generator[None]:
    """Let this thread make tensors on the second device."""
    with _Functions(), _Dispatch():
        yield


def moved(model: PreTrainedModel) -> PreTrainedModel:
    """Move a model to the second device."""
    anyhow: Any = model
    with second_device():
        return anyhow.to(DEVICE)


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _each(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """Change every tensor in an operation's arguments or results."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_each(one, change) for one in value)
    return value


def _computed(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute an operation in CPU memory, if its tensors are all of one device."""
    given: list[torch.Tensor] = []

    def inside(one: torch.Tensor) -> torch.Tensor:
        given.append(one)
        return one.inside if isinstance(one, Elsewhere) else one

    plain_args = _each(args, inside)
    plain = {name: _each(value, inside) for name, value in kwargs.items()}
    there = [one for one in given if isinstance(one, Elsewhere)]
    asked = kwargs.get("device")
    if there and function not in _COPIES:
        here = [one for one in given if not isinstance(one, Elsewhere) and one.dim()]
        if here or isinstance(kwargs.get("generator"), torch.Generator):
            raise RuntimeError(f"{function} must have all tensors on one device, got two")
    if asked is not None:
        plain["device"] = torch.device("cpu")
    out = function(*plain_args, **plain)
    if function is torch.ops.aten.copy_.default:
        return args[0]
    if not (there if asked is None else _is_ours(asked)):
        return out
    known = {id(one.inside): one for one in there}
    return _each(out, lambda one: known[id(one)] if id(one) in known else Elsewhere(one))
