"""What a device tells: the accounts that share it, their standing, and how they keep step."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from pipelines.features.behaviour.moments import DAY, MINUTE
from pipelines.features.behaviour.packing import Ring, latest, renewed, without
from pipelines.features.behaviour.standing import Standing, share

ACCOUNTS, POSTS, OWN_DEVICES = 32, 32, 8
IN_STEP = MINUTE

NAMES = (
    "account_devices", "device_accounts_day", "device_accounts_week", "device_spam_share",
    "device_youngest_days", "device_synchrony",
)  # fmt: skip


class Devices(NamedTuple):
    """Identities of the latest devices of one account."""

    used: Ring = ()

    def using(self, device: int) -> Devices:
        return Devices(renewed(self.used, device, OWN_DEVICES))


class Company(NamedTuple):
    """One device: `accounts` with the time each was `seen`; its latest posts by `posters`."""

    accounts: Ring = ()
    seen: Ring = ()
    posters: Ring = ()
    times: Ring = ()

    def used_by(self, account: int, at: int) -> Company:
        when = dict(zip(self.accounts, self.seen, strict=True))
        return self._replace(
            accounts=latest(without(self.accounts, account), account, ACCOUNTS),
            seen=latest(
                tuple(time for one, time in when.items() if one != account),
                max(at, when.get(account, at)),
                ACCOUNTS,
            ),
        )

    def posted_by(self, account: int, at: int) -> Company:
        return self.used_by(account, at)._replace(
            posters=latest(self.posters, account, POSTS), times=latest(self.times, at, POSTS)
        )

    def others(self, account: int | None, at: int, window: int) -> list[int]:
        """Accounts other than this one that were seen within `window` before `at`."""
        return [
            one
            for one, time in zip(self.accounts, self.seen, strict=True)
            if one != account and at - time < window
        ]


def device_features(
    company: Company, standings: Mapping[int, Standing], account: int | None, at: int
) -> dict[str, float | None]:
    """`standings` has that of every other account of the device."""
    week = company.others(account, at, 7 * DAY)
    ages = [standings[one].age_days(at) for one in week]
    return {
        "device_accounts_day": float(len(company.others(account, at, DAY)) if week else 0),
        "device_accounts_week": float(len(week)),
        "device_spam_share": share([standings[one].confirmed > 0 for one in week]),
        "device_youngest_days": min((age for age in ages if age is not None), default=None),
        "device_synchrony": share(_in_step(company, at)),
    }


def _in_step(company: Company, at: int) -> list[bool]:
    """For every post of the device: whether another of its accounts posted within a minute."""
    posts = sorted(
        (time, poster)
        for time, poster in zip(company.times, company.posters, strict=True)
        if time <= at
    )
    joined = [
        other != poster and later - earlier <= IN_STEP
        for (earlier, poster), (later, other) in pairwise(posts)
    ]
    if not any(joined):
        return [False] * len(posts)
    return [a or b for a, b in zip([False, *joined], [*joined, False], strict=True)]
