/** The worker's side of a connection, on a socket that the test holds the other end of. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

mock.timers.enable({ apis: ["setTimeout", "setInterval"] });

const sockets = [];
class Socket extends EventTarget {
  static OPEN = 1;
  readyState = 0;
  sent = [];
  closed = false;

  constructor() {
    super();
    sockets.push(this);
  }

  send(data) {
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.closed = true;
    this.readyState = 2;
  }

  opens() {
    this.readyState = Socket.OPEN;
    this.dispatchEvent(new Event("open"));
  }

  says(message) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(message) }));
  }
}

let told = [];
let worker = null;
Object.assign(globalThis, {
  WebSocket: Socket,
  postMessage: (message) => told.push(message),
  addEventListener: (_, handler) => (worker = (data) => handler({ data })),
});
await import("../../../client_app/facedetect/static/studio/stream.worker.js");

const READY = { type: "ready", window: 2 };
const wearing = (identity) => ({ identity, options: {} });

let epoch = 0;
/** A new connection, before its socket is open. */
function open(choice) {
  told = [];
  worker({ type: "open", epoch: ++epoch, url: "ws://relay", token: "t", choice });
  return sockets.at(-1);
}

beforeEach(() => worker({ type: "close" }));

test("what is chosen before the socket is open is in the hello", () => {
  const socket = open(wearing("p1"));
  worker({ type: "options", choice: wearing("p2") });
  socket.opens();
  socket.says(READY);
  assert.deepEqual(
    socket.sent.map(({ type, identity }) => [type, identity]),
    [["hello", "p2"]],
  );
});

test("what is chosen between hello and ready is told once the relay is ready", () => {
  const socket = open(wearing("p1"));
  socket.opens();
  worker({ type: "options", choice: wearing("p2") });
  worker({ type: "options", choice: wearing("p3") });
  assert.equal(socket.sent.length, 1, "the relay takes nothing between the two");
  socket.says(READY);
  worker({ type: "options", choice: wearing("p4") });
  assert.deepEqual(
    socket.sent.map(({ type, identity }) => [type, identity]),
    [
      ["hello", "p1"],
      ["options", "p3"],
      ["options", "p4"],
    ],
  );
});

test("a line on which nothing comes for ten seconds is lost, though nobody closed it", () => {
  const socket = open(wearing("p1"));
  socket.opens();
  socket.says(READY);
  for (let second = 0; second < 30; second++) {
    mock.timers.tick(1_000);
    socket.says({ type: "stats", state: "ok" });
  }
  assert.equal(socket.closed, false);
  mock.timers.tick(9_999);
  assert.equal(socket.closed, false);
  mock.timers.tick(1);
  assert.equal(socket.closed, true);
  assert.deepEqual(told.at(-1), { epoch, type: "closed", code: 1006, reason: "" });
});

test("after two seconds without a word the page is told, and again when there is one", () => {
  const socket = open(wearing("p1"));
  socket.opens();
  socket.says(READY);
  mock.timers.tick(1_999);
  assert.equal(told.at(-1).type, "want");
  mock.timers.tick(1);
  assert.deepEqual(told.at(-1), { epoch, type: "quiet" });
  const before = told.length;
  socket.says({ type: "stats", state: "ok" });
  socket.says({ type: "stats", state: "ok" });
  assert.deepEqual(
    told.slice(before).map(({ type }) => type),
    ["heard", "stats", "stats"],
  );
  worker({ type: "close" });
  mock.timers.tick(60_000);
  assert.equal(told.length, before + 3);
});

test("the end says the word of the fatal error before it, and the sentence of the bye", () => {
  const socket = open(wearing("p1"));
  socket.opens();
  socket.says({ type: "error", code: "identity_not_allowed", message: "No.", sequence: null, fatal: true });
  socket.says({ type: "bye", code: 1008, reason: "No." });
  socket.dispatchEvent(Object.assign(new Event("close"), { code: 1008, reason: "No." }));
  assert.deepEqual(told.at(-1), { epoch, type: "closed", code: 1008, reason: "No.", word: "identity_not_allowed" });
});

test("a socket that never opens is lost as well, and one that was closed is told of once", () => {
  open(wearing("p1"));
  mock.timers.tick(10_000);
  const last = { epoch, type: "closed", code: 1006, reason: "" };
  assert.deepEqual(told, [{ epoch, type: "quiet" }, last]);
  sockets.at(-1).dispatchEvent(Object.assign(new Event("close"), { code: 1006, reason: "" }));
  mock.timers.tick(60_000);
  assert.deepEqual(told.at(-1), last);
  assert.equal(told.length, 2);
});
