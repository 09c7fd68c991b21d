// Replace the charts of a station by ones that can be read off and enlarged, and bring the page up to date when one of
// its measures changes.
"use strict";

(() => {
  const css = getComputedStyle(document.documentElement);
  const INK = css.getPropertyValue("--ink").trim(), SOFT = css.getPropertyValue("--soft").trim();
  const BLUE = css.getPropertyValue("--blue").trim(), RED = css.getPropertyValue("--red").trim();
  const FONT = "12px system-ui, 'Noto Sans', 'DejaVu Sans', Arial, sans-serif";
  const MEANING = { suspect: "suspect, or of high interest", fail: "failed the checks", "no-value": "no single value" };
  const zoned = (options, zone) => {
    const format = new Intl.DateTimeFormat("en-GB", { timeZone: zone || "Europe/London", ...options });
    return (s) => format.format(new Date(s * 1000));
  };
  const clock = zoned({ hour: "2-digit", minute: "2-digit" });
  const day = zoned({ weekday: "short", day: "numeric", month: "short" });
  const name = (s) => zoned({ timeZoneName: "short" })(s).split(" ").pop();
  const full = zoned({ weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  const universal = zoned({ hour: "2-digit", minute: "2-digit" }, "UTC");
  const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 3 });

  function columns(d) {
    // A point without a value where readings are missing, so that no line crosses the gap.
    const x = [], y = [], row = [];
    d.at.forEach((at, i) => {
      if (d.interval && x.length && at - x[x.length - 1] > 1.6 * d.interval) { x.push(x[x.length - 1] + d.interval); y.push(null); row.push(-1); }
      x.push(at); y.push(d.mark[i] === "fail" ? null : d.value[i]); row.push(i);
    });
    return { x, y, row };
  }

  function behind(u, d) {
    const c = u.ctx, b = u.bbox;
    const x = (s) => Math.min(Math.max(u.valToPos(s, "x", true), b.left), b.left + b.width);
    const y = (v) => Math.min(Math.max(u.valToPos(v, "y", true), b.top), b.top + b.height);
    c.save();
    for (const [from, to] of d.gaps) {
      c.fillStyle = "#e6e1d8"; c.fillRect(x(from), b.top, Math.max(x(to) - x(from), 1), b.height);
      c.fillStyle = "#8a4b00"; c.fillRect(x(from), b.top + b.height - 3, Math.max(x(to) - x(from), 1), 3);
    }
    if (d.typical) {
      const [low, high] = d.typical.map(y);
      c.fillStyle = "#cfe6d4"; c.fillRect(b.left, high, b.width, Math.max(low - high, 1));
    }
    if (d.record !== null && d.record > u.scales.y.max) {
      c.fillStyle = RED; c.font = u.axes[0].font[0] || FONT; c.textAlign = "right"; c.textBaseline = "bottom";
      c.fillText("\u2191 highest on record " + number.format(d.record), b.left + b.width, b.top - 3);
    } else if (d.record !== null) {
      c.strokeStyle = RED; c.lineWidth = 1.5; c.setLineDash([7, 4]);
      c.beginPath(); c.moveTo(b.left, y(d.record)); c.lineTo(b.left + b.width, y(d.record)); c.stroke();
    }
    c.restore();
  }

  function above(u, d) {
    const c = u.ctx, b = u.bbox, r = window.devicePixelRatio || 1;
    const y = (v) => Math.min(Math.max(u.valToPos(v, "y", true), b.top), b.top + b.height);
    c.save();
    // The value before a correction, and how far it was moved.
    c.lineWidth = 1.5 * r; c.strokeStyle = SOFT; c.fillStyle = "#fff";
    for (const [i, before] of Object.entries(d.before)) {
      const x = u.valToPos(d.at[i], "x", true);
      if (x < b.left || x > b.left + b.width) continue;
      if (d.value[i] !== null) { c.beginPath(); c.moveTo(x, y(before)); c.lineTo(x, y(d.value[i])); c.stroke(); }
      c.beginPath(); c.arc(x, y(before), 3.5 * r, 0, 7); c.fill(); c.stroke();
    }
    c.lineWidth = 2 * r;
    d.at.forEach((at, i) => {
      if (!d.mark[i]) return;
      const x = u.valToPos(at, "x", true);
      if (x < b.left || x > b.left + b.width) return;
      c.beginPath();
      if (d.several[i]) {
        const low = y(Math.min(...d.several[i])), high = y(Math.max(...d.several[i]));
        c.strokeStyle = "#6a2c91";
        c.moveTo(x, low); c.lineTo(x, high); c.moveTo(x - 3 * r, low); c.lineTo(x + 3 * r, low); c.moveTo(x - 3 * r, high); c.lineTo(x + 3 * r, high);
      } else if (d.mark[i] === "suspect") {
        const v = y(d.value[i]);
        c.strokeStyle = "#a34700"; c.fillStyle = "#fff";
        c.moveTo(x - 4.5 * r, v + 4 * r); c.lineTo(x + 4.5 * r, v + 4 * r); c.lineTo(x, v - 4 * r); c.closePath(); c.fill();
      } else {
        const v = d.mark[i] === "fail" ? y(d.value[i]) : b.top + b.height - 6 * r;
        c.strokeStyle = d.mark[i] === "fail" ? RED : SOFT;
        c.moveTo(x - 4 * r, v - 4 * r); c.lineTo(x + 4 * r, v + 4 * r); c.moveTo(x + 4 * r, v - 4 * r); c.lineTo(x - 4 * r, v + 4 * r);
      }
      c.stroke();
    });
    c.restore();
  }

  // Every so many hours of UTC, so that no hour is lost or doubled where the clocks change.
  function splits(u, axis, min, max) {
    const hours = [0.25, 1, 2, 4, 6].find((each) => (max - min) / 3600 / each <= Math.max(4, u.width / 80)) || 6;
    const found = [];
    for (let at = Math.ceil(min / 3600 / hours) * hours * 3600; at <= max; at += hours * 3600) found.push(at);
    return found;
  }

  function labels(u, values) {
    let zone = "", date = "";
    return values.map((at, i) => {
      const here = name(at), today = day(at);
      const below = [here !== zone ? here : "", today !== date ? today : ""].filter(Boolean).join(", ");
      zone = here; date = today;
      return clock(at) + "\n" + universal(at) + (i ? "" : " UTC") + (below ? "\n" + below : "");
    });
  }

  const drawn = new WeakMap();

  function draw(frame) {
    const known = drawn.get(frame), svg = frame.querySelector("svg");
    const fresh = JSON.parse(frame.dataset.chart);
    if (!window.uPlot || !fresh.at.length && !known) return;
    svg.setAttribute("hidden", "");
    const made = known || drawn.set(frame, chart(frame)).get(frame);
    made.box.setAttribute("aria-label", svg.querySelector("title").textContent + ". " + svg.querySelector("desc").textContent);
    if (made.text !== frame.dataset.chart) made.take(fresh);
    made.text = frame.dataset.chart;
  }

  function chart(frame) {
    let d = JSON.parse(frame.dataset.chart), { x, y, row } = columns(d);
    const box = document.createElement("div");
    box.setAttribute("role", "img");
    box.dataset.own = "";
    const said = (u, v, s, i) => {
      if (i === null || i === undefined) return "point at the chart";
      const at = row[i];
      if (at === undefined || at < 0) return "no reading";
      if (d.several[at]) return d.several[at].map((each) => number.format(each)).join(" and ") + " " + d.unit + " (several values)";
      if (d.value[at] === null) return "no value";
      const before = d.before[at] === undefined ? "" : ", " + number.format(d.before[at]) + " before its correction";
      return number.format(d.value[at]) + " " + d.unit + before + (d.mark[at] ? " (" + MEANING[d.mark[at]] + ")" : "");
    };
    const line = d.bars
      ? { paths: uPlot.paths.bars({ size: [0.9, 60], align: -1 }), fill: BLUE, points: { show: false } }
      : { points: { show: true, size: 4, fill: BLUE, stroke: BLUE } };
    const whole = (min, max) => min === x[0] && max === x[x.length - 1];
    const plot = new uPlot({
      width: frame.clientWidth, height: 320, padding: [22, 12, null, null],
      scales: { x: { time: true, range: (u, min, max) => (whole(min, max) ? d.span : [min, max]) }, y: { range: () => [d.low, d.high] } },
      cursor: { y: false, drag: { x: true, y: false } },
      legend: { show: true },
      axes: [
        { splits, values: labels, font: FONT, stroke: INK, size: 62, grid: { stroke: "#d8dfe4", width: 1 }, ticks: { stroke: "#d8dfe4" } },
        { font: FONT, stroke: INK, size: 58, grid: { stroke: "#d8dfe4", width: 1 }, values: (u, v) => v.map((each) => number.format(each)), label: d.unit, labelSize: d.unit ? 18 : 0, labelFont: FONT },
      ],
      series: [
        { label: "Time", value: (u, s) => (s === null || s === undefined ? "" : full(s) + " (" + universal(s) + " UTC)") },
        { label: "Value", stroke: BLUE, width: 1.8, spanGaps: false, value: said, ...line },
      ],
      hooks: { drawClear: [(u) => behind(u, d)], draw: [(u) => above(u, d)] },
    }, [x, y], box);
    frame.appendChild(box);
    const fit = new ResizeObserver(() => {
      if (!frame.isConnected) { fit.disconnect(); plot.destroy(); return; }
      if (frame.clientWidth && frame.clientWidth !== plot.width) plot.setSize({ width: frame.clientWidth, height: 320 });
    });
    fit.observe(frame);

    // What a reader has enlarged stays, as long as it is of these 24 hours.
    function take(fresh) {
      const { min, max } = plot.scales.x, enlarged = min !== d.span[0] || max !== d.span[1];
      d = fresh;
      ({ x, y, row } = columns(d));
      plot.setData([x, y], false);
      const stays = enlarged && max > d.span[0];
      plot.setScale("x", stays ? { min, max } : { min: x[0], max: x[x.length - 1] });
    }
    return { box, take, text: frame.dataset.chart };
  }

  function drawAll() {
    document.querySelectorAll(".frame[data-chart]").forEach(draw);
    window.performance.mark("charts-drawn");
  }

  drawAll();
  const measures = JSON.parse(document.getElementById("station").dataset.measures);
  live(measures.map((each) => ["measure_id", each]), drawAll);
})();
