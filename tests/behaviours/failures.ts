/** What the log says of a connection that failed, which is the same on each build. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { type TlsOptions, TLSSocket } from "node:tls";
import { setTimeout as pause } from "node:timers/promises";
import { ALERT, APPLICATION_DATA, FATAL, HANDSHAKE, WARNING } from "../faults/hostile/tls13.ts";
import { plainRecord, Tls13Client } from "../faults/hostile/tls13.ts";
import { ending, openTcp, openTls, PARTIAL_HELLO } from "../support/client.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { hold } from "../support/processes.ts";
import type { LogLine, Stud } from "../support/stud.ts";
import type { Target } from "../support/target.ts";
import { until } from "../support/until.ts";

/** A conversation that ends in a failure. */
interface Conversation {
  readonly name: string;
  /** `level source code: cause`. */
  readonly log: string;
  /** Where a build cannot tell two failures apart, with the reason. */
  readonly but?: Partial<Record<Target["runtime"], string>>;
  readonly talk: (stud: Stud, context: Context) => Promise<unknown>;
}

const HANDSHAKE_FAILED = "warn client handshake-failed: the client";
const LEFT = "debug client client-left: the client";
const TLS_ERROR = "warn client tls-error: the client";
const BACKEND = "warn backend backend-handshake: the backend";
const NO_HEADER =
  "set --accept-proxy (or --proxy-proxy) if it is wanted, or have its sender omit it";
const TLS_PORT = "use the backend's TLS port, or omit --client";
const UNKNOWN_CA = "sent the alert unknown_ca: it does not know the CA of the certificate " +
  "(unknown CA)";
const UNDECRYPTED = "a record from the client could not be decrypted";

/** What comes instead of TLS, and what the log says it is. */
const foreign: readonly (readonly [what: string, bytes: string | Buffer, remedy: string])[] = [
  ["plain HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "use https://"],
  ["plain HTTP", "OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n", "use https://"],
  [
    "HTTP/2 in the clear (h2c)",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "use https://, with h2 in --alpn-protos",
  ],
  ["a PROXY header (version 1)", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NO_HEADER],
  ["a PROXY header (version 2)", hex("0d0a0d0a000d0a515549540a20000000"), NO_HEADER],
  [
    "SSH",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "connect to the port of the SSH server, or use a client that wraps SSH in TLS",
  ],
  ["plain SMTP", "EHLO client.example\r\n", "use implicit TLS, not STARTTLS (port 465)"],
  [
    "PostgreSQL's SSLRequest",
    hex("0000000804d2162f"),
    "use sslnegotiation=direct (PostgreSQL 17)",
  ],
  ["plain RTSP", "OPTIONS / RTSP/1.0\r\n\r\n", "use rtsps://"],
  ["plain MQTT", hex("100c00044d51545404020000000000"), "use mqtts:// (port 8883)"],
  [
    "RDP",
    hex("030000130ee000000000000100080003000000"),
    "use a gateway for RDP: it begins TLS by itself",
  ],
];

/** Failures of the handshake and of the session after it. */
const conversations: readonly Conversation[] = [
  {
    name: "FIN before the first byte",
    log: `${LEFT} left before it sent anything`,
    talk: (stud) => sends(stud, "", "FIN"),
  },
  {
    name: "RST before the first byte",
    log: `${LEFT} reset the connection before its handshake`,
    talk: (stud) => sends(stud, "", "RST"),
  },
  {
    name: "FIN within the ClientHello",
    log: `${HANDSHAKE_FAILED} closed the connection during the handshake`,
    talk: (stud) => sends(stud, PARTIAL_HELLO, "FIN"),
  },
  {
    name: "RST within the ClientHello",
    log: `${HANDSHAKE_FAILED} reset the connection during the handshake`,
    // What Bun has received before a reset cannot be seen after it.
    but: { bun: `${LEFT} reset the connection before its handshake` },
    talk: (stud) => sends(stud, PARTIAL_HELLO, "RST"),
  },
  ...foreign.map(([what, bytes, remedy]): Conversation => ({
    name: `${what} instead of a handshake`,
    log: `${HANDSHAKE_FAILED} sent ${what} instead of TLS; ${remedy}`,
    talk: (stud) => sends(stud, bytes),
  })),
  {
    name: "more HTTP than one read takes",
    log: `${HANDSHAKE_FAILED} sent plain HTTP instead of TLS; use https://`,
    talk: (stud) => sends(stud, `POST / HTTP/1.1\r\nHost: localhost\r\n\r\n${"x".repeat(1000)}`),
  },
  {
    name: "bytes without a meaning",
    log: `${HANDSHAKE_FAILED} sent something other than TLS`,
    talk: (stud) => sends(stud, Buffer.alloc(512, 0xa5)),
  },
  {
    name: "no version in common",
    log: `${HANDSHAKE_FAILED} offers no TLS version that stud accepts`,
    talk: (stud) =>
      isRefused(stud, {
        minVersion: "TLSv1",
        maxVersion: "TLSv1.1",
        ciphers: "ALL:@SECLEVEL=0",
      }),
  },
  {
    name: "no cipher suite in common",
    log:
      `${HANDSHAKE_FAILED} offers no cipher suite, group or signature algorithm that stud accepts`,
    talk: (stud) =>
      isRefused(stud, { maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" }),
  },
  {
    name: "no ALPN protocol in common",
    log: `${HANDSHAKE_FAILED} offers no ALPN protocol that stud accepts`,
    talk: (stud) => isRefused(stud, { ALPNProtocols: ["other"] }),
  },
  {
    name: "a client that does not trust the certificate, TLS 1.2",
    log: `${HANDSHAKE_FAILED} ${UNKNOWN_CA}`,
    talk: (stud, context) => distrusts(stud, context, "1.2"),
  },
  {
    name: "a client that does not trust the certificate, TLS 1.3",
    log: `${HANDSHAKE_FAILED} ${UNKNOWN_CA}`,
    talk: (stud, context) => distrusts(stud, context, "1.3"),
  },
  {
    name: "an encrypted alert in the handshake",
    log:
      `${HANDSHAKE_FAILED} sent the alert certificate_expired: it considers the certificate expired`,
    talk: (stud) => answers(stud, (client) => client.send(ALERT, Buffer.from([FATAL, 45]))),
  },
  {
    name: "an alert in the clear in the handshake",
    log: `${HANDSHAKE_FAILED} sent the alert certificate_unknown: it rejects the certificate`,
    talk: (stud) =>
      answers(stud, ({ socket }) => socket.write(plainRecord(ALERT, Buffer.from([FATAL, 46])))),
  },
  {
    name: "a record of the handshake that cannot be decrypted",
    log: `warn client handshake-failed: ${UNDECRYPTED}`,
    talk: (stud) => answers(stud, ({ socket }) => socket.write(BAD_RECORD)),
  },
  {
    name: "FIN instead of the client's Finished",
    log: `${HANDSHAKE_FAILED} closed the connection during the handshake`,
    talk: (stud) => answers(stud, ({ socket }) => socket.end()),
  },
  {
    name: "RST instead of the client's Finished",
    log: `${HANDSHAKE_FAILED} reset the connection during the handshake`,
    talk: (stud) => answers(stud, ({ socket }) => socket.resetAndDestroy()),
  },
  {
    name: "RST in a session",
    log: "warn client client-reset: the client reset the connection",
    talk: (stud) => talks(stud, ({ socket }) => socket.resetAndDestroy(), "nothing"),
  },
  {
    name: "a fatal alert in a session",
    log: `${TLS_ERROR} sent the alert internal_error: the error is on its side`,
    talk: (stud) => talks(stud, (client) => client.send(ALERT, Buffer.from([FATAL, 80])), "FIN"),
  },
  {
    name: "a late verdict on the certificate",
    log: `${TLS_ERROR} ${UNKNOWN_CA}`,
    talk: (stud) => talks(stud, (client) => client.send(ALERT, Buffer.from([FATAL, 48])), "FIN"),
  },
  {
    name: "a record that cannot be decrypted",
    log: `warn client tls-error: ${UNDECRYPTED}`,
    talk: (stud) => talks(stud, ({ socket }) => socket.write(BAD_RECORD)),
  },
  {
    name: "an alert in the clear in a session",
    log: `warn client tls-error: ${UNDECRYPTED}`,
    // OpenSSL looks at the type first.
    but: { node: `${TLS_ERROR} violated the TLS protocol` },
    talk: (stud) =>
      talks(stud, ({ socket }) => socket.write(plainRecord(ALERT, Buffer.from([FATAL, 48])))),
  },
  {
    name: "clear text in a session",
    log: `${TLS_ERROR} violated the TLS protocol`,
    talk: (stud) => talks(stud, ({ socket }) => socket.write("GET / HTTP/1.1\r\n\r\n")),
  },
  {
    name: "a record that is too long",
    log: `${TLS_ERROR} violated the TLS protocol`,
    talk: (stud) =>
      talks(stud, ({ socket }) => socket.write(Buffer.concat([hex("170303ffff"), MUCH]))),
  },
  {
    name: "a ClientHello in a session",
    log: `${TLS_ERROR} violated the TLS protocol`,
    talk: (stud) => talks(stud, (client) => client.send(HANDSHAKE, hex("0100000401020304"))),
  },
  {
    name: "a KeyUpdate without a value",
    log: `${TLS_ERROR} violated the TLS protocol`,
    talk: (stud) => talks(stud, (client) => client.send(HANDSHAKE, hex("1800000109"))),
  },
  {
    name: "an alert without a description",
    log: `${TLS_ERROR} violated the TLS protocol`,
    talk: (stud) => talks(stud, (client) => client.send(ALERT, Buffer.from([WARNING]))),
  },
  {
    name: "a record of an unknown type",
    log: `${TLS_ERROR} violated the TLS protocol`,
    talk: (stud) => talks(stud, (client) => client.send(99, Buffer.from([1]))),
  },
  {
    name: "a renegotiation",
    log: `${TLS_ERROR} asked for a renegotiation, which is always refused`,
    // They answer with a warning; it is the client that ends the connection then.
    but: Object.fromEntries(["node", "deno"].map((runtime) => [
      runtime,
      `${TLS_ERROR} sent the alert handshake_failure: most often it asked for a renegotiation, ` +
      "which is always refused",
    ])),
    talk: renegotiates,
  },
];

/** What backends do instead of a TLS handshake. */
const backends: readonly (readonly [
  name: string,
  log: string,
  talk: (client: Socket) => void,
  but?: string,
])[] = [
  ...([
    ["plain HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"],
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n"],
  ] as const).map(([what, answer]) =>
    [
      what,
      `${BACKEND} sent ${what} instead of TLS; ${TLS_PORT}`,
      (client: Socket) => void client.write(answer),
      // Their adapters do not see what the TLS library reads.
      `${BACKEND} sent something other than TLS; ${TLS_PORT}`,
    ] as const
  ),
  [
    "an alert",
    `${BACKEND} sent the alert handshake_failure: it accepts none of the parameters on offer`,
    (client) => void client.write(hex("15030300020228")),
  ],
  [
    "FIN",
    `${BACKEND} closed the connection during the handshake`,
    (client) => void client.once("data", () => client.end()),
  ],
  [
    "RST",
    `${BACKEND} reset the connection during the handshake`,
    (client) => void client.once("data", () => client.resetAndDestroy()),
  ],
];

export const failures: readonly Behaviour[] = [
  {
    name: "the same failure has the same code and words on each build",
    needs: ["openssl"],
    async run(context) {
      const stud = await context.stud(["-L", "2", "--alpn-protos=echo"], {
        backend: (await context.echo()).port,
      });
      for (const { name, log, but, talk } of conversations) {
        const line = await failureOf(stud, () => talk(stud, context));
        assert.equal(described(line), but?.[context.target.runtime] ?? log, name);
      }
    },
  },
  {
    name: "the same failure of a backend's handshake has the same code and words on each build",
    async run(context) {
      let talk: (client: Socket) => void = () => {};
      const backend = await context.backend((client) => talk(client.on("error", () => {})));
      const stud = await clientMode(context, backend.port);
      for (const [name, log, next, but] of backends) {
        talk = next;
        const line = await failureOf(stud, () => sends(stud, "hello"));
        const wanted = but !== undefined && context.target.runtime !== "bun" ? but : log;
        assert.equal(described(line), wanted, name);
      }
    },
  },
  {
    name: "the same failure of a backend's session has the same code and words on each build",
    appliesTo: ({ backendTrust }) => backendTrust,
    async run(context) {
      const pem = readFileSync(context.certificates.localhost);
      const raw: Socket[] = [];
      const options: TlsOptions = { key: pem, cert: pem, ca: pem, requestCert: true };
      const next = { rejectUnauthorized: false, sends: undefined as Buffer | undefined };
      const backend = await context.backend((socket) => {
        raw.push(socket.on("error", () => {}));
        const session = new TLSSocket(socket, { ...options, ...next, isServer: true });
        session.on("error", () => {});
        session.once("secure", () => next.sends && socket.write(next.sends));
        session.resume();
      });
      const stud = await clientMode(context, backend.port);
      const failure = () => failureOf(stud, () => sends(stud, "hello"));
      const error = "warn backend tls-error: the backend";
      next.sends = Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n");
      assert.equal(described(await failure()), `${error} violated the TLS protocol`);
      next.sends = BAD_RECORD;
      const undecrypted =
        "warn backend tls-error: a record from the backend could not be decrypted";
      assert.equal(described(await failure()), undecrypted);
      next.sends = undefined;
      next.rejectUnauthorized = true;
      assert.equal(
        described(await failure()),
        `${error} sent the alert certificate_required: it requires a client certificate, ` +
          "which --client does not send",
      );
    },
  },
  {
    name: "a handshake that takes too long, and a name without a certificate",
    async run(context) {
      const { sniAbort } = context.target;
      const args = ["--ssl-handshake-timeout=0.4", ...sniAbort ? ["--sni-nomatch-abort"] : []];
      const stud = await context.stud(args, { backend: 9 });
      const late = await failureOf(stud, () => sends(stud, PARTIAL_HELLO));
      assert.equal(described(late), "warn client handshake-timeout: no TLS handshake in time");
      const silent = await failureOf(stud, () => sends(stud, ""));
      assert.match(described(silent), /^warn client handshake-timeout: the client sent nothing /);
      if (!sniAbort) return;
      const other = await failureOf(
        stud,
        () => isRefused(stud, { servername: "other.example" }),
      );
      assert.equal(described(other), "warn client handshake-failed: unrecognized server name");
    },
  },
  {
    name:
      "no client can write to the log of --quiet, and health checks to none but that of level 2",
    needs: ["openssl"],
    async run(context) {
      const backend = (await context.echo()).port;
      const quiet = await context.launch(["-q", "--alpn-protos=echo"], { backend });
      await until(() => accepts(quiet.frontend), "stud is ready");
      for (const { talk } of conversations) await talk(quiet, context);
      await quiet.stop();
      assert.equal(quiet.stderr, "");
      const stud = await context.stud([], { backend });
      await sends(stud, "", "FIN");
      await sends(stud, "", "RST");
      await failureOf(stud, () => sends(stud, "GET / HTTP/1.1\r\n\r\n"));
      assert.deepEqual(stud.failures(), ["client handshake-failed"]);
    },
  },
  {
    name: "a client that left before it was accepted has no made-up address",
    async run(context) {
      const stud = await context.stud(["-L", "2"], { backend: (await context.echo()).port });
      const worker = stud.worker();
      await hold(worker);
      const client = await openTcp(stud.frontend);
      client.resetAndDestroy();
      await once(client, "close");
      const line = await failureOf(stud, () => Promise.resolve(process.kill(worker, "SIGCONT")));
      assert.match(described(line), new RegExp(`^${LEFT} `));
      assert.doesNotMatch(stud.stderr, /0\.0\.0\.0:0/);
    },
  },
  {
    name: "an alert reaches a client that still sends",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const client = await Tls13Client.handshake(stud.frontend);
      await client.echo(Buffer.from("hello"));
      const worker = stud.worker();
      // Everything is in the kernel before the worker reads the first of it.
      await hold(worker);
      client.socket.write(Buffer.concat([BAD_RECORD, MUCH]));
      await until(() => client.socket.writableLength === 0, "all of it is in the kernel");
      process.kill(worker, "SIGCONT");
      await until(() => client.alerts.length > 0 || client.hasEnded, "an alert");
      assert.deepEqual(client.alerts, [[FATAL, 20]]);
      client.socket.destroy();
    },
  },
];

async function accepts(at: Endpoint): Promise<boolean> {
  try {
    (await openTls(at)).destroy();
    return true;
  } catch {
    return false;
  }
}

/** The next failure in the log. */
async function failureOf(stud: Stud, act: () => Promise<unknown>): Promise<LogLine> {
  const before = stud.logged("connection-failed").length;
  await act();
  const found = () => stud.logged("connection-failed")[before];
  return await until(found, "the failure in the log") as LogLine;
}

function described({ level, source, code, cause }: LogLine): string {
  return `${level} ${source} ${code}: ${cause}`;
}

/** Sends bytes and ends; without `end`, stud must end in order. */
async function sends(stud: Stud, bytes: string | Buffer, end?: "FIN" | "RST"): Promise<void> {
  const socket = await openTcp(stud.frontend);
  if (bytes.length > 0) socket.write(bytes);
  if (end) await until(() => isAccepted(socket), "the connection is accepted");
  if (end && bytes.length > 0) await pause(RECEIVED_MS);
  if (end === "FIN") socket.end();
  if (end === "RST") return void socket.resetAndDestroy();
  await ending(socket);
  socket.destroy();
}

/** A connection that still waits in the queue has no inode (proc_net_tcp in the kernel's docs). */
function isAccepted({ localPort, remotePort }: Socket): boolean {
  const port = (number?: number) => number!.toString(16).toUpperCase().padStart(4, "0");
  const ends = `:${port(remotePort)} \\w+:${port(localPort)}`;
  const inode = new RegExp(`${ends}(?: \\S+){3} +\\S+ +\\S+ +\\d+ +(\\d+)`);
  return Number(inode.exec(readFileSync("/proc/net/tcp", "utf8"))?.[1]) > 0;
}

async function isRefused(
  { frontend }: Stud,
  options: Parameters<typeof openTls>[1],
): Promise<void> {
  await assert.rejects(openTls(frontend, options));
}

/** As most clients do: with an alert, which is in the clear with TLS 1.3. */
async function distrusts({ frontend }: Stud, context: Context, version: string): Promise<void> {
  const flag = version === "1.2" ? "-tls1_2" : "-tls1_3";
  const words = ["-connect", endpointText(frontend), "-servername", "localhost", flag];
  const other = context.certificates.b.replace(/pem$/, "crt");
  await run("openssl", ["s_client", ...words, "-verify_return_error", "-CAfile", other]);
}

/** Acts instead of sending the client's Finished. */
async function answers({ frontend }: Stud, act: (client: Tls13Client) => unknown): Promise<void> {
  const client = await Tls13Client.open(frontend);
  client.hello();
  await client.answered();
  act(client);
  await client.ended;
  client.socket.destroy();
}

/** Acts in a session; stud must answer with an alert, if it does not get one, and then with FIN. */
async function talks(
  { frontend }: Stud,
  act: (client: Tls13Client) => unknown,
  answer: "alert" | "FIN" | "nothing" = "alert",
): Promise<void> {
  const client = await Tls13Client.handshake(frontend);
  await client.echo(Buffer.from("hello"));
  act(client);
  const end = await client.ended;
  client.socket.destroy();
  if (answer === "nothing") return;
  assert.equal(end, "end");
  if (answer === "alert") assert.equal(client.alerts.at(-1)?.[0], FATAL);
}

async function renegotiates({ frontend }: Stud): Promise<void> {
  const client = await openTls(frontend, { maxVersion: "TLSv1.2" });
  const error = await new Promise((resolve) => {
    client.on("error", resolve);
    client.renegotiate({}, (error) => error && resolve(error));
  });
  client.destroy();
  assert.match(String(error), /no.renegotiation/i);
}

async function clientMode(context: Context, port: number): Promise<Stud> {
  const frontend = await freeEndpoint();
  const all = [
    ...["--client", "-L", "2", "-n", "1", "--log-format=json"],
    ...context.target.backendTrust ? ["--client-verify=none"] : [],
    ...[`--frontend=${frontend.host},${frontend.port}`, `--backend=127.0.0.1,${port}`],
  ];
  const stud = await context.launch(all, { backend: port, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return stud;
}

function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}

/** Milliseconds in which a worker reads from a connection that it has accepted. */
const RECEIVED_MS = 100;
const MUCH = Buffer.alloc(65_536, 1);
const BAD_RECORD = plainRecord(APPLICATION_DATA, Buffer.alloc(64, 1));
