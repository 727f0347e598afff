import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialbook.records.credentials import NameStrength, name_strength
from trialbook.records.secrets import (
    REDACTED,
    looks_secret,
    redacted_argv,
    redacted_mapping,
    redacted_text,
    sanitized_url,
    secret_values_of,
)

PEM = (
    "-----BEGIN OPENSSH "
    + "PRIVATE KEY-----\n"
    + "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBV\n" * 3
    + "-----END OPENSSH PRIVATE KEY-----"
)
JWT = "eyJ" + "hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
TOKENS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_" + "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "glpat-" + "AbCdEfGhIjKlMnOpQrSt",
    "xox" + "b-1234567890-abcdefghijkl",
    "sk-" + "proj-abcdefghijklmnopqrstuvwxyz012345",
    "sk-" + "ant-api03-abcdefghijklmnopqrstuvwxyz0123456789",
    "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "ya29." + "a0AfH6SMBx1234567890abcdefghij",
    "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    JWT,
    PEM,
]


@pytest.mark.parametrize("token", TOKENS, ids=lambda t: t[:12])
@pytest.mark.parametrize("frame", ["{}", "using {} now", '"{}",', "a={}\n", "({})", "[{}]"])
def test_tokens_are_known_by_their_form(token, frame):
    text, count = redacted_text(frame.format(token))
    assert token not in text
    assert text == frame.format(REDACTED)
    assert count == 1


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        ("password=hunter2", "hunter2"),
        ("password: hunter2", "hunter2"),
        ("Enter passphrase: correct horse", "correct"),
        ('{"password": "hun\\"ter2", "lr": 1}', 'ter2"'),
        ("{'db_password': 'hunter2'}", "hunter2"),
        ('"{\\"api_key\\": \\"hunter2\\"}"', "hunter2"),
        ("MY_API_KEY=hunter2", "hunter2"),
        ("export PGPASSWORD='hunter2 and more'", "and more"),
        ("secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "bPxRfi"),
        ("client_secret => hunter2", "hunter2"),
        ("Authorization: Bearer abc.def", "abc.def"),
        ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("{'Authorization': 'Token 12ab'}", "12ab"),
        ("curl -H 'X-Api-Key: hunter2'", "hunter2"),
        ("bearer 0123456789abcdef0123", "0123456789abcdef"),
        ("https://user:hunter2@host/path", "hunter2"),
        ("git+https://hunter2@github.com/a/b", "hunter2"),
        ("postgresql://lab:hun/ter2@host/db", "ter2"),
        ("redis://:hunter2@host:6379/0", "hunter2"),
        ("https://h/x?access_token=hunter2abc&b=1", "hunter2abc"),
        ("train.py --password hunter2 --lr 1", "hunter2"),
        ("['--api-key', 'hunter2', '--lr', '1']", "hunter2"),
        ("--token=hunter2-hunter2-hunter2", "hunter2"),
        ("Set-Cookie: session=hunter2; Path=/", "hunter2"),
        ("Client(password=hunter2, user=bob)", "hunter2"),
        ("token: 9f8e7d6c5b4a9f8e7d6c5b4a", "9f8e7d6c"),
        ("x\nMIIEvQIBADANBgkqhkiG9w0B\nAQ==\n-----END PRIVATE KEY-----\ny", "MIIEvQ"),
        ("-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B", "MIIEvQ"),
        (repr(PEM), "b3BlbnNz"),
    ],
)
def test_credentials_leave_text(text, canary):
    assert canary in text
    redacted, count = redacted_text(text)
    assert canary not in redacted
    assert REDACTED in redacted
    assert count >= 1
    assert redacted_text(redacted) == (redacted, 0)


@pytest.mark.parametrize(
    "text",
    [
        "epoch 12 loss 0.1234567890123456 acc=97.5% tokens=1024 max_tokens: 4096",
        "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  data.csv",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "reading /home/ada/tokens/train.txt and C:/keys/readme",
        "pad_token='<pad>' eos_token: </s> unk_token=[UNK] token=None",
        "predicted token: cat; next_token: dog; token=the",
        "token_dropout=0.1 password_file=/run/x secret_name: db",
        "client = connect(token=self.token, password=args.password, api_key=os.environ['K'])",
        "password: Optional[str] = None",
        "first pass: 0.93, second pass: 0.95",
        "key=value keys: 3 monkey=1 keyboard: de",
        "http://host:8080/a@b https://example.org/x?key2=1 mailto:ada@example.org",
        "rsync ada@example.org:/data .",
        "pip install scikit-learn sk-learn-contrib-something-longer",
        "author=Ada authority: x authentic=1",
        "a passing test: 12 passed, 3 failed",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "eyJ is how a JSON Web Token begins",
        'KEY = "-----BEGIN " + kind',
        "cookies: 3",
        "usage: prog --password PASSWORD --token TOKEN",
        "TOKENIZERS_PARALLELISM=false",
        "secret santa is in december",
    ],
)
def test_science_stays(text):
    assert redacted_text(text) == (text, 0)


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("password", NameStrength.STRONG),
        ("dbPassword", NameStrength.STRONG),
        ("AWS_SECRET_ACCESS_KEY", NameStrength.STRONG),
        ("WANDB_API_KEY", NameStrength.STRONG),
        ("API_KEY_2", NameStrength.STRONG),
        ("HF_TOKEN", NameStrength.STRONG),
        ("credentials", NameStrength.STRONG),
        ("client-secret", NameStrength.STRONG),
        ("MY_TOKEN", NameStrength.WEAK),
        ("token", NameStrength.WEAK),
        ("pad_token", NameStrength.NO),
        ("max_tokens", NameStrength.NO),
        ("use_auth_token", NameStrength.NO),
        ("password_file", NameStrength.NO),
        ("secret_name", NameStrength.NO),
        ("key", NameStrength.NO),
        ("PWD", NameStrength.WEAK),
        ("SSH_AUTH_SOCK", NameStrength.NO),
        ("lr", NameStrength.NO),
        ("tokenizer", NameStrength.NO),
        ("passes", NameStrength.NO),
    ],
)
def test_names(name, strength):
    assert name_strength(name) is strength


def test_arguments():
    argv = ["train.py", "--password", "x", "--token=y", "API_KEY=z", "db.password=w", "-p", "4",
            "--pad-token", "<pad>", "--lr", "0.1", "https://u:p@h/", "--use-auth-token", "data.csv",
            "--api-key", "--verbose", "--max-tokens", "64"]  # fmt: skip
    safe, places = redacted_argv(argv)
    assert safe[2:6] == (
        REDACTED, f"--token={REDACTED}", f"API_KEY={REDACTED}", f"db.password={REDACTED}",
    )  # fmt: skip
    assert safe[6:12] == tuple(argv[6:12])
    assert safe[12] == f"https://{REDACTED}@h/"
    assert safe[13:] == tuple(argv[13:])
    assert places == ("argv[2]", "argv[3]", "argv[4]", "argv[5]", "argv[12]")
    assert redacted_argv(safe) == (safe, ())


def test_configuration():
    config = {
        "lr": 1e-3,
        "database": {"password": "x y", "port": 5432, "pin": {"passcode": 1234}},
        "credentials": {"user": "ada", "more": ["a", {"b": "c"}], "active": True},
        "services": [{"api_key": "k", "url": "https://u:p@h/"}, {"token": "abc"}],
        "tokenizer": {"pad_token": "<pad>", "max_tokens": 512, "vocabulary": ["token", "secret"]},
        "note": f"see {TOKENS[1]}",
        "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "password": None,
        "token": "${TOKEN}",
    }
    safe, places = redacted_mapping(config)
    assert places == (
        "database.password",
        "database.pin.passcode",
        "credentials.user",
        "credentials.more[0]",
        "credentials.more[1].b",
        "services[0].api_key",
        "services[0].url",
        "services[1].token",
        "note",
    )
    assert safe["database"] == {"password": REDACTED, "port": 5432, "pin": {"passcode": REDACTED}}
    assert safe["credentials"]["active"] is True
    for key in ("lr", "tokenizer", "commit", "password", "token"):
        assert safe[key] == config[key]
    assert redacted_mapping(safe) == (safe, ())


@pytest.mark.parametrize(
    ("url", "sanitized"),
    [
        ("https://user:secret@host/a.git", "https://host/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("git@github.com:owner/name.git", "github.com:owner/name.git"),
        ("user:pw@host:owner/name.git", "host:owner/name.git"),
        ("ssh://git@host:22/x", "ssh://host:22/x"),
        ("postgresql+psycopg://lab:p%40ss@db/book", "postgresql+psycopg://db/book"),
        ("postgresql://lab:p@ss@db/book", "postgresql://db/book"),
        ("postgresql://lab:p/ss@db/book", "postgresql://db/book"),
        ("postgresql://db/book?password=abc&sslmode=require",
         f"postgresql://db/book?password={REDACTED}&sslmode=require"),
        ("https://h/x?sig=abc&part=2", f"https://h/x?sig={REDACTED}&part=2"),
        ("https://h/x?X-Amz-Signature=abc#a", f"https://h/x?X-Amz-Signature={REDACTED}#a"),
        ("sqlite:////home/ada/.trialbook/book.db", "sqlite:////home/ada/.trialbook/book.db"),
        ("/srv/git/a@b:c.git", "/srv/git/a@b:c.git"),
        ("../relative/repo", "../relative/repo"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
    ],
)  # fmt: skip
def test_urls(url, sanitized):
    assert sanitized_url(url) == sanitized
    assert sanitized_url(sanitized) == sanitized


def test_values_of_secret_variables_are_redacted_wherever_they_stand():
    canary = "canary-9f8e7d6c5b"
    environ = {
        "MY_API_TOKEN": canary,
        "PGPASSWORD": "postgres-lab",
        "SHORT_SECRET": "abc",
        "PATH": "/usr/bin:/bin-long-enough",
        "PWD": "/home/ada/project",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/ada/creds.json",
        "QUERY_SECRET": "a b/c+d=9876",
        "KEYS": "nothing to see",
        "SERVICE_PRIVATE_KEY": PEM,
        "OTHER_TOKEN": "12345678",
    }
    values = secret_values_of(environ)
    assert "abc" not in values
    assert not any("/home/ada" in value or "/usr" in value for value in values)
    text = (
        "got canary-9f8e7d6c5b from x?t=a%20b%2Fc%2Bd%3D9876 "
        "postgres-lab postgres-labs 0.12345678 12345678"
    )
    redacted, count = redacted_text(text, secrets=values)
    assert redacted == (
        f"got {REDACTED} from x?t={REDACTED} {REDACTED} postgres-labs 0.12345678 {REDACTED}"
    )
    assert count == 4
    assert "b3BlbnNz" not in redacted_text(PEM.splitlines()[1], secrets=values)[0]
    assert redacted_argv(["a", "x=canary-9f8e7d6c5b"], secrets=values)[1] == ("argv[1]",)
    assert redacted_mapping({"a": "canary-9f8e7d6c5b"}, secrets=values)[1] == ("a",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", b""),
        ("conf/.env.local", b""),
        ("prod.env", b""),
        (".envrc", b""),
        ("id_rsa", b""),
        ("id_ed25519", b""),
        ("server.pem", b""),
        ("a/b/server.key", b""),
        ("x.p12", b""),
        ("x.pfx", b""),
        (".netrc", b""),
        (".pgpass", b""),
        (".npmrc", b""),
        (".pypirc", b""),
        ("credentials.json", b"{}"),
        ("service-account-lab.json", b"{}"),
        ("api_key.txt", b"x"),
        ("secrets.toml", b""),
        (".ssh/config", b""),
        ("notes.txt", PEM.encode()),
        ("deploy.py", b"KEY = '''" + PEM.encode() + b"'''"),
        ("gcp.json", b'{"type": "service_account", "private_key": "' +
         PEM.replace("\n", "\\n").encode() + b'"}'),
        ("train.py", b"token = '" + TOKENS[1].encode() + b"'"),
        ("train.py", b"API_" + b"KEY = '9f8e7d6c5b4a9f8e7d6c5b4a'"),
        ("conf.yaml", b"lr: 0.1\npassword: hunter2\n"),
        ("conf.json", b'{"db": {"api_key": "abc"}}'),
        ("conf.ini", b"url = postgresql://lab:hunter2@db/x\n"),
        ("archive.bin", b"\0\1" + TOKENS[1].encode()),
    ],
)  # fmt: skip
def test_files_that_hold_credentials(name, content):
    assert looks_secret(content, name) is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("token.py", b"def token(): ...\npassword = None\n"),
        ("secrets.py", b"import re\nPEM = re.compile('-----BEGIN PRIVATE KEY-----')\n"),
        ("id_rsa.pub", b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ ada@host"),
        (".env.example", b"API_KEY=\nTOKEN=<your token>\n"),
        ("tokens.txt", b"the\ncat\n"),
        ("tokenizer.json", b'{"pad_token": "<pad>", "token": "</s>"}'),
        ("conf.yaml", b"max_tokens: 5\npassword: ${DB_PASSWORD}\ntoken: null\n"),
        ("train.py", b"connect(password=args.password, token=os.environ['TOKEN'])\n"),
        ("README.md", b"postgresql://user:password@host/db, or https://user:pass@host\n"),
        ("keyboard.csv", b"key,value\n1,2\n"),
        ("environment.yml", b"name: x\n"),
        ("data.npy", bytes(range(256)) * 100),
    ],
)
def test_files_that_hold_none(name, content):
    assert looks_secret(content, name) is None


def test_a_file_with_the_value_of_a_secret_variable():
    assert looks_secret(b"x = 'canary-9f8e7d6c5b'", "a.py", secrets=("canary-9f8e7d6c5b",))


CANARY = st.text(string.ascii_letters + string.digits + "_-+", min_size=12, max_size=40).map(
    lambda text: f"Q7{text}"
)


@given(st.text(max_size=200), CANARY, st.text(max_size=200))
def test_a_known_value_never_survives(before, canary, after):
    text, _ = redacted_text(f"{before}{canary} {after}", secrets=(canary,))
    # Around it anything may stand; next to a word character a dictionary word would be kept.
    if not (before[-1:].isalnum() or before[-1:] in "_."):
        assert canary not in text.replace(REDACTED, " ")


@given(
    st.text(string.printable, max_size=100),
    st.sampled_from(["password=", "api_key: ", '"secret": "', "https://u:", "--password "]),
    CANARY,
)
def test_a_named_value_never_survives(before, name, canary):
    ending = {'"secret": "': '"', "https://u:": "@host/"}.get(name, "\n")
    text, _ = redacted_text(f"{before}\n{name}{canary}{ending}")
    assert canary not in text


@given(
    st.lists(
        st.one_of(
            st.text(max_size=10),
            st.sampled_from(
                ["password", "=", ": ", '"', "'", "token", "@", "://", "Bearer ", REDACTED, "--",
                 "api_key", "\n", " ", "\\", TOKENS[0], PEM, "-----END PRIVATE KEY-----", "&sig=",
                 "Authorization: ", "Cookie: ", ",", "]", "a1b2c3d4e5f6g7h8i9"]
            ),
        ),
        max_size=20,
    ).map("".join)
)  # fmt: skip
@settings(max_examples=400)
def test_redaction_is_idempotent(text):
    once, _ = redacted_text(text)
    assert redacted_text(once)[0] == once


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.floats(), st.integers(), st.booleans())))
def test_numbers_of_a_configuration_stay(numbers):
    plain = {key: value for key, value in numbers.items() if not name_strength(key)}
    safe, places = redacted_mapping(plain)
    assert places == ()
    assert list(map(repr, safe.values())) == list(map(repr, plain.values()))


@pytest.mark.parametrize(
    "unit",
    ["a", "-", "=", "password=", "password: \"", "://a:", "://", "eyJ", "eyJa.", "sk-", "a@", " ",
     "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----A\n",
     "Authorization:", "Cookie: ", "Bearer ", "--password ", "token: a", "\\\"password", "AKIA",
     "xoxb-", "A1", "[redacted]", "password=[redacted]", "secret", "_key"],
)  # fmt: skip
def test_time_is_linear_in_hostile_text(unit):
    text = unit * (250_000 // len(unit))
    began = time.process_time()
    redacted_text(text)
    looks_secret(text.encode(), "a.yaml")
    assert time.process_time() - began < 4  # where time is quadratic it takes a minute
