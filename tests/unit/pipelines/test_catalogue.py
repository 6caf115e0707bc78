"""The catalogue names its sets, reads them from the data root, and verifies downloads."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from data_contracts.catalogue import Layout, load_catalogue
from data_contracts.config import Data, load_settings
from data_contracts.errors import BadInput, ConfigurationError, ContractViolation, MissingPart
from pipelines.catalogue import _rows, datasets, locate, read_labelled
from pipelines.downloads import download

YOUTUBE = """comment_id,author,date,text,is_spam,video
1,ann,2014-01-01T10:00:00,nice song,0,Psy
2,bob,,"check out, my channel",1,Psy
3,bob,0102-01-01T00:00:00,"check out, my channel",1,Psy
3,bob,0102-01-01T00:00:00,"check out, my channel",1,Psy
"""


def data_at(root: Path, *, download: bool = False) -> Data:
    settings = load_settings({"WEIR__DATA__ROOT": str(root)})
    return settings.data.model_copy(update={"download": download})


def place(root: Path, name: str, text: str) -> None:
    path = root / datasets()[name].file
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(text.encode()))


def test_every_entry_says_origin_licence_sha256_and_columns() -> None:
    for name, entry in datasets().items():
        assert entry.licence, name
        assert entry.origin.source, name
        assert entry.columns.text, name
        assert all(file.sha256 for file in entry.origin.downloads), name


def test_rows_become_labelled_events(tmp_path: Path) -> None:
    place(tmp_path, "text_youtube_spam", YOUTUBE)
    rows = read_labelled("text_youtube_spam", data_at(tmp_path), tmp_path)
    assert [row.label for row in rows] == ["ham", "spam", "spam", "spam"]
    assert rows[0].event.occurred_at == datetime(2014, 1, 1, 10, tzinfo=UTC)
    assert rows[0].event.account == "ann"
    assert rows[0].event.language == "en"
    assert rows[0].event.context == {"target": "Psy"}
    assert rows[1].event.text == "check out, my channel"
    assert rows[1].group == rows[2].group != rows[0].group
    assert "bob" not in str(rows[1].group)


def test_an_empty_or_absurd_time_counts_as_missing(tmp_path: Path) -> None:
    place(tmp_path, "text_youtube_spam", YOUTUBE)
    rows = read_labelled("text_youtube_spam", data_at(tmp_path), tmp_path)
    assert [row.event.occurred_at is None for row in rows] == [False, True, True, True]


def test_event_ids_are_unique_stable_and_say_nothing_about_the_label(tmp_path: Path) -> None:
    place(tmp_path, "text_youtube_spam", YOUTUBE)
    ids = [
        row.event.event_id
        for row in read_labelled("text_youtube_spam", data_at(tmp_path), tmp_path)
    ]
    assert len(set(ids)) == 4
    lines = YOUTUBE.splitlines(keepends=True)
    moved = tmp_path / "moved"
    place(moved, "text_youtube_spam", lines[0] + "".join(lines[2:]).replace(",1,Psy", ",0,Psy"))
    again = read_labelled("text_youtube_spam", data_at(moved), tmp_path)
    assert [row.event.event_id for row in again] == ids[1:]


def test_a_part_of_a_set_is_used_and_reported_as_not_verified(tmp_path: Path) -> None:
    place(tmp_path, "text_youtube_spam", YOUTUBE)
    located = locate("text_youtube_spam", data_at(tmp_path), tmp_path)
    assert not located.verified
    assert located.sha256 == (hashlib.sha256(located.paths[0].read_bytes()).hexdigest(),)


def test_translations_share_the_group_of_their_original(tmp_path: Path) -> None:
    place(tmp_path, "text_sms_spam_uci", "label,text\nspam,win now\n")
    place(
        tmp_path,
        "text_sms_multilingual_de",
        "label,text_en,text_hi,text_de,text_fr\nspam,win now,x,gewinne,y\n",
    )
    original, translated = (
        read_labelled(name, data_at(tmp_path), tmp_path)[0]
        for name in ("text_sms_spam_uci", "text_sms_multilingual_de")
    )
    assert original.group == translated.group
    assert translated.event.text == "gewinne"
    assert translated.event.language == "de"


def test_only_the_rows_to_keep_are_read(tmp_path: Path) -> None:
    header = "functionality,test_case,label_gold,target_ident,templ_id\n"
    rows = "f,hateful words,hateful,women,1\nf,kind words,non-hateful,women,2\n"
    place(tmp_path, "fairness_hatecheck_en", header + rows)
    found = read_labelled("fairness_hatecheck_en", data_at(tmp_path), tmp_path)
    assert [(row.event.text, row.label) for row in found] == [("kind words", "ham")]


def test_a_text_over_the_bound_is_cut_and_says_so(tmp_path: Path) -> None:
    place(tmp_path, "text_sms_spam_uci", f"label,text\nham,{'x' * 70_000}\n")
    (row,) = read_labelled("text_sms_spam_uci", data_at(tmp_path), tmp_path)
    assert len(row.event.text) == 65_536
    assert row.event.context == {"text_characters": 70_000}


def test_an_unknown_label_names_file_line_column_and_remedy(tmp_path: Path) -> None:
    place(tmp_path, "text_sms_spam_uci", "label,text\nham,hello\nmaybe,hm\n")
    expected = r"data.csv.gz line 3: label = 'maybe': is none of spam, ham; map this value"
    with pytest.raises(ContractViolation, match=expected):
        read_labelled("text_sms_spam_uci", data_at(tmp_path), tmp_path)


def test_a_missing_column_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    place(tmp_path, "text_sms_spam_uci", "kind,text\nham,hello\n")
    with pytest.raises(ContractViolation, match="no such column, only kind, text"):
        read_labelled("text_sms_spam_uci", data_at(tmp_path), tmp_path)
    path = tmp_path / datasets()["text_sms_spam_uci"].file
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BadInput, match="place an intact file there"):
        read_labelled("text_sms_spam_uci", data_at(tmp_path), tmp_path)


def test_a_missing_data_root_says_where_the_file_belongs(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"data.download is false; place the file at .*nowhere"):
        read_labelled("text_sms_spam_uci", data_at(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(MissingPart, match=r"is not one file to download; place the file at"):
        read_labelled("text_spamassassin", data_at(tmp_path, download=True), tmp_path)


def test_an_unknown_set_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"'nonsense' is not in .* use one of text_sms_spam_uci"):
        read_labelled("nonsense", data_at(tmp_path), tmp_path)


def test_surplus_commas_are_joined_again_where_the_layout_says_so(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("\ntarget,input\n1,buy, buy, buy\n\n0,hello\n", encoding="utf-8")
    layout = Layout(header=("is_spam", "text"), rejoin="text")
    assert [row for _, row in _rows(path, layout)] == [
        {"is_spam": "1", "text": "buy, buy, buy"},
        {"is_spam": "0", "text": "hello"},
    ]


def test_a_broken_entry_is_refused_when_the_catalogue_is_read(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text("datasets: {a: {title: A, file: ../../etc/passwd}}\nassets: {}\n")
    with pytest.raises(ConfigurationError, match=r"datasets.a.file = .*must be relative"):
        load_catalogue(path)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_download_is_kept_only_when_its_sha256_is_right(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_bytes(b"label,text\n")
    right = hashlib.sha256(b"label,text\n").hexdigest()
    target = tmp_path / "cache" / "set.csv"
    with served(tmp_path) as url:
        with pytest.raises(MissingPart, match="so it was refused; place it there"):
            download(f"{url}/set.csv", "0" * 64, target, part="set", remedy="place it there")
        assert not any(target.parent.iterdir())
        download(f"{url}/set.csv", right, target, part="set", remedy="-")
        with pytest.raises(
            MissingPart, match=r"set: .*absent.csv does not answer \(File not found\)"
        ):
            download(f"{url}/absent.csv", right, target.with_name("b"), part="set", remedy="-")
    assert target.read_bytes() == b"label,text\n"
    assert download("http://127.0.0.1:9/gone", right, target, part="set", remedy="-") == target
