"""Photoshop's image resources in a JPEG, without those that count the old pixels or repeat other metadata."""

from __future__ import annotations

from collections.abc import Iterator

from srn_deploy.image.containers.unpacked import Part

MARK = b"Photoshop 3.0\0"

_RESOURCE = b"8BIM"
_HEAD_BYTES = 6
_NOT_KEPT = {1032: "guides", 1033: "thumbnail", 1036: "thumbnail", 1050: "slices", 1058: "copy of EXIF",
             1059: "copy of EXIF", 1060: "copy of XMP"}
"""By the numbers in Adobe's "Photoshop File Formats Specification", section "Image Resource IDs"."""


def without_old_pixels(body: bytes) -> tuple[bytes, tuple[Part, ...]]:
    """A segment's content with the resources that stay valid, and those that are left behind.

    The same bytes if all do, or if the resources are damaged or go on in another segment. Empty if none does.
    """
    resources = list(_resources(body))
    if not resources or resources[-1][2] != len(body):
        return body, ()
    left = tuple(Part(f"Photoshop's {_NOT_KEPT[number]}", end - start) for number, start, end in resources
                 if number in _NOT_KEPT)
    kept = [body[start:end] for number, start, end in resources if number not in _NOT_KEPT]
    return (b"".join((MARK, *kept)) if kept else b"") if left else body, left


def _resources(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each resource, as far as they are whole."""
    at = len(MARK)
    while body.startswith(_RESOURCE, at) and at + _HEAD_BYTES < len(body):
        name_bytes = (1 + body[at + _HEAD_BYTES]) + (1 + body[at + _HEAD_BYTES]) % 2  # a length and a name, padded
        size_at = at + _HEAD_BYTES + name_bytes
        size = int.from_bytes(body[size_at:size_at + 4], "big")
        end = size_at + 4 + size + size % 2
        if size_at + 4 > len(body) or end > len(body) + size % 2:
            return
        yield int.from_bytes(body[at + 4:at + 6], "big"), at, min(end, len(body))
        at = end
