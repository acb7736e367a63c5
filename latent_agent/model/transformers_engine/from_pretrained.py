"""What is given to ``from_pretrained``, out of the options by which a model is opened."""

import json
from collections.abc import Mapping
from typing import Any

from latent_agent.errors import ModelError
from latent_agent.model.options import LoadOptions
from latent_agent.model.transformers_engine.precision import AS_CHECKPOINT, DTYPES

_OURS = ("config", "gguf_file", "state_dict", "use_safetensors")  # set by what `model` names
_EVERYWHERE = ("revision", "trust_remote_code")  # of config and tokenizer, too
_NO_MATTER = (
    *_EVERYWHERE,
    *("device_map", "max_memory", "offload_folder", "low_cpu_mem_usage", "attn_implementation"),
    *("cache_dir", "local_files_only", "token", "force_download", "proxies"),
)


class FromPretrained:
    """The arguments of one model.

    Args:
        options: How it is opened.

    Raises:
        ModelError: If a data type or a device is none, or is given twice.
    """

    def __init__(self, options: LoadOptions) -> None:
        self._given = dict(options.model_kwargs)
        if ours := [name for name in _OURS if name in self._given]:
            raise ModelError(
                f"model_kwargs must leave {', '.join(_OURS)} to model=, got {', '.join(ours)}; "
                "leave them out: weights are read from safetensors or a GGUF file"
            )
        self.dtype = _one_dtype(options.dtype, self._given)
        self.device = options.device
        if options.device is not None and "device_map" in self._given:
            raise ModelError(
                f"a device must be given once, got device={options.device!r} and "
                f"device_map={self._given['device_map']!r}; leave one of them out"
            )
        check_device(options.device)

    @property
    def places_itself(self) -> bool:
        """Whether ``from_pretrained`` puts the weights where they belong."""
        return "device_map" in self._given or self.quantisation is not None

    @property
    def everywhere(self) -> dict[str, Any]:
        """What config and tokenizer are given; code that a model brings is run only if asked."""
        given = {name: self._given[name] for name in _EVERYWHERE if name in self._given}
        return {"trust_remote_code": False, **given}

    @property
    def of_weights(self) -> dict[str, Any]:
        """What the weights are read with, the data type left out."""
        return {"trust_remote_code": False, **self._given}

    @property
    def quantisation(self) -> Any:
        """The quantisation at load time; None: there is none."""
        return self._given.get("quantization_config")

    @property
    def changes(self) -> str:
        """What makes another model of the same files, as a text; empty: nothing does.

        The revision is known by the files, and where and how fast they are computed is no matter.
        """
        kept = {name: self._given[name] for name in self._given.keys() - set(_NO_MATTER)}
        if self.quantisation is not None and not isinstance(self.quantisation, Mapping):
            kept["quantization_config"] = getattr(self.quantisation, "to_dict", dict)()
        return json.dumps(kept, sort_keys=True, default=repr) if kept else ""

    @property
    def names(self) -> str:
        """The names of all that was given, for messages."""
        return ", ".join(self._given) or "none"


def _one_dtype(asked: str | None, given: dict[str, Any]) -> str | None:
    """Take the data type out of the arguments; it has three names."""
    found = [given.pop(name) for name in ("dtype", "torch_dtype") if name in given]
    names = [str(one).removeprefix("torch.") for one in (asked, *found) if one is not None]
    if len(names) > 1:
        raise ModelError(
            f"a dtype must be given once, got {' and '.join(names)}; leave it out of model_kwargs"
        )
    if not names:
        return None
    if names[0] not in (*DTYPES, AS_CHECKPOINT):
        raise ModelError(
            f"dtype must be one that a model computes in ({', '.join(DTYPES)}) or 'auto', got "
            f"{names[0]!r}; use float32, bfloat16 or float16"
        )
    return names[0]


def check_device(device: str | None) -> None:
    """Refuse what names no torch device."""
    if device is None:
        return
    import torch

    try:
        torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"device must name a torch device, got {device!r}; use 'cpu', 'cuda' or 'cuda:1'"
        ) from error
