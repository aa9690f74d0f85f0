/** Examines a server by several connections to it. */
import { type Certificate, readCertificate } from "./certificate.ts";
import { type Authorities, examineChain, verifyChain } from "./chain.ts";
import type { Connector } from "./connector.ts";
import type { Facts, Resumption, Served } from "./facts.ts";
import { CheckFault } from "./fault.ts";
import { TLS_1_2, TLS_1_3 } from "./numbers.ts";
import type { Handshake, Offer } from "./offers.ts";
import {
  answerTo,
  modernGroup,
  obsoleteCipher,
  offeredVersions,
  otherKeyKind,
  resumption,
} from "./probes.ts";
import { readStapleFacts } from "./staple.ts";
import { bestVisit, type Visit, visit } from "./visit.ts";

/** What is asked about a server. */
export interface Question {
  /** For people. */
  readonly target: string;
  /** The name or address that the certificate must have, "" for a Unix socket. */
  readonly name: string;
  /** To send as SNI. */
  readonly serverName?: string;
  /** To offer. */
  readonly alpn: readonly string[];
  /** The user says that the server speaks HTTP. */
  readonly isHttp: boolean;
  /** It was given as a URL with a path or a query, which are not used. */
  readonly hasUnusedPath: boolean;
  readonly authorities: Authorities;
  /** The file that they are from. */
  readonly authoritiesFile: string;
}

/** A name that no server has (RFC 6761 section 6.4). */
const UNKNOWN_NAME = "stud-check.invalid";
/** More certificates in one chain are not examined. */
const MAX_CERTIFICATES = 20;

/** Rejects with a CheckFault if no handshake succeeds. */
export async function examine(connector: Connector, question: Question): Promise<Facts> {
  const { name, serverName, authorities, alpn } = question;
  const now = Date.now();
  const wanted = { alpn, ...(serverName === undefined ? {} : { serverName }) };
  const best = await bestVisit(connector, wanted, (alpn) => requestFor(alpn, question));
  const { offer, shake } = best;
  const { version } = shake;
  const own = served(shake, authorities, now);
  const [http, tls12, versions, group, obsolete, withoutName, unknownName, other] = await Promise
    .all([
      shake.alpn === "h2" ? attempt(httpVisit()) : undefined,
      version === TLS_1_3 ? attempt(visit(connector, { ...offer, versions: [TLS_1_2] })) : best,
      offeredVersions(connector, offer, version),
      modernGroup(connector, offer),
      obsoleteCipher(connector, offer),
      offer.serverName === undefined ? undefined : answerTo(connector, offer, undefined, shake),
      best.nameAlert === undefined ? answerTo(connector, offer, UNKNOWN_NAME, shake) : undefined,
      otherKeyKind(connector, offer, own.certificates[0]),
    ]);
  const isRequired = shake.requiresCertificate === true ||
    (shake.requestsCertificate && best.end?.end === "alert");
  const incomplete = isRequired
    ? "the server requires a client certificate"
    : "this check completes no handshake with the server's cipher";
  const resumedBy = async (offer: Offer, { session, group }: Handshake): Promise<Resumption> =>
    session && !isRequired
      ? await resumption(connector, offer, session, group)
      : { unknown: incomplete };
  const resumed = {
    ...(version === TLS_1_3 ? { tls13: await resumedBy(offer, withTickets([best, http])) } : {}),
    ...(tls12?.shake.version === TLS_1_2
      ? { tls12: await resumedBy(tls12.offer, tls12.shake) }
      : {}),
  };
  const end = http?.end?.isAnswer ? http.end : best.end;
  return {
    ...{
      target: question.target,
      hasUnusedPath: question.hasUnusedPath,
      name,
      now,
      handshake: shake,
      served: own,
    },
    ...(offer.serverName === undefined ? {} : { serverName: offer.serverName }),
    ...{ address: connector.address, addresses: connector.addresses },
    unreachable: connector.unreachable,
    times: {
      ...(connector.resolveMs === undefined ? {} : { resolve: connector.resolveMs }),
      ...{ connect: connector.connectMs, handshake: best.ms },
    },
    ...(best.nameAlert === undefined || serverName === undefined
      ? {}
      : { refusedName: { name: serverName, alert: best.nameAlert } }),
    ...{ offeredAlpn: alpn, refusesAlpn: best.refusesAlpn },
    ...(other ? { other: served(other, authorities, now) } : {}),
    authorities: question.authoritiesFile,
    ...{ versions, modernGroup: group, obsoleteCipher: obsolete, resumption: resumed },
    clientCertificate: !shake.requestsCertificate
      ? "not requested"
      : isRequired
      ? "required"
      : "requested",
    ...(withoutName ? { withoutName } : {}),
    ...(unknownName ? { unknownName } : {}),
    end: end && !isRequired ? { value: end } : { unknown: incomplete },
  };

  function httpVisit(): Promise<Visit> {
    return visit(connector, { ...offer, alpn: ["http/1.1"] }, (alpn) => requestFor(alpn, question));
  }
}

/** An HTTP request if the server is known to speak HTTP/1.1, else "". */
function requestFor(alpn: string | undefined, { isHttp, name, target }: Question): string {
  if (alpn !== "http/1.1" && !(isHttp && alpn === undefined)) return "";
  const host = name === "" ? "localhost" : name.includes(":") ? `[${name}]` : name;
  const port = /:(?!443$)\d+$/.exec(target)?.[0] ?? "";
  return `HEAD / HTTP/1.1\r\nHost: ${host}${port}\r\nUser-Agent: stud-check\r\n` +
    "Connection: close\r\n\r\n";
}

/** Returns the first handshake that got tickets, or else the first. */
function withTickets(visits: readonly (Visit | undefined)[]): Handshake {
  const shakes = visits.flatMap((each) => each ? [each.shake] : []);
  return shakes.find(({ session }) => session?.version === TLS_1_3 && session.tickets.length > 0) ??
    shakes[0]!;
}

async function attempt<T>(made: Promise<T>): Promise<T | undefined> {
  try {
    return await made;
  } catch (error) {
    if (error instanceof CheckFault) return undefined;
    throw error;
  }
}

function served(
  { chain, staple }: Handshake,
  authorities: Authorities,
  now: number,
): Served {
  const certificates: Certificate[] = [];
  for (const der of chain.slice(0, MAX_CERTIFICATES)) {
    try {
      certificates.push(readCertificate(der));
    } catch {
      // It is counted.
    }
  }
  const [leaf] = certificates;
  return {
    certificates,
    unreadable: chain.length - certificates.length,
    chain: examineChain(certificates),
    trust: verifyChain(certificates, authorities, now),
    ...(staple && leaf ? { staple: readStapleFacts(staple, leaf) } : {}),
  };
}
