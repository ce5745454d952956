"""Small random networks of transformers, saved as the library saves them, and tokenizers with a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = tuple("a photo of the an in red blue bolt nut disc object thing background close up".split())  # noqa: SIM905
SIDE = 128


def spread(model: torch.nn.Module, gain: float = 3.0) -> torch.nn.Module:
    """Make random weights larger, so that answers differ; the library draws nearly all of them near 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, gain / max(parameter[0].numel(), 1) ** 0.5)
            elif "bias" in name:
                parameter.normal_(0, 0.1)
    return model.eval()


def _decoder(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16, "num_hidden_layers": 2,
        **more,
    }  # fmt: skip


def sam(folder: Path) -> Path:
    config = hf.SamConfig(
        vision_config={
            "hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": SIDE, "patch_size": 16, "window_size": 4, "global_attn_indexes": [1], "mlp_dim": 32,
            "num_pos_feats": 16,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": SIDE, "patch_size": 16},
        mask_decoder_config=_decoder(),
    )  # fmt: skip
    spread(hf.SamModel(config)).save_pretrained(folder)
    sizes = {"height": SIDE, "width": SIDE}
    hf.SamImageProcessor(size={"longest_edge": SIDE}, pad_size=sizes).save_pretrained(folder)
    return folder


def sam2(folder: Path) -> Path:
    config = hf.Sam2Config(
        vision_config=hf.Sam2VisionConfig(
            backbone_config={
                "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
                "image_size": [SIDE, SIDE], "blocks_per_stage": [1, 2, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 1, 1], "window_size_per_stage": [8, 4, 4, 4],
                "global_attention_blocks": [2], "mlp_ratio": 2.0,
            },
            backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
            fpn_hidden_size=32,
        ),
        prompt_encoder_config={"hidden_size": 32, "image_size": SIDE},
        mask_decoder_config=_decoder(),
    )  # fmt: skip
    spread(hf.Sam2Model(config)).save_pretrained(folder)
    hf.Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def _sam3_vision(levels: int) -> dict[str, Any]:
    sides = [[32, 32], [16, 16], [8, 8], [4, 4]]
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": 112, "patch_size": 14, "window_size": 4,
            "global_attn_indexes": [1], "pretrain_image_size": 56,
        },
        "fpn_hidden_size": 32, "backbone_feature_sizes": sides[:levels], "scale_factors": [4.0, 2.0, 1.0, 0.5][:levels],
    }  # fmt: skip


def sam3_tracker(folder: Path) -> Path:
    config = hf.Sam3TrackerConfig(
        vision_config=_sam3_vision(3),
        prompt_encoder_config={"hidden_size": 32, "image_size": 112},
        mask_decoder_config=_decoder(),
    )
    spread(hf.Sam3TrackerModel(config)).save_pretrained(folder)
    hf.Sam3ImageProcessor(size={"height": 112, "width": 112}).save_pretrained(folder)
    return folder


def sam3(folder: Path) -> Path:
    part = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "num_layers": 2}
    config = hf.Sam3Config(
        vision_config=_sam3_vision(4),
        text_config={
            "vocab_size": 40, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 16, "projection_dim": 32, "eos_token_id": 1,
        },
        geometry_encoder_config={**part, "roi_size": 3}, detr_encoder_config=part,
        detr_decoder_config={**part, "num_queries": 12},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )  # fmt: skip
    spread(hf.Sam3Model(config), 1.5).save_pretrained(folder)
    hf.Sam3ImageProcessor(size={"height": 112, "width": 112}).save_pretrained(folder)
    clip_tokenizer(folder)
    return folder


def clip_tokenizer(folder: Path) -> None:
    """Save a real tokenizer of whole words, which begins and ends a text as CLIP's does."""
    vocabulary = {"<pad>": 0, "<end>": 1, "<begin>": 2, "<other>": 3}
    vocabulary |= {word: k for k, word in enumerate(WORDS, 4)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<other>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 2), ("<end>", 1)]
    )
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", bos_token="<begin>", unk_token="<other>",
        model_max_length=16,
    )  # fmt: skip
    fast.save_pretrained(folder)


def grounding_dino(folder: Path) -> Path:
    config = hf.GroundingDinoConfig(
        backbone_config={
            "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 4,
            "image_size": 64, "out_features": ["stage2", "stage3", "stage4"],
        },
        text_config={
            "model_type": "bert", "vocab_size": 1100, "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 16, "max_position_embeddings": 64,
        },
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=20, max_text_len=32,
    )  # fmt: skip
    spread(hf.GroundingDinoForObjectDetection(config), 2.0).save_pretrained(folder)
    hf.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    # the network knows these tokens by their numbers in BERT's vocabulary
    vocabulary = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    vocabulary |= {word: k for k, word in enumerate(WORDS, 200)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    return folder


def _pair(kind: Any, config: Any, folder: Path, **more: Any) -> Path:
    text = {
        "vocab_size": 40, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 16, **more,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8,
    }  # fmt: skip
    spread(kind(config(text_config=text, vision_config=vision)), 1.5).save_pretrained(folder)
    clip_tokenizer(folder)
    return folder


def clip(folder: Path) -> Path:
    _pair(hf.CLIPModel, hf.CLIPConfig, folder, eos_token_id=1, bos_token_id=2)
    side = {"height": 32, "width": 32}
    hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side).save_pretrained(folder)
    return folder


def siglip(folder: Path) -> Path:
    _pair(hf.SiglipModel, hf.SiglipConfig, folder)
    hf.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
