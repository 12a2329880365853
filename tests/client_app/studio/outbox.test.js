/** Files on their way out: nothing is handed over unsigned, and nothing is lost that may still be signed. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

mock.timers.enable({ apis: ["setTimeout"] });

/** What the server says to each try, the last one over and over: a status with headers, or null where it is out of reach. */
let answers = [];
let asked = [];
globalThis.fetch = async (_, { body, headers }) => {
  asked.push({ body, session: headers["X-Faceswap-Session"], identities: headers["X-Faceswap-Identity"] });
  const answer = answers.length > 1 ? answers.shift() : answers[0];
  if (answer === null) throw new TypeError("Failed to fetch");
  const [status, more] = answer;
  if (status === 200) return new Response("signed", { status, headers: { "Content-Type": "video/mp4", ...more } });
  return Response.json({ error: { message: `Refused with ${status}.` } }, { status, headers: more });
};

const { Exporter, Outbox } = await import("../../../client_app/facedetect/static/studio/outbox.js");

const settled = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

let outbox = null;
let told = [];
let handed = [];
const film = () => ({ kind: "film", blob: new Blob(["film"], { type: "video/mp4;codecs=x" }), identities: new Set(["p1", "p3"]), token: "t" });

beforeEach(() => {
  [answers, asked, told, handed] = [[[200]], [], [], []];
  outbox = new Outbox(new Exporter("/exports", () => "csrf"), (signed, file) => handed.push([signed, file]), () => 1);
  outbox.addEventListener("change", ({ detail: { state, wait, reason } }) => told.push(wait === undefined ? state : [state, wait, reason]));
});

/** Let the outbox wait through `times` of its waits. */
async function wait(times) {
  for (let time = 0; time < times; time++) {
    mock.timers.tick(told.at(-1)[1]);
    await settled();
  }
}

test("a file is signed and handed over", async () => {
  const file = film();
  await outbox.add(file);
  assert.deepEqual(told, ["signing", "saved"]);
  assert.deepEqual(asked, [{ body: file.blob, session: "t", identities: "p1,p3" }]);
  assert.equal(await handed[0][0].text(), "signed");
  assert.equal(handed[0][1], file);
  assert.equal(outbox.empty, true);
});

for (const passing of [null, [503], [500], [429], [408], [425]]) {
  test(`a server that answers ${passing ?? "nothing"} is asked again, and the file is kept`, async () => {
    answers = [passing, passing, [200]];
    outbox.add(film());
    await settled();
    assert.equal(told.at(-1)[0], "waiting");
    assert.deepEqual([handed.length, outbox.empty], [0, false]);
    await wait(2);
    assert.equal(told.at(-1), "saved");
    assert.deepEqual([asked.length, handed.length, outbox.empty], [3, 1, true]);
  });
}

test("it waits longer each time, half a minute in all, and then until somebody says so", async () => {
  answers = [[503]];
  outbox.add(film());
  await settled();
  await wait(5);
  const waits = told.filter(Array.isArray).map(([, ms]) => ms);
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 15_000]);
  assert.equal(told.at(-1), "kept");
  mock.timers.tick(3_600_000);
  await settled();
  assert.equal(asked.length, 6);
  assert.equal(outbox.kept.length, 1);

  answers = [[200]];
  outbox.retry();
  assert.equal(outbox.kept.length, 0, "pressed twice, it is tried once");
  outbox.retry();
  await settled();
  assert.deepEqual([asked.length, handed.length, outbox.empty], [7, 1, true]);
});

test("no two pages wait equally long", async () => {
  outbox.random = () => 0;
  answers = [[503]];
  outbox.add(film());
  await settled();
  assert.equal(told.at(-1)[1], 500);
  answers = [[200]];
  await wait(1);
  assert.equal(told.at(-1), "saved");
});

test("it leaves a server alone that wants to be, and not for ever", async () => {
  answers = [[429, { "Retry-After": "7" }], [503, { "Retry-After": "86400" }], [200]];
  outbox.add(film());
  await settled();
  assert.deepEqual(told.at(-1), ["waiting", 8_000, "Refused with 429."]);
  mock.timers.tick(7_999);
  await settled();
  assert.equal(asked.length, 1);
  mock.timers.tick(1);
  await settled();
  assert.deepEqual(told.at(-1), ["waiting", 22_000, "Refused with 503."]);
  await wait(1);
  assert.equal(handed.length, 1);
});

for (const status of [400, 404, 405, 413, 415, 422]) {
  test(`a refusal with ${status} is final`, async () => {
    answers = [[status]];
    let reason = "";
    outbox.addEventListener("change", ({ detail }) => (reason = detail.reason));
    await outbox.add(film());
    assert.deepEqual([told, reason], [["signing", "refused"], `Refused with ${status}.`]);
    assert.deepEqual([asked.length, handed.length, outbox.empty], [1, 0, true]);
  });
}

for (const status of [401, 403]) {
  test(`what ${status} refuses is kept until the visitor has logged in again`, async () => {
    answers = [[status], [200]];
    await outbox.add(film());
    assert.deepEqual([told, asked.length, outbox.kept.length], [["signing", "kept"], 1, 1]);
    outbox.retry();
    await settled();
    assert.deepEqual([handed.length, outbox.empty], [1, true]);
  });
}

test("a page of somebody else's is no signed film", async () => {
  answers = [[200, { "Content-Type": "text/html" }], [200]];
  outbox.add(film());
  await settled();
  assert.deepEqual([told.at(-1)[0], handed.length], ["waiting", 0]);
  await wait(1);
  assert.deepEqual([told.at(-1), handed.length], ["saved", 1]);
});

test("only so many files wait; what is discarded is gone, what is being tried is not", async () => {
  answers = [null];
  for (let number = 0; number < 8; number++) {
    assert.equal(outbox.full, false);
    outbox.add({ ...film(), kind: number ? "snapshot" : "film" });
  }
  assert.equal(outbox.full, true);
  outbox.discard();
  assert.equal(outbox.full, true);
  await settled();
  for (const ms of [1_000, 2_000, 4_000, 8_000, 15_000]) {
    mock.timers.tick(ms);
    await settled();
  }
  assert.equal(outbox.kept.length, 8);
  outbox.discard("film");
  assert.equal(outbox.kept.length, 7);
  outbox.discard();
  assert.equal(outbox.empty, true);
});
