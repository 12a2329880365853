/** The camera: found, asked for, released; and what to do when a browser does not give it. */

import { gettext } from "./text.js";

const SIZE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };

/** Why there is no picture: a sentence, and what helps. */
export class CameraError extends Error {
  constructor(kind, title, help, cause) {
    super(title, { cause });
    this.kind = kind;
    this.help = help;
  }
}

const denied = (cause) =>
  new CameraError(
    "denied",
    gettext("The camera is blocked"),
    gettext("Click the camera or lock sign beside the address, allow the camera for this page, and press Start again."),
    cause,
  );
const none = (cause) =>
  new CameraError(
    "none",
    gettext("No camera was found"),
    gettext("Connect a camera, or turn it on, and press Start again. Without a camera, try it with a photo below."),
    cause,
  );
const busy = (cause) =>
  new CameraError(
    "busy",
    gettext("The camera is in use"),
    gettext("Another program or tab has the camera. Close it there and press Start again."),
    cause,
  );
const insecure = () =>
  new CameraError(
    "insecure",
    gettext("This address may not use the camera"),
    gettext("Browsers give a camera only to pages opened over https:// or from this same computer. Open the page that way."),
  );
const unknown = (cause) =>
  new CameraError(
    "unknown",
    gettext("The camera did not start"),
    gettext("Unplug it and plug it in again, or choose another camera, and press Start again."),
    cause,
  );

const BY_NAME = {
  NotAllowedError: denied,
  SecurityError: denied,
  PermissionDeniedError: denied,
  NotFoundError: none,
  DevicesNotFoundError: none,
  OverconstrainedError: none,
  NotReadableError: busy,
  TrackStartError: busy,
  AbortError: busy,
};

/** The CameraError of a page that gets no camera however one asks, or null. */
export const withheld = () => (navigator.mediaDevices?.getUserMedia ? null : insecure());

const release = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** One camera, shown in `video` while it is open. An event "ended" comes when it is unplugged. */
export class Camera extends EventTarget {
  #stream = null;
  #asked = 0;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    super();
    this.video = video;
  }

  get open() {
    return this.#stream !== null;
  }

  /** The id of the device in use, or "". */
  get device() {
    return this.#stream?.getVideoTracks()[0]?.getSettings().deviceId ?? "";
  }

  /**
   * Ask for the camera `device` ("": any); whether it is on: not where it was stopped, or another was asked for, meanwhile.
   * Throws CameraError.
   */
  async start(device) {
    this.stop();
    const refusal = withheld();
    if (refusal) throw refusal;
    const asked = this.#asked;
    const stream = await this.#ask(device);
    if (asked !== this.#asked) {
      release(stream);
      return false;
    }
    this.#stream = stream;
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => {
      if (this.#stream !== stream) return;
      this.stop();
      this.dispatchEvent(new Event("ended"));
    });
    this.video.srcObject = stream;
    await this.video.play().catch(() => {}); // a stop() while it starts is no failure
    return asked === this.#asked;
  }

  async #ask(device) {
    try {
      return await navigator.mediaDevices.getUserMedia({
        video: device ? { ...SIZE, deviceId: { exact: device } } : { ...SIZE, facingMode: "user" },
      });
    } catch (error) {
      if (device && ["OverconstrainedError", "NotFoundError"].includes(error.name)) return this.#ask("");
      throw (BY_NAME[error.name] ?? unknown)(error);
    }
  }

  /** Release the device: its light goes out. */
  stop() {
    this.#asked += 1;
    release(this.#stream);
    this.#stream = null;
    this.video.srcObject = null;
  }

  /** The cameras that there are; their names are empty until one has been allowed. */
  static async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return devices.filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
  }
}

/** The camera was pulled out. */
export const unplugged = () =>
  new CameraError("none", gettext("The camera is gone"), gettext("Connect it again and press Start."));
