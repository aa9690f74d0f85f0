import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { policyOf } from "../ticket_policy.ts";
import { alpnWire, answerForTickets, serverOptions, tlsFacts } from "../openssl.ts";
import type { TlsContext } from "../tls.ts";
import type { Failure } from "../failure.ts";
import type { TlsFacts } from "../tls.ts";
import type { TlsSettings } from "../tls.ts";
import type { Identity } from "../tls.ts";
import { handles, type NativeContext, type SocketHandle, type TlsHandle } from "./handles.ts";
import { sessionOffer } from "../client_hello.ts";
import { sendNoTickets } from "./native_openssl.ts";
import { checkedCas, checkedCiphers, checkedDhParameters } from "./parameters.ts";

/** An identity with its OpenSSL context. */
export interface Served extends Identity {
  readonly context: NativeContext;
  /** Its sessions and tickets mean nothing under another one. */
  readonly policy: string;
  /** DER, where there is no choice of certificates. */
  readonly certificate: Uint8Array | undefined;
}

/** What the handshakes of a frontend have in common: one OpenSSL context for each identity. */
export class ServerTls implements TlsContext {
  readonly settings: TlsSettings;
  /** In the form of the wire; absent when no protocol is to be negotiated. */
  readonly alpn: Buffer | undefined;
  private readonly ciphers: string;
  /** Those that a client needed so far. */
  private readonly served = new Map<number, Served>();
  /** For a client that names none. */
  readonly fallback: Served;

  /** Throws an Error with OpenSSL's reason, or one that names what OpenSSL would leave out. */
  constructor(settings: TlsSettings) {
    this.settings = settings;
    this.alpn = settings.alpn.length > 0 ? alpnWire(settings.alpn) : undefined;
    this.ciphers = checkedCiphers(settings);
    this.fallback = this.make(settings.select("")!);
  }

  /** What a client is served with that asks for `serverName`; undefined: nothing. May throw. */
  serve(serverName: string): Served | undefined {
    if (!this.settings.choice) return this.fallback;
    const number = this.settings.select(serverName);
    return number === undefined ? undefined : this.served.get(number) ?? this.make(number);
  }

  /**
   * The id, which may be empty, of the session that a client with this ClientHello wants back.
   * Undefined when its next session is not to be kept: it comes back by tickets, or not at all.
   */
  wantedSession(hello: Uint8Array): Uint8Array | undefined {
    const { sessions, tickets, protocols } = this.settings;
    const offer = sessions && sessionOffer(hello);
    if (!offer || (offer.takesTickets && tickets)) return undefined;
    return offer.speaksTls13 && protocols.includes("TLSv1.3") ? undefined : offer.id;
  }

  /**
   * TLS on an accepted socket; it waits for the ClientHello. With `session`, the session that it
   * makes is kept, and one that was found is gone on with.
   */
  wrap(
    socket: SocketHandle,
    { context, verify, staple }: Served,
    session?: Uint8Array | "none",
  ): TlsHandle {
    const startTls = handles.wrap(socket, context, true, false);
    if (this.alpn) startTls.setALPNProtocols(this.alpn);
    if (verify) startTls.setVerifyMode(true, verify.mode === "required");
    if (staple) {
      startTls.oncertcb = onHello;
      startTls.enableCertCb();
    }
    if (session !== undefined) {
      startTls.onclienthello = goOn;
      startTls.onnewsession = onNewSession;
      startTls.enableSessionCallbacks();
      if (session !== "none") startTls.loadSession(session);
    }
    return startTls;
  }

  /** Whether OpenSSL found the name that the certificate was chosen by, after the handshake. */
  check(startTls: TlsHandle, serverName: string): Failure | undefined {
    if (!this.settings.choice) return undefined;
    const found = startTls.getServername();
    // A resumed session of TLS 1.2 brings its own name, and not always one.
    if (found ? found === serverName : serverName === "" || startTls.isSessionReused()) {
      return undefined;
    }
    return { code: "ERR_TLS_MALFORMED_HELLO", message: "the ClientHello is not well formed" };
  }

  /** `serverName` is "" where nobody read it. */
  facts(startTls: TlsHandle, served: Served, serverName: string): TlsFacts {
    const resumed = startTls.isSessionReused();
    // Which one of several it was, a resumed session does not tell.
    const presented = served.certificate ??
      (resumed ? undefined : startTls.getX509Certificate()?.raw());
    const peer = served.verify && startTls.getPeerX509Certificate();
    const verifyError = peer && startTls.verifyError()?.code;
    return {
      ...tlsFacts(
        serverName || startTls.getServername(),
        startTls.getProtocol(),
        startTls.getCipher()?.name,
        this.alpn && startTls.getALPNNegotiatedProtocol(),
      ),
      resumed,
      ...(presented ? { presented } : {}),
      ...(peer ? { peer: { der: peer.raw(), ...(verifyError ? { verifyError } : {}) } } : {}),
    };
  }

  private make(number: number): Served {
    const identity = this.settings.identity(number);
    const { certificates, dhParameters, verify } = identity;
    if (verify) checkedCas(verify.ca);
    const context = createSecureContext({
      ...serverOptions(this.settings, identity),
      ciphers: this.ciphers,
      ...(dhParameters === undefined ? {} : { dhparam: checkedDhParameters(dhParameters) }),
    }).context as NativeContext;
    const policy = policyOf(verify);
    answerForTickets(context, this.settings, policy);
    if (!this.settings.tickets) sendNoTickets(context);
    const certificate = certificates.length === 1
      ? new X509Certificate(certificates[0]!.chain).raw
      : undefined;
    const served: Served = { ...identity, context, policy, certificate };
    this.served.set(number, served);
    return served;
  }
}

function onHello(this: TlsHandle, { OCSPRequest: isStapleWanted }: { OCSPRequest: boolean }): void {
  const { stream } = this;
  if (stream.isClosing) return;
  try {
    const response = isStapleWanted ? stream.staple() : undefined;
    if (response) this.setOCSPResponse(response);
  } catch (error) {
    return stream.abandon(error);
  }
  this.certCbDone();
}

/** What the ClientHello says about sessions was read before. */
function goOn(this: TlsHandle): void {
  this.clientHelloDone();
}

function onNewSession(this: TlsHandle, id: Buffer, session: Buffer): void {
  const { stream } = this;
  if (stream.isClosing) return;
  try {
    stream.keepSession(id, session);
  } catch (error) {
    return stream.abandon(error);
  }
  this.newSessionDone();
}
