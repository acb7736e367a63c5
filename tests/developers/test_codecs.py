"""The comparison of codecs, on a few questions."""

import numpy as np
import typer
from typer.testing import CliRunner

from dev.bundled_model.codecs import CODECS, main, plain
from tests.support.memories import trace


def test_each_codec_gives_what_it_would_store() -> None:
    learnt = trace(rows=6, width=128)
    sizes: list[int] = []
    for codec in CODECS.values():
        size, base, optimised = codec(learnt.base, learnt.optimised)
        assert base.shape == optimised.shape == (6, 128)
        np.testing.assert_allclose(base, learnt.base, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(optimised, learnt.optimised, rtol=1e-3, atol=3e-3)
        sizes.append(size)
    assert sizes == sorted(sizes, reverse=True)
    assert plain(learnt.base, learnt.optimised)[1] is learnt.base


def test_the_table() -> None:
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, ["--learnt", "10", "--asked", "4"], catch_exceptions=False)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| float")]
    assert [row[0].removeprefix("| ") for row in rows] == list(CODECS)
    assert rows[0][2] == "0.0%"  # what is kept as it is decodes as it did
