/** /stage: starts by itself with the face and camera that the studio remembers, or the address names; shows nothing else. */

import { Backoff } from "./backoff.js";
import { choiceOf, enginesOf, readIdentities } from "./choice.js";
import * as preferences from "./preferences.js";
import { Stream, Tokens } from "./stream.js";
import { Studio } from "./studio.js";
import { gettext } from "./text.js";

const restarts = new Backoff(Math.random, { first: 5_000, longest: 300_000, growth: 2 });
/** Nobody presses Start on a stage: after trouble it tries again by itself, and not before the server wants it to. */

const { body } = document;
const $ = (selector) => document.querySelector(selector);
const named = new URLSearchParams(location.search);
const chosen = { ...preferences.load(), ...Object.fromEntries(named) };

const tokens = new Tokens(body.dataset.session, () => $("[name=csrfmiddlewaretoken]").value, body.dataset.terms);
const stream = new Stream(body.dataset.worker, tokens);
const studio = new Studio({ video: $("#camera"), canvas: $("#screen"), stream });

const identity = chosen.identity || body.dataset.first;
const identities = readIdentities(named.get("identities"));
studio.choose(
  choiceOf(
    {
      ...chosen,
      mirror: named.has("mirror") ? named.get("mirror") === "1" : chosen.mirror,
      strength: Number(chosen.strength),
      edge: Number(chosen.edge),
    },
    {
      identity,
      identities,
      faces: identities ? "all" : chosen.faces,
      engines: enginesOf(JSON.parse($("#engines").textContent)[identity]),
    },
  ),
);
studio.keepRunning("stage", true); // a streaming program may show it while it counts as hidden
const start = () => studio.start(chosen.device);

const STATUS = {
  asking: gettext("Waiting for the camera…"),
  connecting: gettext("Connecting…"),
  reconnecting: gettext("Reconnecting…"),
};

studio.machine.addEventListener("change", ({ detail: { state, reason } }) => {
  body.dataset.state = state;
  $("#status").textContent = state === "error" ? reason?.message : (STATUS[state] ?? "");
  if (state === "live") restarts.reset();
  if (state === "error") setTimeout(start, restarts.next(reason?.asked));
});
addEventListener("pagehide", () => studio.stop());
addEventListener("pageshow", () => studio.machine.state === "stopped" && start()); // the browser had kept the page

if (preferences.termsAccepted(body.dataset.terms)) {
  start();
} else {
  $("#terms").addEventListener("close", ({ target }) => {
    if (target.returnValue !== "yes") return;
    preferences.acceptTerms(body.dataset.terms);
    start();
  });
  $("#terms").showModal();
}
