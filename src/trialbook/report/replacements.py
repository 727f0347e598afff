"""What is replaced in the texts of an anonymous document, and by what.

Different things stay different: paths, addresses and names are numbered, and the same one has the
same number in a whole document. Numbers follow the records, then the order of the text, so the same
book gives the same ones. Which texts there are, and which studies, is in ``anonymous.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trialbook.book.identifying import Identifying
from trialbook.records.shell_words import shell_word
from trialbook.report.usual_words import PLAIN, USUAL

_FORGES = frozenset(
    ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "huggingface.co", "git.sr.ht")
)
_SHORTEST = 2
_COUNTED = 3
_TELLING = 5
"""Names that are only guessed to tell something have so many letters."""
_IN_ANY_CASE = 4
"""From this length on a host or a user is found in any case of letters: ``JDoe_models``."""
_SUBSTRING = 8
"""From this length on a name is found inside of words too."""
_LONGEST_PATH = 4096

_TAIL = r"[^\s'\"<>|,;()]*"
# Each begins where a run of its letters begins, or a long word would be tried at every letter.
_ADDRESSES = r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+://[^\s'\"<>]+"
_MAILS = r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*(?::[^\s'\"<>]+)?"
_PATHS = rf"(?<![\w.\-/\]])(?:~[\w.-]*(?=/))?/(?=[^\s/]){_TAIL}"
_WINDOWS = rf"(?<!\w)[A-Za-z]:[\\/](?=[^\s/]){_TAIL}|(?<![\w\\])\\\\[\w.$-]+\\{_TAIL}"
_CODE = re.compile(r"(?<![\w./\\:@~-])(?:[\w./-]+\.py\b|[^\W\d]\w*(?:\.\w+)+)")
"""A file of code, or a module or class by its dotted name."""
_ABSOLUTE = re.compile(r"~[\w.-]*/|/[^\s/]|[A-Za-z]:[\\/]|\\\\\w")
_HOMES = re.compile(r"/(?:home|Users|users)/([^\s/'\"<>|,;():]+)|[A-Za-z]:\\+Users\\+([^\s\\]+)")
_MACHINES = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_NAMED = re.compile(r"(?<![\w.+-])(\w[\w.-]*)(?:\+[\w.+-]*)?@[\w-]+\.[\w.-]+")
"""Whose an e-mail address is."""
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_HASH = 7
_PARTS = re.compile(r"[-_. ]+")
_SOURCES = re.compile(r"^(?:src|lib|python)/")
_KINDS = {"known": "path", "mail": "e-mail"}
_AFTER = ".,:;)]}"
"""What follows an address or a path in a sentence, and is hardly a part of it."""


class Replacements:
    """What stands for what, and the numbers that were given.

    Args:
        studies: Name of a study to what stands for it.
        found: What the records tell of people, machines and places.
        classes: Dotted names of classes, which lose their modules.
        book_url: Where the book is.
    """

    def __init__(
        self,
        studies: Mapping[str, str],
        found: Identifying,
        classes: Iterable[str] = (),
        book_url: str = "",
    ) -> None:
        owners = _owners(found, book_url)
        self._names = owners | _names(studies, found)
        guesses = _guesses(found)
        guesses |= {name: stands for name, stands in owners.items() if len(name) >= _IN_ANY_CASE}
        self._guesses = {_folded(name): stands for name, stands in guesses.items()}
        self._classes = frozenset(classes)
        self._files, self._modules = _code_names(found.files)
        self._packages = frozenset(name.partition(".")[0] for name in self._modules)
        self._numbers: dict[str, dict[str, str]] = {}
        addresses = (*found.remotes, *found.addresses, *_machines(found), book_url)
        self._pattern = _pattern(self._names, guesses, addresses, _known_paths(found))
        # A name with a blank would lose its first part to a path that ends there.
        parted = [name for name in self._names if re.fullmatch(_TAIL, name) is None]
        self._parted = _one_of((("name", map(_named, _longest_first(parted))),)) if parted else None
        for text in found.choices:
            # What was searched has the same number in every document and figure of a study.
            self.applied(text)

    def tells(self, text: str) -> bool:
        """Whether anything in it is replaced; nothing gets a number by that."""
        if any(self._of_code(token) is not None for token in _CODE.findall(text)):
            return True
        patterns = [self._pattern, *([] if self._parted is None else [self._parted])]
        return any(pattern.search(text) for pattern in patterns)

    def applied(self, text: str) -> str:
        """The text without what is telling."""
        if self._parted is not None:
            text = self._parted.sub(self._stands, text)
        return self._pattern.sub(self._stands, _CODE.sub(self._code, text))

    def _code(self, found: re.Match[str]) -> str:
        token = found.group()
        stands = self._of_code(token)
        return token if stands is None else stands

    def _of_code(self, token: str) -> str | None:
        """What stands for a file, a module or a class; ``None`` when it stays."""
        stands = self._files.get(token) or self._modules.get(token)
        if stands is not None:
            return stands
        package, last = token.partition(".")[0], token.rpartition(".")[2]
        own = package in self._packages and last[:1].isupper()
        return last if token in self._classes or own else None

    def _stands(self, found: re.Match[str]) -> str:
        text, kind = found.group(), str(found.lastgroup)
        if kind == "name":
            # Of a commit the first digits are found, and it stands under all of them.
            return self._names.get(text) or self._commit(text)
        if kind == "guess":
            return self._guesses[_folded(text)]
        whole = text.rstrip(_AFTER) or text
        key = whole.replace("\\\\", "\\").rstrip("/\\") or whole
        kind = _KINDS.get(kind, kind)
        numbers = self._numbers.setdefault(kind, {})
        number = numbers.setdefault(key, f"{kind} {len(numbers) + 1}")
        return number + text[len(whole) :]

    def _commit(self, digits: str) -> str:
        short = digits[:_SHORT_HASH]
        return next(says for name, says in self._names.items() if name.startswith(short))


def _names(studies: Mapping[str, str], found: Identifying) -> dict[str, str]:
    """Every name that is known to tell somebody, and what stands for it."""
    names = dict(studies)
    for what, members in (("job", found.jobs), ("commit", found.commits)):
        for number, name in enumerate(filter(_tells, members), start=1):
            names.setdefault(name, f"{what} {number}")
    kept = {name: stands for name, stands in names.items() if _tells(name)}
    # A command holds a name as the shell wants it, which is another text where it has quotes.
    return kept | {shell_word(name)[1:-1]: kept[name] for name in kept if "'" in name}


def _owners(found: Identifying, book_url: str) -> dict[str, str]:
    """Names of hosts, domains and users, and what stands for them."""
    names: dict[str, str] = {}
    domains = [_remote(url)[0] for url in (*found.remotes, *found.addresses, book_url)]
    for number, host in enumerate(filter(_tells, found.hosts), start=1):
        names.setdefault(host, f"host {number}")
        first, _, domain = host.partition(".")
        if domain and not first.isdecimal():
            names.setdefault(first, names[host])
            domains.append(domain)
    users = (*found.users, *_home_owners(found))
    for what, members in (("domain", _with_parents(domains)), ("user", users)):
        for number, name in enumerate(dict.fromkeys(filter(_tells, members)), start=1):
            names.setdefault(name, f"{what} {number}")
    return {name: stands for name, stands in names.items() if _tells(name)}


def _guesses(found: Identifying) -> dict[str, str]:
    """Names that follow from others: of the repository, its owners, people and their domains.

    They are guessed to be telling, so they have to be no usual words.
    """
    remotes = [_remote(remote) for remote in found.remotes]
    roots = [re.split(r"[/\\]", root.rstrip("/\\"))[-1] for root in found.roots]
    hosts = (*found.hosts, *(host for host, _, _ in remotes))
    mails = (mail for text in (*found.settings, *found.choices) for mail in _NAMED.findall(text))
    guesses: dict[str, str] = {}
    for what, names in (
        ("repository", (*(name for _, _, name in remotes), *roots)),
        ("account", (owner for _, owners, _ in remotes for owner in owners)),
        ("organisation", map(_organisation, hosts)),
        ("branch", found.branches),
        ("person", mails),
    ):
        told = {_folded(name): name for name in names if _is_guess(name)}
        for number, name in enumerate(told.values(), start=1):
            guesses.setdefault(name, f"{what} {number}")
    return guesses


def _code_names(files: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Loaded files of code, and the modules in packages that they are, to what stands for them."""
    told = {}
    modules = {}
    for number, path in enumerate((path for path in files if path.endswith(".py")), start=1):
        told[path] = f"file {number}"
        module = _SOURCES.sub("", path).removesuffix(".py").removesuffix("/__init__")
        if "/" in module or path.endswith("/__init__.py"):
            modules[module.replace("/", ".")] = told[path]
    return told, modules


def _remote(url: str) -> tuple[str, list[str], str]:
    """Host (empty when it tells nothing), owners, and name of a repository."""
    address = url.partition("://")[2] or url
    parts = [part for part in re.split(r"[/:\\]", address.rpartition("@")[2]) if part]
    name = parts[-1].removesuffix(".git") if parts else ""
    if url.startswith(("/", "file:")) or len(parts) < 2:
        return "", [], name
    return "" if parts[0].casefold() in _FORGES else parts[0], parts[1:-1], name


def _with_parents(domains: Iterable[str]) -> Iterator[str]:
    """Domains and what they are in, as long as that has two parts."""
    for domain in domains:
        while "." in domain:
            yield domain
            domain = domain.partition(".")[2]


def _organisation(host: str) -> str:
    """The part of a host's name that its owner chose: of ``gpu.cs.uni.ac.uk`` that is ``uni``."""
    parts = host.split(".")[1:-1]
    while len(parts) > 1 and len(parts[-1]) < 4:
        parts.pop()
    return parts[-1] if parts and not host.replace(".", "").isdecimal() else ""


def _homes(found: Identifying) -> Iterator[re.Match[str]]:
    """Home directories in the paths and values: the whole path, and whose it is as a group."""
    for path in (*found.paths, *found.roots, *found.choices, *found.settings):
        home = _HOMES.search(path)
        if home is not None:
            yield home


def _home_owners(found: Identifying) -> Iterator[str]:
    for home in _homes(found):
        owner = home.group(1) or home.group(2)
        if len(owner) > _SHORTEST and owner.casefold() not in USUAL:
            yield owner


def _machines(found: Identifying) -> Iterator[str]:
    """Addresses of machines (IPv4) in values; elsewhere four numbers may be a version."""
    for text in (*found.choices, *found.settings):
        yield from _MACHINES.findall(text)


def _known_paths(found: Identifying) -> Iterator[str]:
    """Paths of the records, and values that are one: they may hold blanks."""
    yield from filter(_is_path, (*found.paths, *(home.group() for home in _homes(found))))
    for text in (*found.choices, *found.settings):
        if len(text) <= _LONGEST_PATH and _ABSOLUTE.match(text) and text.isprintable():
            yield text
            yield json.dumps(text, ensure_ascii=False)[1:-1]  # as it is in a list of values


def _is_path(text: str) -> bool:
    """Whether it has more than one part: ``/`` alone, or ``data`` under it, is in many texts."""
    return len(text.strip("/")) >= _SHORTEST and "/" in text.strip("/")


def _tells(name: str) -> bool:
    if name.isdecimal() and len(name) <= _COUNTED:
        return False  # reports count by such numbers: of trials, of steps
    return len(name) >= _SHORTEST and name.lower() not in PLAIN


def _is_guess(name: str) -> bool:
    folded = _folded(name)
    parts = _PARTS.split(name.casefold())
    return len(folded) >= _TELLING and folded not in USUAL and not set(parts) <= USUAL


def _folded(name: str) -> str:
    """A guessed name in whatever way it is written: ``Jane Doe`` is ``jane.doe``."""
    return _PARTS.sub("", name.casefold())


def _pattern(
    names: Iterable[str], guesses: Iterable[str], addresses: Iterable[str], paths: Iterable[str]
) -> re.Pattern[str]:
    """Finds everything that is replaced; of what begins at one place the first kind counts."""
    known = (re.escape(path) + _TAIL for path in _longest_first(paths))
    places = (rf"(?<![\w.]){re.escape(address)}(?!\w)" for address in _longest_first(addresses))
    return _one_of(
        (
            ("address", (*places, _ADDRESSES)),
            ("known", known),
            ("mail", (_MAILS,)),
            ("path", (_PATHS, _WINDOWS)),
            ("name", map(_named, _longest_first(names))),
            ("guess", map(_guessed, _longest_first(guesses))),
        )
    )


def _one_of(kinds: Iterable[tuple[str, Iterable[str]]]) -> re.Pattern[str]:
    """Finds any of the patterns, the first one first; its kind is the name of its group."""
    joined = [(kind, "|".join(patterns)) for kind, patterns in kinds]
    return re.compile("|".join(f"(?P<{kind}>{text})" for kind, text in joined if text))


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(filter(None, set(names)), key=lambda name: (-len(name), name))


def _named(name: str) -> str:
    if _HASH.fullmatch(name):
        return rf"(?<![0-9a-f]){name[:_SHORT_HASH]}[0-9a-f]*"
    pattern = re.escape(name)
    return pattern if len(name) >= _SUBSTRING else rf"(?<!\w){pattern}(?!\w)"


def _guessed(name: str) -> str:
    parts = (re.escape(part) for part in _PARTS.split(name) if part)
    return rf"(?<![^\W_])(?ai:{'[-_. ]?'.join(parts)})(?![^\W_])"
