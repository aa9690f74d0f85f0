/** One connection to the server from the handshake to the end. */
import type { Connector } from "./connector.ts";
import { type Farewell, farewell } from "./farewell.ts";
import { CheckFault } from "./fault.ts";
import { handshake } from "./handshake.ts";
import { TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 } from "./numbers.ts";
import { ALL_CIPHERS, ALL_GROUPS, type Handshake, type Offer } from "./offers.ts";

export interface Visit {
  readonly offer: Offer;
  readonly shake: Handshake;
  /** Of the handshake, in milliseconds. */
  readonly ms: number;
  /** Absent if the handshake was not completed. */
  readonly end?: Farewell & {
    /** An HTTP request was sent before. */
    readonly isAnswer: boolean;
  };
}

/** How long the server may take to react to the end of the client, in milliseconds. */
const FAREWELL_MS = 2000;

/**
 * Connects, completes a handshake and ends it. `request` returns what to send for the ALPN result, ""
 * for nothing. Rejects with a CheckFault.
 */
export function visit(
  connector: Connector,
  offer: Offer,
  request: (alpn: string | undefined) => string = () => "",
): Promise<Visit> {
  return connector.run(async (wire) => {
    const start = performance.now();
    const shake = await handshake(wire, offer);
    const ms = performance.now() - start;
    if (!shake.session) return { offer, shake, ms };
    const text = request(shake.alpn);
    const end = await farewell(shake.session, text, Math.min(FAREWELL_MS, connector.limit));
    return { offer, shake, ms, end: { ...end, isAnswer: text !== "" } };
  });
}

/** The best handshake that a server agrees to. */
export interface BestVisit extends Visit {
  /** The alert with which the server refused the name, which the offer then lacks. */
  readonly nameAlert?: number;
  /** The server refused the ALPN protocols, which the offer then lacks. */
  readonly refusesAlpn: boolean;
}

const UNRECOGNIZED_NAME = 112;
const NO_APPLICATION_PROTOCOL = 120;

/**
 * Makes the best handshake: first as current clients offer it, then without what the server refused
 * by an alert, then with every cipher and group, then with old versions. Rejects with the CheckFault
 * that says most.
 */
export async function bestVisit(
  connector: Connector,
  wanted: Pick<Offer, "serverName" | "alpn">,
  request: (alpn: string | undefined) => string,
): Promise<BestVisit> {
  let offer: Offer = { versions: [TLS_1_3, TLS_1_2], ...wanted };
  let nameAlert: number | undefined;
  let refusesAlpn = false;
  const everything = { ciphers: ALL_CIPHERS, groups: ALL_GROUPS };
  const olders = [everything, { ...everything, versions: [TLS_1_1, TLS_1_0] }];
  let first: CheckFault | undefined;
  for (;;) {
    try {
      const made = await visit(connector, offer, request);
      return { ...made, refusesAlpn, ...(nameAlert === undefined ? {} : { nameAlert }) };
    } catch (error) {
      if (!(error instanceof CheckFault)) throw error;
      const { alert } = error;
      if (alert === UNRECOGNIZED_NAME && offer.serverName !== undefined) {
        const { serverName: _, ...unnamed } = offer;
        [offer, nameAlert] = [unnamed, alert];
        continue;
      }
      if (alert === NO_APPLICATION_PROTOCOL && offer.alpn.length > 0) {
        [offer, refusesAlpn] = [{ ...offer, alpn: [] }, true];
        continue;
      }
      first = first && error.kind !== "unsupported" ? first : error;
      // Some servers close the connection instead of an alert.
      const mayBeOld = ["alert", "closed", "reset", "unsupported"].includes(error.kind);
      const next = mayBeOld ? olders.shift() : undefined;
      if (!next) throw first;
      offer = { ...offer, ...next };
    }
  }
}
