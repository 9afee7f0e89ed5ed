// The keys of this browser: they cannot be exported, and live in IndexedDB under the account's handle. Besides them it
// remembers what was seen: the highest revision of a task, and the key of each agent.

import { Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption/dist/index.js";
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
export const seen = (what) => request("seen", "readonly", (s) => s.get(what));
export const remember = (what, value) => request("seen", "readwrite", (s) => s.put(value, what));

// Besides a device and a signing key there are the others that everything is sealed to: the recovery key, other devices.
async function newKeys() {
  const device = await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  const signer = { privateKey: pair.privateKey, key: toBase64(await crypto.subtle.exportKey("raw", pair.publicKey)) };
  return { device: device.privateKey, recipient: await identityToRecipient(device.privateKey), signer, others: [] };
}

// change edits this browser's keys, made now if there are none, in one step: what other tabs did is kept.
export async function change(handle, edit) {
  const fresh = (await load(handle)) ?? (await newKeys());
  let keys;
  await request("keys", "readwrite", (s) => {
    const asked = s.get(handle);
    asked.onsuccess = () => s.put((keys = edit(asked.result ?? fresh)), handle);
    return asked;
  });
  navigator.storage?.persist?.(); // asked for, never waited for: Firefox may never answer
  return keys;
}

export const recipients = (keys) => [keys.recipient, ...keys.others];

// withOthers adds recipients, also such as were removed before; without removes one and remembers it; withRecovery puts a
// recovery key in the place of the one before.
export const withOthers = (k, more) => ({ ...k,
  others: [...new Set([...k.others, ...more])].filter((r) => r !== k.recipient),
  retired: k.retired?.filter((r) => !more.includes(r)) });
export const without = (k, gone) => ({ ...k, others: k.others.filter((r) => r !== gone), retired: [...(k.retired ?? []), gone] });
export const withRecovery = (k, r) => ({ ...withOthers(k.recovery && k.recovery !== r ? without(k, k.recovery) : k, [r]), recovery: r });

// isRecipient reports whether a copy can be sealed to it: one with a wrong letter would break them all.
export function isRecipient(text) {
  try {
    new Encrypter().addRecipient(text);
  } catch {
    return false;
  }
  return /^age1[02-9ac-hj-np-z]{58}$/.test(text);
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
