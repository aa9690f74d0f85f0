import { createPrivateKey, type KeyObject } from "node:crypto";
import { forOption, reasonOf, UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import type { Terminal } from "./terminal.ts";

const TRIES = 3;

/**
 * Decrypts keys with passphrases that decrypted other keys, with the lines of a file, and at start
 * with passphrases from the terminal. Passphrases are in buffers only, never in strings, until
 * {@link Passphrases.forget} wipes them.
 */
export class Passphrases {
  private terminal: Terminal | undefined;
  private file = "";
  /** Why the file could not be read. */
  private failure: unknown;
  private text: Buffer = EMPTY;
  private lines: readonly Buffer[] = [];
  private typed: Buffer[] = [];
  /** Passphrases that have decrypted a key. */
  private readonly proven = new Set<Buffer>();

  /** Without a terminal it never asks. */
  constructor(terminal?: Terminal) {
    this.terminal = terminal;
  }

  /** Tries the lines of this file until {@link forget}; "" is no file. Throws a UsageError. */
  useFile(file: string): void {
    this.file = file;
    this.failure = undefined;
    if (file === "") return;
    try {
      this.text = forOption(
        "--passphrase-file",
        () =>
          readFile(file, { also: "pipe", mayBeEmpty: true, expected: "a file with passphrases" }),
      );
    } catch (error) {
      this.failure = error;
      throw error;
    }
    this.lines = linesOf(this.text);
  }

  /**
   * Wipes all passphrases. From now on it never asks: a running service must not wait for an
   * answer.
   */
  forget(): void {
    this.terminal = undefined;
    for (const bytes of [this.text, ...this.typed]) bytes.fill(0);
    this.text = EMPTY;
    this.lines = this.typed = [];
    this.proven.clear();
  }

  /**
   * Returns the key in an encrypted PEM section of `file`. Throws a UsageError if none decrypts it;
   * after {@link useFile} has failed, the same as it threw.
   */
  open(pem: Buffer, file: string): KeyObject {
    let reason = "";
    const attempt = (passphrase: Buffer) => {
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
    if (this.failure !== undefined) throw this.failure;
    let prompt = `Passphrase for ${file}: `;
    for (let tries = 0; this.terminal && tries < TRIES; tries++) {
      const answer = this.terminal.askSecretly(prompt);
      if (answer === undefined) break;
      this.typed.push(answer);
      const key = attempt(answer);
      if (key) return key;
      prompt = `Wrong passphrase. Passphrase for ${file}: `;
    }
    throw new UsageError(`${file}: the private key is encrypted, and ${this.why(reason)}`);
  }

  /** `reason` is the TLS library's error for the last passphrase, or "". */
  private why(reason: string): string {
    const remedy = "put its passphrase into a file for --passphrase-file";
    if (this.file === "" && reason === "") {
      return `stud asks for its passphrase only at start and on a terminal; ${remedy}`;
    }
    const tried = this.file === "" ? "no passphrase that was entered" : `no line of ${this.file}`;
    // A wrong passphrase is the usual reason; others help (an unknown cipher …).
    const detail = reason === "" || /bad.?decrypt/i.test(reason) ? "" : ` (${reason})`;
    return `${tried} decrypts it${detail}; ${remedy}`;
  }
}

const EMPTY = Buffer.alloc(0);
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Returns the lines that are not empty, without line ends, as views of the text. */
function linesOf(text: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < text.length;) {
    const found = text.indexOf(LINE_FEED, start);
    const next = found < 0 ? text.length : found;
    const end = text[next - 1] === CARRIAGE_RETURN && found >= 0 ? next - 1 : next;
    if (end > start) lines.push(text.subarray(start, end));
    start = next + 1;
  }
  return lines;
}
