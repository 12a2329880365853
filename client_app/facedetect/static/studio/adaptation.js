/**
 * How good, large and frequent frames are: when the delay grows, quality goes first, then size, then rate; they come back
 * slowly, one step at a time, and later after each relapse.
 */

/**
 * From best to least: JPEG quality (0–1), longest side in pixels, frames a second. The sides are sizes that the watermark's
 * reader takes an enlarged picture back to: a recording keeps its first size while its frames shrink.
 */
export const STEPS = Object.freeze(
  [
    { quality: 0.8, side: 640, fps: 30 },
    { quality: 0.7, side: 640, fps: 30 },
    { quality: 0.55, side: 640, fps: 30 },
    { quality: 0.55, side: 480, fps: 30 },
    { quality: 0.55, side: 320, fps: 30 },
    { quality: 0.55, side: 320, fps: 20 },
    { quality: 0.5, side: 320, fps: 15 },
    { quality: 0.5, side: 320, fps: 10 },
  ].map(Object.freeze),
);

const SLOW_MS = 220;
const FAST_MS = 120;
const SMOOTHING = 0.15;
const DOWN_EVERY_MS = 1_000;
const UP_AFTER_MS = 6_000;
const LONGEST_UP_AFTER_MS = 60_000;

export class Adaptation {
  #step = 0;
  #delay = null;
  #lastChange = -Infinity;
  #upAfter = UP_AFTER_MS;
  #goodSince = null;

  get step() {
    return STEPS[this.#step];
  }

  /** Smoothed delay of a frame in milliseconds, or null before the first. */
  get delay() {
    return this.#delay;
  }

  /** Take note of one frame's delay at `now` (both in milliseconds); whether the step changed. */
  observe(delay, now) {
    this.#delay = this.#delay === null ? delay : this.#delay + SMOOTHING * (delay - this.#delay);
    if (this.#delay > SLOW_MS) {
      this.#goodSince = null;
      return this.#down(now);
    }
    if (this.#delay > FAST_MS) {
      this.#goodSince = null;
      return false;
    }
    this.#goodSince ??= now;
    return this.#up(now);
  }

  /** A new connection: what was measured before says nothing about it. */
  forget() {
    this.#delay = this.#goodSince = null;
  }

  #down(now) {
    if (this.#step === STEPS.length - 1 || now - this.#lastChange < DOWN_EVERY_MS) return false;
    this.#step += 1;
    this.#lastChange = now;
    this.#upAfter = Math.min(LONGEST_UP_AFTER_MS, this.#upAfter * 1.5);
    return true;
  }

  #up(now) {
    if (this.#step === 0 || now - Math.max(this.#goodSince, this.#lastChange) < this.#upAfter) return false;
    this.#step -= 1;
    this.#lastChange = now;
    return true;
  }
}
