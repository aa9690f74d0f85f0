import { constants, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { BackendSessions } from "../backend_sessions.ts";
import { alpnWire, parameterOptions, tlsFacts } from "../openssl.ts";
import type { ClientTlsContext } from "../tls.ts";
import { type Failure, wrongName } from "../failure.ts";
import type { TlsFacts } from "../tls.ts";
import type { ClientTlsSettings } from "../tls.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { handles, type NativeContext, type SocketHandle, type TlsHandle } from "./handles.ts";
import { checkedCas, fittedLists } from "./parameters.ts";

/** The TLS context of connections to a backend. */
export class ClientTls implements ClientTlsContext {
  readonly settings: ClientTlsSettings;
  readonly sessions = new BackendSessions();
  private readonly context: NativeContext;
  private readonly alpn: Buffer | undefined;

  /** Throws an Error with OpenSSL's reason, or one that names a list of which nothing is left. */
  constructor(settings: ClientTlsSettings) {
    this.settings = settings;
    this.alpn = settings.alpn.length > 0 ? alpnWire(settings.alpn) : undefined;
    const options = parameterOptions(settings);
    this.context = createSecureContext({
      ...options,
      ...fittedLists(settings),
      // Without `ca`, Node would parse all public roots.
      ca: settings.verify ? checkedCas(settings.ca) : [],
      secureOptions: options.secureOptions! | constants.SSL_OP_NO_RENEGOTIATION,
    }).context as NativeContext;
  }

  /** Puts TLS on a connected socket; `start` begins the handshake, which offers this session. */
  wrap(socket: SocketHandle, session: Uint8Array | undefined): TlsHandle {
    const tls = handles.wrap(socket, this.context, false, false);
    const { serverName } = this.settings;
    // RFC 6066 section 3: no addresses.
    if (serverName !== "" && !isIP(serverName)) tls.setServername(serverName);
    if (this.alpn) tls.setALPNProtocols(this.alpn);
    tls.onnewsession = onNewSession;
    tls.enableSessionCallbacks();
    if (session) tls.setSession(session);
    return tls;
  }

  /**
   * Returns why the backend at `endpoint` is rejected after its handshake, or when its certificate
   * expires, in milliseconds of the wall clock.
   */
  checkBackend(tls: TlsHandle, endpoint: Endpoint): Failure | number {
    if (!this.settings.verify) return Infinity;
    const error = tls.verifyError();
    if (error) return { code: error.code, certificate: error.code, message: error.message };
    // Its session was issued to this name at this address, and does not show the certificate.
    if (tls.isSessionReused()) return Infinity;
    const address = endpoint.family === "unix" ? "" : endpoint.address;
    const name = this.settings.serverName || address;
    const certificate = new X509Certificate(tls.getPeerX509Certificate()!.raw());
    const isValid = isIP(name)
      ? certificate.checkIP(name)
      : name !== "" && certificate.checkHost(name, { partialWildcards: false });
    return isValid ? certificate.validToDate.getTime() : wrongName(name);
  }

  facts(tls: TlsHandle): TlsFacts {
    return {
      ...tlsFacts(
        undefined,
        tls.getProtocol(),
        tls.getCipher()?.name,
        this.alpn && tls.getALPNNegotiatedProtocol(),
      ),
      resumed: tls.isSessionReused(),
    };
  }
}

function onNewSession(this: TlsHandle, _id: Buffer, session: Buffer): void {
  this.stream.keepSession(session);
}
