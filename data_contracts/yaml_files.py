"""A YAML file as a typed record; what is wrong with it is said by field, value and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from data_contracts.errors import ConfigurationError

T = TypeVar("T", bound=BaseModel)


def read_yaml(record: type[T], path: Path, setting: str | None = None) -> T:
    """The file at `path`, which `setting` names; None: it is a file of the repository.

    Raises ConfigurationError for a file that is missing or no YAML, and for its first wrong field.
    """
    try:
        return record.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        remedy = f"see {setting}" if setting else "restore it from the repository"
        raise ConfigurationError(f"{path}: {error.strerror}; {remedy}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}; mend it") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(f"{path}: {_problem(first)}; mend it") from None


def _problem(first: ErrorDetails) -> str:
    """`field = value: what is wrong`; a whole section is no value that helps."""
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    value: Any = first["input"]
    shown = "" if isinstance(value, dict | list | BaseModel) else f" = {value!r}"
    return f"{place}{shown}: {first['msg']}"
