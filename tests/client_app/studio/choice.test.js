/** choice.js: what is worn, as the stream and as the stage's address say it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { choiceOf, readIdentities, stageAddress, writeIdentities } from "../../../client_app/facedetect/static/studio/choice.js";
import { DEFAULTS } from "../../../client_app/facedetect/static/studio/preferences.js";

test("an assignment survives the address", () => {
  const identities = { 1: "p1", 3: "u-0123abcd" };
  assert.deepEqual(readIdentities(writeIdentities(identities)), identities);
  const address = new URL(stageAddress("/stage", { identity: "p2", identities }), "http://localhost");
  assert.equal(address.searchParams.get("identity"), "p2");
  assert.deepEqual(readIdentities(address.searchParams.get("identities")), identities);
  assert.equal(stageAddress("/stage", { identity: "p2" }), "/stage?identity=p2");
});

test("what is no assignment is none", () => {
  for (const text of [null, "", "p1", "0:p1", "5:p1", "1:p1,", "1:P1", "1:p1;2:p3", "1:../p1"]) {
    assert.equal(readIdentities(text), undefined, String(text));
  }
});

test("a method is asked for only of a face that has several", () => {
  const chosen = { ...DEFAULTS, engine: "photo", mouth: "mine" };
  const worn = { identity: "p1", faces: "all" };
  assert.equal(choiceOf(chosen, { ...worn, engines: ["photo"] }).options.engine, undefined);
  assert.equal(choiceOf(chosen, { ...worn, engines: ["autoencoder", "photo"] }).options.engine, "photo");
  assert.equal(choiceOf(chosen, { ...worn, engines: ["autoencoder", "onnx"] }).options.engine, undefined);
  assert.deepEqual([choiceOf(chosen, { ...worn, engines: [] }).options.mouth, choiceOf(DEFAULTS, { ...worn, engines: [] }).options.mouth], ["mine", undefined]);
});
