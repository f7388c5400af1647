"""Everything that reaches inside aiortc and aioice. Each part says what it mends and why.

The names that are replaced belong to the versions below; with any other version importing this
package fails, so that somebody looks at it again.
"""

from importlib.metadata import version

import aioice.ice
from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCRtpSender,
    RTCSctpTransport,
    rtcdtlstransport,
    rtcpeerconnection,
    rtcrtpreceiver,
    rtcrtpsender,
    rtcsctptransport,
    sdp,
)

from streams.aiortc_patches import (
    association,
    ice,
    identity,
    offers,
    receiving,
    sending,
    simulcast,
)
from streams.aiortc_patches.settings import TransportSettings, use
from streams.jitter import MarkerJitterBuffer, PatientNackGenerator

__all__ = ["TransportSettings", "install"]

_REVIEWED = {"aiortc": "1.16.", "aioice": "0.13."}
for _package, _start in _REVIEWED.items():
    if not version(_package).startswith(_start):
        raise ImportError(
            f"{_package} {version(_package)}: streams/aiortc_patches was written against "
            f"{_start}x; review it for this version, or `pip install '{_package}=={_start}*'`"
        )


def install(settings: TransportSettings) -> None:
    """Put every patch in place; may be called again with other settings."""
    use(settings)
    vars(rtcrtpreceiver)["JitterBuffer"] = MarkerJitterBuffer
    vars(rtcrtpreceiver)["NackGenerator"] = PatientNackGenerator
    vars(rtcrtpreceiver)["RemoteBitrateEstimator"] = receiving.FlooredEstimator
    vars(rtcrtpreceiver)["decoder_worker"] = receiving.decode_frames
    vars(rtcrtpsender)["get_encoder"] = sending.make_encoder
    setattr(RTCRtpSender, "_handle_rtcp_packet", sending.handle_feedback)  # noqa: B010 - a method of aiortc
    setattr(sdp.SessionDescription, "parse", staticmethod(offers.parse))  # noqa: B010 - the same
    vars(sdp)["parameters_from_sdp"] = offers.parameters
    vars(rtcpeerconnection)["find_common_codecs"] = offers.common_codecs
    vars(rtcdtlstransport)["RtpRouter"] = simulcast.LayerRouter
    setattr(RTCCertificate, "_create_ssl_context", identity.make_context)  # noqa: B010 - the same
    setattr(RTCDtlsTransport, "_validate_peer_identity", identity.validate_peer)  # noqa: B010 - the same
    setattr(RTCDtlsTransport, "_handle_rtp_data", receiving.take_rtp)  # noqa: B010 - the same
    setattr(RTCDtlsTransport, "_handle_rtcp_data", receiving.take_rtcp)  # noqa: B010 - the same
    vars(rtcsctptransport)["LOCAL_MAX_MESSAGE_SIZE"] = association.LONGEST_MESSAGE
    vars(rtcsctptransport)["parse_packet"] = association.parse_packet
    vars(rtcsctptransport)["decode_params"] = association.decode_params
    setattr(RTCSctpTransport, "_handle_data", association.take_packet)  # noqa: B010 - the same
    setattr(RTCSctpTransport, "_data_channel_flush", association.flush)  # noqa: B010 - the same
    setattr(RTCSctpTransport, "_receive", association.deliver)  # noqa: B010 - the same
    setattr(RTCSctpTransport, "_receive_sack_chunk", association.take_sack)  # noqa: B010 - the same
    aioice.ice.get_host_addresses = ice.host_addresses
    aioice.ice.Connection._add_remote_candidate = ice.add_remote_candidate
    aioice.ice.Connection._end_remote_candidates = ice.end_remote_candidates
    aioice.ice.get_or_create_mdns_protocol = ice.find_names
    aioice.ice.StunProtocol.datagram_received = ice.receive_datagram
