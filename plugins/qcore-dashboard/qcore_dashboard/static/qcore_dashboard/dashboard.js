"use strict";
// The page refreshes itself, unless nobody looks at it or somebody types in it.
document.addEventListener("htmx:beforeRequest", (event) => {
  const live = event.detail.elt;
  if (!live.hasAttribute("data-qd-refresh")) {
    return;
  }
  const focused = document.activeElement;
  const isInUse = focused !== null && focused !== document.body && live.contains(focused);
  if (document.hidden || isInUse || !getSelection().isCollapsed) {
    event.preventDefault();
  }
});
