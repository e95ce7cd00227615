"""The npz loader: what it reads, and every way in which a file or its options can be wrong."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from edgeflow.errors import ConfigError, DataError
from edgeflow.loaders.npz import DOWNLOADS, plugin
from edgeflow.plugin import Input, LoadJob, Samples

X = np.linspace(0, 1, 6 * 3 * 4 * 5, dtype=np.float32).reshape(6, 3, 4, 5)
Y = np.array([0, 1, 2, 0, 1, 2])
DIGEST = "0" * 64


def write(folder: Path, **arrays: Any) -> str:
    """An archive in `folder`; returns its name."""
    np.savez(folder / "own.npz", **{"x": X, "y": Y, **arrays})
    return "own.npz"


def load(folder: Path, **options: Any) -> Samples:
    """What the loader gives, with the project in `folder`."""
    return plugin.load(LoadJob("own", {"file": "own.npz", **options}, folder))


def refusal(folder: Path, **options: Any) -> str:
    """The message of the DataError, with "{file}" for the path of the archive."""
    with pytest.raises(DataError) as caught:
        load(folder, **options)
    return str(caught.value).replace(str(folder / "own.npz"), "{file}")


# --- what it reads ---------------------------------------------------------------------------------------------------


def test_arrays_arrive_as_they_are(tmp_path: Path) -> None:
    write(tmp_path)
    samples = load(tmp_path)
    assert samples.inputs.dtype == np.float32
    assert samples.y.dtype == np.int64
    np.testing.assert_array_equal(samples.inputs, X)
    np.testing.assert_array_equal(samples.y, Y)
    assert samples.labels == ("0", "1", "2")


def test_names_labels_and_order_of_axes_are_options(tmp_path: Path) -> None:
    write(tmp_path, images=X.transpose(0, 2, 3, 1), classes=Y.astype(np.uint8))
    samples = load(tmp_path, x="images", y="classes", layout="NHWC", labels=["a", 7, "c", "d"])
    np.testing.assert_array_equal(samples.inputs, X)
    assert samples.labels == ("a", "7", "c", "d")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_images_without_channels_are_in_any_order(tmp_path: Path, layout: str) -> None:
    write(tmp_path, x=X[:, 0])
    np.testing.assert_array_equal(load(tmp_path, layout=layout).inputs, X[:, 0])


def test_sequences_and_tables(tmp_path: Path) -> None:
    write(tmp_path, x=X[:, 0])
    np.testing.assert_array_equal(load(tmp_path).inputs, X[:, 0])
    np.testing.assert_array_equal(load(tmp_path, layout="NLC").inputs, X[:, 0].transpose(0, 2, 1))
    write(tmp_path, x=X[:, 0, 0])
    np.testing.assert_array_equal(load(tmp_path).inputs, X[:, 0, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64])
def test_integers_stay_what_they_are(tmp_path: Path, dtype: type) -> None:
    x = (X * 100).astype(dtype)
    write(tmp_path, x=x)
    assert load(tmp_path).inputs.dtype == dtype
    np.testing.assert_array_equal(load(tmp_path).inputs, x)


@pytest.mark.parametrize(
    ("y", "labels", "numbers"),
    [
        ([9, 2, 10, 10, 2, 9], ("2", "9", "10"), [1, 0, 2, 2, 0, 1]),
        ([-1, 1, 1, -1, 1, 2**40], ("-1", "1", "1099511627776"), [0, 1, 1, 0, 1, 2]),
        (["ok", "bad", "größer", "bad", "ok", "ok"], ("bad", "größer", "ok"), [2, 0, 1, 0, 2, 2]),
    ],
)
def test_classes_are_named_as_they_are_in_the_file(
    tmp_path: Path, y: list[Any], labels: tuple[str, ...], numbers: list[int]
) -> None:
    write(tmp_path, y=np.array(y))
    samples = load(tmp_path)
    assert samples.labels == labels
    assert samples.y.dtype == np.int64
    assert samples.y.tolist() == numbers


def test_names_in_the_options_order_those_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, y=np.array(["ok", "bad", "bad", "ok", "ok", "bad"]))
    samples = load(tmp_path, labels=["ok", "unseen", "bad"])
    assert samples.labels == ("ok", "unseen", "bad")
    assert samples.y.tolist() == [0, 2, 2, 0, 0, 2]
    message = "{file}: y has 'bad'; 'labels' has ok, good"
    assert refusal(tmp_path, labels=["ok", "good"]) == message


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_floats_of_any_width_become_float32(tmp_path: Path, dtype: type) -> None:
    write(tmp_path, x=X.astype(dtype))
    samples = load(tmp_path)
    assert samples.inputs.dtype == np.float32
    np.testing.assert_allclose(samples.inputs, X, atol=1e-3)


SEVERAL = {"ids": Input((2,), "int64"), "a": Input((), "float64"), "half": Input((2, 2, 2, 2), "float16")}


def test_the_arrays_of_several_inputs_have_their_names(tmp_path: Path) -> None:
    arrays = {
        "ids": np.arange(12, dtype=np.int32).reshape(6, 2),
        "a": np.linspace(-1, 1, 6),
        "half": np.arange(96, dtype=np.float16).reshape(6, 2, 2, 2, 2),
    }
    write(tmp_path, **arrays)
    job = LoadJob("own", {"file": "own.npz"}, tmp_path, SEVERAL)
    samples = plugin.load(job)
    assert isinstance(samples.inputs, dict)
    for name, array in arrays.items():
        assert samples.inputs[name].dtype == array.dtype
        np.testing.assert_array_equal(samples.inputs[name], array)
    with pytest.raises(DataError, match=r"no array 'b'; it has: a, half, ids, x, y"):
        plugin.load(replace(job, inputs={**SEVERAL, "b": SEVERAL["a"]}))
    with pytest.raises(
        ConfigError, match=r"options\.x: the dataset has several inputs, whose arrays are named as they"
    ):
        plugin.load(replace(job, options={"file": "own.npz", "x": "x"}))


def test_the_array_of_the_only_input_may_have_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", sound=X)
    job = LoadJob("own", {"file": "own.npz"}, tmp_path, {"sound": Input((3, 4, 5))})
    np.testing.assert_array_equal(plugin.load(job).inputs["sound"], X)


@pytest.mark.parametrize("inputs", [("x", "y"), ("y",)])
def test_an_input_that_is_called_y_is_no_class(tmp_path: Path, inputs: tuple[str, ...]) -> None:
    arrays: dict[str, Any] = {name: np.arange(6) for name in inputs}
    np.savez(tmp_path / "own.npz", **arrays)
    samples = plugin.load(LoadJob("own", {"file": "own.npz"}, tmp_path, {name: Input((), "int64") for name in inputs}))
    assert (samples.y, samples.labels, sorted(samples.inputs)) == (None, (), sorted(inputs))


def test_samples_that_nobody_labelled(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X)
    assert (load(tmp_path).y, load(tmp_path).labels) == (None, ())
    assert refusal(tmp_path, y="y") == "{file}: no array 'y'; it has: x"


def test_names_of_classes_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, labels=np.array(["good", "bad", "ugly"]))
    assert load(tmp_path).labels == ("good", "bad", "ugly")
    assert load(tmp_path, labels=["a", "b", "c"]).labels == ("a", "b", "c")
    write(tmp_path, labels=np.array(["good", "bad", "bad"]))
    assert refusal(tmp_path) == "{file}: labels is <U4[3]; expected the name of each class, once"


def test_a_folder_of_arrays(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, array in (("x", X), ("y", Y)):
        np.save(tmp_path / f"parts/{name}.npy", array)
    samples = load(tmp_path, file="parts")
    np.testing.assert_array_equal(samples.inputs, X)
    assert samples.y.tolist() == Y.tolist()
    job = LoadJob("own", {"file": "parts"}, tmp_path)
    assert plugin.files(job) == (tmp_path / "parts/x.npy", tmp_path / "parts/y.npy")
    with pytest.raises(DataError, match=r"options\.sha256 is of a file; remove the key"):
        load(tmp_path, file="parts", sha256=DIGEST)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.npy files in the folder \(dataset own, options\.file\)"):
        load(tmp_path, file="empty")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_samples_are_read_one_at_a_time(tmp_path: Path, save: Any) -> None:
    x = np.random.default_rng(0).integers(0, 9, (40, 2**20), np.uint8)
    save(tmp_path / "own.npz", x=x)
    tracemalloc.start()
    rows = load(tmp_path).inputs
    for i in (0, 1, 5, 39, 3, 4, 39, 0):  # backwards too
        np.testing.assert_array_equal(rows[i], x[i])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 4


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_order_in_memory(tmp_path: Path, order: Any) -> None:
    write(tmp_path, x=np.asarray(X, order=order))
    np.testing.assert_array_equal(load(tmp_path).inputs, X)


def test_the_workflow_watches_the_file(tmp_path: Path) -> None:
    job = LoadJob("own", {"file": "own.npz"}, tmp_path)
    with pytest.raises(DataError, match="no such file"):
        plugin.files(job)
    write(tmp_path)
    assert plugin.files(job) == (tmp_path / "own.npz",)


# --- files that are wrong --------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "{file}: no such file (dataset own, options.file)"


def test_an_array_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, extra=Y)
    assert refusal(tmp_path, x="images") == "{file}: no array 'images'; it has: extra, x, y"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.float32(0)}, "{file}: x has shape []; expected [N, …], N samples"),
        ({"x": X[:0]}, "{file}: x has shape [0, 3, 4, 5]: it is empty"),
        ({"x": X[:, :, :0]}, "{file}: x has shape [6, 3, 0, 5]: it is empty"),
        ({"x": X > 0}, "{file}: x is bool; expected integers or floats"),
        ({"x": X + 0j}, "{file}: x is complex64; expected integers or floats"),
        ({"x": np.full((6, 1, 1, 1), {})}, "{file}: array 'x' cannot be read: Object arrays cannot be loaded"),
        ({"y": Y[:5]}, "{file}: x has 6 samples, y has 5 labels"),
        ({"y": Y[:0]}, "{file}: x has 6 samples, y has 0 labels"),
        ({"y": Y[:, None]}, "{file}: y is int64[6, 1]; expected whole numbers or text [N], one class per sample"),
        ({"y": np.int64(3)}, "{file}: y is int64[]; expected whole numbers or text [N], one class per sample"),
        ({"y": Y.astype(float)}, "{file}: y is float64[6]; expected whole numbers or text [N], one class per sample"),
        ({"y": Y > 0}, "{file}: y is bool[6]; expected whole numbers or text [N], one class per sample"),
    ],
)
def test_arrays_that_are_wrong(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    write(tmp_path, **arrays)
    assert refusal(tmp_path).startswith(message)


def test_fewer_names_than_classes(tmp_path: Path) -> None:
    write(tmp_path)
    assert refusal(tmp_path, labels=["a", "b"]) == (
        "{file}: y has classes from 0 to 2; expected 0 to 1, the places in 'labels'; without names classes are named "
        "by their numbers"
    )


@pytest.mark.parametrize(("axes", "layout"), [(2, "NHWC"), (2, "NLC"), (4, "NCL")])
def test_a_layout_of_other_axes(tmp_path: Path, axes: int, layout: str) -> None:
    x = X[(slice(None), *[0] * (4 - axes))]
    write(tmp_path, x=x)
    message = f"{{file}}: x has shape {list(x.shape)}, and options.layout says {layout}: {len(layout)} axes; correct or"
    assert refusal(tmp_path, layout=layout) == f"{message} remove it"


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "own.npz").open("wb") as stream:
        np.save(stream, X)
    assert refusal(tmp_path) == "{file}: holds one array without a name; write it with numpy.savez(path, x=…, y=…)"


@pytest.mark.parametrize("content", [b"", b"\x80\x04]\x94.", b"not an archive", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    assert refusal(tmp_path).startswith("{file}: not a readable .npz archive: ")


def test_a_truncated_archive(tmp_path: Path) -> None:
    path = tmp_path / write(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(tmp_path).startswith("{file}: not a readable .npz archive: ")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_altered_bytes(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "own.npz"
    save(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[300:320] = bytes(20)  # inside x
    path.write_bytes(content)
    assert refusal(tmp_path).startswith("{file}: array 'x' cannot be read: ")


def test_what_was_altered_is_found_at_the_end_at_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x=np.zeros((4, 2**16), np.float32))
    content = bytearray(path.read_bytes())
    content[2**17] ^= 1
    path.write_bytes(content)
    rows = load(tmp_path).inputs
    with pytest.raises(DataError, match="array 'x' cannot be read: Bad CRC-32"):
        np.asarray([rows[i] for i in range(4)])


def test_an_encrypted_archive(tmp_path: Path) -> None:
    path = tmp_path / write(tmp_path)
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the first member, x, and below in the list of members
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert refusal(tmp_path).startswith("{file}: array 'x' cannot be read: File 'x.npy' is encrypted")


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / write(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme", "hello")
    assert refusal(tmp_path, x="readme") == "{file}: 'readme' is not an array"


# --- options that are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"file": 3}, ["file: 3 is not text; put it in quotes"]),
        ({"file": ["a.npz"]}, ["file: ['a.npz'] is not text"]),
        ({"file": ""}, ["file: '' is not text; put it in quotes"]),
        ({"x": 1, "y": 2}, ["x: 1 is not text; put it in quotes", "y: 2 is not text; put it in quotes"]),
        ({"labels": "abc"}, ["labels: 'abc' is not a list of class names"]),
        ({"labels": {"a": 0}}, ["labels: {'a': 0} is not a list of class names"]),
        ({"labels": ["a", True, "c"]}, ["labels: ['a', True, 'c'] is not a list of class names"]),
        ({"labels": ["a", 1, "1"]}, ["labels: '1' is there twice"]),
        ({"layout": "HWC"}, ["layout: 'HWC' is not one of NCHW, NHWC, NCL, NLC"]),
        ({"sha256": 12}, ["sha256: 12 is not text; put it in quotes"]),
        ({"sha256": "abc"}, ["sha256: 'abc' is not a SHA-256 of 64 hexadecimal digits"]),
        ({"url": "http://x/y"}, ["sha256: missing; 'url' needs it, so that the data stay what they are"]),
        ({"url": 5, "sha256": DIGEST}, ["url: 5 is not text; put it in quotes"]),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, options: dict[str, Any], problems: list[str]) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **options)
    assert caught.value.problems == tuple(f"dataset own: options.{problem}" for problem in problems)
    with pytest.raises(ConfigError):  # also when the workflow asks for the files, before anything runs
        plugin.files(LoadJob("own", {"file": "own.npz", **options}, tmp_path))


def test_a_file_is_required(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset own: options\.file: missing"):
        plugin.load(LoadJob("own", {}, tmp_path))


# --- digests and downloads -------------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """An HTTP server for `folder` on the loopback interface; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to serve with an archive in it; a proxy of the machine is not asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "remote"
    folder.mkdir()
    write(folder)
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_local_file_is_held_against_its_digest(tmp_path: Path) -> None:
    path = tmp_path / write(tmp_path)
    assert len(load(tmp_path, sha256=digest(path).upper()).y) == 6
    message = f"{{file}}: its SHA-256 is {digest(path)}; dataset own, options.sha256 says otherwise"
    assert refusal(tmp_path, sha256=DIGEST) == message


def test_a_download_is_kept(remote: Path, tmp_path: Path) -> None:
    known = digest(remote / "own.npz")
    with serving(remote) as address:
        options = {"url": f"{address}/own.npz", "sha256": known, "file": "some/where/kept.npz"}
        np.testing.assert_array_equal(load(tmp_path, **options).inputs, X)
    assert digest(tmp_path / DOWNLOADS / known[:12] / "kept.npz") == known
    np.testing.assert_array_equal(load(tmp_path, **options).y, Y)  # nobody serves it any more


def test_a_kept_file_that_was_altered_is_fetched_again(remote: Path, tmp_path: Path) -> None:
    known = digest(remote / "own.npz")
    kept = tmp_path / DOWNLOADS / known[:12] / "own.npz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"altered")
    with serving(remote) as address:
        samples = load(tmp_path, url=f"{address}/own.npz", sha256=known)
    assert len(samples.y) == 6
    assert digest(kept) == known


def test_a_download_does_not_replace_another_of_the_same_name(remote: Path, tmp_path: Path) -> None:
    """Else a dataset that is prepared at the same time would read data that are not its own."""
    np.savez(remote / "bright.npz", x=np.ones_like(X), y=Y)
    with serving(remote) as address:
        for name in ("own.npz", "bright.npz"):
            load(tmp_path, file="data.npz", url=f"{address}/{name}", sha256=digest(remote / name))
    kept = {digest(path) for path in (tmp_path / DOWNLOADS).rglob("data.npz")}
    assert kept == {digest(remote / "own.npz"), digest(remote / "bright.npz")}


def test_a_download_with_another_digest_is_refused_and_not_kept(remote: Path, tmp_path: Path) -> None:
    with serving(remote) as address:
        message = refusal(tmp_path, url=f"{address}/own.npz", sha256=DIGEST)
    assert message.startswith(f"dataset own: cannot get {address}/own.npz: SHA256 hash of downloaded file")
    assert digest(remote / "own.npz") in message
    assert "check options.url and options.sha256, or put the file into the project" in message
    assert not [path for path in (tmp_path / DOWNLOADS).rglob("*") if path.is_file()]


def test_a_server_without_the_file(remote: Path, tmp_path: Path) -> None:
    with serving(remote) as address, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pooch leaves the connection open when it is refused
        message = refusal(tmp_path, url=f"{address}/other.npz", sha256=DIGEST)
        gc.collect()
    assert message.startswith(f"dataset own: cannot get {address}/other.npz: 404")


def test_nobody_listens(remote: Path, tmp_path: Path) -> None:
    with serving(remote) as address:
        pass
    message = refusal(tmp_path, url=f"{address}/own.npz", sha256=digest(remote / "own.npz"))
    assert message.startswith(f"dataset own: cannot get {address}/own.npz: ")
    assert not (tmp_path / DOWNLOADS / "own.npz").exists()


@pytest.mark.parametrize("url", ["own.npz", "file:///own.npz", "http://"])
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path, url=url, sha256=DIGEST)
    assert message.startswith(f"dataset own: cannot get {url}: ")


def test_the_workflow_does_not_wait_for_a_download(tmp_path: Path) -> None:
    job = LoadJob("own", {"file": "own.npz", "url": "http://127.0.0.1/own.npz", "sha256": DIGEST}, tmp_path)
    assert plugin.files(job) == ()
