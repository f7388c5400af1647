"""Opus into AAC: what a peer sends cannot end it."""

import io
import random

import av

from streams.sinks.live_sound import AacEncoder
from tests.streams.clicks import Voice


def test_packets_that_do_not_decode_leave_silence_and_end_nothing() -> None:
    file, voice, dice = io.BytesIO(), Voice(), random.Random(1)
    container = av.open(file, "w", format="mpegts")
    sound = AacEncoder(container)
    container.start_encoding()
    for number in range(150):
        good = voice.packet(number)
        sound.write(dice.randbytes(200) if 50 <= number < 70 else good, number / 50)
    sound.close()
    container.close()
    assert sound.bytes > 1000
    file.seek(0)
    with av.open(file) as came:
        seconds = sum(frame.samples for frame in came.decode(audio=0)) / 48000
        assert abs(seconds - 3) < 0.1
