"""Pretrained weights: files good and bad, the hub's cache, what is fitted or refused, equality with the library."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection import maskrcnn_resnet50_fpn as library_mask_rcnn
from torchvision.models.detection.image_list import ImageList

from apiece.errors import ConfigError, ModelFileError
from apiece.models import embedding, mask_rcnn
from apiece.models._engine.folder import save_model
from apiece.models._kit import weight_files
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.fill import Dependent, dependent, fill
from apiece.models._kit.timm_backbone import is_backbone
from apiece.models._kit.torchvision_weights import described
from apiece.models._kit.weights import OWN, UNKNOWN_LICENCE, licence_of, open_checkpoint
from apiece.models.contract import Checkpoint, ModelInput
from apiece.models.mask_rcnn import MaskRCNNConfig

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def same(found: Any, wanted: Any) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[k], wanted[k]) for k in wanted)


def layout(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], card: str = "") -> Path:
    """A folder as transformers writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    if card:
        (folder / "README.md").write_text(card)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub: Path, repository: str, revision: str = "main", **what: Any) -> Path:
    """Put a repository into the cache."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text("0123456789abcdef")
    return layout(folder / "snapshots" / "0123456789abcdef", **what)


# --- files ------------------------------------------------------------------------------------------------------------


def test_tensor_files(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    torch.save(TENSORS, tmp_path / "a.pth")
    torch.save(
        {"epoch": 3, "state_dict": OrderedDict((f"module.{k}", v) for k, v in TENSORS.items())}, tmp_path / "b.pt"
    )
    for name in ("a.safetensors", "a.pth", "b.pt"):
        found = open_checkpoint(tmp_path / name)
        assert same(found.tensors, TENSORS)
        assert found.source == str(tmp_path / name)
        assert found.settings == {}


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def test_a_file_with_code_is_refused_and_runs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": torch.ones(1), "b": _Code()}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(_Code(), 2))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(ModelFileError, match=r"more than tensors.*state_dict"):
            open_checkpoint(tmp_path / name)
    assert capsys.readouterr().out == ""


def test_damaged_foreign_and_oversized_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    torch.save(TENSORS, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / f"cut_{name}").write_bytes((tmp_path / name).read_bytes()[:-40])
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    (tmp_path / "a.npz").write_bytes(b"x")
    torch.save({"a": 1}, tmp_path / "c.pth")
    torch.save([torch.ones(1)], tmp_path / "d.pth")
    for name in ("cut_a.safetensors", "cut_a.pth", "b.safetensors", "a.npz", "c.pth", "d.pth"):
        with pytest.raises(ModelFileError):
            open_checkpoint(tmp_path / name)
    monkeypatch.setattr(weight_files, "_LARGEST", 100)
    with pytest.raises(ModelFileError, match="more than the 100"):
        open_checkpoint(tmp_path / "a.pth")


def test_folders_in_transformers_layout(tmp_path: Path) -> None:
    folder = layout(tmp_path / "a", {"model_type": "x"}, TENSORS, "---\nlicense: apache-2.0\n---\n# A model\n")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    found = open_checkpoint(str(folder))
    assert same(found.tensors, TENSORS)
    assert (found.settings, found.licence) == ({"model_type": "x"}, "apache-2.0")
    assert found.preprocess == {"image_mean": [0, 0, 0]}

    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"no model\.safetensors"):
        open_checkpoint(folder)
    for i, (name, tensor) in enumerate(TENSORS.items()):
        save_file({name: tensor}, folder / f"model-{i}.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {k: f"model-{i}.safetensors" for i, k in enumerate(TENSORS)}}))
    assert same(open_checkpoint(folder).tensors, TENSORS)
    save_file(TENSORS, tmp_path / "outside.safetensors")
    for outside in ("../outside.safetensors", "/etc/x.safetensors", "pytorch_model.bin"):
        index.write_text(json.dumps({"weight_map": {"a": outside}}))
        with pytest.raises(ModelFileError, match="beside it"):
            open_checkpoint(folder)
    (folder / "config.json").write_text("{'no json'}")
    with pytest.raises(ModelFileError):
        open_checkpoint(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileError, match="neither"):
        open_checkpoint(tmp_path / "empty")


def test_what_is_no_weights_at_all() -> None:
    for wrong in ("tim", "runs/none", "hf:name", "hf:a/b/c", "hf:", "timm:"):
        with pytest.raises(ConfigError, match="hf:org/name"):
            open_checkpoint(wrong)
    with pytest.raises(ConfigError, match=r"timm:resnet18\.a1_in1k"):
        open_checkpoint("timm")


# --- the hub ----------------------------------------------------------------------------------------------------------


def test_the_hubs_cache_serves_without_network(hub: Path) -> None:
    cached(hub, "org/name", config={"model_type": "x"}, tensors=TENSORS, card="---\nlicense: mit\n---\n")
    found = open_checkpoint("hf:org/name")
    assert same(found.tensors, TENSORS)
    assert (found.source, found.licence) == ("hf:org/name", "mit")
    with pytest.raises(ModelFileError, match="--revision v2"):
        open_checkpoint("hf:org/name@v2")
    cached(hub, "org/name", "v2", config={"model_type": "x"}, tensors=TENSORS)
    assert open_checkpoint("hf:org/name@v2").settings == {"model_type": "x"}


def test_without_network_the_error_says_which_files_to_put_where(hub: Path) -> None:
    with pytest.raises(ModelFileError) as error:
        open_checkpoint("hf:org/name")
    for part in ("config.json", "model.safetensors", "HF_HOME", "models--org--name", str(hub), "hf download org/name"):
        assert part in str(error.value)


def test_licences(tmp_path: Path) -> None:
    cards = {
        "---\nlicense: other\nlicense_name: research-only\n---\n": "research-only",
        "---\nlicense: [mit, cc-by-4.0]\n---\n": "mit, cc-by-4.0",
        "---\nlicense: other\n---\n": "other, check before use",
        "# no front matter": UNKNOWN_LICENCE,
        "---\n: [\n---\n": UNKNOWN_LICENCE,
    }
    for i, (card, wanted) in enumerate(cards.items()):
        found = open_checkpoint(layout(tmp_path / str(i), {}, TENSORS, card))
        assert licence_of(found, mask_rcnn.ARCHITECTURE) == wanted
    tensors = dict.fromkeys(
        ("roi_heads.box_predictor.cls_score.bias", "roi_heads.mask_predictor.mask_fcn_logits.bias"), torch.zeros(91)
    )
    known = described(Checkpoint(tensors, {}, "/somewhere/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"))
    assert licence_of(known, mask_rcnn.ARCHITECTURE) == "BSD-3-Clause"
    other = described(Checkpoint(tensors, {}, "/somewhere/mine.pth"))
    assert licence_of(other, mask_rcnn.ARCHITECTURE) == UNKNOWN_LICENCE


# --- into a module ----------------------------------------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 2, slots: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.head = nn.Linear(4, classes)
        self.queries = nn.Embedding(slots, 4)


VARYING = Dependent(frozenset({"head.weight", "head.bias"}), frozenset({"stem.weight"}), frozenset({"queries.weight"}))


def test_everything_is_filled_or_named() -> None:
    torch.manual_seed(0)
    given, module = Small().state_dict(), Small()
    assert fill(module, given, "x", VARYING) == ()
    assert same(module.state_dict(), given)
    less = {k: v for k, v in given.items() if k != "stem.bias"}
    with pytest.raises(ModelFileError, match=r"lacks stem\.bias"):
        fill(Small(), less, "x", VARYING)
    with pytest.raises(ModelFileError, match=r"unknown other"):
        fill(Small(), {**given, "other": torch.ones(1)}, "x", VARYING)
    with pytest.raises(ModelFileError, match=r"stem\.bias \(is \[5\], should be \[4\]\)"):
        fill(Small(), {**given, "stem.bias": torch.ones(5)}, "x", VARYING)
    with pytest.raises(ModelFileError, match=r"head\.weight"):
        fill(Small(classes=5), given, "x")


def test_other_classes_stay_random_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    given, module = Small().state_dict(), Small(classes=5)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with caplog.at_level(logging.INFO, "apiece"):
        assert fill(module, given, "x", VARYING) == ("head.bias", "head.weight")
    assert "head.bias, head.weight" in caplog.text
    after = module.state_dict()
    assert torch.equal(after["head.weight"], before["head.weight"])
    assert torch.equal(after["stem.weight"], given["stem.weight"])


def test_input_channels_are_fitted_so_that_grey_gives_the_same() -> None:
    torch.manual_seed(0)
    source = Small()
    grey = torch.rand(1, 1, 8, 8)
    wanted = source.stem(grey.expand(-1, 3, -1, -1))
    for channels in (1, 2, 4, 12):
        module = Small(channels)
        fill(module, source.state_dict(), "x", VARYING)
        got = module.stem(grey.expand(-1, channels, -1, -1))
        if channels in (1, 12):  # whole repeats: the sum over the channels stays
            torch.testing.assert_close(got, wanted)
        ours = timm.models.adapt_input_conv(channels, source.stem.weight.detach())
        torch.testing.assert_close(module.stem.weight.detach(), ours)


def test_slots_keep_what_both_have() -> None:
    torch.manual_seed(0)
    given = Small(slots=3).state_dict()
    for slots in (2, 5):
        module = Small(slots=slots)
        before = module.queries.weight.detach().clone()
        fill(module, given, "x", VARYING)
        both = min(slots, 3)
        assert torch.equal(module.queries.weight[:both], given["queries.weight"][:both])
        assert torch.equal(module.queries.weight[both:], before[both:])


def test_dependent_names_are_found_by_building() -> None:
    found = dependent(mask_rcnn.ARCHITECTURE, MaskRCNNConfig(class_weights=(1.0, 2.0)), ModelInput(), 2)
    assert found.channels == {"encoder.body.conv1.0.weight"}
    assert "mask_predictor.mask_fcn_logits.weight" in found.classes
    assert all(".bbox_pred." in k or ".cls_score." in k or ".mask_fcn_logits." in k for k in found.classes)
    assert found.slots == set()


# --- timm's -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_timm() -> nn.Module:
    """A timm model with a classifier, all values random."""
    torch.manual_seed(3)
    model = timm.create_model("resnet10t", pretrained=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_a_backbone_takes_timms_file(small_timm: nn.Module, tmp_path: Path, norm: str) -> None:
    path = tmp_path / "r.safetensors"
    save_file(small_timm.state_dict(), path)
    assert is_backbone(open_checkpoint(path), "resnet10t")
    assert not is_backbone(open_checkpoint(path), "resnet18")
    backbone = build_backbone("resnet10t", 3, str(path), norm=norm).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(image)[-1], small_timm.forward_features(image))
        grey = build_backbone("resnet10t", 1, str(path)).eval()(image[:, :1])
        torch.testing.assert_close(
            grey[-1], small_timm.forward_features(image[:, :1].expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4
        )
    trained = build_backbone("resnet10t", 3, str(path), norm=norm).train()
    trained(image)
    moved = not torch.equal(trained.state_dict()["body.bn1.running_mean"], small_timm.state_dict()["bn1.running_mean"])
    assert moved == (norm == "batch")


@pytest.mark.parametrize("name", ["levit_128", "vit_tiny_patch16_224"])
def test_backbones_for_one_size_of_images_are_refused(name: str) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=rf"{name}.*one size only"):
        build_backbone(name, 1)


def test_weights_of_another_backbone_are_refused(small_timm: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    save_file(small_timm.state_dict(), path)
    with pytest.raises(ConfigError, match="resnet18"):
        build_backbone("resnet18", 3, str(path))
    save_file({f"x.{k}": v for k, v in small_timm.state_dict().items()}, path)  # nothing of it has a place
    with pytest.raises(ConfigError, match="they lack"):
        build_backbone("resnet10t", 3, str(path))
    with pytest.raises(ConfigError, match="batch norm"):
        build_backbone("resnet10t", 3, str(path), norm="group")
    with pytest.raises(ConfigError, match="set backbone to"):
        build_backbone("resnet10t", 3, "timm:resnet18.a1_in1k")


def test_timms_names_come_from_the_hubs_cache(small_timm: nn.Module, hub: Path) -> None:
    with pytest.raises(ModelFileError, match=r"hf download timm/resnet10t\.c3_in1k"):
        build_backbone("resnet10t", 3, "timm")
    cached(hub, "timm/resnet10t.c3_in1k", config={}, tensors=small_timm.state_dict())
    for name in ("timm", "timm:resnet10t.c3_in1k", "hf:timm/resnet10t.c3_in1k"):
        backbone = build_backbone("resnet10t", 3, name)
        assert torch.equal(backbone.state_dict()["body.layer4.0.conv1.weight"], small_timm.layer4[0].conv1.weight)


# --- models of one's own ----------------------------------------------------------------------------------------------


def test_an_own_model_folder(tmp_path: Path) -> None:
    spec = ModelInput(1, mean=(0.0,), std=(1.0,))
    config = embedding.EmbeddingConfig(widths=(8, 16))
    torch.manual_seed(0)
    module = embedding.Embedding(config, spec, 2)
    save_model(tmp_path / "m", module, architecture="embedding", config=config, input=spec, classes=["a", "b"])
    found = open_checkpoint(tmp_path / "m")
    assert found.settings[OWN]["architecture"] == "embedding"
    assert found.licence == "your own"
    assert same(found.tensors, module.state_dict())
    other = embedding.Embedding(config, ModelInput(), 3)
    left = fill(other, found.tensors, "m", dependent(embedding.ARCHITECTURE, config, ModelInput(), 3))
    assert left
    assert set(left) < set(found.tensors)
    (tmp_path / "m" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelFileError):
        open_checkpoint(tmp_path / "m")


# --- torchvision's Mask R-CNN -----------------------------------------------------------------------------------------

SIZE = (64, 96)


@pytest.fixture(scope="module")
def library() -> MaskRCNN:
    """torchvision's network with random values of a size that keeps its outputs near 1."""
    torch.manual_seed(0)
    model = library_mask_rcnn(weights=None, weights_backbone=None, num_classes=6).eval()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.1, 0.3) if name.endswith("bn3") else module.weight.data.uniform_(0.5, 1)
            module.bias.data.normal_(0, 0.1)
    return model


def adopted(tensors: dict[str, Tensor], classes: int) -> mask_rcnn.MaskRCNN:
    checkpoint = Checkpoint(tensors, {}, "x.pth")
    config, renamed = mask_rcnn.adopt(checkpoint, MaskRCNNConfig(proposals=1000))
    module = mask_rcnn.MaskRCNN(config, ModelInput(), classes)
    fill(module, renamed, "x.pth", dependent(mask_rcnn.ARCHITECTURE, config, ModelInput(), classes))
    return module.eval()


def assert_equal(module: mask_rcnn.MaskRCNN, library: MaskRCNN) -> None:
    """Features, anchors, and what both stages answer, before anything is thresholded or suppressed."""
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    heads, regions = library.roi_heads, module.regions
    with torch.inference_mode():
        theirs, ours = library.backbone(image), module.features(image)
        assert list(theirs) == list(ours)
        first = library.rpn.head(list(theirs.values())), module.proposer.head(list(ours.values()))
        for a, b in zip([*theirs.values(), *first[0][0], *first[0][1]], [*ours.values(), *first[1][0], *first[1][1]],
                        strict=True):  # fmt: skip
            torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-4)
        anchors = library.rpn.anchor_generator(ImageList(image, [SIZE]), list(theirs.values()))[0]
        assert torch.equal(module.proposer._anchors(list(ours.values()), SIZE), anchors)
        # of all sizes, so that each level of the pyramid is pooled from
        side = torch.tensor([9.0, 40, 111, 113, 223, 225, 447, 600])
        boxes = [torch.stack([side / 9, side / 7, side / 9 + side, side / 7 + side], 1)]
        pooled = heads.box_head(heads.box_roi_pool(theirs, boxes, [SIZE]))
        mine = regions.box_head(regions.box_roi_pool(ours, boxes, [SIZE]))
        (logits, moves), (our_logits, our_moves) = heads.box_predictor(pooled), regions.box_predictor(mine)
        torch.testing.assert_close(our_logits, logits, atol=1e-4, rtol=1e-4)
        decoded = heads.box_coder.decode(moves, boxes), regions.box_coder.decode(our_moves, boxes)
        torch.testing.assert_close(decoded[1], decoded[0], atol=1e-3, rtol=1e-4)
        masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(theirs, boxes, [SIZE])))
        labels = torch.arange(len(side)) % 5
        got = module.masks(ours, boxes, labels, SIZE)["masks"]
        torch.testing.assert_close(got, masks[torch.arange(len(labels)), labels + 1], atol=1e-4, rtol=1e-4)


def test_torchvisions_mask_rcnn_gives_the_same(library: MaskRCNN) -> None:
    assert_equal(adopted(library.state_dict(), 5), library)


def test_the_published_files_old_names_and_eps_give_the_same(library: MaskRCNN) -> None:
    """Names before torchvision 0.13, frozen norms with an eps of 0, 91 classes."""
    renames = (("inner_blocks.{}.0.", "inner_blocks.{}."), ("layer_blocks.{}.0.", "layer_blocks.{}."))
    old: dict[str, Tensor] = {}
    for name, tensor in library.state_dict().items():
        for i in range(4):
            for new, before in renames:
                name = name.replace(new.format(i), before.format(i))
            name = name.replace(f"mask_head.{i}.0.", f"mask_head.mask_fcn{i + 1}.")
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        if "box_predictor" in name:
            rows = 91 if "cls_score" in name else 364
            tensor = torch.cat([tensor, torch.zeros(rows - len(tensor), *tensor.shape[1:])])
        if "mask_fcn_logits" in name:
            tensor = torch.cat([tensor, torch.zeros(91 - len(tensor), *tensor.shape[1:])])
        if not name.endswith("num_batches_tracked"):
            old[name] = tensor
    module = adopted(old, 90)
    norms = [m for m in library.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    image = torch.randn(1, 3, *SIZE)
    try:
        for norm in norms:
            norm.eps = 0.0
        with torch.inference_mode():
            theirs, ours = library.backbone(image), module.features(image)
            for a, b in zip(theirs.values(), ours.values(), strict=True):
                torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-4)
    finally:
        for norm in norms:
            norm.eps = 1e-5


def test_torchvisions_mask_rcnn_for_other_classes(library: MaskRCNN, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "apiece"):
        module = adopted(library.state_dict(), 2)
    assert "regions.box_predictor.cls_score.weight" in caplog.text
    assert torch.equal(module.regions.box_head[0].fc7.weight, library.roi_heads.box_head.fc7.weight)


def test_other_checkpoints_are_no_mask_rcnn() -> None:
    with pytest.raises(ModelFileError, match="maskrcnn_resnet50_fpn"):
        mask_rcnn.adopt(Checkpoint(TENSORS, {}, "x.pth"), MaskRCNNConfig())


def test_adopt_keeps_what_is_no_matter_of_shape(library: MaskRCNN) -> None:
    config = MaskRCNNConfig(dropout=0.2, proposals=300, conf=0.1)
    found, _ = mask_rcnn.adopt(Checkpoint(library.state_dict(), {}, "x.pth"), config)
    assert (found.dropout, found.proposals, found.conf) == (0.2, 300, 0.1)
    assert dataclasses.replace(found, backbone="resnet18").width == 256
