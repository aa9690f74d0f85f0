import { hash, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { RecentMap } from "../../base/recent_map.ts";
import { policyOf } from "../ticket_policy.ts";
import { alpnWire, serverOptions, SESSION_CONTEXT, tlsFacts, useTicketKeys } from "../openssl.ts";
import type { TlsContext } from "../tls.ts";
import type { Failure } from "../failure.ts";
import type { TlsFacts } from "../tls.ts";
import type { TlsSettings } from "../tls.ts";
import type { Identity } from "../tls.ts";
import { handles, type NativeContext, type SocketHandle, type TlsHandle } from "./handles.ts";
import type { ClientHello } from "../client_hello.ts";
import { collectGarbage } from "./garbage.ts";
import { sendNoTickets } from "./native_openssl.ts";
import { verifyInHandshake } from "./verify.ts";
import { checkedCas, checkedDhParameters, fittedLists } from "./parameters.ts";

/**
 * Maximum number of OpenSSL contexts of a frontend. Each takes 20 to 40 KB, and making one a quarter
 * of a millisecond.
 */
const MAX_CONTEXTS = 1000;

/** An identity with its OpenSSL context. */
export interface ServerIdentity extends Pick<Identity, "staple" | "verify"> {
  readonly context: NativeContext;
  /** Its sessions and tickets are not valid under another policy. */
  readonly policy: string;
  /** DER; undefined if there is more than one certificate. */
  readonly certificate: Uint8Array | undefined;
  /** The session id context that `context` has now; each connection copies it. */
  sessionContext: string;
  /** A ticket that is read now is replaced by a new one. */
  renewsTickets: boolean;
}

/** OpenSSL would disagree about the ClientHello, or refuse it. */
export const MALFORMED: Failure = {
  code: "ERR_TLS_MALFORMED_HELLO",
  message: "the ClientHello is malformed",
  fault: "violation",
};

/** The TLS context of a frontend: one OpenSSL context for each identity. */
export class ServerTls implements TlsContext {
  readonly settings: TlsSettings;
  /** In wire format; undefined if no protocol is negotiated. */
  readonly alpn: Buffer | undefined;
  private readonly lists: ReturnType<typeof fittedLists>;
  /**
   * Identities that clients have needed lately. A forgotten one stays with the connections that use
   * it. Sessions and tickets survive it: their keys are not the context's.
   */
  private readonly identities = new RecentMap<number, ServerIdentity>(MAX_CONTEXTS, () => {
    // V8 does not see how large the contexts are, and would keep thousands for a long time.
    setImmediate(collectGarbage);
  });
  /** Serves clients without SNI. */
  readonly fallback: ServerIdentity;
  private readonly fallbackNumber: number;

  /** Throws an Error with OpenSSL's reason, or one that names a list of which nothing is left. */
  constructor(settings: TlsSettings) {
    this.settings = settings;
    this.alpn = settings.alpn.length > 0 ? alpnWire(settings.alpn) : undefined;
    this.lists = fittedLists(settings);
    this.fallbackNumber = settings.select("")!;
    this.fallback = this.make(this.fallbackNumber);
  }

  /**
   * Returns the identity for a client that requests `serverName`; undefined: without SNI. Returns
   * undefined if there is none. May throw.
   */
  identity(serverName: string | undefined): ServerIdentity | undefined {
    if (!this.settings.choice) return this.fallback;
    const number = this.settings.select(serverName === "" ? EMPTY_NAME : serverName ?? "");
    if (number === this.fallbackNumber) return this.fallback;
    return number === undefined ? undefined : this.identities.get(number) ?? this.make(number);
  }

  /**
   * Returns the id, which may be empty, of the session that a client wants to resume. Undefined if its
   * next session is not stored: it resumes with tickets, or not at all.
   */
  requestedSession(hello: ClientHello): Uint8Array | undefined {
    const { sessions, tickets } = this.settings;
    if (!sessions || (hello.acceptsTickets && tickets)) return undefined;
    return this.negotiatesTls13(hello) ? undefined : hello.sessionId;
  }

  /**
   * Puts TLS on an accepted socket, to which the bytes of `hello` are passed in the same turn. With
   * `session`, the handshake's new session is stored; a found session is resumed.
   */
  wrap(
    socket: SocketHandle,
    identity: ServerIdentity,
    hello: ClientHello | undefined,
    session?: Uint8Array | "none",
  ): TlsHandle {
    const { context, verify, staple } = identity;
    const isTls13 = hello !== undefined && this.negotiatesTls13(hello);
    setSessionContext(identity, isTls13 ? undefined : hello?.serverName);
    // A ticket of TLS 1.2 continues the same session. Where clients are verified a session must end in
    // time, since nothing checks the client's certificate again.
    identity.renewsTickets = isTls13 && !verify;
    const tls = handles.wrap(socket, context, true, false);
    if (this.alpn) tls.setALPNProtocols(this.alpn);
    if (verify) tls.setVerifyMode(true, verify.mode === "required");
    if (staple) {
      tls.oncertcb = onCertificate;
      tls.enableCertCb();
    }
    if (session !== undefined) {
      tls.onclienthello = onClientHello;
      tls.onnewsession = onNewSession;
      tls.enableSessionCallbacks();
      if (session !== "none") tls.loadSession(session);
    }
    return tls;
  }

  /** Checks after the handshake that OpenSSL read the same name. */
  check(tls: TlsHandle, serverName: string): Failure | undefined {
    const found = tls.getServername();
    // A resumed TLS 1.2 session shows none.
    const isSame = found ? found === serverName : serverName === "" || tls.isSessionReused();
    return isSame ? undefined : MALFORMED;
  }

  facts(tls: TlsHandle, identity: ServerIdentity, serverName: string): TlsFacts {
    const resumed = tls.isSessionReused();
    // A resumed session does not show which of several certificates it was.
    const presented = identity.certificate ??
      (resumed ? undefined : tls.getX509Certificate()?.raw());
    const peer = identity.verify && tls.getPeerX509Certificate();
    const verifyError = peer && tls.verifyError()?.code;
    return {
      ...tlsFacts(
        serverName,
        tls.getProtocol(),
        tls.getCipher()?.name,
        this.alpn && tls.getALPNNegotiatedProtocol(),
      ),
      resumed,
      ...(presented ? { presented } : {}),
      ...(peer ? { peer: { der: peer.raw(), ...(verifyError ? { verifyError } : {}) } } : {}),
    };
  }

  private negotiatesTls13({ supportsTls13 }: ClientHello): boolean {
    return supportsTls13 && this.settings.protocols.includes("TLSv1.3");
  }

  private make(number: number): ServerIdentity {
    const identity = this.settings.identity(number);
    const { certificates, dhParameters, verify, staple } = identity;
    if (verify) checkedCas(verify.ca);
    const context = createSecureContext({
      ...serverOptions(this.settings, identity),
      ...this.lists,
      ...(dhParameters === undefined ? {} : { dhparam: checkedDhParameters(dhParameters) }),
    }).context as NativeContext;
    const policy = policyOf(verify);
    useTicketKeys(context, this.settings, policy, () => made.renewsTickets);
    if (!this.settings.tickets) sendNoTickets(context);
    if (verify) verifyInHandshake(context);
    const certificate = certificates.length === 1
      ? new X509Certificate(certificates[0]!.chain).raw
      : undefined;
    const made: ServerIdentity = {
      context,
      policy,
      certificate,
      ...{ sessionContext: SESSION_CONTEXT, renewsTickets: false },
      ...(verify ? { verify } : {}),
      ...(staple ? { staple } : {}),
    };
    this.identities.set(number, made);
    return made;
  }
}

/**
 * Binds the sessions of the next connection to a server name: those of TLS 1.2 and older must not
 * resume under another one (RFC 6066 section 3), which OpenSSL does not check.
 */
function setSessionContext(identity: ServerIdentity, serverName: string | undefined): void {
  const wanted = serverName === undefined
    ? SESSION_CONTEXT
    // OpenSSL takes up to 32 bytes.
    : hash("sha256", serverName.toLowerCase(), "base64").slice(0, 32);
  if (wanted === identity.sessionContext) return;
  identity.context.setSessionIdContext(wanted);
  identity.sessionContext = wanted;
}

/** An empty host_name, which no certificate has. */
const EMPTY_NAME = ".";

function onCertificate(this: TlsHandle, { OCSPRequest }: { OCSPRequest: boolean }): void {
  const { stream } = this;
  if (stream.isClosing) return;
  try {
    const response = OCSPRequest ? stream.staple() : undefined;
    if (response) this.setOCSPResponse(response);
  } catch (error) {
    return stream.coreThrew(error);
  }
  this.certCbDone();
}

/** Continues: what the ClientHello says about sessions was read before. */
function onClientHello(this: TlsHandle): void {
  this.clientHelloDone();
}

function onNewSession(this: TlsHandle, id: Buffer, session: Buffer): void {
  const { stream } = this;
  if (stream.isClosing) return;
  try {
    stream.storeSession(id, session);
  } catch (error) {
    return stream.coreThrew(error);
  }
  this.newSessionDone();
}
