import { createHash, randomUUID } from "node:crypto";
import { accessSync, constants, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readFile } from "../base/read_file.ts";
import { MAX_RESPONSE } from "./messages.ts";

/** Returns why a directory cannot be the cache, in one line, or undefined if it can. */
export function directoryProblem(directory: string): string | undefined {
  try {
    if (statSync(directory).isDirectory()) return undefined;
    return `ocsp-dir '${directory}' is not a directory; OCSP stapling will be disabled`;
  } catch (error) {
    return `unable to stat directory '${directory}': ${(error as Error).message}; ` +
      "OCSP stapling will be disabled";
  }
}

/**
 * OCSP responses in a directory, one file for each certificate, with the name that hitch uses: the
 * MD5 of the path of the certificate's PEM file, in lower-case hex.
 */
export class ResponseCache {
  private readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get isWritable(): boolean {
    try {
      accessSync(this.directory, constants.W_OK | constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** Returns a response in DER, unchecked, or undefined if there is none that can be read. */
  load(certificatePath: string): Uint8Array | undefined {
    try {
      const response = readFile(this.file(certificatePath), { maxBytes: MAX_RESPONSE });
      return response.length > 0 ? response : undefined;
    } catch {
      return undefined;
    }
  }

  /** Saves a response atomically, so that no reader finds half of it. Throws an Error. */
  save(certificatePath: string, response: Uint8Array): void {
    const file = this.file(certificatePath);
    const temporary = `${file}.${randomUUID()}`;
    try {
      writeFileSync(temporary, response, { mode: 0o640, flag: "wx" });
      renameSync(temporary, file);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  private file(certificatePath: string): string {
    return join(this.directory, createHash("md5").update(certificatePath).digest("hex"));
  }
}
