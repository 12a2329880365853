/** Snapshots and films of the screen, as they are before the server has signed them (outbox.js). */

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

/** One JPEG of `canvas`. */
export function snapshot(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", SNAPSHOT_QUALITY));
}

const end = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** Films of `canvas`, MP4. Events: "progress" {seconds, bytes}, "stopped" {blob}. */
export class Recorder extends EventTarget {
  #recorder = null;
  #chunks = [];
  #bytes = 0;
  #startedAt = 0;
  #clock = null;
  #asking = false;

  /** @param {HTMLCanvasElement} canvas @param {number} mostBytes what the server signs */
  constructor(canvas, mostBytes) {
    super();
    this.canvas = canvas;
    this.mostBytes = mostBytes;
  }

  /** Whether it records, or waits for the microphone to do so. */
  get running() {
    return this.#asking || this.#recorder !== null;
  }

  /**
   * Whether it records now: not where it was stopped while the browser asked for the microphone.
   * Throws Error with a sentence where this browser cannot record MP4, or gives no microphone.
   */
  async start(withSound) {
    const type = FORMATS.find((format) => globalThis.MediaRecorder?.isTypeSupported(format));
    if (!type) throw new Error(gettext("This browser cannot record MP4 films. Take a snapshot, or use another browser."));
    const sound = withSound ? await this.#askForSound() : null;
    if (sound === false) return false;
    const stream = this.canvas.captureStream(FRAME_RATE);
    for (const track of sound?.getAudioTracks() ?? []) stream.addTrack(track);
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
    return true;
  }

  /** The microphone; false where nobody wants it any more when it is given. */
  async #askForSound() {
    this.#asking = true;
    const sound = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => null);
    const wanted = this.#asking;
    this.#asking = false;
    if (!wanted) end(sound);
    else if (!sound) throw new Error(gettext("The microphone is blocked: allow it, or record without sound."));
    return wanted && sound;
  }

  stop() {
    this.#asking = false;
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
    end(this.#recorder.stream);
    this.#recorder = null;
    const blob = new Blob(this.#chunks, { type: "video/mp4" });
    this.#chunks = [];
    this.dispatchEvent(new CustomEvent("stopped", { detail: { blob } }));
  }
}

/** `1:05 · 3.2 MB`. */
export function progressText({ seconds, bytes }) {
  const whole = Math.floor(seconds);
  const time = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  return format(gettext("{time} · {size} MB"), { time, size: (bytes / 2 ** 20).toFixed(1) });
}
