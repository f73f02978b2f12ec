"""The exact short forms with the generator's costliest convolutions in 8-bit integers, and the mask's on a GPU.

The bar is 35 dB PSNR of the built-in portrait's picture against float32's; weights that miss it are refused. With the
stand-in weights it reaches 36.6 dB, two other portraits 34.96 and 36.2. With them the motion extractor, which wants its
keypoints within half a pixel of 512, stays in floating point (8 bits are off by 3 pixels, FP8 by 15), and so do the
layers that start and end the generator. FP8 (E4M3) misses the bar in all of the generator, at 25 dB, and in the SPADE
branches alone, at 31 dB; 8-bit integers are as fast on a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core.animator import Picture
from pipeline.imaging.image_quality import psnr
from pipeline.imaging.source_picture import default_portrait, read_picture
from pipeline.liveportrait.backend import BackendError
from pipeline.liveportrait.backends.compiled import Compiled
from pipeline.liveportrait.backends.ops.exact_generator import ExactGenerator
from pipeline.liveportrait.backends.ops.exact_warping import ExactWarping
from pipeline.liveportrait.backends.ops.int8 import OneDnnConv, balance_of
from pipeline.liveportrait.checkpoint import Networks
from pipeline.liveportrait.crop import Box, cut, halved
from pipeline.liveportrait.keypoint_motion import decode
from pipeline.liveportrait.networks.motion_extractor import RawMotion
from pipeline.liveportrait.paste import to_input

LEAST_PSNR = 35.0
NAMES = re.compile(r"(mask|gamma_beta|gamma_shift|conv_0|conv_1)$")
"""The convolutions that are quantized: those that take most time and cost fewest dB."""

CENTRE, SIDE = (224.0, 106.0), 213.0  # in pixels: the built-in portrait's face


class Quantized(Compiled):
    """As Compiled; `dtype` is what is left of floating point. BackendError where pictures would not pass the bar."""

    name = "quantized"

    @torch.inference_mode()
    def _forms(self, networks: Networks) -> tuple[ExactWarping, ExactGenerator]:
        warping, generator = super()._forms(networks)
        warping, generator = warping.to(self.device), generator.to(self.device)
        feature, keypoints = self._example()
        source = warping.prepare(feature, keypoints[:1])
        check(*quantize((warping, generator), lambda: generator(warping(source, keypoints[1:]))))
        return warping, generator

    def _example(self) -> tuple[Tensor, Tensor]:
        """Appearance of the built-in portrait; keypoints (2, 21, 3) of it, and of the same face turned and nearer."""
        views = [to_input(view, self.device) for view in _views()]
        motion = decode(RawMotion.unpacked(self._packed(torch.cat(views))))
        return self._appearance(views[0]), motion.transformed()


def quantize(forms: Sequence[nn.Module], run: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Replaces, in float32 `forms`, the convolutions of NAMES, balanced for what `run` lets them read.

    Gives what `run` gives before and after.
    """
    found = [(form, name) for form in forms for name in _convolutions(form)]
    balances: dict[nn.Module, Tensor] = {}
    hooks = [
        form.get_submodule(name).register_forward_pre_hook(
            lambda conv, inputs: balances.__setitem__(conv, balance_of(inputs[0]))
        )
        for form, name in found
    ]
    exact = run()
    for hook in hooks:
        hook.remove()
    for form, name in found:
        conv = form.get_submodule(name)
        form.set_submodule(name, _int8_conv(conv, balances[conv]))
    return exact, run()


def _int8_conv(conv: Any, balance: Tensor) -> nn.Module:
    """Return a float32 convolution in 8 bits, on its device; `balance` (C,) is what `balance_of` gives of its input."""
    if not conv.weight.is_cuda:
        return OneDnnConv(conv, balance)
    from pipeline.liveportrait.backends.ops.int8_triton import TritonConv

    return TritonConv(conv, balance)


def check(exact: Tensor, found: Tensor) -> None:
    """BackendError where a picture (B, 3, H, W) about 0..1 is too far from the exact one."""
    quality = psnr(found.clamp(0, 1).float().cpu(), exact.clamp(0, 1).cpu(), peak=1)
    if quality is not None and not quality >= LEAST_PSNR:
        raise BackendError(
            f"With these weights the quantized backend reaches only {quality:.1f} dB PSNR against float32; "
            f"it needs {LEAST_PSNR:.0f} dB. Use --backend compiled."
        )


def _convolutions(form: nn.Module) -> Iterator[str]:
    for name, module in form.named_modules():
        if NAMES.search(name) and isinstance(module, nn.Conv2d | nn.Conv3d):
            yield name


def _views() -> list[Picture]:
    """Two squares of 256 pixels of the built-in portrait."""
    picture = read_picture(default_portrait())
    boxes = Box(np.array(CENTRE), SIDE), Box(np.array(CENTRE), 0.9 * SIDE, np.radians(8))
    return [halved(cut(picture, box.matrix())) for box in boxes]
