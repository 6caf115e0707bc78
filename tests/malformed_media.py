"""Media files as attackers and bad uploads make them: broken, lying, huge, or something else.

Every file comes from `rng` alone, so a seed names a whole set of them. The recipes take turns.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import cycle, islice
from typing import NamedTuple, TypeVar

import av
import numpy as np
from PIL import Image

from data_contracts.events import MediaKind, MediaReference

JPEG, PNG, GIF, WEBP, BMP, TIFF = "JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"
ENDINGS = {JPEG: ".jpg", PNG: ".png", GIF: ".gif", WEBP: ".webp", BMP: ".bmp", TIFF: ".tif"}
SIGNATURES = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ", b"BM")
BELOW_THE_BOUND = 6300  # pixels a side: 39.7 million of the 40 million that are allowed


class MalformedFile(NamedTuple):
    """`name` is the recipe, a number and an ending, such as `bit_flips-17.jpg`."""

    kind: MediaKind
    name: str
    content: bytes

    def reference(self) -> MediaReference:
        return media_reference(self.content, self.kind)


@dataclass(frozen=True)
class Sources:
    """Sound files to start from."""

    images: Sequence[bytes]
    videos: Sequence[bytes]


Rng = np.random.Generator
Made = tuple[MediaKind, str, bytes]  # kind, ending, content
Choice = TypeVar("Choice")
Recipe = Callable[[Rng, Sources], Made]


def malformed_media(count: int, rng: Rng, sources: Sources) -> Iterator[MalformedFile]:
    """`count` files; any two calls with the same seed and sources give the same."""
    for number, (recipe, make) in enumerate(islice(cycle(RECIPES.items()), count)):
        kind, ending, content = make(rng, sources)
        yield MalformedFile(kind, f"{recipe}-{number}{ending}", content)


def media_reference(content: bytes, kind: MediaKind = "image") -> MediaReference:
    """A file as event media, with its bytes."""
    digest, encoded_bytes = hashlib.sha256(content).hexdigest(), base64.b64encode(content)
    return MediaReference(kind=kind, sha256=digest, bytes=encoded_bytes.decode())


def generated_sources(rng: Rng) -> Sources:
    """Small images in every format and small clips, where no dataset is at hand."""
    pictures = [_picture(rng, 96 + 32 * number, 64) for number in range(3)]
    images = [encoded(picture, name) for picture in pictures for name in ENDINGS]
    return Sources(images, [clip(rng, "mp4"), clip(rng, "avi"), clip(rng, "matroska")])


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    """An image as a file of a Pillow format."""
    file = BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def clip(rng: Rng, container: str, frames: int = 24, side: int = 64) -> bytes:
    """A clip of `frames` frames at 12 a second, MPEG-4 part 2."""
    file = BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for _ in range(frames):
            output.mux(stream.encode(av.VideoFrame.from_image(_picture(rng, side, side))))
        output.mux(stream.encode(None))
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, data: bytes, *extra: bytes) -> bytes:
    """A PNG that declares what it is told to; `extra` are chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    length, check = len(content), zlib.crc32(kind + content)
    return struct.pack(">I", length) + kind + content + struct.pack(">I", check)


def gif(width: int, height: int, *frame_sizes: tuple[int, int]) -> bytes:
    """A GIF of frames that declare a size and hold one pixel."""
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frames = (b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) for size in frame_sizes)
    return start + b"".join(frame + b"\x02\x02\x44\x01\x00" for frame in frames) + b";"


def _bit_flips(rng: Rng, sources: Sources) -> Made:
    return "image", _ending(found := _one(rng, sources.images)), _flipped(rng, found)


def _truncated(rng: Rng, sources: Sources) -> Made:
    return "image", _ending(found := _one(rng, sources.images)), _cut(rng, found)


def _noise_inside(rng: Rng, sources: Sources) -> Made:
    found = bytearray(_one(rng, sources.images))
    start = int(rng.integers(len(found)))
    noise = rng.bytes(int(rng.integers(1, 400)))
    found[start : start + len(noise)] = noise
    return "image", ".jpg", bytes(found)


def _header_swapped(rng: Rng, sources: Sources) -> Made:
    found, signature = _one(rng, sources.images), _one(rng, SIGNATURES)
    return "image", ".png", signature + found[len(signature) :]


def _spliced(rng: Rng, sources: Sources) -> Made:
    head, tail = _one(rng, sources.images), _one(rng, sources.images)
    return "image", _ending(head), head[: _place(rng, head)] + tail[_place(rng, tail) :]


def _inflated(rng: Rng, sources: Sources) -> Made:
    """Declared sides far beyond what is there, where the format keeps them."""
    found = bytearray(_one(rng, sources.images))
    wide, high = (int(side) for side in rng.integers(2_000, 65_535, 2))
    if found.startswith(b"\x89PNG"):
        found[16:24] = struct.pack(">II", wide, high)
        found[29:33] = struct.pack(">I", zlib.crc32(found[12:29]))
    elif found.startswith(b"GIF8"):
        found[6:10] = struct.pack("<HH", wide, high)
    elif found.startswith(b"BM"):
        found[18:26] = struct.pack("<ii", wide, high)
    elif found.startswith(b"\xff\xd8"):
        frame = max(found.find(b"\xff\xc0"), found.find(b"\xff\xc2"), 0)
        found[frame + 5 : frame + 9] = struct.pack(">HH", high, wide)
    else:
        found[24:30] = b"\xff\xff\x00\xff\xff\x00"
    return "image", _ending(bytes(found)), bytes(found)


def _png_bomb(rng: Rng, _: Sources) -> Made:
    side = int(rng.integers(7_000, 60_000))
    return "image", ".png", png(side, side, 1, 0, zlib.compress(bytes(4_000_000)))


def _png_below_the_bound(_: Rng, __: Sources) -> Made:
    return "image", ".png", _deep_png()


def _png_text_bomb(rng: Rng, _: Sources) -> Made:
    text = png_chunk(b"zTXt", b"Comment\0\0" + _zeros(int(rng.integers(8, 64))))
    return "image", ".png", png(1, 1, 8, 0, zlib.compress(b"\0\0"), text)


def _gif_bomb(rng: Rng, _: Sources) -> Made:
    side = int(rng.integers(7_000, 65_535))
    return "image", ".gif", gif(10, 10, *[(10, 10), (side, side)][int(rng.integers(2)) :])


def _gif_of_many_frames(rng: Rng, _: Sources) -> Made:
    return "image", ".gif", gif(16, 16, *[(1, 1)] * int(rng.integers(1_000, 100_000)))


def _webp_bomb(rng: Rng, sources: Sources) -> Made:
    webp = bytearray(encoded(Image.new("RGBA", (40, 30), (9, 9, 9, 9)), WEBP, exif=b"Exif\0\0"))
    webp[24:30] = b"\xff\x3f\x00\xff\x3f\x00"  # a canvas of 16,384 by 16,384
    return "image", ".webp", bytes(webp)


def _tiff_bomb(rng: Rng, _: Sources) -> Made:
    tiff = bytearray(encoded(Image.new("L", (64, 64)), TIFF))
    side = struct.pack("<I", int(rng.integers(7_000, 100_000)))
    for tag in (b"\x00\x01", b"\x01\x01"):  # ImageWidth, ImageLength
        at = tiff.find(tag + b"\x04\x00")
        tiff[at + 8 : at + 12] = side
    return "image", ".tif", bytes(tiff)


def _jpeg_of_many_scans(rng: Rng, _: Sources) -> Made:
    """A progressive JPEG whose last scan comes again and again, each as dear as the first."""
    whole = encoded(_picture(rng, 1000, 1000), JPEG, progressive=True)
    scan = whole[whole.rfind(b"\xff\xda") : -2]
    return "image", ".jpg", whole[:-2] + scan * int(rng.integers(10, 200)) + b"\xff\xd9"


def _something_else(rng: Rng, _: Sources) -> Made:
    starts = (b"PK\x03\x04", b"%PDF-1.7\n", b"<svg xmlns=", b"\x7fELF", b"MZ", b"hello ", b"")
    return "image", ".png", _one(rng, starts) + rng.bytes(int(rng.integers(1, 5_000)))


def _nothing(rng: Rng, _: Sources) -> Made:
    kind: MediaKind = "image" if rng.random() < 0.5 else "video"
    return kind, ".jpg", bytes(int(rng.integers(0, 3)) * 500)


def _animated(rng: Rng, _: Sources) -> Made:
    frames = [_picture(rng, 64, 48) for _ in range(4)]
    name = _one(rng, (GIF, PNG, WEBP))
    whole = encoded(frames[0], name, save_all=True, append_images=frames[1:])
    return "image", ENDINGS[name], whole if rng.random() < 0.5 else _cut(rng, whole)


def _deep(rng: Rng, _: Sources) -> Made:
    grey = Image.fromarray(rng.integers(0, 65_536, (48, 64)).astype(np.uint16))
    name = _one(rng, (PNG, TIFF))
    return "image", ENDINGS[name], encoded(grey, name)


def _cmyk(rng: Rng, _: Sources) -> Made:
    name = _one(rng, (JPEG, TIFF))
    return "image", ENDINGS[name], encoded(_picture(rng, 64, 48).convert("CMYK"), name)


def _wrong_extension(rng: Rng, sources: Sources) -> Made:
    return "image", _one(rng, tuple(ENDINGS.values())), _one(rng, sources.images)


def _video_as_image(rng: Rng, sources: Sources) -> Made:
    return "image", ".jpg", _one(rng, sources.videos)


def _image_as_video(rng: Rng, sources: Sources) -> Made:
    return "video", ".mp4", _one(rng, sources.images)


def _video_bit_flips(rng: Rng, sources: Sources) -> Made:
    return "video", ".mp4", _flipped(rng, _one(rng, sources.videos))


def _video_truncated(rng: Rng, sources: Sources) -> Made:
    return "video", ".mp4", _cut(rng, _one(rng, sources.videos))


def _video_spliced(rng: Rng, sources: Sources) -> Made:
    head, tail = _one(rng, sources.videos), _one(rng, sources.videos)
    return "video", ".mp4", head[: _place(rng, head)] + tail[_place(rng, tail) :]


def _video_header_noise(rng: Rng, sources: Sources) -> Made:
    """Bytes changed where a container keeps its tables: at the start and at the end."""
    found = bytearray(_one(rng, sources.videos))
    span = min(2_000, len(found))
    for place in rng.integers(0, span, 12):
        found[int(place) if rng.random() < 0.5 else -1 - int(place)] = int(rng.integers(256))
    return "video", ".mp4", bytes(found)


def _playlist(rng: Rng, _: Sources) -> Made:
    playlists = (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///dev/zero\n",
        b"ffconcat version 1.0\nfile /dev/zero\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    )
    return "video", ".mp4", _one(rng, playlists)


RECIPES: Mapping[str, Recipe] = {
    recipe.__name__.removeprefix("_"): recipe
    for recipe in (
        _bit_flips, _truncated, _noise_inside, _header_swapped, _spliced, _inflated, _png_bomb,
        _png_below_the_bound, _png_text_bomb, _gif_bomb, _gif_of_many_frames, _webp_bomb,
        _tiff_bomb, _jpeg_of_many_scans, _something_else, _nothing, _animated, _deep, _cmyk,
        _wrong_extension, _video_as_image, _image_as_video, _video_bit_flips, _video_truncated,
        _video_spliced, _video_header_noise, _playlist,
    )
}  # fmt: skip


def _one(rng: Rng, among: Sequence[Choice]) -> Choice:
    return among[int(rng.integers(len(among)))]


def _place(rng: Rng, content: bytes) -> int:
    return int(rng.integers(len(content)))


def _cut(rng: Rng, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def _flipped(rng: Rng, content: bytes) -> bytes:
    """One to a hundred bits turned over."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 101))):
        found[_place(rng, content)] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _ending(content: bytes) -> str:
    starts = {b"\xff\xd8": JPEG, b"\x89PNG": PNG, b"GIF8": GIF, b"RIFF": WEBP, b"BM": BMP}
    found = (name for start, name in starts.items() if content.startswith(start))
    return ENDINGS[next(found, TIFF)]


def _picture(rng: Rng, width: int, height: int) -> Image.Image:
    coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height))


@cache
def _deep_png() -> bytes:
    """As many pixels as are allowed, at 64 bits each: 317 MB from a file of a megabyte or less."""
    rows = bytes(8 * BELOW_THE_BOUND + 1)
    deflate = zlib.compressobj(1)
    data = b"".join(deflate.compress(rows) for _ in range(BELOW_THE_BOUND)) + deflate.flush()
    return png(BELOW_THE_BOUND, BELOW_THE_BOUND, 16, 6, data)


def _zeros(mebibytes: int) -> bytes:
    deflate = zlib.compressobj(1)
    parts = [deflate.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join(parts) + deflate.flush()
