"""What can be chosen by name, said once: the command line, the settings and the loaders derive from it."""

from typing import Literal

Precision = Literal["auto", "fp32", "bf16", "fp16"]
BackendName = Literal["compiled", "eager", "onnx", "pruned", "quantized", "tensorrt"]
Device = Literal["auto", "cuda", "cpu"]
