"""Feature plugins: those that decide about tasks, each with its name and what it hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import PluginBroken, PluginConflict
from ..features import TaskOption

if TYPE_CHECKING:
    import pluggy

#: The hooks of which each implementation is called alone, with the plugin's name known.
HOOKS = (
    "qcore_before_send",
    "qcore_admit",
    "qcore_wrap_call",
    "qcore_renew",
    "qcore_settle",
    "qcore_sweep",
)


class FeaturePlugins:
    """What the loaded plugins hook that decides about tasks, in the order of loading.

    Each attribute is an empty dictionary where no plugin implements the hook: for a task
    without a feature, that is all that is looked at.
    """

    def __init__(self) -> None:
        #: the names of all plugins that are loaded and not broken
        self.names: set[str] = set()
        self.before_send: dict[str, Callable[..., Any]] = {}
        #: whether a plugin is asked about all tasks before they are sent: it has no options
        self.asks_of_all = False
        self.admit: dict[str, Callable[..., Any]] = {}
        self.wrap_call: dict[str, Callable[..., Any]] = {}
        self.renew: dict[str, Callable[..., Any]] = {}
        self.settle: dict[str, Callable[..., Any]] = {}
        self.sweep: dict[str, Callable[..., Any]] = {}
        self._last: list[str] = []  # asked last before sending
        #: the options that plugins add to tasks, and the plugin of each
        self.options: dict[str, TaskOption] = {}
        self.owners: dict[str, str] = {}

    def add(
        self,
        name: str,
        module: object,
        options: Sequence[TaskOption],
        manager: pluggy.PluginManager,
    ) -> None:
        """Add a plugin that is loaded, under the name of its entry point."""
        self.names.add(name)
        for option in options:
            self.options[option.name] = option
            self.owners[option.name] = name
        for hook in HOOKS:
            for found in getattr(manager.hook, hook).get_hookimpls():
                if found.plugin is module:
                    calls: dict[str, Callable[..., Any]]
                    calls = getattr(self, hook.removeprefix("qcore_"))
                    calls[name] = _caller(found)
                    if hook == "qcore_before_send":
                        self._put_last(name, last=found.trylast)
        self.asks_of_all |= name in self.before_send and not options

    def _put_last(self, name: str, *, last: bool) -> None:
        """Let implementations that are marked with ``trylast`` be asked after the others."""
        if last:
            self._last.append(name)
        for late in self._last:
            self.before_send[late] = self.before_send.pop(late)

    def decides(self, plugin: str) -> bool:
        """Whether a plugin decides about tasks, or only observes them."""
        calls = (self.admit, self.wrap_call, self.renew, self.settle)
        return plugin in self.owners.values() or any(plugin in one for one in calls)

    def options_of(self, plugin: str) -> list[str]:
        """Return the names of the options that a plugin adds to tasks."""
        return [option for option, owner in self.owners.items() if owner == plugin]

    def read_options(self, module: object, label: str) -> list[TaskOption]:
        """Return the options that a plugin declares.

        Raises:
            PluginBroken: one of them is none, or has a name that no option can have.
            PluginConflict: another plugin has an option of that name.
        """
        implementation = getattr(module, "qcore_task_options", None)
        options = list(implementation()) if implementation is not None else []
        where = f"{label}: qcore_task_options()"
        taken = dict(self.owners)
        for option in options:
            if not isinstance(option, TaskOption):
                raise PluginBroken(
                    f"{where} must return qcore.TaskOption objects, got"
                    f" {type(option).__name__}"
                )
            _refuse_name(option.name, where)
            if option.name in taken:
                raise PluginConflict(
                    f"the task option {option.name!r} is declared by both the plugin"
                    f" {taken[option.name]!r} and {label}. Uninstall one of them, or name"
                    " the others in QCORE_PLUGINS."
                )
            taken[option.name] = label
        return options


def _refuse_name(name: object, where: str) -> None:
    from ..tasks.option_table import OPTIONS

    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        raise PluginBroken(
            f"{where}: the name of an option must be a Python name in lower case, got"
            f" {name!r}"
        )
    if name in OPTIONS or name in {"task_id", "q_options"}:
        raise PluginBroken(
            f"{where} declares {name!r}, which is an option of qcore itself. Choose"
            " another name"
        )


def _caller(implementation: pluggy.HookImpl) -> Callable[..., Any]:
    """Return a call of an implementation with those of the arguments that it takes."""
    function, names = implementation.function, implementation.argnames

    def call(**arguments: Any) -> Any:
        return function(*[arguments[name] for name in names])

    return call
