import { readFileSync } from "node:fs";
import { parseBundle } from "../certificates/pem.ts";
import type { Ids, NamedCertificate } from "../control/messages.ts";
import type { Config } from "../options/config.ts";
import { startBackend } from "./backend.ts";

/** A complete service to try stud with. */
export interface Demo {
  readonly config: Config;
  readonly certificates: readonly NamedCertificate[];
  /** Set when we are root, which no worker needs to be. */
  readonly user: Ids | undefined;
  /** What to show the user. */
  readonly invitation: string;
}

const DEMO_WORKERS = 2;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Makes a certificate for localhost and starts a backend that answers what it was told. */
export async function demo(given: Config): Promise<Demo> {
  const port = await startBackend();
  const [frontend] = given.frontends;
  const host = frontend!.host === "*" ? "localhost" : frontend!.host;
  const config: Config = {
    ...given,
    backend: { host: "127.0.0.1", port },
    workers: DEMO_WORKERS,
    prefix: given.prefix === "none" ? "proxy-v2" : given.prefix,
  };
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${frontend!.port}/`;
  return {
    config,
    certificates: [await makeCertificate()],
    user: process.getuid?.() === 0 ? nobody() : undefined,
    invitation: `\nstud is running. Try it:\n\n    curl -k ${url}\n\nCtrl-C ends it.\n`,
  };
}

/** Self-signed, for the names of this machine only, thrown away with the process. */
async function makeCertificate(): Promise<NamedCertificate> {
  const { generate } = await import("selfsigned");
  const pems = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    notAfterDate: new Date(Date.now() + DAY_MS),
    extensions: [{
      name: "subjectAltName",
      altNames: [
        { type: 2, value: "localhost" },
        { type: 7, ip: "127.0.0.1" },
        { type: 7, ip: "::1" },
      ],
    }],
  });
  return parseBundle(`${pems.cert}\n${pems.private}`, "the demo's certificate");
}

function nobody(): Ids {
  const fields = /^nobody:.*$/m.exec(readFileSync("/etc/passwd", "utf8"))?.[0].split(":");
  return { uid: Number(fields?.[2] ?? 65534), gid: Number(fields?.[3] ?? 65534) };
}
