"""``recipe="auto"``: what was calibrated for a model stands where nothing was given."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from latent_agent.call.recipes.saved import SavedRecipe
from latent_agent.call.recipes.store import load, path_of, saved
from latent_agent.call.recipes.warn_once import warn_once
from latent_agent.errors import RecipeError, RewardError
from latent_agent.model.registry import SharedModel
from latent_agent.reward import Reward
from latent_agent.reward.rebuild import reward_from_id
from latent_memory import LocationError

NONE_SAVED = "none saved"


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a call takes from a calibration.

    Attributes:
        settings: Settings that stand where none is given.
        reward: The reward, where none is given.
        told: What was used, in words.
    """

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reward: Reward | None = None
    told: str = NONE_SAVED

    def within(self, most: Mapping[str, float]) -> "Used":
        """Return what is taken with numbers that are beyond a bound, by name, at that bound."""
        bound = {
            name: min(value, most[name]) if name in most else value
            for name, value in self.settings.items()
        }
        return replace(self, settings=bound)

    def under(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the calibration's where one is not given, that is None."""
        return {
            name: self.settings.get(name) if value is None else value
            for name, value in given.items()
        }


def calibrated(
    model: SharedModel, template: Mapping[str, Any], reward: Reward | None = None
) -> Used:
    """Return what was calibrated for a model; nothing, and one warning, where it does not fit.

    Reads no weights into memory, but hashes their files the first time.

    Args:
        model: The model.
        template: Arguments of its chat template.
        reward: The one that is given; only its threshold is taken then.
    """
    try:
        recipe = _saved_for(model, template)
        if recipe is None:
            return Used()
        if reward is not None:
            return _threshold(recipe, reward)
        return Used(
            settings=recipe.settings,
            reward=None if recipe.reward is None else _rebuilt(recipe),
            told=recipe.named,
        )
    except (RecipeError, RewardError, LocationError) as error:
        warn_once(f"the calibration is not used: {error}")
        return Used()


def _saved_for(model: SharedModel, template: Mapping[str, Any]) -> SavedRecipe | None:
    path = path_of(model.fingerprint(None, template))
    if path.is_file():
        return load(path)
    for _, other in saved():
        if isinstance(other, SavedRecipe) and other.model == model.name:
            raise RecipeError(
                f"a saved calibration must be of the same weights, data type, engine and prompts, "
                f"but that of {other.model!r} was made with {other.engine} in {other.dtype}, and "
                "the model that answers has another fingerprint; open it the same way, or run "
                "latent-agent calibrate --save for it"
            )
    return None


def _threshold(recipe: SavedRecipe, reward: Reward) -> Used:
    """Take a given reward's threshold alone: the rest was chosen for another one."""
    for known in recipe.rewards.values():
        if known.id != reward.id:
            continue
        if known.threshold is None:
            raise RecipeError(
                f"a threshold must have been found for the reward {reward.id!r}, but the "
                f"calibration of {recipe.made:%Y-%m-%d} found none; calibrate with more questions, "
                "or give threshold="
            )
        settings = {"threshold": known.threshold}
        return Used(settings=settings, told=f"threshold, calibrated {recipe.made:%Y-%m-%d}")
    raise RecipeError(
        f"a saved calibration must be of the same reward, got {reward.id!r}, and that of "
        f"{recipe.model!r} knows {', '.join(recipe.rewards)}; leave reward out, or run "
        "latent-agent calibrate --save --reward for it"
    )


def _rebuilt(recipe: SavedRecipe) -> Reward:
    assert recipe.reward is not None
    return reward_from_id(recipe.rewards[recipe.reward].id)
