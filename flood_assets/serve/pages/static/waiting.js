// Show the page that was asked for as soon as there is one.
"use strict";

(() => {
  const EACH = 5000;
  async function look() {
    try {
      const answer = document.hidden ? null : await fetch(window.location.href, { method: "HEAD", cache: "no-store" });
      if (answer && answer.status !== 503) { window.location.reload(); return; }
    } catch { /* the server is not there either: look again */ }
    window.setTimeout(look, EACH);
  }
  window.setTimeout(look, EACH);
})();
