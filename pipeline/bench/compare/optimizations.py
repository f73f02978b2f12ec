"""The table of optimizations: what each one changes, and what the original report claimed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.bench.compare.setup import ORIGINAL, Setup
from pipeline.liveportrait.backends.tensorrt import PIN as TENSORRT_PIN


@dataclass(frozen=True)
class Optimization:
    """A row of the table."""

    name: str
    title: str
    about: str  # what it does and when it helps
    alone: Mapping[str, Any] = field(default_factory=dict)  # fields of a Setup, on top of the original
    claim: str = ""  # of the original report
    device: str | None = None  # the only kind of device that it is for
    quick: bool = False  # also with --quick
    package: str = ""  # that it needs besides the requirements

    def added(self) -> Setup:
        """Return the original with this optimization."""
        return replace(ORIGINAL, **self.alone)

    def removed(self, optimized: Setup) -> Setup | None:
        """Return the optimized settings without this optimization; None if they do not use it."""
        used = all(getattr(optimized, name) == value for name, value in self.alone.items())
        if not used or (optimized.backend != "plain" and not self.alone.keys() - OWN):
            return None
        return replace(optimized, **{name: getattr(ORIGINAL, name) for name in self.alone})


OWN = {"autocast", "folded", "compiled", "graphs", "inference", "channels_last", "half", "pruned", "stored", "dynamic"}
"""Fields that backends other than "plain" decide for themselves."""

QUANTIZATION, BATCHING, PRUNING = "2-4x faster, 50-75 % less memory", "+30-50 % throughput", "20-40 % faster"
ONNX, TENSORRT, OVERLAP = "15-30 % faster", "2-5x faster", "25-40 % faster"
CACHING, HARDWARE = "50-80 % faster on similar content", "20-50 % faster"

CLAIMS = {"ms": "59.6 % (5.20 s to 2.10 s)", "fps": "152.6 % (0.19 to 0.48)", "memory": "42.9 % (2800 to 1600 MB)"}
"""Claims of the original report for everything together."""

ROWS: Sequence[Optimization] = (
    Optimization(
        "control",
        "The original once more",
        "Nothing is changed, so this row shows the noise of the measurement. Smaller differences in other rows mean "
        "nothing.",
    ),
    Optimization(
        "precision-fp16-autocast",
        "FP16 autocast",
        "Weights stay in float32 and are converted for operators that can use half the bits. It uses tensor cores, but "
        "the conversions cost memory traffic and launches in every frame.",
        {"autocast": "fp16"},
        device="cuda",
    ),
    Optimization(
        "precision-fp16",
        "FP16 weights",
        "Warping network and generator are stored and computed in float16; coordinates, softmax and the motion "
        "extractor stay in float32. Half the weights, half the traffic, and tensor cores.",
        {"precision": "fp16"},
        QUANTIZATION,
        "cuda",
    ),
    Optimization(
        "precision-bf16-autocast",
        "BF16 autocast",
        "Weights stay in float32 and are converted where 8 bits of mantissa suffice. A CPU with BF16 instructions "
        "multiplies twice as many numbers at once; the conversions cost a part of that.",
        {"autocast": "bf16"},
    ),
    Optimization(
        "precision-bf16",
        "BF16 weights",
        "Warping network and generator are stored and computed in bfloat16; coordinates, softmax and the motion "
        "extractor stay in float32. It pays where the processor has instructions for it (AVX-512 BF16, AMX) or the "
        "GPU has tensor cores, and it rounds more coarsely than FP16.",
        {"precision": "bf16"},
        QUANTIZATION,
        quick=True,
    ),
    Optimization(
        "folding",
        "Norms folded into convolutions",
        "Batch and spectral normalisation are constants in inference. Multiplied into the weights once, they cost "
        "nothing per frame. Exact up to rounding.",
        {"folded": True},
    ),
    Optimization(
        "exact",
        "Exact short forms",
        "The backend `compiled` in float32: the same function with less work. Upsampling and the convolution after it "
        "become one on the small map, convolutions of the same map are merged, candidate deformations are products of "
        "one-dimensional interpolations, and on a CPU the 7x7x7 convolution is a product of spectra. On CUDA it is "
        "also compiled and captured as graphs.",
        {"backend": "compiled"},
        quick=True,
    ),
    Optimization(
        "compile-reduce-overhead",
        "torch.compile, reduce-overhead",
        "The compiler fuses elementwise work around the convolutions; on CUDA the mode also replays a graph "
        "instead of launching some hundred kernels. On a CPU there are no graphs, and convolutions stay the same.",
        {"compiled": "reduce-overhead"},
    ),
    Optimization(
        "compile-max-autotune",
        "torch.compile, max-autotune",
        "As before, and matrix products and convolutions are chosen among generated kernels by trying them out, which "
        "takes minutes once. Templates for convolutions exist for GPUs.",
        {"compiled": "max-autotune"},
        device="cuda",
    ),
    Optimization(
        "cuda-graphs",
        "CUDA graphs without a compiler",
        "Everything that drawing launches is recorded once and replayed as one piece, so the host no longer limits "
        "the frame rate. All shapes are fixed, so nothing is lost.",
        {"graphs": True},
        device="cuda",
    ),
    Optimization(
        "memory-kept",
        "Memory of the host kept between frames",
        "By default glibc returns large blocks to the system, and the next frame waits while the system fills the "
        "same pages with zeros again, with a million page faults in a frame. Kept pages are ready; the "
        "process then stays at its peak.",
        {"keeps_memory": True},
        device="cpu",
    ),
    Optimization(
        "memory-pinned",
        "Pinned, preallocated buffers and streams",
        "Pictures go to the GPU and back through page-locked buffers that were allocated once, in streams beside the "
        "one that computes. Crop, colour and paste-back are one kernel each way.",
        {"pinned": True},
        OVERLAP,
        "cuda",
    ),
    Optimization(
        "memory-empty-cache",
        "Cache emptied after every frame",
        "Often recommended against running out of memory: free blocks are given back (empty_cache on CUDA, malloc_trim "
        "on a CPU), and the next frame must ask for them again. Memory between frames falls, its peak does not.",
        {"empties_cache": True},
    ),
    Optimization(
        "resolution-generator",
        "Generator at half the resolution",
        "The warped features are averaged down to 32x32, so the generator draws 256x256 for a quarter of the work, and "
        "the picture is enlarged again. The networks were not trained for it.",
        {"half": "generator"},
    ),
    Optimization(
        "resolution-256",
        "All networks at half the resolution",
        "Portrait features, warping and generator work on half the width and height (128 in, 256 out, enlarged again), "
        "a quarter of the work. The networks were not trained for it.",
        {"half": "all"},
    ),
    Optimization(
        "inference-mode",
        "Inference mode",
        "torch.inference_mode skips work that no_grad still does for each tensor: views and version counters. That is "
        "some microseconds for an operator, so it matters only if operators are short.",
        {"inference": True},
    ),
    *(
        Optimization(
            f"batch-{size}",
            f"Dynamic batching, {size} frames in a call",
            f"{size} frames (of one video, or of several sessions) are drawn together. This helps a GPU that one "
            "frame does not fill, and layers that wait for weights; one frame fills a CPU. Each frame waits for the "
            "whole batch.",
            {"batch": size},
            BATCHING,
        )
        for size in (2, 4, 8)
    ),
    Optimization(
        "streaming",
        "Streaming video, resized on load",
        "Frames are decoded one by one, and large ones shrunk at once, so memory does not grow with the video. "
        "Loading everything first keeps every frame in memory and delays the first picture.",
        {"streams": True},
        quick=True,
    ),
    Optimization(
        "quantization-int8",
        "INT8, static",
        "Weights and activations of the large convolutions become 8-bit integers, with scales for each picture. It "
        "pays if the processor has instructions for it (VNNI, AMX, tensor cores).",
        {"backend": "quantized", "precision": "bf16"},
        QUANTIZATION,
        quick=True,
    ),
    Optimization(
        "quantization-int8-dynamic",
        "INT8, dynamic, of the motion extractor",
        "Linear layers compute in 8-bit integers, with scales that are found in every call; PyTorch has this for "
        "linear layers on a CPU, and only the motion extractor consists of them. Keypoints become less exact: jitter.",
        {"folded": True, "dynamic": True},
        QUANTIZATION,
        "cpu",
    ),
    *(
        Optimization(
            f"quantization-{kind}-weights",
            f"{kind.upper()}, weights only",
            f"Large weights are stored in {kind.upper()}, a scale for each output channel, and converted to float32 "
            "for every call: a quarter of their memory, and more work. It pays if loading weights is the limit.",
            {"folded": True, "stored": kind},
            QUANTIZATION,
        )
        for kind in ("int8", "fp8")
    ),
    *(
        Optimization(
            f"pruning-{share}",
            f"Structured pruning, {share} %",
            f"The {share} % of hidden channels with the smallest weights are removed from generator and hourglass, "
            "so the tensors are smaller. Nothing is trained afterwards, so the picture suffers.",
            {"folded": True, "pruned": share / 100},
            PRUNING,
        )
        for share in (10, 25, 50)
    ),
    Optimization(
        "onnx-runtime",
        "ONNX Runtime",
        "Every network is exported (three-dimensional sampling written out) and run by ONNX Runtime, which fuses "
        "and arranges the graph for this machine; float32.",
        {"backend": "onnx"},
        ONNX,
        quick=True,
    ),
    Optimization(
        "tensorrt",
        "TensorRT",
        "NVIDIA's compiler builds an engine from the exported networks: kernels chosen on this very GPU, in FP16.",
        {"backend": "tensorrt", "precision": "fp16"},
        TENSORRT,
        "cuda",
        quick=True,
        package=TENSORRT_PIN,
    ),
    Optimization(
        "asynchronous",
        "Asynchronous pipeline",
        "Decoding and tracking the next frame, drawing this one, and encoding the one before happen at the same time, "
        "in three threads. At best only the longest of them counts; on a CPU all three share the same cores.",
        {"overlaps": True},
        OVERLAP,
    ),
    Optimization(
        "caching-source",
        "Source features cached",
        "What depends only on the portrait (appearance features, its motion, what backends derive from them) is "
        "computed once instead of with every frame. Exact.",
        {"caches_source": True},
        CACHING,
        quick=True,
    ),
    Optimization(
        "caching-motion",
        "Last picture reused for a still driver",
        "If the driver's crop differs by less than 1 of 255 on average, the last picture is shown again. Measured on a "
        "video in which every frame comes twice, so at best it halves the time. It does not help if the driver moves.",
        {"reuses_motion": True},
        CACHING,
        quick=True,
    ),
    Optimization(
        "channels-last",
        "Channels-last layout",
        "Weights and maps keep the channels of a pixel side by side, as tensor cores and some CPU kernels need them; "
        "other kernels need conversions.",
        {"channels_last": True},
        HARDWARE,
    ),
    Optimization(
        "tf32",
        "TF32",
        "Products of float32 numbers round their inputs to 10 bits of mantissa, for tensor cores. It is one "
        "switch, and eight times finer than BF16.",
        {"tf32": True},
        HARDWARE,
        "cuda",
    ),
    Optimization(
        "tensor-cores",
        "Tensor cores: FP16, channels last",
        "Half weights in the layout that tensor cores read without conversion.",
        {"precision": "fp16", "channels_last": True},
        HARDWARE,
        "cuda",
    ),
    Optimization(
        "cpu-bf16",
        "AVX-512 BF16 or AMX: BF16, channels last",
        "Half weights in the layout that oneDNN's BF16 kernels prefer.",
        {"precision": "bf16", "channels_last": True},
        HARDWARE,
        "cpu",
    ),
    Optimization(
        "threads-1",
        "One thread",
        "PyTorch takes a thread for each core. This row shows how much the other cores are worth.",
        {"threads": 1},
        HARDWARE,
        "cpu",
    ),
)
