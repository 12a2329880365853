/** Translations: Django's catalogue, which /jsi18n/ defines, or the words themselves where it is missing. */

export const gettext = (text) => globalThis.gettext?.(text) ?? text;

/** `format("{n} faces", {n: 2})`. */
export const format = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
