/** Programs that scan a TLS server from outside. They connect only to the server. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./commands.ts";
import { type Endpoint, endpointText } from "./endpoints.ts";

/** What sslscan found. */
export interface Scan {
  /** Such as `TLSv1.2`; includes older ones if they are offered. */
  readonly protocols: readonly string[];
  /** OpenSSL's names, in the server's order if that applies. */
  readonly ciphers: readonly string[];
  /** Whether the client may request another handshake. */
  readonly renegotiation: boolean;
  readonly heartbleed: boolean;
}

/** One finding of testssl. */
export interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** Sends the name `localhost`. Throws an Error if sslscan did not finish. */
export async function sslscan(endpoint: Endpoint): Promise<Scan> {
  const words = ["--no-colour", "--xml=-", "--sni-name=localhost", "--timeout=8"];
  const { stdout, stderr } = await run("sslscan", [...words, endpointText(endpoint)], "", 120_000);
  const elements = [...stdout.matchAll(/<(\w+) ([^>]*)\/>/g)].map(([, name, text]) => ({
    name,
    ...Object.fromEntries([...text!.matchAll(/(\w+)="([^"]*)"/g)].map(([, k, v]) => [k!, v!])),
  })) as ({ name: string } & Readonly<Record<string, string>>)[];
  const found = (name: string) => elements.filter((element) => element.name === name);
  const [renegotiation] = found("renegotiation");
  const heartbleeds = found("heartbleed");
  if (!renegotiation || heartbleeds.length === 0) {
    throw new Error(`sslscan ended early: ${stderr || stdout}`);
  }
  return {
    protocols: found("protocol").filter(({ enabled }) => enabled === "1")
      .map(({ type, version }) => `${type!.toUpperCase()}v${version}`),
    ciphers: found("cipher").map(({ cipher }) => cipher!),
    renegotiation: renegotiation.supported === "1",
    heartbleed: heartbleeds.some(({ vulnerable }) => vulnerable === "1"),
  };
}

/**
 * Protocols, ciphers, preferences, defaults and all known vulnerabilities of `localhost`; without
 * DNS, and with `ca` trusted. Takes half a minute on an idle machine.
 */
export async function testssl(endpoint: Endpoint, ca: string): Promise<readonly Finding[]> {
  const directory = mkdtempSync(join(tmpdir(), "stud-testssl-"));
  try {
    const file = join(directory, "findings.json");
    const { stdout, stderr } = await run(
      "testssl",
      [
        ...["--quiet", "--color=0", "--warnings=off", "--nodns=none", `--ip=${endpoint.host}`],
        ...["--openssl-timeout=20", "--connect-timeout=20", `--add-ca=${ca}`, `--jsonfile=${file}`],
        // Protocols, cipher categories, forward secrecy, preference, defaults, vulnerabilities.
        ...["-p", "-s", "-f", "-P", "-S", "-U", `localhost:${endpoint.port}`],
      ],
      "",
      600_000,
    );
    const findings = JSON.parse(readFileSync(file, "utf8")) as Finding[];
    if (findings.some(({ id }) => id === "scanTime")) return findings;
    throw new Error(`testssl ended early: ${stderr}${stdout}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
