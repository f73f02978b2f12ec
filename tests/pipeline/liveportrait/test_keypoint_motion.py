"""Properties of the motion's mathematics; the official numbers are in test_liveportrait_vectors.py."""

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.core.options import AnimateOptions  # noqa: E402
from pipeline.liveportrait import corrections, editing, keypoint_motion  # noqa: E402
from pipeline.liveportrait.keypoint_motion import KeypointMotion  # noqa: E402
from tests.support import reference  # noqa: E402


def example(seed: int, frames: int = 1) -> KeypointMotion:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(frames, *shape, generator=generator)

    rotation = keypoint_motion.rotation_matrix(*(20 * normal(3)).unbind(-1))
    return KeypointMotion(
        0.3 * normal(21, 3), 0.01 * normal(21, 3), rotation, 1 + 0.1 * normal(1).abs(), 0.1 * normal(3)
    )


def same(a: KeypointMotion, b: KeypointMotion, tolerance: float = 1e-6) -> bool:
    names = [field.name for field in dataclasses.fields(a)]
    return all(torch.allclose(getattr(a, name), getattr(b, name), atol=tolerance) for name in names)


SOURCE, DRIVING, REFERENCE = example(0), example(1, frames=4), example(2)


def test_even_logits_look_ahead():
    assert keypoint_motion.head_pose_degrees(torch.zeros(2, 66)).tolist() == pytest.approx([0.0, 0.0], abs=1e-4)


def test_a_certain_bin_is_its_angle():
    logits = torch.zeros(66)
    logits[40] = 1000
    assert keypoint_motion.head_pose_degrees(logits).item() == 3 * 40 - 97.5


@pytest.mark.parametrize(
    ("angles", "point", "expected"),
    [
        ((90, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((0, 90, 0), (0, 0, 1), (1, 0, 0)),
        ((0, 0, 90), (1, 0, 0), (0, 1, 0)),
    ],
)
def test_rotation_of_a_row_vector(angles, point, expected):
    rotation = keypoint_motion.rotation_matrix(*torch.tensor(angles, dtype=torch.float32))
    assert (torch.tensor(point, dtype=torch.float32) @ rotation).tolist() == pytest.approx(expected, abs=1e-6)


def test_rotations_are_proper():
    rotation = DRIVING.rotation
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(4), atol=1e-6)


def test_depth_of_the_translation_has_no_effect():
    deep = dataclasses.replace(SOURCE, translation=SOURCE.translation + torch.tensor([0, 0, 9.0]))
    assert torch.equal(deep.transformed(), SOURCE.transformed())


@pytest.mark.parametrize("region", ["all", "exp", "pose", "lip", "eyes"])
def test_a_driver_in_the_reference_leaves_the_source(region):
    driven = keypoint_motion.drive(SOURCE, REFERENCE, REFERENCE, region)
    assert same(driven, SOURCE)


def test_regions_leave_the_rest_alone():
    lips = keypoint_motion.drive(SOURCE, DRIVING, REFERENCE, "lip")
    still = [point for point in range(21) if point not in keypoint_motion.LIP_POINTS]
    assert torch.equal(lips.expression[:, still], SOURCE.expression[:, still].expand(4, -1, -1))
    assert torch.equal(lips.rotation, SOURCE.rotation) and torch.equal(lips.translation, SOURCE.translation)
    pose = keypoint_motion.drive(SOURCE, DRIVING, REFERENCE, "pose")
    assert torch.equal(pose.expression, SOURCE.expression.expand(4, -1, -1))
    assert torch.equal(pose.scale, SOURCE.scale)


def test_absolute_motion_takes_only_what_carries_over():
    driven = keypoint_motion.drive(SOURCE, DRIVING, None)
    assert torch.equal(driven.expression[:, 1], DRIVING.expression[:, 1])
    assert torch.equal(driven.expression[:, 0], SOURCE.expression[:, 0].expand(4, -1))
    assert torch.equal(driven.expression[:, 9, 1:], DRIVING.expression[:, 9, 1:])
    assert torch.equal(driven.expression[:, 9, 0], SOURCE.expression[:, 9, 0].expand(4))
    assert torch.equal(driven.scale, SOURCE.scale)


def test_a_picture_as_driver_keeps_the_pose():
    picture = DRIVING.frame(2)
    driven = keypoint_motion.drive(SOURCE, picture, keypoint_motion.picture_reference(picture))
    assert torch.allclose(driven.rotation, SOURCE.rotation, atol=1e-6)
    assert torch.equal(driven.scale, SOURCE.scale)


def test_gains_of_one_change_nothing():
    assert same(keypoint_motion.amplify(DRIVING, REFERENCE, AnimateOptions()), DRIVING)


def test_gains_of_zero_are_the_reference():
    still = keypoint_motion.amplify(DRIVING, REFERENCE, AnimateOptions(head=0, expression=0))
    expected = dataclasses.replace(REFERENCE, keypoints=still.keypoints)
    assert same(still, KeypointMotion(*(v.expand(4, *v.shape[1:]) for v in vars(expected).values())))


def test_the_head_turns_twice_as_far():
    turned = dataclasses.replace(
        REFERENCE, rotation=keypoint_motion.rotation_matrix(*torch.tensor([[0.0], [12.0], [0.0]]))
    )
    ahead = dataclasses.replace(REFERENCE, rotation=torch.eye(3)[None])
    doubled = keypoint_motion.amplify(turned, ahead, AnimateOptions(head=2))
    assert editing.head_pose(doubled.rotation)[0].tolist() == pytest.approx([0, 24, 0], abs=1e-4)


def test_a_head_that_turns_and_stays_in_place():
    still = keypoint_motion.amplify(DRIVING, REFERENCE, AnimateOptions(position=0))
    assert torch.equal(still.rotation, keypoint_motion.amplify(DRIVING, REFERENCE, AnimateOptions()).rotation)
    assert torch.equal(still.translation, REFERENCE.translation.expand(4, 3))
    assert torch.equal(still.scale, REFERENCE.scale.expand(4, 1))


def test_gains_of_the_parts_of_the_face():
    moved = keypoint_motion.amplify(DRIVING, REFERENCE, AnimateOptions(mouth=0, gaze=3))
    difference, before = moved.expression - REFERENCE.expression, DRIVING.expression - REFERENCE.expression
    assert difference[:, keypoint_motion.LIP_POINTS].abs().max() < 1e-7
    assert torch.allclose(
        difference[:, keypoint_motion.GAZE_POINTS, 0], 3 * before[:, keypoint_motion.GAZE_POINTS, 0], atol=1e-6
    )
    assert torch.allclose(difference[:, 0], before[:, 0], atol=1e-6)


def test_reframed_motion_is_where_the_other_crop_sees_it():
    offset, zoom = torch.tensor([[0.25, -0.5]]), torch.tensor([[1.5]])
    there = keypoint_motion.reframe(SOURCE, offset, zoom).transformed()
    here = SOURCE.transformed()
    assert torch.allclose(there[..., :2], here[..., :2] * 1.5 + offset[:, None], atol=1e-6)


def test_the_hull_of_a_cube():
    cube = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3) + 0.01 * torch.randn(
        8, 3, generator=torch.Generator().manual_seed(0)
    )
    assert reference.hull_multiplier(2 * cube.numpy(), cube.numpy()) == pytest.approx(8**0.5)
    assert reference.hull_volume(cube.numpy()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("smooth", [lambda v: keypoint_motion.kalman_smooth(v, 3e-7), reference.one_euro_smooth])
def test_smoothing_leaves_what_does_not_move(smooth):
    still = torch.full((9, 2, 3), 0.25)
    assert torch.allclose(smooth(still), still, atol=1e-6)
    assert torch.allclose(smooth(still[:1]), still[:1], atol=1e-6)


def test_smoothing_steadies():
    noisy = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    assert keypoint_motion.kalman_smooth(noisy, 1e-4).std() < 0.5 * noisy.std()


@dataclasses.dataclass(frozen=True)
class Constant:
    """Correcting networks that always answer the same."""

    @staticmethod
    def stitching(x):
        return torch.cat((torch.full((len(x), 63), 0.5), torch.tensor([[1.0, 2.0]]).expand(len(x), -1)), 1)

    @staticmethod
    def lip(x):
        return x[:, -1:].expand(-1, 63) + 1

    @staticmethod
    def eye(x):
        return x[:, -1:].expand(-1, 63) + 10


X_S, X_D = SOURCE.transformed(), DRIVING.transformed()
RATIOS = corrections.Ratios(torch.tensor([[0.3, 0.4]]), torch.tensor([[0.2]]))
DRIVING_RATIOS = corrections.Ratios(torch.full((4, 2), 0.1), torch.full((4, 1), 0.05))


def corrected(ratios=RATIOS, driving=DRIVING_RATIOS, **choices):
    return corrections.correct(Constant(), AnimateOptions(**choices), X_S, X_D, ratios, driving)


def test_stitching_moves_all_points_together():
    expected = X_D + 0.5 + torch.tensor([1.0, 2.0, 0.0])
    assert torch.allclose(corrected(), expected)


def test_retargeting_discards_relative_motion_only():
    assert torch.allclose(corrected(stitching=False, eye_retargeting=True), X_S.expand(4, -1, -1) + 10.1)
    assert torch.allclose(corrected(stitching=False, lip_retargeting=True, relative=False), X_D + 1.05)


def test_only_open_lips_are_closed():
    closed = corrections.Ratios(RATIOS.eyes, torch.tensor([[0.029]]))
    assert torch.allclose(corrected(stitching=False, normalize_lip=True), X_D + 1)
    assert torch.allclose(corrected(stitching=False, normalize_lip=True, ratios=closed), X_D)
    assert torch.allclose(corrected(stitching=False, normalize_lip=True, relative=False), X_D)


def test_the_multiplier_comes_last():
    assert torch.allclose(corrected(driving_multiplier=0.0), X_S.expand(4, -1, -1))


def test_a_source_video_with_closed_eyes_has_them_opened():
    first = corrections.Ratios(torch.tensor([[0.1, 0.2], [0.9, 0.9]]), torch.zeros(2, 1))
    assert reference.eye_target(first).item() == pytest.approx(0.39)
    assert reference.eye_target(RATIOS).item() == pytest.approx(0.35)


def test_retargeting_without_ratios_is_an_error():
    with pytest.raises(ValueError, match="need the driver's eye and lip ratios"):
        corrected(driving=None, eye_retargeting=True)


def test_edits_of_nothing():
    assert same(editing.edit(SOURCE, AnimateOptions()), SOURCE)


def test_edits_add_to_the_expression():
    edited = editing.edit(SOURCE, AnimateOptions(edit_smile=1.0, edit_eyebrow=-10.0, edit_zoom=1.1))
    change = (edited.expression - SOURCE.expression)[0]
    assert change[14].tolist() == pytest.approx([0, -0.02, 0], abs=1e-7)
    assert change[1].tolist() == pytest.approx([0.01, -0.003, 0], abs=1e-7)
    assert change[4].tolist() == [0, 0, 0]
    assert torch.equal(edited.scale, SOURCE.scale * 1.1)


def test_edits_turn_the_head():
    before = editing.head_pose(SOURCE.rotation)
    after = editing.head_pose(editing.edit(SOURCE, AnimateOptions(edit_pitch=5, edit_yaw=-10, edit_roll=2)).rotation)
    assert (after - before)[0].tolist() == pytest.approx([5, -10, 2], abs=1e-4)
