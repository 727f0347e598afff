"""A trial as its own process sees it: as the book has it, with what is pending laid over."""

from __future__ import annotations

import json

from optuna.trial import TrialState

from trialbook.book.attempt_rows import Overlay
from trialbook.book.stored_trial import StoredTrial


def overlaid(trial: StoredTrial, overlay: Overlay) -> StoredTrial:
    """A new trial; it reads RUNNING as long as this process holds it, fenced or not.

    Args:
        trial: As the book has it.
        overlay: What the attempt has written.
    """
    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, (internal, distribution) in overlay.params.items():
        params[name] = distribution.to_external_repr(internal)
        distributions[name] = distribution
    user, system = dict(trial.user_attrs), dict(trial.system_attrs)
    user.update((key, json.loads(text)) for key, text in overlay.user_attrs.items())
    system.update((key, json.loads(text)) for key, text in overlay.system_attrs.items())
    reports = overlay.reports
    if trial.intermediate_values.keys() - reports.keys():  # a helper process reports as well
        reports = {**trial.intermediate_values, **reports}
    return StoredTrial.of(
        reports,
        number=trial.number,
        state=TrialState.RUNNING,
        value=None,
        values=trial.values if trial.state is TrialState.RUNNING else None,
        datetime_start=trial.datetime_start,
        datetime_complete=None,
        params=params,
        distributions=distributions,
        user_attrs=user,
        system_attrs=system,
        trial_id=trial._trial_id,
    )
