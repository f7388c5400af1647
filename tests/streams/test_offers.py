"""What an offer says where aiortc reads less in it, and what is refused with its reason."""

from typing import Literal

import pytest
from aiortc.codecs import CODECS
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from streams.aiortc_patches import offers
from streams.errors import OfferRefused
from streams.peer import check_offer

_BASELINE = "packetization-mode=1;profile-level-id=42e01f"


def offer(video: str, *lines: str, session: str = "", audio: str = "") -> str:
    """Make an offer of one video whose payload types are `video`, and of one sound if asked."""
    head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *([session] if session else [])]
    common = [
        "c=IN IP4 0.0.0.0", "a=rtcp-mux", "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv",
        "a=fingerprint:sha-256 " + ":".join(["00"] * 32), "a=setup:actpass",
    ]  # fmt: skip
    media = [f"m=video 9 UDP/TLS/RTP/SAVPF {video}", *common, "a=mid:0", *lines]
    if audio:
        media += ["m=audio 9 UDP/TLS/RTP/SAVPF 111", *common, "a=mid:1", f"a=rtpmap:111 {audio}"]
    return "\r\n".join([*head, *media, ""])


def h264(payload_type: int, parameters: str = _BASELINE) -> tuple[str, str]:
    return f"a=rtpmap:{payload_type} H264/90000", f"a=fmtp:{payload_type} {parameters}"


def agreed(text: str) -> list[RTCRtpCodecParameters]:
    """Give what both speak of an offer's video."""
    return offers.common_codecs(CODECS["video"], offers.parse(text).media[0].rtp.codecs)


def types(text: str) -> list[int | None]:
    return [codec.payloadType for codec in agreed(text)]


def test_the_order_of_the_m_line_is_the_preference() -> None:
    lines = ("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", *h264(102))
    assert types(offer("102 96 97", *lines)) == [102, 96, 97]
    assert types(offer("97 96 102", *lines)) == [96, 97, 102]


def test_a_retransmission_may_be_described_before_what_it_repeats() -> None:
    lines = ("a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", "a=rtpmap:96 VP8/90000")
    assert types(offer("96 97", *lines)) == [96, 97]


def test_what_the_m_line_does_not_list_is_not_offered() -> None:
    assert types(offer("102", "a=rtpmap:96 VP8/90000", *h264(102))) == [102]


def test_payload_types_below_96_keep_their_number() -> None:
    assert types(offer("39", *h264(39))) == [39]


def test_names_of_codecs_are_known_in_either_case() -> None:
    text = offer("96", "a=rtpmap:96 vp8/90000", "a=recvonly")
    check_offer(text, "receive")
    assert types(text) == [96]


@pytest.mark.parametrize("gap", ["; ", ";", " ; "])
def test_a_space_between_parameters_changes_nothing(gap: str) -> None:
    assert offers.parameters(f"apt=96{gap}profile-level-id=42e01f;") == {
        "apt": 96, "profile-level-id": "42e01f",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("session", "line", "expected"),
    [
        ("", "", "sendrecv"),
        ("a=recvonly", "", "recvonly"),
        ("a=recvonly", "a=sendonly", "sendonly"),
        ("a=inactive", "", "inactive"),
    ],
)
def test_a_direction_may_stand_in_the_session_or_nowhere(
    session: str, line: str, expected: str
) -> None:
    text = offer("96", "a=rtpmap:96 VP8/90000", *([line] if line else []), session=session)
    assert offers.parse(text).media[0].direction == expected


@pytest.mark.parametrize(
    "parameters",
    [
        "packetization-mode=1;profile-level-id=640028;sprop-parameter-sets=Zw==,aM4=",
        "packetization-mode=1;profile-level-id=4d001f",
        "profile-level-id=42e01f",
        "packetization-mode=0;profile-level-id=42e01f",
    ],
)
def test_any_h264_may_come_in_but_baseline_alone_goes_out(parameters: str) -> None:
    text = offer("102", *h264(102, parameters))
    check_offer(text, "send")
    given = offers.parameters(parameters)
    given.pop("sprop-parameter-sets", None)  # the sender's own
    assert agreed(text)[0].parameters == given
    wants: list[Literal["both", "receive"]] = ["both", "receive"]
    for each in wants:
        with pytest.raises(OfferRefused, match="packetization-mode=1 with") as refused:
            check_offer(text, each)
        assert refused.value.code == "no_codec"
        assert f"profile-level-id={given['profile-level-id']}'" in refused.value.detail


def test_what_can_go_out_comes_first_whatever_is_preferred() -> None:
    lines = (*h264(39, "packetization-mode=0"), *h264(102), "a=rtpmap:96 VP8/90000")
    text = offer("39 102 96", *lines)
    check_offer(text, "receive")
    assert types(text) == [102, 96, 39]


@pytest.mark.parametrize("parameters", ["packetization-mode=2", "profile-level-id=zz"])
def test_h264_that_nobody_decodes_here_is_refused(parameters: str) -> None:
    with pytest.raises(OfferRefused, match=r"of H\.264 packetization-mode 0 or 1"):
        check_offer(offer("102", *h264(102, parameters)), "send")


def test_sound_without_a_codec_of_ours_is_named() -> None:
    text = offer("96", "a=rtpmap:96 VP8/90000", audio="mpeg4-generic/48000/2")
    with pytest.raises(OfferRefused, match=r"\['audio/mpeg4-generic'\]; one of audio/opus"):
        check_offer(text, "send")


@pytest.mark.parametrize(
    ("wants", "direction", "needed"),
    [
        ("receive", "inactive", "recvonly or sendrecv"),
        ("receive", "sendonly", "recvonly or sendrecv"),
        ("send", "inactive", "sendonly or sendrecv"),
        ("both", "inactive", "sendrecv or sendonly or recvonly"),
    ],
)
def test_a_wrong_direction_is_told_with_the_right_ones(
    wants: Literal["both", "send", "receive"], direction: str, needed: str
) -> None:
    with pytest.raises(OfferRefused, match=f"video is {direction}; it must be {needed}$"):
        check_offer(offer("96", "a=rtpmap:96 VP8/90000", f"a={direction}"), wants)
