"""``latent-agent report``: one HTML page about a memory."""

import json
from pathlib import Path
from typing import Annotated

import typer

from latent_agent.cli.options import Json, MemoryAt, OneNamespace, open_memory
from latent_agent.errors import SettingError


def report(
    at: MemoryAt = None,
    namespace: OneNamespace = None,
    out: Annotated[Path, typer.Option(help="The page; a file there is replaced.")] = Path(
        "report.html"
    ),
    texts: Annotated[
        bool, typer.Option("--texts", help="Show questions too: mind who will read the page.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page about a memory: growth, steps, rewards, nights, priors, sizes.

    The page needs nothing else: no network, no scripts. It may be mailed or printed.
    """
    from latent_agent.server.memory_page.page import page_of

    with open_memory(at, read=True) as memory:
        if _same_file(out, memory.place):
            raise SettingError(
                f"the page must not replace the memory, got --out {str(out)!r}; give another "
                "file, for example --out report.html"
            )
        page = page_of(memory, namespace=namespace, texts=texts).encode("utf-8", "replace")
    try:
        out.write_bytes(page)
    except OSError as error:
        raise SettingError(
            f"the page must be written to a file, got --out {str(out)!r} ({error.strerror}); "
            "give a file in a folder that exists"
        ) from error
    if as_json:
        typer.echo(json.dumps({"out": str(out), "bytes": len(page)}))
    else:
        typer.echo(f"Report: {out}")


def _same_file(out: Path, memory: Path | str) -> bool:
    try:
        return out.samefile(memory)
    except OSError:  # there is none yet; or writing it says why not
        return False
