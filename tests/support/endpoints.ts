/** Free addresses in the loopback network. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** A numeric address with a port for the tests to connect to. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

let used = 0;
let wide = 0;
/** How many wide endpoints a test process has. */
const WIDE_EACH = 16;

/**
 * An endpoint without a listener. Each call returns another loopback address, so that no other test
 * can take the port before it is used.
 */
export async function freeEndpoint(host?: string): Promise<Endpoint> {
  const address = host ?? nextLoopback();
  const probe = createServer().listen(0, address);
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  return { host: address, port };
}

/**
 * An endpoint whose port no other test has on any address, for a listener on every address. The
 * kernel chooses ports from 32768 on for those of {@link freeEndpoint}.
 */
export function wideEndpoint(host: string): Endpoint {
  // Each test process has its own pid.
  return { host, port: 10_000 + (process.pid * WIDE_EACH + wide++ % WIDE_EACH) % 20_000 };
}

/** Whether a process could listen there exclusively. */
export async function isFree({ host, port }: Endpoint): Promise<boolean> {
  const probe = createServer();
  try {
    await once(probe.listen(port, host), "listening");
  } catch {
    return false;
  }
  await new Promise((closed) => probe.close(closed));
  return true;
}

/** `127.0.0.1:80` or `[::1]:80`. */
export function endpointText(endpoint: Endpoint): string {
  const { host, port } = endpoint;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function nextLoopback(): string {
  used++;
  return `127.0.${1 + (used >> 7)}.${1 + (used & 0x7f)}`;
}
