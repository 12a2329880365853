/** "Train a model": how each of the visitor's trainings stands, asked again while one runs. */

import { format, gettext } from "../studio/text.js";
import { get, post } from "./request.js";

const ASK_EVERY_MS = 2000;
const COMPARING = 0.99;

const list = document.querySelector("#trainings");
const problem = document.querySelector("#trainings-problem");
const panels = [...document.querySelectorAll(".training")];

const ENDED = {
  better: gettext("Trained: measured to be better than the photograph, and now used in its place."),
  not_better: gettext("Trained, but not measured to be better than the photograph, which stays in use."),
  cancelled: gettext("The training was cancelled."),
};

/** Of the prediction service's own sentences those that say no more than this. */
const FAILED = {
  "The training failed: start it again.": gettext("The training failed: start it again."),
  "The service was stopped meanwhile: start the training again.": gettext("The service was stopped meanwhile: start the training again."),
};

function timeLeft(seconds) {
  if (seconds === null) return "";
  if (seconds < 60) return gettext("less than a minute left");
  return format(gettext("about {minutes} min left"), { minutes: Math.round(seconds / 60) });
}

function words({ state, progress, step, seconds_left: seconds, reason }) {
  if (state === "queued") return gettext("Waiting for its turn.");
  if (state === "failed") return FAILED[reason] ?? reason;
  if (state !== "running") return ENDED[state];
  if (step === 0) return gettext("Getting ready: the photograph is given expressions to learn from.");
  if (progress >= COMPARING) return gettext("Learnt. Now the model is compared with the photograph.");
  const numbers = { percent: Math.round(progress * 100), step };
  return [format(gettext("{percent} %, step {step}"), numbers), timeLeft(seconds)].filter(Boolean).join(", ");
}

function show(panel, told, available, busy) {
  const running = told?.state === "queued" || told?.state === "running";
  const trained = panel.dataset.engines.split(" ").includes("autoencoder") || told?.state === "better";
  panel.querySelector(".train").hidden = running || trained || busy || !available;
  panel.querySelector(".cancel").hidden = !running;
  const bar = panel.querySelector("progress");
  bar.hidden = !running;
  if (told?.state === "running" && told.step > 0) bar.value = told.progress;
  else bar.removeAttribute("value");
  const status = panel.querySelector("[role=status]");
  const text = told ? words(told) : trained ? gettext("Uses a model that was trained on it.") : "";
  if (status.textContent !== text) status.textContent = text;
  const figure = panel.querySelector("figure");
  figure.hidden = !told?.preview;
  if (!told?.preview) return;
  const address = `${panel.dataset.address}/preview.jpg?${told.state}-${told.step}`;
  const sheet = figure.querySelector("img");
  if (sheet.getAttribute("src") !== address) sheet.src = address;
}

let timer;

async function look() {
  clearTimeout(timer);
  let running = true;
  try {
    const { available, reason, trainings } = await get(list.dataset.address);
    running = Object.values(trainings).some(({ state }) => state === "queued" || state === "running");
    for (const panel of panels) show(panel, trainings[panel.dataset.identity], available, running);
    problem.textContent = available ? "" : reason;
  } catch (error) {
    problem.textContent = error.message;
  }
  if (running) timer = setTimeout(look, ASK_EVERY_MS);
}

for (const panel of panels) {
  for (const [button, path] of [[".train", ""], [".cancel", "/cancel"]]) {
    panel.querySelector(button).addEventListener("click", async ({ currentTarget }) => {
      currentTarget.disabled = true;
      try {
        await post(panel.dataset.address + path);
        await look();
      } catch (error) {
        problem.textContent = error.message;
      } finally {
        currentTarget.disabled = false;
      }
    });
  }
}

if (panels.length) look();
