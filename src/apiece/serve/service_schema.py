"""What a service of a model takes and answers in JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from apiece.serve.schema import Answer, Request

__all__ = [
    "V2_REQUEST_SCHEMA",
    "Inspected",
    "JobInfo",
    "Measured",
    "ModelInfo",
    "Prompt",
    "Rle",
    "Segmented",
    "SegmentedObject",
    "SessionInfo",
    "TensorIn",
    "TensorOut",
    "ToSegment",
    "V2Answer",
    "V2Request",
    "WantedOutput",
]  # fmt: skip


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
    rules: list[str] = Field(description="Names of the rules of `/v1/inspect`; empty: there are none.")


class Measured(Answer):
    """A table of measurements: a row for each object."""

    rows: list[dict[str, Any]]
    units: dict[str, str]


class Inspected(Answer):
    """The verdict on an image, and that of each rule with its numbers, limits and objects."""

    verdict: Literal["pass", "unsure", "fail"]
    reasons: list[str]
    rules: list[dict[str, Any]]


class SessionInfo(Answer):
    """A session: its name, the image's (height, width), and after how many idle seconds it ends."""

    session: str
    size: list[int]
    idle: float


class Rle(Request):
    """A mask as COCO's run-lengths; `size` is (height, width)."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    counts: str


class Prompt(Request):
    """One object: points `[x, y, 1]` on it and `[x, y, 0]` beside it, a box x0, y0, x1, y1, an earlier mask."""

    points: list[Annotated[list[float], Field(min_length=2, max_length=3)]] | None = Field(None, max_length=1000)
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    mask: Rle | None = None


class ToSegment(Request):
    """What to look for in the image of a session."""

    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=1000)]


class SegmentedObject(Answer):
    """An object; its mask is empty where nothing was found."""

    mask: Rle
    box: list[float]
    area: int
    score: float | None


class Segmented(Answer):
    """An object for each prompt, in order."""

    objects: list[SegmentedObject]


class JobInfo(Answer):
    """How a job stands: steps `done` of `total` (null: not known), and when it was created and ended (Unix time)."""

    id: str
    kind: Literal["image", "video"]
    format: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    done: int
    total: int | None
    message: str
    created: float
    ended: float | None


class TensorIn(BaseModel):
    """An image as numbers: shape (height, width) or (height, width, channels)."""

    model_config = ConfigDict(extra="ignore")
    name: str
    shape: list[Annotated[int, Field(ge=1, lt=1 << 31)]] = Field(min_length=2, max_length=3)
    datatype: Literal["UINT8", "UINT16", "FP32"]
    data: list[Any] | None = Field(None, description="The numbers; without them, their bytes follow the JSON.")


class TensorOut(BaseModel):
    """One output: ``boxes`` FP32 (N, 4) xyxy, ``scores`` FP32, ``labels`` INT64, ``masks`` BYTES: COCO's RLE."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class WantedOutput(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(extra="ignore")
    name: str


class V2Request(BaseModel):
    """A request of the Open Inference Protocol."""

    model_config = ConfigDict(extra="ignore")
    id: str = ""
    inputs: list[TensorIn] = Field(min_length=1, max_length=1)
    outputs: list[WantedOutput] = []


class V2Answer(BaseModel):
    """An answer of the Open Inference Protocol."""

    model_name: str
    model_version: str
    id: str
    outputs: list[TensorOut]


def _flat_schema() -> dict[str, Any]:
    """Return the JSON schema of `V2Request` without references, since a route reads its body itself."""
    schema = V2Request.model_json_schema()
    parts = schema.pop("$defs")
    for name, part in (("inputs", "TensorIn"), ("outputs", "WantedOutput")):
        schema["properties"][name]["items"] = parts[part]
    return schema


V2_REQUEST_SCHEMA = _flat_schema()
