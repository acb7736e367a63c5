"""How a model is opened: by which engine, on what, in which precision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from latent_agent.errors import ModelError
from latent_agent.model.cores import cores

EngineName = Literal["auto", "transformers", "llama.cpp"]
_OF: Mapping[EngineName, tuple[str, ...]] = {
    "transformers": ("dtype", "device", "model_kwargs"),
    "llama.cpp": ("n_ctx", "n_gpu_layers"),
}


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a model is opened; two that are equal share their model.

    Attributes:
        engine: What runs the model; ``auto``: llama.cpp for a GGUF file where it is installed,
            transformers for all else.
        dtype: Name of a torch dtype, or ``auto`` for the checkpoint's; None: float32, and on a
            CPU that multiplies bfloat16, bfloat16 for a checkpoint in half precision. Of
            transformers.
        device: Torch device; None: CUDA where there is one, else the CPU. Of transformers.
        threads: Threads of the CPU that compute; None: one for a small model, else all cores.
        n_ctx: Positions that a prompt and its answer may take; None: as many as the model was
            trained on, 8,192 at most. Of llama.cpp.
        n_gpu_layers: Layers on the GPU, -1 for all; None: all, where llama.cpp was built for one.
            Of llama.cpp.
        model_kwargs: Further arguments of ``from_pretrained``. Of transformers.
    """

    engine: EngineName = "auto"
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    n_ctx: int | None = None
    n_gpu_layers: int | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise ModelError(
                f"engine must be one of {', '.join(get_args(EngineName))}, got {self.engine!r}; "
                "leave it out for the one that fits the model"
            )
        for name, least in (("threads", 1), ("n_ctx", 1), ("n_gpu_layers", -1)):
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or value < least
            ):
                raise ModelError(
                    f"{name} must be a whole number of {least} or more, got {value!r}; leave it "
                    "out for the default"
                )
        if self.threads is not None and self.threads > cores():
            raise ModelError(
                f"threads must be no more than the cores that this process may use, got "
                f"{self.threads!r}; give {cores()} or fewer, or leave it out"
            )

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not left to their defaults, by name."""
        plain = LoadOptions()
        named = {name: getattr(self, name) for name in LOAD_OPTIONS}
        return {name: value for name, value in named.items() if value != getattr(plain, name)}

    def check_for(self, engine: EngineName) -> None:
        """Refuse what has no effect on a model that an engine runs.

        Raises:
            ModelError: If an option of another engine is given.
        """
        for other, names in _OF.items():
            foreign = [name for name in names if name in self.given]
            if foreign and other != engine:
                raise ModelError(
                    f"a model that {engine} runs takes no options of {other}, got "
                    f"{', '.join(foreign)}; leave them out, or give a model that {other} runs"
                )

    def check_made(self, what: str, *able: str) -> None:
        """Refuse what comes too late for a model that somebody made.

        Args:
            what: What was given as the model.
            able: Options that it can still take.

        Raises:
            ModelError: If another option is given.
        """
        if late := [name for name in self.given if name not in able]:
            raise ModelError(
                f"{what} is used as it was made, got {', '.join(late)}; leave them out, or give "
                "the model's name"
            )

    @property
    def key(self) -> tuple[object, ...]:
        """What tells these options from others."""
        kwargs = json.dumps(dict(self.model_kwargs), sort_keys=True, default=repr)
        plain = (self.engine, self.dtype, self.device, self.threads, self.n_ctx, self.n_gpu_layers)
        return (*plain, kwargs)


LOAD_OPTIONS = tuple(field.name for field in fields(LoadOptions))
"""Their names."""
