"""Cut the attention mesh into two files that LiteRT can run.

The file has three custom operators (Landmarks2TransformMatrix, TransformTensorBilinear, TransformLandmarks) that only
MediaPipe implements. The parts before and after them use standard operators: this module cuts both out of the
flatbuffer, and `pipeline/face/landmarks.py` computes the three operators in between.
"""

from __future__ import annotations

from typing import Any

MESH = (["input_1"], ["p_re_lu_3", "output_mesh", "conv_faceflag"])
REGIONS = ["transform_tensor_bilinear_v2", "transform_tensor_bilinear_v2_1", "transform_tensor_bilinear_v2_2"]
REFINED = ["conv_lips", "conv_left_eye", "conv_right_eye", "conv_left_iris", "conv_right_iris"]
REFINEMENT = (REGIONS, REFINED)


def cut_attention_mesh(model: bytes) -> tuple[bytes, bytes]:
    """Return both halves of the model file: picture to mesh and features, sampled features to refined points."""
    return cut(model, *MESH), cut(model, *REFINEMENT)


def cut(model: bytes, inputs: list[str], outputs: list[str]) -> bytes:
    """Return the part of a .tflite file between named tensors. Raise KeyError if the file lacks a name."""
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = tree.subgraphs[0]
    index = {tensor.name.decode(): i for i, tensor in enumerate(graph.tensors)}
    graph.inputs, graph.outputs = [index[name] for name in inputs], [index[name] for name in outputs]
    _keep_needed(graph)
    _compact(tree, graph)
    tree.metadata = tree.metadataBuffer = tree.signatureDefs = None
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _keep_needed(graph: Any) -> None:
    """Drop the operators that the outputs do not need, walking back from them and stopping at the inputs."""
    needed, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if needed & set(operator.outputs) and not set(operator.outputs) <= set(graph.inputs):
            needed |= set(operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]


def _compact(tree: Any, graph: Any) -> None:
    """Remove unused tensors, buffers and operator codes, and renumber the rest."""
    used = sorted({i for o in graph.operators for i in (*o.inputs, *o.outputs) if i >= 0} | {*graph.inputs})
    place = {old: new for new, old in enumerate(used)} | {-1: -1}  # -1 is an operator's absent optional input
    graph.tensors = [graph.tensors[i] for i in used]
    graph.inputs, graph.outputs = [place[i] for i in graph.inputs], [place[i] for i in graph.outputs]
    codes = sorted({operator.opcodeIndex for operator in graph.operators})
    for operator in graph.operators:
        operator.inputs = [place[i] for i in operator.inputs]
        operator.outputs = [place[i] for i in operator.outputs]
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
    tree.operatorCodes = [tree.operatorCodes[i] for i in codes]
    buffers = sorted({0} | {tensor.buffer for tensor in graph.tensors})  # buffer 0 is the empty one, by the format
    for tensor in graph.tensors:
        tensor.buffer = buffers.index(tensor.buffer)
    tree.buffers = [tree.buffers[i] for i in buffers]
