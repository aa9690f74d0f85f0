import { raise } from "../../base/raise.ts";
import type { TlsContext, TlsSettings } from "../tls.ts";
import { Deno, type KeyPair, sniResolver, type TlsIdentity } from "./api.ts";
import { failureOf } from "./failures.ts";

/** The TLS context of a frontend. */
export interface DenoTlsContext extends TlsContext {
  readonly hasResolver: boolean;
  /** By the numbers of their identities, for identities that were needed. */
  readonly pairs: Map<number, KeyPair>;
  /** The default identity's. */
  readonly fallback: KeyPair;
}

/**
 * As in {@link Runtime}. Deno checks a certificate only when it listens, so the default one is tried
 * on a loopback port that is closed at once; a random one, since all those that the kernel would choose
 * from can be in use.
 */
export function createTlsContext(settings: TlsSettings): DenoTlsContext {
  const number = settings.select("")!;
  const fallback = keyPair(settings, number);
  tryToListen(fallback);
  // With a resolver, rustls gets a new configuration for each connection, so that nothing resumes.
  const hasResolver = settings.choice || !settings.tickets;
  return { settings, hasResolver, pairs: new Map([[number, fallback]]), fallback };
}

/**
 * Returns the resolver that Deno calls once for each name; Deno keeps the result, also a rejection,
 * for the life of the listener.
 */
export function resolver({ settings, pairs }: DenoTlsContext): TlsIdentity {
  const answer = (serverName: string): KeyPair => {
    try {
      const number = settings.select(serverName)!;
      const pair = pairs.get(number) ?? keyPair(settings, number);
      pairs.set(number, pair);
      return pair;
    } catch (error) {
      raise(error);
      throw error;
    }
  };
  return { [sniResolver]: answer };
}

/** How many random ports are tried to find a free one. */
const TRIES = 10;

/** Listens for a moment; throws what the TLS library refuses. */
function tryToListen(identity: TlsIdentity): void {
  for (let attempt = 1;; attempt++) {
    const [a, b, c, d, e] = crypto.getRandomValues(new Uint8Array(5));
    const at = { hostname: `127.${a}.${b}.${1 + c! % 254}`, port: 1024 + d! * 100 + e! };
    try {
      return Deno.listenTls({ ...at, ...identity }).close();
    } catch (error) {
      // A program that listens on every address can have this port.
      if (failureOf(error).code !== "EADDRINUSE" || attempt === TRIES) throw error;
    }
  }
}

/** Returns the only certificate of an identity: there are no `dualCertificates`. */
function keyPair(settings: TlsSettings, number: number): KeyPair {
  const { chain, key } = settings.identity(number).certificates[0]!;
  return { cert: chain, key };
}
