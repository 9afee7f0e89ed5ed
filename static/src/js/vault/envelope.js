// What market/protected does in Go: the signed envelope inside an age file. Both are tried against each other in tests.

import { Decrypter, Encrypter, armor } from "age-encryption/dist/index.js";

const type = "guildhall.protected/v1";
export const owner = "owner";
const bucket = 512;

const bytes = (text) => new TextEncoder().encode(text);
export const toBase64 = (b) => btoa(String.fromCharCode(...new Uint8Array(b)));
const fromBase64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));

// fingerprint is what people compare of a recipient or a signer's key.
export async function fingerprint(key) {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes(key)));
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = 0, have = 0, out = "";
  for (const b of sum) {
    bits = (bits << 8) | b;
    for (have += 8; have >= 5 && out.length < 16; have -= 5) out += alphabet[(bits >>> (have - 5)) & 31];
    bits &= 0xff;
  }
  return out.match(/.{4}/g).join("-");
}

async function wrap(payload, signer) {
  const text = JSON.stringify(payload);
  const sig = await crypto.subtle.sign("Ed25519", signer.privateKey, bytes(type + "\n" + text));
  return JSON.stringify({ payload: text, key: signer.key, sig: toBase64(sig) });
}

// seal signs values bound to task, revision and reader, and encrypts them to the recipients.
export async function seal(about, values, signer, recipients) {
  const payload = { typ: type, origin: location.origin, ...about, issuedAt: new Date().toISOString(), values, pad: "" };
  const size = bytes(await wrap(payload, signer)).length;
  payload.pad = "0".repeat((bucket - (size % bucket)) % bucket);
  const encrypter = new Encrypter();
  for (const r of recipients) encrypter.addRecipient(r);
  return armor.encode(await encrypter.encrypt(await wrap(payload, signer)));
}

// Refused says why an envelope is not what it should be; its name is the key of the words for it.
export class Refused extends Error {
  constructor(name) { super(name); this.name = name; }
}

// open decrypts and checks: whose signature, which task, revision and reader. The library's own messages for a wrong key
// and for a changed file mean nothing to people.
export async function open(sealed, want, identities) {
  let envelope, payload;
  try {
    const decrypter = new Decrypter();
    for (const i of identities) decrypter.addIdentity(i);
    envelope = await decrypter.decrypt(armor.decode(sealed), "text");
  } catch {
    throw new Refused("cannot-open");
  }
  try {
    envelope = JSON.parse(envelope);
    payload = JSON.parse(envelope.payload);
  } catch {
    throw new Refused("envelope");
  }
  if (payload.typ !== type) throw new Refused("envelope");
  const key = envelope.key === want.signer ? await crypto.subtle.importKey("raw", fromBase64(envelope.key), "Ed25519", false, ["verify"]).catch(() => null) : null;
  if (!key || !(await crypto.subtle.verify("Ed25519", key, fromBase64(envelope.sig), bytes(type + "\n" + envelope.payload)).catch(() => false))) throw new Refused("signature");
  if (payload.task !== want.task) throw new Refused("other-task");
  if (payload.rev !== want.rev) throw new Refused("other-revision");
  if (payload.to !== want.to) throw new Refused("other-reader");
  return payload.values;
}
