"""``python -m dev.bench ends``: what rounds cost that end with the first answer accepted."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json


def ends(
    model: Annotated[str, typer.Argument(help="PLACE or PLACE@DTYPE.")],
    count: Annotated[int, typer.Option(help="Questions.", min=1)] = 50,
    drafts: Annotated[int, typer.Option(help="Of the first round.", min=2)] = 8,
    width: Annotated[int, typer.Option(help="Of the rounds after it.", min=1)] = 8,
    iterations: Annotated[int, typer.Option(help="Rounds after the first.", min=1)] = 2,
    temperature: Annotated[float, typer.Option(help="Of sampled drafts.", min=0.01)] = 0.7,
    data: Annotated[str, typer.Option(help="Questions: a file, or bundled:SPLIT.")] = (
        "bundled:test"
    ),
    max_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 128,
    seed: Annotated[int, typer.Option(help="Of questions and samples.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Answer questions with the truth as reward, rounds to their last answer and not.

    Forwarded tokens, which nothing disturbs: no idle cores are needed.
    """
    from latent_agent.call.agent import LatentAgent
    from latent_agent.evaluation.checking import FITTING, KnownTruth
    from latent_agent.evaluation.items import load_items
    from latent_agent.model.conversation import Turn
    from latent_agent.model.options import LoadOptions
    from latent_agent.model.registry import open_model
    from latent_agent.settings import settings_for

    place, _, dtype = model.partition("@")
    shared = open_model(place, None, LoadOptions(dtype=dtype or None))
    found: dict[str, dict[str, Any]] = {}
    for name in ("last", "accepted"):
        settings = settings_for(
            round_ends=name, drafts=drafts, draft_temperature=temperature, width=width,
            max_iterations=iterations, max_tokens=max_tokens, seed=seed,
        )  # fmt: skip
        row = found[name] = {"right": 0, "scored": 0, "tokens": 0}
        for item in load_items(data, count, seed):
            reward = KnownTruth(FITTING, item)
            outcome = LatentAgent(shared, settings, reward).answer([Turn("user", item.question)])
            row["right"] += outcome.stopped == "threshold"
            row["scored"] += sum(map(len, outcome.rewards))
            row["tokens"] += sum(outcome.forwarded_tokens.values())
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("rounds end", "right", "answers scored", "forwarded tokens", "/ last")
    for name, row in found.items():
        share = f"{row['tokens'] / found['last']['tokens']:.2f}"
        table.add_row(name, str(row["right"]), str(row["scored"]), f"{row['tokens']:,}", share)
    Console().print(table)
