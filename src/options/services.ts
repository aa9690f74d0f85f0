import { readFileSync } from "node:fs";

/** For systems without the file. */
const fallback: Readonly<Record<string, number>> = { http: 80, https: 443 };

let services: ReadonlyMap<string, number> | undefined;

/** The TCP port of a service by its name or alias in /etc/services, or undefined. */
export function servicePort(name: string): number | undefined {
  services ??= parseServices(readServices());
  return services.get(name) ?? (Object.hasOwn(fallback, name) ? fallback[name] : undefined);
}

/** Lines are `name port/protocol alias… # remark` (services(5)); the first entry of a name counts. */
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
