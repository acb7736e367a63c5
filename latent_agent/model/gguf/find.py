"""Find the file, or files, of a model in GGUF form: on disk, or on the Hugging Face Hub.

On the Hub a model is named as llama.cpp and Ollama name it, ``owner/repo:Q4_K_M``, or with the
file, ``owner/repo/file.gguf``.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from latent_agent.errors import ModelError
from latent_agent.model.gguf.file import GgufFile

ENDING = ".gguf"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_NAME = r"[\w.-]+/[\w.-]+"
_HUB_FILE = re.compile(rf"({_NAME})/(.+\.gguf)", re.IGNORECASE)
_HUB_KIND = re.compile(rf"({_NAME}):([\w.-]+)")
_PROJECTOR = "mmproj"


def is_gguf(place: str) -> bool:
    """Return whether a place names a model in GGUF form; nothing is looked up on the Hub.

    A folder does if it holds GGUF files and no ``config.json``.
    """
    folder = _path(place)
    try:
        if folder.is_dir():
            return not (folder / "config.json").exists() and bool(_models(folder))
    except OSError:  # longer than any file's name
        return False
    return place.lower().endswith(ENDING) or bool(_HUB_KIND.fullmatch(place))


def find(place: str) -> GgufFile:
    """Return a model's file, downloaded first if it lies on the Hub.

    Args:
        place: A file, one of several files of a model, a folder with the files of one model,
            ``owner/repo/file.gguf``, or ``owner/repo:Q4_K_M``.

    Raises:
        ModelError: If there is none, or more than one.
    """
    path = _path(place)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return GgufFile(*_all_shards(path))
    if not place.startswith((".", "/", "~")):
        if match := _HUB_FILE.fullmatch(place):
            return _downloaded(match[1], _shard_names(match[2]))
        if match := _HUB_KIND.fullmatch(place):
            return _downloaded(match[1], _of_kind(match[1], match[2]))
    raise ModelError(
        f"model must name a GGUF file, got {place!r}, which is none; check the path, or name one "
        "on the Hugging Face Hub: owner/repo/file.gguf or owner/repo:Q4_K_M"
    )


def _path(place: str) -> Path:
    # Unlike Path.expanduser, it raises nothing where there is no home.
    return Path(os.path.expanduser(place))  # noqa: PTH111


def _models(folder: Path) -> dict[str, Path]:
    """Return the first file of each model in a folder, by the model's name."""
    files = [
        file
        for file in sorted(folder.iterdir())
        if file.name.lower().endswith(ENDING) and _PROJECTOR not in file.name.lower()
    ]
    found: dict[str, Path] = {}
    for file in files:
        match = _SHARD.fullmatch(file.name)
        found.setdefault(match[1] if match else file.name, file)
    return found


def _in_folder(folder: Path) -> GgufFile:
    found = _models(folder)
    if len(found) != 1:
        names = ", ".join(file.name for file in found.values()) or "none"
        raise ModelError(
            f"a folder must hold one model in GGUF form, got {names} in {str(folder)!r}; name the "
            "file itself"
        )
    return GgufFile(*_all_shards(next(iter(found.values()))))


def _all_shards(path: Path) -> list[Path]:
    shards = [path.with_name(name) for name in _shard_names(path.name)]
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise ModelError(
            f"a model in several files must have all of them, got {len(shards) - len(missing)} of "
            f"{len(shards)} in {str(path.parent)!r}, without {', '.join(missing)}; put them there"
        )
    return shards


def _shard_names(name: str) -> list[str]:
    """Return the names of all files of a model, given that of one."""
    match = _SHARD.fullmatch(name)
    if match is None:
        return [name]
    ending = name[-len(ENDING) :]
    return [f"{match[1]}-{n:05}-of-{match[3]}{ending}" for n in range(1, int(match[3]) + 1)]


def _of_kind(repository: str, kind: str) -> list[str]:
    """Return the names of the one model of a quantisation in a repository."""
    names = _listed(repository)
    wanted = re.compile(rf"(?:.*[^\w]|){re.escape(kind)}(?:-\d{{5}}-of-\d{{5}})?\.gguf", re.I)
    models = [name for name in names if name.lower().endswith(ENDING)]
    found = {
        _shard_names(name)[0]
        for name in models
        if wanted.fullmatch(name) and _PROJECTOR not in name.lower()
    }
    if len(found) != 1:
        raise ModelError(
            f"{repository}:{kind} must name one model, got "
            f"{', '.join(sorted(found)) or 'none'} among {', '.join(models) or 'no GGUF files'}; "
            f"name the file: {repository}/FILE.gguf"
        )
    return _shard_names(found.pop())


def _listed(repository: str) -> Sequence[str]:
    """Return the names of a repository's files; without a network, of those that were fetched."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        return HfApi().list_repo_files(repository)
    except (OSError, ValueError) as error:
        try:
            folder = Path(snapshot_download(repository, local_files_only=True))
        except (OSError, ValueError):
            raise _unreachable(repository, error) from error
    return [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]


def _downloaded(repository: str, names: Sequence[str]) -> GgufFile:
    from huggingface_hub import hf_hub_download

    try:
        return GgufFile(*(Path(hf_hub_download(repository, name)) for name in names))
    except (OSError, ValueError) as error:
        raise _unreachable(f"{repository}/{names[0]}", error) from error


def _unreachable(place: str, error: Exception) -> ModelError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"a model on the Hugging Face Hub must be there, and reachable or fetched before, got "
        f"{place!r} ({said}); check the spelling and the network, or download the file yourself "
        "(hf download) and name its path"
    )
