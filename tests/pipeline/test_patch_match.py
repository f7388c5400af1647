"""PatchMatch against slow exact references."""

import pytest
import torch
from torch import Tensor

from pipeline.patch_match import Search, columns, doubled, error, fetch, identity, match, remap

SIDE = 16
CPU = torch.device("cpu")


def drawn(seed: int, batch: int = 1, side: int = SIDE) -> Tensor:
    return 255 * torch.rand((batch, 3, side, side), generator=torch.Generator().manual_seed(seed))


def smooth(seed: int, side: int) -> Tensor:
    return torch.nn.functional.interpolate(
        drawn(seed, side=side // 4), (side, side), mode="bicubic"
    )


def wild(seed: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, SIDE, (batch, 2, SIDE, SIDE), generator=generator)


def slow_error(source: Tensor, target: Tensor, field: Tensor, patch: int) -> Tensor:
    found, reach = torch.zeros(SIDE, SIDE), patch // 2
    for y in range(SIDE):
        for x in range(SIDE):
            v, u = field[0, :, y, x].tolist()
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    colours = [
                        image[0, :, j, i] if 0 <= j < SIDE and 0 <= i < SIDE else torch.zeros(3)
                        for image, j, i in (
                            (source, v + dy, u + dx), (target, y + dy, x + dx)
                        )
                    ]  # fmt: skip
                    found[y, x] += (colours[0] - colours[1]).square().sum()
    return found


def slow_remap(style: Tensor, field: Tensor, patch: int) -> Tensor:
    shown, reach = torch.zeros(3, SIDE, SIDE), patch // 2
    for y in range(SIDE):
        for x in range(SIDE):
            votes = []
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= y + dy < SIDE and 0 <= x + dx < SIDE:
                        v, u = field[0, :, y + dy, x + dx].tolist()
                        if 0 <= v - dy < SIDE and 0 <= u - dx < SIDE:
                            votes.append(style[0, :, v - dy, u - dx])
            shown[:, y, x] = torch.stack(votes).mean(0)
    return shown


@pytest.mark.parametrize("patch", [3, 5])
def test_the_error_is_the_slow_one(patch: int) -> None:
    source, target, field = drawn(0), drawn(1), wild(2)

    found = error(field, columns(source, patch), columns(target, patch))

    assert torch.allclose(found[0, 0], slow_error(source, target, field, patch), rtol=1e-4)


def test_the_vote_is_the_slow_one() -> None:
    style, field = drawn(0), wild(1)

    assert torch.allclose(remap(style, field, 3)[0], slow_remap(style, field, 3), atol=1e-2)


def test_the_picture_onto_itself_is_itself() -> None:
    style, field = drawn(0), identity(1, SIDE, SIDE, CPU)

    assert torch.allclose(remap(style, field, 5), style, atol=1e-3)
    assert torch.equal(match(style, style, style, Search(least_patch=3, rounds=2)), field)


def test_a_match_comes_near_the_exact_one() -> None:
    """The exact one: every patch of the source compared with every one of the target."""
    scene = smooth(0, 40)
    source, target = scene[..., 4:36, 4:36], scene[..., 6:38, 1:33]
    field = match(source, target, source, Search(least_patch=3, guide_weight=1e6))

    there, here = columns(source, 3), columns(target, 3)
    exact = torch.cdist(here[0].T, there[0].T).square().min(1).values
    start = error(identity(1, 32, 32, CPU), there, here)
    found = error(field, there, here)
    left = float(found.mean() - exact.mean()) / float(start.mean() - exact.mean())
    assert 0 <= left < 0.05


def test_a_whole_shift_is_found_where_the_source_has_it() -> None:
    scene = smooth(1, 48)
    source, target = scene[..., :-5], scene[..., 5:]  # the picture moves five to the left
    field = match(source[..., :40, :40], target[..., :40, :40], source[..., :40, :40], Search())

    step = (field - identity(1, 40, 40, CPU))[..., 6:-6, 6:-12]
    assert float((step[:, 0] == 0).float().mean()) > 0.95
    assert float((step[:, 1] == 5).float().mean()) > 0.95


def test_items_of_a_batch_are_searched_apart() -> None:
    style, guide, goal = drawn(0, 2), drawn(1, 2), drawn(2, 2)
    search = Search(least_patch=3, rounds=2, random_steps=0)

    together = match(guide, goal, style, search)

    for row in range(2):
        rows = slice(row, row + 1)
        assert torch.equal(match(guide[rows], goal[rows], style[rows], search), together[rows])


def test_a_finer_field_keeps_the_motion() -> None:
    field = identity(1, 4, 4, CPU) + 1

    finer = doubled(field.clamp(max=3), (9, 9))

    assert torch.equal(finer[0, :, 2, 3], torch.tensor([4, 5]))
    assert finer.shape == (1, 2, 9, 9)
    assert int(finer.max()) <= 8


def test_the_same_seed_finds_the_same_field() -> None:
    given = (drawn(0), drawn(1), drawn(2))

    assert torch.equal(match(*given, Search(least_patch=3)), match(*given, Search(least_patch=3)))
    style = fetch(given[2], wild(3))
    assert torch.equal(style[0, :, 0, 0], given[2][0, :, *wild(3)[0, :, 0, 0].tolist()])
