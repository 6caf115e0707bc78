"""The suites that stand between training and production.

A gate is one file and one line in `gates`. Its policy is a section of infra/config/gates.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.attacks import ATTACKS, Attack
from evaluation.gates.adversarial import AdversarialGate
from evaluation.gates.base import Gate
from evaluation.gates.fairness import FairnessGate
from evaluation.gates.golden import GoldenGate
from evaluation.gates.policy import Policy


def gates(policy: Policy, attacks: Mapping[str, Attack] = ATTACKS) -> Mapping[str, Gate]:
    """Every gate by name, each with its section of the policy; `attacks` are all that are known."""
    return {
        "golden": GoldenGate(policy.golden),
        "adversarial": AdversarialGate(policy.adversarial, attacks),
        "fairness": FairnessGate(policy.fairness),
    }
