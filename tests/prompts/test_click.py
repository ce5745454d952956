"""Clicks by the default model: to which encoder its weights belong, what it finds, looks, and the first guess."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tests.cli.set_scenes import run
from tests.prompts.scenes import IMAGE, TRUTH

import apiece
from apiece import Image, Instances, Masks, iou
from apiece.core.prompts import Prompts
from apiece.errors import ModelFileError
from apiece.images import write_image
from apiece.models import model_folder
from apiece.predict import Prompter, Session
from apiece.prompts.click.guess import guessed
from apiece.prompts.click.looks import CELL, Look, prompt_maps
from apiece.prompts.click.networks import SIDE, Networks
from apiece.prompts.click.weights import SHIPPED, encoder_fingerprint, head_weights

TENSORS = load_file(model_folder("default") / "model.safetensors")
COIN = (150, 65)  # a place on one of 24 coins


@pytest.fixture(scope="module")
def prompter() -> Prompter:
    return Prompter("click", device="cpu")


@pytest.fixture(scope="module")
def coins(prompter: Prompter) -> Session:
    session = prompter.session(skimage.data.coins())
    session.embed()
    return session


# --- the weights ------------------------------------------------------------------------------------------------------


def test_the_head_belongs_to_the_default_weights() -> None:
    """Whoever ships other default weights trains the head again: recipes/click_weights."""
    with safe_open(SHIPPED, framework="numpy") as file:
        about = json.loads(file.metadata()["apiece_click"])
    assert about["encoder"] == encoder_fingerprint(TENSORS)
    assert head_weights(SHIPPED, TENSORS) == SHIPPED.read_bytes()
    assert about["provenance"]["recipe"] == "recipes/click_weights"
    assert SHIPPED.stat().st_size < 2_000_000


def test_a_head_of_another_encoder_is_refused() -> None:
    other = dict(TENSORS)
    other["encoder.stem.0.weight"] = other["encoder.stem.0.weight"] + np.float16(0.01)
    with pytest.raises(ModelFileError, match=r"belongs to another encoder.*recipes/click_weights"):
        head_weights(SHIPPED, other)


@pytest.mark.parametrize("cut", [0, 9, 1000])
def test_a_damaged_head_is_refused(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(SHIPPED.read_bytes()[:cut])
    with pytest.raises(ModelFileError, match="holds no weights for clicks"):
        head_weights(file, TENSORS)


def test_a_file_of_other_tensors_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "head.safetensors")
    with pytest.raises(ModelFileError, match="holds no weights for clicks"):
        head_weights(tmp_path / "head.safetensors", TENSORS)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_it_answers_where_no_weights_are_named() -> None:
    found = apiece.prompt(IMAGE).points([(40, 40), (90, 70)], objects=[0, 1])
    assert [told["backend"] for told in found.attributes["prompt"]] == ["click", "click"]
    assert iou(found.masks, TRUTH).toarray().diagonal().min() > 0.9
    assert found.scores is not None
    assert found.scores.min() > 0.5


def test_a_click_on_a_coin_gives_the_coin(coins: Session) -> None:
    found = coins.points([COIN])
    assert 1500 < found.masks.area[0] < 4000
    assert found.masks.contains(np.array([0]), np.array([COIN[0]]), np.array([COIN[1]]))[0]


def test_clicks_correct_a_mask_that_holds_two_coins(coins: Session) -> None:
    one, other = (coins.points([place]).masks for place in (COIN, (200, 62)))
    both = Masks.concatenate([one, other]).union()
    found = coins.points([COIN, (200, 62)], [True, False], masks=both).masks
    assert iou(found, one).toarray()[0, 0] > 0.8
    assert not found.contains(np.array([0]), np.array([200]), np.array([62]))[0]


def test_everything_is_what_the_default_model_finds(coins: Session) -> None:
    expected = apiece.load(device="cpu").predict(skimage.data.coins())
    found = coins.everything()
    assert len(found) == len(expected) == 24
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)  # type: ignore[arg-type]
    assert iou(found.masks, expected.masks).toarray().diagonal().min() > 0.99


@pytest.mark.parametrize("kind", ["grey", "16 bits", "transparent", "five channels", "doubles", "bool"])
def test_images_of_any_kind(prompter: Prompter, kind: str) -> None:
    colours = IMAGE.pixels
    grey = colours[:, :, :1]
    image = {
        "grey": Image(grey),
        "16 bits": Image(colours.astype(np.uint16) * 16),
        "transparent": Image(np.concatenate([colours, np.full_like(grey, 255)], axis=2), alpha="unassociated"),
        "five channels": Image(np.repeat(grey, 5, axis=2)),
        "doubles": Image(colours / 1e6 + 5),
        "bool": Image(grey > 150),
    }[kind]
    found = prompter.session(image).points([(40, 40)])
    assert iou(found.masks, TRUTH[:1]).toarray()[0, 0] > 0.8


def test_an_object_at_the_border_and_one_that_fills_the_image(prompter: Prompter) -> None:
    rows, columns = np.mgrid[:300, :400]
    disc = np.hypot(columns - 398, rows - 3) < 60
    session = prompter.session(np.where(disc, 200, 60).astype(np.uint8))
    found = session.points([(390, 10)]).masks
    assert iou(found, Masks.from_dense(disc[None])).toarray()[0, 0] > 0.85
    assert session.box([0, 0, 400, 300]).masks.size == (300, 400)


# --- looks ------------------------------------------------------------------------------------------------------------


def test_a_look_shows_the_image_where_it_says() -> None:
    image = np.zeros((60, 80, 1), np.uint8)
    image[20:30, 40:50] = 200
    shown = Look(30.0, 10.0, 32.0, 64).pixels(image, 7)[:, :, 0]
    rows, columns = np.nonzero(shown > 100)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (20, 40, 20, 40)
    beyond = Look(-16.0, -16.0, 32.0, 64).pixels(image, 7)[:, :, 0]
    assert (beyond[:28] == 7).all()
    assert (beyond[36:, 36:] == 0).all()
    assert (Look(500.0, 0.0, 32.0, 64).pixels(image, 7) == 7).all()


def test_what_a_look_saw_is_found_again_by_another_look() -> None:
    whole = Look.whole((100, 200), 64)
    assert whole.box.tolist() == [0, -50, 200, 150]
    where = np.zeros((100, 200), bool)
    where[40:60, 80:120] = True
    close = Look.around(np.array([80.0, 40.0, 120.0, 60.0]), 0.5, 64)
    assert close.box.tolist() == [60, 10, 140, 90]
    cells = whole.cells(where)
    assert whole.cells_box(cells > 0.5) == pytest.approx([80, 40, 120, 60], abs=200 / 32)
    again = whole.seen(cells, close)
    assert np.abs(again - close.cells(where)).mean() < 0.06


def test_maps_of_prompts() -> None:
    look = Look(0.0, 0.0, 32.0, 64)
    asked = Prompts.of([(8, 8), (24, 8)], [1, 0], boxes=[4, 4, 20, 28])
    positive, negative, box, before, known, inside = prompt_maps(look, (32, 24), asked, None)
    side = 64 // CELL
    assert (positive[8, 8], positive[8, 24], negative[8, 24], negative[8, 8]) == (1, 0, 1, 0)
    assert box.sum() == 16 * 24
    assert not before.any()
    assert not known.any()
    assert inside.sum() == side * 24
    maps = prompt_maps(look, (32, 24), asked, np.full((side, side), 0.25, np.float32))
    assert (maps[3] == 0.25).all()
    assert (maps[4] == 1).all()


# --- the first guess --------------------------------------------------------------------------------------------------


def test_the_first_guess_is_right_about_most_points() -> None:
    whole, part, beside = ([0, 0, 40, 40], [0, 0, 20, 20], [50, 50, 60, 60])
    masks, scores = Masks.from_boxes([whole, part, beside], (80, 80)), np.array([0.5, 0.9, 0.95])

    def boxes(asked: Prompts) -> list[float] | None:
        found = guessed(asked, masks, scores)
        return None if found is None else found.boxes[0].tolist()

    assert boxes(Prompts.of([(10, 10)])) == part
    assert boxes(Prompts.of([(10, 10), (30, 30)])) == whole
    assert boxes(Prompts.of([(30, 30), (10, 10)], [1, 0])) == whole
    assert boxes(Prompts.of([(70, 10)])) is None
    assert boxes(Prompts.of(boxes=[1, 1, 41, 38])) == whole
    assert boxes(Prompts.of(boxes=[41, 1, 80, 38])) is None
    assert guessed(Prompts.of([(1, 1)]), masks[:0], scores[:0]) is None


# --- the command line -------------------------------------------------------------------------------------------------


def test_embeddings_are_saved_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from apiece.prompts.click.segmenter import ClickSegmenter

    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", IMAGE)
    assert run("segment", "a.png", "--embed-only") == 0
    (file,) = (tmp_path / "embeddings").iterdir()
    assert "-click-" in file.name
    assert run("segment", "a.png", "--point", "40,40", "--embeddings", "elsewhere", "--out", "first") == 0
    monkeypatch.setattr(ClickSegmenter, "embed", None)
    assert run("segment", "a.png", "--point", "40,40", "--out", "second") == 0
    one, two = (json.loads((tmp_path / name / "predictions.json").read_text()) for name in ("first", "second"))
    assert one["annotations"][0]["segmentation"] == two["annotations"][0]["segmentation"]


def test_everything_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "coins.png", skimage.data.coins())
    assert run("segment", "coins.png", "--everything", "--save", "coco,overlay", "--json") == 0
    assert json.loads(capsys.readouterr().out)["instances"] == 24
    assert (tmp_path / "segments" / "overlays").is_dir()


def test_nothing_on_an_empty_image(prompter: Prompter) -> None:
    found: Instances = prompter.session(np.full((64, 64, 3), 127, np.uint8)).everything()
    assert (len(found), found.classes) == (0, ("object",))


# --- without torch ----------------------------------------------------------------------------------------------------


def test_the_graphs_compute_what_torch_does(coins: Session) -> None:
    """Whoever changes the networks writes the graphs again: recipes/graphs.py."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch

    from apiece.models import ClickHead, click_features, load_model

    networks = Networks()
    rng = np.random.default_rng(0)
    image, maps = rng.random((1, 3, SIDE, SIDE), np.float32), rng.random((6, SIDE // 2, SIDE // 2), np.float32)
    head = ClickHead()
    head.load_state_dict(load_torch(SHIPPED))
    with torch.inference_mode():
        levels = click_features(load_model("default").module, torch.from_numpy(image))
        wanted = head.eval()(levels, torch.from_numpy(maps)[None])[0].numpy()
    found = networks.features(image)
    for given, level in zip(found, levels, strict=True):
        np.testing.assert_allclose(given, level.numpy(), atol=2e-3)
    np.testing.assert_allclose(networks.logits(found, maps), wanted, atol=2e-2)


@pytest.mark.parametrize("absent", ["torch", "torch onnxruntime"])
def test_a_process_without_torch_answers_clicks(absent: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", IMAGE)
    code = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "{absent} safetensors torchvision timm transformers".split():
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Without())
from apiece.cli import main
main("segment a.png --point 40,40 --out found".split())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ((_, found),) = apiece.read(tmp_path / "found" / "predictions.json")
    assert iou(found.masks, TRUTH[:1]).toarray()[0, 0] > 0.9
