import { X509Certificate } from "node:crypto";
import { checkServerIdentity, createSecureContext, type SecureContextOptions } from "node:tls";
import { policyOf } from "../ticket_policy.ts";
import {
  alpnWire,
  answerForTickets,
  checkCurves,
  cipherItems,
  parameterOptions,
  serverOptions,
} from "../openssl.ts";
import type { ClientTlsContext } from "../tls.ts";
import type { TlsContext } from "../tls.ts";
import type { Failure } from "../failure.ts";
import type { ClientTlsSettings } from "../tls.ts";
import type { TlsSettings } from "../tls.ts";
import type { TlsParameters } from "../tls.ts";
import type { VerifySettings } from "../tls.ts";
import type { Identity } from "../tls.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type {
  NativeClientTls,
  NativeContext,
  NativeError,
  NativeServerTls,
  NativeSocket,
} from "./native.ts";

/** What a frontend's handshakes have in common. */
export class ServerContext implements TlsContext {
  readonly settings: TlsSettings;
  /** For a client without SNI. */
  readonly fallback: ServerIdentity;
  readonly tls: NativeServerTls;
  private readonly identities = new Map<number, ServerIdentity>();
  private readonly ciphers: SecureContextOptions;

  /** Throws an Error with BoringSSL's reason. */
  constructor(settings: TlsSettings) {
    this.settings = settings;
    this.ciphers = cipherOptions(settings);
    this.fallback = this.identity(settings.select("")!);
    this.tls = { secureContext: this.fallback.context, ...alpnOptions(settings.alpn) };
  }

  /** Made when a client first needs it; throws what `settings.identity` or BoringSSL throws. */
  identity(number: number): ServerIdentity {
    const known = this.identities.get(number);
    if (known) return known;
    const identity = this.settings.identity(number);
    const { verify } = identity;
    const context = nativeContext({
      ...serverOptions(this.settings, identity),
      ...this.ciphers,
      ...(verify ? { requestCert: true, rejectUnauthorized: verify.mode === "required" } : {}),
    });
    answerForTickets(context, this.settings, policyOf(verify));
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

  /** DER; undefined when there were several, of which Bun always names the ECDSA one. */
  get presented(): Uint8Array | undefined {
    const { certificates } = this.identity;
    if (certificates.length > 1) return undefined;
    return this.der ??= new X509Certificate(certificates[0]!.chain).raw;
  }

  /**
   * Makes a socket ask for a client's certificate as this wants it, where it did as `before`: with
   * another context Bun takes over certificates and CAs, but not that.
   */
  verifyInsteadOf(before: ServerIdentity, native: NativeSocket): void {
    if (this.verify === before.verify) return;
    native.setVerifyMode(this.verify !== undefined, this.verify === "required");
  }
}

/** What connections to a backend with TLS have in common. */
export class ClientContext implements ClientTlsContext {
  readonly settings: ClientTlsSettings;
  /** Bun would check a connection without a name against `localhost`, so all is checked here. */
  readonly tls: NativeClientTls;

  /** Throws an Error with BoringSSL's reason. */
  constructor(settings: ClientTlsSettings) {
    this.settings = settings;
    const { serverName, ca } = settings;
    const secureContext = nativeContext({
      ...parameterOptions(settings),
      ...cipherOptions(settings),
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

  /** Why this backend is not the one that was meant, after its handshake; undefined: it is. */
  rejectReason(
    native: NativeSocket,
    error: NativeError | undefined,
    backend: Endpoint,
  ): Failure | undefined {
    const { verify, serverName, ca } = this.settings;
    if (!verify) return undefined;
    // Bun would trust a list of its own.
    if (ca === "") return { code: "EPROTO", message: "there is no CA to trust" };
    if (error && error.code !== WRONG_NAME) return failureOf(error);
    const address = backend.family === "unix" ? "" : backend.address;
    const certificate = native.getPeerCertificate(true) as Parameters<
      typeof checkServerIdentity
    >[1];
    const wrong: NativeError | undefined = checkServerIdentity(serverName || address, certificate);
    return wrong && failureOf(wrong);
  }
}

/** Why a handshake failed, in BoringSSL's words; undefined when it was finished. */
export function handshakeFailure(
  ok: boolean,
  error: NativeError | undefined,
  peer: "client" | "backend",
): Failure | undefined {
  // `ok` is false also for a certificate that was not verified.
  if (ok || error?.code && !/^(EPROTO|ECONNRESET|ERR_(SSL|OSSL)_.*)$/.test(error.code)) {
    return undefined;
  }
  return { code: error?.code ?? "EPROTO", message: handshakeReason(error, peer) };
}

/** The error in the form of the contract. */
export function failureOf({ code, message }: NativeError): Failure {
  return { code: code ?? "EIO", message };
}

const WRONG_NAME = "ERR_TLS_CERT_ALTNAME_INVALID";

/** BoringSSL's reason alone: `error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST`. */
function handshakeReason(error: NativeError | undefined, peer: string): string {
  if (!error) return "unknown reason";
  if (error.code === "ECONNRESET") return `the ${peer} left before its end`;
  return error.message.split(":").at(-1)!.replaceAll("_", " ").toLowerCase();
}

/** Throws an Error that names the first unknown cipher or group. */
function cipherOptions(settings: TlsParameters): SecureContextOptions {
  checkCurves(settings.curves);
  const items = cipherItems(settings);
  return items.length === 0 ? {} : { ciphers: items.join(":") };
}

function alpnOptions(names: readonly string[]): { ALPNProtocols?: Uint8Array } {
  return names.length === 0 ? {} : { ALPNProtocols: alpnWire(names) };
}

/** Bun takes `requestCert` and `rejectUnauthorized` here as well. */
function nativeContext(
  options: SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean },
): NativeContext {
  return (createSecureContext(options) as unknown as { context: NativeContext }).context;
}
