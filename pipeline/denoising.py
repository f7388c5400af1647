"""One step of the frames in flight: rows of a UNet call, and what its outputs make of each."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import guidance
from pipeline.backends.protocol import Networks
from pipeline.feature_bank import FeatureBank, Row
from pipeline.models.folder import ModelFolder
from pipeline.schedule import Schedule
from pipeline.slots import Slot


class Denoising:
    """Moves slots along a model's schedule. Knows nothing of who goes first."""

    def __init__(self, folder: ModelFolder, schedule: Schedule, bank: FeatureBank | None) -> None:
        self._schedule, self._bank = schedule, bank
        self._divisor = folder.source_divisor if folder.sees_source else None
        self.waits = False  # for a GPU to be done, so that a call can be timed

    def run(self, networks: Networks, slots: Sequence[Slot]) -> Float[Tensor, "r c h w"]:
        """Call the UNet once for the next step of all slots; their rows in order."""
        latents, timesteps, prompts = [], [], []
        for slot in slots:
            x = slot.x
            if self._divisor is not None:
                x = torch.cat([x, slot.source / self._divisor], 1)
            for prompt in (slot.prompt, slot.negative)[: slot.rows]:
                latents.append(x)
                timesteps.append(slot.steps[slot.index].timestep)
                prompts.append(prompt)
        with self._recall(slots):
            outputs = networks.denoise(torch.cat(latents), timesteps, torch.cat(prompts))
        if self.waits and outputs.is_cuda:
            # nosemgrep: device-wait-in-the-hot-path - the warm-up alone, which times it
            torch.cuda.synchronize(outputs.device)
        return outputs

    def _recall(self, slots: Sequence[Slot]) -> AbstractContextManager[None]:
        """Open the bank of features for the rows of a call, where there is one."""
        if self._bank is None:
            return nullcontext()
        return self._bank.rows(
            [
                Row(
                    slot.session,
                    slot.index,
                    part,
                    (slot.look, slot.scene, slot.x.shape),
                    slot.look.seed,
                )
                for slot in slots
                for part in range(slot.rows)
            ]
        )

    def predict(self, slot: Slot, outputs: Float[Tensor, "r c h w"]) -> Float[Tensor, "1 c h w"]:
        """Give the clean latent that a slot's rows stand for, guided."""
        clean = self._schedule.clean(outputs.float(), slot.x, slot.steps[slot.index])
        if slot.rows == 2:
            slot.reference = clean[1:]
        if slot.guidance == "none":
            return clean
        return guidance.guide(clean[:1], slot.reference, slot.scale)

    def move_on(self, slot: Slot, clean: Float[Tensor, "1 c h w"]) -> None:
        """Put the next step's noise on a slot's clean latent, or leave it clean after the last."""
        step = slot.steps[slot.index]
        slot.index += 1
        before, slot.x = slot.x, clean
        if not slot.done:
            after = slot.steps[slot.index]
            assert slot.noise is not None  # since `begin`
            noise = slot.noise[slot.index : slot.index + 1]
            if self._schedule.keeps_noise:
                noise = (before - step.a * clean) / step.b
            slot.x = after.a * clean + after.b * noise
