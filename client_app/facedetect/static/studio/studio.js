/** The studio without its buttons: camera → capture → stream → screen, steered by one state machine. */

import { Adaptation } from "./adaptation.js";
import { Camera, unplugged } from "./camera.js";
import { Capture } from "./capture.js";
import { Machine } from "./machine.js";
import { Screen } from "./screen.js";
import { sentenceOf } from "./sentences.js";

const RELEASE_AFTER_MS = 30_000;
/** How long a hidden page keeps the camera, for a visitor who comes back at once. */
const HIDDEN_TICK_MS = 40;

/** Events of its machine tell the states; "numbers" (each result) has {delay, rate, timings, times}, "faces" {faces, width, height}. */
export class Studio extends EventTarget {
  machine = new Machine();
  #stream;
  #choice = null;
  #generation = 0;
  #release = 0;
  #adaptation = new Adaptation();
  #serverFps = Infinity;
  #holders = new Set();

  /** @param {{video: HTMLVideoElement, canvas: HTMLCanvasElement, stream: import("./stream.js").Stream}} parts */
  constructor({ video, canvas, stream }) {
    super();
    this.camera = new Camera(video);
    this.screen = new Screen(canvas);
    this.capture = new Capture(video, (bitmap, ms) => stream.send(bitmap, BigInt(Math.max(0, Math.round(ms * 1000)))));
    this.#stream = stream;
    this.camera.addEventListener("ended", () => this.#fail(unplugged()));
    stream.addEventListener("ready", ({ detail }) => this.#ready(detail));
    stream.addEventListener("want", () => (this.capture.wanted = true));
    stream.addEventListener("result", ({ detail }) => this.#result(detail));
    stream.addEventListener("stats", ({ detail }) => this.#stats(detail));
    stream.addEventListener("connecting", () => this.machine.go("connecting"));
    stream.addEventListener("waiting", ({ detail }) => this.#waiting(detail));
    stream.addEventListener("quiet", () => this.#quiet());
    stream.addEventListener("heard", () => this.#heard());
    stream.addEventListener("failed", ({ detail: { reason, asked } }) => this.#fail(Object.assign(new Error(reason), { asked })));
    stream.addEventListener("tick", () => this.capture.take());
    document.addEventListener("visibilitychange", () => this.#visibility());
  }

  /** What the next frames are to become: {identity, identities, options}. */
  choose(choice) {
    this.#choice = choice;
    this.#stream.choose(choice);
  }

  /** Turn the camera `device` on ("": any) and connect. What goes wrong becomes the state "error". */
  async start(device) {
    if (this.machine.running) return;
    const generation = ++this.#generation;
    this.machine.go("asking");
    if (await this.#openCamera(device, generation)) this.#connect();
  }

  /** Turn the camera off and hang up. */
  stop() {
    if (!this.machine.running) return;
    this.#end();
    this.machine.go("stopped");
  }

  /** Another camera, while it runs or before. */
  async changeCamera(device) {
    if (!this.machine.running || this.machine.state === "asking") return;
    if (await this.#openCamera(device, ++this.#generation)) this.#visibility();
  }

  /** While any `holder` (picture-in-picture, a recording) asks for it, a hidden page goes on. */
  keepRunning(holder, wanted) {
    if (wanted) this.#holders.add(holder);
    else this.#holders.delete(holder);
    this.#visibility();
  }

  async #openCamera(device, generation) {
    try {
      if (!(await this.camera.start(device))) return false;
    } catch (error) {
      if (generation === this.#generation) this.#fail(error);
      return false;
    }
    this.capture.start();
    return true;
  }

  #connect() {
    this.machine.go("connecting");
    this.#adaptation.forget();
    this.#applyStep();
    this.capture.start();
    this.#stream.start(this.#choice);
    this.#visibility(); // it may have been hidden while the browser asked for the camera
  }

  #end() {
    this.#generation += 1;
    clearTimeout(this.#release);
    this.#stream.tick(0);
    this.#stream.stop();
    this.capture.stop();
    this.camera.stop();
    this.screen.clear();
  }

  #fail(error) {
    if (!this.machine.running) return;
    this.#end();
    this.machine.go("error", error);
  }

  #ready({ limits }) {
    this.#serverFps = limits?.fps ?? Infinity;
    this.#applyStep();
    this.machine.go("live");
  }

  #waiting({ reason }) {
    this.capture.wanted = false;
    this.machine.go("reconnecting", reason);
  }

  /** Nothing comes on the line. It may come back before it is given up. */
  #quiet() {
    if (["live", "degraded"].includes(this.machine.state)) this.machine.go("reconnecting");
  }

  #heard() {
    if (this.machine.state === "reconnecting") this.machine.go("live");
  }

  #stats({ state, code, reason }) {
    if (state === "degraded" && ["live", "degraded"].includes(this.machine.state)) {
      this.machine.go("degraded", sentenceOf(code, reason));
    }
    if (state === "ok" && this.machine.state === "degraded") this.machine.go("live");
  }

  #result({ bitmap, captureUs, sequence, metadata, times }) {
    if (!bitmap) return; // held: the last swap stays, as long as the screen lets it
    const now = performance.now();
    const captured = Number(captureUs) / 1000;
    const delay = now - captured;
    if (!this.screen.draw(bitmap, this.#stream.epoch, sequence)) return;
    if (this.#adaptation.observe(delay, now)) this.#applyStep();
    const [sent, received] = [times.sent, times.received].map((at) => at - performance.timeOrigin);
    const detail = {
      delay: this.#adaptation.delay,
      rate: this.screen.rate(now),
      timings: metadata.timings_ms ?? {},
      times: { captured, sent, received, drawn: now },
    };
    this.dispatchEvent(new CustomEvent("numbers", { detail }));
    const { width, height } = this.screen.canvas;
    this.dispatchEvent(new CustomEvent("faces", { detail: { faces: metadata.faces ?? [], width, height } }));
  }

  #applyStep() {
    const { step } = this.#adaptation;
    this.capture.fps = Math.min(step.fps, this.#serverFps);
    this.#stream.encode(step);
  }

  #visibility() {
    const { state } = this.machine;
    const away = document.hidden && this.#holders.size === 0;
    this.#stream.tick(document.hidden && this.#holders.size ? HIDDEN_TICK_MS : 0);
    if (away && ["connecting", "live", "degraded", "reconnecting"].includes(state)) this.#pause();
    if (!away && state === "paused") this.#resume();
  }

  #pause() {
    this.#stream.stop();
    this.capture.stop();
    this.#release = setTimeout(() => this.camera.stop(), RELEASE_AFTER_MS);
    this.machine.go("paused");
  }

  async #resume() {
    clearTimeout(this.#release);
    const generation = ++this.#generation;
    if (!this.camera.open && !(await this.#openCamera(this.camera.device, generation))) return;
    if (this.machine.state === "paused") this.#connect();
  }
}
