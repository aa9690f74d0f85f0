import { X509Certificate } from "node:crypto";
import { checkServerIdentity, createSecureContext, type SecureContextOptions } from "node:tls";
import { BackendSessions } from "../backend_sessions.ts";
import { policyOf } from "../ticket_policy.ts";
import { alpnWire, parameterOptions, serverOptions, useTicketKeys } from "../openssl.ts";
import type { ClientTlsContext } from "../tls.ts";
import type { TlsContext } from "../tls.ts";
import { type Failure, wrongName } from "../failure.ts";
import type { ClientTlsSettings } from "../tls.ts";
import type { TlsSettings } from "../tls.ts";
import type { VerifySettings } from "../tls.ts";
import type { Identity } from "../tls.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { failureOf } from "./failures.ts";
import { listOptions } from "./lists.ts";
import type {
  NativeClientTls,
  NativeContext,
  NativeError,
  NativeServerTls,
  NativeSocket,
} from "./native.ts";

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
  /** Verifies nothing: without a name Bun would check against `localhost`; see `checkBackend`. */
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
  checkBackend(
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

const NAME_MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID";

function alpnOptions(names: readonly string[]): { ALPNProtocols?: Uint8Array } {
  return names.length === 0 ? {} : { ALPNProtocols: alpnWire(names) };
}

/** Bun accepts `requestCert` and `rejectUnauthorized` here as well. */
function nativeContext(
  options: SecureContextOptions & { requestCert?: boolean; rejectUnauthorized?: boolean },
): NativeContext {
  return (createSecureContext(options) as unknown as { context: NativeContext }).context;
}
