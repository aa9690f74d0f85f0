import type { Capabilities, Protocol, Runtime } from "../runtime/types.ts";

/** What an option can need of a build: a capability that is on or off, or one TLS version. */
export type Need =
  | "backendSource"
  | "chooseProtocols"
  | "ciphers"
  | "preferServerCiphers"
  | Protocol;

/** The builds by name, each with what it lacks and why. */
const builds: Record<
  Runtime["name"],
  { readonly title: string; readonly lacks: { readonly [N in Need]?: string } }
> = {
  bun: { title: "Bun", lacks: {} },
  node: { title: "Node", lacks: {} },
  deno: {
    title: "Deno",
    lacks: {
      backendSource: "Deno cannot choose the local address",
      ciphers: "rustls has a fixed list",
      preferServerCiphers: "rustls has a fixed order",
      chooseProtocols: "rustls offers TLSv1.2 and TLSv1.3, always both",
      "TLSv1.0": "rustls has no TLS before TLSv1.2",
      "TLSv1.1": "rustls has no TLS before TLSv1.2",
    },
  },
};

/** The build's name as in `the Deno build`. */
export function buildTitle(name: Runtime["name"]): string {
  return builds[name].title;
}

/** True when these capabilities, which are the truth about the running build, meet the need. */
export function meets(capabilities: Capabilities, need: Need): boolean {
  switch (need) {
    case "backendSource":
    case "chooseProtocols":
    case "ciphers":
    case "preferServerCiphers":
      return capabilities[need];
    default:
      return capabilities.protocols.includes(need);
  }
}

/** Says why this build cannot honour `what`, and which one can. */
export function refusal(what: string, need: Need, name: Runtime["name"]): string {
  const { title, lacks } = builds[name];
  const others = buildsWith(need).filter((other) => other !== title);
  const reason = lacks[need] ?? "its TLS library cannot do it";
  const remedy = others.length > 0 ? `use the ${others.join(" or ")} build` : "leave it out";
  return `${what} cannot be honoured by the ${title} build (${reason}); ${remedy}`;
}

/** The titles of the builds that meet a need. */
export function buildsWith(need: Need): string[] {
  return Object.values(builds).filter((build) => !(need in build.lacks)).map((build) =>
    build.title
  );
}

/** True when every build meets the need. */
export function everywhere(need: Need): boolean {
  return buildsWith(need).length === Object.keys(builds).length;
}
