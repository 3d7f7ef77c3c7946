"""Texts as vectors, for memories that are searched by meaning."""

import abc
import dataclasses
import functools
import itertools
import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Embedding", "Hashing", "SentenceTransformers", "unit"]

_WORD = re.compile(r"\w+")
_SHORT = 3  # letters; such words are mostly articles, pronouns and prepositions
_SHORT_WEIGHT = 0.25
_PAIR_WEIGHT = 0.5


class Embedding(abc.ABC):
    """Turns texts into vectors of length 1 (or 0, for texts without words).

    exact: equal texts give equal bits on every machine and in any batch, so that vectors
    need not be stored in checkpoints.
    """

    exact: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Numbers in a vector."""

    @abc.abstractmethod
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, size] float32; one call takes a whole batch."""


@component("embedding", "hashing")
@dataclasses.dataclass(frozen=True)
class Hashing(Embedding):
    """Words and pairs of neighbouring words, hashed into a vector; no model is needed.

    A feature adds +1 or -1 at a place that its CRC-32 names: 1 for a word, 1/4 for a word
    of at most three letters, 1/2 for a pair. Case and Unicode form do not matter. Texts are
    alike where they share words; synonyms are strangers.

    Source: Weinberger, Dasgupta, Langford, Smola and Attenberg (2009), "Feature hashing for
    large scale multitask learning", arXiv:0902.2206 (signed hashing; our weights).
    """

    exact: ClassVar[bool] = True

    width: int = doc_field(256, "numbers in a vector", ge=8, le=8192)

    @property
    def size(self) -> int:
        """Width."""
        return self.width

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, width] float32 of length 1, or zeros for a text without words."""
        places: list[int] = []
        values: list[float] = []
        for row, text in enumerate(texts):
            for place, value in _features(text, self.width):
                places.append(row * self.width + place)
                values.append(value)
        size = len(texts) * self.width
        found = np.bincount(np.asarray(places, np.int64), values, minlength=size)
        return unit(found.reshape(len(texts), self.width).astype(np.float32))


@component("embedding", "sentence_transformers")
@dataclasses.dataclass(frozen=True)
class SentenceTransformers(Embedding):
    """A model of the sentence-transformers library; texts are alike where they mean the same.

    Loaded at the first search. Vectors depend on the machine, so checkpoints store them, and
    a replay needs the same model and hardware.
    """

    model: str = doc_field("all-MiniLM-L6-v2", "name of a model, or a folder that holds one")
    device: str = doc_field("cpu", "where it runs", operational=True)

    @property
    def size(self) -> int:
        """As the model says."""
        return int(_sentence_model(self.model, self.device).get_sentence_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, size] float32 of length 1."""
        model = _sentence_model(self.model, self.device)
        return unit(np.asarray(model.encode(list(texts), show_progress_bar=False), np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)


@functools.lru_cache(maxsize=4096)
def _features(text: str, width: int) -> tuple[tuple[int, float], ...]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    found = [_place(word, width, 1.0 if len(word) > _SHORT else _SHORT_WEIGHT) for word in words]
    pairs = itertools.pairwise(words)
    found += [_place(f"{one} {two}", width, _PAIR_WEIGHT) for one, two in pairs]
    return tuple(found)


@functools.lru_cache(maxsize=1 << 16)
def _place(feature: str, width: int, weight: float) -> tuple[int, float]:
    number = zlib.crc32(feature.encode())
    return number % width, weight if number >> 31 else -weight


@functools.cache
def _sentence_model(name: str, device: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModuleNotFoundError(
            "memory.embedding: sentence_transformers needs the library of that name, which is not "
            "installed; `pip install sentence-transformers`, or use embedding: hashing"
        ) from error
    return SentenceTransformer(name, device=device)
