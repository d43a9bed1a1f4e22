"""How Sphinx builds the manual: ``python3 noxfile.py -s docs``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

from qcore import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "qcore"
author = "The qcore developers"
copyright = author
version = release = __version__

extensions = ["myst_parser"]
# parts/ is the code that writes the generated parts of the pages, changes/ the fragments
# of the next changelog
exclude_patterns = ["_build", "parts", "changes"]

myst_enable_extensions = ["deflist"]
# anchors such as configuration.md#timeout, the same as those of code hosts
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"qcore {__version__}"
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"

# [text](../../README.md): a file of the repository that is no page of the manual
_OUTSIDE = re.compile(r"\[([^]]+)\]\(((?:\.\./)+[\w./-]+)\)")
HERE = Path(__file__).resolve().parent


def name_files_outside(_app: Sphinx, page: str, source: list[str]) -> None:
    """Show links that lead out of the manual as paths in the repository."""

    def one(link: re.Match[str]) -> str:
        file = ((HERE / page).parent / link[2]).resolve()
        if file.is_relative_to(HERE):
            return link[0]
        return f"{link[1]} (`{file.relative_to(HERE.parent)}`)"

    source[0] = _OUTSIDE.sub(one, source[0])


def setup(app: Sphinx) -> None:
    """Connect what is above; Sphinx calls this."""
    app.connect("source-read", name_files_outside)
    # code hosts draw such diagrams; here their text is shown, which can be read as it is
    app.add_lexer("mermaid", TextLexer)
