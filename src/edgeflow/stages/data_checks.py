"""Data that lie: samples of train that evaluation or golden has too, as they are or encoded again, and labels that
contradict each other.

A copy is a sample whose prepared values are the same, bit for bit. Images look alike where their thumbnails do: what
was saved again as JPEG (quality 40 and above) or scaled between a third and twice its size does, and so may pictures of
one thing from one place.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeflow.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeflow.plugin import Int64

THUMBNAIL = 16  # pixels along each axis, as many as there are at most
# Greatest root mean square difference of thumbnails that look alike: LEAST + their standard deviation / PART, of 255.
# Measured on photos of 160 × 160: 100 % of those saved at quality 40 to 90 or scaled by .5 to 1.7, 96 % of those scaled
# by .37. Of 1,797 handwritten digits of 8 × 8 pixels, which are much alike, the two closest are 1.7 times that apart.
LEAST, PART = 1.0, 25.0
BLOCK = 256  # held-out samples at a time
EXAMPLES = 20  # pairs that are listed


@dataclass
class Fingerprints:
    """What is kept of every sample to find it again: 16 bytes, and of images 256 more."""

    digests: dict[int, bytes] = field(default_factory=dict)
    thumbnails: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def add(self, index: int, taken: tuple[bytes, NDArray[np.uint8] | None]) -> None:
        """Keep what `taken` made of a sample."""
        digest, thumbnail = taken
        self.digests[index] = digest
        if thumbnail is not None:
            self.thumbnails[index] = thumbnail


@dataclass(frozen=True)
class Found:
    """Samples by their index in the dataset."""

    copies: Mapping[int, int]  # sample of train → the held-out sample that it is
    alike: Mapping[int, int]  # sample of train → a held-out sample that it looks like
    contradictions: tuple[tuple[int, int], ...]  # the same sample with two classes


def taken(
    shaped: Mapping[str, NDArray[Any]], how: Mapping[str, Preprocessing], kinds: Mapping[str, str]
) -> tuple[bytes, NDArray[np.uint8] | None]:
    """Digest and thumbnail of a prepared sample; None where it is no image. `kinds`: its types before."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(shaped):
        digest.update(shaped[name].data if shaped[name].ndim else shaped[name].tobytes())
    if len(shaped) != 1:
        return digest.digest(), None
    ((name, sample),) = shaped.items()
    return digest.digest(), _thumbnail(sample, how[name], kinds[name])


def _thumbnail(sample: NDArray[Any], how: Preprocessing, kind: str) -> NDArray[np.uint8] | None:
    """uint8[h × w] in grey; None for what is no image of known range."""
    import numpy as np
    from PIL import Image

    if how.resize is None or min(sample.shape[1:]) < THUMBNAIL / 2:
        return None
    if sample.dtype == np.uint8:
        grey = sample[0] if len(sample) == 1 else np.asarray(sample.mean(axis=0, dtype=np.float32), np.uint8)
    elif how.scale is None:
        return None
    else:
        low, high = how.scale[kind]
        mean = np.asarray(sample.mean(axis=0, dtype=np.float32))
        grey = np.asarray(np.clip((mean - low) * (255 / (high - low)), 0, 255), np.uint8)
    height, width = (min(THUMBNAIL, size) for size in grey.shape)
    small = Image.fromarray(np.ascontiguousarray(grey)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small).ravel()


def found(prints: Fingerprints, train: NDArray[np.int64], held_out: NDArray[np.int64], y: Int64 | None) -> Found:
    """What of train is in the samples that are held out."""
    by_digest = {prints.digests[index]: index for index in reversed(held_out.tolist())}
    copies = {index: by_digest[prints.digests[index]] for index in train.tolist() if prints.digests[index] in by_digest}
    others = train[[index not in copies for index in train.tolist()]]
    alike = dict(_alike(prints, others, held_out))
    return Found(copies, dict(sorted(alike.items())), () if y is None else tuple(_contradictions(prints, y)))


def _contradictions(prints: Fingerprints, y: Int64) -> Iterator[tuple[int, int]]:
    """Of samples that are the same and have several classes, the first of each class beside the first of all."""
    same: dict[bytes, dict[int, int]] = defaultdict(dict)
    for index, digest in sorted(prints.digests.items()):
        same[digest].setdefault(int(y[index]), index)
    for by_class in same.values():
        first, *others = by_class.values()
        yield from ((first, other) for other in others)


def _alike(prints: Fingerprints, train: NDArray[np.int64], held_out: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Samples of train, each with a held-out one whose thumbnail is close."""
    import numpy as np

    if len(prints.thumbnails) != len(prints.digests):
        return
    index, x, mean, most = _by_brightness(prints, train)
    others, z, brightness, _ = _by_brightness(prints, held_out)
    if not len(index):
        return
    norms = (x**2).sum(axis=1)
    for start in range(0, len(others), BLOCK):
        block = slice(start, start + BLOCK)
        # two that are close are as bright but for the distance itself
        first = int(np.searchsorted(mean, brightness[block][0] - most.max()))
        last = int(np.searchsorted(mean, brightness[block][-1] + most.max(), side="right"))
        for begin in range(first, last, 16 * BLOCK):
            part = slice(begin, min(begin + 16 * BLOCK, last))
            squares = norms[part, None] + (z[block] ** 2).sum(axis=1) - 2 * (x[part] @ z[block].T)
            nearest = squares.argmin(axis=1)
            distance = np.sqrt(np.maximum(squares.min(axis=1), 0) / x.shape[1])
            for row in np.flatnonzero(distance <= most[part]).tolist():
                yield int(index[part][row]), int(others[block][nearest[row]])


def _by_brightness(
    prints: Fingerprints, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Samples from the darkest to the brightest: indices, thumbnails, their means and the distance that is close.

    Those of a single grey have no features to be known by, and are left out.
    """
    import numpy as np

    size = len(next(iter(prints.thumbnails.values())))
    x = np.empty((len(chosen), size), np.uint8)
    for row, index in enumerate(chosen.tolist()):
        x[row] = prints.thumbnails[index]
    deviation = x.std(axis=1, dtype=np.float32)
    order = np.argsort(x.mean(axis=1, dtype=np.float32), kind="stable")
    order = order[deviation[order] >= LEAST]
    values = np.asarray(x[order], np.float32)
    return chosen[order], values, values.mean(axis=1), LEAST + deviation[order] / PART
