/** What the running service says about itself, asked over the admin endpoint. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { localhostCertificate } from "../../src/certificates/localhost.ts";
import type { ReloadInProgress, ReloadStatus, Status } from "../../src/status/status.ts";
import { Chains } from "../support/chains.ts";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { endpointText, freeEndpoint } from "../support/endpoints.ts";
import { childrenOf, hold, isAlive, killIfAlive } from "../support/processes.ts";
import { runStud } from "../support/stud.ts";
import { until } from "../support/until.ts";
import { isSuccessor } from "./surroundings.ts";

const DAY_MS = 86_400_000;

export const status: readonly Behaviour[] = [
  {
    name: "the status shows what is wrong, and no more once it is mended",
    waits: true,
    async run(context) {
      const { stud, write, pem, status, ask } = await asked(context);
      const first = await status();
      assert.equal(first.health, "well");
      assert.deepEqual(first.problems, []);
      assert.deepEqual(first.ready, { isReady: true });
      assert.equal(first.master.pid, stud.pid);
      assert.deepEqual(first.configuration.files.map(({ path }) => path), [write.file]);
      assert.deepEqual(first.frontends.map(({ addresses }) => addresses), [[
        endpointText(stud.frontend),
      ]]);
      assert.equal(first.backends[0]!.state, "unknown");
      const [listed] = first.certificates.listed;
      assert.deepEqual([listed!.names, listed!.place], [["localhost"], pem]);
      assert.ok(listed!.daysLeft > 21 && listed!.key === "ECDSA P-256");

      // A backend that refuses, a certificate that has expired, and one that ends soon.
      const { port: closed } = await freeEndpoint();
      const certificates = { ended: -2 * DAY_MS, soon: 0 };
      write({ backend: closed, certificates });
      assert.equal((await ask("POST", "/reload")).code, 200);
      await assert.rejects(
        exchange(stud.frontend, "hello").then((answer) => {
          if (answer.length === 0) throw new Error("no answer");
        }),
      );
      await until(async () => (await codes(status)).includes("backend-down"), "the outage");
      const wrong = await status();
      assert.equal(wrong.health, "degraded");
      assert.deepEqual(wrong.problems.map(({ severity, code }) => `${severity} ${code}`), [
        "error backend-down",
        "error certificate-expired",
        "warning certificate-ends-soon",
      ]);
      const [down, expired, soon] = wrong.problems;
      assert.match(down!.text, new RegExp(`127\\.0\\.0\\.1:${closed} .*backend-refused`));
      assert.match(
        expired!.text,
        /\/ended\.pem: .* for localhost expired 24 hours ago, .*; renew it/,
      );
      assert.match(soon!.text, /\/soon\.pem: .* ends in 2[34] hours, .*; renew it, then reload$/);
      const days = wrong.certificates.listed.map(({ daysLeft }) => daysLeft);
      assert.deepEqual([days.slice(0, 2), days.length], [[-2, 0], 3]);

      // A reload that fails, in one line that says where.
      write({ more: "workers = many" });
      const { code, body } = await ask("POST", "/reload");
      assert.equal(code, 500);
      const failed: ReloadStatus = JSON.parse(body);
      assert.equal(failed.result, "failed");
      assert.match(failed.problems.join("\n"), /stud\.conf:\d+:\d+: workers: /);
      const { problems, reloads } = await status();
      assert.deepEqual(reloads.last, failed);
      assert.deepEqual([reloads.succeeded, reloads.failed], [1, 1]);
      assert.ok(
        problems.some((each) =>
          each.code === "reload-failed" && each.text.includes(failed.problems[0]!)
        ),
      );

      // A worker that is killed.
      process.kill(stud.worker(), "SIGKILL");
      await until(async () => (await codes(status)).includes("worker-exited"), "the exit");

      write({});
      assert.equal((await ask("POST", "/reload")).code, 200);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      await until(async () => (await status()).backends[0]!.state === "up", "the backend");
      // The killed worker is of an older generation, or of one whose workers were replaced.
      const left = (await codes(status)).filter((each) => each !== "worker-exited");
      assert.deepEqual(left, []);
    },
  },
  {
    name: "a frontend has one name in the status, the metrics, the access log and the log",
    async run(context) {
      const log = join(mkdtempSync(join(context.certificates.directory, "name-")), "access.log");
      const { stud, status, ask } = await asked(context, [`--access-log=${log}`, "--log-level=2"]);
      const name = endpointText(stud.frontend);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      const [frontend] = (await status()).frontends;
      assert.deepEqual([frontend!.name, frontend!.addresses], [name, [name]]);
      const { body } = await ask("GET", "/metrics");
      const labels = new Set([...body.matchAll(/frontend="([^"]*)"/g)].map(([, label]) => label));
      assert.deepEqual([...labels], [name]);
      const closed = await stud.waitForLog(({ event }) => event === "connection-closed", "its end");
      assert.equal(closed.frontend, name);
      await until(() => readFileSync(log, "utf8").includes(` frontend=${name} `), "its line");
      assert.equal(stud.logged("ready")[0]!.frontends, name);
    },
  },
  {
    name: "with --quiet the status has the last failed connections, and the log has not",
    async run(context) {
      const { stud, status } = await asked(context, ["--quiet"]);
      for (let i = 0; i < 3; i++) {
        const socket = await context.wire(stud.frontend);
        socket.socket.end("GET / HTTP/1.1\r\n\r\n");
      }
      const last = await until(async () => {
        const { failures } = await status();
        return failures.length === 3 ? failures[0] : undefined;
      }, "three failures");
      assert.deepEqual([last!.worker, last!.source, last!.code], [1, "client", "handshake-failed"]);
      assert.match(last!.client, /^127\./);
      assert.deepEqual(stud.logged("connection-failed"), []);
    },
  },
  {
    name: "certificates that end soon are warned of at start and by --test, in both dialects",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "soon-"));
      const pem = join(directory, "soon.pem");
      const { certificate, key } = localhostCertificate();
      writeFileSync(pem, certificate + key, { mode: 0o600 });
      const soon = /soon\.pem: the certificate for localhost ends in 2[34] hours, on .*; renew it/;
      const hitch = `--compat=hitch --config=${join(directory, "hitch.conf")}`.split(" ");
      writeFileSync(
        join(directory, "hitch.conf"),
        `frontend = "[127.0.0.1]:443"\nbackend = "[127.0.0.1]:80"\npem-file = "${pem}"\n`,
      );
      for (const words of [[pem], hitch]) {
        const { code, stderr } = await runStud(context.target, ["--test", ...words]);
        assert.equal(code, 0, stderr);
        assert.match(stderr, soon);
        const never = await runStud(context.target, [
          ...["--test", "--certificate-warning-days=0", ...words],
        ]);
        assert.doesNotMatch(never.stderr, /ends in/);
      }
      const stud = await context.stud([pem], { backend: 1 });
      const line = await stud.waitForLog(
        ({ event }) => event === "certificate-ends-soon",
        "the warning",
      );
      assert.deepEqual([line.level, line.file], ["warn", pem]);
      assert.match(line.message, soon);
    },
  },
  {
    name: "an intermediate certificate that ends before the server's own is warned of",
    async run(context) {
      const chains = new Chains((cleanUp) => context.after(cleanUp));
      chains.issue("Root", { ca: true });
      chains.issue("Short CA", { ca: true, issuer: "Root", end: 5 });
      chains.issue("www.example", { issuer: "Short CA", end: 80 });
      const pem = chains.pem("www.example", "Short CA");
      const soon = /: the intermediate certificate "Short CA" here ends in 4 days, on .*; get the /;
      const { code, stderr } = await runStud(context.target, ["--test", pem]);
      assert.equal(code, 0, stderr);
      assert.match(stderr, soon);
      const { stud, status } = await asked(context, [pem]);
      const line = await stud.waitForLog(
        ({ event }) => event === "certificate-ends-soon",
        "the warning",
      );
      assert.deepEqual([line.level, line.file, line.issuer], ["warn", pem, "Short CA"]);
      assert.match(line.message, soon);
      assert.deepEqual(await codes(status), ["certificate-ends-soon"]);
    },
  },
  {
    name: "a certificate that expires while it is served is logged as an error, once",
    waits: true,
    async run(context) {
      const { stud, write, ask, status } = await asked(context);
      write({ certificates: { short: 4000 - DAY_MS } });
      assert.equal((await ask("POST", "/reload")).code, 200);
      const soon = await stud.waitForLog(
        ({ event }) => event === "certificate-ends-soon",
        "the warning",
      );
      assert.equal(soon.level, "warn");
      assert.match(
        soon.message,
        /\/short\.pem: the certificate for localhost ends in less than an/,
      );
      const ended = await stud.waitForLog(
        ({ event }) => event === "certificate-expired",
        "the error",
      );
      assert.equal(ended.level, "error");
      assert.match(String(ended.file), /\/short\.pem$/);
      assert.deepEqual(await codes(status), ["certificate-expired"]);
      await pause(2500);
      assert.equal(stud.logged("certificate-expired").length, 1);
    },
  },
  {
    name: "each request for a reload gets the result of one that read the files after it",
    waits: true,
    async run(context) {
      const { write, ask, status } = await asked(context);
      write({ more: "workers = many" });
      const bad = [ask("POST", "/reload"), ask("POST", "/reload")];
      await until(async () => (await status()).reloads.failed > 0, "the failed reload");
      write({});
      const good = Array.from({ length: 4 }, () => ask("POST", "/reload"));
      assert.ok((await Promise.all(bad)).some(({ code }) => code === 500));
      for (const { code, body } of await Promise.all(good)) assert.equal(code, 200, body);
      const { reloads } = await status();
      // The second request may have joined the first, or the others.
      assert.ok(reloads.succeeded >= 1 && reloads.succeeded + reloads.failed <= 4);
    },
  },
  {
    name: "a reload that has to wait for --max-generations says so at once",
    waits: true,
    async run(context) {
      const { stud, write, ask, status } = await asked(context);
      const client = await context.tls(stud.frontend);
      const settings = "max-generations = 2\nhalf-close-timeout = ";
      write({ more: `${settings}50` });
      assert.equal((await ask("POST", "/reload")).code, 200);
      assert.deepEqual(await codes(status), ["generation-limit"]);
      write({ more: `${settings}51` });
      const { code, body } = await ask("POST", "/reload");
      assert.equal(code, 202);
      const answer: ReloadStatus = JSON.parse(body);
      assert.equal(answer.result, "waiting");
      assert.match(answer.problems[0]!, /^the reload waits until an older generation has ended: 2/);
      assert.deepEqual((await codes(status)).sort(), ["generation-limit", "reload-waits"]);
      // What has ended stays the last result, and what waits is shown beside it.
      const { reloads: { last, inProgress, isRunning } } = await status();
      assert.deepEqual([last!.result, isRunning, inProgress!.length], ["succeeded", false, 1]);
      const [waiting] = inProgress!;
      assert.deepEqual([waiting!.state, waiting!.reason], ["waiting", answer.problems[0]]);
      write({ more: "workers = many" });
      assert.equal((await ask("POST", "/reload")).code, 500);
      const failed = await status();
      assert.equal(failed.reloads.inProgress?.[0]?.state, "waiting", "it still waits");
      assert.equal(failed.reloads.last!.result, "failed");
      write({ more: `${settings}51` });
      const { body: metrics } = await ask("GET", "/metrics");
      assert.match(metrics, /^stud_last_reload_success 0$/m);
      assert.match(metrics, /^stud_reloads_in_progress\{state="waiting"\} 1$/m);
      client.end();
      await until(async () => (await status()).reloads.succeeded === 2, "the reload");
      await until(async () => (await codes(status)).length === 0, "no problems");
    },
  },
  {
    name: "a reload that waits for an upgrade is shown as waiting, and begins when that has failed",
    waits: true,
    async run(context) {
      const { stud, ask, status } = await asked(context);
      stud.signal("SIGUSR2");
      const successor = await until(
        // A child of the launcher.
        () => childrenOf(stud.pid).flatMap(childrenOf).find(isSuccessor),
        "the new process",
      );
      context.after(() => killIfAlive(successor!));
      await hold(successor!);
      const reload = ask("POST", "/reload");
      const inProgress = async () => (await status()).reloads.inProgress ?? [];
      const [waiting] = await until(async () => {
        const all = await inProgress();
        return all.length > 0 ? all : undefined;
      }, "the reload that waits") as ReloadInProgress[];
      assert.deepEqual(
        [waiting!.state, waiting!.reason],
        ["waiting", "an upgrade is in progress"],
      );
      assert.deepEqual(await codes(status), [], "it begins by itself");
      killIfAlive(successor!);
      assert.equal((await reload).code, 200);
      await until(async () => (await inProgress()).length === 0, "nothing in progress");
    },
  },
  {
    name: "a successor goes on with the results of reloads",
    waits: true,
    async run(context) {
      const { stud, write, ask, status } = await asked(context);
      assert.equal((await ask("POST", "/reload")).code, 200);
      write({ more: "workers = many" });
      assert.equal((await ask("POST", "/reload")).code, 500);
      write({});
      const { reloads } = await status();
      stud.signal("SIGUSR2");
      const line = await stud.waitForLog(({ event }) => event === "upgraded", "the upgrade");
      const successor = Number(line.pid);
      context.after(async () => {
        killIfAlive(successor);
        await until(() => !isAlive(successor), "the successor's exit");
      });
      await until(async () => (await status()).master.pid === successor, "the successor");
      assert.deepEqual((await status()).reloads, reloads);
    },
  },
  {
    name: "--admin-ready-backend: readiness follows the backend without any client",
    waits: true,
    async run(context) {
      const { port } = await freeEndpoint();
      const { stud, write, ask } = await asked(context, ["--admin-ready-backend"], port);
      const ready = async () => (await ask("GET", "/readyz")).code;
      await until(async () => await ready() === 503, "not ready");
      assert.match((await ask("GET", "/readyz")).body, /backend .*refused/);
      assert.equal((await ask("GET", "/healthz")).code, 200);
      write({});
      stud.signal("SIGHUP");
      await until(async () => await ready() === 200, "ready");
    },
  },
];

async function codes(status: () => Promise<Status>): Promise<string[]> {
  return (await status()).problems.map(({ code }) => code);
}

interface Settings {
  readonly backend?: number;
  /** More certificates, by the time until they begin to be valid for a day, in milliseconds. */
  readonly certificates?: Readonly<Record<string, number>>;
  readonly more?: string;
}

/** A stud with an admin endpoint, whose configuration `write` changes. */
async function asked(context: Context, args: readonly string[] = [], backend?: number) {
  const directory = mkdtempSync(join(context.certificates.directory, "status-"));
  const [file, socket] = [join(directory, "stud.conf"), join(directory, "admin")];
  const frontend = await freeEndpoint();
  const echo = (await context.echo()).port;
  const keep = (path: string, validFrom: number) => {
    const { certificate, key } = localhostCertificate(Date.now() + validFrom);
    writeFileSync(path, certificate + key, { mode: 0o600 });
    return path;
  };
  const write = Object.assign(({ backend = echo, certificates = {}, more = "" }: Settings) => {
    const others = Object.entries(certificates).map(([name, validFrom]) =>
      `pem-file = "${keep(join(directory, `${name}.pem`), validFrom)}"`
    );
    writeFileSync(
      file,
      [
        `frontend = "[${frontend.host}]:${frontend.port}"`,
        `backend = "[127.0.0.1]:${backend}"`,
        ...others,
        `pem-file = "${context.certificates.localhost}"`,
        more,
      ].join("\n"),
    );
  }, { file });
  write(backend === undefined ? {} : { backend });
  const stud = await context.launch([
    ...[`--config=${file}`, `--admin=${socket}`, "--log-format=json", "--workers=1", ...args],
  ], { backend: echo, frontend, exact: true });
  const ask = (method: string, path: string) =>
    new Promise<{ code: number; body: string }>((resolve, reject) => {
      request({ socketPath: socket, method, path, agent: false }, (answer) => {
        let body = "";
        answer.setEncoding("utf8").on("data", (text: string) => body += text);
        answer.on("end", () => resolve({ code: answer.statusCode!, body }));
      }).on("error", reject).end();
    });
  const answers = () => ask("GET", "/healthz").then(({ code }) => code === 200, () => false);
  await until(answers, "the admin endpoint answers");
  stud.workers();
  // The helper asks the master some times a second.
  const status = async () => {
    await pause(300);
    return JSON.parse((await ask("GET", "/status")).body) as Status;
  };
  return { stud, write, ask, status, pem: context.certificates.localhost };
}
