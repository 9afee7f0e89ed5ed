// <form data-passkey="create|get" data-options="JSON">: asks the browser for a passkey and sends its answer in the field
// "credential". Browsers of our baseline do not read and write the JSON of WebAuthn themselves.
{
  const form = document.querySelector("[data-passkey]");
  const kind = form.dataset.passkey;
  const field = form.elements.credential;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const show = (name, yes) => { document.querySelector(`[data-passkey-${name}]`).hidden = !yes; };

  const options = () => {
    const o = JSON.parse(form.dataset.options);
    o.challenge = bytes(o.challenge);
    if (o.user) o.user.id = bytes(o.user.id);
    for (const list of [o.excludeCredentials, o.allowCredentials]) list?.forEach((c) => { c.id = bytes(c.id); });
    return { publicKey: o };
  };

  const written = (credential) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    if (credential.response.getTransports) response.transports = credential.response.getTransports();
    return JSON.stringify({
      id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
      authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
      clientExtensionResults: credential.getClientExtensionResults(),
    });
  };

  const ask = async () => {
    show("failed", false);
    try {
      field.value = written(await navigator.credentials[kind](options()));
    } catch {
      return show("failed", true);
    }
    form.requestSubmit();
  };

  if (globalThis.PublicKeyCredential) {
    form.addEventListener("submit", (e) => {
      if (field.value) return;
      e.preventDefault();
      ask();
    });
    if (kind === "get") ask();
  } else {
    show("none", true);
    form.querySelector("[type=submit]").disabled = true;
  }
}
