/** What a visitor chose, remembered in this browser and nowhere else. */

const KEY = "faceswap.preferences";
const TERMS_KEY = "faceswap.terms";

export const DEFAULTS = Object.freeze({
  identity: "",
  device: "",
  mirror: true,
  view: "after",
  faces: "largest",
  bystanders: "blur",
  mouth: "",
  eyes: "",
  engine: "",
  strength: 1,
  edge: 0.5,
  sound: false,
});

const read = (key) => {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null; // storage is blocked, or holds what somebody else wrote
  }
};

const write = (key, value) => {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Blocked or full: the choice lasts as long as the page.
  }
};

/** The remembered choices, each of its default's type. */
export function load() {
  const stored = read(KEY) ?? {};
  const kept = Object.entries(DEFAULTS).map(([name, value]) => [
    name,
    typeof stored[name] === typeof value ? stored[name] : value,
  ]);
  return Object.fromEntries(kept);
}

export const save = (preferences) => write(KEY, preferences);

export const termsAccepted = (version) => read(TERMS_KEY) === version;
export const acceptTerms = (version) => write(TERMS_KEY, version);
