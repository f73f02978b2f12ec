"""LiteRT models whose tensors are passed by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class LiteRtModel:
    """A model file, loaded to run on one CPU thread: more threads spin, and are slower under load. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = {str(tensor["name"]): int(tensor["index"]) for tensor in self._interpreter.get_input_details()}
        self._outputs = {str(tensor["name"]): int(tensor["index"]) for tensor in self._interpreter.get_output_details()}

    def __call__(self, **inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the model and return copies of all outputs by name. Inputs are float32 in the model's shapes."""
        for name, value in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], value)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}
