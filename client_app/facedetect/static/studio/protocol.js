// The stream contract of docs/architecture.md, without I/O: the twin of websocket_server/protocol.py. Both sides' tests
// read tests/contracts/stream.

export const VERSION = 1;
export const HEADER_BYTES = 16;
export const METADATA_LENGTH_BYTES = 4;
export const MAX_SEQUENCE = 2 ** 32 - 1;

export const MessageType = Object.freeze({ FRAME: 1, RESULT: 2 });

/** Flags of a result. HELD: no picture, the last swap stays for `HELD_SECONDS`, then black. */
export const Flag = Object.freeze({ SWAPPED: 1, HELD: 2, DEGRADED: 4 });

/** Close codes of /websocket: whether the page should try again by itself. */
export const RECONNECT_AFTER = Object.freeze({
  1000: false, // normal
  1001: true, // going away
  1002: false, // protocol
  1007: false, // bad UTF-8
  1008: true, // token or origin: with a fresh token
  1009: false, // too big
  1011: true, // internal
  1013: true, // overloaded
  4001: true, // no hello in time
  4002: true, // idle
  4003: false, // session over
  4004: true, // too many sessions
  4005: false, // too many messages
  4006: true, // slow reader
  4007: false, // bad hello
  4008: false, // revoked
});

/** Whether the page should connect again after `code`; codes that the browser makes up (1006: no close frame) too. */
export function shouldReconnect(code) {
  return RECONNECT_AFTER[code] ?? true;
}

/** A message that the contract does not know. */
export class ProtocolError extends Error {}

/**
 * A frame message.
 * @param {number} sequence above every earlier one
 * @param {bigint} captureMicroseconds when the camera took it
 * @param {Uint8Array} jpeg
 * @returns {Uint8Array}
 */
export function encodeFrame(sequence, captureMicroseconds, jpeg, flags = 0) {
  const message = new Uint8Array(HEADER_BYTES + jpeg.length);
  const view = new DataView(message.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, MessageType.FRAME);
  view.setUint16(2, flags, true);
  view.setUint32(4, sequence, true);
  view.setBigUint64(8, captureMicroseconds, true);
  message.set(jpeg, HEADER_BYTES);
  return message;
}

/**
 * One binary message, of either kind; `metadata` is that of a result only.
 * @param {Uint8Array} message
 * @returns {{type: number, flags: number, sequence: number, captureMicroseconds: bigint, metadata?: object, image: Uint8Array}}
 */
export function decode(message) {
  if (message.length < HEADER_BYTES) {
    throw new ProtocolError(`Expected a header of ${HEADER_BYTES} bytes; received ${message.length} bytes.`);
  }
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const version = view.getUint8(0);
  if (version !== VERSION) {
    throw new ProtocolError(`Expected version ${VERSION} of the stream; received ${version}.`);
  }
  const type = view.getUint8(1);
  const header = {
    type,
    flags: view.getUint16(2, true),
    sequence: view.getUint32(4, true),
    captureMicroseconds: view.getBigUint64(8, true),
  };
  if (type === MessageType.FRAME) {
    return { ...header, image: message.subarray(HEADER_BYTES) };
  }
  if (type !== MessageType.RESULT) {
    throw new ProtocolError(`Expected message type 1 (frame) or 2 (result); received ${type}.`);
  }
  return { ...header, ...decodeResultBody(message, view) };
}

function decodeResultBody(message, view) {
  const start = HEADER_BYTES + METADATA_LENGTH_BYTES;
  if (message.length < start) {
    throw new ProtocolError("Expected the length of the metadata after the header; received less than 4 bytes.");
  }
  const end = start + view.getUint32(HEADER_BYTES, true);
  if (message.length < end) {
    throw new ProtocolError(`Expected ${end - start} bytes of metadata; received ${message.length - start}.`);
  }
  return { metadata: decodeMetadata(message.subarray(start, end)), image: message.subarray(end) };
}

function decodeMetadata(bytes) {
  try {
    return decodeText(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new ProtocolError("Expected metadata in JSON; received something else.");
  }
}

/** A text message's object. */
export function decodeText(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new ProtocolError("Expected a JSON object; received something else.");
  }
  return value;
}

export const hello = (token, identity, options) =>
  JSON.stringify({ type: "hello", version: VERSION, token, identity, options });
export const options = (identity, values) => JSON.stringify({ type: "options", identity, options: values });
export const renew = (token) => JSON.stringify({ type: "renew", token });

/**
 * Flow control: at most `size` frames without a result. A result acknowledges its own sequence and every earlier one; an
 * older or equal result is not fresh, nor is one to a frame that was never sent.
 */
export class CreditWindow {
  #sent = [];
  #newestResult = -1;
  #newestSent = -1;

  constructor(size) {
    this.size = size;
  }

  get inFlight() {
    return this.#sent.length;
  }

  get maySend() {
    return this.inFlight < this.size;
  }

  send(sequence) {
    if (!this.maySend) {
      throw new RangeError(`expected fewer than ${this.size} frames in flight`);
    }
    if (sequence <= this.#newestSent) {
      throw new RangeError(`expected a sequence above ${this.#newestSent}, received ${sequence}`);
    }
    this.#newestSent = sequence;
    this.#sent.push(sequence);
  }

  /** Whether the result to `sequence` is fresh, and so may be drawn. */
  acknowledge(sequence) {
    if (sequence <= this.#newestResult || sequence > this.#newestSent) {
      return false;
    }
    this.#newestResult = sequence;
    this.#sent = this.#sent.filter((each) => each > sequence);
    return true;
  }
}
