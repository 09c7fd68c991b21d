// Make a part of the page like a fresh one and touch nothing else, so that what a reader has focused, selected, opened
// or enlarged stays. Elements with `data-keep` are left alone, and those with `data-own` are a script's, not the server's.
"use strict";

function renew(old, fresh) {
  const focused = document.activeElement;

  const nameOf = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    if (node.id) return "#" + node.id;
    const telling = node.nodeName === "LI" ? node.querySelector("a[href]") : node.nodeName === "TR" ? node.querySelector("time") : null;
    return telling ? telling.getAttribute("href") || telling.getAttribute("datetime") : "";
  };
  // With script there is nothing in a `noscript` but text.
  const kept = (node) => node.nodeName === "NOSCRIPT" || node.dataset !== undefined && (node.dataset.keep !== undefined || node.dataset.own !== undefined);

  function alike(old, fresh) {
    if (kept(old) || old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName || nameOf(old)[0] === "#" && nameOf(old) !== nameOf(fresh)) { old.replaceWith(fresh); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { old.data = fresh.data; return; }
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    children(old, fresh);
  }

  function children(old, fresh) {
    const wanted = new Set([...fresh.children].map(nameOf)), known = new Map();
    for (const child of [...old.children]) {
      const name = nameOf(child);
      if (!name) continue;
      if (!wanted.has(name) && !kept(child)) child.remove(); else if (!known.has(name)) known.set(name, child);
    }
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      while (at && at.dataset && at.dataset.own !== undefined) at = at.nextSibling;
      const name = nameOf(child), same = name && known.get(name);
      known.delete(name);
      if (same) {
        while (at && at !== same && at.nodeType === Node.TEXT_NODE) { const next = at.nextSibling; at.remove(); at = next; }
        if (at === same) at = at.nextSibling; else old.insertBefore(same, at);
        alike(same, child);
      } else if (at && at.nodeName === child.nodeName && !nameOf(at) && !name) {
        const next = at.nextSibling;
        alike(at, child);
        at = next;
      } else old.insertBefore(child, at);
    }
    while (at) { const next = at.nextSibling; if (!kept(at)) at.remove(); at = next; }
  }

  // What is in them would be loaded, though nobody sees it.
  fresh.querySelectorAll("noscript").forEach((each) => each.replaceChildren());
  alike(old, document.importNode(fresh, true));
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
