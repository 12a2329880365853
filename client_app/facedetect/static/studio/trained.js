/** Models that learn the visitor's own faces while this page is open: a running session wears a better one at once. */

const ASK_EVERY_MS = 2_000;
const runs = ({ state }) => state === "queued" || state === "running";

/**
 * Ask how the trainings at `address` stand, as long as one runs, and again whenever the page is looked at.
 * `onTrained(identity, engines)` is called once for each that ends and is better than the photograph.
 */
export function followTrainings(address, onTrained) {
  let running = new Set();
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    const response = await fetch(address, { headers: { Accept: "application/json" } }).catch(() => null);
    const answer = response?.ok ? await response.json().catch(() => null) : null;
    if (answer) {
      const all = Object.entries(answer.trainings);
      for (const [identity, told] of all) {
        if (running.has(identity) && told.state === "better") onTrained(identity, told.engines);
      }
      running = new Set(all.filter(([, told]) => runs(told)).map(([identity]) => identity));
    }
    if (running.size) timer = setTimeout(look, ASK_EVERY_MS);
  }

  document.addEventListener("visibilitychange", () => document.hidden || look());
  look();
}
