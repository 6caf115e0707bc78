"""The labelled images of the collection `image_spam`: bytes, label, source and group."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from data_contracts.config import Data
from data_contracts.events import MediaReference
from data_contracts.labels import LabelName, parse_label
from pipelines.catalogue import collection

COLLECTION = "image_spam"
ISH, DREDZE_PERSONAL, DREDZE_ARCHIVE, IMPROVED = (
    "ish", "dredze_personal", "dredze_archive", "improved_challenge",
)  # fmt: skip


@dataclass(frozen=True)
class LabelledImage:
    """One image as sent. Images of one `group` are near-duplicates and stay on one side."""

    file: str
    content: bytes
    label: LabelName
    source: str
    group: str

    @property
    def is_spam(self) -> bool:
        return self.label == "spam"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def reference(self) -> MediaReference:
        """The image as event media, with its bytes."""
        return image_reference(self.content)


def image_reference(content: bytes) -> MediaReference:
    """An image file as event media, with its bytes."""
    digest = hashlib.sha256(content).hexdigest()
    return MediaReference(kind="image", sha256=digest, bytes=base64.b64encode(content).decode())


def read_images(data: Data, *sources: str) -> Iterator[LabelledImage]:
    """The images of `sources` (all where none is named), in the order of the manifest.

    MissingPart where the collection is absent.
    """
    found = collection(COLLECTION, data).paths
    with gzip.open(found["manifest.csv.gz"], "rt", encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if not sources or row["source"] in sources]
    archives = {name: zipfile.ZipFile(found[f"{name}.zip"]) for name in {r["source"] for r in rows}}
    try:
        for row in rows:
            yield LabelledImage(
                file=row["file"],
                content=archives[row["source"]].read(row["file"]),
                label=parse_label(row["label"], where=row["file"]),
                source=row["source"],
                group=row["group"],
            )
    finally:
        for archive in archives.values():
            archive.close()
