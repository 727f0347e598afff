"""Names of files that are made for a study, whatever the study is called."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 60
_DIGEST = 8


def slug_of(study: str) -> str:
    """A study's name as one safe part of a path, different by study.

    Letters, digits, dots, hyphens and underscores stay; a name that loses anything, or is long,
    gets a short digest of itself.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", study).strip("-.")[:_LONGEST]
    if slug and slug == study:
        return slug
    digest = hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{slug}-{digest}" if slug else digest
