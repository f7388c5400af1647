"""Any sound → Opus in packets of 20 ms, as a browser would have sent it."""

from fractions import Fraction

import av

from streams.sound import CLOCK, PACKET, Sound

_RATE = 48_000  # of every Opus stream in RTP
_BITRATE = 128_000
_LOOKAHEAD = 312  # samples before a packet's own that libopus decodes first: its default
_APART = 0.03  # seconds that sound may be off its own times, which are rounded
_RATES, _CHANNELS = range(8_000, 192_001), range(1, 9)


class OpusPackets:
    """Encodes the sound of one source, across gaps and changes of rate and layout."""

    def __init__(self) -> None:
        self._encoder = av.CodecContext.create("libopus", "w")
        self._encoder.sample_rate, self._encoder.layout = _RATE, "stereo"
        self._encoder.format, self._encoder.time_base = "s16", CLOCK
        self._encoder.bit_rate = _BITRATE
        self._form: tuple[int, str, str] | None = None  # of what comes in
        self._begin(0.0, 0.0)

    def encode(self, frame: av.AudioFrame, at: float, due: float) -> list[Sound]:
        """Take sound that begins at second `at` of its source, and is due with its picture then.

        `due` is a time.monotonic(). Where `at` does not follow what came before, packets have a gap
        in their time, or go back: whoever passes them on drops those. What no encoder could use,
        as more than eight channels, gives nothing.
        """
        form = (frame.sample_rate, frame.format.name, frame.layout.name)
        if frame.sample_rate not in _RATES or frame.layout.nb_channels not in _CHANNELS:
            return []
        if form != self._form or abs(at - self._next) > _APART:
            self._form = form
            self._begin(at, due)
        frame.pts, frame.time_base = None, Fraction(1, frame.sample_rate)
        try:
            resampled = self._resampler.resample(frame)
        except (av.FFmpegError, ValueError):  # channels that nobody knows how to mix
            return []
        found = []
        for each in resampled:
            each.pts = None
            self._waiting.write(each)
        while (block := self._waiting.read(PACKET)) is not None:
            block.pts, block.time_base = self._pts, CLOCK
            pts = self._pts - _LOOKAHEAD
            begins = self._began + float((pts - self._first) * CLOCK)
            # one goes in, one comes out; its own time is a block behind after a gap
            found += [Sound(pts, due - at + begins, bytes(p)) for p in self._encoder.encode(block)]
            self._pts += PACKET
        return found

    def _begin(self, at: float, due: float) -> None:
        """Count anew from here, by our clock; what waited is less than a packet, and lost."""
        self._resampler = av.AudioResampler("s16", "stereo", _RATE)
        self._waiting = av.AudioFifo()
        self._began = at
        self._first = self._pts = round(due / CLOCK)

    @property
    def _next(self) -> float:
        """At which second of the source more sound is expected."""
        count = self._pts - self._first + self._waiting.samples
        return self._began + float(count * CLOCK)
