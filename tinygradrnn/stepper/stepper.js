// Where we are, and all that takes us elsewhere.

import { find } from "./format.js";
import { Charts, Table, showProgram, showStep } from "./panels.js";
import { Picture } from "./picture.js";

const trace = JSON.parse(find("trace").textContent);
const count = trace.steps.length;
const firstBackward = trace.steps.findIndex((step) => step.phase === "backward") + 1;
const times = trace.steps.map((step) => step.timestep);
const starts = times
  .map((time, k) => (time !== null && time !== times[k - 1] ? k + 1 : 0))
  .filter((n) => n);
const charts = new Charts(trace);
const picture = new Picture(trace);
const table = new Table(trace, go);
const slider = find("slider");
let position = 0;
let timer = null;

slider.max = count;

function said(n) {
  if (n) return `Step ${n} of ${count}, ${trace.steps[n - 1].phase}. ${trace.steps[n - 1].text}`;
  const back = firstBackward ? count - firstBackward + 1 : 0;
  return `Start: ${count} steps, ${count - back} forward and ${back} backward.`;
}

function go(wanted) {
  position = Math.min(Math.max(wanted, 0), count);
  charts.go(position);
  picture.go(position, charts.sums());
  showStep(trace, position);
  showProgram(trace, position);
  table.go(position);
  slider.value = position;
  slider.setAttribute("aria-valuetext", `step ${position} of ${count}`);
  find("position").textContent = `${position} / ${count}`;
  find("status").textContent = said(position);
  if (position === count) pause();
  remember();
}

function remember() {
  try {
    history.replaceState(null, "", `#step=${position}`);
  } catch {
    // a frame in a notebook has no address of its own
  }
}

function asked() {
  const found = /^#step=(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

// -------------------------------------------------------------------- playing

function pause() {
  clearInterval(timer);
  timer = null;
  document.body.classList.remove("playing");
  find("play").setAttribute("aria-label", "Play");
}

function play() {
  if (position === count) go(0);
  timer = setInterval(() => go(position + 1), Number(find("speed").value));
  document.body.classList.add("playing");
  find("play").setAttribute("aria-label", "Pause");
}

function toggle() {
  if (timer === null) play();
  else pause();
}

// -------------------------------------------------------------------- keys and buttons

const nextTime = () => go(starts.find((n) => n > position) ?? count);
const timeBefore = () => go(starts.findLast((n) => n < position) ?? 0);
const toBackward = () => go(firstBackward || count);
const openHelp = () => find("help").showModal();

const KEYS = {
  ArrowRight: () => go(position + 1),
  ArrowLeft: () => go(position - 1),
  Home: () => go(0),
  End: () => go(count),
  " ": toggle,
  b: toBackward,
  "]": nextTime,
  "[": timeBefore,
  "+": () => picture.zoom(1.25),
  "-": () => picture.zoom(0.8),
  0: () => picture.fit(),
  "?": openHelp,
  Enter: () => go(picture.visitOf(document.activeElement) ?? position),
};
const OWN = {
  INPUT: ["ArrowRight", "ArrowLeft", "Home", "End"],
  BUTTON: [" ", "Enter"],
  SUMMARY: [" ", "Enter"],
  SELECT: Object.keys(KEYS),
};

addEventListener("keydown", (event) => {
  const own = OWN[event.target.tagName] ?? [];
  const modified = event.ctrlKey || event.altKey || event.metaKey;
  if (modified || own.includes(event.key) || !KEYS[event.key] || find("help").open) return;
  event.preventDefault();
  if (event.key !== " ") pause();
  KEYS[event.key]();
});

const BUTTONS = {
  start: KEYS.Home,
  back: KEYS.ArrowLeft,
  next: KEYS.ArrowRight,
  end: KEYS.End,
  earlier: timeBefore,
  later: nextTime,
  backward: toBackward,
};
for (const [id, act] of Object.entries(BUTTONS)) {
  find(id).addEventListener("click", () => {
    pause();
    act();
  });
}
find("play").addEventListener("click", toggle);
find("speed").addEventListener("change", () => {
  if (timer === null) return;
  pause();
  play();
});
find("smaller").addEventListener("click", () => picture.zoom(0.8));
find("larger").addEventListener("click", () => picture.zoom(1.25));
find("fit").addEventListener("click", () => picture.fit());
find("help-button").addEventListener("click", openHelp);
slider.addEventListener("input", () => {
  pause();
  go(Number(slider.value));
});
find("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = getComputedStyle(root).colorScheme === "dark";
  root.dataset.theme = dark ? "light" : "dark";
});
// a page around this one tells which theme its reader chose
addEventListener("message", (event) => {
  const { theme } = event.data ?? {};
  if (event.source === parent && ["light", "dark"].includes(theme)) {
    document.documentElement.dataset.theme = theme;
  }
});
addEventListener("hashchange", () => {
  const wanted = asked();
  if (wanted !== null && wanted !== position) go(wanted);
});

go(asked() ?? 0);
if (parent !== window) parent.postMessage({ asks: "theme" }, "*");
