/** When to try again: later each time, and never all pages at once. */

const FIRST_MS = 300;
const LONGEST_MS = 10_000;
const GROWTH = 1.8;

export class Backoff {
  #tries = 0;

  /** @param {() => number} random 0 to 1 */
  constructor(random = Math.random) {
    this.random = random;
  }

  get tries() {
    return this.#tries;
  }

  /** Milliseconds to wait before the next try: between half of a growing time and all of it. */
  next() {
    const ceiling = Math.min(LONGEST_MS, FIRST_MS * GROWTH ** this.#tries++);
    return ceiling * (0.5 + 0.5 * this.random());
  }

  reset() {
    this.#tries = 0;
  }
}
