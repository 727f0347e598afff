"""What credentials look like: names of keys, forms of tokens, names of files.

Tables and small predicates only; ``secrets.py`` applies them to text, arguments, mappings, URLs
and files. Token forms follow the issuers' published prefixes. Every expression is linear in the
length of the text: quantifiers are possessive or bounded, and a look-behind lets a run of
characters be entered at its beginning only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

REDACTED = "[redacted]"
"""What stands where a credential was."""


class NameStrength(IntEnum):
    """How surely a key of this name holds a credential."""

    NO = 0
    WEAK = 1
    STRONG = 2


class TokenForm(NamedTuple):
    """A credential that is recognized by its own form.

    Args:
        issuer: Who issues it, for people.
        marks: Text of which at least one occurs in every such token, in lower case.
        pattern: The token.
        random: Whether a match must also hold a digit or capital, because words look alike.
    """

    issuer: str
    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    random: bool = False


def _form(issuer: str, marks: tuple[str, ...], body: str, random: bool = False) -> TokenForm:
    return TokenForm(issuer, marks, re.compile(rf"(?<![A-Za-z0-9_-])(?:{body})"), random)


TOKEN_FORMS: tuple[TokenForm, ...] = (
    _form(
        "AWS",
        ("akia", "asia", "aroa", "aida", "abia", "acca"),
        r"(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    ),
    _form(
        "GitHub",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"(?:gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+)",
    ),
    _form("GitLab", ("gl",), r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[\w.-]{20,}+"),
    _form("Slack", ("xox", "xapp-"), r"(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}+"),
    TokenForm(
        "Slack",
        ("hooks.slack.com",),
        re.compile(r"(?<=hooks\.slack\.com/)(?:services|workflows)/[A-Za-z0-9/_-]++"),
    ),
    _form("OpenAI, Anthropic", ("sk-",), r"sk-[A-Za-z0-9_-]{20,}+", random=True),
    _form("Stripe", ("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
    _form("Hugging Face", ("hf_",), r"(?:api_org|hf)_[A-Za-z0-9]{20,}+", random=True),
    _form(
        "Google",
        ("aiza", "ya29.", "gocspx-"),
        r"(?:AIza[\w-]{35}|ya29\.[\w-]{20,}+|GOCSPX-[\w-]{20,}+)",
    ),
    _form("npm", ("npm_",), r"npm_[A-Za-z0-9]{30,}+"),
    _form("PyPI", ("pypi-",), r"pypi-[A-Za-z0-9_-]{50,}+"),
    _form("Databricks", ("dapi",), r"dapi[0-9a-f]{32}(?:-\d)?(?![0-9A-Za-z])"),
    _form("DigitalOcean", ("_v1_",), r"do[por]_v1_[0-9a-f]{64}"),
    _form("SendGrid", ("sg.",), r"SG\.[\w-]{16,64}+\.[\w-]{16,}+"),
    _form("Groq", ("gsk_",), r"gsk_[A-Za-z0-9]{20,}+"),
    _form("Replicate", ("r8_",), r"r8_[A-Za-z0-9]{30,}+"),
    _form(
        "JSON Web Token (RFC 7519)",
        ("eyj",),
        r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+",
    ),
)

PEM_MARKS = ("private key",)
_PEM_EDGE = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
PEM_BLOCK = re.compile(
    rf"-----BEGIN {_PEM_EDGE}(?:(?!-----)[A-Za-z0-9+/=:,.()\\\s\"'-])*+(?:-----END {_PEM_EDGE})?"
)
"""A private key (RFC 7468), also one cut short or escaped inside JSON."""
PEM_END = re.compile(rf"-----END {_PEM_EDGE}")
PEM_WITH_KEY = re.compile(
    rf"-----BEGIN {_PEM_EDGE}(?:\\[nr]|[\s\"'])*+"
    r"(?:[A-Za-z-]{1,32}: [^\n]{0,200}\n|\s)*+[A-Za-z0-9+/=]{16}"
)
"""A private key that is there, not only named, as in the source of a program that reads keys."""

_WORDS = re.compile(r"[A-Z]++(?![a-z])|[A-Z]?[a-z]++|\d++")
NAME_MARKS = ("pass", "pwd", "secret", "token", "key", "credential", "auth", "cookie")
"""Text of which at least one occurs in every secret name, in lower case."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENDS_THAT_ARE_NO_SECRET = _words(
    "file files path paths dir directory folder name names id ids url uri env var variable hash "
    "digest sha sha256 md5 fingerprint length len size count counts num number limit type kind "
    "policy field column index ttl expiry expires expiration lifetime min max rate ratio prob "
    "loss accuracy dropout weight weights embedding embeddings embed dim classes provider "
    "manager store service sock socket algorithm prompt hint position positions"
)
_LEADS_THAT_ARE_NO_SECRET = _words(
    "use no without with show ask has is enable disable require requires allow skip check "
    "public num n max min per"
)
_STRONG_WORDS = _words(
    "password passwords passwd passphrase passcode secret secrets credential credentials apikey "
    "apikeys secretkey privatekey accesskey authtoken accesstoken apitoken refreshtoken "
    "bearertoken idtoken authorization"
)
_STRONG_PAIRS = {
    "key": _words(
        "api access secret private account encryption signing master auth shared subscription "
        "deploy license session"
    ),
    "token": _words(
        "auth authentication access api bearer refresh session github gitlab git hf hub face slack "
        "bot oauth csrf security personal user login wandb neptune comet mlflow registry pypi npm "
        "vault deploy jwt service"
    ),
    "pass": _words(
        "db database mysql postgres pg smtp user mail ftp redis http https ssh root admin proxy"
    ),
    "pwd": _words("db database user admin root sql"),
}
_LINGUISTIC = _words(
    "pad eos bos unk sep cls mask special start end stop begin first last next prev previous "
    "input output target word sub image video audio trigger placeholder modifier initializer "
    "class prefix suffix separator boundary sos eot eod pred predicted generated decoded "
    "forced additional text"
)


def name_strength(name: str) -> NameStrength:
    """How surely a key of this name holds a credential.

    ``password`` and ``API_KEY`` do, ``token`` may, ``max_tokens``, ``pad_token`` and
    ``password_file`` do not.
    """
    lowered = name.lower()
    if not any(mark in lowered for mark in NAME_MARKS):
        return NameStrength.NO
    return _strength_of_marked(name) if len(name) <= 128 else _strength_of_marked(name[-128:])


@lru_cache(maxsize=4096)
def _strength_of_marked(name: str) -> NameStrength:
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if not words or words[-1] in _ENDS_THAT_ARE_NO_SECRET:
        return NameStrength.NO
    if len(words) > 1 and words[0] in _LEADS_THAT_ARE_NO_SECRET:
        return NameStrength.NO
    if any(first in _STRONG_PAIRS.get(second, ()) for first, second in pairwise(words)):
        return NameStrength.STRONG
    last = words[-1]
    if last in _STRONG_WORDS or any(w.endswith(("password", "passwd")) for w in words):
        return NameStrength.STRONG
    if len(words) > 1 and words[-2] in _STRONG_WORDS and words[-2] not in ("secret", "secrets"):
        return NameStrength.STRONG
    if last in ("token", "pwd", "auth", "cookie") and not _LINGUISTIC.intersection(words):
        return NameStrength.WEAK
    return NameStrength.NO


_NO_VALUES = _words(
    "none null nil true false undefined yes no on off unset missing required optional str string "
    "bytes int float bool any secretstr text empty not found invalid expired is was ok "
    "changeme example xxx"
)
_STAND_IN = re.compile(
    r"\*+|[x.\-_…#?]{3,}|<[^<>]*>|\$\{[^{}]*\}|\$\w+|\{\{?[^{}]*\}?\}|%\(\w+\)s|%s"
    r"|(?:Optional|Union|Literal)\[.*|str ?\|.*|(?:os\.(?:environ|getenv)|getpass|self|cls|args"
    r"|kwargs|opts?|options|config|cfg|settings|environ)[.\[(].*",
    re.DOTALL,
)
_IDENTIFIER = re.compile(r"(?:[A-Za-z_]\w*\.)*+([A-Za-z_]\w*+)(?:\(\))?")
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?%?")


def is_stand_in(value: str) -> bool:
    """Whether a value stands for a credential without being one: ``None``, ``${TOKEN}``."""
    if value in ("", REDACTED) or value.lower() in _NO_VALUES or len(value) > 4096:
        return value == "" or len(value) <= 4096
    if _STAND_IN.fullmatch(value):
        return True
    identifier = _IDENTIFIER.fullmatch(value)
    return identifier is not None and _names_itself(identifier.group(1))


def _names_itself(identifier: str) -> bool:
    """Whether an identifier is a secret's name and nothing else: ``password``, ``API_KEY``."""
    return not any(c.isdigit() for c in identifier) and name_strength(identifier) > NameStrength.NO


def is_number(value: str) -> bool:
    """Whether the text is a number."""
    return _NUMBER.fullmatch(value) is not None


def is_random(value: str, *, least: int = 12) -> bool:
    """Whether the text looks drawn at random: long enough, mixed, no spaces, high entropy."""
    if len(value) < least or any(c.isspace() for c in value) or is_number(value):
        return False
    digits = any(c.isdigit() for c in value)
    letters = any(c.isalpha() for c in value)
    mixed = any(c.isupper() for c in value[1:]) and any(c.islower() for c in value)
    if not letters or not (digits or mixed):
        return False
    return entropy_bits(value[:256]) >= 2.5


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters, bits each (Shannon 1948)."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


SECRET_FILE = re.compile(
    r"\.env(?:rc)?|\.env\..*|.*\.env|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|.*\.(?:pem|key|p12|pfx"
    r"|jks|keystore|kdbx|ppk)|[._]netrc|\.pgpass|\.npmrc|\.pypirc|\.htpasswd|\.dockercfg"
    r"|\.git-credentials|\.my\.cnf|\.s3cfg|\.boto|kaggle\.json|credentials(?:\.(?:json|ya?ml|toml"
    r"|ini|txt|csv))?|client_secret.*\.json|service[-_]?account.*\.json"
    r"|\.?(?:secrets?|passwords?|passwd|(?:api|auth|access)[-_]?(?:key|token)s?|token"
    r"|(?:secret|private)[-_]?keys?)(?:\.(?:txt|json|ya?ml|toml|ini|cfg|conf|properties|csv|dat"
    r"|env))?",
    re.IGNORECASE,
)
"""Names of files that hold credentials whatever their content."""
SECRET_FILE_TEMPLATE = re.compile(
    r".*\.(?:example|sample|template|tmpl|dist|schema)(?:\.[a-z]+)?", re.IGNORECASE
)
"""Names of files that show how such a file looks; their content decides."""
SECRET_DIRECTORIES = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker"})
CONFIG_SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".properties")
