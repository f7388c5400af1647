"""Makes wrong inputs out of right ones: a small seeded mutator over bytes."""

import random
from collections.abc import Sequence

_ODD = (
    b"", b"\x00", b"\xff" * 8, b"-1", b"0", b"4294967296", b"1e999", b"NaN", b"null", b"true", b'"',
    b"\\", b"\\ud800", b"\xf0\x9f\x8e\xa8", b"\xed\xa0\x80", b"{", b"[" * 64, b"}", b"\r\n", b"\n",
    b"\r\n\r\n", b"%00", b"../../", b"'", b"<script>", b" " * 64, b":", b"=", b"a=", b"m=", b"c=",
)  # fmt: skip
_MOST = 200_000  # bytes: larger ones only test the limit on size again and again


def mutate(sample: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Change one to eight things; `others` lend pieces."""
    found = bytearray(sample)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_STEPS)(found, others, chance)
    return bytes(found[:_MOST])


def _place(data: bytearray, chance: random.Random) -> slice:
    start = chance.randrange(len(data) + 1)
    return slice(start, min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16, 64))))


def _flip(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    del data[_place(data, chance)]


def _odd(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    data[_place(data, chance)] = chance.choice(_ODD)


def _repeat(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    place = _place(data, chance)
    data[place] = bytes(data[place]) * chance.choice((2, 3, 50))


def _line(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    """Drop, double or move a line: SDP and headers are made of lines."""
    lines = bytes(data).splitlines(keepends=True)
    if lines:
        taken = lines.pop(chance.randrange(len(lines)))
        for _ in range(chance.randrange(3)):
            lines.insert(chance.randrange(len(lines) + 1), taken)
    data[:] = b"".join(lines)


def _splice(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    other = bytearray(chance.choice(others))
    data[_place(data, chance)] = other[_place(other, chance)]


def _end(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


_STEPS = (_flip, _cut, _odd, _odd, _repeat, _line, _line, _splice, _end)
