// Puts what /api/live says into the page: as text and attributes, never as markup. Asks every second while it is
// looked at, and less often where nobody answers.

const root = document.querySelector("[data-live]");
const says = document.querySelector("[data-says]");
const state = document.querySelector("[data-state]");
const banner = document.querySelector("[data-problem]");
const note = document.querySelector("[data-note]");
const SVG = "http://www.w3.org/2000/svg";
const EVERY_MS = 1000;
const SLOWEST_MS = 15000;
const ANSWER_WITHIN_MS = 10000;
const STALE_US = 8e6;

let etag = null;
let failures = 0;
let timer = 0;
let isAsking = false;
let ahead = null; // milliseconds that this clock is ahead of the server's
let points = [];
let stepSeconds = 60;
let chosen = -1;
let chartSays = "";
let isProblem = false;

const setText = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const setAttribute = (node, name, value) => {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
};

function serverNow() {
  return (Date.now() - (ahead ?? 0)) * 1000;
}

function seconds(value) {
  if (value < 60) return `${value} s`;
  const [big, bigName, small, smallName] =
    value >= 86400 ? [86400, "d", 3600, "h"] : value >= 3600 ? [3600, "h", 60, "min"] : [60, "min", 1, "s"];
  return `${Math.floor(value / big)} ${bigName} ${Math.floor((value % big) / small)} ${smallName}`;
}

function ago(us) {
  if (!us) return "–";
  const passed = Math.max(0, Math.floor((serverNow() - us) / 1e6));
  return passed < 1 ? "just now" : `${seconds(passed)} ago`;
}

function tick() {
  if (ahead === null) return;
  for (const node of document.querySelectorAll("[data-us]")) setText(node, ago(Number(node.dataset.us)));
}

function child(tag, attributes, ...children) {
  const isSvg = tag === "svg" || tag === "path" || tag === "rect";
  const node = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function local(href) {
  return href.startsWith("/") && !href.startsWith("//") ? href : "/";
}

function fillCell(node, cell) {
  const parts = [];
  if (cell.path) {
    const box = { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" };
    parts.push(child("svg", box, child("path", { d: cell.path })));
  }
  if (cell.bar !== undefined) {
    const box = { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" };
    parts.push(child("svg", box, child("rect", { width: String(cell.bar), height: "4" })));
  }
  const text = cell.text ?? "";
  if (cell.href) parts.push(child("a", { href: local(cell.href) }, text));
  else if (cell.us) parts.push(child("time", { "data-us": String(cell.us) }, ago(cell.us)));
  else parts.push(text);
  node.className = cell.kind ?? "";
  node.replaceChildren(...parts);
}

const drawn = new WeakMap();

function fillList(list, rows) {
  const isTable = list.tagName === "TBODY";
  while (list.children.length > rows.length) list.lastElementChild.remove();
  rows.forEach((cells, r) => {
    const row = list.children[r] ?? list.appendChild(document.createElement(isTable ? "tr" : "li"));
    while (row.children.length > cells.length) row.lastElementChild.remove();
    cells.forEach((cell, c) => {
      let node = row.children[c];
      if (!node) {
        node = document.createElement(isTable ? (c === 0 ? "th" : "td") : "span");
        if (isTable && c === 0) node.scope = "row";
        row.append(node);
      }
      const key = JSON.stringify(cell);
      if (drawn.get(node) !== key) {
        drawn.set(node, key);
        fillCell(node, cell);
      }
    });
  });
}

function show(view) {
  for (const node of document.querySelectorAll("[data-text]")) {
    const text = view.texts[node.dataset.text];
    if (text !== undefined) setText(node, text);
  }
  for (const node of document.querySelectorAll("[data-time]")) setAttribute(node, "data-us", String(view.times[node.dataset.time] ?? 0));
  for (const node of document.querySelectorAll("[data-path]")) setAttribute(node, "d", view.paths[node.dataset.path] ?? "");
  for (const node of document.querySelectorAll("[data-flag]")) setAttribute(node, "data-is", String(view.flags[node.dataset.flag] ?? false));
  for (const node of document.querySelectorAll("[data-list]")) fillList(node, view.lists[node.dataset.list] ?? []);
  setText(note, view.note);
  isProblem = view.problem !== "";
  setText(banner, view.problem);
  banner.hidden = !isProblem;
  points = view.points;
  stepSeconds = view.step_seconds;
  chartSays = view.texts.chart_says;
  setAttribute(chart, "aria-label", chartSays);
  readOut();
}

function tell(kind, text) {
  setAttribute(state, "data-state", kind);
  setText(says, text); // a polite region: only a change of state is read out
}

function keepTime(headers) {
  const now = Number(headers.get("Headgate-Now"));
  const asOf = Number(headers.get("Headgate-As-Of"));
  ahead = Date.now() - now / 1000;
  setAttribute(document.querySelector("[data-as-of]"), "data-us", String(asOf));
  if (isProblem || (asOf && now - asOf > STALE_US)) tell("bad", "not up to date");
  else tell("live", "live");
}

async function ask() {
  if (isAsking) return;
  isAsking = true;
  try {
    const headers = etag ? { "If-None-Match": etag } : {};
    const answer = await fetch(root.dataset.live, { headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.status === 200) {
      show(await answer.json());
      etag = answer.headers.get("ETag");
    } else if (answer.status === 401) {
      tell("away", "a token is needed: open the address that the dashboard printed");
      throw new Error("refused");
    } else if (answer.status !== 304) {
      tell("away", `the dashboard answers ${answer.status}`);
      throw new Error("refused");
    }
    keepTime(answer.headers);
    failures = 0;
  } catch (error) {
    failures += 1;
    if (error.message !== "refused") tell("away", "the dashboard is away: trying again");
  } finally {
    isAsking = false;
    tick();
    plan();
  }
}

function plan() {
  clearTimeout(timer);
  if (document.hidden) return;
  timer = setTimeout(ask, failures ? Math.min(SLOWEST_MS, EVERY_MS * 2 ** Math.min(failures, 5) * (0.75 + Math.random() / 2)) : EVERY_MS);
}

const chart = document.querySelector("[data-chart]");
const readout = document.querySelector("[data-readout]");
const cursor = document.querySelector("[data-cursor]");

function readOut() {
  const point = points[chosen];
  if (!point) {
    setText(readout, chartSays);
    setAttribute(cursor, "d", "");
    return;
  }
  const [us, accepted, duplicates, rejected] = point;
  const time = new Date(us / 1000).toISOString().slice(0, 16).replace("T", " ");
  const count = (value) => value.toLocaleString("en");
  setText(readout, `${time} UTC: ${count(accepted)} accepted, ${count(duplicates)} duplicates, ${count(rejected)} rejected (${count(Math.round((accepted + duplicates + rejected) / stepSeconds))}/s)`);
  setAttribute(cursor, "d", `M${((chosen + 0.5) / points.length) * 1000} 0V200`);
}

function choose(at) {
  chosen = Math.min(points.length - 1, Math.max(-1, at));
  readOut();
}

chart.addEventListener("pointermove", (event) => {
  const box = cursor.ownerSVGElement.getBoundingClientRect();
  choose(Math.floor(((event.clientX - box.left) / box.width) * points.length));
});
chart.addEventListener("pointerleave", () => choose(-1));
chart.addEventListener("blur", () => choose(-1));
chart.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  choose(chosen < 0 ? points.length - 1 : Math.max(0, chosen + step));
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask();
});
window.addEventListener("online", ask);
setInterval(tick, 1000);
ask();
