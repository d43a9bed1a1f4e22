"""It ends the process that imports it, as a script does that has no guard."""

raise SystemExit("not here")
