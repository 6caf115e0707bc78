"""`python -m serving appeals-token`: a token for a reviewer's shift, or for an account in a demo.

On a platform its own sign-in signs these tokens. Whoever holds WEIR_APPEALS_KEY can sign them, so
this shows nothing that its holder could not do; the name given here is what the audit trail says.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.secrets import APPEALS_KEY, secret
from serving.appeals.proof import ACCOUNT, LONGEST_LIFETIME, LONGEST_NAME, REVIEWER, signed


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print the token, and nothing else."""
    hours = timedelta(hours=arguments.hours)
    if not timedelta() < hours <= LONGEST_LIFETIME:
        raise BadInput(f"--hours {arguments.hours:g}: give more than 0 and at most 24")
    name = arguments.reviewer or arguments.account
    if not 0 < len(name) <= LONGEST_NAME:
        raise BadInput(f"a name of {len(name)} characters; give 1 to {LONGEST_NAME}")
    audience = REVIEWER if arguments.reviewer else ACCOUNT
    ends = datetime.now(UTC) + hours
    print(signed(secret(APPEALS_KEY, settings.home), name, audience, ends))
