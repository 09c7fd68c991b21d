// Bring an open page up to date when its data change, by the stream of changes. The server words the page: it is asked
// for again, and what is new in it is put in its place.
"use strict";

function live(filters, also) {
  // A refresh of the lake is thousands of changes within some seconds: show the first of them soon, and the rest when no
  // more come. Ages are said in minutes, so without a change a page is asked for again now and then.
  const SOON = 1000, QUIET = 10000, LEAST = 15000, OFTEN = 300000, AGAIN = 30000, HIDDEN = 30000;
  const box = document.getElementById("live"), wanted = box.querySelector("input"), button = box.querySelector("button"), told = box.querySelector("span");
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/London", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  let source = null, last = "", stale = false, busy = false, shown = Date.now() - LEAST;
  let soon = 0, quiet = 0, often = 0, again = 0, leaving = 0;

  // Not all clients at once.
  const later = (then, wait) => window.setTimeout(then, wait * (1 + Math.random() / 2));
  const say = (text) => { told.textContent = text; };

  const age = () => { if (wanted.checked) show(); };

  async function show() {
    window.clearTimeout(soon); window.clearTimeout(often);
    soon = 0;
    often = later(age, OFTEN);
    if (document.hidden) { stale = true; return; }
    if (busy) { changed(); return; }
    busy = true; shown = Date.now(); stale = false; button.hidden = true;
    try {
      const address = window.location.href, answer = await fetch(address, { cache: "no-cache" });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      // A reader who has searched meanwhile has newer ones already.
      if (address === window.location.href) ["main", "footer"].forEach((each) => renew(document.querySelector(each), page.querySelector(each)));
      await also();
      say("Up to date at " + clock.format(new Date()) + ".");
    } catch {
      stale = true;
      say("The server does not answer; this page tries again.");
      quiet = later(changed, AGAIN);
    } finally { busy = false; }
  }

  function changed() {
    stale = true;
    if (document.hidden) return;
    if (!wanted.checked) { button.hidden = false; say("New readings have come."); return; }
    if (!soon && !busy && Date.now() - shown > LEAST) soon = later(show, SOON);
    window.clearTimeout(quiet);
    quiet = later(show, QUIET);
  }

  function listen() {
    if (source || document.hidden || !window.EventSource) return;
    // Of each change only that there is one.
    const asked = new URLSearchParams(filters);
    asked.set("columns", "change");
    if (last) asked.set("last_event_id", last);
    source = new EventSource("/api/v1/stream?" + asked);
    const heard = (event) => { last = event.lastEventId || last; };
    source.addEventListener("change", (event) => { heard(event); changed(); if (!filters.length) rest(); });
    source.addEventListener("reset", () => { last = ""; changed(); });
    source.addEventListener("snapshot", (event) => {
      heard(event);
      box.dataset.connected = "";
      // The lake may have changed between the making of the page and now.
      if (JSON.parse(event.data).version !== document.querySelector("[data-version]").dataset.version) changed();
    });
    // The browser makes a broken connection again, and goes on after the last event; a refused one is closed for good.
    source.onerror = () => {
      delete box.dataset.connected;
      if (!source || source.readyState !== EventSource.CLOSED) return;
      source = null;
      again = later(() => { listen(); changed(); }, AGAIN);
    };
  }

  // For all gauges the rest of a refresh is thousands of rows: what comes meanwhile is told by the state of the lake.
  function rest() {
    source.close();
    source = null; last = "";
    delete box.dataset.connected;
    again = later(listen, QUIET);
  }

  // A browser has six connections to a server: a page that nobody looks at gives its own up.
  function leave() {
    if (source) source.close();
    source = null;
    delete box.dataset.connected;
    [soon, quiet, often, again].forEach((each) => window.clearTimeout(each));
    soon = quiet = 0;
  }

  function come() {
    window.clearTimeout(leaving);
    window.clearTimeout(often);
    often = later(age, Math.max(0, OFTEN - (Date.now() - shown)));
    listen();
    if (stale) changed();
  }

  document.addEventListener("visibilitychange", () => { if (document.hidden) leaving = window.setTimeout(leave, HIDDEN); else come(); });
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => { if (event.persisted) come(); });
  button.addEventListener("click", show);
  wanted.addEventListener("change", () => {
    try { window.localStorage.setItem("live", wanted.checked ? "yes" : "no"); } catch { /* only for this page then */ }
    if (wanted.checked && stale) changed();
  });
  try { wanted.checked = window.localStorage.getItem("live") !== "no"; } catch { /* as the page says */ }
  box.hidden = false;
  come();
}
