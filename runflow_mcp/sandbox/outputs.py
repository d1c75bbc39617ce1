"""What a finished run returns: its media files, and the output object in one of the upstream's shapes.

Pure; the files are drawn anew from the run's input whenever they are asked for.
"""

from base64 import b64encode

from runflow_mcp.sandbox import sizes
from runflow_mcp.sandbox.media import files as media
from runflow_mcp.sandbox.media.files import Motif
from runflow_mcp.sandbox.payload import JsonObject, digest
from runflow_mcp.sandbox.pricing import image_count
from runflow_mcp.sandbox.runs import Run

#: By what the model makes: the suffix of a file's name, and its content type.
FORMATS = {"image": ("png", "image/png"), "video": ("webm", "video/webm"), "audio": ("wav", "audio/wav")}
#: Models that return one thing on a transparent ground.
BACKGROUND_REMOVERS = {"runflow/background-removal", "bria/background/remove"}
LANDSCAPE = 16 / 9
#: Characters, more than the widest caption holds: the cost of wrapping grows with the square of the length.
MAX_PROMPT = 400


def file_name(run: Run, number: int) -> str:
    return f"{number}.{FORMATS[run.order.model.medium][0]}"


def content_type(run: Run) -> str:
    return FORMATS[run.order.model.medium][1]


def count(run: Run) -> int:
    return image_count(run.order.model, run.order.input)


def draw(run: Run, number: int) -> bytes:
    """The media file ``number``, counted from 0. Takes up to a second: not for an event loop."""
    model, values = run.order.model, run.order.input
    seed = digest(model.name, values, number)
    if model.medium == "audio":
        return media.wav(seed)
    prompt = values.get("prompt")
    words = prompt[:MAX_PROMPT] if isinstance(prompt, str) else ""
    motif = Motif(seed=seed, prompt=words, title=model.title or model.name, model=model.name)
    if model.medium == "video":
        return media.video(motif, sizes.size(sizes.proportions(values, LANDSCAPE), sizes.VIDEO))
    shorter = sizes.INLINE_PICTURE if run.behaviour.inline else sizes.PICTURE
    picture = media.cut_out if model.name in BACKGROUND_REMOVERS else media.png
    return picture(motif, sizes.size(sizes.proportions(values, 1.0), shorter))


def output(run: Run, origin: str) -> JsonObject:
    """The ``output`` of a succeeded run; a model always answers in the same shape. Draws where media are inline."""
    if run.behaviour.inline:
        urls = [_data_uri(run, number) for number in range(count(run))]
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


def _data_uri(run: Run, number: int) -> str:
    return f"data:{content_type(run)};base64,{b64encode(draw(run, number)).decode()}"
