/** The access log: what it says of a connection, rotation, and that nothing waits for its reader. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import * as runtime from "#runtime";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from "../../src/os/constants.ts";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { ending, exchange, openTcp, openTls, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { receiveDatagrams } from "../support/datagrams.ts";
import { endpointText, freeEndpoint } from "../support/endpoints.ts";
import { canHang, hangingDisk } from "../support/hanging_disk.ts";
import { helperOf, hold, isAlive, userOf } from "../support/processes.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { upgraded } from "./upgrade.ts";

/** More lines than the pipe and a worker's queue hold. */
const FLOOD = 1500;
const CLIENTS = 50;
/** The user id of `nobody`, which every system has. */
const NOBODY = 65534;

type Line = Readonly<Record<string, unknown>>;

export const accessLog: readonly Behaviour[] = [
  {
    name: "the access log has what is known of a connection, and so has --log-level 2",
    async run(context) {
      const { stud, lines } = await logging(context, ["--alpn-protos=h2,http/1.1", "-L", "2"]);
      const { tlsFacts } = context.target;
      const started = performance.now();
      const client = await openTls(stud.frontend, {
        servername: "localhost",
        ALPNProtocols: ["http/1.1"],
      });
      const name = `127.0.0.1:${client.localPort}`;
      const cipher = client.getCipher().standardName;
      client.end("hello");
      assert.equal(String(await readAll(client)), "hello");
      const line = await lineOf(lines, name);
      const { time, handshake, connect, total, backend, ...others } = line;
      assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
      for (const seconds of [handshake, connect, total]) {
        assert.ok(Number(seconds) > 0 && Number(seconds) < performance.now() - started);
      }
      assert.match(String(backend), /^127\.0\.0\.1:\d+$/);
      const expected = {
        client: name,
        frontend: endpointText(stud.frontend),
        service: "default",
        ...(tlsFacts ? { sni: "localhost" } : {}),
        alpn: "http/1.1",
        ...(tlsFacts ? { version: "TLSv1.3", cipher } : {}),
        ...(tlsFacts ? { resumed: false } : {}),
        ...{ received: 5, sent: 5, reason: "closed", by: "client", worker: 1 },
        ...{ pid: stud.worker(), connection: 1 },
      };
      assert.deepEqual(others, expected);
      const [established] = stud.logged("connection-established");
      const closed = await stud.waitForLog(({ event }) => event === "connection-closed", "its end");
      const { received: _, sent: __, reason: ___, by: ____, ...beginning } = expected;
      for (const [name, value] of Object.entries({ ...beginning, backend, handshake, connect })) {
        assert.equal(established![name], value, name);
      }
      for (const [name, value] of Object.entries({ ...expected, backend, total })) {
        assert.equal(closed[name], value, name);
      }
      assert.match(closed.message, / received=5 sent=5 .* reason=closed by=client$/);
    },
  },
  {
    name: "the access log says why a connection failed and who caused it",
    waits: true,
    async run(context) {
      const { stud, lines } = await logging(context, ["--ssl-handshake-timeout=3"], 9);
      const begun = async (bytes: string) => {
        const socket = await openTcp(stud.frontend);
        socket.write(bytes);
        // Before anything else is awaited, during which it may end.
        const ended = ending(socket).then(() => void socket.destroy());
        return { name: `127.0.0.1:${socket.localPort}`, ended };
      };
      const clients = [await begun("not a ClientHello\r\n\r\n"), await begun("")];
      (await openTcp(stud.frontend)).destroy();
      await exchange(stud.frontend, "hello").catch(() => {});
      await Promise.all(clients.map(({ ended }) => ended));
      await until(() => lines().length === 4, "all lines");
      const [failed, late] = clients.map(({ name }) =>
        lines().find(({ client }) => client === name)!
      );
      const reason = ({ reason, by, handshake }: Line) => [reason, by, handshake !== undefined];
      assert.deepEqual(reason(failed!), ["handshake-failed", "client", false]);
      assert.deepEqual(reason(late!), ["handshake-timeout", "client", false]);
      const reasons = lines().map(({ reason, by }) => `${by} ${reason}`).sort();
      assert.deepEqual(reasons, [
        ...["backend backend-refused", "client client-left"],
        ...["client handshake-failed", "client handshake-timeout"],
      ]);
    },
  },
  {
    name:
      "the access log has the subject of a verified certificate, and whether a session was resumed",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { ca, a } = context.certificates;
      const words = ["--client-verify=optional", `--client-verify-ca=${ca}`];
      const { stud, lines } = await logging(context, words);
      const identity = { cert: readFileSync(a), key: readFileSync(a) };
      const visit = async (session?: Buffer) => {
        const client = await openTls(stud.frontend, {
          ...{ ...identity, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
          ...(session ? { session } : {}),
        });
        const ticket = client.getSession();
        client.end("hello");
        await readAll(client);
        return ticket;
      };
      await visit(await visit());
      await exchange(stud.frontend, "hello");
      await until(() => lines().length === 3, "all lines");
      const found = lines().map(({ subject, resumed }) => [subject, resumed]);
      assert.deepEqual(found, [["CN=a", false], ["CN=a", true], [
        undefined,
        false,
      ]]);
    },
  },
  {
    name: "a confined worker and the helper write to a file of the user that started stud",
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const root = mkdtempSync(join(context.certificates.directory, "access-"));
      const { stud, file, lines } = await logging(context, ["--user=nobody", `--chroot=${root}`]);
      const helper = helperOf(stud.pid, "@access-log")!;
      await until(() => userOf(helper) === NOBODY, "the helper drops its privileges");
      await exchange(stud.frontend, "hello");
      await until(() => lines().length === 1, "a line");
      assert.equal(statSync(file).uid, 0);
      renameSync(file, `${file}.1`);
      const isReopened = async () => {
        await exchange(stud.frontend, "hello");
        return existsSync(file) && lines().length > 0;
      };
      await until(isReopened, "the new file");
    },
  },
  {
    name: "a name that a client invents adds no line and no field to the access log",
    async run(context) {
      const { stud, file } = await logging(context, ["--access-log-format=text"]);
      const names = ["new\nline", 'quote" reason=forged', "\x1b[2J"];
      for (const servername of names) {
        // Some TLS libraries refuse such a name, others pass it on.
        await exchange(stud.frontend, "hello", { servername }).catch(() => {});
      }
      await stud.stop();
      const lines = readFileSync(file, "utf8").split("\n");
      assert.equal(lines.pop(), "");
      assert.equal(lines.length, names.length);
      for (const line of lines) {
        assert.match(line, /^time=\S+ client=127\.0\.0\.1:\d+ frontend=\S+ service=default sni=/);
        assert.doesNotMatch(line.replaceAll(/"([^"\\]|\\.)*"/g, ""), /forged|\p{Cc}/u);
      }
    },
  },
  {
    name: "--access-log-sample logs one of N connections",
    async run(context) {
      const { stud, lines } = await logging(context, ["--access-log-sample=1/3"]);
      for (let i = 0; i < 7; i++) await exchange(stud.frontend, "hello");
      await stud.stop();
      assert.deepEqual(lines().map(({ connection }) => connection), [1, 4, 7]);
    },
  },
  {
    name: "a stop loses no line of the access log, and logs what it cuts",
    async run(context) {
      const words = ["-n", "2", "--drain-timeout=0"];
      const { stud, lines } = await logging(context, words);
      for (let i = 0; i < CLIENTS; i++) await exchange(stud.frontend, "hello");
      const open = await context.tls(stud.frontend);
      open.on("error", () => {}).write("x");
      await within(new Promise((resolve) => open.once("data", resolve)), "an answer");
      const helper = helperOf(stud.pid, "@access-log")!;
      assert.equal((await stud.stop()).code, 3);
      assert.ok(!isAlive(helper));
      assert.equal(lines().length, CLIENTS + 1);
      const cut = lines().filter(({ reason }) => reason === "stopped");
      assert.deepEqual(cut.map(({ by, received, sent }) => [by, received, sent]), [["stop", 1, 1]]);
    },
  },
  {
    name: "the access log follows rotation, by a signal or without one, and copytruncate",
    async run(context) {
      const { stud, file, lines } = await logging(context);
      assert.equal(statSync(file).mode & 0o777, 0o640);
      const helper = () => helperOf(stud.pid, "@access-log");
      await exchange(stud.frontend, "hello");
      await until(() => lines().length === 1, "a line");
      const signals = context.target.runtime === "deno"
        ? ["SIGHUP"] as const
        : ["SIGUSR1", "SIGHUP"] as const;
      let moved = 0;
      for (const signal of [...signals, undefined]) {
        const old = `${file}.${++moved}`;
        const before = helper();
        renameSync(file, old);
        if (signal) stud.signal(signal);
        else {
          const isOpened = async () => {
            await exchange(stud.frontend, "hello");
            return existsSync(file) && lines().length > 0;
          };
          await until(isOpened, "the new file without a signal");
          continue;
        }
        // Until the old helper has exited, it may write a line to the old file.
        const isReopened = () => existsSync(file) && helper() !== before && helpers(stud) === 1;
        await until(isReopened, `the new file after ${signal}`);
        await exchange(stud.frontend, "hello");
        await until(() => lines().length === 1, "a line in the new file");
        assert.equal(readFileSync(old, "utf8").trimEnd().split("\n").length, 1);
      }
      copyFileSync(file, `${file}.copy`);
      truncateSync(file);
      await exchange(stud.frontend, "hello");
      await until(() => lines().length > 0, "a line after the truncation");
    },
  },
  {
    name: "a failed rotation of the access log keeps the old file and is logged once",
    async run(context) {
      const { stud, file } = await logging(context);
      renameSync(file, `${file}.1`);
      mkdirSync(file);
      const written = () => readFileSync(`${file}.1`, "utf8").split("\n").length - 1;
      const tries = async () => {
        await exchange(stud.frontend, "hello");
        return stud.logged("access-log-not-reopened").length > 0;
      };
      await until(tries, "the failure");
      const before = written();
      await exchange(stud.frontend, "hello");
      await until(() => written() > before, "a line in the old file");
      const [line, ...others] = stud.logged("access-log-not-reopened");
      assert.deepEqual(others, []);
      assert.match(
        line!.message,
        /^cannot reopen the access log .*: .* directory; still writing to/,
      );
    },
  },
  {
    name:
      "a stopped helper of the access log delays no service, reload or stop; losses are counted",
    async run(context) {
      const config = join(mkdtempSync(join(context.certificates.directory, "access-")), "conf");
      const configure = (limit: number) => writeFileSync(config, `idle-timeout = ${limit}\n`);
      configure(100);
      // Its lines are longer.
      const words = [`--config=${config}`, "--access-log-format=text"];
      const { stud, file } = await logging(context, words);
      await hold(helperOf(stud.pid, "@access-log")!);
      // A connection without TLS is a line as well.
      for (let i = 0; i < FLOOD; i += CLIENTS) {
        const clients = Array.from({ length: CLIENTS }, () => openTcp(stud.frontend));
        for (const client of clients) (await client).destroy();
      }
      const dropped = await stud.waitForLog(
        ({ event }) => event === "access-log-dropped",
        "losses",
      );
      assert.match(dropped.message, /^[\d,]+ lines? of the access log w\w+ lost: its file or its /);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      configure(200);
      stud.signal("SIGHUP");
      await until(() => stud.workers().length === 1 && reloads(stud) === 1, "the reload");
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      assert.equal((await stud.stop()).code, 0);
      // It was stopped before it had read anything.
      const lost = stud.logged("access-log-dropped").map(({ lines }) => Number(lines));
      const written = readFileSync(file, "utf8").split("\n").length - 1;
      assert.equal(lost.reduce((sum, lines) => sum + lines, 0) + written, FLOOD + 2);
    },
  },
  {
    name: "an access log in a FIFO without a reader delays nothing, and waits for one",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "access-")), "fifo");
      execFileSync("mkfifo", [file]);
      const { stud } = await logging(context, [], undefined, file);
      await exchange(stud.frontend, "hello");
      for (let i = 0; i < 400; i++) (await openTcp(stud.frontend)).destroy();
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
      context.after(() => closeSync(fd));
      const { code } = await stud.stop();
      assert.equal(code, 0);
    },
  },
  {
    name: "a helper of the access log that is killed is replaced, and no line is torn or lost",
    async run(context) {
      const { stud, lines } = await logging(context);
      const helper = helperOf(stud.pid, "@access-log")!;
      await exchange(stud.frontend, "hello");
      await until(() => lines().length === 1, "a line");
      process.kill(helper, "SIGKILL");
      await stud.waitForLog(({ event }) => event === "access-log-exited", "its exit is logged");
      await exchange(stud.frontend, "hello");
      await until(() => lines().length === 2, "the next line");
      assert.notEqual(helperOf(stud.pid, "@access-log"), helper);
      await stud.stop();
      assert.ok(lines().every(({ reason }) => reason === "closed"));
    },
  },
  {
    name: "a reload adds, changes and removes the access log, and old workers keep theirs",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "access-"));
      const config = join(directory, "conf");
      const configure = (text: string) =>
        writeFileSync(config, `access-log-format = json\n${text}`);
      configure("");
      const stud = await context.stud([`--config=${config}`], {
        backend: (await context.echo()).port,
      });
      const [one, two] = ["one", "two"].map((name) => join(directory, name));
      const reload = async (text: string) => {
        const before = reloads(stud);
        configure(text);
        stud.signal("SIGHUP");
        await until(() => reloads(stud) > before, "the reload");
      };
      const served = async () => {
        const client = await openTls(stud.frontend);
        client.on("error", () => {}).write("x");
        await within(new Promise((resolve) => client.once("data", resolve)), "an answer");
        return client;
      };
      await exchange(stud.frontend, "hello");
      await reload(`access-log = "${one}"\n`);
      const held = await served();
      await reload(`access-log = "${two}"\n`);
      await exchange(stud.frontend, "hello");
      await until(() => linesIn(two!).length === 1, "a line in the new file");
      assert.deepEqual(linesIn(one!), []);
      held.end();
      await until(() => linesIn(one!).length === 1, "the old worker's line in the old file");
      await until(() => helpers(stud) === 1, "the old helper exits");
      await reload("");
      await exchange(stud.frontend, "hello");
      await until(() => helpers(stud) === 0, "the last helper exits");
      assert.equal(linesIn(two!).length, 1);
    },
  },
  {
    name: "after SIGUSR2 the old workers still write to the access log",
    async run(context) {
      const { stud, lines } = await logging(context);
      const worker = stud.worker();
      const held = await context.tls(stud.frontend);
      const name = `127.0.0.1:${held.localPort}`;
      held.on("error", () => {}).write("x");
      await within(new Promise((resolve) => held.once("data", resolve)), "an answer");
      await upgraded(context, stud, stud.pid);
      const isNew = async () => {
        await exchange(stud.frontend, "hello");
        return lines().some(({ pid }) => pid !== worker);
      };
      await until(isNew, "a line of the new worker");
      held.end();
      await until(() => !isAlive(stud.pid), "the first master's exit");
      const last = lines().filter(({ client }) => client === name);
      assert.deepEqual(last.map(({ pid, received }) => [pid, received]), [[worker, 1]]);
    },
  },
  {
    name:
      "--access-log - is standard output, and a relative path belongs to the directory of start",
    async run(context) {
      const backend = (await context.echo()).port;
      const stud = await context.stud(["--access-log=-", "--access-log-format=json"], { backend });
      await exchange(stud.frontend, "hello");
      await until(() => stud.stdout.includes("\n"), "a line on standard output");
      assert.equal(JSON.parse(stud.stdout).received, 5);
      const directory = mkdtempSync(join(context.certificates.directory, "access-"));
      const file = join(directory, "syslog");
      const other = await context.stud(["--access-log=./syslog"], { backend, directory });
      await exchange(other.frontend, "hello");
      await until(() => existsSync(file) && readFileSync(file, "utf8") !== "", "a line");
    },
  },
  {
    name: "--access-log syslog sends each line to syslog",
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "syslog-"));
      const { datagrams, stop } = await receiveDatagrams(join(directory, "log"));
      context.after(stop);
      const isolated = context.like(withSyslog(context, directory));
      const words = ["--access-log=syslog", "--syslog-facility=local3"];
      const stud = await isolated.stud(words, { backend: (await context.echo()).port });
      await exchange(stud.frontend, "hello");
      await until(() => datagrams().length > 0, "a line in syslog");
      assert.match(
        datagrams().join("\n"),
        /^<158>\w{3} [ \d]\d \d\d:\d\d:\d\d stud\[\d+\]: time=\S+ client=\S+ .* reason=closed by=/,
      );
    },
  },
  {
    name: "syslog that is not read delays no service and no stop",
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "syslog-"));
      const { libc } = runtime;
      const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      const address = sockaddr({ family: "unix", path: join(directory, "log") });
      assert.equal(libc.bind(fd, address, address.length), 0);
      context.after(() => libc.close(fd));
      const isolated = context.like(withSyslog(context, directory));
      const { port } = await context.echo();
      const stud = await isolated.stud(["--access-log=syslog"], { backend: port });
      // More than the socket's queue takes, so that the helper waits.
      for (let i = 0; i < FLOOD; i += CLIENTS) {
        const clients = Array.from({ length: CLIENTS }, () => openTcp(stud.frontend));
        for (const client of clients) (await client).destroy();
      }
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      assert.equal((await stud.stop()).code, 0);
    },
  },
  {
    name: "an access log that cannot be written is one line, and nothing starts",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "access-"));
      const log = join(directory, "log");
      writeFileSync(log, "");
      const cases: [readonly string[], RegExp][] = [
        [["--access-log", directory], /^stud: --access-log: cannot open .*: .* directory; choose /],
        [
          ["--access-log", join(directory, "none/x")],
          /^stud: --access-log: cannot open .*: No such /,
        ],
        [
          ["--access-log", log, "--log-filename", log],
          /^stud: --access-log: .* is also given as --log-filename; choose another path$/,
        ],
        [
          [
            "--access-log",
            join(directory, ".", basename(log)),
            "--log-filename",
            `/proc/self/root${log}`,
          ],
          /^stud: --access-log: .* is also given as --log-filename; choose another path$/,
        ],
        [
          ["--access-log=-", "--daemon"],
          /^stud: --access-log: with --daemon nobody sees standard /,
        ],
        [["--access-log-sample=0.1"], /^stud: --access-log-sample: "0.1" is not a share; use 1\/N/],
        [
          ["--access-log-format=xml"],
          /^stud: --access-log-format: "xml" is not a valid value; use /,
        ],
        [["--access-log=8080"], /^stud: --access-log: "8080" looks like a port, not a file/],
      ];
      const { host, port } = await freeEndpoint();
      for (const [words, expected] of cases) {
        const all = [...words, "-f", `${host},${port}`, context.certificates.localhost];
        const { code, stderr } = await runStud(context.target, all);
        const [line, ...others] = stderr.trimEnd().split("\n");
        assert.notEqual(code, 0, words.join(" "));
        assert.match(line!, expected);
        assert.deepEqual(others, [], words.join(" "));
      }
      const test = ["--test", "--access-log", dirname(directory), context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, test);
      assert.notEqual(code, 0);
      assert.match(stderr, /--access-log: cannot write .*: .*directory; choose another path\n/);
    },
  },
  {
    name: "an access log on a disk that hangs is one line at the start, and delays nothing later",
    appliesTo: canHang,
    waits: true,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "hang-"));
      const [disk, healthy, link] = ["disk", "healthy", "link"].map((name) =>
        join(directory, name)
      );
      for (const each of [disk!, healthy!]) mkdirSync(each);
      context.after(hangingDisk(disk!));
      const { host, port } = await freeEndpoint();
      const { code, stderr } = await runStud(context.target, [
        ...[`--access-log=${disk}/log`, "-f", `${host},${port}`, context.certificates.localhost],
      ]);
      assert.notEqual(code, 0);
      assert.equal(
        stderr,
        `stud: --access-log: cannot open ${disk}/log: it takes more than 5 s; check its disk; ` +
          "choose another path\n",
      );

      // A path that leads there when it is opened again.
      symlinkSync(healthy!, link!);
      const { stud } = await logging(context, [], undefined, `${link}/log`);
      await exchange(stud.frontend, "hello");
      rmSync(link!);
      symlinkSync(disk!, link!);
      for (const count of [1, 2]) {
        stud.signal("SIGHUP");
        await until(() => reloads(stud) === count, "the reload");
        assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      }
      assert.equal((await stud.stop()).code, 0);
      assert.deepEqual(stud.survivors(), []);
    },
  },
  {
    name: "a full disk loses lines of the access log, which are counted, and nothing else",
    async run(context) {
      const { stud } = await logging(context, [], undefined, "/dev/full");
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      const line = await stud.waitForLog(({ event }) => event === "access-log-dropped", "the loss");
      assert.match(line.message, /^1 line .* was lost: they cannot be written: No space left on /);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
];

/** The same program with a /dev of its own, in which `log` in this directory is syslog's socket. */
function withSyslog({ target }: Context, directory: string) {
  const mount = "mount -t tmpfs none /mnt && cp -a /dev/null /dev/zero /dev/urandom " +
    '/dev/random /mnt/ && ln -s "$0/log" /mnt/log && mount --move /mnt /dev && exec "$@"';
  const command = ["unshare", "-m", "sh", "-c", mount, directory, ...target.command];
  return { ...target, command };
}

/** A stud with a JSON access log in a file of its own, unless the words say otherwise. */
async function logging(
  context: Context,
  words: readonly string[] = [],
  backend?: number,
  path?: string,
) {
  const file = path ?? join(mkdtempSync(join(context.certificates.directory, "access-")), "log");
  const isText = words.includes("--access-log-format=text");
  const all = [`--access-log=${file}`, ...words, ...(isText ? [] : ["--access-log-format=json"])];
  const stud = await context.stud(all, { backend: backend ?? (await context.echo()).port });
  return { stud, file, lines: () => linesIn(file) };
}

function linesIn(file: string): Line[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

function lineOf(lines: () => Line[], name: string): Promise<Line> {
  return until(() => lines().find(({ client }) => client === name), "its line") as Promise<Line>;
}

function reloads(stud: Stud): number {
  return stud.logged("reloaded").length;
}

/** The number of helpers that write access logs. */
function helpers(stud: Stud): number {
  const children = execFileSync("ps", ["--ppid", String(stud.pid), "-o", "args="]).toString();
  return children.split("\n").filter((args) => args.includes("@access-log")).length;
}
