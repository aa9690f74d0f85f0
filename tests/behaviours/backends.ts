/** Where the decrypted bytes go: addresses, names whose address changes, Unix sockets. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { type LogLine, runStud, type Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

const isRoot = process.getuid!() === 0;

export const backends: readonly Behaviour[] = [
  ...["a path", "an abstract name"].map((kind): Behaviour => ({
    name: `a Unix socket by ${kind} is a backend, with a prefix`,
    async run(context) {
      const directory = made(context);
      const path = kind === "a path" ? join(directory, "echo.sock") : `@${directory}`;
      await listenAt(context, path);
      const stud = await start(context, path, ["--write-proxy"]);
      assert.match(String(await exchange(stud.frontend, "hello")), /^PROXY TCP4 .*\r\nhello$/);
    },
  })),
  {
    name: "a Unix backend that does not exist yet is a warning, and is used once it exists",
    async run(context) {
      const path = join(made(context), "late.sock");
      const stud = await start(context, path);
      await stud.waitForLog(
        ({ event, message }) => event === "warning" && message.includes(path),
        "the warning",
      );
      assert.equal(String(await exchange(stud.frontend, "hello")), "");
      await until(() => stud.failures().length === 1, "the failure is logged");
      assert.deepEqual(stud.failures(), ["backend backend-unreachable"]);
      await listenAt(context, path);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "in hitch's dialect a Unix backend must exist and be a socket",
    async run(context) {
      const words = ["--compat=hitch", "--user=nobody", context.certificates.localhost];
      const none = await runStud(context.target, [...words, "--backend=/nonexistent/x.sock"]);
      assert.equal(none.code, 1);
      assert.match(none.stderr, /Unable to stat path '\/nonexistent\/x\.sock'/);
      const file = context.certificates.ca;
      const other = await runStud(context.target, [...words, `--backend=${file}`]);
      assert.equal(other.code, 1);
      assert.ok(other.stderr.includes(`Invalid path '${file}': Not a socket.`), other.stderr);
    },
  },
  {
    name: "a backend path that cannot be examined, and a wildcard, are refused in one line",
    async run(context) {
      const loop = join(made(context), "loop.sock");
      symlinkSync(loop, loop);
      for (const backend of [loop, "*:80"]) {
        const words = [`--backend=${backend}`, context.certificates.localhost];
        const { code, stderr } = await runStud(context.target, words);
        assert.equal(code, 1);
        assert.match(stderr, /^stud: --backend: [^\n]+\n$/);
        assert.match(
          stderr,
          backend === loop ? /Unable to stat path/ : /wildcards are not allowed/,
        );
      }
    },
  },
  {
    name: "with --chroot the path of a Unix backend is relative to the new root",
    appliesTo: () => isRoot,
    async run(context) {
      const jail = made(context);
      mkdirSync(join(jail, "run"));
      await listenAt(context, join(jail, "run", "echo.sock"));
      const words = [`--chroot=${jail}`, "--user=nobody"];
      const stud = await start(context, "/run/echo.sock", words);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "--backend-refresh: new connections go to the name's current address",
    appliesTo: () => isRoot,
    waits: true,
    async run(context) {
      const { stud, hosts, first, second } = await named(context, ["--backend-refresh=1"]);
      assert.equal(String(await exchange(stud.frontend, "")), first);
      hosts(`${second} backend.example`);
      await stud.waitForLog((line) => line.event === "backend-moved", "the new address is logged");
      assert.equal(String(await exchange(stud.frontend, "")), second);
    },
  },
  {
    name: "a name that can no longer be resolved keeps its address, which is logged once",
    appliesTo: () => isRoot,
    waits: true,
    async run(context) {
      const { stud, hosts, first, second } = await named(context, ["--backend-refresh=1"]);
      hosts("");
      const failures = () => stud.logs.filter((line) => line.event === "backend-unresolved");
      await until(() => failures().length === 1, "the failure is logged");
      assert.equal(String(await exchange(stud.frontend, "")), first);
      hosts(`${second} backend.example`);
      await stud.waitForLog((line) => line.event === "backend-moved", "the new address is logged");
      assert.equal(failures().length, 1);
      hosts("");
      await until(() => failures().length === 2, "the next failure is logged");
      hosts(`${second} backend.example`);
      await stud.waitForLog((line) => line.event === "backend-resolved", "the recovery is logged");
    },
  },
  {
    name: "a reload during a DNS outage keeps the backend's address, with a warning",
    appliesTo: () => isRoot,
    waits: true,
    async run(context) {
      const { stud, hosts, first } = await named(context, [], true);
      hosts("");
      stud.signal("SIGHUP");
      await stud.waitForLog((line) => line.event === "reloaded", "the reload");
      const isWarning = ({ event, message }: LogLine) =>
        event === "warning" && /cannot resolve.*backend\.example.*stays in use/.test(message);
      await stud.waitForLog(isWarning, "the warning");
      assert.equal(String(await exchange(stud.frontend, "")), first);
    },
  },
  {
    name: "a stop does not wait for a DNS server",
    appliesTo: () => isRoot,
    async run(context) {
      const { stud, hosts, server } = await named(context, ["--backend-refresh=1"], true);
      hosts("");
      const query = once(server, "message");
      await within(query, "a query, which is not answered");
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
    },
  },
  {
    name: "after a failed connect the name is looked up again automatically",
    appliesTo: () => isRoot,
    waits: true,
    async run(context) {
      const { stud, hosts, first, second, closeFirst } = await named(context, []);
      hosts(`${second} backend.example`);
      assert.equal(String(await exchange(stud.frontend, "")), first);
      // Failures trigger a lookup at most every 5 s.
      await closeFirst();
      const answer = async () => String(await exchange(stud.frontend, "").catch(() => ""));
      await until(async () => await answer() === second, "the new address is used");
    },
  },
  {
    name: "--backend-source with a Unix backend is refused",
    appliesTo: ({ backendSource }) => backendSource,
    async run(context) {
      const words = ["--backend=@nobody", "--backend-source=127.0.0.1"];
      const { code, stderr } = await runStud(context.target, [
        ...words,
        context.certificates.localhost,
      ]);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: --backend-source[^\n]*\n$/);
    },
  },
];

/** A directory in which any user can open files. */
export function made(context: Context): string {
  const directory = mkdtempSync(join(context.certificates.directory, "backend-"));
  chmodSync(directory, 0o755);
  chmodSync(context.certificates.directory, 0o755);
  return directory;
}

/** An echo server on a Unix socket. */
export async function listenAt(context: Context, path: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}).pipe(socket);
  });
  const isAbstract = path.startsWith("@");
  server.listen(isAbstract ? `\0${path.slice(1)}` : path);
  await once(server, "listening");
  if (!isAbstract) chmodSync(path, 0o666);
  context.after(() => server.close());
}

/** Starts stud with a free frontend and this backend, and waits until it is ready. */
export async function start(
  context: Context,
  backend: string,
  words: readonly string[] = [],
): Promise<Stud> {
  const frontend = await freeEndpoint();
  const all = [
    ...[...words, `--backend=${backend}`, `--frontend=${frontend.host},${frontend.port}`],
    ...["-n", "1", "--log-format=json", context.certificates.localhost],
  ];
  const stud = await context.launch(all, { backend: 1, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return stud;
}

/**
 * A stud whose backend is a name in a hosts file of its own. Two servers, at `first` and `second`,
 * answer with their address; the name is that of the first. `isSilent`: the DNS server `server` does
 * not answer.
 */
async function named(context: Context, words: readonly string[], isSilent = false) {
  const directory = made(context);
  const file = join(directory, "hosts");
  const hosts = (text: string) => writeFileSync(file, `127.0.0.1 localhost\n${text}\n`);
  const { host: first, port } = await freeEndpoint();
  const { host: second } = await freeEndpoint();
  hosts(`${first} backend.example`);
  const servers = await Promise.all([first, second].map(async (address) => {
    const server = createServer((socket) => socket.on("error", () => {}).end(address));
    server.listen(port, address);
    await once(server, "listening");
    context.after(() => server.close());
    return server;
  }));
  // The resolver waits for an answer longer than the test.
  const server = createSocket("udp4").bind(53, (await freeEndpoint()).host);
  await once(server, "listening");
  context.after(() => server.close());
  const resolver = join(directory, "resolv.conf");
  const { address } = server.address();
  const silent = `nameserver ${address}\noptions timeout:30 attempts:5\n`;
  writeFileSync(
    resolver,
    isSilent ? silent : "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
  );
  const mount = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && ' +
    'shift && exec "$@"';
  const command = ["unshare", "-m", "sh", "-c", mount, file, resolver, ...context.target.command];
  const stud = await start(
    context.like({ ...context.target, command }),
    `backend.example,${port}`,
    words,
  );
  const closeFirst = () => new Promise((closed) => servers[0]!.close(closed));
  return { stud, hosts, first, second, closeFirst, server };
}
