"""A folder of films and pictures of a person as people have them, all healthy, made by ffmpeg from the bundled clip."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lvd_live.paths import DEMO
from tests.films import FFMPEG

SDR = "zscale=tin=bt709:pin=bt709:min=bt709:rin=tv"
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
H265 = ("-c:v", "libx265", "-x265-params", "log-level=none")
TONE = ("-f", "lavfi", "-i", "sine=duration=1.5")
SOUND = {"webm": "libopus", "wmv": "wmav2", "avi": "mp2", "ts": "mp2", "ogv": "libvorbis"}
DROPPED = ("-vf", "setpts=PTS+floor(N/4)*3/30/TB", "-fps_mode", "passthrough")
PLAIN = {  # the name of a film, and ffmpeg's options of its output
    "plain.mp4": H264,
    "rate 29.97.mp4": ("-vf", "setpts=N*1001/30000/TB", "-r", "30000/1001", *H264),
    "rate 23.976.mov": ("-vf", "setpts=N*1001/24000/TB", "-r", "24000/1001", *H264),
    "late segment.mkv": ("-output_ts_offset", 10, *H264),
    "late.flv": ("-output_ts_offset", 5, *H264),
    "late.wmv": ("-output_ts_offset", 3, "-c:v", "wmv2"),
    "dropped frames.avi": (*DROPPED, "-c:v", "mpeg4"),
    "dropped mjpeg.avi": (*DROPPED, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "dropped.mov": (*DROPPED, *H264),
    "varying rate.mkv": ("-vf", "select='mod(n,3)'", "-fps_mode", "passthrough", *H264),
    "narrow pixels.mp4": ("-vf", "scale=108:384,setsar=2", *H264),
    "wide pixels.mkv": ("-vf", "scale=216:256,setsar=2/3", *H264),
    "pal.dv": ("-vf", "pad=512:384:-1:-1,scale=720:576,setsar=16/15,setpts=N/25/TB", "-r", 25, "-target", "pal-dv"),
    "dv.avi": ("-vf", "pad=512:384:-1:-1,scale=720:576,setsar=16/15,setpts=N/25/TB", "-r", 25, "-c:v", "dvvideo"),
    "raw.h264": H264,
    "raw.hevc": H265,
    "raw.m2v": ("-c:v", "mpeg2video"),
    "raw.mjpeg": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "raw.y4m": ("-pix_fmt", "yuv420p"),
    "raw.ivf": ("-c:v", "libvpx"),
    "card.mts": (*H264, "-f", "mpegts", "-mpegts_m2ts_mode", 1),
    "stream.m2ts": (*H264, "-f", "mpegts"),
    "stream.ts": ("-c:v", "mpeg2video"),
    "program.mpg": ("-c:v", "mpeg1video"),
    "disc.vob": ("-c:v", "mpeg2video"),
    "windows.wmv": ("-c:v", "wmv2"),
    "windows.asf": ("-c:v", "msmpeg4v3"),
    "flash.flv": ("-c:v", "flv1"),
    "old phone.3gp": ("-vf", "pad=352:384:-1:-1,scale=352:288", "-c:v", "h263"),
    "phone.3gp": ("-c:v", "mpeg4"),
    "theora.ogv": ("-c:v", "libtheora", "-q:v", 7),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "1M"),
    "vp9 with alpha.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-cpu-used", 8),
    "animation.gif": ("-vf", "fps=25"),
    "camera.mxf": ("-c:v", "mpeg2video"),
    "lossless.nut": ("-c:v", "ffv1"),
    "lossless.avi": ("-c:v", "huffyuv"),
    "raw pixels.avi": ("-c:v", "rawvideo", "-pix_fmt", "bgr24"),
    "prores.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"),
    "alpha.mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    "timecode.mov": (*H264, "-timecode", "01:00:00:00"),
    "ten bits.mkv": (*H265, "-pix_fmt", "yuv420p10le"),
    "444.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv444p"),
    "full range.mp4": ("-c:v", "libx264", "-pix_fmt", "yuvj420p"),
    "odd size.mkv": ("-vf", "scale=215:383", "-c:v", "ffv1"),
    "interlaced.mpg": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct"),
    "b-frames.avi": ("-c:v", "mpeg4", "-bf", 2),
    "packed b-frames.avi": ("-c:v", "mpeg4", "-bf", 2, "-vtag", "XVID"),
    "fragments.mp4": (*H264, "-movflags", "frag_keyframe+empty_moov+default_base_moof"),
    "fast start.mp4": (*H264, "-movflags", "faststart"),
    "live.mkv": (*H264, "-live", 1),
    "pq hdr.mp4": ("-vf", f"{SDR}:t=smpte2084:p=bt2020:m=bt2020nc:npl=203,format=yuv420p10le", *H265),
    "hlg hdr.mov": ("-vf", f"{SDR}:t=arib-std-b67:p=bt2020:m=bt2020nc:npl=203,format=yuv420p10le", *H265),
    "2024-01-01T12:00:00.mp4": H264,
    "散歩 é ♞ 🕺.mp4": H264,
    "-dash.mp4": H264,
    "clip%03d.mp4": H264,
    'it\'s "quoted" #1?x=y&z.mp4': H264,
    "concat:x.MP4": (*H264, "-f", "mp4"),
    "UPPER.MKV": (*H264, "-f", "matroska"),
    "folder/of its own.mp4": H264,
}
WITH_SOUND = {
    "long sound.mp4": H264,
    "long sound.mkv": H264,
    "long sound.webm": ("-c:v", "libvpx"),
    "long sound.flv": H264,
    "long sound.wmv": ("-c:v", "wmv2"),
    "long sound.avi": ("-c:v", "mpeg4"),
    "long sound.ts": ("-c:v", "mpeg2video"),
    "long sound.ogv": ("-c:v", "libtheora"),
}
NO_FILMS = {"._散歩.mp4": b"\0\5\x16\7", ".DS_Store": b"x", "notes.txt": b"x", "component.ts": b"export const x = 1;\n"}


def make_healthy(folder: Path) -> list[Path]:
    """Fill `folder`; the films in it. What this ffmpeg cannot encode is left out."""
    (folder / "folder").mkdir(parents=True)
    work = folder.parent / "work"
    work.mkdir()
    base = work / "base.mkv"
    _run("-i", DEMO, "-vf", "setpts=N/30/TB,scale=216:384", "-r", 30, "-frames:v", 10, "-c:v", "ffv1", base)
    made = [folder / name for name, options in PLAIN.items() if _run("-i", base, *options, folder / name)]
    for name, options in WITH_SOUND.items():
        sound = ("-c:a", SOUND.get(name.rpartition(".")[2], "aac"), "-ac", 2)
        if _run("-i", base, *TONE, *options, *sound, folder / name):
            made.append(folder / name)
    made += [path for path in _joined(folder, base, work) if path.is_file()]
    for name, content in NO_FILMS.items():
        (folder / name).write_bytes(content)
    return sorted(made)


def _joined(folder: Path, base: Path, work: Path) -> list[Path]:
    """Films that are made of others: joined, trimmed, turned, with covers, subtitles and several tracks."""

    def to(name: str) -> Path:
        return folder / name

    for name, codec in (("joined.ts", "libx264"), ("joined.vob", "mpeg2video"), ("joined.mpg", "mpeg1video")):
        _run("-i", base, "-c:v", codec, "-pix_fmt", "yuv420p", work / name)
        to(name).write_bytes((work / name).read_bytes() * 2)
    small, late = work / "small.ts", work / "late.ts"
    _run("-i", base, "-vf", "scale=180:320", *H264, small)
    _run("-i", base, *H264, "-output_ts_offset", 7000, late)
    to("changes its size.ts").write_bytes((work / "joined.ts").read_bytes() + small.read_bytes())
    to("clock leaps.ts").write_bytes((work / "joined.ts").read_bytes() + late.read_bytes())
    whole, turned, cover = work / "whole.mp4", work / "turned.mp4", work / "cover.jpg"
    _run("-stream_loop", 3, "-i", base, *H264, "-g", 30, "-r", 30, whole)
    for name in ("trimmed.mp4", "trimmed.mov"):
        _run("-ss", 0.5, "-i", whole, "-c", "copy", to(name))
    _run("-i", base, "-vf", "transpose=2", *H264, turned)
    for name in ("turned.mp4", "turned.mov"):
        _run("-i", turned, "-c", "copy", "-metadata:s:v", "rotate=270", to(name))
    _run("-i", base, "-frames:v", 1, cover)
    tracks = ("-map", "0:v", "-map", "1:v", "-c:v:0", "mjpeg", "-c:v:1", "copy")
    _run("-i", cover, "-i", whole, *tracks, "-disposition:v:0", "attached_pic", to("cover first.mp4"))
    _run("-i", cover, "-i", whole, *tracks, to("thumbnail first.mkv"))
    (work / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,200\nHello\n")
    words = ("-i", work / "words.srt", "-map", "1:s", "-map", "0:v", "-c:v", "copy")
    _run("-i", whole, *words, to("subtitles first.mkv"))
    _run("-i", whole, *words, "-c:s", "mov_text", to("subtitles first.mp4"))
    other = "[0:v]hflip,crop=150:300,scale=216:384,hue=h=120[b];[0:v][b]concat=n=2:v=1"
    _run("-i", base, "-filter_complex", other, *H264, to("hard cut.mp4"))
    several = ("-map", "0:v", "-map", "1:a", "-map", "1:a", "-c:v", "copy", "-c:a", "aac")
    _run("-i", whole, *TONE, *several, to("two sounds.mp4"))
    names = "joined.ts joined.vob joined.mpg trimmed.mp4 trimmed.mov turned.mp4 turned.mov two@sounds.mp4 hard@cut.mp4 "
    names += "changes@its@size.ts clock@leaps.ts cover@first.mp4 thumbnail@first.mkv subtitles@first.mkv "
    return [to(name.replace("@", " ")) for name in f"{names} subtitles@first.mp4".split()]


def make_pictures(folder: Path) -> list[str]:
    """JPEG, JFIF, PNG, AVIF, WebP and, with pillow-heif, HEIC of the person; the names of those that could be made."""
    folder.mkdir()
    for name in ("1.jpg", "2.png", "3.webp", "4.avif", "10.tif"):
        _run("-i", DEMO, "-frames:v", 1, "-vf", "scale=216:384", folder / name)
    (folder / "5.jfif").write_bytes((folder / "1.jpg").read_bytes())
    try:
        import pillow_heif
        from PIL import Image
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
        Image.open(folder / "2.png").convert("RGB").save(folder / "6.heic", format="HEIF", quality=80)
    names = [path.name for path in folder.iterdir()]
    (folder / "._1.jpg").write_bytes(b"\0\5\x16\7")
    return names


def _run(*arguments: object) -> bool:
    """Run ffmpeg; whether it could make the file. A file that it began is removed."""
    path = Path(str(arguments[-1]))
    command = [FFMPEG, "-v", "error", "-y", *map(str, arguments[:-1]), f"file:{path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        path.unlink(missing_ok=True)
    return done.returncode == 0
