"""S: the small perceptrons of LivePortrait (Guo et al., arXiv:2407.03168) that correct keypoints."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class Perceptron(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, first width) to (B, last width)."""
        y: Tensor = self.mlp(x)
        return y


def stitching() -> Perceptron:
    """Build the network from [source, driven keypoints] (B, 126) to [offset per keypoint (63), x, y of all (2)]."""
    return Perceptron(126, 128, 128, 64, 65)


def lip_retargeting() -> Perceptron:
    """Build the network from [source keypoints (63), lip ratio, target ratio] to an offset per keypoint (B, 63)."""
    return Perceptron(65, 128, 128, 64, 63)


def eye_retargeting() -> Perceptron:
    """Build the network from [source keypoints (63), eye ratios (2), target ratio] to offsets (B, 63)."""
    return Perceptron(66, 256, 256, 128, 128, 64, 63)
