"""The search for what the flow lost (T3.2, T3.3, T3.6, T3.7 with the search on)."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from pipeline.deflicker import Deflicker, LatentMotion, along
from pipeline.nearest_neighbours import REACH, SHARE, fill, nearest

SIDE = 16


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def brute_force(
    guide: NDArray[np.float32], past: NDArray[np.float32], reach: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Compare the patch of each cell with all near by; give which is the likest, and how far."""
    height, width = guide.shape[1:]
    own, others = (
        sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1)), "edge"), (3, 3), (1, 2))
        for x in (guide, past)
    )
    found = np.empty((height, width), np.intp), np.empty((height, width), np.float32)
    for y, x in np.ndindex(height, width):
        rows = np.arange(max(0, y - reach), min(height, y + reach + 1))
        columns = np.arange(max(0, x - reach), min(width, x + reach + 1))
        near = others[:, rows[:, None], columns]  # channels, rows, columns, 3, 3
        distances = np.square(near - own[:, y, x][:, None, None]).mean((0, 3, 4))
        v, u = np.unravel_index(distances.argmin(), distances.shape)
        found[0][y, x] = rows[v] * width + columns[u]
        found[1][y, x] = distances[v, u]
    return found


@pytest.mark.parametrize("reach", [1, 4])
def test_the_search_finds_what_brute_force_finds_for_every_cell(reach: int) -> None:
    """T3.7."""
    guide, past = drawn(0, 2, 4, SIDE, SIDE), drawn(1, 2, 4, SIDE, SIDE)

    where, distance = nearest(guide, past, torch.arange(SIDE * SIDE).expand(2, -1), reach)

    for row in range(2):
        place, apart = brute_force(guide[row].numpy(), past[row].numpy(), reach)
        assert np.array_equal(where[row].numpy(), place.ravel())
        np.testing.assert_allclose(distance[row].numpy(), apart.ravel(), atol=1e-4)


def test_sessions_in_a_batch_do_not_see_each_other() -> None:
    tensors = [drawn(n, 2, 4, SIDE, SIDE) for n in range(4)]
    trust = torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(9))
    together = fill(tensors[0], trust, *tensors[1:])

    for row in range(2):
        rows = slice(row, row + 1)
        alone = fill(tensors[0][rows], trust[rows], *(t[rows] for t in tensors[1:]))
        for one, other in zip(alone, together, strict=True):
            assert torch.allclose(one, other[rows], atol=1e-6)


def test_what_moved_by_whole_cells_is_found_where_the_flow_was_lost() -> None:
    scene = drawn(0, 1, 4, SIDE, SIDE + 3)
    style = drawn(1, 1, 8, SIDE, SIDE + 3)
    trust = torch.ones(1, 1, SIDE, SIDE)
    trust[..., 6:9, 6:9] = 0

    moved, sure = fill(
        torch.zeros(1, 8, SIDE, SIDE), trust, style[..., :-3], scene[..., 3:], scene[..., :-3]
    )

    lost = (..., slice(6, 9), slice(6, 9))
    assert torch.equal(moved[lost], style[..., 3:][lost])
    assert float(sure[lost].min()) > 0.999


def test_only_the_most_doubtful_cells_are_searched_for() -> None:
    past, trust = drawn(0, 1, 4, SIDE, SIDE), torch.rand(1, 1, SIDE, SIDE)
    moved, _ = fill(torch.zeros(1, 4, SIDE, SIDE), trust, past, past, past)

    touched = moved.abs().sum(1) > 0
    assert int(touched.sum()) <= SIDE * SIDE // SHARE
    assert float(trust[:, 0][touched].max()) <= float(trust.flatten().sort()[0][SIDE * SIDE // 8])


class TestInTheFilter:
    def motion(self, trust: Tensor) -> LatentMotion:
        return along(np.zeros((2, SIDE, SIDE), np.float32), trust[0].numpy(), torch.device("cpu"))

    def test_equal_frames_pass_bit_for_bit(self) -> None:
        steady, frame, guide = Deflicker(), drawn(0, 1, 4, SIDE, SIDE), drawn(1, 1, 4, SIDE, SIDE)
        trust = torch.rand(1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))

        for _ in range(20):
            assert torch.equal(steady(frame, self.motion(trust), 1.0, "ink", guide), frame)

    def test_what_came_into_view_takes_its_value_at_once(self) -> None:
        steady, scene, guide = Deflicker(), drawn(0, 1, 4, SIDE, SIDE), drawn(1, 1, 4, SIDE, SIDE)
        for _ in range(3):
            steady(scene, self.motion(torch.ones(1, SIDE, SIDE)), 1.0, "ink", guide)
        trust = torch.ones(1, SIDE, SIDE)
        trust[:, 4:7, 4:7] = 0
        new, new_guide = scene.clone(), guide.clone()
        new[..., 4:7, 4:7] = drawn(2, 1, 4, 3, 3)
        new_guide[..., 4:7, 4:7] = drawn(3, 1, 4, 3, 3)

        shown = steady(new, self.motion(trust), 1.0, "ink", new_guide)

        gap, error = (new - scene)[..., 4:7, 4:7].abs(), (shown - new)[..., 4:7, 4:7].abs()
        assert float((error / gap).median()) <= 0.05

    def test_masks_of_nothing_do_no_harm(self) -> None:
        steady, scene = Deflicker(), drawn(0, 1, 4, SIDE, SIDE)
        unknown = np.full((2, SIDE, SIDE), np.nan, np.float32)
        nowhere = along(unknown, np.zeros((SIDE, SIDE), np.float32), torch.device("cpu"))
        steady(scene, None, 1.0, "ink", drawn(1, 1, 4, SIDE, SIDE))

        shown = steady(scene + 1, nowhere, 1.0, "ink", drawn(2, 1, 4, SIDE, SIDE))

        assert torch.isfinite(shown).all()
        assert REACH < SIDE
