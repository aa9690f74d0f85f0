import { constants } from "node:os";
import { getSystemErrorMessage } from "node:util";

/** Returns strerror's text for an error of `node:fs`, e.g. `No such file or directory`. */
export function errorText(error: unknown): string {
  const { errno, code = "", message } = error as {
    readonly errno?: number;
    readonly code?: string;
    readonly message?: string;
  };
  if (typeof errno !== "number") {
    // Deno has no number in the error of a write, and a text of its own.
    return code in constants.errno ? errorNameText(code) : message ?? String(error);
  }
  const text = getSystemErrorMessage(errno < 0 ? errno : -errno);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** The same for an errno of the C library. */
export function errnoText(errno: number): string {
  return errorText({ errno });
}

/** The same for the name of an errno, e.g. `ENOENT`. */
export function errorNameText(name: string): string {
  const errno = (constants.errno as Readonly<Record<string, number>>)[name];
  return errno === undefined ? name : errnoText(errno);
}
