import { createPrivateKey, type KeyObject } from "node:crypto";
import { reasonOf, UsageError } from "../base/errors.ts";
import { readText } from "./files.ts";
import type { Terminal } from "./terminal.ts";

const TRIES = 3;

/**
 * Opens encrypted keys: by what opened others before, by the lines of a file, and at start by
 * asking. What opened a key is kept, so that a reload needs no terminal.
 */
export class Passphrases {
  private terminal: Terminal | undefined;
  private readonly proven = new Set<string>();
  private file = "";
  private lines: readonly string[] = [];

  /** Without a terminal nobody is asked. */
  constructor(terminal?: Terminal) {
    this.terminal = terminal;
  }

  /** The lines of this file are tried from now on; "" is none. Throws a UsageError. */
  useFile(file: string): void {
    this.file = file;
    this.lines = [];
    if (file === "") return;
    this.lines = readText(file, "utf8").split(/\r?\n/).filter((line) => line !== "");
  }

  /** Nobody is asked any more: a running service must not wait for an answer. */
  stopAsking(): void {
    this.terminal = undefined;
  }

  /** The key in an encrypted PEM section of `file`. Throws a UsageError when it stays closed. */
  open(pem: string, file: string): KeyObject {
    let reason = "";
    const attempt = (passphrase: string) => {
      try {
        const key = createPrivateKey({ key: pem, format: "pem", passphrase });
        this.proven.add(passphrase);
        return key;
      } catch (error) {
        reason = reasonOf(error);
        return undefined;
      }
    };
    for (const passphrase of new Set([...this.proven, ...this.lines])) {
      const key = attempt(passphrase);
      if (key) return key;
    }
    let prompt = `Passphrase for ${file}: `;
    for (let tries = 0; this.terminal && tries < TRIES; tries++) {
      const answer = this.terminal.askSecretly(prompt);
      if (answer === undefined) break;
      const key = attempt(answer);
      if (key) return key;
      prompt = `That does not open it. Passphrase for ${file}: `;
    }
    throw new UsageError(`${file}: the private key is encrypted, and ${this.why(reason)}`);
  }

  /** `reason` is the TLS library's for the last passphrase tried, or "". */
  private why(reason: string): string {
    const remedy = "put its passphrase into a file for --passphrase-file";
    if (this.file === "" && reason === "") {
      return `its passphrase cannot be asked for without a terminal; ${remedy}`;
    }
    const tried = this.file === "" ? "no passphrase given" : `no line of ${this.file}`;
    // A wrong passphrase is the usual reason; others are worth telling (an unknown cipher …).
    const detail = reason === "" || /bad.?decrypt/i.test(reason) ? "" : ` (${reason})`;
    return `${tried} opens it${detail}; ${remedy}`;
  }
}
