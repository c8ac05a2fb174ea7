// What stands below the picture: the step, the sums over time, the program, the table.

import { arrayView, find, formulaView, make, makeSvg, short, sizeOf, written } from "./format.js";

const WIDE = 300;
const HIGH = 64;
const WIDEST = 36; // of a bar
const DECADES = 6;

/** The step at a position, with all its numbers. */
export function showStep(trace, position) {
  const step = trace.steps[position - 1];
  const content = find("step-content");
  if (!step) {
    const given = trace.boxes.filter((box) => box.given).length;
    content.replaceChildren(
      make("p", {}, `Nothing is computed yet. ${given} values are given: inputs and weights.`),
    );
    return;
  }
  const time = step.timestep === null ? "" : ` · t = ${step.timestep}`;
  const title = make("p", { class: `phase ${step.phase}` }, `${step.phase}${time}`);
  title.append(make("strong", {}, step.node));
  if (step.phase === "forward") {
    content.replaceChildren(
      title,
      ...step.formulas.map(formulaView),
      ...step.values.map((value) => arrayView(value)),
    );
    return;
  }
  const arrived = step.gradients.map((gradient) => arrayView(gradient));
  content.replaceChildren(title, ...arrived, ...step.terms.map(termView));
}

function termView(term) {
  const colour = term.weight ? "sum" : "sent";
  const parts = [make("strong", {}, term.to), ` += ${sizeOf(term.value)}`];
  if (term.total) parts.push(` → ${sizeOf(term.total)}`);
  const view = make("div", { class: `term ${colour}` }, make("p", {}, ...parts));
  view.append(...(term.formulas ?? []).map(formulaView));
  if (!("norm" in term.value)) return view; // a single number, said already
  const numbers = make("div", { class: "arrays" }, labelled("term", term.value));
  if (term.total) numbers.append(labelled("running total", term.total));
  view.append(numbers);
  return view;
}

function labelled(label, summary) {
  return make("div", {}, make("p", { class: "label" }, label), arrayView(summary, false));
}

/** For each weight the sizes of its terms over time, as they come, and of their sum. */
export class Charts {
  constructor(trace) {
    const terms = trace.weights.map(() => []);
    const number = new Map(trace.weights.map((weight, n) => [weight.name, n]));
    for (const [k, step] of trace.steps.entries()) {
      for (const term of step.terms ?? []) {
        if (term.weight) terms[number.get(term.weight)].push({ ...term, step: k + 1 });
      }
    }
    this.charts = trace.weights.map((weight, n) => new Chart(weight, terms[n]));
    find("charts").replaceChildren(...this.charts.map((chart) => chart.figure));
    find("weights").hidden = !this.charts.length;
  }

  go(position) {
    for (const chart of this.charts) chart.go(position);
  }

  /** What stands at the weights in the picture: of several at one place, their joint size. */
  sums() {
    const found = new Map();
    for (const { weight, count, terms } of this.charts) {
      for (const n of weight.sums) {
        const size = count ? magnitude(terms[count - 1].total) : null;
        const before = found.get(n) ?? null;
        found.set(n, size === null ? before : Math.hypot(size, before ?? 0));
      }
    }
    return found;
  }
}

class Chart {
  constructor(weight, terms) {
    this.weight = weight;
    this.terms = terms;
    this.count = -1;
    const sizes = terms.flatMap((term) => [magnitude(term.value), magnitude(term.total)]);
    const positive = sizes.filter((size) => size > 0);
    this.top = Math.max(...positive, 0) || 1;
    const least = positive.length ? Math.min(...positive) : this.top;
    this.decades = Math.min(Math.max(Math.log10(this.top / least) * 1.15, 1), DECADES);
    this.step = WIDE / weight.timesteps.length;
    this.bars = makeSvg("path", { class: "bars" });
    this.now = makeSvg("path", { class: "now" });
    this.line = makeSvg("path", { class: "total" });
    const graph = makeSvg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none" });
    graph.setAttribute("aria-hidden", "true");
    for (let power = 0; power <= this.decades; power += 1) {
      const y = (HIGH * power) / this.decades;
      graph.append(makeSvg("path", { class: "grid", d: `M0 ${y}H${WIDE}` }));
    }
    graph.append(this.bars, this.now, this.line);
    this.caption = make("span", { class: "so-far" });
    const name = make("strong", { style: `color:${weight.colour}` }, weight.label);
    const head = make("figcaption", {}, name, ` ${weight.shape.join("×")} `, this.caption);
    this.figure = make("figure", { style: `--colour:${weight.colour}` }, head, graph, this.axis());
  }

  axis() {
    const steps = this.weight.timesteps;
    const said = (t) => (t === null ? "outside of time" : `t = ${t}`);
    const low = written(this.top / 10 ** this.decades, 1);
    const axis = make("p", { class: "axis" }, make("span", {}, said(steps[0])));
    axis.append(make("span", {}, `logarithmic, ${low} to ${short(this.top)}`));
    axis.append(make("span", {}, steps.length > 1 ? said(steps.at(-1)) : ""));
    return axis;
  }

  height(size) {
    if (!(size > 0)) return 0;
    return HIGH * Math.min(Math.max(1 + Math.log10(size / this.top) / this.decades, 0.02), 1);
  }

  go(position) {
    const { terms } = this;
    let [low, high] = [0, terms.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (terms[middle].step <= position) low = middle + 1;
      else high = middle;
    }
    const newest = low && terms[low - 1].step === position;
    this.now.setAttribute("d", newest ? this.bar(terms[low - 1]) : "");
    if (low === this.count) return;
    this.count = low;
    const come = terms.slice(0, low);
    this.bars.setAttribute("d", come.map((term) => this.bar(term)).join(""));
    const middle = (term) => (term.slot + 0.5) * this.step;
    const points = come.map(
      (term) => `${middle(term)},${HIGH - this.height(magnitude(term.total))}`,
    );
    this.line.setAttribute("d", points.length ? `M${points.join("L")}h0.01` : "");
    const sum = low ? short(magnitude(terms[low - 1].total)) : "—";
    const count = `${low} of ${terms.length} terms`;
    this.caption.replaceChildren("‖Σ‖ = ", make("b", {}, sum), ` · ${count}`);
  }

  bar(term) {
    const wide = Math.min(this.step * 0.8, WIDEST);
    const left = (term.slot + 0.5) * this.step - wide / 2;
    const high = this.height(magnitude(term.value));
    return `M${left} ${HIGH}v${-high}h${wide}v${high}z`;
  }
}

function magnitude(summary) {
  const size = "norm" in summary ? summary.norm : Math.abs([summary.values].flat(9)[0]);
  return typeof size === "number" ? size : Number.NaN;
}

/** The line of the program, and the equations of the cell, the current one marked. */
export function showProgram(trace, position) {
  const step = trace.steps[position - 1];
  const parts = [];
  if (step?.code) {
    const [file, line, text] = step.code;
    parts.push(make("p", { class: "label" }, `${file}, line ${line}`));
    parts.push(make("pre", { class: "code" }, text || "(the source is not at hand)"));
  }
  const shown = step?.equations ?? trace.equations.keys().next().value;
  if (shown !== undefined && trace.equations[shown]) {
    const list = make("ol", { class: "equations" });
    for (const [n, text] of trace.equations[shown].entries()) {
      const current = step?.equations === shown && step.current.includes(n);
      const item = make("li", current ? { class: "current", "aria-current": "step" } : {}, text);
      list.append(item);
    }
    parts.push(make("p", { class: "label" }, "What the cell computes in a step"), list);
  }
  find("program").hidden = !trace.equations.length && !trace.steps.some((each) => each.code);
  if (!parts.length) parts.push(make("p", { class: "label" }, "outside of any cell"));
  find("program-content").replaceChildren(...parts);
}

/** All steps, made when it is opened: there may be thousands. */
export class Table {
  constructor(trace, go) {
    this.trace = trace;
    this.table = find("table");
    this.details = find("all");
    this.rows = [];
    this.details.addEventListener("toggle", () => this.details.open && this.fill());
    this.table.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) go(Number(button.textContent));
    });
  }

  fill() {
    if (this.rows.length) return;
    const head = make("tr");
    for (const name of ["Step", "Pass", "t", "Node", "What happens"]) {
      head.append(make("th", { scope: "col" }, name));
    }
    this.rows = this.trace.steps.map((step, k) => {
      const number = make("td", {}, make("button", { type: "button" }, String(k + 1)));
      const cells = [step.phase, step.timestep ?? "", step.node, step.text];
      return make("tr", {}, number, ...cells.map((text) => make("td", {}, String(text))));
    });
    this.table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...this.rows));
    this.go(this.position ?? 0);
  }

  go(position) {
    this.row?.removeAttribute("aria-current");
    this.position = position;
    this.row = this.rows[position - 1];
    this.row?.setAttribute("aria-current", "step");
    if (!this.row || !this.details.open) return;
    const box = this.table.parentElement; // it scrolls, the page does not
    const top = this.row.offsetTop - box.clientHeight / 2;
    if (Math.abs(top - box.scrollTop) > box.clientHeight * 0.4) box.scrollTop = top;
  }
}
