/** The canvas that shows swapped frames: newest wins, nothing older is ever drawn, and nothing stays longer than it may. */

const HOLD_MS = 2_000;
/** How long the last swap stays when no newer one comes; then black, never the wearer's own face. */
const RATE_WINDOW_MS = 2_000;

export class Screen extends EventTarget {
  #context;
  #epoch = 0;
  #sequence = 0;
  #timer = 0;
  #drawnAt = [];

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
  }

  /** Whether a swapped frame is on the screen now. */
  get showing() {
    return this.#timer !== 0;
  }

  /** Frames drawn a second, over the last two. */
  rate(now = performance.now()) {
    this.#drawnAt = this.#drawnAt.filter((at) => now - at < RATE_WINDOW_MS);
    return this.#drawnAt.length / (RATE_WINDOW_MS / 1000);
  }

  /** Draw the frame `sequence` of the connection `epoch` unless a newer one is there; closes the bitmap. */
  draw(bitmap, epoch, sequence) {
    const newer = epoch > this.#epoch || (epoch === this.#epoch && sequence > this.#sequence);
    if (!newer) {
      bitmap.close();
      return false;
    }
    this.#epoch = epoch;
    this.#sequence = sequence;
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.#context.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#drawnAt.push(performance.now());
    const first = !this.showing;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.clear(), HOLD_MS);
    if (first) this.dispatchEvent(new Event("shown"));
    return true;
  }

  /** Black. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#context.fillStyle = "#000";
    this.#context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.dispatchEvent(new Event("cleared"));
  }
}
