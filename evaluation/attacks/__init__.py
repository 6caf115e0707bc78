"""What attackers do to an event so that a filter misreads it, and what each evasion costs them.

Each attack is one class, or one edit in a map of its module, and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.attacks.base import Attack
from evaluation.attacks.behaviour import AgedAccount, DeviceRotation, SlowDrip
from evaluation.attacks.images import EDITS as PICTURE_EDITS
from evaluation.attacks.images import PictureAttack
from evaluation.attacks.layout import SplitMessage, TextInImage
from evaluation.attacks.media import OpenMedia, media_under
from evaluation.attacks.text import CharacterAttack
from evaluation.attacks.video import EDITS as VIDEO_EDITS
from evaluation.attacks.video import VideoAttack
from evaluation.attacks.words import GoodWords, Synonyms
from pipelines.perturbations import PERTURBATIONS


def attacks(media: OpenMedia = media_under) -> Mapping[str, Attack]:
    """All attacks by name; `media` opens what reads the media of the events.

    The default reads bytes that stand in the event. For media by path give a reader with the media
    root: `attacks(partial(media_under, root))`.
    """
    known: tuple[Attack, ...] = (
        *(CharacterAttack(name) for name in PERTURBATIONS),
        GoodWords(),
        Synonyms(),
        TextInImage(),
        SplitMessage(),
        *(PictureAttack(name, media) for name in PICTURE_EDITS),
        *(VideoAttack(name, media) for name in VIDEO_EDITS),
        SlowDrip(),
        AgedAccount(),
        DeviceRotation(),
    )
    return {attack.name: attack for attack in known}


ATTACKS = attacks()

__all__ = ["ATTACKS", "Attack", "attacks", "media_under"]
