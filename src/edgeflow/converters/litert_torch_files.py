"""What litert_torch writes, mended where it is wrong, and with short names."""

from __future__ import annotations

from edgeflow.runtimes import tflite_files


def mended(content: bytes) -> bytes:
    """The same model with nearest neighbours as PyTorch has them.

    PyTorch's "nearest" counts from the corner of a pixel. litert_torch 0.10 writes that it counts from the middle,
    which is the same for whole factors alone. "nearest-exact", which does, it writes with other operators.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.builtinOptionsType == schema.BuiltinOptions.ResizeNearestNeighborOptions:
                operator.builtinOptions.halfPixelCenters = False
    return tflite_files.compact(bytes(flatbuffer_utils.convert_object_to_bytearray(model)), named=True)
