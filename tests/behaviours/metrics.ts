/** `/metrics` of the admin endpoint. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ending, exchange, openTcp } from "../support/client.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { isAlive } from "../support/processes.ts";
import { decreased, type Scrape, scrape } from "../support/scrape.ts";
import type { Stud } from "../support/stud.ts";
import { root } from "../support/target.ts";
import { until, within } from "../support/until.ts";
import { reloaded } from "./reload.ts";
import { upgraded } from "./upgrade.ts";

const OPENMETRICS = "application/openmetrics-text; version=1.0.0";

export const metrics: readonly Behaviour[] = [
  {
    name: "connections, handshakes, bytes, times and failures are counted",
    waits: true,
    async run(context) {
      const { frontends: [first, second], admin } = await measured(context);
      await exchange(first, "hello", { ALPNProtocols: ["h2"] });
      await exchange(second, Buffer.alloc(50_000), { maxVersion: "TLSv1.2" });
      const open = await context.tls(first);
      await scan(first);
      const seen = await scraped(
        admin,
        (now) =>
          now.total("stud_connections_accepted_total") === 4 &&
          now.total("stud_connections_closed_total") === 3,
      );
      const of = (name: string, ...pairs: string[]) => seen.total(name, ...pairs);
      const [one, other] = [first, second].map(({ host, port }) => `frontend="${host}:${port}"`);
      assert.deepEqual(
        [one!, other!].map((frontend) => [
          of("stud_connections_accepted_total", frontend),
          of("stud_connections_open", frontend),
        ]),
        [[3, 1], [1, 0]],
      );
      const done = 'result="completed"';
      assert.equal(of("stud_handshakes_total", done), 3);
      assert.equal(of("stud_handshakes_total", 'result="failed"'), 1);
      assert.equal(of("stud_handshakes_total", done, 'alpn="h2"'), 1);
      const { tlsFacts } = context.target;
      const version = (of: string) => `version="${tlsFacts ? of : "unknown"}"`;
      assert.equal(of("stud_handshakes_total", done, version("TLSv1.2")), tlsFacts ? 1 : 3);
      assert.equal(of("stud_handshakes_total", done, version("TLSv1.3")), tlsFacts ? 2 : 3);
      // Only OpenSSL inside Node reports the group.
      const { runtime } = context.target;
      assert.equal(of("stud_handshake_groups_total"), runtime === "node" ? 3 : 0);
      assert.equal(
        of("stud_connection_failures_total", 'source="client"', 'code="handshake-failed"'),
        1,
      );
      assert.equal(of("stud_client_bytes_total", 'direction="received"'), 50_005);
      assert.equal(of("stud_client_bytes_total", 'direction="sent"'), 50_005);
      assert.equal(of("stud_backend_connects_total", 'result="succeeded"'), 3);
      assert.equal(of("stud_handshake_seconds_count"), 3);
      assert.ok(of("stud_handshake_seconds_sum") > 0);
      assert.equal(of("stud_backend_connect_seconds_count"), 3);
      assert.equal(of("stud_connection_seconds_count"), 3);
      assert.equal(of("stud_connection_bytes_sum", 'direction="sent"'), 50_005);
      assert.equal(of("stud_connection_bytes_bucket", 'direction="sent"', 'le="100"'), 2);
      assert.equal(of("stud_connection_bytes_bucket", 'direction="sent"', 'le="+Inf"'), 3);
      assert.equal(of("stud_backend_up"), 1);
      assert.equal(of("stud_generation"), 1);
      assert.equal(of("stud_generation_connections", 'generation="1"'), 1);
      assert.equal(of("stud_worker_starts_total"), 2);
      for (const process of ["master", "worker-1", "worker-2"]) {
        assert.ok(of("stud_resident_memory_bytes", `process="${process}"`) > 1e6, process);
        assert.ok(seen.samples.has(`stud_event_loop_delay_seconds{process="${process}"}`), process);
      }
      const end = of("stud_certificate_not_after_timestamp_seconds", 'name="localhost"');
      assert.ok(end > Date.now() / 1000, "the certificate's end");
      assert.match(
        seen.text,
        /^stud_build_info\{version="[^"]+",runtime="[^"]+",tls="[^"]+"\} 1$/m,
      );
      open.destroy();
      await scraped(admin, (now) => now.total("stud_connections_open") === 0);
    },
  },
  {
    name: "a backend that is down, and limits that are reached, show in the metrics",
    waits: true,
    async run(context) {
      const { frontends: [frontend], admin } = await measured(context, {
        more: ['backend = "[127.0.0.1]:1"', "max-source-connections = 1"],
        ...{ backend: false, workers: 1 },
      });
      await exchange(frontend, "hello");
      const open = await openTcp(frontend);
      // It may be reset before its connect is reported.
      await openTcp(frontend).then(ending, () => {});
      const seen = await scraped(
        admin,
        (now) => now.total("stud_backend_up") === 0 && now.total("stud_limits_reached_total") === 1,
      );
      assert.equal(seen.total("stud_limits_reached_total", 'limit="max-source-connections"'), 1);
      assert.equal(seen.total("stud_backend_connects_total", 'result="failed"'), 1);
      assert.equal(seen.total("stud_connection_failures_total", 'code="backend-refused"'), 1);
      const since = seen.total("stud_backend_state_since_timestamp_seconds");
      assert.ok(Math.abs(Date.now() / 1000 - since) < 60, `down since ${since}`);
      open.destroy();
    },
  },
  {
    name: "no counter decreases when a worker dies, at a reload that changes names, or at SIGUSR2",
    waits: true,
    async run(context) {
      const { stud, frontends: [first, second], admin, write } = await measured(context);
      for (const endpoint of [first, second]) {
        await exchange(endpoint, "hello", { ALPNProtocols: ["h2"] });
      }
      const held = await context.tls(first);
      let last = await scraped(admin, (now) =>
        now.total("stud_connections_accepted_total") === 3 &&
        now.total("stud_client_bytes_total") === 20);
      const next = async (what: string, wanted: (now: Scrape) => boolean) => {
        const now = await scraped(admin, (now) => {
          assert.deepEqual(decreased(last, now), [], what);
          last = now;
          return wanted(now);
        });
        return now;
      };

      for (const worker of stud.workers()) process.kill(worker, "SIGKILL");
      const afterKill = await next(
        "a worker's death",
        (now) =>
          now.total("stud_worker_exits_total", 'reason="signal"') === 2 &&
          now.total("stud_workers", 'state="serving"') === 2,
      );
      assert.equal(afterKill.total("stud_connections_open"), 0, "its connections are closed");
      assert.equal(afterKill.total("stud_worker_starts_total"), 4);
      held.destroy();

      write({ alpn: "http/1.1", frontends: [first] });
      await reloaded(stud);
      const oneMore = async () =>
        await until(
          () => exchange(first, "hello", { ALPNProtocols: ["http/1.1"] }).catch(() => undefined),
          "an answer",
        );
      await oneMore();
      const old = `frontend="${second.host}:${second.port}"`;
      const afterReload = await next(
        "a reload",
        (now) => now.total("stud_handshakes_total", 'alpn="http/1.1"') >= 1,
      );
      assert.equal(afterReload.total("stud_connections_accepted_total", old), 1);
      assert.ok(afterReload.total("stud_handshakes_total", 'alpn="h2"') === 2);
      assert.equal(afterReload.total("stud_reloads_total", 'result="succeeded"'), 1);
      assert.equal(afterReload.total("stud_last_reload_success"), 1);

      const received = (now: Scrape) =>
        now.total("stud_client_bytes_total", 'direction="received"');
      const before = received(
        await next("a pause", (now) => now.total("stud_connections_open") === 0),
      );
      const client = await context.tls(first);
      client.write("before");
      await within(once(client, "data"), "an echo");
      await next("a connection", (now) => received(now) === before + 6);
      const successor = await upgraded(context, stud, stud.pid);
      await next("an upgrade", (now) => now.total("stud_worker_starts_total") >= 8);
      // The predecessor's worker still serves it.
      client.write("after the upgrade");
      await within(once(client, "data"), "an echo");
      await next(
        "what the predecessor counts",
        (now) => received(now) === before + 6 + 17 && now.total("stud_connections_open") === 1,
      );
      client.end();
      await until(() => !isAlive(stud.pid), "the predecessor's exit");
      const end = await next("its exit", (now) => now.total("stud_connections_open") === 0);
      assert.ok(isAlive(successor));
      assert.equal(
        end.total("stud_connections_closed_total"),
        end.total("stud_connections_accepted_total"),
      );
      assert.equal(end.total("stud_reloads_total", 'result="succeeded"'), 1);
    },
  },
  {
    name: "both formats are well-formed, and the documentation lists every metric",
    waits: true,
    async run(context) {
      const { frontends: [frontend], admin } = await measured(context);
      await exchange(frontend, "hello");
      const text = await scraped(admin, (now) => now.total("stud_connections_closed_total") === 1);
      assert.equal(text.type, "text/plain; version=0.0.4; charset=utf-8");
      const open = await scrape(admin, OPENMETRICS);
      assert.equal(open.type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
      assert.match(open.text, /\n# EOF\n$/);
      assert.match(open.text, /^# TYPE stud_connections_accepted counter\n/m);
      assert.match(open.text, /^stud_connections_accepted_created\{frontend="[^"]+"\} [\d.]+$/m);
      const named = [...text.text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name!);
      assert.equal(new Set(named).size, named.length, "no family comes twice");
      assert.equal(text.samples.size, text.text.split("\n").filter((l) => /^\w/.test(l)).length);
      const page = readFileSync(join(root, "docs/monitoring.md"), "utf8");
      const listed = [...page.matchAll(/^\| `(stud_\w+)`/gm)].map(([, name]) => name!);
      assert.deepEqual(named.filter((name) => !listed.includes(name)), []);
    },
  },
  {
    name: "promtool finds no fault in the metrics",
    needs: ["promtool"],
    waits: true,
    async run(context) {
      const { frontends: [frontend], admin } = await measured(context);
      await exchange(frontend, "hello");
      const { text } = await scraped(
        admin,
        (now) => now.total("stud_connections_closed_total") === 1,
      );
      assert.deepEqual(await run("promtool", ["check", "metrics"], text), {
        ...{ code: 0, stdout: "", stderr: "" },
      });
    },
  },
];

interface Variables {
  readonly alpn?: string;
  readonly frontends?: readonly Endpoint[];
}

/** A stud with two frontends, two workers and an admin endpoint. */
async function measured(
  context: Context,
  { more = [], workers = 2, backend = true }: {
    readonly more?: readonly string[];
    readonly workers?: number;
    readonly backend?: boolean;
  } = {},
): Promise<{
  readonly stud: Stud;
  readonly frontends: readonly [Endpoint, Endpoint];
  readonly admin: string;
  write(variables: Variables): void;
}> {
  const directory = mkdtempSync(join(context.certificates.directory, "metrics-"));
  const file = join(directory, "conf");
  const admin = join(directory, "admin");
  const frontends = [await freeEndpoint(), await freeEndpoint()] as const;
  const { port } = await context.echo();
  const write = ({ alpn = "h2,http/1.1", frontends: some = frontends }: Variables) =>
    writeFileSync(
      file,
      [
        ...some.map(({ host, port }) => `frontend = "[${host}]:${port}"`),
        ...(backend ? [`backend = "[127.0.0.1]:${port}"`] : []),
        `pem-file = "${context.certificates.localhost}"`,
        `alpn-protos = "${alpn}"`,
        `workers = ${workers}`,
        'log-format = "json"',
        `admin = "unix:${admin}"`,
        ...more,
      ].join("\n"),
    );
  write({});
  const options = { backend: 0, frontend: frontends[0], exact: true };
  const stud = await context.launch([`--config=${file}`], options);
  await stud.waitForLog(({ event }) => event === "ready", "stud is ready");
  stud.workers();
  return { stud, frontends, admin, write };
}

/** Scrapes until the answer is as wanted; while a helper is replaced, there may be none. */
async function scraped(admin: string, wanted: (now: Scrape) => boolean): Promise<Scrape> {
  let last: Scrape | undefined;
  try {
    return await until(async () => {
      const now = await scrape(admin).catch(() => undefined);
      last = now ?? last;
      return now && wanted(now) ? now : undefined;
    }, "the metrics") as Scrape;
  } catch (error) {
    throw new Error(`${(error as Error).message}; last: ${last?.text}`);
  }
}

/** A client that does not speak TLS. */
async function scan(endpoint: Endpoint): Promise<void> {
  const socket = await openTcp(endpoint);
  socket.end("this is not TLS\r\n\r\n");
  socket.resume();
  await within(once(socket, "close"), "the end of a scan");
}
