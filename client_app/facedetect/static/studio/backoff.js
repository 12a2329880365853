/** When to try again: later each time, and never all pages at once. */

const STREAM = Object.freeze({ first: 300, longest: 10_000, growth: 1.8 });
const LONGEST_ASKED_MS = 3_600_000;
/** A server asks for an hour at most. */

export class Backoff {
  #tries = 0;

  /** @param {() => number} random 0 to 1 @param {{first: number, longest: number, growth: number}} times in milliseconds */
  constructor(random = Math.random, { first, longest, growth } = STREAM) {
    this.random = random;
    Object.assign(this, { first, longest, growth });
  }

  /**
   * Milliseconds to wait before the next try: between half of a growing time and all of it; and no less than the server
   * `asked` for, where it did.
   */
  next(asked = 0) {
    const ceiling = Math.min(this.longest, this.first * this.growth ** this.#tries++);
    return asked + ceiling * (0.5 + 0.5 * this.random());
  }

  reset() {
    this.#tries = 0;
  }
}

/** What a response's `Retry-After` asks for, in milliseconds from now, an hour at most; 0 without one that can be read. */
export function retryAfter(response) {
  const text = response.headers?.get("Retry-After")?.trim() ?? "";
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Math.min(LONGEST_ASKED_MS, Math.max(0, milliseconds || 0));
}
