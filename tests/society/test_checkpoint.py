"""Checkpoints give back every bit, and never a wrong one."""

import dataclasses
import math
import random
import string
import struct
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.checkpoint import (
    CheckpointError,
    checkpoints,
    decode,
    encode,
    known_classes,
    newest_sound,
    restore_tree,
    save_tree,
    write_checkpoint,
)
from society.tree_digest import digest


class Villager(NamedTuple):
    name: str
    energy: float


@dataclasses.dataclass(frozen=True)
class Village:
    people: tuple[Villager, ...]
    notes: dict[str, list[str]]


DTYPES = ["bool", "int8", "uint8", "int32", "uint32", "int64", "float32", "float64", "complex64"]


def bits(value: Any) -> Any:
    """A form in which equality means equal type and bits."""
    if isinstance(value, dict):
        return {"dict": [(bits(key), bits(item)) for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return type(value).__name__, [bits(item) for item in value]
    if hasattr(value, "dtype"):
        raw = np.asarray(value).tobytes()
        return type(value).__name__, str(value.dtype), value.shape, raw
    if isinstance(value, float):
        return struct.pack("<d", value)
    return type(value).__name__, value


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(st.characters(), max_size=10)
    | st.binary(max_size=10)
)
keys = st.text(max_size=5) | st.integers() | st.tuples(st.integers(), st.text(max_size=3))


@st.composite
def arrays(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    if dtype == "bool":
        raw = bytes(byte & 1 for byte in raw)
    array = np.frombuffer(raw, dtype).reshape(shape)
    return array if draw(st.booleans()) else array.T


trees = st.recursive(
    scalars | arrays(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_every_tree_comes_back_bit_by_bit(tree):
    back = decode(encode(tree))
    assert bits(back) == bits(tree)
    assert encode(back) == encode(tree)
    assert digest(back) == digest(tree)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float32", "bfloat16", "float8_e5m2"])
def test_device_arrays_come_back_on_the_device(dtype):
    tree = {"a": jnp.arange(6).reshape(2, 3).astype(dtype), "empty": jnp.zeros((0, 2), dtype)}
    back = decode(encode(tree))
    assert bits(back) == bits(tree)
    assert all(isinstance(leaf, jax.Array) for leaf in back.values())


def test_numpy_scalars_and_odd_layouts_come_back():
    tree = [
        np.float32(0.1),
        np.int8(-3),
        np.bool_(True),
        ml_dtypes.bfloat16(1.5),
        np.array(5),
        np.arange(12).reshape(3, 4)[::2, ::-1],
        np.array(["ab", "ü"]),
    ]
    assert bits(decode(encode(tree))) == bits(tree)
    big = np.arange(3, dtype=">i4")
    assert decode(encode(big)).tolist() == [0, 1, 2]


def test_what_comes_back_can_be_changed():
    back = decode(encode({"a": np.zeros(3)}))
    back["a"][1] = 5
    assert back["a"].tolist() == [0, 5, 0]


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"minds": [1, {2, 3}]}, r"tree\.minds\[1\]: a builtins\.set"),
        ({"a": np.array([object()])}, r"tree\.a: an array of dtype object"),
        ({"a": np.zeros(2, "i4,f4")}, r"tree\.a: an array of dtype"),
        ({"a": {frozenset(): 1}}, r"tree\.a: key frozenset"),
        ((lambda: 0,), r"tree\[0\]: a builtins\.function"),
    ],
)
def test_what_cannot_be_stored_is_named(tree, path):
    with pytest.raises(TypeError, match=path):
        encode(tree)


def test_a_typed_random_key_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"tree\.key.*jax\.random\.key_data"):
        encode({"key": jax.random.key(0)})


def test_only_classes_that_the_caller_passes_are_made():
    village = Village((Villager("Ada", math.inf), Villager("Bob", -0.0)), {"x": ["y"]})
    data = encode({"village": village})
    with pytest.raises(CheckpointError, match=r"holds a .*Village, which the caller does not know"):
        decode(data)
    assert known_classes(Village((), {})) == {Village, Villager}, "found through the field types"
    assert decode(data, known_classes(Village((), {}))) == {"village": village}


def test_a_device_tree_is_restored_by_template():
    tree = {
        "weak": jnp.asarray(1.5),
        "minds": (Villager("Ada", 2.0), jnp.arange(4, dtype=jnp.uint32)),
        "host": np.arange(3.0),
        "scalar": np.float32(2),
        "none": None,
    }
    saved = decode(encode(save_tree(tree)))
    template = jax.tree.map(lambda leaf: leaf, tree)
    back = restore_tree(template, saved)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    assert [bits(leaf) for leaf in jax.tree.leaves(back)] == [
        bits(leaf) for leaf in jax.tree.leaves(tree)
    ]
    assert back["weak"].weak_type, "or the compiled loop would promote otherwise"
    assert not back["minds"][1].weak_type
    shapes = jax.eval_shape(lambda: {"a": jnp.zeros((2, 3)), "b": (jnp.int8(1),)})
    values = {"a": jnp.ones((2, 3)), "b": (jnp.int8(7),)}
    back = restore_tree(shapes, decode(encode(save_tree(values))))
    assert bits(back["a"]) == bits(values["a"])
    assert isinstance(back["b"][0], jax.Array)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            {"a": jnp.zeros(4)},
            r"carry\['a'\]: the checkpoint holds float32\[3\].*needs float32\[4\]",
        ),
        ({"a": jnp.zeros(3, jnp.int8)}, r"carry\['a'\]: .*float32\[3\].*needs int8\[3\]"),
        ({"a": "text"}, r"carry\['a'\]: the checkpoint holds ndarray, this run needs str"),
        ({"a": jnp.zeros(3), "b": 1}, r"carry\['b'\] is not in the checkpoint"),
        ({}, r"carry\['a'\] is in the checkpoint only"),
    ],
)
def test_the_first_mismatch_with_a_template_is_named(template, message):
    with pytest.raises(CheckpointError, match=message):
        restore_tree(template, save_tree({"a": jnp.ones(3)}), what="carry")


def test_the_newest_is_read_and_only_the_last_few_are_kept(tmp_path):
    assert newest_sound(tmp_path) == (None, None, ())
    for number in range(5):
        write_checkpoint(tmp_path, "replicate-0", {"number": number})
    write_checkpoint(tmp_path, "replicate-1", "another series", keep=1)
    write_checkpoint(tmp_path, "replicate-1", "its second", keep=1)
    assert newest_sound(tmp_path, "replicate-0").tree == {"number": 4}
    assert newest_sound(tmp_path, "replicate-1").tree == "its second"
    assert len(checkpoints(tmp_path, "replicate-0")) == 3
    write_checkpoint(tmp_path, "replicate-0", {"number": 5}, keep=9)
    assert len(checkpoints(tmp_path, "replicate-0")) == 4
    write_checkpoint(tmp_path, "replicate-0", {"number": 6}, keep=3)
    assert len(checkpoints(tmp_path)) == 4
    with pytest.raises(ValueError, match="several series"):
        newest_sound(tmp_path)
    with pytest.raises(ValueError, match="use letters"):
        write_checkpoint(tmp_path, "../escape", 1)


def sample_tree(rng):
    return {
        "clock": {"step": rng.randrange(10**9), "generation": 3},
        "text": ["".join(rng.choices(string.printable, k=40)), "ünï", ""],
        "carry": {"a": np.frombuffer(rng.randbytes(400), "f4"), "b": np.arange(5, dtype=np.int8)},
        "floats": (math.nan, -math.inf, 1e-310),
    }


def test_a_thousand_flipped_bits_and_cuts_are_all_noticed(tmp_path, caplog):
    rng = random.Random(20240607)
    older, newer = sample_tree(rng), sample_tree(rng)
    write_checkpoint(tmp_path, "replicate-0", older)
    path = write_checkpoint(tmp_path, "replicate-0", newer)
    whole = path.read_bytes()
    assert len(whole) < 4000
    for trial in range(1000):
        if trial % 4:
            place = rng.randrange(8 * len(whole))
            data = bytearray(whole)
            data[place // 8] ^= 1 << place % 8
        else:
            data = whole[: rng.randrange(len(whole))]
        path.write_bytes(data)
        found = newest_sound(tmp_path)
        assert bits(found.tree) == bits(older), f"trial {trial} went unnoticed"
        assert path.name in found.unsound[0]
        with pytest.raises(CheckpointError):
            decode(bytes(data))
    assert "using the one before" in caplog.text
    path.write_bytes(whole)
    assert bits(newest_sound(tmp_path).tree) == bits(newer)


def test_appended_bytes_and_foreign_files_are_noticed(tmp_path):
    write_checkpoint(tmp_path, "r", 1)
    path = write_checkpoint(tmp_path, "r", 2)
    path.write_bytes(path.read_bytes() + b"\0")
    assert newest_sound(tmp_path).tree == 1
    path.write_bytes(b"")
    assert newest_sound(tmp_path).tree == 1
    path.unlink()
    path.mkdir()
    assert newest_sound(tmp_path).tree == 1


def test_when_nothing_is_sound_the_run_starts_from_its_beginning(tmp_path):
    path = write_checkpoint(tmp_path, "r", 1)
    path.write_bytes(path.read_bytes()[:-1])
    found = newest_sound(tmp_path)
    assert found.tree is None
    assert len(found.unsound) == 1


def test_a_sound_file_of_another_version_is_an_error_not_a_fallback(tmp_path):
    import hashlib

    write_checkpoint(tmp_path, "r", 1)
    path = write_checkpoint(tmp_path, "r", 2)
    data = bytearray(path.read_bytes()[:-32])
    data[8] = 9
    path.write_bytes(data + hashlib.sha256(data).digest())
    with pytest.raises(CheckpointError, match="format 9, this version of societylab reads 1"):
        newest_sound(tmp_path)


def test_no_code_runs_when_a_crafted_file_is_read(tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "bombed"), "w"))

    (tmp_path / "r.00000001.ckpt").write_bytes(pickle.dumps(Bomb()) * 3)
    assert newest_sound(tmp_path).tree is None
    assert not (tmp_path / "bombed").exists()
