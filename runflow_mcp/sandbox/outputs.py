"""What a finished run returns: its media files, and the output object in one of the upstream's shapes.

Pure; the files are drawn anew from the run's input whenever they are asked for.
"""

from base64 import b64encode

import attrs

from runflow_mcp.sandbox import media
from runflow_mcp.sandbox.payload import JsonObject, digest
from runflow_mcp.sandbox.pricing import image_count
from runflow_mcp.sandbox.runs import Run


@attrs.frozen
class File:
    name: str
    content_type: str
    content: bytes


def file_name(run: Run, number: int) -> str:
    # A video model returns a still: a playable clip would need an encoder, and nobody looks at it here.
    return f"{number}.wav" if run.order.model.medium == "audio" else f"{number}.png"


def file(run: Run, number: int) -> File:
    """The media file ``number``, counted from 0."""
    seed = digest(run.order.model.name, run.order.input, number)
    if run.order.model.medium == "audio":
        return File(file_name(run, number), "audio/wav", media.wav(seed))
    return File(file_name(run, number), "image/png", media.png(seed))


def count(run: Run) -> int:
    return image_count(run.order.model, run.order.input)


def output(run: Run, origin: str) -> JsonObject:
    """The ``output`` of a succeeded run; a model always answers in the same shape."""
    if run.behaviour.inline:
        urls = [_data_uri(file(run, number)) for number in range(count(run))]
    else:
        urls = [f"{origin}/outputs/{run.id}/{file_name(run, number)}" for number in range(count(run))]
    model = run.order.model
    if model.medium in {"video", "audio"}:
        return {model.medium: {"url": urls[0]}}
    if model.is_solution:
        return {"image_urls": urls} if digest(model.name)[0] % 2 else {"image": {"url": urls[0]}}
    return {
        "outputs": [{"url": url} for url in urls],
        "seed": run.order.input.get("seed", int.from_bytes(digest(run.order.input)[:4])),
        "timing": {"inference": round(run.behaviour.course.running, 3)},
        "nsfw_detected": False,
    }


def _data_uri(media_file: File) -> str:
    return f"data:{media_file.content_type};base64,{b64encode(media_file.content).decode()}"
