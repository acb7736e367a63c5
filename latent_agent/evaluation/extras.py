"""The packages that only an evaluation needs, asked for before it starts and not at its end."""

from importlib.util import find_spec

from latent_agent.errors import EvaluationError

_PACKAGES = ("scipy", "matplotlib")


def require_extras() -> None:
    """See that everything a report needs is installed.

    Raises:
        EvaluationError: If something is not.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise EvaluationError(
            f"an evaluation needs {' and '.join(_PACKAGES)}, but {missing!r} cannot be found; run: "
            "pip install 'latent-agent[evaluate]'"
        )
