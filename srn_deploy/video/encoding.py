"""Frames of one segment to packets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal

from srn_deploy.video.encoders import Encoding, encoder_of
from srn_deploy.video.library import writing
from srn_deploy.video.planes import frame_of

SideData = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class EncodedPacket:
    """One packet, in the order of decoding."""

    place: int
    """Of its frame among those of the segment, as they are shown, from 0."""
    is_keyframe: bool
    data: bytes
    side_data: SideData = ()


class SegmentEncoder:
    """Encodes the frames of one segment with an encoder of its own, so that it depends on no other segment."""

    def __init__(self, encoding: Encoding, target: Path) -> None:
        self._encoding, self._target = encoding, target
        self._context = encoder_of(encoding, target)
        self._frames = 0
        self.packets: list[EncodedPacket] = []

    def add(self, planes: Any) -> None:
        """Encode the next frame."""
        frame = frame_of(planes, self._encoding.layout, self._encoding.colour)
        frame.pts, frame.time_base = self._frames, self._encoding.time_base
        self._frames += 1
        with writing(self._target):
            self._take(self._context.encode(frame))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        with writing(self._target):
            self._take(self._context.encode(None))

    def _take(self, packets: Iterable[av.Packet[Any]]) -> None:
        for packet in packets:
            if packet.size:
                self.packets.append(EncodedPacket(place=int(packet.pts or 0), is_keyframe=packet.is_keyframe,
                                                  data=bytes(packet), side_data=_side_data_of(packet)))

    @property
    def extradata(self) -> bytes:
        """The header of the stream, where the container keeps it outside of the packets."""
        return self._context.extradata or b""


def _side_data_of(packet: av.Packet[Any]) -> SideData:
    """What belongs to a packet besides its data: the alpha of VP9."""
    return tuple((each.data_type, bytes(each)) for each in packet.iter_sidedata()
                 if each.data_type == "matroska_block_additional")


def as_packet(encoded: EncodedPacket) -> av.Packet[Any]:
    """A packet of PyAV without times."""
    packet: av.Packet[Any] = Packet(encoded.data)
    packet.is_keyframe = encoded.is_keyframe
    for kind, data in encoded.side_data:
        side = PacketSideData(packet_sidedata_type_from_literal(kind), len(data))  # type: ignore[call-arg, arg-type]
        side.update(data)
        packet.set_sidedata(side)
    return packet
