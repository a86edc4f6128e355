"""A repository's card, which people edit on the Hub: the pushed folder's part is written anew, theirs stays.

The folder's part stands between two marks. The first one keeps digests of what was pushed, so that it is known what
somebody has changed since.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from dp_hf.errors import UserError

CARD_FILE = "README.md"
# Stands in a card's examples until it is pushed somewhere.
PLACEHOLDER = "PATH_OR_REPOSITORY"
END_MARK = "<!-- dp_hf: end -->"
_BEGIN_MARK = "<!-- dp_hf: every push writes the text from here to the end mark anew: write above or below. {} -->"
_BEGIN = re.compile(r"^<!-- dp_hf: every push .*? (\{.*\}) -->$", re.MULTILINE)
_METADATA = re.compile(r"\A\s*---[^\S\n]*\n(.*?\n)?---[^\S\n]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"\A\s*(# .*)(?:\n|\Z)")
# What the Hub and the libraries go by; other fields are what somebody made of them there.
_OUR_FIELDS = ("library_name", "pipeline_tag")


@dataclass(frozen=True)
class Card:
    """A card in its parts.

    Attributes:
        metadata: the YAML in front.
        front: the lines that it stands in.
        above: text of people, with the title.
        ours: text of the folder that was pushed.
        below: text of people.
        pushed: digests of `metadata` (by field), `title` and `text` as they were pushed; None where there are no marks.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    above: str = ""
    ours: str = ""
    below: str = ""
    pushed: Mapping[str, Any] | None = None
    front: str = ""

    @property
    def title(self) -> str:
        match = _TITLE.match(self.above)
        return match[1].strip() if match else ""


def merge_cards(card: str, found: str | None, repo_id: str) -> tuple[str, list[str]]:
    """The card to push.

    What somebody has changed on the Hub since the last push stays: text above and below our part, the title and the
    metadata; of `tags` and other lists, what was added and what was taken out.

    Args:
        card: of the folder.
        found: the repository's own; None where it has none.

    Returns:
        the card, and what is to be said of it.

    Raises:
        UserError: our part was edited, or a card's metadata or marks cannot be read.
    """
    new = read_card(card.replace(PLACEHOLDER, repo_id), "README.md of the folder")
    metadata, front, above, below = new.metadata, new.front, new.above, new.below
    remarks = []
    if found is not None:
        old = read_card(found, f"README.md of {repo_id}")
        pushed = old.pushed or {}
        if old.pushed is None:
            old = replace(old, above=f"{old.above}\n{old.ours}".strip(), ours="")
            if old.above == f"{new.above}\n{new.ours}".strip():  # pushed without marks
                old, pushed = new, {"metadata": _digests(old.metadata), "title": _digest(new.title)}
        elif _digest(old.ours) != pushed["text"]:
            raise UserError(
                f"README.md of {repo_id}: somebody has edited it between dp_hf's marks, where every push writes it "
                "anew; move that text above or below them, or remove all from the first mark to the last; push again"
            )
        metadata = _merge_metadata(pushed.get("metadata", {}), old.metadata, new.metadata)
        # With the comments that may be in it.
        front = old.front if metadata == old.metadata else f"---\n{_as_yaml(metadata)}---\n"
        above, below = old.above, old.below
        if not above.strip() or _digest(old.title) == pushed.get("title"):
            above = above.replace(old.title, new.title, 1) if old.title else f"{new.title}\n{above}"
        if (new.pushed is not None) and (above.strip(), below.strip()) != (new.above.strip(), new.below.strip()):
            remarks.append("what the folder's says outside of dp_hf's part is not pushed; the repository's text stays")
        elif (above.strip(), below.strip()) != (new.title, "") or metadata != new.metadata:
            remarks.append("what was written there stays; only dp_hf's part is new")
    # A card that was pulled has in it what others changed, which goes on being theirs.
    record = new.pushed or {"title": _digest(new.title), "metadata": _digests(new.metadata)}
    mark = _BEGIN_MARK.format(json.dumps({**record, "text": _digest(new.ours)}))
    parts = [front, above, mark, new.ours, END_MARK, below]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n", remarks


def read_card(text: str, whose: str) -> Card:
    """The parts of a card; without marks all of it but the title is `ours`.

    Args:
        whose: the card, in a message.

    Raises:
        UserError: its metadata are not YAML, or its marks are damaged.
    """
    text = text.replace("\r\n", "\n")
    metadata, front, body = _split(text, whose)
    begins, ends = _BEGIN.findall(body), body.count(END_MARK)
    if not begins and not ends:
        title = _TITLE.match(body)
        return Card(metadata, title[1] if title else "", body[title.end() :] if title else body, front=front)
    try:
        [pushed], [above, _, rest] = map(json.loads, begins), _BEGIN.split(body)
        ours, below = rest.split(END_MARK)
        if not isinstance(pushed["metadata"], dict) or not {"title", "text"} <= set(pushed):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{whose}: dp_hf's marks in it are damaged; remove them with the text between them, and push again"
        ) from error
    return Card(metadata, above, ours, below, pushed, front)


def license_of(folder: str | Path) -> str | None:
    """The license that a folder's card names, where there is one."""
    file = Path(folder) / CARD_FILE
    license = read_card(read_text(file), str(file)).metadata.get("license") if file.is_file() else None
    return license if isinstance(license, str) else None


def read_text(file: Path) -> str:
    """The text of a card's file.

    Raises:
        UserError: it is not UTF-8, or cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file}: cannot be read as UTF-8 ({error}); save it as UTF-8, or remove it") from error


def _split(text: str, whose: str) -> tuple[dict[str, Any], str, str]:
    match = _METADATA.match(text)
    if match is None:
        return {}, "", text
    try:
        # An alias may stand for more than fits into the memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(match[1] or "")):
            raise ValueError("they have an alias (*name); write its value")
        metadata = yaml.safe_load(match[1] or "")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{whose}: its metadata, between the two lines ---, cannot be read: {reason}") from error
    if not isinstance(metadata, dict | None):
        raise UserError(f"{whose}: its metadata, between the two lines ---, are no names with values")
    return metadata or {}, match[0], text[match.end() :]


def _merge_metadata(pushed: dict[str, Any], found: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = {}
    for name in [*found, *(name for name in new if name not in found)]:
        value = _merge(name, pushed.get(name), found.get(name), new.get(name))
        if value is not None:
            merged[name] = value
    return merged


def _merge(name: str, pushed: Any, found: Any, new: Any) -> Any:
    """A field, None where it is absent: the digest of what was pushed, what is found there, and what is new."""
    if name in _OUR_FIELDS and new is not None:
        return new
    if (found is None and pushed is None) or (found is not None and _digest_of(found) == pushed):
        return new
    before, there, now = ([] if value is None else value for value in (pushed, found, new))
    if found is None or not all(isinstance(value, list) for value in (before, there, now)):
        return found
    if name == "configs":
        ours = [config["config_name"] for config in now]
        return now + [
            config for config in there if not (isinstance(config, dict) and config.get("config_name") in ours)
        ]
    kept = [value for value in there if _digest(value) not in before or value in now]
    return kept + [value for value in now if value not in there and _digest(value) not in before]


def _as_yaml(metadata: dict[str, Any]) -> str:
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _digests(metadata: dict[str, Any]) -> dict[str, str | list[str]]:
    return {name: _digest_of(value) for name, value in metadata.items()}


def _digest_of(value: Any) -> str | list[str]:
    return [_digest(element) for element in value] if isinstance(value, list) else _digest(value)


def _digest(value: Any) -> str:
    """Of a text, less the space at the ends of its lines, or another value of YAML."""
    lines = str(value).strip().splitlines()
    return hashlib.sha256("\n".join(line.rstrip() for line in lines).encode()).hexdigest()[:12]
