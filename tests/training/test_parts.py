"""Schedule, average, order of draws, thresholds, state file."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from apiece.errors import ModelFileError
from apiece.training._data import Order, repeat_factors
from apiece.training._depthwise import Depthwise
from apiece.training._memory import reused
from apiece.training._report import grouped
from apiece.training._schedule import Average, Clock, Plan, learning_rate, parameter_groups, step_seed
from apiece.training.checkpoint import RunState, read_state, restore, write_state
from apiece.training.config import TrainConfig
from apiece.training.device import Hardware


def test_progress_is_the_further_of_steps_and_time() -> None:
    assert Plan(100, None).progress(50, 1e9, 0) == 0.5
    assert Plan(None, 100).progress(50, 45, 10) == 0.5
    assert Plan(100, 100).progress(60, 45, 10) == 0.6
    assert Plan(None, 100).progress(5, 91, 10) == 1.0
    assert Plan(None, 5).progress(5, 1, 10) == 1.0  # no time left for training at all
    assert Plan(None, 5).progress(4, 1, 10) < 1.0  # some steps are always taken
    assert Plan(2, 5).progress(2, 1, 10) == 1.0


def test_a_clock_counts_from_the_first_step() -> None:
    clock = Clock()
    time.sleep(0.02)
    assert clock.seconds == 0.0
    clock.add(10.0)
    assert clock.seconds == 10.0
    clock.start()
    time.sleep(0.02)
    clock.start()  # every step calls it
    assert 10.02 <= clock.seconds < 20.0


def test_learning_rate_rises_then_anneals_fully() -> None:
    rates = [learning_rate(1.0, step, 10, step / 1000) for step in range(1001)]
    assert np.argmax(rates) == pytest.approx(10, abs=1)
    assert rates[0] < 0.11
    assert rates[-1] == pytest.approx(0.01)
    assert (np.diff(rates[11:]) <= 0).all()
    # a warm-up longer than the run still ends
    assert learning_rate(1.0, 10, 1000, 0.1) > 0.9


def test_average_forgets_the_beginning() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(module, 0.9)
    with torch.no_grad():
        module[0].weight.fill_(5.0)
        module[1].num_batches_tracked += 3
    for step in range(1, 200):
        average.update(module, step)
    assert torch.allclose(average.module[0].weight, torch.tensor(5.0))  # type: ignore[index,arg-type]
    assert average.module[1].num_batches_tracked == 3  # type: ignore[index]
    still = Average(module, 0.0)
    still.update(module, 1)
    assert torch.equal(still.module[0].weight, module[0].weight)  # type: ignore[index,arg-type]


def test_only_weights_decay() -> None:
    groups = parameter_groups(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), 0.1)
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert [len(g["params"]) for g in groups] == [1, 3]  # type: ignore[arg-type]


def test_step_seeds_differ() -> None:
    assert len({step_seed(seed, step) for seed in range(5) for step in range(2000)}) == 10000


@given(images=st.integers(1, 9), batch=st.integers(1, 7), start=st.integers(0, 12), seed=st.integers(0, 3))
@settings(max_examples=30)
def test_order_can_begin_anywhere(images: int, batch: int, start: int, seed: int) -> None:
    factors = np.linspace(1.0, 1.7, images)
    whole = list(itertools.islice(Order(factors, batch, seed), 20))
    assert list(itertools.islice(Order(factors, batch, seed, start), 20 - start)) == whole[start:]
    assert [d.step for draws in whole for d in draws] == [s for s in range(20) for _ in range(batch)]


def test_each_epoch_shows_every_image() -> None:
    order = Order(np.ones(7), 7, 0)
    for draws in itertools.islice(order, 5):
        assert sorted(d.index for d in draws) == list(range(7))
    twice = Order(np.array([1.0, 2.5]), 1, 0)
    shown = np.concatenate([twice.epoch(n) for n in range(400)])
    assert np.bincount(shown)[1] / 400 == pytest.approx(2.5, abs=0.1)


def test_rare_classes_are_drawn_more_often() -> None:
    counts = np.zeros((10, 3), np.int64)
    counts[:, 0] = 3
    counts[:5, 1] = 1
    counts[9, 2] = 1
    factors = repeat_factors(counts)
    assert factors[:9].tolist() == [1.0] * 9
    assert factors[9] == pytest.approx(np.sqrt(5))


def test_losses_are_grouped() -> None:
    sums = grouped({"box_a": 1.0, "box_b": 2.0, "mask": 4.0})
    assert sums == {"loss": 7.0, "box": 3.0, "class": 0.0, "mask": 4.0}


def _run(seed: int) -> tuple[nn.Module, Average, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(parameter_groups(module, 0.1), lr=0.1)
    module(torch.rand(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    return module, Average(module, 0.9), optimizer


def test_state_and_back(tmp_path: Path) -> None:
    path = tmp_path / "last" / "state.safetensors"
    module, average, optimizer = _run(0)
    state = RunState(step=7, seconds=1.5, best=0.25, config={"lr": 0.1}, fingerprint="x")
    write_state(path, state, module, average.module, optimizer)
    other, other_average, other_optimizer = _run(1)
    read, tensors = read_state(path)
    restore(path, tensors, other, other_average.module, other_optimizer)
    assert read == state
    assert [p.name for p in path.parent.iterdir()] == ["state.safetensors"]
    for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    mine, theirs = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    assert all(torch.equal(mine[i][k], theirs[i][k]) for i in mine for k in mine[i])


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    module, average, optimizer = _run(0)
    with pytest.raises(ModelFileError, match="no saved state"):
        read_state(path)
    write_state(path, RunState(), module, average.module, optimizer)
    whole = path.read_bytes()
    for broken in (b"", whole[:50], whole[:-20], b"\x80\x04" + whole[2:], whole.replace(b"skipped", b"skopped")):
        path.write_bytes(broken)
        with pytest.raises(ModelFileError):
            read_state(path)
    path.write_bytes(whole)
    _, tensors = read_state(path)
    with pytest.raises(ModelFileError, match="does not fit"):
        restore(path, tensors, nn.Linear(2, 2), average.module, optimizer)


@pytest.mark.parametrize(("crop", "batch"), [(192, 8), (320, 8), (384, 5), (640, 2), (1024, 2)])
def test_a_cpu_takes_fewer_large_crops_at_once(crop: int, batch: int) -> None:
    hardware = Hardware.choose(TrainConfig(device="cpu"))
    assert hardware.batch(crop) == batch


def test_convolutions_in_groups_stay_in_float32() -> None:
    layer, mixed = nn.Conv2d(4, 4, 3, stride=2, groups=4), nn.Conv2d(4, 4, 1)
    images = torch.rand(1, 4, 9, 9, generator=torch.manual_seed(0))
    with Hardware(torch.device("cpu"), "bf16-mixed", 0, None).convolving(), torch.autocast("cpu", torch.bfloat16):
        wide, narrow = layer(images.bfloat16()), mixed(images)
    assert wide.dtype == torch.float32
    assert torch.equal(wide, layer(images.bfloat16().float()))  # nothing of it was rounded
    assert narrow.dtype == torch.bfloat16
    wide.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    for precision in ("32-true", "bf16-mixed"):
        elsewhere = Hardware(torch.device("cpu" if precision == "32-true" else "meta"), precision, 0, None)
        assert not isinstance(elsewhere.convolving(), Depthwise)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_memory_that_is_freed_is_used_again_and_given_back_at_the_end() -> None:
    import resource

    def pages() -> int:
        """Pages in memory."""
        return int(Path("/proc/self/statm").read_text().split()[1])

    new = []
    with reused():
        for _ in range(5):  # of malloc alone: what torch asks for is aligned, and glibc finds room for it by chance
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            np.ones(1 << 25)
            new.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        kept = pages()
    block = (1 << 28) // resource.getpagesize()
    assert max(new[1:]) < block // 100
    assert kept - pages() > block // 2
