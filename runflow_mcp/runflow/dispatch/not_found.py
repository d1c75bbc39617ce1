"""Whether a 404 in answer to a dispatch is about the model, or about something else that was not found.

Pure. A bare 404 is about the model, since the path names nothing else. A message or code is about what it names
first: "template x not found" and ``ASSET_NOT_FOUND`` are about something else.
"""

import re

#: Sentences of advice, which do not name what was not found.
_ADVICE = re.compile(
    r"(?:^|(?<=[.!?;:]))\s*(?:if|please|check|see|visit|try|refer|make sure|verify|ensure|contact)\b"
    r".*?(?:[.!?;](?=\s)|$)"
)
_WORD = re.compile(r"[a-z0-9][a-z0-9./_@-]*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that do not name anything.
_GENERIC = _words(
    "a an the this that these those it its there here of for in on at to by with from and or any all such given your "
    "you we i us our is are was were be been has have had do does did not no cannot can could couldn t s don doesn "
    "didn isn wasn find found exist exists existing get post put path page url uri route routes endpoint api v1 "
    "v2 http https status code error errors err exception failed failure unknown invalid missing unavailable available "
    "nothing something else anything none null request requested requests resource resources object entity item thing "
    "document record server client backend default gateway site sorry please oops check try again matched matches "
    "match values value why what where which name named id identifier accessible access specified supplied "
    "located location called removed deleted anymore longer more yet 404 400 under known recognized "
    "recognised supported listed static handler method matching looking"
)
#: Words for the model.
_MODEL = _words(
    "model models flow flows solution solutions workflow workflows provider providers version versions slug"
)
#: Things that belong to a model: "model template not found" is about the template.
_THINGS = _words(
    "asset assets image images video videos audio file files input inputs template templates run runs upload uploads "
    "mask lora loras weight weights checkpoint voice font preset style reference dataset webhook key org organization "
    "project user account batch"
)


def names_another_thing(model: str, code: str | None, reason: str | None) -> bool:
    """Whether the (lowercased) code, or else the reason, is about something other than the model."""
    named = {model.lower(), *model.lower().split("/")}
    for words in ((code or "").split("_"), _WORD.findall(_ADVICE.sub(" ", (reason or "").lower().replace("'s ", " ")))):
        subject = _subject([word.rstrip(".-_/") for word in words])
        if not subject:
            continue
        if subject[0] in _MODEL or subject[0] in named or _is_path_of(subject[0], model):
            return not _THINGS.isdisjoint(subject[1:])
        return subject[-1] not in _MODEL
    return False


def _subject(words: list[str]) -> list[str]:
    """The first consecutive words that name something."""
    subject: list[str] = []
    for word in words:
        if word and word not in _GENERIC and not word.isdigit():
            subject.append(word)
        elif subject:
            break
    return subject


def _is_path_of(word: str, model: str) -> bool:
    return f"models/{model}".lower() in word
