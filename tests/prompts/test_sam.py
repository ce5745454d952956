"""The SAM family: the library's own masks, at full resolution, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from tests.prompts import small_networks
from tests.prompts.scenes import IMAGE, SIZE, TRUTH

import apiece
from apiece import Image, Masks, iou
from apiece.core.prompts import Prompts
from apiece.errors import ConfigError, ModelFileError, PromptError
from apiece.models import open_checkpoint
from apiece.predict import Prompter
from apiece.prompts import Everything, Opening, load
from apiece.testing import check_backend

FAMILY = {
    "sam": (hf.SamModel, hf.SamProcessor, hf.SamImageProcessor),
    "sam2": (hf.Sam2Model, hf.Sam2Processor, hf.Sam2ImageProcessor),
    "sam3_tracker": (hf.Sam3TrackerModel, hf.Sam3TrackerProcessor, hf.Sam3ImageProcessor),
}
family = pytest.mark.parametrize("name", FAMILY)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(small_networks, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def theirs(name: str, folder: Path, image: Image, several: bool, **prompts: Any) -> np.ndarray:
    """Return the library's own masks for one object: bool (H, W)."""
    kind, whole, part = FAMILY[name]
    model = kind.from_pretrained(folder).eval()
    processor = whole(image_processor=part.from_pretrained(folder))
    inputs = processor(images=image.pixels, return_tensors="pt", **prompts)
    with torch.no_grad():
        out = model(
            multimask_output=several,
            **{k: v for k, v in inputs.items() if k not in ("original_sizes", "reshaped_input_sizes")},
        )
    sizes = [inputs["reshaped_input_sizes"]] if name == "sam" else []
    masks = processor.post_process_masks(out.pred_masks, inputs["original_sizes"], *sizes)[0]
    return masks[0, int(out.iou_scores[0, 0].argmax())].numpy()


ASKED = {
    "point": (Prompts.of([(40, 40)]), {"input_points": [[[[40, 40]]]], "input_labels": [[[1]]]}, True),
    "points": (
        Prompts.of([(40, 40), (90.5, 70)], [1, 0]),
        {"input_points": [[[[40, 40], [90.5, 70]]]], "input_labels": [[[1, 0]]]},
        False,
    ),
    "box": (Prompts.of(boxes=[20, 18, 70, 60]), {"input_boxes": [[[20, 18, 70, 60]]]}, False),
    "both": (
        Prompts.of([(40, 40)], boxes=[20, 18, 70, 60]),
        {"input_points": [[[[40, 40]]]], "input_labels": [[[1]]], "input_boxes": [[[20, 18, 70, 60]]]},
        False,
    ),
}


@family
@pytest.mark.parametrize("size", [(96, 128), (300, 200), (61, 43)], ids=str)
def test_the_masks_are_those_of_the_library(name: str, size: tuple[int, int], folders: Callable[[str], Path]) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (*size, 3)).astype(np.uint8)
    image, folder = Image(pixels), folders(name)
    session, shares = Prompter(name, folder, device="cpu").session(image), []
    for what, (prompts, given, several) in ASKED.items():
        if (prompts.points >= size[::-1]).any() or (prompts.boxes > [*size[::-1]] * 2).any():
            continue  # the library takes what lies outside the image
        wanted = theirs(name, folder, image, several, **given)
        found = session.ask(prompts).masks
        same = (found.to_dense()[0] == wanted).mean()
        assert same > 0.999, (what, same)  # logits of the two differ in the sixth digit
        shares.append(wanted.mean())
    assert 0 < np.mean(shares) < 1


@family
def test_a_backend_keeps_its_contract(name: str, folders: Callable[[str], Path]) -> None:
    check_backend(name, Opening(str(folders(name)), open_checkpoint(folders(name))))


def test_sam_at_a_thousand_prompts_keeps_no_dense_stack(folders: Callable[[str], Path]) -> None:
    size = (700, 1000)
    image = Image(np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8))
    session = Prompter("sam", folders("sam"), device="cpu").session(image)
    session.embed()
    points = np.random.default_rng(1).uniform((0, 0), size[::-1], (200, 2))
    tracemalloc.start()
    found = session.points(points, objects=np.arange(200))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 200
    assert peak < found.masks.nbytes * 3 + 40e6 < 200 * size[0] * size[1]


def test_everything_is_each_mask_once(folders: Callable[[str], Path]) -> None:
    session = Prompter("sam2", folders("sam2"), device="cpu").session(IMAGE)
    settings = Everything(grid=6, conf=0.0, stability=0.3, iou=0.7)
    told: list[tuple[int, int]] = []
    found = session.everything(settings, lambda done, total: told.append((done, total)))
    assert 1 < len(found) <= 6 * 5 * 3
    shared = iou(found.masks, found.masks).toarray()
    assert (shared - np.eye(len(found))).max() <= settings.iou
    assert (np.diff(found.scores) <= 0).all()
    assert told[-1] == (24, 24) or told[-1][0] == told[-1][1]
    assert found == session.everything(settings)


def test_an_embedding_is_saved_and_found_again(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folders("sam2")
    session = Prompter("auto", folder, device="cpu").session(IMAGE)
    wanted = session.points([(40, 40)])
    path = session.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    again = Prompter("auto", folder, embeddings=tmp_path, device="cpu")
    again.segmenter.answers.embed = None  # whoever embeds again fails
    assert again.session(IMAGE).points([(40, 40)]) == wanted
    other = Image(255 - IMAGE.pixels)
    with pytest.raises(TypeError):
        again.session(other).points([(40, 40)])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelFileError, match=r"is no whole embedding .*delete it"):
        again.session(IMAGE).points([(40, 40)])


def test_weights_for_something_else_are_refused(folders: Callable[[str], Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"weights='.*' are for sam, not for sam2; weights of these kinds are: .*sam2"
    ):
        apiece.prompt(IMAGE, backend="sam2", weights=folders("sam")).embed()
    with pytest.raises(ConfigError, match=r"sam needs weights: a checkpoint of SAM, .*weights=\.\.\."):
        apiece.prompt(IMAGE, backend="sam").embed()
    with pytest.raises(PromptError, match=r"which takes no text.*These read words: SAM 3, .*words=\.\.\."):
        apiece.prompt(IMAGE, weights=folders("sam")).text("disc")


def test_too_many_points_of_one_object_are_refused(folders: Callable[[str], Path]) -> None:
    points, owner = np.tile([[5.0, 5.0]], (10_001, 1)), np.minimum(np.arange(10_001), 1)
    session = apiece.prompt(IMAGE, weights=folders("sam2"), device="cpu")
    with pytest.raises(PromptError, match=r"object 2: 10,000 points are too many .* takes 1,000 points; number"):
        session.points(points, objects=owner)


def test_sam3_in_one_file_as_it_is_published(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """The published file holds detector and tracker, which share what sees the image, under names of the two."""
    import json

    from safetensors.torch import load_file, save_file

    one, two = (load_file(folders(name) / "model.safetensors") for name in ("sam3", "sam3_tracker"))
    tensors = {f"detector_model.{k}": v for k, v in one.items()}
    for key, value in two.items():
        neck = key.removeprefix("vision_encoder.neck.")
        if key.startswith("vision_encoder.backbone."):
            tensors[f"detector_model.{key}"] = value
        else:
            tensors[f"tracker_model.{key}" if neck == key else f"tracker_neck.{neck}"] = value
    save_file(tensors, tmp_path / "model.safetensors")
    configs = {n: json.loads((folders(n) / "config.json").read_text()) for n in ("sam3", "sam3_tracker")}
    whole = {
        "model_type": "sam3_video", "detector_config": configs["sam3"], "tracker_config": configs["sam3_tracker"],
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(whole))
    for name in ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folders("sam3") / name).read_bytes())
    session = apiece.prompt(IMAGE, weights=tmp_path, device="cpu")
    alone = apiece.prompt(IMAGE, weights=folders("sam3_tracker"), device="cpu")
    assert session.points([(40, 40)]).masks == alone.points([(40, 40)]).masks
    assert session.text("disc", conf=0.0).classes == ("disc",)


def test_sam3_reads_words_as_the_library_does(folders: Callable[[str], Path]) -> None:
    folder = folders("sam3")
    session = apiece.prompt(IMAGE, weights=folder, device="cpu")
    model, processor = hf.Sam3Model.from_pretrained(folder).eval(), hf.Sam3ImageProcessor.from_pretrained(folder)
    tokens = hf.AutoTokenizer.from_pretrained(folder)(
        ["red disc"], return_tensors="pt", padding="max_length", max_length=16
    )
    pixels = processor(images=IMAGE.pixels, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = model(pixel_values=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    scores = (out.pred_logits.sigmoid() * out.presence_logits.sigmoid())[0]
    conf = float(scores.median())
    (wanted,) = processor.post_process_instance_segmentation(out, threshold=conf - 1e-6, target_sizes=[SIZE])
    found = session.text("red disc", conf=conf - 1e-6)
    order = torch.argsort(-wanted["scores"])
    dense = Masks.from_dense(wanted["masks"][order].numpy())
    dense = dense[dense.area > 0]
    assert len(found) == len(dense) > 2
    assert (found.masks.to_dense() == dense.to_dense()).mean() > 0.9995
    assert found.classes == ("red disc",)
    assert found.attributes["prompt"][0] == {"text": "red disc", "backend": "sam3"}


def test_earlier_masks_change_the_answer(folders: Callable[[str], Path]) -> None:
    for name in FAMILY:
        session = apiece.prompt(IMAGE, weights=folders(name), device="cpu")
        plain = session.points([(40, 40), (41, 42)])
        after = session.points([(40, 40), (41, 42)], masks=TRUTH[:1])
        assert plain.masks != after.masks or abs(plain.scores - after.scores).max() > 1e-4, name


def test_backends_say_what_they_are() -> None:
    for name in ("sam3", "sam3_tracker"):
        backend = load(name)
        assert "gated" in backend.files
        assert "forbids some uses" in backend.licence
