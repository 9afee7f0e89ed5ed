// The keys of this browser: they cannot be exported, and live in IndexedDB under the account's handle. Besides them it
// remembers what was seen: the highest revision of a task, and the key of each agent.

import { generateX25519Identity, identityToRecipient } from "age-encryption/dist/index.js";
import { toBase64 } from "./envelope.js";

function database() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open("guildhall-vault", 1);
    asked.onupgradeneeded = () => { asked.result.createObjectStore("keys"); asked.result.createObjectStore("seen"); };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function request(store, mode, ask) {
  const db = await database();
  try {
    return await new Promise((resolve, reject) => {
      const tx = db.transaction(store, mode);
      const asked = ask(tx.objectStore(store));
      tx.oncomplete = () => resolve(asked.result);
      tx.onerror = tx.onabort = () => reject(tx.error);
    });
  } finally {
    db.close();
  }
}

export const load = (handle) => request("keys", "readonly", (s) => s.get(handle));
const save = (handle, keys) => request("keys", "readwrite", (s) => s.put(keys, handle));
export const seen = (what) => request("seen", "readonly", (s) => s.get(what));
export const remember = (what, value) => request("seen", "readwrite", (s) => s.put(value, what));

// make makes this browser's keys. Others are recipients that everything is sealed to as well: the recovery key, other
// devices.
export async function make(handle, others) {
  const device = await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  const signer = { privateKey: pair.privateKey, key: toBase64(await crypto.subtle.exportKey("raw", pair.publicKey)) };
  const keys = { device: device.privateKey, recipient: await identityToRecipient(device.privateKey), signer, others };
  await save(handle, keys);
  navigator.storage?.persist?.(); // asked for, never waited for: Firefox may never answer
  return keys;
}

export const recipients = (keys) => [keys.recipient, ...keys.others];

// setOthers changes who else everything is sealed to.
export async function setOthers(handle, keys, others) {
  keys.others = [...new Set(others)].filter((r) => r !== keys.recipient);
  await save(handle, keys);
}

// newRecovery makes the recovery key: its text is for a file of the owner, and is kept nowhere.
export async function newRecovery(handle) {
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  const text = `# Guildhall recovery key of ${handle} at ${location.origin}\n# public key: ${recipient}\n${identity}\n`;
  return { recipient, text, last: identity.slice(-6) };
}

// readRecovery finds the identity in a recovery file, or any other identity file of age.
export async function readRecovery(text) {
  const identity = text.split(/\s+/).find((word) => word.startsWith("AGE-SECRET-KEY-1"));
  if (!identity) return null;
  try {
    return { identity, recipient: await identityToRecipient(identity) };
  } catch {
    return null;
  }
}
