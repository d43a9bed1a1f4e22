"""The brokers of this repository and what they can do, from their certificates."""

from __future__ import annotations

import inspect
import re
import tomllib

from qcore.brokers import addresses, base, pauses, tools
from qcore.brokers.base import CAPABILITIES, Broker
from qcore.plugins import Provider, builtin

from . import certificates, docstrings, plugins

# a flag, and the question behind it; the formatter may put it on a line of its own
_FLAG = re.compile(
    r"^    supports_(\w+): ClassVar\[bool\] = \(?\s*\w+  # (.+)\?$", re.MULTILINE
)


def providers() -> list[tuple[Provider, str]]:
    """Return every broker with the folder of its plugin; the built-in one first."""
    ours = [(one, "") for one in plugins.providers(builtin, "broker")]
    theirs = [
        (one, folder.name)
        for folder, _, module in plugins.found()
        for one in plugins.providers(module, "broker")
    ]
    return ours + theirs


def table() -> str:
    """Return the brokers and their settings, then the capabilities of each."""
    found = providers()
    return f"{_who(found)}\n\n{_what(found)}"


def _who(found: list[tuple[Provider, str]]) -> str:
    rows = ["| broker | plugin | selected by | extra |", "| --- | --- | --- | --- |"]
    extras = tomllib.loads((plugins.ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for provider, folder in found:
        plugin = (
            f"[{folder}](../../plugins/{folder}/README.md)" if folder else "the core"
        )
        keys = ", ".join(f"`{claim}`" for claim in provider.claims) or "`broker_class`"
        extra = f"`{provider.name}`" if provider.name in extras else "-"
        rows.append(f"| {provider.name} | {plugin} | {keys} | {extra} |")
    return "\n".join(rows)


def _what(found: list[tuple[Provider, str]]) -> str:
    questions = dict(_FLAG.findall(inspect.getsource(base)))
    brokers: list[tuple[str, type[Broker]]] = [
        (provider.name, provider.load()) for provider, _ in found
    ]
    certified = certificates.capabilities()
    found_by_tests = [
        certified.get(provider.target) or broker.capabilities()
        for (provider, _), (_, broker) in zip(found, brokers, strict=True)
    ]
    rows = [
        f"| capability | question | {' | '.join(name for name, _ in brokers)} |",
        f"| --- | --- |{' --- |' * len(brokers)}",
    ]
    for name in CAPABILITIES:
        answers = ["yes" if flags.get(name) else "no" for flags in found_by_tests]
        rows.append(f"| {name} | {questions[name]}? | {' | '.join(answers)} |")
    sizes = [f"{broker.max_batch:,}" for _, broker in brokers]
    rows.append(f"| batch | how many packages in one call? | {' | '.join(sizes)} |")
    return "\n".join(rows)


def methods() -> str:
    """Return one heading per method of the contract."""
    text = []
    for name, thing in vars(Broker).items():
        if name.startswith("_") or not callable(thing):
            continue
        if not inspect.isfunction(thing):
            continue  # class methods report, they are not for authors to write
        text += [
            f"### {name}",
            docstrings.signature(thing, name),
            docstrings.markdown(thing),
        ]
    return "\n\n".join(text)


def helpers() -> str:
    """Return one heading per tool that brokers share."""
    text = []
    for module in (tools, addresses, pauses):
        for name, thing in vars(module).items():
            if (
                name.startswith("_")
                or getattr(thing, "__module__", "") != module.__name__
            ):
                continue
            if inspect.isroutine(thing) or inspect.isclass(thing):
                text += [
                    f"### {module.__name__}.{name}",
                    docstrings.signature(thing, name),
                    docstrings.markdown(thing),
                ]
    return "\n\n".join(text)
