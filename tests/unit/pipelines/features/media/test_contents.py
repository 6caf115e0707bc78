"""References lead to bytes that are what they say, from the media root and from nowhere else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from data_contracts.events import MediaReference
from pipelines.features.media.base import Unreadable
from pipelines.features.media.contents import content_of
from tests.malformed_media import media_reference

CONTENT = b"some bytes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def by_path(path: str, sha256: str = SHA256) -> MediaReference:
    return MediaReference(kind="image", sha256=sha256, path=path)


def inline(encoded: str) -> MediaReference:
    return MediaReference(kind="image", sha256=SHA256, bytes=encoded)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(CONTENT)
    root = tmp_path / "media"
    (root / "day").mkdir(parents=True)
    (root / "day" / "a.jpg").write_bytes(CONTENT)
    return root


def test_bytes_and_paths_lead_to_the_content(root: Path) -> None:
    assert content_of(media_reference(CONTENT), None, 10) == CONTENT
    assert content_of(by_path("day/a.jpg"), root, 10) == CONTENT


def test_a_link_inside_the_root_is_followed(root: Path) -> None:
    (root / "b.jpg").symlink_to(root / "day" / "a.jpg")
    assert content_of(by_path("b.jpg"), root, 10) == CONTENT


def test_no_link_leads_out_of_the_root(root: Path) -> None:
    (root / "out.jpg").symlink_to(root.parent / "secret")
    (root / "up").symlink_to(root.parent)
    for path in ("out.jpg", "up/secret"):
        assert content_of(by_path(path), root, 10) == Unreadable("media_outside_root")


@pytest.mark.parametrize("path", ["day/none.jpg", "day", "", ".", "a\0b", "day/a.jpg/x", "n" * 300])
def test_what_is_no_file_is_missing(root: Path, path: str) -> None:
    assert content_of(by_path(path), root, 10) == Unreadable("media_missing")


def test_pipes_and_circles_of_links_are_missing_and_nothing_waits_for_them(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "circle").symlink_to(root / "circle")
    assert content_of(by_path("pipe"), root, 10) == Unreadable("media_missing")
    assert content_of(by_path("circle"), root, 10) == Unreadable("media_missing")


def test_without_a_media_root_there_are_no_paths() -> None:
    assert content_of(by_path("day/a.jpg"), None, 10) == Unreadable("media_root_unset")


def test_a_file_of_another_digest_is_not_used(root: Path) -> None:
    other = by_path("day/a.jpg", sha256="0" * 64)
    assert content_of(other, root, 10) == Unreadable("media_sha256_differs")


def test_more_bytes_than_allowed_are_not_read(root: Path) -> None:
    assert content_of(by_path("day/a.jpg"), root, 9) == Unreadable("media_too_large")
    assert content_of(media_reference(CONTENT), None, 9) == Unreadable("media_too_large")
    assert content_of(media_reference(CONTENT * 9), None, 9) == Unreadable("media_too_large")


@pytest.mark.parametrize("encoded", ["!", "YQ", "YQ=", "YWJj é", "YWJj\n"])
def test_broken_base64_is_called_so(encoded: str) -> None:
    assert content_of(inline(encoded), None, 10) == Unreadable("media_base64_broken")


def test_nothing_is_called_empty() -> None:
    assert content_of(inline(""), None, 10) == Unreadable("media_empty")
