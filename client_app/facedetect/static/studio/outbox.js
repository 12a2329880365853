/**
 * What leaves the page: films and snapshots are signed by the server, and only then handed over. What cannot be signed yet
 * is kept, in memory, and tried again.
 */

import { retryAfter } from "./backoff.js";
import { gettext } from "./text.js";

const WAITS_MS = Object.freeze([1_000, 2_000, 4_000, 8_000, 15_000]);
/** Before each further try, at most; together 30 s. Then the visitor says when. */
const LONGEST_ASKED_MS = 20_000;
/** A server that wants to be left alone for longer is tried again all the same, by then. */
const ANSWER_MS = 360_000;
/** For one try: the server gives a body five minutes. */
const MOST_KEPT = 8;
const ABOUT_THE_FILE = new Set([400, 404, 405, 413, 414, 415, 422]);
/** Refusals for good. */
const ABOUT_THE_VISITOR = new Set([401, 403]);
/** Logging in again, in another tab, may mend it; waiting does not. */

/**
 * Why a file is not signed: for good (`final`), until the visitor has done something (`theirs`), or for now; `asked`:
 * milliseconds that the server wants to be left alone.
 */
export class Unsigned extends Error {
  constructor(message, { final = false, theirs = false, asked = 0 } = {}) {
    super(message);
    Object.assign(this, { final, theirs, asked });
  }
}

const typeOf = ({ type }) => type.split(";")[0];

/** Signs files at `POST /exports`. */
export class Exporter {
  /** @param {string} address @param {() => string} csrf */
  constructor(address, csrf) {
    this.address = address;
    this.csrf = csrf;
  }

  /**
   * The signed file. Throws Unsigned.
   * @param {{blob: Blob, identities: Iterable<string>, token: string}} file with the identities that it shows, and a token of
   *   the session that it was made in
   */
  async sign({ blob, identities, token }) {
    const response = await fetch(this.address, {
      method: "POST",
      headers: {
        "Content-Type": typeOf(blob),
        "X-CSRFToken": this.csrf(),
        "X-Faceswap-Session": token,
        "X-Faceswap-Identity": [...identities].join(","),
        Accept: "application/json",
      },
      body: blob,
      signal: AbortSignal.timeout(ANSWER_MS),
    }).catch(() => null);
    const signed = response?.ok && (await response.blob().catch(() => null));
    // A network that wants a login answers 200 as well, with a page of its own.
    if (signed && typeOf(signed) === typeOf(blob)) return signed;
    const answer = response?.ok ? null : await response?.json().catch(() => null);
    const status = response?.status ?? 0;
    throw new Unsigned(answer?.error?.message ?? gettext("The server does not answer."), {
      final: ABOUT_THE_FILE.has(status),
      theirs: ABOUT_THE_VISITOR.has(status),
      asked: response ? retryAfter(response) : 0,
    });
  }
}

/**
 * The files that are not handed over yet. An event "change" with `detail: {file, state, reason, wait}` tells of each:
 * "signing", "waiting" (`wait` milliseconds before the next try), "kept" (until `retry`), "saved", "refused" (for good, and let
 * go of); `reason` is a sentence.
 */
export class Outbox extends EventTarget {
  /** File → whether it is being tried. */
  #files = new Map();

  /**
   * @param {Exporter} exporter
   * @param {(signed: Blob, file: object) => void} handOver
   * @param {() => number} random 0 to 1
   */
  constructor(exporter, handOver, random = Math.random) {
    super();
    this.exporter = exporter;
    this.handOver = handOver;
    this.random = random;
  }

  get full() {
    return this.#files.size >= MOST_KEPT;
  }

  get empty() {
    return this.#files.size === 0;
  }

  /** Those that nothing is tried for any more until `retry`. */
  get kept() {
    return [...this.#files].filter(([, trying]) => !trying).map(([file]) => file);
  }

  /** Sign `file` ({kind, blob, identities, token}) and hand it over, now or after some more tries. */
  async add(file) {
    const waits = [...WAITS_MS];
    this.#files.set(file, true);
    this.#tell(file, "signing");
    while (true) {
      const { signed, reason, final, theirs, asked } = await this.#sign(file);
      if (signed || final) {
        this.#files.delete(file);
        if (signed) this.handOver(signed, file);
        return this.#tell(file, signed ? "saved" : "refused", { reason });
      }
      if (theirs || !waits.length) {
        this.#files.set(file, false);
        return this.#tell(file, "kept", { reason });
      }
      const wait = Math.min(asked, LONGEST_ASKED_MS) + waits.shift() * (0.5 + 0.5 * this.random());
      this.#tell(file, "waiting", { reason, wait });
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** Try all over again with every file that is kept. */
  retry() {
    for (const file of this.kept) this.add(file);
  }

  /** Let go of the kept files: of those of `kind`, or of all. */
  discard(kind) {
    for (const file of this.kept) if (!kind || file.kind === kind) this.#files.delete(file);
  }

  async #sign(file) {
    try {
      return { signed: await this.exporter.sign(file) };
    } catch (error) {
      if (!(error instanceof Unsigned)) throw error;
      const { message: reason, final, theirs, asked } = error;
      return { reason, final, theirs, asked };
    }
  }

  #tell(file, state, detail) {
    this.dispatchEvent(new CustomEvent("change", { detail: { file, state, ...detail } }));
  }
}
