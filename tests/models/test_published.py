"""Published weights predict as their own library does: its processor, its network and its decoding, side by side.

The networks have random values, in the layout of the published files. Where the library's decoding loses masks that
overlap, or draws them on a coarser grid, its raw masks at the image's size are the measure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

import apiece
from apiece import Instances, models
from apiece.models import published_model
from apiece.models._kit.torchvision_weights import described
from apiece.models.contract import Checkpoint
from apiece.predict import Model
from apiece.predict.predictor import _source
from apiece.transforms.fit import Fit

COCO = 80
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN: dict[str, Any] = {
    "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 4], "window_size": 4, "out_features": STAGES
}  # fmt: skip


def photo(height: int, width: int) -> np.ndarray[Any, Any]:
    """Smooth blobs of colour, as a photo has them."""
    rng = np.random.default_rng(height)
    coarse = torch.from_numpy(rng.random((1, 3, 7, 9))).float()
    fine = functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (fine[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


# --- transformers' models ---------------------------------------------------------------------------------------------


def lively(model: nn.Module) -> nn.Module:
    """Random answers that differ: the library draws weights so small that all queries say the same."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "class" in name and name.endswith("weight"):
                value.normal_(0, 0.3)
            elif "quer" in name and "embed" in name and value.ndim == 2:
                value.normal_(0, 2)
            elif "upscale" in name and value.ndim == 4:  # smooth masks, as trained networks draw them
                value.copy_(value.mean((2, 3), keepdim=True).expand_as(value))
            elif "decoder" in name and "attn" in name and name.endswith("weight"):
                value.mul_(6)
    return model.eval()


def labels(count: int, **gaps: str) -> dict[str, Any]:
    names = {k: f"thing {k}" for k in range(count)} | {int(k[1:]): v for k, v in gaps.items()}
    return {"id2label": names, "label2id": {v: k for k, v in names.items()}}


def mask2former() -> tuple[nn.Module, Any]:
    config = transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(**SWIN), feature_size=32, mask_feature_size=32, hidden_dim=32,
        num_attention_heads=4, encoder_layers=1, decoder_layers=4, encoder_feedforward_dim=40, dim_feedforward=56,
        num_queries=40, **labels(7),
    )  # fmt: skip
    processor = transformers.Mask2FormerImageProcessor(size={"height": 96, "width": 128})
    return transformers.Mask2FormerForUniversalSegmentation(config), processor


def maskformer() -> tuple[nn.Module, Any]:
    decoder = transformers.DetrConfig(
        d_model=32, decoder_layers=2, decoder_ffn_dim=32, decoder_attention_heads=4, num_queries=40
    )
    config = transformers.MaskFormerConfig(
        backbone_config=transformers.SwinConfig(**SWIN), decoder_config=decoder, fpn_feature_size=32,
        mask_feature_size=32, **labels(7),
    )  # fmt: skip
    processor = transformers.MaskFormerImageProcessor(size={"shortest_edge": 100, "longest_edge": 160})
    return transformers.MaskFormerForInstanceSegmentation(config), processor


def detr() -> tuple[nn.Module, Any]:
    encoder = {
        "model_type": "timm_backbone", "backbone": "resnet10t", "features_only": True, "num_channels": 3,
        "use_pretrained_backbone": False, "out_indices": [1, 2, 3, 4],
    }  # fmt: skip
    config = transformers.DetrConfig(
        backbone_config=encoder, d_model=64, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_queries=30, **labels(9, _0="N/A", _5="LABEL_5"),
    )  # fmt: skip
    processor = transformers.DetrImageProcessor(size={"shortest_edge": 100, "longest_edge": 160})
    return transformers.DetrForSegmentation(config), processor


def rf_detr() -> tuple[nn.Module, Any]:
    encoder = {
        "model_type": "rf_detr_dinov2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "patch_size": 12, "image_size": 96, "num_windows": 2, "out_features": ["stage1", "stage2"],
    }  # fmt: skip
    config = transformers.RfDetrConfig(
        backbone_config=encoder, d_model=32, decoder_layers=1, decoder_ffn_dim=64, num_queries=30, group_detr=2,
        decoder_self_attention_heads=2, decoder_cross_attention_heads=4, intermediate_size=64,
        **labels(9, _0="N/A", _4="N/A"),
    )  # fmt: skip
    processor = transformers.RfDetrImageProcessor(size={"height": 120, "width": 120})
    return transformers.RfDetrForInstanceSegmentation(config), processor


def eomt() -> tuple[nn.Module, Any]:
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=256, patch_size=16, num_blocks=2,
        num_upscale_blocks=2, num_queries=40, layerscale_value=1.0, **labels(7),
    )  # fmt: skip
    processor = transformers.EomtImageProcessor(size={"shortest_edge": 256, "longest_edge": 256}, do_pad=True)
    return transformers.EomtForUniversalSegmentation(config), processor


LIBRARY: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "detr_mask": detr, "eomt": eomt, "mask2former": mask2former, "maskformer": maskformer, "rf_detr": rf_detr,
}  # fmt: skip


@pytest.fixture(scope="module", params=list(LIBRARY))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Any, Path]:
    """A model and its processor, and the folder in which the library has saved both."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(1)
    model, processor = LIBRARY[request.param]()
    lively(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor, folder


def raw(model: nn.Module, processor: Any, image: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
    """The library's chances (Q, labels) and its masks (Q, height, width) at the image's size, nothing lost."""
    given = processor(images=image, return_tensors="pt")
    with torch.inference_mode():
        out = model(**given)
    kind = model.config.model_type
    logits, maps = (
        (out.logits, out.pred_masks) if "detr" in kind else (out.class_queries_logits, out.masks_queries_logits)
    )
    chances = logits[0].sigmoid() if kind == "rf_detr" else logits[0].softmax(-1)[:, :-1]
    if kind == "eomt":  # what was padded is left out; the library resamples twice, which blurs
        rows, columns = (round(n * maps.shape[-1] / max(image.shape[:2])) for n in image.shape[:2])
        maps = maps[..., :rows, :columns]
    return chances, functional.interpolate(maps, image.shape[:2], mode="bilinear", align_corners=False)[0]


def predicted(model: Model, processor: Any, image: np.ndarray[Any, Any], conf: float) -> Instances:
    """What the model finds in the very input that the processor makes, which is ours but for rounding.

    Pillow and torchvision round to different grey levels at times, and random networks make much of little.
    """
    pipeline = model._pipeline
    ready = pipeline._ready(_source(image))
    theirs = processor(images=image, return_tensors="pt")["pixel_values"][0].numpy()
    height, width = ready.array.shape[1:]
    theirs = theirs[:, :height, :width]  # what EoMT's processor pads, the network pads here
    np.testing.assert_allclose(ready.array, theirs, atol=1.01 / 255 / 0.224)
    assert np.abs(ready.array - theirs).mean() < 1e-3
    ready = replace(ready, array=theirs)
    (found,) = pipeline._decode(pipeline._network([ready]), [ready], model.options(conf, 1.0))
    return found


@pytest.mark.parametrize("size", [(150, 200), (231, 170)])
def test_the_same_objects_as_the_library(written: tuple[nn.Module, Any, Path], size: tuple[int, int]) -> None:
    model, processor, folder = written
    image, names = photo(*size), [model.config.id2label[k] for k in range(model.config.num_labels)]
    ours = apiece.load(folder)
    assert set(ours.classes) == {n for n in names if n.startswith("thing")}
    assert ours.thresholds == (0.5,) * len(ours.classes)
    chances, maps = raw(model, processor, image)
    columns = [names.index(name) for name in ours.classes]
    best, label = chances[:, columns].max(1)
    found = predicted(ours, processor, image, 0.01)
    assert len(found) >= 5
    assert found.masks.area.max() > 200
    overlap = []
    for k in range(len(found)):
        mask = found.masks[[k]].to_dense()[0]
        same = np.flatnonzero(label.numpy() == found.labels[k])
        theirs = (maps[same] > 0).numpy()
        share = (theirs & mask).sum((1, 2)) / (theirs | mask).sum((1, 2)).clip(1)
        overlap.append((share.max(), mask.sum()))
        if "detr" in model.config.model_type:  # the others multiply the score by the mask's mean chance
            assert np.abs(best.numpy()[same] - found.scores[k]).min() < 2e-3
    good = [share for share, area in overlap if area > 100]
    assert min(good) >= 0.99


def test_the_librarys_own_answer_is_among_ours(written: tuple[nn.Module, Any, Path]) -> None:
    """Each object that the library's decoding gives in full, masks that overlap included, is one of ours."""
    model, processor, folder = written
    kind = model.config.model_type
    if kind in ("detr", "eomt", "maskformer"):
        pytest.skip("the test above compares with its raw masks")
    image = photo(384, 384)
    with torch.inference_mode():
        out = model(**processor(images=image, return_tensors="pt"))
    (answer,) = processor.post_process_instance_segmentation(
        out, threshold=0.3, target_sizes=[(384, 384)], return_binary_maps=True
    )
    ours = apiece.load(folder)
    found = predicted(ours, processor, image, 0.05)
    dense = found.masks.to_dense()
    count = 0
    for k, about in enumerate(answer["segments_info"]):
        name, theirs = model.config.id2label[about["label_id"]], answer["segmentation"][k].numpy() > 0
        if not name.startswith("thing") or theirs.sum() < 300:
            continue
        share = (dense & theirs).sum((1, 2)) / (dense | theirs).sum((1, 2))
        near = (share >= 0.97) & (np.array(found.names) == name) & (np.abs(found.scores - about["score"]) < 0.05)
        count += near.any()
        assert near.any() or about["score"] < 0.5, about  # below 0.5 a query may answer with two classes
    assert count


def test_a_fetched_folder_gives_the_same(written: tuple[nn.Module, Any, Path], tmp_path: Path) -> None:
    image, ours = photo(150, 200), models.open_model(written[2])
    models.save_published(ours, tmp_path / "m")
    first, second = Model(ours).predict(image, conf=0.1), apiece.load(tmp_path / "m").predict(image, conf=0.1)
    assert len(first)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.masks.to_dense(), second.masks.to_dense())
    text = json.loads((tmp_path / "m" / "model.json").read_text())
    assert text["provenance"]["weights"]["licence"].startswith("unknown")


# --- torchvision ------------------------------------------------------------------------------------------------------


def torchvisions(make: Callable[..., MaskRCNN], proposals: int = 40) -> MaskRCNN:
    """Random values of a size that keeps outputs near 1, and masks that are smooth."""
    torch.manual_seed(0)
    few = {"rpn_pre_nms_top_n_test": proposals, "rpn_post_nms_top_n_test": proposals, "box_detections_per_img": 1000}
    model = make(weights=None, weights_backbone=None, num_classes=91, min_size=160, max_size=300, **few).eval()
    heads = model.roi_heads
    with torch.no_grad():
        for name, part in model.named_modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
                part.weight.uniform_(0.1, 0.3) if name.endswith("bn3") else part.weight.uniform_(0.5, 1)
                part.bias.normal_(0, 0.1)
        for part in (*heads.mask_head.modules(), heads.mask_predictor.conv5_mask):
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                part.weight.copy_(part.weight.mean((2, 3), keepdim=True).expand_as(part.weight) * 3)
        heads.box_predictor.cls_score.weight.mul_(40)
        heads.mask_predictor.mask_fcn_logits.bias.add_(0.05)
    return model


def adopted(library: MaskRCNN, proposals: int = 40) -> Model:
    loaded = published_model(described(Checkpoint(library.state_dict(), {}, "x.pth")))
    limit = {"training": proposals, "testing": proposals}
    loaded.module.proposer._pre_nms_top_n = loaded.module.proposer._post_nms_top_n = limit
    fit = Fit(shorter=160, longer=300, filter="linear")
    return Model(replace(loaded, input=replace(loaded.input, fit=fit)), "cpu")


def pasted(mask: Tensor, box: Tensor, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A mask's chances (28, 28) at each pixel's centre, 0 beyond the box, as Detectron2 pastes them; above a half."""
    y = (torch.arange(size[0]) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    x = (torch.arange(size[1]) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None].float()
    return (functional.grid_sample(mask[None, None], grid, align_corners=False)[0, 0] > 0.5).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("make", [maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2])
@pytest.mark.parametrize("size", [(256, 320), (300, 211)])
def test_the_same_objects_as_torchvision(make: Callable[..., MaskRCNN], size: tuple[int, int]) -> None:
    library, image = torchvisions(make), photo(*size)
    ours = adopted(library)
    tensor = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        inputs, _ = library.transform([tensor])
        features = library.backbone(inputs.tensors)
        proposals, _ = library.rpn(inputs, features)
        (small,), _ = library.roi_heads(features, proposals, inputs.image_sizes)
        (whole,) = library([tensor])
    assert torch.equal(small["labels"], whole["labels"])
    categories = coco()
    kept = [k for k in range(len(whole["labels"])) if categories[whole["labels"][k]] != "N/A"]
    ready = ours._pipeline._ready(_source(image))
    out = {name: values[0] for name, values in ours._pipeline._network([ready]).items()}
    theirs = [ours.classes.index(categories[whole["labels"][k]]) for k in kept]
    assert torch.equal(out["labels"], torch.tensor(theirs))
    torch.testing.assert_close(out["scores"], whole["scores"][kept], atol=1e-5, rtol=1e-4)
    scale = torch.tensor([size[1] / ready.frame.input_size[1], size[0] / ready.frame.input_size[0]] * 2)
    assert (out["boxes"] * scale - whole["boxes"][kept]).abs().max() < 0.5
    torch.testing.assert_close(out["masks"].sigmoid(), small["masks"][kept, 0], atol=1e-3, rtol=1e-3)

    found = ours.predict(image, conf=0.05)
    assert len(found) > 20
    shares = []
    for k in range(len(found)):
        mask = found.masks[[k]].to_dense()[0]
        same = np.argmin(np.abs(whole["scores"].numpy() - found.scores[k]))
        exact = pasted(small["masks"][same, 0], whole["boxes"][same], size)
        if mask.sum() > 400:
            shares.append((exact & mask).sum() / (exact | mask).sum())
    assert len(shares) > 5
    assert min(shares) >= 0.99  # torchvision's own drawing rounds the boxes to whole pixels first


def coco() -> list[str]:
    from torchvision.models import get_model_weights

    return list(get_model_weights("maskrcnn_resnet50_fpn_v2").DEFAULT.meta["categories"])
