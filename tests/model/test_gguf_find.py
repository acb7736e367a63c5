"""Models in GGUF form are found on disk and on the Hub, and what is missing is named."""

from pathlib import Path

import pytest

from latent_agent.errors import ModelError
from latent_agent.model.gguf.find import find, is_gguf

SHARDS = [f"big-Q8_0-{number:05}-of-00003.gguf" for number in (1, 2, 3)]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"GGUF")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that was fetched before, as the Hub's cache keeps it; there is no network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hub"
    repository = cache / "models--maker--Model-GGUF"
    touch(repository / "refs")
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    snapshot = repository / "snapshots" / commit
    return touch(
        snapshot, "model-Q4_K_M.gguf", "model-Q4_K_S.gguf", "model-UD-Q4_K_XL.gguf", "README.md",
        "mmproj-model-Q4_K_M.gguf", *(f"Q8_0/{name}" for name in SHARDS),
    )  # fmt: skip


def test_a_file_is_found_also_in_the_home_folder(tmp_path: Path, home: Path) -> None:
    touch(tmp_path, "m.gguf")
    touch(home, "models/m.GGUF")
    assert find(str(tmp_path / "m.gguf")).paths == (tmp_path / "m.gguf",)
    assert find("~/models/m.GGUF").paths == (home / "models/m.GGUF",)
    assert is_gguf("~/models/m.GGUF")


@pytest.mark.parametrize("given", SHARDS)
def test_any_of_several_files_means_all(tmp_path: Path, given: str) -> None:
    touch(tmp_path, *SHARDS)
    file = find(str(tmp_path / given))
    assert [path.name for path in file.paths] == SHARDS
    assert file.path.name == SHARDS[0]


def test_a_missing_one_of_several_files_is_named(tmp_path: Path) -> None:
    touch(tmp_path, SHARDS[0], SHARDS[2])
    with pytest.raises(ModelError, match=rf"got 2 of 3 in .*, without {SHARDS[1]}; put"):
        find(str(tmp_path / SHARDS[2]))


def test_a_folder_is_its_one_model(tmp_path: Path) -> None:
    touch(tmp_path / "one", "m.gguf", "mmproj-m-f16.gguf", "README.md")
    touch(tmp_path / "several", *SHARDS)
    assert find(str(tmp_path / "one")).path.name == "m.gguf"
    assert [path.name for path in find(str(tmp_path / "several")).paths] == SHARDS


def test_a_folder_of_several_models_lists_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.gguf", "b.gguf", *SHARDS)
    with pytest.raises(ModelError, match=rf"one model .*, got a.gguf, b.gguf, {SHARDS[0]} in .*; "):
        find(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"one model .*, got none in"):
        find(str(tmp_path / "empty"))


def test_what_names_a_gguf_model_is_known_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path / "gguf", "m.gguf")
    touch(tmp_path / "both", "m.gguf", "config.json")
    touch(tmp_path / "other", "config.json", "mmproj.gguf")
    assert is_gguf(str(tmp_path / "gguf"))
    assert not is_gguf(str(tmp_path / "both"))
    assert not is_gguf(str(tmp_path / "other"))
    assert is_gguf("no/such/file.gguf")
    assert is_gguf("maker/Model-GGUF:Q4_K_M")
    assert not is_gguf("maker/Model-GGUF")
    assert not is_gguf("bundled")
    assert not is_gguf("C:\\models")


def test_a_path_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must name a GGUF file, got '/no.gguf', .*; check"):
        find("/no.gguf")
    with pytest.raises(ModelError, match=r"must name a GGUF file, got './a/b/c.gguf'"):
        find("./a/b/c.gguf")


def test_a_file_on_the_hub_is_found(hub: Path) -> None:
    assert find("maker/Model-GGUF/model-Q4_K_S.gguf").path == hub / "model-Q4_K_S.gguf"
    shards = find(f"maker/Model-GGUF/Q8_0/{SHARDS[1]}")
    assert [path.name for path in shards.paths] == SHARDS


@pytest.mark.parametrize("kind", ["Q4_K_M", "q4_k_m"])
def test_a_quantisation_on_the_hub_is_found(hub: Path, kind: str) -> None:
    assert find(f"maker/Model-GGUF:{kind}").path.name == "model-Q4_K_M.gguf"
    assert [path.name for path in find("maker/Model-GGUF:Q8_0").paths] == SHARDS


def test_a_quantisation_that_is_not_there_lists_what_is(hub: Path) -> None:
    with pytest.raises(ModelError, match=r"one model, got none among .*model-Q4_K_S.gguf.*; name"):
        find("maker/Model-GGUF:Q4_K")


def test_without_a_network_what_was_not_fetched_is_told(hub: Path) -> None:
    for place in ("maker/Other/m.gguf", "maker/Other:Q4_K_M", "maker/Model-GGUF/m.gguf"):
        with pytest.raises(ModelError, match=r"must be there, and reachable .*; check the spell"):
            find(place)
