"""The code blocks of a Markdown page, run one after the other as its reader would run them.

Python blocks share a namespace, bash blocks a folder. A ``text`` block is what the block before it
printed; "..." in it stands for anything. Whatever else there is must be marked, with the reason:
``<!--- skip: next "why it cannot run here" -->``.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import SkipTest

from sybil import Document, Example, Region
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

_SNIPPET = re.compile(r'^--8<-- "(?P<file>[^"]+)"$', re.MULTILINE)
_LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Page:
    """A page that is being read: what its last block printed, and what was not run."""

    path: Path
    root: Path
    printed: str | None = None
    ran: int = 0
    not_run: list[str] = field(default_factory=list)

    def run(self) -> "Page":
        """Run every block in turn; the first that fails ends it."""
        document = Document.parse(str(self.path), SkipParser(), self._blocks)
        document.namespace["__name__"] = "__main__"
        for example in document.examples():
            try:
                example.evaluate()
            except SkipTest as reason:
                self.printed = None
                self.not_run.append(f"{_name(example.parsed[1])}: {reason}")
        return self

    def _blocks(self, document: Document) -> Iterable[Region]:
        for match in FencedCodeBlockLexer(r".*")(document):
            language = match.lexemes["language"].strip()
            block = (language, _SNIPPET.sub(self._included, match.lexemes["source"]))
            yield Region(match.start, match.end, block, self._evaluate)

    def _included(self, match: re.Match[str]) -> str:
        return (self.root / match["file"]).read_text("utf-8")

    def _evaluate(self, example: Example) -> None:
        language, source = example.parsed
        where = f"{example.path}:{example.line}"
        if language == "python":
            self.printed, self.ran = _python(example, source), self.ran + 1
        elif language == "bash":
            self.printed, self.ran = _bash(source, where), self.ran + 1
        elif language == "text":
            assert self.printed is not None, f"{where}: no block before it printed this"
            _compare(source, self.printed, where)
        else:
            raise AssertionError(
                f"{where}: a block must be python, bash or text, got {language!r}; or say why it "
                'is not run: <!--- skip: next "reason" -->'
            )


def _python(example: Example, source: str) -> str:
    padded = "\n" * example.line + source
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(padded, example.path, "exec", dont_inherit=True), example.namespace)
    return printed.getvalue()


def _bash(source: str, where: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", source],
        env={**os.environ, "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def _compare(shown: str, printed: str, where: str) -> None:
    wanted = f"...{shown.strip()}..."
    if not doctest.OutputChecker().check_output(wanted, printed, _LIKE):
        raise AssertionError(f"{where} shows\n{shown}\nbut the block before it printed\n{printed}")


def _name(source: str) -> str:
    return source.strip().splitlines()[0].strip()
