"""How well the bundled model calls tools: ``python -m dev.bundled_model.measure_talks``.

Words, names of tools and wordings are drawn that training never saw. Decoding is greedy, without a
grammar. Prints a Markdown table by kind of talk.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import Annotated, Any

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer

from dev.bundled_model.talk import Talk
from dev.bundled_model.talks import draw_talk
from dev.bundled_model.tokenizer import render
from dev.bundled_model.words import Words
from latent_agent.model.places import bundled_path

_BATCH = 64
_MAX_TOKENS = 160
Model = Any
Tokenizer = Any


def prompt_of(tokenizer: Tokenizer, talk: Talk) -> str:
    """Render a talk up to where the reply begins, with what a grammar would write there."""
    start = render(tokenizer, talk.messages, talk.tools)
    first = talk.reply[0]
    return start if first.is_learnt else start + first.text


@torch.inference_mode()
def continue_texts(model: Model, tokenizer: Tokenizer, prompts: Sequence[str]) -> list[str]:
    """Go on greedily from each rendered prompt."""
    found: list[str] = []
    for start in range(0, len(prompts), _BATCH):
        rows = list(prompts[start : start + _BATCH])
        inputs = tokenizer(
            rows, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        )
        output = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=_MAX_TOKENS,
            do_sample=False,
        )
        tail = output[:, inputs["input_ids"].shape[1] :]
        found += tokenizer.batch_decode(tail, skip_special_tokens=True)
    return found


def replies(model: Model, tokenizer: Tokenizer, talks: Sequence[Talk]) -> list[str]:
    """Reply to each talk greedily."""
    found = continue_texts(model, tokenizer, [prompt_of(tokenizer, talk) for talk in talks])
    return [
        reply if talk.reply[0].is_learnt else talk.reply[0].text + reply
        for talk, reply in zip(talks, found, strict=True)
    ]


def is_called(reply: str) -> bool:
    """Tell whether a reply calls a tool."""
    return reply.startswith("<tool_call>")


def names_tool(talk: Talk, reply: str) -> bool:
    """Tell whether a reply calls the tool that was meant, whatever its arguments."""
    return talk.call is not None and f'"name": "{talk.call.name}"' in reply


def _share(hits: int, of: int) -> str:
    return f"{hits} of {of} ({hits / of:.1%})" if of else ""


def is_well_formed(reply: str) -> bool:
    """Tell whether the JSON of a reply, a call or an object alone, is whole."""
    text = reply.removeprefix("<tool_call>").removesuffix("</tool_call>")
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def draw_talks(count: int, seed: int, *, new_words: bool, new_wordings: bool) -> list[Talk]:
    """Draw talks to measure on; none whose keys only a grammar knows."""
    rng = Random(f"talks-measured-{seed}")
    words = Words(rng, new_words=new_words, new_wordings=new_wordings)
    drawn = (draw_talk(words) for _ in range(2 * count))
    return [talk for talk in drawn if talk.kind != "forced JSON"][:count]


def _print_table(talks: Sequence[Talk], given: Sequence[str]) -> None:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for talk, reply in zip(talks, given, strict=True):
        row = rows[talk.kind]
        row["all"] += 1
        row["exact"] += reply == talk.text
        row["truth"] += bool(talk.truth) and talk.truth in reply
        row["judged"] += bool(talk.truth)
        row["called"] += is_called(reply) == (talk.call is not None)
        row["named"] += names_tool(talk, reply)
        row["calls"] += talk.call is not None
        row["whole"] += is_well_formed(reply)
        row["json"] += talk.call is not None or talk.kind == "JSON"
    columns = {
        "exactly right": ("exact", "all"),
        "rightly calls or not": ("called", "all"),
        "right tool": ("named", "calls"),
        "complete JSON": ("whole", "json"),
        "answer is true": ("truth", "judged"),
    }
    typer.echo(f"| conversation | {' | '.join(columns)} |")
    typer.echo("|---" * (len(columns) + 1) + "|")
    for kind, row in sorted(rows.items()):
        cells = [_share(row[hits], row[of]) for hits, of in columns.values()]
        typer.echo(f"| {kind} | {' | '.join(cells)} |")


def measure(
    model: Annotated[str, typer.Option(help="Folder of the model.")] = str(bundled_path()),
    count: Annotated[int, typer.Option(help="How many talks.", min=1)] = 1_500,
    seed: Annotated[int, typer.Option(help="Which talks are drawn.")] = 0,
    trained_words: Annotated[bool, typer.Option(help="Draw words that training used.")] = False,
    trained_wordings: Annotated[
        bool, typer.Option(help="Draw wordings that training used.")
    ] = False,
    show: Annotated[int, typer.Option(help="Print so many wrong replies.", min=0)] = 0,
) -> None:
    """Measure calls and talks on held-out names and wordings."""
    lm: Model = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()
    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(model)
    talks = draw_talks(count, seed, new_words=not trained_words, new_wordings=not trained_wordings)
    given = replies(lm, tokenizer, talks)
    _print_table(talks, given)
    wrong = [pair for pair in zip(talks, given, strict=True) if pair[0].text != pair[1]]
    for talk, reply in wrong[:show]:
        prompt = render(tokenizer, talk.messages, talk.tools)
        typer.echo(f"\n[{talk.kind}]\n{prompt}\nsaid:  {reply}\nright: {talk.text}")


if __name__ == "__main__":
    typer.run(measure)
