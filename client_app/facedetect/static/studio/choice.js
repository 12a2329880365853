/** What the next frames are to become, as the stream sends it; and as an address says it, for the stage. No DOM in here. */

const ASSIGNMENT = /^([1-4]):([a-z0-9][a-z0-9-]{0,63})$/;

export const enginesOf = (words) => words?.split(" ").filter(Boolean) ?? [];

/**
 * @param {object} chosen the preferences
 * @param {{identity: string, identities?: Record<string, string>, faces: string, engines: string[]}} worn
 *   `engines` are those of `identity`
 */
export function choiceOf(chosen, { identity, identities, faces, engines }) {
  const { mirror, bystanders, strength, edge, mouth, eyes, engine } = chosen;
  const options = { on_failure: "hold", mirror, faces, bystanders, strength, edge };
  if (mouth) options.mouth = mouth;
  if (eyes) options.eyes = eyes;
  if (engines.length > 1 && engines.includes(engine)) options.engine = engine; // with one there is nothing to choose
  return { identity, identities, options };
}

/** `{1: "p1", 2: "p3"}` as `1:p1,2:p3`. */
export const writeIdentities = (identities) =>
  Object.entries(identities)
    .map((each) => each.join(":"))
    .join(",");

/** The same back; undefined for what says nobody, or cannot be read. */
export function readIdentities(text) {
  const found = (text ?? "").split(",").map((each) => ASSIGNMENT.exec(each));
  return found.every(Boolean) ? Object.fromEntries(found.map(([, number, identity]) => [number, identity])) : undefined;
}

/** The stage's address with all that `choice` wears. */
export function stageAddress(base, { identity, identities }) {
  const query = new URLSearchParams({ identity });
  if (identities) query.set("identities", writeIdentities(identities));
  return `${base}?${query}`;
}
