"""Which inputs of a model hold media: by the type in the catalog, else by the name of the input. Pure."""

import re
from enum import Enum, auto

import attrs

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
#: Words of a type: ``image``, ``image_list``, ``Array<video>``, ``audio_url``.
_MEDIA = frozenset({"image", "images", "video", "videos", "audio", "audios", "file", "files", "media"})
_AROUND_MEDIA = frozenset({"list", "array", "of", "url", "urls", "uri", "uris", "input", "optional"})
#: Types of text, which may or may not be the URL of media.
_TEXT = frozenset({"string", "strings", "str", "text"})
#: Last words of the names of media.
_NAMES = frozenset({"image", "video", "audio", "mask", "photo", "file", "url"})


class Holds(Enum):
    """What an input may hold."""

    NO_MEDIA = auto()
    #: A text that may also name something else, such as a file inside an archive.
    MAYBE_MEDIA = auto()
    MEDIA = auto()


@attrs.frozen
class MediaInputs:
    """The inputs of one model. ``types``: the type of each input in the catalog; None where it states none."""

    types: dict[str, str | None] = attrs.field(factory=dict)

    def holds(self, name: str) -> Holds:
        """What an input of the model holds, or each item of it if it is a list."""
        stated = self.types.get(name)
        words = frozenset(_words(stated)) if stated else frozenset()
        if words <= _AROUND_MEDIA:
            return by_name(name)
        if not words.isdisjoint(_MEDIA) and words <= _MEDIA | _AROUND_MEDIA:
            return Holds.MEDIA
        if not words <= _TEXT | _AROUND_MEDIA or by_name(name) is Holds.NO_MEDIA:
            return Holds.NO_MEDIA
        return Holds.MEDIA if _words(name)[-1] in ("url", "urls") else Holds.MAYBE_MEDIA


def by_name(name: str) -> Holds:
    """By the last word of the name: ``start_image_url``, ``maskImage``, ``photos``; numbers at its end do not count."""
    words = _words(name)
    return Holds.MEDIA if words and words[-1].removesuffix("s") in _NAMES else Holds.NO_MEDIA


def _words(text: str) -> list[str]:
    plain = text.replace("URL", "Url").replace("URI", "Uri")
    return [word.lower() for word in _WORD.findall(plain)]
