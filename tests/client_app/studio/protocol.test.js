/** protocol.js against the golden files that the relay's tests read too. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as protocol from "../../../client_app/facedetect/static/studio/protocol.js";

const golden = (name) => JSON.parse(readFileSync(new URL(`../../contracts/stream/${name}.json`, import.meta.url)));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (array) => Buffer.from(array).toString("hex");

const binary = golden("binary");

for (const { name, hex: expected, flags, sequence, capture_us, image_hex } of binary.frames) {
  if (flags !== 0) continue; // reserved: a page sends 0
  test(`encodes a frame: ${name}`, () => {
    assert.equal(hex(protocol.encodeFrame(sequence, BigInt(capture_us), bytes(image_hex))), expected);
  });
}

for (const { name, hex: message, flags, sequence, capture_us, metadata, image_hex } of binary.results) {
  test(`decodes a result: ${name}`, () => {
    const { image, ...rest } = protocol.decodeResult(bytes(message).buffer);
    assert.deepEqual(rest, { flags, sequence, captureUs: BigInt(capture_us), metadata });
    assert.equal(hex(image), image_hex);
  });
}

for (const { name, hex: message } of binary.malformed) {
  test(`refuses a result: ${name}`, () => {
    assert.throws(() => protocol.decodeResult(bytes(message).buffer), protocol.ProtocolError);
  });
}

test("knows the header, versions, types and flags of the contract", () => {
  assert.equal(protocol.HEADER_BYTES, binary.header_bytes);
  assert.equal(protocol.VERSION, binary.version);
  assert.deepEqual({ ...protocol.TYPE }, binary.types);
  assert.deepEqual({ ...protocol.FLAG }, binary.flags);
});

test("knows every close code, and when to try again", () => {
  const codes = golden("codes").close_codes.map(({ code, name, reconnect }) => [code, { name, reconnect }]);
  assert.deepEqual([...protocol.CLOSE_CODES].map(([code, meaning]) => [code, { ...meaning }]), codes);
  assert.equal(protocol.reconnects(1006), true);
  assert.equal(protocol.reconnects(4008), false);
});

const text = golden("text");
const makers = {
  hello: ({ token, ...choice }) => protocol.hello(token, choice),
  options: (choice) => protocol.options(choice),
  renew: ({ token }) => protocol.renew(token),
};

for (const message of text.from_page) {
  test(`says ${JSON.stringify(message).slice(0, 60)}`, () => {
    assert.deepEqual(JSON.parse(makers[message.type](message)), message);
  });
}

for (const message of text.from_relay) {
  test(`understands ${JSON.stringify(message).slice(0, 60)}`, () => {
    assert.deepEqual(protocol.decodeMessage(JSON.stringify(message)), message);
  });
}

for (const malformed of ["", "hello", "[]", "null", "1", "{}", '{"type": 1}']) {
  test(`refuses the text ${JSON.stringify(malformed)}`, () => {
    assert.throws(() => protocol.decodeMessage(malformed), protocol.ProtocolError);
  });
}

for (const { name, window, steps } of golden("window").window) {
  test(`credit window: ${name}`, () => {
    const credits = new protocol.CreditWindow(window);
    for (const step of steps) {
      if ("send" in step) credits.send(step.send);
      if ("result" in step) assert.equal(credits.receive(step.result), step.fresh);
      if ("may_send" in step) assert.equal(credits.maySend, step.may_send);
      if ("in_flight" in step) assert.equal(credits.inFlight, step.in_flight);
    }
  });
}
