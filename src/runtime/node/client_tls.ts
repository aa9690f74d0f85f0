import { constants, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { alpnWire, parameterOptions, tlsFacts } from "../openssl.ts";
import type { ClientTlsContext } from "../tls.ts";
import type { Failure } from "../failure.ts";
import type { TlsFacts } from "../tls.ts";
import type { ClientTlsSettings } from "../tls.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { handles, type NativeContext, type SocketHandle, type TlsHandle } from "./handles.ts";
import { checkedCas, checkedCiphers } from "./parameters.ts";

/** What the handshakes with the backend have in common. */
export class ClientTls implements ClientTlsContext {
  readonly settings: ClientTlsSettings;
  private readonly context: NativeContext;
  private readonly alpn: Buffer | undefined;

  /** Throws an Error with OpenSSL's reason, or one that names what OpenSSL would leave out. */
  constructor(settings: ClientTlsSettings) {
    this.settings = settings;
    this.alpn = settings.alpn.length > 0 ? alpnWire(settings.alpn) : undefined;
    const options = parameterOptions(settings);
    this.context = createSecureContext({
      ...options,
      ciphers: checkedCiphers(settings),
      // Without roots of our own, Node would parse all public ones.
      ca: settings.verify ? checkedCas(settings.ca) : [],
      secureOptions: options.secureOptions! | constants.SSL_OP_NO_RENEGOTIATION,
    }).context as NativeContext;
  }

  /** TLS on a connected socket; `start` begins it. */
  wrap(socket: SocketHandle): TlsHandle {
    const startTls = handles.wrap(socket, this.context, false, false);
    const { serverName } = this.settings;
    // RFC 6066 section 3: no addresses.
    if (serverName !== "" && !isIP(serverName)) startTls.setServername(serverName);
    if (this.alpn) startTls.setALPNProtocols(this.alpn);
    return startTls;
  }

  /** Why the backend that was reached at `endpoint` is not to be trusted, after its handshake. */
  verify(startTls: TlsHandle, endpoint: Endpoint): Failure | undefined {
    if (!this.settings.verify) return undefined;
    const error = startTls.verifyError();
    if (error) return { code: error.code, message: error.message };
    const address = endpoint.family === "unix" ? "" : endpoint.address;
    const name = this.settings.serverName || address;
    const certificate = new X509Certificate(startTls.getPeerX509Certificate()!.raw());
    if (isIP(name)) {
      return certificate.checkIP(name)
        ? undefined
        : { code: "IP_ADDRESS_MISMATCH", message: `the certificate is not for ${name}` };
    }
    if (name !== "" && certificate.checkHost(name, { partialWildcards: false })) return undefined;
    const message = name === ""
      ? "there is neither a name nor an address that the certificate could be for"
      : `the certificate is not for ${name}`;
    return { code: "HOSTNAME_MISMATCH", message };
  }

  facts(startTls: TlsHandle): TlsFacts {
    return {
      ...tlsFacts(
        undefined,
        startTls.getProtocol(),
        startTls.getCipher()?.name,
        this.alpn && startTls.getALPNNegotiatedProtocol(),
      ),
      resumed: startTls.isSessionReused(),
    };
  }
}
