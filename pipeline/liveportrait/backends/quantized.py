"""Run the exact forms with the generator's costliest convolutions in 8-bit integers, and the mask's on a GPU.

The picture of the built-in portrait must reach 35 dB PSNR against float32; weights that miss it are refused. The motion
extractor stays in floating point, because in 8 bits keypoints are off by more than half a pixel of 512, and so do the
first and last layers of the generator. FP8 (E4M3) misses the bar, and 8-bit integers are as fast on a GPU.
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
"""The convolutions that are quantized: they take most of the time and cost the fewest dB."""

CENTRE, SIDE = (224.0, 106.0), 213.0  # of the built-in portrait's face, in pixels


class Quantized(Compiled):
    """Runs like Compiled; `dtype` is for the rest. Raise BackendError if pictures would not be good enough."""

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
        """Return the appearance of the built-in portrait, and its keypoints (2, 21, 3), also turned and nearer."""
        views = [to_input(view, self.device) for view in _views()]
        motion = decode(RawMotion.unpacked(self._packed(torch.cat(views))))
        return self._appearance(views[0]), motion.transformed()


def quantize(forms: Sequence[nn.Module], run: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Replace the convolutions of NAMES in float32 `forms`, balanced for the inputs that `run` gives them.

    Return the results of `run` before and after.
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
    """Raise BackendError if a picture (B, 3, H, W) about 0..1 is too far from the exact one."""
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
    """Return two squares of 256 pixels of the built-in portrait."""
    picture = read_picture(default_portrait())
    boxes = Box(np.array(CENTRE), SIDE), Box(np.array(CENTRE), 0.9 * SIDE, np.radians(8))
    return [halved(cut(picture, box.matrix())) for box in boxes]
