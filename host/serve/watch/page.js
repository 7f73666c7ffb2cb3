"use strict";
const state = document.getElementById("state"), models = document.getElementById("models"), template = document.getElementById("model");
const sections = new Map(), curves = new Map();
const number = new Intl.NumberFormat("en"), percent = x => (100 * x).toFixed(x < 0.1 ? 2 : 1) + " %";

function el(tag, text, name) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (name) e.className = name;
  return e;
}

function svg(width, height, label) {
  const s = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  s.setAttribute("viewBox", `0 0 ${width} ${height}`);
  s.setAttribute("preserveAspectRatio", "none");
  s.setAttribute("role", "img");
  s.setAttribute("aria-label", label);
  return s;
}

function shape(parent, tag, attrs, name) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  if (name) e.setAttribute("class", name);
  parent.append(e);
}

function histogram(into, counts) {
  const total = counts.reduce((a, b) => a + b, 0), top = Math.max(1, ...counts), even = total / counts.length;
  const s = svg(400, 140, `${counts[0]} of ${total} p-values are below ${1 / counts.length}`);
  counts.forEach((n, i) => shape(s, "rect", {x: i * 20 + 1, y: 135 - 130 * n / top, width: 18, height: 130 * n / top}, "bar"));
  if (total) shape(s, "line", {x1: 0, x2: 400, y1: 135 - 130 * even / top, y2: 135 - 130 * even / top}, "even");
  shape(s, "line", {x1: 0, x2: 400, y1: 135.5, y2: 135.5}, "axis");
  into.replaceChildren(s);
}

function curve(into, values) {
  const top = Math.max(4, ...values), low = Math.min(-2, ...values), y = v => 135 - 130 * (v - low) / (top - low);
  const s = svg(400, 140, `now ${values[values.length - 1].toFixed(1)}`);
  shape(s, "line", {x1: 0, x2: 400, y1: y(3), y2: y(3)}, "even");
  shape(s, "line", {x1: 0, x2: 400, y1: y(0), y2: y(0)}, "axis");
  const at = values.map((v, i) => `${values.length < 2 ? 0 : 400 * i / (values.length - 1)},${y(v)}`);
  shape(s, "polyline", {points: at.join(" ")}, "curve");
  into.replaceChildren(s);
}

function picture(row, f) {
  const [h, w, c] = f.shape, canvas = el("canvas"), span = f.High - f.Low || 1;
  canvas.width = w; canvas.height = h;
  const pen = canvas.getContext("2d"), image = pen.createImageData(w, h);
  for (let i = 0; i < w * h; i++) {
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = 255 * (row[i * c + (c >= 3 ? k : 0)] - f.Low) / span;
    image.data[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}

function flagged(f) {
  const li = el("li");
  if (f.row && f.shape.length === 3 && (f.shape[2] === 1 || f.shape[2] >= 3)) {
    const shown = picture(f.row, f);
    shown.setAttribute("role", "img");
    shown.setAttribute("aria-label", "input predicted as " + f.Predicted);
    li.append(shown);
    if (f.rebuilt) li.append(" ", picture(f.rebuilt, f));
  } else if (f.row && f.rebuilt) {
    const moved = f.row.map((v, i) => [Math.abs(v - f.rebuilt[i]), i]).sort((a, b) => b[0] - a[0]).slice(0, 4);
    const list = el("ul", undefined, "moved");
    for (const [, i] of moved) list.append(el("li", `${f.columns ? f.columns[i] : "number " + i}: ${f.row[i].toPrecision(4)}, reconstructed ${f.rebuilt[i].toPrecision(4)}`));
    li.append(list);
  }
  li.append(el("p", `predicted ${f.Predicted}, reconstruction ${f.Reconstructed}`));
  const score = f.score > 1e300 ? "infinite" : f.score.toPrecision(4);
  li.append(el("p", `score ${score}, ${new Date(f.time).toLocaleTimeString()}${f.client ? ", from " + f.client : ""}`));
  return li;
}

function show(v) {
  let s = sections.get(v.Name);
  if (!s) {
    s = template.content.firstElementChild.cloneNode(true);
    sections.set(v.Name, s);
    models.querySelector(".empty")?.remove();
    models.append(s);
  }
  const find = q => s.querySelector(q);
  find("h2").textContent = v.Name + (v.Version ? ", version " + v.Version : "");
  find(".digest").textContent = v.Detector;
  const alarm = find(".alarm");
  if (v.Alarm && alarm.hidden) {
    const again = el("button", "Start anew");
    again.addEventListener("click", () => fetch("reset?model=" + encodeURIComponent(v.Name), {method: "POST", headers: {"X-Vaeguard": "1"}}));
    alarm.replaceChildren("Inputs are no longer like the calibration rows: drift, or an attack. ", again);
  }
  alarm.hidden = !v.Alarm;
  const share = v.Rows ? v.Flagged / v.Rows : 0;
  const figures = [
    ["rows judged", number.format(v.Rows)],
    ["flagged", percent(share), v.Promised == null ? "" : "promised " + percent(v.Promised)],
    ["martingale", "10^" + v.Martingale.toFixed(1), "peak 10^" + v.Peak.toFixed(1)],
    ["latency", v.Latency ? v.Latency.p50.toFixed(1) + " ms" : "–", v.Latency ? "p99 " + v.Latency.p99.toFixed(1) + " ms" : ""],
    ["near-duplicates", number.format(v.Similar), v.Noticed ? v.Noticed + " clients noticed" : ""],
  ];
  find(".figures").replaceChildren(...figures.map(([name, value, more]) => {
    const d = el("div"), dd = el("dd", value);
    if (more) dd.append(" ", el("small", more));
    d.append(el("dt", name), dd);
    return d;
  }));
  histogram(find(".p"), v.P);
  const values = curves.get(v.Name) || [];
  values.push(v.Martingale);
  if (values.length > 600) values.shift();
  curves.set(v.Name, values);
  curve(find(".m"), values);
  find("tbody").replaceChildren(...(v.Classes || []).map(c => {
    const tr = el("tr"), th = el("th", c.Name);
    th.scope = "row";
    tr.append(th, el("td", number.format(c.Rows)), el("td", number.format(c.Flagged)), el("td", percent(c.Flagged / c.Rows)));
    return tr;
  }));
  find(".flagged").replaceChildren(...(v.Last || []).map(flagged));
  if (!v.Last || !v.Last.length) find(".flagged").append(el("li", "none yet"));
}

const source = new EventSource("live");
source.onmessage = e => {
  const views = JSON.parse(e.data);
  state.textContent = "Live, " + new Date().toLocaleTimeString();
  views.forEach(show);
};
source.onerror = () => { state.textContent = "The server does not answer; trying again …"; };
