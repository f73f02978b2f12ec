"""Crop, matte, background and mesh of a portrait."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.face import groups
from pipeline.face.face import Face
from pipeline.meshwarp import mesh
from pipeline.meshwarp.background import diffuse, fill_behind, own_colours
from pipeline.meshwarp.canvas import Crop, crop_around, texture
from pipeline.meshwarp.curves import smoothstep
from pipeline.meshwarp.matte import guided_filter, refine
from pipeline.meshwarp.motion_transfer import Rest
from tests.support.faces import make_face

NOISE = np.random.default_rng(1).integers(0, 255, (600, 800, 3), np.uint8)


def test_crop_shows_the_face_with_room_around():
    face = make_face(x=100, y=40, scale=8)
    crop = crop_around(NOISE, face, 512)
    points = crop.to_canvas(face.landmarks[:468])
    size = (points.max(0) - points.min(0)).max()
    assert size == pytest.approx(512 / 2.35, rel=0.02)
    assert points[:, 0].mean() == pytest.approx(256, abs=15)
    assert 256 < (points[:, 1].min() + points[:, 1].max()) / 2 < 330


@pytest.mark.parametrize(("x", "y"), [(-200, -200), (400, 250), (0, 0)])
def test_crop_stays_inside_a_picture_that_has_room(x, y):
    crop = crop_around(NOISE, make_face(x=x, y=y, scale=6), 512)
    assert 0 <= crop.left <= 800 - crop.side
    assert 0 <= crop.top <= 600 - crop.side


def test_crop_of_a_face_that_fills_the_picture_is_the_face():
    crop = crop_around(NOISE[:400, :400], make_face(scale=20), 512)
    assert crop.side > 400


def test_texture_holds_the_source_pixels_where_the_crop_says():
    crop = Crop(left=100, top=50, side=512, size=512)
    pixels = texture(NOISE, crop)
    start = np.round(crop.to_texture(np.float32([[0.5, 0.5]]))).astype(int)[0]
    shown = pixels[start[1] : start[1] + 512, start[0] : start[0] + 512]
    assert (shown == NOISE[50:562, 100:612]).all()


def test_texture_coordinates_are_inverted():
    crop = Crop(left=10, top=20, side=700, size=512)
    points = np.float32([[0, 0], [256, 100.5], [511, 300]])
    assert np.allclose(crop.from_texture(crop.to_texture(points)), points, atol=1e-3)


def test_smoothstep():
    assert smoothstep(1, 3, [0, 1, 1.5, 2, 3, 9]) == pytest.approx([0, 0, 0.15625, 0.5, 1, 1])


def test_guided_filter_keeps_the_guides_edge():
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1
    assert np.abs(guided_filter(guide, guide, 8, 1e-3) - guide).max() < 0.02
    assert guided_filter(np.zeros_like(guide), guide, 8, 1e-3)[20, 20] == pytest.approx(9 / 17, abs=0.05)


def test_matte_keeps_only_what_hangs_together_with_the_face():
    person = np.zeros((128, 128), np.float32)
    person[20:100, 20:60] = 1
    person[20:60, 90:120] = 1  # somebody else
    picture = np.repeat((person * 200).astype(np.uint8)[..., None], 3, 2)
    face = np.float32([[25, 25], [50, 25], [50, 60], [25, 60]])
    alpha, uncertainty = refine(picture, person, face)
    assert alpha[60, 40] == 1
    assert alpha[40, 105] == 0
    assert uncertainty < 0.1


def test_matte_knows_when_it_does_not():
    person = np.full((128, 128), 0.5, np.float32)
    _, uncertainty = refine(np.full((128, 128, 3), 90, np.uint8), person, np.float32([[60, 60], [70, 60], [70, 70]]))
    assert uncertainty > 0.25


def test_diffuse_keeps_what_is_known_and_fills_the_rest_smoothly():
    colours = np.zeros((64, 64, 3), np.float32)
    colours[:, :32], colours[:, 32:] = 50, 150
    known = np.ones((64, 64), np.float32)
    known[20:44, 20:44] = 0
    colours[known == 0] = 999
    filled = diffuse(colours, known)
    assert (filled[known == 1] == colours[known == 1]).all()
    hole = filled[20:44, 20:44, 0]
    assert hole.min() >= 49
    assert hole.max() <= 151
    assert hole[:, 0].mean() < 80 < 120 < hole[:, -1].mean()


def test_background_is_untouched_outside_the_hole_and_free_of_the_person():
    picture = np.random.default_rng(0).normal(100, 6, (200, 200, 3)).clip(0, 255).astype(np.uint8)
    alpha = np.zeros((200, 200), np.float32)
    alpha[60:140, 60:140] = 1
    picture[60:140, 60:140] = 255
    behind = fill_behind(picture, alpha, 1.0)
    assert (behind[:45] == picture[:45]).all()
    assert behind[62:138, 62:138].max() < 150
    assert behind[62:138, 62:138].std() > 2  # grain, not a smear
    assert (behind == fill_behind(picture, alpha, 1.0)).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_background_of_nobody_and_of_nothing_else(value):
    picture = NOISE[:100, :100]
    assert (fill_behind(picture, np.full((100, 100), value, np.float32), 1.0) == picture).all()


def test_own_colours_give_the_picture_back():
    alpha = np.tile(smoothstep(20, 60, np.arange(80, dtype=np.float32)), (80, 1))
    person, behind = np.full((80, 80, 3), 180.0), np.full((80, 80, 3), 60, np.uint8)
    picture = np.round(alpha[..., None] * person + (1 - alpha[..., None]) * behind).astype(np.uint8)
    own = own_colours(picture, behind, alpha)
    again = alpha[..., None] * own + (1 - alpha[..., None]) * behind
    assert np.abs(again - picture).max() < 4
    assert np.abs(own[alpha > 0.3].astype(float) - 180).max() < 12


CANVAS = Crop(left=0, top=0, side=512, size=512)
NO_INSET = np.zeros((mesh.FACE, 3), np.float32)


@pytest.fixture(scope="module", params=[0.0, 30.0])
def built(request) -> tuple[Face, mesh.Mesh]:
    face = make_face(yaw=request.param, roll=8, y=40, scale=14)
    return face, mesh.build(Rest(face.shape, face.pose), NO_INSET, CANVAS, whole=False)


def test_mesh_at_rest_covers_the_canvas_once(built):
    face, form = built
    points = form.rest_points(face.shape, face.pose)
    assert (points.min(0) < -90).all()
    assert (points.max(0) > 600).all()
    corners = points[form.triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    width, height = points.max(0) - points.min(0)
    assert area == pytest.approx(width * height, rel=0.04)  # a turned face covers itself a little


def test_grid_rest_is_where_it_was_put(built):
    face, form = built
    placed = form.place(face.shape, face.shape, face.shape, face.pose, np.zeros(2, np.float32))
    assert np.abs(placed[: mesh.FACE] - face.landmarks[: mesh.FACE]).max() < 0.01
    grid = placed[mesh.FACE : mesh.FACE + len(form.grid)]
    assert np.abs(grid - form.grid_rest).max() < 0.01


def test_shoulders_stay_and_hair_follows(built):
    face, form = built
    moved = face.pose.__class__(face.pose.rotation, face.pose.scale, face.pose.translation + np.float32([30, 0, 0]))
    placed = form.place(face.shape, face.shape, face.shape, moved, np.zeros(2, np.float32))
    shift = placed[mesh.FACE : mesh.FACE + len(form.grid), 0] - form.grid_rest[:, 0]
    oval = face.landmarks[list(groups.OVAL)]
    above = form.grid_rest[:, 1] < oval[:, 1].min() - 5
    near = np.abs(form.grid_rest[:, 0] - oval[:, 0].mean()) < 60
    below = form.grid_rest[:, 1] > oval[:, 1].max() + 120
    assert shift[above & near & (form.grid_rest[:, 1] > 20)] == pytest.approx(30, abs=0.5)
    assert shift[below] == pytest.approx(0, abs=0.5)


def test_layers_lie_behind_lids_and_lips(built):
    face, form = built
    placed = form.place(face.shape, face.shape, face.shape, face.pose, np.zeros(2, np.float32))
    start = mesh.FACE + len(form.grid)
    ids = list(mesh.RIGHT_LIDS + mesh.LEFT_LIDS + mesh.INNER_LIPS)
    assert np.abs(placed[start:, :2] - placed[ids, :2]).max() < 0.01
    assert (placed[start:, 2] - placed[ids, 2] > 10).all()
    assert form.triangles.max() == len(placed) - 1


def test_only_landmarks_beside_the_person_are_moved_and_onto_it():
    face = make_face(yaw=35, scale=14)
    rest = Rest(face.shape, face.pose)
    alpha = np.zeros((CANVAS.texture_size, CANVAS.texture_size), np.uint8)
    points = CANVAS.to_texture(face.landmarks[: mesh.FACE, :2])
    edge = int(points[:, 0].min()) + 12
    alpha[:, edge:] = 255
    form = mesh.build(rest, mesh.inset(rest, alpha, CANVAS), CANVAS, whole=False)
    vertices = CANVAS.to_texture(form.rest_points(face.shape, face.pose)[: mesh.FACE])
    beside = points[:, 0] < edge + 2
    assert 0 < beside.sum() < 100
    assert vertices[beside, 0] == pytest.approx(edge + 3, abs=0.01)  # 3: the rim
    kept = points[:, 0] > edge + 4
    assert (form.inset[kept] == 0).all()
    assert np.abs(vertices - points)[kept].max() < 0.01


def test_nobody_is_beside_a_person_who_fills_the_picture():
    face = make_face(yaw=35)
    alpha = np.full((CANVAS.texture_size, CANVAS.texture_size), 255, np.uint8)
    assert (mesh.inset(Rest(face.shape, face.pose), alpha, CANVAS) == 0).all()
