/** Requests to this server, which answers with JSON: an object, or a sentence that says why not. */

import { gettext } from "../studio/text.js";

const csrf = () => document.querySelector("[name=csrfmiddlewaretoken]").value;

async function ask(address, options) {
  const response = await fetch(address, options).catch(() => null);
  const answer = await response?.json().catch(() => null);
  if (!response?.ok) {
    const message = answer?.error?.message ?? gettext("The server does not answer. Check the connection and try again.");
    throw new Error(message);
  }
  return answer;
}

export const get = (address) => ask(address, { headers: { Accept: "application/json" } });

export const post = (address, body, headers = {}) =>
  ask(address, { method: "POST", body, headers: { "X-CSRFToken": csrf(), Accept: "application/json", ...headers } });
