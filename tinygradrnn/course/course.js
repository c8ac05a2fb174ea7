// What a page does by itself reads without this; here is what makes it pleasant.

const root = document.documentElement;

// -------------------------------------------------------------------- light and dark

const KEY = "tinygradrnn-theme";
const theme = document.getElementById("theme");

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a page in a frame may have no storage
  }
}

function remember(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // then each page starts as the system prefers
  }
}

// A page in a frame cannot see which theme is chosen here. It is told, and asks once it is built.
function tell(page) {
  if (root.dataset.theme) page.postMessage({ theme: root.dataset.theme }, "*");
}

function choose(name) {
  root.dataset.theme = name;
  for (const frame of document.querySelectorAll("iframe")) tell(frame.contentWindow);
}

addEventListener("message", (event) => {
  if (event.data?.asks === "theme" && event.source) tell(event.source);
});
if (remembered()) choose(remembered());
theme.hidden = false;
theme.addEventListener("click", () => {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  choose((root.dataset.theme ?? system) === "dark" ? "light" : "dark");
  remember(root.dataset.theme);
});

// -------------------------------------------------------------------- pictures

const large = document.getElementById("large");

function enlarge(image) {
  const view = large.querySelector("div");
  const copy = image.cloneNode();
  large.setAttribute("aria-label", image.alt);
  view.replaceChildren(copy);
  large.showModal();
  // as large as shows all of it, but no smaller than it was drawn
  const fits = Math.min(view.clientWidth / image.width, view.clientHeight / image.height);
  const drawn = Number(image.getAttribute("width"));
  copy.style.width = `${Math.max(drawn, Math.floor(image.width * fits))}px`;
  view.focus();
}

for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => enlarge(button.querySelector("img")));
}
large?.addEventListener("click", (event) => {
  if (event.target === large) large.close();
});

// -------------------------------------------------------------------- pages in frames

for (const button of document.querySelectorAll(".fill")) {
  const frame = button.closest("figure").querySelector("iframe");
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener("click", async () => {
    await frame.requestFullscreen();
    frame.focus();
  });
}

// -------------------------------------------------------------------- where the reader is

const links = new Map(
  [...document.querySelectorAll("#contents a")].map((link) => [link.hash.slice(1), link]),
);
const passed = [...document.querySelectorAll("article h2")];

function mark() {
  const current = passed.findLast((heading) => heading.getBoundingClientRect().top < 140);
  for (const [anchor, link] of links) {
    if (anchor === encodeURIComponent(current?.id ?? "")) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

if (links.size > 0) {
  addEventListener("scroll", mark, { passive: true });
  mark();
}
