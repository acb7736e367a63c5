"""The front of a GGUF file is read rightly, and what is none is told."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from latent_agent.errors import ModelError
from latent_agent.model.gguf.header import Header
from tests.support.gguf_files import shape, small_tensors, write_gguf

TEXT = "Ä 日本 \n"
METADATA = {
    "a.flag": True,
    "a.small": 7,
    "a.real": 0.25,
    "a.text": TEXT,
    "a.words": ["", "one", TEXT],
    "a.numbers": [3, 1, 2],
    "a.reals": [0.5, -1.5],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tensors = {"one": np.ones((3, 5), np.float32), "two": np.arange(4, dtype=np.float16)}
    return write_gguf(tmp_path / "model.gguf", metadata=METADATA, tensors=tensors)


def test_values_arrays_and_tensors_are_those_that_were_written(file: Path) -> None:
    header = Header(file)
    assert header.values["general.architecture"] == "llama"
    assert {key: header.values[key] for key in ("a.flag", "a.small", "a.real", "a.text")} == {
        "a.flag": True, "a.small": 7, "a.real": 0.25, "a.text": TEXT,
    }  # fmt: skip
    assert header.array("a.words") == METADATA["a.words"]
    assert header.array("a.numbers") == METADATA["a.numbers"]
    assert header.array("a.reals") == METADATA["a.reals"]
    assert header.array("a.missing") == []
    one, two = header.tensors["one"], header.tensors["two"]
    assert (one.shape, one.row_bytes, one.end - one.start) == ((3, 5), 20, 60)
    assert (two.shape, two.row_bytes, two.end - two.start) == ((4,), 8, 8)
    assert np.frombuffer(two.buffer[two.start : two.end], np.float16).tolist() == [0, 1, 2, 3]


def test_it_agrees_with_the_gguf_packages_reader(bundled_gguf: Path) -> None:
    ours, theirs = Header(bundled_gguf), gguf.GGUFReader(bundled_gguf)
    assert ours.array("tokenizer.ggml.tokens") == theirs.fields["tokenizer.ggml.tokens"].contents()
    places = {each.name: (each.data_offset, each.n_bytes) for each in theirs.tensors}
    assert places == {
        each.name: (each.start, each.end - each.start) for each in ours.tensors.values()
    }


def test_a_large_vocabulary_is_not_read_before_it_is_asked_for(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(50_000)]
    header = Header(write_gguf(tmp_path / "m.gguf", metadata={"a.words": words, "z.last": 1}))
    assert "a.words" not in header.values
    assert header.values["z.last"] == 1
    assert header.array("a.words") == words


def test_a_file_that_ends_in_its_metadata_is_told_wherever_it_ends(file: Path) -> None:
    whole = file.read_bytes()
    begin = min(each.start for each in Header(file).tensors.values())
    ends = range(8, begin - 32, 7)
    assert len(ends) > 50
    for end in ends:
        file.write_bytes(whole[:end])
        with pytest.raises(ModelError, match=f"must be whole, got .*{end} bytes.*download"):
            Header(file)


def test_what_is_no_gguf_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(ModelError, match=r"must be readable.*check the path"):
        Header(path)
    for content, match in (
        (b"", "must be readable and not empty"),
        (b"PK\x03\x04 a zip file", r"must begin with 'GGUF', got b'PK.*download"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "must be little-endian.*little-endian file"),
        (b"GGUF" + struct.pack("<III", 1, 0, 0), "version 2 or 3, got version 1.*convert"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 2 or 3, got version 9.*update"),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=match):
            Header(path)


@pytest.mark.parametrize(
    "pair",
    [
        struct.pack("<Q", 2**63) + b"k",  # a key longer than any file
        struct.pack("<Q1sI", 1, b"k", 77),  # a type that there is none of
        struct.pack("<Q1sIIQ", 1, b"k", 9, 8, 2**60),  # more texts than fit
        struct.pack("<Q1sIIQ", 1, b"k", 9, 4, 2**60),  # more numbers than fit
        struct.pack("<Q1sIIQ", 1, b"k", 9, 9, 1),  # arrays in an array
        struct.pack("<Q1sIQ", 1, b"\xff", 8, 0),  # a key that is no text
    ],
)
def test_made_up_sizes_and_types_end_in_an_error_at_once(tmp_path: Path, pair: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair + bytes(64))
    with pytest.raises(ModelError, match="must be whole"):
        Header(path)


def test_a_tensor_packed_in_an_unknown_way_is_told(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", metadata=shape(), tensors=small_tensors(8))
    content = path.read_bytes()
    name = b"token_embd.weight"
    at = content.index(name) + len(name) + 4 + 2 * 8
    path.write_bytes(content[:at] + struct.pack("<I", 250) + content[at + 4 :])
    with pytest.raises(ModelError, match=r"known way, got number 250 for 'token_embd.weight'; upd"):
        _ = Header(path).tensors["token_embd.weight"].end
