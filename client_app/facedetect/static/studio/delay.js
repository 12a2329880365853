/** Where a frame's delay comes from, of the last minute: mean milliseconds a stage, second by second. */

/** In the order in which a frame goes through them. */
export const STAGES = Object.freeze(["camera", "network", "waiting", "finding", "swapping", "pasting", "drawing"]);
export const SECONDS = 60;

/**
 * One frame's delay by stage, in milliseconds: `times` are those of the page (captured, sent, received, drawn), `timings`
 * the result's `timings_ms`. Clocks of two machines are never compared: the network, both ways and between the services,
 * is what is left of the time between sent and received.
 */
export function split({ captured, sent, received, drawn }, timings) {
  const sum = (...names) => names.reduce((total, name) => total + (timings[name] ?? 0), 0);
  const finding = sum("decode", "find");
  const swapping = sum("swap");
  const pasting = sum("paste", "label", "encode");
  const waiting = sum("relay.queue");
  const network = received - sent - waiting - finding - swapping - pasting;
  const parts = { camera: sent - captured, network, waiting, finding, swapping, pasting, drawing: drawn - received };
  return STAGES.map((stage) => Math.max(0, parts[stage]));
}

/** The last minute. `now` is in milliseconds, on any clock that only goes forward. */
export class History {
  /** Oldest first: {second, sums, frames}. */
  #seconds = [];

  add(parts, now) {
    const second = Math.floor(now / 1000);
    let last = this.#seconds.at(-1);
    if (last?.second !== second) {
      last = { second, sums: STAGES.map(() => 0), frames: 0 };
      this.#seconds.push(last);
      this.#seconds = this.#seconds.filter((each) => second - each.second < SECONDS);
    }
    parts.forEach((part, place) => (last.sums[place] += part));
    last.frames += 1;
  }

  /** The mean of every stage over the last `seconds`; null when no frame came. */
  mean(seconds, now) {
    const recent = this.#seconds.filter(({ second }) => now / 1000 - second <= seconds);
    const frames = recent.reduce((total, each) => total + each.frames, 0);
    return frames ? STAGES.map((_, place) => recent.reduce((sum, { sums }) => sum + sums[place], 0) / frames) : null;
  }

  /**
   * To be drawn as areas, one on the other: seconds before now (-59 … 0), then for every stage the mean delay up to and with
   * it. A second without a frame has null.
   */
  columns(now) {
    const present = Math.floor(now / 1000);
    const ages = Array.from({ length: SECONDS }, (_, place) => place - SECONDS + 1);
    const known = new Map(this.#seconds.map((each) => [each.second - present, each]));
    const stages = STAGES.map((_, place) =>
      ages.map((age) => {
        const there = known.get(age);
        return there ? there.sums.slice(0, place + 1).reduce((sum, part) => sum + part) / there.frames : null;
      }),
    );
    return [ages, ...stages];
  }
}
