from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from support.own_modules import give_own

from qcore import __version__, cli, errors
from qcore.cli import VERBS, bench, cluster, exits, main


def test_a_plugin_adds_a_verb(monkeypatch, capsys):
    """Its module is loaded where the verb is none of ours, and not before."""
    added = types.SimpleNamespace(
        __doc__="Grow.",
        HELP="grow",
        add_arguments=lambda parser: parser.add_argument("--far", type=int),
        run=lambda options, out: out.write(f"{options.far}\n") and 0,
    )

    class Point:
        dist = types.SimpleNamespace(name="acme")

        def __init__(self, name, found):
            self.name, self.found = name, found

        def load(self):
            if isinstance(self.found, Exception):
                raise self.found
            return self.found

    points = [Point("grow", added), Point("info", None), Point("odd", OSError("gone"))]
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: points if group else []
    )
    monkeypatch.setattr(
        cli, "_WITHOUT_SETTINGS", {*cli._WITHOUT_SETTINGS, "grow", "odd"}
    )
    assert cli.main(["grow", "--far", "3"]) == 0
    assert capsys.readouterr() == ("3\n", "")
    assert cli.main(["odd"]) == 2
    assert "the verb 'odd' cannot be loaded: OSError: gone" in capsys.readouterr().err
    assert cli.main(["groww"]) == 2
    assert "did you mean 'grow'" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    assert "added by acme" in capsys.readouterr().out
    assert cli.main(["plugins", "--help"]) == 0
    assert "cannot be loaded" not in capsys.readouterr().err


def test_without_a_verb_it_explains_itself_and_fails(capsys):
    assert main([]) == 2
    assert "verbs:" in capsys.readouterr().err


def test_help_names_every_verb_and_every_exit_code(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb, module in VERBS.items():
        (line,) = re.findall(rf"^    {verb} +(.+)$", shown, re.MULTILINE)
        assert module.HELP.startswith(line)
    codes = {exits.OK, exits.FAILURE, exits.USAGE, exits.UNHEALTHY}
    for code in codes | {exits.REFUSED, exits.TEMPORARY}:
        assert f" {code}  " in shown


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself_in_eighty_columns(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: qcore {verb}")
    long = [line for line in shown.splitlines() if len(line) > 80]
    assert not long


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"qcore {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["clustr"],
        ["monitor", "--interval", "soon"],
        ["monitor", "--interval", "0"],
        ["demo", "--tasks", "0"],
        ["demo", "--workers", "many"],
        ["bench", "--only", "everything"],
        ["plugins", "--settings", "x"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(words, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("usage: qcore")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["inof"], "qcore: error: there is no verb 'inof' - did you mean 'info'?"),
        (["dead", "rsend"], "- did you mean 'resend'?"),
        (["limits", "rest"], "- did you mean 'reset'?"),
        (["ledger", "satus"], "- did you mean 'status'?"),
        (["worker"], "there is no verb 'worker' - did you mean 'cluster'?"),
        (["status"], "there is no verb 'status' - did you mean 'info'?"),
        (["xyz"], "there is no verb 'xyz'. Verbs: cluster, dev, monitor"),
        (["--verion"], "qcore: error: unrecognized arguments: --verion - did you"),
        (
            ["info", "--jsn"],
            "qcore info: error: unrecognized arguments: --jsn - did you",
        ),
        (["cluster", "-x=1"], "qcore cluster: error: unrecognized arguments: -x=1\n"),
    ],
)
def test_a_misspelt_word_is_told_with_the_nearest(words, expected, capsys):
    assert main(words) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError, 2),
        (errors.PluginMissing, 2),
        (errors.PluginConflict, 2),
        (errors.BrokerUnavailable, 75),
        (errors.Unsupported, 1),
        (errors.StoreError, 1),
        (errors.QcoreError, 1),
    ],
)
def test_errors_have_exit_codes(error, code):
    assert exits.code_of(error("x")) == code


@pytest.mark.live
def test_help_imports_neither_django_nor_plugins():
    script = (
        "import sys; from qcore.cli import main; main(['--help']);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in"
        " ('django', 'pluggy', 'msgspec', 'rich', 'qcore_orm', 'qcore_redis')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.live
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path):
    command = f"{sys.executable} -m qcore plugins | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


@pytest.fixture
def no_fork(monkeypatch):
    for verb in (bench, cluster):
        give_own(monkeypatch, verb, "os", without=["fork"])


@pytest.mark.usefixtures("no_fork")
def test_a_cluster_is_refused_plainly_where_there_is_no_fork(capsys):
    assert main(["cluster", "--settings", "settings"]) == 5
    shown = capsys.readouterr()
    assert "needs Linux or macOS" in shown.err
    assert "Q_CLUSTER['sync'] = True" in shown.err
    assert shown.out == ""
