/** The page's end of the stream: when it tries again, and as which session. The worker and the server are the test's. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

mock.timers.enable({ apis: ["setTimeout"] });
let now = 0;
mock.method(performance, "now", () => now);
mock.method(Math, "random", () => 1);

let worker = null;
globalThis.Worker = class extends EventTarget {
  posted = [];

  constructor() {
    super();
    worker = this;
  }

  postMessage(message) {
    this.posted.push(message);
  }

  terminate() {}

  says(message) {
    const { epoch } = this.posted.findLast(({ type }) => type === "open");
    this.dispatchEvent(Object.assign(new Event("message"), { data: { epoch, ...message } }));
  }
};

let asked = [];
/** Sentence of a server that refuses every session, or {message, status, after}; empty for one that grants them. */
let refusal = "";
globalThis.fetch = async (_, { body }) => {
  asked.push(body.get("renew"));
  if (refusal) {
    const { status = 403, after } = refusal;
    const headers = new Headers(after ? { "Retry-After": after } : {});
    return { ok: false, status, headers, json: async () => ({ error: { message: refusal.message ?? refusal } }) };
  }
  const answer = { token: `token ${asked.length}`, expires: Date.now() / 1000 + 300, websocket_url: "ws://relay" };
  return { ok: true, status: 200, json: async () => answer };
};

const { Stream, Tokens } = await import("../../../client_app/facedetect/static/studio/stream.js");
const settled = () => new Promise((resolve) => setImmediate(resolve));

let stream = null;
let tokens = null;
let failures = [];
/** Milliseconds that the last failure asked for. */
let leftAlone = 0;

/** Let `ms` pass. */
async function pass(ms) {
  now += ms;
  mock.timers.tick(ms);
  await settled();
}

beforeEach(async () => {
  stream?.stop();
  asked = [];
  refusal = "";
  tokens = new Tokens("/session", () => "csrf", "1");
  stream = new Stream("worker.js", tokens);
  failures = [];
  stream.addEventListener("failed", ({ detail }) => failures.push(detail.reason));
  stream.addEventListener("failed", ({ detail }) => (leftAlone = detail.asked));
  stream.start({ identity: "p1", options: {} });
  await settled();
});

test("a relay that takes a page and drops it is asked less and less often", async () => {
  for (let times = 0; times < 100; times++) {
    worker.says({ type: "ready" });
    worker.says({ type: "closed", code: 1011, reason: "" });
    await pass(10_000);
  }
  assert.equal(asked.length, 101, "each wait is at most ten seconds");
  asked = [];
  worker.says({ type: "ready" });
  worker.says({ type: "closed", code: 1011, reason: "" });
  await pass(9_000);
  assert.equal(asked.length, 0, "and by now at least nine");
});

test("a connection that lasted is tried again at once when it is lost", async () => {
  for (let times = 0; times < 10; times++) {
    worker.says({ type: "closed", code: 1006, reason: "" });
    await pass(10_000);
  }
  worker.says({ type: "ready" });
  await pass(10_000);
  asked = [];
  worker.says({ type: "closed", code: 1006, reason: "" });
  await pass(300);
  assert.equal(asked.length, 1);
});

test("a session that is over is not renewed: the next start begins another", async () => {
  worker.says({ type: "ready" });
  worker.says({ type: "closed", code: 4003, reason: "The session is over." });
  assert.equal(tokens.held.token, "token 1", "what was recorded in it can still be signed");
  stream.start({ identity: "p1", options: {} });
  await settled();
  stream.stop();
  stream.start({ identity: "p1", options: {} });
  await settled();
  assert.deepEqual(asked, [null, null, "token 2"]);
});

test("a session that may not be renewed is replaced by another; a visitor who is refused is told", async () => {
  worker.says({ type: "ready" });
  refusal = "Reload the page.";
  worker.says({ type: "closed", code: 1006, reason: "" });
  await pass(10_000);
  assert.deepEqual([asked, failures], [[null, "token 1"], []]);
  await pass(10_000);
  assert.deepEqual([asked, failures], [[null, "token 1", null], ["Reload the page."]]);
  await pass(60_000);
  assert.equal(asked.length, 3);
});

test("a visitor who has had enough is told when to come again; a server that is busy is left alone as long as it asks", async () => {
  worker.says({ type: "ready" });
  refusal = { message: "Busy.", status: 503, after: "20" };
  worker.says({ type: "closed", code: 1006, reason: "" });
  await pass(10_000);
  assert.equal(asked.length, 2);
  await pass(20_000);
  assert.equal(asked.length, 2);
  refusal = { message: "Enough.", status: 429, after: "600" };
  await pass(10_000);
  assert.deepEqual([asked.length, failures, leftAlone], [3, ["Enough."], 600_000]);
});

test("what the relay says is told in the page's own words, and what is fatal once", async () => {
  const notices = [];
  stream.addEventListener("notice", ({ detail }) => notices.push(detail.message));
  worker.says({ type: "ready" });
  worker.says({ type: "error", code: "prediction_busy", message: "Own.", sequence: 1, fatal: false });
  worker.says({ type: "error", code: "something_new", message: "Own.", sequence: 1, fatal: false });
  worker.says({ type: "error", code: "revoked", message: "Own.", sequence: null, fatal: true });
  worker.says({ type: "closed", code: 4008, reason: "Own.", word: "revoked" });
  assert.equal(notices.length, 2);
  assert.match(notices[0], /is busy/);
  assert.equal(notices[1], "Own.");
  assert.deepEqual(failures, ["This face or this session has been revoked."]);
});

test("a running session is never told to go on with the token of another", async () => {
  worker.says({ type: "ready" });
  refusal = "This session cannot be renewed.";
  await pass(180_000);
  assert.deepEqual(asked, [null, "token 1"]);
  refusal = "";
  await pass(200_000);
  assert.deepEqual(asked, [null, "token 1"]);
  worker.says({ type: "closed", code: 1008, reason: "" });
  await pass(10_000);
  assert.deepEqual(asked, [null, "token 1", null]);
});

test("a worker that could not be loaded is replaced by the next start", async () => {
  stream.stop();
  const broken = worker;
  broken.dispatchEvent(new Event("error"));
  assert.deepEqual(failures, [""]);
  stream.start({ identity: "p1", options: {} });
  await settled();
  assert.notEqual(worker, broken);
  worker.says({ type: "ready" });
  const whole = worker;
  stream.stop();
  stream.start({ identity: "p1", options: {} });
  assert.equal(worker, whole);
});
