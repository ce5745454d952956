"""Words: boxes that become masks, and masks that get names, from small random networks and real tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from tests.prompts import small_networks
from tests.prompts.scenes import IMAGE, SIZE, TRUTH

import apiece
from apiece import Masks, iou
from apiece.core.prompts import Words
from apiece.errors import ConfigError, ModelFileError, PromptError
from apiece.models import open_checkpoint
from apiece.predict import Prompter
from apiece.prompts import Everything, Opening, load
from apiece.testing import check_backend

TEXTS = ("red bolt", "Nut")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(small_networks, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.mark.parametrize("name", ["sam3", "grounding_dino", "clip", "siglip"])
def test_a_reader_is_described(name: str) -> None:
    check_backend(name)


def test_grounding_dino_finds_the_boxes_of_the_library(folders: Callable[[str], Path]) -> None:
    folder = folders("grounding_dino")
    reader = load("grounding_dino").open(Opening(str(folder), open_checkpoint(folder), "cpu"))
    model = hf.GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    processor = hf.GroundingDinoProcessor(
        hf.GroundingDinoImageProcessor.from_pretrained(folder), hf.AutoTokenizer.from_pretrained(folder)
    )
    inputs = processor(images=IMAGE.pixels, text=[list(TEXTS)], return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    (wanted,) = processor.post_process_grounded_object_detection(
        out, inputs["input_ids"], threshold=0.0, target_sizes=[SIZE]
    )
    boxes, labels, scores = reader.boxes(IMAGE, Words(TEXTS), 0.0)
    chances = out.logits[0].sigmoid().numpy()
    red, bolt, nut = 1, 2, 4  # [CLS] red bolt . nut . [SEP]
    best = np.stack([chances[:, [red, bolt]].max(1), chances[:, nut]], axis=1)
    theirs = wanted["boxes"].numpy().clip(0, [SIZE[1], SIZE[0]] * 2)
    wide = (theirs[:, 2:] - theirs[:, :2] >= 1).all(1)
    assert len(boxes) == wide.sum() > 3
    assert np.allclose(boxes, theirs[wide], atol=0.01)
    assert (labels == best.argmax(1)[wide]).all()
    assert np.allclose(scores, best.max(1)[wide], atol=1e-5)
    in_words = chances.argmax(1) % 2 != 0
    assert np.allclose(wanted["scores"].numpy()[wide & in_words], scores[in_words[wide]], atol=0.3)


def test_boxes_of_words_become_masks(folders: Callable[[str], Path]) -> None:
    session = apiece.prompt(IMAGE, words=folders("grounding_dino"), backend="wand", device="cpu")
    found = session.text(*TEXTS, conf=0.0)
    assert found.classes == TEXTS
    assert len(found) > 1
    assert (np.diff(found.scores) <= 0).all()
    assert found.attributes["prompt"][0] == {"text": found.names[0], "backend": "grounding_dino"}
    assert len(session.text("bolt", conf=1.0)) == 0


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_words_are_compared_as_the_library_compares_them(name: str, folders: Callable[[str], Path]) -> None:
    """With one view and one template the chance is what the library's model gives for picture and texts."""
    folder = folders(name)
    scorer = load(name).open(Opening(str(folder), open_checkpoint(folder), "cpu"))
    kind = {"clip": hf.CLIPModel, "siglip": hf.SiglipModel}[name]
    part = {"clip": hf.CLIPImageProcessor, "siglip": hf.SiglipImageProcessor}[name]
    model, processor = kind.from_pretrained(folder).eval(), part.from_pretrained(folder)
    whole = Masks.from_boxes([[0, 0, 64, 64]], (64, 64))
    image = apiece.Image(IMAGE.pixels[:64, :64])
    from apiece.prompts._kit import contrast

    view = next(contrast._views(image.pixels, whole))
    tokens = hf.AutoTokenizer.from_pretrained(folder)(
        ["disc", "red bolt"], return_tensors="pt", padding="max_length", max_length=16
    )
    given = {"input_ids": tokens["input_ids"]}
    if name == "clip":
        given["attention_mask"] = tokens["attention_mask"]
    with torch.no_grad():
        out = model(pixel_values=processor(images=view, return_tensors="pt")["pixel_values"], **given)
    logits = out.logits_per_image[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrast, "TEMPLATES", ("{}",))
        patch.setattr(contrast, "OTHERS", ())
        patch.setattr(contrast, "_views", lambda pixels, mask: iter((view, view)))
        (found,) = scorer.score(image, whole, Words(("disc", "red bolt")))
    wanted = logits.softmax(0) if name == "clip" else logits.sigmoid()
    assert np.allclose(found, wanted.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_chances_of_many_masks(name: str, folders: Callable[[str], Path]) -> None:
    folder = folders(name)
    scorer = load(name).open(Opening(str(folder), open_checkpoint(folder), "cpu"))
    masks = Masks.concatenate([TRUTH] * 12)
    chances = scorer.score(IMAGE, masks, Words(("disc", "bolt", "nut")))
    assert chances.shape == (24, 3)
    assert np.allclose(chances[::2], chances[0], atol=1e-4)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert scorer.score(IMAGE, masks[:0], Words(("disc",))).shape == (0, 1)
    if name == "clip":
        assert (chances.sum(1) < 1).all()  # the rest is for what is none of the words


def test_words_choose_among_everything(folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    prompter = Prompter(weights=folders("sam2"), words=folders("clip"), device="cpu")
    session = prompter.session(IMAGE)
    settings = Everything(grid=4, conf=0.0, stability=0.3)
    everything = session.everything(settings)
    monkeypatch.setattr(session, "everything", lambda: everything)
    found = session.text("disc", "bolt", conf=0.0)
    assert len(found) == len(everything) > 0
    assert set(found.names) <= {"disc", "bolt"}


def test_words_choose_among_what_the_default_model_finds(folders: Callable[[str], Path]) -> None:
    found = apiece.prompt(IMAGE, words=folders("clip"), device="cpu").text("disc", "bolt", conf=0.0)
    assert iou(found.masks, TRUTH).toarray().max(0).min() > 0.8


def test_what_is_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="no backend without weights reads words"):
        apiece.prompt(IMAGE).text("bolt")
    session = apiece.prompt(IMAGE, backend="watershed", words=folders("clip"), device="cpu")
    with pytest.raises(PromptError, match="watershed finds no objects by itself"):
        session.text("bolt")
    with pytest.raises(ConfigError, match=r"words='.*' are for sam2, which takes no text"):
        apiece.prompt(IMAGE, words=folders("sam2")).text("bolt")
    with pytest.raises(ConfigError, match="conf must be from 0 to 1, got 2"):
        session.text("bolt", conf=2)
    with pytest.raises(PromptError, match="a text may not be empty"):
        session.text("")
    many = apiece.prompt(IMAGE, words=folders("grounding_dino"), device="cpu")
    with pytest.raises(PromptError, match=r"these words are \d+ tokens, and it reads 32"):
        many.text(*(f"bolt {k}" for k in range(20)))
    for file in folders("clip").iterdir():
        if "token" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelFileError, match=r"has no tokenizer.json"):
        apiece.prompt(IMAGE, words=tmp_path, device="cpu").text("bolt")
