"""Model folders: whole round trips, and every way to damage or forge one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from apiece import _plugins
from apiece import _strict_json as typed_json
from apiece._strict_json import StrictError
from apiece.errors import ConfigError, ModelFileError, UnknownNameError
from apiece.models._engine.card import DEFAULT, JSON_NAME, TENSORS_NAME, save_thresholds
from apiece.models._engine.folder import load_model, save_model
from apiece.models.contract import Architecture, ModelInput


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the network below, one of each type that a config may use."""

    width: int = 4
    rate: float = 0.5
    norm: Literal["batch", "none"] = "batch"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 2.0)
    weights: str = "none"
    limit: int | None = None
    deep: bool = False

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise ConfigError(f"rate must be at most 1, got {self.rate}")


def build(config: Settings, input: ModelInput, classes: int) -> nn.Module:
    if config.weights != "none":
        raise AssertionError("a model folder must never fetch weights")
    return nn.Sequential(
        nn.Conv2d(input.channels, config.width, 3), nn.BatchNorm2d(config.width), nn.Conv2d(config.width, classes, 1)
    )


def _unused(*_: Any) -> Any:
    raise AssertionError("not called when a folder is loaded")


ARCHITECTURE = Architecture("a test", "bottom-up", Settings, build, _unused, _unused, _unused)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture named ``tiny``, which exists only here."""
    monkeypatch.setitem(
        _plugins.foreign("apiece.models"), "tiny", EntryPoint("tiny", f"{__name__}:ARCHITECTURE", "apiece.models")
    )


INPUT = ModelInput(channels=2, mean=(0, 0), std=(1, 1), imgsz=64)


def save(folder: Path, /, config: Settings | None = None, **changes: Any) -> nn.Module:
    config = config or Settings()
    module = build(dataclasses.replace(config, weights="none"), INPUT, 2)
    parts: dict[str, Any] = {"architecture": "tiny", "config": config, "input": INPUT, "classes": ("bolt", "nut")}
    save_model(folder, module, **(parts | changes))
    return module


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((folder / JSON_NAME).read_text())
    change(content)
    (folder / JSON_NAME).write_text(json.dumps(content))


def sealed(folder: Path, data: bytes) -> None:
    """Put other tensors there and make the checksum fit, as a forger would."""
    (folder / TENSORS_NAME).write_bytes(data)
    seal = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    edit(folder, lambda c: c.update(tensors=seal))


def test_round_trip(tmp_path: Path) -> None:
    config = Settings(width=7, rate=1, sizes=(3, 4, 5), weights="timm", limit=9)
    metrics = {"mask_ap": np.float64(0.5), "mask_ap_large": float("nan"), "per_class": {"bolt": np.arange(2)}}
    module = save(tmp_path / "new" / "m", config, thresholds=(0.25, 1), one_piece=(False, True), metrics=metrics,
                  provenance={"seed": 3})  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "new" / "m").iterdir()) == [JSON_NAME, TENSORS_NAME]
    before = torch.get_rng_state()
    found = load_model(tmp_path / "new" / "m")
    assert torch.equal(before, torch.get_rng_state())
    assert (found.name, found.config, found.input, found.classes) == ("tiny", config, INPUT, ("bolt", "nut"))
    assert found.thresholds == (0.25, 1.0)
    assert found.one_piece == (False, True)
    assert found.provenance == {"seed": 3}
    assert found.metrics == {"mask_ap": 0.5, "mask_ap_large": None, "per_class": {"bolt": [0, 1]}}
    assert not found.module.training
    for key, value in module.state_dict().items():
        assert torch.equal(found.module.state_dict()[key], value)
    assert all(p.device.type == "cpu" for p in found.module.parameters())


def test_half_the_space_and_nearly_the_same_weights(tmp_path: Path) -> None:
    module = save(tmp_path / "whole", Settings(width=64))
    torch.manual_seed(0)
    half = save(tmp_path / "half", Settings(width=64), half=True)
    sizes = [(tmp_path / name / TENSORS_NAME).stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.75 * sizes[1]  # norms stay whole
    found = load_model(tmp_path / "half").module.state_dict()
    assert {v.dtype for v in found.values()} == {v.dtype for v in module.state_dict().values()}
    for key, value in half.state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=0 if value.ndim < 2 else 1e-3, atol=1e-6)


def test_a_whole_tensor_cut_to_half_does_not_pass_for_one(tmp_path: Path) -> None:
    save(tmp_path, half=True)
    data = (tmp_path / TENSORS_NAME).read_bytes()
    sealed(tmp_path, data + b"\0" * 64)
    with pytest.raises(ModelFileError, match="is damaged: it has"):
        load_model(tmp_path)


def test_the_model_that_comes_with_apiece_is_not_changed() -> None:
    with pytest.raises(ConfigError, match="stays as it is"):
        save_thresholds(DEFAULT, [0.5])


def test_saving_over_an_old_model_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("1")
    save(tmp_path)
    module = save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", JSON_NAME, TENSORS_NAME]
    assert torch.equal(load_model(tmp_path).module.state_dict()["0.weight"], module.state_dict()["0.weight"])


def test_a_save_that_fails_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = save(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(ModelFileError, match="disk full"):
            save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [JSON_NAME, TENSORS_NAME]
    assert torch.equal(load_model(tmp_path).module.state_dict()["0.weight"], module.state_dict()["0.weight"])


@pytest.mark.parametrize("crashed", [JSON_NAME, TENSORS_NAME])
def test_a_crash_between_the_two_files_is_seen(tmp_path: Path, crashed: str) -> None:
    save(tmp_path / "old")
    save(tmp_path / "new")
    (tmp_path / "old" / crashed).write_bytes((tmp_path / "new" / crashed).read_bytes())
    with pytest.raises(ModelFileError, match=r"checksum differs.*copy the folder afresh"):
        load_model(tmp_path / "old")


@pytest.mark.parametrize(("changes", "error", "reason"), [
    ({"architecture": "mask_rcn"}, UnknownNameError, "mask_rcn"),
    ({"classes": ("a", "a")}, ConfigError, "different names"),
    ({"classes": ()}, ConfigError, "at least one"),
    ({"thresholds": (0.5,)}, ConfigError, "2 numbers"),
    ({"one_piece": (True,)}, ConfigError, "2 truth values"),
    ({"thresholds": (0.5, 1.5)}, ConfigError, "from 0 to 1"),
    ({"thresholds": (0.5, float("nan"))}, ConfigError, "from 0 to 1"),
    ({"metrics": {"x": object()}}, ConfigError, "numbers, texts"),
])  # fmt: skip
def test_save_refuses(tmp_path: Path, changes: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        save(tmp_path / "m", **changes)
    assert not (tmp_path / "m").exists()


def test_save_refuses_the_config_of_another_architecture(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Settings, got ModelInput"):
        save_model(tmp_path, nn.Identity(), architecture="tiny", config=INPUT, input=INPUT, classes=("a",))


@pytest.mark.parametrize(("change", "reason"), [
    (lambda c: c.update(version=2), "version '2' is not 1"),
    (lambda c: c.update(architecture="os.system"), "no model named 'os.system'"),
    (lambda c: c.update(architecture="_folder"), "no model named '_folder'"),
    (lambda c: c.update(architecture=["tiny"]), "should be a name"),
    (lambda c: c.update(extra=1), "unknown 'extra'"),
    (lambda c: c.pop("metrics"), "lacks 'metrics'"),
    (lambda c: c["config"].update(width="4"), r"config.width should be int, is '4' \(str\)"),
    (lambda c: c["config"].update(width=4.0), "config.width should be int"),
    (lambda c: c["config"].update(width=True), "config.width should be int"),
    (lambda c: c["config"].update(width=-1), "cannot be built"),
    (lambda c: c["config"].update(width=10**7), "does not fit the network"),
    (lambda c: c["config"].update(width=10**30), "cannot be built"),
    (lambda c: c["config"].update(rate=2), "rate must be at most 1"),
    (lambda c: c["config"].update(rate=None), "config.rate should be float, is null"),
    (lambda c: c["config"].update(norm="layer"), "config.norm"),
    (lambda c: c["config"].update(sizes=[1, "a"]), r"config.sizes\[1\] should be int"),
    (lambda c: c["config"].update(sizes={}), "config.sizes should be"),
    (lambda c: c["config"].update(pair=[1]), "config.pair should be"),
    (lambda c: c["config"].update(limit="x"), "config.limit should be int or"),
    (lambda c: c["config"].update(deep=0), "config.deep should be bool"),
    (lambda c: c["config"].update(colour="red"), "config has unknown 'colour'"),
    (lambda c: c["config"].pop("width"), "config lacks 'width'"),
    (lambda c: c.update(config=[]), "config should be an object, is a list"),
    (lambda c: c["input"].update(channels=99), "channels must be 1 to 12"),
    (lambda c: c["input"].update(channels=3, mean=[0, 0, 0], std=[1, 1, 1]), r"should be F32 \[4, 3, 3, 3\]"),
    (lambda c: c["input"].update(std=[0, 0]), "above 0"),
    (lambda c: c.update(classes=["a"]), "does not fit"),
    (lambda c: c.update(classes="ab"), "list of names"),
    (lambda c: c.update(classes=["a", 1]), "different names"),
    (lambda c: c.update(thresholds={"bolt": 0.5}), "lacks 'nut'"),
    (lambda c: c.update(one_piece=["pin"]), "some of the classes"),
    (lambda c: c.update(one_piece="bolt"), "some of the classes"),
    (lambda c: c.update(thresholds={"bolt": 0.5, "nut": 7}), "from 0 to 1"),
    (lambda c: c.update(thresholds={"bolt": 0.5, "nut": 10**400}), "from 0 to 1"),
    (lambda c: c.update(provenance=None), "provenance should be an object"),
    (lambda c: c["tensors"].update(sha256="0"), "checksum"),
    (lambda c: c["tensors"].update(bytes=1.5), "checksum"),
    (lambda c: c.update(tensors=None), "tensors should be an object"),
])  # fmt: skip
def test_tampered_json(tmp_path: Path, change: Callable[[dict[str, Any]], Any], reason: str) -> None:
    save(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(ModelFileError, match=reason) as caught:
        load_model(tmp_path)
    assert caught.value.path.parent == tmp_path


@pytest.mark.parametrize(("text", "reason"), [
    (b"", "is empty"),
    (b"[]", "should be an object"),
    (b"\xff\xfe", r"is not UTF-8 \(byte 0\)"),
    (b"[" * 100_000, "nested too deep"),
    (b'{"a": "NaN",\n "version": NaN}', "line 2, column 13: holds NaN, which is no number in JSON"),
    (b'{"version": -Infinity}', "Infinity"),
    (b'{"version": 1e999}', "too large"),
    (b'{"version": ' + b"9" * 5000 + b"}", "a number that cannot be read"),
    (b'{"version": 1, "version": 1}', "holds the key 'version' twice"),
    (b'{"version": 1,', r"line 1, column 15: .* \(the file seems cut short\)"),
    (b'{"__proto__": 1}', "lacks"),
    (b" " * (17 * 2**20), "more than a model's description needs"),
])  # fmt: skip
def test_json_that_is_none(tmp_path: Path, text: bytes, reason: str) -> None:
    save(tmp_path)
    (tmp_path / JSON_NAME).write_bytes(text)
    with pytest.raises(ModelFileError, match=reason):
        load_model(tmp_path)


def _header(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _with_header(data: bytes, header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + int.from_bytes(data[:8], "little") :]


def _changed(name: str, **entry: Any) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        header = _header(data)
        header[name] = header.get(name, {}) | entry
        return _with_header(data, header)

    return change


def _without(data: bytes) -> bytes:
    header = _header(data)
    del header["0.weight"]
    return _with_header(data, header)


@pytest.mark.parametrize(("change", "reason"), [
    (lambda d: b"", "truncated or no safetensors"),
    (lambda d: d[:7], "truncated or no safetensors"),
    (lambda d: d[:100], "truncated or no safetensors"),
    (lambda d: d[:-1], "is damaged: it has"),
    (lambda d: d + b"\0", "is damaged: it has"),
    (lambda d: (2**63).to_bytes(8, "little") + d[8:], "truncated or no safetensors"),
    (lambda d: (len(d) - 8).to_bytes(8, "little") + d[8:], "does not fit"),
    (lambda d: pickle.dumps({"0.weight": 1}) * 9, "safetensors|fit"),
    (_without, "lacks '0.weight'"),
    (_changed("extra", dtype="F32", shape=[1], data_offsets=[0, 4]), "unknown 'extra'"),
    (_changed("0.weight", shape=[4, 2, 9]), r"should be F32 \[4, 2, 3, 3\], is F32 \[4, 2, 9\]"),
    (_changed("0.weight", shape=[2**40, 2**40]), "should be F32"),
    (_changed("0.weight", shape=None), "should be F32"),
    (_changed("0.weight", dtype="BF16"), "is BF16"),
    (_changed("0.weight", dtype="F16"), "is damaged: it has"),
    (_changed("0.weight", data_offsets=[0, 2**60]), "cannot be loaded"),
    (_changed("0.weight", data_offsets=[8, 4]), "cannot be loaded"),
    (_changed("0.weight", more=1), "unknown 'more'"),
    (_changed("1.num_batches_tracked", dtype="F32"), "should be I64"),
])  # fmt: skip
def test_forged_tensors(tmp_path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    save(tmp_path)
    sealed(tmp_path, change((tmp_path / TENSORS_NAME).read_bytes()))
    with pytest.raises(ModelFileError, match=reason):
        load_model(tmp_path)


def test_flipped_bit_in_a_tensor(tmp_path: Path) -> None:
    save(tmp_path)
    data = bytearray((tmp_path / TENSORS_NAME).read_bytes())
    data[-3] ^= 1
    (tmp_path / TENSORS_NAME).write_bytes(data)
    with pytest.raises(ModelFileError, match="checksum differs"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", [JSON_NAME, TENSORS_NAME])
def test_files_that_are_elsewhere(tmp_path: Path, name: str) -> None:
    save(tmp_path / "m")
    file = tmp_path / "m" / name
    file.rename(tmp_path / "outside")
    with pytest.raises(ModelFileError, match=f"{name}: is missing"):
        load_model(tmp_path / "m")
    file.symlink_to(tmp_path / "outside")
    with pytest.raises(ModelFileError, match="link that leads out of the folder"):
        load_model(tmp_path / "m")
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(ModelFileError, match="is missing"):
        load_model(tmp_path / "m")
    file.unlink()
    file.mkdir()
    with pytest.raises(ModelFileError, match="is not a file"):
        load_model(tmp_path / "m")
    file.rmdir()
    os.mkfifo(file)
    with pytest.raises(ModelFileError, match="is not a file"):
        load_model(tmp_path / "m")
    file.unlink()
    (tmp_path / "outside").rename(tmp_path / "m" / "inside")
    file.symlink_to("inside")
    assert load_model(tmp_path / "m").name == "tiny"


def test_a_folder_reached_by_a_link_is_fine(tmp_path: Path) -> None:
    save(tmp_path / "m")
    (tmp_path / "link").symlink_to(tmp_path / "m")
    assert load_model(tmp_path / "link").classes == ("bolt", "nut")


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    with pytest.raises(ModelFileError, match=r"best\.pt: is a file; a model is a folder"):
        load_model(tmp_path / "best.pt")
    with pytest.raises(ModelFileError, match="does not exist"):
        load_model(tmp_path / "none")
    with pytest.raises(ModelFileError, match="cannot be written"):
        save(tmp_path / "best.pt")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([JSON_NAME, TENSORS_NAME]), st.floats(0, 0.999), st.integers(0, 255), st.booleans())
def test_any_byte_changed_or_cut(tmp_path: Path, name: str, at: float, value: int, cut: bool) -> None:
    if not (tmp_path / JSON_NAME).exists():
        save(tmp_path)
    good = (tmp_path / name).read_bytes()
    index = int(at * len(good))
    (tmp_path / name).write_bytes(good[:index] if cut else good[:index] + bytes([value]) + good[index + 1 :])
    try:
        load_model(tmp_path)
    except ModelFileError:
        pass
    else:  # a digit of a setting that fits as well, a blank, the same byte
        assert name == JSON_NAME or value == good[index]
    finally:
        (tmp_path / name).write_bytes(good)


def test_strict_names_what_it_wanted() -> None:
    with pytest.raises(StrictError, match="here should be an object, is null"):
        typed_json.check_keys(None, set(), "here")
    assert typed_json.parse(typed_json.dump({"a": float("inf"), "b": (1, np.int64(2))}).encode()) == {
        "a": None,
        "b": [1, 2],
    }
