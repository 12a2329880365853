/** The page: connects its buttons, keys and fields with the studio. */

import { Camera, CameraError } from "./camera.js";
import { choiceOf, enginesOf, stageAddress } from "./choice.js";
import { pictureForm } from "./picture.js";
import * as preferences from "./preferences.js";
import { Saving } from "./saving.js";
import { Stream, Tokens } from "./stream.js";
import { Studio } from "./studio.js";
import { format, gettext } from "./text.js";
import { followTrainings } from "./trained.js";
import { Chips, Wearers } from "./wearers.js";

const { body } = document;
const $ = (selector) => document.querySelector(selector);
/** The token in force: who logs in, in another tab, gets another one, and the form's is then out of date. */
const csrf = () => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? $("[name=csrfmiddlewaretoken]").value;
const TOAST_MS = 6_000;
const FIELDS = ["strength", "edge", "mouth", "eyes", "faces", "bystanders", "engine", "sound"];

const chosen = preferences.load();
const tokens = new Tokens(body.dataset.session, csrf, body.dataset.terms);
const stream = new Stream(body.dataset.worker, tokens);
const frame = $("#frame");
const stageLink = $("#stage-link");
const canvas = $("#screen");
const studio = new Studio({ video: $("#camera"), canvas, stream });

let toastTimer = 0;
let goingOn = "";
function show(text) {
  $("#toast").textContent = text;
  $("#toast").hidden = !text;
}

/** Say `text` for some seconds; then what goes on, if anything does. */
function toast(text) {
  show(text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toastTimer = 0;
    show(goingOn);
  }, TOAST_MS);
}

/** Say what goes on, until it is "". */
function toastGoingOn(text) {
  goingOn = text;
  if (text) {
    clearTimeout(toastTimer);
    toastTimer = 0;
  }
  if (!toastTimer) show(text);
}

// The face and the options

const cards = [...document.querySelectorAll("input[name=identity][type=radio]")];
const cardOf = (identity) => cards.find(({ value }) => value === identity);
/** Everybody's, but for those who have one of their own. */
const card = () => cardOf(chosen.identity) ?? cards[0];
const wearers = new Wearers();
const saving = new Saving({ studio, tokens, csrf, worn: () => identitiesOf(choice()), toast, toastGoingOn });
const swapped = () => (wearers.all ? "all" : chosen.faces);

function choice() {
  const { value: identity = "", dataset } = card() ?? {};
  return choiceOf(chosen, { identity, identities: wearers.identities, faces: swapped(), engines: enginesOf(dataset?.engines) });
}

const identitiesOf = ({ identity, identities }) => new Set([identity, ...Object.values(identities ?? {})]);

/** The next frames become what is chosen now. */
function steer() {
  const next = choice();
  saving.wear(identitiesOf(next));
  stageLink.href = stageAddress(stageLink.pathname, next); // opened from here, the stage shows the same
  studio.choose(next);
}

function remember(changes) {
  Object.assign(chosen, changes);
  preferences.save(chosen);
  steer();
}

function showCard() {
  const face = card();
  if (!face) return;
  const portrait = $("#cover-portrait");
  portrait.src = face.dataset.portrait;
  portrait.hidden = false;
  $("#cover-title").textContent = format(gettext("Become {name}"), { name: face.dataset.name });
  const engines = enginesOf(face.dataset.engines);
  const names = { photo: gettext("From a photo"), autoencoder: gettext("Deepfake"), onnx: gettext("Imported model") };
  const usual = new Option(gettext("As it looks best"), "");
  $("#engine").replaceChildren(usual, ...engines.map((engine) => new Option(names[engine] ?? engine, engine)));
  $("#engine").value = engines.includes(chosen.engine) ? chosen.engine : "";
  $("#engine-field").hidden = engines.length < 2;
}

card()?.setAttribute("checked", "");
for (const each of cards) {
  each.addEventListener("change", () => {
    if (wearers.chosen) {
      wearers.dress(each.value);
      steer();
    } else {
      wearers.undress();
      remember({ identity: each.value });
      showCard();
    }
    showWearers();
    showFields();
  });
}
showCard();

/** What the chip of face `number` shows; 0 is everybody's, or the nearest's where only that one is swapped. */
function worn(number) {
  const everybody = swapped() === "all";
  if (!number) return { name: everybody ? gettext("Everybody") : gettext("Only the nearest"), portrait: card()?.dataset.portrait };
  const own = cardOf(wearers.identityOf(number)) ?? (everybody || number === wearers.first ? card() : null);
  const unswapped = { blur: gettext("Blurred"), leave: gettext("As they are") }[chosen.bystanders];
  const { name = unswapped, portrait } = own?.dataset ?? {};
  return { label: wearers.labelOf(number), name, portrait, identity: own?.value };
}

const chips = new Chips($("#wearers"), $("#marks"), worn, (number) => {
  wearers.chosen = number;
  showWearers();
});

function showWearers() {
  const { numbers, chosen: number } = wearers;
  chips.show(wearers);
  const together = numbers.length > 0;
  if ($("#wearers-field").hidden === together) {
    $("#wearers-field").hidden = !together;
    $("#wearers-status").textContent = together ? gettext("Several people are seen: choose one, then a face for them.") : "";
  }
  const { identity } = number ? worn(number) : { identity: card()?.value };
  for (const each of cards) each.checked = each.value === identity;
  $("#faces-title").textContent = number
    ? format(gettext("Face for person {number}"), { number: wearers.labelOf(number) })
    : gettext("Choose a face");
}

studio.addEventListener("faces", ({ detail: { faces, width, height } }) => {
  if (wearers.see(faces)) showWearers();
  chips.mark(wearers.numbers.length ? faces : [], width, height, wearers.chosen);
});

function forgetWearers() {
  wearers.forget();
  showWearers();
  showFields();
  chips.mark([], 1, 1, 0);
  steer();
}

$("#search").addEventListener("input", ({ target }) => {
  const words = target.value.trim().toLowerCase();
  let found = 0;
  for (const label of document.querySelectorAll(".card[data-name]")) {
    label.hidden = !label.dataset.name.includes(words);
    found += !label.hidden;
  }
  $("#none-found").hidden = found > 0;
});

function showFields() {
  for (const name of FIELDS) {
    const field = $(`#${name}`);
    if (field.type === "checkbox") field.checked = chosen[name];
    else field.value = chosen[name];
  }
  for (const name of ["strength", "edge"]) $(`#${name}-value`).textContent = `${Math.round(chosen[name] * 100)} %`;
  $("#faces").value = swapped();
  $("#bystanders-field").hidden = swapped() === "all";
  $("#mirror").setAttribute("aria-pressed", chosen.mirror);
  frame.classList.toggle("mirrored", chosen.mirror);
  $("#compare").setAttribute("aria-pressed", chosen.view === "compare");
  frame.dataset.view = chosen.view;
}

for (const name of FIELDS) {
  $(`#${name}`).addEventListener("input", ({ target }) => {
    const value = { checkbox: target.checked, range: Number(target.value) }[target.type] ?? target.value;
    if (name === "faces") wearers.forget();
    remember({ [name]: value });
    showFields();
    showWearers();
  });
}
showFields();
steer();

async function showCameras() {
  const cameras = await Camera.list();
  const options = cameras.map(
    ({ deviceId, label }, place) => new Option(label || format(gettext("Camera {n}"), { n: place + 1 }), deviceId),
  );
  const field = $("#device");
  field.replaceChildren(new Option(gettext("The usual one"), ""), ...options);
  field.value = cameras.some(({ deviceId }) => deviceId === chosen.device) ? chosen.device : "";
}
navigator.mediaDevices?.addEventListener?.("devicechange", showCameras);
$("#device").addEventListener("change", ({ target }) => {
  remember({ device: target.value });
  studio.changeCamera(target.value);
});
showCameras();

// States

const STATUS = {
  asking: () => gettext("Waiting for the camera…"),
  connecting: () => gettext("Connecting…"),
  live: () => gettext("Live"),
  degraded: (reason) => format(gettext("Degraded: {reason}"), { reason: reason || gettext("the service is slow") }),
  reconnecting: () => gettext("Reconnecting…"),
  paused: () => gettext("Paused while this page is hidden"),
};

/** What stands under the turning ring while nothing is on the screen. */
function busyText(state, reason) {
  if (state === "live") return gettext("Waiting for the picture…");
  return [STATUS[state]?.(reason), state === "reconnecting" ? reason : ""].filter(Boolean).join(" ");
}

function showTrouble(error) {
  const known = error instanceof CameraError;
  $("#trouble-title").textContent = known ? error.message : gettext("The session has ended");
  $("#trouble-help").textContent = known ? error.help : error?.message || gettext("Press Start to try again.");
}

studio.machine.addEventListener("change", ({ detail: { state, before, reason } }) => {
  body.dataset.state = state;
  body.classList.toggle("running", studio.machine.running);
  if (state !== "connecting" || before !== "reconnecting") { // of every try the same is told
    $("#status span").textContent = STATUS[state]?.(reason) ?? "";
    $("#busy-text").textContent = busyText(state, reason);
  }
  if (state === "error") showTrouble(reason);
  if (state === "live") showCameras();
  if (!studio.machine.running) {
    forgetWearers();
    saving.stop();
    $("#numbers").hidden = true;
  }
});

const LIVE_ONLY = document.querySelectorAll(".live-only");
function showScreen(shown) {
  frame.classList.toggle("shown", shown);
  for (const button of LIVE_ONLY) button.disabled = !shown;
}
studio.screen.addEventListener("shown", () => showScreen(true));
studio.screen.addEventListener("cleared", () => {
  showScreen(false);
  chips.mark([], 1, 1, 0);
});
showScreen(false);

studio.addEventListener("numbers", ({ detail: { delay, rate } }) => {
  $("#numbers").hidden = false;
  $("#fps").textContent = Math.round(rate);
  $("#delay").textContent = Math.round(delay);
});
const delays = $("#delays");
function openDelays() {
  import("./delay-panel.js")
    .then(({ open }) => open(delays, studio))
    .catch(() => {
      toast(gettext("The server does not answer. Check the connection and try again."));
      delays.addEventListener("toggle", openDelays, { once: true });
    });
}
delays.addEventListener("toggle", openDelays, { once: true });
stream.addEventListener("notice", ({ detail }) => toast(detail.message));

// Buttons

function accepted() {
  return preferences.termsAccepted(body.dataset.terms);
}

function toggle() {
  if (studio.machine.running) studio.stop();
  else if (accepted()) studio.start(chosen.device);
  else $("#terms").showModal();
}

$("#terms").addEventListener("close", ({ target }) => {
  if (target.returnValue !== "yes") return;
  preferences.acceptTerms(body.dataset.terms);
  studio.start(chosen.device);
});

function holdBack(held) {
  if (held && studio.screen.showing) frame.dataset.hold = "";
  else delete frame.dataset.hold;
}

const floating = document.createElement("video");
floating.muted = true;
async function toggleFloating() {
  if (document.pictureInPictureElement) return void document.exitPictureInPicture();
  floating.srcObject ??= canvas.captureStream();
  await floating.play();
  await floating.requestPictureInPicture();
}
for (const [event, floats] of [
  ["enterpictureinpicture", true],
  ["leavepictureinpicture", false],
]) {
  floating.addEventListener(event, () => {
    studio.keepRunning("floating", floats);
    $("#pip").setAttribute("aria-pressed", floats);
  });
}
$("#pip").hidden = !document.pictureInPictureEnabled;
$("#full").hidden = !document.fullscreenEnabled;

function toggleMirror() {
  wearers.mirror();
  remember({ mirror: !chosen.mirror });
  showFields();
}

function toggleCompare() {
  remember({ view: chosen.view === "compare" ? "after" : "compare" });
  showFields();
}

const ACTIONS = {
  start: toggle,
  mirror: toggleMirror,
  compare: toggleCompare,
  snapshot: () => saving.snapshot(),
  record: () => saving.toggle(chosen.sound),
  pip: () => toggleFloating().catch(() => toast(gettext("This browser does not let the picture float."))),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : frame.requestFullscreen()),
  "help-open": () => $("#help").showModal(),
};
for (const [id, act] of Object.entries(ACTIONS)) $(`#${id}`).addEventListener("click", act);

const hold = $("#hold");
hold.addEventListener("pointerdown", () => holdBack(true));
for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) hold.addEventListener(end, () => holdBack(false));
hold.addEventListener("contextmenu", (event) => event.preventDefault());

$("#divider").addEventListener("input", ({ target }) => frame.style.setProperty("--divide", `${target.value}%`));

// Keys

const KEYS = { " ": "start", m: "mirror", c: "compare", s: "snapshot", r: "record", p: "pip", f: "full", "?": "help-open" };
const CHOSEN = "[type=radio], [type=checkbox], [type=range]"; // they take the space bar and arrows alone
const TEXTS = `input:not(${CHOSEN}), select, textarea, dialog, summary, a, [contenteditable]`;
const typing = (target) => target.closest(TEXTS) !== null;

addEventListener("keydown", (event) => {
  const { key, target, repeat, ctrlKey, metaKey, altKey } = event;
  if (ctrlKey || metaKey || altKey || typing(target)) return;
  if (key.toLowerCase() === "b" || (target === hold && key === " ")) return void holdBack(true);
  const id = KEYS[key.toLowerCase()];
  const button = id ? $(`#${id}`) : null;
  // What has the focus takes the space bar itself, where it can.
  if (!button || repeat || button.disabled || button.hidden || (key === " " && target.closest("button, input"))) return;
  event.preventDefault();
  button.click();
});
addEventListener("keyup", ({ key }) => {
  if (key.toLowerCase() === "b" || key === " ") holdBack(false);
});
addEventListener("blur", () => holdBack(false)); // in another window the key is let go of unseen

addEventListener("pagehide", () => studio.stop());
if (cards.some(({ dataset }) => dataset.kind !== "synthetic")) {
  followTrainings(body.dataset.trainings, (identity, engines) => {
    const trained = cardOf(identity);
    if (!trained) return;
    trained.dataset.engines = engines.join(" ");
    if (trained === card() && chosen.engine) remember({ engine: "" }); // it was chosen for other faces: this one had no choice
    showCard();
    toast(format(gettext("{name} now wears a trained model: it was measured to be better than the photograph."), trained.dataset));
  });
}
pictureForm($("#picture-form"), () => card()?.value ?? "");
