"""How Sphinx builds the manual: ``python3 noxfile.py -s docs``."""

from __future__ import annotations

from qcore import __version__

project = "qcore"
author = "The qcore developers"
copyright = author
version = release = __version__

extensions = ["myst_parser"]
# parts/ is the code that writes the generated parts of the pages
exclude_patterns = ["_build", "parts"]

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
