"""Compare the LivePortrait networks and mathematics with reference vectors of the official code.

    python -m tests.tools.check_vectors --weights DIR --vectors NPZ --tolerances JSON --math NPZ

DIR holds the checkpoints in the official layout. Prints a line for each tensor or case that fails, then the worst ratio
of error to tolerance. The exit code is 0 only if no ratio exceeds 1. Single networks run as stored, chains of networks
folded as in the product.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core.options import AnimateOptions
from pipeline.liveportrait import corrections, crop, keypoint_motion
from pipeline.liveportrait.checkpoint import FILES, Networks, find, read_networks
from pipeline.liveportrait.keypoint_motion import KeypointMotion
from pipeline.liveportrait.networks.layers import fold
from pipeline.liveportrait.networks.warping import candidate_shifts, deform, heatmaps, identity_grid, sparse_motions
from pipeline.liveportrait.paste import Paster, to_input, to_pixels
from tests.support import reference
from tests.support.stand_in_weights import draw

Results = Iterator[tuple[str, Tensor]]
MATH_TOLERANCE = 1e-5  # relative to the largest value of a case if that exceeds 1
PIXEL_LEVELS, PIXEL_MEAN = 3, 0.3  # versions of OpenCV differ by this much
PICTURES = {  # case -> factor from its values to 0..255
    "crop/pixels_512_stride7": 1,
    "crop/pixels_256": 1,
    "paste/result": 1,
    "paste/mask_ori_ch0": 255,
}


class StoredReference:
    """The reference vectors, with the ratio of error to tolerance of computed tensors."""

    def __init__(self, vectors, tolerances: dict) -> None:
        self.vectors = vectors
        self.tolerances = {name: entry["max_abs_diff_fp32_vs_fp64"] for name, entry in tolerances.items()}
        self.names = {name.split("|")[0] for name in vectors if not name.startswith("input/")}

    def ratio(self, name: str, value: Tensor) -> float:
        """Return the worst ratio of a tensor's values (all or every n-th), shape and statistics."""
        allowed = 3e-4 if name.endswith("/image") else 20 * self.tolerances.get(name, 0) + 1e-7
        found = value.detach().numpy().astype(np.float64)
        if found.shape != tuple(self.vectors.get(f"{name}|shape", np.shape(self.vectors.get(name)))):
            return np.inf
        ratios = [np.abs(a - b).max() / limit for a, b, limit in self._pairs(name, found, allowed)]
        return float(np.nan_to_num(max(ratios), nan=np.inf))

    def _pairs(self, name: str, found: np.ndarray, allowed: float) -> Iterator[tuple]:
        expected = self.vectors
        if name in expected:
            yield found, expected[name], allowed
        if f"{name}|sub" in expected:
            yield found.ravel()[:: int(expected[f"{name}|stride"])], expected[f"{name}|sub"], allowed
        if f"{name}|f16" in expected:
            yield found, expected[f"{name}|f16"].astype(np.float64), allowed + 2**-12
        if f"{name}|stats" in expected:
            stats = (
                found.mean(),
                found.std(),
                found.min(),
                found.max(),
                np.abs(found).sum(),
                np.sqrt((found**2).sum()),
            )
            # if every value changes by at most `allowed`, each scaled statistic does too
            scale = np.array((1, 1, 1, 1, found.size, np.sqrt(found.size)))
            yield np.array(stats) / scale, expected[f"{name}|stats"] / scale, allowed


def captured(network: nn.Module, rename, wanted: set[str], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Run a network; yield the inputs and outputs of its modules that are `wanted`."""
    kept: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, arguments: tuple, output) -> None:
        for key, value in ((name, output), (f"{name}_input", arguments[0])):
            if key in wanted:
                kept[key] = value.clone()

    modules = [(rename(name), module) for name, module in network.named_modules() if name]
    hooks = [module.register_forward_hook(partial(keep, name)) for name, module in modules]
    kept["out"] = network(*inputs)
    for hook in hooks:
        hook.remove()
    yield from kept.items()


def drawn(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(draw(0, f"input/{name}", int(np.prod(shape))).astype(np.float32)).reshape(shape)


def pictures(vectors) -> dict[str, Tensor]:
    return {name: to_input(vectors[f"input/{name}_rgb"], "cpu") for name in ("source", "driving", "driving0")}


def appearance_tensors(networks: Networks, vectors, wanted: set[str]) -> Results:
    for name, value in captured(networks.appearance, "F/{}".format, wanted, pictures(vectors)["source"]):
        yield "F/out" if name == "out" else name, value


def motion_tensors(networks: Networks, vectors, wanted: set[str]) -> Results:
    for image, picture in pictures(vectors).items():
        for name, value in captured(
            networks.motion, lambda name: name.replace("detector.", "M/deep."), wanted, picture
        ):
            if name == "out":
                yield from _motion_outputs(f"M/{image}", value)
            elif image == "source":
                yield name, value


def _motion_outputs(prefix: str, raw) -> Results:
    for name, value in raw._asdict().items():
        yield f"{prefix}.raw_{name}", value.flatten(1)
    for name in ("pitch", "yaw", "roll"):
        yield f"{prefix}.{name}_deg", keypoint_motion.head_pose_degrees(getattr(raw, name))[:, None]
    info = keypoint_motion.decode(raw)
    yield f"{prefix}.R", info.rotation
    yield f"{prefix}.x", info.transformed()


def perceptron_tensors(networks: Networks) -> Results:
    for name, width in (("stitching", 126), ("lip", 65), ("eye", 66)):
        yield f"S/{name}_out", getattr(networks, name)(0.4 * drawn(f"S/{name}", 5, width))


def warping_tensors(networks: Networks, wanted: set[str]) -> Results:
    feature = drawn("W/feature_3d", 1, 32, 16, 64, 64)
    kp_source = 0.35 * drawn("W/kp_source", 1, 21, 3)
    kp_driving = kp_source + 0.12 * drawn("W/kp_shift", 1, 21, 3)

    def rename(name: str) -> str:
        return "W/" + name.replace("dense_motion_network.", "dm.")

    kept = dict(captured(networks.warping, rename, wanted, feature, kp_driving, kp_source))
    out = kept.pop("out")
    yield from kept.items()
    yield "W/deformation", out.deformation
    yield "W/occlusion_map", out.occlusion
    yield "W/out", out.feature
    grid, compressed = identity_grid(feature), kept["W/dm.norm"].relu()
    motions = sparse_motions(grid, candidate_shifts(kp_driving, kp_source))
    yield "W/dm.compressed", compressed
    yield "W/dm.sparse_motion", motions
    yield "W/dm.deformed_feature", deform(compressed, motions)
    yield "W/dm.heatmap", heatmaps(grid, kp_driving, kp_source)
    yield "W/dm.mask_softmax", kept["W/dm.mask"].softmax(1)
    yield "W/warped_feature_2d", kept["W/third_input"]


def generator_tensors(networks: Networks, wanted: set[str]) -> Results:
    feature = drawn("G/feature", 1, 256, 64, 64)
    for name, value in captured(networks.generator, "G/{}".format, wanted, feature):
        yield "G/out" if name == "out" else name, value


def network_tensors(networks: Networks, reference: StoredReference) -> Results:
    """Yield every tensor of the vectors that a single network computes."""
    wanted = reference.names | {"W/dm.norm", "W/dm.mask", "W/third_input"}
    yield from appearance_tensors(networks, reference.vectors, wanted)
    yield from motion_tensors(networks, reference.vectors, wanted)
    yield from perceptron_tensors(networks)
    yield from warping_tensors(networks, wanted)
    yield from generator_tensors(networks, wanted)


def chain_tensors(networks: Networks, vectors) -> Results:
    """Yield the tensors from pictures to a picture: A absolute keypoints, B relative motion, C reconstruction."""
    images = pictures(vectors)
    feature = networks.appearance(images["source"])
    source, driving, reference = (
        keypoint_motion.decode(networks.motion(images[n])) for n in ("source", "driving", "driving0")
    )
    x_s, x_a = source.transformed(), driving.transformed()
    moved = keypoint_motion.relative(source, driving, reference)
    x_b = moved.transformed()
    yield "chainB/R_new", moved.rotation
    yield "chainB/x_d_relative", x_b
    for chain, x_d in (("chainA", x_a), ("chainB", x_b), ("chainC", None)):
        keypoints = x_s
        if x_d is not None:
            keypoints = corrections.stitch(networks.stitching, x_s, x_d)
            yield f"{chain}/delta", networks.stitching(torch.cat((x_s.flatten(1), x_d.flatten(1)), 1))
            yield f"{chain}/x_d_stitched", keypoints
        warped = networks.warping(feature, keypoints, x_s)
        yield f"{chain}/W.deformation", warped.deformation
        yield f"{chain}/W.occlusion_map", warped.occlusion
        yield f"{chain}/W.out", warped.feature
        yield f"{chain}/image", networks.generator(warped.feature)


def math_cases(vectors, networks: Networks, images: dict[str, Tensor]) -> Iterator[tuple[str, float]]:
    """Yield every case of the mathematics with its ratio."""
    found = {**_basic_cases(vectors), **_crop_cases(vectors), **_motion_cases(vectors, networks, images)}
    for name, value in found.items():
        ratio = _math_ratio(name, np.asarray(value), vectors[name])
        yield name, float(np.nan_to_num(ratio, nan=np.inf))
    missing = {
        name for name in vectors if name not in found and name not in INPUTS and not name.startswith(INPUT_PREFIXES)
    }
    for name in sorted(missing):
        yield name, np.inf


INPUT_PREFIXES = (
    "transform/",
    "motion/source_",
    "motion/driving_",
    "motion/video_lmk",
    "motion/x_d_configs",
    "rotation/",
)
INPUTS = {"headpose/logits", "ratio/lmk203", "crop/image", "paste/M_c2o", "paste/generated_128", "paste/cv2_version"}
INPUTS |= {"post/in", "multiplier/kp_source", "multiplier/kp_driving0", "smooth/in", "oneeuro/in", "crop/pt203/pts"}
INPUTS |= {f"crop/pt{count}/pts" for count in reference.REFERENCE_POINTS}


def _math_ratio(name: str, value: np.ndarray, expected: np.ndarray) -> float:
    if value.shape != expected.shape:
        return np.inf
    difference = np.abs(value.astype(np.float64) - expected.astype(np.float64))
    if name in PICTURES:
        levels = difference * PICTURES[name]
        return max(levels.max() / PIXEL_LEVELS, levels.mean() / PIXEL_MEAN)
    return difference.max() / (MATH_TOLERANCE * max(1, np.abs(expected).max()))


def _basic_cases(vectors) -> dict:
    def tensor(name: str) -> Tensor:
        return torch.from_numpy(vectors[name])

    angles = [tensor(f"rotation/{name}_deg") for name in ("pitch", "yaw", "roll")]
    rotation = keypoint_motion.rotation_matrix(
        *(tensor(f"transform/{name}")[:, 0] for name in ("pitch", "yaw", "roll"))
    )
    moved = KeypointMotion(
        *map(tensor, ("transform/kp", "transform/exp")), rotation, *map(tensor, ("transform/scale", "transform/t"))
    )
    ratios = np.array([reference.ratios_203(points) for points in vectors["ratio/lmk203"]])
    smoothed = {
        name: keypoint_motion.kalman_smooth(tensor("smooth/in"), float(name.partition("_obs")[2]))
        for name in vectors
        if name.startswith("smooth/out")
    }
    return {
        "headpose/degrees": keypoint_motion.head_pose_degrees(tensor("headpose/logits")),
        "rotation/R": keypoint_motion.rotation_matrix(*angles),
        "transform/x": moved.transformed(),
        "ratio/eye": ratios[:, :2],
        "ratio/lip": ratios[:, 2:],
        "post/uint8": to_pixels(tensor("post/in")),
        "multiplier/value": reference.hull_multiplier(
            *(vectors[f"multiplier/kp_{name}"][0] for name in ("source", "driving0"))
        ),
        "oneeuro/out_mincutoff4_beta0.3": reference.one_euro_smooth(tensor("oneeuro/in").double()),
        "lip_array": np.array(keypoint_motion.NEUTRAL_LIP)[None],
        **smoothed,
    }


def _crop_cases(vectors) -> dict:
    found = {}
    rules = {
        "source_512": (crop.SOURCE, 512),
        "landmark_224": (crop.CropRule(1.5, -0.1, True), 224),
        "driving_512": (crop.DRIVING, 512),
    }
    rules["source_512_norot"] = (crop.CropRule(2.3, -0.125, False), 512)
    for count in reference.REFERENCE_POINTS:
        prefix = f"crop/pt{count}"
        points = vectors[f"{prefix}/pts"]
        outline = reference.outline(points)
        for use, (rule, size) in rules.items():
            matrix = crop.face_box(outline, rule).matrix(size)
            found[f"{prefix}/{use}/M_o2c"], found[f"{prefix}/{use}/M_c2o"] = matrix, np.linalg.inv(matrix)
            found[f"{prefix}/{use}/pt_crop"] = found[f"{prefix}/{use}/lmk_crop"] = reference.transform(points, matrix)
        level = crop.face_box(outline, crop.DRIVING)
        turned = crop.face_box(outline, crop.CropRule(crop.DRIVING.scale, crop.DRIVING.lift, True))
        found |= {f"{prefix}/driving_center": level.centre, f"{prefix}/driving_size": np.full(2, level.side)}
        found |= {
            f"{prefix}/driving_bbox": reference.corners(level),
            f"{prefix}/driving_bbox_rot": reference.corners(turned),
        }
        found[f"{prefix}/driving_angle_rad"] = turned.angle
    source = crop.cut(vectors["crop/image"], found["crop/pt203/source_512/M_o2c"])
    found |= {"crop/pixels_512_stride7": source[::7, ::7], "crop/pixels_256": crop.halved(source)}
    paster = Paster(vectors["crop/image"], vectors["paste/M_c2o"].astype(np.float64), "cpu")
    generated = vectors["paste/generated_128"].repeat(4, 0).repeat(4, 1)
    found |= {"paste/mask_ori_ch0": paster.mask[0, 0], "paste/result": paster(to_input(generated, "cpu"))[0]}
    return {name: value for name, value in found.items() if name in vectors}


def _motion_cases(vectors, networks: Networks, images: dict[str, Tensor]) -> dict:
    found = {}
    for name, flags in json.loads(str(vectors["motion/x_d_configs_json"])).items():
        source, driven = _motion_case(vectors, networks, images, name, flags)
        found[f"motion/x_d/{name}"] = driven
        if name.startswith("video_"):
            found[f"motion/x_s/{name}"] = source
    found["motion/source_x"] = _source(vectors).transformed()
    return found


def _source(vectors) -> KeypointMotion:
    return KeypointMotion(*(torch.from_numpy(vectors[f"motion/source_{n}"]) for n in ("kp", "exp", "R", "scale", "t")))


def _ratios(points: np.ndarray) -> corrections.Ratios:
    values = torch.tensor([reference.ratios_203(points_203) for points_203 in points], dtype=torch.float32)
    return corrections.Ratios(values[:, :2], values[:, 2:])


def _motion_case(vectors, networks: Networks, images, name: str, flags: dict) -> tuple[Tensor, Tensor]:
    frames = {"image_": slice(2, 3), "video_": slice(0, 3)}.get(name[:6], slice(0, 4))
    exp, R, scale, t, eyes, lip = (
        torch.from_numpy(vectors[f"motion/driving_{n}"][frames]) for n in ("exp", "R", "scale", "t", "c_eyes", "c_lip")
    )
    driving = KeypointMotion(torch.zeros_like(exp), exp, R, scale, t)
    relative, region = flags.get("flag_relative_motion", True), flags.get("animation_region", "all")
    source, ratios, target = _source(vectors), _ratios(vectors["motion/source_lmk203"][None]), None
    if name.startswith("video_"):
        ratios = _ratios(vectors["motion/video_lmk203"])
        batch = torch.cat([images[n] for n in ("source", "driving0", "driving")])
        source = keypoint_motion.decode(networks.motion(batch))
        driven = keypoint_motion.drive_video(source, driving, driving.frame(0) if relative else None, region)
        if flags.get("flag_source_video_eye_retargeting"):
            target = reference.eye_target(ratios)
    else:
        neutral = keypoint_motion.picture_reference(driving, region) if name.startswith("image_") else driving.frame(0)
        driven = keypoint_motion.drive(source, driving, neutral if relative else None, region)
    chosen = AnimateOptions(
        relative=relative,
        stitching=flags.get("flag_stitching", True),
        normalize_lip=flags["flag_normalize_lip"],
        eye_retargeting=flags.get("flag_eye_retargeting", False),
        lip_retargeting=flags.get("flag_lip_retargeting", False),
        driving_multiplier=flags.get("driving_multiplier", 1.0),
    )
    x_s, x_d = source.transformed(), driven.transformed()
    own = corrections.Ratios(eyes, lip)
    placed = corrections.correct(networks, chosen, x_s, x_d, ratios, own)
    if target is not None and not (chosen.eye_retargeting or chosen.lip_retargeting):
        placed = placed + chosen.driving_multiplier * corrections.opening(networks.eye, x_s, ratios.eyes, target)
    return x_s, placed


def read_all(weights: Path) -> Networks:
    """Read the networks from a folder in the official layout."""
    fields = {}
    for name, parts in FILES.items():
        fields |= read_networks(find(weights, name), parts)
    return Networks(**fields)


def check(networks: Networks, reference: StoredReference, mathematics) -> Iterator[tuple[str, float]]:
    """Yield (name, ratio) of every tensor and case; infinite if not computed. Folds the networks."""
    seen = set()
    for name, value in network_tensors(networks, reference):
        if name in reference.names:
            seen.add(name)
            yield name, reference.ratio(name, value)
    for network in vars(networks).values():
        if isinstance(network, torch.nn.Module):
            fold(network)
    for name, value in chain_tensors(networks, reference.vectors):
        seen.add(name)
        yield name, reference.ratio(name, value)
    for name in sorted(reference.names - seen):
        yield name, np.inf
    yield from math_cases(mathematics, networks, pictures(reference.vectors))


@torch.inference_mode()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("weights", "vectors", "tolerances", "math"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    reference = StoredReference(dict(np.load(arguments.vectors)), json.loads(arguments.tolerances.read_text()))
    results = dict(check(read_all(arguments.weights), reference, dict(np.load(arguments.math))))
    for name, ratio in results.items():
        if not ratio <= 1:
            print(f"{name}: {ratio:.3g} times the tolerance")
    worst = max(results, key=results.__getitem__)
    print(f"{len(results)} checked; the worst ratio is {results[worst]:.3g} ({worst})")
    return 0 if results[worst] <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
