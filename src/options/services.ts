import { readFileSync } from "node:fs";

/** For systems without /etc/services. */
const fallback: Readonly<Record<string, number>> = { http: 80, https: 443 };

let services: ReadonlyMap<string, number> | undefined;

/** Returns the TCP port of a service by its name or alias in /etc/services, or undefined. */
export function servicePort(name: string): number | undefined {
  services ??= parseServices(readServices());
  return services.get(name) ?? (Object.hasOwn(fallback, name) ? fallback[name] : undefined);
}

/** Parses `name port/protocol alias… # comment` (services(5)); a name's first entry applies. */
export function parseServices(text: string): ReadonlyMap<string, number> {
  const ports = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [name, port, ...aliases] = line.replace(/#.*/, "").trim().split(/\s+/);
    const [, digits] = /^(\d{1,5})\/tcp$/.exec(port ?? "") ?? [];
    if (digits === undefined) continue;
    for (const known of [name!, ...aliases]) {
      if (!ports.has(known)) ports.set(known, Number(digits));
    }
  }
  return ports;
}

function readServices(): string {
  try {
    return readFileSync("/etc/services", "utf8");
  } catch {
    return "";
  }
}
