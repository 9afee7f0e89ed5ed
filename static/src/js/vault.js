// The vault: protected fields are sealed and opened here, before anything is sent. Pages that load this file load no
// other that could read what is typed, and hold no field for a value that has a name: a form cannot send it. It shows
// and hides what the server wrote; all words are the server's.

import { Refused, fingerprint, open, owner, seal } from "./vault/envelope.js";
import { change, load, newRecovery, isRecipient, readRecovery, recipients, remember, seen, withOthers, without, withRecovery } from "./vault/keys.js";

const root = document.getElementById("vault");
const at = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const { handle } = root.dataset;
const began = performance.now();
// What the server takes at most: recipients of the own copy, fields, and bytes of a sealed copy.
const maxRecipients = 10, maxRows = 20, maxSealed = 65536;
let keys, pending, recovery;

// show chooses the part of the set-up that is meant, and opens what needs keys.
async function show(step) {
  for (const part of all("[data-step]")) part.hidden = part.dataset.step !== step;
  for (const part of all("[data-needs-keys]")) part.hidden = step !== "ready";
  enable();
  root.dataset.known = "";
  if (step !== "ready") return;
  at("[data-own-fingerprint]").textContent = await fingerprint(keys.recipient);
  at("[data-own-signer]").textContent = await fingerprint(keys.signer.key);
  const list = at("[data-recipients]");
  if (!list) return;
  list.value = recipients(keys).map((r) => (r === keys.recovery ? marked + r : r)).join("\n");
  const rows = at("[data-others]");
  while (rows.children.length > 1) rows.lastElementChild.remove();
  for (const other of keys.others) {
    const row = rows.firstElementChild.cloneNode(true);
    row.hidden = false;
    row.dataset.other = row.querySelector("code").textContent = other;
    row.querySelector("[data-is-recovery]").hidden = other !== keys.recovery;
    row.querySelector("button").hidden = other === keys.recovery;
    rows.append(row);
  }
}

const marked = "recovery:"; // stands before the recovery key in a list for other devices

function enable() {
  for (const part of all("button[data-act]")) part.disabled = false;
}

// say shows one of the messages below the head, and hides the others.
function say(name) {
  let said = null;
  for (const message of all("[data-say]")) {
    message.hidden = message.dataset.say !== name;
    if (!message.hidden) said = message;
  }
  if (name && !said) return say("failed");
  said?.scrollIntoView({ block: "center" });
}

function offerRecovery(made) {
  pending = made;
  const link = at("[data-recovery-file]");
  link.href = URL.createObjectURL(new Blob([made.text], { type: "text/plain" }));
  link.download = `guildhall-recovery-${handle}.txt`;
  at("[data-recovery-text]").value = made.text;
  at("[data-recovery-last]").value = "";
}

// acts are what the buttons do, with the keys as they are now: another tab may have changed them. Those that send a form
// return true.
const acts = {
  async make() {
    if (keys) return show("ready");
    offerRecovery(await newRecovery(handle));
    await show("saving");
  },

  // Only who has the file can say how it ends.
  async saved() {
    if (at("[data-recovery-last]").value.trim().toUpperCase() !== pending.last) return say("not-saved");
    keys = await change(handle, (k) => withRecovery(k, pending.recipient));
    URL.revokeObjectURL(at("[data-recovery-file]").href);
    at("[data-recovery-text]").value = "";
    pending = null;
    await show("ready");
    say("made");
  },

  async restore(button) {
    const picker = button.closest("[data-picker]").querySelector("input");
    const file = picker.files[0];
    recovery = file && (await readRecovery(await file.text()));
    picker.value = "";
    if (!recovery) return say("no-recovery");
    if (!keys) keys = await change(handle, (k) => (k.recovery ? k : withRecovery(k, recovery.recipient)));
    await show("ready");
    say("restored");
  },

  async rotate() {
    if (!keys.recovery && recipients(keys).length >= maxRecipients) return say("too-many");
    offerRecovery(await newRecovery(handle));
    await show("saving");
  },

  // A second device is told the recipients of the first, and the first those of the second. What was removed here does
  // not come back with such a list, only alone.
  async join(button) {
    const typed = button.closest("[data-step]").querySelector("[data-join]");
    const given = typed.value.split(/\s+/).filter(Boolean);
    const others = given.map((r) => r.replace(marked, "")).filter((r) => given.length === 1 || !keys?.retired?.includes(r));
    const main = given.find((r) => r.startsWith(marked))?.replace(marked, "");
    if (!given.length || !given.every((r) => isRecipient(r.replace(marked, "")))) return say("no-recipient");
    const join = (k) => withOthers(others.includes(main) ? withRecovery(k, main) : k, others);
    if (recipients(join(keys ?? { others: [] })).length > maxRecipients) return say("too-many");
    keys = await change(handle, join);
    typed.value = "";
    await show("ready");
    say(others.length < given.length ? "joined-some" : "joined");
  },

  async remove(button) {
    const { other } = button.closest("[data-other]").dataset;
    keys = await change(handle, (k) => without(k, other));
    await show("ready");
    say("removed");
  },

  row() {
    const rows = at("[data-rows]");
    if (rows.children.length >= maxRows) return say("no-more");
    const row = rows.lastElementChild.cloneNode(true);
    for (const field of row.querySelectorAll("input, textarea")) field.value = "";
    rows.append(row);
    row.querySelector("input").focus();
  },

  async publish(button) {
    const values = typed();
    if (!values) return say("no-values");
    const form = button.closest("form");
    const task = taskID();
    form.elements["protectedFields.taskId"].value = task;
    form.elements["protectedFields.names"].value = Object.keys(values).join(" ");
    await fillSealed(form, "protectedFields.", { task, rev: 1 }, values);
    form.submit();
    return true;
  },

  async open() {
    const values = await ownCopy();
    for (const row of all("[data-rows] > *")) row.querySelector("textarea").value = values[row.dataset.name] ?? "";
    at("[data-opened]").hidden = false;
    say(recovery ? "opened-recovery" : "opened");
  },

  async reseal(button) {
    const values = typed();
    if (!values) return say("no-values");
    const form = button.closest("form");
    const rev = Number(root.dataset.revision) + 1;
    form.elements.revision.value = rev;
    await fillSealed(form, "", { task: root.dataset.task, rev }, values);
    await remember(`sent ${root.dataset.task}`, rev);
    form.submit();
    return true;
  },

  async grant(button) {
    const form = button.closest("form");
    const { recipient, worker } = form.dataset;
    const to = await fingerprint(recipient);
    if (to !== form.querySelector("[data-typed-fingerprint]").value.trim().toUpperCase()) return say("not-compared");
    const values = await ownCopy();
    if (root.dataset.signer !== keys.signer.key) return say("reseal-first");
    const rev = Number(root.dataset.revision);
    form.elements.bundle.value = await seal({ task: root.dataset.task, rev, to, grant: form.dataset.request }, values, keys.signer, [recipient]);
    await remember(`key ${worker}`, recipient);
    form.submit();
    return true;
  },
};

// typed are the values by name, or null if there are none or a name is missing or twice.
function typed() {
  const values = {};
  for (const row of all("[data-rows] > *")) {
    const name = row.dataset.name ?? row.querySelector("input").value.trim();
    const value = row.querySelector("textarea").value;
    if (!name && !value) continue;
    if (!name || !value || name in values || !/^[A-Za-z][A-Za-z0-9_.-]{0,39}$/.test(name)) return null;
    values[name] = value;
  }
  return Object.keys(values).length ? values : null;
}

// fillSealed fills what a form sends of a sealed revision.
async function fillSealed(form, prefix, about, values) {
  const to = recipients(keys);
  const sealed = await seal({ ...about, to: owner }, values, keys.signer, to);
  if (sealed.length > maxSealed) throw new Refused("too-long");
  form.elements[prefix + "ciphertext"].value = sealed;
  form.elements[prefix + "ownerRecipients"].value = to.join(" ");
  form.elements[prefix + "signerKey"].value = keys.signer.key;
}

// ownCopy opens the publisher's own copy with this browser's key, or a recovery file that was chosen. One that is older
// than what was seen here before is refused; a signer that is unknown here only passes with the recovery file.
async function ownCopy() {
  const { task, revision, signer } = root.dataset;
  const rev = Number(revision);
  if (rev < ((await seen(`rev ${task}`)) ?? 0)) throw new Refused("rolled-back");
  const known = signer === keys.signer.key || (await seen(`signer ${signer}`));
  if (!known && !recovery) throw new Refused("unknown-signer");
  const identities = [keys.device];
  if (recovery) identities.push(recovery.identity);
  const values = await open(root.dataset.ciphertext, { task, rev, to: owner, signer }, identities);
  await raise(task, rev);
  await remember(`signer ${signer}`, true);
  return values;
}

// raise remembers the highest revision of a task that the server has shown.
async function raise(task, rev) {
  if (rev > ((await seen(`rev ${task}`)) ?? 0)) await remember(`rev ${task}`, rev);
}

// taskID is a UUIDv7 of the server's time: clocks of browsers are often wrong.
function taskID() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  const ms = Date.parse(root.dataset.now) + Math.floor(performance.now() - began);
  for (let i = 0; i < 6; i++) b[i] = Math.floor(ms / 2 ** (8 * (5 - i))) & 0xff;
  b[6] = 0x70 | (b[6] & 0x0f);
  b[8] = 0x80 | (b[8] & 0x3f);
  const hex = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

root.addEventListener("click", async (e) => {
  const button = e.target.closest("button[data-act]");
  if (!button) return;
  e.preventDefault();
  say("");
  button.disabled = true;
  let sending = false;
  try {
    keys = await load(handle);
    sending = await acts[button.dataset.act](button);
  } catch (error) {
    say(error instanceof Refused ? error.name : "failed");
  }
  button.disabled = sending === true; // a second click would send it twice
});
addEventListener("pageshow", (e) => { if (e.persisted) enable(); });
// Enter in a field must not send a form that nothing was sealed for.
root.addEventListener("submit", (e) => { if (e.target.matches("[data-sealed]")) e.preventDefault(); });

async function start() {
  if (!globalThis.isSecureContext || !crypto.subtle || !globalThis.indexedDB) return show("insecure");
  try {
    keys = await load(handle);
  } catch {
    return show("insecure");
  }
  for (const line of all("[data-pin]")) {
    const pinned = await seen(`key ${line.dataset.worker}`);
    const state = !pinned ? "first" : pinned === line.dataset.pin ? "same" : "changed";
    for (const words of line.querySelectorAll("[data-pinned]")) words.hidden = words.dataset.pinned !== state;
  }
  // A revision that was sent from here counts once the server shows it: it may have been refused.
  const { task, revision } = root.dataset;
  const sent = task && (await seen(`sent ${task}`));
  if (sent <= Number(revision)) await raise(task, sent);
  await show(keys ? "ready" : "new");
}
start();
