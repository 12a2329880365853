/** What the panel "Delay" shows: a frame's delay by stage, and the last minute's means. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { History, SECONDS, STAGES, split } from "../../../client_app/facedetect/static/studio/delay.js";

const TIMES = { captured: 1000, sent: 1006, received: 1040, drawn: 1043 };
const TIMINGS = { decode: 1, find: 4, swap: 5, paste: 2, label: 1, encode: 1, "relay.queue": 3, "relay.predict": 17 };
const named = (parts) => Object.fromEntries(STAGES.map((stage, place) => [stage, parts[place]]));

test("the stages of a frame add up to its delay; the network is what is left", () => {
  const parts = split(TIMES, TIMINGS);
  const wanted = { camera: 6, network: 17, waiting: 3, finding: 5, swapping: 5, pasting: 4, drawing: 3 };
  assert.deepEqual(named(parts), wanted);
  assert.equal(parts.reduce((sum, part) => sum + part), TIMES.drawn - TIMES.captured);
});

test("without timings all between sent and received is network, and nothing is negative", () => {
  const parts = named(split({ ...TIMES, captured: 1008 }, {}));
  assert.deepEqual([parts.camera, parts.network, parts.swapping], [0, 34, 0]);
});

test("a second's frames are averaged and stacked; a second without a frame is a gap", () => {
  const history = new History();
  history.add([1, 1, 1, 1, 1, 1, 1], 10_000);
  history.add([3, 1, 1, 1, 1, 1, 1], 10_900);
  const [ages, camera, network, ...rest] = history.columns(12_000);
  const place = ages.indexOf(-2);
  assert.deepEqual([camera[place], network[place], rest.at(-1)[place]], [2, 3, 8]);
  assert.equal(camera[ages.indexOf(-1)], null);
  assert.deepEqual([ages.length, ages[0], ages.at(-1)], [SECONDS, 1 - SECONDS, 0]);
});

test("what is older than a minute is forgotten", () => {
  const history = new History();
  history.add([9, 9, 9, 9, 9, 9, 9], 0);
  history.add([1, 1, 1, 1, 1, 1, 1], SECONDS * 1000);
  assert.deepEqual(history.mean(2 * SECONDS, SECONDS * 1000), [1, 1, 1, 1, 1, 1, 1]);
});

test("the mean of the last seconds leaves the earlier ones out; without a frame there is none", () => {
  const history = new History();
  assert.equal(history.mean(5, 0), null);
  history.add([9, 9, 9, 9, 9, 9, 9], 1_000);
  history.add([1, 2, 3, 4, 5, 6, 7], 20_000);
  assert.deepEqual(history.mean(5, 21_000), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(history.mean(5, 40_000), null);
});
