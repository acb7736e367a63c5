"""How a model is opened: by which engine, on what, in which precision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from latent_agent.errors import ModelError

EngineName = Literal["auto", "transformers", "llama.cpp"]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a model is opened; two that are equal share their model.

    Attributes:
        engine: What runs the model; ``auto``: llama.cpp for a GGUF file where it is installed,
            transformers for all else.
        dtype: Name of a torch dtype; None: see docs/how-to/models.md. Of transformers.
        device: Torch device; None: CUDA where there is one, else the CPU. Of transformers.
        threads: Threads of the CPU that compute; None: see docs/how-to/models.md.
        n_ctx: Positions that a prompt and its answer may take; None: the model's own, or what
            fits. Of llama.cpp.
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

    @property
    def key(self) -> tuple[object, ...]:
        """What tells these options from others."""
        kwargs = json.dumps(dict(self.model_kwargs), sort_keys=True, default=repr)
        plain = (self.engine, self.dtype, self.device, self.threads, self.n_ctx, self.n_gpu_layers)
        return (*plain, kwargs)


LOAD_OPTIONS = tuple(field.name for field in fields(LoadOptions))
"""Their names."""
