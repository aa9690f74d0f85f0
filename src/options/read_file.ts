import { FileError } from "../base/read_file.ts";
import { hasBlocks } from "./block_lexer.ts";
import { readBlocks } from "./block_file.ts";
import type { Dialect } from "../base/dialect.ts";
import { type ParsedFile, readLines } from "./line_file.ts";
import { bounded } from "./words.ts";

/** Returns a file's text; `-` is standard input. Throws a FileError. */
export type ReadText = (path: string) => string;

/**
 * Reads one configuration file, relative to the working directory. In hitch's dialect it has hitch's
 * grammar; in stud's dialect too if a `{` occurs outside strings and comments, and stud's grammar
 * otherwise. `key = "text"`, `key = number` and `key = on` mean the same in both.
 */
export function readConfigFile(path: string, dialect: Dialect, readText: ReadText): ParsedFile {
  const isInput = path === "-" || path === "";
  const file = isInput ? "standard input" : path;
  let text: string;
  try {
    text = readText(isInput ? "-" : path).replace(/^\uFEFF/, "");
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    const { reason } = error;
    const problem = dialect === "stud"
      ? `--config: ${file}: ${reason}`
      : `Unable to open configuration file '${file}': ${reason}`;
    return { assignments: [], problems: [problem], warnings: [], isPartial: true };
  }
  // One line instead of one for each line of a key.
  if (/^[ \t]*-----BEGIN /m.test(text)) {
    const what = "this is a PEM file, not a configuration file; give it as an argument " +
      "without --config";
    const problem = dialect === "stud"
      ? `--config: ${file}: ${what}`
      : `Error in configuration file '${file}': ${what}`;
    return { assignments: [], problems: [problem], warnings: [], isPartial: true };
  }
  const read = dialect === "hitch" || hasBlocks(text) ? readBlocks : readLines;
  const parsed = read(text, file, dialect);
  return {
    ...parsed,
    problems: bounded(parsed.problems, file),
    warnings: bounded(parsed.warnings, file),
  };
}
