// The drawn graph: what is lit at a step, which part of it is seen, and what hovering tells.

import { arrayView, find, formulaView, make, short, sizeOf } from "./format.js";

const READABLE = 0.6;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Picture {
  constructor(trace) {
    this.trace = trace;
    this.position = 0;
    this.view = find("view");
    this.svg = find("picture");
    this.size = this.svg.viewBox.baseVal;
    this.boxes = trace.boxes.map((_, n) => find(`n${n}`));
    this.lines = trace.lines.map((_, k) => find(`e${k}`));
    this.lit = []; // marks at the current step
    this.sums = new Map(); // by the number of its text, what it says
    this.tip = new Tip(this);
    this.readSteps();
    this.zoomed = false;
    this.fit();
    this.svg.addEventListener("keydown", (event) => this.walk(event));
    addEventListener("resize", () => this.zoomed || this.fit());
  }

  /** What each step turns on: the first to name an element does. */
  readSteps() {
    this.on = [[]];
    this.visits = this.boxes.map(() => ({ forward: [], backward: [] }));
    this.order = this.boxes.filter((_, n) => "given" in this.trace.boxes[n]);
    for (const box of this.order) box.classList.add("reached");
    const seen = new Set(this.order.map((box) => `reached ${box.id}`));
    for (const [k, step] of this.trace.steps.entries()) {
      const mark = step.phase === "forward" ? "reached" : "graded";
      const turned = [];
      const elements = [
        ...step.lines.map((n) => this.lines[n]),
        ...step.boxes.map((n) => this.boxes[n]),
      ];
      for (const element of elements) {
        const key = `${mark} ${element.id}`;
        if (!seen.has(key)) {
          seen.add(key);
          turned.push([element, mark]);
          if (mark === "reached") this.order.push(element);
        }
      }
      for (const n of step.numbers ?? []) turned.push([find(`t${n}`), "shown"]);
      for (const n of step.boxes) this.visits[n][step.phase].push(k + 1);
      this.on.push(turned);
    }
    this.findTerms();
  }

  /** For each line the terms that come back along it. */
  findTerms() {
    this.terms = this.lines.map(() => []);
    for (const [k, step] of this.trace.steps.entries()) {
      for (const term of step.terms ?? []) {
        for (const n of term.lines) this.terms[n].push([k + 1, term]);
      }
    }
  }

  /** Turn on or off what lies between where we are and a position. */
  go(position, sums) {
    const near = Math.abs(position - this.position) === 1;
    for (let n = this.position + 1; n <= position; n += 1) {
      for (const [element, mark] of this.on[n]) element.classList.add(mark);
    }
    for (let n = this.position; n > position; n -= 1) {
      for (const [element, mark] of this.on[n]) element.classList.remove(mark);
    }
    this.position = position;
    for (const element of this.lit) element.classList.remove("current", "near");
    const step = this.trace.steps[position - 1];
    this.lit = step
      ? [...step.boxes.map((n) => this.boxes[n]), ...step.lines.map((n) => this.lines[n])]
      : [];
    for (const element of this.lit) element.classList.add("current");
    // the boxes at the other ends say what the formulas call them
    const ends = step ? step.lines.flatMap((n) => this.trace.lines[n][0]) : [];
    for (const n of ends) {
      this.boxes[n].classList.add("near");
      this.lit.push(this.boxes[n]);
    }
    this.svg.classList.toggle("backward", step?.phase === "backward");
    for (const [n, size] of sums) {
      if (this.sums.get(n) === size) continue;
      this.sums.set(n, size);
      const note = find(`t${n}`);
      note.classList.toggle("shown", size !== null);
      note.querySelector("text").textContent = `‖Σ‖ ${short(size)}`;
    }
    if (step) this.follow(this.boxes[step.boxes[0]], near);
    this.rove(this.lit[0] ?? this.order[0]);
    this.tip.refresh();
  }

  // ------------------------------------------------------------------ what is seen

  fit() {
    const room = this.view.clientWidth - 2;
    const height = Math.max(innerHeight * 0.52, 260);
    this.zoomed = false;
    this.scale(Math.min(room / this.size.width, height / this.size.height, 1.25));
  }

  scale(scale) {
    this.scaled = Math.min(Math.max(scale, 0.05), 4);
    this.svg.style.width = `${this.size.width * this.scaled}px`;
    this.svg.style.height = `${this.size.height * this.scaled}px`;
  }

  zoom(factor) {
    const { view } = this;
    const x = (view.scrollLeft + view.clientWidth / 2) / this.scaled;
    const y = (view.scrollTop + view.clientHeight / 2) / this.scaled;
    this.zoomed = true;
    this.scale(this.scaled * factor);
    view.scrollLeft = x * this.scaled - view.clientWidth / 2;
    view.scrollTop = y * this.scaled - view.clientHeight / 2;
  }

  /** Bring a box into sight; a picture that is too small to read is enlarged at the first step. */
  follow(box, near) {
    if (!this.zoomed && this.scaled < READABLE) this.zoom(0.85 / this.scaled);
    const { view, size } = this;
    const side = (name) => Number(box.firstElementChild.getAttribute(name));
    const x = (side("x") + side("width") / 2 - size.x) * this.scaled;
    const y = (side("y") + side("height") / 2 - size.y) * this.scaled;
    const left = keepInside(x, view.scrollLeft, view.clientWidth);
    const top = keepInside(y, view.scrollTop, view.clientHeight);
    if (left === view.scrollLeft && top === view.scrollTop) return;
    view.scrollTo({ left, top, behavior: near && !calm.matches ? "smooth" : "auto" });
  }

  // ------------------------------------------------------------------ the keyboard inside

  /** One element of the picture can be tabbed to; arrows lead on from there. */
  rove(element) {
    this.tabbed?.setAttribute("tabindex", "-1");
    this.tabbed = element;
    element?.setAttribute("tabindex", "0");
  }

  walk(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    const at = this.order.indexOf(document.activeElement);
    const next = this.order[at + way];
    event.preventDefault();
    if (!next) return;
    this.rove(next);
    next.focus();
  }

  /** The step in which a box gets its value, or if that is past, its gradient. */
  visitOf(element) {
    if (!element?.classList.contains("box")) return null;
    const { forward, backward } = this.visits[this.boxes.indexOf(element)];
    return [...forward, ...backward].find((n) => n > this.position) ?? forward[0] ?? backward[0];
  }

  /** A box in words: its value and gradient, as far as they are known at this step. */
  describeBox(n) {
    const box = this.trace.boxes[n];
    const at = (phase) => this.visits[n][phase].findLast((k) => k <= this.position);
    const [forward, backward] = [at("forward"), at("backward")];
    const computed = this.trace.steps[forward - 1];
    const parts = [make("p", { class: "about" }, box.about)];
    if (box.given) {
      parts.push(...box.given.map((given) => arrayView(given)));
    } else if (computed) {
      parts.push(...computed.formulas.slice(0, 6).map(formulaView));
      parts.push(...computed.values.map((value) => arrayView(value)));
    } else {
      parts.push(make("p", { class: "hidden-yet" }, "not computed yet"));
    }
    const step = this.trace.steps[backward - 1];
    if (step) {
      parts.push(...step.gradients.map((gradient) => arrayView(gradient)));
      const rules = step.terms.flatMap((term) => (term.formulas ?? []).slice(0, 2));
      parts.push(...rules.map(formulaView));
    } else if (this.visits[n].backward.length) {
      parts.push(make("p", { class: "hidden-yet" }, "its gradient has not arrived yet"));
    } else {
      parts.push(make("p", { class: "hidden-yet" }, "no gradient comes here: —"));
    }
    return [make("h3", {}, box.label), ...parts];
  }

  /** An edge in words: what it carries, and the gradient that comes back along it. */
  describeLine(k) {
    const [sources, targets] = this.trace.lines[k];
    const labels = (shapes) => {
      const names = shapes.slice(0, 3).map((n) => this.trace.boxes[n].label);
      return names.join(", ") + (shapes.length > 3 ? " …" : "");
    };
    const parts = [make("h3", {}, `${labels(sources)} → ${labels(targets)}`)];
    for (const n of sources.slice(0, 1)) {
      const forward = this.visits[n].forward.findLast((s) => s <= this.position);
      const known = this.trace.boxes[n].given ?? this.trace.steps[forward - 1]?.values;
      if (known) parts.push(...known.map((value) => arrayView(value)));
      else parts.push(make("p", { class: "hidden-yet" }, "no value yet"));
    }
    const all = this.terms[k];
    const come = all.filter(([step]) => step <= this.position);
    for (const [, term] of come.slice(-3)) {
      parts.push(make("p", {}, `${term.to} += ${sizeOf(term.value)}`));
      parts.push(...(term.formulas ?? []).slice(0, 1).map(formulaView));
      parts.push(arrayView(term.value, false));
    }
    if (come.length > 3) parts.push(make("p", {}, `and ${come.length - 3} terms before`));
    if (!all.length) parts.push(make("p", { class: "hidden-yet" }, "no gradient comes back: —"));
    else if (!come.length) parts.push(make("p", { class: "hidden-yet" }, "no gradient yet"));
    return parts;
  }
}

function keepInside(at, from, room) {
  const margin = room * 0.22;
  if (at >= from + margin && at <= from + room - margin) return from;
  return Math.max(at - room / 2, 0);
}

/** What floats beside the box or edge that is pointed at or focused. */
class Tip {
  constructor(picture) {
    this.picture = picture;
    this.panel = find("tip");
    this.about = null;
    const part = (event) => event.target.closest?.(".box, .line");
    picture.svg.addEventListener("pointerover", (event) => this.show(part(event)));
    picture.svg.addEventListener("pointerleave", (event) => {
      if (event.relatedTarget !== this.panel) this.show(document.activeElement);
    });
    this.panel.addEventListener("pointerleave", () => this.show(document.activeElement));
    picture.svg.addEventListener("focusin", (event) => this.show(part(event)));
    picture.svg.addEventListener("focusout", () => this.hide());
    addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
    picture.view.addEventListener("scroll", () => this.place());
  }

  show(element) {
    if (!element?.matches?.("#picture .box, #picture .line")) {
      this.hide();
      return;
    }
    this.about?.removeAttribute("aria-describedby");
    this.about = element;
    element.setAttribute("aria-describedby", "tip");
    this.refresh();
  }

  hide() {
    this.about?.removeAttribute("aria-describedby");
    this.about = null;
    this.panel.hidden = true;
  }

  refresh() {
    if (!this.about) return;
    const { picture } = this;
    const n = Number(this.about.id.slice(1));
    const isBox = this.about.classList.contains("box");
    this.panel.replaceChildren(...(isBox ? picture.describeBox(n) : picture.describeLine(n)));
    this.panel.hidden = false;
    this.place();
  }

  place() {
    if (!this.about) return;
    const at = this.about.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.panel;
    const below = at.bottom + 8;
    const top = below + height < innerHeight - 8 ? below : Math.max(at.top - height - 8, 8);
    const left = Math.min(Math.max(at.left + at.width / 2 - width / 2, 8), innerWidth - width - 8);
    this.panel.style.left = `${Math.max(left, 8)}px`;
    this.panel.style.top = `${top}px`;
  }
}
