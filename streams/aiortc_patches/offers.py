"""What an SDP offer says where aiortc reads less in it, and what both sides can speak."""

import copy
import dataclasses

from aiortc import rtcpeerconnection, sdp
from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcrtpparameters import ParametersDict, RTCRtpCodecParameters

_parse, _parameters = sdp.SessionDescription.parse, sdp.parameters_from_sdp
_AGREED = ("level-asymmetry-allowed", "packetization-mode", "profile-level-id")
TAKEN = "packetization-mode 0 or 1"
SENT = "packetization-mode=1 with profile-level-id=42001f or 42e01f"  # as aiortc's table has it
_BASELINES = (sdp.H264Profile.PROFILE_BASELINE, sdp.H264Profile.PROFILE_CONSTRAINED_BASELINE)


def parse(text: str) -> sdp.SessionDescription:
    """Parse SDP in place of aiortc's method; raises whatever that raises.

    aiortc takes the order of the rtpmap lines for the other side's preference, which stands in the
    m= line, and fails later where no direction is given for a medium (RFC 8866 section 6.7: that
    of the session, else sendrecv).
    """
    described = _parse(text)
    session, _ = sdp.grouplines(text)
    given = [line[2:].strip() for line in session if line.startswith("a=")]
    direction = next((word for word in given if word in sdp.DIRECTIONS), "sendrecv")
    for media in described.media:
        if media.kind in CODECS:
            media.direction = media.direction or direction
            media.rtp.codecs = _preferred_first(media)
    return described


def parameters(text: str) -> ParametersDict:
    """Read a fmtp line in place of aiortc's function, which keeps the space after a semicolon.

    What must have a value and has none is as if it were not there: aiortc would fail over it.
    """
    read = _parameters(";".join(part.strip() for part in text.split(";") if part.strip()))
    return {key: value for key, value in read.items() if value is not None or key not in _AGREED}


def common_codecs(
    ours: list[RTCRtpCodecParameters], theirs: list[RTCRtpCodecParameters]
) -> list[RTCRtpCodecParameters]:
    """Find what both speak, in the other side's order, what we can send first.

    In place of aiortc's function, which of H.264 takes what aiortc itself makes: the baseline
    profiles with packetization-mode 1. Whatever FFmpeg decodes may come in. And it gives payload
    types below 96, where Chrome has more codecs than fit above, a number of its own.
    """
    common: dict[int | None, RTCRtpCodecParameters] = {}
    for codec in theirs:
        agreed = _agreed(ours, common, codec)
        if agreed is not None:
            common[codec.payloadType] = agreed
    sent = {payload_type for payload_type, codec in common.items() if can_send(codec)}
    return sorted(common.values(), key=lambda codec: _base(codec) not in sent)


def can_send(codec: RTCRtpCodecParameters) -> bool:
    """Say whether our encoders make what a codec's parameters ask for."""
    if codec.mimeType.lower() != "video/h264":
        return not is_rtx(codec)
    profile = str(codec.parameters.get("profile-level-id", "42e01f"))
    return (
        codec.parameters.get("packetization-mode") == "1"
        and sdp.parse_h264_profile_level_id(profile)[0] in _BASELINES
    )


def described(media: sdp.MediaDescription) -> list[str]:
    """Name the codecs of a section for whoever reads why it was refused."""
    return sorted({_name(codec) for codec in media.rtp.codecs if not is_rtx(codec)})


def _name(codec: RTCRtpCodecParameters) -> str:
    if codec.mimeType.lower() != "video/h264":
        return codec.mimeType
    told = [f"{key}={codec.parameters[key]}" for key in _AGREED[1:] if key in codec.parameters]
    return " ".join([codec.mimeType, *told])


def _base(codec: RTCRtpCodecParameters) -> object:
    """Give the payload type of what a retransmission repeats, else a codec's own."""
    return codec.parameters.get("apt") if is_rtx(codec) else codec.payloadType


def _preferred_first(media: sdp.MediaDescription) -> list[RTCRtpCodecParameters]:
    """Order codecs as the m= line does, retransmissions behind theirs; others are not offered."""
    places: dict[object, int] = {one: place for place, one in enumerate(media.fmt)}

    def place(codec: RTCRtpCodecParameters) -> tuple[int, bool]:
        return places.get(_base(codec), len(places)), is_rtx(codec)

    return sorted((c for c in media.rtp.codecs if c.payloadType in places), key=place)


def _agreed(
    ours: list[RTCRtpCodecParameters],
    common: dict[int | None, RTCRtpCodecParameters],
    codec: RTCRtpCodecParameters,
) -> RTCRtpCodecParameters | None:
    """Give what an answer says of a codec of theirs; None: that we do not speak it."""
    if is_rtx(codec):
        return copy.deepcopy(codec) if _base(codec) in common else None
    for own in ours:
        if rtcpeerconnection.is_codec_compatible(own, codec):
            return _answering(own, codec, own.parameters)
    for own in ours:
        if own.mimeType == "video/H264" and _decodes(codec):
            return _answering(
                own, codec, {k: v for k, v in codec.parameters.items() if k in _AGREED}
            )
    return None


def _decodes(codec: RTCRtpCodecParameters) -> bool:
    """Say whether FFmpeg decodes a codec, if it is H.264 of another profile than ours."""
    if codec.mimeType.lower() != "video/h264":
        return False
    try:
        sdp.parse_h264_profile_level_id(str(codec.parameters.get("profile-level-id", "42e01f")))
    except ValueError:
        return False
    return codec.parameters.get("packetization-mode", "0") in ("0", "1")  # 2: interleaved


def _answering(
    own: RTCRtpCodecParameters, theirs: RTCRtpCodecParameters, parameters: ParametersDict
) -> RTCRtpCodecParameters:
    feedback = [one for one in own.rtcpFeedback if one in theirs.rtcpFeedback]
    return dataclasses.replace(
        own, payloadType=theirs.payloadType, rtcpFeedback=feedback, parameters=dict(parameters)
    )
