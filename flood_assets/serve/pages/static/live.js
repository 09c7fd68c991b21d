// Tell a page that its data have changed, by the stream of changes; by asking each minute where there is no stream.
"use strict";

function live(filters, refresh) {
  const PAUSE = 10000, EACH = 60000;
  let source = null, changed = false, polling = 0;

  function again() {
    changed = false;
    Promise.resolve(refresh()).catch(() => {}); // the next change, or minute, tries again
  }

  // A refresh of the lake is thousands of changes within seconds: hear the first, listen anew when they are over,
  // and only then ask, so that nothing is missed between.
  function heard() {
    source.close();
    source = null;
    window.setTimeout(() => {
      listen();
      if (document.hidden) changed = true; else again();
    }, PAUSE);
  }

  function listen() {
    if (!window.EventSource || polling) return poll();
    source = new EventSource("/api/v1/stream" + (filters ? "?" + filters : ""));
    source.addEventListener("change", heard, { once: true });
    // A connection that broke is made again by the browser; one that was refused is closed for good.
    source.onerror = () => { if (source && source.readyState === EventSource.CLOSED) poll(); };
  }

  function poll() {
    source = null;
    if (!polling) polling = window.setInterval(() => { if (document.hidden) changed = true; else again(); }, EACH);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden && changed) again(); });
  window.addEventListener("pagehide", () => { if (source) source.close(); });
  listen();
}
