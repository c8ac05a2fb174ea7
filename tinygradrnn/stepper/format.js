// Numbers and elements. All text goes in as text, never as markup.

export function find(id) {
  return document.getElementById(id);
}

/** An element with attributes and children; a child that is no element is text. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function makeSvg(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** As in the picture: two significant digits; 7.1e-4 below 0.01 and from 100. */
export function short(value) {
  return written(value, 2);
}

export function written(value, digits) {
  if (typeof value !== "number") return String(value ?? "—");
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1000) return String(value).replace("-", "−");
  const rounded = Number(size.toExponential(digits - 1));
  const [mantissa, power] = rounded.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const plain = rounded.toFixed(Math.max(digits - 1 - exponent, 0));
  const text = exponent < -2 || exponent >= Math.max(digits, 2) ? `${mantissa}e${exponent}` : plain;
  return (value < 0 ? "−" : "") + text;
}

export function shapeText(shape) {
  return shape.length ? shape.join("×") : "a single number";
}

/** The size of an array in a few characters: its only number, or its norm. */
export function sizeOf(summary) {
  return "norm" in summary ? `norm ${short(summary.norm)}` : short([summary.values].flat(9)[0]);
}

/** What is known of an array: its name and shape, then its numbers in columns. */
export function arrayView(summary, named = true) {
  const facts = [shapeText(summary.shape)];
  if ("norm" in summary) facts.push(`norm ${written(summary.norm, 4)}`);
  if ("mean" in summary) {
    facts.push(`${written(summary.mean, 3)} ± ${written(summary.spread, 3)}`);
  }
  const head = make("p", { class: "facts" }, facts.join(" · "));
  if (named) head.prepend(make("strong", {}, summary.name), " ");
  return make("div", { class: "array" }, head, make("pre", {}, numbers(summary)));
}

function numbers(summary) {
  if ("first" in summary) {
    return `${summary.first.map((value) => written(value, 4)).join("  ")}  …`;
  }
  let rows = [summary.values];
  for (let depth = summary.shape.length; depth > 1; depth -= 1) rows = rows.flat(1);
  const cells = rows.map((row) => [row].flat(9).map((value) => written(value, 4)));
  const widths = [];
  for (const row of cells) {
    for (const [k, cell] of row.entries()) widths[k] = Math.max(widths[k] ?? 0, cell.length);
  }
  const padded = cells.map((row) => row.map((cell, k) => cell.padStart(widths[k])).join("  "));
  return padded.join("\n") || "empty";
}

/** A formula, and below it the same with numbers. */
export function formulaView(formula) {
  const [symbols, filled] = formula;
  return make(
    "div",
    { class: "formula" },
    make("p", {}, symbols),
    filled ? make("p", { class: "filled" }, filled) : null,
  );
}
