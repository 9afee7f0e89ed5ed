// Progressive enhancement only: every page works without this file. It holds no words: what a visitor reads comes from
// data attributes, which the server writes in the visitor's language.

const all = (selector) => document.querySelectorAll(selector);

// Back, pressed while a page loads, changes the address before htmx listens: show what the address says.
const loaded = performance.getEntriesByType("navigation")[0]?.name;
setTimeout(() => { // after htmx, which waits as long
  if (document.getElementById("filters") && loaded && loaded.split("#")[0] !== location.href.split("#")[0]) location.reload();
});

// htmx from the cache may be at work before an extension that was not there has come: show it again what it did not know.
setTimeout(() => all("[hx-sse\\:connect]").forEach((e) => { if (!e._htmx?.triggerSpecs?.length) globalThis.htmx?.process(e); }));

// <form data-clean>: drop empty fields, so that a filter's URL is ?skill=ocr and not ?q=&min=&skill=ocr.
document.addEventListener("formdata", (e) => {
  if (!e.target.matches("[data-clean]")) return;
  for (const [name, value] of [...e.formData]) if (value === "") e.formData.delete(name);
});

// A form that posts the plain way posts once, also when the button is clicked twice. htmx looks after its own.
document.addEventListener("submit", (e) => {
  const form = e.target;
  if (e.defaultPrevented || form.getAttribute("method") !== "post" || form.hasAttribute("target")) return;
  if ("busy" in form.dataset) return e.preventDefault();
  form.dataset.busy = "";
  setTimeout(() => { delete form.dataset.busy; }, 8000); // an answer may be a download, which leaves the page standing
});
addEventListener("pageshow", (e) => { if (e.persisted) all("form[data-busy]").forEach((form) => { delete form.dataset.busy; }); });

// <button data-copy="#id" data-done="Copied" data-fail="Press Ctrl+C">: the words go into its [data-label], if it has
// one, and into #live, the page's polite region. Without HTTPS browsers hide the clipboard: select, then ask the old way.
document.addEventListener("click", async (e) => {
  const button = e.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  if (!source) return;
  let copied = true;
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
  } catch {
    if (source.select) source.select(); else getSelection().selectAllChildren(source);
    copied = document.execCommand("copy");
  }
  say(button, copied ? "done" : "fail");
});

function say(button, outcome) {
  const words = button.dataset[outcome];
  const label = button.querySelector("[data-label]");
  const live = document.getElementById("live");
  button.dataset.outcome = outcome;
  if (words && label) { label.dataset.label ||= label.textContent; label.textContent = words; }
  if (words && live) live.textContent = words;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    delete button.dataset.outcome;
    if (words && label) label.textContent = label.dataset.label;
    if (words && live) live.textContent = "";
  }, 2000);
}

// <details class="menu">: close on Escape and on a click elsewhere. "/" goes to the search box, #q.
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape") all("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, [contenteditable]")) return;
  const q = document.getElementById("q");
  if (q) { e.preventDefault(); q.focus(); q.select(); }
});
document.addEventListener("click", (e) => {
  all("details.menu[open]").forEach((menu) => { if (!menu.contains(e.target)) menu.open = false; });
});

// <a data-here href="/page?part=3#there">: go there without loading the page again, if it is on it.
document.addEventListener("click", (e) => {
  const link = e.target.closest("a[data-here]");
  if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey || !document.getElementById(link.hash.slice(1))) return;
  e.preventDefault();
  location.hash = link.hash;
});

// .json: a document whose parts fold. One stop for the Tab key, then arrows: up and down to the next part, left and right
// fold and unfold. A line that is linked to is shown, in what is folded and in a text that is shown as something else.
all(".json").forEach((box) => box.querySelectorAll("summary").forEach((part, i) => { if (i) part.tabIndex = -1; }));
document.addEventListener("keydown", (e) => {
  const part = e.target.closest(".json summary");
  const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
  if (!part || !(step || e.key === "ArrowLeft" || e.key === "ArrowRight")) return;
  e.preventDefault();
  if (!step) return void (part.parentElement.open = e.key === "ArrowRight");
  const parts = [...part.closest(".json").querySelectorAll("summary")].filter((other) => other.checkVisibility());
  const next = parts[parts.indexOf(part) + step];
  if (next) { part.tabIndex = -1; next.tabIndex = 0; next.focus(); }
});
all("[data-fold]").forEach((button) => { button.hidden = !document.querySelector(button.dataset.fold + " details"); });
document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-fold]");
  if (e.target.closest("a[href^=\"#\"]")?.hash === location.hash) reveal(); // no hashchange comes
  if (!button) return;
  const parts = [...all(button.dataset.fold + " details")];
  const open = parts.some((part) => part.open);
  parts.forEach((part) => { part.open = !open; });
  [button.textContent, button.dataset.unfold] = [button.dataset.unfold, button.textContent];
});
function reveal() {
  const line = document.getElementById(location.hash.slice(1));
  if (!line?.closest(".json, .grid") || line.checkVisibility()) return;
  for (let part = line; (part = part.parentElement.closest("details"));) part.open = true;
  const choice = line.closest(".view")?.querySelector(line.closest(".grid") ? "[value=set]" : "[value=text]");
  if (choice) choice.checked = true;
  line.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", reveal);
reveal();
document.addEventListener("copy", (e) => {
  const selection = getSelection();
  if (selection.isCollapsed || e.target.closest?.("input, textarea")) return;
  const range = selection.getRangeAt(0);
  const box = range.commonAncestorContainer;
  if (!(box.closest ? box : box.parentElement).closest(".json, .view-text")) return;
  e.clipboardData.setData("text/plain", range.cloneContents().textContent); // with what is folded
  e.preventDefault();
});

// <time data-rel datetime>: the server prints the text; here it stays fresh.
const format = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "always", style: "long" });
const units = [["day", 86400, 3], ["hour", 3600, 1], ["minute", 60, 1]];
function tick() {
  for (const time of all("time[data-rel]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    if (Number.isNaN(seconds)) continue;
    const found = units.find(([, size, from]) => Math.abs(seconds) >= size * from);
    if (!found) continue; // within a minute the server's words stay
    const [unit, size] = found;
    const text = format.format(Math.trunc(seconds / size), unit);
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(() => { if (!document.hidden) tick(); }, 30_000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });

// <div class="error-summary" tabindex="-1">: takes the focus once, on arrival; a later swap elsewhere must not steal it.
function meetErrors() {
  const summary = document.querySelector(".error-summary:not([data-met])");
  if (summary) { summary.dataset.met = ""; summary.focus(); }
}
meetErrors();
document.addEventListener("htmx:after:swap", () => { tick(); meetErrors(); sum(); });

// <input data-sum>, times <input data-sum-times> in open mode: the sum stands on the button and beside it, as it is typed.
function sum() {
  const field = document.querySelector("input[data-sum]");
  const button = document.querySelector("[data-sum-button]");
  const line = document.querySelector("[data-sum-line]");
  if (!field || !button || !line) return;
  const number = (n) => Number(n).toLocaleString("en-US");
  const whole = (text) => (/^\d+$/.test(text) ? Number(text) : 0);
  const open = document.querySelector("input[name=mode][value=open]:checked");
  const slots = open ? whole(document.querySelector("[data-sum-times]").value || "1") : 1;
  const fee = Math.floor(whole(field.value) * line.dataset.feeBps / 10000) * slots;
  const amount = whole(field.value) * slots + fee;
  const words = amount > line.dataset.available ? line.dataset.short : line.dataset.enough;
  const fill = (text) => text.replace("{sum}", number(amount)).replace("{fee}", number(fee)).replace("{available}", number(line.dataset.available));
  button.textContent = fill(button.dataset.sumButton);
  line.textContent = fill(words);
}
document.addEventListener("input", (e) => { if (e.target.matches("[data-sum], [data-sum-times], input[name=mode]")) sum(); });
sum();
