/** Addresses in all forms in which users write them, and addresses that share a port. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exchange } from "../support/client.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, wideEndpoint } from "../support/endpoints.ts";
import { type LogLine, runStud, type Stud } from "../support/stud.ts";
import { listenAt, made, start } from "./backends.ts";

const isRoot = process.getuid!() === 0;

export const addresses: readonly Behaviour[] = [
  {
    name: "hosts are read as getaddrinfo reads them, and an empty one means every address",
    async run(context) {
      const forms: readonly [string, string][] = [
        ["[127.1]:", "127.0.0.1"],
        ["0x7f.2,", "127.0.0.2"],
        ["[2130706435]:", "127.0.0.3"],
        ["127.000.000.004,", "127.0.0.4"],
        ["[::ffff:127.0.0.5]:", "127.0.0.5"],
        ["[::1%1]:", "::1"],
        ["0,", "127.0.0.6"],
        ["[]:", "127.0.0.7"],
        ["[*]:", "::1"],
      ];
      const ends = forms.map(([, host]) => wideEndpoint(host));
      const words = forms.map(([form], i) => `--frontend=${form}${ends[i]!.port}`);
      const backend = (await context.echo()).port;
      const stud = await context.stud([...words, `--backend=0,${backend}`], { backend });
      for (const [i, end] of ends.entries()) {
        assert.equal(String(await exchange(end, "hello")), "hello", words[i]!);
      }
      assert.deepEqual(stud.failures(), []);
    },
  },
  {
    name: "an address that programs read differently is refused, as is one without its interface",
    async run(context) {
      const { localhost } = context.certificates;
      for (const [host, reason] of [["010.1.1.1", /octal/], ["fe80::1", /fe80::1%eth0/]] as const) {
        const words = [`--frontend=[${host}]:8443`, localhost];
        const { code, stderr } = await runStud(context.target, words);
        assert.equal(code, 1);
        assert.match(stderr, /^stud: --frontend: [^\n]+\n$/);
        assert.match(stderr, reason);
      }
    },
  },
  {
    name: "a wildcard and one of its addresses are frontends, each with its certificate",
    async run(context) {
      const { a, b } = context.certificates;
      const one = wideEndpoint("127.0.0.2");
      const other = { host: "127.0.0.1", port: one.port };
      const backend = (await context.echo()).port;
      const file = join(made(context), "stud.conf");
      const write = (hosts: Readonly<Record<string, string>>) =>
        writeFileSync(
          file,
          `${
            Object.entries(hosts).map(([host, pem]) =>
              `frontend = { host = "${host}" port = "${one.port}" pem-file = "${pem}" }\n`
            ).join("")
          }backend = "[127.0.0.1]:${backend}"\nworkers = 1\nlog-format = "json"\n`,
        );
      write({ "*": b });
      const stud = await context.stud([`--config=${file}`], { backend, exact: true });
      assert.equal(await subject(context, one), "b");
      // The wildcard includes the address that is added.
      write({ "*": b, [one.host]: a });
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      assert.equal(await subject(context, one), "a");
      assert.equal(await subject(context, other), "b");
      await stud.stop();
      const both = await context.stud([`--config=${file}`], { backend, exact: true });
      assert.equal(await subject(context, one), "a");
      assert.equal(await subject(context, other), "b");
      await both.stop();
    },
  },
  {
    name: "a port below 1024 without the right to bind it is an error that says how to get it",
    // Only root has the capability, which is taken away.
    appliesTo: ({ isBuilt }) => isRoot && isBuilt,
    async run(context) {
      // Still root, so it can read the certificate.
      const drop = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"];
      const command = [...drop, ...context.target.command];
      const words = ["--frontend=127.0.0.1,441", "--user=nobody", context.certificates.localhost];
      const { code, stderr } = await runStud({ ...context.target, command }, words);
      assert.equal(code, 1);
      const remedy = context.target.runtime === "deno" ? /AmbientCapabilities=/ : /run: setcap /;
      assert.match(stderr, /^stud: --frontend: [^\n]+ports below 1024 need[^\n]+\n$/);
      assert.match(stderr, remedy);
    },
  },
  {
    name: "two names of one address are one frontend, unless their settings differ",
    async run(context) {
      const { host, port } = wideEndpoint("127.0.0.1");
      const { a, b } = context.certificates;
      const backend = (await context.echo()).port;
      const words = [`--frontend=0x7f.1,${port}`, `--frontend=[::ffff:${host}]:${port}`];
      const stud = await context.stud(["-n", "1", "--log-format=json", ...words, a], {
        ...{ backend, exact: true, frontend: { host, port } },
      });
      assert.equal(await subject(context, stud.frontend), "a");
      const twice = ({ message }: LogLine) => message.includes(" are both ");
      await stud.waitForLog(twice, "the warning");
      const others = [`--frontend=[${host}]:${port}+${a}`, `--frontend=[localhost]:${port}+${b}`];
      for (
        const [given, reason] of [
          [[words[0]!, words[0]!], /is given twice; remove one/],
          [others, /are both \S+, with different settings; remove one/],
        ] as const
      ) {
        const { code, stderr } = await runStud(context.target, [...given, a]);
        assert.equal(code, 1);
        assert.match(stderr, /^stud: --frontend: [^\n]+\n$/);
        assert.match(stderr, reason);
      }
    },
  },
  {
    name: "a backend that is a frontend is refused",
    async run(context) {
      const { host, port } = wideEndpoint("127.0.0.2");
      for (const [frontend, backend] of [[host, host], ["*", host], ["0", "127.0.0.1"]] as const) {
        const words = [`--frontend=${frontend},${port}`, `--backend=${backend},${port}`];
        const all = [...words, context.certificates.localhost];
        const { code, stderr } = await runStud(context.target, all);
        assert.equal(code, 1);
        assert.match(stderr, /^stud: --backend: \S+ is a frontend[^\n]+\n$/);
      }
    },
  },
  {
    name: "link-local addresses with their interface are a frontend and a backend",
    needs: ["curl"],
    // Only root can create a namespace, and add an address to its loopback interface.
    appliesTo: () => isRoot,
    async run(context) {
      const words = ["--frontend=[fe80::1%lo]:8443"];
      const stud = await isolated(context, LINK_LOCAL, "[fe80::1%lo]:8000", words);
      const inside = ["nsenter", `--net=/proc/${stud.pid}/ns/net`];
      const [program, ...rest] = [...inside, "perl", "-MIO::Socket::IP", "-e", SERVER];
      const server = spawn(program!, rest, { stdio: ["ignore", "pipe", "inherit"] });
      context.after(() => server.kill());
      await once(server.stdout, "data");
      const url = "https://[fe80::1%25lo]:8443/";
      const { stdout } = await run(inside[0]!, [inside[1]!, "curl", "-ksS", "-m", "20", url]);
      assert.equal(stdout, "hello", stud.stderr);
    },
  },
  {
    name: "a start and --test use no local port, all of which a busy backend may have taken",
    appliesTo: () => isRoot,
    async run(context) {
      const path = join(made(context), "echo.sock");
      await listenAt(context, path);
      const stud = await isolated(context, NO_PORTS, path, ["--frontend=127.0.0.1,8443"]);
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      if (!context.target.backendSource) return;
      const command = [...NO_PORTS, ...context.target.command];
      const words = ["--test", "--frontend=127.0.0.1,8443", "--backend-source=127.0.0.1"];
      const { code, stderr } = await runStud({ ...context.target, command }, [
        ...words,
        context.certificates.localhost,
      ]);
      assert.equal(code, 0, stderr);
    },
  },
];

/** Runs a command in a network namespace of its own. */
function inNetwork(script: string): string[] {
  return ["unshare", "--net", "sh", "-c", `ip link set lo up && ${script}`];
}

const LINK_LOCAL = inNetwork(`ip addr add fe80::1/64 dev lo nodad && exec "$0" "$@"`);

/** An HTTP server that prints a line once it listens. */
const SERVER = `
  my $s = IO::Socket::IP->new(LocalHost => "fe80::1%lo", LocalPort => 8000, Listen => 1) or die;
  $| = 1; print "ready\n";
  while (my $c = $s->accept) {
    sysread $c, my $request, 4096;
    syswrite $c, "HTTP/1.0 200 OK\\r\\n\\r\\nhello"; close $c;
  }`;

/** Another program listens on the only local port that the kernel may choose. */
const NO_PORTS = inNetwork(
  `echo 50000 50000 > /proc/sys/net/ipv4/ip_local_port_range && exec perl -e '
    use Socket; $^F = 9;
    socket(my $s, PF_INET, SOCK_STREAM, 0);
    bind($s, sockaddr_in(50000, INADDR_ANY)) and listen($s, 1) or die;
    exec { $ARGV[0] } @ARGV;' "$0" "$@"`,
);

async function isolated(
  context: Context,
  network: readonly string[],
  backend: string,
  words: readonly string[],
): Promise<Stud> {
  const command = [...network, ...context.target.command];
  return await start(context.like({ ...context.target, command }), backend, words);
}

async function subject(context: Context, endpoint: Endpoint): Promise<string> {
  const client = await context.tls(endpoint, { servername: "x.example" });
  const { CN } = client.getPeerCertificate().subject;
  client.destroy();
  return String(CN);
}
