import { statSync } from "node:fs";
import { errorText } from "./error_text.ts";

/** Returns why a path is not a directory that can be used, as the end of a sentence. */
export function directoryFault(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : "is not a directory";
  } catch (error) {
    const { code } = error as { readonly code?: string };
    return code === "ENOENT"
      ? "is not a directory"
      : `cannot be used as a directory (${errorText(error)})`;
  }
}
