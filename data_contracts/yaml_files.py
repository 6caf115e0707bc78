"""A YAML file as a typed record; what is wrong with it is said by field."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from data_contracts.errors import ConfigurationError

T = TypeVar("T", bound=BaseModel)


def read_yaml(record: type[T], path: Path, setting: str) -> T:
    """The file at `path`, which `setting` names.

    Raises ConfigurationError for a file that is missing or no YAML, and for its first wrong field.
    """
    try:
        return record.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; see {setting}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"{path}: {field}: {first['msg']}") from None
