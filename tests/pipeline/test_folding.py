import torch
from diffusers.models.upsampling import Upsample2D
from torch import nn

from pipeline.models.folding import fold_upsampling


def test_a_folded_upsampling_gives_the_same_at_borders_too() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(Upsample2D(6, use_conv=True, out_channels=5)).double()
    picture = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    with torch.inference_mode():
        wanted = plain(picture)

        assert fold_upsampling(plain) == 1
        torch.testing.assert_close(plain(picture), wanted)
        odd = plain[0](picture, output_size=(13, 17))  # where a level did not halve evenly

    assert odd.shape == (2, 5, 13, 17)


def test_what_is_no_doubling_with_a_convolution_stays() -> None:
    others = nn.Sequential(
        Upsample2D(4, use_conv=False),
        Upsample2D(4, use_conv_transpose=True),
        Upsample2D(4, use_conv=True, norm_type="ln_norm", eps=1e-6),
        nn.Conv2d(4, 4, 3),
    )

    assert fold_upsampling(others) == 0
    assert isinstance(others[0], Upsample2D)
