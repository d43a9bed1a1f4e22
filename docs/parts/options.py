"""The options of a task, from their table."""

from __future__ import annotations

from qcore.tasks.options import TABLE


def table() -> str:
    """Return each option with its meaning."""
    rows = ["| option | meaning |", "| --- | --- |"]
    for name, option in TABLE.items():
        told = f"{option.help} (*)" if option.yields else option.help
        rows.append(f"| `{name}` | {told} |")
    rows.append(
        "| `q_options` | all of these in one dictionary, for functions with keywords of the"
        " same names |"
    )
    notes = []
    if any(option.yields for option in TABLE.values()):
        notes.append(
            "(*) As a keyword of `async_task`, it is an argument of the function where the"
            " function takes a keyword of that name, or cannot be looked at because its"
            " module is not loaded. In `q_options` it is always an option."
        )
    ignored = [f"`{name}`" for name, option in TABLE.items() if option.at_call_only]
    notes.append(f"A schedule ignores {', '.join(ignored)}: a cluster sends its tasks.")
    return "\n\n".join(["\n".join(rows), *notes])
