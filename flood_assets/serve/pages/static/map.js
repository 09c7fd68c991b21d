// Draw the map of stations, and keep the list beside it in step with the search. Without this script a page has both
// as the server made them.
"use strict";

(() => {
  const place = document.getElementById("map");
  const form = document.getElementById("find");
  const FEW = 400;
  const BELOW = 0, NORMAL = 1, ABOVE = 2, RECORD = 3;
  const INK = { [BELOW]: "#8a4b00", [NORMAL]: "#4d6780", [ABOVE]: "#0b5fae", [RECORD]: "#c1121f" };
  const TOWNS = [["London", 51.507, -0.128], ["Birmingham", 52.48, -1.9], ["Manchester", 53.48, -2.24], ["Leeds", 53.8, -1.55],
    ["Newcastle", 54.975, -1.61], ["Bristol", 51.455, -2.59], ["Norwich", 52.63, 1.297], ["Plymouth", 50.375, -4.14],
    ["Carlisle", 54.895, -2.935], ["Southampton", 50.905, -1.404], ["Nottingham", 52.955, -1.15], ["York", 53.96, -1.08],
    ["Hull", 53.745, -0.336], ["Exeter", 50.725, -3.527], ["Oxford", 51.752, -1.258], ["Cambridge", 52.205, 0.119],
    ["Liverpool", 53.408, -2.991], ["Dover", 51.127, 1.313], ["Penzance", 50.118, -5.537], ["Shrewsbury", 52.708, -2.754],
    ["Lincoln", 53.23, -0.54], ["Brighton", 50.822, -0.137], ["Gloucester", 51.865, -2.243], ["Lancaster", 54.047, -2.801]];

  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const map = L.map(place, { attributionControl: false, zoomAnimation: !still, fadeAnimation: !still, inertia: !still, zoomSnap: 0.25, minZoom: 5, maxZoom: 14, maxBounds: [[47, -14], [63, 8]], keyboard: true });
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", "Map: arrow keys move it, plus and minus change its size. The list has the same stations.");
  map.fitBounds([[49.9, -5.8], [55.8, 1.8]]);

  let data = null, shown = null, order = [];

  // Places on the map of zoom 0, 256 units wide (Web Mercator): every drawing then is one multiplication a place.
  const across = (long) => ((long + 180) / 360) * 256;
  const down = (lat) => (0.5 - Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360)) / (2 * Math.PI)) * 256;

  function ring(points) {
    const found = new Float64Array(points.length * 2);
    points.forEach(([long, lat], i) => { found[2 * i] = across(long); found[2 * i + 1] = down(lat); });
    return found;
  }

  // The coast and all marks in one canvas: five thousand shapes take some ten milliseconds. It is larger than the map,
  // so that no edge shows while it is moved.
  const BESIDE = 0.2;
  let coast = [];
  const Marks = L.Layer.extend({
    onAdd() {
      this.canvas = L.DomUtil.create("canvas", "leaflet-zoom-hide");
      this.canvas.setAttribute("aria-hidden", "true");
      map.getPanes().overlayPane.appendChild(this.canvas);
      map.on("moveend resize viewreset zoomend", this.draw, this);
      this.draw();
    },
    onRemove() { this.canvas.remove(); map.off("moveend resize viewreset zoomend", this.draw, this); },
    draw() {
      const size = map.getSize(), ratio = Math.min(2, window.devicePixelRatio || 1), canvas = this.canvas;
      const beside = size.multiplyBy(BESIDE).round(), whole = size.add(beside.multiplyBy(2));
      L.DomUtil.setPosition(canvas, map.containerPointToLayerPoint(beside.multiplyBy(-1)));
      canvas.width = whole.x * ratio; canvas.height = whole.y * ratio;
      canvas.style.width = whole.x + "px"; canvas.style.height = whole.y + "px";
      const ink = canvas.getContext("2d");
      ink.scale(ratio, ratio);
      const scale = 2 ** map.getZoom(), corner = map.getPixelBounds().min.subtract(beside);
      land(ink, scale, corner);
      this.at = []; this.beside = beside;
      if (!data) return;
      // Few that were found are large, and under no name.
      const few = shown !== null && shown.size < FEW;
      const big = Math.min(2, Math.max(1, (map.getZoom() - 6) * 0.35 + 1)) * (few ? 1.6 : 1);
      let named = few;
      if (few) names(ink, scale, corner, whole);
      for (const i of order) {
        if (!named && data.band[i] >= ABOVE) { names(ink, scale, corner, whole); named = true; }
        if (data.lat[i] === null || (shown && !shown.has(i))) continue;
        const x = data.x[i] * scale - corner.x, y = data.y[i] * scale - corner.y;
        if (x < -20 || y < -20 || x > whole.x + 20 || y > whole.y + 20) continue;
        this.at.push(i, x, y);
        mark(ink, x, y, i, big);
      }
      if (!named) names(ink, scale, corner, whole);
    },
    nearest(point, reach) {
      let found = -1, least = reach * reach;
      const at = this.at || [];
      // What was drawn last lies on top.
      for (let k = at.length - 3; k >= 0; k -= 3) {
        const d = (at[k + 1] - this.beside.x - point.x) ** 2 + (at[k + 2] - this.beside.y - point.y) ** 2;
        if (d < least) { least = d; found = at[k]; }
      }
      return found;
    },
  });

  function land(ink, scale, corner) {
    ink.beginPath();
    for (const points of coast) {
      let lastX = NaN, lastY = NaN;
      for (let k = 0; k < points.length; k += 2) {
        const x = points[k] * scale - corner.x, y = points[k + 1] * scale - corner.y;
        // Nobody sees half a pixel.
        if (Math.abs(x - lastX) + Math.abs(y - lastY) < 0.8) continue;
        if (k) ink.lineTo(x, y); else ink.moveTo(x, y);
        lastX = x; lastY = y;
      }
      ink.closePath();
    }
    ink.fillStyle = "#fbfbf8"; ink.fill("evenodd");
    ink.lineWidth = 1; ink.strokeStyle = "#9aa9b5"; ink.stroke();
  }

  function mark(ink, x, y, i, big) {
    const band = data.band[i];
    ink.beginPath();
    if (band === ABOVE) {
      ink.moveTo(x - 6 * big, y + 5 * big); ink.lineTo(x + 6 * big, y + 5 * big); ink.lineTo(x, y - 6 * big);
    } else if (band === RECORD) {
      ink.moveTo(x - 8 * big, y); ink.lineTo(x, y - 9 * big); ink.lineTo(x + 8 * big, y); ink.lineTo(x, y + 9 * big);
    } else if (band === BELOW) {
      ink.moveTo(x - 4 * big, y - 3 * big); ink.lineTo(x + 4 * big, y - 3 * big); ink.lineTo(x, y + 4 * big);
    } else if (band === NORMAL) {
      ink.arc(x, y, 2.3 * big, 0, 7);
    } else {
      ink.arc(x, y, 1.7 * big, 0, 7);
    }
    ink.closePath();
    ink.fillStyle = band === BELOW || band < 0 ? "#fff" : INK[band];
    ink.fill();
    ink.lineWidth = band === BELOW ? 1.5 : 1;
    ink.strokeStyle = band === ABOVE || band === NORMAL ? "#fff" : band === RECORD ? "#000" : band === BELOW ? INK[band] : "#7a8996";
    if (band === NORMAL && big < 1.2) return;
    ink.stroke();
  }

  function names(ink, scale, corner, size) {
    ink.font = "600 12px system-ui, 'Noto Sans', 'DejaVu Sans', Arial, sans-serif";
    ink.textAlign = "center"; ink.lineJoin = "round"; ink.lineWidth = 4; ink.strokeStyle = "rgba(251,251,248,.9)"; ink.fillStyle = "#14202b";
    const taken = [];
    for (const [name, lat, long] of TOWNS) {
      const p = { x: across(long) * scale - corner.x, y: down(lat) * scale - corner.y }, half = ink.measureText(name).width / 2 + 4;
      if (p.x < half || p.y < 12 || p.x > size.x - half || p.y > size.y - 8) continue;
      if (taken.some((t) => Math.abs(t.x - p.x) < t.half + half && Math.abs(t.y - p.y) < 18)) continue;
      taken.push({ x: p.x, y: p.y, half });
      ink.strokeText(name, p.x, p.y); ink.fillText(name, p.x, p.y);
    }
  }

  // What the server says of a station, asked for when somebody points at it.
  const said = new Map();
  function told(i) {
    if (!said.has(i)) {
      const found = fetch("/map/station?" + new URLSearchParams({ list: data.list, place: i }), { cache: "no-cache" }).then(async (answer) => {
        if (!answer.ok) throw new Error(answer.status);
        return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".marked");
      });
      found.catch(() => said.delete(i));
      said.set(i, found);
    }
    return said.get(i);
  }

  const marks = new Marks();
  const tip = L.tooltip({ direction: "top", offset: [0, -8], className: "tip" });
  const popup = L.popup({ maxWidth: 300, autoPan: true });
  const at = (i) => [data.lat[i], data.long[i]];
  let pointed = -1, chosen = -1, pointing = 0;

  function point(i) {
    if (i === pointed) return;
    pointed = i;
    window.clearTimeout(pointing);
    map.closeTooltip(tip);
    place.classList.toggle("leaflet-interactive", i >= 0);
    // Not each mark that is only passed.
    if (i >= 0) pointing = window.setTimeout(async () => {
      const found = await told(i).catch(() => null);
      if (found && pointed === i) map.openTooltip(tip.setLatLng(at(i)).setContent(found.cloneNode(true)));
    }, 60);
  }

  async function choose(i) {
    const found = await told(i).catch(() => null);
    if (!found) return;
    point(-1);
    chosen = i;
    popup.setLatLng(at(i)).setContent(found.cloneNode(true)).openOn(map);
  }

  map.on("mousemove", (e) => point(data ? marks.nearest(e.containerPoint, 9) : -1));
  map.on("mouseout movestart", () => point(-1));
  map.on("popupclose", () => { chosen = -1; });
  map.on("click", (e) => {
    const i = data ? marks.nearest(e.containerPoint, 16) : -1;
    if (i >= 0) choose(i);
  });

  // An open popup says what is new, and stays where it is.
  async function retell(id) {
    if (chosen < 0) return;
    const found = id === data.list ? await told(chosen).catch(() => null) : null;
    if (!found) { map.closePopup(popup); return; }
    const old = popup.getElement() && popup.getElement().querySelector(".marked");
    if (old) renew(old, found);
  }

  async function json(url, cache) {
    const answer = await fetch(url, { cache: cache || "default" });
    if (!answer.ok) throw new Error(url + ": " + answer.status);
    return answer.json();
  }

  const degrees = (column) => column.from.map((each) => (each === null ? null : (each + column.origin) / 1e4));

  async function load(cache) {
    let bands, places = data && data.places;
    for (let trial = 0; trial < 3; trial++) {
      const known = places ? places.list : place.dataset.list;
      [bands, places] = await Promise.all([json("/map.json", cache), places || json("/map/places.json?list=" + known, cache)]);
      if (bands.list === places.list) break;
      place.dataset.list = bands.list; places = null; // the list of stations has changed meanwhile
    }
    if (!places) throw new Error("the list of stations changes: load the page again");
    if (!data || data.places !== places) {
      const lat = degrees(places.lat), long = degrees(places.long);
      data = { places, list: places.list, lat, long, x: long.map((each) => (each === null ? NaN : across(each))), y: lat.map((each) => (each === null ? NaN : down(each))) };
      place.dataset.gauges = String(lat.filter((each) => each !== null).length);
    }
    data.band = Int8Array.from(bands.bands, (digit) => digit - 1);
    // The most severe is drawn last, and so on top.
    order = [...data.band.keys()].sort((a, b) => data.band[a] - data.band[b]);
    said.clear();
  }

  function narrow() {
    const results = document.getElementById("results");
    const places = results.dataset.places;
    // Rows of another list of stations are not those of the map.
    shown = places && data && results.dataset.list === data.list ? new Set(JSON.parse(places)) : null;
    if (marks.canvas) marks.draw();
  }

  async function list(address, wanted) {
    const url = new URL(address, window.location.href);
    url.searchParams.set("part", "list");
    const text = await (await fetch(url)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("results");
    if (!fresh) throw new Error("no list");
    if (!wanted()) return;
    renew(document.getElementById("results"), fresh);
    narrow();
  }

  let asked = 0, timer = 0;
  async function search(wait) {
    const mine = ++asked;
    window.clearTimeout(timer);
    timer = window.setTimeout(async () => {
      const given = new URLSearchParams(new FormData(form));
      for (const [name, value] of [...given]) if (!value) given.delete(name, value);
      const address = "/" + (given.toString() ? "?" + given : "");
      try {
        await list(address, () => mine === asked);
        if (mine !== asked) return;
        window.history.replaceState(null, "", address);
        document.getElementById("said").textContent = document.querySelector(".count-said").textContent;
        document.querySelector(".count-said").hidden = true;
        fit();
      } catch { form.submit(); }
    }, wait);
  }

  // Show where the stations are that were found, if they are few.
  function fit() {
    if (!shown || !form.elements.q.value.trim()) return;
    const found = [...shown].filter((i) => data.lat[i] !== null).map(at);
    if (found.length && found.length < FEW) map.fitBounds(found, { padding: [30, 30], maxZoom: 11, animate: false });
  }

  form.addEventListener("submit", (e) => { e.preventDefault(); search(0); });
  form.addEventListener("input", (e) => search(e.target.type === "search" ? 250 : 0));

  Promise.all([json(place.dataset.coast), load()]).then(([outline]) => {
    coast = outline.features.flatMap((each) => each.geometry.coordinates.flat()).map(ring);
    document.getElementById("map-state").remove();
    narrow();
    fit();
    marks.addTo(map);
    // When it can be seen.
    window.requestAnimationFrame(() => window.setTimeout(() => window.performance.mark("map-drawn")));
    live("", async () => {
      const before = data.list;
      await load("no-cache");
      narrow();
      await retell(before);
    });
  }).catch((error) => {
    const state = document.getElementById("map-state");
    if (state) state.textContent = "The map cannot be drawn now (" + error.message + "). The list has all stations.";
  });
})();
