import type { Runtime } from "../runtime/runtime.ts";
import type { Protocol } from "../runtime/tls.ts";
import type { Capabilities } from "../runtime/capabilities.ts";

type Switch = {
  [C in keyof Capabilities]: Capabilities[C] extends boolean ? C : never;
}[keyof Capabilities];

/** The running build. */
export type Build = Pick<Runtime, "name" | "capabilities">;

/** What an option can require of a build: a boolean capability, or one TLS version. */
export type Need =
  | Exclude<
    Switch,
    | "closeNotify"
    | "dualCertificates"
    | "noTickets"
    | "remembersNames"
    | "swapCertificates"
    | "truncation"
    | "versionGaps"
  >
  | Protocol;

const UNKNOWN_REASON = "its TLS library does not support it";

/** The builds by name, with what each lacks and why. */
const builds: Record<
  Runtime["name"],
  { readonly title: string; readonly lacks: { readonly [N in Need]?: string } }
> = {
  bun: {
    title: "Bun",
    lacks: {
      ciphersuites: "BoringSSL has a fixed list",
      dhParameters: "BoringSSL has no DHE ciphers",
      engines: "BoringSSL has no engines",
      sessionCache: "Bun does not export BoringSSL's sessions",
      staples: "Bun cannot hand over a response",
      ticketKeys: "Bun does not expose BoringSSL's ticket keys",
    },
  },
  node: { title: "Node", lacks: {} },
  deno: {
    title: "Deno",
    lacks: {
      adoptSockets: "Deno cannot take over a socket",
      backendSource: "Deno cannot choose the local address",
      backendTrust: "Deno always trusts its own CAs, and only verified backends",
      ciphers: "rustls has a fixed list",
      ciphersuites: "rustls has a fixed list",
      curves: "rustls has a fixed list",
      dhParameters: "rustls has no DHE ciphers",
      engines: "rustls has no engines",
      headerFirst: "Deno cannot read before TLS begins",
      preferServerCiphers: "rustls has a fixed order",
      sniAbort: "Deno cannot abort a handshake with a chosen alert",
      sessionCache: "Deno does not export rustls' sessions",
      sessionTimeout: "Deno does not expose that of rustls",
      staples: "Deno cannot hand over a response",
      ticketKeys: "Deno does not expose those of rustls",
      unixBackendTls: "Deno supports TLS over TCP only",
      tlsFacts: "Deno does not report what was negotiated",
      verifyClients: "Deno cannot request client certificates",
      chooseProtocols: "rustls offers TLSv1.2 and TLSv1.3, always both",
      "TLSv1.0": "rustls has no TLS before TLSv1.2",
      "TLSv1.1": "rustls has no TLS before TLSv1.2",
    },
  },
};

/** Returns the build's name, as in `the Deno build`. */
export function buildTitle(name: Runtime["name"]): string {
  return builds[name].title;
}

/** True if these capabilities, those of the running build, meet the need. */
export function meets(capabilities: Capabilities, need: Need): boolean {
  return isProtocol(need) ? capabilities.protocols.includes(need) : capabilities[need];
}

/** Says why this build does not support `what`, and which ones do. */
export function refusal(what: string, need: Need, name: Runtime["name"]): string {
  const { title, lacks } = builds[name];
  const others = buildsWith(need).filter((other) => other !== title);
  const reason = lacks[need] ?? UNKNOWN_REASON;
  const remedy = others.length > 0 ? `use the ${others.join(" or ")} build` : "remove it";
  return `${what} is not supported by the ${title} build (${reason}); ${remedy}`;
}

/** Returns the titles of the builds that meet a need. */
export function buildsWith(need: Need): string[] {
  return Object.values(builds).filter((build) => !(need in build.lacks)).map((build) =>
    build.title
  );
}

/** True if every build meets the need. */
export function isInEveryBuild(need: Need): boolean {
  return buildsWith(need).length === Object.keys(builds).length;
}

function isProtocol(need: Need): need is Protocol {
  return need.startsWith("TLSv");
}
