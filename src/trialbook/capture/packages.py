"""Installed distributions, their origin, the package index, and lock files.

Metadata is read as files, no distribution is imported. Of several distributions of one name the
one that an import would find counts: the first on ``sys.path``.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from trialbook.capture.imports import unwatched
from trialbook.records.environment import Package
from trialbook.records.secrets import sanitized_url

_HEADER = re.compile(r"(?m)^(Name|Version):[ \t]*(\S+)[ \t\r]*$")
_SEPARATORS = re.compile(r"[-_.]+")
_OF_INSTALLER = re.compile(
    r"\.dist-info/(?:RECORD|INSTALLER|REQUESTED|direct_url\.json|uv_cache\.json)\b"
)
_LOCK_FILES = (
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml",
    "pylock.toml", "environment.yml", "environment.yaml", "constraints.txt",
)  # fmt: skip
_REQUIREMENTS = re.compile(r"requirements[\w.-]*\.(?:txt|lock)|pylock\.[\w-]+\.toml")
_LIMIT_LOCK_BYTES = 16 * 2**20


def installed_packages() -> tuple[tuple[Package, ...], tuple[str, ...]]:
    """Every installed distribution, sorted by normalized name, and what could not be read."""
    found: dict[str, Package] = {}
    gaps: list[str] = []
    conda = (Path(sys.prefix) / "conda-meta").is_dir()
    with unwatched():
        for distribution in distributions():
            try:
                package = _package(distribution, conda)
            except (OSError, ValueError, KeyError, TypeError) as error:
                gaps.append(f"a distribution cannot be read: {type(error).__name__}: {error}")
                continue
            if package is not None and package.name not in found:
                found[package.name] = package
    return tuple(found[name] for name in sorted(found)), tuple(gaps)


def normalized_name(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return _SEPARATORS.sub("-", name).lower()


def _package(distribution: Distribution, conda: bool) -> Package | None:
    metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    if not metadata:
        metadata = distribution.read_text("") or ""  # an egg-info that is a file
    fields = dict(_HEADER.findall(metadata.partition("\n\n")[0]))
    if "Name" not in fields or "Version" not in fields:
        return None  # a directory left behind by an installer that was interrupted
    record = distribution.read_text("RECORD")
    direct = distribution.read_text("direct_url.json")
    installer = (distribution.read_text("INSTALLER") or "").strip()
    url = None
    if direct is not None:
        origin, url = _direct_origin(json.loads(direct))
    elif installer == "conda" or (conda and record is None):
        origin = "conda"
    else:
        origin = "index" if record is not None else "local"
    name = normalized_name(fields["Name"])
    digest = None if record is None else record_digest(record)
    return Package(name, fields["Version"], origin, url, digest)


def _direct_origin(direct: Mapping[str, object]) -> tuple[str, str]:
    """Origin and sanitized URL of a distribution that was not installed from an index (PEP 610)."""
    url = sanitized_url(str(direct["url"]))
    directory, vcs = direct.get("dir_info"), direct.get("vcs_info")
    if isinstance(directory, Mapping):
        origin = "editable" if directory.get("editable") else "local"
    elif isinstance(vcs, Mapping):
        origin, url = "vcs", f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    else:
        origin = "archive"
        archive = direct.get("archive_info")
        hashes = archive.get("hashes") if isinstance(archive, Mapping) else None
        if isinstance(hashes, Mapping) and "sha256" in hashes:
            url = f"{url}#sha256={hashes['sha256']}"
    subdirectory = direct.get("subdirectory")
    if subdirectory:
        url += f"{'&' if '#' in url else '#'}subdirectory={subdirectory}"
    return origin, url


@lru_cache(maxsize=4096)
def record_digest(record: str) -> str:
    """Digest of a RECORD as ``records.environment.Package`` defines it."""
    lines = [
        line
        for line in record.splitlines()
        if ",sha256=" in line and not _is_made_by_installer(line)
    ]
    lines.sort()
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _is_made_by_installer(line: str) -> bool:
    """Whether a RECORD's line names a script, bytecode, or a note of who installed it."""
    # One pattern for all three would search each of a hundred thousand lines at every character.
    if line.startswith("../") or ".pyc," in line:
        return True
    return ".dist-info/" in line and _OF_INSTALLER.search(line) is not None


def site_times() -> tuple[int, ...]:
    """Modification times of the site directories; installing a distribution changes them."""
    times = []
    for path in _site_directories():
        try:
            times.append(os.stat(path).st_mtime_ns)  # noqa: PTH116
        except OSError:
            times.append(0)
    return tuple(times)


@lru_cache(maxsize=1)
def _site_directories() -> tuple[str, ...]:
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    named = {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    return tuple(sorted(own | named))


def index_url(environ: Mapping[str, str], home: Path) -> str | None:
    """The package index that pip or uv would use, sanitized, further ones after a space.

    Args:
        environ: The environment to look into.
        home: The user's home directory.

    Returns:
        ``None`` for the default index alone.
    """
    index = _first(environ, "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    extra = _first(environ, "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL") or ""
    configured = _pip_settings(environ, home)
    index = index or configured.get("index-url")
    extra = extra or configured.get("extra-index-url", "")
    if index is None and not extra:
        return None
    urls = [index or "https://pypi.org/simple", *extra.split()]
    return " ".join(sanitized_url(url) for url in urls)


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _pip_settings(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """What pip is configured to do, the later file and the more special section first."""
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf"]
    config_home = environ.get("XDG_CONFIG_HOME")
    files.append((Path(config_home) if config_home else home / ".config") / "pip/pip.conf")
    files.append(Path(sys.prefix) / "pip.conf")
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return {}
    if named:
        files.append(Path(named))
    parser = configparser.RawConfigParser(strict=False)
    try:
        with unwatched():
            parser.read(files, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeError):
        return {}  # pip itself would stop there; what is installed is recorded in any case
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update({key.replace("_", "-"): v for key, v in parser.items(section)})
    return settings


def lock_files(root: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Lock and requirement files at the root, name to SHA-256, and what could not be read."""
    digests: dict[str, str] = {}
    gaps: list[str] = []
    for name in sorted(_lock_names(root)):
        try:
            with unwatched(), (root / name).open("rb") as file:
                if os.fstat(file.fileno()).st_size > _LIMIT_LOCK_BYTES:
                    gaps.append(f"the lock file {name} is too large")
                    continue
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            gaps.append(f"the lock file {name} cannot be read: {error.strerror}")
    return digests, tuple(gaps)


def _lock_names(root: Path) -> Iterable[str]:
    try:
        with os.scandir(root) as entries:
            return [
                entry.name
                for entry in entries
                if (entry.name in _LOCK_FILES or _REQUIREMENTS.fullmatch(entry.name))
                and entry.is_file()
            ]
    except OSError:
        return []
