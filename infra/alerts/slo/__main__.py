"""`python -m infra.alerts.slo`: write `infra/alerts/objectives.yaml` from `slo.yaml`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_contracts.errors import ConfigurationError
from data_contracts.files import write_atomically
from infra.alerts.slo.burn_rates import groups
from infra.alerts.slo.objectives import read

RULES = Path(__file__).parent.parent / "objectives.yaml"
HEAD = "# Made from slo/slo.yaml: edit that, then `python -m infra.alerts.slo`.\n"
LINE = 100


class Readable(yaml.SafeDumper):
    """Texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (PyYAML names it)
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Readable.add_representer(str, _text)


def rendered() -> str:
    """The rule file that the objectives stand for."""
    content: Mapping[str, Any] = {"groups": list(groups(read()))}
    return HEAD + yaml.dump(
        content, Dumper=Readable, sort_keys=False, width=LINE, allow_unicode=True
    )


if __name__ == "__main__":
    try:
        write_atomically(RULES, rendered().encode())
    except ConfigurationError as error:
        sys.exit(f"{error}")
