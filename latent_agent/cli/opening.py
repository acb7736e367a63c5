"""Options by which every command that needs a model opens it."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from latent_agent.model.options import LoadOptions

R = TypeVar("R")

USUAL = LoadOptions()
_TAKEN = "opened"
_OPTIONS: dict[str, Any] = {
    "engine": Annotated[
        str,
        typer.Option(
            help="auto, transformers or llama.cpp. By default llama.cpp for GGUF files, if it is "
            "installed."
        ),
    ],
    "dtype": Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, float16; auto: the checkpoint's. Of transformers."),
    ],
    "device": Annotated[
        str | None, typer.Option(help="Torch device, such as cpu or cuda:1. Of transformers.")
    ],
    "threads": Annotated[
        int | None,
        typer.Option(help="CPU threads; by default one for small models, else all cores."),
    ],
    "n_ctx": Annotated[
        int | None, typer.Option(help="Positions of a prompt and its answer. Of llama.cpp.")
    ],
    "n_gpu_layers": Annotated[
        int | None, typer.Option(help="Layers on the GPU, -1 for all. Of llama.cpp.")
    ],
}


def opens_model(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of `LoadOptions`; it takes them together, as ``opened``.

    They stand where ``opened`` stands among its parameters, without being written out in each.
    """
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name != _TAKEN:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        parameters += [
            parameter.replace(name=one, annotation=kind, default=getattr(USUAL, one))
            for one, kind in _OPTIONS.items()
        ]

    @wraps(command)
    def with_options(**given: Any) -> R:
        options = {name: given.pop(name) for name in _OPTIONS}
        return command(**given, **{_TAKEN: LoadOptions(**options)})

    changed: Any = with_options
    changed.__signature__ = signature.replace(parameters=parameters)
    changed.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options
