"""What every training run needs: a device, an optimiser, an average, a checkpoint, a clock."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

_KEEP_EVERY = 120  # seconds
_T = TypeVar("_T")


def device_of(name: str) -> torch.device:
    """Give a device by its name; `auto` is the GPU where there is one."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(found if name == "auto" else name)


def half_precision(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the hardware multiplies it.

    Emulated it is ten times slower than float32: 4.5 s against .41 s for 64 to 64 channels at
    128 x 128, batch 8, on one core with AVX2.
    """
    able = device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=able)


def ahead(draw: Callable[[], _T], device: torch.device) -> Iterator[_T]:
    """Yield what is drawn, moved to a device; the next one is drawn meanwhile."""
    # one thread of its own: a team of two would fight with the trainer's
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        following = pool.submit(draw)
        while True:
            drawn = following.result()
            following = pool.submit(draw)
            yield moved(drawn, device)


def moved(content: Any, device: torch.device) -> Any:
    """Move a tensor, or those in a dataclass, to a device."""
    if isinstance(content, Tensor):
        return content.to(device, non_blocking=True)
    if not dataclasses.is_dataclass(content):
        return content
    values = {f.name: moved(getattr(content, f.name), device) for f in dataclasses.fields(content)}
    return dataclasses.replace(content, **values)  # type: ignore[type-var]


class Training:
    """Models in training beside the running average of their weights.

    Goes on from the checkpoint when there is one.
    """

    def __init__(
        self, models: dict[str, nn.Module], checkpoint: Path, rate: float, device: torch.device
    ) -> None:
        self.models, self.device = nn.ModuleDict(models).to(device), device
        self.average = torch.optim.swa_utils.AveragedModel(
            self.models, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
        )
        self.rate = rate
        learning = [p for p in self.models.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(learning, lr=rate, weight_decay=1e-3)
        self.checkpoint = checkpoint
        self.steps = 0
        self._mean: dict[str, float] = {}
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=self.device, weights_only=True)
            if "optimiser" not in state:  # unpacked: weights alone
                self.start_from(checkpoint)
                return
            self.models.load_state_dict(state["models"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.steps = state["steps"]

    def start_from(self, checkpoint: Path, which: str = "models") -> None:
        """Take over what fits of another run's weights, whatever its styles, shape or stage."""
        state = torch.load(checkpoint, map_location=self.device, weights_only=True)[which]
        weights = {key.removeprefix("module."): value for key, value in state.items()}
        own = self.models.state_dict()
        own |= {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
        self.models.load_state_dict(own)
        self.average.module.load_state_dict(own)

    def clock(self, minutes: float, what: str) -> Iterator[float]:
        """Yield the share of the time that has passed, once a step; show it, keep checkpoints."""
        started = kept = time.monotonic()
        with tqdm(unit="step", desc=what, initial=self.steps) as progress:
            while (elapsed := (time.monotonic() - started) / 60) < minutes:
                yield elapsed / minutes
                progress.update()
                shown = {name: f"{value:.4f}" for name, value in self._mean.items()}
                progress.set_postfix(shown, refresh=False)
                if time.monotonic() - kept > _KEEP_EVERY:
                    kept = time.monotonic()
                    self.save()
        self.save()

    def step(self, losses: dict[str, Tensor], share: float) -> None:
        """Learn from a sum of losses. The rate rises at first and falls over the last half."""
        rate = self.rate * min(1.0, (self.steps + 1) / 100) * min(1.0, 2.02 * (1 - share))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.models)
        self.steps += 1
        for name, loss in losses.items():
            value = loss.item()
            self._mean[name] = 0.98 * self._mean.get(name, value) + 0.02 * value

    def save(self) -> None:
        """Write everything that going on needs; never a half-written file."""
        partial = self.checkpoint.with_suffix(".tmp")
        state = {"models": self.models.state_dict(), "average": self.average.state_dict(),
                 "optimiser": self.optimiser.state_dict(), "steps": self.steps}  # fmt: skip
        torch.save(state, partial)
        partial.rename(self.checkpoint)
