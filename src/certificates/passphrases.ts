import type { KeyObject } from "node:crypto";
import { forOption, reasonOf, UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import { type EncryptedKey, parseEncryptedKey, UnsupportedEncryption } from "./encrypted_key.ts";
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

  /**
   * Tries the lines of this file until {@link forget}; "" is no file. Returns a warning, in one
   * line, if other users can read it. Throws a UsageError.
   */
  useFile(file: string): string | undefined {
    this.file = file;
    this.failure = undefined;
    if (file === "") return undefined;
    let warning: string | undefined;
    const onExposed = () => {
      warning = `--passphrase-file: ${file}: other users can read it; restrict it with: ` +
        `chmod 600 ${file}`;
    };
    try {
      this.text = forOption(
        "--passphrase-file",
        () =>
          readFile(file, {
            also: "pipe",
            mayBeEmpty: true,
            expected: "a file with passphrases",
            onExposed,
          }),
      );
    } catch (error) {
      this.failure = error;
      throw error;
    }
    this.lines = linesOf(this.text);
    return warning;
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
    const encrypted = parsed(pem, file);
    let isTried = false;
    const attempt = (passphrase: Buffer) => {
      isTried = true;
      const key = opened(encrypted, passphrase, file);
      if (key) this.proven.add(passphrase);
      return key;
    };
    for (const passphrase of new Set([...this.proven, ...this.lines])) {
      const key = attempt(passphrase);
      if (key) return key;
    }
    // Reports an encryption that no passphrase would help with.
    if (!isTried) opened(encrypted, EMPTY, file);
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
    throw new UsageError(`${file}: the private key is encrypted, and ${this.why(isTried)}`);
  }

  private why(isTried: boolean): string {
    const remedy = "put its passphrase into a file for --passphrase-file";
    if (this.file === "" && !isTried) {
      return `stud asks for its passphrase only at start and on a terminal; ${remedy}`;
    }
    const tried = this.file === "" ? "no passphrase that was entered" : `no line of ${this.file}`;
    return `${tried} decrypts it (wrong passphrase); ${remedy}`;
  }
}

function parsed(pem: Buffer, file: string): EncryptedKey {
  try {
    return parseEncryptedKey(pem);
  } catch (error) {
    throw new UsageError(`${file}: its encrypted private key is damaged (${reasonOf(error)})`);
  }
}

function opened(encrypted: EncryptedKey, passphrase: Buffer, file: string): KeyObject | undefined {
  try {
    return encrypted.open(passphrase);
  } catch (error) {
    if (!(error instanceof UnsupportedEncryption)) throw error;
    throw new UsageError(
      `${file}: this build cannot decrypt the private key, which is encrypted with ` +
        `${encrypted.scheme}; encrypt it anew with: openssl pkcs8 -topk8 -v2 aes-256-cbc ` +
        `-provider default -provider legacy -in ${file} -out NEW.pem`,
    );
  }
}

const EMPTY = Buffer.alloc(0);
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** UTF-8's byte order mark, which some editors write. */
const BOM = Buffer.of(0xef, 0xbb, 0xbf);

/** Returns the lines that are not empty, without line ends, as views of the text. */
function linesOf(text: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  const hasBom = text.subarray(0, BOM.length).equals(BOM);
  for (let start = hasBom ? BOM.length : 0; start < text.length;) {
    const found = text.indexOf(LINE_FEED, start);
    const next = found < 0 ? text.length : found;
    const end = text[next - 1] === CARRIAGE_RETURN && found >= 0 ? next - 1 : next;
    if (end > start) lines.push(text.subarray(start, end));
    start = next + 1;
  }
  return lines;
}
