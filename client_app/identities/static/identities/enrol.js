/** Adding a face: the form, then the live check before the camera; and deleting one. */

import { Camera, CameraError, withheld } from "../studio/camera.js";
import { gettext } from "../studio/text.js";
import { post } from "./request.js";

const LONGEST_SIDE = 1280;
const PICTURE_QUALITY = 0.92;
const FRAME_WIDTH = 480;
const FRAME_QUALITY = 0.8;
const FRAME_EVERY_MS = 200;

const $ = (selector) => document.querySelector(selector);
const form = $("#enrol");
const camera = new Camera($("#camera"));

const ASKS = {
  left: gettext("Turn your head to your left"),
  right: gettext("Turn your head to your right"),
  blink: gettext("Close your eyes for a moment"),
  rest: gettext("Look into the camera"),
  other: gettext("This is not the face of your picture. Look into the camera, alone."),
};

/** A canvas with `source` (w × h) on it, at most `side` pixels long, as JPEG; whatever else the file said is gone. */
function jpeg(source, width, height, side, quality) {
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
}

const kind = () => form.elements.kind.value;
const explain = (error) => (error instanceof CameraError ? `${error.message}. ${error.help}` : error.message);

/** Why this page cannot add a face of this kind, before anything is typed into it; or null. */
function hindrance() {
  if (kind() === "self") return withheld();
  if (crypto.subtle) return null;
  return new Error(gettext("Browsers compute the document's fingerprint on pages with HTTPS alone. Ask the operator."));
}

function showKind() {
  const release = kind() === "release";
  $("#release").hidden = $("#terms-release").hidden = !release;
  $("#terms-self").hidden = release;
  for (const field of $("#release").querySelectorAll("input")) field.required = release;
  form.elements.agreed.checked = false;
  const hindered = hindrance();
  $("#problem").textContent = hindered ? explain(hindered) : "";
}
for (const each of form.querySelectorAll("input[name=kind]")) each.addEventListener("change", showKind);
showKind();

$("#picture").addEventListener("change", ({ target }) => {
  const preview = $("#picture-preview");
  URL.revokeObjectURL(preview.src);
  preview.hidden = !target.files.length;
  if (target.files.length) preview.src = URL.createObjectURL(target.files[0]);
});

async function fingerprint(file) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const send = $("#send");
  send.disabled = true;
  $("#problem").textContent = "";
  try {
    const hindered = hindrance();
    if (hindered) throw hindered;
    const body = new FormData(form);
    const picture = await createImageBitmap(body.get("picture"), { imageOrientation: "from-image" }).catch(() => {
      throw new Error(gettext("This picture cannot be read. Choose a JPEG, PNG or WebP photo."));
    });
    body.set("picture", await jpeg(picture, picture.width, picture.height, LONGEST_SIDE, PICTURE_QUALITY), "me.jpg");
    if (kind() === "release") body.set("document", await fingerprint($("#document").files[0]));
    else await camera.start(""); // first: without one, the picture would be sent for nothing
    const started = await post(document.body.dataset.enrolments, body);
    if (started.identity) done(started.identity);
    else await liveCheck(started);
  } catch (error) {
    $("#problem").textContent = explain(error);
    end();
  } finally {
    send.disabled = false;
  }
});

let running = false;

/** Frames to the server, one at a time, until it has seen all that it asked for. */
async function liveCheck({ enrolment, challenges, next }) {
  running = true;
  form.hidden = true;
  $("#live").hidden = false;
  $("#live-title").focus();
  $("#progress").max = challenges;
  $("#ask").textContent = ASKS[next];
  const { video } = camera;
  const address = `${document.body.dataset.enrolments}/${enrolment}/frames`;
  while (running) {
    const blob = await jpeg(video, video.videoWidth || FRAME_WIDTH, video.videoHeight || FRAME_WIDTH, FRAME_WIDTH, FRAME_QUALITY);
    const step = await post(address, blob, { "Content-Type": "image/jpeg" });
    $("#progress").value = step.done;
    if (step.identity) return done(step.identity);
    $("#ask").textContent = step.same ? (step.ready ? ASKS[step.next] : ASKS.rest) : ASKS.other;
    await new Promise((resolve) => setTimeout(resolve, FRAME_EVERY_MS));
  }
}

function end() {
  running = false;
  camera.stop();
  form.hidden = false;
  $("#live").hidden = true;
}

/** To the studio, with the new face chosen. */
function done(identity) {
  camera.stop();
  try {
    const key = "faceswap.preferences";
    localStorage.setItem(key, JSON.stringify({ ...JSON.parse(localStorage.getItem(key) ?? "{}"), identity }));
  } catch {
    // Storage is blocked: the face stands in the gallery all the same.
  }
  location.assign(document.body.dataset.studio);
}

$("#cancel").addEventListener("click", end);
addEventListener("pagehide", () => camera.stop());

for (const button of document.querySelectorAll(".revoke")) {
  button.addEventListener("click", async () => {
    if (!confirm(button.dataset.sure)) return;
    try {
      await post(button.dataset.address);
      location.reload();
    } catch (error) {
      $("#problem").textContent = error.message;
    }
  });
}
