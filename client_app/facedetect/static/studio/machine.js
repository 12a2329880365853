/** The states of the studio, as one machine: what happens in one of them is decided here and nowhere else. */

/** Every state, and the ones that may follow it. */
export const TRANSITIONS = Object.freeze({
  idle: ["asking"],
  asking: ["connecting", "stopped", "error"],
  connecting: ["live", "paused", "reconnecting", "stopped", "error"],
  live: ["degraded", "paused", "reconnecting", "stopped", "error"],
  degraded: ["live", "paused", "reconnecting", "stopped", "error"],
  reconnecting: ["connecting", "live", "paused", "stopped", "error"],
  paused: ["connecting", "stopped", "error"],
  stopped: ["asking"],
  error: ["asking", "stopped"],
});

/** States in which the camera is on. */
export const RUNNING = Object.freeze(["asking", "connecting", "live", "degraded", "reconnecting", "paused"]);

/** An event "change" with `detail: {state, before, reason}` follows each transition, and each other reason. */
export class Machine extends EventTarget {
  #state = "idle";
  #reason = null;

  get state() {
    return this.#state;
  }

  get running() {
    return RUNNING.includes(this.#state);
  }

  /**
   * Go to `state`. Throws for a transition that the table does not have; staying where one is, for the same reason, does
   * nothing.
   */
  go(state, reason = null) {
    const before = this.#state;
    if (state === before && reason === this.#reason) return;
    if (state !== before && !TRANSITIONS[before].includes(state)) throw new Error(`No transition from ${before} to ${state}.`);
    this.#state = state;
    this.#reason = reason;
    this.dispatchEvent(new CustomEvent("change", { detail: { state, before, reason } }));
  }
}
