/**
 * `npm run screenshot`: makes docs/live-page.png and docs/live-page-dark.png, the live page of
 * dist/stud-node after five minutes under load. `--seconds=N` is for a quicker look.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { TLSSocket } from "node:tls";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { generate } from "selfsigned";
import { makeCertificates, removeCertificates } from "../tests/support/certificates.ts";
import { launchChromium, openPage } from "../tests/support/chromium.ts";
import { openTls } from "../tests/support/client.ts";
import { Context } from "../tests/support/context.ts";
import { type Endpoint, endpointText } from "../tests/support/endpoints.ts";
import { target } from "../tests/support/target.ts";

const docs = fileURLToPath(new URL("../docs", import.meta.url));
const DAY = 86_400_000;
/** It is in the picture, so it has no random name. */
const DIRECTORY = "/dev/shm/stud";
const ANSWER = Buffer.alloc(48 * 1024, "x");

const { values } = parseArgs({ options: { seconds: { type: "string", default: "300" } } });
const certificates = makeCertificates();
const context = new Context(target("dist-stud-node"), certificates);
let isRunning = true;
mkdirSync(DIRECTORY, { mode: 0o700 });
context.after(() => rmSync(DIRECTORY, { recursive: true }));
try {
  await main(Number(values.seconds));
} finally {
  isRunning = false;
  await context.cleanUp();
  removeCertificates(certificates);
}
process.exit();

async function main(seconds: number): Promise<void> {
  const backend = await context.backend((socket) => {
    socket.on("data", () => setTimeout(() => socket.end(ANSWER), 3));
  });
  const admin: Endpoint = { host: "127.0.0.1", port: 9901 };
  const frontend: Endpoint = { host: "127.0.0.1", port: 8443 };
  const files = [
    await pem("www.example.com", 74),
    await pem("shop.example.com", 9),
    await pem("api.example.com", 41),
  ];
  const words = ["--workers=4", `--admin=${endpointText(admin)}`, ...files];
  const stud = await context.stud(words, {
    backend: backend.port,
    frontend,
    directory: DIRECTORY,
  });
  const browser = await launchChromium();
  context.after(() => browser.close());
  const address = `http://${endpointText(admin)}/`;
  const viewport = { width: 1280, height: 920 };
  const { page } = await openPage(browser, address, { viewport });
  for (let client = 0; client < 10; client++) void visit(stud.frontend, client);
  for (let client = 0; client < 40; client++) void stay(stud.frontend, client);
  void mistakes(stud.frontend);
  await pause(seconds * 500);
  await fetch(`${address}reload`, { method: "POST" });
  await pause(seconds * 500);
  for (const [colorScheme, name] of [["light", "live-page"], ["dark", "live-page-dark"]] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(docs, `${name}.png`) });
  }
}

/** Short connections, most of them resumed, in waves. */
async function visit(at: Endpoint, client: number): Promise<void> {
  let session: Buffer | undefined;
  while (isRunning) {
    const isNew = Math.random() < 0.3;
    const socket = await openTls(at, {
      servername: "www.example.com",
      localAddress: `127.0.1.${client + 1}`,
      ...(session && !isNew ? { session } : {}),
    });
    socket.on("session", (ticket) => session = ticket);
    await asked(socket);
    const wave = 1 + Math.sin(performance.now() / 25_000 + client / 4);
    await pause(15 + 45 * wave * Math.random());
  }
}

/** Connections that are idle for some time. */
async function stay(at: Endpoint, client: number): Promise<void> {
  while (isRunning) {
    const socket = await openTls(at, { localAddress: `127.0.2.${client + 1}` });
    await pause(10_000 + Math.random() * 40_000);
    await asked(socket);
  }
}

/** Sends a request and reads the whole answer. */
function asked(socket: TLSSocket): Promise<unknown> {
  socket.resume().write("GET");
  return new Promise((resolve) => socket.on("close", resolve).on("end", () => socket.end()));
}

/** Clients that do not speak TLS. */
async function mistakes(at: Endpoint): Promise<void> {
  while (isRunning) {
    connect(at).on("error", () => {}).end("GET / HTTP/1.1\r\n\r\n");
    await pause(5_000 + Math.random() * 20_000);
  }
}

/** A certificate that ends in some days; returns its name in the working directory. */
async function pem(name: string, days: number): Promise<string> {
  const now = Date.now();
  const { private: key, cert } = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    notBeforeDate: new Date(now - (90 - days) * DAY),
    notAfterDate: new Date(now + days * DAY),
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: name }] }],
  });
  const file = `${name}.pem`;
  writeFileSync(join(DIRECTORY, file), key + cert, { mode: 0o600 });
  return file;
}
