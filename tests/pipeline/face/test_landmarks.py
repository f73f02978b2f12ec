import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from pipeline.face import groups
from pipeline.face.find import find_faces
from pipeline.face.landmarks import LEFT_EYE, LIPS, PARTS, RIGHT_EYE, FaceMesh, Part, refine, sample, window
from pipeline.face.region import Region
from pipeline.models.attention_mesh import REFINED, REGIONS, cut
from pipeline.models.face_models import ATTENTION_MESH
from pipeline.models.store import cache_folder


@pytest.fixture(scope="module")
def source(models):
    return (cache_folder() / ATTENTION_MESH.file).read_bytes()


@pytest.fixture(scope="module")
def face(models, astronaut):
    (face,) = find_faces(astronaut, models)
    return face


def test_parts_are_as_the_model_file_says(source):
    graph = schema.ModelT.InitFromPackedBuf(source, 0).subgraphs[0]
    options = [flexbuffers.Loads(bytes(o.customOptions)) for o in graph.operators if o.customOptions is not None]
    parts = [o for o in options if "subset_idxs" in o]
    assert [o["subset_idxs"] for o in parts] == [list(part.landmarks) for part in PARTS]
    assert [(o["left_rotation_idx"], o["right_rotation_idx"]) for o in parts] == [part.corners for part in PARTS]
    assert {(o["scale_x"], o["output_width"]) for o in parts} == {(1.5, 16)}


def test_halves_are_cut_between_the_custom_operators(source):
    half = schema.ModelT.InitFromPackedBuf(cut(source, REGIONS, REFINED), 0)
    graph = half.subgraphs[0]
    assert [graph.tensors[i].name.decode() for i in graph.inputs] == REGIONS
    assert [graph.tensors[i].name.decode() for i in graph.outputs] == REFINED
    assert not any(code.customCode for code in half.operatorCodes)
    assert len(half.buffers) < 400 and len(graph.tensors) < 1096


def test_cut_wants_names_that_exist(source):
    with pytest.raises(KeyError, match="no_such_tensor"):
        cut(source, ["no_such_tensor"], REFINED)


def test_groups_agree_with_the_parts():
    assert {*groups.RIGHT_EYE_UPPER, *groups.RIGHT_EYE_LOWER} == {*RIGHT_EYE.landmarks[:16]}
    assert {*groups.LEFT_EYE_UPPER, *groups.LEFT_EYE_LOWER} == {*LEFT_EYE.landmarks[:16]}
    rings = (groups.LIPS_INNER_UPPER, groups.LIPS_INNER_LOWER, groups.INNER_CORNERS, groups.LIPS_OUTER_UPPER)
    rings += (groups.LIPS_SEMI_INNER_UPPER, groups.LIPS_SEMI_INNER_LOWER, groups.LIPS_SEMI_OUTER_UPPER)
    rings += (groups.LIPS_SEMI_OUTER_LOWER, groups.LIPS_OUTER_LOWER)
    assert {i for ring in rings for i in ring} == {*LIPS.landmarks}


SQUARE = Part("", np.array([0, 1, 2, 3]), (0, 1))


def test_window_holds_its_landmarks_with_a_margin():
    points = np.zeros((468, 3), np.float32)
    points[:4, :2] = [[40, 40], [72, 40], [72, 72], [40, 72]]  # 10..18 in cells of the feature map
    matrix = window(points, SQUARE)
    assert matrix @ [8, 8, 1] == pytest.approx([14, 14])
    assert matrix @ [0, 0, 1] == pytest.approx([14 - 6, 14 - 6])  # half of 1.5 times 8 cells
    assert matrix @ [16, 0, 1] == pytest.approx([14 + 6, 14 - 6])


def test_window_turns_with_its_corners():
    points = np.zeros((468, 3), np.float32)
    points[:4, :2] = [[72, 40], [72, 72], [40, 72], [40, 40]]  # a quarter turn clockwise
    assert window(points, SQUARE) @ [16, 0, 1] == pytest.approx([20, 20])


def test_window_without_extent_is_finite():
    assert np.isfinite(window(np.zeros((468, 3), np.float32), SQUARE)).all()


def test_sample_is_bilinear_between_cell_centres():
    y, x = np.mgrid[:48, :48].astype(np.float32)
    features = np.stack([x, y, np.ones_like(x)], -1)
    matrix = np.array([[0.5, 0.1, 20], [-0.1, 0.5, 12]], np.float32)
    (samples,) = sample(features, [matrix])
    assert samples.shape == (1, 16, 16, 3)
    for column, row in ((0, 0), (3, 11), (15, 15)):
        there = matrix @ [column + 0.5, row + 0.5, 1] - 0.5
        assert samples[0, row, column] == pytest.approx([*there, 1], abs=1e-4)


def test_sample_is_zero_outside():
    ones = np.ones((48, 48, 2), np.float32)
    matrix = np.array([[6, 0, -24], [0, 6, -24]], np.float32)  # the middle half of the window is inside
    (samples,) = sample(ones, [matrix])
    assert (samples[0, 4:12, 4:12] == 1).all()
    assert samples.sum() == 8 * 8 * 2
    (edge,) = sample(ones, [np.array([[0, 0, 0], [0, 1, 20]], np.float32)])
    assert edge == pytest.approx(0.5)  # on the border, half of the cell beyond is zero


def test_refine_keeps_depth_and_other_landmarks():
    points = np.arange(468 * 3, dtype=np.float32).reshape(468, 3)
    identity = np.array([[1, 0, 5], [0, 1, 0]], np.float32)
    refined = {
        name: np.ones((1, 1, 1, size), np.float32) for name, size in zip(REFINED, (160, 142, 142, 10, 10), strict=True)
    }
    result = refine(points, refined, [identity] * 3)
    assert result[13] == pytest.approx([1 + 4 * 5, 1, points[13, 2]])
    assert (result[4] == points[4]).all()
    assert result[468:473, 2] == pytest.approx(points[RIGHT_EYE.landmarks[:16], 2].mean())
    assert result[477, :2] == pytest.approx([21, 1])


def test_astronaut(face):
    assert face.score > 0.99
    assert face.width == pytest.approx(92, abs=2)
    assert (face.pose.yaw, face.pose.pitch, face.pose.roll) == pytest.approx((1, 8.5, 3), abs=3)
    assert face.landmarks[groups.NOSE_TIP, :2] == pytest.approx([224, 126], abs=3)
    assert 0.3 < min(face.eye_ratio) < max(face.eye_ratio) < 0.4
    assert face.lip_gap > 0.3  # a smile that shows teeth
    assert face.misfit < 0.6
    x = face.landmarks[:, 0]
    assert x[234] < x[33] < x[468] < x[133] < x[4] < x[362] < x[473] < x[263] < x[454]
    y = face.landmarks[:, 1]
    assert y[10] < y[105] < y[159] < y[145] < y[4] < y[13] < y[14] < y[152]
    assert face.landmarks[4, 2] < face.landmarks[234, 2]  # the nose is nearer than the ears


@pytest.mark.parametrize("degrees, scale", [(0, 2.0), (20, 1.0), (-35, 1.5), (0, 0.7)])
def test_landmarks_turn_and_grow_with_the_picture(models, astronaut, face, degrees, scale):
    import cv2

    size = round(512 * scale)
    matrix = cv2.getRotationMatrix2D((256, 256), -degrees, scale)
    matrix[:, 2] += size / 2 - 256
    turned = cv2.warpAffine(astronaut, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    (found,) = find_faces(turned, models)
    expected = (face.landmarks[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    assert np.linalg.norm(found.landmarks[:, :2] - expected, axis=1).mean() / scale < 0.6
    assert (found.landmarks[:, :2] - expected).mean(0) / scale == pytest.approx([0, 0], abs=0.35)
    assert found.pose.roll - face.pose.roll == pytest.approx(degrees, abs=1.5)
    assert found.pose.scale / face.pose.scale == pytest.approx(scale, rel=0.02)


def test_mirrored_picture_gives_the_mirrored_face(models, astronaut, face):
    (found,) = find_faces(astronaut[:, ::-1].copy(), models)
    assert found.pose.yaw == pytest.approx(-face.pose.yaw, abs=1.5)
    assert found.pose.roll == pytest.approx(-face.pose.roll, abs=1)
    assert 512 - found.landmarks[263, 0] == pytest.approx(face.landmarks[33, 0], abs=0.7)
    assert 512 - found.landmarks[473, 0] == pytest.approx(face.landmarks[468, 0], abs=0.7)


def test_no_face_where_there_is_none(models, astronaut):
    mesh = FaceMesh(models)
    assert mesh.read(np.zeros((480, 640, 3), np.uint8), Region(320, 240, 300, 0.0)) is None
    assert mesh.read(astronaut, Region(420, 420, 150, 0.0)) is None
