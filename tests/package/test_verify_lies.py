"""Manifests that are whole, canonical and correctly hashed, and say what cannot be true."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import efpkg
from edgeflow.errors import PackageError

OTHER = "0" * 64
ARRAY = {"dtype": "int8", "path": "samples/output.bin", "shape": [2, 2]}


def _set(*path_and_value):
    """An edit that sets the value at a path of keys and indices."""
    *path, last, value = path_and_value

    def edit(fields):
        for key in path:
            fields = fields[key]
        fields[last] = value

    return edit


def _delete(*path):
    *parents, last = path

    def edit(fields):
        for key in parents:
            fields = fields[key]
        del fields[last]

    return edit


def _swap_files(fields):
    fields["files"][0], fields["files"][1] = fields["files"][1], fields["files"][0]


def _no_more_waiver(fields):
    fields["shipped_without"] = fields["verdict"]["shipped_without"] = []


CHECK = ("verdict", "checks", 0)

RELEASE = "Manifest.verdict.release: expected one of released, held, rejected, infeasible, failed, found "
BOUND = "check of 'accuracy_drop': is 'pass' on a bound that is not the end of its figure's interval"
TASK = "the verdict has no check that the model still does its task; nothing is released without one"
LIES = [
    # the verdict
    (_set("verdict", "release", "held"), "the verdict is 'held'; only what is released has a package"),
    (_set("verdict", "release", "rejected"), "the verdict is 'rejected'; only what is released has a package"),
    (_set("verdict", "release", "infeasible"), "the verdict is 'infeasible'; only what is released has a package"),
    (_set("verdict", "release", "approved"), RELEASE + "'approved'"),
    (_set("verdict", "status", "fail"), "the verdict's status is 'fail', which releases nothing"),
    (_set("verdict", "status", "unmeasured"), "the verdict's status is 'unmeasured', which releases nothing"),
    (
        _set("verdict", "status", "insufficient_evidence"),
        "the verdict's status is 'insufficient_evidence', which releases nothing",
    ),
    (_set(*CHECK, "status", "fail"), "check of 'accuracy_drop': is 'fail'"),
    (_set(*CHECK, "status", "insufficient_evidence"), "check of 'accuracy_drop': is 'insufficient_evidence'"),
    (_set(*CHECK, "status", "unmeasured"), "check of 'accuracy_drop': is 'unmeasured', and not in shipped_without"),
    (_no_more_waiver, "check of 'latency_p90_s': is 'unmeasured', and not in shipped_without"),
    (_set("verdict", "task", ["agreement"]), TASK),
    (_set("verdict", "task", ["accuracy_drop", "size_bytes"]), "'size_bytes' is no metric of a task"),
    (_set("shipped_without", []), "shipped_without differs between the package and its verdict"),
    (
        _set(*CHECK, "value", 0.001),
        "check of 'accuracy_drop': is 'pass' on a figure that is not among the measurements",
    ),
    (_set(*CHECK, "value", None), "check of 'accuracy_drop': is 'pass' on a figure that is not among the measurements"),
    (_set("measurements", []), "check of 'accuracy_drop': is 'pass' on a figure that is not among the measurements"),
    (
        _set("measurements", 0, "evidence", "estimate"),
        "check of 'accuracy_drop': is 'pass' on a figure that is not among the measurements",
    ),
    (
        _set(*CHECK, "evidence_required", "device"),
        "check of 'accuracy_drop': is 'pass' on weaker evidence than 'device'",
    ),
    (_set(*CHECK, "bound", 0.002), BOUND),
    (_set(*CHECK, "bound", None), BOUND),
    (_set("measurements", 0, "interval", None), BOUND),
    (_set(*CHECK, "limit", 0.008), "check of 'accuracy_drop': is 'pass' with 0.009, beyond its limit 0.008"),
    (_set(*CHECK, "direction", "min"), BOUND),
    (_set("verdict", "checks", []), TASK),
    (_set(*CHECK, "status", "not_applicable"), TASK),
    # names
    (_set("verdict", "model", "other"), "verdict.model is 'other', the package's model is 'net'"),
    (_set("target", "moon"), "verdict.target is 'board', the package's target is 'moon'"),
    (_set("scheme", "int8\nstatic"), "scheme 'int8\\nstatic' is not an id"),
    (_set("model", "\x1b[2Jnet"), "model '\\x1b[2Jnet' is not an id"),
    (_set("model", ""), "model '' is not an id"),
    (_set("release_counter", 0), "release_counter is 0; the first release is 1"),
    (_set("runtime", "least_versions", {}), "runtime.least_versions names no library"),
    # files
    (_set("program", "net.tflite"), "program 'net.tflite' is not among the files"),
    (_swap_files, "files: 'include/net.h' after 'net.cc': not sorted, or twice"),
    (_set("files", 0, "path", "../x"), "files: '../x' leads out of its folder"),
    (_set("files", 0, "path", "/x"), "files: '/x' has an absolute path"),
    (
        _set("files", 0, "path", "net.cc"),
        "files: 'net.cc' and 'net.cc' are the same file where case does not count",
    ),
    (
        _set("files", 0, "path", "manifest.json"),
        "files: 'manifest.json' and 'manifest.json' are the same file where case does not count",
    ),
    (
        _set("files", 0, "size_bytes", -1),
        "files: 'include/net.h': size_bytes is -1; allowed are 0 to 8589934591",
    ),
    (
        _set("files", 0, "size_bytes", 8**11),
        "files: 'include/net.h': size_bytes is 8589934592; allowed are 0 to 8589934591",
    ),
    (_set("files", 0, "size_bytes", 13.5), "Manifest.files[0].size_bytes: expected int, found 13.5"),
    (_set("files", 0, "sha256", "A" * 64), f"files: 'include/net.h': '{'A' * 64}' is not a SHA-256"),
    # digests
    (_set("ancestors", "checkpoint", "x"), "ancestors: 'checkpoint': 'x' is not a SHA-256"),
    (_set("ancestors", "program", OTHER), "ancestors: 'program' is not the SHA-256 of 'program.tflite'"),
    (
        _set("measurements", 0, "artifact_sha256", OTHER),
        f"measurement 'accuracy_drop' is of artifact '{OTHER}', which is neither in the package nor an ancestor",
    ),
    (
        _set("ladder", "rungs", 0, "artifact_sha256", OTHER),
        f"ladder: rung 'train' is of artifact '{OTHER}', which is neither in the package nor an ancestor",
    ),
    # interface
    (_set("postprocessing", "output", "z"), "postprocessing.output 'z' is not an output of the signature"),
    (_set("signature", "inputs", []), "signature has no inputs, or no outputs"),
    (_set("labels", ["one"]), "labels: 1 names for the 2 values of output 'y'"),
    (_set("labels", []), "0 labels, and postprocessing 'argmax'"),
    (_set("postprocessing", None), "2 labels, and postprocessing None"),
    (_set("binding", "inputs", {}), "binding.inputs: [] are not the inputs of the signature, ['x']"),
    (
        _set("binding", "inputs", "sound", "tensor", "z"),
        "binding.inputs: ['z'] are not the inputs of the signature, ['x']",
    ),
    (
        _set("binding", "outputs", "words", "tensor", "x"),
        "binding.outputs: ['x'] are not the outputs of the signature, ['y']",
    ),
    (_set("binding", "inputs", "sound", "axes", [0, 1]), "binding.inputs: 'sound': [0, 1] are not the axes of 'x'"),
    (_set("binding", "outputs", "words", "axes", [1]), "binding.outputs: 'words': [1] are not the axes of 'y'"),
    (_set("preprocessing", {}), "preprocessing: [] are not the model's inputs"),
    (_set("preprocessing", "sound", "std", [0]), "preprocessing.std has a 0, by which nothing is divided"),
    (_set("preprocessing", "sound", "mean", [0.1, 0.2]), "preprocessing.mean has 2 numbers for 1 channels"),
    # golden samples
    (_set("example", "example.py"), "example 'example.py' is not among the files"),
    (_set("golden", "samples", 0), "golden.samples is 0; a package has at least one"),
    (_set("golden", "samples", -1), "golden.samples is -1; a package has at least one"),
    (_delete("golden", "raw", "sound", 1), "golden.raw: 1 of 2 samples, and raw_left_out ''"),
    (_set("golden", "raw", {}), "golden.raw: 0 of 2 samples, and raw_left_out ''"),
    (_set("golden", "raw_left_out", "large"), "golden.raw: 2 of 2 samples, and raw_left_out 'large'"),
    (_set("golden", "inputs", {}), "golden.inputs: [] are not the tensors of the signature"),
    (_set("golden", "outputs", {"z": ARRAY}), "golden.outputs: ['z'] are not the tensors of the signature"),
    (
        _set("golden", "inputs", "x", "dtype", "uint8"),
        "golden.inputs: 'x': is 'uint8'[2, 49, 10, 1], expected int8[2, 49, 10, 1]",
    ),
    (
        _set("golden", "inputs", "x", "shape", [2, 1, 49, 10]),  # NCHW, where the program takes NHWC
        "golden.inputs: 'x': is 'int8'[2, 1, 49, 10], expected int8[2, 49, 10, 1]",
    ),
    (
        _set("golden", "prepared", "x", "shape", [2, 490]),
        "golden.prepared: 'x': is 'float32'[2, 490], expected float32[2, 49, 10, 1]",
    ),
    (
        _set("golden", "outputs", "y", "shape", [3, 2]),
        "golden.outputs: 'y': is 'int8'[3, 2], expected int8[2, 2]",
    ),
    (
        _set("golden", "inputs", "x", "path", "../x"),
        "golden.inputs 'x': '../x' is not among the files",
    ),
    (
        _set("golden", "inputs", "x", "path", "net.cc"),
        "golden.inputs 'x': has 980 bytes, 'net.cc' has 512",
    ),
    (_set("golden", "raw", "sound", 0, "dtype", "object"), "golden.raw 0: 'object' is not a type of arrays"),
    (
        _set("preprocessing", "sound", "scale", {"float32": [0.0, 1.0]}),
        "golden.raw 0: preprocessing.scale says nothing of uint8",
    ),
    *(
        (
            _set("preprocessing", "sound", "scale", {"uint8": limits}),
            f"preprocessing.scale: 'uint8': {limits} is no range of two numbers",
        )
        for limits in ([], [0.0], [5.0, 5.0], [255.0, 0.0])
    ),
    (_set("golden", "raw", "sound", 0, "shape", [1, 8, 9]), "golden.raw 0: has 72 bytes, 'samples/raw0.bin' has 64"),
    (_set("golden", "raw", "sound", 0, "shape", [-1, 8, -8]), "golden.raw 0: [-1, 8, -8] is not a shape"),
    (
        _set("golden", "raw", "sound", 0, "shape", [2**52] * 5000),
        f"golden.raw 0: [{'4503599627370496, ' * 16}45035996273… is not a shape",
    ),
    (_set("golden", "tolerance", {}), "golden.tolerance is not a number from 0 for each output"),
    (_set("golden", "tolerance", "y", -0.1), "golden.tolerance is not a number from 0 for each output"),
    (
        _set("golden", "artifact_sha256", OTHER),
        f"golden: answers of artifact '{OTHER}', which is no ancestor",
    ),
    (_set("golden", None), "Manifest.golden: expected an object, found NoneType"),
    (_delete("golden"), "Manifest: missing key 'golden'"),
    # structure
    (
        _set("runtime", "least_versions", {"\x1b[2J\n": 1}),
        "Manifest.runtime.least_versions.\\x1b[2J\\x0a: expected str, found 1",
    ),
    (_set("labels", "cat"), "Manifest.labels: expected a list, found str"),
    (_set("labels", [1, 2]), "Manifest.labels[0]: expected str, found 1"),
    (_set("release_counter", True), "Manifest.release_counter: expected int, found True"),
    (_set("release_counter", 2.0**60), "Manifest.release_counter: expected int, found 1.152921504606847e+18"),
    (_set("verdict", None), "Manifest.verdict: expected an object, found NoneType"),
    (_set("verdict", "release", []), RELEASE + "[]"),
    (_set("signature", "inputs", 0, "dtype", {}), "Manifest.signature.inputs[0].dtype: expected str, found {}"),
    (
        _delete("measurements", 0, "interval"),
        "a key is missing: every key is written, null where there is no value",
    ),
    (_delete("labels"), "Manifest: missing key 'labels'"),
    (_delete("verdict", "checks"), "Manifest.verdict: missing key 'checks'"),
]


@pytest.mark.parametrize(("edit", "message"), LIES)
def test_refused(lie, refusal, edit, message):
    assert refusal(lie(edit)) == f"byte 512: manifest.json: {message}"


def test_unknown_key_is_refused(lie, refusal):
    message = refusal(lie(_set("install", "rm -rf /")))
    assert message.startswith("byte 512: manifest.json: Manifest: unknown key 'install'; known: schema, model, ")


# --- the first version of the format ---------------------------------------------------------------------------------


def _as_the_second_version(fields):
    """What an edgeflow wrote before tensors had the model's names."""
    del fields["binding"], fields["ladder"]["binding"], fields["verdict"]["task"]
    for rung in fields["ladder"]["rungs"]:
        del rung["golden_n"], rung["golden_output"]
    fields["schema"] = "edgeflow.package/v2"
    fields["signature"]["layout"] = "NHWC"
    (fields["preprocessing"],) = fields["preprocessing"].values()
    del fields["preprocessing"]["dtype"]
    (fields["golden"]["raw"],) = fields["golden"]["raw"].values()


def test_a_package_of_the_second_version_is_verified(lie):
    content = lie(_as_the_second_version)
    manifest = efpkg.verify_stream(io.BytesIO(content), len(content), "it")
    assert isinstance(manifest, efpkg.Manifest)
    assert (manifest.schema, manifest.variant) == (efpkg.SCHEMA_V2, "net/board/int8_static")
    assert manifest.binding.inputs["x"].axes == (1, 2, 0)
    assert manifest.preprocessing["x"].shape == (1, 49, 10)
    assert len(manifest.golden.raw["x"]) == manifest.golden.samples


def test_an_axis_of_any_length_of_the_second_version_has_a_name_today(lie):
    def both(fields):
        _as_the_second_version(fields)
        for side in ("inputs", "outputs"):
            fields["signature"][side][0]["shape"][0] = -1

    content = lie(both)
    signature = efpkg.verify_stream(io.BytesIO(content), len(content), "it").signature
    assert [tensor.shape for tensor in (*signature.inputs, *signature.outputs)] == [("?", 49, 10, 1), ("?", 2)]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("signature", "inputs", []), "schema 'edgeflow.package/v2' is of one input and one output"),
        (_set("binding", {}), "ManifestV2: unknown key 'binding'; known: schema, model, "),
        (_set("golden", "raw", []), "golden.raw: 0 of 2 samples, and raw_left_out ''"),
        (_set("golden", "inputs", {}), "golden.inputs: [] are not the tensors of the signature"),
        (_delete("signature", "layout"), "ManifestV2.signature: missing key 'layout'"),
        (_set("verdict", "release", "held"), "the verdict is 'held'; only what is released has a package"),
    ],
)
def test_the_second_version_is_held_to_what_it_was(lie, refusal, edit, message):
    def both(fields):
        _as_the_second_version(fields)
        edit(fields)

    assert refusal(lie(both)).startswith(f"byte 512: manifest.json: {message}")


def _as_the_first_version(fields):
    """What an edgeflow that knew that version alone wrote."""
    _as_the_second_version(fields)
    del fields["golden"], fields["example"]
    fields["schema"] = "edgeflow.package/v1"
    fields["preprocessing"] = {"scale": "[0, 1]", "resize": "bilinear", "shape": [1, 4, 4], "mean": [0.3], "std": [0.4]}


def test_a_package_of_the_first_version_is_verified(lie, tmp_path):
    content = lie(_as_the_first_version)
    manifest = efpkg.verify_stream(io.BytesIO(content), len(content), "it")
    assert isinstance(manifest, efpkg.ManifestV1)
    assert (manifest.variant, manifest.preprocessing.resize) == ("net/board/int8_static", "bilinear")
    (tmp_path / "old.efpkg").write_bytes(content)
    said = efpkg.verify_command(tmp_path / "old.efpkg")
    assert "  format           of the first version: no golden samples, no example\n" in said


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("golden", {}), "ManifestV1: unknown key 'golden'; known: schema, model, "),
        (_set("preprocessing", "order", []), "ManifestV1.preprocessing: unknown key 'order'; known: scale, resize, "),
        (_set("verdict", "release", "held"), "the verdict is 'held'; only what is released has a package"),
        (_set("schema", "edgeflow.package/v2"), "ManifestV2: missing key 'golden'"),
    ],
)
def test_the_first_version_is_held_to_what_it_was(lie, refusal, edit, message):
    def both(fields):
        _as_the_first_version(fields)
        edit(fields)

    assert refusal(lie(both)).startswith(f"byte 512: manifest.json: {message}")


def test_what_a_message_repeats_is_short(lie, refusal):
    assert len(refusal(lie(_set("runtime", "least_versions", {"x" * 100000: 1})))) < 1100


def test_an_honest_edit_is_accepted(lie):
    """The tool that makes the lies makes a good package when nothing is wrong."""
    content = lie(_set("release_counter", 7))
    assert efpkg.verify_stream(io.BytesIO(content), len(content), "it").release_counter == 7


def test_a_not_applicable_check_needs_no_figure(lie):
    content = lie(lambda fields: fields["verdict"]["checks"][1].update(status="not_applicable"))
    assert efpkg.verify_stream(io.BytesIO(content), len(content), "it").release_counter == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(data=st.data())
def test_any_value_in_any_place_is_accepted_or_refused_cleanly(lie, data):
    """Nothing that a manifest can say makes the reader fail in another way."""

    def edit(fields):
        while True:
            keys = sorted(fields) if isinstance(fields, dict) else range(len(fields))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(fields[key], dict | list) or not fields[key] or data.draw(st.booleans()):
                break
            fields = fields[key]
        value = data.draw(JSON)
        # a whole number beyond 2^53 exists in this format as a double only
        fields[key] = float(value) if type(value) is int and abs(value) >= 2**53 else value

    try:
        content = lie(edit)
    except ValueError:  # nested: a lone surrogate or a great integer, which the test's own encoder refuses
        return
    try:
        said = efpkg.verify_stream(io.BytesIO(content), len(content), "it").schema
    except PackageError as error:
        said = str(error)
    assert said.isprintable()
    assert said == efpkg.SCHEMA or said.startswith("it: byte ")
