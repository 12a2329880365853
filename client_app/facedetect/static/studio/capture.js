/** Frames of a video, as they are shown, at no more than a given rate. */

const SLACK_MS = 4;
/** A frame that comes this much too early is still taken: cameras jitter. */

export class Capture {
  #request = 0;
  #running = false;
  #lastMs = -Infinity;
  #taking = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {(bitmap: ImageBitmap, captureMs: number) => void} onFrame the bitmap is the callee's to close
   */
  constructor(video, onFrame) {
    this.video = video;
    this.onFrame = onFrame;
    this.fps = 30;
    /** Whether the next frame has a taker. */
    this.wanted = false;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#next();
  }

  stop() {
    this.#running = false;
    this.wanted = false;
    this.video.cancelVideoFrameCallback?.(this.#request);
  }

  #next() {
    const onFrame = (now, metadata) => {
      if (!this.#running) return;
      this.#next();
      this.take(metadata?.captureTime ?? now);
    };
    if (this.video.requestVideoFrameCallback) this.#request = this.video.requestVideoFrameCallback(onFrame);
    else requestAnimationFrame(onFrame);
  }

  /** Take the present frame, if it is wanted and not too early. */
  async take(captureMs = performance.now()) {
    const now = performance.now();
    const early = now - this.#lastMs < 1000 / this.fps - SLACK_MS;
    if (!this.#running || !this.wanted || this.#taking || early || this.video.readyState < 2) return;
    this.#taking = true;
    this.#lastMs = now;
    try {
      const bitmap = await createImageBitmap(this.video);
      if (this.#running && this.wanted) {
        this.wanted = false;
        this.onFrame(bitmap, Math.min(captureMs, now));
      } else {
        bitmap.close();
      }
    } catch {
      // The camera ended between the check and the copy; whoever watches it says so.
    } finally {
      this.#taking = false;
    }
  }
}
