import { basename } from "node:path";
import type { FrontendTls, ServedTls, StoredCertificate, Trust } from "./served_tls.ts";
import { forOption, UsageError } from "../base/errors.ts";
import type {
  ClientVerify,
  FrontendConfig,
  PemDirectory,
  PemFile,
  Reads,
} from "../options/config.ts";
import type { Capabilities } from "../runtime/capabilities.ts";
import { duplicateWarnings } from "./duplicates.ts";
import { listDirectory, pairBelow, pairIn, pairRemedy } from "./files.ts";
import type { CertificateLoader, LoadedCertificate } from "./loader.ts";
import { NotInFile } from "./sections.ts";
import { checkTrustFiles, loadTrust } from "./trust.ts";

export type CertificateSettings = Reads<
  | "alpn"
  | "backendTls"
  | "dialect"
  | "frontends"
  | "ocsp.directory"
  | "ocsp.verify"
  | "passphraseFile"
  | "pemDirectory"
  | "pemFiles"
  | "trustFiles"
>;

/** The capabilities of the TLS library that warnings depend on. */
export type CertificateCapabilities = Pick<
  Capabilities,
  "dhParameters" | "dualCertificates" | "staples"
>;

/** Collects the certificates of one configuration, and everything that is wrong with them. */
export class CertificateCollection {
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  /** The files of `certificates`, in the same order. */
  readonly files: PemFile[] = [];
  /** The same certificates as they were loaded. */
  readonly loaded: LoadedCertificate[] = [];
  private readonly certificates: StoredCertificate[] = [];
  private readonly trusts: Trust[] = [];
  private readonly config: CertificateSettings;
  private readonly loader: CertificateLoader;
  private readonly capabilities: CertificateCapabilities;
  private readonly now: number;
  private readonly filesWithDh: string[] = [];
  private readonly fromDirectory = new Set<PemFile>();
  private readonly exposedKeys = new Set<string>();
  /** Index in `certificates` by the PEM file's settings; undefined if it could not be loaded. */
  private readonly certificatePlaces = new Map<string, number | undefined>();
  private readonly trustPlaces = new Map<string, number>();
  private readonly trustSources = new Set<string>();

  constructor(
    config: CertificateSettings,
    loader: CertificateLoader,
    capabilities: CertificateCapabilities,
    now: number,
  ) {
    this.config = config;
    this.loader = loader;
    this.capabilities = capabilities;
    this.now = now;
  }

  /** Loads everything. Call it once. */
  collect(): ServedTls {
    const isServer = this.config.backendTls === undefined;
    const global = isServer ? this.places(this.globalFiles()) : [];
    const frontends = this.config.frontends.map((frontend) =>
      isServer ? this.frontend(frontend, global) : withoutTls(frontend, this.trust(NO_VERIFY))
    );
    this.checkUnusedTrust();
    this.warnOfDh();
    this.warnOfExposed();
    this.warnOfDuplicates([global, ...frontends.map(({ own }) => own)]);
    const { certificates, trusts } = this;
    return { certificates, trusts, frontends, alpn: this.config.alpn };
  }

  /** Runs `action`; adds the problems of a UsageError, each text once. */
  attempt<T>(action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.problems.push(...error.problems.filter((problem) => !this.problems.includes(problem)));
      return undefined;
    }
  }

  /** Puts the directory's files first, since the last file is the default. */
  private globalFiles(): PemFile[] {
    const { pemDirectory, pemFiles } = this.config;
    if (!pemDirectory) return [...pemFiles];
    const found = this.attempt(() => forOption("--pem-dir", () => filesOf(pemDirectory))) ?? [];
    // Without a listed file, hitch's default is the directory's first one.
    const inOrder = pemFiles.length > 0 ? found : [...found.slice(1), ...found.slice(0, 1)];
    const { verify } = this.config.ocsp;
    const fromDirectory = inOrder.map((cert): PemFile => ({
      cert,
      key: "",
      ocspResponse: "",
      ocspVerify: verify,
    }));
    for (const file of fromDirectory) this.fromDirectory.add(file);
    return [...fromDirectory, ...pemFiles];
  }

  private frontend(frontend: FrontendConfig, global: readonly number[]): FrontendTls {
    const found = {
      own: this.places(frontend.pemFiles),
      global: frontend.matchGlobalCerts ? global : [],
    };
    const { pemFiles, pemDirectory } = this.config;
    const isWithout = frontend.pemFiles.length === 0 && pemFiles.length === 0;
    // A file or a directory that could not be read is already reported.
    if (pemDirectory && isWithout && global.length === 0 && this.problems.length === 0) {
      const { path, glob } = pemDirectory;
      this.problems.push(
        `No x509 certificate PEM file specified for frontend '${listenText(frontend)}'! ` +
          `Put one into ${path}${glob === "" ? "" : ` that matches ${glob}`}`,
      );
    }
    const { tls, sniNomatchAbort, clientVerify } = frontend;
    return { ...tls, ...found, sniNomatchAbort, trust: this.trust(clientVerify) };
  }

  private places(files: readonly PemFile[]): number[] {
    return files.map((file) => this.place(file)).filter((place) => place !== undefined);
  }

  private place(file: PemFile): number | undefined {
    const key = JSON.stringify([
      file.cert,
      file.key,
      file.ocspResponse,
      file.ocspVerify,
      file.clientVerify,
    ]);
    if (!this.certificatePlaces.has(key)) this.certificatePlaces.set(key, this.add(file));
    return this.certificatePlaces.get(key);
  }

  private add(file: PemFile): number | undefined {
    const loaded = this.attempt(() => this.load(file));
    if (!loaded) return undefined;
    if (loaded.isNameless && this.config.dialect === "hitch") {
      this.problems.push(
        `Could not find Subject Alternative Names or a CN on cert ${file.cert}`,
      );
    }
    this.warnOf(loaded, file.cert);
    if (loaded.mustStaple) this.checkStaple(file);
    const { names, keyType, offset, length } = loaded;
    this.certificates.push({
      names,
      keyType,
      offset,
      length,
      ...(file.clientVerify ? { trust: this.trust(file.clientVerify) } : {}),
    });
    this.loaded.push(loaded);
    return this.files.push(file) - 1;
  }

  private load(file: PemFile): LoadedCertificate {
    try {
      return this.loader.load(file);
    } catch (error) {
      if (!(error instanceof NotInFile) || !this.fromDirectory.has(file)) throw error;
      throw new UsageError(
        `${error.message}; or leave it out, as with --pem-dir-glob='*.pem'`,
      );
    }
  }

  /**
   * Returns the index of no verification if the files cannot be loaded; the problem prevents its
   * use.
   */
  private trust(verify: ClientVerify): number {
    const { mode, ca, crl } = verify;
    const key = mode === "none" ? mode : JSON.stringify([mode, ca, crl]);
    const known = this.trustPlaces.get(key);
    if (known !== undefined) return known;
    const loaded = this.attempt(() => loadTrust(verify, this.now));
    // Each file of a pair that cannot be used is checked on its own.
    if (loaded && mode !== "none") [ca, crl].forEach((file) => this.trustSources.add(file));
    const before = new Set(this.warnings);
    this.warnings.push(...(loaded?.warnings ?? []).filter((line) => !before.has(line)));
    const place = this.trusts.push(loaded?.trust ?? NO_VERIFY) - 1;
    this.trustPlaces.set(key, place);
    return place;
  }

  /** A certificate that clients must refuse without a stapled response needs a way to get one. */
  private checkStaple({ cert, ocspResponse }: PemFile): void {
    const demand = `${cert}: clients refuse this certificate without a stapled OCSP response ` +
      "(must-staple)";
    if (!this.capabilities.staples) {
      this.problems.push(
        `${demand}, which this build cannot send; use the Node build, or another certificate`,
      );
    } else if (ocspResponse === "" && this.config.ocsp.directory === "") {
      this.warnings.push(`${demand}; get responses with --ocsp-dir`);
    }
  }

  /** Files that are named but not used are checked too: they may be meant to protect something. */
  private checkUnusedTrust(): void {
    const { trustFiles, backendTls } = this.config;
    const used = new Set([...this.trustSources, backendTls?.ca]);
    const unused = (files: readonly string[]) => files.filter((file) => !used.has(file));
    const authorities = unused(trustFiles.authorities);
    const lists = unused(trustFiles.lists);
    this.attempt(() => checkTrustFiles(authorities, lists));
  }

  private warnOf(loaded: LoadedCertificate, file: string): void {
    this.warnings.push(...loaded.warnings);
    if (loaded.exposedKey !== "") this.exposedKeys.add(loaded.exposedKey);
    if (loaded.hasBadDh) {
      this.warnings.push(
        `${file}: its DH parameters are not used, as they are damaged or not of 2048 to 10,000 bits; ` +
          "make others with: openssl dhparam 2048",
      );
    }
    if (loaded.hasDh && !this.capabilities.dhParameters) this.filesWithDh.push(file);
  }

  private warnOfExposed(): void {
    const [first] = this.exposedKeys;
    if (first === undefined) return;
    this.warnings.push(
      `${
        summary([...this.exposedKeys])
      }: other users can read the private key; restrict it with: ` +
        `chmod 600 ${first}`,
    );
  }

  private warnOfDh(): void {
    if (this.filesWithDh.length === 0) return;
    this.warnings.push(
      `${
        summary(this.filesWithDh)
      }: this build does not use the DH parameters, since it has no DHE ciphers; ` +
        "the Node build has them",
    );
  }

  private warnOfDuplicates(lists: readonly (readonly number[])[]): void {
    const found = lists.flatMap((places) =>
      duplicateWarnings(
        places.map((place) => ({ ...this.certificates[place]!, file: this.files[place]!.cert })),
        this.config.dialect,
        this.capabilities.dualCertificates,
      )
    );
    this.warnings.push(...new Set(found));
  }
}

function summary([first, ...others]: readonly string[]): string {
  return others.length === 0 ? first! : `${first} and ${others.length} more files`;
}

function filesOf(directory: PemDirectory): string[] {
  const found = listDirectory(directory);
  const below = found.every((file) => basename(file) === "README") && pairBelow(directory.path);
  if (below) {
    throw new UsageError(
      `${directory.path}: its certificates are in directories of their own; ${pairRemedy(below)}`,
    );
  }
  const pair = pairIn(directory.path);
  if (!pair || ![pair.cert, pair.key].every((file) => found.includes(file))) return found;
  throw new UsageError(
    `${directory.path}: certificate and key are in files of their own; ${pairRemedy(pair)}`,
  );
}

const NO_VERIFY = { mode: "none", ca: "", crl: "" } as const;

function withoutTls({ tls, sniNomatchAbort }: FrontendConfig, trust: number): FrontendTls {
  return { ...tls, own: [], global: [], sniNomatchAbort, trust };
}

function listenText({ listen }: FrontendConfig): string {
  if ("path" in listen) return listen.path;
  return "activated" in listen ? listen.activated : `[${listen.host}]:${listen.port}`;
}
