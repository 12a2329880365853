/**
 * The worker that encodes frames and owns the WebSocket: JPEG work and network never wait for the page, nor the page for them.
 *
 * The page sends {type: open | frame | encoding | options | renew | close}. The worker answers {type: want} when it can use
 * one more frame, {type: result} with a bitmap to draw (null: held), every text message of the relay as it is, {type: quiet}
 * when nothing comes any more and {type: heard} when something does again, and {type: closed}. `epoch` counts connections, so that nothing of an earlier one is taken for the present.
 */

import { CreditWindow, FLAG, ProtocolError, decodeMessage, decodeResult, encodeFrame } from "./protocol.js";
import * as protocol from "./protocol.js";

const JPEG = "image/jpeg";
const NORMAL = 1000;
const LOST = 1006;
const SILENCE_MS = 10_000;
/** The relay tells something every second: a line on which nothing comes for so long is dead, though nobody closed it. */
const QUIET_MS = 2_000;
/** The page says so after as long as a frame stays on the screen. */

/** Milliseconds on a clock that the page and its worker share: their own `performance.now()` begin at different moments. */
const clock = () => performance.timeOrigin + performance.now();

/** One connection to the relay, from its hello to its end. */
class Connection {
  #socket;
  #credits = null;
  #sequence = 0;
  #encoding = false;
  #sentAt = new Map();
  #last = null;
  #choice;
  #greeted = null;
  #silence = 0;
  #quiet = 0;
  #isQuiet = false;

  constructor({ epoch, url, token, choice }) {
    this.epoch = epoch;
    this.#choice = choice;
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("open", () => this.#greet(token));
    this.#socket.addEventListener("message", ({ data }) => this.#receive(data));
    this.#socket.addEventListener("close", ({ code, reason }) => this.#closed(code, reason));
    this.#listen();
  }

  #greet(token) {
    this.#greeted = this.#choice;
    this.#socket.send(protocol.hello(token, this.#choice));
  }

  #listen() {
    this.#deafen();
    if (this.#isQuiet) this.#post({ type: "heard" });
    this.#isQuiet = false;
    this.#quiet = setTimeout(() => {
      this.#isQuiet = true;
      this.#post({ type: "quiet" });
    }, QUIET_MS);
    this.#silence = setTimeout(() => {
      this.#closed(LOST, "");
      this.close();
    }, SILENCE_MS);
  }

  #deafen() {
    clearTimeout(this.#silence);
    clearTimeout(this.#quiet);
  }

  get #open() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  tell(text) {
    if (this.#open && this.#credits) this.#socket.send(text);
  }

  /** What the next frames are to become. The relay takes no change before it is ready: it is told then. */
  choose(choice) {
    this.#choice = choice;
    this.tell(protocol.options(choice));
  }

  close() {
    this.#deafen();
    this.#socket.close(NORMAL);
  }

  /** Encode one frame and send it. The bitmap is closed in any case. */
  async send(bitmap, captureUs, encoding) {
    if (!this.#open || !this.#credits?.maySend || this.#encoding) {
      bitmap.close();
      return;
    }
    this.#encoding = true;
    try {
      const image = await encode(bitmap, encoding);
      if (!this.#open) return;
      this.#sequence += 1;
      this.#credits.send(this.#sequence);
      this.#socket.send(encodeFrame(this.#sequence, captureUs, image));
      this.#sentAt.set(this.#sequence, clock());
    } finally {
      this.#encoding = false;
      this.#want();
    }
  }

  #want() {
    if (this.#open && this.#credits?.maySend && !this.#encoding) this.#post({ type: "want" });
  }

  #post(message, transfer = []) {
    if (connection === this) postMessage({ epoch: this.epoch, ...message }, transfer);
  }

  #receive(data) {
    this.#listen();
    try {
      if (typeof data === "string") this.#message(decodeMessage(data));
      else this.#result(decodeResult(data));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#last = { code: 1002, reason: error.message };
      this.close();
    }
  }

  #message(message) {
    if (message.type === "error" && message.fatal) this.#last = { word: message.code };
    if (message.type === "bye") this.#last = { ...this.#last, code: message.code, reason: message.reason };
    if (message.type === "ready") this.#credits = new CreditWindow(message.window);
    this.#post(message);
    if (message.type !== "ready") return;
    if (this.#choice !== this.#greeted) this.choose(this.#choice);
    this.#want();
  }

  #result(result) {
    const times = { sent: this.#sentAt.get(result.sequence), received: clock() };
    const fresh = this.#credits?.receive(result.sequence) ?? false;
    for (const sequence of this.#sentAt.keys()) if (sequence <= result.sequence) this.#sentAt.delete(sequence);
    this.#want();
    if (fresh) this.#show(result, times);
  }

  async #show({ flags, sequence, captureUs, metadata, image }, times) {
    const held = Boolean(flags & FLAG.held) || image.byteLength === 0;
    const bitmap = held ? null : await createImageBitmap(new Blob([image], { type: JPEG })).catch(() => null);
    if (connection !== this) return void bitmap?.close();
    const message = { type: "result", sequence, captureUs, metadata, bitmap, times };
    this.#post(message, bitmap ? [bitmap] : []);
  }

  #closed(code, reason) {
    this.#deafen();
    this.#post({ type: "closed", code, reason, ...this.#last });
    if (connection === this) connection = null;
  }
}

let canvas = null;

/** A bitmap as JPEG bytes, at most `side` pixels long. */
async function encode(bitmap, { quality, side }) {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const width = Math.round(bitmap.width * scale);
  const height = Math.round(bitmap.height * scale);
  if (canvas?.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const blob = await canvas.convertToBlob({ type: JPEG, quality });
  return new Uint8Array(await blob.arrayBuffer());
}

let connection = null;
let encoding = { quality: 0.8, side: 640 };
let ticks = 0;

const HANDLERS = {
  open(message) {
    connection?.close();
    connection = new Connection(message);
  },
  frame({ epoch, bitmap, captureUs }) {
    if (connection?.epoch === epoch) connection.send(bitmap, captureUs, encoding);
    else bitmap.close();
  },
  encoding({ quality, side }) {
    encoding = { quality, side };
  },
  options: ({ choice }) => connection?.choose(choice),
  renew: ({ token }) => connection?.tell(protocol.renew(token)),
  close() {
    const closing = connection;
    connection = null;
    closing?.close();
  },
  /** A hidden page's own timers stand still; a worker's go on, for picture-in-picture and recordings. */
  ticks({ every }) {
    clearInterval(ticks);
    ticks = every ? setInterval(() => postMessage({ type: "tick" }), every) : 0;
  },
};

addEventListener("message", ({ data }) => HANDLERS[data.type](data));
