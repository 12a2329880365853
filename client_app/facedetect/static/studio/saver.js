/** What leaves the page: snapshots and recordings, signed by the server before they are handed over. */

import { format, gettext } from "./text.js";

const FRAME_RATE = 30;
const SNAPSHOT_QUALITY = 0.95;
const PROGRESS_MS = 500;
const CHUNK_MS = 500;
const VIDEO_BITS = 2_500_000;
const AUDIO_BITS = 96_000;
const MARGIN_BYTES = 512 * 1024;
/** What the signature and the last chunk may add. */
const FORMATS = ["video/mp4;codecs=avc1.42E01E,mp4a.40.2", "video/mp4;codecs=avc1.42E01E", "video/mp4"];

/** Signs a file at `POST /exports`. */
export class Exporter {
  /**
   * @param {string} address
   * @param {() => string} csrf
   * @param {() => string | undefined} token of the session in hand
   */
  constructor(address, csrf, token) {
    this.address = address;
    this.csrf = csrf;
    this.token = token;
  }

  /** `blob`, which shows `identities`, signed. Throws Error with the server's sentence: nothing unsigned is handed over. */
  async sign(blob, identities) {
    const token = this.token();
    if (!token) throw new Error(gettext("Press Start first: only a running session can save."));
    const response = await fetch(this.address, {
      method: "POST",
      headers: {
        "Content-Type": blob.type.split(";")[0],
        "X-CSRFToken": this.csrf(),
        "X-Faceswap-Session": token,
        "X-Faceswap-Identity": [...identities].join(","),
        Accept: "application/json",
      },
      body: blob,
    }).catch(() => null);
    if (response?.ok) return response.blob();
    const answer = await response?.json().catch(() => null);
    throw new Error(answer?.error?.message ?? gettext("It could not be signed, so it was not saved. Try again in a moment."));
  }
}

/** Hand `blob` over as a download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

/** One signed JPEG of `canvas`, which shows `identities`. */
export async function snapshot(canvas, exporter, identities) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", SNAPSHOT_QUALITY));
  download(await exporter.sign(blob, identities), `ai-modified-${stamp()}.jpg`);
}

/** Films of `canvas`, MP4. Events: "progress" {seconds, bytes}, "stopped" {blob}. */
export class Recorder extends EventTarget {
  #recorder = null;
  #chunks = [];
  #bytes = 0;
  #startedAt = 0;
  #clock = null;
  #sound = null;

  /** @param {HTMLCanvasElement} canvas @param {number} mostBytes what the server signs */
  constructor(canvas, mostBytes) {
    super();
    this.canvas = canvas;
    this.mostBytes = mostBytes;
  }

  get running() {
    return this.#recorder !== null;
  }

  /** Throws Error with a sentence where this browser cannot record MP4, or gives no microphone. */
  async start(withSound) {
    const type = FORMATS.find((format) => globalThis.MediaRecorder?.isTypeSupported(format));
    if (!type) throw new Error(gettext("This browser cannot record MP4 films. Take a snapshot, or use another browser."));
    const stream = this.canvas.captureStream(FRAME_RATE);
    if (withSound) {
      this.#sound = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => null);
      if (!this.#sound) throw new Error(gettext("The microphone is blocked: allow it, or record without sound."));
      for (const track of this.#sound.getAudioTracks()) stream.addTrack(track);
    }
    this.#chunks = [];
    this.#bytes = 0;
    this.#startedAt = performance.now();
    this.#recorder = new MediaRecorder(stream, {
      mimeType: type,
      videoBitsPerSecond: VIDEO_BITS,
      audioBitsPerSecond: AUDIO_BITS,
    });
    this.#recorder.addEventListener("dataavailable", ({ data }) => this.#grow(data));
    this.#recorder.addEventListener("stop", () => this.#finish());
    this.#recorder.start(CHUNK_MS);
    // By the clock, for the encoder of a busy machine keeps its first bytes for seconds.
    this.#clock = setInterval(() => this.#tell(), PROGRESS_MS);
    this.#tell();
  }

  stop() {
    if (this.#recorder?.state === "recording") this.#recorder.stop();
  }

  #grow(chunk) {
    this.#chunks.push(chunk);
    this.#bytes += chunk.size;
    if (this.#bytes > this.mostBytes - MARGIN_BYTES) this.stop();
  }

  #tell() {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.dispatchEvent(new CustomEvent("progress", { detail: { seconds, bytes: this.#bytes } }));
  }

  #finish() {
    clearInterval(this.#clock);
    for (const track of this.#sound?.getTracks() ?? []) track.stop();
    this.#sound = this.#recorder = null;
    const blob = new Blob(this.#chunks, { type: "video/mp4" });
    this.#chunks = [];
    this.dispatchEvent(new CustomEvent("stopped", { detail: { blob } }));
  }
}

/** Sign a film that shows `identities` and hand it over. */
export async function saveFilm(blob, exporter, identities) {
  download(await exporter.sign(blob, identities), `ai-modified-${stamp()}.mp4`);
}

/** `1:05 · 3.2 MB`. */
export function progressText({ seconds, bytes }) {
  const whole = Math.floor(seconds);
  const time = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  return format(gettext("{time} · {size} MB"), { time, size: (bytes / 2 ** 20).toFixed(1) });
}
