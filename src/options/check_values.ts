/** Parsers of the values of `stud check`. */
import { ValueError } from "./values.ts";
import { quote } from "./words.ts";

const MAX_PROTOCOLS = 20;

/** Parses a name to send as SNI, or an address to expect; "" is none. Throws a ValueError. */
export function serverName(text: string): string {
  if (/^[\w.:-]{0,253}$/.test(text)) return text.toLowerCase();
  throw new ValueError(
    `${quote(text)} is not a name; use letters, digits, dots and hyphens (IDN: its xn-- form)`,
  );
}

/** Parses ALPN protocols, separated by commas; "" is none. Throws a ValueError. */
export function alpnList(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim()).filter((name) => name !== "");
  const isValid = names.every((name) => /^[!-~]{1,255}$/.test(name));
  if (isValid && names.length <= MAX_PROTOCOLS) return names;
  throw new ValueError(
    `${
      quote(text)
    } is not a list of protocols; use up to ${MAX_PROTOCOLS} names, as in h2,http/1.1`,
  );
}
