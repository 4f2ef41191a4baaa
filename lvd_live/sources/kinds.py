"""Which files are films and which are pictures, by their names."""

from __future__ import annotations

from pathlib import Path

VIDEO_SUFFIXES = tuple(
    ".3g2 .3gp .apng .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .264 .265 .hevc .ivf .m2t .m2ts .m2v .m4v .mjpeg "
    ".mjpg .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut .obu .ogm .ogv .qt .rm .rmvb .tod .ts .vob .webm .wmv "
    ".wtv .y4m".split()
)
PICTURE_SUFFIXES = tuple(
    ".jpg .jpeg .jpe .jfif .png .bmp .webp .tif .tiff .avif .heic .heif .hif .jp2 .gif .pbm .pgm .ppm".split()
)
UNREAD_PICTURES = tuple(".arw .cr2 .cr3 .dng .exr .jxl .nef .orf .psd .raf .rw2 .svg .tga".split())
_SNIFFED = 4096  # bytes


def is_video(path: Path) -> bool:
    """Whether a file is called as films are. Nor is it a program in TypeScript, nor what macOS keeps beside a file."""
    if path.suffix.lower() not in VIDEO_SUFFIXES or is_apple_double(path):
        return False
    return path.suffix.lower() != ".ts" or not _is_text(path)


def is_apple_double(path: Path) -> bool:
    """Whether a name is that of a file's attributes, `._A.MOV` beside `A.MOV`, as macOS writes them on other disks."""
    return path.name.startswith("._")


def _is_text(path: Path) -> bool:
    """Whether a file begins with printable text; a transport stream has zeros, and bytes that no text has."""
    try:
        with open(path, "rb") as file:
            start = file.read(_SNIFFED)
    except OSError:
        return False
    return bool(start) and not any(byte < 9 or 13 < byte < 27 for byte in start)
