"""Files damaged in every way that disks, networks and attackers know; seeded, so that a case can be made again."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
"""Of whole bytes, given chance and the other whole files."""

PNG_START = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 100
"""Where most formats have their names, sizes and lengths."""


def flipped(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A few bits, half of them at the front."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        damaged[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    return data[:_place(data, chance)]


def zeroed(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _range(data, chance)
    return data[:start] + chance.choice([b"\0", b"\xff"]) * (end - start) + data[end:]


def repeated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _range(data, chance)
    return data[:end] + data[start:end] * chance.choice([1, 1, 50]) + data[end:]


def removed(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _range(data, chance)
    return data[:start] + data[end:]


def swapped(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    first, second = sorted((_range(data, chance), _range(data, chance)))
    if first[1] > second[0]:
        return data[first[1]:] + data[:first[1]]
    return (data[:first[0]] + data[slice(*second)] + data[first[1]:second[0]] + data[slice(*first)]
            + data[second[1]:])


def enlarged(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A number in the header becomes a huge one."""
    number = chance.choice([b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff\xff", b"\0\0\x40",
                            b"\0\x40\0"])
    at = chance.randrange(min(len(data), HEAD_BYTES))
    return data[:at] + number + data[at + len(number):]


def spliced(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The front of one file and the back of another."""
    other = chance.choice(others)
    return data[:_place(data, chance)] + other[_place(other, chance):]


def disguised(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The first bytes of another format before the rest of this one."""
    length = chance.choice([2, 4, 8, 12, 30])
    return chance.choice(others)[:length] + data[length:]


def random_behind_the_head(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    kept = chance.choice([0, 3, 8, 12, 33, HEAD_BYTES])
    return data[:kept] + chance.randbytes(chance.randrange(2000))


MUTATIONS: tuple[Mutation, ...] = (flipped, flipped, cut, zeroed, repeated, removed, swapped, enlarged, spliced,
                                   disguised, random_behind_the_head)


def mutants(whole: Sequence[bytes], count: int, *, seed: int = 0) -> list[tuple[str, bytes]]:
    """Every mutation in turn on one whole file after the other: what was done, and the bytes."""
    made = []
    for index in range(count):
        chance = random.Random(f"{seed} {index}")
        mutation = MUTATIONS[index % len(MUTATIONS)]
        number = chance.randrange(len(whole))
        data, told = mutation(whole[number], chance, whole), f"{index:04} {mutation.__name__} of {number}"
        if data.startswith(PNG_START) and chance.random() < 0.6:
            data, told = with_checksums(data), f"{told}, checksums repaired"
        made.append((told, data))
    return made


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks, as far as they are whole, have right checksums: its decoder sees the damage itself."""
    at, parts = len(PNG_START), [data[:len(PNG_START)]]
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        if at + 12 + length > len(data):
            break
        body = data[at + 4:at + 8 + length]
        parts.append(data[at:at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join([*parts, data[at:]])


def _place(data: bytes, chance: random.Random) -> int:
    return chance.choice([chance.randrange(len(data)), chance.randrange(min(len(data), HEAD_BYTES))])


def _range(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = _place(data, chance)
    return start, min(len(data), start + chance.choice([1, 4, 16, 64, 500]))


ODD_VALUES: tuple[Any, ...] = (None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), "", "x" * 10_000, "\ud800", "\0",
                               [], {}, [[]], {"": {}}, [2**62, 2**62])


def json_changed(text: str, chance: random.Random) -> str:
    """JSON in which one value is another, is gone, or is nested without end."""
    found = json.loads(text)
    holder, key = chance.choice(list(_values(found)))
    kind = chance.choice(["odd", "odd", "odd", "gone", "deep"])
    if kind == "gone":
        del holder[key]
    else:
        holder[key] = chance.choice(ODD_VALUES) if kind == "odd" else "DEEP"
    return json.dumps(found).replace('"DEEP"', "[" * 50_000 + "]" * 50_000)


def _values(found: Any) -> Iterator[tuple[Any, Any]]:
    """Where each value of a JSON tree lies: its holder and its key."""
    for key, value in list(found.items() if isinstance(found, dict) else enumerate(found)):
        yield found, key
        if isinstance(value, dict | list):
            yield from _values(value)
