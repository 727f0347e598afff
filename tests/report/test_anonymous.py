"""Names are found in a text in whatever form they got into it; what differs stays different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.book.identifying import Identifying
from trialbook.records.shell_words import arguments
from trialbook.report.replacements import Replacements


def rule(**found: tuple[str, ...]) -> Replacements:
    return Replacements({"sweep": "the study"}, Identifying(**found))


def test_a_name_that_the_shell_quotes_is_replaced_too() -> None:
    name = "Ann's search of 'June'"
    names = Replacements({name: "the study"}, Identifying(), (), "sqlite:////home/ann/book.db")
    for text in (f"trialbook show {arguments(name)}", f"trialbook show {arguments(name + '/12')}"):
        told = names.applied(text)
        assert "Ann" not in told, told
        assert "June" not in told, told


def test_paths_and_addresses_are_numbered_those_of_the_params_first() -> None:
    paths = ("/home/jdoe/models/a.pt", "/home/jdoe/My Models/b, c.pt", "s3://doe/x", "s3://doe/y")
    names = rule(choices=paths, paths=("/data/own",))
    assert names.applied("read /etc/x/y.") == "read path 3."
    assert (
        names.applied(f"one of {', '.join(paths)}") == "one of path 1, path 2, address 1, address 2"
    )
    assert names.applied("/home/jdoe/models/a.pt/ and '/home/jdoe/models/a.pt'") == (
        "path 1 and 'path 1'"
    )
    assert (
        names.applied(r"C:\Users\x\y.pt, C:\\Users\\x\\y.pt, \\nas\x") == "path 4, path 4, path 5"
    )
    assert names.applied("a@doe.org or b@doe.org, again (a@doe.org)") == (
        "e-mail 1 or e-mail 2, again (e-mail 1)"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "super-secret, SuperSecret_v2, supersecrets",
            "repository 1, repository 1_v2, supersecrets",
        ),
        ("doelab/x by Jane Doe and JANE_DOE", "account 1/x by person 1 and person 1"),
        (
            "konstanz, unikonstanz.de, gpu7.unikonstanz.de, gpu7",
            "konstanz, domain 2, host 1, host 1",
        ),
        ("acc_jdoe of JDoe, GPU7.UniKonstanz.de", "acc_user 1 of user 1, host 1"),
        ("2s3://a.b, x_file:///c, (d@e.org)", "address 1, x_address 2, (e-mail 1)"),
        ("main is jane/fix-it, job 17 or 4711", "main is branch 1, job 17 or job 1"),
        ("UNIKONSTANZ of jdoe-team", "organisation 1 of user 1-team"),
        ("at 0123456 or 0123456789abc, 90123456", "at commit 1 or commit 1, 90123456"),
        ("code: src/doe/samplers.py, x.py", "code: file 1, x.py"),
        ("doe.samplers.Own(rate=0.5), doe.samplers:objective", "Own(rate=0.5), file 1:objective"),
        ("loss.train, val.Dice, sweep/3", "loss.train, val.Dice, the study/3"),
    ],
)
def test_what_follows_from_the_records_is_replaced(text: str, said: str) -> None:
    names = rule(
        remotes=("git@git.unikonstanz.de:doelab/super-secret.git",),
        roots=("/srv/experiments",),
        hosts=("gpu7.unikonstanz.de",),
        paths=("/home/jdoe/x",),
        commits=("0123456789abcdef0123456789abcdef01234567",),
        branches=("main", "jane/fix-it"),
        jobs=("17", "4711"),
        files=("src/doe/samplers.py", "src/doe/__init__.py"),
        settings=("write to jane.doe@mail.org",),
    )
    assert names.applied(text) == said
    assert names.tells(text)
    assert not names.tells(said)


NAMES = (
    "jdoe",
    "supersecret",
    "gpu7.lab.edu",
    "/home/jdoe/my data",
    "a+b (c)*",
    "0123456" + "a" * 33,
)
KNOWN = Replacements(
    {"a+b (c)*": "the study"},
    Identifying(
        users=("jdoe",),
        hosts=("gpu7.lab.edu",),
        remotes=("https://x.org/y/supersecret",),
        paths=("/home/jdoe/my data",),
        commits=("0123456" + "a" * 33,),
    ),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.text(" ,;:'\"()[]{}<>=|\n\t/\\-_$", max_size=6)),
        max_size=8,
    )
)
def test_a_known_name_stands_in_no_text_whatever_is_around_it(parts: list[tuple[str, str]]) -> None:
    told = KNOWN.applied(" ".join(between + name + between for name, between in parts))
    for telling in ("jdoe", "supersecret", "gpu7", "my data", "(c)*", "0123456"):
        assert telling not in told


def test_usual_words_are_no_names_of_repositories() -> None:
    names = rule(
        remotes=("https://github.com/lab/experiments.git", "https://github.com/ml/net"),
        roots=("/home/ubuntu/training", "/data"),
    )
    for text in ("experiments of a training net", "github.com", "ubuntu", "data"):
        assert names.applied(text) == text
