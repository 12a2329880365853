/** Cameras that a browser gives late: whatever is pressed meanwhile, the one that is asked for last is on, and no other. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/** What `getUserMedia` was asked for, in order: each is given when the test says so. */
let asked = [];
globalThis.navigator ??= {};
Object.defineProperty(navigator, "mediaDevices", {
  value: {
    getUserMedia: ({ video }) =>
      new Promise((resolve) => {
        const track = Object.assign(new EventTarget(), { on: true, stop: () => (track.on = false), getSettings: () => ({}) });
        const give = () => resolve({ getTracks: () => [track], getVideoTracks: () => [track] });
        asked.push({ device: video.deviceId?.exact ?? "", track, give });
      }),
  },
});
globalThis.document = Object.assign(new EventTarget(), { hidden: false });

const { Studio } = await import("../../../client_app/facedetect/static/studio/studio.js");
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A relay that is there as long as the page wants it. */
class Line extends EventTarget {
  running = false;
  start = () => (this.running = true);
  stop = () => (this.running = false);
  tick() {}
  encode() {}
}

let studio = null;
let line = null;
beforeEach(() => {
  studio?.stop(); // it listens to the same document
  asked = [];
  line = new Line();
  document.hidden = false;
  const video = { play: async () => {}, requestVideoFrameCallback: () => 1, cancelVideoFrameCallback: () => {} };
  const canvas = { getContext: () => ({ fillRect() {} }) };
  studio = new Studio({ video, canvas, stream: line });
});

async function give(...cameras) {
  for (const camera of cameras) {
    camera.give();
    await settled();
  }
}

const on = () => asked.filter(({ track }) => track.on).map(({ device }) => device);

function hide(hidden) {
  document.hidden = hidden;
  document.dispatchEvent(new Event("visibilitychange"));
}

test("of two that are given in the wrong order, the one asked for last is on", async () => {
  studio.start("");
  await give(asked[0]);
  studio.changeCamera("slow");
  studio.changeCamera("quick");
  await give(asked[2], asked[1]);
  assert.deepEqual(on(), ["quick"]);
  assert.equal(studio.camera.open, true);
  studio.stop();
  assert.deepEqual(on(), []);
});

test("one that is given after Stop was pressed does not stay on", async () => {
  studio.start("");
  studio.stop();
  await give(asked[0]);
  assert.deepEqual(on(), []);
  assert.equal(studio.machine.state, "stopped");
  assert.equal(line.running, false);
});

test("Start, Stop and Start again while the browser asks turn one on", async () => {
  studio.start("first");
  studio.stop();
  studio.start("second");
  await give(asked[1], asked[0]);
  assert.deepEqual(on(), ["second"]);
  assert.equal(studio.machine.state, "connecting");
});

test("a page that is hidden while the browser asks is paused when it has its camera", async () => {
  studio.start("");
  hide(true);
  await give(asked[0]);
  assert.equal(studio.machine.state, "paused");
  assert.equal(line.running, false);
  hide(false);
  assert.equal(studio.machine.state, "connecting");
});

test("another camera that is chosen as the page comes back does not leave it paused", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  studio.start("");
  await give(asked[0]);
  hide(true);
  context.mock.timers.tick(60_000);
  assert.deepEqual(on(), [], "it was let go of");
  hide(false);
  studio.changeCamera("other");
  await give(asked[1], asked[2]);
  assert.deepEqual(on(), ["other"]);
  assert.equal(studio.machine.state, "connecting");
  assert.equal(line.running, true);
});
