"""Which conditions a flow's tasks stand in: a Kubeflow task sees only what stands around it.

A task may take the output of another that stands in the same condition or in one around it. So
conditions are nested: what waits for more stands further inside. That fits every flow whose steps
wait for each other as a chain of groups does, and says so where a flow is not of that form.
"""

from __future__ import annotations

from typing import NamedTuple

from data_contracts.errors import BadInput
from data_contracts.steps import Flow


class Nested(NamedTuple):
    """A step, and the steps whose conditions are opened, in this order, before it."""

    step: str
    opens: tuple[str, ...]


def nested(flow: Flow) -> list[Nested]:
    """Every step once, from the outside in. Raises BadInput where two branches do not nest.

    >>> nested(Flow(about="", steps={"a": {}, "b": {"x": "a.x"}, "c": {}}))
    [Nested(step='a', opens=()), Nested(step='c', opens=()), Nested(step='b', opens=('a',))]
    """
    places: list[Nested] = []
    opened: list[str] = []
    for step in sorted(flow.steps, key=lambda name: len(before(flow, name))):
        waits_for = before(flow, step)
        if others := [one for one in opened if one not in waits_for]:
            raise BadInput(
                f"{step} does not wait for {', '.join(others)}, which other steps at its depth do; "
                "conditions of a Kubeflow pipeline nest: give it a flow of its own"
            )
        fresh = tuple(one for one in waits_for if one not in opened)
        places.append(Nested(step, fresh))
        opened.extend(fresh)
    return places


def before(flow: Flow, step: str) -> list[str]:
    """Every step that must be done before this one, in the order of the flow."""
    direct = flow.upstream(step)
    found = {*direct, *(earlier for one in direct for earlier in before(flow, one))}
    return [one for one in flow.steps if one in found]
