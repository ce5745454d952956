"""One training step after another: gradients, weights, average, validation, saving. Lightning calls `training_step`."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor

from apiece.errors import ApieceError, Option, TrainingError
from apiece.predict.pipeline import unless_memory_runs_out
from apiece.training._data import Batch
from apiece.training._report import Report, grouped
from apiece.training._run import Run
from apiece.training._schedule import LEAST, learning_rate, step_seed

log = logging.getLogger("apiece")

_SHARE = 0.1  # of the time budget, for validation
_LONGEST = 0.1  # of the time budget, for one validation but the last
_FIRST = 0.2  # of the time budget, before the first validation
_TIMES = 20  # validations in all, where nothing else is said
_FULL = Option("precision", "32")
_FEW = 100  # steps; a model learns little in fewer
_SKIPS = 10  # steps in a row whose gradient may overflow


class Loop(lightning.LightningModule):  # type: ignore[misc]  # Lightning is not typed
    """The training loop of one run, shown by a report."""

    def __init__(self, run: Run, report: Report) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.run, self.report, self.module = run, report, run.module
        self.config, self.clock, self.state = run.config, run.clock, run.state
        self._saved = run.clock.seconds

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer that `Run` made, so that its state could be restored."""
        return self.run.optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch; errors of the loader come through as they are."""
        return batch.to(device) if isinstance(batch, Batch) else batch

    def training_step(self, batch: Batch | ApieceError, _: int) -> None:
        """Take one step, and do whatever is due after it."""
        if isinstance(batch, ApieceError):
            raise batch
        state, config = self.state, self.config
        self.clock.start()
        progress = self._progress()
        lr = learning_rate(config.lr or 0.0, state.step, config.warmup or 0, progress)
        for group in self.run.optimizer.param_groups:
            group["lr"] = lr
        self.module.train()
        losses = self._gradients(batch)
        norm = self._step()
        state.step += 1
        self.run.average.update(self.module, state.step)

        progress = self._progress()
        values = {"lr": lr, **grouped(losses), "gradient": norm}
        self.report.step(state.step, values, epoch=self._epoch(), seconds=self.clock.seconds, progress=progress)
        done = progress >= 1.0
        validated = done or self._validation_due()
        if validated:
            self._validate(last=done)
        if config.patience is not None and state.stale >= config.patience:
            log.info("stopping early: no better mask AP in %d validations", state.stale)
            done = True
        if done or validated or self.clock.seconds - self._saved >= float(config.save_every):
            self.run.save_state()
            self._saved = self.clock.seconds
        if done:
            self._tell_short()
            self.trainer.should_stop = True

    def finish(self) -> None:
        """Give a run that had ended without a model its last validation, and so its model."""
        if self.state.best < 0:
            self._validate(last=True)
            self.run.save_state()

    def _tell_short(self) -> None:
        """Warn of a run that was too short to learn anything."""
        state, plan = self.state, self.run.plan
        if state.step >= _FEW or self.config.patience is not None:
            return
        longer = Option("epochs", math.ceil(_FEW / self.run.steps_per_epoch))
        if plan.seconds is not None and (plan.steps is None or state.step < plan.steps):
            needed = _FEW * (self.clock.seconds - state.cost) / state.step + 3 * state.cost
            longer = Option("max_time", f"{math.ceil(needed / 60)}m")
        taken = f"{state.step} step{'s' * (state.step != 1)}"
        log.warning(f"training ended after {taken}, too few to learn much; give at least " + longer)

    # --- gradients ----------------------------------------------------------------------------------------------------

    def _gradients(self, batch: Batch) -> dict[str, float]:
        """Compute gradients of the whole batch, in parts that fit into memory; the parts shrink until they do."""
        while True:
            # what is random in the network follows from the step, so that a resumed run draws the same
            torch.manual_seed(step_seed(self.config.seed, self.state.step))
            losses = unless_memory_runs_out(lambda: self._accumulate(batch))
            if losses is not None:
                return losses
            self.run.optimizer.zero_grad(set_to_none=True)
            if self.module_device.type == "cuda":
                torch.cuda.empty_cache()
            if self.state.micro == 1:
                raise TrainingError(
                    f"memory runs out with a single crop of {self.config.crop or batch.images.shape[-1]} px "
                    f"({', '.join(batch.names)}); lower " + Option("crop") + " or " + Option("imgsz") + ", "
                    "or choose a smaller model"
                )
            self.state.micro = -(-self.state.micro // 2)
            log.warning(
                "memory ran out: going on with %d crops at once, a step still sees %d",
                self.state.micro,
                len(batch.names),
            )

    def _accumulate(self, batch: Batch) -> dict[str, float]:
        count = len(batch.names)
        sums: dict[str, Tensor | float] = defaultdict(float)
        for first in range(0, count, self.state.micro):
            part = slice(first, min(first + self.state.micro, count))
            images = batch.images[part]
            if self.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            with self.run.hardware.convolving():
                losses: Mapping[str, Tensor] = self.run.architecture.loss(self.module, images, batch.targets[part])
            total = torch.stack([v.float() for v in losses.values()]).sum()
            if not torch.isfinite(total):
                raise self._not_a_number(losses, batch.names[part])
            share = len(batch.names[part]) / count
            self.manual_backward(total * share)
            for name, value in losses.items():
                sums[name] = sums[name] + value.detach().float() * share
        return {name: float(value) for name, value in sums.items()}

    @property
    def _lower(self) -> Option:
        """A lower learning rate to try, as an option."""
        return Option("lr", float(f"{(self.config.lr or 0.0) / 4:.2g}"))

    def _not_a_number(self, losses: Mapping[str, Tensor], names: list[str]) -> TrainingError:
        values = ", ".join(f"{name} {float(v.detach()):.3g}" for name, v in losses.items())
        longer = Option("warmup", 2 * (self.config.warmup or 0) + 200)
        ways = self._lower + ", " + longer + ", " + Option("clip", 1) + " or " + _FULL
        return TrainingError(
            f"the loss is not a finite number at step {self.state.step} ({values}) on crops of {', '.join(names)}. "
            "Try a lower learning rate, a longer warm-up or full precision: " + ways + "; if it comes again with the "
            f"same images, look at these. The best model so far, if any, is in {self.config.folder}."
        )

    def _step(self) -> float:
        """Change the weights; return the norm of the gradient."""
        weights = [p for group in self.run.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(weights, self.config.clip or float("inf"))
        if torch.isfinite(norm):
            self.state.skipped = 0
            self.optimizers().step()
        else:
            self.state.skipped += 1
            log.warning("the gradient overflowed at step %d; the weights stay as they are", self.state.step)
            if self.state.skipped >= _SKIPS:
                raise TrainingError(
                    f"the gradient overflowed in {_SKIPS} steps in a row; try " + self._lower + " or " + _FULL
                )
        self.run.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    # --- when ---------------------------------------------------------------------------------------------------------

    def _epoch(self) -> float:
        return self.state.step / self.run.steps_per_epoch

    def _progress(self) -> float:
        seconds = self.run.plan.seconds or 0.0
        known = 1.2 * self.state.cost * (1.0 + self.run.validate.edges_share) + 1.0
        reserve = known if self.state.cost else 0.03 * seconds
        return self.run.plan.progress(self.state.step, self.clock.seconds, reserve)

    def _validation_due(self) -> bool:
        state, plan = self.state, self.run.plan
        if self.config.val_every is not None or plan.seconds is None:
            # by steps, so that the same seed gives the same model
            least = 0 if plan.steps is None else -(-plan.steps // _TIMES)
            every = max(1, round((self.config.val_every or 1.0) * self.run.steps_per_epoch))
            return state.step % (every if self.config.val_every is not None else max(every, least)) == 0
        if state.step < LEAST:
            return False
        since, left = self.clock.seconds - state.validated, plan.seconds - self.clock.seconds
        if not state.cost:
            return since >= plan.seconds * _FIRST
        # right before the end it would only be done twice
        return since >= max(state.cost * (1 / _SHARE - 1), plan.seconds / _TIMES) and left > 3 * state.cost

    def _validate(self, last: bool) -> None:
        state, begin = self.state, self.clock.seconds
        seconds = self.run.plan.seconds
        limit = None if last or seconds is None else seconds * _LONGEST
        result = self.run.validate(self.run.average.module, limit)
        state.validated = self.clock.seconds
        state.cost = state.validated - begin
        if result is None:
            log.info("step %d: validation took too long and was broken off after %.0f s", state.step, state.cost)
            return
        state.stale = 0 if result.mask_ap > state.best else state.stale + 1
        if result.mask_ap >= state.best:  # of equals the one that has learned longer
            state.best, state.best_step = result.mask_ap, state.step
            self.run.save_best(result)
        self.report.validated(
            state.step, result.numbers, epoch=self._epoch(), seconds=self.clock.seconds, cost=state.cost
        )

    @property
    def module_device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def channels_last(self) -> bool:
        """Whether images go in with their channels last in memory, which convolutions on CPUs and GPUs like."""
        return self.module_device.type in ("cpu", "cuda")
