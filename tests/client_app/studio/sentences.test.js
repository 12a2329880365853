/** What the relay says in codes, a visitor reads in sentences. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { CLOSE_CODES } from "../../../client_app/facedetect/static/studio/protocol.js";
import { sentenceOf } from "../../../client_app/facedetect/static/studio/sentences.js";

const source = readFileSync(new URL("../../../websocket_server/errors.py", import.meta.url), "utf8");
const codes = [...source.matchAll(/^ {4}code = "(\w+)"$/gm)].map(([, code]) => code).filter((code) => code !== "peer_gone");

test("every code of the relay has a sentence", () => {
  assert.ok(codes.length > 20);
  for (const code of codes) assert.match(sentenceOf(code, "own"), /^[A-Z].+\.$/, code);
});

test("an end without a word before it is told by its close code", () => {
  for (const number of [1001, 1011, 1013, 4002, 4003, 4004, 4006, 4007, 4008]) {
    const { name } = CLOSE_CODES.get(number);
    assert.ok(codes.includes(name.replaceAll(" ", "_")), name);
  }
});

test("what is not known is told in the server's own words", () => {
  assert.equal(sentenceOf("something_new", "Its own sentence."), "Its own sentence.");
  assert.equal(sentenceOf(undefined, undefined), "");
  assert.equal(sentenceOf("toString", ""), "");
});

test("sentences are in the page's language", async () => {
  globalThis.gettext = (text) => (text.startsWith("This face or") ? "Widerrufen." : text);
  const german = await import("../../../client_app/facedetect/static/studio/sentences.js?german");
  assert.equal(german.sentenceOf("revoked", "This identity has been revoked."), "Widerrufen.");
  delete globalThis.gettext;
});
