"""What a service of a model takes and answers in JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from apiece.serve.schema import Answer

__all__ = ["Measured", "ModelInfo", "TensorIn", "TensorOut", "V2Answer", "V2Request"]


class ModelInfo(Answer):
    """The model that answers."""

    name: str
    classes: list[str]
    thresholds: list[float] | None
    runtime: str
    precision: str
    imgsz: int | None
    channels: int
    unequal: str = Field(description="In what an exported model differs from its original; empty: in nothing.")


class Measured(Answer):
    """A table of measurements: a row for each object."""

    rows: list[dict[str, Any]]
    units: dict[str, str]


class TensorIn(BaseModel):
    """An image as numbers: shape (height, width) or (height, width, channels)."""

    model_config = ConfigDict(extra="ignore")
    name: str
    shape: list[int] = Field(min_length=2, max_length=3)
    datatype: str
    data: list[Any]


class TensorOut(BaseModel):
    """One output: ``boxes`` FP32 (N, 4) xyxy, ``scores`` FP32, ``labels`` INT64, ``masks`` BYTES: COCO's RLE."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class V2Request(BaseModel):
    """A request of the Open Inference Protocol."""

    model_config = ConfigDict(extra="ignore")
    id: str = ""
    inputs: list[TensorIn] = Field(min_length=1, max_length=1)


class V2Answer(BaseModel):
    """An answer of the Open Inference Protocol."""

    model_name: str
    id: str
    outputs: list[TensorOut]
