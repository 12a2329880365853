/** What steers the stream: states, back-off, adaptation. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Adaptation, STEPS } from "../../../client_app/facedetect/static/studio/adaptation.js";
import { Backoff, retryAfter } from "../../../client_app/facedetect/static/studio/backoff.js";
import { Machine, RUNNING, TRANSITIONS } from "../../../client_app/facedetect/static/studio/machine.js";

test("every state can be reached, and each running one can be stopped", () => {
  const reached = new Set(Object.values(TRANSITIONS).flat());
  assert.deepEqual(
    Object.keys(TRANSITIONS).filter((state) => !reached.has(state)),
    ["idle"],
  );
  for (const state of RUNNING) assert.ok(TRANSITIONS[state].includes("stopped"), state);
});

test("a transition that the table lacks throws, and the state stays", () => {
  const machine = new Machine();
  assert.throws(() => machine.go("live"), /No transition from idle to live/);
  assert.equal(machine.state, "idle");
});

test("each change is told once, with what was before and why", () => {
  const machine = new Machine();
  const told = [];
  machine.addEventListener("change", ({ detail }) => told.push(detail));
  machine.go("asking");
  machine.go("asking");
  machine.go("error", "denied");
  assert.deepEqual(told, [
    { state: "asking", before: "idle", reason: null },
    { state: "error", before: "asking", reason: "denied" },
  ]);
  assert.equal(machine.running, false);
});

test("another reason for the same state is told as well", () => {
  const machine = new Machine();
  const told = [];
  for (const state of ["asking", "connecting", "live"]) machine.go(state);
  machine.addEventListener("change", ({ detail: { reason } }) => told.push(reason));
  for (const reason of ["busy", "busy", "gone"]) machine.go("degraded", reason);
  assert.deepEqual(told, ["busy", "gone"]);
});

test("back-off grows, is jittered by half, is bounded, and starts anew", () => {
  const earliest = new Backoff(() => 0);
  const latest = new Backoff(() => 1);
  const waits = Array.from({ length: 12 }, () => [earliest.next(), latest.next()]);
  for (const [low, high] of waits) assert.ok(low * 2 === high && high <= 10_000);
  for (let n = 1; n < waits.length; n++) assert.ok(waits[n][1] >= waits[n - 1][1]);
  assert.equal(waits.at(-1)[1], 10_000);
  latest.reset();
  assert.equal(latest.next(), waits[0][1]);
});

test("back-off waits no less than the server asked for, and not all pages equally long", () => {
  const times = { first: 5_000, longest: 300_000, growth: 2 };
  const [earliest, latest] = [() => 0, () => 1].map((random) => new Backoff(random, times));
  assert.deepEqual([earliest.next(60_000), latest.next(60_000)], [62_500, 65_000]);
});

test("Retry-After is seconds or a date, an hour at most", () => {
  const asked = (value) => retryAfter(new Response(null, { headers: value === null ? {} : { "Retry-After": value } }));
  assert.equal(asked("30"), 30_000);
  assert.equal(asked("86400"), 3_600_000);
  for (const none of [null, "", "-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"]) assert.equal(asked(none), 0, none);
  const left = asked(new Date(Date.now() + 60_000).toUTCString());
  assert.ok(left > 50_000 && left <= 60_000);
});

/** Feed `seconds` of frames of this delay, 20 a second; the clock goes on from `from`. */
function feed(adaptation, delay, from, seconds) {
  let now = from;
  for (; now < from + seconds * 1000; now += 50) adaptation.observe(delay, now);
  return now;
}

test("a growing delay lowers quality first, then size, then rate", () => {
  const changed = [];
  for (let n = 1; n < STEPS.length; n++) {
    const [before, after] = [STEPS[n - 1], STEPS[n]];
    if (after.quality < before.quality) changed.push("quality");
    if (after.side < before.side) changed.push("side");
    if (after.fps < before.fps) changed.push("fps");
  }
  assert.deepEqual([...new Set(changed)], ["quality", "side", "fps"]);
});

test("frames shrink only to sides that the watermark's reader knows", () => {
  // prediction_model/labels/watermark.py: WIDTHS; 512 and 400, enlarged in a recording, could not be read.
  assert.deepEqual([...new Set(STEPS.map((step) => step.side))], [640, 480, 320]);
});

test("it goes down a step a second at most, and to the last step only", () => {
  const adaptation = new Adaptation();
  feed(adaptation, 500, 0, 2.5);
  assert.ok(STEPS.indexOf(adaptation.step) <= 3);
  feed(adaptation, 500, 2_500, 60);
  assert.equal(adaptation.step, STEPS.at(-1));
});

test("it recovers slowly, and not at a delay between good and bad", () => {
  const adaptation = new Adaptation();
  let now = feed(adaptation, 500, 0, 3);
  const low = STEPS.indexOf(adaptation.step);
  assert.ok(low > 0);
  now = feed(adaptation, 170, now, 60);
  assert.ok(STEPS.indexOf(adaptation.step) >= low);
  now = feed(adaptation, 40, now, 5);
  assert.ok(STEPS.indexOf(adaptation.step) >= low, "five good seconds are not enough");
  feed(adaptation, 40, now, 600);
  assert.equal(adaptation.step, STEPS[0]);
});

test("one slow frame changes nothing", () => {
  const adaptation = new Adaptation();
  feed(adaptation, 40, 0, 3);
  adaptation.observe(1_000, 3_000);
  assert.equal(adaptation.step, STEPS[0]);
});
