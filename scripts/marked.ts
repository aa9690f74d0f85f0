import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Returns the text between the marks of {@link replaceMarked} in a file; "" if there is none. */
export function readMarked(file: string, mark: string): string {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return new RegExp(`<!-- ${mark} -->\\n([^]*?)\\n<!-- /${mark} -->`).exec(text)?.[1] ?? "";
}

/**
 * Replaces the text between `<!-- mark -->` and `<!-- /mark -->`, each on its own line, in a file of
 * the repository. Throws an Error that names the missing marks.
 */
export function replaceMarked(path: string, mark: string, text: string): void {
  const file = new URL(`../${path}`, import.meta.url);
  const marks = new RegExp(`(<!-- ${mark} -->\\n)[^]*?(<!-- /${mark} -->)`);
  const before = readFileSync(file, "utf8");
  if (!marks.test(before)) {
    throw new Error(`${path} has no <!-- ${mark} --> and <!-- /${mark} -->; put them back`);
  }
  writeFileSync(file, before.replace(marks, (_, open, close) => `${open}${text}\n${close}`));
}
