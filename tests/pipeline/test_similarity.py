import numpy as np
import pytest

from pipeline.similarity import MOST_SKIPS, SimilarityFilter


def pair(similarity: float) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures of a given cosine similarity in -1 .. 1, to a grey level."""
    random = np.random.default_rng(0)
    one = random.normal(size=(128, 128, 3))
    other = random.normal(size=one.shape)
    mixed = similarity * one + (1 - similarity**2) ** 0.5 * other
    return tuple((np.clip(127.5 + 30 * x, 0, 255)).round().astype(np.uint8) for x in (one, mixed))


def rate(similarity: float, eta: float, draws: int) -> float:
    """The share of skips when each frame is as unlike the last processed one."""
    one, other = pair(similarity)
    skipped = 0
    for seed in range(draws):
        similar = SimilarityFilter(seed)
        similar.skips(one, eta)
        skipped += similar.skips(other, eta)
    return skipped / draws


@pytest.mark.parametrize(
    ("similarity", "eta", "share"), [(0.99, 0.98, 0.5), (0.995, 0.98, 0.75), (0.985, 0.98, 0.25)]
)
def test_frames_are_skipped_as_often_as_the_paper_says(
    similarity: float, eta: float, share: float
) -> None:
    assert rate(similarity, eta, 2000) == pytest.approx(share, abs=0.03)


def test_what_is_unlike_is_never_skipped_and_what_is_equal_nearly_always() -> None:
    assert rate(0.97, 0.98, 100) == 0
    assert rate(1.0, 0.98, 100) == 1


@pytest.mark.parametrize("eta", [0.0, 1.0, 1.5])
def test_off_is_off(eta: float) -> None:
    one, _ = pair(1.0)
    similar = SimilarityFilter()

    assert not any(similar.skips(one, eta) for _ in range(20))


def test_a_still_picture_is_processed_again_after_most_skips() -> None:
    one, _ = pair(1.0)
    similar = SimilarityFilter()

    skips = [similar.skips(one, 0.98) for _ in range(30)]

    assert skips == ([False] + [True] * (MOST_SKIPS + 1)) * 2 + [False] + [True] * 5


def test_every_processed_frame_starts_the_count_of_skips_anew() -> None:
    """T1.6: also one that another picture caused; StreamDiffusion's count goes on over it."""
    one, other = pair(1.0)[0], pair(0.0)[1]
    similar = SimilarityFilter()

    shown = [one] * 8 + [other] * 30
    skips = [similar.skips(image, 0.98) for image in shown]

    assert skips[:9] == [False] + [True] * 7 + [False]
    assert skips[9 : 9 + MOST_SKIPS + 2] == [True] * (MOST_SKIPS + 1) + [False]


def test_small_changes_add_up_against_the_last_processed_frame() -> None:
    """Each frame is like its neighbour; compared with that one, motion would never be seen."""
    random = np.random.default_rng(1)
    still = random.integers(0, 255, (128, 256, 3), np.uint8)
    similar = SimilarityFilter()

    skips = [similar.skips(still[:, i : i + 128], 0.5) for i in range(0, 12)]

    assert not skips[0]
    assert not all(skips[1:])
