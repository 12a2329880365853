/**
 * The stream between page and relay, without I/O: the JavaScript twin of websocket_server/protocol.py.
 * docs/architecture.md has the contract; tests/contracts/stream has the golden files that both sides' tests read.
 */

export const VERSION = 1;
export const HEADER_BYTES = 16;
export const TYPE = Object.freeze({ frame: 1, result: 2 });
export const FLAG = Object.freeze({ swapped: 1, held: 2, degraded: 4 });

const METADATA_LENGTH_BYTES = 4;
const LITTLE_ENDIAN = true;
const utf8 = new TextDecoder("utf-8", { fatal: true });

export const SESSION_OVER = 4003;

/** WebSocket close codes of the relay, and whether the page tries again by itself. */
export const CLOSE_CODES = new Map(
  Object.entries({
    1000: { name: "normal", reconnect: false },
    1001: { name: "going away", reconnect: true },
    1002: { name: "protocol", reconnect: false },
    1007: { name: "bad UTF-8", reconnect: false },
    1008: { name: "policy", reconnect: true },
    1009: { name: "too big", reconnect: false },
    1011: { name: "internal", reconnect: true },
    1013: { name: "overloaded", reconnect: true },
    4001: { name: "no hello in time", reconnect: true },
    4002: { name: "idle", reconnect: false },
    [SESSION_OVER]: { name: "session over", reconnect: false },
    4004: { name: "too many sessions", reconnect: false },
    4005: { name: "too many messages", reconnect: false },
    4006: { name: "slow reader", reconnect: true },
    4007: { name: "bad hello", reconnect: false },
    4008: { name: "revoked", reconnect: false },
  }).map(([code, meaning]) => [Number(code), Object.freeze(meaning)]),
);

/** Whether a socket that closed with `code` is worth another try. 1005 and 1006, made by the browser, mean a lost line. */
export function reconnects(code) {
  return CLOSE_CODES.get(code)?.reconnect ?? true;
}

/** Bytes or a text that the contract does not know. */
export class ProtocolError extends Error {}

/**
 * A camera frame as one binary message.
 * @param {number} sequence u32, higher with every frame
 * @param {bigint} captureUs capture time in microseconds, u64
 * @param {Uint8Array} image JPEG
 * @returns {Uint8Array}
 */
export function encodeFrame(sequence, captureUs, image) {
  const message = new Uint8Array(HEADER_BYTES + image.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, TYPE.frame);
  view.setUint16(2, 0, LITTLE_ENDIAN);
  view.setUint32(4, sequence, LITTLE_ENDIAN);
  view.setBigUint64(8, captureUs, LITTLE_ENDIAN);
  message.set(image, HEADER_BYTES);
  return message;
}

function readHeader(view, type) {
  if (view.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`Expected a header of ${HEADER_BYTES} bytes; received ${view.byteLength}.`);
  }
  if (view.getUint8(0) !== VERSION) {
    throw new ProtocolError(`Expected version ${VERSION}; received ${view.getUint8(0)}.`);
  }
  if (view.getUint8(1) !== type) throw new ProtocolError(`Expected type ${type}; received ${view.getUint8(1)}.`);
  return {
    flags: view.getUint16(2, LITTLE_ENDIAN),
    sequence: view.getUint32(4, LITTLE_ENDIAN),
    captureUs: view.getBigUint64(8, LITTLE_ENDIAN),
  };
}

/**
 * A binary message of the relay.
 * @param {ArrayBuffer} buffer
 * @returns {{flags: number, sequence: number, captureUs: bigint, metadata: object, image: Uint8Array}}
 *   `image` is a view of `buffer`, empty for a held frame.
 */
export function decodeResult(buffer) {
  const view = new DataView(buffer);
  const header = readHeader(view, TYPE.result);
  const start = HEADER_BYTES + METADATA_LENGTH_BYTES;
  if (buffer.byteLength < start) throw new ProtocolError("Expected the metadata's length; the message ends before it.");
  const length = view.getUint32(HEADER_BYTES, LITTLE_ENDIAN);
  if (length > buffer.byteLength - start) {
    throw new ProtocolError(`Expected ${length} bytes of metadata; received ${buffer.byteLength - start}.`);
  }
  const metadata = readObject(() => utf8.decode(new Uint8Array(buffer, start, length)), "metadata");
  return { ...header, metadata, image: new Uint8Array(buffer, start + length) };
}

function readObject(text, what) {
  let value;
  try {
    value = JSON.parse(text());
  } catch {
    throw new ProtocolError(`Expected the ${what} to be a JSON object; it cannot be read.`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new ProtocolError(`Expected the ${what} to be a JSON object; received ${JSON.stringify(value)}.`);
  }
  return value;
}

/** A text message of the relay. Throws ProtocolError. */
export function decodeMessage(text) {
  const message = readObject(() => text, "message");
  if (typeof message.type !== "string") throw new ProtocolError("Expected a message with a type; it has none.");
  return message;
}

/** `identity` is everybody's; `identities`, where there are any: a face's number → its own. */
export const hello = (token, { identity, identities, options }) =>
  JSON.stringify({ type: "hello", version: VERSION, token, identity, identities, options });
export const options = ({ identity, identities, options }) =>
  JSON.stringify({ type: "options", identity, identities, options });
export const renew = (token) => JSON.stringify({ type: "renew", token });

/** Which frames the relay still owes an answer, and which answers may be drawn. */
export class CreditWindow {
  #outstanding = [];

  /** @param {number} size most frames in flight */
  constructor(size) {
    this.size = size;
  }

  get inFlight() {
    return this.#outstanding.length;
  }

  get maySend() {
    return this.inFlight < this.size;
  }

  send(sequence) {
    this.#outstanding.push(sequence);
  }

  /** Take note of the result of `sequence`, which acknowledges every earlier frame too; whether it may be drawn. */
  receive(sequence) {
    const place = this.#outstanding.indexOf(sequence);
    if (place < 0) return false;
    this.#outstanding.splice(0, place + 1);
    return true;
  }
}
