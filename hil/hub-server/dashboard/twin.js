// Twins as rows: what is desired beside what is reported, and what either was before.

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** A Plug and Play answer to a writable property: `{value, ac, av, ad}`. */
const isAnswer = (value) => isObject(value) && "value" in value && Number.isInteger(value.ac) && Number.isInteger(value.av);

function canonical(value) {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, canonical(value[key])]));
}

/** Whether two JSON values are the same, whatever the order of their keys. */
export const same = (a, b) => JSON.stringify(canonical(a)) === JSON.stringify(canonical(b));

/**
 * The leaves of a section by path; keys of twins have no dots. The value of an answer stands where the desired one
 * does, and the answer itself in `answers`.
 */
export function leaves(section) {
  const values = new Map();
  const answers = new Map();
  const walk = (value, path) => {
    if (isAnswer(value)) {
      answers.set(path, value);
      walk(value.value, path);
    } else if (isObject(value) && (Object.keys(value).length || path === "")) {
      for (const [key, inner] of Object.entries(value)) {
        if (!key.startsWith("$")) walk(inner, path === "" ? key : `${path}.${key}`);
      }
    } else {
      values.set(path, value);
    }
  };
  walk(section ?? {}, "");
  return { values, answers };
}

/** What `now` has otherwise than `before`: the old value by path, undefined for what was not there. */
export function changes(before, now) {
  const changed = new Map();
  for (const path of new Set([...before.keys(), ...now.keys()])) {
    const both = before.has(path) && now.has(path);
    if (!both || !same(before.get(path), now.get(path))) changed.set(path, before.get(path));
  }
  return changed;
}

/** Rows of a twin by path: both values, the answer, and how they compare. */
export function rows(desired, reported, more = []) {
  const paths = new Set([...desired.values.keys(), ...reported.values.keys(), ...reported.answers.keys(), ...more]);
  return [...paths].sort().map((path) => {
    const wanted = desired.values.get(path);
    const has = reported.values.get(path);
    const answer = reported.answers.get(path);
    let state = "gone";
    if (desired.values.has(path)) {
      if (!reported.values.has(path)) state = "not reported";
      else state = same(wanted, has) ? "same" : "differs";
    } else if (reported.values.has(path) || answer) {
      state = "reported";
    }
    return { path, wanted, has, answer, state };
  });
}

/** A merge patch that sets `path` to `value`. */
export function patchFor(path, value) {
  return path.split(".").reduceRight((inner, key) => ({ [key]: inner }), value);
}

/** A value in one line. */
export const show = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
