"""Write the reference page of the settings: ``python -m dev.settings_page``."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from latent_agent.setting_rules import FLAG, NUMBER, Rule, rules_of
from latent_agent.settings import RECIPES, Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
_HEAD = (
    "# Settings and recipes\n\n"
    "`ChatLatentSeek` takes each setting as an argument, and as a keyword of one call. What it is "
    "not given comes from its recipe, then from these defaults. A value outside its range raises "
    "`SettingError`. This page is written by `make settings`.\n"
)
_RECIPES = (
    "What a recipe sets in place of the defaults; `default` where none is given. With "
    '`recipe="auto"` what [calibration](../how-to/calibrate.md) kept for the model is put over '
    "`default`."
)


def page() -> str:
    """Return the page, in Markdown."""
    lines = [_HEAD, "| setting | default | range | meaning |", "|---|---|---|---|"]
    for field in fields(Settings):
        meaning = field.metadata["meaning"]
        lines.append(f"| `{field.name}` | {_default(field)} | {_range(field)} | {meaning} |")
    lines += ["", "## Recipes", "", _RECIPES, ""]
    lines += [f"| setting | {' | '.join(f'`{name}`' for name in RECIPES)} |"]
    lines += ["|---" * (len(RECIPES) + 1) + "|"]
    recipes = RECIPES.values()
    for name in (field.name for field in fields(Settings)):
        if not any(name in recipe for recipe in recipes):
            continue
        cells = [_code(recipe[name]) if name in recipe else "" for recipe in recipes]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _default(field: Any) -> str:
    return _code({} if field.default is MISSING else field.default)


def _code(value: object) -> str:
    return f"`{value!r}`"


def _range(field: Any) -> str:
    said = [_said(rule) for rule in rules_of(field) if rule is not NUMBER]
    text = ", ".join(part for part in said if part)
    return f"{text}, or None" if field.default is None else text


def _said(rule: Rule) -> str:
    if rule is FLAG:
        return ""
    return rule.says.removeprefix("be ").removeprefix("lie ")


if __name__ == "__main__":
    PAGE.write_text(page())
