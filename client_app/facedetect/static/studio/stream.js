/** The page's end of the stream: connects, reconnects, renews its token, hands frames to the worker. */

import { Backoff, retryAfter } from "./backoff.js";
import { CLOSE_CODES, SESSION_OVER, reconnects } from "./protocol.js";
import { sentenceOf } from "./sentences.js";

const RENEW_AT = 0.6;
/** Share of a token's life after which the next one is fetched. */
const STEADY_MS = 10_000;
/** Only a connection that lasted so long ends the back-off: one that is taken and dropped must not be asked for without end. */

/** What the server refused, in its own words; `asked`: how many milliseconds it wants to be left alone. */
class Refused extends Error {
  constructor(message, { status, renewed, asked }) {
    super(message);
    Object.assign(this, { status, renewed, asked });
  }

  /** Whether it may be granted later: the server is busy; or it was the old session that was refused, not a new one. */
  get passes() {
    return this.status >= 500 || (this.status === 403 && this.renewed);
  }
}

/** The relay's word for an end: that of the fatal error before it, else the close code's name, which most are as well. */
/** Where a socket closed without a word: what the relay calls the errors that close it so. */
const WORDS = { 1002: "bad_message", 1007: "bad_utf8", 1008: "bad_token", 4001: "no_hello" };
const wordOf = ({ word, code }) => word ?? WORDS[code] ?? CLOSE_CODES.get(code)?.name.replaceAll(" ", "_");

/** Session tokens from `POST /session`. */
export class Tokens {
  #held = null;
  #over = false;

  /** @param {string} address @param {() => string} csrf @param {string} terms the version that the visitor accepts first */
  constructor(address, csrf, terms) {
    this.address = address;
    this.csrf = csrf;
    this.terms = terms;
  }

  /** The session token in hand, or null. */
  get held() {
    return this.#held;
  }

  /** A fresh token: of the session in hand, else of a new one. Throws Refused, or TypeError when nobody answers. */
  async fetch() {
    const renewed = this.#held && !this.#over && { renew: this.#held.token };
    const body = new URLSearchParams({ terms: this.terms, ...renewed });
    const response = await fetch(this.address, {
      method: "POST",
      headers: { "X-CSRFToken": this.csrf(), Accept: "application/json" },
      body,
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) {
      if (response.status === 403) this.#held = null;
      const { status } = response;
      throw new Refused(answer.error?.message ?? "", { status, renewed: Boolean(renewed), asked: retryAfter(response) });
    }
    this.#held = answer;
    this.#over = false;
    return answer;
  }

  /** The session in hand is over: the next token is of a new one. Until then it still signs what was recorded in it. */
  end() {
    this.#over = true;
  }
}

/**
 * Events: "ready", "result", "want", "stats", "quiet" and "heard", "tick": their `detail` is the message. "notice" (an error
 * that is not fatal): {message}; "waiting" (before another try): {reason}; "failed" (there will be none): {reason, asked}.
 * Messages and reasons are in the visitor's language; `asked`: milliseconds that the server wants to be left alone.
 */
export class Stream extends EventTarget {
  #worker = null;
  /** Whether the worker could not be loaded, or failed: the next start takes another. */
  #broken = false;
  #epoch = 0;
  #choice = null;
  #timer = 0;
  #renewal = 0;
  #backoff = new Backoff();
  #active = false;
  #readyAt = Infinity;

  /** @param {string} workerAddress @param {Tokens} tokens */
  constructor(workerAddress, tokens) {
    super();
    this.workerAddress = workerAddress;
    this.tokens = tokens;
    this.#hire();
  }

  #hire() {
    this.#worker?.terminate();
    this.#broken = false;
    this.#worker = new Worker(this.workerAddress, { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#receive(data));
    this.#worker.addEventListener("error", () => {
      this.#broken = true;
      this.#emit("failed", { reason: "" });
    });
  }

  get epoch() {
    return this.#epoch;
  }

  /** Connect, and stay connected until `stop`. `choice` is {identity, identities, options}. */
  start(choice) {
    if (this.#broken) this.#hire();
    this.#choice = choice;
    this.#active = true;
    this.#backoff.reset();
    this.#connect();
  }

  stop() {
    this.#active = false;
    this.#epoch += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    this.#worker.postMessage({ type: "close" });
  }

  /** From the next frame on. */
  choose(choice) {
    this.#choice = choice;
    if (this.#active) this.#worker.postMessage({ type: "options", choice });
  }

  send(bitmap, captureUs) {
    this.#worker.postMessage({ type: "frame", epoch: this.#epoch, bitmap, captureUs }, [bitmap]);
  }

  encode({ quality, side }) {
    this.#worker.postMessage({ type: "encoding", quality, side });
  }

  /** Ask for a "tick" every so many milliseconds, also while the page is hidden; 0: none. */
  tick(every) {
    this.#worker.postMessage({ type: "ticks", every });
  }

  async #connect() {
    const epoch = ++this.#epoch;
    this.#readyAt = Infinity;
    clearTimeout(this.#renewal);
    try {
      const { token, websocket_url: url, expires } = await this.tokens.fetch();
      if (epoch !== this.#epoch) return;
      this.#worker.postMessage({ type: "open", epoch, url, token, choice: this.#choice });
      this.#renewAt(expires);
    } catch (error) {
      if (epoch !== this.#epoch) return;
      if (error instanceof Refused) this.#lost(error.message, error.passes, error.asked);
      else this.#lost("", true);
    }
  }

  #renewAt(expires) {
    const left = Math.max(1, expires - Date.now() / 1000);
    const epoch = this.#epoch;
    this.#renewal = setTimeout(
      async () => {
        if (!this.tokens.held) return; // it was refused: what is asked for now would be another session's
        try {
          const { token, expires: later } = await this.tokens.fetch();
          if (epoch !== this.#epoch) return;
          this.#worker.postMessage({ type: "renew", token });
          this.#renewAt(later);
        } catch {
          // The relay ends the session when the token does; a fresh one is asked for then.
          if (epoch === this.#epoch && left > 10) this.#renewAt(expires);
        }
      },
      left * RENEW_AT * 1000,
    );
  }

  #receive(message) {
    if (message.type === "tick") return void this.#emit("tick", message);
    if (message.epoch !== this.#epoch) return void message.bitmap?.close();
    switch (message.type) {
      case "ready":
        this.#readyAt = performance.now();
        return void this.#emit("ready", message);
      case "error":
        // What is fatal is told by the end that follows.
        return void (message.fatal || this.#emit("notice", { message: sentenceOf(message.code, message.message) }));
      case "closed":
        if (message.code === SESSION_OVER) this.tokens.end();
        return void this.#lost(sentenceOf(wordOf(message), message.reason), reconnects(message.code));
      default:
        this.#emit(message.type, message);
    }
  }

  #lost(reason, again, asked = 0) {
    clearTimeout(this.#renewal);
    if (!this.#active) return;
    if (!again) {
      this.stop();
      this.#emit("failed", { reason, asked });
      return;
    }
    if (performance.now() - this.#readyAt >= STEADY_MS) this.#backoff.reset();
    const wait = this.#backoff.next(asked);
    this.#timer = setTimeout(() => {
      this.#emit("connecting", {});
      this.#connect();
    }, wait);
    this.#emit("waiting", { reason });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
