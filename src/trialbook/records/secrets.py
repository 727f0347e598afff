"""Redaction: credentials leave text, arguments, mappings, URLs and files before they are recorded.

Pure functions. What a credential looks like is said in ``credentials.py``. The caller passes the
values of its own secret environment variables (``secret_values_of``), because records do no I/O.
Everything here is linear in the length of its input.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from trialbook.records.credentials import (
    CONFIG_SUFFIXES,
    NAME_MARKS,
    PEM_BLOCK,
    PEM_END,
    PEM_MARKS,
    PEM_WITH_KEY,
    REDACTED,
    SECRET_DIRECTORIES,
    SECRET_FILE,
    SECRET_FILE_TEMPLATE,
    TOKEN_FORMS,
    NameStrength,
    is_number,
    is_random,
    is_stand_in,
    name_strength,
)

__all__ = [
    "REDACTED",
    "looks_secret",
    "redacted_argv",
    "redacted_mapping",
    "redacted_text",
    "sanitized_url",
    "secret_values_of",
]

_LEAST_VALUE = 8

_USERINFO = re.compile(r"(?<=://)(?:[^\s/?#@\"'<>`]*+@)++")
# SQLAlchemy takes everything up to an @ for the password, slashes too; a port is no password.
_ODD_USERINFO = re.compile(
    r"(?<=://)[^\s:/?#@\"'<>\[]{0,64}+:(?!\d{1,5}[/?#\s])[^\s@\"'<>]{0,256}+@"
)
_SCP_USERINFO = re.compile(r"[^/\s@]*@(?=[^/\s:@]+:)")
_SIGNED_QUERY = re.compile(
    r"(?i)(?<=[?&#])(sig|signature|x-amz-(?:signature|credential|security-token)|x-goog-signature"
    r"|awsaccesskeyid|key|auth|code)=([^&\s#\"'<>]++)"
)
_HEADER = re.compile(
    r"(?i)((?:proxy-)?authorization[\"']?\s{0,4}+[:=]\s{0,4}+[\"']?|(?:set-)?cookie: )"
    r"([^\n\"'\[][^\n\"']*+)"
)
_BEARER = re.compile(r"(?i)(?<![\w-])(bearer\s{1,4})([\w.~+/=-]{12,}+)")
_MARK = re.compile("|".join(NAME_MARKS))
_LOWER = {ord(c): ord(c.lower()) for c in string.ascii_uppercase}
_REST_OF_NAME = re.compile(r"[\w.-]*+")
_ASSIGNS = re.compile(r"\\{0,4}[\"'`]?\]?[ \t]{0,8}(?:=>|:=|[=:])[ \t]{0,8}")
_PASSES = re.compile(r"(?:[ \t]{1,8}|[\"'],[ \t]{0,8}(?=[\"']))(?!-)")
_QUOTED = re.compile(r"(?P<quote>\\{0,4}[\"'`])(?P<value>(?:(?!(?P=quote))(?:\\.|[^\n]))*+)")
_BARE = re.compile(r"[^\s\"'`&]++")


def redacted_text(text: str, *, secrets: Sequence[str] = ()) -> tuple[str, int]:
    """The text with every credential replaced by ``[redacted]``.

    Args:
        text: Console text, a traceback, a message.
        secrets: Literal values to redact too (``secret_values_of``).

    Returns:
        The text, and how many replacements were made.
    """
    text, count = _without_values(text, secrets)
    lowered = text.lower()
    if any(mark in lowered for mark in PEM_MARKS):
        text, more = _without_private_keys(text)
        count += more
    if "://" in lowered:
        text, more = _without_userinfo(text, f"{REDACTED}@")
        count += more
    for form in TOKEN_FORMS:
        if any(mark in lowered for mark in form.marks):
            text, more = _replaced(
                form.pattern, text, _random_only if form.random else lambda m: REDACTED
            )
            count += more
    if any(mark in lowered for mark in NAME_MARKS) or "bearer" in lowered:
        text, more = _without_named(text)
        count += more
    return text, count


def sanitized_url(url: str, *, secrets: Sequence[str] = ()) -> str:
    """The URL without userinfo, and with secret query values replaced.

    Takes URLs of every scheme and scp-like remotes (``git@host:owner/name.git``).
    """
    if "://" not in url:
        url = _SCP_USERINFO.sub("", url, count=1) if _SCP_USERINFO.match(url) else url
    url, _ = _without_userinfo(url, "")
    url, _ = _replaced(_SIGNED_QUERY, url, lambda m: f"{m[1]}={REDACTED}")
    return redacted_text(url, secrets=secrets)[0]


def redacted_argv(
    argv: Sequence[str], *, secrets: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arguments without credentials, and where they were, such as ``argv[3]``.

    ``--password X``, ``--token=X`` and ``API_KEY=X`` are known by their names, other values by
    their form.
    """
    kept: list[str] = []
    places: list[str] = []
    awaited = False
    for index, argument in enumerate(argv):
        if awaited and not argument.startswith("--") and not is_stand_in(argument):
            safe = REDACTED
            awaited = False
        else:
            safe = _redacted_argument(argument, secrets)
            awaited = (
                argument.startswith("-")
                and "=" not in argument
                and name_strength(argument) > NameStrength.NO
            )
        if safe != argument:
            places.append(f"argv[{index}]")
        kept.append(safe)
    return tuple(kept), tuple(places)


def _redacted_argument(argument: str, secrets: Sequence[str]) -> str:
    name, equals, value = argument.partition("=")
    strength = name_strength(name) if equals and not any(c.isspace() for c in name) else 0
    if strength and _is_secret_value(value, NameStrength(strength)):
        return f"{name}={REDACTED}"
    return redacted_text(argument, secrets=secrets)[0]


def redacted_mapping(
    config: Mapping[str, Any], *, secrets: Sequence[str] = ()
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The mapping without credentials, and the dotted keys whose values were replaced.

    Values under names such as ``password`` go whole; in other text only what looks like a
    credential goes. Items of lists are named ``key[0]``.
    """
    cleaning = _Cleaning(tuple(secrets))
    return cleaning.mapping(config, "", NameStrength.NO), tuple(cleaning.places)


class _Cleaning:
    """One walk through a configuration; ``places`` are the keys whose values were replaced."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets
        self.places: list[str] = []

    def mapping(
        self, value: Mapping[Any, Any], place: str, strength: NameStrength
    ) -> dict[Any, Any]:
        cleaned: dict[Any, Any] = {}
        for key, item in value.items():
            safe_key = self._text(key) if isinstance(key, str) else key
            inner = f"{place}.{safe_key}" if place else str(safe_key)
            # Everything below "credentials" is one; below "token" are settings of tokens.
            inherited = strength if strength is NameStrength.STRONG else NameStrength.NO
            cleaned[safe_key] = self._value(item, inner, max(_strength_of(key), inherited))
        return cleaned

    def _value(self, value: Any, place: str, strength: NameStrength) -> Any:
        if isinstance(value, Mapping):
            return self.mapping(value, place, strength)
        if isinstance(value, (list, tuple)):
            return [self._value(v, f"{place}[{i}]", strength) for i, v in enumerate(value)]
        safe = self._scalar(value, strength)
        if safe is not value and safe != value:
            self.places.append(place)
        return safe

    def _scalar(self, value: Any, strength: NameStrength) -> Any:
        if isinstance(value, str):
            if strength and _is_secret_value(value, strength):
                return REDACTED
            return self._text(value)
        if strength is NameStrength.STRONG and type(value) is int:
            return REDACTED
        return value

    def _text(self, value: str) -> str:
        return redacted_text(value, secrets=self._secrets)[0]


def _strength_of(key: object) -> NameStrength:
    return name_strength(key) if isinstance(key, str) else NameStrength.NO


def _is_secret_value(value: str, strength: NameStrength) -> bool:
    """Whether a whole value under a secret name is taken for a credential."""
    if is_stand_in(value.strip("\"'")):
        return False
    return strength is NameStrength.STRONG or not is_number(value)


def secret_values_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The literal values of variables with secret-looking names, longest first.

    Values of fewer than 8 characters, stand-ins and paths of credential files are left out; of
    a value of several lines every long line counts. Percent-encoded and escaped spellings are
    included.
    """
    found: set[str] = set()
    for name, value in environ.items():
        strength = name_strength(name)
        if not strength or len(value) < _LEAST_VALUE or is_stand_in(value):
            continue
        may_be_path = strength is NameStrength.WEAK or "CREDENTIAL" in name.upper()
        if may_be_path and value.startswith(("/", "~", "./", "../")):
            continue
        found.add(value)
        found.update(line for line in value.splitlines() if len(line) >= 16)
    for value in tuple(found):
        found.add(quote(value, safe="", errors="surrogateescape"))
        found.add(value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def looks_secret(content: bytes, name: str, *, secrets: Sequence[str] = ()) -> str | None:
    """Why a file is taken to hold a credential, or ``None``.

    Args:
        content: The file's bytes (its head is enough for a large one).
        name: Its name or path, with ``/``.
        secrets: Literal values that make it secret wherever they occur.

    Source code is judged by private keys, token forms and random-looking literals under secret
    names; configuration files by every literal under such a name.
    """
    *directories, base = name.split("/")
    if base.endswith(".pub"):
        return None
    if SECRET_FILE.fullmatch(base) and not SECRET_FILE_TEMPLATE.fullmatch(base):
        return f"its name, {base}, is that of a file of credentials"
    if SECRET_DIRECTORIES.intersection(directories):
        return "it lies in a directory of credentials"
    text = content.decode("latin-1")
    lowered = text.lower()
    if any(mark in lowered for mark in PEM_MARKS) and PEM_WITH_KEY.search(text):
        return "it holds a private key"
    for form in TOKEN_FORMS:
        if any(mark in lowered for mark in form.marks):
            for match in form.pattern.finditer(text):
                if not form.random or _random_only(match) == REDACTED:
                    return f"it holds a token as issued by {form.issuer}"
    for value in secrets:
        if is_random(value) and value in text:
            return "it holds the value of a secret environment variable"
    if b"\0" in content[:8192]:
        return None
    return _named_secret(text, lowered, base.lower().endswith(CONFIG_SUFFIXES))


def _named_secret(text: str, lowered: str, is_config: bool) -> str | None:
    """Why text holds a credential under a name or in a URL, or ``None``."""
    if "://" in lowered:
        for match in _USERINFO.finditer(text):
            _, colon, password = match[0].removesuffix("@").partition(":")
            if colon and not is_stand_in(password) and (is_config or is_random(password)):
                return "it holds a URL with a password"
    if any(mark in lowered for mark in NAME_MARKS):
        for start, end, name, strength in _named_values(text):
            value = text[start:end]
            quoted = start > 0 and text[start - 1] in "\"'`"
            random = is_random(value, least=16)
            if (is_config and strength is NameStrength.STRONG) or (
                random and (is_config or quoted)
            ):
                return f"it holds a value named {name}"
    return None


def _replaced(
    pattern: re.Pattern[str], text: str, replacement: Callable[[re.Match[str]], str]
) -> tuple[str, int]:
    """The text with matches replaced, and how many of them changed."""
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        new = replacement(match)
        count += new != match[0]
        return new

    return pattern.sub(replace, text), count


def _random_only(match: re.Match[str]) -> str:
    body = match[0].partition(match[0][2])[2]
    return REDACTED if any(c.isdigit() or c.isupper() for c in body) else match[0]


def _without_values(text: str, secrets: Sequence[str]) -> tuple[str, int]:
    count = 0
    for value in secrets:
        if len(value) < _LEAST_VALUE or value not in text or value in REDACTED:
            continue
        if is_random(value):
            count += text.count(value)
            text = text.replace(value, REDACTED)
        else:
            # A word such as "postgres" stays part of longer words, a number of longer numbers.
            bounded = re.compile(rf"(?<![\w.]){re.escape(value)}(?!\w)")
            text, more = _replaced(bounded, text, lambda m: REDACTED)
            count += more
    return text, count


_PEM_BODY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\\r\n \t")


def _without_private_keys(text: str) -> tuple[str, int]:
    text, count = _replaced(PEM_BLOCK, text, lambda m: REDACTED)
    pieces: list[str] = []
    done = 0
    for match in PEM_END.finditer(text):  # the end of a key whose beginning was cut off
        start = match.start()
        while start > done and text[start - 1] in _PEM_BODY:
            start -= 1
        pieces += [text[done:start], REDACTED]
        done = match.end()
        count += 1
    return "".join([*pieces, text[done:]]), count


def _without_userinfo(text: str, replacement: str) -> tuple[str, int]:
    def replace(match: re.Match[str]) -> str:
        return match[0] if match[0] == f"{REDACTED}@" and replacement else replacement

    text, count = _replaced(_USERINFO, text, replace)
    text, more = _replaced(_ODD_USERINFO, text, replace)
    return text, count + more


def _without_named(text: str) -> tuple[str, int]:
    """The text without header values, bearer tokens, and values under secret names."""
    count = more = 0
    lowered = text.lower()
    if "authorization" in lowered or "cookie" in lowered:
        text, count = _replaced(_HEADER, text, lambda m: m[1] + REDACTED)
    if "bearer" in lowered:
        text, more = _replaced(
            _BEARER, text, lambda m: m[1] + REDACTED if is_random(m[2]) or len(m[2]) >= 20 else m[0]
        )
    count += more
    pieces: list[str] = []
    done = 0
    for start, end, _, strength in _named_values(text):
        if start < done:
            continue
        value = text[start:end]
        if strength is NameStrength.WEAK and not _is_token_like(value):
            continue
        pieces += [text[done:start], REDACTED]
        done = end
        count += 1
    return "".join([*pieces, text[done:]]), count


def _is_token_like(value: str) -> bool:
    """Whether a value under a weak name, in running text, is a credential: no word of prose."""
    return is_random(value, least=8) or (len(value) >= 20 and not any(map(str.isspace, value)))


def _named_values(text: str) -> Iterator[tuple[int, int, str, NameStrength]]:
    """Where values stand under secret names: start, end, name, strength; in order."""
    done = 0
    for start, end in _marked_words(text):
        if start < done:
            continue
        name = text[start:end]
        strength = name_strength(name)
        if not strength:
            continue
        between = _ASSIGNS.match(text, end)
        if between is None and name.startswith("-"):
            between = _PASSES.match(text, end)
        if between is None:
            continue
        value_start, value_end = _value_at(text, between.end())
        value = text[value_start:value_end]
        if is_stand_in(value) or (strength is NameStrength.WEAK and is_number(value)):
            continue
        yield value_start, value_end, name, strength
        done = value_end


def _marked_words(text: str) -> Iterator[tuple[int, int]]:
    """Words that hold a mark of a secret name; each is looked at once, so time is linear."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters become two
        lowered = text.translate(_LOWER)
    end = 0
    while (mark := _MARK.search(lowered, end)) is not None:
        start = mark.start()
        while start > end and (text[start - 1].isalnum() or text[start - 1] in "_.-"):
            start -= 1
        rest = _REST_OF_NAME.match(text, mark.end())
        assert rest is not None
        end = rest.end()
        yield start, end


def _value_at(text: str, position: int) -> tuple[int, int]:
    """Where the value that begins here lies, without its quotes."""
    quoted = _QUOTED.match(text, position)
    if quoted is not None:
        return quoted.span("value")
    bare = _BARE.match(text, position)
    if bare is None:
        return position, position
    if bare[0].startswith(REDACTED) and not bare[0][len(REDACTED) :].strip(",;)]}>."):
        return position, position + len(REDACTED)
    head = re.split(r"[,;)\]}]", bare[0], maxsplit=1)[0]
    if is_stand_in(bare[0]):
        return position, bare.end()
    if is_stand_in(head):
        return position, position + len(head)
    return position, position + len(bare[0].rstrip(",;)]}>."))
