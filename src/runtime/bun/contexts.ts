import { X509Certificate } from "node:crypto";
import { checkServerIdentity, createSecureContext, type SecureContextOptions } from "node:tls";
import { endInOrder, type Received, received } from "../../os/received.ts";
import { BackendSessions } from "../backend_sessions.ts";
import { policyOf } from "../ticket_policy.ts";
import { clearAlert, type TlsFault, tlsFault, UNREAD_ALERT } from "../tls_fault.ts";
import { alpnWire, parameterOptions, serverOptions, useTicketKeys } from "../openssl.ts";
import { cipherItems, fitGroups, type ListLibrary } from "../fit_lists.ts";
import type { ClientTlsContext } from "../tls.ts";
import type { TlsContext } from "../tls.ts";
import { type Failure, MAX_RECEIVED, wrongName } from "../failure.ts";
import type { ClientTlsSettings } from "../tls.ts";
import type { TlsSettings } from "../tls.ts";
import type { TlsParameters } from "../tls.ts";
import type { VerifySettings } from "../tls.ts";
import type { Identity } from "../tls.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { lastRead } from "./last_read.ts";
import { libc } from "./libc.ts";
import type {
  NativeClientTls,
  NativeContext,
  NativeError,
  NativeServerTls,
  NativeSocket,
} from "./native.ts";

/** What BoringSSL makes of lists; its `TLSv1` includes what OpenSSL calls `SSLv3`. */
export const boringSsl: ListLibrary = {
  title: "BoringSSL",
  hasLevels: false,
  classes: {
    "FIPS": ["AES"],
    "SHA256": ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256"],
    "TLSv1": ["ECDHE+TLSv1"],
    "TLSv1.0": ["ECDHE+TLSv1"],
  },
  hasGroupSyntax: false,
  groups: {
    "default": ["X25519MLKEM768", "X25519", "P-256", "P-384"],
    "x25519mlkem768": ["X25519MLKEM768"],
    "x25519": ["X25519"],
    ...Object.fromEntries(
      ["256", "384", "521"].flatMap((bits) =>
        [`p-${bits}`, `secp${bits}r1`, ...(bits === "256" ? ["prime256v1"] : [])].map((name) =>
          [name, [`P-${bits}`]] as const
        )
      ),
    ),
  },
};

/** The TLS context of a frontend. */
export class ServerContext implements TlsContext {
  readonly settings: TlsSettings;
  /** Serves clients without SNI. */
  readonly fallback: ServerIdentity;
  readonly tls: NativeServerTls;
  private readonly identities = new Map<number, ServerIdentity>();
  private readonly lists: SecureContextOptions;

  /** Throws an Error with BoringSSL's reason. */
  constructor(settings: TlsSettings) {
    this.settings = settings;
    this.lists = listOptions(settings);
    this.fallback = this.identity(settings.select("")!);
    this.tls = { secureContext: this.fallback.context, ...alpnOptions(settings.alpn) };
  }

  /** Returns an identity, made when first needed; throws what `settings.identity` or BoringSSL throws. */
  identity(number: number): ServerIdentity {
    const known = this.identities.get(number);
    if (known) return known;
    const identity = this.settings.identity(number);
    const { verify } = identity;
    const context = nativeContext({
      ...serverOptions(this.settings, identity),
      ...this.lists,
      ...(verify ? { requestCert: true, rejectUnauthorized: verify.mode === "required" } : {}),
    });
    useTicketKeys(context, this.settings, policyOf(verify));
    const made = new ServerIdentity(context, identity);
    this.identities.set(number, made);
    return made;
  }
}

/** An identity in BoringSSL's form. */
export class ServerIdentity {
  readonly context: NativeContext;
  readonly verify: VerifySettings["mode"] | undefined;
  private readonly identity: Identity;
  private der: Uint8Array | undefined;

  constructor(context: NativeContext, identity: Identity) {
    this.context = context;
    this.identity = identity;
    this.verify = identity.verify?.mode;
  }

  /** DER; undefined if there are several certificates, of which Bun always reports the ECDSA one. */
  get presented(): Uint8Array | undefined {
    const { certificates } = this.identity;
    if (certificates.length > 1) return undefined;
    return this.der ??= new X509Certificate(certificates[0]!.chain).raw;
  }

  /**
   * Sets the verify mode of a socket whose context was that of `before`: when contexts are switched,
   * Bun takes certificates and CAs from the new one, but not the verify mode.
   */
  switchVerifyMode(before: ServerIdentity, native: NativeSocket): void {
    if (this.verify === before.verify) return;
    native.setVerifyMode(this.verify !== undefined, this.verify === "required");
  }
}

/** The TLS context of connections to a backend. */
export class ClientContext implements ClientTlsContext {
  readonly settings: ClientTlsSettings;
  readonly sessions = new BackendSessions();
  /** Verifies nothing: without a name Bun would check against `localhost`; see `judge`. */
  readonly tls: NativeClientTls;

  /** Throws an Error with BoringSSL's reason. */
  constructor(settings: ClientTlsSettings) {
    this.settings = settings;
    const { serverName, ca } = settings;
    const secureContext = nativeContext({
      ...parameterOptions(settings),
      ...listOptions(settings),
      ...(ca === "" ? {} : { ca }),
      rejectUnauthorized: false,
    });
    this.tls = {
      secureContext,
      ...alpnOptions(settings.alpn),
      ...(serverName === "" ? {} : { serverName }),
      rejectUnauthorized: false,
    };
  }

  /**
   * Returns why the backend's certificate is rejected after its handshake, or when it expires, in
   * milliseconds of the wall clock.
   */
  judge(
    native: NativeSocket,
    error: NativeError | undefined,
    backend: Endpoint,
  ): Failure | number {
    const { verify, serverName, ca } = this.settings;
    if (!verify) return Infinity;
    // Bun would trust its own list.
    if (ca === "") return { code: "EPROTO", message: "no trusted CA is configured" };
    if (error && error.code !== NAME_MISMATCH) {
      return { ...failureOf(error), certificate: error.code ?? "" };
    }
    const address = backend.family === "unix" ? "" : backend.address;
    const certificate = native.getPeerCertificate(true) as Parameters<
      typeof checkServerIdentity
    >[1];
    const name = serverName || address;
    return checkServerIdentity(name, certificate)
      ? wrongName(name)
      : Date.parse(certificate.valid_to);
  }
}

/**
 * Returns why a handshake failed, in BoringSSL's words; undefined if it was completed. Ends a failed
 * one in order, so that the peer can read the alert.
 */
export function handshakeFailure(
  ok: boolean,
  error: NativeError | undefined,
  native: NativeSocket,
): Failure | undefined {
  // `ok` is also false for a certificate that was not verified.
  if (ok || error?.code && !/^(EPROTO|ECONNRESET|ERR_(SSL|OSSL)_.*)$/.test(error.code)) {
    return undefined;
  }
  const failure = handshakeFault(error, native);
  const { isClosedByCore, failure: known } = native.data;
  if (!isClosedByCore && known?.code !== "ERR_INTERNAL") endInOrder(libc, native.fd);
  const isMissing = failure.message === "peer did not return a certificate";
  return isMissing ? { ...failure, certificate: "" } : failure;
}

/** Returns why a TLS session broke off after its handshake, in BoringSSL's words. */
export function sessionFailure(error: NativeError): Failure {
  const message = libraryReason(error);
  return { code: error.code ?? "EPROTO", message, fault: tlsFault(message) };
}

/** Returns the error in the form of the contract. */
export function failureOf({ code, message }: NativeError): Failure {
  return { code: code ?? "EIO", message };
}

const NAME_MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID";

function handshakeFault(error: NativeError | undefined, native: NativeSocket): Failure {
  const code = error?.code ?? "EPROTO";
  if (!error) return { code, message: "unknown reason", fault: "violation" };
  if (code === "ECONNRESET") {
    // A Unix socket counts nothing.
    const bytes = received(libc, native.fd)?.bytes ?? (native.data.isNamed ? 1 : 0);
    return { code, message: "the connection was closed", fault: bytes > 0 ? "closed" : "left" };
  }
  const message = libraryReason(error);
  const fault = tlsFault(message);
  if (fault === "not-tls") return { code, message, fault, ...foreignBytes(native) };
  return { code, message, fault: unreadAlert(message, native) ?? fault };
}

/** Returns the beginning of what the peer sent, if Bun shows it. */
function foreignBytes({ data: { early }, fd }: NativeSocket): Pick<Failure, "received"> {
  if (early) return { received: early };
  const { bytes, segments } = received(libc, fd) ?? NOTHING;
  // The last read may have been of the last few bytes.
  if (segments > 1 && bytes < MAX_RECEIVED) return {};
  const first = lastRead(Math.min(bytes, MAX_RECEIVED));
  return first ? { received: first } : {};
}

const NOTHING: Received = { bytes: 0, segments: 0 };

/**
 * Returns a client's alert that BoringSSL took for an encrypted record, which it is too short for: with
 * TLS 1.3 many clients send the alert in the clear if they reject the certificate.
 */
function unreadAlert(message: string, native: NativeSocket): TlsFault | undefined {
  if (message !== "bad packet length" || native.getTLSVersion() !== "TLSv1.3") return undefined;
  const bytes = lastRead(MAX_RECEIVED);
  return bytes && clearAlert(bytes) || UNREAD_ALERT;
}

/** Returns the reason in `error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST`. */
function libraryReason({ message }: NativeError): string {
  return message.split(":").at(-1)!.replaceAll("_", " ").toLowerCase();
}

/** Throws an Error if nothing is left of a list. */
function listOptions(settings: TlsParameters): SecureContextOptions {
  const { curves } = settings;
  const items = cipherItems(settings, boringSsl);
  return {
    ...(items.length === 0 ? {} : { ciphers: items.join(":") }),
    ...(curves === "" ? {} : { ecdhCurve: fitGroups(curves, boringSsl).items.join(":") }),
  };
}

function alpnOptions(names: readonly string[]): { ALPNProtocols?: Uint8Array } {
  return names.length === 0 ? {} : { ALPNProtocols: alpnWire(names) };
}

/** Bun accepts `requestCert` and `rejectUnauthorized` here as well. */
function nativeContext(
  options: SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean },
): NativeContext {
  return (createSecureContext(options) as unknown as { context: NativeContext }).context;
}
