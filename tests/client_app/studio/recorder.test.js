/** Recordings with sound: the microphone is on while one is made, and at no other time. The browser is the test's. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

let tracks = [];
function media(kind) {
  const track = { kind, on: true, stop: () => (track.on = false) };
  tracks.push(track);
  const held = [track];
  return { getTracks: () => held, getAudioTracks: () => held, addTrack: (more) => held.push(more) };
}

/** What the microphone was asked for: each is given, or refused, when the test says so. */
let asked = [];
globalThis.navigator ??= {};
Object.defineProperty(navigator, "mediaDevices", {
  value: { getUserMedia: () => new Promise((resolve, reject) => asked.push({ give: () => resolve(media("audio")), refuse: reject })) },
});

let recorders = [];
globalThis.MediaRecorder = class extends EventTarget {
  static isTypeSupported = () => true;
  state = "inactive";

  constructor(stream) {
    super();
    this.stream = stream;
    recorders.push(this);
  }

  start() {
    this.state = "recording";
  }

  stop() {
    this.state = "inactive";
    this.dispatchEvent(new Event("stop"));
  }
};

const { Recorder } = await import("../../../client_app/facedetect/static/studio/recorder.js");

let recorder = null;
beforeEach(() => {
  [tracks, asked, recorders] = [[], [], []];
  recorder = new Recorder({ captureStream: () => media("video") }, 2 ** 25);
});

const on = () => tracks.filter((track) => track.on).map(({ kind }) => kind);

test("picture and microphone are let go of when the film ends", async () => {
  const started = recorder.start(true);
  asked[0].give();
  assert.equal(await started, true);
  assert.deepEqual(on().sort(), ["audio", "video"]);
  recorder.stop();
  assert.deepEqual(on(), []);
  assert.equal(recorder.running, false);
});

test("a microphone that is given after it was stopped is let go of, and nothing is recorded", async () => {
  const started = recorder.start(true);
  assert.equal(recorder.running, true, "pressed again, it stops");
  recorder.stop();
  assert.equal(recorder.running, false);
  asked[0].give();
  assert.equal(await started, false);
  assert.deepEqual(on(), []);
  assert.deepEqual(recorders, []);
});

test("started, stopped and started again while the browser asks, it records once", async () => {
  const first = recorder.start(true);
  recorder.stop();
  const second = recorder.start(true);
  asked[0].give();
  asked[1].give();
  assert.deepEqual(new Set([await first, await second]), new Set([true, false]));
  assert.equal(recorders.length, 1);
  recorder.stop();
  assert.deepEqual(on(), []);
});

test("a microphone that is refused is told of, and the next try asks again", async () => {
  const refused = recorder.start(true);
  asked[0].refuse(new Error("NotAllowedError"));
  await assert.rejects(refused, /microphone is blocked/);
  assert.equal(recorder.running, false);
  const silent = recorder.start(false);
  assert.equal(await silent, true);
  recorder.stop();
  assert.deepEqual(on(), []);
});
