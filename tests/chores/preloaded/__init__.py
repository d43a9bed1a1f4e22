"""An app whose tasks tell in which process they were imported."""
