/** The buttons that save: a snapshot, a film; and what the visitor is told until the server has signed them. */

import { Exporter, Outbox } from "./outbox.js";
import { Recorder, progressText, snapshot } from "./recorder.js";
import { format, gettext } from "./text.js";

const REVOKE_MS = 60_000;
const ENDING = { film: "mp4", snapshot: "jpg" };
const $ = (selector) => document.querySelector(selector);

const WORDS = {
  film: {
    signing: () => gettext("Signing the film…"),
    waiting: () => gettext("The film could not be signed yet. It is kept, and tried again in {seconds} s."),
    kept: () => gettext("The film is not saved yet. It is kept while this page is open. {reason}"),
    saved: () => gettext("The film was signed and saved."),
  },
  snapshot: {
    signing: () => gettext("Signing the snapshot…"),
    waiting: () => gettext("The snapshot could not be signed yet. It is kept, and tried again in {seconds} s."),
    kept: () => gettext("The snapshot is not saved yet. It is kept while this page is open. {reason}"),
    saved: () => gettext("The snapshot was signed and saved."),
  },
};

/** Hand a signed file over as a download. */
function download(signed, { kind, made }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(signed);
  link.download = `ai-modified-${made}.${ENDING[kind]}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MS);
}

const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

export class Saving {
  #studio;
  #tokens;
  #worn;
  #toast;
  #toastGoingOn;
  #outbox;
  #recorder;
  /** Every identity that was put on since the recording began, and the session that it began in. */
  #filmed = new Set();
  #session = null;
  #told = "";
  /** Of each file that is being signed, or will be tried again by itself: what is told of it. */
  #goingOn = new Map();

  /**
   * @param {{studio: import("./studio.js").Studio, tokens: import("./stream.js").Tokens, csrf: () => string,
   *   worn: () => Set<string>, toast: (text: string) => void, toastGoingOn: (text: string) => void}} page `worn`: the
   *   identities that are put on
   */
  constructor({ studio, tokens, csrf, worn, toast, toastGoingOn }) {
    const { exports, exportBytes } = document.body.dataset;
    this.#studio = studio;
    this.#tokens = tokens;
    this.#worn = worn;
    this.#toast = toast;
    this.#toastGoingOn = toastGoingOn;
    this.#outbox = new Outbox(new Exporter(exports, csrf), download);
    this.#outbox.addEventListener("change", ({ detail }) => this.#tell(detail));
    this.#recorder = new Recorder(studio.screen.canvas, Number(exportBytes));
    this.#recorder.addEventListener("progress", ({ detail }) => ($("#recording span").textContent = progressText(detail)));
    this.#recorder.addEventListener("stopped", ({ detail: { blob } }) => this.#filmEnded(blob));
    $("#unsaved-retry").addEventListener("click", () => this.#outbox.retry());
    $("#unsaved-discard").addEventListener("click", () => {
      const count = this.#outbox.kept.length;
      if (confirm(format(gettext("Discard what is not saved? Files: {count}"), { count }))) this.#discard();
    });
    addEventListener("beforeunload", (event) => {
      if (this.#recorder.running || !this.#outbox.empty) event.preventDefault();
    });
  }

  async snapshot() {
    if (!this.#maySave()) return;
    const { token } = this.#tokens.held;
    const identities = this.#worn();
    const blob = await snapshot(this.#studio.screen.canvas);
    this.#outbox.add({ kind: "snapshot", blob, identities, made: stamp(), token });
  }

  /** Start a film, or end it. */
  async toggle(withSound) {
    if (this.#recorder.running) return void this.#recorder.stop();
    if (!this.#studio.screen.showing || !this.#replacesFilm() || !this.#maySave()) return;
    const session = this.#tokens.held;
    try {
      if (!(await this.#recorder.start(withSound))) return;
    } catch (error) {
      return void this.#toast(error.message);
    }
    this.#filmed = new Set(this.#worn());
    this.#session = session;
    this.#studio.keepRunning("recording", true);
    $("#record").setAttribute("aria-pressed", "true");
    $("#recording").hidden = false;
  }

  /** The next frames show these identities too. */
  wear(identities) {
    for (const identity of identities) this.#filmed.add(identity);
  }

  /** The picture has ended, and the film with it. */
  stop() {
    this.#recorder.stop();
  }

  /** Whether another film may take the place of one that waits for the visitor: only they can say so. */
  #replacesFilm() {
    if (!this.#outbox.kept.some(({ kind }) => kind === "film")) return true;
    const agreed = confirm(gettext("The last film is not saved yet. Discard it, and record another one?"));
    if (agreed) this.#discard("film");
    return agreed;
  }

  #maySave() {
    const { full } = this.#outbox;
    if (full) this.#toast(gettext("Too many files wait to be signed. Save or discard those first."));
    else if (!this.#tokens.held) this.#toast(gettext("Press Start first: only a running session can save."));
    return !full && this.#tokens.held !== null;
  }

  #filmEnded(blob) {
    this.#studio.keepRunning("recording", false);
    $("#record").setAttribute("aria-pressed", "false");
    $("#recording").hidden = true;
    if (blob.size === 0) return void this.#toast(gettext("The film ended before it showed a picture. Record it again."));
    const { held } = this.#tokens;
    // Its watermark is that of the session that it began in; the token in hand may be another's by now, or none.
    const { token } = held && held.session === this.#session.session ? held : this.#session;
    this.#outbox.add({ kind: "film", blob, identities: this.#filmed, made: stamp(), token });
  }

  #discard(kind) {
    this.#outbox.discard(kind);
    this.#showKept();
  }

  #tell({ file, state, reason, wait }) {
    const text = state === "refused" ? reason : WORDS[file.kind][state]();
    const told = format(text, { reason, seconds: Math.ceil(wait / 1000) });
    this.#showKept(state === "kept" ? told : "");
    const goesOn = state === "signing" || state === "waiting";
    this.#goingOn.delete(file);
    if (goesOn) this.#goingOn.set(file, told);
    this.#toastGoingOn([...this.#goingOn.values()].at(-1) ?? "");
    if (!goesOn) this.#toast(told);
  }

  /** Beside the buttons, as long as something is kept: what (`told` of the one that came last), and "Try again". */
  #showKept(told) {
    const count = this.#outbox.kept.length;
    const bar = $("#unsaved");
    if (count === 0 && bar.contains(document.activeElement)) $("#record").focus();
    bar.hidden = count === 0;
    if (told) this.#told = told;
    const several = count > 1 ? format(gettext("Files that are not saved: {count}."), { count }) : "";
    $("#unsaved-text").textContent = [several, this.#told].filter(Boolean).join(" ");
  }
}
