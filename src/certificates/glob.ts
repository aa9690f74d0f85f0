/** A compiled pattern. */
export interface GlobPattern {
  test(name: string): boolean;
}

/**
 * A pattern for whole file names by the rules of glob(7): `*`, `?`, `[a-z]`, `[!a-z]`, and outside
 * brackets `\` before a character that stands for itself. A name that begins with a dot is like
 * others. `matchesGlob` of node:path differs from runtime to runtime, and a RegExp made from a
 * user's text could be invalid, or take forever on `*a*a*a*b`.
 */
export function globPattern(glob: string): GlobPattern {
  // A `]` at the beginning of a set stands for itself, and so does a `[` without its `]`.
  const parts = glob.matchAll(/\*+|\?|\[([!^]|(?![!^]))(\]?[^\]]+|\])\]|\\?(.)/gsu);
  const tokens = [...parts].map(([text, negation, set, character]): Token => {
    if (text.startsWith("*")) return "*";
    if (text === "?") return () => true;
    if (character !== undefined) return (given) => given === character;
    return characterSet(set!, negation !== "");
  });
  return { test: (name) => matches(tokens, [...name]) };
}

/** Any number of characters, or one of which this is true. */
type Token = "*" | ((character: string) => boolean);

/** Only the last `*` ever has to match more, so the work is at most name length times tokens. */
function matches(tokens: readonly Token[], name: readonly string[]): boolean {
  let next = 0;
  let afterStar = -1;
  let starEnd = 0;
  for (let at = 0; at < name.length;) {
    const token = tokens[next];
    if (token === "*") {
      afterStar = ++next;
      starEnd = at;
    } else if (token?.(name[at]!)) {
      next++;
      at++;
    } else if (afterStar >= 0) {
      next = afterStar;
      at = ++starEnd;
    } else {
      return false;
    }
  }
  return tokens.slice(next).every((token) => token === "*");
}

/** Ranges may go backwards, which hold nothing; a `-` at either end stands for itself. */
function characterSet(set: string, isNegated: boolean): (character: string) => boolean {
  const ranges = [...set.matchAll(/(.)-(.)|(.)/gsu)].map(([, from, to, single]) =>
    [
      (from ?? single)!.codePointAt(0)!,
      (to ?? single)!.codePointAt(0)!,
    ] as const
  );
  return (character) => {
    const point = character.codePointAt(0)!;
    return ranges.some(([from, to]) => from <= point && point <= to) !== isNegated;
  };
}
