/** Sections and certificates in PEM files. */
import { X509Certificate } from "node:crypto";
import { firstDer } from "../base/der.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import { derOf, derToPem, headersOf, type PemSection, readPem } from "../base/pem.ts";
import { listed, recognize } from "./recognize.ts";

const CERTIFICATE = /^(?:TRUSTED |X509 )?CERTIFICATE$/;

/** The contents of a file, with its name for messages. */
export interface NamedText {
  readonly text: Uint8Array | string;
  readonly file: string;
}

/** The sections of a PEM file. What is not taken is in {@link warnings}. */
export class PemFileSections {
  readonly file: string;
  private readonly text: Buffer;
  private readonly all: readonly PemSection[];
  private readonly strays: readonly number[];
  private readonly taken = new Set<PemSection>();

  /** Throws a UsageError that names file and line if a section has no end. */
  constructor({ text, file }: NamedText) {
    this.file = file;
    this.text = typeof text === "string"
      ? Buffer.from(text)
      : Buffer.from(text.buffer, text.byteOffset, text.length);
    const { sections, strays } = this.run(() => readPem(text));
    this.all = sections;
    this.strays = strays;
  }

  /** Returns the sections with such a label, in order, and marks them as used. */
  take(isWanted: (section: PemSection) => boolean): PemSection[] {
    const found = this.all.filter(isWanted);
    for (const section of found) this.taken.add(section);
    return found;
  }

  /** Marks a section as not used after all. */
  leave(section: PemSection): void {
    this.taken.delete(section);
  }

  /** Returns the certificates among the sections, parsed. Throws a UsageError for one that is not. */
  certificates(): ReadCertificate[] {
    return this.take(({ label }) => CERTIFICATE.test(label)).map((section) => {
      const { line, label } = section;
      const der = this.run(() => derOf(section));
      try {
        // OpenSSL's TRUSTED CERTIFICATE has trust settings after the certificate.
        const { whole } = firstDer(der);
        const trust = label === "TRUSTED CERTIFICATE" ? der.subarray(whole.length) : NOTHING;
        const pem = derToPem("CERTIFICATE", whole);
        return { pem, certificate: new X509Certificate(pem), line, trust };
      } catch (error) {
        throw new UsageError(
          `${this.file}: line ${line}: the ${label} section cannot be read (${reasonOf(error)}); ` +
            "replace it",
        );
      }
    });
  }

  /** Returns the error for a file without what it is for; `remedy` is for a file of any kind. */
  lacks(what: string, remedy: string): NotInFile {
    const kind = recognize(this.text, this.all, this.file);
    // Many kinds have a remedy of their own.
    const own = kind.includes("; ") ? kind : this.strayText();
    return new NotInFile(
      `${this.file}: no ${what} in it; ${own ?? kind}`,
      own === undefined ? remedy : undefined,
    );
  }

  /** Runs `action`; names the file in front of an error's message, in a UsageError. */
  run<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new UsageError(`${this.file}: ${reasonOf(error)}`);
    }
  }

  /**
   * Returns a line for the sections that were not taken, one for those that were not taken whole,
   * and one for text that may be damaged.
   */
  warnings(): string[] {
    const unused = this.all.filter((section) => !this.taken.has(section));
    const longer = [...this.taken].filter(hasMore);
    const stray = this.strayText();
    return [
      ...(unused.length > 0
        ? [`${this.file}: not used here: ${listed(unused)}; remove it if it is of no use`]
        : []),
      ...(longer.length > 0
        ? [
          `${this.file}: more bytes than one object in ${
            listed(longer)
          }: only the first is used; ` +
          "check that no END and BEGIN lines are missing in between",
        ]
        : []),
      ...(stray === undefined ? [] : [`${this.file}: ${stray}`]),
    ];
  }

  /** Returns what may be damaged in the file, and what to do, in a clause; undefined if nothing is. */
  strayText(): string | undefined {
    const [line] = this.strays;
    if (line === undefined) return undefined;
    return `line ${line} looks like a part of a PEM section, but belongs to none and is not used; ` +
      "check that it has its BEGIN and END lines";
  }
}

/** Whether there are bytes after the DER of a section, other than those that belong there. */
function hasMore(section: PemSection): boolean {
  if (section.label === "TRUSTED CERTIFICATE" || headersOf(section) !== "") return false;
  const der = derOf(section);
  try {
    return firstDer(der).whole.length < der.length;
  } catch {
    // It is reported where the section is used.
    return false;
  } finally {
    der.fill(0);
  }
}

/** A file lacks what it was specified for. */
export class NotInFile extends UsageError {
  /** What is missing, and what the file is instead. */
  readonly fault: string;

  constructor(fault: string, remedy: string | undefined) {
    super(remedy === undefined ? fault : `${fault}; ${remedy}`);
    this.fault = fault;
  }
}

/** A certificate in a PEM file. */
export interface ReadCertificate {
  readonly certificate: X509Certificate;
  /** With the label that all libraries accept. */
  readonly pem: string;
  /** The line of its section. */
  readonly line: number;
  /** OpenSSL's trust settings, or nothing. */
  readonly trust: Uint8Array;
}

const NOTHING = new Uint8Array();
