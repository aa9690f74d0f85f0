import type { Place } from "./option.ts";
import { isIn, type OptionName, optionOf, rows } from "./table.ts";
import { nearest } from "./words.ts";

const blockTitles: Partial<Record<Place, string>> = {
  frontend: "a frontend block",
  pem: "a pem-file block",
};

/**
 * Returns the message for a key that is not allowed here, with where it belongs or the nearest name.
 * `block` is the kind of block that contains it.
 */
export function unknownKey(
  key: string,
  keys: ReadonlyMap<string, OptionName>,
  block: "frontend" | "pem" | undefined,
): string {
  const here = block ? ` in ${blockTitles[block]}` : "";
  const elsewhere = rows.find(([name]) => name === key)?.[0];
  if (elsewhere) {
    const option = optionOf(elsewhere);
    const places = (["file", "frontend", "pem"] as const).filter((place) => isIn(option, place));
    const titles = places.map((place) => blockTitles[place] ?? "the top level of a file");
    const where = titles.length > 0 ? titles.join(" or ") : "the command line";
    return `${key} is not a key${here}; it belongs to ${where}`;
  }
  const near = nearKey(key, keys);
  const remedy = near ? `did you mean ${near}?` : "stud --default-config shows all of them";
  return `${shownKey(key, near)} is not a key${here}; ${remedy}`;
}

/** Text that looks like no option's name is not quoted: it may be a line of a key, or a password. */
function shownKey(key: string, near: string | undefined): string {
  const isName = near ? /^[\w-]{1,40}$/.test(key) : /^[a-z]+([_-][a-z]+)*[0-9]?$/.test(key);
  return isName && key.length <= 40 ? key : "this word";
}

function nearKey(key: string, keys: ReadonlyMap<string, OptionName>): string | undefined {
  return nearest(key.toLowerCase(), [...keys.keys()]);
}
