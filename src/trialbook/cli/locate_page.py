"""What ``trialbook locate`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    size_text,
    time_text,
    write_csv,
    write_heading,
    write_json_rows,
    write_line,
    write_table,
)
from trialbook.cli.wording import counted, short_digest, values_text
from trialbook.report.making_again import is_whole

if TYPE_CHECKING:
    from trialbook.book.located import Use
    from trialbook.report.located import Located, LocatedStudy, LocatedTrial, Shown

_LABEL = 13
_CSV = (
    "file", "sha256", "found", "by", "what", "page", "study", "standing", "trial", "attempt",
    "commit", "dirty", "data", "environment", "command", "make_again",
)  # fmt: skip


def write_located(found: Sequence[Located], format: Format) -> None:  # noqa: A002
    """Print the answers, in the order of the files."""
    match format:
        case Format.JSON:
            write_json_rows(found)
        case Format.CSV:
            write_csv(_CSV, (row for each in found for row in _rows(each)))
        case Format.TABLE:
            for number, each in enumerate(found):
                if number:
                    write_line()
                _write(each)


def _write(located: Located) -> None:
    digest = "" if located.digest is None else f", sha256 {located.digest}"
    write_heading(located.file)
    _fact("file", f"{located.format}, {size_text(located.size_bytes)}{digest}")
    _write_shown(located.shown)
    for study in dict.fromkeys(study for shown in located.shown for study in shown.studies):
        _fact("study", f"{_name(study)}: {_standing(study)}")
    trials = [trial for shown in located.shown if shown.singled_out for trial in shown.trials]
    for kept in located.kept:
        name = f" {kept.keeping.name}" if kept.keeping.name else ""
        counts = "" if kept.keeping.counts else ", which does not count"
        place = f"{kept.trial.reference}, attempt {kept.keeping.attempt}{counts}"
        _fact(kept.keeping.how, f"kept{name} by {place}")
        trials.append(kept.trial)
    if located.kept_in_all > len(located.kept):
        _fact("", f"and by {located.kept_in_all - len(located.kept):,} more")
    for use in located.uses:
        _fact(str(use.kind), _use(use))
    _write_place(located)
    for trial in dict.fromkeys(trials):
        _write_trial(trial, "trial")
    best = [t for shown in located.shown if not shown.singled_out for t in shown.trials]
    for trial in dict.fromkeys(trial for trial in best if trial not in trials):
        _write_trial(trial, "best now")
    # A report makes all of its figures and tables again.
    made = [s for s in located.shown if is_whole(s.shows) and s.page is None] or located.shown
    for command in dict.fromkeys(shown.draw for shown in made if shown.draw is not None):
        _fact("make again", command)
    if not located.is_found:
        _write_unknown(located)
    for note in located.notes:
        _fact("note", note)


def _fact(label: str, text: str, indent: int = 2) -> None:
    write_line(f"{' ' * indent}{label:<{_LABEL}}{text}")


def _write_shown(shown: Sequence[Shown]) -> None:
    if len(shown) == 1 and shown[0].page is None:
        _fact("shows", f"{_shows(shown[0].shows)} of {_names(shown[0])}")
        return
    paged = any(each.page is not None for each in shown)
    if shown:
        write_line()
        columns = (Column("PAGE", right=True), Column("SHOWS"), Column("OF", wide=True))
        rows = (("" if s.page is None else str(s.page), _shows(s.shows), _names(s)) for s in shown)
        write_table(
            columns if paged else columns[1:],
            rows if paged else (row[1:] for row in rows),
            indent=2,
        )
        write_line()


def _shows(shows: str) -> str:
    kind, colon, name = shows.partition(":")
    return f"{kind} {name}" if colon else kind


def _names(shown: Shown) -> str:
    return ", ".join(_name(study) for study in shown.studies)


def _name(study: LocatedStudy) -> str:
    if study.name is not None:
        return study.name
    return study.carried_name or f"a study of the key {study.key}"


def _standing(study: LocatedStudy) -> str:
    trials = "" if study.trials is None else counted(study.trials, "trial")
    seal = "" if study.seal is None else f", seal {study.seal}"
    said = {
        "unchanged": f"as the file shows it, with its {trials}{seal}",
        "grown": (
            f"{counted(study.added or 0, 'trial')} added since, the ones before are unchanged "
            f"(the file's seal is {study.seal}, now {study.seal_now})"
        ),
        "different": (
            "its trials changed, or finished, since "
            f"(the file's seal is {study.seal}, now {study.seal_now} with {trials})"
        ),
        "not sealed": f"the file does not say in which state; it has {trials}",
        "deleted": f"deleted on {time_text(study.deleted_s)}{seal}",
        "not here": f"not in this book{seal}; ask the book that made the file",
    }[study.standing.value]
    if study.was_renamed:
        said += f"; the file calls it {study.carried_name!r}"
    return said


def _use(use: Use) -> str:
    how = {
        "loaded": "loaded by",
        "kept": "in the code of",
        "input": "an input of",
        "read undeclared": "read, undeclared, by",
        "configuration": "the configuration of",
    }[use.role]
    numbers = f"{use.first}" if use.first == use.last else f"{use.first} .. {use.last}"
    return f"{use.name}: {how} {counted(use.trials, 'trial')} of {use.study} ({numbers})"


def _write_place(located: Located) -> None:
    place = located.place
    if place is None:
        return
    if not place.candidates:
        _fact("lies in", f"{place.directory}: of a trial {place.number} that does not run here")
    for each in place.candidates:
        which = "may be that" if len(place.candidates) > 1 else "that"
        _fact(
            "lies in",
            f"{place.directory}: {which} of attempt {each.attempt} of {each.study}/{each.number}, "
            "which runs",
        )


def _write_trial(trial: LocatedTrial, label: str) -> None:
    values = values_text(trial.values, brief=False)
    state = "not in the book" if trial.state is None else trial.state
    _fact(label, f"{trial.reference}: {state}{f', {values}' if values else ''}")
    found = trial.coordinates
    if found is not None:
        if found.code is not None:
            tree = ", dirty" if found.dirty else ""
            git = "no git" if found.commit is None else f"git {found.commit}{tree}"
            _fact("code", f"{short_digest(found.code)}  {git}", indent=4)
        inputs = ", ".join(f"{name} ({digest})" for name, digest in found.data) or "no inputs"
        _fact("data", inputs, indent=4)
        _fact("environment", short_digest(found.environment) or "not recorded", indent=4)
    if trial.rerun is not None:
        _fact("run again", trial.rerun, indent=4)
    if trial.missing:
        _fact("missing", trial.missing, indent=4)


def _write_unknown(located: Located) -> None:
    if not located.shown:
        _fact("unknown", f"nothing in {located.book} leads from this file to a run")
        for phrase in located.looked_for:
            _fact("looked for", phrase)


def _rows(located: Located) -> Iterator[tuple[Cell, ...]]:
    """A row a reference and trial, a row an attempt that kept the content, a row a use."""
    begin = (located.file, located.digest, located.is_found)
    any_row = False
    for shown in located.shown:
        for study in shown.studies:
            trials = shown.trials if study is shown.studies[0] else ()
            for trial in trials or (None,):
                any_row = True
                yield (
                    *begin, "reference", shown.shows, shown.page, _name(study),
                    study.standing.value, *_trial_cells(trial), shown.draw,
                )  # fmt: skip
    for kept in located.kept:
        any_row = True
        keeping = kept.keeping
        what = f"{keeping.how} {keeping.name}".strip()
        cells = _trial_cells(kept.trial)
        yield (*begin, "content", what, None, keeping.study, None, *cells, None)
    for use in located.uses:
        any_row = True
        what = f"{use.kind} {use.name} ({use.role})"
        yield (*begin, "content", what, None, use.study, None, *_trial_cells(None), None)
    if not any_row:
        yield (*begin, None, None, None, None, None, *_trial_cells(None), None)


def _trial_cells(trial: LocatedTrial | None) -> tuple[Cell, ...]:
    """From the column of the trial to that of the command that runs it."""
    if trial is None:
        return (None,) * 7
    found = trial.coordinates
    if found is None:
        return (trial.reference, *(None,) * 5, trial.rerun)
    data = " ".join(f"{name}={digest}" for name, digest in found.data)
    return (
        trial.reference, trial.attempt, found.commit, found.dirty, data, found.environment,
        trial.rerun,
    )  # fmt: skip
