"""The experiment items of two checklists, and which proofs each rests on.

Items are in our words, with the number or name that the checklist gives them:

* the NeurIPS Paper Checklist (neurips.cc/public/guides/PaperChecklist), items 4 to 8;
* the Machine Learning Reproducibility Checklist, version 2.0 (J. Pineau, 2020), for datasets,
  shared code and experimental results, called MLRC here; see Pineau et al., "Improving
  Reproducibility in Machine Learning Research", JMLR 22 (2021).

One item is ours: whether results are on data that selection has not seen. An item is answered Yes
only when every proof that it rests on is found, and MISSING when one is not. What no book can know
is for the authors, whatever else is found.
"""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.report.document import Answer, ChecklistItem
from trialbook.report.evidence import Evidence
from trialbook.report.proofs.proof import Proof

NEURIPS = "NeurIPS"
ML = "MLRC 2.0"


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a checklist.

    Args:
        source: Which checklist, and the item's number or part.
        question: The item in our words.
        proofs: Names of the fields of ``Evidence`` that it rests on; empty when it is for the
            authors alone.
        authors: What the authors have to say, beside the proofs or instead of them; with it the
            answer is never Yes.
    """

    source: str
    question: str
    proofs: tuple[str, ...] = ()
    authors: str = ""


ITEMS: tuple[Item, ...] = (
    Item(
        f"{NEURIPS} 4, result reproducibility",
        "Is it recorded what a reproduction takes (code, digests of the data, environment, "
        "configuration and seeds), and did the selected result come out the same again?",
        ("code", "data", "environment", "configuration", "seeds", "rerun"),
    ),
    Item(
        f"{NEURIPS} 5, data and code",
        "Is the code kept, and are the data and the environment identified?",
        ("code", "data", "environment"),
    ),
    Item(
        f"{NEURIPS} 5, open access",
        "Can everybody reach the data and the code, with instructions?",
        authors="say where code, data and this book can be had; 'trialbook storage copy' makes a "
        "book of this study alone",
    ),
    Item(
        f"{NEURIPS} 6, setting and details",
        "Are the hyperparameters specified, their ranges, how they were chosen, and the "
        "configuration that was fixed?",
        ("space", "method", "selection", "configuration"),
    ),
    Item(
        f"{NEURIPS} 6, data splits",
        "Are the data splits specified?",
        authors="say how data was split into training, validation and test; the book knows the "
        "files, not their parts",
    ),
    Item(
        f"{NEURIPS} 7, statistical significance",
        "Are error bars, intervals or tests reported, and is it said what they show?",
        ("replicates",),
        "say what the seed changes in the objective, such as initialization, the order of batches "
        "or the split: that alone is what the interval shows",
    ),
    Item(
        f"{NEURIPS} 8, compute resources",
        "Is it said for each experiment which workers it took, how long it ran, and how much "
        "compute that was in total, failed runs included?",
        ("hardware", "runtime", "compute"),
    ),
    Item(
        f"{NEURIPS} 8, compute of the project",
        "Did the whole project take more compute than is reported?",
        authors="name what came before this study; the book has the compute of its own trials",
    ),
    Item(
        f"{ML}, results: ranges and selection",
        "The range of hyperparameters considered, how the best configuration was selected, and all "
        "hyperparameters of the reported results.",
        ("space", "method", "selection", "configuration"),
    ),
    Item(
        f"{ML}, results: number of runs",
        "The exact number of training and evaluation runs.",
        ("runs", "exclusions"),
    ),
    Item(
        f"{ML}, results: measure",
        "A clear definition of the measure or statistics that is reported.",
        authors="define the objective and each metric; the book has their names and values",
    ),
    Item(
        f"{ML}, results: mean and variation",
        "Results with a central tendency and a variation.",
        ("replicates",),
    ),
    Item(
        "Trialbook, held-out data",
        "Are results reported on data that neither the search nor the selection has seen?",
        ("test",),
        "say what data these metrics were measured on, and that nobody chose by them",
    ),
    Item(
        f"{ML}, results: runtime",
        "The mean runtime of each result, or its energy.",
        ("runtime", "compute"),
    ),
    Item(
        f"{ML}, results: infrastructure",
        "A description of the computing infrastructure.",
        ("hardware", "environment"),
    ),
    Item(
        f"{ML}, code: dependencies",
        "A specification of the dependencies.",
        ("environment",),
    ),
    Item(
        f"{ML}, code: training and evaluation",
        "The code that trains and evaluates, as it ran.",
        ("code", "coverage"),
    ),
    Item(
        f"{ML}, code: models",
        "The trained models.",
        ("artifacts",),
        "say which of these files is the model, and where it can be had",
    ),
    Item(
        f"{ML}, code: results and commands",
        "A table of results with the precise command that produces them.",
        ("selection", "code", "rerun"),
    ),
    Item(
        f"{ML}, data: identity",
        "Which data was used, such that it can be told from any other version.",
        ("data",),
    ),
    Item(
        f"{ML}, data: statistics and splits",
        "The numbers of examples, the splits, what was excluded, and preprocessing.",
        authors="describe the data; the book knows files, sizes and digests",
    ),
    Item(
        f"{ML}, data: link",
        "A link to the data, and how new data was collected.",
        authors="say where the data is and how it came about",
    ),
)


def answers(evidence: Evidence) -> tuple[ChecklistItem, ...]:
    """Every item with its answer, in the order of the checklists."""
    return tuple(answered(item, evidence) for item in ITEMS)


def answered(item: Item, evidence: Evidence) -> ChecklistItem:
    """An item with its answer and what that rests on."""
    proofs: list[Proof] = [getattr(evidence, name) for name in item.proofs]
    lacking = [f"missing: {proof.text}" for proof in proofs if not proof.found]
    found = [proof.text for proof in proofs if proof.found]
    if lacking:
        answer = Answer.MISSING
    elif item.authors:
        answer = Answer.AUTHORS
        found.append(item.authors)
    elif any(proof.against for proof in proofs):
        answer = Answer.NO
    else:
        answer = Answer.YES
    return ChecklistItem(item.source, item.question, answer, (*lacking, *found))
