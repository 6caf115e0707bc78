"""The error tree and the exit code that each error ends a command with.

    WeirError                      1   failed, worth a retry
    ├── BadInput                   2   wrong input or configuration, a retry cannot help
    │   ├── ContractViolation      2   an event, label or file breaks its contract
    │   ├── ConfigurationError     2   a setting is missing, unknown or out of range
    │   ├── LabelRefused           2   a label for a task that its reviewer does not hold
    │   ├── FutureLeak             2   features of an event hold what was not known at its time
    │   └── MissingPart            2   a dataset, model asset, program or secret is absent
    ├── ServiceUnavailable         1   a server that should answer does not
    └── NothingToDo               99   expected emptiness: the step is skipped

Every message says what was wrong, the value, and the remedy.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_NOTHING_TO_DO = 99


class WeirError(Exception):
    """Anything that Weir itself raises; retrying may help."""

    exit_code = EXIT_FAILED


class BadInput(WeirError):
    """The input or configuration is wrong: the same call can never succeed."""

    exit_code = EXIT_BAD_INPUT


class ContractViolation(BadInput):
    """An event, label or file breaks its contract."""

    def __init__(self, field: str, value: object, problem: str, remedy: str, *, where: str = ""):
        self.field = field
        self.problem = problem
        self.remedy = remedy
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{field} = {_shown(value)}: {problem}; {remedy}")


class ConfigurationError(BadInput):
    """A setting is missing, unknown or out of range."""


class LabelRefused(BadInput):
    """A label for a task that its reviewer does not hold, or that has its label already."""


class FutureLeak(BadInput):
    """Features of an event hold what was not known at its time."""


class MissingPart(BadInput):
    """A dataset, model asset, program or secret is absent."""


class ServiceUnavailable(WeirError):
    """A server that should answer does not."""


class NothingToDo(WeirError):
    """Expected emptiness, for example no new labels since the last training."""

    exit_code = EXIT_NOTHING_TO_DO


def _shown(value: object, limit: int = 60) -> str:
    """The value as it appears in a message, cut so that no long user text reaches a log."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}… ({len(text)} characters)"
