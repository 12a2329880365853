/** The page's end of the stream: connects, reconnects, renews its token, hands frames to the worker. */

import { Backoff } from "./backoff.js";
import { reconnects } from "./protocol.js";

const RENEW_AT = 0.6;
/** Share of a token's life after which the next one is fetched. */

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(message, status, type) {
    super(message);
    this.status = status;
    this.type = type;
  }

  /** Whether it may be granted later: the server is busy, or the session was renewed too late. */
  get passes() {
    return this.status >= 500 || (this.status === 403 && this.type !== "terms_not_accepted");
  }
}

/** Session tokens from `POST /session`. */
export class Tokens {
  #held = null;

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
    const body = new URLSearchParams({ terms: this.terms, ...(this.#held && { renew: this.#held.token }) });
    const response = await fetch(this.address, {
      method: "POST",
      headers: { "X-CSRFToken": this.csrf(), Accept: "application/json" },
      body,
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) {
      if (response.status === 403) this.#held = null;
      throw new Refused(answer.error?.message ?? response.statusText, response.status, answer.error?.type);
    }
    this.#held = answer;
    return answer;
  }

  forget() {
    this.#held = null;
  }
}

/**
 * Events: "ready", "result", "want", "sent", "stats", "notice" (an error that is not fatal), "waiting" (before another try),
 * "failed" (there will be none), "tick". Their `detail` is the message.
 */
export class Stream extends EventTarget {
  #worker;
  #epoch = 0;
  #choice = null;
  #timer = 0;
  #renewal = 0;
  #backoff = new Backoff();
  #active = false;

  /** @param {string} workerAddress @param {Tokens} tokens */
  constructor(workerAddress, tokens) {
    super();
    this.tokens = tokens;
    this.#worker = new Worker(workerAddress, { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#receive(data));
    this.#worker.addEventListener("error", () => this.#emit("failed", { reason: "" }));
  }

  get epoch() {
    return this.#epoch;
  }

  /** Connect, and stay connected until `stop`. `choice` is {identity, identities, options}. */
  start(choice) {
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
    clearTimeout(this.#renewal);
    try {
      const { token, websocket_url: url, expires } = await this.tokens.fetch();
      if (epoch !== this.#epoch) return;
      this.#worker.postMessage({ type: "open", epoch, url, token, choice: this.#choice });
      this.#renewAt(expires);
    } catch (error) {
      if (epoch !== this.#epoch) return;
      const refused = error instanceof Refused;
      this.#lost(refused ? error.message : "", !refused || error.passes);
    }
  }

  #renewAt(expires) {
    const left = Math.max(1, expires - Date.now() / 1000);
    const epoch = this.#epoch;
    this.#renewal = setTimeout(
      async () => {
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
        this.#backoff.reset();
        return void this.#emit("ready", message);
      case "error":
        return void this.#emit("notice", message);
      case "closed":
        return void this.#lost(message.reason, reconnects(message.code));
      default:
        this.#emit(message.type, message);
    }
  }

  #lost(reason, again) {
    clearTimeout(this.#renewal);
    if (!this.#active) return;
    if (!again) {
      this.stop();
      this.#emit("failed", { reason });
      return;
    }
    const wait = this.#backoff.next();
    this.#timer = setTimeout(() => {
      this.#emit("connecting", {});
      this.#connect();
    }, wait);
    this.#emit("waiting", { reason, tries: this.#backoff.tries });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
