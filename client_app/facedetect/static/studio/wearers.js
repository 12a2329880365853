/** Several people before one camera: numbered chips under the picture, one of them chosen, each with a face of its own. */

import { format, gettext } from "./text.js";

const GONE_MS = 3_000;
/** How long a chip stays after its face was last seen: people turn away for a moment. */
const MOST = 4;
/** Faces that the service follows. */

/**
 * Who is seen, who is chosen, and who wears what; nothing of it outlives the page. No DOM in here.
 * `faces` of `see` are a result's: {number, box}, the one that is swapped first. Their numbers count from the left of the
 * camera's picture, which the screen may mirror; people are shown labels, which count from the left of the screen.
 */
export class Wearers {
  #seen = new Map();
  #identities = new Map();
  #labels = new Map();
  #told = "";
  /** Number of the face that the gallery dresses; 0: everybody. */
  chosen = 0;
  /** Number of the face that is swapped where only one is. */
  first = 0;
  /** Whether somebody was given a face of their own: from then on every face is swapped. */
  all = false;

  /** Take note of the faces of one frame; whether the chips must change. */
  see(faces, now = performance.now()) {
    for (const { number } of faces) if (number >= 1 && number <= MOST) this.#seen.set(number, now);
    for (const [number, at] of this.#seen) if (now - at > GONE_MS) this.#seen.delete(number);
    this.#label(faces);
    this.first = faces[0]?.number ?? this.first;
    if (this.chosen && !this.numbers.includes(this.chosen)) this.chosen = 0;
    const before = this.#told;
    this.#told = this.#state();
    return this.#told !== before;
  }

  #state() {
    return `${this.numbers} ${this.numbers.map((number) => this.labelOf(number))} ${this.first} ${this.chosen}`;
  }

  /** New faces get the lowest labels that are free, from left to right; who has one keeps it. */
  #label(faces) {
    const kept = new Set([...this.#seen.keys(), ...this.#identities.keys()]);
    for (const number of this.#labels.keys()) if (!kept.has(number)) this.#labels.delete(number);
    const fresh = faces.filter(({ number }) => this.#seen.has(number) && !this.#labels.has(number));
    const free = Array.from({ length: MOST }, (_, place) => place + 1).filter((label) => ![...this.#labels.values()].includes(label));
    fresh.sort((one, other) => one.box[0] - other.box[0]).forEach(({ number }, place) => this.#labels.set(number, free[place]));
  }

  /** The number of face `number` as it is shown. */
  labelOf(number) {
    return this.#labels.get(number) ?? number;
  }

  /** The picture was mirrored: who was the first from the left is the first from the right. */
  mirror() {
    const numbers = [...this.#labels.keys()].sort((one, other) => this.labelOf(one) - this.labelOf(other));
    const labels = numbers.map((number) => this.labelOf(number)).reverse();
    numbers.forEach((number, place) => this.#labels.set(number, labels[place]));
  }

  /** Numbers that have a chip, in the order of their labels: those seen, and those with an identity of their own. None for a person alone. */
  get numbers() {
    const numbers = [...new Set([...this.#seen.keys(), ...this.#identities.keys()])];
    numbers.sort((one, other) => this.labelOf(one) - this.labelOf(other));
    return numbers.length > 1 || this.#identities.size ? numbers : [];
  }

  /** The assignment as the stream sends it, or undefined while there is none. */
  get identities() {
    return this.#identities.size ? Object.fromEntries(this.#identities) : undefined;
  }

  /** The identity of its own that face `number` has, or undefined. */
  identityOf(number) {
    return this.#identities.get(number);
  }

  /** Put `identity` on the chosen face. */
  dress(identity) {
    if (!this.chosen) return;
    this.#identities.set(this.chosen, identity);
    this.all = true;
  }

  /** Everybody wears the same again. */
  undress() {
    this.#identities.clear();
  }

  /** Another session: nobody is seen, nobody is chosen. */
  forget() {
    this.undress();
    this.#seen.clear();
    this.#labels.clear();
    this.chosen = this.first = 0;
    this.all = false;
  }
}

/** The chips, and the labels over the picture. `face(number)` says what a chip shows: {label, name, portrait} (0: everybody). */
export class Chips {
  #row;
  #marks;
  #face;
  #onChoose;

  /** @param {HTMLElement} row @param {HTMLElement} marks @param {(number: number) => object} face @param {() => void} onChoose */
  constructor(row, marks, face, onChoose) {
    this.#row = row;
    this.#marks = marks;
    this.#face = face;
    this.#onChoose = onChoose;
  }

  /** Make the chips be those of `wearers`. A chip that stays keeps the focus. */
  show(wearers) {
    const { numbers } = wearers;
    const wanted = numbers.length ? [0, ...numbers] : [];
    const there = new Map([...this.#row.children].map((chip) => [Number(chip.dataset.number), chip]));
    const focused = this.#row.contains(document.activeElement);
    for (const [number, chip] of there) if (!wanted.includes(number)) chip.remove();
    wanted.forEach((number, place) => {
      const chip = there.get(number) ?? this.#make(number);
      if (this.#row.children[place] !== chip) this.#row.insertBefore(chip, this.#row.children[place] ?? null);
      this.#fill(chip, number, number === wearers.chosen);
    });
    if (focused && wanted.length && !this.#row.contains(document.activeElement)) this.#row.querySelector(":checked").focus();
  }

  #make(number) {
    const chip = document.createElement("label");
    chip.className = "wearer";
    chip.dataset.number = number;
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "wearer", value: number });
    input.addEventListener("change", () => this.#onChoose(number));
    const badge = document.createElement("b");
    const portrait = Object.assign(document.createElement("img"), { alt: "", width: 28, height: 28 });
    chip.append(input, ...(number ? [badge] : []), portrait, document.createElement("span"));
    return chip;
  }

  #fill(chip, number, checked) {
    const { label, name, portrait } = this.#face(number);
    const [input, image, text, badge] = ["input", "img", "span", "b"].map((tag) => chip.querySelector(tag));
    const spoken = number ? format(gettext("Face {number}: {name}"), { number: label, name }) : name;
    if (input.getAttribute("aria-label") !== spoken) input.setAttribute("aria-label", spoken);
    if (badge && badge.textContent !== String(label)) badge.textContent = label;
    if (text.textContent !== name) text.textContent = name;
    image.hidden = !portrait;
    if (portrait && image.getAttribute("src") !== portrait) image.src = portrait;
    input.checked = checked;
  }

  /** Put each face's number above it. `width` and `height` are the frame's, in the boxes' pixels. */
  mark(faces, width, height, chosen) {
    const { clientWidth, clientHeight, children } = this.#marks;
    while (children.length > faces.length) children[0].remove();
    while (children.length < faces.length) this.#marks.append(document.createElement("b"));
    const scale = Math.min(clientWidth / width, clientHeight / height); // `object-fit: contain`
    const [left, top] = [(clientWidth - width * scale) / 2, (clientHeight - height * scale) / 2];
    faces.forEach(({ number, box: [x, y, across] }, place) => {
      const mark = children[place];
      mark.textContent = this.#face(number).label;
      mark.classList.toggle("chosen", number === chosen);
      mark.style.translate = `${left + (x + across / 2) * scale}px ${Math.max(top + y * scale, 0)}px`;
    });
  }
}
