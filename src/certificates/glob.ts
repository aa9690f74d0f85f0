/**
 * A pattern for whole file names that means what fnmatch(3) makes of a glob without flags: `*`,
 * `?`, `[a-z]`, `[!a-z]`, and `\` before a character that stands for itself. A name that begins
 * with a dot is like others. `matchesGlob` of node:path differs from runtime to runtime.
 */
export function globPattern(glob: string): RegExp {
  // A `]` at the beginning of a set stands for itself, and so does a `[` without its `]`.
  const tokens = glob.matchAll(/\*+|\?|\[([!^]?)(\]?[^\]]*)\]|\\?(.)/gsu);
  const parts = [...tokens].map(([token, negation, set, character]) => {
    if (token.startsWith("*")) return ".*";
    if (token === "?") return ".";
    if (character !== undefined) return literal(character);
    return set === "" ? literal(token) : setPattern(negation !== "", set!);
  });
  return new RegExp(`^${parts.join("")}$`, "su");
}

function literal(text: string): string {
  return text.replaceAll(/[\^$\\.*+?()[\]{}|/]/g, "\\$&");
}

function setPattern(isNegated: boolean, set: string): string {
  // A range that goes backwards holds nothing; a pattern may not have it.
  const inOrder = set.replaceAll(/(.)-(.)/gsu, (range, from, to) => from <= to ? range : "");
  return `[${isNegated ? "^" : ""}${inOrder.replaceAll(/[\\\][^]/g, "\\$&")}]`;
}
