import { FileError } from "../base/read_file.ts";
import { hasBlocks } from "./block_lexer.ts";
import { readBlocks } from "./block_file.ts";
import type { Dialect } from "../base/dialect.ts";
import { type ParsedFile, readLines } from "./line_file.ts";
import { bounded, withoutCredentials } from "./words.ts";

/** Returns a file's text; `-` is standard input. Throws a FileError. */
export type ReadText = (path: string) => string;

/**
 * Reads one configuration file, relative to the working directory. In hitch's dialect it has hitch's
 * grammar; in stud's dialect too if a `{` occurs outside strings and comments, and stud's grammar
 * otherwise. `key = "text"`, `key = number` and `key = on` mean the same in both. A file without
 * any setting is an error, since it was probably cut off.
 */
export function readConfigFile(path: string, dialect: Dialect, readText: ReadText): ParsedFile {
  const isInput = path === "-" || path === "";
  const file = isInput ? "standard input" : withoutCredentials(path);
  let text: string;
  try {
    text = readText(isInput ? "-" : path).replace(/^\uFEFF/, "");
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return unusable(
      dialect === "stud"
        ? `--config: ${file}: ${error.reason}`
        : `Unable to open configuration file '${file}': ${error.reason}`,
    );
  }
  const fault = foreignKind(text);
  if (fault !== undefined) return unusable(faultIn(file, fault, dialect));
  const read = dialect === "hitch" || hasBlocks(text) ? readBlocks : readLines;
  const parsed = read(text, file, dialect);
  if (parsed.assignments.length === 0 && parsed.problems.length === 0) {
    const what = "it has no settings, perhaps because it was cut off; add some, or remove --config";
    return unusable(faultIn(file, what, dialect));
  }
  return {
    ...parsed,
    problems: bounded(parsed.problems, file),
    warnings: bounded(parsed.warnings, file),
  };
}

function unusable(problem: string): ParsedFile {
  return { assignments: [], problems: [problem], warnings: [], isPartial: true };
}

function faultIn(file: string, what: string, dialect: Dialect): string {
  return dialect === "stud"
    ? `--config: ${file}: ${what}`
    : `Error in configuration file '${file}': ${what}`;
}

/** Recognizes a file of another kind, none of whose lines may be shown. */
function foreignKind(text: string): string | undefined {
  // Also without its first line, or quoted in an e-mail; but not in a comment.
  if (/^[^#\n]*-----(BEGIN|END) [A-Z0-9. ]+-----/m.test(text)) {
    return "this is a PEM file, not a configuration file; give it as an argument without --config";
  }
  const zeros = text.split("\0").length - 1;
  if (zeros > text.length / 3) return "it is encoded in UTF-16; save it as UTF-8";
  if (zeros > 0 || text.split("\uFFFD").length > 1 + text.length / 10) {
    return "this is binary data, perhaps a certificate in DER or PKCS#12, and not a configuration " +
      "file; check the path";
  }
  return undefined;
}
